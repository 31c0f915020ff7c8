"""The writing contract: sinks, streaming, waiting, sending again, progress, files."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import socket
import threading
import tracemalloc
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import aiomultipart
from aiomultipart import READ_SIZE, MultipartWriter, Payload, StateError, get_payload, hdrs
from tests.support.writing import (
    Async,
    Draining,
    OnlyWrite,
    Plain,
    Repeatable,
    bodies,
    every_way,
    iterated,
    stream,
    written,
)

MIB = 1 << 20


def mixed(*parts: Any, boundary: str = "b", **options: Any) -> MultipartWriter:
    writer = MultipartWriter(boundary=boundary, **options)
    for part in parts:
        writer.append(part)
    return writer


# Sinks


async def test_plain_async_and_draining_sinks() -> None:
    writer = mixed("a", Repeatable(b"1", b"2"), "b")
    whole = await writer.as_bytes()
    for sink in (Plain(), Async(), Draining()):
        await writer.write(sink)
        assert sink.data == whole
    assert isinstance(sink, Draining)
    assert sink.drains == len(sink.pieces)
    assert sink.most_waiting == 1


async def test_asyncio_stream_writer() -> None:
    """With a small buffer, so that drain() has to wait for the reader."""
    ours, theirs = socket.socketpair()
    _, stream_writer = await asyncio.open_connection(sock=ours)
    reader, other = await asyncio.open_connection(sock=theirs)
    stream_writer.transport.set_write_buffer_limits(high=1000)
    data = os.urandom(3 * MIB)
    writer = mixed("a", io.BytesIO(data))

    async def send() -> None:
        await writer.write(stream_writer)
        stream_writer.close()
        await stream_writer.wait_closed()

    task = asyncio.create_task(send())
    await asyncio.sleep(0.05)
    assert not task.done()
    assert stream_writer.transport.get_write_buffer_size() <= READ_SIZE
    received = await reader.read()
    await task
    other.close()
    await other.wait_closed()
    assert received == await writer.as_bytes()


async def test_a_sink_that_fails() -> None:
    closed = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            closed.append(True)

    class Broken(Plain):
        def write(self, data: bytes) -> None:
            super().write(data)
            if len(self.pieces) == 2:
                raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await mixed("a", source()).write(Broken())
    assert closed == [True]


# Joining, and holding nothing back


async def test_small_pieces_are_joined() -> None:
    writer = mixed(*["x"] * 100)
    writer.append(mixed(*[io.BytesIO(b"y")] * 100, boundary="i"))
    sink = Plain()
    await writer.write(sink)
    assert len(sink.pieces) == 1
    many = mixed(*["x" * 1000] * 1000)
    sink = Plain()
    await many.write(sink)
    assert sink.data == await many.as_bytes()
    assert 10 <= len(sink.pieces) <= 20
    assert max(map(len, sink.pieces)) < 70_000


async def test_nothing_at_all() -> None:
    """No piece is empty."""
    sink = Plain()
    await mixed().write(sink, close_boundary=False)
    assert sink.pieces == []
    assert [chunk async for chunk in mixed().chunks(close_boundary=False)] == []
    # Nor is the last one, where all before it have just been joined.
    for size in range(65_400, 65_500):
        sink = Plain()
        await mixed(io.BytesIO(bytes(size))).write(sink)
        assert all(sink.pieces)


@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("kind", ["generator", "read", "write"])
async def test_nothing_is_held_back_while_a_source_is_awaited(kind: str, depth: int) -> None:
    more = asyncio.Event()

    async def generator() -> AsyncIterator[bytes]:
        await more.wait()
        more.clear()
        yield b"1"
        await more.wait()
        yield b"2"

    class Readable:
        chunks = generator()

        async def read(self, n: int = -1) -> bytes:
            return await anext(self.chunks, b"")

    class Writing(Payload):
        async def write(self, writer: Any) -> None:
            async for chunk in generator():
                await writer.write(chunk)

    source: Any = {"generator": generator, "read": Readable, "write": lambda: Writing(None)}[kind]()
    writer = mixed("first", source, "last")
    for level in range(depth):
        writer = mixed(writer, boundary=f"level-{level}")
    sink = Plain()
    task = asyncio.create_task(writer.write(sink))
    for _ in range(10):
        await asyncio.sleep(0)
    assert b"first" in sink.data
    assert sink.data.endswith(b"\r\n\r\n")
    more.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert sink.data.endswith(b"\r\n\r\n1")
    more.set()
    await task
    assert b"last" in sink.data


async def test_chunks_of_a_source_pass_as_they_are() -> None:
    sink = Plain()
    await mixed(stream(b"1", b"", b"22", b"3" * 100_000)).write(sink)
    assert sink.pieces[1:-1] == [b"1", b"22", b"3" * 100_000]


async def test_large_bodies_go_out_in_pieces() -> None:
    data = os.urandom(5 * READ_SIZE)
    for value in (data, bytearray(data), io.BytesIO(data)):
        writer = mixed(value)
        sink = Plain()
        await writer.write(sink)
        assert max(map(len, sink.pieces)) == READ_SIZE
        for coding in ("gzip", "br"):
            writer[0].headers[hdrs.CONTENT_ENCODING] = coding
            sink = Plain()
            await writer.write(sink)
            assert max(map(len, sink.pieces)) <= 64 * 1024
            assert await bodies(writer) == [data]


async def test_the_loop_goes_on_while_it_compresses() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    writer = mixed(bytes(10 * READ_SIZE))
    writer[0].headers[hdrs.CONTENT_ENCODING] = "gzip"
    await writer.write(Plain())
    task.cancel()
    assert turns >= 10


# write() alone


class Steps(Payload):
    """Says when it goes on."""

    def __init__(self, *, fail: BaseException | None = None, forever: bool = False) -> None:
        super().__init__(None)
        self.log: list[str] = []
        self.fail = fail
        self.forever = forever

    async def write(self, writer: Any) -> None:
        try:
            for i in range(3):
                self.log.append(f"writing {i}")
                await asyncio.sleep(0.001)
                await writer.write(b"%d" % i)
                await writer.drain()
                self.log.append(f"written {i}")
            if self.fail is not None:
                raise self.fail
            if self.forever:
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.log.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            self.log.append("ended")


async def test_only_write_is_not_buffered_and_makes_no_task() -> None:
    payload = Steps()
    tasks = asyncio.all_tasks()
    seen = []
    async for chunk in mixed(payload):
        assert asyncio.all_tasks() == tasks
        seen.append((chunk, payload.log[-1:]))
    assert [entry for entry in seen if len(entry[0]) == 1] == [
        (b"0", ["writing 0"]),
        (b"1", ["writing 1"]),
        (b"2", ["writing 2"]),
    ]
    assert payload.log[-1] == "ended"


@pytest.mark.parametrize("coding", [None, "gzip"])
async def test_only_write_everywhere(coding: str | None) -> None:
    writer = mixed()
    writer.append(OnlyWrite([b"1", b"23"]), None if coding is None else {hdrs.CONTENT_ENCODING: coding})
    outer = mixed(writer, boundary="outer")
    await every_way(outer)
    assert await bodies(outer) == [[b"123"]]


async def test_only_write_that_fails() -> None:
    payload = Steps(fail=KeyError("x"))
    sink = Plain()
    with pytest.raises(KeyError):
        await mixed(payload).write(sink)
    assert sink.data.endswith(b"012")
    assert payload.log[-1] == "ended"


@pytest.mark.parametrize("error", [StopIteration, StopAsyncIteration, GeneratorExit])
async def test_only_write_with_an_error_that_looks_like_an_end(error: type[BaseException]) -> None:
    class Odd(Payload):
        async def write(self, writer: Any) -> None:
            await writer.write(b"1")
            raise error

    with pytest.raises((RuntimeError, GeneratorExit)):
        await mixed(Odd(None)).as_bytes()


async def test_only_write_cancelled() -> None:
    payload = Steps(forever=True)
    task = asyncio.create_task(written(mixed(payload)))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert payload.log[-2:] == ["cancelled", "ended"]


async def test_only_write_with_a_timeout_inside() -> None:
    class Patient(Payload):
        async def write(self, writer: Any) -> None:
            await writer.write(b"1")
            try:
                async with asyncio.timeout(0.01):
                    await asyncio.Event().wait()
            except TimeoutError:
                await writer.write(b"2")

    assert await bodies(mixed(Patient(None))) == [b"12"]


async def test_only_write_closed_early() -> None:
    payload = Steps()
    chunks = aiter(mixed(payload))
    async for chunk in chunks:
        if chunk == b"1":
            break
    await chunks.aclose()  # type: ignore[attr-defined]
    assert payload.log[-1] == "ended"
    assert payload.log[-2] == "writing 1"
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_only_write_never_begun() -> None:
    chunks = aiter(mixed(Steps()))
    await chunks.aclose()  # type: ignore[attr-defined]
    gc.collect()  # a coroutine that was never awaited would warn, and a warning is an error


async def test_only_write_that_writes_on_when_it_is_closed() -> None:
    class Stubborn(Payload):
        async def write(self, writer: Any) -> None:
            try:
                await writer.write(b"1")
            finally:
                await writer.write(b"2")

    chunks = Stubborn(None).as_chunks()
    assert await anext(chunks) == b"1"
    with pytest.raises(RuntimeError, match="went on"):
        await chunks.aclose()  # type: ignore[attr-defined]
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_only_write_after_its_end() -> None:
    chunks = OnlyWrite([b"1"]).as_chunks()
    assert [chunk async for chunk in chunks] == [b"1"]
    assert [chunk async for chunk in chunks] == []
    await chunks.aclose()  # type: ignore[attr-defined]


async def test_written_pieces_are_copied() -> None:
    """What is written may be a buffer that the payload goes on using."""

    class Reusing(Payload):
        async def write(self, writer: Any) -> None:
            buffer = bytearray(2)
            for i in range(3):
                buffer[:] = b"%02d" % i
                await writer.write(memoryview(buffer))

    assert await bodies(mixed(Reusing(None))) == [b"000102"]


# Sending again


async def test_second_write_rewinds(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    value = io.BytesIO(b"0123456789")
    value.seek(3)
    with path.open("rb") as file, path.open() as text:
        file.seek(4)
        text.seek(5)
        writer = mixed(file, text, value, "text", b"bytes", Repeatable(b"again"), mixed("inner", boundary="i"))
        whole = await every_way(writer)
        assert await bodies(writer) == [b"456789", b"56789", b"3456789", b"text", b"bytes", b"again", [b"inner"]]
        assert await written(writer) == whole
        assert not writer.consumed


def _pipe() -> Any:
    source, sink = os.pipe()
    os.write(sink, b"x")
    os.close(sink)
    return os.fdopen(source, "rb")


def _fed_reader() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(b"x")
    reader.feed_eof()
    return reader


@pytest.mark.parametrize("make", [lambda: stream(b"x"), _pipe, _fed_reader], ids=["generator", "pipe", "StreamReader"])
@pytest.mark.parametrize("nested", [False, True])
async def test_second_write_refuses_before_the_first_byte(make: Callable[[], Any], nested: bool) -> None:
    writer = mixed("first", make())
    if nested:
        writer = mixed("outer", writer, boundary="outer")
    assert not writer.consumed
    await writer.write(Plain())
    assert writer.consumed
    sink = Plain()
    for attempt in (writer.write(sink), writer.write_with_length(sink, 3), writer.as_bytes(), iterated(writer)):
        with pytest.raises(StateError):
            await attempt
    assert sink.pieces == []
    await writer.close()


async def test_after_a_failed_write() -> None:
    class Broken(Plain):
        def write(self, data: bytes) -> None:
            raise ConnectionResetError

    again = mixed(Repeatable(b"x"), io.BytesIO(b"y" * 100_000))
    once = mixed("small", stream(b"x"))
    for writer in (again, once):
        with pytest.raises(ConnectionResetError):
            await writer.write(Broken())
    assert await bodies(again) == [b"x", b"y" * 100_000]
    # The connection broke before the source was touched, so it can still be sent.
    assert await bodies(once) == [b"small", b"x"]


async def test_a_source_that_is_in_the_message_twice() -> None:
    writer = mixed()
    payload = writer.append(stream(b"x"))
    writer.append(payload)
    with pytest.raises(StateError, match="only once"):
        await written(writer)
    generator = stream(b"x")
    with pytest.raises(StateError, match="has ended"):
        await mixed(generator, generator).as_bytes()


# Sizes that are not true


@pytest.mark.parametrize("make", [stream, lambda *chunks: OnlyWrite(chunks)])
@pytest.mark.parametrize("coding", [None, "gzip"])
async def test_declared_size(make: Callable[..., Any], coding: str | None) -> None:
    headers = {} if coding is None else {hdrs.CONTENT_ENCODING: coding}

    def writer(size: int) -> MultipartWriter:
        writer = mixed("first")
        assert writer.append(make(b"12", b"345"), headers, size=size).size == size
        return writer

    right = writer(5)
    assert (right.size is None) == (coding is not None)
    size = right.size
    message = await right.as_bytes()
    assert size in (None, len(message))
    for wrong, what in ((4, "more than its 4"), (6, "ended after 5"), (0, "more than its 0")):
        sink = Plain()
        with pytest.raises(StateError, match=what):
            await writer(wrong).write(sink)
        assert not sink.data.endswith(b"--b--\r\n")
        if wrong < 5 and coding is None:
            # Not a byte more than was announced for that part.
            assert len(sink.data.rpartition(b"\r\n\r\n")[2]) <= wrong


async def test_declared_size_of_nothing() -> None:
    assert await bodies(mixed(aiomultipart.AsyncIterablePayload(stream()))) == [b""]
    writer = mixed()
    writer.append(stream(), size=0)
    assert writer.size == len(await writer.as_bytes())
    with pytest.raises(ValueError, match="size -1"):
        writer.append(stream(), size=-1)


async def test_file_that_grows_or_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"12345")
    with path.open("rb") as file:
        writer = mixed(file)
        assert writer.size is not None
        path.write_bytes(b"1234567")
        assert await bodies(writer) == [b"1234567"]  # before it is sent, it is measured

        class Growing(Plain):
            def write(self, data: bytes) -> None:
                super().write(data)
                with path.open("ab") as more:
                    more.write(b"8" * 10)

        with pytest.raises(StateError, match="more than its 7 bytes"):
            await writer.write(Growing())

        class Shrinking(Plain):
            def write(self, data: bytes) -> None:
                super().write(data)
                os.truncate(path, 3)

        with pytest.raises(StateError, match="ended after 3"):
            await writer.write(Shrinking())


# Files are read ahead


class Watched(io.FileIO):
    """A file that counts how often it is read, and may fail, or wait for a permission."""

    def __init__(self, path: Path, *, fail_at: int = 0) -> None:
        super().__init__(path)
        self.reads = 0
        self.fail_at = fail_at
        self.permits: threading.Semaphore | None = None

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        if self.permits is not None:
            self.permits.acquire(timeout=10)
        if self.reads == self.fail_at:
            raise OSError("disk on fire")
        return super().read(size)


@pytest.fixture
def ten_chunks(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(b"".join(bytes([i]) * READ_SIZE for i in range(10)))
    return path


async def _read_ahead(file: Watched) -> int:
    """How often it is read until nobody reads it any more."""
    reads = -1
    while reads != file.reads:
        reads = file.reads
        await asyncio.to_thread(int)  # behind the reader, in the only thread there is
        await asyncio.sleep(0)
    return reads


async def test_a_file_is_read_ahead_but_not_far(ten_chunks: Path) -> None:
    """And the thread is free for others meanwhile."""
    with ThreadPoolExecutor(1) as executor, Watched(ten_chunks) as file:
        asyncio.get_running_loop().set_default_executor(executor)
        chunks = aiter(mixed(file))
        await anext(chunks)
        assert file.reads == 0
        read = []
        for i in range(10):
            assert await anext(chunks) == bytes([i]) * READ_SIZE
            read.append(await _read_ahead(file) - i - 1)
        assert min(read) == 1
        assert max(read) == 3
        assert [chunk async for chunk in chunks] == [b"\r\n--b--\r\n"]
        assert file.reads == 11


@pytest.mark.parametrize("at", [1, 2, 5, 11])
async def test_what_was_read_before_an_error_is_sent(ten_chunks: Path, at: int) -> None:
    with Watched(ten_chunks, fail_at=at) as file:
        writer = mixed(file)
        sink = Plain()
        with pytest.raises(OSError, match="on fire"):
            await writer.write(sink)
        assert [len(piece) for piece in sink.pieces[1:]] == [READ_SIZE] * (at - 1)
        assert not writer.consumed
        assert await bodies(writer) == [ten_chunks.read_bytes()]


@pytest.mark.parametrize("fail_at", [0, 2])
async def test_closed_while_it_is_read_ahead(ten_chunks: Path, fail_at: int) -> None:
    """The file is not left to a thread that reads it, and what goes wrong there concerns nobody any more."""
    with Watched(ten_chunks, fail_at=fail_at) as file:
        payload = get_payload(file)
        chunks = payload.chunks()
        file.permits = threading.Semaphore(1)
        assert await anext(chunks) == bytes(READ_SIZE)
        while file.reads < 2:  # noqa: ASYNC110  (in a thread, which tells nobody)
            await asyncio.sleep(0)
        closing = asyncio.ensure_future(chunks.aclose())  # type: ignore[attr-defined]
        for _ in range(10):
            await asyncio.sleep(0)
        assert not closing.done()
        file.permits.release(10)
        await closing
        assert file.reads == 2
        assert await _read_ahead(file) == 2
        file.permits = None
        assert await payload.as_bytes() == ten_chunks.read_bytes()


async def test_a_pipe_is_not_read_ahead() -> None:
    """To read it may take for ever, and who has what he wants from it need not wait."""
    source, sink = os.pipe()
    with os.fdopen(source, "rb", buffering=0) as pipe, os.fdopen(sink, "wb", buffering=0) as other:
        other.write(b"x")
        async with asyncio.timeout(10):
            taken = Plain()
            await mixed().append(pipe).write_with_length(taken, 1)
        assert taken.pieces == [b"x"]


# The message as a whole


async def test_http_headers() -> None:
    writer = mixed("x")
    headers = writer.http_headers()
    assert headers == {"Content-Type": "multipart/mixed; boundary=b", "Content-Length": str(writer.size)}
    assert all(type(name) is str for name in headers)
    assert len(await writer.as_bytes()) == int(headers["Content-Length"])
    writer.append(stream(b"x"))
    assert writer.http_headers() == {"Content-Type": "multipart/mixed; boundary=b"}
    assert writer.headers == {"Content-Type": "multipart/mixed; boundary=b"}


async def test_on_progress() -> None:
    calls: list[tuple[int, int | None]] = []
    writer = mixed("a" * 10, io.BytesIO(b"b" * 1_000_000), "c", on_progress=lambda *call: calls.append(call))
    for send in (written, iterated):
        calls.clear()
        message = await send(writer)
        assert [total for _, total in calls] == [writer.size] * len(calls)
        assert [sent for sent, _ in calls] == sorted({sent for sent, _ in calls})
        assert calls[-1][0] == len(message) == writer.size
        assert len(calls) > 2
    calls.clear()
    sink = Plain()
    await writer.write_with_length(sink, None)
    assert calls[-1][0] == len(sink.data)
    calls.clear()
    await writer.write(Plain(), close_boundary=False)
    assert calls[-1] == (len(message) - len("--b--\r\n"), None)
    calls.clear()
    writer.append(stream(b"x"))
    await writer.write(Plain())
    assert {total for _, total in calls} == {None}


async def test_on_progress_that_raises_ends_it() -> None:
    def enough(sent: int, total: int | None) -> None:
        raise KeyError(sent)

    sink = Plain()
    with pytest.raises(KeyError):
        await mixed("a", on_progress=enough).write(sink)
    assert sink.pieces == []


# Files belong to the writer


async def test_close_closes_files_and_nothing_else_does(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    files = [path.open("rb"), path.open(), path.open("rb")]
    with MultipartWriter() as writer:
        inner = MultipartWriter("related")
        for file in files[:2]:
            writer.append(file)
        inner.append(files[2])
        writer.append(inner)
        writer.append("text")
        await writer.write(Plain())
    assert not any(file.closed for file in files)
    await writer.close()
    assert all(file.closed for file in files)
    sink = Plain()
    with pytest.raises(StateError, match="closed"):
        await writer.write(sink)
    assert sink.pieces == []
    await writer.close()  # again is nothing


async def test_close_closes_all_even_if_one_fails() -> None:
    class File(io.RawIOBase):
        pass

    class Stuck(File):
        def close(self) -> None:
            if not self.closed:
                super().close()
                raise OSError("disk full")

    files = [File(), Stuck(), File()]
    writer = mixed(*files)
    with pytest.raises(OSError, match="disk full"):
        await writer.close()
    assert all(file.closed for file in files)


# A boundary that is in the body

BODY_WITH_DELIMITER = b"line\r\n--chosen\r\nmore"


def _cuts(body: bytes) -> list[tuple[bytes, ...]]:
    cuts = [(body[:i], body[i:]) for i in range(len(body) + 1)]
    return [*cuts, tuple(body[i : i + 1] for i in range(len(body)))]


@pytest.mark.parametrize("chunks", _cuts(BODY_WITH_DELIMITER), ids=lambda chunks: str(len(chunks[0])))
@pytest.mark.parametrize("body", [BODY_WITH_DELIMITER, b"--chosenish"])
async def test_delimiter_in_a_body(chunks: tuple[bytes, ...], body: bytes) -> None:
    if body != BODY_WITH_DELIMITER:
        chunks = tuple(body[i : i + len(chunks[0]) + 1] for i in range(0, len(body), len(chunks[0]) + 1))
    for around in (False, True):
        inner = mixed(stream(*chunks), boundary="i") if around else stream(*chunks)
        writer = mixed("first", inner, boundary="chosen")
        sink = Plain()
        with pytest.raises(ValueError, match="contains the delimiter"):
            await writer.write(sink)
        # The delimiter is not complete on the wire: only the framing's own are.
        assert sink.data.count(b"\r\n--chosen") == 1
        assert sink.data.startswith(b"--chosen\r\n")


@pytest.mark.parametrize(
    "value", [BODY_WITH_DELIMITER, BODY_WITH_DELIMITER.decode(), io.BytesIO(BODY_WITH_DELIMITER), b"--chosen"]
)
async def test_delimiter_in_a_body_in_memory(value: Any) -> None:
    writer = mixed("first", value, boundary="chosen")
    for attempt in (written, iterated, MultipartWriter.as_bytes):
        with pytest.raises(ValueError, match="contains the delimiter"):
            await attempt(writer)
    with pytest.raises(ValueError, match="contains the delimiter"):
        writer.decode()
    # Encoded, it is not there.
    writer[1].headers[hdrs.CONTENT_TRANSFER_ENCODING] = "base64"
    assert len(await bodies(writer)) == 2


@pytest.mark.parametrize("at", [0, 1, 63, 64, 65, 198, 199])
async def test_delimiter_in_one_of_many_parts(at: int) -> None:
    """None of its piece is sent, and those before it are."""
    for bad in (b"--chosen" + bytes(992), bytes(495) + b"\r\n--chosen" + bytes(495)):
        parts = [bytes(1000)] * 200
        parts[at] = bad
        writer = mixed(*parts, boundary="chosen")
        assert writer.size is not None
        sink = Plain()
        with pytest.raises(ValueError, match="contains the delimiter"):
            await writer.write(sink)
        whole = await mixed(*[bytes(1000)] * 200, boundary="chosen").as_bytes()
        assert whole.startswith(sink.data)
        sent = sink.data.count(bytes(1000))
        assert at - 70 < sent <= at


@pytest.mark.parametrize(
    "body", [b"--chose", b"x--chosen", b"\n--chosen", b"\r--chosen", b"\r\n-chosen", b"\r\n--chose", b"\r\n--", b"\r\n"]
)
async def test_what_is_no_delimiter(body: bytes) -> None:
    for chunks in _cuts(body):
        writer = mixed(Repeatable(*chunks), io.BytesIO(body), body, boundary="chosen")
        await every_way(writer)
        assert await bodies(writer) == [body] * 3


async def test_own_boundary_is_not_looked_for() -> None:
    """It cannot be met by chance; a nested message with the same bytes as another one is nothing special."""
    inner = MultipartWriter()
    inner.append("x")
    writer = mixed(inner, inner, boundary="b")
    assert await bodies(writer) == [[b"x"], [b"x"]]


async def test_nested_boundary_that_begins_with_the_outer_one() -> None:
    for inner, outer in (("chosen-too", "chosen"), ("chosen", "chosen")):
        with pytest.raises(ValueError, match="contains the delimiter"):
            await mixed(mixed("x", boundary=inner), boundary=outer).as_bytes()
    assert await bodies(mixed(mixed("x", boundary="chosen"), boundary="chosen-too")) == [[b"x"]]


# Memory


@pytest.mark.parametrize("coding", [None, "gzip"])
@pytest.mark.parametrize("nested", [False, True])
async def test_memory(tmp_path: Path, coding: str | None, nested: bool) -> None:
    size = (256 if coding is None else 32) * MIB
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(size)
    with path.open("rb") as file:
        writer = mixed("first", boundary="inner")
        writer.append(file, None if coding is None else {hdrs.CONTENT_ENCODING: coding})
        if nested:
            writer = mixed(writer, boundary="outer")
        await written(mixed("warm up", io.BytesIO(b"x")))
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            sent = 0
            async for chunk in writer:
                sent += len(chunk)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sent == (writer.size or sent)
    assert peak - before < 2 * MIB


async def test_memory_of_many_parts_in_memory() -> None:
    """Bodies that are here already are not all copied at once."""
    data = bytes(MIB)
    writer = mixed(*[data] * 64, boundary="inner")
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        await writer.write(type("Sink", (), {"write": lambda self, data: None})())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 2 * MIB
