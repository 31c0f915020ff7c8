"""Targets of plain methods, and both faces of all others."""

from __future__ import annotations

from collections.abc import Callable
from inspect import iscoroutinefunction
from typing import Generic, Protocol, TypeVar, cast

from .base import AnyTarget, OnePart, PlainTarget, ReceivedPart, Target
from .hops import Outbox, Worker

__all__ = ("SyncTarget", "as_sync", "as_target")

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


class _Plain(OnePart, Generic[T_co]):
    """A target of plain methods, which may block."""

    def __init__(self, target: PlainTarget[T_co]) -> None:
        self._target = target
        self._worker = Worker()
        self._outbox = Outbox(self._worker, self._write)

    async def start(self, part: ReceivedPart) -> None:
        self._start()
        await self._worker.run(self._target.start, part)

    async def write(self, data: bytes) -> None:
        self._check()
        await self._outbox.write(data)

    async def finish(self) -> T_co:
        self._finish()
        await self._worker.wait()
        return await self._worker.run(self._write_and_finish, self._outbox.take())

    async def abort(self) -> None:
        if self._abort():
            await self._worker.settle()
            await self._worker.run(self._target.abort)

    def _write(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._target.write(piece)

    def _write_and_finish(self, pieces: list[bytes]) -> T_co:
        self._write(pieces)
        return self._target.finish()

    def start_sync(self, part: ReceivedPart) -> None:
        self._start()
        self._target.start(part)

    def write_sync(self, data: bytes) -> None:
        self._check()
        self._target.write(data)

    def finish_sync(self) -> T_co:
        self._finish()
        return self._target.finish()

    def abort_sync(self) -> None:
        if self._abort():
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
    found = as_target(target)
    if not hasattr(found, "check_sync"):
        raise TypeError(f"{target!r} has only coroutines: it takes an event loop, as read_form() has")
    both = cast("SyncTarget[T]", found)
    both.check_sync()
    return both


def _has_coroutines(target: object) -> bool:
    methods: list[Callable[..., object]] = [getattr(target, name) for name in ("start", "write", "finish", "abort")]
    return any(map(iscoroutinefunction, methods))
