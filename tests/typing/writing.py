"""Types of writing, as type checkers see them; nothing here is run."""

from __future__ import annotations

import httpx

from aiomultipart import FormData, MultipartWriter, Payload
from aiomultipart import LookupError as NotSendable
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
