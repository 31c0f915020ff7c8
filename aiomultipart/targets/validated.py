"""Bytes that are looked at on their way to a target."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from inspect import iscoroutinefunction
from typing import Generic, TypeVar

from aiomultipart.exceptions import LimitExceeded, RejectedPart, StateError

from .base import AnyTarget, OnePart, ReceivedPart, Target
from .callback import awaited, plain
from .plain import SyncTarget, as_sync, as_target

__all__ = ("ValidatedTarget",)

T_co = TypeVar("T_co", covariant=True)


class ValidatedTarget(OnePart, Generic[T_co]):
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
        self._sync: SyncTarget[T_co] | None = None

    async def start(self, part: ReceivedPart) -> None:
        """Look at the Content-Type, then start the target."""
        self._admit(part)
        self._is_target_started = True
        try:
            await self._target.start(part)
        except StateError:
            self._is_target_started = False
            raise

    def _admit(self, part: ReceivedPart) -> None:
        self._start()
        self._name = part.name
        if self._content_types is not None:
            content_type = part.content_type
            if self._content_types.isdisjoint({content_type, f"{content_type.partition('/')[0]}/*"}):
                what = f"content type {content_type!r} is not accepted"
                raise RejectedPart(what, code="content-type-not-accepted", part_name=part.name)

    async def write(self, data: bytes) -> None:
        """Look at ``data``, then pass it on."""
        if wanted := self._hold(data):
            self._judge(await awaited(self._ask(wanted)))
            await self._target.write(wanted)

    def _hold(self, data: bytes) -> bytes:
        """Take ``data``: what is enough to be looked at, or what has not to be."""
        self._check()
        self._size += len(data)
        most = self._max_size
        if most is not None and self._size > most:
            raise LimitExceeded(f"body passes max_size of {most}", limit="max_size", value=most, part_name=self._name)
        if self._magic is None:
            return data
        self._first += data
        return self._let_go() if len(self._first) >= self._magic_size else b""

    def _let_go(self) -> bytes:
        """What was held back."""
        first, self._first = bytes(self._first), bytearray()
        return first

    def _ask(self, first: bytes) -> bool | Awaitable[bool]:
        magic, self._magic = self._magic, None
        return True if magic is None else magic(first[: self._magic_size])

    def _judge(self, wanted: bool) -> None:
        if not wanted:
            raise RejectedPart("content is not accepted", code="content-not-accepted", part_name=self._name)

    async def finish(self) -> T_co:
        """Look at a short body, then finish the target."""
        self._finish()
        first = self._let_go()
        self._judge(await awaited(self._ask(first)))
        if first:
            await self._target.write(first)
        return await self._target.finish()

    async def abort(self) -> None:
        """Abort the target."""
        self._abort()
        if self._is_target_started:
            await self._target.abort()

    def check_sync(self) -> None:
        """:raises TypeError: ``magic`` is a coroutine function, or the target has only coroutines."""
        if iscoroutinefunction(self._magic):
            raise TypeError(f"{self._magic!r} is a coroutine function: it takes an event loop, as read_form() has")
        as_sync(self._target)

    def start_sync(self, part: ReceivedPart) -> None:
        """As :meth:`start`."""
        self._sync = as_sync(self._target)
        self._admit(part)
        self._is_target_started = True
        try:
            self._sync.start_sync(part)
        except StateError:
            self._is_target_started = False
            raise

    def write_sync(self, data: bytes) -> None:
        """As :meth:`write`."""
        if wanted := self._hold(data):
            self._judge(plain(self._ask(wanted)))
            self._started().write_sync(wanted)

    def finish_sync(self) -> T_co:
        """As :meth:`finish`."""
        self._finish()
        first = self._let_go()
        self._judge(plain(self._ask(first)))
        if first:
            self._started().write_sync(first)
        return self._started().finish_sync()

    def abort_sync(self) -> None:
        """As :meth:`abort`."""
        self._abort()
        if self._is_target_started:
            as_sync(self._target).abort_sync()

    def _started(self) -> SyncTarget[T_co]:
        if self._sync is None:
            raise StateError("the target was not started")
        return self._sync
