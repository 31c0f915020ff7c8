"""Responses of real clients over loopback sockets, cancelled at each await."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import pytest

from aiomultipart import BodyPartReader, MultipartReader, StateError
from tests.support.awaits import Cancel, Run, at_every_await
from tests.support.messages import BODY, GZIP, TEXT, WAYS, Way, coded
from tests.support.origins import pieces
from tests.support.reading import build

MESSAGE = build((b"A: 1", BODY), (GZIP, coded("gzip", TEXT)[1]), (b"Content-Length: 4", b"last"), end=b"\r\nend")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """A server that sends the message in small chunks, one at each turn of the loop; its URL."""
    connections: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # the client may leave
            try:
                while (await reader.readuntil(b"\r\n\r\n")).startswith(b"GET"):
                    writer.write(HEAD)
                    for piece in [*pieces(MESSAGE, 30), b""]:
                        for _ in range(3):
                            await asyncio.sleep(0)
                        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                        await writer.drain()
            except asyncio.IncompleteReadError:
                pass
            finally:
                writer.close()
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield "http://{}:{}/".format(*server.sockets[0].getsockname())
        await asyncio.gather(*connections)


async def read_all(run: Any, wrapper: Any, way: Way) -> list[bytes]:
    bodies = []
    while (part := await run(wrapper.next)) is not None:
        assert isinstance(part, BodyPartReader)
        found: list[bytes] = []
        await run(lambda part=part, found=found: way(part, found))  # type: ignore[misc]
        bodies.append(b"".join(found))
    assert wrapper.at_eof()
    assert await wrapper.next() is None
    return bodies


@pytest.mark.parametrize("how", Cancel)
@pytest.mark.parametrize("name", ["read decoded", "iter_chunks"])
async def test_aiohttp(name: str, how: Cancel) -> None:
    async def scenario(run: Run) -> None:
        async with aiohttp.ClientSession() as session:
            response = await session.get(url)
            wrapper = MultipartReader.from_response(response)
            assert await read_all(run, wrapper, WAYS[name]) == [BODY, TEXT, b"last"]
            assert response.connection is None
            # Read to its end, so that the connection may be used again.
            async with session.get(url) as again:
                assert again.status == 200

    async with serving() as url:
        await at_every_await(scenario, ways=(how,), least=5)


@pytest.mark.parametrize("how", Cancel)
async def test_aiohttp_and_released(how: Cancel) -> None:
    async def scenario(run: Run) -> None:
        async with aiohttp.ClientSession() as session:
            response = await session.get(url)
            wrapper = MultipartReader.from_response(response)
            try:
                await read_all(run.once, wrapper, WAYS["read"])
            except asyncio.CancelledError:
                await wrapper.release()
            assert response.connection is None
            assert response.closed or response.content.at_eof()
            assert wrapper.at_eof()

    async with serving() as url:
        await at_every_await(scenario, ways=(how,), least=5)


@pytest.mark.parametrize("how", Cancel)
@pytest.mark.parametrize("name", ["read decoded", "iter_chunks"])
async def test_httpx(name: str, how: Cancel) -> None:
    """Its body is an async generator: a cancelled read ends it, and then it is a StateError, no end."""

    async def scenario(run: Run) -> None:
        async with httpx.AsyncClient(verify=False, trust_env=False, timeout=None) as client:
            response = await client.send(client.build_request("GET", url), stream=True)
            wrapper = MultipartReader.from_response(response)
            try:
                assert await read_all(run.once, wrapper, WAYS[name]) == [BODY, TEXT, b"last"]
            except asyncio.CancelledError:
                if wrapper.at_eof():
                    # The message was complete: only the release was cut short.
                    assert await wrapper.next() is None
                else:
                    for operation in (wrapper.next, wrapper.stream.release) * 2:
                        with pytest.raises(StateError):
                            await operation()
                    await wrapper.release()
            assert response.is_closed

    async with serving() as url:
        await at_every_await(scenario, ways=(how,), least=5)


@pytest.mark.parametrize("client", ["aiohttp", "httpx"])
async def test_release_is_cancelled_and_called_again(client: str) -> None:
    async def scenario(run: Run) -> None:
        async with aiohttp.ClientSession() as session, httpx.AsyncClient(verify=False, trust_env=False) as other:
            response: Any = await (
                session.get(url) if client == "aiohttp" else other.send(other.build_request("GET", url), stream=True)
            )
            wrapper = MultipartReader.from_response(response)
            await wrapper.next()
            await run(wrapper.release)
            assert response.is_closed if client == "httpx" else response.connection is None

    async with serving() as url:
        await at_every_await(scenario, least=0)
