"""How bytes get to whatever takes them, pushed or pulled; and from a ``write()`` back to an async iterator.

Nothing is buffered here and no task is made: each piece is handed over before the next one is asked for.
"""

from __future__ import annotations

import asyncio
import io
import sys
import types
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator, Mapping
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from aiomultipart.exceptions import StateError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = (
    "Serialized",
    "Writer",
    "check_caller",
    "closing",
    "first_bytes",
    "iterate_writes",
    "opened",
    "send",
    "serialized",
)


class Writer(Protocol):
    """Where bytes are written to: ``write(bytes)``, plain or async.

    An async one waits by itself; after a plain one ``drain()`` is awaited, where there is one.
    """

    # Any: that of a payload's write() can be awaited, others need not.
    def write(self, data: bytes, /) -> Any:
        """Take bytes."""


class closing:  # noqa: N801  (as in contextlib, whose aclosing() insists on an aclose())
    """Close an iterator when it is no longer read, where it can be closed; not only when it is collected."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks

    async def __aenter__(self) -> AsyncIterator[bytes]:
        return self._chunks

    async def __aexit__(self, *exc_info: object) -> None:
        aclose = getattr(self._chunks, "aclose", None)
        if aclose is not None:
            await aclose()


async def send(chunks: AsyncIterator[bytes], writer: Writer) -> None:
    """Write all chunks, waiting for the writer after each."""
    write, drain = writer.write, getattr(writer, "drain", None)
    async with closing(chunks):
        async for chunk in chunks:
            waiting = write(chunk)
            if isawaitable(waiting) or (drain is not None and isawaitable(waiting := drain())):
                await waiting
            del chunk, waiting  # or it would be kept while the next one is made


async def first_bytes(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """At most ``size`` bytes of ``chunks``; no more chunks are asked for than that takes."""
    async with closing(chunks):
        while size > 0:
            async for chunk in chunks:
                yield chunk[:size]
                size -= len(chunk)
                break
            else:
                return


# Without an event loop


class Serialized:
    """The bytes of a message, to be iterated over once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        """Itself.

        :raises StateError: it has been read to its end, as after a redirect that asks for the body once more.
        :raises TypeError: httpx is about to send it without a Content-Type.
        """
        check_caller()
        if self._ended:
            raise StateError("this has been read to its end: call serialize() again")
        return self

    def __next__(self) -> bytes:
        for piece in self._pieces:
            return piece
        self._ended = True
        raise StopIteration

    def close(self) -> None:
        """Close what is being read, where that was opened for this."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()


class _SizedSerialized(Serialized):
    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        super().__init__(pieces)
        self._size = size

    def __len__(self) -> int:
        return self._size


def serialized(pieces: Iterator[bytes], size: int | None) -> Serialized:
    """An iterator over ``pieces``, which has a length where ``size`` is known."""
    return Serialized(pieces) if size is None else _SizedSerialized(pieces, size)


class Opened(io.RawIOBase):
    """The bytes of a message, as a binary file."""

    def __init__(self, pieces: Serialized) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")
        self._position = 0

    def tell(self) -> int:
        """How many bytes have been read."""
        return self._position

    def readable(self) -> bool:
        """That it is."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read as many bytes as there is room for; fewer are the last ones."""
        if self.closed:
            raise ValueError("read of a closed file")
        room = memoryview(buffer).cast("B")
        size = 0
        while size < len(room) and (self._left or self._next()):
            taken = min(len(room) - size, len(self._left))
            room[size : size + taken] = self._left[:taken]
            self._left = self._left[taken:]
            size += taken
        self._position += size
        return size

    def _next(self) -> bool:
        self._left = memoryview(next(self._pieces, b""))
        return bool(self._left)

    def close(self) -> None:
        """Close it, and what is being read where that was opened for this."""
        self._pieces.close()
        super().close()


class _SizedOpened(Opened):
    # requests asks for it.
    def __len__(self) -> int:
        return len(self._pieces)  # type: ignore[arg-type]

    def __bool__(self) -> bool:
        return True


def opened(pieces: Serialized) -> BinaryIO:
    """A file to read ``pieces`` from, which has a length where they have one."""
    return cast(BinaryIO, _SizedOpened(pieces) if hasattr(pieces, "__len__") else Opened(pieces))


def check_caller() -> None:
    """Raise where a client that is about to iterate over a message would send it under a false name, or under none.

    :raises TypeError: aiohttp would, as application/octet-stream, unless ``aiomultipart.integrations.aiohttp`` has been
        imported; httpx would, without a Content-Type.
    """
    caller = sys._getframe(2)  # noqa: SLF001
    module = caller.f_globals.get("__name__")
    # AsyncIterablePayload asks for the iterator when it is made: the only moment to notice.
    if module == "aiohttp.payload":
        raise TypeError("to send a MultipartWriter through aiohttp, import aiomultipart.integrations.aiohttp")
    if module == "httpx._content":
        frame: types.FrameType | None = caller
        while frame is not None:
            for name in ("request", "self"):
                request = frame.f_locals.get(name)
                headers = getattr(request, "headers", None)
                if hasattr(request, "url") and isinstance(headers, Mapping):
                    if "content-type" not in headers:
                        raise TypeError("httpx sends no Content-Type of its own: pass headers=writer.http_headers()")
                    return
            frame = frame.f_back


# A write() as a source


def iterate_writes(write: Callable[[Writer], Coroutine[Any, Any, object]]) -> AsyncIterator[bytes]:
    """What ``write(writer)`` writes, piece by piece: it runs on only when the next piece is asked for."""
    return _Writes(write)


@types.coroutine
def _yielding(value: Any) -> Generator[Any, Any, Any]:
    return (yield value)


class _Writes:
    """A running ``write()``; also the writer that it is given.

    It is run by hand, by whoever asks for pieces. Each piece is kept, and its writer waits, until it is taken: whether
    that is ``write()`` itself, or another task that it has made.
    """

    def __init__(self, write: Callable[[Writer], Coroutine[Any, Any, object]]) -> None:
        self._write = write
        self._coroutine: Coroutine[Any, Any, object] | None = None
        self._ended = False
        self._awaited: asyncio.Future[Any] | None = None  # what it waits for
        self._brought: deque[tuple[bytes, asyncio.Future[None]]] = deque()
        self._more: asyncio.Future[None] | None = None

    async def write(self, data: bytes) -> None:
        if self._ended and self._coroutine is None:
            raise StateError("the message has been sent, or has failed, and takes no more")
        if data:
            taken = asyncio.get_running_loop().create_future()
            self._brought.append((bytes(data), taken))
            if self._more is not None and not self._more.done():
                self._more.set_result(None)
            await taken

    async def drain(self) -> None:
        """Nothing to drain: each piece is taken before the next."""

    def __aiter__(self) -> _Writes:
        return self

    async def __anext__(self) -> bytes:
        if self._coroutine is None and not self._ended:
            self._coroutine = self._write(self)
        piece = self._taken()
        if piece is None and self._coroutine is not None:
            piece = await self._run(self._coroutine, self._coroutine.send, None)
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """End it as an async generator is ended: its ``finally`` blocks run, and may await."""
        coroutine, awaited = self._coroutine, self._awaited
        self._ended, self._awaited = True, None
        self._abandon()
        if coroutine is None:
            return
        if awaited is not None:
            awaited.cancel()
        try:
            piece = await self._run(coroutine, coroutine.throw, GeneratorExit())
        except GeneratorExit:
            piece = None
        if piece is not None:
            self._coroutine = None
            coroutine.close()
            raise RuntimeError("write() went on writing when it was closed")
        if awaited is not None and not awaited.done():
            await asyncio.wait((awaited,))

    async def _run(
        self, coroutine: Coroutine[Any, Any, object], resume: Callable[[Any], Any], value: Any
    ) -> bytes | None:
        """Run it up to the next piece that is written; None: it has ended."""
        while True:
            if self._awaited is not None:
                try:
                    await self._wait(self._awaited)
                except BaseException as exc:  # noqa: BLE001  (cancellation is the coroutine's to handle)
                    resume, value = coroutine.throw, exc
                else:
                    if self._brought:
                        return self._taken()
                self._awaited = None
            try:
                yielded = resume(value)
            except BaseException as exc:
                self._coroutine, self._ended = None, True
                if isinstance(exc, StopIteration):
                    return self._taken()
                self._abandon()
                if isinstance(exc, StopAsyncIteration):
                    # From here it would be taken for the end of the chunks.
                    raise RuntimeError("write() raised StopAsyncIteration") from exc  # noqa: TRY004
                raise
            resume, value = coroutine.send, None
            if asyncio.isfuture(yielded):
                self._awaited = yielded
                continue
            try:
                value = await _yielding(yielded)  # a bare turn of the loop
            except BaseException as exc:  # noqa: BLE001
                resume, value = coroutine.throw, exc

    async def _wait(self, awaited: asyncio.Future[Any]) -> None:
        """Wait for what the coroutine waits for, or for a piece that comes before that."""
        while not awaited.done() and not self._brought:
            self._more = asyncio.get_running_loop().create_future()
            try:
                await asyncio.wait((awaited, self._more), return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                # As a task does: what it waits for is told, and then it learns of it from there.
                if not awaited.cancel():
                    raise

    def _taken(self) -> bytes | None:
        """A piece, whose writer may go on then."""
        while self._brought:
            data, taken = self._brought.popleft()
            if not taken.done():  # or it has been cancelled
                taken.set_result(None)
                return data
        return None

    def _abandon(self) -> None:
        """Let go of those whose pieces nobody takes any more."""
        while self._brought:
            self._brought.popleft()[1].cancel()
