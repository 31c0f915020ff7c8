"""The MJPEG example: what clients and a browser see of it."""

import asyncio
import contextlib
import io
import itertools
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from PIL import Image

import aiomultipart
from aiomultipart import MultipartReader
from examples import mjpeg_server
from examples.mjpeg_server import CAMERA, draw, make_app
from tests.support.browsing import DevTools, running, until

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "mjpeg_server.py"


@pytest.fixture
async def app() -> web.Application:
    return make_app(fps=30)


@pytest.fixture
async def url(app: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(app, shutdown_timeout=2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/"
    async with asyncio.timeout(10):
        await runner.cleanup()


async def frames(session: aiohttp.ClientSession, url: str, count: int) -> list[bytes]:
    found: list[bytes] = []
    async with session.get(f"{url}stream") as response, aiomultipart.frames(response) as stream:
        assert response.content_type == "multipart/x-mixed-replace"
        async for frame in stream:
            assert frame.content_type == "image/jpeg"
            found.append(frame.data)
            if len(found) == count:
                break
        assert stream.defects == ()
    return found


def is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")


def test_draw() -> None:
    with Image.open(io.BytesIO(draw(7))) as image:
        assert (image.format, image.size) == ("JPEG", (640, 360))
    assert draw(7) == draw(7) != draw(8)


async def test_viewers_share_the_frames(app, url: str, session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(20):
        one, two = await asyncio.gather(frames(session, url, 12), frames(session, url, 12))
    for seen in one, two:
        assert all(map(is_jpeg, seen))
        assert len(set(seen)) == len(seen), "a frame came twice"
    assert set(one) & set(two), "each viewer has frames of its own"
    await until(lambda: app[CAMERA].viewers == 0)


async def test_a_viewer_leaves_mid_frame(app, url: str, session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(20):
        staying = asyncio.create_task(frames(session, url, 40))
        async with aiohttp.ClientSession() as other:
            response = await other.get(f"{url}stream")
            part = await MultipartReader.from_response(response).next()
            assert (await part.read_chunk(100)).startswith(b"\xff\xd8")
            response.close()
        assert all(map(is_jpeg, await staying))
        await until(lambda: app[CAMERA].viewers == 0)
        assert len(await frames(session, url, 2)) == 2


async def test_a_slow_viewer_skips_frames(
    app, session: aiohttp.ClientSession, listening_socket: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes nothing holds nobody up, and has newer frames later, not all of them."""
    monkeypatch.setattr(mjpeg_server, "draw", lambda number: b"\xff\xd8%06d%b\xff\xd9" % (number, b"\x55" * 30_000))
    # Small buffers of the system's, so that it is noticed soon.
    listening_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
    runner = web.AppRunner(app, shutdown_timeout=2)
    await runner.setup()
    await web.SockSite(runner, listening_socket).start()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[1]
    connection = socket.create_connection(listening_socket.getsockname())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    connection.setblocking(False)
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection(sock=connection, limit=16384)
        writer.write(b"GET /stream HTTP/1.0\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        [content_type] = [line[14:] for line in head.splitlines() if line.startswith("Content-Type: ")]
        assert len(set(await frames(session, f"http://{host}:{port}/", 60))) == 60
        message = MultipartReader({"Content-Type": content_type}, reader)
        seen = [int((await (await message.next()).read())[2:8]) for _ in range(15)]
        assert seen == sorted(set(seen))
        assert max(after - before for before, after in itertools.pairwise(seen)) > 10, seen
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        await runner.cleanup()


async def test_shutdown_ends_the_streams(session: aiohttp.ClientSession) -> None:
    runner = web.AppRunner(make_app(fps=30), shutdown_timeout=5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with session.get(f"http://{host}:{port}/stream") as response:
        stream = aiomultipart.frames(response, policy=aiomultipart.Policy.STANDARD)
        assert is_jpeg((await anext(stream)).data)
        loop = asyncio.get_running_loop()
        begin = loop.time()
        cleanup = asyncio.create_task(runner.cleanup())
        async for frame in stream:  # to the close-delimiter: it ends well
            assert is_jpeg(frame.data)
        await cleanup
        assert loop.time() - begin < 4


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT")
async def test_as_a_program(session: aiohttp.ClientSession, unused_port: int) -> None:
    url = f"http://127.0.0.1:{unused_port}/"
    arguments = ["--port", str(unused_port), "--fps", "30"]
    async with (
        asyncio.timeout(30),
        running(
            sys.executable,
            *("-W", "error", "-X", "dev"),
            str(EXAMPLE),
            *arguments,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        ) as process,
    ):
        for _ in range(200):
            try:
                async with session.get(url) as response:
                    assert 'src="/stream"' in await response.text()
                break
            except aiohttp.ClientConnectorError:
                assert process.returncode is None, (await process.communicate())[1].decode()
                await asyncio.sleep(0.05)
        assert len(set(await frames(session, url, 3))) == 3
        async with session.get(f"{url}stream"):  # one is still watching
            process.send_signal(signal.SIGINT)
            _, errors = await process.communicate()
    assert process.returncode == 0
    for complaint in ("Warning", "Traceback", "Exception ignored", "never retrieved", "was destroyed"):
        assert complaint not in errors.decode()


@pytest.fixture
def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


async def test_chromium_shows_moving_frames(app, url: str, browser: DevTools, tmp_path: Path) -> None:
    async with asyncio.timeout(40):
        await browser.call("Page.enable")
        await browser.call("Page.navigate", url=url)
        await until(lambda: browser.evaluate("document.images.length && document.images[0].naturalWidth == 640"))
        await until(lambda: browser.evaluate("document.getElementById('viewers').textContent == '1'"))
        x, y, width, height = await browser.evaluate(
            "(box => [box.x, box.y, box.width, box.height])(document.images[0].getBoundingClientRect())"
        )
        shots = []
        for number in range(2):
            png = await browser.screenshot()
            (tmp_path / f"screenshot-{number}.png").write_bytes(png)
            with Image.open(io.BytesIO(png)) as image:
                shots.append(image.convert("RGB").crop((int(x), int(y), int(x + width), int(y + height))))
            await asyncio.sleep(0.5)
        assert shots[0].tobytes() != shots[1].tobytes(), "the picture stands still"
        for shot in shots:
            # A frame is there at all: the background, and a ball of a bright colour.
            colors = shot.getcolors(maxcolors=1 << 24)
            assert max(max(color) - min(color) for count, color in colors) > 80
        await browser.call("Page.navigate", url="about:blank")
        await until(lambda: app[CAMERA].viewers == 0)
