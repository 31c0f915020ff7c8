"""MultipartReader: parts in order, the end, the hooks of subclasses, options, headers."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
import pytest
from multidict import CIMultiDict, CIMultiDictProxy

import aiomultipart
from aiomultipart import (
    BodyPartReader,
    LimitExceeded,
    Limits,
    MultipartReader,
    ParseError,
    Policy,
    StateError,
)
from aiomultipart.sources import ByteStream
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.support.reading import MIXED, all_parts, build, by_generator, everywhere, next_part

THREE = build((b"A: 1", b"one\r\n--"), (b"", b""), (b"A: 3", b"three"), end=b"\r\nepilogue")


async def test_parts_in_order() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        assert await all_parts(reader) == [b"one\r\n--", b"", b"three"]
        assert reader.at_eof()
        assert await reader.next() is None
        await reader.release()
        await reader.release()
        assert await reader.next() is None

    await everywhere(THREE, check, splits=400)


async def test_next_drains_what_is_left() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        first = await next_part(reader)
        assert len(await first.read_chunk(1)) == 1
        await next_part(reader)
        third = await next_part(reader)
        assert third.headers["a"] == "3"
        assert await reader.next() is None
        assert third.at_eof()

    await everywhere(THREE, check, splits=400)


async def test_at_eof_is_true_exactly_in_the_call_that_returns_none() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        while True:
            assert not reader._at_eof
            assert not reader.at_eof()
            part = await reader.next()
            assert reader._at_eof is (part is None)
            if part is None:
                return
            assert isinstance(part, BodyPartReader)
            await part.read()
            assert part.at_eof()

    await everywhere(THREE, check)


async def test_the_end_does_not_wait_for_an_epilogue_and_release_drains_it() -> None:
    source = ScriptedSource(build((b"", b"x"), end=b"\r\n"), PAUSE, b"epi", PAUSE, b"logue")
    reader = MultipartReader(MIXED, source)
    assert await all_parts(reader) == [b"x"]
    assert reader._at_eof
    assert await reader.next() is None
    release = asyncio.create_task(reader.release())
    await source.paused()
    source.resume()
    await asyncio.sleep(0)
    await source.paused()
    assert not release.done()
    source.resume()
    await release
    assert await source.read(1) == b""


async def test_release_at_once() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        await reader.release()
        assert reader.at_eof()
        assert await reader.next() is None

    await everywhere(THREE, check)


@pytest.mark.parametrize("message", [b"--b--", b"--b\r\n--b--\r\n", b"preamble\r\n--b--", b"--b\r\n--b\r\n--b--"])
async def test_no_parts(message: bytes) -> None:
    async def check(source: ByteStream) -> None:
        assert await all_parts(MultipartReader(MIXED, source)) == []

    await everywhere(message, check)


async def test_a_released_response_part_by_part_with_async_for() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        seen = 0
        async for part in reader:
            await part.release()
            assert part.at_eof()
            seen += 1
        assert seen == 3

    await everywhere(THREE, check)


# Hooks


class Wrapped:
    def __init__(self, part: MultipartReader | BodyPartReader) -> None:
        self.part = part


async def test_fetch_next_part_can_wrap() -> None:
    class Reader(MultipartReader):
        async def fetch_next_part(self) -> Any:
            await asyncio.sleep(0)
            return Wrapped(await super().fetch_next_part())

    async def check(source: ByteStream) -> None:
        reader = Reader(MIXED, source)
        seen = []
        async for wrapped in reader:
            assert isinstance(wrapped, Wrapped)
            assert isinstance(wrapped.part, BodyPartReader)
            seen.append(await wrapped.part.read())
        assert seen == [b"one\r\n--", b"", b"three"]

    await everywhere(THREE, check)


async def test_fetch_next_part_can_return_something_else_and_the_parser_still_drains() -> None:
    class Reader(MultipartReader):
        async def fetch_next_part(self) -> Any:
            return "something else"

    async def check(source: ByteStream) -> None:
        reader = Reader(MIXED, source)
        assert [part async for part in reader] == ["something else"] * 3  # type: ignore[comparison-overlap]
        assert reader._at_eof

    await everywhere(THREE, check)


async def test_a_cancelled_fetch_next_part_loses_no_part() -> None:
    class Reader(MultipartReader):
        async def fetch_next_part(self) -> MultipartReader | BodyPartReader:
            part = await super().fetch_next_part()
            assert isinstance(part, BodyPartReader)
            first.append(await part.read_chunk(2))
            await gate.wait()
            return part

    first: list[bytes] = []
    gate = asyncio.Event()
    reader = Reader(MIXED, build((b"N: 1", b"abcdef"), (b"N: 2", b"x")))
    task = asyncio.create_task(reader.next())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    part = await next_part(reader)
    assert part.headers["N"] == "1"
    assert b"".join(first) + await part.read() == b"abcdef"
    assert (await next_part(reader)).headers["N"] == "2"
    assert await reader.next() is None


async def test_fetch_next_part_before_next() -> None:
    with pytest.raises(StateError):
        await MultipartReader(MIXED, THREE).fetch_next_part()


async def test_fetch_next_part_again() -> None:
    reader = MultipartReader(MIXED, THREE)
    part = await next_part(reader)
    again = await reader.fetch_next_part()
    assert isinstance(again, BodyPartReader)
    assert await again.read_chunk(3) == b"one"
    assert await part.read() == b"\r\n--"
    assert again.at_eof()
    assert await all_parts(reader) == [b"", b"three"]


async def test_what_a_part_says_when_the_reader_has_moved_on() -> None:
    message = build((b"A: 1", b"one"), (b"A: 2\r\nContent-Length: -1", b"two"), (b"A: 3", b"three"))
    reader = MultipartReader(MIXED, message, policy=Policy.LENIENT)
    parts = [part async for part in reader]
    assert [[defect.kind for defect in part.defects] for part in parts] == [[], ["bad-content-length"], []]
    assert [part.headers["A"] for part in parts] == ["1", "2", "3"]
    for part in parts:
        assert isinstance(part, BodyPartReader)
        assert part.at_eof()
        with pytest.raises(StateError, match="moved on"):
            await part.read()


async def test_a_part_has_no_other_attributes() -> None:
    part = await next_part(MultipartReader(MIXED, THREE))
    assert not hasattr(part, "length")


async def test_subclasses_with_the_signatures_of_aiohttp() -> None:
    class Part(BodyPartReader):
        def __init__(
            self,
            boundary: bytes,
            headers: CIMultiDictProxy[str],
            content: Any,
            *,
            subtype: str = "mixed",
            default_charset: str | None = None,
            **kwargs: Any,
        ) -> None:
            assert boundary in {b"--b", b"--i"}
            assert headers["N"] == "1"
            changed = CIMultiDict(headers)
            changed["Content-Transfer-Encoding"] = "base64"
            super().__init__(boundary, changed, content, subtype=subtype, default_charset=default_charset, **kwargs)

    class Nested(MultipartReader):
        part_reader_cls = Part

        def __init__(self, headers: Any, content: Any, **kwargs: Any) -> None:
            assert "multipart/related" in headers["content-type"]
            super().__init__(headers, content, **kwargs)

    class Reader(MultipartReader):
        part_reader_cls = Part
        multipart_reader_cls = Nested

    inner = build((b"N: 1", b"aW5uZXI="), boundary=b"i")
    message = build((b"N: 1", b"b3V0ZXI="), (b"Content-Type: multipart/related; boundary=i", inner))

    async def check(source: ByteStream) -> None:
        reader = Reader(MIXED, source, client_max_size=10, max_size_error_cls=KeyError)
        part = await reader.next()
        assert isinstance(part, Part)
        assert await part.text() == "outer"
        nested = await reader.next()
        assert isinstance(nested, Nested)
        part = await nested.next()
        assert isinstance(part, Part)
        assert await part.text() == "inner"
        assert await nested.next() is None
        assert await reader.next() is None

    await everywhere(message, check)


async def test_nested_messages_are_read_with_the_readers_own_class() -> None:
    class Reader(MultipartReader):
        pass

    message = build((b"Content-Type: multipart/mixed; boundary=i", build((b"", b"x"), boundary=b"i")))
    assert type(await Reader(MIXED, message).next()) is Reader


# Pairs, from the documentation of aiohttp

COUCHDB = b"""\
--:
CONTENT-TYPE: application/json

{"_id": "foo"}
--:
CONTENT-TYPE: multipart/related; boundary=----:

----:
CONTENT-TYPE: application/json

{"_id": "bar"}
----:
CONTENT-TYPE: text/plain
CONTENT-DISPOSITION: attachment; filename=bar.txt

bar! bar! bar!
----:--
--:
CONTENT-TYPE: application/json

{"_id": "boo"}
--:
CONTENT-TYPE: multipart/related; boundary=----:

----:
CONTENT-TYPE: application/json

{"_id": "baz"}
----:
CONTENT-TYPE: text/plain
CONTENT-DISPOSITION: attachment; filename=baz.txt

baz! baz! baz!
----:--
--:--
""".replace(b"\n", b"\r\n")
# The document writes delimiters where parameters belong: "--:" is the line of boundary ":", "----:" that of "--:".
COUCHDB_HEADERS = {"Content-Type": "multipart/mixed; boundary=:"}
COUCHDB = COUCHDB.replace(b"boundary=----:", b"boundary=--:")


class PairsMultipartReader(MultipartReader):
    # keep reference on the original reader
    multipart_reader_cls = MultipartReader

    async def next(self) -> Any:
        reader: Any = await super().next()

        if self._at_eof:
            return None, None

        if isinstance(reader, self.multipart_reader_cls):
            part: Any = await reader.next()
            doc = await part.json()
        else:
            doc = await reader.json()

        return doc, reader


async def test_pairs() -> None:
    async def check(source: ByteStream) -> None:
        reader = PairsMultipartReader(COUCHDB_HEADERS, source)
        result = []
        while True:
            doc, files_reader = await reader.next()
            if doc is None:
                break
            files = []
            while True:
                filepart = await files_reader.next()
                if filepart is None:
                    break
                files.append(filepart if isinstance(filepart, bytes) else await filepart.read())
            result.append((doc["_id"], files))
        assert result == [("foo", []), ("bar", [b"bar! bar! bar!"]), ("boo", []), ("baz", [b"baz! baz! baz!"])]

    await everywhere(COUCHDB, check)


# Options and headers


async def test_max_headers_and_max_field_size_are_limits_by_the_names_of_aiohttp() -> None:
    message = build((b"A: 1\r\nB: 2", b"x"))
    assert await all_parts(MultipartReader(MIXED, message, max_headers=2, max_field_size=4)) == [b"x"]
    with pytest.raises(LimitExceeded) as caught:
        await MultipartReader(MIXED, message, max_headers=1).next()
    assert (caught.value.limit, caught.value.value) == ("max_headers", 1)
    with pytest.raises(LimitExceeded) as caught:
        await MultipartReader(MIXED, message, max_field_size=3).next()
    assert (caught.value.limit, caught.value.value) == ("max_header_line", 3)
    with pytest.raises(LimitExceeded) as caught:
        await MultipartReader(MIXED, message, limits=Limits(max_headers=9, max_parts=0), max_headers=8).next()
    assert caught.value.limit == "max_parts"


@pytest.mark.parametrize(
    "headers",
    [
        MIXED,
        {"content-type": "Multipart/Mixed; Boundary=b"},
        CIMultiDict(MIXED),
        CIMultiDictProxy(CIMultiDict(MIXED)),
        httpx.Headers(MIXED),
    ],
)
async def test_headers_of_any_kind(headers: Any) -> None:
    reader = MultipartReader(headers, THREE)
    assert reader.headers["CONTENT-TYPE"].lower().startswith("multipart/mixed")
    assert len(await all_parts(reader)) == 3


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/mixed"},
        {"Content-Type": "multipart/mixed; boundary="},
        {"Content-Type": 'multipart/mixed; boundary=" "'},
        {"Content-Type": ""},
        CIMultiDict([("Content-Type", "multipart/mixed; boundary=b"), ("content-type", "multipart/mixed; boundary=b")]),
        httpx.Headers(
            [("Content-Type", "multipart/mixed; boundary=b"), ("Content-Type", "multipart/mixed; boundary=c")]
        ),
    ],
)
async def test_headers_that_are_not_those_of_a_multipart_message(headers: Any) -> None:
    with pytest.raises(ValueError, match=r"^Content-Type") as caught:
        MultipartReader(headers, THREE)
    assert isinstance(caught.value, ParseError)


async def test_sources_that_are_not_async() -> None:
    for content in ([b"x"], iter([b"x"]), 5, None, "text"):
        with pytest.raises(TypeError, match="async"):
            MultipartReader(MIXED, content)  # type: ignore[arg-type]
    reader = MultipartReader(MIXED, io.BytesIO(THREE))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not async"):
        await reader.next()


async def test_other_bytes() -> None:
    for content in (bytearray(THREE), memoryview(THREE)):
        assert len(await all_parts(MultipartReader(MIXED, content))) == 3


async def test_defects() -> None:
    message = build((b"Content-Type: image", b"x"))
    reader = MultipartReader(MIXED, message)
    assert list(reader.defects) == []
    await reader.next()
    assert [(kind, index) for kind, _offset, index, _size in reader.defects] == [("bad-content-type", 0)]


# Closing


async def test_async_with_closes_an_async_generator() -> None:
    closed = []

    async def generate() -> Any:
        try:
            async for chunk in by_generator([THREE[:20], THREE[20:]]):
                yield chunk
        finally:
            closed.append(True)

    async with MultipartReader(MIXED, generate()) as reader:
        part = await next_part(reader)
        assert closed == []
    assert closed == [True]
    with pytest.raises(StateError):
        await part.read()
    with pytest.raises(StateError, match="closed"):
        await reader.next()
    await reader.release()
    await part.release()
    await reader.aclose()

    with pytest.raises(KeyError):  # noqa: PT012
        async with MultipartReader(MIXED, generate()) as reader:
            await reader.next()
            raise KeyError
    assert closed == [True, True]


async def test_closing_leaves_the_callers_stream_alone_and_an_ended_reader_ended() -> None:
    async def check(source: ByteStream) -> None:
        async with MultipartReader(MIXED, source) as reader:
            await all_parts(reader)
        assert await reader.next() is None

    await everywhere(THREE, check, splits=2)
    source = ScriptedSource(THREE, b"more")
    async with MultipartReader(MIXED, source) as reader:
        await reader.next()
    assert await source.read(10) == b"more"
    stream = aiomultipart.StreamReader()
    stream.feed_data(THREE)
    async with MultipartReader(MIXED, stream) as reader:
        await reader.next()
    stream.feed_data(b"more")
    assert await stream.read(10) == b"more"


@pytest.mark.parametrize("how", ["next", "part", "reader"])
async def test_others_have_a_turn_after_each_mebibyte_that_is_dropped(how: str) -> None:
    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turns = 0
    size = 3 * 2**20
    small = build(*[(b"", b"tiny")] * (size // 15))
    for message in (small, build((b"", b"x" * size), (b"", b"y"))):
        task = asyncio.create_task(others())
        turns = 0
        reader = MultipartReader(MIXED, message)
        if how == "reader":
            await reader.release()
        else:
            while (part := await reader.next()) is not None:
                if how == "part":
                    await part.release()
        task.cancel()
        assert turns >= 2
