"""What aiohttp promises of its payloads and its writer, by running both: kept bytes, text of files, closing."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import aiomultipart
from aiomultipart import (
    BytesIOPayload,
    BytesPayload,
    IOBasePayload,
    MultipartWriter,
    Payload,
    StateError,
    TextIOPayload,
    get_payload,
)
from tests.support.writing import OnlyWrite, Plain, Repeatable, iterated, stream, written

MODULES = pytest.mark.parametrize("module", [aiohttp, aiomultipart], ids=["aiohttp", "aiomultipart"])


class Sink(Plain):
    async def write(self, data: bytes) -> None:  # type: ignore[override]
        super().write(data)


def _fed_reader() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(b"12")
    reader.feed_eof()
    return reader


# as_bytes() twice


@MODULES
@pytest.mark.parametrize("make", [lambda: stream(b"1", b"2"), lambda: Repeatable(b"1", b"2")])
async def test_as_bytes_of_an_async_iterable(module: Any, make: Callable[[], Any]) -> None:
    payload = module.get_payload(make())
    for _ in range(2):
        assert await payload.as_bytes() == b"12"
    assert not payload.consumed
    await payload.write(sink := Sink())
    assert sink.data == b"12"


async def test_what_is_kept() -> None:
    for payload in (get_payload(stream(b"\xc3", b"\xa9")), get_payload(stream()), get_payload(_fed_reader())):
        with pytest.raises(TypeError, match="as_bytes"):
            payload.decode()
        data = await payload.as_bytes()
        for _ in range(2):
            assert payload.decode() == data.decode()
            assert await written(payload) == await payload.as_bytes() == data
            await payload.write_with_length(sink := Plain(), 1)
            assert sink.data == data[:1]
            assert not payload.consumed
        writer = MultipartWriter()
        writer.append(payload)
        assert data in await written(writer)


@pytest.mark.parametrize("coding", [None, "gzip"])
@pytest.mark.parametrize("make", [lambda: stream(b"1", b"2"), _fed_reader])
async def test_as_bytes_of_a_writer(make: Callable[[], Any], coding: str | None) -> None:
    inner, writer = MultipartWriter(), MultipartWriter(boundary="b")
    inner.append(make(), {"Content-Encoding": coding} if coding else None)
    writer.append(make(), size=2)
    writer.append(inner)
    first = await writer.as_bytes()
    assert first == await writer.as_bytes() == await written(writer) == await iterated(writer)
    assert not writer.consumed


async def test_aiohttp_keeps_what_its_writer_has_read() -> None:
    writer = aiohttp.MultipartWriter()
    writer.append(stream(b"1"))
    assert await writer.as_bytes() == await writer.as_bytes()


async def test_a_source_that_fails_or_was_sent_is_not_kept() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"1"
        raise OSError("gone")

    for source in (get_payload(failing()), MultipartWriter()):
        if isinstance(source, MultipartWriter):
            source.append(failing())
        with pytest.raises(OSError, match="gone"):
            await source.as_bytes()
        assert source.consumed
        with pytest.raises(StateError):
            await source.as_bytes()
    payload = get_payload(stream(b"1"))
    await written(payload)
    with pytest.raises(StateError):
        await payload.as_bytes()


async def test_the_declared_size_of_what_is_kept() -> None:
    writer = MultipartWriter()
    writer.append(stream(b"12"), size=3)
    for _ in range(2):
        with pytest.raises(StateError, match="of 3 bytes"):
            await writer.as_bytes()


async def test_files_and_write_alone_are_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1")
    with path.open("rb") as file:
        payload = get_payload(file)
        assert await payload.as_bytes() == b"1"
        path.write_bytes(b"23")
        assert await payload.as_bytes() == b"23"
    payload = OnlyWrite([b"1"])
    assert await payload.as_bytes() == await payload.as_bytes() == b"1"


# decode() of a file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_bytes("a\r\né".encode())
    return path


@MODULES
def test_decode(module: Any, path: Path) -> None:
    with path.open("rb") as binary, path.open("rb", buffering=0) as raw, path.open(encoding="utf-8") as text:
        for file, expected in ((binary, "a\r\né"), (raw, "a\r\né"), (text, "a\né")):
            payload = module.get_payload(file)
            for _ in range(2):
                assert payload.decode() == expected
            assert not payload.consumed


async def test_decode_from_where_it_stood(path: Path) -> None:
    with path.open("rb") as binary, path.open(encoding="utf-8") as text:
        for file in (binary, text, io.BytesIO(path.read_bytes())):
            file.read(1)
            payload = get_payload(file)
            assert await payload.as_bytes() == payload.decode().encode()
            assert payload.decode().strip() == "é"
            assert await written(payload) == payload.decode().encode()
        assert get_payload(binary).decode("latin-1") == ""


def test_decode_takes_the_charset_of_a_binary_file(path: Path) -> None:
    path.write_bytes("é".encode("utf-16"))
    with path.open("rb") as file:
        payload = get_payload(file)
        assert payload.decode("utf-16") == "é"
        assert payload.decode("ascii", "ignore") == "\0"
        with pytest.raises(UnicodeDecodeError):
            payload.decode("ascii")
    with path.open(encoding="utf-16") as text:
        payload = TextIOPayload(text, encoding="latin-1")
        assert payload.decode("ascii") == "é"  # it is text already


def test_decode_of_other_files() -> None:
    with tempfile.NamedTemporaryFile() as binary, tempfile.SpooledTemporaryFile(mode="w+") as text:
        binary.write(b"abc")
        text.write("abc")
        for file in (binary, text):
            file.seek(0)
            assert get_payload(file).decode() == "abc"
    assert IOBasePayload(io.BytesIO(b"abc")).decode() == "abc"


def test_decode_of_what_cannot_be_rewound(path: Path) -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    payload = IOBasePayload(Pipe(b"abc"))
    assert payload.decode() == "abc"
    assert payload.consumed
    with pytest.raises(StateError, match="only once"):
        payload.decode()
    file = path.open("rb")
    payload = IOBasePayload(file)
    file.close()
    with pytest.raises(StateError, match="is closed"):
        payload.decode()


def test_decode_of_a_writer_with_a_file(path: Path) -> None:
    writer = MultipartWriter(boundary="b")
    with path.open("rb") as file:
        writer.append(file)
        assert writer.decode() == asyncio.run(writer.as_bytes()).decode()


# close()


@MODULES
@pytest.mark.parametrize("mode", ["rb", "r"])
async def test_a_closed_file_is_consumed(module: Any, mode: str, path: Path) -> None:
    file = path.open(mode)
    payload = module.get_payload(file)
    assert not payload.consumed
    for _ in range(2):
        await payload.close()
        assert payload.consumed
    await asyncio.get_running_loop().shutdown_default_executor()  # where aiohttp closes it
    assert file.closed


async def test_a_closed_file_cannot_be_sent(path: Path) -> None:
    payload = get_payload(path.open("rb"))
    writer = MultipartWriter()
    writer.append(payload)
    await payload.close()
    for attempt in (written(payload), payload.as_bytes(), written(writer), writer.as_bytes()):
        with pytest.raises(StateError, match="is closed"):
            await attempt


@MODULES
@pytest.mark.parametrize("value", [b"x", "x", io.StringIO("x")], ids=["bytes", "str", "StringIO"])
async def test_what_is_in_memory_can_be_sent_after_close(module: Any, value: Any) -> None:
    payload = module.get_payload(value)
    await payload.close()
    assert not payload.consumed
    assert payload.autoclose
    await payload.write(sink := Sink())
    assert sink.data == await payload.as_bytes()


@MODULES
async def test_a_bytesio_stays_the_callers(module: Any) -> None:
    file = io.BytesIO(b"abc")
    payload = module.BytesIOPayload(file)
    assert payload.autoclose
    await payload.close()
    assert not file.closed
    assert not payload.consumed
    assert await payload.as_bytes() == b"abc"
    writer = module.MultipartWriter()
    writer.append(file)
    await writer.close()
    assert not file.closed


async def test_a_bytesio_that_the_caller_has_closed() -> None:
    file = io.BytesIO(b"abc")
    payload = BytesIOPayload(file)
    file.close()
    assert payload.size is None
    for attempt in (payload.as_bytes(), written(payload)):
        with pytest.raises(StateError, match="is closed"):
            await attempt


@MODULES
async def test_a_closed_writer_is_consumed(module: Any) -> None:
    writer = module.MultipartWriter(boundary="b")
    writer.append(b"x")
    assert not writer.consumed
    for _ in range(2):
        await writer.close()
        assert writer.consumed
    await writer.write(sink := Sink())  # bytes can be sent all the same
    assert sink.data == await writer.as_bytes()


@pytest.mark.parametrize("error", [OSError, StateError, asyncio.CancelledError])
async def test_close_closes_every_part(error: type[BaseException], path: Path) -> None:
    class Stuck(BytesPayload):
        _autoclose = False

        async def close(self) -> None:
            raise error("stuck")

    files = [path.open("rb") for _ in range(4)]
    writer, inner = MultipartWriter(), MultipartWriter()
    parts: list[Any] = [Stuck(b""), files[0], inner, files[1], Stuck(b""), files[2]]
    inner.append(Stuck(b""))
    inner.append(files[3])
    for part in parts:
        writer.append(part)
    with pytest.raises((error, ExceptionGroup)) as caught:
        await writer.close()
    # One by itself, several together; and a cancellation is what asyncio has to see.
    raised = caught.value.exceptions if isinstance(caught.value, ExceptionGroup) else [caught.value]
    assert [str(each) for each in raised] == ["stuck"] * (1 if error is asyncio.CancelledError else 3)
    assert all(file.closed for file in files)
    assert writer.consumed
    assert inner.consumed
    await writer.close()  # what went wrong is raised once


@MODULES
async def test_close_closes_every_part_as_in_aiohttp(module: Any, path: Path) -> None:
    payload: Payload = module.payload.BytesPayload(b"") if module is aiohttp else BytesPayload(b"")
    closed = []

    async def close() -> None:
        closed.append(payload)
        raise OSError("stuck")

    payload.close = close  # type: ignore[method-assign]
    payload._autoclose = False
    writer = module.MultipartWriter()
    writer.append(payload)
    file = writer.append(path.open("rb"))
    try:
        await writer.close()
    except OSError:
        assert module is aiomultipart  # aiohttp logs it
    assert closed == [payload]
    assert file.consumed
    await asyncio.get_running_loop().shutdown_default_executor()
