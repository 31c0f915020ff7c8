"""Targets of plain methods, and both faces of all others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import iscoroutinefunction
from typing import Generic, Protocol, TypeVar, cast

from .base import AnyTarget, PlainTarget, ReceivedPart, Target
from .faces import Awaiting, Threaded

__all__ = ("Around", "SyncTarget", "as_sync", "as_target", "inline")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class SyncTarget(Target[T_co], Protocol[T_co]):
    """A target that can do without an event loop, and with one."""

    def check_sync(self) -> None:
        """:raises TypeError: it cannot do without one, after all."""

    def start_sync(self, part: ReceivedPart) -> None:
        """As :meth:`Target.start`."""

    def write_sync(self, data: bytes) -> None:
        """As :meth:`Target.write`."""

    def finish_sync(self) -> T_co:
        """As :meth:`Target.finish`."""

    def abort_sync(self) -> None:
        """As :meth:`Target.abort`."""


class _Plain(Threaded[T_co]):
    """A target of plain methods, which may block."""

    def __init__(self, target: PlainTarget[T_co]) -> None:
        super().__init__()
        self._target = target

    async def start(self, part: ReceivedPart) -> None:
        self._start()
        await self._worker.run(self._target.start, part)

    def start_sync(self, part: ReceivedPart) -> None:
        self._start()
        self._target.start(part)

    def _write(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self._target.write(piece)

    def _close(self) -> T_co:
        return self._target.finish()

    def _drop(self) -> None:
        self._target.abort()


def as_target(target: AnyTarget[T]) -> Target[T]:
    """A target for a loop; its plain methods, if it has those, are called in a thread."""
    if _has_coroutines(target):
        return cast("Target[T]", target)
    return _Plain(cast("PlainTarget[T]", target))


def as_sync(target: AnyTarget[T]) -> SyncTarget[T]:
    """The same target for where there is no loop.

    :raises TypeError: it has only coroutines.
    """
    if isinstance(target, _Inline):
        return target.target
    found = as_target(target)
    if not hasattr(found, "check_sync"):
        raise TypeError(f"{target!r} has only coroutines: it takes an event loop, as read_form() has")
    both = cast("SyncTarget[T]", found)
    both.check_sync()
    return both


class _Inline(Generic[T_co]):
    def __init__(self, target: SyncTarget[T_co]) -> None:
        self.target = target

    async def start(self, part: ReceivedPart) -> None:
        self.target.start_sync(part)

    async def write(self, data: bytes) -> None:
        self.target.write_sync(data)

    async def finish(self) -> T_co:
        return self.target.finish_sync()

    async def abort(self) -> None:
        self.target.abort_sync()


def inline(target: AnyTarget[T]) -> Target[T]:
    """``target``, but its coroutines never wait: its plain methods do the work, here and now.

    :raises TypeError: it has only coroutines.
    """
    return _Inline(as_sync(target))


class Around(Awaiting[T_co]):
    """A target that stands around others."""

    def _face(self, target: Target[T]) -> Target[T]:
        """What is awaited of one of them."""
        return target if self._has_loop else inline(target)


def _has_coroutines(target: object) -> bool:
    methods: list[Callable[..., object]] = [getattr(target, name) for name in ("start", "write", "finish", "abort")]
    return any(map(iscoroutinefunction, methods))
