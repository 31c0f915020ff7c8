"""Image streams over real sockets: aiohttp, httpx, uvicorn, asyncio's own streams, ffmpeg and Chromium."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import httpx
import pytest
import uvicorn
from aiohttp import web
from PIL import Image

from aiomultipart import FrameBroadcast, FrameStream, IncompleteBody, frames
from tests.support.browsing import DevTools, running, until


def picture(color: str) -> bytes:
    jpeg = io.BytesIO()
    Image.new("RGB", (320, 240), color).save(jpeg, "JPEG")
    return jpeg.getvalue()


COLORS = ("red", "lime", "blue", "yellow", "black")
PICTURES = [picture(color) for color in COLORS]
SOURCE = ("-f", "lavfi", "-i", "testsrc=size=160x120:rate=20", "-frames:v", "12", "-c:v", "mjpeg")


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


# Servers, each of which sends all pictures


async def by_aiohttp(request: web.Request, lengths: bool = False) -> web.StreamResponse:
    response = web.StreamResponse()
    async with FrameStream(response, request, lengths=lengths) as stream:
        for data in PICTURES:
            await stream.send(data, "image/jpeg")
    return response


@contextlib.asynccontextmanager
async def uvicorn_serving(app) -> AsyncIterator[str]:
    config = uvicorn.Config(app, port=0, log_level="critical", timeout_graceful_shutdown=2, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    await task


@contextlib.asynccontextmanager
async def asyncio_serving(broadcast: FrameBroadcast) -> AsyncIterator[str]:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        lines = [f"{name}: {value}\r\n" for name, value in broadcast.headers.items()]
        writer.write(f"HTTP/1.1 200 OK\r\n{''.join(lines)}Connection: close\r\n\r\n".encode())
        await broadcast.serve(writer)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.parametrize("lengths", [False, True])
async def test_aiohttp_to_aiohttp_and_httpx(serve, session, httpx_client: httpx.AsyncClient, lengths: bool) -> None:
    url = await serve(functools.partial(by_aiohttp, lengths=lengths))
    async with session.get(url) as response:
        assert response.headers["Cache-Control"] == "no-store"
        assert [frame.data async for frame in frames(response)] == PICTURES
    assert [frame.data async for frame in frames(lambda: session.get(url))] == PICTURES
    async with httpx_client.stream("GET", url) as streamed:
        assert [frame.data async for frame in frames(streamed)] == PICTURES
    assert [frame.data async for frame in frames(lambda: httpx_client.stream("GET", url))] == PICTURES


async def test_a_response_that_is_prepared(serve, session) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace; boundary=own"})
        with pytest.raises(RuntimeError, match="prepare"):
            async with FrameStream(response):
                pass
        await response.prepare(request)
        with pytest.raises(ValueError, match="'own'"):
            FrameStream(response, boundary="other")
        async with FrameStream(response) as stream:
            assert stream.boundary == "own"
            await stream.send(b"one")
        return response

    async with session.get(await serve(handler)) as response:
        assert (await response.read()).startswith(b"--own\r\n")


async def test_a_viewer_who_leaves_aiohttp(serve, session) -> None:
    sent = []

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        async with FrameStream(response, request) as stream:
            while True:
                await stream.send(bytes(100_000))
        sent.append(stream.sent)
        return response

    async for frame in frames(await session.get(await serve(handler))):
        if frame.index == 3:
            break
    async with asyncio.timeout(10):
        await until(lambda: sent)
    assert sent[0] >= 3


async def test_uvicorn_and_a_viewer_who_leaves(httpx_client: httpx.AsyncClient) -> None:
    ended = []

    async def app(scope, receive, send) -> None:
        async with FrameStream(send, receive=receive) as stream:
            for data in PICTURES:
                await stream.send(data)
            while scope["path"] == "/for-ever":
                await stream.send(bytes(100_000))
        ended.append(stream.sent)

    async with asyncio.timeout(20), uvicorn_serving(app) as url:
        async with httpx_client.stream("GET", url) as response:
            assert [frame.data async for frame in frames(response)] == PICTURES
        async for frame in frames(lambda: httpx_client.stream("GET", f"{url}for-ever")):
            if frame.index == 20:
                break
        await until(lambda: len(ended) == 2)


async def test_a_stream_of_asyncio_and_many_viewers(session) -> None:
    """One reads nothing: the others get all there is, and what waits for him is bounded."""
    broadcast = FrameBroadcast()
    async with asyncio.timeout(20), asyncio_serving(broadcast) as url:
        watching = [asyncio.create_task(_watch(session, url)) for _ in range(3)]
        stalled = await session.get(url)
        await until(lambda: broadcast.viewers == 4)
        for number in range(200):
            broadcast.publish(b"%03d" % number + bytes(200_000))
            await asyncio.sleep(0.002)
        broadcast.close()
        for seen in await asyncio.gather(*watching):
            assert seen == sorted(set(seen))
            assert seen[-1] == 199
        assert broadcast.viewers == 1
        stalled.close()
        await until(lambda: broadcast.viewers == 0)


async def _watch(session: aiohttp.ClientSession, url: str) -> list[int]:
    return [int(frame.data[:3]) async for frame in frames(lambda: session.get(url))]


async def test_a_camera_that_comes_back(session, unused_port: int) -> None:
    """First there is none, then one that is unplugged in mid-frame, then one that falls silent, then one that ends."""
    numbers = iter(range(3))

    async def handler(request: web.Request) -> web.StreamResponse:
        number = next(numbers)
        response = web.StreamResponse()
        async with FrameStream(response, request) as stream:
            await stream.send(PICTURES[number])
            if number == 0:
                await response.write(b"half a frame")
                request.transport.abort()
            elif number == 1:
                await asyncio.sleep(30)
        return response

    url = f"http://127.0.0.1:{unused_port}/"
    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    reasons = []

    async def begin() -> None:
        await web.TCPSite(runner, "127.0.0.1", unused_port).start()

    tasks = []

    def backoff(failures: int, error: Exception) -> float:
        if failures == 2:
            tasks.append(asyncio.create_task(begin()))
        reasons.append((failures, error))
        return 0.05

    async with asyncio.timeout(20):
        stream = frames(lambda: session.get(url), idle_timeout=0.5, backoff=backoff)
        assert [frame.data async for frame in stream] == PICTURES[:3]
    assert [failures for failures, _ in reasons] == [*range(1, len(reasons) - 1), 1, 1]
    *refused, lost, silent = [error for _, error in reasons]
    assert refused
    assert all(isinstance(error, aiohttp.ClientConnectorError) for error in refused)
    assert isinstance(lost, aiohttp.ClientPayloadError)
    assert isinstance(silent, IncompleteBody)
    assert silent.code == "idle-timeout"
    assert stream.reconnections == len(reasons)
    await asyncio.gather(*tasks)
    await runner.cleanup()


# ffmpeg


@pytest.mark.parametrize("lengths", [False, True])
async def test_ffmpeg_as_client(serve, ffmpeg: str, tmp_path: Path, lengths: bool) -> None:
    url = await serve(functools.partial(by_aiohttp, lengths=lengths))
    command = [ffmpeg, "-v", "warning", "-f", "mpjpeg", "-strict_mime_boundary", "1", "-i", url]
    command += ["-c:v", "copy", "-f", "image2", str(tmp_path / "%d.jpg")]
    async with asyncio.timeout(30), running(*command, stderr=asyncio.subprocess.PIPE) as process:
        _, errors = await process.communicate()
    assert process.returncode == 0, errors
    found = [(tmp_path / f"{number}.jpg").read_bytes() for number in range(1, 1 + len(list(tmp_path.iterdir())))]
    assert found[: len(PICTURES)] == PICTURES


async def test_ffmpeg_as_server(session, ffmpeg: str, unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}/"
    command = [ffmpeg, "-v", "error", *SOURCE, "-f", "mpjpeg", "-listen", "1", url]
    content_type = "multipart/x-mixed-replace; boundary=ffmpeg"
    async with asyncio.timeout(30), running(*command, stderr=asyncio.subprocess.PIPE):
        stream = frames(
            lambda: session.get(url),
            content_type=content_type,
            backoff=lambda failures, error: 0.1 if isinstance(error, aiohttp.ClientConnectorError) else None,
        )
        await _check_test_pictures(stream)


async def test_ffmpeg_through_a_pipe(ffmpeg: str) -> None:
    command = [ffmpeg, "-v", "error", *SOURCE, "-f", "mpjpeg", "-boundary_tag", "mine", "-"]
    async with asyncio.timeout(30), running(*command, stdout=asyncio.subprocess.PIPE) as process:
        assert process.stdout is not None
        await _check_test_pictures(frames(process.stdout, content_type="multipart/x-mixed-replace; boundary=mine"))


async def _check_test_pictures(stream) -> None:
    seen = []
    with contextlib.suppress(IncompleteBody):  # ffmpeg writes no close-delimiter, and the other test asks what then
        async for frame in stream:
            assert frame.content_type == "image/jpeg"
            with Image.open(io.BytesIO(frame.data)) as image:
                assert image.size == (160, 120)
                seen.append(image.convert("RGB").tobytes())
    assert len(seen) == len(set(seen)) == 12


# Chromium


async def test_chromium_shows_each_frame_before_the_next_is_made(serve, browser: DevTools, tmp_path: Path) -> None:
    """With lengths it is shown when the next one comes: that is why they are not the default."""
    shown = [asyncio.Event() for _ in COLORS]

    async def handler(request: web.Request) -> web.StreamResponse:
        if "page" in request.query:
            return web.Response(text="<body><img src=/ width=960 height=720>", content_type="text/html")
        response = web.StreamResponse()
        async with FrameStream(response, request) as stream:
            for data, event in zip(PICTURES, shown, strict=True):
                await stream.send(data, "image/jpeg")
                await event.wait()
        return response

    url = await serve(handler)

    async def color() -> tuple[int, ...]:
        with Image.open(io.BytesIO(await browser.screenshot())) as image:
            return image.convert("RGB").getpixel((480, 360))  # type: ignore[return-value]

    async with asyncio.timeout(40):
        await browser.call("Page.enable")
        await browser.call("Page.navigate", url=f"{url}?page")
        await until(lambda: browser.evaluate("document.images.length && document.images[0].naturalWidth"))
        for expected, event in zip(PICTURES, shown, strict=True):
            with Image.open(io.BytesIO(expected)) as image:
                wanted = image.convert("RGB").getpixel((160, 120))
            assert isinstance(wanted, tuple)

            async def is_shown(wanted: tuple[int, ...] = wanted) -> bool:
                return all(abs(is_ - was) < 24 for is_, was in zip(await color(), wanted, strict=True))

            await until(is_shown)
            event.set()
        (tmp_path / "last.png").write_bytes(await browser.screenshot())
