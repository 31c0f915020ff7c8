"""Bytes for several targets."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from aiomultipart.exceptions import StateError
from aiomultipart.work import to_its_end

from .base import AnyTarget, ReceivedPart, Target
from .plain import Around, as_sync, as_target

__all__ = ("TeeTarget",)

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T_co = TypeVar("T_co", covariant=True)


class TeeTarget(Around[T_co]):
    """Gives the body to several targets, each chunk to one after the other; the result is the tuple of their results.

    When one fails, all are aborted.
    """

    @overload
    def __init__(self: TeeTarget[tuple[A]], first: AnyTarget[A], /) -> None: ...
    @overload
    def __init__(self: TeeTarget[tuple[A, B]], first: AnyTarget[A], second: AnyTarget[B], /) -> None: ...
    @overload
    def __init__(
        self: TeeTarget[tuple[A, B, C]], first: AnyTarget[A], second: AnyTarget[B], third: AnyTarget[C], /
    ) -> None: ...
    @overload
    def __init__(self: TeeTarget[tuple[Any, ...]], /, *targets: AnyTarget[Any]) -> None: ...

    def __init__(self, /, *targets: AnyTarget[Any]) -> None:
        self._targets = [as_target(target) for target in targets]
        self._started: list[Target[Any]] = []

    def check_sync(self) -> None:
        """:raises TypeError: one of the targets has only coroutines."""
        for target in self._targets:
            as_sync(target)

    async def start(self, part: ReceivedPart) -> None:
        """Start the targets."""
        self._start()
        for target in self._targets:
            self._started.append(target)  # before, because it may fail half way
            try:
                await self._face(target).start(part)
            except StateError:
                # This one is busy with another part. Nobody aborts who gets this error, so the others have to be now.
                self._started.pop()
                await (to_its_end(self.abort()) if self._has_loop else self.abort())
                raise

    async def write(self, data: bytes) -> None:
        """Write ``data`` to each."""
        self._check()
        for target in self._targets:
            await self._face(target).write(data)

    async def finish(self) -> T_co:
        """Finish each, in their order."""
        self._finish()
        result: Any = tuple([await self._face(target).finish() for target in self._targets])
        return result  # type: ignore[no-any-return]  # the overloads of the constructor say what it is

    async def abort(self) -> None:
        """Abort each that was started; what the first to fail raised is raised at the end."""
        self._abort()
        failed: Exception | None = None
        while self._started:
            try:
                await self._face(self._started[-1]).abort()
            except Exception as exc:  # noqa: BLE001  (the others have to be aborted too)
                failed = failed or exc
            self._started.pop()  # not before: who is cancelled meanwhile is called once more
        if failed is not None:
            raise failed
