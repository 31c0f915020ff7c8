"""Real servers and clients on the loopback interface."""

import asyncio
import os
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest
from aiohttp import web

from tests.support.browsing import FLAGS, DevTools, running, until

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start an aiohttp server around a handler, and give its URL."""
    runners = []

    async def start(handler: Handler) -> str:
        app = web.Application()
        app.router.add_route("*", "/", handler)
        runner = web.AppRunner(app, shutdown_timeout=1)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}/"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def httpx_client() -> AsyncIterator[httpx.AsyncClient]:
    # No certificates (they take longer to load than a test), and no proxy of the environment.
    async with httpx.AsyncClient(verify=False, trust_env=False, timeout=10) as client:
        yield client


@pytest.fixture
def listening_socket() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def program(*names: str) -> str:
    """Where a program is that tests run, by one of its names; without it they are skipped, but not in the CI."""
    places = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    for name in names:
        if path := shutil.which(name, path=places):
            return path
    what = f"{names[0]} is not installed"
    if os.environ.get("CI"):
        pytest.fail(f"{what}, and continuous integration has to have it")
    pytest.skip(what)


@pytest.fixture(scope="session")
def curl() -> str:
    return program("curl")


@pytest.fixture(scope="session")
def chromium() -> str:
    return program("chromium", "chromium-browser")


@pytest.fixture
async def browser(chromium: str, tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[DevTools]:
    profile = tmp_path / "profile"
    with (tmp_path / "chromium.log").open("wb") as log:
        async with (
            asyncio.timeout(60),
            running(chromium, *FLAGS, f"--user-data-dir={profile}", "about:blank", stdout=log, stderr=log),
        ):
            announced = profile / "DevToolsActivePort"
            await until(lambda: announced.exists() and "\n" in announced.read_text())
            port = announced.read_text().split()[0]
            pages: list[dict] = []
            while not pages:
                async with session.get(f"http://127.0.0.1:{port}/json/list") as response:
                    pages = [page for page in await response.json() if page["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as web_socket:
                yield DevTools(web_socket)


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    return program("ffmpeg")


@pytest.fixture(scope="session")
def node() -> str:
    return program("node")


@pytest.fixture(scope="session")
def nginx() -> str:
    return program("nginx")
