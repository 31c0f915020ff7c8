"""How bytes get from an async iterator to whatever takes them, and from a ``write()`` back to an async iterator.

Nothing is buffered here and no task is made: each piece is handed over before the next one is asked for.
"""

from __future__ import annotations

import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from inspect import isawaitable
from typing import Any, Protocol

__all__ = ("Writer", "closing", "first_bytes", "iterate_writes", "putting", "send")


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
    put = putting(writer)
    async with closing(chunks):
        async for chunk in chunks:
            waiting = put(chunk)
            if waiting is not None:
                await waiting
            del chunk, waiting  # or it would be kept while the next one is made


def putting(writer: Writer) -> Callable[[bytes], Awaitable[object] | None]:
    """What writes one piece, and gives what has to be awaited before the next one."""
    write, drain = writer.write, getattr(writer, "drain", None)

    def put(piece: bytes) -> Awaitable[object] | None:
        result = write(piece)
        if isawaitable(result):
            return result
        if drain is not None:
            drained = drain()
            if isawaitable(drained):
                return drained
        return None

    return put


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


def iterate_writes(write: Callable[[Writer], Coroutine[Any, Any, object]]) -> AsyncIterator[bytes]:
    """What ``write(writer)`` writes, piece by piece: it runs on only when the next piece is asked for."""
    return _Writes(write)


class _Piece:
    """What a running ``write()`` yields to the one who runs it, past everything in between."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


@types.coroutine
def _hand_over(data: bytes) -> Generator[_Piece, None, None]:
    yield _Piece(data)


class _Writes:
    """A running ``write()``; also the writer that it is given."""

    def __init__(self, write: Callable[[Writer], Coroutine[Any, Any, object]]) -> None:
        self._write = write
        self._coroutine: Coroutine[Any, Any, object] | None = None
        self._ended = False

    async def write(self, data: bytes) -> None:
        if data:
            await _hand_over(bytes(data))

    async def drain(self) -> None:
        """Nothing to drain: each piece is taken before the next."""

    def __aiter__(self) -> _Writes:
        return self

    async def __anext__(self) -> bytes:
        if self._coroutine is None and not self._ended:
            self._coroutine = self._write(self)
        if self._coroutine is not None:
            piece = await self._run(self._coroutine, self._coroutine.send, None)
            if piece is not None:
                return piece.data
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End it as an async generator is ended: its ``finally`` blocks run, and may await."""
        coroutine, self._ended = self._coroutine, True
        if coroutine is not None:
            try:
                piece = await self._run(coroutine, coroutine.throw, GeneratorExit())
            except GeneratorExit:
                return
            if piece is not None:
                self._end()
                coroutine.close()
                raise RuntimeError("write() went on writing when it was closed")

    @types.coroutine
    def _run(
        self, coroutine: Coroutine[Any, Any, object], resume: Callable[[Any], Any], value: Any
    ) -> Generator[Any, Any, _Piece | None]:
        """Run it up to the next piece that it writes; None: it has ended."""
        while True:
            try:
                yielded = resume(value)
            except StopIteration:
                self._end()
                return None
            except StopAsyncIteration as exc:
                # From here it would be taken for the end of the chunks.
                self._end()
                raise RuntimeError("write() raised StopAsyncIteration") from exc
            except BaseException:
                self._end()
                raise
            if isinstance(yielded, _Piece):
                return yielded
            try:
                # A future of the loop's, or the like: whoever awaits the chunk waits for it.
                value = yield yielded
            except BaseException as exc:  # noqa: BLE001  (cancellation too is the coroutine's to handle)
                resume, value = coroutine.throw, exc
            else:
                resume = coroutine.send

    def _end(self) -> None:
        self._coroutine, self._ended = None, True
