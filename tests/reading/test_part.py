"""BodyPartReader: the raw body by chunk, line and whole, in any order, and what the headers say."""

from __future__ import annotations

import asyncio
import base64
import itertools
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from aiomultipart import (
    BodyPartReader,
    CodecError,
    LimitExceeded,
    MultipartError,
    MultipartReader,
    ParseError,
    UnknownEncoding,
)
from aiomultipart.sources import ByteStream
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.support.reading import FORM, KINDS, MIXED, build, everywhere, next_part

BODY = b"first line\r\nsecond\n\r\r\n--\r\n--bb\r\n\r\nlast, without a line end"
MESSAGE = build((b"", BODY), (b"", b"next"))
QUARTETS = base64.encodebytes(bytes(range(100))).replace(b"\n", b"\r\n")
BASE64 = b"Content-Transfer-Encoding: base64"


async def first(source: ByteStream, headers: dict[str, str] = MIXED) -> BodyPartReader:
    return await next_part(MultipartReader(headers, source))


# Chunks


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10**9])
async def test_read_chunk(size: int) -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        part = await next_part(reader)
        chunks = []
        while chunk := await part.read_chunk(size):
            chunks.append(chunk)
        assert max(map(len, chunks)) <= size
        assert b"".join(chunks) == BODY
        assert part.at_eof()
        assert await part.read_chunk(size) == b""
        assert await (await next_part(reader)).read() == b"next"

    await everywhere(MESSAGE, check)


async def test_sizes_below_one() -> None:
    part = await first(MESSAGE)
    for size in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            await part.read_chunk(size)
        with pytest.raises(ValueError, match="at least 1"):
            await anext(part.iter_chunks(size))
    assert await part.read() == BODY


async def test_what_is_here_is_not_waited_for() -> None:
    source = ScriptedSource(b"--b\r\n\r\nabc", PAUSE, b"defgh", PAUSE, b"\r\n--b--")
    part = await first(source)
    assert await part.read_chunk(8) == b"abc"
    task = asyncio.create_task(part.read_chunk(2))
    await source.paused()
    source.resume()
    assert await task == b"de"
    assert await part.read_chunk(8) == b"fgh"
    assert not part.at_eof()
    task = asyncio.create_task(part.read_chunk(8))
    await source.paused()
    assert not task.done()
    source.resume()
    assert await task == b""
    assert part.at_eof()


async def test_default_chunk_size() -> None:
    assert BodyPartReader.chunk_size == 8192
    part = await first(build((b"", b"x" * 10000)))
    assert len(await part.read_chunk()) == 8192


async def test_iteration_gives_bounded_chunks() -> None:
    body = bytes(300_000)
    for make in KINDS.values():
        part = await first(make([build((b"", body))]))
        chunks = [chunk async for chunk in part]
        assert b"".join(chunks) == body
        assert max(map(len, chunks)) <= 65536
        assert [chunk async for chunk in part] == []


@pytest.mark.parametrize("size", [1, 3, 4, 5, 8, 77, 78, 1000])
async def test_base64_comes_in_whole_quartets(size: int) -> None:
    async def check(source: ByteStream) -> None:
        part = await first(source)
        chunks = []
        while chunk := await part.read_chunk(size):
            assert len(chunk) <= max(size, 4)
            assert len(chunk.translate(None, b"\r\n")) % 4 == 0
            part.decode(chunk)
            chunks.append(chunk)
        assert b"".join(chunks) == QUARTETS
        assert b"".join(map(part.decode, chunks)) == bytes(range(100))

    await everywhere(build((BASE64, QUARTETS)), check, splits=60)


async def test_a_quartet_that_is_here_is_not_waited_for() -> None:
    for size in (1, 2, 3, 4, 5, 7):
        source = ScriptedSource(b"--b\r\n" + BASE64 + b"\r\n\r\nQUJD", PAUSE)
        part = await first(source)
        assert await asyncio.wait_for(part.read_chunk(size), 5) == b"QUJD"
    source = ScriptedSource(b"--b\r\n" + BASE64 + b"\r\n\r\nQ", b"U", b"J", b"D", PAUSE)
    part = await first(source)
    assert await asyncio.wait_for(part.read_chunk(1), 5) == b"QUJD"


async def test_base64_cut_short() -> None:
    async def check(source: ByteStream) -> None:
        part = await first(source)
        assert b"".join([chunk async for chunk in part]) == b"QUJDRE"
        assert await part.read_chunk(1) == b""
        with pytest.raises(CodecError):
            part.decode(b"QUJDRE")

    await everywhere(build((BASE64, b"QUJDRE")), check)


@pytest.mark.parametrize("size", [1, 4, 5, 100, 1603, 1604, 5000])
async def test_base64_in_floods_of_white_space(size: int) -> None:
    spread = b"Q" + b"\r\n" * 800 + b"UJD"  # 1604 bytes
    before, after = b" " * 1200, b"\t" * 1200 + b"REVG" + b" " * 20
    handed_out = before + (spread if size >= 1604 else b"QUJD") + after
    message = build((BASE64, before + spread + after))
    for chunks in ([message], [bytes([byte]) for byte in message], [message[:1300], message[1300:]]):
        for make in (KINDS["ScriptedSource"], KINDS["generator"]):
            part = await first(make(chunks))
            found = []
            while chunk := await part.read_chunk(size):
                assert len(chunk) <= max(size, 4)
                found.append(chunk)
            assert b"".join(found) == handed_out
            assert b"".join(map(part.decode, found)) == b"ABCDEF"


@pytest.mark.parametrize("size", [1, 4, 5, 6, 7, 8])
@pytest.mark.parametrize("body", [b"Q\n\nUJDREVG", b" QUJ D\r\nREVG", b"QUJDR\tE\tV\tG", b"QUJD R E V G ", b"QUJDRE"])
async def test_a_base64_chunk_ends_before_the_quartet_that_would_pass_its_size(body: bytes, size: int) -> None:
    characters = body.translate(None, b"\r\n\t ")

    async def check(source: ByteStream) -> None:
        part = await first(source)
        chunks = []
        while chunk := await part.read_chunk(size):
            assert len(chunk) <= max(size, 4)
            chunks.append(chunk)
        assert b"".join(chunks).translate(None, b"\r\n\t ") == characters
        whole = chunks if len(characters) % 4 == 0 else chunks[:-1]
        assert all(len(chunk.translate(None, b"\r\n\t ")) % 4 == 0 for chunk in whole)

    await everywhere(build((BASE64, body)), check)


async def test_a_spread_quartet_survives_cancellation() -> None:
    steps = [step for byte in b"Q" + b" " * 50 + b"U" + b"\n" * 50 + b"JDREVG" for step in (PAUSE, bytes([byte]))]
    source = ScriptedSource(b"--b\r\n" + BASE64 + b"\r\n\r\n", *steps, b"\r\n--b--")
    part = await first(source)
    chunks: list[bytes] = []
    while chunks[-1:] != [b""]:
        task = asyncio.create_task(part.read_chunk(9))
        paused = asyncio.create_task(source.paused())
        await asyncio.wait([task, paused], return_when=asyncio.FIRST_COMPLETED)
        paused.cancel()
        if task.done():
            chunks.append(task.result())
            continue
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        source.resume()
    assert chunks == [b"QUJD", b"REVG", b""]


# Lines and the whole


async def test_readline() -> None:
    expected = [line + b"\n" for line in BODY.split(b"\n")[:-1]] + [BODY.split(b"\n")[-1]]

    async def check(source: ByteStream) -> None:
        part = await first(source)
        lines = []
        while line := await part.readline():
            lines.append(line)
        assert lines == expected
        assert await part.readline() == b""
        assert part.at_eof()

    await everywhere(MESSAGE, check, splits=400)


async def test_lines_are_cut_from_one_piece_without_copying_the_rest() -> None:
    part = await first(build((b"", b"x\n" * 100_000)))
    await part.readline()
    tracemalloc.start()
    try:
        for _ in range(1000):
            assert await part.readline() == b"x\n"
        assert tracemalloc.get_traced_memory()[1] < 64 * 1024
    finally:
        tracemalloc.stop()
    assert await part.read() == b"x\n" * 98_999


async def test_read() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        part = await next_part(reader)
        assert not part.at_eof()
        assert await part.read() == BODY
        assert part.at_eof()
        assert await part.read() == b""
        assert await part.next() is None
        part = await next_part(reader)
        assert await part.next() == b"next"
        assert await part.next() is None

    await everywhere(MESSAGE, check, splits=400)


async def test_release() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        part = await next_part(reader)
        await part.read_chunk(1)
        await part.release()
        assert part.at_eof()
        await part.release()
        assert await part.read() == b""
        assert await (await next_part(reader)).read() == b"next"
        await part.release()

    await everywhere(MESSAGE, check)


async def test_an_empty_body() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        part = await next_part(reader)
        assert await part.read_chunk() == b""
        assert part.at_eof()
        part = await next_part(reader)
        assert await part.readline() == b""
        assert [chunk async for chunk in part] == []
        part = await next_part(reader)
        assert await part.text() == ""
        assert await part.json() is None
        assert await part.form() == []

    await everywhere(build((b"Content-Length: 0", b""), (b"", b""), (b"A: 1", b"")), check)


METHODS: list[Callable[[BodyPartReader], Awaitable[bytes]]] = [
    lambda part: part.read_chunk(1),
    lambda part: part.read_chunk(5),
    lambda part: part.read_chunk(),
    lambda part: part.readline(),
    lambda part: anext(part, b""),
    lambda part: anext(part.iter_chunks(3, decode=False), b""),
    lambda part: anext(part.iter_chunks(4), b""),
    lambda part: part.read(),
]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([b"a", b"\n", b"\r\n", b"QUJD", b" ", b"-" * 40]), max_size=40).map(b"".join),
    st.lists(st.sampled_from(range(len(METHODS))), min_size=1, max_size=8),
    st.sampled_from(sorted(KINDS)),
    st.lists(st.integers(0, 150), max_size=12),
    st.sampled_from([b"", BASE64, b"Content-Length: %d"]),
)
def test_methods_in_any_order_lose_and_repeat_nothing(
    body: bytes, order: list[int], kind: str, cuts: list[int], head: bytes
) -> None:
    async def run() -> None:
        message = build((head % len(body) if b"%" in head else head, body), (b"", b"next"))
        places = [0, *sorted(cuts), len(message)]
        chunks = [message[a:b] for a, b in itertools.pairwise(places) if a < b]
        reader = MultipartReader(MIXED, KINDS[kind](chunks))
        part = await next_part(reader)
        found = []
        turn = 0
        # With base64, iter_chunks() would read ahead for its codec.
        methods = [METHODS[i] for i in order if head != BASE64 or i != 6] or METHODS[:1]
        while data := await methods[turn % len(methods)](part):
            found.append(data)
            turn += 1
        # Of a base64 quartet that does not fit in a chunk, the white space goes.
        blanks = b"\r\n " if head == BASE64 else b""
        assert b"".join(found).translate(None, blanks) == body.translate(None, blanks)
        assert part.at_eof()
        await part.release()
        assert await (await next_part(reader)).read() == b"next"

    asyncio.run(run())


# A live part


@pytest.mark.parametrize("method", ["read", "read_chunk", "iter", "readline", "iter_chunks", "release", "text"])
async def test_a_live_part_with_content_length_needs_no_delimiter(method: str) -> None:
    source = ScriptedSource(b"--b\r\nContent-Length: 6\r\n\r\nabc", b"def", PAUSE, b"\r\n--b--")
    reader = MultipartReader(MIXED, source)
    part = await next_part(reader)
    async with asyncio.timeout(5):
        if method == "read":
            assert await part.read() == b"abcdef"
        elif method == "read_chunk":
            assert [await part.read_chunk(4) for _ in range(3)] == [b"abc", b"def", b""]
        elif method == "iter":
            assert [chunk async for chunk in part] == [b"abc", b"def"]
        elif method == "readline":
            assert await part.readline() == b"abcdef"
        elif method == "iter_chunks":
            assert [chunk async for chunk in part.iter_chunks()] == [b"abc", b"def"]
        elif method == "text":
            assert await part.text() == "abcdef"
        else:
            await part.release()
    assert part.at_eof()
    source.resume()
    assert await reader.next() is None


async def test_a_content_length_that_lies() -> None:
    for length in (2, 9):
        reader = MultipartReader(MIXED, build((b"Content-Length: %d" % length, b"body"), (b"", b"x")))
        part = await next_part(reader)
        with pytest.raises(ParseError):  # noqa: PT012
            await part.read()
            await reader.next()


# Size


class TooLargeError(Exception):
    pass


@pytest.mark.parametrize("method", ["read", "text", "json", "form"])
async def test_client_max_size(method: str) -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source, client_max_size=3)
        assert await getattr(await next_part(reader), method)() in [b"123", "123", 123, [("123", "")]]
        part = await next_part(reader)
        for _ in range(2):
            with pytest.raises(LimitExceeded) as caught:
                await getattr(part, method)()
            assert (caught.value.limit, caught.value.value) == ("client_max_size", 3)
        # chunks are not gathered
        assert b"".join([chunk async for chunk in part]) == b"1234"

    await everywhere(build((b"", b"123"), (b"", b"1234"), end=b"\r\n"), check)


async def test_max_size_error_cls() -> None:
    async def check(source: ByteStream) -> None:
        part = await next_part(MultipartReader(MIXED, source, client_max_size=3, max_size_error_cls=TooLargeError))
        with pytest.raises(TooLargeError) as caught:
            await part.read()
        assert caught.value.args == (3,)

    await everywhere(build((b"", b"1234")), check)


# Headers


async def test_what_the_headers_say() -> None:
    head = (
        b'Content-Disposition: form-data; name="a b"; filename="C:\\dir\\x.txt"\r\n'
        b"Content-Type: Text/HTML; charset=ISO-8859-1\r\nContent-Location: http://example.org/%C3%A9"
    )
    part = await first(build((head, b"\xe9")), FORM)
    assert (part.name, part.filename) == ("a b", "C:\\dir\\x.txt")
    assert (part.content_type, part.charset) == ("text/html", "ISO-8859-1")
    assert part.get_charset("utf-8") == "ISO-8859-1"
    assert part.location == URL("http://example.org/é")
    assert part.headers["content-TYPE"] == "Text/HTML; charset=ISO-8859-1"
    assert await part.text() == "é"


async def test_what_no_headers_say() -> None:
    part = await first(build((b"", b"x")))
    assert (part.name, part.filename, part.charset, part.location) == (None, None, None, None)
    assert part.content_type == "text/plain"
    assert part.get_charset("cp1251") == "cp1251"
    assert len(part.headers) == 0
    digest = await first(build((b"", b"x")), {"Content-Type": "multipart/digest; boundary=b"})
    assert digest.content_type == "message/rfc822"
    odd = await first(build((b"Content-Type: image", b"x")))
    assert odd.content_type == "application/octet-stream"


async def test_a_location_that_is_no_url() -> None:
    part = await first(build((b'Content-Location: http://[::1\r\nContent-Disposition: a; name="n"', b"x")))
    with pytest.raises(ParseError, match="Content-Location") as caught:
        _ = part.location
    assert caught.value.part_name == "n"


# Text


async def test_text_json_form() -> None:
    message = build(
        (b"Content-Type: text/plain; charset=utf-16-le", "a\u20ac".encode("utf-16-le")),
        (b"Content-Type: application/json", b'{"a": [1, null]}'),
        (b"", b"a=1&b=%C3%A9&c=&a=2+3\r\n"),
        (b"Content-Type: application/json; charset=cp1251", '"привет"'.encode("cp1251")),
        (b"", b"\xe9"),
        (b"", b"a=%E9"),
    )

    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        assert await (await next_part(reader)).text() == "a\u20ac"
        assert await (await next_part(reader)).json() == {"a": [1, None]}
        assert await (await next_part(reader)).form() == [("a", "1"), ("b", "é"), ("c", ""), ("a", "2 3")]
        assert await (await next_part(reader)).json() == "привет"
        assert await (await next_part(reader)).text(encoding="latin-1") == "é"
        assert await (await next_part(reader)).form(encoding="latin-1") == [("a", "é")]

    await everywhere(message, check)


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b"[" * 100_000, b"1" * 5000, b"\xef\xbb\xbf1", b"nul", b"1 2", b'"\x01"'], ids=range(8)
)
async def test_json_errors_are_codec_errors(body: bytes) -> None:
    part = await first(build((NAMED, body)), FORM)
    with pytest.raises(CodecError) as caught:
        await part.json()
    assert caught.value.part_name == "n"
    assert isinstance(caught.value, ValueError)


NAMED = b'Content-Disposition: form-data; name="n"'


@pytest.mark.parametrize("method", ["text", "json", "form"])
async def test_charsets(method: str) -> None:
    part = await first(build((NAMED, b'"\xff"')), FORM)
    with pytest.raises(CodecError) as bad_text:
        await getattr(part, method)()
    assert bad_text.value.part_name == "n"
    for charset in (b"no-such", b"base64", b"rot13", b"idna", b"utf-7", b"unicode_escape"):
        part = await first(build((NAMED + b"\r\nContent-Type: text/plain; charset=" + charset, b"x")), FORM)
        with pytest.raises(UnknownEncoding) as unknown:
            await getattr(part, method)()
        assert isinstance(unknown.value, RuntimeError)
        assert isinstance(unknown.value, MultipartError)
        assert unknown.value.part_name == "n"
    for encoding in ("no-such", "base64"):
        part = await first(build((NAMED, b"x")), FORM)
        with pytest.raises(UnknownEncoding):
            await getattr(part, method)(encoding=encoding)
