"""Answers that come before the whole request has.

A server that answers early and closes resets what is still being sent: a browser then shows that the connection is
lost, and a proxy that buffers requests, as nginx does, makes a 502 of the 413. So the rest of the request is read, and
dropped, before the answer ends; its status and all of its words are sent at once.
"""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ("Lingering",)


class Lingering:
    """ASGI middleware that reads a refused request to its end.

    :param size: how many bytes of it at most.
    :param seconds: how long at most.
    """

    def __init__(self, app: ASGIApp, *, size: int, seconds: float) -> None:
        self.app = app
        self._size = size
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        more = scope["method"] == "POST"

        async def receive_noted() -> Message:
            nonlocal more
            message = await receive()
            more = bool(message.get("more_body"))
            return message

        async def send_lingering(message: Message) -> None:
            nonlocal more
            if message["type"] == "http.response.start" and message["status"] == 408:
                more = False  # who has stalled is not waited for again
            elif more and not message.get("more_body", message["type"] != "http.response.body"):
                await send({**message, "more_body": True})
                message = {"type": "http.response.body"}
                left = self._size
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        while more and left > 0:
                            left -= len((await receive_noted()).get("body", b""))
            await send(message)

        await self.app(scope, receive_noted, send_lingering)
