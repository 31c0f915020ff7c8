"""aiomultipart.testing: the source that replays a script, and the cuttings."""

from __future__ import annotations

import asyncio

import pytest

from aiomultipart import MultipartReader
from aiomultipart.testing import PAUSE, ScriptedSource, cuttings
from tests.support.reading import MIXED, all_parts, build


async def test_steps() -> None:
    error = OSError("x")
    source = ScriptedSource(b"abc", b"", error, b"d")
    assert await source.read(2) == b"ab"
    assert await source.read(2) == b"c"
    assert await source.read(2) == b""
    with pytest.raises(OSError, match="x") as caught:
        await source.read(2)
    assert caught.value is error
    assert await source.read() == b"d"
    assert await source.read() == b""
    source.add(b"ef", b"g")
    source.add(b"h")
    assert [await source.read() for _ in range(4)] == [b"ef", b"g", b"h", b""]
    assert (source.reads, source.given) == (10, 8)


async def test_pauses() -> None:
    source = ScriptedSource(PAUSE, b"a", PAUSE, b"b")
    assert repr(PAUSE) == "PAUSE"
    for _ in range(2):
        task = asyncio.create_task(source.read(5))
        await asyncio.wait_for(source.paused(), 5)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    task = asyncio.create_task(source.read(5))
    await source.paused()
    source.resume()
    assert await task == b"a"
    source.resume()  # the next one, in advance
    assert await source.read(5) == b"b"
    assert await source.read(5) == b""


async def test_as_a_source() -> None:
    message = build((b"", b"x"))
    source = ScriptedSource(message[:5], message[5:])
    assert await all_parts(MultipartReader(MIXED, source)) == [b"x"]
    assert source.given == len(message)


@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, 799, 1000])
def test_cuttings(size: int) -> None:
    message = bytes(i % 251 for i in range(size))
    ways = list(cuttings(message))
    assert all(b"".join(chunks) == message for chunks in ways)
    assert ways[0] == [message]
    assert [b"".join(chunks) for chunks in ways].count(message) == len(ways)
    assert ways == list(cuttings(message))
    in_two = ways[2:-8]
    assert all(len(chunks) == 2 and all(chunks) for chunks in in_two)
    assert len(in_two) == (max(0, size - 1) if size <= 400 else len(in_two)) <= 400
    assert len(list(cuttings(message, splits=5, random_cuts=3))) <= 10
    assert size < 10 or ways[-8:] != list(cuttings(message, seed=1))[-8:]
