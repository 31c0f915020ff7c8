"""Types of writing, as type checkers see them; nothing here is run."""

from __future__ import annotations

import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

import httpx
import requests

from aiomultipart import FormData, MultipartWriter, PathPayload, Payload
from aiomultipart import LookupError as NotSendable
from aiomultipart.writing.layout import Frames
from aiomultipart.writing.sinks import Writer

NOT_SENDABLE: type[Exception] = NotSendable


class Own(Payload):
    async def write(self, writer: Writer) -> None:
        await writer.write(b"x")


async def send(client: httpx.AsyncClient, writer: MultipartWriter) -> None:
    for part in writer:
        part.headers.pop("Content-Type", None)
    await client.post("/", content=writer, headers=writer.http_headers())
    body = FormData({"a": "b"}, default_to_multipart=True)()
    await client.post("/", content=body, headers=body.http_headers())


def bar(sent: int, total: int | None) -> None: ...


def send_without_a_loop(url: str, path: Path) -> None:
    with MultipartWriter("form-data", on_progress=bar) as body:
        body.append(path).set_content_disposition("form-data", name="report", filename="report.pdf")
        path_payload: Payload = body.append(PathPayload(path), size=3)
    headers: dict[str, str] = body.http_headers()
    pieces: Iterator[bytes] = body.serialize()
    whole: bytes = body.to_bytes()
    first: bytes = next(pieces)
    body.serialize().close()
    requests.post(url, data=body.serialize(), headers=headers, timeout=1)
    httpx.post(url, content=body.serialize(), headers=headers)
    urllib.request.Request(url, data=whole + first, headers=headers)
    file: BinaryIO
    with body.open() as file:
        some: bytes = file.read(1)
    same: bytes = path_payload.to_bytes() + some + path_payload.open().read()
    requests.post(url, data=same, timeout=1)


async def send_a_camera(camera: AsyncIterator[bytes], writer: Writer) -> None:
    form = FormData(on_progress=bar)
    form.add_field("video", camera, size=1_000_000, content_type="video/mp4", headers={"X-Camera": "1"})
    await form().write(writer)
    async with MultipartWriter("mixed", on_progress=bar) as body:
        body.append(camera, {"Content-Type": "video/mp4"}, size=3)
        body.append_json({"a": 1}, [("X", "1")])
        size: int | None = body.size
        bar(0, size)


def frames(jpeg: bytes) -> bytes:
    parts = Frames("b")
    return parts.start + parts.frame(jpeg, [("Content-Type", "image/jpeg")], last=True)
