"""Bytes for functions to take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, TypeVar, overload

from .base import ReceivedPart
from .faces import Awaiting

__all__ = ("CallbackTarget",)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class CallbackTarget(Awaiting[T_co]):
    """Calls functions, plain or async ones; the result is what ``finish`` gives, or None without it.

    A plain function runs on the event loop and must not block.

    :param write: gets each chunk of the body.
    :param start: gets the part first.
    :param finish: is called at the end.
    :param abort: is called when something failed.
    """

    @overload
    def __init__(
        self: CallbackTarget[None],
        write: Callable[[bytes], object],
        *,
        start: Callable[[ReceivedPart], object] | None = None,
        finish: None = None,
        abort: Callable[[], object] | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: CallbackTarget[T],
        write: Callable[[bytes], object],
        *,
        start: Callable[[ReceivedPart], object] | None = None,
        finish: Callable[[], Awaitable[T]],
        abort: Callable[[], object] | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: CallbackTarget[T],
        write: Callable[[bytes], object],
        *,
        start: Callable[[ReceivedPart], object] | None = None,
        finish: Callable[[], T],
        abort: Callable[[], object] | None = None,
    ) -> None: ...

    def __init__(
        self,
        write: Callable[[bytes], object],
        *,
        start: Callable[[ReceivedPart], object] | None = None,
        finish: Callable[[], Any] | None = None,
        abort: Callable[[], object] | None = None,
    ) -> None:
        self._on_start = start
        self._on_write = write
        self._on_finish = finish
        self._on_abort = abort

    def check_sync(self) -> None:
        """:raises TypeError: one of the functions is a coroutine function."""
        for function in (self._on_start, self._on_write, self._on_finish, self._on_abort):
            if iscoroutinefunction(function):
                raise TypeError(f"{function!r} is a coroutine function: it takes an event loop, as read_form() has")

    async def start(self, part: ReceivedPart) -> None:
        """Call ``start``."""
        self._start()
        if self._on_start is not None:
            await self._awaited(self._on_start(part))

    async def write(self, data: bytes) -> None:
        """Call ``write``."""
        self._check()
        result = self._on_write(data)
        if result is not None:
            await self._awaited(result)

    async def finish(self) -> T_co:
        """Call ``finish``."""
        self._finish()
        result: T_co = await self._awaited(None if self._on_finish is None else self._on_finish())
        return result

    async def abort(self) -> None:
        """Call ``abort``, once."""
        on_abort, self._on_abort = self._on_abort, None
        if self._abort() and on_abort is not None:
            await self._awaited(on_abort())
