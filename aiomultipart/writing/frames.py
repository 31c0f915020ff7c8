"""Parts of one media type that are sent one by one, of a message that goes on and on, for browsers to show.

Chromium shows a part of an ``x-mixed-replace`` when it has the header block of the next one, not before. So that block
is sent along, which is possible where all are the same, and none says how long its part will be.
"""

from __future__ import annotations

from aiomultipart.extension import find
from aiomultipart.grammar.fields import check_field

__all__ = ("AnnouncedFrames",)


class AnnouncedFrames:
    """The bodies of an ``x-mixed-replace``, each with the delimiter and the next header block after it.

    :param boundary: that of the message; what is sent is searched for it. Even a random one: who sees the stream, and
        has a say in a later frame, knows it by then.
    :param content_type: that of every part.
    :raises ValueError: it cannot be written.
    """

    __slots__ = ("_delimiter", "_next", "end", "start")

    def __init__(self, boundary: str, content_type: str) -> None:
        check_field("Content-Type", content_type)
        head = f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode()
        self._delimiter = f"\r\n--{boundary}".encode()
        self._next = b"\r\n%b" % head
        self.start: bytes = head
        """What stands before the first body."""
        self.end: bytes = b"%b--\r\n" % self._delimiter
        """What ends the message after a body that was not the last for all that one knew: an empty part."""

    def frame(self, body: bytes, *, last: bool = False) -> bytes:
        """One body, and what comes after it.

        :param last: that is the close-delimiter.
        :raises ValueError: the body contains the delimiter.
        """
        delimiter = self._delimiter
        whole = body + (self.end if last else self._next)
        if find(whole, delimiter) != len(body) or body.startswith(delimiter[2:]):
            what = f"a frame contains the delimiter {delimiter!r}"
            raise ValueError(f"{what}; choose another boundary, or give none")
        return whole
