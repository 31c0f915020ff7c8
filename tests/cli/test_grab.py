"""``grab``: the frames of a stream, whole, until somebody stops it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from examples.mjpeg_server import make_app
from tests.cli.conftest import COMMAND, ENVIRONMENT, AsyncCommand
from tests.integration.conftest import Serve
from tests.support.saving import files

TYPE = {"Content-Type": "multipart/x-mixed-replace; boundary=frame"}
HEAD = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


def is_jpeg(data: bytes) -> bool:
    return data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")


@pytest.fixture
async def camera() -> AsyncIterator[str]:
    runner = web.AppRunner(make_app(fps=30), shutdown_timeout=2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/stream"
    await runner.cleanup()


async def test_frames_of_the_example(camera: str, cli_meanwhile: AsyncCommand, tmp_path: Path) -> None:
    done = await cli_meanwhile("grab", camera, "new/frames", "-n", "5")
    saved = files(tmp_path / "new" / "frames")
    assert sorted(saved) == [f"frame-{number:06}.jpg" for number in range(5)]
    assert all(map(is_jpeg, saved.values()))
    assert len(set(saved.values())) == 5
    assert done.text.splitlines() == [f"new/frames/{name}  {len(data)}" for name, data in sorted(saved.items())]
    # Those that come later have the numbers after those.
    assert (await cli_meanwhile("grab", camera, "new/frames", "-n", "2")).code == 0
    assert len(files(tmp_path / "new" / "frames")) == 7
    assert (tmp_path / "new" / "frames" / "frame-000006.jpg").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_until_somebody_stops_it(camera: str, tmp_path: Path, number: int, code: int) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "grab", camera, "frames", cwd=tmp_path, env=ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(60):
        for _ in range(3):
            await process.stdout.readline()
        process.send_signal(number)
        rest, err = await process.communicate()
    assert (process.returncode, err.count(b"\n")) == (code, 1), err
    saved = files(tmp_path / "frames")
    assert len(saved) - 3 - rest.count(b"\n") in (0, 1)  # one may have been saved and not named
    assert all(map(is_jpeg, saved.values()))


async def test_a_stream_that_breaks_off(serve: Serve, cli_meanwhile: AsyncCommand, tmp_path: Path) -> None:
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        response = web.StreamResponse(headers=TYPE)
        await response.prepare(request)
        await response.write(HEAD % 5 + b"frame\r\n" + HEAD % 100 + b"half")
        return response

    url = await serve(answer)
    done = await cli_meanwhile("grab", url, "frames")
    assert done.text == "frames/frame-000000.jpg  5\n"
    assert files(tmp_path / "frames") == {"frame-000000.jpg": b"frame"}
    done = await cli_meanwhile("grab", url, "frames", "--reconnect", "--count", "3")
    assert len(done.text.splitlines()) == 3
    assert set(files(tmp_path / "frames").values()) == {b"frame"}
    assert asked == 4


async def test_what_is_no_stream(serve: Serve, cli_meanwhile: AsyncCommand, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        match request.query_string:
            case "page":
                return web.Response(text="no")
            case "moved":
                return web.Response(status=302, headers={"Location": "http://localhost:99999/"})
            case "none":
                raise web.HTTPUnauthorized
            case "empty":
                return web.Response(body=b"--frame--\r\n", headers=TYPE)
            case "big":
                return web.Response(body=HEAD % 4 + b"data\r\n--frame--\r\n", headers=TYPE)
        response = web.StreamResponse(headers=TYPE)
        await response.prepare(request)
        await response.write(HEAD % 100)
        await asyncio.sleep(60)  # it is silent, until the client has had enough
        return response

    url = await serve(answer)
    assert "a port that there cannot be" in (await cli_meanwhile("grab", "http://localhost:99999", "frames")).complaint
    for query, options, said in (
        ("moved", [], "a port that there cannot be"),
        ("page", [], "multipart is expected, not text/plain"),
        ("none", [], "the server answers 401 Unauthorized"),
        ("none", ["--reconnect"], "the server answers 401 Unauthorized"),
        ("empty", [], "the stream ended without a frame"),
        ("big", ["--limit", "max_part_size=3"], "max_part_size"),
        ("silent", ["--timeout", "0.1"], "--timeout SECONDS waits longer"),
        ("big", ["--count", "0"], "'0' is no number of frames"),
    ):
        complaint = (await cli_meanwhile("grab", f"{url}?{query}", "frames", *options)).complaint
        assert said in complaint
    assert "multipart" in (await cli_meanwhile("grab", f"{url}?big", "frames", "--content-type", "image/png")).complaint
    assert not (tmp_path / "frames").exists()
    content_type = "multipart/x-mixed-replace; boundary=frame"
    assert (await cli_meanwhile("grab", f"{url}?page", "frames", "--content-type", content_type)).code == 2
