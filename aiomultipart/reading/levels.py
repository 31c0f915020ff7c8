"""One message being read: its levels, and the body of the part that each has come to.

Which way the data flows: source -> :class:`Channel` -> :class:`Level` (parser, events) -> :class:`PartSource`. A nested
level reads from the part that it is the body of, so the outer boundary always wins. Nothing is awaited that is already
here, and state changes only after an await.
"""

from __future__ import annotations

import asyncio
import warnings
from collections import deque

from multidict import CIMultiDictProxy

from aiomultipart import hdrs
from aiomultipart.exceptions import IncompleteBody, LimitExceeded, MultipartError, StateError
from aiomultipart.grammar.fields import parse_content_length
from aiomultipart.limits import Limits
from aiomultipart.parser import END, PART_END, Defect, Event, PartBegin, PushMultipartParser
from aiomultipart.policy import FORGIVE
from aiomultipart.sources import ByteStream, Source, open_source

__all__ = ("Channel", "Level", "PartSource", "lone_part")


class Channel:
    """The one way in: the source of the whole message, and whether a task is waiting in it."""

    __slots__ = ("busy", "error", "header_bytes", "jobs", "parts", "source")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.busy = False
        self.jobs: set[asyncio.Future[list[bytes]]] = set()  # threads that decode for parts of this message
        self.parts = 0  # that have been come to, at all levels
        self.header_bytes = 0
        self.error: LimitExceeded | None = None  # a limit on the whole message has been passed

    def check_idle(self) -> None:
        """Raise :exc:`StateError` when a task is waiting."""
        if self.busy:
            raise StateError("another task is reading this message")

    def check(self) -> None:
        """Raise :exc:`StateError` when a task is waiting, and the error that ended the message."""
        self.check_idle()
        if self.error is not None:
            raise self.error.fresh()

    def count(self, begin: PartBegin, limits: Limits) -> None:
        """Hold the limits on all parts of the message, in the order in which the caller comes to them.

        Each parser holds them for its own level only: it reads ahead, and how far depends on how the input was cut.

        :raises LimitExceeded: ``max_parts``, ``max_total_header_bytes``; for the whole message, from now on.
        """
        self.parts += 1
        self.header_bytes += len(begin.raw)
        for limit, value, size in (
            ("max_parts", limits.max_parts, self.parts),
            ("max_total_header_bytes", limits.max_total_header_bytes, self.header_bytes),
        ):
            if value is not None and size > value:
                self.error = LimitExceeded(
                    f"message passes {limit} of {value}",
                    limit=limit,
                    value=value,
                    offset=begin.offset,
                    part_index=begin.index,
                    part_name=begin.name,
                )
                raise self.error.fresh()

    async def receive(self) -> bytes | None:
        """The next bytes of the message; None at the end."""
        self.check()
        self.busy = True
        try:
            return await self.source.receive()
        finally:
            self.busy = False

    def start(self, job: asyncio.Future[list[bytes]]) -> asyncio.Future[list[bytes]]:
        """Know of a thread until it is done."""
        self.jobs.add(job)
        job.add_done_callback(self.jobs.discard)
        return job

    async def finish(self, job: asyncio.Future[list[bytes]]) -> list[bytes]:
        """Wait for the thread; a wait that is cancelled leaves it at work for the next one."""
        self.check()
        self.busy = True
        try:
            return await asyncio.shield(job)
        finally:
            self.busy = False

    async def aclose(self) -> None:
        """Close the source, after the threads; cancellation is held back until then."""
        cancelled: asyncio.CancelledError | None = None
        while self.jobs:
            try:
                await asyncio.wait(self.jobs)
            except asyncio.CancelledError as exc:
                cancelled = exc
        await self.source.aclose()
        if cancelled is not None:
            raise cancelled


class Level:
    """One multipart body being read."""

    __slots__ = ("channel", "counts", "ended", "events", "parser", "part", "receiver")

    @property
    def is_root(self) -> bool:
        """Whether this is the outermost level."""
        return self.receiver is self.channel

    def __init__(self, parser: PushMultipartParser, channel: Channel, receiver: Channel | PartSource) -> None:
        self.parser = parser
        self.channel = channel
        self.receiver = receiver
        self.events: deque[Event] = deque()
        limits = parser.limits
        self.counts = limits.max_parts is not None or limits.max_total_header_bytes is not None
        # Who may read the body that the message has come to: a PartSource, or a reader that has not needed one yet.
        self.part: object = None
        self.ended = False  # whether the end of that body has come, and its event been taken

    async def fill(self) -> bool:
        """Await one chunk and parse it; False when the input has ended before.

        :raises MultipartError: the same error again, freshly, once there is one and all events before it are used.
        :raises StateError: the input seems to have ended, but perhaps only for what is read from.
        """
        error = self.parser.error
        if error is not None:
            raise error.fresh()
        if self.parser.closed:
            return False
        data = await self.receiver.receive()
        if data is None and self.is_root and self._ends_in_doubt():
            raise StateError("what is read from seems to have ended after a read was cancelled, in mid-message")
        try:
            # What comes before an error is kept, by extend() itself.
            self.events.extend(self.parser.close() if data is None else self.parser.feed(data))
        except MultipartError:
            if not self.events:
                raise
        return True

    def _ends_in_doubt(self) -> bool:
        """Whether LENIENT would forgive an end that may be none."""
        parser = self.parser
        return (
            getattr(self.channel.source, "in_doubt", False)
            and not parser.ended
            and parser.policy.rules.missing_close_delimiter is FORGIVE
        )

    def count(self, begin: PartBegin) -> None:
        """Hold the limits on all parts, if there are any, when a part has been come to.

        :raises LimitExceeded: ``max_parts``, ``max_total_header_bytes``.
        """
        self.channel.count(begin, self.parser.limits)

    async def drain(self) -> None:
        """Read to the end of the input, epilogue included."""
        self.part = None
        events = self.events
        while True:
            # The end stays: a drain that is cancelled in the epilogue must not hide it.
            while events and events[0] is not END:
                events.popleft()
            if not await self.fill():
                break
        events.clear()


class PartSource:
    """The raw body of one part, as the readers are constructed with; internal, but for being passed on."""

    __slots__ = ("_rest", "begin", "level")

    def __init__(self, level: Level, begin: PartBegin) -> None:
        self.level = level
        self.begin = begin
        self._rest: tuple[bytes, int] | None = None  # what is left of a piece, and from where

    @property
    def passed(self) -> bool:
        """Whether the reader, or one that it is nested in, has moved on to what follows this part."""
        level = self.level
        return level.part is not self or (isinstance(level.receiver, PartSource) and level.receiver.passed)

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the policy has forgiven in this part so far."""
        return tuple(defect for defect in self.level.parser.defects if defect.part_index == self.begin.index)

    def forgive(self, kind: str) -> None:
        """Record a defect of this part, once."""
        self.level.parser.forgive(kind, self.begin)

    def check(self) -> None:
        """Raise :exc:`StateError` when the part cannot be read now."""
        level = self.level
        level.receiver.check()  # the channel, or the part that this one is inside
        if level.part is not self:
            raise StateError("the reader has moved on from this part")

    def at_eof(self) -> bool:
        """Whether the last byte has been handed out and that is known to be the end."""
        if self.passed:
            return True
        events = self.level.events
        return self._rest is None and (self.level.ended or (bool(events) and events[0] is PART_END))

    async def receive(self) -> bytes | None:
        """The next bytes of the body, as they came; None at its end."""
        data, start = await self._piece()
        return data[start:] or None

    async def _next(self) -> bytes | None:
        level = self.level
        if level.part is not self:
            raise StateError("the reader has moved on from this part")
        if level.ended:
            return None
        events = level.events
        while not events:
            await level.fill()
        event = events.popleft()
        if isinstance(event, bytes):
            return event
        level.ended = True
        return None

    async def _piece(self) -> tuple[bytes, int]:
        """The next piece and where what is left of it begins; no bytes at the end."""
        if self._rest is None:
            return await self._next() or b"", 0
        piece, self._rest = self._rest, None
        return piece

    async def take(self, size: int) -> bytes:
        """At most ``size`` bytes of the next piece; ``b""`` at the end."""
        data, start = await self._piece()
        if len(data) - start > size:
            self._rest = (data, start + size)
            return data[start : start + size]
        return data[start:]

    async def take_line(self) -> bytes:
        """The next piece, up to its first LF if there is one; ``b""`` at the end."""
        data, start = await self._piece()
        end = data.find(b"\n", start) + 1
        if 0 < end < len(data):
            self._rest = (data, end)
            return data[start:end]
        return data[start:]

    def give_back(self, data: bytes) -> None:
        """Keep what was taken last and not used; the next call gets it first."""
        if data:
            if self._rest is not None:
                rest, start = self._rest
                if rest.endswith(data, 0, start):
                    self._rest = (rest, start - len(data))
                    return
                data += rest[start:]
            self._rest = (data, 0)

    async def drain(self) -> None:
        """Read the rest and drop it."""
        self._rest = None
        while await self._next() is not None:
            pass


class LonePart(PartSource):
    """The body of a part that is read without its message, as aiohttp's BodyPartReader can be.

    Its delimiter may be the last that there is, and what follows the body is not ours: it goes back to a source that
    has ``unread_data``, and is dropped otherwise.
    """

    __slots__ = ("_lookahead", "_over", "_size")

    def __init__(self, level: Level, begin: PartBegin, lookahead: Lookahead) -> None:
        super().__init__(level, begin)
        self._lookahead = lookahead
        self._size = 0
        self._over = False  # an earlier call has handed out the last byte

    def check(self) -> None:
        super().check()
        self._over = self.at_eof()

    async def _next(self) -> bytes | None:
        level = self.level
        if level.ended:
            if self._over:
                await self._check_surplus()
            return None
        data = await super()._next()
        if data is not None:
            self._size += len(data)
            if level.events and level.events[0] is PART_END:
                level.events.popleft()
                level.ended = True
        if level.ended:
            self._lookahead.unread(self._size)
        return data

    async def drain(self) -> None:
        await super().drain()
        await self._check_surplus()

    async def _check_surplus(self) -> None:
        """See what follows a body that ended at its Content-Length, as the reader of a message does in its next step.

        What has been given back is not read again.

        :raises MultipartError: something else than its delimiter.
        """
        if self.begin.content_length is None:
            return
        level, parser = self.level, self.level.parser
        while not (level.events or parser.error or self._lookahead.gives_back):
            try:
                if not await level.fill():
                    break
            except MultipartError:
                if parser.error is None:
                    raise  # of the source
        error = parser.error
        # The body was complete, so that nothing more may come; and what is wrong in the next part is not ours to say.
        if error is not None and error.part_index == self.begin.index and not isinstance(error, IncompleteBody):
            raise error.fresh()


class Lookahead:
    """The source of a part that stands alone; it remembers what may have to go back."""

    # The longest delimiter line that STANDARD reads
    _KEPT = 9 * 1024

    def __init__(self, content: ByteStream, *, counted: bool) -> None:
        """Read ahead in ``content``.

        :param counted: a Content-Length says where the body ends, so its delimiter is not needed.
        """
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

    async def receive(self) -> bytes | None:
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

    async def aclose(self) -> None:
        await self._source.aclose()


def lone_part(boundary: bytes, headers: CIMultiDictProxy[str], content: ByteStream, subtype: str) -> PartSource:
    """The body of a part that is read without its message.

    :param boundary: the dash-boundary.
    :param headers: those of the part; its Content-Length counts, except in form-data.
    :param content: the body and its delimiter.
    :param subtype: of the multipart message that the part was in.
    :raises ParseError: the Content-Length is no length.
    """
    parser = PushMultipartParser(boundary.removeprefix(b"--"))
    length = None if subtype == "form-data" else headers.get(hdrs.CONTENT_LENGTH)
    lookahead = Lookahead(content, counted=length is not None)
    channel = Channel(lookahead)
    level = Level(parser, channel, channel)
    block = b"%b\r\n" % boundary
    if length is not None:
        block += b"Content-Length: %d\r\n" % parse_content_length(str(length))  # aiohttp takes an int too
    begin, *events = parser.feed(block + b"\r\n")
    if not isinstance(begin, PartBegin):
        raise TypeError(f"the parser began a part with {begin!r}")
    level.events.extend(events)
    level.part = part = LonePart(level, begin, lookahead)
    return part
