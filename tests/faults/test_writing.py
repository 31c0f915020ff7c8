"""Writing, cancelled at each await, over sinks and sources that raise, closed early.

Nothing stays open, no thread works on, what has gone out is a prefix, and what can be sent again is sent whole.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiofiles
import anyio
import pytest

from aiomultipart import READ_SIZE, IOBasePayload, MultipartReader, MultipartWriter, Payload, StateError, hdrs
from aiomultipart.writing.sinks import closing
from tests.faults.conftest import Threads
from tests.support.awaits import Cancel, Run, at_every_await
from tests.support.messages import BIG, BODY, coded
from tests.support.origins import SURVIVING, Script, pieces
from tests.support.reading import MIXED, build, next_part
from tests.support.writing import Async, Draining, Plain

LARGE = bytes(range(256)) * (READ_SIZE // 256) + b"the second chunk"


class Source:
    """Gives generators, and knows whether each that has begun has ended."""

    def __init__(self, *steps: bytes | BaseException) -> None:
        self.steps = steps
        self.open = 0

    async def generate(self) -> AsyncIterator[bytes]:
        self.open += 1
        try:
            for step in self.steps:
                await asyncio.sleep(0)
                if isinstance(step, BaseException):
                    raise step
                yield step
        finally:
            self.open -= 1
            await asyncio.sleep(0)

    __aiter__ = generate


class Writing(Payload):
    """Defines write() only."""

    def __init__(self, source: Source) -> None:
        super().__init__(None)
        self.source = source

    async def write(self, writer: Any) -> None:
        async with closing(aiter(self.source)) as chunks:
            async for chunk in chunks:
                await writer.write(chunk)
                await writer.drain()


class File(io.BytesIO):
    """A file that is no BytesIO to the writer, and that knows where it is read, and by how many at a time."""

    def __init__(self, data: bytes, error: BaseException | None = None) -> None:
        super().__init__(data)
        self.threads: set[threading.Thread] = set()
        self.reading = 0
        self.error = error

    def read(self, size: int | None = -1, /) -> bytes:
        self.threads.add(threading.current_thread())
        self.reading += 1
        try:
            if self.error is not None:
                raise self.error
            return super().read(size)
        finally:
            self.reading -= 1


def everything(source: Source, file: File) -> MultipartWriter:
    """A message with every kind of part, which can be sent often."""
    writer = MultipartWriter(boundary="outer")
    writer.append("text")
    writer.append(source)
    writer.append(IOBasePayload(file))
    nested = MultipartWriter(boundary="inner")
    nested.append(Writing(source))
    nested.append(source, {hdrs.CONTENT_ENCODING: "gzip"})
    writer.append(nested)
    writer.append(IOBasePayload(File(BODY)), {hdrs.CONTENT_ENCODING: "gzip", hdrs.CONTENT_TRANSFER_ENCODING: "base64"})
    writer.append(io.BytesIO(b"in memory"))
    return writer


class Sink:
    """Takes bytes, and waits in write() or in drain()."""

    def __init__(self, *, drains: bool, fail_at: int | None = None) -> None:
        self.sink: Plain = Draining() if drains else Async()
        self.calls = 0
        self.fail_at = fail_at
        self.error = ConnectionResetError("gone")
        if drains:
            self.drain = self._drain

    @property
    def data(self) -> bytes:
        return self.sink.data

    def write(self, data: bytes) -> Any:
        self._count()
        return self.sink.write(data)  # type: ignore[func-returns-value]

    async def _drain(self) -> None:
        self._count()
        await self.sink.drain()  # type: ignore[attr-defined]

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self.fail_at:
            raise self.error


async def sent(writer: MultipartWriter) -> bytes:
    sink = Plain()
    await writer.write(sink)
    return sink.data


Way = Callable[[MultipartWriter, Sink], Awaitable[object]]


async def _iterate(writer: MultipartWriter, sink: Sink) -> None:
    async with closing(aiter(writer)) as chunks:
        async for chunk in chunks:
            result = sink.write(chunk)
            if result is not None:
                await result


WAYS: dict[str, Way] = {
    "write": lambda writer, sink: writer.write(sink),
    "write_with_length": lambda writer, sink: writer.write_with_length(sink, 2**40),
    "iteration": _iterate,
    "as_bytes": lambda writer, sink: writer.as_bytes(),
}


@pytest.mark.parametrize("drains", [False, True], ids=["async write", "drain"])
@pytest.mark.parametrize("name", WAYS)
async def test_cancelled_at_every_await(name: str, drains: bool, threads: Threads) -> None:
    async def scenario(run: Run) -> None:
        source, file, sink = Source(b"1", BODY, b"3"), File(LARGE), Sink(drains=drains)
        writer = everything(source, file)
        try:
            await run.once(lambda: WAYS[name](writer, sink))
        except asyncio.CancelledError:
            pass
        assert source.open == 0
        assert file.reading == 0
        assert not threads.unfinished
        assert threading.main_thread() not in file.threads
        assert whole.startswith(sink.data)
        assert await sent(writer) == whole

    whole = await sent(everything(Source(b"1", BODY, b"3"), File(LARGE)))
    await at_every_await(scenario, least=15)


@pytest.mark.parametrize("name", WAYS)
async def test_what_can_be_sent_once(name: str) -> None:
    """Once it has begun it is refused, before the first byte; before that it is not."""

    async def scenario(run: Run) -> None:
        source, stream = Source(b"1", b"2"), Script([b"3", b"4"])
        generator = source.generate()
        writer = MultipartWriter(boundary="b")
        writer.append("first")
        writer.append(generator)
        writer.append(stream)
        sink = Sink(drains=True)
        try:
            await run.once(lambda: WAYS[name](writer, sink))
        except asyncio.CancelledError:
            pass
        assert source.open == 0
        again = Plain()
        if writer.consumed:
            with pytest.raises(StateError):
                await writer.write(again)
            assert again.pieces == []
        else:
            await writer.write(again)
            assert again.data == whole
        assert generator.ag_frame is None  # type: ignore[attr-defined]
        assert whole.startswith(sink.data)

    parts = [(b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 5", b"first")]
    parts += [(b"Content-Type: application/octet-stream", data) for data in (b"12", b"34")]
    whole = build(*parts) + b"\r\n"
    await at_every_await(scenario, least=5)


@pytest.mark.parametrize("drains", [False, True])
async def test_a_sink_that_fails(drains: bool, threads: Threads) -> None:
    whole = await sent(everything(Source(b"1", BODY), File(LARGE)))
    for at in range(1, 10_000):
        source, file, sink = Source(b"1", BODY), File(LARGE), Sink(drains=drains, fail_at=at)
        writer = everything(source, file)
        raised: BaseException | None = None
        try:
            await writer.write(sink)
        except ConnectionResetError as exc:
            raised = exc
        if sink.calls < at:
            assert raised is None
            break
        assert raised is sink.error
        assert source.open == 0
        assert not threads.unfinished
        assert whole.startswith(sink.data)
        assert sink.data != whole or drains
        assert await sent(writer) == whole
    assert at > 10


@pytest.mark.parametrize("coding", [None, "gzip"])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", ["generator", "write", "file", "async read"])
async def test_a_source_that_fails(kind: str, nested: bool, coding: str | None, threads: Threads) -> None:
    class Reading:
        def __init__(self) -> None:
            self.chunks = [b"1", b"2"]

        async def read(self, n: int) -> bytes:
            await asyncio.sleep(0)
            if self.chunks:
                return self.chunks.pop(0)
            raise error

    error = OSError("disk on fire")
    source = Source(b"1", b"2", error)
    other = Source(b"other")
    value: Any = {
        "generator": lambda: source,
        "write": lambda: Writing(source),
        "file": lambda: IOBasePayload(File(b"12", error)),
        "async read": Reading,
    }[kind]()
    writer = MultipartWriter(boundary="b")
    writer.append(other)
    writer.append(value, {} if coding is None else {hdrs.CONTENT_ENCODING: coding})
    writer.append("after")
    if nested:
        outer = MultipartWriter(boundary="outer")
        outer.append(writer)
        writer = outer
    for _ in range(2 if kind in {"generator", "write", "file"} else 1):
        for way in WAYS.values():
            sink = Sink(drains=True)
            with pytest.raises(OSError, match="on fire") as caught:
                await way(writer, sink)
            assert caught.value is error
            assert b"after" not in sink.data
            assert source.open == other.open == 0
            assert not threads.unfinished
            if kind == "async read":
                break


async def test_closed_at_every_chunk(threads: Threads) -> None:
    count = len([chunk async for chunk in everything(Source(b"1", BODY), File(LARGE))])
    assert count > 8
    for stop in range(count + 1):
        source = Source(b"1", BODY)
        chunks = aiter(everything(source, File(LARGE)))
        for _ in range(stop):
            await anext(chunks)
        await chunks.aclose()  # type: ignore[attr-defined]
        assert source.open == 0
        assert not threads.unfinished
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


async def test_closing_is_cancelled() -> None:
    """What is under way is closed for all that."""

    async def scenario(run: Run) -> None:
        source = Source(b"1", BODY)
        chunks = aiter(everything(source, File(b"x")))
        while source.open == 0:
            await anext(chunks)
        await run(chunks.aclose)  # type: ignore[attr-defined]
        assert chunks.ag_frame is None  # type: ignore[attr-defined]
        assert source.open == 0

    await at_every_await(scenario)


# Files


@pytest.mark.parametrize("how", Cancel)
async def test_real_files(how: Cancel, tmp_path: Path, threads: Threads) -> None:
    path = tmp_path / "file"
    path.write_bytes(LARGE)

    async def scenario(run: Run) -> None:
        binary, text = path.open("rb"), path.open("r", encoding="latin-1", newline="")
        writer = MultipartWriter(boundary="b")
        writer.append(binary)
        writer.append(text)
        try:
            try:
                await run.once(lambda: writer.write(Sink(drains=True)))
            except asyncio.CancelledError:
                pass
            assert not threads.unfinished
            data = await sent(writer)
            assert data.count(LARGE) == 1
            assert len(data) > 2 * len(LARGE)
        finally:
            await writer.close()
        assert binary.closed
        assert text.closed

    await at_every_await(scenario, ways=(how,), least=4)


async def test_a_thread_that_reads_is_waited_for(threads: Threads) -> None:
    """However often it is cancelled meanwhile."""
    file = File(LARGE)
    writer = MultipartWriter(boundary="b")
    writer.append(IOBasePayload(file))
    threads.gate.clear()
    task = asyncio.create_task(sent(writer))
    await threads.busy()
    for _ in range(3):
        task.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
    assert not task.done()
    threads.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not threads.unfinished
    assert LARGE in await sent(writer)


async def test_closing_the_writer_is_cancelled(threads: Threads) -> None:
    """All files are closed for all that, and no thread works on."""

    async def scenario(run: Run) -> None:
        class Slow:
            closed = False

            async def read(self, n: int) -> bytes:
                return b""

            async def aclose(self) -> None:
                self.closed = True
                await asyncio.sleep(0)

        files: list[Any] = [File(b"1"), Slow(), File(b"2"), File(b"3"), Slow()]
        writer, nested = MultipartWriter(), MultipartWriter()
        for i, file in enumerate(files):
            (nested if i in {1, 2} else writer).append(IOBasePayload(file) if isinstance(file, File) else file)
        writer.append(nested)
        try:
            await run.once(writer.close)
        except asyncio.CancelledError:
            pass
        assert all(file.closed for file in files)
        assert not threads.unfinished
        await writer.close()

    await at_every_await(scenario, least=5)


@pytest.mark.parametrize("library", ["aiofiles", "anyio"])
async def test_async_files(library: str, tmp_path: Path, threads: Threads) -> None:
    """Their libraries leave a thread at work, which is theirs; what matters is that the file can be sent again."""
    path = tmp_path / "file"
    path.write_bytes(LARGE)

    async def scenario(run: Run) -> None:
        file: Any = await (aiofiles.open(path, "rb") if library == "aiofiles" else anyio.open_file(path, "rb"))
        writer = MultipartWriter(boundary="b")
        writer.append("first")
        writer.append(file)
        try:
            try:
                await run.once(lambda: writer.write(Sink(drains=True)))
            except asyncio.CancelledError:
                await threads.idle()
            assert not writer.consumed
            assert LARGE in await sent(writer)
        finally:
            await writer.close()

    await at_every_await(scenario, ways=(Cancel.EARLY, Cancel.LATE), least=4)


# A received part is sent on


@pytest.mark.parametrize("coding", ["plain", "gzip"])
async def test_sending_on(coding: str, threads: Threads) -> None:
    async def scenario(run: Run) -> None:
        reader = MultipartReader(MIXED, SURVIVING["asyncio"](pieces(message, 23 if data is BODY else 800)))
        part = await next_part(reader)
        writer = MultipartWriter(boundary="b")
        writer.append(part)
        writer.append("after")
        sink = Sink(drains=True)
        try:
            await run.once(lambda: writer.write(sink))
        except asyncio.CancelledError:
            rest = await part.read(decode=True)
            begun = sink.data.partition(b"\r\n\r\n")[2]
            if not begun.startswith(data):
                assert data.endswith(rest)
                assert len(data) - len(rest) >= len(begun)
        assert await (await next_part(reader)).read() == b"x"
        assert not threads.unfinished

    data = BODY if coding == "plain" else BIG[:500_000]
    message = build(coded(coding, data), (b"", b"x"))
    await at_every_await(scenario, least=3)


async def test_sending_on_is_closed_early() -> None:
    reader = MultipartReader(MIXED, build((b"", BODY * 20_000)))
    part = await next_part(reader)
    writer = MultipartWriter(boundary="b")
    writer.append(part)
    chunks = aiter(writer)
    await anext(chunks)
    data = await anext(chunks)
    await chunks.aclose()  # type: ignore[attr-defined]
    assert data + await part.read() == BODY * 20_000
