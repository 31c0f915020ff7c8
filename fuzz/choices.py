"""What the targets share: an input read as a row of choices, and what they hold results to.

No target imports atheris, so that an input can be run by any Python: the tests replay the corpus.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import itertools
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, Final, TypeVar

from aiomultipart import LimitExceeded, Limits, MultipartError

__all__ = ("CUTS", "LIMITS", "Choices", "agree", "cut", "described", "hold", "pieces", "run")

T = TypeVar("T")

TINY: Final = 128

CUTS: Final = 4
"""How many numbers :meth:`Choices.cuts` takes, of two bytes each."""
LIMITS: Final = 2
"""How many limits :meth:`Choices.limits` takes, of two bytes each."""


class Choices:
    """An input, from front to back; past its end every choice is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def __bool__(self) -> bool:
        return self._position < len(self._data)

    def take(self, size: int) -> bytes:
        """At most the next ``size`` bytes."""
        taken = self._data[self._position : self._position + size]
        self._position += len(taken)
        return taken

    def rest(self) -> bytes:
        """What no choice has used."""
        return self.take(len(self._data))

    def number(self, size: int = 1) -> int:
        """``size`` bytes as a number."""
        return int.from_bytes(self.take(size), "little")

    def pick(self, options: Sequence[T]) -> T:
        """One of at most 256 options."""
        return options[self.number() % len(options)]

    def text(self, most: int = 255) -> str:
        """UTF-8, its length before it; what is none is replaced."""
        return self.take(self.number() % (most + 1)).decode(errors="replace")

    def cuts(self) -> list[int]:
        """Where to cut, whatever the length of what is cut."""
        return [self.number(2) for _ in range(CUTS)]

    def limits(self, names: Sequence[str]) -> Limits:
        """The default limits, with up to two of ``names`` below 256; 0 0 0 0 changes none."""
        chosen = {}
        for _ in range(LIMITS):
            name, value = self.pick(("", *names)), self.number()
            if name:
                chosen[name] = value if value >= TINY else value % 8  # the counts of a short message
        return Limits().replace(**chosen)


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """``data`` in pieces, cut at ``places`` (modulo its length); a piece may be empty."""
    offsets = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(offsets)]


def pieces(data: bytes, size: int) -> list[bytes]:
    """``data`` in pieces of ``size`` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def described(error: MultipartError | None) -> tuple[object, ...] | None:
    """All that two errors must share to count as the same."""
    if error is None:
        return None
    limit = (error.limit, error.value) if isinstance(error, LimitExceeded) else None
    return type(error), str(error), error.offset, error.part_index, error.part_name, limit


def hold(condition: object, what: str) -> None:
    """Raise unless ``condition`` holds; not by ``assert``, which ``-OO`` drops."""
    if not condition:
        raise AssertionError(what)


def agree(what: str, expected: object, got: object) -> None:
    """Raise where two results differ that must not."""
    if expected != got:
        raise AssertionError(f"{what}\nexpected {expected!r}\ngot      {got!r}")


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """The one that every input runs on; to make one costs more than most inputs do."""
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


# Any: what a coroutine yields and is sent is the event loop's business.
def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine returns."""
    return _loop().run_until_complete(coroutine)
