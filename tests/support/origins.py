"""Where bytes come from: every kind of source, each of which suspends whenever it is asked for the next chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import httpx

import aiomultipart
from aiomultipart.sources import ByteStream
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.support.reading import aiohttp_stream


class Feeding:
    """A stream that is fed its next chunk after it has been asked for bytes, never before."""

    def __init__(self, stream: Any, chunks: Iterable[bytes]) -> None:
        self.stream = stream
        self._chunks = iter(chunks)
        self._ended = False

    def feed_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._feed)

    def _feed(self) -> None:
        data = next(self._chunks, None)
        if data is not None:
            self.stream.feed_data(data)
        elif not self._ended:
            self._ended = True
            self.stream.feed_eof()

    async def read(self, n: int = -1, /) -> bytes:
        self.feed_soon()
        return await self.stream.read(n)


class OurStreamReader(aiomultipart.StreamReader):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__()
        self._feeding = Feeding(self, chunks)

    async def read(self, n: int = -1, /) -> bytes:
        self._feeding.feed_soon()
        return await super().read(n)


class Script(ScriptedSource):
    def __init__(self, chunks: Iterable[bytes]) -> None:
        super().__init__(*[step for chunk in chunks for step in (PAUSE, chunk)], PAUSE)

    async def read(self, n: int = -1, /) -> bytes:
        asyncio.get_running_loop().call_soon(self.resume)
        return await super().read(n)


class Asgi:
    """An object over the ``receive`` of an ASGI server, as one writes it."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._chunks = iter(chunks)
        self._body = b""
        self._more = True

    async def receive(self) -> dict[str, Any]:
        asyncio.get_running_loop().call_soon(self._put)
        return await self._queue.get()

    def _put(self) -> None:
        chunk = next(self._chunks, None)
        self._queue.put_nowait({"type": "http.request", "body": chunk or b"", "more_body": chunk is not None})

    async def read(self, n: int) -> bytes:
        while self._more and not self._body:
            message = await self.receive()
            self._body, self._more = message["body"], message["more_body"]
        data, self._body = self._body[:n], self._body[n:]
        return data


class Iterator:
    """An async iterator that is no generator, and that survives cancellation."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._script = Script(chunks)

    def __aiter__(self) -> Iterator:
        return self

    async def __anext__(self) -> bytes:
        data = await self._script.read()
        if not data:
            raise StopAsyncIteration
        return data


async def generator(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk
    await asyncio.sleep(0)


class Wrapper:
    """An async iterator over a generator, which nothing tells from one that survives cancellation."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.generator = generator(chunks)

    def __aiter__(self) -> Wrapper:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self.generator)


def by_httpx(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    # httpx does not close its own generators, nor one that it is given.
    return httpx.Response(200, content=Iterator(chunks)).aiter_bytes()


Make = Callable[[list[bytes]], ByteStream]

SURVIVING: dict[str, Make] = {
    "asyncio": lambda chunks: Feeding(asyncio.StreamReader(), chunks),
    "aiohttp": lambda chunks: Feeding(aiohttp_stream(), chunks),
    "aiomultipart": OurStreamReader,
    "asgi": Asgi,
    "script": Script,
    "iterator": Iterator,
}
DYING: dict[str, Make] = {"generator": generator, "httpx": by_httpx}


def pieces(message: bytes, size: int = 19) -> list[bytes]:
    return [message[i : i + size] for i in range(0, len(message), size)]
