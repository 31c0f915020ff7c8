"""Push parsing: chunks in; the name, file name, content type and body of every part out."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from typing import TypeAlias

import multipart  # type: ignore[import-untyped]

from aiomultipart.events import END, PART_END, PartBegin
from aiomultipart.parser import PushMultipartParser

from .harness import Scenario

BOUNDARY = "----WebKitFormBoundaryAbCdEf0123456789"
CHUNK = 64 * 1024
MB = 1024 * 1024

Message: TypeAlias = Sequence[bytes]  # in the chunks in which it arrives
Parts: TypeAlias = list[tuple[str | None, str | None, str | None, object]]
# What becomes of the chunks of a body when its part ends
Body: TypeAlias = Callable[[Sequence[bytes]], object]


def _aiomultipart(message: Message, body: Body) -> Parts:
    parts: Parts = []
    chunks: list[bytes] = []
    parser = PushMultipartParser(BOUNDARY, subtype="form-data")
    for chunk in message:
        for event in parser.feed(chunk):
            if isinstance(event, PartBegin):
                begin, chunks = event, []
            elif event is PART_END:
                parts.append((begin.name, begin.filename, begin.content_type, body(chunks)))
            elif event is not END:
                chunks.append(event)
    parser.close()
    return parts


def _multipart(message: Message, body: Body) -> Parts:
    parts: Parts = []
    chunks: list[bytes] = []
    parser = multipart.PushMultipartParser(BOUNDARY)
    for chunk in message:
        for event in parser.parse(chunk):
            if isinstance(event, multipart.MultipartSegment):
                segment, chunks = event, []
            elif event is None:
                parts.append((segment.name, segment.filename, segment.content_type, body(chunks)))
            else:
                chunks.append(event)
    parser.close()
    return parts


def _size(chunks: Sequence[bytes]) -> int:
    return sum(map(len, chunks))


OURS, REFERENCE = "aiomultipart", "multipart"
JOINING = {
    OURS: functools.partial(_aiomultipart, body=b"".join),
    REFERENCE: functools.partial(_multipart, body=b"".join),
}
# To join megabytes takes longer than to parse them, and would hide the parsers.
SUMMING = {
    OURS: functools.partial(_aiomultipart, body=_size),
    REFERENCE: functools.partial(_multipart, body=_size),
}


def _message(*parts: tuple[str, bytes], chunk: int = CHUNK) -> Message:
    """A message of ``parts``, which are given as the rest of the Content-Disposition line, and the body."""
    data = b"".join(
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + body + b"\r\n"
        for head, body in parts
    )
    data += f"--{BOUNDARY}--\r\n".encode()
    return [data[start : start + chunk] for start in range(0, len(data), chunk)]


def _form(tag: object, fields: int) -> Message:
    return _message(*((f'name="{tag}-field{i}"', f"value of field {i}".encode()) for i in range(fields)))


def _cold(fields: int, messages: int) -> Callable[[int], Sequence[Message]]:
    # Several in one sample, so that each sample has its share of what a full cache costs.
    return lambda serial: [_form(f"{serial:05}-{i:03}", fields) for i in range(messages)]


def _same(message: Message, times: int) -> Callable[[int], Sequence[Message]]:
    return lambda _: [message] * times


def _files() -> Message:
    octets = random.Random(1).randbytes
    return _message(
        ('name="title"', b"holidays"),
        ('name="first"; filename="1.jpg"\r\nContent-Type: image/jpeg', octets(1 * MB)),
        ('name="second"; filename="2.jpg"\r\nContent-Type: image/jpeg', octets(2 * MB)),
        ('name="note"', b"by train"),
    )


def _of_only(pattern: bytes) -> Message:
    body = (pattern * (MB // len(pattern) + 1))[:MB]
    return _message(('name="file"; filename="file"\r\nContent-Type: application/octet-stream', body))


SCENARIOS = [
    Scenario(
        group="Push parsing",
        title="form of 100 fields, cold",
        contestants=JOINING,
        inputs=_cold(100, 10),
        bars={REFERENCE: 1.2},
    ),
    Scenario(
        group="Push parsing",
        title="form of 100 fields, warm",
        contestants=JOINING,
        inputs=_same(_form("w", 100), 10),
        bars={REFERENCE: 2.0},
    ),
    Scenario(group="Push parsing", title="form of 2 fields, cold", contestants=JOINING, inputs=_cold(2, 300)),
    Scenario(
        group="Push parsing", title="form of 2 fields, warm", contestants=JOINING, inputs=_same(_form("w", 2), 300)
    ),
    Scenario(
        group="Push parsing",
        title="3 MB of files",
        contestants=SUMMING,
        exact=JOINING,
        inputs=_same(_files(), 5),
        bars={REFERENCE: 1.0},
    ),
    *(
        Scenario(
            group="Push parsing",
            title=f"1 MB of only {what}",
            contestants=SUMMING,
            exact=JOINING,
            inputs=_same(_of_only(pattern), 3),
        )
        for what, pattern in (
            ("CR LF", b"\r\n"),
            ("LF", b"\n"),
            ("CR", b"\r"),
            ("boundary, but its end", f"\r\n--{BOUNDARY[:-1]}".encode()),
        )
    ),
]
