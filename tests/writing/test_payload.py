"""Payload classes, the registry, and every kind of object that can be sent."""

from __future__ import annotations

import array
import asyncio
import gzip
import io
import os
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from unittest import mock

import aiofiles
import aiohttp
import anyio
import pytest
from aiohttp import payload as aiohttp_payload
from aiohttp.base_protocol import BaseProtocol
from multidict import CIMultiDict

import aiomultipart
import aiomultipart.writing.payloads.registry as payload_module
from aiomultipart import (
    READ_SIZE,
    AsyncIterablePayload,
    AsyncReadablePayload,
    BufferedReaderPayload,
    BytesIOPayload,
    BytesPayload,
    IOBasePayload,
    JsonBytesPayload,
    JsonPayload,
    MultipartWriter,
    Order,
    Payload,
    PayloadRegistry,
    StateError,
    StringIOPayload,
    StringPayload,
    TextIOPayload,
    get_payload,
    hdrs,
    payload_type,
    register_payload,
)
from tests.support.writing import Async, Draining, OnlyWrite, Plain, Repeatable, stream, written


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> PayloadRegistry:
    """A registry of its own, which get_payload() finds because it looks it up as a global of its module."""
    new = PayloadRegistry()
    monkeypatch.setattr(payload_module, "PAYLOAD_REGISTRY", new)
    return new


# In memory


@pytest.mark.parametrize(
    ("value", "cls", "data", "content_type"),
    [
        ("text é", StringPayload, "text é".encode(), "text/plain; charset=utf-8"),
        ("", StringPayload, b"", "text/plain; charset=utf-8"),
        (b"bytes", BytesPayload, b"bytes", "application/octet-stream"),
        (bytearray(b"bytes"), BytesPayload, b"bytes", "application/octet-stream"),
        (memoryview(b"bytes"), BytesPayload, b"bytes", "application/octet-stream"),
        (memoryview(b"b_y_t_e_s")[::2], BytesPayload, b"bytes", "application/octet-stream"),
        (io.BytesIO(b"bytes"), BytesIOPayload, b"bytes", "application/octet-stream"),
        (io.StringIO("text é"), StringIOPayload, "text é".encode(), "text/plain; charset=utf-8"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, type) else value.__name__,
)
async def test_in_memory(value: Any, cls: type[Payload], data: bytes, content_type: str) -> None:
    payload = get_payload(value)
    assert type(payload) is cls
    assert payload.content_type == payload.headers[hdrs.CONTENT_TYPE] == content_type
    assert payload.size == len(data)
    for _ in range(2):
        assert await written(payload) == data
        assert await payload.as_bytes() == data
        assert payload.decode() == data.decode()
        assert not payload.consumed
    await payload.close()


async def test_memoryview_of_other_items() -> None:
    numbers = memoryview(array.array("I", [1, 2, 3]))
    payload = get_payload(numbers)
    assert payload.size == 12
    assert await written(payload) == bytes(numbers)


async def test_large_bytes_are_written_in_pieces() -> None:
    data = os.urandom(3 * READ_SIZE + 1)
    for value in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        sink = Plain()
        await get_payload(value).write(sink)
        assert sink.data == data
        assert max(map(len, sink.pieces)) == READ_SIZE


def test_not_bytes() -> None:
    with pytest.raises(TypeError, match="value must be bytes"):
        BytesPayload("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="async iterable"):
        AsyncIterablePayload([b"x"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "charset", "content_type"),
    [
        ({}, "utf-8", "text/plain; charset=utf-8"),
        ({"encoding": "koi8-r"}, "koi8-r", "text/plain; charset=koi8-r"),
        ({"content_type": "text/html; charset=koi8-r"}, "koi8-r", "text/html; charset=koi8-r"),
        ({"content_type": "text/html"}, "utf-8", "text/html"),
        ({"headers": {"content-type": "text/html; charset=koi8-r"}}, "koi8-r", "text/html; charset=koi8-r"),
        ({"headers": iter([("Content-Type", "text/html")])}, "utf-8", "text/html"),
        ({"encoding": "koi8-r", "content_type": "text/html"}, "koi8-r", "text/html"),
    ],
)
async def test_charset(options: dict[str, Any], charset: str, content_type: str) -> None:
    payload = StringPayload("текст", **options)
    assert payload.encoding == charset
    assert payload.content_type == content_type
    assert await payload.as_bytes() == "текст".encode(charset)
    assert payload.size == len("текст".encode(charset))


async def test_json() -> None:
    payload = JsonPayload({"é": [1, None]})
    assert payload.content_type == "application/json"
    assert await payload.as_bytes() == b'{"\\u00e9": [1, null]}'
    assert payload.encoding == "utf-8"
    assert await JsonPayload({}, dumps=lambda _: "é", encoding="utf-16-le").as_bytes() == "é".encode("utf-16-le")
    assert await JsonBytesPayload({}, lambda _: b"[]", content_type="x/y").as_bytes() == b"[]"
    assert JsonBytesPayload({}, lambda _: b"[]").headers == {"Content-Type": "application/json"}
    assert JsonPayload(1, headers={"X": "y"}).headers == {"Content-Type": "application/json", "X": "y"}


def test_bytes_that_change_their_size() -> None:
    value = bytearray(b"12345")
    writer = MultipartWriter()
    writer.append(value)
    value += b"6"

    async def run() -> None:
        with pytest.raises(StateError):
            await writer.as_bytes()

    asyncio.run(run())


# Headers


def test_headers_win_over_what_is_worked_out() -> None:
    payload = BytesPayload(b"", headers={"CONTENT-TYPE": "image/gif", "X": "1"})
    assert payload.headers == CIMultiDict({"Content-Type": "image/gif", "X": "1"})
    assert payload.content_type == "image/gif"
    del payload.headers["content-type"]
    assert payload.content_type == "application/octet-stream"
    repeated = BytesPayload(b"", headers=[("X", "1"), ("X", "2")])
    assert repeated.headers.getall("x") == ["1", "2"]


@pytest.mark.parametrize(
    ("filename", "content_type"),
    [("a.png", "image/png"), ("a.unheard-of", "application/octet-stream"), (None, "application/octet-stream")],
)
def test_content_type_by_file_name(filename: str | None, content_type: str) -> None:
    payload = BytesPayload(b"", filename=filename)
    assert payload.content_type == content_type
    assert payload.filename == filename


@pytest.mark.parametrize(
    ("disptype", "options", "expected"),
    [
        ("attachment", {"filename": "x.txt"}, 'attachment; filename="x.txt"'),
        ("attachment", {"filename": 'a"b\\c'}, 'attachment; filename="a\\"b\\\\c"'),
        (
            "attachment",
            {"filename": "naïve.txt"},
            "attachment; filename=\"na_ve.txt\"; filename*=utf-8''na%C3%AFve.txt",
        ),
        (
            "attachment",
            {"filename": "ï.txt", "_charset": "latin-1"},
            "attachment; filename=\"_.txt\"; filename*=latin-1''%EF.txt",
        ),
        ("form-data", {"name": "имя"}, 'form-data; name="имя"'),
        ("form-data", {"name": 'a"b\r\nc\\d%'}, 'form-data; name="a%22b%0D%0Ac\\d%"'),
        ("form-data", {"name": 'a"b', "quote_fields": False}, 'form-data; name="a\\"b"'),
        ("form-data", {"name": "ï", "quote_fields": False}, 'form-data; name="ï"'),
    ],
)
def test_set_content_disposition(disptype: str, options: dict[str, Any], expected: str) -> None:
    payload = BytesPayload(b"")
    payload.set_content_disposition(disptype, **options)
    assert payload.headers[hdrs.CONTENT_DISPOSITION] == expected


@pytest.mark.parametrize(
    ("disptype", "options"),
    [
        ("attach ment", {}),
        ("attachment", {"file name": "x"}),
        ("attachment", {"filename": "a\r\nb"}),
        ("form-data", {"name": "a\0b"}),
        ("form-data", {"name": "a\r\nb", "quote_fields": False}),
    ],
)
def test_set_content_disposition_refuses(disptype: str, options: dict[str, Any]) -> None:
    payload = BytesPayload(b"")
    with pytest.raises(ValueError, match=r"token|control character"):
        payload.set_content_disposition(disptype, **options)
    assert hdrs.CONTENT_DISPOSITION not in payload.headers


# Sizes


async def test_declared_size() -> None:
    payload = AsyncIterablePayload(stream(b"12", b"345"))
    assert payload.size is None
    payload.declare_size(5)
    assert payload.size == 5
    payload.declare_size(5)
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match="size"):
            payload.declare_size(wrong)
    with pytest.raises(ValueError, match="size 3 of a payload of 2 bytes"):
        BytesPayload(b"12").declare_size(3)
    assert await written(payload) == b"12345"


@pytest.mark.parametrize("length", [0, 1, 3, 4, 5, 100, None])
@pytest.mark.parametrize(
    "make",
    [lambda: BytesPayload(b"12345"), lambda: get_payload(stream(b"123", b"45")), lambda: OnlyWrite([b"123", b"45"])],
)
async def test_write_with_length(make: Callable[[], Payload], length: int | None) -> None:
    sink = Plain()
    await make().write_with_length(sink, length)
    assert sink.data == b"12345"[:length]


async def test_write_with_length_asks_for_no_more_than_it_takes() -> None:
    asked: list[int] = []

    async def source() -> AsyncIterator[bytes]:
        for i in range(5):
            asked.append(i)
            yield b"123"

    await get_payload(source()).write_with_length(Plain(), 6)
    assert asked == [0, 1]


# Sinks


async def test_write_waits_for_each_piece() -> None:
    for sink in (Plain(), Async(), Draining()):
        await get_payload(stream(b"1", b"2", b"3")).write(sink)
        assert sink.pieces == [b"1", b"2", b"3"]
    assert isinstance(sink, Draining)
    assert (sink.drains, sink.most_waiting) == (3, 1)


async def test_a_plain_drain() -> None:
    sink = mock.Mock(spec=["write", "drain"], **{"write.return_value": None, "drain.return_value": None})
    await BytesPayload(b"x").write(sink)
    assert sink.mock_calls == [mock.call.write(b"x"), mock.call.drain()]


# Files


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "photo é.jpg"
    path.write_bytes(b"0123456789")
    return path


@pytest.mark.parametrize("buffering", [-1, 0], ids=["buffered", "raw"])
async def test_binary_file(path: Path, buffering: int) -> None:
    with path.open("rb", buffering=buffering) as file:
        file.seek(3)
        payload = get_payload(file)
        assert type(payload) is BufferedReaderPayload
        assert payload.filename == "photo é.jpg"
        assert payload.content_type == "image/jpeg"
        assert payload.headers[hdrs.CONTENT_DISPOSITION].startswith('attachment; filename="photo _.jpg"; filename*=')
        assert payload.size == 7
        for _ in range(2):
            assert await written(payload) == b"3456789"
            assert await payload.as_bytes() == b"3456789"
            assert payload.size == 7
        assert not file.closed
        assert payload.decode() == "3456789"
        assert not payload.autoclose
        await payload.close()
        assert file.closed
        with pytest.raises(StateError, match="is closed"):
            await payload.as_bytes()


async def test_file_for_reading_and_writing(path: Path) -> None:
    with path.open("r+b") as file:
        payload = get_payload(file)
        assert type(payload) is BufferedReaderPayload
        assert await payload.as_bytes() == b"0123456789"


async def test_long_file_is_read_in_hops(tmp_path: Path) -> None:
    data = os.urandom(2 * READ_SIZE + 5)
    path = tmp_path / "long"
    path.write_bytes(data)
    with path.open("rb") as file:
        sink = Plain()
        await get_payload(file).write(sink)
    assert [len(piece) for piece in sink.pieces] == [READ_SIZE, READ_SIZE, 5]
    assert sink.data == data


async def test_file_is_read_in_a_thread(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    class Spy(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            threads.append(threading.current_thread())
            return super().read(size)

    assert await IOBasePayload(Spy(b"x")).as_bytes() == b"x"
    assert threads
    assert threading.current_thread() not in threads


@pytest.mark.parametrize("newline", [None, ""])
async def test_text_file(path: Path, newline: str | None) -> None:
    path.write_bytes("é\r\nü\r\n".encode())
    with path.open("r", encoding="utf-8", newline=newline) as file:
        payload = get_payload(file)
        assert type(payload) is TextIOPayload
        # "\r\n" is read as "\n", and another charset has other lengths.
        assert payload.size is None
        assert payload.content_type == "text/plain; charset=utf-8"
        expected = "é\nü\n" if newline is None else "é\r\nü\r\n"
        for _ in range(2):
            assert await payload.as_bytes() == expected.encode()
    with path.open(encoding="utf-8") as file:
        payload = TextIOPayload(file, content_type="text/plain; charset=utf-16-le")
        assert await payload.as_bytes() == "é\nü\n".encode("utf-16-le")
        assert payload.encoding == "utf-16-le"


@pytest.mark.parametrize("disposition", ["attachment", "inline", None])
def test_disposition(path: Path, disposition: str | None) -> None:
    with path.open("rb") as file:
        for cls in (IOBasePayload, BufferedReaderPayload):
            payload = cls(file, disposition=disposition)
            header = payload.headers.get(hdrs.CONTENT_DISPOSITION)
            assert (header or "None").partition(";")[0] == str(disposition)
        given = IOBasePayload(file, headers={hdrs.CONTENT_DISPOSITION: "inline"})
        assert given.headers[hdrs.CONTENT_DISPOSITION] == "inline"
        assert IOBasePayload(file, filename="other.png").headers.getall(hdrs.CONTENT_DISPOSITION) == [
            'attachment; filename="other.png"'
        ]


async def test_named_temporary_file() -> None:
    with tempfile.NamedTemporaryFile(suffix=".png") as file:
        file.write(b"12345")
        file.seek(1)
        payload = get_payload(file)
        assert type(payload) is BufferedReaderPayload
        assert payload.filename == Path(file.name).name
        assert payload.content_type == "image/png"
        assert payload.size == 4
        for _ in range(2):
            assert await payload.as_bytes() == b"2345"
    with tempfile.NamedTemporaryFile("w+", encoding="utf-8") as text:
        text.write("é")
        text.seek(0)
        assert type(get_payload(text)) is TextIOPayload
        assert await get_payload(text).as_bytes() == "é".encode()


@pytest.mark.parametrize("mode", ["w+b", "w+"])
@pytest.mark.parametrize("size", [1, 100])
async def test_spooled_temporary_file(mode: str, size: int) -> None:
    # Any: the type depends on the mode.
    file: Any
    with tempfile.SpooledTemporaryFile(size, mode) as file:
        file.write(b"12345" if "b" in mode else "12345")
        file.seek(1)
        rolled = file._rolled
        payload = get_payload(file)
        assert isinstance(payload, IOBasePayload)
        assert payload.size is None
        for _ in range(2):
            assert await payload.as_bytes() == b"2345"
        assert file._rolled is rolled  # to ask for its size would have written it to the disk


async def test_compressed_file_is_sent_as_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"0" * 1000))
    with gzip.open(path) as file:
        payload = get_payload(file)
        assert payload.size is None  # fileno() is that of the compressed file
        assert await payload.as_bytes() == b"0" * 1000
        assert await get_payload(io.BufferedReader(file)).as_bytes() == b""  # type: ignore[type-var]
    with gzip.open(path) as file:
        assert get_payload(io.BufferedReader(file)).size is None  # type: ignore[type-var]


async def test_pipe_is_sent_once() -> None:
    source, sink = os.pipe()
    with os.fdopen(sink, "wb") as file:
        file.write(b"through a pipe")
    with os.fdopen(source, "rb") as file:
        payload = get_payload(file)
        assert payload.size is None
        assert payload.filename is None  # its name is a number
        assert hdrs.CONTENT_DISPOSITION not in payload.headers
        assert await payload.as_bytes() == b"through a pipe"
        assert payload.consumed
        with pytest.raises(StateError, match="cannot be rewound"):
            await payload.as_bytes()


async def test_one_file_in_two_payloads(path: Path) -> None:
    with path.open("rb") as file:
        first = get_payload(file)
        file.seek(5)
        second = get_payload(file)
        assert (await first.as_bytes(), await second.as_bytes(), await first.as_bytes()) == (
            b"0123456789",
            b"56789",
            b"0123456789",
        )


async def test_bytes_io_from_where_it_stood() -> None:
    value = io.BytesIO(b"0123456789")
    value.seek(4)
    payload = get_payload(value)
    assert payload.size == 6
    for _ in range(2):
        assert await payload.as_bytes() == await written(payload) == b"456789"
        assert payload.size == 6
    value.seek(100)
    beyond = get_payload(value)
    assert beyond.size == 0
    assert await beyond.as_bytes() == b""
    value.close()
    with pytest.raises(StateError, match="is closed"):
        await payload.as_bytes()


async def test_cancelled_while_the_thread_reads() -> None:
    reading, go_on = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            reading.set()
            go_on.wait(10)
            return super().read(size)

    file = Slow(b"12345")
    task = asyncio.create_task(IOBasePayload(file).as_bytes())
    await asyncio.to_thread(reading.wait)
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()  # the thread still has the file
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert file.tell() == 5
    file.close()


# Async sources


async def test_async_generator_is_sent_once() -> None:
    payload = get_payload(stream(b"1", b"", b"23"))
    assert type(payload) is AsyncIterablePayload
    assert (payload.size, payload.consumed) == (None, False)
    sink = Plain()
    await payload.write(sink)
    assert sink.pieces == [b"1", b"23"]
    assert payload.consumed
    with pytest.raises(StateError, match="only once"):
        await payload.write(sink)
    assert sink.data == b"123"


async def test_async_generator_that_was_used_elsewhere() -> None:
    source = stream(b"1")
    assert [chunk async for chunk in source] == [b"1"]
    with pytest.raises(StateError, match="has ended"):
        await get_payload(source).as_bytes()


async def test_async_iterable_that_begins_anew() -> None:
    payload = get_payload(Repeatable(b"1", b"23"))
    for _ in range(2):
        assert await payload.as_bytes() == b"123"
        assert not payload.consumed


async def test_async_generator_is_closed_with_the_payload_s_chunks() -> None:
    closed = []

    async def source() -> AsyncIterator[bytes]:
        try:
            yield b"1"
            yield b"2"
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    chunks = get_payload(source()).chunks()
    assert await anext(chunks) == b"1"
    await chunks.aclose()  # type: ignore[attr-defined]
    assert closed == [True]


async def test_aiofiles(path: Path) -> None:
    async with aiofiles.open(path, "rb") as file:
        await file.seek(2)
        payload = get_payload(file)
        assert type(payload) is AsyncReadablePayload
        assert payload.filename == "photo é.jpg"
        assert payload.content_type == "image/jpeg"
        assert payload.headers[hdrs.CONTENT_DISPOSITION].startswith("attachment;")
        for _ in range(2):
            assert await payload.as_bytes() == b"23456789"
            assert not payload.consumed
        await payload.close()
        assert file.closed


async def test_aiofiles_text(path: Path) -> None:
    async with aiofiles.open(path, encoding="utf-8") as file:
        assert await get_payload(file).as_bytes() == b"0123456789"


async def test_anyio(path: Path) -> None:
    async with await anyio.open_file(path, "rb") as file:
        await file.seek(2)
        payload = get_payload(file)
        assert type(payload) is AsyncReadablePayload
        assert payload.filename == "photo é.jpg"
        for _ in range(2):
            assert await payload.as_bytes() == b"23456789"
        await payload.close()
        assert file.wrapped.closed


async def test_asyncio_stream_reader() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b"line\nline")
    reader.feed_eof()
    payload = get_payload(reader)
    assert type(payload) is AsyncReadablePayload
    assert await written(payload) == b"line\nline"
    assert payload.consumed
    with pytest.raises(StateError, match="only once"):
        await payload.as_bytes()


async def test_aiohttp_stream_reader() -> None:
    protocol = mock.Mock(spec=BaseProtocol, connected=True, _reading_paused=False)
    reader = aiohttp.StreamReader(protocol, 2**16, loop=asyncio.get_running_loop())
    reader.feed_data(b"line\nline")
    reader.feed_eof()
    payload = get_payload(reader)
    assert type(payload) is AsyncReadablePayload
    assert await payload.as_bytes() == b"line\nline"


async def test_our_stream_reader() -> None:
    reader = aiomultipart.StreamReader()
    reader.feed_data(b"line\nline")
    reader.feed_eof()
    assert await get_payload(reader).as_bytes() == b"line\nline"


async def test_async_source_that_cannot_be_closed() -> None:
    class Source:
        async def read(self, n: int = -1) -> bytes:
            return b""

    payload = get_payload(Source())
    assert await payload.as_bytes() == b""
    await payload.close()


# A payload as one writes it for aiohttp


async def test_only_write() -> None:
    payload = OnlyWrite([b"1", b"", b"23"])
    sink = Plain()
    await payload.write_with_length(sink, None)
    assert sink.pieces == [b"1", b"23"]
    assert await payload.as_bytes() == b"123"
    with pytest.raises(TypeError, match="as_bytes"):
        payload.decode()


async def test_neither_chunks_nor_write() -> None:
    with pytest.raises(NotImplementedError, match="neither"):
        await Payload(1).as_bytes()


async def test_subclasses_say_how_they_are_sent() -> None:
    class Doubled(BytesPayload):
        async def write(self, writer: Any) -> None:
            await super().write(writer)
            await writer.write(b"|")
            await super().write(writer)

    class Again(Doubled):
        pass

    class Whole(Again):
        def whole(self) -> bytes:
            return b"whole"

    class Chunks(Whole):
        def chunks(self) -> AsyncIterator[bytes]:
            return stream(b"chu", b"nks")

    class AsItIs(Chunks):
        pass

    for cls, expected in (
        (Doubled, b"x|x"),
        (Again, b"x|x"),
        (Whole, b"whole"),
        (Chunks, b"chunks"),
        (AsItIs, b"chunks"),
    ):
        payload = cls(b"x")
        assert await payload.as_bytes() == expected
        sink = Plain()
        await payload.write_with_length(sink, None)
        assert sink.data == expected
        writer = MultipartWriter(boundary="b")
        del writer.append(payload).headers["Content-Length"]
        payload._size = None
        assert await writer.as_bytes() == (
            b"--b\r\nContent-Type: application/octet-stream\r\n\r\n" + expected + b"\r\n--b--\r\n"
        )


async def test_whole_alone_is_enough() -> None:
    class Whole(Payload):
        def whole(self) -> bytes:
            return bytes(self._value)

    assert await written(Whole(b"12")) == b"12"
    assert Whole(b"12").decode() == "12"


# The registry


class Thing:
    pass


class ThingPayload(BytesPayload):
    def __init__(self, value: Thing, *args: Any, **kwargs: Any) -> None:
        super().__init__(type(value).__name__.encode(), *args, **kwargs)


def test_nothing_registered() -> None:
    with pytest.raises(aiomultipart.LookupError, match="Thing"):
        get_payload(Thing())
    with pytest.raises(TypeError, match="Thing"):
        MultipartWriter().append(Thing())
    assert not issubclass(aiomultipart.LookupError, LookupError)


def test_a_payload_is_its_own() -> None:
    payload = BytesPayload(b"")
    assert get_payload(payload) is payload


def test_register(registry: PayloadRegistry) -> None:
    with pytest.raises(aiomultipart.LookupError):
        get_payload("nothing is in this one")
    assert payload_type(Thing)(ThingPayload) is ThingPayload
    payload = get_payload(Thing(), headers={"X": "1"})
    assert type(payload) is ThingPayload
    assert payload.headers["X"] == "1"
    assert MultipartWriter().append(Thing()).size == 5


def test_register_several_types(registry: PayloadRegistry) -> None:
    register_payload(ThingPayload, [Thing, int])
    assert type(get_payload(Thing())) is type(get_payload(1)) is ThingPayload


def test_order(registry: PayloadRegistry) -> None:
    class Special(Thing):
        pass

    class First(ThingPayload):
        pass

    class Last(ThingPayload):
        pass

    class Other(ThingPayload):
        pass

    register_payload(Last, Thing, order=Order.try_last)
    assert type(get_payload(Special())) is Last
    register_payload(ThingPayload, Thing)
    register_payload(Other, object)
    assert type(get_payload(Special())) is ThingPayload  # the earliest base
    assert type(get_payload(Thing())) is ThingPayload  # the type itself
    register_payload(Other, Thing)
    assert type(get_payload(Thing())) is Other  # as in aiohttp: the latest for the very type
    register_payload(First, Thing, order=Order.try_first)
    assert type(get_payload(Special())) is type(get_payload(Thing())) is First
    with pytest.raises(ValueError, match="sideways"):
        register_payload(First, Thing, order="sideways")  # type: ignore[arg-type]
    register_payload(First, int, order="try_first")  # type: ignore[arg-type]
    assert type(get_payload(1)) is First


def test_first_is_looked_at_even_for_a_payload(registry: PayloadRegistry) -> None:
    class Wrapped(BytesPayload):
        def __init__(self, value: Payload, *args: Any, **kwargs: Any) -> None:
            super().__init__(b"wrapped", *args, **kwargs)

    register_payload(Wrapped, BytesPayload, order=Order.try_first)
    assert type(get_payload(BytesPayload(b""))) is Wrapped


def test_names_are_those_of_aiohttp() -> None:
    theirs = {name for name in aiohttp_payload.__all__ if not name.startswith("_")}
    assert theirs <= set(aiomultipart.__all__)
    for order in aiohttp_payload.Order:
        assert Order(order.value).name == order.name
    assert aiohttp_payload.register_payload.__name__ == register_payload.__name__


# What a subclass or a caller has changed is what is sent


class Upper:
    def whole(self) -> bytes:
        data: bytes = super().whole()  # type: ignore[misc]
        return data.upper()


class Signed:
    @property
    def headers(self) -> CIMultiDict[str]:
        headers: CIMultiDict[str] = super().headers  # type: ignore[misc]
        headers["X-Signed"] = "1"
        return headers


@pytest.mark.parametrize(("mixin", "sent"), [(Upper, b"\r\n\r\nABC\r\n"), (Signed, b"\r\nX-Signed: 1\r\n")])
async def test_mixins(mixin: type, sent: bytes) -> None:
    writer = MultipartWriter("mixed")
    writer.append(type("Mixed", (mixin, BytesPayload), {})(b"abc"))
    assert sent in await writer.as_bytes()


async def test_own_content_disposition() -> None:
    class Loud(BytesPayload):
        def set_content_disposition(self, disptype: str, *args: Any, **params: str) -> None:
            super().set_content_disposition(disptype, *args, **{name: value.upper() for name, value in params.items()})

    writer = MultipartWriter("form-data")
    writer.append(Loud(b"abc"))
    assert b'name="SECTION-0"' in await writer.as_bytes()


async def test_a_value_that_changed_after_it_was_announced() -> None:
    writer = MultipartWriter("mixed")
    writer.append(b"abc")._value = b"abcdef"
    with pytest.raises(StateError, match="more than its 3 bytes"):
        await writer.as_bytes()


class Prefixing:
    """What takes the place of the registry may have get() alone."""

    def get(self, data: Any, *args: Any, **kwargs: Any) -> Payload:
        return StringPayload(f"own {data}", *args, **kwargs)


class PrefixingRegistry(Prefixing, PayloadRegistry):
    pass


@pytest.mark.parametrize("kind", [Prefixing, PrefixingRegistry])
async def test_another_registry(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload_module, "PAYLOAD_REGISTRY", kind())
    writer = MultipartWriter("mixed")
    writer.append("text")
    assert b"\r\nown text\r\n" in await writer.as_bytes()


async def test_a_file_that_is_sent_again_while_an_iterator_of_it_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    data = b"".join(number.to_bytes(4, "big") for number in range(500_000))
    path.write_bytes(data)
    for _ in range(20):
        with path.open("rb") as file:
            writer = MultipartWriter("mixed")
            writer.append(file)
            left = aiter(writer)
            while len(await anext(left)) < 1000:
                pass
            assert data in await writer.as_bytes()
            await left.aclose()  # type: ignore[attr-defined]
