"""Chromium, driven by the DevTools protocol, and other programs that a test starts."""

import asyncio
import base64
import contextlib
import inspect
import itertools
from collections.abc import AsyncIterator, Callable

import aiohttp

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=960,720",
    "--remote-debugging-port=0",
]


async def until(condition: Callable[[], object]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(20):
        while True:
            result = condition()
            if await result if inspect.isawaitable(result) else result:
                return
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def running(*command: str, **options) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program, until the end of the block."""
    process = await asyncio.create_subprocess_exec(*command, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


class DevTools:
    """A page of Chromium, by the DevTools protocol.

    :ivar events: what it has told unasked.
    """

    def __init__(self, web_socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = web_socket
        self._numbers = itertools.count(1)
        self.events: list[dict] = []

    async def call(self, method: str, **params) -> dict:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            answer = await self._socket.receive_json()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    async def evaluate(self, expression: str):
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return result["result"].get("value")

    async def screenshot(self) -> bytes:
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])
