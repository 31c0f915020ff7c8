"""Bytes that are looked at on their way to a target."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from inspect import iscoroutinefunction
from typing import TypeVar

from aiomultipart.exceptions import LimitExceeded, RejectedPart, StateError

from .base import AnyTarget, ReceivedPart, Target
from .plain import Around, as_sync, as_target

__all__ = ("ValidatedTarget",)

T_co = TypeVar("T_co", covariant=True)


class ValidatedTarget(Around[T_co]):
    """Gives the body to another target while it is as wanted; the result is that target's.

    :param target: where the bytes go. It is started only when the Content-Type is as wanted.
    :param max_size: of the body, in bytes.
    :param content_types: which to accept; ``image/*`` stands for all of its type. What the sender says proves nothing.
    :param magic: gets the first bytes, plain or async; what it gives says whether to go on. No byte goes to the target
        before.
    :param magic_size: how many bytes it gets; fewer from a body that is shorter.
    :raises LimitExceeded: the body passes ``max_size``; nothing of what passes it goes to the target.
    :raises RejectedPart: the Content-Type or the first bytes are not wanted.
    :raises ValueError: ``magic_size`` is less than 1.
    :raises TypeError: ``content_types`` is one string.
    """

    def __init__(
        self,
        target: AnyTarget[T_co],
        *,
        max_size: int | None = None,
        content_types: Collection[str] | None = None,
        magic: Callable[[bytes], bool | Awaitable[bool]] | None = None,
        magic_size: int = 2048,
    ) -> None:
        if magic_size < 1:
            raise ValueError(f"magic_size must be at least 1, not {magic_size}")
        if isinstance(content_types, str):
            raise TypeError("content_types must be a collection of strings, not a string")
        self._target: Target[T_co] = as_target(target)
        self._max_size = max_size
        self._content_types = None if content_types is None else {each.lower() for each in content_types}
        self._magic = magic
        self._magic_size = magic_size
        self._name: str | None = None
        self._size = 0
        self._first = bytearray()
        self._is_target_started = False

    async def start(self, part: ReceivedPart) -> None:
        """Look at the Content-Type, then start the target."""
        self._start()
        self._name = part.name
        if self._content_types is not None:
            content_type = part.content_type
            if self._content_types.isdisjoint({content_type, f"{content_type.partition('/')[0]}/*"}):
                what = f"content type {content_type!r} is not accepted"
                raise RejectedPart(what, code="content-type-not-accepted", part_name=part.name)
        self._is_target_started = True
        try:
            await self._face(self._target).start(part)
        except StateError:
            self._is_target_started = False
            raise

    async def write(self, data: bytes) -> None:
        """Look at ``data``, then pass it on."""
        self._check()
        self._size += len(data)
        most = self._max_size
        if most is not None and self._size > most:
            raise LimitExceeded(f"body passes max_size of {most}", limit="max_size", value=most, part_name=self._name)
        if self._magic is None:
            await self._face(self._target).write(data)
            return
        self._first += data
        if len(self._first) >= self._magic_size:
            await self._let_go()

    async def _let_go(self) -> None:
        """Look at what was held back, then pass it on."""
        magic, self._magic = self._magic, None
        first, self._first = bytes(self._first), bytearray()
        if magic is not None and not await self._awaited(magic(first[: self._magic_size])):
            raise RejectedPart("content is not accepted", code="content-not-accepted", part_name=self._name)
        if first:
            await self._face(self._target).write(first)

    async def finish(self) -> T_co:
        """Look at a short body, then finish the target."""
        self._finish()
        await self._let_go()
        return await self._face(self._target).finish()

    async def abort(self) -> None:
        """Abort the target."""
        self._abort()
        if self._is_target_started:
            await self._face(self._target).abort()

    def check_sync(self) -> None:
        """:raises TypeError: ``magic`` is a coroutine function, or the target has only coroutines."""
        if iscoroutinefunction(self._magic):
            raise TypeError(f"{self._magic!r} is a coroutine function: it takes an event loop, as read_form() has")
        as_sync(self._target)
