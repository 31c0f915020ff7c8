"""Two tasks in one reader: StateError for the second at every await of the first, which goes on undisturbed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiomultipart import BodyPartReader, MultipartReader, StateError
from aiomultipart.writing.sinks import closing
from tests.support.awaits import at_once, watched_at_every_await
from tests.support.messages import ALL_WAYS, BIG, BODY, NESTED, WAYS, coded
from tests.support.origins import DYING, SURVIVING, pieces
from tests.support.reading import MIXED, build, next_nested, next_part

Call = Callable[[], Awaitable[object]]
EVERYWHERE = SURVIVING | DYING


def calls_of(reader: MultipartReader | None = None, part: BodyPartReader | None = None) -> list[Call]:
    calls: list[Call] = []
    if reader is not None:
        calls += [reader.next, reader.release, reader.aclose, lambda: anext(reader)]
    if part is not None:
        calls += [lambda way=way: way(part, []) for way in ALL_WAYS.values()]  # type: ignore[misc]
        calls += [lambda: _first(part)]
    return calls


async def _first(part: BodyPartReader) -> bytes:
    async with closing(part.iter_chunks(1)) as chunks:
        return await anext(chunks)


def all_refused(calls: list[Call]) -> None:
    """Each raises, and none waits."""
    for call in calls:
        with pytest.raises(StateError):
            at_once(call)


@pytest.mark.parametrize("kind", EVERYWHERE)
@pytest.mark.parametrize("name", WAYS)
async def test_while_a_part_is_read(name: str, kind: str) -> None:
    inner = build((b"", BODY), (b"", b"x"), boundary=b"bb")
    async with MultipartReader(MIXED, EVERYWHERE[kind](pieces(build((NESTED, inner), (b"", b"y")), 9))) as reader:
        nested = await next_nested(reader)
        part = await next_part(nested)
        found: list[bytes] = []
        calls = calls_of(reader) + calls_of(nested)[:2] + calls_of(part=part)
        _, count = await watched_at_every_await(lambda: WAYS[name](part, found), lambda: all_refused(calls))
        assert count >= 2
        assert b"".join(found) == BODY
        assert await (await next_part(nested)).read() == b"x"
        assert await nested.next() is None
        assert await (await next_part(reader)).read() == b"y"
        assert await reader.next() is None


@pytest.mark.parametrize("kind", EVERYWHERE)
async def test_while_the_reader_goes_to_the_next_part(kind: str) -> None:
    async with MultipartReader(MIXED, EVERYWHERE[kind](pieces(build((b"", BODY), (b"", b"y")), 9))) as reader:
        part = await next_part(reader)
        calls = calls_of(reader) + calls_of(part=part)[:-2]
        second, count = await watched_at_every_await(lambda: next_part(reader), lambda: all_refused(calls))
        assert count >= 3
        assert await second.read() == b"y"


@pytest.mark.parametrize("nested", [False, True])
async def test_while_the_reader_is_released(nested: bool) -> None:
    source = SURVIVING["aiohttp"](pieces(build((NESTED, build((b"", BODY), boundary=b"bb")), (b"", b"y")), 9))
    outer = MultipartReader(MIXED, source)
    reader = await next_nested(outer) if nested else outer
    calls = calls_of(outer)
    _, count = await watched_at_every_await(reader.release, lambda: all_refused(calls))
    assert count >= 3
    assert await reader.next() is None
    if nested:
        assert await (await next_part(outer)).read() == b"y"


async def test_while_a_part_is_released() -> None:
    reader = MultipartReader(MIXED, SURVIVING["asyncio"](pieces(build((b"", BODY), (b"", b"y")), 9)))
    part = await next_part(reader)
    calls = calls_of(reader, part)
    _, count = await watched_at_every_await(part.release, lambda: all_refused(calls))
    assert count >= 2
    assert await (await next_part(reader)).read() == b"y"


@pytest.mark.parametrize("name", ["read decoded", "iter_chunks", "text"])
async def test_while_a_thread_decodes(name: str) -> None:
    reader = MultipartReader(MIXED, build(coded("gzip", BIG), (b"", b"y")))
    part = await next_part(reader)
    found: list[bytes] = []
    calls = calls_of(reader, part)

    async def read() -> None:
        if name == "iter_chunks":
            async with closing(part.iter_chunks()) as chunks:
                found.extend([chunk async for chunk in chunks])
        else:
            await WAYS[name](part, found)

    _, count = await watched_at_every_await(read, lambda: all_refused(calls))
    assert count >= 5
    assert b"".join(found) == BIG
    assert await (await next_part(reader)).read() == b"y"


@pytest.mark.parametrize("kind", SURVIVING)
async def test_two_real_tasks(kind: str) -> None:
    """Both are awaited; what the second gets is an error, whichever of them began."""
    reader = MultipartReader(MIXED, SURVIVING[kind](pieces(build((b"", BODY), (b"", b"y")), 9)))
    part = await next_part(reader)
    results: list[Any] = await asyncio.gather(part.read(), part.read(), reader.next(), return_exceptions=True)
    assert results[0] == BODY
    assert [type(result) for result in results[1:]] == [StateError, StateError]
    assert await (await next_part(reader)).read() == b"y"


async def test_two_tasks_in_a_part_alone() -> None:
    part = BodyPartReader(b"--b", {}, SURVIVING["aiohttp"](pieces(BODY + b"\r\n--b--", 5)))
    _, count = await watched_at_every_await(part.read, lambda: all_refused(calls_of(part=part)))
    assert count >= 4


# A part that the reader has moved on from


@pytest.mark.parametrize("kind", EVERYWHERE)
@pytest.mark.parametrize("how", ["next", "release", "aclose", "end"])
async def test_moved_on(how: str, kind: str) -> None:
    async with MultipartReader(MIXED, EVERYWHERE[kind](pieces(build((b"", BODY), coded("gzip", BODY))))) as reader:
        part = await next_part(reader)
        begun = part.iter_chunks(3)
        assert await anext(begun) == BODY[:3]
        await (reader.next if how in {"next", "end"} else getattr(reader, how))()
        if how == "end":
            assert await reader.next() is None
        with pytest.raises(StateError):
            await anext(begun)
        for name, way in [*ALL_WAYS.items()] * 2:
            if name != "release":
                with pytest.raises(StateError):
                    await way(part, [])
            assert part.at_eof()
            await part.release()


class Waiting(MultipartReader):
    """Its fetch_next_part() waits, before the part is made or after that."""

    after: bool
    waits: asyncio.Event
    go_on: asyncio.Event

    async def fetch_next_part(self) -> MultipartReader | BodyPartReader:
        if self.after:
            part = await super().fetch_next_part()
        self.waits.set()
        await self.go_on.wait()
        return part if self.after else await super().fetch_next_part()


@pytest.mark.parametrize("after", [False, True])
async def test_while_an_override_of_fetch_next_part_waits(after: bool) -> None:
    reader = Waiting(MIXED, build((b"", b"x")))
    reader.after, reader.waits, reader.go_on = after, asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(reader.next())
    await reader.waits.wait()
    try:
        all_refused(calls_of(reader))
    finally:
        reader.go_on.set()
        part = await task
    assert isinstance(part, BodyPartReader)
    assert await part.read() == b"x"
