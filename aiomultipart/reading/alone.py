"""The body of a part that is read without its message, as aiohttp's BodyPartReader can be.

Its delimiter may be the last that there is, and what follows the body is not ours: it goes back to a source that has
``unread_data``, and is dropped otherwise.
"""

from __future__ import annotations

import warnings

from multidict import CIMultiDictProxy

from aiomultipart import hdrs
from aiomultipart.exceptions import IncompleteBody, MultipartError
from aiomultipart.grammar.fields import parse_content_length
from aiomultipart.parser import PART_END, Event, PartBegin, PushMultipartParser
from aiomultipart.sources import ByteStream, Source, open_source

from .message import Cursor, Message

__all__ = ("cursor_alone",)


class Lookahead(Source):
    """A source that remembers what may have to go back."""

    # The longest delimiter line that STANDARD reads
    _KEPT = 9 * 1024

    def __init__(self, content: ByteStream, *, counted: bool) -> None:
        """Read ahead in ``content``.

        :param counted: a Content-Length says where the body ends, so its delimiter is not needed.
        """
        super().__init__()
        self._source = open_source(content)
        self._counted = counted
        self._unread = getattr(content, "unread_data", None)
        self._recent = b""
        self._start = 0  # of what is remembered
        self._ended = False

    @property
    def gives_back(self) -> bool:
        """Whether what follows the body goes back to where it came from."""
        return self._unread is not None

    async def _next(self) -> bytes | None:
        if self._ended:
            return None
        data = await self._source.receive()
        if data is None:
            # "--b" at the end of the input is a delimiter line that was cut; a body that was cut stays one.
            self._ended = True
            return None if self._counted else b"\r\n"
        if self._unread is not None:
            drop = max(0, len(self._recent) - self._KEPT)
            self._start += drop
            self._recent = self._recent[drop:] + data
        return data

    def unread(self, size: int) -> None:
        """Give back what follows a body of ``size`` bytes, from the dashes of its delimiter on."""
        surplus = self._recent[size - self._start :].removeprefix(b"\r\n")
        if self._unread is not None and surplus:
            with warnings.catch_warnings():
                # aiohttp would rather have it gone, but has no other way.
                warnings.simplefilter("ignore", DeprecationWarning)
                self._unread(surplus)


class _Cursor(Cursor):
    """Gives back what follows the body as soon as its end is known; of a counted body it raises what follows instead,
    as the reader of a message does in its next step.
    """

    __slots__ = ("_lookahead", "_size", "_was_at_end")

    def __init__(self, parser: PushMultipartParser, lookahead: Lookahead) -> None:
        super().__init__(parser, Message(lookahead))
        self.guarded = True
        self._lookahead = lookahead
        self._size = 0
        self._was_at_end = False  # when the call in hand began

    def check(self, begin: PartBegin | None) -> None:
        super().check(begin)
        self._was_at_end = self.at_end

    def _drop_rest(self) -> None:
        """Nothing: the parser would not say how much it drops."""

    async def fill(self) -> list[Event]:
        new = await super().fill()
        for event in new:
            if isinstance(event, bytes):
                self._size += len(event)
            elif event is PART_END:
                self._lookahead.unread(self._size)
                break
        return new

    async def skip(self) -> None:
        await super().skip()
        self._was_at_end = True
        await self.settle()

    async def settle(self) -> None:
        """See what follows a counted body, where it has not been given back; the call that comes to its end does not.

        :raises MultipartError: something else than CRLF and the delimiter.
        """
        parser, begin = self.parser, self.current
        if begin.content_length is None or not self._was_at_end:
            return
        while not (len(self.events) > 1 or parser.error or parser.closed or self._lookahead.gives_back):
            try:
                await self.fill()
            except MultipartError:
                if parser.error is None:
                    raise  # of the source
        error = parser.error
        # The body was complete, so that nothing more may come; and what is wrong in the next part is not ours to say.
        if error is not None and error.part_index == begin.index and not isinstance(error, IncompleteBody):
            raise error.fresh()


def cursor_alone(boundary: bytes, headers: CIMultiDictProxy[str], content: ByteStream, subtype: str) -> Cursor:
    """The cursor in the body of a part that is read without its message.

    :param boundary: the dash-boundary.
    :param headers: those of the part; its Content-Length counts, except in form-data.
    :param content: the body and its delimiter.
    :param subtype: of the multipart message that the part was in.
    :raises ParseError: the Content-Length is no length.
    """
    parser = PushMultipartParser(boundary.removeprefix(b"--"), subtype=subtype)
    length = None if subtype == "form-data" else headers.get(hdrs.CONTENT_LENGTH)
    cursor = _Cursor(parser, Lookahead(content, counted=length is not None))
    block = b"%b\r\n" % boundary
    if length is not None:
        block += b"Content-Length: %d\r\n" % parse_content_length(str(length))  # aiohttp takes an int too
    begin, *events = parser.feed(block + b"\r\n")
    if not isinstance(begin, PartBegin):
        raise TypeError(f"the parser began a part with {begin!r}")
    parser.defects.clear()  # of a header block that nobody sent
    cursor.events.extend(events)
    cursor.begin = begin
    return cursor
