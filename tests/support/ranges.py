"""Responses with ranges, made by hand: those of httpx, whose body comes in the chunks that a test wants."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import httpx

from aiomultipart import RangePart
from aiomultipart.families.byteranges import ByteRanges
from tests.support.origins import Iterator

Got = tuple[int, int | None, int | None, bytes]
BYTERANGES = {"Content-Type": "multipart/byteranges; boundary=b"}


def message(*parts: tuple[str | None, bytes], boundary: str = "b", content_type: str = "text/plain") -> bytes:
    """The body of a multipart 206: pairs of a Content-Range, or none, and a body."""
    pieces = []
    for content_range, body in parts:
        head = f"--{boundary}\r\nContent-Type: {content_type}\r\n"
        if content_range is not None:
            head += f"Content-Range: {content_range}\r\n"
        pieces.append(head.encode() + b"\r\n" + body + b"\r\n")
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


def response(
    status: int, headers: dict[str, str] | Sequence[tuple[str, str]], chunks: bytes | Iterable[bytes]
) -> httpx.Response:
    """What a client has before it has read the body."""
    chunks = [chunks] if isinstance(chunks, bytes) else chunks
    return httpx.Response(
        status,
        headers=headers,
        content=Iterator([chunk for chunk in chunks if chunk]),
        request=httpx.Request("GET", "http://user:secret@server/file"),
    )


async def gather(parts: ByteRanges) -> list[Got]:
    """All ranges, each read whole."""
    return [(first, last, length, await part.read()) async for first, last, length, part in parts]


async def taken(found: RangePart) -> Got:
    return found.first_pos, found.last_pos, found.complete_length, await found.part.read()
