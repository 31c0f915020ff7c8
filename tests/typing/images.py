"""Types of image streams, as type checkers see them; nothing here is run."""

from __future__ import annotations

import asyncio
from typing import assert_type

import aiohttp
import httpx
from aiohttp import web

from aiomultipart import Frame, FrameBroadcast, FrameReader, FrameStream, frames


async def viewers(session: aiohttp.ClientSession, client: httpx.AsyncClient, reader: asyncio.StreamReader) -> None:
    def backoff(failures: int, error: Exception) -> float | None:
        return None if failures > 3 else 0.5 * failures

    async with session.get("http://camera/") as response:
        async for frame in frames(response):
            assert_type(frame, Frame)
            assert_type(frame.data, bytes)
            assert_type(frame.content_type, str | None)
            assert_type(frame.received_at, float)
    frames(lambda: session.get("http://camera/"), backoff=backoff, idle_timeout=10)
    frames(lambda: client.stream("GET", "http://camera/"), backoff=lambda failures, error: 1.0)
    async with frames(reader, content_type="multipart/x-mixed-replace; boundary=x", latest=True) as stream:
        assert_type(stream, FrameReader)
        assert_type(await anext(stream), Frame)
        assert_type(stream.dropped, int)


async def cameras(request: web.Request, writer: asyncio.StreamWriter, broadcast: FrameBroadcast) -> None:
    async with FrameStream(web.StreamResponse(), request) as stream:
        assert_type(stream, FrameStream)
        await stream.send(b"", "image/jpeg", last=True)
    async with FrameStream(writer, lengths=True) as stream:
        assert_type(stream.headers, dict[str, str])
        await stream.send(b"", headers={"X-Time": "7"})
    broadcast.publish(b"")
    assert_type(await broadcast.serve(web.StreamResponse(), request), int)
