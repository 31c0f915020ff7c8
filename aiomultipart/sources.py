"""Where bytes come from: one way in, :class:`Source`, and adapters from anything that yields bytes.

Rules:

* ``receive()`` gives the next bytes, at least one, as they came; None at the end, and again after it.
* No more than 256 KiB at a time: what is larger, bytes that are all here above all, is sliced. After each MiB the loop
  gets a turn, for there are sources that never wait.
* State changes only after an await, so that a cancelled ``receive()`` can be called again and loses nothing, where what
  is read from survives that. An async generator does not: it ends when it is cancelled, and asking it again would look
  like the end of the input. Its adapter raises :exc:`StateError` from then on.
* An iterator of somebody's own around a generator cannot be told from one that survives. One that ends right after a
  cancelled ``receive()`` is ``in_doubt``, and no reader forgives that the message ends there.
* Nothing is ever given back to what is read from.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

from multidict import CIMultiDict

from .exceptions import IncompleteBody, StateError
from .work import give_way

__all__ = (
    "READ_SIZE",
    "AsgiBody",
    "AsgiReceive",
    "AsgiScope",
    "AsyncReadable",
    "ByteStream",
    "Source",
    "StreamReader",
    "asgi_headers",
    "open_source",
)

READ_SIZE = 256 * 1024
"""The most that a source gives, and what one with ``read(n)`` is asked for, in bytes: there may be a thread behind it,
and each read a hop."""

FED_SIZE = 64 * 1024
"""What a source that is fed is asked for. It has its bytes in memory, mostly in smaller chunks, which it hands on as
they are when one is enough, and copies together when more is asked for."""

TURN = 1024 * 1024
"""After how many bytes others have a turn of the loop."""


class _HasRead(type(Protocol)):  # type: ignore[misc]  # the metaclass of protocols
    def __instancecheck__(cls, instance: object) -> bool:
        # Wrappers (tempfile has some) pass attributes on, which the check of a runtime protocol does not see.
        return callable(getattr(instance, "read", None))


@runtime_checkable
class AsyncReadable(Protocol, metaclass=_HasRead):
    """Anything with an awaitable ``read(n)``: ``asyncio.StreamReader``, ``aiohttp.StreamReader``, an async file."""

    def read(self, n: int, /) -> Awaitable[bytes]:
        """At most ``n`` bytes; none at the end."""


ByteStream: TypeAlias = AsyncReadable | AsyncIterable[bytes] | bytes | bytearray | memoryview
"""What the readers take as ``content``."""


# Any: ASGI's messages and scopes are mappings of whatever their keys say.
AsgiScope: TypeAlias = MutableMapping[str, Any]
AsgiReceive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]


def asgi_headers(scope: AsgiScope) -> CIMultiDict[str]:
    """The header fields of an ASGI request."""
    return CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])


def open_source(content: ByteStream | Source) -> Source:
    """The source over ``content``.

    :raises TypeError: ``content`` has neither an awaitable ``read(n)`` nor is it an async iterable or bytes.
    """
    if isinstance(content, Source):
        return content
    if isinstance(content, (bytes, bytearray, memoryview)):
        return _BytesSource(bytes(content))
    if isinstance(content, AsyncReadable):
        return _ReadSource(content)
    if isinstance(content, AsyncIterable):
        return _IterableSource(aiter(content))
    raise TypeError(f"content must have an async read(), or be an async iterable or bytes, not {type(content)!r}")


class Source:
    """What the readers read from: no more than 256 KiB at a time, and the loop runs meanwhile."""

    in_doubt = False
    """Whether it has ended right after a :meth:`receive` that was cancelled."""
    on_failure: Callable[[], Awaitable[object]] | None = None
    """For whoever lends what is read from: awaited when an error has ended the message, before that is raised, and
    perhaps again when it is raised again."""

    def __init__(self) -> None:
        self._rest = memoryview(b"")  # of a chunk that was too large to be given at once
        self._given = 0  # bytes since the loop had a turn

    async def receive(self) -> bytes | None:
        """The next bytes, at least one; None at the end."""
        if self._given >= TURN:
            await give_way()
            self._given = 0
        if not self._rest:
            data = await self._next()
            if not data:
                return None
            if len(data) <= READ_SIZE:
                self._given += len(data)
                return data
            self._rest = memoryview(bytes(data))
        data, self._rest = bytes(self._rest[:READ_SIZE]), self._rest[READ_SIZE:] or memoryview(b"")
        self._given += len(data)
        return data

    def _next(self) -> Awaitable[bytes | None]:
        """The next bytes, however many; none, or None, at the end."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close what this adapter opened; what the caller opened stays open."""
        self._rest = memoryview(b"")


class _BytesSource(Source):
    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    async def _next(self) -> bytes:
        data, self._data = self._data, b""
        return data

    async def aclose(self) -> None:
        await super().aclose()
        self._data = b""


class _ReadSource(Source):
    def __init__(self, content: AsyncReadable) -> None:
        super().__init__()
        self._content = content
        is_fed = hasattr(content, "feed_data") and not isinstance(content, StreamReader)
        self._size = FED_SIZE if is_fed else READ_SIZE

    def _next(self) -> Awaitable[bytes]:
        result = self._content.read(self._size)
        if isinstance(result, bytes):
            raise TypeError(f"read() of {type(self._content)!r} is not async")
        return result


class _IterableSource(Source):
    def __init__(self, iterator: AsyncIterator[bytes]) -> None:
        super().__init__()
        self._iterator = iterator
        self._broken = False
        self._interrupted = False

    async def _next(self) -> bytes | None:
        if self._broken:
            raise StateError("the async generator that is read from was cancelled or failed, and cannot go on")
        try:
            while not (data := await anext(self._iterator)):
                pass
        except StopAsyncIteration:
            self.in_doubt = self._interrupted
            return None
        except BaseException:
            self._broken = isinstance(self._iterator, AsyncGenerator)
            self._interrupted = True
            raise
        self._interrupted = False
        return data

    async def aclose(self) -> None:
        await super().aclose()
        if isinstance(self._iterator, AsyncGenerator):
            await self._iterator.aclose()


class AsgiBody(Source):
    """The body of an ASGI request, as ``content`` for the readers.

    :param receive: the application's ``receive``.
    """

    def __init__(self, receive: AsgiReceive) -> None:
        super().__init__()
        self._receive = receive
        self._at_eof = False
        self._is_gone = False

    async def read(self, n: int = -1, /) -> bytes:
        """The bytes of the next message that has some, however many; ``b""`` at the end.

        :raises IncompleteBody: the client has disconnected.
        """
        while not (self._at_eof or self._is_gone):
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._is_gone = True
                break
            self._at_eof = not message.get("more_body", False)
            if body := message.get("body", b""):
                return bytes(body)
        if self._is_gone:
            raise IncompleteBody("the client has disconnected", code="disconnected")
        return b""

    def _next(self) -> Awaitable[bytes]:
        return self.read()


class StreamReader:
    """A stream that is filled by callbacks and read by coroutines.

    For protocols that push: call :meth:`feed_data` and :meth:`feed_eof`, or :meth:`set_exception`, from the loop's
    thread. One task reads. Past ``high_water`` bytes held, ``pause`` is called once; when at most ``low_water`` are
    left, ``resume`` (as ``asyncio.Transport.pause_reading`` and ``resume_reading`` want it).

    :param high_water: in bytes.
    :param low_water: in bytes; a quarter of ``high_water`` if not given.
    :param pause: called without arguments when too much is held.
    :param resume: called without arguments when little is held again.
    :raises ValueError: ``low_water`` is above ``high_water``, or one is negative.
    """

    def __init__(
        self,
        *,
        high_water: int = 256 * 1024,
        low_water: int | None = None,
        pause: Callable[[], object] | None = None,
        resume: Callable[[], object] | None = None,
    ) -> None:
        if low_water is None:
            low_water = high_water // 4
        if not 0 <= low_water <= high_water:
            raise ValueError(f"low_water {low_water} is not between 0 and high_water {high_water}")
        self._high_water = high_water
        self._low_water = low_water
        self._pause = pause
        self._resume = resume
        self._chunks: deque[bytes | memoryview] = deque()  # a view for what is left of a chunk
        self._held = 0
        self._paused = False
        self._eof = False
        self._exception: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    def feed_data(self, data: bytes) -> None:
        """Append bytes; none is nothing.

        :raises StateError: after :meth:`feed_eof`.
        """
        if self._eof:
            raise StateError("feed_data() after feed_eof()")
        if not data:
            return
        self._chunks.append(bytes(data))
        self._held += len(data)
        if self._held > self._high_water and not self._paused:
            self._paused = True
            if self._pause is not None:
                self._pause()
        self._wake()

    def feed_eof(self) -> None:
        """No more bytes will come."""
        self._eof = True
        self._wake()

    def set_exception(self, exc: BaseException) -> None:
        """Raise ``exc`` from every read, once the bytes before it have been read."""
        self._exception = exc
        self._wake()

    def at_eof(self) -> bool:
        """Whether all bytes have been read and no more will come."""
        return self._eof and not self._chunks

    async def receive(self) -> bytes | None:
        """The oldest chunk, as it was fed; None at the end.

        :raises StateError: another task is waiting in this stream.
        """
        await self._wait()
        return self._take(self._chunks.popleft()) if self._chunks else None

    async def read(self, n: int = -1, /) -> bytes:
        """1 to ``n`` bytes that are here, as soon as there is one; ``b""`` at the end. ``n`` < 0: all to the end."""
        if n == 0:
            return b""
        if n < 0:
            while not (self._eof or self._exception):
                await self._wait(more=True)
            if self._exception is not None:
                raise self._exception
            data = b"".join(self._chunks)
            self._chunks.clear()
            return self._take(data)
        await self._wait()
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        if len(chunk) > n:
            chunk = memoryview(chunk)
            self._chunks.appendleft(chunk[n:])
            chunk = chunk[:n]
        return self._take(chunk)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        data = await self.receive()
        if data is None:
            raise StopAsyncIteration
        return data

    async def aclose(self) -> None:
        """Nothing to close: who feeds the stream ends it."""

    def _take(self, chunk: bytes | memoryview) -> bytes:
        self._held -= len(chunk)
        if self._paused and self._held <= self._low_water:
            self._resume_feeding()
        return bytes(chunk)

    def _resume_feeding(self) -> None:
        self._paused = False
        if self._resume is not None:
            self._resume()

    async def _wait(self, *, more: bool = False) -> None:
        """Until there are bytes (``more``: further bytes), or the end."""
        if self._waiter is not None:
            raise StateError("another task is reading this stream")
        held = self._held
        while not self._eof and (not self._chunks or (more and self._held == held)):
            if self._exception is not None:
                raise self._exception
            if more and self._paused:
                # All is asked for, so there is no level at which to stop.
                self._resume_feeding()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._exception is not None and not self._chunks:
            raise self._exception

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
