"""Doubles for tests of code that reads multipart: a source that replays a script, and ways to cut a message."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Final, TypeAlias

__all__ = ("PAUSE", "Pause", "ScriptedSource", "Step", "cuttings")


class Pause:
    """A step of a script: the next read waits until :meth:`ScriptedSource.resume`."""

    def __repr__(self) -> str:
        return "PAUSE"


PAUSE: Final = Pause()
Step: TypeAlias = bytes | Pause | BaseException


class ScriptedSource:
    """A byte source that replays ``steps``, one to a read: bytes to give, pauses, exceptions to raise; then the end.

    A read that is cancelled in a pause loses nothing. Bytes beyond the ``n`` of a read wait for the next one; empty
    bytes are given as such, once.

    :ivar reads: how many reads have been started.
    :ivar given: how many bytes have been given.
    """

    def __init__(self, *steps: Step) -> None:
        self._steps = list(reversed(steps))
        self._go_on = asyncio.Event()
        self._waiting = asyncio.Event()
        self.reads: int = 0
        self.given: int = 0

    def add(self, *steps: Step) -> None:
        """Append steps to the script."""
        self._steps[:0] = reversed(steps)

    async def read(self, n: int = -1, /) -> bytes:
        """At most ``n`` bytes of the next step; ``b""`` when the script has ended.

        :raises BaseException: what the script says.
        """
        self.reads += 1
        while self._steps:
            step = self._steps[-1]
            if isinstance(step, Pause):
                self._waiting.set()
                try:
                    await self._go_on.wait()
                finally:
                    self._waiting.clear()
                self._go_on.clear()
                self._steps.pop()
                continue
            self._steps.pop()
            if isinstance(step, BaseException):
                raise step
            if 0 <= n < len(step):
                self._steps.append(step[n:])
                step = step[:n]
            self.given += len(step)
            return step
        return b""

    async def paused(self) -> None:
        """Wait until a read waits in a pause."""
        await self._waiting.wait()

    def resume(self) -> None:
        """End the pause that a read waits in, or the next one."""
        self._go_on.set()


def cuttings(message: bytes, *, splits: int = 400, random_cuts: int = 8, seed: int = 0) -> Iterator[list[bytes]]:
    """Ways to cut a message into chunks: whole, byte by byte, in two at each place, and at random places.

    :param splits: how many cuts in two at the most, spread evenly.
    :param random_cuts: how many random cuttings.
    :param seed: of the random cuttings, which are the same for the same message.
    """
    yield [message]
    yield [message[i : i + 1] for i in range(len(message))]
    for cut in range(1, len(message), max(1, -(-len(message) // splits))):
        yield [message[:cut], message[cut:]]
    rng = random.Random(f"{seed} {len(message)}")  # noqa: S311  (reproducible, nothing secret)
    for _ in range(random_cuts):
        places = sorted(rng.sample(range(len(message) + 1), min(len(message), rng.randint(1, 12))))
        yield [message[a:b] for a, b in zip([0, *places], [*places, len(message)], strict=True)]
