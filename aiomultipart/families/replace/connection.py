"""One response or stream, from its first byte to its last: read, parsed, and gathered frame by frame.

Rules:

* The parser is driven from here. Of a :class:`MultipartReader` nothing would be used but its time: a frame is read
  whole, and nobody skips, decodes or nests it.
* A frame is complete at its Content-Length, or at the delimiter; one without a body is none. What is gathered is
  bounded by ``max_part_size``, however small the pieces are in which it comes.
* The first part shows how a sender writes. LENIENT looks for what few senders do in every byte of every frame, and the
  accelerator leaves it to the reference parser: that takes twice as long. So where a stream begins with a delimiter
  line, and no boundary is in its first frame, it is read under STANDARD up to the first error. There LENIENT takes
  over, from the beginning of that part, and for good. Neither depends on how the input was cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, TypeAlias

from aiomultipart.exceptions import MultipartError, StateError
from aiomultipart.grammar.fields import as_multidict
from aiomultipart.grammar.media_type import sole_content_type
from aiomultipart.limits import Limits
from aiomultipart.parser import PART_END, Defect, Event, PartBegin, PushMultipartParser
from aiomultipart.policy import Policy
from aiomultipart.reading.response import content_of
from aiomultipart.sources import open_source

__all__ = ("Connection", "Options", "Take")

_FEW = 256  # pieces that are kept apart; of more, most are so small that an object each would take more than its bytes

Take: TypeAlias = Callable[[bytes, PartBegin, bool], object]


class Options(NamedTuple):
    """What all connections of a stream have in common."""

    content_type: str | None
    limits: Limits
    policy: Policy


class _Pieces:
    """Bytes that came in pieces."""

    __slots__ = ("_before", "last")

    def __init__(self) -> None:
        self.last: list[bytes] = []
        """To add a piece to."""
        self._before = bytearray()

    def compact(self) -> None:
        """Where there are many pieces, make one of them."""
        if len(self.last) > _FEW:
            self._before += b"".join(self.last)
            self.last.clear()

    def taken(self) -> bytes:
        """All of them, which are forgotten here."""
        pieces, before = self.last, self._before
        whole = b"".join((before, *pieces)) if before else pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.clear()
        return whole

    def clear(self) -> None:
        """Forget them."""
        self.last.clear()
        if self._before:
            self._before = bytearray()


class _OddError(Exception):
    """The sender is one of those whom LENIENT is for; never seen outside."""


class Connection:
    """A response, or a stream.

    :param opened: either of them.
    :param resources: what is closed at the end; the one who opened it may add to it.
    :raises ParseError: it is not multipart.
    :raises TypeError: a stream, and no Content-Type with it.
    """

    def __init__(self, opened: Any, options: Options, resources: AsyncExitStack) -> None:
        headers = getattr(opened, "headers", None)
        content = opened if headers is None else content_of(opened)
        content_type = options.content_type
        if content_type is None:
            if headers is None:
                what = "a stream has no header fields: give frames() its content_type, with the boundary"
                raise TypeError(f"{what}; this is a {type(content).__name__}")
            content_type = sole_content_type(as_multidict(headers))
        self.resources = resources
        self.frames: int = 0
        """How many have come."""
        self.ended: bool = False
        """Whether no more will come."""
        self.cut: bool = False
        """Whether it ended without a close-delimiter."""
        self._source = open_source(content)
        self._parser = PushMultipartParser.from_content_type(content_type, limits=options.limits, policy=options.policy)
        self._lane = _Lane.ahead_of(self._parser)
        self._begin: PartBegin | None = None  # of the part in hand, or of the last one
        self._body = _Pieces()
        self._is_given = False  # whether its frame has been given
        self._shift = 0, 0  # where the parser began: at which byte, in which part

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the policy has forgiven; of many the last ones."""
        offset, index = self._shift
        return tuple(
            Defect(
                kind,
                None if at is None else at + offset,
                None if part is None else part + index,
                size,
            )
            for kind, at, part, size in (self._parser if self._lane is None else self._lane.parser).defects
        )

    async def read(self, take: Take) -> None:
        """Await one chunk.

        :param take: called with the body of each frame that it completes, with its part, and whether it is whole.
        """
        data = await self._source.receive()
        lane = self._lane
        if data is None and self._source.in_doubt and not (self._parser if lane is None else lane.parser).ended:
            raise StateError("what is read from seems to have ended after a read was cancelled, in mid-stream")
        if lane is None:
            self._parse(self._parser, data, take)
            return
        try:
            lane.add(data)
            self._parse(lane.parser, data, take)
            lane.keep(self._begin)
        except (MultipartError, _OddError):
            rest = lane.rest(self._begin)
            if self._begin is not None:
                self._shift = self._begin.offset - len(lane.delimiter_line), self._begin.index
            self._lane = None
            self._body.clear()
            self.cut = self.ended = False
            given, self._is_given = self._is_given, False
            self._parse(self._parser, rest, _Beyond(take) if given else take)
            if data is None:
                self._parse(self._parser, None, take)

    def _parse(self, parser: PushMultipartParser, data: bytes | None, take: Take) -> None:
        """Parse a chunk, or the end."""
        short = False
        try:
            events: Iterable[Event]
            if data is None:
                events, self.ended = parser.close(), True
                forgiven = {defect.kind for defect in parser.defects[-2:]}
                self.cut, short = "missing-close-delimiter" in forgiven, "part-cut-short" in forgiven
            else:
                events = parser.feed(data)
            body, begin = self._body, self._begin
            pieces = body.last
            for event in events:
                if type(event) is bytes:
                    pieces.append(event)
                    if self.frames == 0 and self._lane is not None:
                        self._lane.look_at(event)
                elif event is PART_END:
                    picture = body.taken()
                    # What ends before its Content-Length because the input does is no picture.
                    if picture and begin is not None and not (short and begin.content_length is not None):
                        self.frames += 1
                        self._is_given = True
                        take(picture, begin, not short)
                elif type(event) is PartBegin:
                    self._begin = begin = event
                    self._is_given = False
                else:
                    self.ended = True
        except MultipartError as exc:
            if exc.offset is not None:
                exc.offset += self._shift[0]
            if exc.part_index is not None:
                exc.part_index += self._shift[1]
            raise
        body.compact()
        if len(parser.defects) >= _FEW:
            del parser.defects[: -_FEW // 2]  # a stream goes on and on

    async def aclose(self) -> None:
        """Give back what is read from."""
        try:
            await self._source.aclose()
        finally:
            await self.resources.aclose()


class _Lane:
    """A parser under STANDARD, and what LENIENT needs to take over: the bytes since the last part began."""

    def __init__(self, parser: PushMultipartParser) -> None:
        self.parser = PushMultipartParser(parser.boundary, subtype=parser.subtype, limits=parser.limits)
        self.dash_boundary = f"--{parser.boundary}".encode()
        self.delimiter_line = self.dash_boundary + b"\r\n"
        self._kept = _Pieces()
        self._chunk = b""
        self._first = b""  # what the stream begins with
        self._start = 0  # offset of the first byte that is kept
        self._end = 0  # offset of the next chunk
        self._begin: PartBegin | None = None
        self._seen = b""  # the end of what was looked at

    @classmethod
    def ahead_of(cls, parser: PushMultipartParser) -> _Lane | None:
        """A lane in front of a parser; None where nothing can be won, or what counts from the first byte is bounded."""
        limits = parser.limits
        counts = limits.max_total_size, limits.max_parts, limits.max_total_header_bytes
        return cls(parser) if parser.policy is Policy.LENIENT and counts == (None, None, None) else None

    def add(self, chunk: bytes | None) -> None:
        """A chunk is about to be parsed.

        :raises MultipartError: the stream does not begin with a delimiter line as nearly all do.
        """
        self._chunk = chunk or b""
        self._kept.last.append(self._chunk)
        self._kept.compact()
        if self._begin is None:
            self._first = (self._first + self._chunk)[: len(self.delimiter_line) + 2]
            first = self._first.removeprefix(b"\r\n")
            if first != b"\r" and first[: len(self.delimiter_line)] != self.delimiter_line[: len(first)]:
                raise _OddError("no delimiter line comes first")

    def look_at(self, piece: bytes) -> None:
        """A piece of the first frame.

        :raises _OddError: there is a boundary in it: it may be a delimiter that is written as few do.
        """
        piece = self._seen + piece
        if self.dash_boundary in piece:
            raise _OddError("a boundary in the first frame")
        self._seen = piece[-len(self.dash_boundary) :]

    def keep(self, begin: PartBegin | None) -> None:
        """The chunk has been parsed; the last part is that of ``begin``."""
        if begin is not None and begin is not self._begin:
            self._begin = begin
            if begin.offset >= self._end:
                self._kept.clear()
                self._kept.last.append(self._chunk)
                self._start = self._end
            else:  # its header block was cut
                self._kept.last[:] = [self._kept.taken()[begin.offset - self._start :]]
                self._start = begin.offset
        self._end += len(self._chunk)

    def rest(self, begin: PartBegin | None) -> bytes:
        """All bytes since a part began, with a delimiter line before them; all that there were if there is no part."""
        if begin is None:
            return self._kept.taken()
        return self.delimiter_line + self._kept.taken()[begin.offset - self._start :]


class _Beyond:
    """Takes all frames but the first, which has been given already."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._is_first = True

    def __call__(self, data: bytes, begin: PartBegin, complete: bool) -> None:
        if not self._is_first:
            self._take(data, begin, complete)
        self._is_first = False
