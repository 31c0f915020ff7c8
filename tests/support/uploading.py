"""The upload server example, running, for its tests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import uvicorn
from starlette.types import ASGIApp

from examples.upload_server.app import UploadServer, make_app
from tests.support.browsing import until
from tests.support.saving import files
from uploads.settings import Settings


class Site:
    """A running server.

    :ivar url: of its page, without the slash.
    :ivar server: its request handlers.
    """

    def __init__(self, server: UploadServer, address: tuple[str, int], client: httpx.AsyncClient) -> None:
        self.server = server
        self.address = address
        self.url = str(client.base_url)
        self.client = client
        storage = server.settings.storage
        self.directory = Path(httpx.URL(storage).path) if storage.startswith("file:") else Path()

    async def upload(self, *contents: bytes, path: str = "/upload", **options) -> httpx.Response:
        form = [("file", (f"{number}.bin", content)) for number, content in enumerate(contents)]
        return await self.client.post(path, files=form, **options)

    def stored(self) -> dict[str, bytes]:
        """The files in the directory; what is arriving has a subdirectory, of which there is one."""
        (incoming,) = (path for path in self.directory.iterdir() if path.is_dir())
        assert files(incoming) == {}
        return {path.name: path.read_bytes() for path in self.directory.iterdir() if path.is_file()}


@contextlib.asynccontextmanager
async def serving(settings: Settings, wrap: Callable[[ASGIApp], ASGIApp] = lambda app: app) -> AsyncIterator[Site]:
    """A server, until the end of the block.

    :param wrap: makes the application that is served of the server's own.
    """
    app = make_app(settings)
    server = uvicorn.Server(
        uvicorn.Config(wrap(app), port=0, log_config=None, lifespan="on", ws="none", timeout_graceful_shutdown=5)
    )
    server.capture_signals = contextlib.nullcontext  # leaves the signals to pytest
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started or task.done())
    host, port = server.servers[0].sockets[0].getsockname()
    try:
        async with httpx.AsyncClient(
            base_url=f"http://{host}:{port}", verify=False, trust_env=False, timeout=30
        ) as client:
            yield Site(app.state.server, (host, port), client)
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, 20)
