"""Range by its grammar; and any ranges of any content, answered and read back under any chunking, are those bytes."""

from __future__ import annotations

import asyncio
import itertools
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from aiomultipart import MultipartError, RangeNotSatisfiable, answer_ranges, byteranges
from aiomultipart.grammar.ranges import RangeSpec, format_range, parse_content_range, parse_range
from tests.support.feeding import cut
from tests.support.ranges import gather, response

LENGTHS = st.integers(0, 60)
NUMBERS = st.integers(0, 70) | st.sampled_from([10**17, 10**18, 10**30])

# RFC 9110 sections 14.1.1, 14.1.2 and 5.6.1, written down once more
DIGITS = st.builds(lambda zeros, number: "0" * zeros + str(number), st.integers(0, 2), NUMBERS)
INT_RANGE = st.builds(lambda first, last: f"{first}-{last}", DIGITS, DIGITS | st.just(""))
SUFFIX_RANGE = DIGITS.map("-{}".format)
OWS = st.text(" \t", max_size=2)
ELEMENT = INT_RANGE | SUFFIX_RANGE | st.just("")
RANGE_SET = st.lists(st.builds(lambda a, b, c: f"{a}{b}{c}", OWS, ELEMENT, OWS), min_size=1, max_size=12).map(",".join)
RANGE = st.builds(lambda unit, text: f"{unit}={text}", st.sampled_from(["bytes", "Bytes", "BYTES"]), RANGE_SET)
NO_RANGE = st.text("bytes=0123456789-,* \t\r\n\0٣", max_size=20)


def positions(value: str, length: int) -> tuple[bool, set[int], bool]:
    """Whether the field is valid, what it asks for byte by byte, and whether it asks for the end of nothing."""
    wanted: set[int] = set()
    of_nothing = False
    elements = [element.strip(" \t") for element in value.partition("=")[2].split(",")]
    elements = [element for element in elements if element]
    for element in elements:
        first, _, last = element.partition("-")
        if first == "":
            count = int(last)
            of_nothing = of_nothing or (length == 0 and count > 0)
            wanted.update(position for position in range(length) if position >= length - count)
        elif last and int(last) < int(first):
            return False, set(), False
        else:
            end = int(last) if last else length
            wanted.update(position for position in range(length) if int(first) <= position <= end)
    return bool(elements), wanted, of_nothing


@given(RANGE, LENGTHS)
def test_range_by_its_grammar(value: str, length: int) -> None:
    valid, wanted, of_nothing = positions(value, length)
    try:
        ranges = parse_range(value, length, max_ranges=12)
    except RangeNotSatisfiable:
        assert valid
        assert not wanted
        assert not of_nothing
        return
    if ranges is None:
        assert not valid or of_nothing
        return
    assert valid
    assert {position for first, last in ranges for position in range(first, last + 1)} == wanted
    # No two of them overlap or touch, so never more is sent than there is.
    in_order = sorted(ranges)
    assert all(one[1] + 1 < two[0] for one, two in itertools.pairwise(in_order))


@given(NO_RANGE | RANGE.flatmap(lambda value: st.integers(0, len(value)).map(lambda i: value[:i] + "x" + value[i:])))
def test_anything_else_is_ignored(value: str) -> None:
    if not re.fullmatch(r"bytes=[-0-9, \t]+", value, re.IGNORECASE | re.ASCII):
        assert parse_range(value, 50, max_ranges=100) is None


@given(st.text("bytes =/0123456789-*", max_size=25) | st.from_regex(r"bytes [0-9]{1,3}-[0-9]{1,3}/([0-9]{1,3}|\*)"))
def test_content_range(value: str) -> None:
    try:
        found = parse_content_range(value)
    except MultipartError as exc:
        assert exc.code == "bad-content-range"  # noqa: PT017
    else:
        assert [int(digits) for digits in re.findall("[0-9]+", value)] == [part for part in found if part is not None]
        assert found.first_pos <= found.last_pos


SPECS = st.one_of(
    st.tuples(st.integers(0, 300), st.none()),
    st.tuples(st.none(), st.integers(1, 300)),
    st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda pair: (min(pair), max(pair))),
)


@settings(deadline=None)
@given(
    st.binary(max_size=200) | st.lists(st.sampled_from([b"\r\n", b"--", b"a"]), max_size=80).map(b"".join),
    st.lists(SPECS, min_size=1, max_size=8),
    st.data(),
)
def test_what_is_answered_is_read_back(content: bytes, asked: list[RangeSpec], data: st.DataObject) -> None:
    async def answered() -> tuple[int, dict[str, str], bytes]:
        async with await answer_ranges({"Range": format_range(asked)}, content) as answer:
            body = b"".join([chunk async for chunk in answer.body.as_chunks()])
            assert answer.headers["Content-Length"] == str(len(body))
            return answer.status, dict(answer.headers), body

    status, headers, body = asyncio.run(answered())
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=20))

    async def read() -> set[int]:
        got: set[int] = set()
        for first, last, length, found in await gather(
            byteranges(response(status, headers, cut(body, cuts)), ranges=asked)
        ):
            assert last is not None
            assert (found, length) == (content[first : last + 1], len(content))
            assert not got & {*range(first, last + 1)}
            got.update(range(first, last + 1))
        return got

    _, wanted, of_nothing = positions(format_range(asked), len(content))
    if status == 416:
        assert not wanted
    elif status == 200:
        assert of_nothing
        assert asyncio.run(read()) == set()
    else:
        assert asyncio.run(read()) == wanted
