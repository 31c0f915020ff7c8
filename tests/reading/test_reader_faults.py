"""The readers under cancellation, with two tasks, after the reader moved on, and over bad or failing input."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import pytest

import aiomultipart
from aiomultipart import BodyPartReader, IncompleteBody, MultipartReader, ParseError, StateError
from aiomultipart.sources import ByteStream
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.support.reading import (
    KINDS,
    MIXED,
    aiohttp_stream,
    all_parts,
    build,
    by_script,
    everywhere,
    next_nested,
    next_part,
)

T = TypeVar("T")
BODY = b"one\r\ntwo\r\n--bb\r\nthree"
NESTED = b"Content-Type: multipart/mixed; boundary=bb"
MESSAGE = build(
    (b"A: 1", BODY),
    (NESTED, build((b"", b"inner"), (b"", b"more"), boundary=b"bb", end=b"\r\nx")),
    (b"Content-Length: 4", b"last"),
    end=b"\r\nepilogue",
)


class Interrupter:
    """Cancels an operation in each pause of its source, and calls it again, until it returns."""

    def __init__(self, source: ScriptedSource) -> None:
        self.source = source
        self.cancelled = 0

    async def __call__(self, operation: Callable[[], Awaitable[T]]) -> T:
        async def run() -> T:
            return await operation()

        while True:
            task = asyncio.create_task(run())
            paused = asyncio.create_task(self.source.paused())
            await asyncio.wait([task, paused], return_when=asyncio.FIRST_COMPLETED)
            paused.cancel()
            if task.done():
                return task.result()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            self.cancelled += 1
            self.source.resume()


METHODS: dict[str, Callable[[BodyPartReader], Awaitable[bytes]]] = {
    "read": lambda part: part.read(),
    "read decoded": lambda part: part.read(decode=True),
    "read_chunk": lambda part: part.read_chunk(3),
    "readline": lambda part: part.readline(),
    "anext": lambda part: anext(part, b""),
    "iter_chunks": lambda part: anext(part.iter_chunks(3), b""),
    "iter_chunks raw": lambda part: anext(part.iter_chunks(3, decode=False), b""),
}


async def gather_all(
    reader: MultipartReader, operation: Callable[[BodyPartReader], Awaitable[bytes]], again: Interrupter
) -> list[Any]:
    found: list[Any] = []
    while (part := await again(reader.next)) is not None:
        if isinstance(part, MultipartReader):
            found.append(await gather_all(part, operation, again))
            continue
        body = b""
        while data := await again(lambda part=part: operation(part)):  # type: ignore[misc]
            body += data
        assert part.at_eof()
        found.append(body)
    await again(reader.release)
    return found


@pytest.mark.parametrize("size", [1, 2, 7, 50])
@pytest.mark.parametrize("head", [b"", b"Content-Transfer-Encoding: base64\r\n"])
@pytest.mark.parametrize("method", METHODS)
async def test_cancelled_at_every_await_and_called_again(method: str, head: bytes, size: int) -> None:
    message, expected = MESSAGE, [BODY, [b"inner", b"more"], b"last"]
    if head:
        decoded = method in {"read decoded", "iter_chunks"}
        message = build((head[:-2], b"QUJD\r\nREVG\r\nR0g="), (b"", b"x"))
        expected = [b"ABCDEFGH" if decoded else b"QUJD\r\nREVG\r\nR0g=", b"x"]
    steps = [step for i in range(0, len(message), size) for step in (PAUSE, message[i : i + size])]
    source = ScriptedSource(*steps, PAUSE)
    again = Interrupter(source)
    assert await gather_all(MultipartReader(MIXED, source), METHODS[method], again) == expected
    assert again.cancelled == len(steps) // 2 + 1


async def test_a_cancelled_release_of_a_part() -> None:
    source = ScriptedSource(*[step for i in range(len(MESSAGE)) for step in (PAUSE, MESSAGE[i : i + 1])])
    again = Interrupter(source)
    reader = MultipartReader(MIXED, source)
    while (part := await again(reader.next)) is not None:
        await again(part.release)
        assert isinstance(part, MultipartReader) or part.at_eof()
    assert again.cancelled > 100


async def test_next_after_a_cancelled_release_of_the_reader() -> None:
    source = ScriptedSource(build((b"", b"x"), end=b"\r\n"), PAUSE, b"epilogue")
    reader = MultipartReader(MIXED, source)
    task = asyncio.create_task(reader.release())
    await source.paused()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not reader.at_eof()
    source.resume()
    assert await reader.next() is None
    assert reader.at_eof()


@pytest.mark.parametrize("make", [asyncio.StreamReader, aiohttp_stream, aiomultipart.StreamReader])
async def test_real_streams_survive_cancellation(make: Callable[[], Any]) -> None:
    stream = make()
    reader = MultipartReader(MIXED, stream)
    found = []
    part: BodyPartReader | None = None
    for byte in build((b"", BODY), end=b"\r\n"):
        task: asyncio.Task[Any] = asyncio.create_task(reader.next() if part is None else part.read_chunk())
        for _ in range(3):
            await asyncio.sleep(0)
        if task.done():
            if part is None:
                part = task.result()
                assert isinstance(part, BodyPartReader)
            else:
                found.append(task.result())
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        stream.feed_data(bytes([byte]))
    assert part is not None
    found.append(await part.read())
    assert b"".join(found) == BODY
    assert await reader.next() is None


async def test_a_timeout_raised_by_the_source_loses_nothing() -> None:
    source = ScriptedSource(b"--b\r\n\r\none", TimeoutError("slow"), b"two", TimeoutError("slow"), b"\r\n--b--")
    reader = MultipartReader(MIXED, source)
    part = await next_part(reader)
    for _ in range(2):
        with pytest.raises(TimeoutError, match="slow"):
            await part.read()
    assert await part.read() == b"onetwo"
    assert await reader.next() is None


# An async generator does not survive it


async def test_after_a_cancelled_async_generator_reads_raise() -> None:
    async def generate() -> AsyncIterator[bytes]:
        yield b"--b\r\n\r\nab"
        await asyncio.sleep(3600)

    reader = MultipartReader(MIXED, generate())
    part = await next_part(reader)
    task = asyncio.create_task(part.read())
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for read in (part.read, part.read_chunk, part.readline, part.text, part.release, reader.next, reader.release):
        for _ in range(2):
            with pytest.raises(StateError, match="generator"):  # noqa: PT012
                while await read():
                    pass
    assert not reader.at_eof()
    await reader.aclose()


async def test_after_a_failed_async_generator_reads_raise() -> None:
    async def generate() -> AsyncIterator[bytes]:
        yield b"--b\r\n\r\nab"
        raise ConnectionResetError("gone")

    part = await next_part(MultipartReader(MIXED, generate()))
    with pytest.raises(ConnectionResetError, match="gone"):
        await part.read()
    with pytest.raises(StateError):
        await part.read()


# Two tasks


async def test_two_tasks() -> None:
    source = ScriptedSource(b"--b\r\n" + NESTED + b"\r\n\r\n--bb\r\n\r\nab", PAUSE, b"\r\n--bb--\r\n--b--")
    reader = MultipartReader(MIXED, source)
    nested = await next_nested(reader)
    part = await next_part(nested)
    task = asyncio.create_task(part.read())
    await source.paused()
    calls: list[Callable[[], Awaitable[object]]] = [
        reader.next,
        reader.release,
        reader.aclose,
        nested.next,
        nested.release,
        part.read,
        part.read_chunk,
        part.readline,
        part.release,
        part.next,
        part.text,
        part.json,
        part.form,
        lambda: part.read(decode=True),
        lambda: anext(part),
        lambda: anext(part.iter_chunks()),
    ]
    for call in calls:
        with pytest.raises(StateError, match="another task"):
            await call()
    assert not part.at_eof()
    source.resume()
    assert await task == b"ab"
    assert await nested.next() is None
    assert await reader.next() is None


# Too late


async def test_a_part_read_after_next() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        part = await next_part(reader)
        iterator = part.iter_chunks(2)
        assert await anext(iterator)
        await reader.next()
        for method in METHODS.values():
            with pytest.raises(StateError, match="moved on"):
                await method(part)
        for name in ("text", "json", "form", "next"):
            with pytest.raises(StateError, match="moved on"):
                await getattr(part, name)()
        with pytest.raises(StateError, match="moved on"):
            await anext(iterator)
        assert part.at_eof()
        await part.release()
        assert part.headers["A"] == "1"
        assert len(await all_parts(reader)) == 1

    await everywhere(MESSAGE, check)


async def test_a_part_read_after_the_end_and_after_release() -> None:
    for end in ("next", "release"):
        reader = MultipartReader(MIXED, build((b"", b"x")))
        part = await next_part(reader)
        await getattr(reader, end)()
        with pytest.raises(StateError):
            await part.read()
        assert part.at_eof()
        await part.release()


# Bad input


@pytest.mark.parametrize("where", ["next", "read", "read_chunk", "readline", "release", "reader release"])
async def test_a_framing_error_is_raised_again_freshly(where: str) -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        part = await next_part(reader)
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "next": reader.next,
            "read": part.read,
            "read_chunk": part.read_chunk,
            "readline": part.readline,
            "release": part.release,
            "reader release": reader.release,
        }
        errors = []
        for _ in range(4):
            with pytest.raises(ParseError) as caught:  # noqa: PT012
                while True:
                    await calls[where]()
            errors.append(caught.value)
        if "re" in where and "reader" not in where:
            with pytest.raises(ParseError) as caught:
                await reader.next()
            errors.append(caught.value)
        assert len({id(error) for error in errors}) == len(errors)
        assert len({str(error) for error in errors}) == 1
        assert len({error.offset for error in errors}) == 1
        assert not reader.at_eof()

    await everywhere(b"--b\r\nContent-Length: 99\r\n\r\nab\r\n\r\n--b\r\n\r\nx\r\n--b--", check)


@pytest.mark.parametrize("method", [*METHODS, "text", "release", "next", "reader"])
async def test_truncation_at_every_offset(method: str) -> None:
    message = build((b"A: 1", BODY), (b"", b""), (b"Content-Length: 4", b"last"))
    calls: dict[str, Callable[[BodyPartReader], Awaitable[object]]] = {
        **METHODS,
        "text": lambda part: part.text(),
        "release": lambda part: part.release(),
        "next": lambda part: part.next(),
        "reader": lambda part: asyncio.sleep(0),
    }

    async def run(reader: MultipartReader) -> None:
        async for part in reader:
            assert isinstance(part, BodyPartReader)
            while await calls[method](part):
                pass

    await run(MultipartReader(MIXED, message))
    for cut in range(len(message)):
        chunks = [message[:cut]] if cut % 2 else [message[:cut][i : i + 1] for i in range(cut)]
        for make in KINDS.values() if cut % 16 == 0 else [by_script]:
            reader = MultipartReader(MIXED, make(chunks))
            for _ in range(2):
                with pytest.raises(IncompleteBody):
                    await run(reader)
            with pytest.raises(IncompleteBody):
                await reader.release()
            assert not reader.at_eof()


async def test_truncation_while_decoding() -> None:
    head = b"Content-Encoding: gzip"
    message = build((head, gzip.compress(BODY, mtime=0)))
    for cut in range(message.index(b"\r\n\r\n") + 4, len(message)):
        part = await next_part(MultipartReader(MIXED, message[:cut]))
        for _ in range(2):
            with pytest.raises(IncompleteBody):
                await part.read(decode=True)
        with pytest.raises(IncompleteBody):
            async for _ in part.iter_chunks():
                pass


class SourceError(Exception):
    pass


@pytest.mark.parametrize("method", [*METHODS, "release"])
async def test_exceptions_of_the_source_come_unchanged(method: str) -> None:
    error = SourceError("disk on fire")
    calls: dict[str, Callable[[BodyPartReader], Awaitable[object]]] = {
        **METHODS,
        "release": lambda part: part.release(),
    }
    for cut in range(0, len(MESSAGE) - 10, 3):
        source = ScriptedSource(MESSAGE[:cut], error, MESSAGE[cut:]) if cut else ScriptedSource(error, MESSAGE)
        reader = MultipartReader(MIXED, source)

        async def run(reader: MultipartReader) -> None:
            async for part in reader:
                if isinstance(part, MultipartReader):
                    await run(part)
                else:
                    while await calls[method](part):
                        pass

        with pytest.raises(SourceError) as caught:  # noqa: PT012
            await run(reader)
            await reader.release()
        assert caught.value is error
        # It may go on.
        await reader.release()


async def test_a_source_that_gives_something_else() -> None:
    class Text:
        async def read(self, n: int) -> Any:
            return "text"

    with pytest.raises(TypeError):
        await MultipartReader(MIXED, Text()).next()
