"""The writing contract without an event loop: serialize(), to_bytes(), open()."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import aiomultipart
from aiomultipart import (
    READ_SIZE,
    AsyncIterablePayload,
    BytesPayload,
    FormData,
    MultipartWriter,
    Payload,
    StateError,
    hdrs,
)
from tests.support.writing import OnlyWrite, Plain, Repeatable, bodies, every_way, stream


def _fed_reader() -> asyncio.StreamReader:
    return asyncio.StreamReader()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "photo é.jpg"
    path.write_bytes(b"0123456789" * 100_000)
    return path


def everything(path: Path, files: list[Any]) -> MultipartWriter:
    """A message with every kind of part that needs no loop."""
    files += (path.open("rb"), path.open(encoding="ascii"))
    writer = MultipartWriter(boundary="outer")
    for value in ("text é", b"bytes", bytearray(b"array"), memoryview(b"view"), io.BytesIO(b"io"), io.StringIO("sio")):
        writer.append(value)
    writer.append_json({"a": 1})
    writer.append_form({"a": "1"})
    for value in (*files, path):
        writer.append(value)
    nested = MultipartWriter("related", boundary="inner")
    nested.append(path, {hdrs.CONTENT_ENCODING: "gzip"})
    nested.append(b"x" * 100_000, {hdrs.CONTENT_TRANSFER_ENCODING: "base64"})
    writer.append(nested)
    coded = MultipartWriter()
    coded.append("coded")
    writer.append(coded, {hdrs.CONTENT_ENCODING: "deflate"})
    return writer


async def test_the_same_bytes(path: Path) -> None:
    files: list[Any] = []
    writer = everything(path, files)
    try:
        data = await every_way(writer)
        assert writer.to_bytes() == data == b"".join(writer.serialize())
        assert writer.decode("latin-1").encode("latin-1") == data
        with writer.open() as file:
            assert file.read() == data
    finally:
        await writer.close()


def test_no_loop_is_needed(path: Path) -> None:
    writer = MultipartWriter(boundary="b")
    writer.append("text")
    writer.append(path)
    assert len(writer.to_bytes()) == writer.size
    assert all(writer.serialize())


def test_the_length_where_it_is_known(path: Path) -> None:
    writer = MultipartWriter(boundary="b")
    writer.append(path)
    body = writer.serialize()
    assert len(body) == writer.size == int(writer.http_headers()["Content-Length"])  # type: ignore[arg-type]
    assert isinstance(body, Iterator)
    assert len(b"".join(body)) == writer.size
    assert len(writer.open()) == writer.size  # type: ignore[arg-type]
    writer[0].headers[hdrs.CONTENT_ENCODING] = "gzip"
    for unknown in (writer.serialize(), writer.open()):
        assert not hasattr(unknown, "__len__")
    assert hdrs.CONTENT_LENGTH not in writer.http_headers()


def test_files_are_read_as_it_goes(path: Path) -> None:
    with path.open("rb") as file:
        writer = MultipartWriter(boundary="b")
        writer.append(file)
        writer.append(b"y" * 3 * READ_SIZE)
        pieces = writer.serialize()
        next(pieces)
        assert file.tell() == 0
        next(pieces)
        assert file.tell() == READ_SIZE
        assert max(map(len, pieces)) == READ_SIZE


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: stream(b"x"), "async_generator"),
        (lambda: Repeatable(b"x"), "Repeatable"),
        (lambda: OnlyWrite([b"x"]), "list"),
        (_fed_reader, "StreamReader"),
    ],
)
async def test_an_async_source(make: Callable[[], Any], named: str, nested: bool) -> None:
    writer = MultipartWriter("form-data", boundary="b")
    writer.append("first").set_content_disposition("form-data", name="a")
    writer.append(make()).set_content_disposition("form-data", name="video")
    if nested:
        outer = MultipartWriter()
        outer.append(writer)
        writer = outer
    for attempt in (writer.serialize, writer.to_bytes, writer.open):
        with pytest.raises(TypeError, match=rf'part 1 \(form-data; name="video"\) is a {named}.*async for'):
            attempt()
    await writer.close()


async def test_what_was_kept_needs_no_loop() -> None:
    writer = MultipartWriter(boundary="b")
    writer.append(stream(b"1", b"2"))
    data = await writer.as_bytes()
    assert writer.to_bytes() == data


def test_what_a_class_says_of_other_bytes_does_not_count() -> None:
    """One that makes its bytes in a loop is not sent as its base would be."""

    class Other(BytesPayload):
        async def write(self, writer: Any) -> None:
            await writer.write(b"other")

    writer = MultipartWriter()
    writer.append(Other(b"bytes"))
    with pytest.raises(TypeError, match="event loop"):
        writer.to_bytes()


def test_blocks_of_ones_own() -> None:
    class Counting(Payload):
        def blocks(self) -> Iterator[bytes]:
            yield from (b"1", b"2")

    payload = Counting(None)
    writer = MultipartWriter(boundary="b")
    writer.append(payload)
    assert b"\r\n\r\n12\r\n" in writer.to_bytes()
    assert asyncio.run(writer.as_bytes()) == writer.to_bytes()
    assert payload.to_bytes() == b"12"
    assert payload.decode() == "12"


@pytest.mark.parametrize("size", [2, 4])
def test_a_size_that_is_not_true(size: int) -> None:
    class Three(Payload):
        def blocks(self) -> Iterator[bytes]:
            yield b"123"

    writer = MultipartWriter()
    writer.append(Three(None), size=size)
    with pytest.raises(StateError, match=f"{size} bytes"):
        writer.to_bytes()


def test_the_delimiter_in_a_part() -> None:
    writer = MultipartWriter(boundary="chosen")
    writer.append(io.BytesIO(b"\r\n--chosen" * 10_000))
    with pytest.raises(ValueError, match="contains the delimiter"):
        writer.to_bytes()


def test_a_header_field_that_is_a_delimiter() -> None:
    """A name may begin with dashes, and a line of the header block be the delimiter for it."""
    for value in ("x", io.BytesIO(b"x" * 10_000)):
        writer = MultipartWriter(boundary="chosen")
        writer.append(value, {"--chosen": "1"})
        with pytest.raises(ValueError, match="contains the delimiter"):
            writer.to_bytes()
        with pytest.raises(ValueError, match="contains the delimiter"):
            asyncio.run(writer.as_bytes())


def test_what_can_be_sent_once(path: Path) -> None:
    source, sink = os.pipe()
    os.write(sink, b"x")
    os.close(sink)
    with os.fdopen(source, "rb") as pipe:
        writer = MultipartWriter()
        writer.append(pipe)
        assert b"\r\n\r\nx\r\n" in writer.to_bytes()
        for attempt in (writer.serialize, writer.to_bytes, writer.open):
            with pytest.raises(StateError, match="only once"):
                attempt()


def test_one_that_was_read_to_its_end() -> None:
    """A client that follows a redirect would otherwise send nothing under a Content-Length."""
    writer = MultipartWriter()
    writer.append("x")
    body = writer.serialize()
    first = next(body)
    assert first + b"".join(body) == writer.to_bytes()
    with pytest.raises(StateError, match="serialize"):
        iter(body)


def test_progress() -> None:
    calls: list[tuple[int, int | None]] = []
    writer = MultipartWriter(on_progress=lambda *call: calls.append(call))
    writer.append(io.BytesIO(b"x" * 1_000_000))
    data = writer.to_bytes()
    assert calls[-1] == (len(data), len(data))
    assert len(calls) > 2


# open()


def test_read(path: Path) -> None:
    writer = MultipartWriter(boundary="b")
    writer.append("first")
    writer.append(path)
    expected = writer.to_bytes()
    rng = random.Random(1)
    for sizes in ([1, 7], [65536], [1_000_000], [0, 5]):
        with writer.open() as file:
            assert file.readable()
            assert not file.seekable()
            got = bytearray()
            while piece := file.read(size := rng.choice([size for size in sizes if size])):
                got += piece
                assert len(piece) == size or len(got) == len(expected)
                if len(got) > 3000 and sizes == [1, 7]:
                    got += file.read()
            assert got == expected
            assert file.read(0) == b""
        with pytest.raises(ValueError, match="closed"):
            file.read(1)


def test_opened_is_closed_early(path: Path) -> None:
    """What was opened for it is closed; a ResourceWarning would be an error."""
    writer = MultipartWriter()
    writer.append(path)
    for opened in (writer.open(), writer.serialize()):  # lines of the one, pieces of the other
        for _ in range(2):
            assert next(opened)
        opened.close()
    assert all(writer.serialize())


# Other payloads, and forms


async def test_a_urlencoded_form() -> None:
    body = FormData({"a": "1 é"})()
    assert body.to_bytes() == b"".join(body.serialize()) == body.open().read() == await body.as_bytes()
    assert body.http_headers() == {
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": str(len(body.to_bytes())),
    }


async def test_a_sub_writer_of_another_kind() -> None:
    class Loud(MultipartWriter):
        async def write(self, writer: Any, close_boundary: bool = True) -> None:
            await super().write(writer, close_boundary)

    class Whole(MultipartWriter):
        @property
        def size(self) -> int:
            return 5

        def whole(self) -> bytes:
            return b"whole"

    loud = Loud()
    loud.append("x")
    with pytest.raises(TypeError, match="event loop"):
        loud.serialize()
    whole = Whole()
    outer = MultipartWriter(boundary="b")
    outer.append(whole)
    assert b"\r\n\r\nwhole\r\n" in outer.to_bytes()


# Paths


@pytest.mark.parametrize(
    "kind", [lambda path: path, lambda path: _Like(os.fspath(path)), lambda path: _Like(os.fsencode(path))]
)
async def test_path(kind: Callable[[Path], Any], path: Path) -> None:
    writer = MultipartWriter(boundary="b")
    payload = writer.append(kind(path))
    assert type(payload) is aiomultipart.PathPayload
    assert payload.filename == "photo é.jpg"  # never the directory
    assert str(path.parent) not in str(payload.headers)
    assert payload.content_type == "image/jpeg"
    assert payload.headers[hdrs.CONTENT_DISPOSITION].startswith("attachment; filename=")
    assert payload.size == path.stat().st_size
    for _ in range(2):
        assert path.read_bytes() in await every_way(writer)
    path.write_bytes(b"changed")  # it is measured and read when it is sent
    assert await bodies(writer) == [b"changed"]
    assert payload.decode() == "changed"
    await writer.close()
    assert writer.to_bytes()


class _Like:
    def __init__(self, path: str | bytes) -> None:
        self._path = path

    def __fspath__(self) -> str | bytes:
        return self._path


async def test_text_is_text_even_if_it_is_a_path(path: Path) -> None:
    writer = MultipartWriter(boundary="b")
    writer.append(str(path))
    assert await bodies(writer) == [str(path).encode()]


async def test_a_path_where_no_file_is(tmp_path: Path) -> None:
    for bad, error in ((tmp_path / "none", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(error):
            MultipartWriter().append(bad).size  # noqa: B018
    path = tmp_path / "x"
    path.write_bytes(b"x")
    writer = MultipartWriter()
    writer.append("first")
    writer.append(path)
    path.unlink()
    sink = Plain()
    for attempt in (lambda: writer.write(sink), writer.as_bytes):
        with pytest.raises(FileNotFoundError):
            await attempt()
    for sync in (writer.serialize, writer.open, writer.http_headers):
        with pytest.raises(FileNotFoundError):
            sync()
    assert sink.pieces == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
async def test_a_path_that_may_not_be_read(path: Path) -> None:
    writer = MultipartWriter()
    writer.append(path)
    path.chmod(0)
    with pytest.raises(PermissionError):
        await writer.write(sink := Plain())
    assert sink.pieces == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
async def test_a_named_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = MultipartWriter(boundary="b")
    payload = writer.append(path)
    assert payload.size is None

    def feed() -> None:
        with path.open("wb") as file:
            file.write(b"through a pipe")

    data, _ = await asyncio.gather(writer.as_bytes(), asyncio.to_thread(feed))
    assert b"\r\n\r\nthrough a pipe\r\n" in data


async def test_a_path_in_a_form(path: Path) -> None:
    form = FormData()
    form.add_field("photo", path)
    form.add_fields(("other", path))
    writer = form()
    assert isinstance(writer, MultipartWriter)
    assert 'name="photo"; filename="photo é.jpg"' in writer.decode()
    assert await bodies(writer) == [path.read_bytes()] * 2


async def test_a_path_that_is_left_half_sent(path: Path) -> None:
    writer = MultipartWriter()
    writer.append(path)
    chunks = aiter(writer)
    for _ in range(2):
        await anext(chunks)
    await chunks.aclose()  # type: ignore[attr-defined]  # the file too: a ResourceWarning would be an error


# Declared sizes and header fields of a form's fields


async def test_an_async_source_of_known_length_in_a_form() -> None:
    calls: list[tuple[int, int | None]] = []
    form = FormData(on_progress=lambda *call: calls.append(call))
    form.add_field("video", stream(b"12", b"345"), size=5, content_type="video/mp4", headers={"X-Camera": "1"})
    writer = form()
    assert isinstance(writer, MultipartWriter)
    size = writer.size
    data = await writer.as_bytes()
    assert size == len(data) == int(writer.http_headers()["Content-Length"])
    assert (
        b'Content-Type: video/mp4\r\nX-Camera: 1\r\nContent-Disposition: form-data; name="video"\r\n\r\n12345' in data
    )
    await writer.write(Plain())
    assert calls[-1] == (size, size)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"a b": "x"}},
        {"headers": {"X": "a\r\nb"}},
        {"headers": {"Content-Length": "1"}},
        {"headers": {"Content-Encoding": "gzip"}},
        {"headers": {"content-disposition": 'form-data; name="x"'}},
    ],
)
def test_header_fields_that_a_form_refuses(options: dict[str, Any]) -> None:
    form = FormData()
    with pytest.raises(ValueError, match=r"token|control character|form-data|filename"):
        form.add_field("a", "1", **options)
    assert not form.is_multipart


async def test_a_declared_size_in_a_form_that_is_not_true() -> None:
    form = FormData()
    form.add_field("video", AsyncIterablePayload(Repeatable(b"12", b"345")), size=6)
    with pytest.raises(StateError, match="ended after 5"):
        await form().as_bytes()
    form = FormData()
    form.add_field("text", "123", size=4)
    with pytest.raises(ValueError, match="size 4"):
        form()


def test_gzip_of_a_path(path: Path) -> None:
    writer = MultipartWriter(boundary="b")
    writer.append(path, {hdrs.CONTENT_ENCODING: "gzip"})
    body = writer.to_bytes().split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n--b--\r\n")
    assert gzip.decompress(body) == path.read_bytes()
