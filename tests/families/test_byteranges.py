"""What a client makes of a response: many ranges, one, or the whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aiomultipart import (
    BodyPartReader,
    IncompleteBody,
    LimitExceeded,
    Limits,
    MultipartError,
    ParseError,
    Policy,
    RangeNotSatisfiable,
    StateError,
    byteranges,
    fetch_ranges,
)
from aiomultipart.testing import cuttings
from tests.support.awaits import Run, at_every_await
from tests.support.ranges import BYTERANGES, Got, gather, message, response, taken

ONE = {"Content-Type": "text/plain", "Content-Range": "bytes 2-5/10"}
TWO = message(("bytes 0-3/10", b"0123"), ("bytes 8-9/10", b"89"))
FOUND: list[Got] = [(0, 3, 10, b"0123"), (8, 9, 10, b"89")]


@pytest.mark.parametrize("policy", Policy)
async def test_many_ranges(policy: Policy) -> None:
    for chunks in cuttings(TWO):
        given = response(206, BYTERANGES, chunks)
        assert await gather(byteranges(given, policy=policy)) == FOUND
        assert given.is_closed


@pytest.mark.parametrize("policy", Policy)
async def test_one_range(policy: Policy) -> None:
    for chunks in cuttings(b"2345"):
        given = response(206, ONE, chunks)
        parts = byteranges(given, policy=policy)
        assert parts.is_partial
        assert await gather(parts) == [(2, 5, 10, b"2345")]
        assert given.is_closed


@pytest.mark.parametrize("policy", Policy)
async def test_the_whole(policy: Policy) -> None:
    for chunks in cuttings(b"0123456789"):
        given = response(200, {"Content-Type": "text/plain", "Content-Length": "10"}, chunks)
        parts = byteranges(given, policy=policy)
        assert not parts.is_partial
        assert await gather(parts) == [(0, 9, 10, b"0123456789")]
        assert given.is_closed


async def test_a_whole_of_unknown_length() -> None:
    assert await gather(byteranges(response(200, {}, b"0123"))) == [(0, None, None, b"0123")]
    encoded = {"Content-Encoding": "identity", "Content-Length": "9"}  # of what is not here any more
    assert await gather(byteranges(response(200, encoded, b"0123"))) == [(0, None, None, b"0123")]


async def test_a_whole_of_nothing() -> None:
    assert await gather(byteranges(response(200, {"Content-Length": "0"}, b""))) == [(0, -1, 0, b"")]


async def test_a_length_that_is_not_known() -> None:
    body = message(("bytes 0-3/*", b"0123"), ("bytes 8-9/10", b"89"), ("bytes 5-5/*", b"5"))
    parts = byteranges(response(206, BYTERANGES, body))
    assert await gather(parts) == [(0, 3, None, b"0123"), (8, 9, 10, b"89"), (5, 5, None, b"5")]
    one = response(206, {"Content-Range": "bytes 1-1/*"}, b"1")
    assert await gather(byteranges(one)) == [(1, 1, None, b"1")]


async def test_parts_that_nobody_reads() -> None:
    for chunks in cuttings(TWO):
        parts = byteranges(response(206, BYTERANGES, chunks))
        assert [found[:3] async for found in parts] == [found[:3] for found in FOUND]
    bad = byteranges(response(206, BYTERANGES, message(("bytes 0-3/10", b"012"), ("bytes 8-9/10", b"89"))))
    await anext(bad)
    with pytest.raises(ParseError) as caught:
        await anext(bad)
    assert caught.value.code == "content-range-too-large"


async def test_a_part_has_what_every_part_has(tmp_path: Any) -> None:
    async for found in byteranges(response(206, ONE, b"2345")):
        part = found.part
        assert isinstance(part, BodyPartReader)
        assert part.headers == ONE
        assert part.content_type == "text/plain"
        saved = await part.save(tmp_path / "range", hash="md5")
        assert (saved.size, saved.path.read_bytes()) == (4, b"2345")


async def test_a_range_of_a_multipart_file_is_bytes() -> None:
    body = message(("bytes 0-3/10", b"0123"), ("bytes 8-9/10", b"89"), content_type="multipart/form-data; boundary=c")
    assert await gather(byteranges(response(206, BYTERANGES, body))) == FOUND
    one = {"Content-Type": "multipart/byteranges; boundary=c", "Content-Range": "bytes 2-5/10"}
    # RFC 9110 section 15.3.7.2: a Content-Range says that it is one part, whatever it is of.
    assert await gather(byteranges(response(206, one, b"2345"))) == [(2, 5, 10, b"2345")]
    whole = {"Content-Type": "multipart/byteranges; boundary=b"}
    assert await gather(byteranges(response(200, whole, TWO))) == [(0, None, None, TWO)]


async def test_a_delimiter_in_one_range_is_data() -> None:
    body = b"\r\n--b--\r\n"
    given = response(206, {"Content-Range": f"bytes 0-{len(body) - 1}/100"}, body)
    assert await gather(byteranges(given)) == [(0, len(body) - 1, 100, body)]


async def test_the_boundary_in_the_content_range() -> None:
    """Starlette before 2026."""
    headers = {"Content-Type": "text/plain", "Content-Range": "multipart/byteranges; boundary=b"}
    assert await gather(byteranges(response(206, headers, TWO), policy=Policy.LENIENT)) == FOUND
    with pytest.raises(ParseError) as caught:
        await gather(byteranges(response(206, headers, TWO)))
    assert caught.value.code == "bad-content-range"


# What is wrong

ANOTHER = ("bytes 8-9/10", b"89")
BAD: dict[str, tuple[dict[str, str], bytes, type[MultipartError], str, int, int]] = {
    "missing": (
        BYTERANGES,
        message(("bytes 0-3/10", b"0123"), (None, b"89")),
        ParseError,
        "missing-content-range",
        1,
        73,
    ),
    "malformed": (BYTERANGES, message(("bytes 0-/10", b"0123")), ParseError, "bad-content-range", 0, 5),
    "backwards": (BYTERANGES, message(("bytes 3-0/10", b"0123")), ParseError, "bad-content-range", 0, 5),
    "beyond the end": (BYTERANGES, message(("bytes 7-10/10", b"789x")), ParseError, "bad-content-range", 0, 5),
    "twice": (
        BYTERANGES,
        message(("bytes 0-3/10\r\nContent-Range: bytes 0-3/10", b"0123")),
        ParseError,
        "repeated-field",
        0,
        5,
    ),
    "of two lengths": (
        BYTERANGES,
        message(("bytes 0-3/10", b"0123"), ("bytes 8-9/11", b"89")),
        ParseError,
        "bad-content-range",
        1,
        73,
    ),
    "too large": (
        BYTERANGES,
        message(("bytes 0-3/10", b"012"), ANOTHER),
        ParseError,
        "content-range-too-large",
        0,
        5,
    ),
    "too small": (
        BYTERANGES,
        message(("bytes 0-3/10", b"01234"), ANOTHER),
        ParseError,
        "content-range-too-small",
        0,
        5,
    ),
    "cut short": (BYTERANGES, TWO[:-8], IncompleteBody, "no-close-delimiter", 1, len(TWO) - 8),
    "one, missing": ({"Content-Type": "text/plain"}, b"2345", ParseError, "missing-content-range", 0, 0),
    "one, malformed": ({"Content-Range": "bytes 2-5"}, b"2345", ParseError, "bad-content-range", 0, 0),
    "one, cut short": (ONE, b"234", IncompleteBody, "body-cut-short", 0, 0),
    "one, nothing": (ONE, b"", IncompleteBody, "body-cut-short", 0, 0),
    "one, too long": (ONE, b"23456", ParseError, "content-range-too-small", 0, 0),
}


async def outcome(headers: dict[str, str], chunks: list[bytes]) -> tuple[list[Any], MultipartError]:
    """What has been read before the error, joined for each part."""
    given = response(206, headers, chunks)
    seen: list[Any] = []
    parts = byteranges(given)

    async def read() -> None:
        async for found in parts:
            seen.append([found[:3], b""])
            async for chunk in found.part.iter_chunks():
                seen[-1][1] += chunk

    with pytest.raises(MultipartError) as caught:
        await read()
    with pytest.raises(caught.type) as again:
        await anext(parts)
    assert (str(again.value), again.value is caught.value) == (str(caught.value), False)
    assert given.is_closed
    return seen, caught.value


@pytest.mark.parametrize("case", BAD)
async def test_bad_ranges(case: str) -> None:
    headers, body, kind, code, part_index, offset = BAD[case]
    first: list[Any] = []
    for chunks in cuttings(body, random_cuts=4):
        seen, error = await outcome(headers, chunks)
        assert type(error) is kind
        assert (error.code, error.part_index, error.offset) == (code, part_index, offset), error
        first = first or seen
        assert seen == first
        for (begin, end, _), read in seen:
            assert b"0123456789"[begin : end + 1].startswith(read)


async def test_what_lenient_forgives_is_held_to_its_content_range() -> None:
    """A missing close-delimiter is no matter where the Content-Range says that all is here."""
    parts = byteranges(response(206, BYTERANGES, TWO.removesuffix(b"\r\n--b--\r\n")), policy=Policy.LENIENT)
    assert await gather(parts) == FOUND
    for chunks in cuttings(TWO.removesuffix(b"9\r\n--b--\r\n"), random_cuts=4):
        parts = byteranges(response(206, BYTERANGES, chunks), policy=Policy.LENIENT)
        assert await taken(await anext(parts)) == FOUND[0]
        second = await anext(parts)
        for _ in range(2):
            with pytest.raises(ParseError) as caught:
                await second.part.read()
            assert (caught.value.code, caught.value.part_index) == ("content-range-too-large", 1)


async def test_statuses() -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        byteranges(response(416, {"Content-Range": "bytes */10"}, b"no"))
    assert (caught.value.complete_length, caught.value.http_status) == (10, 416)
    with pytest.raises(RangeNotSatisfiable) as caught:
        byteranges(response(416, {}, b"no"))
    assert caught.value.complete_length is None
    for status in (204, 304, 404, 500):
        with pytest.raises(ParseError) as failed:
            byteranges(response(status, BYTERANGES, TWO))
        assert failed.value.code == "unexpected-status"
        assert f"the response {status} of http://server/file" in str(failed.value)


async def test_a_boundary_that_is_missing() -> None:
    with pytest.raises(ParseError, match="the response 206") as caught:
        byteranges(response(206, {"Content-Type": "multipart/byteranges"}, TWO))
    assert caught.value.code == "missing-boundary"


async def test_limits() -> None:
    with pytest.raises(LimitExceeded):
        await gather(byteranges(response(206, BYTERANGES, TWO), limits=Limits(max_parts=1)))
    with pytest.raises(LimitExceeded):
        await gather(byteranges(response(206, ONE, b"2345"), limits=Limits(max_part_size=3)))


# What was asked for


@pytest.mark.parametrize(
    ("asked", "fine"),
    [
        ([(0, 3), (8, 9)], True),
        ([(8, 9), (0, 3)], True),
        ([(0, 3), (8, 20)], True),
        ([(0, 3), (8, None)], True),
        ([(0, 3), (None, 2)], True),
        ([(0, 3), (None, 20)], True),
        ([(0, None), (1, 1)], True),
        ([(0, 3), (5, 6), (8, 9)], True),  # one is left out
        ([(0, 0), (3, 3), (8, 9)], True),  # two come as one
        ([(0, 3)], False),
        ([(0, 2), (8, 9)], False),
        ([(1, 3), (8, 9)], False),
        ([(0, 3), (9, 9)], False),
        ([(0, 3), (None, 1)], False),
        ([(0, 3), (8, 8)], False),
    ],
)
async def test_ranges_that_were_asked_for(asked: list[tuple[int | None, int | None]], fine: bool) -> None:
    parts = byteranges(response(206, BYTERANGES, TWO), ranges=asked)
    if fine:
        assert await gather(parts) == FOUND
    else:
        with pytest.raises(ParseError) as caught:
            await gather(parts)
        assert caught.value.code == "range-not-asked-for"
        assert caught.value.part_index in (0, 1)
        assert caught.value.offset is not None


async def test_what_is_between_two_ranges() -> None:
    """They may come as one when another part would have cost more."""
    for gap, fine in ((1024, True), (1025, False)):
        size = gap + 2
        given = response(206, {"Content-Range": f"bytes 0-{size - 1}/*"}, bytes(size))
        parts = byteranges(given, ranges=[(0, 0), (size - 1, size - 1)])
        if fine:
            assert await gather(parts) == [(0, size - 1, None, bytes(size))]
        else:
            with pytest.raises(ParseError, match="was not asked for"):
                await gather(parts)


async def test_the_last_bytes_of_what_has_no_length() -> None:
    given = response(206, {"Content-Range": "bytes 2-5/*"}, b"2345")
    assert await gather(byteranges(given, ranges=[(None, 4)])) == [(2, 5, None, b"2345")]


async def test_the_whole_when_ranges_were_asked_for() -> None:
    given = response(200, {"Content-Length": "10"}, b"0123456789")
    assert await gather(byteranges(given, ranges=[(2, 5)])) == [(0, 9, 10, b"0123456789")]


# Misuse, and cancellation


async def test_a_part_that_is_read_too_late() -> None:
    parts = byteranges(response(206, BYTERANGES, TWO))
    one = await anext(parts)
    await anext(parts)
    with pytest.raises(StateError, match="moved on"):
        await one.part.read()


async def test_leaving_early() -> None:
    given = response(206, BYTERANGES, TWO)
    async with byteranges(given) as parts:
        await anext(parts)
        assert repr(parts).startswith("<ByteRanges of <MultipartResponseWrapper")
    assert given.is_closed
    with pytest.raises(StateError, match="closed"):
        await anext(parts)


@pytest.mark.parametrize(("headers", "body"), [(BYTERANGES, TWO), (ONE, b"2345")], ids=["many", "one"])
async def test_leaving_early_closes_what_is_read(headers: dict[str, str], body: bytes) -> None:
    class Generating:
        """A response like those of httpx, which do not close the generators that they give."""

        stream = None
        status_code = 206
        closed = 0

        async def aiter_bytes(self) -> AsyncIterator[bytes]:
            try:
                yield body[:-1]
                yield body[-1:]
            finally:
                self.closed += 1

        async def aclose(self) -> None:
            self.closed += 10

    given = Generating()
    given.headers = headers  # type: ignore[attr-defined]
    async with byteranges(given) as parts:  # type: ignore[arg-type]
        await (await anext(parts)).part.read_chunk(1)
        assert given.closed == 0
    assert given.closed == 11


@pytest.mark.parametrize(("headers", "body"), [(BYTERANGES, TWO), (ONE, b"2345")], ids=["many", "one"])
async def test_cancelled_at_every_await(headers: dict[str, str], body: bytes) -> None:
    class Resumable:
        """A response whose body survives a cancellation, as aiohttp's does."""

        def __init__(self) -> None:
            self.status = 206
            self.headers = headers
            self.released = False
            self._queue: asyncio.Queue[bytes] = asyncio.Queue()
            self._chunks = [body[i : i + 7] for i in range(0, len(body), 7)]
            self.content = self

        async def read(self, n: int, /) -> bytes:
            if self._queue.empty():
                chunk = self._chunks.pop(0) if self._chunks else b""
                asyncio.get_running_loop().call_soon(self._queue.put_nowait, chunk)
            return await self._queue.get()

        def release(self) -> None:
            self.released = True

    async def scenario(run: Run) -> None:
        given = Resumable()
        parts = byteranges(given)
        got = []
        for _ in range(2 if headers is BYTERANGES else 1):
            found = await run(lambda: anext(parts))
            read = found.part.read
            got.append((*found[:3], await run(read)))
        assert got == (FOUND if headers is BYTERANGES else [(2, 5, 10, b"2345")])
        await run(parts.release)
        assert given.released

    await at_every_await(scenario)


@pytest.mark.parametrize("if_range", ['W/"a"', "a", "", '"a"\r\n', "yesterday"])
async def test_an_if_range_that_is_none(if_range: str) -> None:
    with pytest.raises(ValueError, match="if_range"):
        async with fetch_ranges(None, "http://server/", [(0, 1)], if_range=if_range):
            pass


async def test_no_ranges() -> None:
    with pytest.raises(ValueError, match="no range"):
        async with fetch_ranges(None, "http://server/", []):
            pass
