"""A part of 256 MiB passes through the reader in less than 1 MiB."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator

import pytest

import aiomultipart

MIB = 1 << 20
BLOCK = bytes(64 * 1024)
BLOCKS = 256 * MIB // len(BLOCK)
HEADERS = {"Content-Type": "multipart/mixed; boundary=b"}


async def message(part_headers: bytes) -> AsyncIterator[bytes]:
    yield b"--b\r\n" + part_headers + b"\r\n"
    for _ in range(BLOCKS):
        yield BLOCK
    yield b"\r\n--b\r\n\r\nthe next\r\n--b--\r\n"


async def by_iter_chunks(part: aiomultipart.BodyPartReader) -> int:
    return sum([len(chunk) async for chunk in part.iter_chunks()])


async def by_small_chunks(part: aiomultipart.BodyPartReader) -> int:
    size = 0
    async for chunk in part.iter_chunks(20_000):
        size += len(chunk)
    return size


async def by_read_chunk(part: aiomultipart.BodyPartReader) -> int:
    size = 0
    while chunk := await part.read_chunk():
        size += len(chunk)
    return size


async def by_iteration(part: aiomultipart.BodyPartReader) -> int:
    size = 0
    async for chunk in part:
        size += len(chunk)
    return size


async def by_release(part: aiomultipart.BodyPartReader) -> None:
    await part.release()


async def by_next(part: aiomultipart.BodyPartReader) -> None:
    """Nothing: next() skips the part."""


@pytest.mark.parametrize("part_headers", [b"", b"Content-Length: %d\r\n" % (256 * MIB)], ids=["", "Content-Length"])
@pytest.mark.parametrize("read", [by_iter_chunks, by_small_chunks, by_read_chunk, by_iteration, by_release, by_next])
async def test_memory(read, part_headers: bytes) -> None:
    reader = aiomultipart.MultipartReader(HEADERS, message(part_headers))
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        async with asyncio.timeout(60):
            part = await reader.next()
            size = await read(part)
            following = await reader.next()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size in {None, 256 * MIB}
    assert await following.read() == b"the next"
    assert peak - before < MIB


async def test_a_reader_reads_no_further_than_it_is_asked_to() -> None:
    """The source is read a chunk at a time, when the chunk before it is used up."""
    taken = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal taken
        async for chunk in message(b""):
            taken += 1
            yield chunk

    async with aiomultipart.MultipartReader(HEADERS, source()) as reader:
        part = await reader.next()
        for _ in range(10):
            await part.read_chunk(len(BLOCK))
            before = taken
            await asyncio.sleep(0)
            assert taken == before <= 13
