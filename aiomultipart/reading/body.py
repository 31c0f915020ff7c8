"""The body of a part: pieces that are here, and more to come. Raw and decoded ones have the same face.

What is asked for is looked for in what is here first, without taking it; only what is complete is taken. So a read that
is cancelled has changed nothing, and when it is called again nothing is joined or searched that was before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from typing import cast

from aiomultipart.codecs import quartets
from aiomultipart.parser import PART_END, Event

__all__ = ("Pieces",)


class Pieces:
    """Bytes in pieces, and PART_END after the last."""

    __slots__ = ("_searched", "_start", "events")

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self._start = 0  # how much of the first piece has been taken
        self._searched = 0  # pieces without a line end

    async def fill(self) -> Iterable[Event]:
        """Await more; what is new is at the end of ``events`` then, and returned."""
        raise NotImplementedError

    @property
    def at_end(self) -> bool:
        """Whether the last byte has been taken and that is known to be the end."""
        return bool(self.events) and self.events[0] is PART_END

    def take(self, size: int) -> bytes | None:
        """At most ``size`` bytes of the first piece; ``b""`` at the end, None when nothing is here."""
        events = self.events
        if not events:
            return None
        piece = events[0]
        if not isinstance(piece, bytes):
            return b""
        start = self._start
        end = start + size
        if end < len(piece):
            self._start = end
            return piece[start:end]
        events.popleft()
        if start or self._searched:
            self._start = self._searched = 0
            return piece[start:]
        return piece

    def take_all(self) -> bytes | None:
        """All that is left, where it is here and no more than one piece; None otherwise."""
        events = self.events
        if len(events) > 1 and events[1] is PART_END and not (self._start or self._searched):
            return events.popleft()  # type: ignore[return-value]  # PART_END comes after bytes only
        return b"" if events and events[0] is PART_END else None

    async def some(self, size: int) -> bytes:
        """1 to ``size`` bytes, as soon as there is one; ``b""`` at the end."""
        while (data := self.take(size)) is None:
            await self.fill()
        return data

    async def receive(self) -> bytes | None:
        """The rest of the first piece, as it came; None at the end."""
        return await self.some(1 << 62) or None

    async def read(self, check: Callable[[int], object]) -> bytes:
        """All that is left.

        :param check: called with the size that it has so far; what it raises leaves everything where it is.
        """
        count, size = 0, -self._start
        fresh: Iterable[Event] = self.events
        while True:
            for event in fresh:
                if not isinstance(event, bytes):
                    check(size)
                    return self._join(count)
                size += len(event)
                count += 1
            check(size)
            fresh = await self.fill()

    async def readline(self) -> bytes:
        """The rest of the line, with its line end if it has one; ``b""`` at the end."""
        count = self._searched
        fresh: Iterable[Event] = islice(self.events, count, None)
        while True:
            for event in fresh:
                if not isinstance(event, bytes):
                    return self._join(count)
                end = event.find(b"\n", 0 if count else self._start) + 1
                if end:
                    return self._join(count, end)
                count += 1
            self._searched = count
            fresh = await self.fill()

    async def read_quartets(self, size: int) -> bytes:
        """1 to ``size`` bytes of base64 that are whole quartets; ``b""`` at the end.

        Of a quartet that is longer with its white space, or that comes in pieces, the white space past the size goes.
        """
        while not self.events:
            await self.fill()
        piece = self.events[0]
        if not isinstance(piece, bytes):
            return b""
        whole = quartets.whole(piece[self._start : self._start + size])
        if whole:
            return self._join(0, self._start + len(whole))
        count, length, missing = 0, -self._start, 4
        fresh: Iterable[Event] = self.events
        while True:
            for event in fresh:
                if not isinstance(event, bytes):
                    return quartets.at_most(size, self._join(count))
                for character in quartets.characters(event, 0 if count else self._start):
                    missing -= 1
                    if not missing:
                        return quartets.at_most(size, self._join(count, character.end()))
                count += 1
                length += len(event)
            if length > size:
                # However much white space comes, it is not kept.
                self.events.appendleft(self._join(count).translate(None, quartets.BLANKS))
                count, length = 1, 4 - missing
            fresh = await self.fill()

    def _join(self, count: int, end: int = 0) -> bytes:
        """Take the first ``count`` pieces, and up to ``end`` of the one after them."""
        events, start = self.events, self._start
        pieces = cast("list[bytes]", [events.popleft() for _ in range(count)])
        if end:
            piece = cast("bytes", events[0])
            if count:
                pieces.append(piece[:end])
            else:
                pieces.append(piece[start:end])
                start = 0
            if end == len(piece):
                events.popleft()
                end = 0
        if start and pieces:
            pieces[0] = pieces[0][start:]
        if count or end or pieces:
            self._start, self._searched = end, 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
