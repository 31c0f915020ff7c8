"""Parts of one kind that are sent one by one, of a message that goes on and on, for browsers to show.

Chromium shows a part of an ``x-mixed-replace`` when it has the header block of the next one, not before. So that block
is sent along, which is possible where all are the same, and none says how long its part will be.
"""

from __future__ import annotations

from collections.abc import Iterable

from .head import Field, lines_of
from .layout import refusal

__all__ = ("AnnouncedFrames",)


class AnnouncedFrames:
    """The bodies of an ``x-mixed-replace``, each with the delimiter and the next header block after it.

    :param boundary: that of the message; what is sent is searched for it.
    :param fields: the header fields of every part.
    :raises ValueError: a field cannot be written.
    """

    __slots__ = ("_delimiter", "_next", "end", "start")

    def __init__(self, boundary: str, fields: Iterable[Field]) -> None:
        lines, *_ = lines_of(fields, in_form_data=False)
        head = f"{''.join(lines)}\r\n".encode()
        self._delimiter = f"\r\n--{boundary}".encode()
        self.start = b"--%b\r\n%b" % (boundary.encode(), head)
        """What stands before the first body."""
        self._next = b"%b\r\n%b" % (self._delimiter, head)
        self.end = b"%b--\r\n" % self._delimiter
        """What ends the message after a body that was not the last for all that one knew: an empty part."""
        if self._next.count(self._delimiter) != 1:
            raise refusal(self._delimiter)

    def frame(self, body: bytes, *, last: bool = False) -> bytes:
        """One body, and what comes after it.

        :param last: that is the close-delimiter.
        :raises ValueError: the body contains the delimiter.
        """
        delimiter = self._delimiter
        whole = b"".join((body, self.end if last else self._next))
        if whole.count(delimiter) != 1 or whole.startswith(delimiter[2:]):
            raise refusal(delimiter)
        return whole
