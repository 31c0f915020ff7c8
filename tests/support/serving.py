"""uvicorn, in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn


class UvicornServer(uvicorn.Server):
    """Says when it has started, and leaves the signals to pytest."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    def capture_signals(self) -> Any:
        return contextlib.nullcontext()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.ready.set()


@contextlib.asynccontextmanager
async def uvicorn_server(app: Any) -> AsyncIterator[str]:
    """Serve an application until the end of the block: its URL, with the slash."""
    with socket.create_server(("127.0.0.1", 0)) as listening_socket:
        config = uvicorn.Config(app, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
        server = UvicornServer(config)
        task = asyncio.create_task(server.serve([listening_socket]))
        await server.ready.wait()
        yield "http://{}:{}/".format(*listening_socket.getsockname())
        server.should_exit = True
        await task
