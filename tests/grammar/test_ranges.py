"""Range and Content-Range: what they say, and what they do not."""

from __future__ import annotations

import pytest

from aiomultipart import ParseError, RangeNotSatisfiable
from aiomultipart.grammar.ranges import (
    ContentRange,
    format_range,
    is_strong_entity_tag,
    is_validator,
    merge_ranges,
    parse_content_range,
    parse_range,
    parse_unsatisfied_range,
)


@pytest.mark.parametrize(
    ("value", "ranges"),
    [
        ("bytes=0-0", [(0, 0)]),
        ("bytes=0-999", [(0, 999)]),
        ("bytes=5-", [(5, 999)]),
        ("bytes=999-5000", [(999, 999)]),
        ("bytes=-1", [(999, 999)]),
        ("bytes=-5000", [(0, 999)]),
        ("BYTES=0-1", [(0, 1)]),  # range units are case-insensitive
        ("bytes=000000000000000000000000000001-00000000000000000000000000000000002", [(1, 2)]),
        ("bytes=0-99999999999999999999999999999999999", [(0, 999)]),
        (f"bytes=0-{'9' * 10_000}", [(0, 999)]),
        (f"bytes=-{'9' * 10_000}", [(0, 999)]),
        # lists
        ("bytes=0-1,4-5", [(0, 1), (4, 5)]),
        ("bytes=4-5 ,\t0-1", [(4, 5), (0, 1)]),
        ("bytes=,0-1, ,,4-5,", [(0, 1), (4, 5)]),
        ("bytes=0-1,2000-3000,-0", [(0, 1)]),
        # merged: those that overlap or touch, where the first of them stood
        ("bytes=0-1,2-3", [(0, 3)]),
        ("bytes=0-1,3-4", [(0, 1), (3, 4)]),
        ("bytes=0-,-1,5-", [(0, 999)]),
        ("bytes=500-600,0-1,550-700", [(500, 700), (0, 1)]),
        ("bytes=550-700,0-1,500-600", [(500, 700), (0, 1)]),
        ("bytes=10-11,0-1,20-21,12-19", [(10, 21), (0, 1)]),
        ("bytes=5-5,5-5,0-0", [(5, 5), (0, 0)]),
        ("bytes=900-901,5-6,-2,6-7", [(900, 901), (5, 7), (998, 999)]),
    ],
)
def test_range(value: str, ranges: list[tuple[int, int]]) -> None:
    assert parse_range(value, 1000, max_ranges=100) == ranges


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes= ",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=5-4",
        "bytes=0-1,5-4",
        "bytes=2000-1999",
        "bytes=0-1-2",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1_0-20",
        "bytes=0 -1",
        "bytes=0- 1",
        "bytes=٣-٤",
        "bytes=0x1-0x2",
        "bytes=0-1;2-3",
        "bytes 0-1",
        "bytes =0-1",
        " bytes=0-1",
        "items=0-1",
        "bytes=0-1\r\n",
        "bytes=0-1\n",
        "bytes=0-1,\x00",
    ],
)
def test_a_range_to_be_ignored(value: str) -> None:
    assert parse_range(value, 1000, max_ranges=100) is None


@pytest.mark.parametrize(
    ("value", "length"),
    [
        ("bytes=1000-", 1000),
        ("bytes=1000-1001,5000-", 1000),
        ("bytes=-0", 1000),
        ("bytes=-0", 0),
        ("bytes=0-0", 0),
        (f"bytes={'9' * 10_000}-", 1000),
    ],
)
def test_a_range_that_is_not_there(value: str, length: int) -> None:
    with pytest.raises(RangeNotSatisfiable) as caught:
        parse_range(value, length, max_ranges=100)
    assert (caught.value.code, caught.value.complete_length) == ("range-not-satisfiable", length)
    assert caught.value.http_status == 416


@pytest.mark.parametrize("value", ["bytes=-1", "bytes=0-0,-5"])
def test_the_last_bytes_of_nothing_are_all_there_is(value: str) -> None:
    """RFC 9110 section 14.1.2: the range is satisfiable, though no Content-Range could say so."""
    assert parse_range(value, 0, max_ranges=100) is None


def test_many_small_ranges() -> None:
    specs = [f"{position}-{position}" for position in range(0, 400, 2)]
    assert parse_range(f"bytes={','.join(specs[:100])}", 1000, max_ranges=100) is not None
    for value in (f"bytes={','.join(specs[:101])}", "bytes=" + "," * 100, f"bytes={'0-,' * 100_000}"):
        with pytest.raises(RangeNotSatisfiable) as caught:
            parse_range(value, 1000, max_ranges=100)
        assert caught.value.code == "too-many-ranges"


def test_merging() -> None:
    assert merge_ranges([]) == []
    assert merge_ranges([(5, 9), (0, 3)]) == [(0, 3), (5, 9)]
    assert merge_ranges([(5, 9), (0, 3)], gap=1) == [(0, 9)]
    assert merge_ranges([(0, 9), (2, 3), (10, 11)]) == [(0, 11)]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("bytes 0-0/1", (0, 0, 1)),
        ("bytes 5-9/10", (5, 9, 10)),
        ("bytes 5-9/*", (5, 9, None)),
        ("Bytes 5-9/99", (5, 9, 99)),
        ("bytes 0-999999999999999998/999999999999999999", (0, 10**18 - 2, 10**18 - 1)),
    ],
)
def test_content_range(value: str, found: tuple[int, int, int | None]) -> None:
    parsed = parse_content_range(value)
    assert parsed == found
    assert parsed.size == found[1] - found[0] + 1
    assert str(parsed) == value.lower()


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes",
        "bytes */10",
        "bytes 5-4/10",
        "bytes 0-10/10",
        "bytes 0-1",
        "bytes 0-1/",
        "bytes 0-/10",
        "bytes -1/10",
        "bytes=0-1/10",
        "bytes  0-1/10",
        "bytes 0 - 1/10",
        "bytes 0-1/10 ",
        "bytes 0-1/10\n",
        "bytes +0-1/10",
        "bytes 0-1/1_0",
        "bytes ٠-١/10",
        "items 0-1/10",
        "multipart/byteranges; boundary=b",
        f"bytes 0-{'9' * 19}/*",
    ],
)
def test_a_content_range_that_is_none(value: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_content_range(value)
    assert caught.value.code == "bad-content-range"


def test_the_content_range_of_a_416() -> None:
    assert parse_unsatisfied_range("bytes */10") == 10
    assert parse_unsatisfied_range("bytes 0-1/10") is None
    assert parse_unsatisfied_range("bytes */-1") is None
    assert parse_unsatisfied_range("") is None


def test_format_range() -> None:
    assert format_range([(0, 0)]) == "bytes=0-0"
    assert format_range([(0, 99), (500, None), (None, 5)]) == "bytes=0-99,500-,-5"
    assert str(ContentRange(0, 9, None)) == "bytes 0-9/*"


@pytest.mark.parametrize("ranges", [[], [(None, None)], [(None, 0)], [(None, -1)], [(-1, 5)], [(-1, None)], [(5, 4)]])
def test_a_range_that_cannot_be_asked_for(ranges: list[tuple[int | None, int | None]]) -> None:
    with pytest.raises(ValueError, match="range"):
        format_range(ranges)


def test_validators() -> None:
    for tag in ('""', '"a"', '"\xe9"', '"a,b/c"'):
        assert is_strong_entity_tag(tag)
        assert is_validator(tag)
    for tag in ("", "a", 'W/"a"', '"a', '"a"b"', '"a b"', '"a\x7f"', '"a"\n', "'a'"):
        assert not is_strong_entity_tag(tag)
        assert not is_validator(tag)
    assert is_validator("Sat, 21 Nov 2026 21:12:00 GMT")
    for date in ("Saturday, 21-Nov-26 21:12:00 GMT", "Sat, 21 Nov 2026 21:12:00 GMT\n", "2026-11-21"):
        assert not is_validator(date)
