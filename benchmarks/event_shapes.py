"""``python -m benchmarks.event_shapes``: what the shape of a parser's events costs.

One loop finds the parts of a form. Each contestant makes events of them in its shape, all before the first is read, and
then reads name, filename, content type and body of every part from its events. ``bytes`` is aiomultipart's shape, and
the ratios say how many times as long another one takes.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from . import terminal
from .harness import Scenario, measure

DELIMITER = b"\r\n------WebKitFormBoundaryAbCdEf0123456789"
CACHE_SIZE = 512
FORM_BLOCK = re.compile(rb'Content-Disposition: form-data; name="([^"\\%\x00-\x1f\x7f]*+)"').fullmatch


class Begin:
    """The headers of a part; shared by all parts with the same."""

    __slots__ = ("content_type", "filename", "name")

    def __init__(self, block: bytes) -> None:
        match = FORM_BLOCK(block)
        if match is None:
            raise ValueError(block)
        self.name = match[1].decode()
        self.filename: str | None = None
        self.content_type: str | None = None


@dataclass(slots=True)
class FreshBegin:
    """What is true of one part only, and its headers."""

    begin: Begin
    index: int
    offset: int


@dataclass(slots=True)
class Data:
    """Bytes of a body."""

    data: bytes


@dataclass(slots=True)
class Part:
    """All of a part. A body longer than a chunk does not fit this shape; it shows what is left to gain."""

    begin: Begin
    body: bytes


class End:
    """The end of a part."""


END: Final = End()
Cache: TypeAlias = dict[bytes, Begin]
Parts: TypeAlias = list[tuple[str, str | None, str | None, bytes]]


def _parts(form: bytes, cache: Cache) -> Iterator[tuple[Begin, bytes, int, int]]:
    index, start = 0, len(DELIMITER)
    while form.startswith(b"\r\n", start):
        blank = form.find(b"\r\n\r\n", start)
        block = form[start + 2 : blank]
        begin = cache.get(block)
        if begin is None:
            if len(cache) >= CACHE_SIZE:
                cache.clear()
            begin = cache[block] = Begin(block)
        end = form.find(DELIMITER, blank + 2)
        yield begin, form[blank + 4 : end], index, start
        index += 1
        start = end + len(DELIMITER)


def _bytes(form: bytes, cache: Cache) -> Parts:
    events: list[Begin | bytes | End] = []
    emit = events.append
    for begin, body, _, _ in _parts(form, cache):
        emit(begin)
        emit(body)
        emit(END)
    parts: Parts = []
    for event in events:
        if isinstance(event, Begin):
            head = event
        elif isinstance(event, bytes):
            data = event
        else:
            parts.append((head.name, head.filename, head.content_type, data))
    return parts


def _data_objects(form: bytes, cache: Cache) -> Parts:
    events: list[Begin | Data | End] = []
    emit = events.append
    for begin, body, _, _ in _parts(form, cache):
        emit(begin)
        emit(Data(body))
        emit(END)
    parts: Parts = []
    for event in events:
        if isinstance(event, Begin):
            head = event
        elif isinstance(event, Data):
            data = event.data
        else:
            parts.append((head.name, head.filename, head.content_type, data))
    return parts


def _fresh_begin(form: bytes, cache: Cache) -> Parts:
    events: list[FreshBegin | bytes | End] = []
    emit = events.append
    for begin, body, index, offset in _parts(form, cache):
        emit(FreshBegin(begin, index, offset))
        emit(body)
        emit(END)
    parts: Parts = []
    for event in events:
        if isinstance(event, FreshBegin):
            head = event.begin
        elif isinstance(event, bytes):
            data = event
        else:
            parts.append((head.name, head.filename, head.content_type, data))
    return parts


def _whole_parts(form: bytes, cache: Cache) -> Parts:
    events: list[Part] = []
    emit = events.append
    for begin, body, _, _ in _parts(form, cache):
        emit(Part(begin, body))
    parts: Parts = []
    for event in events:
        head = event.begin
        parts.append((head.name, head.filename, head.content_type, event.body))
    return parts


def _form(tag: str) -> bytes:
    head = DELIMITER + b'\r\nContent-Disposition: form-data; name="%b-field%d"\r\n\r\nvalue of field %d'
    return b"".join(head % (tag.encode(), i, i) for i in range(100)) + DELIMITER + b"--\r\n"


def _contestants() -> dict[str, Callable[[bytes], Parts]]:
    shapes = {
        "bytes": _bytes,
        "data objects": _data_objects,
        "fresh begin": _fresh_begin,
        "whole parts": _whole_parts,
    }
    return {name: functools.partial(shape, cache={}) for name, shape in shapes.items()}


WARM = _form("warm")
SCENARIOS = [
    Scenario(
        group="Event shapes",
        title="form of 100 fields, cold",
        contestants=_contestants(),
        inputs=lambda serial: [_form(f"{serial:05}-{i:03}") for i in range(10)],
    ),
    Scenario(
        group="Event shapes", title="form of 100 fields, warm", contestants=_contestants(), inputs=lambda _: [WARM] * 10
    ),
]

if __name__ == "__main__":
    terminal.print_results([measure(scenario, seconds=4.0, least=9, most=201) for scenario in SCENARIOS])
