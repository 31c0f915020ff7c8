"""Messages in messages: back-to-back closes, epilogues, readers left half-way, bodies cut by the outer boundary."""

from __future__ import annotations

import pytest

from aiomultipart import IncompleteBody, LimitExceeded, Limits, MultipartReader, ParseError, StateError
from aiomultipart.sources import ByteStream
from tests.support.reading import MIXED, all_parts, build, everywhere, next_nested, next_part

NESTED = b"Content-Type: multipart/mixed; boundary=%b"
INNERMOST = build((b"", b"deep"), boundary=b"bbb")
INNER = build((b"", b"i1"), (NESTED % b"bbb", INNERMOST), boundary=b"bb")
BACK_TO_BACK = build((b"", b"o1"), (NESTED % b"bb", INNER))
SIBLINGS = build(
    (b"", b"o1"),
    (NESTED % b"bb", build((b"", b"i1"), (b"", b"i2"), (b"", b"i3"), boundary=b"bb", end=b"\r\ninner epilogue")),
    (b"", b"o2"),
    (NESTED % b"bb", build((b"", b"j1"), boundary=b"bb")),
    (b"", b"o3"),
)


async def test_three_levels_with_closes_back_to_back() -> None:
    assert BACK_TO_BACK.endswith(b"deep\r\n--bbb--\r\n--bb--\r\n--b--")

    async def check(source: ByteStream) -> None:
        assert await all_parts(MultipartReader(MIXED, source)) == [b"o1", [b"i1", [b"deep"]]]

    await everywhere(BACK_TO_BACK, check, splits=200)


async def test_inner_epilogues_and_preambles() -> None:
    innermost = b"preamble\r\n" + build((b"", b"deep"), boundary=b"bbb", end=b"\r\ninnermost epilogue\r\n")
    inner = b"preamble\r\n" + build((NESTED % b"bbb", innermost), (b"", b"after"), boundary=b"bb", end=b"\r\n--b\r")
    message = b"preamble\r\n" + build((NESTED % b"bb", inner), (b"", b"last"), end=b"\r\nepilogue")

    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        assert await all_parts(reader) == [[[b"deep"], b"after"], b"last"]
        await reader.release()

    await everywhere(message, check, splits=100)


@pytest.mark.parametrize("how", ["untouched", "one part", "half a part", "to the last part", "ended", "released"])
async def test_a_nested_reader_left_half_way_loses_nothing_of_its_siblings(how: str) -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        assert await (await next_part(reader)).read() == b"o1"
        nested = await next_nested(reader)
        if how == "one part":
            assert await (await next_part(nested)).read() == b"i1"
        elif how == "half a part":
            assert await (await next_part(nested)).read_chunk(1) == b"i"
        elif how == "to the last part":
            for _ in range(3):
                await nested.next()
        elif how == "ended":
            assert await all_parts(nested) == [b"i1", b"i2", b"i3"]
        elif how == "released":
            await nested.next()
            await nested.release()
            assert nested.at_eof()
        assert await all_parts(reader) == [b"o2", [b"j1"], b"o3"]

    await everywhere(SIBLINGS, check)


async def test_reading_inside_a_nested_message_that_the_outer_reader_has_left() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        await reader.next()
        nested = await next_nested(reader)
        part = await next_part(nested)
        await reader.next()
        with pytest.raises(StateError):
            await part.read()
        with pytest.raises(StateError):
            await part.readline()
        with pytest.raises(StateError):
            await nested.next()
        assert part.at_eof()
        await part.release()
        await nested.release()
        assert nested.at_eof()
        assert await nested.next() is None
        assert await all_parts(reader) == [[b"j1"], b"o3"]

    await everywhere(SIBLINGS, check)


@pytest.mark.parametrize("inner", [b"", b"--bb\r\nA: 1", b"--bb\r\n\r\nhalf", b"--bb\r\n\r\nwhole\r\n--bb", b"--bb-"])
async def test_a_nested_body_without_its_close_delimiter(inner: bytes) -> None:
    message = build((NESTED % b"bb", inner), (b"", b"o2"))

    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        nested = await next_nested(reader)
        with pytest.raises(IncompleteBody):
            await all_parts(nested)
        with pytest.raises(IncompleteBody):
            await nested.next()
        with pytest.raises(IncompleteBody):
            await nested.release()
        assert not nested.at_eof()
        assert await all_parts(reader) == [b"o2"]

    await everywhere(message, check)


async def test_a_framing_error_inside_is_the_nested_readers_alone() -> None:
    message = build((NESTED % b"bb", b"--bb\r\nbad header\r\n\r\n\r\n--bb--"), (b"", b"o2"))

    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        nested = await next_nested(reader)
        with pytest.raises(ParseError) as first:
            await nested.next()
        with pytest.raises(ParseError) as second:
            await nested.next()
        assert str(first.value) == str(second.value)
        assert first.value is not second.value
        assert await all_parts(reader) == [b"o2"]

    await everywhere(message, check)


async def test_a_framing_error_outside_reaches_the_nested_reader() -> None:
    message = b"--b\r\n" + NESTED % b"bb" + b"\r\nContent-Length: 30\r\n\r\n--bb\r\n\r\nhalf\r\n--b\r\n\r\n\r\n--b--"

    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        nested = await next_nested(reader)
        for _ in range(2):
            with pytest.raises(ParseError):
                await all_parts(nested)
        with pytest.raises(ParseError):
            await reader.next()

    await everywhere(message, check)


async def test_max_depth() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source, limits=Limits(max_depth=2))
        await reader.next()
        nested = await next_nested(reader)
        await nested.next()
        with pytest.raises(LimitExceeded) as caught:
            await nested.next()
        assert caught.value.limit == "max_depth"
        assert await nested.next() is None
        assert await reader.next() is None

    await everywhere(BACK_TO_BACK, check)


async def test_multipart_without_a_boundary_is_a_part_like_any_other() -> None:
    message = build((b"Content-Type: multipart/related", b"a saved page"))
    part = await next_part(MultipartReader(MIXED, message))
    assert part.content_type == "multipart/related"
    assert await part.read() == b"a saved page"


async def test_closing_a_nested_reader_leaves_the_outer_one_open() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        await reader.next()
        async with await next_nested(reader) as nested:
            part = await next_part(nested)
        with pytest.raises(StateError):
            await part.read()
        with pytest.raises(StateError):
            await nested.next()
        assert await all_parts(reader) == [b"o2", [b"j1"], b"o3"]

    await everywhere(SIBLINGS, check)


@pytest.mark.parametrize("method", ["read", "read_chunk", "readline", "text", "next", "__anext__"])
async def test_what_is_buffered_of_a_nested_message_after_the_outer_reader_moved_on(method: str) -> None:
    inner = build((b"", b"i1"), (b"", b"i2"), boundary=b"i")

    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        nested = await next_nested(reader)
        part = await next_part(nested)
        await reader.next()
        with pytest.raises(StateError, match="moved on"):
            await getattr(part, method)()
        with pytest.raises(StateError, match="moved on"):
            await nested.next()

    await everywhere(build((NESTED % b"i", inner), (b"", b"o2")), check)
