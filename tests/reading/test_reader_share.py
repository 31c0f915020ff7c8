"""The readers among other tasks: the loop runs on beside them, and no byte is moved again and again."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

import pytest

from aiomultipart import BodyPartReader, MultipartReader, StreamReader, read_form
from aiomultipart.parser import Defect
from aiomultipart.sources import ByteStream
from aiomultipart.targets import NullTarget
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.support.reading import FORM, MIXED, build, next_part

KIB, MIB = 1024, 1024 * 1024


class Turns:
    """Counts the turns of the loop while its block is run."""

    def __init__(self) -> None:
        self.count = 0

    def _turn(self) -> None:
        self.count += 1
        self._handle = asyncio.get_running_loop().call_soon(self._turn)

    def __enter__(self) -> Self:
        self._handle = asyncio.get_running_loop().call_soon(self._turn)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._handle.cancel()


# A source that never waits

CHUNK = bytes(64 * KIB)
CHUNKS = 16 * MIB // len(CHUNK)


def message(head: bytes) -> list[bytes]:
    return [b"--b\r\n%b\r\n\r\n" % head, *[CHUNK] * CHUNKS, b"\r\n--b--"]


class Readable:
    def __init__(self, chunks: list[bytes]) -> None:
        self.rest = list(reversed(chunks))

    async def read(self, n: int = -1) -> bytes:
        return self.rest.pop() if self.rest else b""


async def iterable(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def by_chunk(part: BodyPartReader) -> None:
    while await part.read_chunk():
        pass


async def by_iteration(part: BodyPartReader) -> None:
    async for _ in part:
        pass


async def by_iter_chunks(part: BodyPartReader) -> None:
    async for _ in part.iter_chunks():
        pass


WAYS: dict[str, Callable[[BodyPartReader], Awaitable[object]]] = {
    "read": BodyPartReader.read,
    "read decoded": lambda part: part.read(decode=True),
    "read_chunk": by_chunk,
    "readline": BodyPartReader.readline,
    "iteration": by_iteration,
    "iter_chunks": by_iter_chunks,
    "copy_to": lambda part: part.copy_to(NullTarget()),
    "release": BodyPartReader.release,
}


@pytest.mark.parametrize("make", [Readable, iterable])
@pytest.mark.parametrize("way", WAYS)
async def test_a_source_that_never_waits_lets_the_loop_run(way: str, make: Callable[[list[bytes]], ByteStream]) -> None:
    part = await next_part(MultipartReader(MIXED, make(message(b"A: 1"))))
    with Turns() as turns:
        await WAYS[way](part)
        assert turns.count > 0


@pytest.mark.parametrize("step", [MultipartReader.next, MultipartReader.release])
async def test_to_pass_over_a_source_that_never_waits_lets_the_loop_run(
    step: Callable[[MultipartReader], Awaitable[object]],
) -> None:
    reader = MultipartReader(MIXED, Readable(message(b"A: 1")))
    await reader.next()
    with Turns() as turns:
        await step(reader)
        assert turns.count > 0


async def test_a_form_from_a_source_that_never_waits_lets_the_loop_run() -> None:
    source = Readable(message(b'Content-Disposition: form-data; name="f"; filename="f"'))
    with Turns() as turns:
        await read_form(FORM, source, targets={"f": NullTarget()})
        assert turns.count > 0


# A source that gives much at once


def at_once(data: bytes) -> StreamReader:
    stream = StreamReader(high_water=len(data))
    stream.feed_data(data)
    stream.feed_eof()
    return stream


HUGE: dict[str, Callable[[bytes], ByteStream]] = {
    "bytes": bytes,
    "StreamReader": at_once,
    "generator": lambda data: iterable([data]),
}


@pytest.mark.parametrize("kind", HUGE)
async def test_the_far_end_of_a_huge_chunk_is_not_looked_at_before_its_time(kind: str) -> None:
    empty = b"--b\r\n\r\n" * (2 * MIB // 7)
    reader = MultipartReader(MIXED, HUGE[kind](empty + build((b"Content-Type: image", b"last"))))
    assert await reader.next() is not None
    found: list[Defect] = [*reader.defects]
    assert not found
    await reader.release()
    found.extend(reader.defects)
    assert [defect.kind for defect in found] == ["bad-content-type"]


@pytest.mark.parametrize("kind", HUGE)
async def test_the_loop_runs_while_a_huge_chunk_of_empty_parts_is_passed_over(kind: str) -> None:
    data = b"--b\r\n\r\n" * (2 * MIB // 7) + b"--b--"
    reader = MultipartReader(MIXED, HUGE[kind](data))
    with Turns() as turns:
        await reader.next()
        await reader.release()
        assert turns.count > 0
    reader = MultipartReader(MIXED, HUGE[kind](data))
    with Turns() as turns:
        async for _ in reader:
            pass
        assert turns.count > 0


# What is moved


class Sliced(bytes):
    """Bytes that count what is copied out of them. ``bytes()`` takes them as they are."""

    copied = 0

    def __bytes__(self) -> Sliced:
        return self

    def __getitem__(self, key: Any, /) -> Any:
        found = Sliced(super().__getitem__(key))
        Sliced.copied += len(found)
        return found


@pytest.mark.parametrize("size", [1, 64, 1000])
async def test_a_stream_reader_copies_a_chunk_once(size: int) -> None:
    data = Sliced(b"0123456789abcdef" * 1024)
    stream = at_once(data)
    Sliced.copied = 0
    found = []
    while piece := await stream.read(size):
        found.append(piece)
    assert b"".join(found) == data
    assert max(map(len, found)) == size
    assert Sliced.copied <= 2 * len(data)


async def test_a_chunk_of_a_stream_reader_may_be_read_in_every_way() -> None:
    stream = at_once(b"0123456789")
    assert await stream.read(2) == b"01"
    assert await stream.read(3) == b"234"
    rest = await stream.receive()
    assert (type(rest), rest) == (bytes, b"56789")
    stream = at_once(b"0123456789")
    assert [await stream.read(2), await stream.read(), await stream.read()] == [b"01", b"23456789", b""]


@pytest.mark.parametrize("way", ["read", "read decoded", "readline"])
@pytest.mark.parametrize("head", [b"", b"Content-Transfer-Encoding: quoted-printable\r\n"])
async def test_a_read_that_is_cancelled_again_and_again_does_not_join_all_anew(head: bytes, way: str) -> None:
    piece = b"x" * (64 * KIB)
    source = ScriptedSource(b"--b\r\n%b\r\n" % head)
    part = await next_part(MultipartReader(MIXED, source))

    async def cancelled() -> None:
        source.add(piece, PAUSE)
        task = asyncio.ensure_future(WAYS[way](part))
        await source.paused()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        source.resume()

    for _ in range(64):
        await cancelled()
    tracemalloc.start()
    try:
        await cancelled()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 * MIB
    source.add(b"\r\n--b--")
    assert await WAYS[way](part) == piece * 65
