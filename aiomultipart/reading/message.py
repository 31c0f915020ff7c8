"""One message being read, and its levels: a message may be nested in the body of a part of another.

Which way the data flows: source -> :class:`Message` -> :class:`Cursor`, which is a parser, its events, and in them the
body of the part that it has come to -> the cursor of the message in that body, and so on. So the outer boundary always
wins. Nothing is awaited that is already here, and state changes only after an await.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, TypeVar

from aiomultipart.exceptions import LimitExceeded, MultipartError, StateError
from aiomultipart.parser import END, PART_END, Defect, Event, PartBegin, PushMultipartParser
from aiomultipart.policy import FORGIVE
from aiomultipart.sources import Source
from aiomultipart.work import Jobs

from .body import Pieces

if TYPE_CHECKING:
    from aiomultipart.limits import Limits

__all__ = ("Cursor", "Message")

T = TypeVar("T")
_MOVED_ON = "the reader has moved on from this part: read it before you ask for the next one, and before the end"


class Message(Jobs):
    """One message: where it comes from, who is waiting for it, what is at work for it, and what it has cost."""

    __slots__ = ("_header_bytes", "_parts", "blocked", "error", "source")

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source: Source = source
        self.blocked: bool = False  # a task waits, or a limit on the whole message has been passed
        self.error: LimitExceeded | None = None  # that one
        self._parts = 0  # that have been come to, at all levels
        self._header_bytes = 0

    def check(self) -> None:
        """Raise :exc:`StateError` when a task is waiting, and the error that ended the message."""
        if self.error is not None:
            raise self.error.fresh()
        self.check_idle()

    def check_idle(self) -> None:
        """Raise :exc:`StateError` when a task is waiting."""
        if self.blocked and self.error is None:
            raise StateError("another task is reading this message: one task reads, and the others wait for it")

    def count(self, begin: PartBegin, limits: Limits) -> LimitExceeded | None:
        """Hold the limits on all parts of the message, in the order in which the caller comes to them.

        Each parser holds them for its own level only: it reads ahead, and how far depends on how the input was cut.

        :return: what every further call raises, if ``max_parts`` or ``max_total_header_bytes`` is passed.
        """
        self._parts += 1
        self._header_bytes += len(begin.raw)
        for limit, value, size in (
            ("max_parts", limits.max_parts, self._parts),
            ("max_total_header_bytes", limits.max_total_header_bytes, self._header_bytes),
        ):
            if value is not None and size > value:
                self.blocked = True
                self.error = LimitExceeded(
                    f"message passes {limit} of {value}",
                    limit=limit,
                    value=value,
                    offset=begin.offset,
                    part_index=begin.index,
                    part_name=begin.name,
                )
                break
        return self.error

    async def result(self, job: asyncio.Future[T]) -> T:
        """Wait for the thread; a wait that is cancelled leaves it at work for the next one."""
        self.check()
        self.blocked = True
        try:
            return await asyncio.shield(job)
        finally:
            self.blocked = False

    async def aclose(self) -> None:
        """Close the source, after the threads; cancellation is held back until then."""
        try:
            await self.settle()
        finally:
            await self.source.aclose()


class Cursor(Pieces):
    """One level of a message: its parser, and in the events that are here the body of the part that it has come to.

    Parts and nested readers are constructed with it. A part knows where it was: what it was begun with is ``begin``
    as long as the cursor is there.
    """

    __slots__ = ("_counts", "_error", "begin", "depth", "guarded", "message", "outer", "parser", "place")

    def __init__(self, parser: PushMultipartParser, message: Message, outer: Cursor | None = None) -> None:
        """Begin at the first part.

        :param outer: the level that this one is in, in the part where that is; None for the outermost.
        """
        super().__init__()
        self.parser: PushMultipartParser = parser
        self.message: Message = message
        self.outer: Cursor | None = outer
        self.place: PartBegin | None = None if outer is None else outer.begin
        self.depth: int = 1 if outer is None else outer.depth + 1
        self.begin: PartBegin | None = None  # of the part that it has come to
        self.guarded: bool = outer is not None  # whether there is more to check() than is seen at once
        limits = parser.limits
        self._counts = limits.max_parts is not None or limits.max_total_header_bytes is not None
        self._error: LimitExceeded | None = None  # that of the message, if it was found here

    def nested(self) -> Cursor:
        """The cursor for the message in the part that this one has come to.

        :raises LimitExceeded: ``max_depth``.
        """
        return Cursor(self.parser.nested(self.current, shared=False), self.message, self)

    # Where it is

    @property
    def current(self) -> PartBegin:
        """What the part that it has come to was begun with."""
        if self.begin is None:
            raise StateError("there is no part to fetch: next() has not come to one, or has come to the end")
        return self.begin

    def is_past(self, begin: PartBegin) -> bool:
        """Whether this level, or one that it is nested in, has moved on from the part to what follows it."""
        return self.begin is not begin or self.passed

    @property
    def passed(self) -> bool:
        """Whether the reader of an outer message has moved on from the part that this level is in."""
        return self.outer is not None and (self.place is None or self.outer.is_past(self.place))

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What was forgiven before the place that the caller has come to, and before an error."""
        error = self._error or self.parser.error
        end = None if error is None else error.offset
        begin = next((event for event in self.events if isinstance(event, PartBegin)), None)
        if begin is not None and (end is None or begin.offset < end):
            end = begin.offset
        found = self.parser.defects
        if end is None:
            return tuple(found)
        return tuple(defect for defect in found if defect.offset is None or defect.offset < end)

    def check_level(self) -> None:
        """Raise what keeps this level from being read: :exc:`StateError`, or the error that ended the message."""
        if self.message.blocked:
            self.message.check()
        cursor = self
        while cursor.outer is not None:
            if cursor.outer.begin is not cursor.place:
                raise StateError(_MOVED_ON)
            cursor = cursor.outer

    def check(self, begin: PartBegin | None) -> None:
        """As :meth:`check_level`, and raise :exc:`StateError` when the part is not the one in hand."""
        self.check_level()
        if self.begin is not begin:
            raise StateError(_MOVED_ON)

    # Moving on

    def step(self) -> PartBegin | None:
        """Drop what is here of the part in hand, and go to the next one; None where :meth:`advance` has to."""
        events = self.events
        self._start = self._searched = 0
        while events:
            event = events.popleft()
            if event is PART_END:
                continue
            if type(event) is PartBegin:  # which takes half as long as isinstance()
                if self._counts and (error := self.message.count(event, self.parser.limits)) is not None:
                    self._error = error
                    break
                self.begin = event
                return event
            if event is END:
                events.appendleft(event)
                break
        self.begin = None
        return None

    async def advance(self) -> PartBegin | None:
        """As :meth:`step`, which has found none, as far as need be; None at the end.

        :raises LimitExceeded: ``max_parts``, ``max_total_header_bytes``; and whatever :meth:`fill` raises.
        """
        while not (self.events and self.events[0] is END):
            if self._error is not None:
                await self.fail()
                raise self._error.fresh()
            self.parser.drop()
            await self.fill()
            if (begin := self.step()) is not None:
                return begin
        return None

    def drop(self) -> bool:
        """Drop what is here of the part in hand, and what comes when it comes; whether its end is here."""
        events = self.events
        while events and events[0] is not PART_END:
            events.popleft()
        self._start = self._searched = 0
        if not events:
            self._drop_rest()
        return self.at_end

    def _drop_rest(self) -> None:
        self.parser.drop()

    async def skip(self) -> None:
        """Drop the part in hand to its end."""
        while not self.drop():
            await self.fill()

    async def drain(self) -> None:
        """Read to the end of the input, epilogue included, and drop it."""
        events = self.events
        while True:
            # The end stays: a drain that is cancelled in the epilogue must not hide it.
            while events and events[0] is not END:
                events.popleft()
            self.begin = None
            if self.parser.closed:
                break
            self.parser.drop()
            await self.fill()

    # More

    async def fill(self) -> list[Event]:
        """Await one chunk and parse it.

        :return: the events that are new.
        :raises MultipartError: the same error again, freshly, once there is one and all events before it are used.
        :raises StateError: the input seems to have ended, but perhaps only for what is read from.
        """
        parser, message = self.parser, self.message
        if message.blocked or self.outer is not None:
            self.check_level()
        try:
            if parser.error is not None:
                raise parser.error.fresh()
            if parser.closed:
                raise StateError("the message has ended, and there is nothing to wait for")
            if self.outer is not None:
                return self._parse(await self.outer.receive())
            message.blocked = True
            try:
                data = await message.source.receive()
            finally:
                message.blocked = False
            if data is None and self._ends_in_doubt():
                raise StateError("what is read from seems to have ended after a read was cancelled, in mid-message")
            return self._parse(data)
        except Exception:
            if self.outer is None:
                await self.fail()
            raise

    def _parse(self, data: bytes | None) -> list[Event]:
        found = self.parser.close() if data is None else self.parser.feed(data)
        new: list[Event] = []
        if isinstance(found, list):
            new = found
        else:
            # What comes before an error is kept, by extend() itself.
            with contextlib.suppress(MultipartError):
                new.extend(found)
        self.events.extend(new)
        return new

    def _ends_in_doubt(self) -> bool:
        """Whether LENIENT would forgive an end that may be none."""
        parser = self.parser
        missing = parser.policy.rules.missing_close_delimiter
        return self.message.source.in_doubt and not parser.ended and missing is FORGIVE

    async def fail(self) -> None:
        """An error has ended the message: nobody will read on from its source."""
        on_failure = self.message.source.on_failure
        if on_failure is not None:
            with contextlib.suppress(Exception):  # the error that ended it is the one to know of
                await on_failure()

    async def settle(self) -> None:
        """See what follows the body of the part in hand, where nobody else does."""
