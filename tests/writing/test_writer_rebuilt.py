"""A write() that other tasks write for, compression in threads, and messages in messages, however deep."""

from __future__ import annotations

import asyncio
import contextvars
import os
import sys
import threading
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import brotli
import pytest

from aiomultipart import MultipartWriter, Payload
from tests.support.writing import Plain, bodies, every_way, iterated, written

# A write() that has another task write for it


async def _in_a_task(writing: Awaitable[None]) -> None:
    await asyncio.ensure_future(writing)


async def _in_a_group(writing: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(writing)


async def _with_a_timeout(writing: Awaitable[None]) -> None:
    await asyncio.wait_for(writing, 60)


class Delegating(Payload):
    """Each piece is written by a task of its own."""

    def __init__(self, chunks: list[bytes], by: Callable[[Any], Awaitable[object]]) -> None:
        super().__init__(chunks)
        self._by = by

    async def write(self, writer: Any) -> None:
        for chunk in self._value:
            await self._by(writer.write(chunk))


@pytest.mark.parametrize("by", [asyncio.gather, asyncio.shield, _in_a_task, _in_a_group, _with_a_timeout])
@pytest.mark.parametrize("coding", [None, "gzip"])
async def test_write_by_another_task(by: Callable[[Any], Awaitable[object]], coding: str | None) -> None:
    writer = MultipartWriter(boundary="b")
    writer.append("first")
    writer.append(Delegating([b"12", b"", b"3"], by), {"Content-Encoding": coding} if coding else None)
    writer.append("last")
    await every_way(writer)
    assert await bodies(writer) == [b"first", b"123", b"last"]


async def test_two_tasks_write_at_a_time() -> None:
    class Both(Payload):
        async def write(self, writer: Any) -> None:
            await asyncio.gather(writer.write(b"12"), writer.write(b"34"))

    writer = MultipartWriter()
    writer.append(Both(None))
    (body,) = await bodies(writer)
    assert body in (b"1234", b"3412")


async def test_a_task_that_writes_and_fails_or_is_cancelled() -> None:
    class Failing(Payload):
        async def write(self, writer: Any) -> None:
            async def fail() -> None:
                await writer.write(b"12")
                raise OSError("gone")

            await asyncio.gather(fail())

    writer = MultipartWriter()
    writer.append(Failing(None))
    with pytest.raises(OSError, match="gone"):
        await writer.write(sink := Plain())
    assert sink.data.endswith(b"12")
    assert len(asyncio.all_tasks()) == 1


# Compressing on the loop

INLINE = 512 * 1024  # what is decoded on the loop at a time


class Compressions:
    """How many bytes were compressed by the thread that this was made in."""

    def __init__(self) -> None:
        self.here = threading.get_ident()
        self.on_the_loop = 0
        self.elsewhere = 0

    def count(self, data: bytes) -> None:
        if threading.get_ident() == self.here:
            self.on_the_loop += len(data)
        else:
            self.elsewhere += len(data)


def _watch(coding: str, monkeypatch: pytest.MonkeyPatch) -> Compressions:
    seen = Compressions()

    class Watched:
        def __init__(self, compressor: Any) -> None:
            self._compressor = compressor

        def __getattr__(self, name: str) -> Any:
            return getattr(self._compressor, name)

        def compress(self, data: bytes, *mode: Any) -> bytes:
            seen.count(data)
            return self._compressor.compress(data, *mode)  # type: ignore[no-any-return]

        def process(self, data: bytes) -> bytes:
            seen.count(data)
            return self._compressor.process(data)  # type: ignore[no-any-return]

    def watch(module: Any, name: str) -> None:
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, **options: Watched(original(*args, **options)))

    if coding == "br":
        watch(brotli, "Compressor")
    elif coding == "zstd":
        try:
            from compression import zstd  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            from backports import zstd  # type: ignore[no-redef,unused-ignore]
        watch(zstd, "ZstdCompressor")
    else:
        watch(zlib, "compressobj")
    return seen


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("send", [written, iterated, MultipartWriter.as_bytes])
async def test_a_file_is_compressed_in_a_thread(
    coding: str, send: Callable[[MultipartWriter], Awaitable[bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = os.urandom(1024) * (4 * INLINE // 1024)
    path = tmp_path / "long"
    path.write_bytes(data)
    with path.open("rb") as file:
        writer = MultipartWriter()
        writer.append(file, {"Content-Encoding": coding})
        assert await bodies(writer) == [data]
        seen = _watch(coding, monkeypatch)
        await send(writer)
    assert seen.on_the_loop + seen.elsewhere == len(data)
    assert seen.on_the_loop <= INLINE


@pytest.mark.parametrize("coding", ["gzip", "br"])
async def test_a_little_is_compressed_where_it_is(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = MultipartWriter()
    writer.append("little" * 100, {"Content-Encoding": coding})
    seen = _watch(coding, monkeypatch)
    await written(writer)
    assert (seen.on_the_loop, seen.elsewhere) == (600, 0)


# Writers in writers


def _inside_out(depth: int, chosen: bool = False) -> MultipartWriter:
    writer = MultipartWriter(boundary="o0o" if chosen else None)
    writer.append("leaf")
    for level in range(1, depth):
        outer = MultipartWriter(boundary=f"o{level}o" if chosen else None)
        outer.append(writer)
        writer = outer
    return writer


def _outside_in(depth: int, chosen: bool = False) -> MultipartWriter:
    outermost = writer = MultipartWriter(boundary="o0o" if chosen else None)
    for level in range(1, depth):
        inner = MultipartWriter(boundary=f"o{level}o" if chosen else None)
        writer.append(inner)
        writer = inner
    writer.append("leaf")
    return outermost


def _run(coroutine: Any) -> Any:
    """What a coroutine returns that does not wait for anything; no loop, whose own calls would be counted."""
    try:
        contextvars.copy_context().run(coroutine.send, None)
    except StopIteration as exc:
        return exc.value
    raise AssertionError("it waits")


DEEDS: dict[str, Callable[[MultipartWriter], Any]] = {
    "size": lambda writer: writer.size,
    "http_headers": lambda writer: writer.http_headers(),
    "consumed": lambda writer: writer.consumed,
    "rewind": lambda writer: writer.rewind(),
    "whole": lambda writer: writer.whole(),
    "decode": lambda writer: writer.decode(),
    "to_bytes": lambda writer: writer.to_bytes(),
    "serialize": lambda writer: b"".join(writer.serialize()),
    "open": lambda writer: writer.open().read(),
    "write": lambda writer: _run(writer.write(Plain())),
    "as_bytes": lambda writer: _run(writer.as_bytes()),
    "iteration": lambda writer: _run(iterated(writer)),
    "close": lambda writer: _run(writer.close()),
}


def _calls(deed: Callable[[], object]) -> int:
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        deed()
    finally:
        sys.setprofile(None)
    return calls


DEEPER = 1500  # more than Python recurses, by one frame at each level
LINEAR = 2.2  # times the calls for twice the depth


@pytest.mark.parametrize("build", [_inside_out, _outside_in])
def test_a_deep_message_is_built_without_recursion(build: Callable[[int], MultipartWriter]) -> None:
    assert len(build(DEEPER)) == 1


@pytest.mark.parametrize("deed", [*DEEDS])
def test_a_deep_message_without_recursion(deed: str) -> None:
    DEEDS[deed](_outside_in(DEEPER))


@pytest.mark.parametrize("build", [_inside_out, _outside_in])
@pytest.mark.parametrize("chosen", [False, True])
def test_a_deep_message_is_built_in_linear_time(build: Callable[[int, bool], MultipartWriter], chosen: bool) -> None:
    once, twice = (_calls(lambda depth=depth: build(depth, chosen)) for depth in (40, 80))  # type: ignore[misc]
    assert twice <= LINEAR * once


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("deed", [*DEEDS])
def test_a_deep_message_in_linear_time(deed: str, chosen: bool) -> None:
    writers = {depth: _outside_in(depth, chosen) for depth in (40, 80)}
    for _ in range(2):  # what is remembered from the first time is no excuse
        once, twice = (_calls(lambda writer=writer: DEEDS[deed](writer)) for writer in writers.values())  # type: ignore[misc]
        assert twice <= LINEAR * once
