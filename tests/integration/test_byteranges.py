"""Byte ranges over real sockets: the same from nginx and from our servers, by aiohttp, httpx and curl."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import fastapi
import httpx
import pytest
from aiohttp import web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aiomultipart import MultipartReader, ParseError, RangeNotSatisfiable, byteranges, fetch_ranges
from aiomultipart.grammar.ranges import RangeSpec
from aiomultipart.integrations import aiohttp as our_aiohttp
from aiomultipart.integrations import starlette as our_starlette
from tests.support.browsing import until
from tests.support.nginx import running_nginx
from tests.support.ranges import Got, gather
from tests.support.saving import MIB, open_files, pattern
from tests.support.serving import uvicorn_server

DATA = pattern(2 * MIB + 17)
SIZE = len(DATA)
DATE = 1_700_000_000

# Of those that overlap nginx makes several parts, or sends the whole; we send one.
ASKED: dict[str, list[RangeSpec]] = {
    "one byte": [(0, 0)],
    "the last byte": [(SIZE - 1, SIZE - 1)],
    "the last bytes": [(None, 500)],
    "more than all": [(None, SIZE + 1)],
    "to the end": [(SIZE - 1000, None)],
    "beyond the end": [(SIZE - 1000, SIZE + 1000)],
    "all": [(0, None)],
    "two": [(0, 99), (1000, 1999)],
    "two, backwards": [(1000, 1999), (0, 99)],
    "large ones": [(0, MIB), (MIB + 2, None)],
    "first and last": [(0, 0), (None, 1)],
    "one that is not there": [(5, 9), (SIZE, None), (20, 29)],
    "one of two that is there": [(5, 9), (SIZE, None)],
    "fifty": [(position * 2000, position * 2000 + 499) for position in range(50)],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    for name, data in (("data.txt", DATA), ("empty.txt", b"")):
        (root / name).write_bytes(data)
        os.utime(root / name, (DATE, DATE))
    tmp_path.chmod(0o755)
    return root


@contextlib.asynccontextmanager
async def by_nginx(root: Path, nginx: str) -> AsyncIterator[str]:
    async with running_nginx(nginx, root.parent, f"root {root};") as url:
        yield f"{url}/"


@contextlib.asynccontextmanager
async def by_aiohttp(root: Path) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return our_aiohttp.RangeResponse(root / request.match_info["name"], headers={"X-Served": "yes"})

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield "http://{}:{}/".format(*runner.addresses[0][:2])
    await runner.cleanup()


def by_starlette(root: Path) -> contextlib.AbstractAsyncContextManager[str]:
    async def answer(request: Request) -> Response:
        return our_starlette.RangeResponse(root / request.path_params["name"], headers={"X-Served": "yes"})

    return uvicorn_server(Starlette(routes=[Route("/{name}", answer)]))


def by_fastapi(root: Path) -> contextlib.AbstractAsyncContextManager[str]:
    app = fastapi.FastAPI()

    @app.api_route("/{name}", methods=["GET", "HEAD"])
    def answer(name: str) -> our_starlette.RangeResponse:
        return our_starlette.RangeResponse(root / name, headers={"X-Served": "yes"})

    return uvicorn_server(app)


OURS: dict[str, Callable[[Path], contextlib.AbstractAsyncContextManager[str]]] = {
    "aiohttp": by_aiohttp,
    "starlette": by_starlette,
    "fastapi": by_fastapi,
}


@pytest.fixture(params=OURS)
async def url(request: pytest.FixtureRequest, root: Path) -> AsyncIterator[str]:
    async with asyncio.timeout(60), OURS[request.param](root) as url:
        yield url


@pytest.fixture(params=["aiohttp", "httpx"])
def client(request: pytest.FixtureRequest, session: aiohttp.ClientSession, httpx_client: httpx.AsyncClient) -> Any:
    return {"aiohttp": session, "httpx": httpx_client}[request.param]


async def fetch(client: Any, url: str, asked: list[RangeSpec], **options: Any) -> tuple[bool, list[Got], set[str]]:
    """Whether it is a 206, what came, and the Content-Types of the parts."""
    async with fetch_ranges(client, url, asked, **options) as parts:
        got, types = [], set()
        async for found in parts:
            got.append((*found[:3], await found.part.read()))
            types.add(found.part.content_type)
        return parts.is_partial, got, types


async def test_the_same_parts_from_nginx(root: Path, nginx: str, client: Any) -> None:
    async with contextlib.AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(by_nginx(root, nginx))]
        servers += [await stack.enter_async_context(serve(root)) for serve in OURS.values()]
        for name, asked in ASKED.items():
            first = await fetch(client, f"{servers[0]}data.txt", asked)
            assert first[0], name
            assert first[2] == {"text/plain"}
            assert first[1]
            for begin, end, length, body in first[1]:
                assert end is not None
                assert (length, body) == (SIZE, DATA[begin : end + 1])
            for server in servers[1:]:
                assert await fetch(client, f"{server}data.txt", asked) == first, name
        for server in servers:
            for path, asked, length in (("data.txt", [(SIZE, None)], SIZE), ("empty.txt", [(0, 0)], 0)):
                if length == 0 and server is servers[0]:
                    continue  # nginx sends a 200
                with pytest.raises(RangeNotSatisfiable) as caught:
                    await fetch(client, server + path, asked)
                assert caught.value.complete_length == length
            with pytest.raises(ParseError, match="the response 404 of"):
                await fetch(client, f"{server}none.txt", [(0, 0)])
            # If-Range, by what the server has said of the representation
            async with httpx.AsyncClient(verify=False, trust_env=False) as head_client:
                known = (await head_client.head(f"{server}data.txt")).headers
            for validator in (known["ETag"], known["Last-Modified"]):
                assert (await fetch(client, f"{server}data.txt", [(5, 9)], if_range=validator))[:2] == (
                    True,
                    [(5, 9, SIZE, DATA[5:10])],
                )
            for validator in ('"another"', "Tue, 14 Nov 2023 22:13:19 GMT"):
                assert (await fetch(client, f"{server}data.txt", [(5, 9)], if_range=validator))[:2] == (
                    False,
                    [(0, SIZE - 1, SIZE, DATA)],
                )


async def test_a_response_of_ones_own(
    url: str, session: aiohttp.ClientSession, httpx_client: httpx.AsyncClient
) -> None:
    headers = {"Range": "bytes=0-9,1000-"}
    expected = [(0, 9, SIZE, DATA[:10]), (1000, SIZE - 1, SIZE, DATA[1000:])]
    async with session.get(f"{url}data.txt", headers=headers) as response:
        assert response.status == 206
        assert "Transfer-Encoding" not in response.headers
        assert response.headers["X-Served"] == "yes"
        assert await gather(byteranges(response)) == expected
    async with httpx_client.stream("GET", f"{url}data.txt", headers=headers) as streamed:
        assert await gather(byteranges(streamed)) == expected
    # The connection can be used again.
    async with session.get(f"{url}data.txt", headers={"Range": "bytes=0-9"}) as response:
        assert await gather(byteranges(response)) == expected[:1]


async def test_head(url: str, session: aiohttp.ClientSession) -> None:
    async with session.head(f"{url}data.txt", headers={"Range": "bytes=0-9"}) as response:
        assert (response.status, response.headers["Content-Length"]) == (200, str(SIZE))
        assert (response.headers["Accept-Ranges"], response.headers["Content-Type"]) == ("bytes", "text/plain")
        assert "Content-Range" not in response.headers
    async with session.get(f"{url}data.txt", headers={"Range": "bytes=0-1"}) as response:
        assert await response.read() == DATA[:2]


async def test_files_that_are_not_there(url: str, root: Path, session: aiohttp.ClientSession) -> None:
    (root / "directory").mkdir()
    for name in ("none.txt", "directory", "data.txt%2Fx", "a%00b", "x" * 300):
        async with session.get(url + name) as response:
            assert response.status == 404
    if os.geteuid():
        (root / "data.txt").chmod(0)
        async with session.get(f"{url}data.txt") as response:
            assert response.status == 403


async def test_a_viewer_who_leaves(url: str, root: Path, session: aiohttp.ClientSession) -> None:
    path = root / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    for asked in ([(0, None)], [(0, 1 << 39), ((1 << 39) + 5, None)]):
        async with fetch_ranges(session, f"{url}large", asked) as parts:  # type: ignore[arg-type]
            found = await anext(parts)
            assert await found.part.read_chunk(1000)
            assert str(path) in open_files()
        await until(lambda: str(path) not in open_files())


async def test_a_file_that_shrinks(url: str, root: Path, session: aiohttp.ClientSession) -> None:
    """The client is told, by a connection that ends before the Content-Length."""
    path = root / "large"
    with path.open("wb") as file:
        file.truncate(1 << 40)

    async def read() -> None:
        async with fetch_ranges(session, f"{url}large", [(0, None)]) as parts:
            found = await anext(parts)
            await found.part.read_chunk(1)
            os.truncate(path, 100)
            async for _ in found.part.iter_chunks():
                pass

    with pytest.raises(aiohttp.ClientError):
        await read()


# curl


async def run_curl(curl: str, *arguments: str) -> bytes:
    command = [curl, "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "30", *arguments]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


async def test_curl(url: str, curl: str, tmp_path: Path) -> None:
    address = f"{url}data.txt"
    for asked, expected in (("0-99", DATA[:100]), ("-5", DATA[-5:]), (f"{SIZE - 5}-", DATA[-5:]), ("0-0", DATA[:1])):
        assert await run_curl(curl, "--range", asked, address) == expected
    # To go on with a download
    part = tmp_path / "part"
    part.write_bytes(DATA[:MIB])
    await run_curl(curl, "--continue-at", "-", "--output", str(part), address)
    assert part.read_bytes() == DATA
    # Many
    got = tmp_path / "headers"
    body = await run_curl(curl, "--range", "0-9,1000-1999,-5", "--dump-header", str(got), address)
    status, *lines = got.read_text().splitlines()
    assert status.split()[1] == "206"
    headers = dict(line.split(": ", 1) for line in lines if line)
    headers = {name.title(): value for name, value in headers.items()}
    assert int(headers["Content-Length"]) == len(body)
    async with MultipartReader(headers, body) as reader:
        found = [(part.headers["Content-Range"], await part.read()) async for part in reader.walk()]
    assert found == [
        (f"bytes 0-9/{SIZE}", DATA[:10]),
        (f"bytes 1000-1999/{SIZE}", DATA[1000:2000]),
        (f"bytes {SIZE - 5}-{SIZE - 1}/{SIZE}", DATA[-5:]),
    ]
    command = [curl, "--silent", "--noproxy", "*", "--range", f"{SIZE}-", "--write-out", "%{http_code}", address]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
    assert done.stdout == b"416"


# Servers that are not ours


async def test_another_representation_than_that_of_if_range(
    serve: Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]], client: Any
) -> None:
    async def handler(request: web.Request) -> web.Response:
        headers = {"Content-Range": "bytes 0-1/10", "ETag": '"new"'}
        return web.Response(status=206, headers=headers, body=b"01")

    url = await serve(handler)
    with pytest.raises(ParseError, match="ETag") as caught:
        await fetch(client, url, [(0, 1)], if_range='"old"')
    assert caught.value.code == "representation-changed"
    assert (await fetch(client, url, [(0, 1)], if_range='"new"'))[0]
    assert (await fetch(client, url, [(0, 1)], if_range="Tue, 14 Nov 2023 22:13:19 GMT"))[0]


async def test_headers_and_options_go_on(
    serve: Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]], client: Any
) -> None:
    seen: list[dict[str, str]] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(dict(request.headers) | dict(request.query))
        return web.Response(body=b"whole")

    url = await serve(handler)
    got = await fetch(client, url, [(0, 1), (None, 1)], headers={"X-Mine": "yes"}, params={"a": "1"}, if_range='"v"')
    assert got[:2] == (False, [(0, 4, 5, b"whole")])
    expected = {"Range": "bytes=0-1,-1", "If-Range": '"v"', "Accept-Encoding": "identity", "X-Mine": "yes", "a": "1"}
    assert expected.items() <= seen[0].items()
