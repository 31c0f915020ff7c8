"""One message, cut in many ways and given by every kind of source that the asyncio readers take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from unittest import mock

import aiohttp.streams
from aiohttp.base_protocol import BaseProtocol

from aiomultipart import BodyPartReader, MultipartReader
from aiomultipart.sources import ByteStream
from aiomultipart.testing import ScriptedSource, cuttings

MIXED = {"Content-Type": "multipart/mixed; boundary=b"}
FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def build(*parts: tuple[bytes, bytes], boundary: bytes = b"b", end: bytes = b"") -> bytes:
    """A message of (header block, body) pairs; ``end`` follows the close-delimiter."""
    pieces = [b"--%b\r\n%b\r\n%b\r\n" % (boundary, head + b"\r\n" if head else b"", body) for head, body in parts]
    return b"".join(pieces) + b"--%b--%b" % (boundary, end)


def by_asyncio(chunks: list[bytes]) -> asyncio.StreamReader:
    stream = asyncio.StreamReader()
    _feed(stream, chunks)
    return stream


def by_aiohttp(chunks: list[bytes]) -> aiohttp.streams.StreamReader:
    stream = aiohttp_stream()
    _feed(stream, chunks)
    return stream


def aiohttp_stream() -> aiohttp.streams.StreamReader:
    protocol = mock.Mock(spec=BaseProtocol, connected=True, _reading_paused=False)
    return aiohttp.streams.StreamReader(protocol, 2**16, loop=asyncio.get_running_loop())


def _feed(stream: asyncio.StreamReader | aiohttp.streams.StreamReader, chunks: list[bytes]) -> None:
    """Feed one chunk in each turn of the loop, so that the cuts are seen; then the end."""
    rest = iter(chunks)
    loop = asyncio.get_running_loop()

    def feed_one() -> None:
        data = next(rest, None)
        if data is None:
            stream.feed_eof()
        else:
            stream.feed_data(data)
            loop.call_soon(feed_one)

    loop.call_soon(feed_one)


async def by_generator(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


def by_bytes(chunks: list[bytes]) -> bytes:
    return b"".join(chunks)


def by_script(chunks: list[bytes]) -> ScriptedSource:
    return ScriptedSource(*[chunk for chunk in chunks if chunk])


KINDS: dict[str, Callable[[list[bytes]], ByteStream]] = {
    "bytes": by_bytes,
    "ScriptedSource": by_script,
    "asyncio": by_asyncio,
    "aiohttp": by_aiohttp,
    "generator": by_generator,
}


def sources(message: bytes, *, splits: int = 24, random_cuts: int = 3) -> Iterator[tuple[str, ByteStream]]:
    """Every cutting of ``message`` by every kind of source, each with a name for error messages."""
    for chunks in cuttings(message, splits=splits, random_cuts=random_cuts):
        for kind, make in KINDS.items():
            if kind == "bytes" and len(chunks) > 1:
                continue  # it is always whole
            yield f"{kind}: {chunks if len(message) < 1000 else len(chunks)}", make(chunks)


async def everywhere(
    message: bytes, check: Callable[[ByteStream], Awaitable[object]], *, splits: int = 24, random_cuts: int = 3
) -> None:
    """Run ``check`` over every source of every cutting."""
    for name, source in sources(message, splits=splits, random_cuts=random_cuts):
        try:
            await check(source)
        except BaseException as exc:
            exc.add_note(name)
            raise


async def next_part(reader: MultipartReader) -> BodyPartReader:
    """The next part, which is no nested message."""
    part = await reader.next()
    if not isinstance(part, BodyPartReader):
        raise AssertionError(f"{part!r} instead of a body part")  # noqa: TRY004
    return part


async def next_nested(reader: MultipartReader) -> MultipartReader:
    """The next part, which is a nested message."""
    part = await reader.next()
    if not isinstance(part, MultipartReader):
        raise AssertionError(f"{part!r} instead of a reader")  # noqa: TRY004
    return part


async def all_parts(reader: MultipartReader) -> list[object]:
    """The bodies of all parts; nested messages as lists."""
    return [await (all_parts(part) if isinstance(part, MultipartReader) else part.read()) async for part in reader]
