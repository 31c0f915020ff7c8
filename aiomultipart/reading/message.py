"""One message being read, and its levels: a message may be nested in the body of a part of another.

Which way the data flows: source -> :class:`Message` -> :class:`Cursor` (a parser and its events) -> the body of the
part that the cursor has come to -> the cursor of the message in that body, and so on. So the outer boundary always
wins. Nothing is awaited that is already here, and state changes only after an await.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from aiomultipart.exceptions import LimitExceeded, MultipartError, StateError
from aiomultipart.parser import END, Defect, Event, PartBegin, PushMultipartParser
from aiomultipart.policy import FORGIVE
from aiomultipart.sources import Source
from aiomultipart.work import Jobs

from .body import Body

if TYPE_CHECKING:
    from aiomultipart.limits import Limits

__all__ = ("Cursor", "Message")

T = TypeVar("T")


class Message(Jobs):
    """One message: where it comes from, who is waiting for it, what is at work for it, and what it has cost."""

    __slots__ = ("_header_bytes", "_parts", "busy", "error", "on_failure", "source")

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source
        self.busy = False  # a task waits
        self.error: LimitExceeded | None = None  # a limit on the whole message has been passed
        self.on_failure: Callable[[], Awaitable[object]] | None = None
        self._parts = 0  # that have been come to, at all levels
        self._header_bytes = 0

    def check_idle(self) -> None:
        """Raise :exc:`StateError` when a task is waiting."""
        if self.busy:
            raise StateError("another task is reading this message: one task reads, and the others wait for it")

    def check(self) -> None:
        """Raise :exc:`StateError` when a task is waiting, and the error that ended the message."""
        if self.busy:
            self.check_idle()
        if self.error is not None:
            raise self.error.fresh()

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

    async def receive(self) -> bytes | None:
        """The next bytes of the message; None at the end."""
        self.busy = True
        try:
            return await self.source.receive()
        finally:
            self.busy = False

    async def result(self, job: asyncio.Future[T]) -> T:
        """Wait for the thread; a wait that is cancelled leaves it at work for the next one."""
        self.check()
        self.busy = True
        try:
            return await asyncio.shield(job)
        finally:
            self.busy = False

    async def fail(self) -> None:
        """An error has ended the message: tell whoever has lent what it is read from."""
        if self.on_failure is not None:
            with contextlib.suppress(Exception):  # the error that ended it is the one to know of
                await self.on_failure()

    async def aclose(self) -> None:
        """Close the source, after the threads; cancellation is held back until then."""
        try:
            await self.settle()
        finally:
            await self.source.aclose()


class Cursor:
    """One level of a message: its parser, the events that are here, and the part that it has come to."""

    __slots__ = ("_counts", "_error", "body", "depth", "events", "message", "outer", "parser")

    def __init__(self, parser: PushMultipartParser, message: Message, outer: Body | None) -> None:
        """Begin at the first part.

        :param outer: the body of the part that this level is in; None for the outermost.
        """
        self.parser = parser
        self.message = message
        self.outer = outer
        self.depth: int = 1 if outer is None else outer.cursor.depth + 1
        self.events: deque[Event] = deque()
        self.body: Body | None = None  # of the part that it has come to
        limits = parser.limits
        self._counts = limits.max_parts is not None or limits.max_total_header_bytes is not None
        self._error: LimitExceeded | None = None  # that of the message, if it was found here

    @property
    def passed(self) -> bool:
        """Whether the reader of an outer message has moved on from the part that this level is in."""
        return self.outer is not None and self.outer.passed

    @property
    def ended(self) -> bool:
        """Whether there are no more parts."""
        return bool(self.events) and self.events[0] is END

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

    def check(self) -> None:
        """Raise what keeps this level from being read: :exc:`StateError`, or the error that ended the message."""
        message = self.message
        if message.busy or message.error is not None:
            message.check()
        if self.outer is not None:
            self.outer.check()

    def find(self) -> Body | None:
        """Drop what is here of the part in hand, and go to the next one; None where :meth:`advance` has to."""
        self.body = None
        events = self.events
        while events:
            event = events.popleft()
            if type(event) is PartBegin:  # which takes half as long as isinstance()
                if self._counts:
                    self._error = self.message.count(event, self.parser.limits)
                    if self._error is not None:
                        break
                self.body = body = Body(self, event)
                return body
            if event is END:
                events.appendleft(event)
                break
        return None

    async def advance(self) -> Body | None:
        """As :meth:`find`, which has found none, as far as need be; None at the end.

        :raises LimitExceeded: ``max_parts``, ``max_total_header_bytes``; and whatever :meth:`fill` raises.
        """
        body = None
        while body is None and not self.ended:
            if self._error is not None:
                await self.message.fail()
                raise self._error.fresh()
            self.parser.drop()
            await self.fill()
            body = self.find()
        return body

    async def drain(self) -> None:
        """Read to the end of the input, epilogue included, and drop it."""
        self.body = None
        events = self.events
        while True:
            # The end stays: a drain that is cancelled in the epilogue must not hide it.
            while events and events[0] is not END:
                events.popleft()
            if self.parser.closed:
                break
            self.parser.drop()
            await self.fill()

    async def fill(self) -> list[Event]:
        """Await one chunk and parse it.

        :return: the events that are new.
        :raises MultipartError: the same error again, freshly, once there is one and all events before it are used.
        :raises StateError: the input seems to have ended, but perhaps only for what is read from.
        """
        self.check()
        try:
            error = self.parser.error
            if error is not None:
                raise error.fresh()
            if self.parser.closed:
                raise StateError("the message has ended, and there is nothing to wait for")
            if self.outer is not None:
                return self._parse(await self.outer.receive())
            data = await self.message.receive()
            if data is None and self._ends_in_doubt():
                raise StateError("what is read from seems to have ended after a read was cancelled, in mid-message")
            return self._parse(data)
        except Exception:
            if self.outer is None:
                await self.message.fail()
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
