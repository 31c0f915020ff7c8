"""The writing contract: building, rendering, the codings, nested writers."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import quopri
import time
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import brotli
import pytest
from multidict import CIMultiDict, MultiDict

import aiomultipart
from aiomultipart import (
    BytesPayload,
    JsonPayload,
    MultipartWriter,
    Payload,
    UnsupportedEncoding,
    get_payload,
    hdrs,
)
from tests.support.writing import (
    OnlyWrite,
    Plain,
    Repeatable,
    bodies,
    every_way,
    header_block,
    iterated,
    stream,
    written,
)

try:
    from compression import zstd  # type: ignore[import-not-found,unused-ignore]
except ImportError:
    from backports import zstd  # type: ignore[no-redef,unused-ignore]

LENGTH = hdrs.CONTENT_LENGTH


def mixed(*parts: Any, boundary: str = "b") -> MultipartWriter:
    writer = MultipartWriter(boundary=boundary)
    for part in parts:
        writer.append(part)
    return writer


# What it looks like on the wire


async def test_on_the_wire() -> None:
    writer = mixed("hello", b"\0\1")
    assert await every_way(writer) == (
        b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 5\r\n\r\nhello\r\n"
        b"--b\r\nContent-Type: application/octet-stream\r\nContent-Length: 2\r\n\r\n\0\1\r\n"
        b"--b--\r\n"
    )
    assert writer.decode() == (await writer.as_bytes()).decode()


async def test_nothing_in_it() -> None:
    writer = mixed()
    assert await every_way(writer) == b"--b--\r\n"
    assert await written(writer, close_boundary=False) == b""
    assert len(writer) == 0
    assert writer


async def test_without_the_close_delimiter() -> None:
    writer = mixed("a", "b")
    whole = await writer.as_bytes()
    assert await written(writer, close_boundary=False) == whole.removesuffix(b"--b--\r\n")


async def test_frames() -> None:
    """As aiohttp's documentation sends MJPEG: each frame is a writer, together they are one message."""
    sink = Plain()
    for i in range(3):
        with MultipartWriter("image/jpeg", boundary="frame") as frame:
            frame.append(b"jpeg %d" % i, {hdrs.CONTENT_TYPE: "image/jpeg"})
            await frame.write(sink, close_boundary=False)
    reader = aiomultipart.MultipartReader(
        {"Content-Type": "multipart/x-mixed-replace; boundary=frame"}, sink.data + b"--frame--"
    )
    assert [await part.read() async for part in reader] == [b"jpeg 0", b"jpeg 1", b"jpeg 2"]  # type: ignore[call-arg]


# Like a sequence


def test_like_a_sequence() -> None:
    writer = mixed("a")
    writer.append(b"x", {hdrs.CONTENT_ENCODING: "GZIP", hdrs.CONTENT_TRANSFER_ENCODING: "base64"})
    assert len(writer) == 2
    assert not isinstance(writer, Iterable)
    assert not hasattr(writer, "__iter__")
    assert [tuple(part) for part in writer] == [  # type: ignore[attr-defined]
        (writer[0].payload, None, None),
        (writer[1].payload, "gzip", "base64"),
    ]
    for payload, encoding, te_encoding in writer:  # type: ignore[attr-defined]
        assert isinstance(payload, Payload)
        assert {encoding, te_encoding} in ({None}, {"gzip", "base64"})
    assert writer[-1] == writer[1]
    assert writer[1].headers is writer[1].payload.headers
    assert writer[1].encoding == "gzip"
    with pytest.raises(IndexError):
        writer[2]


def test_part_follows_the_headers() -> None:
    writer = mixed("a")
    writer[0].headers[hdrs.CONTENT_ENCODING] = "gzip"
    writer[0].headers[hdrs.CONTENT_TRANSFER_ENCODING] = "binary"
    assert writer[0][1:] == ("gzip", None)


def test_append_returns_the_payload() -> None:
    writer = mixed()
    payload = BytesPayload(b"x")
    assert writer.append(payload, {"X": "1"}) is payload
    assert payload.headers["X"] == "1"
    assert writer.append_payload(payload) is payload
    assert writer.append("text") is writer[2].payload
    assert isinstance(writer.append_json(1), JsonPayload)
    assert writer.append_form({}) is writer[4].payload


def test_context_manager_closes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        with MultipartWriter() as writer:
            assert isinstance(writer, MultipartWriter)
            writer.append(file)
        assert not file.closed


# Content-Type and boundary


@pytest.mark.parametrize("subtype", ["mixed", "form-data", "related", "image/jpeg", "x-mixed-replace;a=b", ""])
def test_any_subtype(subtype: str) -> None:
    writer = MultipartWriter(subtype, boundary="b")
    assert writer.content_type == f"multipart/{subtype}; boundary=b"
    assert writer.headers == CIMultiDict({hdrs.CONTENT_TYPE: writer.content_type})


@pytest.mark.parametrize("subtype", ["a\r\nb", "a\0b", "a\nX: y", "\x7f"])
def test_subtype_with_a_control_character(subtype: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        MultipartWriter(subtype)


@pytest.mark.parametrize(
    ("boundary", "quoted"),
    [
        ("b", "b"),
        ("b" * 70, "b" * 70),
        ("'+_-.", "'+_-."),
        ("a b", '"a b"'),
        ("()+_,-./:=?", '"()+_,-./:=?"'),
    ],
)
async def test_boundary(boundary: str, quoted: str) -> None:
    writer = MultipartWriter(boundary=boundary)
    assert writer.boundary == boundary
    assert writer.content_type == f"multipart/mixed; boundary={quoted}"
    writer.append("x")
    assert await bodies(writer) == [b"x"]


@pytest.mark.parametrize("boundary", ["", " ", "b ", "b" * 71, "é", "b\r", "b\n", 'b"', "b\\", "b;", "b\0", "[b]", "б"])
def test_no_boundary(boundary: str) -> None:
    with pytest.raises(ValueError, match="boundary"):
        MultipartWriter(boundary=boundary)


def test_own_boundaries_are_random() -> None:
    boundaries = {MultipartWriter().boundary for _ in range(1000)}
    assert len(boundaries) == 1000
    columns = [set(column) for column in zip(*boundaries, strict=True)]
    assert sum(len(column) == 16 for column in columns) == 128 // 4  # as many hexadecimal digits, all of them used
    assert all(MultipartWriter(boundary=boundary).content_type.endswith(boundary) for boundary in boundaries)


# Headers


async def test_codings_are_worked_out_when_rendering_starts() -> None:
    writer = mixed("text" * 100)
    payload = writer[0].payload
    assert payload.headers[LENGTH] == "400"  # the preview
    payload.headers[hdrs.CONTENT_ENCODING] = "gzip"
    assert writer.size is None
    message = await every_way(writer)
    assert LENGTH not in header_block(message)
    assert await bodies(writer) == [b"text" * 100]
    del payload.headers[hdrs.CONTENT_ENCODING]
    assert header_block(await every_way(writer))[LENGTH] == "400"
    payload.headers[hdrs.CONTENT_TRANSFER_ENCODING] = "base64"
    assert header_block(await every_way(writer))[LENGTH] == str(len(base64.b64encode(b"text" * 100)) + 7 * 2)


async def test_coding_when_appended() -> None:
    writer = mixed()
    payload = writer.append("text" * 100, {hdrs.CONTENT_ENCODING: "gzip"})
    assert LENGTH not in payload.headers
    assert LENGTH not in header_block(await every_way(writer))
    del payload.headers[hdrs.CONTENT_ENCODING]
    assert header_block(await every_way(writer))[LENGTH] == "400"


async def test_length_that_was_taken_away_stays_away() -> None:
    writer = mixed("a", "b")
    for part in writer:  # type: ignore[attr-defined]
        part.headers.pop(LENGTH, None)
    for _ in range(2):
        assert await every_way(writer) == (
            b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\na\r\n"
            b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nb\r\n--b--\r\n"
        )
    writer[0].headers[LENGTH] = "999"
    assert header_block(await every_way(writer))[LENGTH] == "1"


async def test_any_header_that_was_taken_away_stays_away() -> None:
    writer = mixed("a")
    writer[0].headers.clear()
    assert await every_way(writer) == b"--b\r\n\r\na\r\n--b--\r\n"


async def test_sub_writer_filled_after_it_was_appended() -> None:
    inner = MultipartWriter("related", boundary="i")
    writer = mixed(inner)
    assert inner.headers[LENGTH] == "7"
    empty = await every_way(writer)
    inner.append("late")
    message = await every_way(writer)
    assert len(message) > len(empty)
    assert header_block(message)[LENGTH] == str(inner.size)
    assert await bodies(writer) == [[b"late"]]
    inner.append(stream(b"x"))
    assert LENGTH not in header_block(await writer.as_bytes())


async def test_size_that_is_known_later() -> None:
    inner = MultipartWriter("related", boundary="i")
    payload = inner.append(Repeatable(b"123"))
    writer = mixed(inner)
    assert (writer.size, LENGTH in inner.headers) == (None, False)
    payload.declare_size(3)
    assert header_block(await every_way(writer))[LENGTH] == str(inner.size)


@pytest.mark.parametrize(
    "headers",
    [{"a b": "x"}, {"": "x"}, {"a:": "x"}, {"é": "x"}, {"a\r": "x"}]
    + [{"X": value} for value in ("a\r\nb", "a\nb", "a\rb", "a\0", "\x7f", "\ud800")],
    ids=repr,
)
async def test_header_that_cannot_be_written(headers: dict[str, str]) -> None:
    for writer in (mixed("ok"), MultipartWriter("form-data", boundary="b")):
        with pytest.raises(ValueError, match=r"token|control character|surrogates"):
            writer.append("x", headers)
        with pytest.raises(ValueError, match=r"token|control character|surrogates"):
            writer.append(BytesPayload(b"x", headers=headers))
    # Later, it is before the first byte, not only before its own part.
    writer = mixed("ok", "x")
    writer[1].headers.update(headers)
    for attempt in (written, iterated, Payload.as_bytes, bodies):
        with pytest.raises(ValueError, match=r"token|control character|surrogates"):
            await attempt(writer)  # type: ignore[operator]
    sink = Plain()
    with pytest.raises(ValueError, match=r"token|control character|surrogates"):
        await writer.write(sink)
    assert sink.pieces == []
    with pytest.raises(ValueError, match=r"token|control character|surrogates"):
        writer.http_headers()


async def test_header_with_what_can_be_written() -> None:
    writer = mixed()
    writer.append(
        "x", MultiDict([("X-Multi", "1"), ("x-multi", "2"), ("Y", "tab\tnbsp\u00a0é"), ("!#$%&'*+.^_`|~", "")])
    )
    block = (await every_way(writer)).split(b"\r\n\r\n")[0].decode()
    assert "\r\nX-Multi: 1\r\nx-multi: 2\r\nY: tab\tnbsp\u00a0é\r\n!#$%&'*+.^_`|~: \r\n" in block


@pytest.mark.parametrize(
    "headers",
    [
        {hdrs.CONTENT_ENCODING: "lzma"},
        {hdrs.CONTENT_ENCODING: "gzip, br"},
        {hdrs.CONTENT_TRANSFER_ENCODING: "uuencode"},
    ],
)
async def test_unknown_coding(headers: dict[str, str]) -> None:
    writer = mixed("ok")
    with pytest.raises(UnsupportedEncoding) as caught:
        writer.append("x", headers)
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, ValueError)
    assert len(writer) == 1
    writer.append("x")
    writer[1].headers.update(headers)
    sink = Plain()
    with pytest.raises(UnsupportedEncoding):
        await writer.write(sink)
    assert sink.pieces == []


def test_content_length_given() -> None:
    writer = mixed()
    assert writer.append("123", {LENGTH: "3"}).size == 3
    with pytest.raises(ValueError, match="size 4 of a payload of 3 bytes"):
        writer.append("123", {LENGTH: "4"})
    for length in ("-1", "+3", "3 ", "three", ""):
        with pytest.raises(ValueError, match="Content-Length"):
            writer.append("123", {LENGTH: length})
    assert writer.append(stream(b"123"), {LENGTH: "3"}).size == 3
    assert writer.append("123", {LENGTH: "3", hdrs.CONTENT_ENCODING: "gzip"}).size == 3
    assert writer.append("123", {LENGTH: 3}).headers[LENGTH] == "3"  # type: ignore[dict-item]  # aiohttp takes it


@pytest.mark.parametrize("coding", [{hdrs.CONTENT_ENCODING: "gzip"}, {hdrs.CONTENT_TRANSFER_ENCODING: "base64"}])
async def test_content_length_of_what_is_encoded(coding: dict[str, str]) -> None:
    """It would be that of the encoded body, which is not the caller's to say."""
    writer = mixed()
    writer.append("123" * 100, {LENGTH: "300", **coding})
    message = await every_way(writer)
    reader = aiomultipart.MultipartReader(writer.headers, message)
    part = await reader.next()
    assert isinstance(part, aiomultipart.BodyPartReader)
    assert await part.read(decode=True) == b"123" * 100
    assert await reader.next() is None
    given = header_block(message).get(LENGTH)
    assert given == (None if hdrs.CONTENT_ENCODING in coding else str(len(base64.b64encode(b"123" * 100)) + 5 * 2))


# The caller's mistakes: no error of theirs says that a client did wrong

MISUSE: dict[str, Callable[[], Any]] = {
    "subtype": lambda: MultipartWriter("a\r\nb"),
    "boundary": lambda: MultipartWriter(boundary="é"),
    "no boundary": lambda: MultipartWriter(boundary=""),
    "long boundary": lambda: MultipartWriter(boundary="b" * 71),
    "bytes as boundary": lambda: MultipartWriter(boundary=b"b"),  # type: ignore[arg-type]
    "object": lambda: mixed(object()),
    "itself": lambda: (writer := mixed(), writer.append(writer)),
    "no multidict": lambda: mixed().append("x", 5),  # type: ignore[arg-type]
    **{
        f"Content-Length {length!r}{' encoded' * bool(coding)}": lambda length=length, coding=coding: mixed().append(
            "123", {LENGTH: length, **coding}
        )
        for length in ("-1", "+3", "3 ", "three", "", "\u0663", "4" * 30, -1, 3.5, None, b"3")
        for coding in ({}, {"Content-Encoding": "gzip"})
    },
    "another Content-Length": lambda: mixed().append("123", {LENGTH: "4"}),
    "header name": lambda: mixed().append("x", {"a b": "x"}),
    "header value": lambda: mixed().append("x", {"a": "x\r\n"}),
    "number as header": lambda: mixed().append("x", {"X": 1}),  # type: ignore[dict-item]
    "number as Content-Type": lambda: mixed().append(io.BytesIO(), {"Content-Type": 1}),  # type: ignore[dict-item]
    "bytes as header": lambda: mixed().append("x", {"X": b"x"}),  # type: ignore[dict-item]
    "length in a form": lambda: MultipartWriter("form-data").append("x", {LENGTH: "1"}),
    "coding in a form": lambda: MultipartWriter("form-data").append("x", {"Content-Encoding": "gzip"}),
    "coding": lambda: mixed().append("x", {"Content-Encoding": "lzma"}),
    "two codings": lambda: mixed().append("x", {"Content-Encoding": "gzip, br"}),
    "transfer encoding": lambda: mixed().append("x", {"Content-Transfer-Encoding": "uuencode"}),
    "size": lambda: mixed().append(stream(), size=-1),
    "size of text": lambda: mixed().append("123", size=4),
    "half a byte": lambda: mixed().append(stream(), size=1.5),  # type: ignore[arg-type]
    "text as size": lambda: mixed().append(stream(), size="3"),  # type: ignore[arg-type]
    "parameter": lambda: BytesPayload(b"").set_content_disposition("form-data", name="a\0"),
    "parameter name": lambda: BytesPayload(b"").set_content_disposition("form-data", **{"a b": "x"}),
    "disposition": lambda: BytesPayload(b"").set_content_disposition("form data"),
    "charset of a parameter": lambda: _disposition("utf-8\r\n\r\n"),
    "unknown charset of a parameter": lambda: _disposition("klingon"),
    "charset without the character": lambda: _disposition("ascii"),
    "field name": lambda: aiomultipart.FormData().add_field("a\0", "x"),
    "field that is none": lambda: aiomultipart.FormData([1]),
    "field that cannot be sent": lambda: (form := aiomultipart.FormData([("a", object())]), form()),
    "no JSON": lambda: mixed().append_json(object()),
    "no form": lambda: mixed().append_form(5),  # type: ignore[arg-type]
    "no bytes": lambda: BytesPayload("x"),  # type: ignore[arg-type]
}


def _disposition(charset: str) -> MultipartWriter:
    payload = BytesPayload(b"x")
    payload.set_content_disposition("attachment", filename="é", _charset=charset)
    return mixed(payload)


@pytest.mark.parametrize("mistake", MISUSE.values(), ids=[*MISUSE])
def test_the_callers_mistake(mistake: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        mistake()
    assert not hasattr(caught.value, "http_status")


@pytest.mark.parametrize(
    "headers", [{"Content-Type": 1}, {"X": None}, {"Content-Encoding": "lzma"}, {"X": "\0"}], ids=repr
)
async def test_the_callers_mistake_after_append(headers: Any) -> None:
    writer = mixed("ok", "x")
    writer[1].headers.update(headers)
    sink = Plain()
    for attempt in (lambda: writer.write(sink), writer.as_bytes, lambda: iterated(writer), writer.http_headers):
        with pytest.raises((ValueError, TypeError)) as caught:
            await attempt()  # type: ignore[operator]
        assert not hasattr(caught.value, "http_status")
    assert sink.pieces == []


# Header fields that nobody has looked at are not made, and nobody shall notice


def _looked_at(payload: Payload) -> Payload:
    assert payload.headers
    return payload


@pytest.mark.parametrize("subtype", ["mixed", "form-data"])
@pytest.mark.parametrize("size", [0, 10, 5_000, 100_000])
async def test_looking_at_the_headers_changes_nothing(subtype: str, size: int) -> None:
    def before(writer: MultipartWriter) -> None:
        part = get_payload(b"x" * size)
        part.set_content_disposition("form-data", name="before")
        writer.append(part)

    def after(writer: MultipartWriter) -> None:
        writer.append("x" * size).set_content_disposition("form-data", name="after", filename="é\u00a0")

    def twice(writer: MultipartWriter) -> None:
        part = writer.append_json("x" * size)
        part.set_content_disposition("form-data", name="once")
        part.set_content_disposition("form-data", name="twice")

    builds: list[Callable[[MultipartWriter], object]] = [
        before,
        after,
        twice,
        lambda writer: writer.append("x" * size),
        lambda writer: writer.append(b"x" * size, {hdrs.CONTENT_TYPE: "image/jpeg"}),
        lambda writer: writer.append(b"x" * size, {"content-type": "image/jpeg"}),
        lambda writer: writer.append(b"x" * size, {"X": "1"}),
        lambda writer: writer.append(BytesPayload(b"x" * size, content_type="a/b"), {hdrs.CONTENT_TYPE: "c/d"}),
    ]
    untouched, touched = MultipartWriter(subtype, boundary="b"), MultipartWriter(subtype, boundary="b")
    for build in builds:
        build(untouched)
        build(touched)
        _looked_at(touched[-1].payload)
    expected = await every_way(untouched)
    assert await every_way(touched) == expected
    assert [part.headers for part in untouched] == [part.headers for part in touched]  # type: ignore[attr-defined]
    assert await every_way(untouched) == expected
    assert untouched.size == len(expected)


async def test_headers_changed_after_a_write() -> None:
    writer = mixed("x", b"y")
    first = await every_way(writer)
    writer[0].headers["X-Late"] = "1"
    del writer[1].headers[LENGTH]
    second = await every_way(writer)
    assert header_block(second) == header_block(first) | {"X-Late": "1"}
    assert header_block(second, 1) == {"Content-Type": "application/octet-stream"}


async def test_a_payload_in_two_messages() -> None:
    payload = get_payload("x")
    form = MultipartWriter("form-data", boundary="f")
    form.append(payload)
    await every_way(form)
    first, second = mixed(payload), mixed(payload)
    assert await every_way(first) == await every_way(second)


@pytest.mark.parametrize(
    "make",
    [
        lambda: get_payload("x"),
        lambda: get_payload(b"x" * 100_000),
        lambda: BytesPayload(b"x", headers={"X": "1"}),
        lambda: get_payload(io.BytesIO(b"x")),
        lambda: mixed("x", boundary="i"),
        lambda: get_payload(Repeatable(b"x")),
    ],
)
@pytest.mark.parametrize("order", [("form-data", "mixed"), ("mixed", "form-data"), ("mixed", "form-data", "related")])
@pytest.mark.parametrize("look", [False, True])
async def test_a_payload_in_a_form_and_in_another_message(
    make: Callable[[], Payload], order: tuple[str, ...], look: bool
) -> None:
    payload = make()
    payload.set_content_disposition("form-data", name="n")
    alone = {}
    for subtype in order:
        other = make()
        other.set_content_disposition("form-data", name="n")
        writer = MultipartWriter(subtype, boundary="b")
        writer.append(other)
        alone[subtype] = await every_way(writer)
    writers = {subtype: MultipartWriter(subtype, boundary="b") for subtype in order}
    for _ in range(2):
        for subtype, writer in writers.items():
            if not len(writer):
                writer.append(payload)
            if look:
                assert payload.headers
            message = await every_way(writer)
            if subtype == "form-data":
                assert LENGTH not in header_block(message)
            fields = [sorted(data.split(b"\r\n")) for data in (message, alone[subtype])]
            assert fields[0] == fields[1]


async def test_a_length_that_changes_in_a_form_and_in_another_message() -> None:
    inner = mixed("x", boundary="i")
    form, other = MultipartWriter("form-data", boundary="f"), MultipartWriter(boundary="b")
    for writer in (form, other):
        writer.append(inner)
    inner.append("more")
    for writer in (form, other):
        assert await every_way(writer)
    assert header_block(await written(other))[LENGTH] == str(inner.size)
    assert LENGTH not in header_block(await written(form))


@pytest.mark.parametrize("before", ["mixed", None])
async def test_a_length_of_the_callers_is_none_for_a_form(before: str | None) -> None:
    payload = BytesPayload(b"x", headers={LENGTH: "1"})
    if before is not None:
        MultipartWriter(before).append(payload)
    form = MultipartWriter("form-data")
    with pytest.raises(ValueError, match="Content-Length on a part of form-data"):
        form.append(payload)
    payload = get_payload("x")
    form.append(payload)
    mixed(payload)
    payload.headers[LENGTH] = "2"
    with pytest.raises(ValueError, match="Content-Length on a part of form-data"):
        await written(form)


@pytest.mark.parametrize("content_type", ["a\r\nb", "\0", "\ud800"])
def test_content_type_that_cannot_be_written(content_type: str) -> None:
    for headers, given in (({hdrs.CONTENT_TYPE: content_type}, None), (None, content_type)):
        writer = mixed()
        with pytest.raises(ValueError, match=r"control character|surrogates"):
            writer.append_payload(BytesPayload(b"x", headers, given))
        assert len(writer) == 0
    payload = BytesPayload(b"x", content_type="a/b; c=\u00a0")
    assert mixed(payload)[0].payload is payload


def test_disposition_that_cannot_be_written() -> None:
    payload = get_payload("x")
    with pytest.raises(ValueError, match="surrogates"):
        payload.set_content_disposition("form-data", name="\ud800")
    assert payload.headers == {"Content-Type": "text/plain; charset=utf-8"}
    writer = MultipartWriter("form-data")
    with pytest.raises(ValueError, match="surrogates"):
        writer.append("x", {hdrs.CONTENT_DISPOSITION: 'form-data; name="\ud800"'})
    assert len(writer) == 0


async def test_bytes_of_another_kind() -> None:
    """A subclass that says for itself what it is, is asked."""

    class Longer(BytesPayload):
        @property
        def size(self) -> int:
            return 3

        def whole(self) -> bytes:
            return b"abc"

    class Marked(BytesPayload):
        @property
        def headers(self) -> CIMultiDict[str]:
            return CIMultiDict({"X-Marked": "1"})

    writer = mixed(Longer(b"x"), Marked(b"y"))
    message = await every_way(writer)
    assert header_block(message)[LENGTH] == "3"
    assert header_block(message, 1) == {"X-Marked": "1"}
    assert await bodies(writer) == [b"abc", b"y"]


# Codings


@pytest.mark.parametrize(
    ("coding", "decode"),
    [
        ("gzip", gzip.decompress),
        ("x-gzip", gzip.decompress),
        ("deflate", zlib.decompress),
        ("br", brotli.decompress),
        ("zstd", zstd.decompress),
        ("identity", bytes),
        ("", bytes),
        (" GZip ", gzip.decompress),
    ],
)
@pytest.mark.parametrize("size", [0, 10, 300_000])
async def test_content_encoding(coding: str, decode: Callable[[bytes], bytes], size: int) -> None:
    data = (b"0123456789" * (size // 10))[:size]
    for value in (data, io.BytesIO(data), Repeatable(data[: size // 2], data[size // 2 :])):
        writer = mixed()
        writer.append(value, {hdrs.CONTENT_ENCODING: coding})
        message = await every_way(writer)
        body = message.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n--b--\r\n")
        assert (decode(body) if body else b"") == data
        assert await bodies(writer) == [data]
        assert (writer.size is None) == (decode is not bytes or isinstance(value, Repeatable))


@pytest.mark.parametrize("size", [0, 1, 56, 57, 58, 114, 1000, 200_000])
async def test_base64(size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    writer = mixed()
    writer.append(io.BytesIO(data), {hdrs.CONTENT_TRANSFER_ENCODING: "base64"})
    message = await every_way(writer)
    assert writer.size == len(message)
    body = message.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n--b--\r\n")
    assert base64.b64decode(body) == data
    lines = body.split(b"\r\n")
    assert all(len(line) == 76 for line in lines[:-1])
    assert len(lines[-1]) <= 76
    assert header_block(message)[LENGTH] == str(len(body))
    assert await bodies(writer) == [data]


async def test_quoted_printable() -> None:
    text = "naïve = \t\r\n" + "long " * 100 + "\r\nend "
    writer = mixed()
    writer.append(text, {hdrs.CONTENT_TRANSFER_ENCODING: "Quoted-Printable"})
    message = await every_way(writer)
    body = message.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n--b--\r\n")
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert quopri.decodestring(body) == text.encode()
    assert await bodies(writer) == [text.encode()]


async def test_both_codings() -> None:
    writer = mixed()
    writer.append("text" * 1000, {hdrs.CONTENT_ENCODING: "gzip", hdrs.CONTENT_TRANSFER_ENCODING: "base64"})
    message = await every_way(writer)
    body = message.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n--b--\r\n")
    assert gzip.decompress(base64.b64decode(body)) == b"text" * 1000
    assert await bodies(writer) == [b"text" * 1000]


async def test_coded_sub_writer() -> None:
    inner = mixed("inner", boundary="i")
    writer = mixed()
    writer.append(inner, {hdrs.CONTENT_ENCODING: "gzip"})
    message = await every_way(writer)
    assert gzip.decompress(message.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n--b--\r\n")) == await inner.as_bytes()
    inner.headers[hdrs.CONTENT_ENCODING] = "identity"
    inner.headers[hdrs.CONTENT_TRANSFER_ENCODING] = "base64"
    message = await every_way(writer)
    assert base64.b64decode(message.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n--b--\r\n")) == await inner.as_bytes()


# JSON and forms as parts


async def test_append_json() -> None:
    writer = mixed()
    writer.append_json({"test": "passed"}, {"X": "1"})
    assert b'\r\nX: 1\r\nContent-Length: 18\r\n\r\n{"test": "passed"}\r\n' in await every_way(writer)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ([("key", "value")], b"key=value"),
        ({"a": "1", "b": "2"}, b"a=1&b=2"),
        (MultiDict([("a", "1"), ("a", "2")]), b"a=1&a=2"),
        ([("a b&c=", "+é%/?")], b"a+b%26c%3D=%2B%C3%A9%25/?"),
        ({"a": ["1", "2"]}, b"a=1&a=2"),
        ({"a": 1, "b": 1.5}, b"a=1&b=1.5"),
        ([], b""),
    ],
)
async def test_append_form(form: Any, expected: bytes) -> None:
    writer = mixed()
    payload = writer.append_form(form, {"X": "1"})
    assert payload.headers == CIMultiDict(
        {"Content-Type": "application/x-www-form-urlencoded", "X": "1", "Content-Length": str(len(expected))}
    )
    # yarl's encoder: what may stand in a query as it is, stands there as it is.
    assert await payload.as_bytes() == expected
    if isinstance(form, list):
        assert parse_qsl(expected.decode()) == form


# Nested writers


async def test_nested() -> None:
    writer = mixed("first")
    with MultipartWriter("related", boundary="x") as inner:
        inner.append("second")
        with MultipartWriter("related", boundary="y") as innermost:
            innermost.append(b"third")
        inner.append(innermost)
    writer.append(inner)
    writer.append("fourth")
    message = await every_way(writer)
    assert writer.size == len(message)
    assert await bodies(writer) == [b"first", [b"second", [b"third"]], b"fourth"]
    assert writer.decode().encode() == message


async def test_nested_deep_is_linear() -> None:
    """With a size of each level that asked for the one below twice, this would end with the universe."""

    def chain(levels: int, coding: str | None) -> MultipartWriter:
        writer = MultipartWriter()
        writer.append("innermost")
        for _ in range(levels):
            around = MultipartWriter()
            around.append(writer, None if coding is None else {hdrs.CONTENT_ENCODING: coding})
            writer = around
        return writer

    start = time.perf_counter()
    for coding in (None, "deflate"):
        writer = chain(50, coding)
        message = await every_way(writer)
        assert len(message) < 50 * 300
    assert time.perf_counter() - start < 5

    calls = 0

    class Counted(BytesPayload):
        def whole(self) -> bytes:
            nonlocal calls
            calls += 1
            return super().whole()

    writer = chain(50, None)
    innermost = writer
    while isinstance(below := innermost[0].payload, MultipartWriter):
        innermost = below
    innermost.append(Counted(b"x"))
    calls = 0
    await writer.as_bytes()
    assert calls == 1


def test_a_writer_is_no_part_of_itself() -> None:
    writer, inner = mixed(), mixed()
    with pytest.raises(ValueError, match="itself"):
        writer.append(writer)
    writer.append(inner)
    with pytest.raises(ValueError, match="itself"):
        inner.append(writer)
    assert len(inner) == 0


async def test_sub_writer_of_another_kind() -> None:
    """A subclass that makes other bytes is asked for them."""

    class Shouting(MultipartWriter):
        @property
        def size(self) -> None:  # type: ignore[override]
            return None

        async def write(self, writer: Any, close_boundary: bool = True) -> None:
            await writer.write(b"HEY\r\n")
            await super().write(writer, close_boundary)

    class Counting(MultipartWriter):
        renders = 0

        def chunks(self, close_boundary: bool = True) -> Any:
            self.renders += 1
            return super().chunks(close_boundary)

    shouting, counting = Shouting(boundary="i"), Counting(boundary="j")
    for inner in (shouting, counting):
        inner.append("x")
    writer = mixed(shouting, counting)
    message = await writer.as_bytes()
    assert b"\r\n\r\nHEY\r\n--i\r\n" in message
    assert counting.renders == 1
    assert await bodies(writer) == [[b"x"], [b"x"]]


# form-data


async def test_form_data() -> None:
    writer = MultipartWriter("form-data", boundary="b")
    writer.append("x").set_content_disposition("form-data", name="имя")
    writer.append(b"y")
    writer.append(b"z", {hdrs.CONTENT_DISPOSITION: 'form-data; name="z"'})
    assert (
        await every_way(writer)
        == (
            '--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="имя"\r\n\r\nx\r\n'
            "--b\r\nContent-Type: application/octet-stream\r\n"
            'Content-Disposition: form-data; name="section-1"\r\n\r\ny\r\n'
            '--b\r\nContent-Type: application/octet-stream\r\nContent-Disposition: form-data; name="z"\r\n\r\nz\r\n'
            "--b--\r\n"
        ).encode()
    )


@pytest.mark.parametrize("name", ["content-length", "Content-Encoding", "Content-Transfer-Encoding"])
@pytest.mark.parametrize("subtype", ["form-data", "Form-Data"])
async def test_what_form_data_refuses(name: str, subtype: str) -> None:
    headers = {name: {"content-length": "1", "Content-Encoding": "gzip"}.get(name, "base64")}
    writer = MultipartWriter(subtype)
    with pytest.raises(ValueError, match=f"{name} on a part of form-data"):
        writer.append("x", headers)
    assert len(writer) == 0
    payload = writer.append("x")
    payload.headers.update(headers)
    sink = Plain()
    with pytest.raises(ValueError, match=f"{name} on a part of form-data"):
        await writer.write(sink)
    assert sink.pieces == []


# Against aiohttp's own writer


DIFFERENCES = """
Where the two differ, and is meant to:
- Content-Encoding deflate is raw in aiohttp (RFC 9110 section 8.4.1.2 says zlib's format), as_bytes() applies none.
- base64 comes in one line (RFC 2045 section 6.8: 76 characters); quoted-printable is applied to each chunk alone.
- A text file's size, and so its Content-Length, is that on the disk, before newlines and charset are translated.
- Text under a charset that only the headers name is UTF-8 all the same.
- append_form() uses urllib's encoder.
- Where a boundary needs quotes: "'+" and the like do not (RFC 9110 tokens); there both agree for common ones.
- A non-ASCII file name outside form-data: aiohttp writes filename* alone, we write filename beside it.
"""


def _simple() -> list[tuple[str, str, Callable[[Any], Any]]]:
    return [
        ("mixed", "text", lambda w: w.append("hello é")),
        ("mixed", "bytes", lambda w: w.append(b"\0\xff")),
        ("mixed", "bytearray", lambda w: w.append(bytearray(b"ba"))),
        ("mixed", "BytesIO", lambda w: w.append(io.BytesIO(b"io"))),
        ("mixed", "StringIO", lambda w: w.append(io.StringIO("io"))),
        ("mixed", "headers", lambda w: w.append("x", {"X-A": "1", "Content-Type": "text/html"})),
        ("mixed", "JSON", lambda w: w.append_json({"a": ["é", 1, None]})),
        ("mixed", "form", lambda w: w.append_form([("key", "a value"), ("key", "2")])),
        ("mixed", "disposition", lambda w: w.append(b"x").set_content_disposition("attachment", filename="a.txt")),
        ("mixed", "file", lambda w: w.append(Path(__file__).open("rb"))),
        ("mixed", "no length", lambda w: w.append("x").headers.popall("Content-Length")),
        ("image/jpeg", "frame", lambda w: w.append(b"x", {"Content-Type": "image/jpeg"})),
        ("form-data", "field", lambda w: w.append("x").set_content_disposition("form-data", name="n")),
        ("form-data", "field without a name", lambda w: w.append("x")),
        ("mixed", "nothing", lambda w: None),
    ]


@pytest.mark.parametrize(("subtype", "what", "build"), _simple(), ids=[case[1] for case in _simple()])
async def test_as_aiohttp_writes_it(subtype: str, what: str, build: Callable[[Any], Any]) -> None:
    theirs, ours = aiohttp.MultipartWriter(subtype, boundary="b-1"), MultipartWriter(subtype, boundary="b-1")
    build(theirs)
    build(ours)
    assert await every_way(ours) == await theirs.as_bytes()
    assert ours.size == theirs.size
    assert ours.content_type == theirs.content_type
    for writer in (theirs, ours):
        await writer.close()
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_nested_as_aiohttp_writes_it() -> None:
    messages = []
    for module in (aiohttp, aiomultipart):
        writer = module.MultipartWriter(boundary="outer")
        with module.MultipartWriter("related", boundary="inner") as inner:
            inner.append("x")
            inner.append_json({})
        writer.append(inner)
        writer.append(b"y")
        messages.append(await writer.as_bytes())
    assert messages[0] == messages[1]


@pytest.mark.parametrize("boundary", ["b", "a b", "a:b", "a=b?", "0123456789abcdef"])
def test_boundary_is_quoted_as_in_aiohttp(boundary: str) -> None:
    assert MultipartWriter(boundary=boundary).content_type == aiohttp.MultipartWriter(boundary=boundary).content_type


# Only write()


async def test_only_write_in_a_writer() -> None:
    writer = mixed("a")
    writer.append(OnlyWrite([b"12", b"3"]))
    writer.append(OnlyWrite([b"456"]), {hdrs.CONTENT_ENCODING: "gzip"})
    inner = mixed(OnlyWrite([b"789"]), boundary="i")
    writer.append(inner)
    assert writer.size is None
    await every_way(writer)
    assert await bodies(writer) == [b"a", b"123", b"456", [b"789"]]
    with pytest.raises(TypeError, match="as_bytes"):
        writer.decode()
