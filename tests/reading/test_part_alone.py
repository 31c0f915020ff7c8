"""BodyPartReader without its MultipartReader, as aiohttp's can be used."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from multidict import CIMultiDict

from aiomultipart import BodyPartReader, IncompleteBody, ParseError
from aiomultipart.sources import ByteStream
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.support.reading import by_aiohttp, everywhere


@pytest.mark.parametrize(
    "end", [b"\r\n--:", b"\r\n--:--", b"\r\n--:\r\n", b"\r\n--:--\r\n", b"\r\n--: \t\r\nA: b\r\n\r\nx"]
)
@pytest.mark.parametrize("body", [b"Hello, world!", b"", b"\r\n--:x\r\n--", b"x" * 300, b"\r\n\r"])
async def test_a_body_that_ends_in_its_delimiter(body: bytes, end: bytes) -> None:
    async def check(source: ByteStream) -> None:
        part = BodyPartReader(b"--:", {}, source)
        assert await part.read() == body
        assert part.at_eof()
        assert await part.read() == b""
        assert await part.read_chunk() == b""

    await everywhere(body + end, check, splits=16)


async def test_an_empty_body_needs_no_line_end_before_its_delimiter() -> None:
    async def check(source: ByteStream) -> None:
        part = BodyPartReader(b"--:", {}, source)
        assert await part.read() == b""

    await everywhere(b"--:--", check)


@pytest.mark.parametrize("method", ["read", "read_chunk", "readline", "release"])
async def test_every_method(method: str) -> None:
    async def check(source: ByteStream) -> None:
        part = BodyPartReader(b"--:", {}, source)
        if method == "read":
            assert await part.read() == b"one\r\ntwo"
        elif method == "readline":
            assert [await part.readline() for _ in range(3)] == [b"one\r\n", b"two", b""]
        elif method == "release":
            await part.release()
        else:
            found = b""
            while chunk := await part.read_chunk(2):
                found += chunk
            assert found == b"one\r\ntwo"
        assert part.at_eof()

    await everywhere(b"one\r\ntwo\r\n--:--", check)


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "20"}])
@pytest.mark.parametrize("method", ["read", "read_chunk", "readline", "release", "text"])
async def test_a_body_cut_short(method: str, headers: dict[str, str]) -> None:
    whole = b"Hello,\r\n--:x\r\nworld!" + b"\r\n--:"
    for cut in range(len(whole) - 1):
        if cut >= 20 if headers else whole[:cut].endswith(b"\r\n--:"):
            continue

        async def check(source: ByteStream) -> None:
            part = BodyPartReader(b"--:", headers, source)
            for _ in range(2):
                with pytest.raises(IncompleteBody):  # noqa: PT012
                    while await getattr(part, method)():
                        pass

        await everywhere(whole[:cut], check, splits=3, random_cuts=1)


async def test_content_length() -> None:
    async def check(source: ByteStream) -> None:
        part = BodyPartReader(b"--:", {"content-length": "9"}, source)
        assert await part.read() == b"abc\r\n--:x"
        assert part.at_eof()

    for end in (b"\r\n--:", b"\r\n--:--", b"", b"\r\n"):
        await everywhere(b"abc\r\n--:x" + end, check)
    part = BodyPartReader(b"--:", CIMultiDict({"Content-Length": "0"}), b"\r\n--:--")
    assert await part.read() == b""
    source = ScriptedSource(b"abc", PAUSE)
    part = BodyPartReader(b"--:", {"Content-Length": "3"}, source)
    assert await asyncio.wait_for(part.read(), 5) == b"abc"


METHODS: dict[str, Callable[[BodyPartReader], Awaitable[object]]] = {
    "read": lambda part: part.read(),
    "read decoded": lambda part: part.read(decode=True),
    "read_chunk": lambda part: part.read_chunk(2),
    "readline": lambda part: part.readline(),
    "iteration": lambda part: anext(part, b""),
    "text": lambda part: part.text(),
    "release": lambda part: part.release(),
}


@pytest.mark.parametrize("surplus", [b"XX", b"\r\nXX", b"\r\n--:X", b"\n", b"X\r\n", b"\r"])
@pytest.mark.parametrize("coding", ["binary", "gzip", "quoted-printable"])
@pytest.mark.parametrize("method", METHODS)
async def test_what_follows_the_content_length_is_not_lost_in_silence(method: str, coding: str, surplus: bytes) -> None:
    body = gzip.compress(b"Hello") if coding == "gzip" else b"Hello"
    field = "Content-Encoding" if coding == "gzip" else "Content-Transfer-Encoding"
    headers = {"Content-Length": str(len(body)), field: coding}

    async def check(source: ByteStream) -> None:
        part = BodyPartReader(b"--:", headers, source)
        assert await part.read(decode=True) == b"Hello"
        assert part.at_eof()
        if not hasattr(source, "unread_data"):
            for _ in range(2):
                with pytest.raises(ParseError, match="Content-Length"):
                    await METHODS[method](part)

    await everywhere(body + surplus + b"--:--", check, splits=12)


async def test_release_alone_sees_what_follows_the_content_length() -> None:
    async def check(source: ByteStream) -> None:
        if hasattr(source, "unread_data"):
            return  # nothing is lost there
        part = BodyPartReader(b"--:", {"Content-Length": "5"}, source)
        with pytest.raises(ParseError, match="Content-Length"):
            await part.release()

    await everywhere(b"HelloXX--:--", check)
    source = Unreadable(b"HelloXX--:--")
    part = BodyPartReader(b"--:", {"Content-Length": "5"}, source)
    assert await part.read() == b"Hello"
    assert source.unread == b"XX--:--"
    with pytest.raises(ParseError, match="Content-Length"):
        await part.release()
    assert source.unread == b"XX--:--"


@pytest.mark.parametrize("rest", [b"", b"\r\n", b"\r\n--:", b"\r\n--:--", b"\r\n--:\r\nbad headers\r\n\r\n"])
async def test_what_may_follow_the_content_length(rest: bytes) -> None:
    async def check(source: ByteStream) -> None:
        part = BodyPartReader(b"--:", {"Content-Length": "5"}, source)
        assert [chunk async for chunk in part][-1:] != []
        assert await part.read() == b""
        await part.release()
        assert part.at_eof()

    await everywhere(b"Hello" + rest, check)


async def test_a_live_body_of_known_length_is_read_without_waiting() -> None:
    for coding in ({}, {"Content-Transfer-Encoding": "quoted-printable"}):
        source = ScriptedSource(b"Hello", PAUSE, b"\r\n--:--")
        part = BodyPartReader(b"--:", {"Content-Length": "5", **coding}, source)
        found = b""
        async for chunk in part.iter_chunks(2):
            found += chunk
            if len(found) == 5:
                break
        assert found == b"Hello"
        assert part.at_eof()
        assert source.reads == 1
        source.resume()
        await part.release()


async def test_a_content_length_may_be_an_int() -> None:
    headers: Any = {"Content-Length": 5}

    async def check(source: ByteStream) -> None:
        part = BodyPartReader(b"--:", headers, source)
        assert (await part.read(), part.name) == (b"Hello", None)

    await everywhere(b"Hello\r\n--:--", check)
    headers = {"Content-Length": -5}
    with pytest.raises(ParseError, match="Content-Length"):
        BodyPartReader(b"--:", headers, b"")


async def test_content_length_is_ignored_in_form_data_and_checked_elsewhere() -> None:
    body = b"abc\r\n--:--"
    assert await BodyPartReader(b"--:", {"Content-Length": "2"}, body, subtype="form-data").read() == b"abc"
    with pytest.raises(ParseError):
        await BodyPartReader(b"--:", {"Content-Length": "20"}, body + b"\r\n").read()
    for length in ("-1", "1_0", "", "٣"):
        with pytest.raises(ParseError):
            BodyPartReader(b"--:", {"Content-Length": length}, body)


async def test_headers() -> None:
    headers = {
        "CONTENT-DISPOSITION": 'form-data; name="C:\\n"; filename="f"',
        "content-type": "text/plain; charset=cp1251",
        "Content-Transfer-Encoding": "base64",
    }
    part = BodyPartReader(b"--:", headers, b"z/A=\r\n--:--", subtype="form-data", default_charset="koi8-r")
    assert (part.name, part.filename, part.content_type) == ("C:\\n", "f", "text/plain")
    assert part.headers["Content-Type"] == "text/plain; charset=cp1251"
    assert part.get_charset("utf-8") == "cp1251"
    assert await part.text() == "Пр"
    part = BodyPartReader(b"--:", {}, b"\xd0\r\n--:--", default_charset="koi8-r")
    assert await part.text() == "п"


# What follows goes back


class Unreadable(ScriptedSource):
    def __init__(self, *steps: bytes) -> None:
        super().__init__(*steps)
        self.unread = b""

    def unread_data(self, data: bytes) -> None:
        self.unread = data + self.unread


@pytest.mark.parametrize(
    "rest", [b"--:\r\nA: 1\r\n\r\nnext\r\n--:--", b"--:--\r\nepilogue", b"--:\r\nbad headers\r\n\r\n"]
)
@pytest.mark.parametrize("size", [1, 2, 3, 50, 10_000])
@pytest.mark.parametrize("length", [True, False])
async def test_surplus_goes_back_to_a_double(rest: bytes, size: int, length: bool) -> None:
    body = b"Hello\r\n" * (1500 if size < 50 else 9000)  # both more than is kept of what was read
    message = body + b"\r\n" + rest
    for start in (0, 1, 5):
        pieces = [message[:start], *[message[i : i + size] for i in range(start, len(message), size)]]
        source = Unreadable(*filter(None, pieces))
        part = BodyPartReader(b"--:", {"Content-Length": str(len(body))} if length else {}, source)
        chunks = [chunk async for chunk in part]
        assert b"".join(chunks) == body
        remaining = source.unread
        while data := await source.read():
            remaining += data
        assert remaining.removeprefix(b"\r\n") == rest
        if size < 50:
            break


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("size", [1, 7, 100])
async def test_surplus_goes_back_after_a_release(size: int, length: bool) -> None:
    message = b"Hello\r\n" * 10 + b"\r\n--:--\r\nepilogue"
    source = Unreadable(*[message[i : i + size] for i in range(0, len(message), size)])
    part = BodyPartReader(b"--:", {"Content-Length": "70"} if length else {}, source)
    await part.read_chunk(3)
    await part.release()
    remaining = source.unread
    while data := await source.read():
        remaining += data
    assert remaining.removeprefix(b"\r\n") == b"--:--\r\nepilogue"


async def test_surplus_goes_back_to_aiohttp_and_the_next_part_can_be_read() -> None:
    stream = by_aiohttp([b"one\r\n--:\r\n\r\ntwo\r\n--:--\r\n"])
    part = BodyPartReader(b"--:", {}, stream)
    assert await part.read() == b"one"
    assert await stream.readline() == b"--:\r\n"
    assert await stream.readline() == b"\r\n"
    part = BodyPartReader(b"--:", {}, stream)
    assert await part.read() == b"two"
    assert await stream.read() == b"--:--\r\n"


async def test_nothing_goes_back_by_any_other_way() -> None:
    class Double:
        """What aiohttp's tests read from."""

        def __init__(self, content: bytes) -> None:
            self.content = content

        async def read(self, size: int = -1) -> bytes:
            data, self.content = self.content, b""
            return data

        def at_eof(self) -> bool:
            return not self.content

        async def readline(self) -> Any:
            raise NotImplementedError

    part = BodyPartReader(b"--:", {}, Double(b"one\r\n--:\r\n\r\ntwo"))
    assert await part.read() == b"one"
