"""Sinks and sources for the tests of the writing side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiomultipart

CRLF = b"\r\n"


class Plain:
    """A writer whose ``write()`` is no coroutine, and that has no ``drain()``."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)


class Draining(Plain):
    """As ``asyncio.StreamWriter``: ``write()`` is plain, ``drain()`` is not. It counts what was not drained."""

    def __init__(self) -> None:
        super().__init__()
        self.drains = 0
        self.waiting = 0
        self.most_waiting = 0

    def write(self, data: bytes) -> None:
        super().write(data)
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)

    async def drain(self) -> None:
        await asyncio.sleep(0)
        self.drains += 1
        self.waiting = 0


class Async(Plain):
    """As ``aiohttp.abc.AbstractStreamWriter``."""

    async def write(self, data: bytes) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().write(data)


async def written(payload: aiomultipart.Payload, **options: Any) -> bytes:
    sink = Plain()
    await payload.write(sink, **options)
    return sink.data


async def iterated(writer: aiomultipart.MultipartWriter) -> bytes:
    pieces = [piece async for piece in writer]
    if not all(pieces):
        raise AssertionError("an empty piece")
    return b"".join(pieces)


async def every_way(writer: aiomultipart.MultipartWriter) -> bytes:
    """The bytes of a message that can be sent often; an AssertionError where two ways differ."""
    ways = {
        "write": await written(writer),
        "async write": (sink := Async(), await writer.write(sink), sink.data)[2],
        "draining write": (drain := Draining(), await writer.write(drain), drain.data)[2],
        "iteration": await iterated(writer),
        "as_bytes": await writer.as_bytes(),
        "write_with_length": (length := Plain(), await writer.write_with_length(length, None), length.data)[2],
    }
    try:
        serialized = writer.serialize()
    except TypeError as exc:  # a part needs a loop
        if "event loop" not in str(exc):
            raise
    else:
        with writer.open() as file:
            ways |= {"serialize": b"".join(serialized), "to_bytes": writer.to_bytes(), "open": file.read()}
    for way, data in ways.items():
        if data != ways["write"]:
            raise AssertionError(f"{way} gives {data!r}, write gives {ways['write']!r}")
    if writer.size not in (None, len(ways["write"])):
        raise AssertionError(f"size {writer.size} of {len(ways['write'])} bytes")
    return ways["write"]


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


class Repeatable:
    """An async iterable that gives a new iterator each time."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks

    def __aiter__(self) -> AsyncIterator[bytes]:
        return stream(*self.chunks)


class OnlyWrite(aiomultipart.Payload):
    """A payload as one writes it for aiohttp: ``write()`` and nothing else."""

    def __init__(self, chunks: Iterable[bytes], **kwargs: Any) -> None:
        super().__init__(list(chunks), **kwargs)

    async def write(self, writer: Any) -> None:
        for chunk in self._value:
            await asyncio.sleep(0)
            await writer.write(chunk)


async def bodies(writer: aiomultipart.MultipartWriter) -> list[bytes]:
    """What our reader makes of the message: the decoded bodies."""
    reader = aiomultipart.MultipartReader(writer.headers, await writer.as_bytes())
    return await _bodies(reader)


async def _bodies(reader: aiomultipart.MultipartReader) -> list[Any]:
    found: list[Any] = []
    async for part in reader:
        if isinstance(part, aiomultipart.MultipartReader):
            found.append(await _bodies(part))
        else:
            found.append(await part.read(decode=True))
    return found


def header_block(message: bytes, index: int = 0) -> dict[str, str]:
    """The header fields of a part of a flat message."""
    boundary = message.split(CRLF, 1)[0]
    block = message.split(boundary + CRLF)[index + 1].split(CRLF + CRLF, 1)[0]
    return dict(line.split(": ", 1) for line in block.decode().split("\r\n") if line)
