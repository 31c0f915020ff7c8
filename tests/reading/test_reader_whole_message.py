"""What holds for a message as a whole: limits over all levels, one task, repeated fields, hostile values."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

import aiomultipart
from aiomultipart import BodyPartReader, LimitExceeded, Limits, MultipartReader, ParseError
from aiomultipart.testing import ScriptedSource, cuttings
from tests.support.reading import MIXED, build, next_nested, next_part

INNER = build((b"", b"1"), (b"", b"2"), (b"", b"3"), boundary=b"c")
NESTED = build((b"Content-Type: multipart/mixed; boundary=c", INNER), (b"", b"B"), (b"", b"C"))


async def walk(reader: MultipartReader, seen: list[object]) -> None:
    async for part in reader:
        if isinstance(part, MultipartReader):
            seen.append("nested")
            await walk(part, seen)
        else:
            seen.append(await part.read())


@pytest.mark.parametrize(
    ("limits", "limit", "expected"),
    [
        (Limits(max_parts=4), "max_parts", ["nested", b"1", b"2", b"3"]),
        (Limits(max_parts=2), "max_parts", ["nested", b"1"]),
        (Limits(max_total_header_bytes=40), "max_total_header_bytes", []),
    ],
)
async def test_limits_count_parts_in_the_order_in_which_they_are_read(
    limits: Limits, limit: str, expected: list[object]
) -> None:
    for chunks in cuttings(NESTED, splits=30):
        reader = MultipartReader(MIXED, ScriptedSource(*chunks), limits=limits)
        seen: list[object] = []
        with pytest.raises(LimitExceeded) as first:
            await walk(reader, seen)
        assert (seen, first.value.limit) == (expected, limit)
        with pytest.raises(LimitExceeded) as second:
            await reader.next()
        assert second.value is not first.value
        assert str(second.value) == str(first.value)


@pytest.mark.parametrize("close", [MultipartReader.aclose, lambda reader: reader.__aexit__(None, None, None)])
async def test_after_a_limit_is_passed_the_generator_that_is_read_from_is_closed(
    close: Callable[[MultipartReader], Awaitable[object]],
) -> None:
    closed = []

    async def source() -> AsyncIterator[bytes]:
        try:
            for i in range(0, len(NESTED), 20):
                yield NESTED[i : i + 20]
        finally:
            closed.append(True)

    reader = MultipartReader(MIXED, source(), limits=Limits(max_parts=2))
    with pytest.raises(LimitExceeded):
        await walk(reader, [])
    assert not closed
    await close(reader)
    assert closed
    with pytest.raises(LimitExceeded) as error:
        async with MultipartReader(MIXED, source(), limits=Limits(max_parts=2)) as reader:
            await walk(reader, [])
    assert error.value.limit == "max_parts"
    assert closed == [True, True]


async def test_a_nested_reader_can_be_closed_after_a_limit_is_passed() -> None:
    reader = MultipartReader(MIXED, NESTED, limits=Limits(max_parts=2))
    nested = await next_nested(reader)
    with pytest.raises(LimitExceeded):
        await walk(nested, [])
    await nested.aclose()
    with pytest.raises(LimitExceeded):
        await reader.next()


async def test_there_is_an_end_to_nesting_without_a_limit() -> None:
    message = b"leaf"
    for depth in reversed(range(200)):
        boundary = b"b%d" % (depth + 1)
        message = build((b"Content-Type: multipart/mixed; boundary=%b" % boundary, message), boundary=b"b%d" % depth)
    headers = {"Content-Type": "multipart/mixed; boundary=b0"}
    reader: object = MultipartReader(headers, message, limits=Limits(max_depth=None))
    for _ in range(63):
        assert isinstance(reader, MultipartReader)
        reader = await reader.next()
    assert isinstance(reader, MultipartReader)
    with pytest.raises(LimitExceeded) as error:
        await reader.next()
    assert error.value.limit == "max_depth"


@pytest.mark.parametrize(
    ("fields", "accepted"), [((b"identity", b"gzip"), True), ((b"gzip", b"br"), False), ((b"gzip", b"gzip"), False)]
)
async def test_a_repeated_content_encoding_is_one_list(fields: tuple[bytes, ...], accepted: bool) -> None:
    head = b"\r\n".join(b"Content-Encoding: " + field for field in fields)
    part = await next_part(MultipartReader(MIXED, build((head, gzip.compress(b"text")))))
    if accepted:
        assert await part.read(decode=True) == b"text"
    else:
        with pytest.raises(aiomultipart.UnknownEncoding, match="gzip"):
            await part.read(decode=True)


@pytest.mark.parametrize("value", [b"//[.]@#", b"http://[::1", b"http://a:x/"])
async def test_a_location_that_is_no_url(value: bytes) -> None:
    part = await next_part(MultipartReader(MIXED, build((b"Content-Location: " + value, b""))))
    with pytest.raises(ParseError, match="Content-Location"):
        _ = part.location


async def test_a_part_alone_with_bad_headers() -> None:
    part = BodyPartReader(b"--b", {"Content-Disposition": "x; a="}, b"hello\r\n--b--")
    for _ in range(2):
        with pytest.raises(ParseError):
            await part.read_chunk(3)
    assert await part.read() == b"hello"
    for length in ("-1", "1_0", "\udcff"):
        with pytest.raises(ParseError, match="Content-Length"):
            BodyPartReader(b"--b", {"Content-Length": length}, b"")
    with pytest.raises(ParseError, match="no text"):
        _ = BodyPartReader(b"--b", {"X": "\ud800"}, b"").name
