"""Byte ranges: Range, Content-Range, If-Range (RFC 9110 sections 8.8, 13.1.5 and 14).

Positions are inclusive, as in the fields: ``bytes=0-0`` asks for one byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from aiomultipart.exceptions import ParseError, RangeNotSatisfiable

from .fields import find_control

__all__ = (
    "ContentRange",
    "RangeSpec",
    "format_range",
    "is_strong_entity_tag",
    "is_validator",
    "merge_ranges",
    "parse_content_range",
    "parse_range",
    "parse_unsatisfied_range",
)

RangeSpec: TypeAlias = tuple[int | None, int | None]
"""``(first_pos, last_pos)``; ``(first_pos, None)`` for all from there on; ``(None, suffix_length)`` for the end."""

# RFC 9110 section 14.1:  ranges-specifier = range-unit "=" range-set,  range-unit = token, in any case
_UNIT = re.compile(r"bytes=", re.ASCII | re.IGNORECASE).match
# RFC 9110 section 14.1.1:  int-range = first-pos "-" [ last-pos ],  suffix-range = "-" suffix-length
_SPEC = re.compile(r"(?:([0-9]++)-([0-9]*+)|-([0-9]++))", re.ASCII).fullmatch
# RFC 9110 section 14.4:  Content-Range = range-unit SP ( range-resp / unsatisfied-range )
#   range-resp = first-pos "-" last-pos "/" ( complete-length / "*" ),  unsatisfied-range = "*/" complete-length
_RESPONSE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/(?:([0-9]{1,18})|\*)", re.ASCII | re.IGNORECASE).fullmatch
_UNSATISFIED = re.compile(r"bytes \*/([0-9]{1,18})", re.ASCII | re.IGNORECASE).fullmatch
# RFC 9110 section 8.8.3:  entity-tag = [ weak ] opaque-tag,  opaque-tag = DQUOTE *etagc DQUOTE
_STRONG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"').fullmatch
# RFC 9110 section 5.6.7:  HTTP-date; the one form that is sent
_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4}"
    r" [0-9]{2}:[0-9]{2}:[0-9]{2} GMT",
    re.ASCII,
).fullmatch

_BEYOND = 10**18
"""A position behind all that there is: numbers of more than 18 digits are this one."""


class ContentRange(NamedTuple):
    """A Content-Range with a range in it."""

    first_pos: int
    last_pos: int
    complete_length: int | None
    """None for ``*``: not known to the server."""

    @property
    def size(self) -> int:
        """How many bytes it is."""
        return self.last_pos - self.first_pos + 1

    def __str__(self) -> str:
        length = "*" if self.complete_length is None else self.complete_length
        return f"bytes {self.first_pos}-{self.last_pos}/{length}"


def parse_content_range(value: str) -> ContentRange:
    """A Content-Range (RFC 9110 section 14.4).

    :raises ParseError: it is none with a range of bytes in it, or one that is invalid: it ends before it begins, or
        beyond the complete length.
    """
    match = _RESPONSE(value)
    if match is not None:
        first_pos, last_pos = int(match[1]), int(match[2])
        complete_length = None if match[3] is None else int(match[3])
        if first_pos <= last_pos and (complete_length is None or last_pos < complete_length):
            return ContentRange(first_pos, last_pos, complete_length)
    raise ParseError(f"Content-Range: {value[:60]!r} is no range of bytes", code="bad-content-range")


def parse_unsatisfied_range(value: str) -> int | None:
    """The complete length in the Content-Range of a 416; None where it has none."""
    match = _UNSATISFIED(value)
    return None if match is None else int(match[1])


def parse_range(value: str, complete_length: int, *, max_ranges: int) -> list[tuple[int, int]] | None:
    """What a Range asks for, of a representation of ``complete_length`` bytes.

    :param max_ranges: how many ranges may be asked for.
    :return: pairs of first-pos and last-pos, in the order in which they were asked for. Those that overlap or touch are
        merged, and stand where the first of them stood, so what is sent is never more than the representation. None
        where the field is to be ignored: the unit is not ``bytes`` (section 14.2: MUST), the field is malformed
        (section 14.2: MAY), or the representation is empty and no range could say so.
    :raises RangeNotSatisfiable: none of the ranges is there, or there are too many.
    """
    unit = _UNIT(value)
    if unit is None:
        return None
    text = value[unit.end() :]
    if text.count(",") >= max_ranges:
        what = f"Range: more than {max_ranges} ranges"
        raise RangeNotSatisfiable(what, code="too-many-ranges", complete_length=complete_length)
    specs = [spec for item in text.split(",") if (spec := item.strip(" \t"))]  # section 5.6.1: elements may be empty
    ranges: list[tuple[int, int]] = []
    in_vain = not specs
    for spec in specs:
        match = _SPEC(spec)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if suffix is not None:
            first_pos, last_pos = max(complete_length - _number(suffix), 0), complete_length - 1
            in_vain = in_vain or (not complete_length and _number(suffix) > 0)
        else:
            if last and _order(last) < _order(first):
                return None
            first_pos, last_pos = _number(first), _number(last) if last else _BEYOND
        if first_pos < complete_length:
            ranges.append((first_pos, min(last_pos, complete_length - 1)))
    if in_vain:
        return None
    if not ranges:
        what = f"Range: no such bytes in a representation of {complete_length}"
        raise RangeNotSatisfiable(what, code="range-not-satisfiable", complete_length=complete_length)
    return _in_order(ranges)


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= 18 else _BEYOND


def _order(digits: str) -> tuple[int, str]:
    """What numbers of any length can be compared by."""
    digits = digits.lstrip("0")
    return len(digits), digits


def _in_order(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges merged, each where the first that is in it stood."""
    if len(ranges) == 1:
        return ranges
    merged = merge_ranges(ranges)
    starts = {first_pos: place for place, (first_pos, _) in enumerate(merged)}
    # Which of the merged ones each is in: they are met in ascending order.
    places: dict[int, int] = {}
    at = 0
    for asked, (first_pos, _) in sorted(enumerate(ranges), key=lambda item: item[1]):
        at = starts.get(first_pos, at)
        places[at] = min(asked, places.get(at, asked))
    return [merged[place] for place in sorted(places, key=places.__getitem__)]


def merge_ranges(ranges: Iterable[tuple[int, int]], gap: int = 0) -> list[tuple[int, int]]:
    """Ranges in ascending order, those merged that overlap or touch.

    :param gap: how many bytes may be between two that are merged.
    """
    merged: list[tuple[int, int]] = []
    for first_pos, last_pos in sorted(ranges):
        if merged and first_pos <= merged[-1][1] + 1 + gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last_pos))
        else:
            merged.append((first_pos, last_pos))
    return merged


def format_range(ranges: Iterable[RangeSpec]) -> str:
    """The Range that asks for ``ranges``.

    :raises ValueError: there is none; one ends before it begins, is a suffix of nothing, or has a negative position.
    """
    specs = []
    for first_pos, last_pos in ranges:
        if first_pos is None:
            if last_pos is None or last_pos < 1:
                raise ValueError(f"range (None, {last_pos}): the last so many bytes are a number above 0")
            specs.append(f"-{last_pos}")
        elif first_pos < 0 or (last_pos is not None and last_pos < first_pos):
            raise ValueError(f"range ({first_pos}, {last_pos}): first_pos is from 0, last_pos from first_pos on")
        else:
            specs.append(f"{first_pos}-{'' if last_pos is None else last_pos}")
    if not specs:
        raise ValueError("no range is asked for")
    return f"bytes={','.join(specs)}"


def is_strong_entity_tag(value: str) -> bool:
    """Whether it is an entity tag by which representations can be told apart byte for byte."""
    return _STRONG(value) is not None


def is_validator(value: str) -> bool:
    """Whether it can stand in an If-Range: a strong entity tag, or a date (RFC 9110 section 13.1.5)."""
    return not find_control(value) and (is_strong_entity_tag(value) or _DATE(value) is not None)
