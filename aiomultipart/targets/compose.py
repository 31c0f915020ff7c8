"""Targets that hash, call, drop, and those that have other targets behind them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from inspect import isawaitable
from typing import Any, Generic, TypeVar, overload

from aiomultipart.exceptions import LimitExceeded, RejectedPart, StateError
from aiomultipart.work import to_its_end

from .base import OnePart, ReceivedPart, Target
from .disk import new_hash
from .hops import Outbox, Worker

__all__ = ("CallbackTarget", "HashTarget", "NullTarget", "TeeTarget", "ValidatedTarget")

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
T_co = TypeVar("T_co", covariant=True)

# As much is hashed on the event loop (about 40 us); beyond that a thread does it.
_INLINE = 64 * 1024


class NullTarget(OnePart):
    """Drops the body; the result is how many bytes it had."""

    def __init__(self) -> None:
        self._size = 0

    async def start(self, part: ReceivedPart) -> None:
        """Get ready."""
        self._start()

    async def write(self, data: bytes) -> None:
        """Count ``data``."""
        self._check()
        self._size += len(data)

    async def finish(self) -> int:
        """The size of the body in bytes."""
        self._finish()
        return self._size

    async def abort(self) -> None:
        """Nothing to do."""
        self._abort()


class HashTarget(OnePart):
    """Hashes the body, a long one in a thread; the result is the digest in hexadecimal.

    :param name: of a hash of ``hashlib``.
    :raises ValueError: there is none of this name, or its size is not fixed.
    """

    def __init__(self, name: str = "sha256") -> None:
        self._hash = new_hash(name)
        self._worker = Worker()
        self._outbox = Outbox(self._worker, self._update)

    async def start(self, part: ReceivedPart) -> None:
        """Get ready."""
        self._start()

    async def write(self, data: bytes) -> None:
        """Hash ``data``."""
        self._check()
        await self._outbox.write(data)

    async def finish(self) -> str:
        """The digest."""
        self._finish()
        await self._worker.wait()
        rest = self._outbox.take()
        if sum(map(len, rest)) > _INLINE:
            await self._worker.run(self._update, rest)
        else:
            self._update(rest)
        return self._hash.hexdigest()

    def _update(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._hash.update(piece)

    async def abort(self) -> None:
        """Wait for the thread."""
        self._abort()
        await self._worker.settle()


class CallbackTarget(OnePart, Generic[T_co]):
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

    async def start(self, part: ReceivedPart) -> None:
        """Call ``start``."""
        self._start()
        if self._on_start is not None:
            await _awaited(self._on_start(part))

    async def write(self, data: bytes) -> None:
        """Call ``write``."""
        self._check()
        result = self._on_write(data)
        if isawaitable(result):
            await result

    async def finish(self) -> T_co:
        """Call ``finish``."""
        self._finish()
        result: T_co = await _awaited(None if self._on_finish is None else self._on_finish())
        return result

    async def abort(self) -> None:
        """Call ``abort``, once."""
        on_abort, self._on_abort = self._on_abort, None
        if self._abort() and on_abort is not None:
            await _awaited(on_abort())


async def _awaited(result: Any) -> Any:
    return await result if isawaitable(result) else result


class TeeTarget(OnePart, Generic[T_co]):
    """Gives the body to several targets, each chunk to one after the other; the result is the tuple of their results.

    When one fails, all are aborted.
    """

    @overload
    def __init__(self: TeeTarget[tuple[A]], first: Target[A], /) -> None: ...
    @overload
    def __init__(self: TeeTarget[tuple[A, B]], first: Target[A], second: Target[B], /) -> None: ...
    @overload
    def __init__(self: TeeTarget[tuple[A, B, C]], first: Target[A], second: Target[B], third: Target[C], /) -> None: ...
    @overload
    def __init__(self: TeeTarget[tuple[Any, ...]], /, *targets: Target[Any]) -> None: ...

    def __init__(self, /, *targets: Target[Any]) -> None:
        self._targets = targets
        self._started: list[Target[Any]] = []

    async def start(self, part: ReceivedPart) -> None:
        """Start the targets."""
        self._start()
        for target in self._targets:
            self._started.append(target)  # before, because it may fail half way
            try:
                await target.start(part)
            except StateError:
                # This one is busy with another part. Nobody aborts who gets this error, so the others have to be now.
                self._started.pop()
                await to_its_end(self.abort())
                raise

    async def write(self, data: bytes) -> None:
        """Write ``data`` to each."""
        self._check()
        for target in self._targets:
            await target.write(data)

    async def finish(self) -> T_co:
        """Finish each, in their order."""
        self._finish()
        result: Any = tuple([await target.finish() for target in self._targets])
        return result  # type: ignore[no-any-return]  # the overloads of the constructor say what it is

    async def abort(self) -> None:
        """Abort each that was started; what the first to fail raised is raised at the end."""
        self._abort()
        failed: Exception | None = None
        while self._started:
            try:
                await self._started.pop().abort()
            except Exception as exc:  # noqa: BLE001  (the others have to be aborted too)
                failed = failed or exc
        if failed is not None:
            raise failed


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
    """

    def __init__(
        self,
        target: Target[T_co],
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
        self._target = target
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
            await self._target.start(part)
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
        if self._magic is not None:
            self._first += data
            if len(self._first) < self._magic_size:
                return
            data = await self._look()
        await self._target.write(data)

    async def _look(self) -> bytes:
        """What was held back, once it has been looked at."""
        first, self._first = bytes(self._first), bytearray()
        magic, self._magic = self._magic, None
        if magic is not None and not await _awaited(magic(first[: self._magic_size])):
            raise RejectedPart("content is not accepted", code="content-not-accepted", part_name=self._name)
        return first

    async def finish(self) -> T_co:
        """Look at a short body, then finish the target."""
        self._finish()
        if self._magic is not None and (first := await self._look()):
            await self._target.write(first)
        return await self._target.finish()

    async def abort(self) -> None:
        """Abort the target."""
        self._abort()
        if self._is_target_started:
            await self._target.abort()
