"""Uploads that a real server saves while they arrive."""

from __future__ import annotations

import asyncio
import hashlib
import io
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import httpx
from aiohttp import web

from aiomultipart import DirectoryTarget, HashTarget, MultipartReader, SavedFile, TeeTarget
from tests.integration.conftest import Serve
from tests.support.reading import next_part
from tests.support.saving import MIB, files, pattern

BODY = pattern(5 * MIB + 7)


async def test_uploads(
    serve: Serve, session: aiohttp.ClientSession, httpx_client: httpx.AsyncClient, tmp_path: Path
) -> None:
    saved: list[tuple[str | None, SavedFile, str]] = []

    async def save(request: web.Request) -> web.Response:
        reader = MultipartReader(request.headers, request.content)
        for _ in range(2):
            part = await next_part(reader)
            file, digest = await part.copy_to(TeeTarget(DirectoryTarget(tmp_path), HashTarget("md5")))
            saved.append((part.filename, file, digest))
        assert await reader.next() is None
        return web.Response(text="saved")

    url = await serve(save)
    form = aiohttp.FormData()
    form.add_field("a", io.BytesIO(BODY), filename="a.bin")
    form.add_field("b", b"small", filename="b.bin")
    async with session.post(url, data=form) as response:
        assert await response.text() == "saved"
    answer = await httpx_client.post(url, files={"a": ("a.bin", BODY), "b": ("b.bin", b"small")})
    assert answer.text == "saved"
    assert [name for name, _, _ in saved] == ["a.bin", "b.bin"] * 2
    assert [file.path.read_bytes() for _, file, _ in saved] == [BODY, b"small"] * 2
    assert [digest for _, _, digest in saved] == [hashlib.md5(body).hexdigest() for body in (BODY, b"small")] * 2
    assert len(files(tmp_path)) == 4


async def test_a_client_that_goes_away(serve: Serve, tmp_path: Path) -> None:
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def handler(request: web.Request) -> web.Response:
        part = await next_part(MultipartReader(request.headers, request.content))
        try:
            await part.save(tmp_path / "x")
        except BaseException as exc:
            failed.set_result(exc)
            raise
        return web.Response()

    address = urlsplit(await serve(handler))
    _, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + BODY
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    error = await failed
    assert isinstance(error, OSError | asyncio.CancelledError | aiohttp.ClientError | web.RequestPayloadError), error
    assert files(tmp_path) == {}
