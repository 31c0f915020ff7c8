"""Writer to reader: one message however it is rendered, and the reader gives back what went in."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from multidict import CIMultiDict

from aiomultipart import (
    JsonPayload,
    Limits,
    MultipartReader,
    MultipartWriter,
    Payload,
    Policy,
    get_payload,
    hdrs,
)
from aiomultipart.codecs import encoder
from aiomultipart.testing import ScriptedSource

from .choices import CUTS, Choices, agree, cut, hold, run

SUBTYPES: Final = ("mixed", "form-data", "related", "x-mixed-replace")
BOUNDARIES: Final = (None, "b", "a b'()+_,-./:=?", "x" * 70, "--")
TRANSFER: Final = (None, "base64", "quoted-printable", "binary")
CONTENT: Final = (None, "gzip", "deflate", "br", "zstd", "identity")
TYPES: Final = ("", "text/plain", "text/html; charset=utf-8", "image/jpeg")
MOST_PARTS: Final = 12
MOST_DEPTH: Final = 4
LIMITS: Final = Limits(max_decode_ratio=None)
LARGE: Final = 700


class Part(NamedTuple):
    """What has to be read again."""

    name: str | None
    """None where it is not known, as the filename: browsers' way of writing it loses some."""
    filename: str | None
    headers: list[tuple[str, str]]
    content: Content


Content: TypeAlias = bytes | list[Part]


class Chunks:
    """An async iterable that gives a new iterator each time."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self.chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


class OnlyWrite(Payload):
    """A payload as one writes it for aiohttp: ``write()`` and nothing else."""

    async def write(self, writer: Any) -> None:
        """Write the chunks."""
        for chunk in self._value:
            await writer.write(chunk)


class Sink:
    """What a message is written to."""

    def __init__(self) -> None:
        self.data = b""

    async def write(self, data: bytes) -> None:
        """Take what is written."""
        self.data += data


def one_input(data: bytes) -> None:
    """Build a message, render it in every way, and read it."""
    run(write_and_read(Choices(data)))


def seeds() -> Iterator[bytes]:
    """A few messages of every kind of part."""
    for number in range(12):
        parts = b"".join(
            bytes([(number + i) % 7, 5]) + b"ab\r\nc" + bytes([0, 1, 2]) + b"X-\x03a b" + bytes([i, number % 6, 2])
            + b'\x02\xc3\xa4\x03a"b'
            for i in range(3)
        )  # fmt: skip
        head = bytes([number, 0] * CUTS)
        yield bytes([number % 4, number % 5, number % 3]) + head + parts
        yield (
            bytes([number % 4, 0, number % 3])
            + head
            + b"\x07\x00\x01"
            + parts
            + b"\x07\x01\x00"
            + parts
            + b"\x08"
            + parts
        )


async def write_and_read(choices: Choices) -> None:
    """One message."""
    subtype, boundary, policy = choices.pick(SUBTYPES), choices.pick(BOUNDARIES), choices.pick(tuple(Policy))
    if subtype == "x-mixed-replace" and policy is Policy.LENIENT:
        policy = Policy.STANDARD  # LENIENT sees a delimiter where cameras send one, also inside of a line
    cuts = choices.cuts()
    writer = MultipartWriter(subtype, boundary)
    parts = build(choices, writer)
    message = await rendered(writer)
    if message is None:
        return
    for chunks in ([message], cut(message, cuts)):
        source = ScriptedSource(*[chunk for chunk in chunks if chunk])
        reader = MultipartReader(writer.headers, source, limits=LIMITS, policy=policy)
        await compare(reader, parts, by_chunks=len(chunks) > 1)
        agree("defects", (), reader.defects)
        await reader.release()
        agree("bytes that were read", len(message), source.given)


def build(choices: Choices, outermost: MultipartWriter) -> list[Part]:
    """Append parts to the writer, and to those appended; what has to be read."""
    outermost_parts: list[Part] = []
    levels = [(outermost, outermost_parts)]
    for _ in range(MOST_PARTS):
        if not choices:
            break
        writer, parts = levels[-1]
        kind = choices.number() % 10
        if kind == 7 and len(levels) < MOST_DEPTH:
            inner: list[Part] = []
            nested = MultipartWriter(choices.pick(("mixed", "related")), choices.pick(BOUNDARIES))
            writer.append(nested)
            parts.append(Part(None, None, fields(nested), inner))
            levels.append((nested, inner))
        elif kind == 8 and len(levels) > 1:
            levels.pop()
        else:
            part = add(choices, writer, kind)
            if part is not None:
                parts.append(part)
    return outermost_parts


def add(choices: Choices, writer: MultipartWriter, kind: int) -> Part | None:
    """Append one part that is no writer; None when it may not be written."""
    content = choices.take(choices.number())
    if kind == 9:
        content *= LARGE
    in_form = writer.content_type.startswith("multipart/form-data")
    headers: CIMultiDict[str] = CIMultiDict()
    sized = choices.number() % 2
    for _ in range(choices.number() % 3):
        name, value = choices.text(8), choices.text(40)
        if not name.lower().startswith("content-"):
            headers.add(name, value)
    transfer, coding, content_type = choices.pick(TRANSFER), choices.pick(CONTENT), choices.pick(TYPES)
    if transfer is not None and not in_form:
        headers[hdrs.CONTENT_TRANSFER_ENCODING] = transfer
    if coding is not None and not in_form:
        headers[hdrs.CONTENT_ENCODING] = coding
    if content_type:
        headers[hdrs.CONTENT_TYPE] = content_type
    name, filename = choices.text(20), choices.text(20)
    if in_form and (name == "_charset_" or name.endswith("\\") or filename.endswith("\\")):
        return None  # the reader hides the first, and takes what browsers make of the others for a quoted quote
    try:
        payload, body = payload_of(kind, content, headers)
        if sized and payload.size is None:
            payload.declare_size(len(body))
        payload.set_content_disposition("form-data" if in_form else "attachment", name=name, filename=filename)
        if coding is not None or transfer is not None:
            encoder(transfer, coding)
    except ValueError:  # what cannot be written, and codings whose library is missing
        return None
    before = len(writer)
    try:
        writer.append_payload(payload)
    except ValueError:
        agree("parts after one that was refused", before, len(writer))
        return None
    if not in_form:
        return Part(name, filename, fields(payload), body)
    if "\\" in name + filename or "%22" in name + filename:
        return Part(None, None, fields(payload), body)
    return Part(escaped(name), escaped(filename), fields(payload), body)


def payload_of(kind: int, content: bytes, headers: CIMultiDict[str]) -> tuple[Payload, bytes]:
    """A payload of each kind, and its bytes."""
    text = content.decode(errors="replace")
    half = len(content) // 2
    chunks = [content[:half], b"", content[half:]]
    if kind == 1:
        headers.pop(hdrs.CONTENT_TYPE, None)  # its charset would count
        return get_payload(text, headers=headers), text.encode()
    if kind == 2:
        return get_payload(io.BytesIO(content), headers=headers), content
    if kind == 3:
        return get_payload(Chunks(chunks), headers=headers), content
    if kind == 4:
        return OnlyWrite(chunks, headers=headers), content
    if kind == 5:
        headers.pop(hdrs.CONTENT_TYPE, None)
        return JsonPayload({text: text}, headers=headers), json.dumps({text: text}).encode()
    if kind == 6:
        return get_payload(bytearray(content), headers=headers), content
    return get_payload(content, headers=headers), content


def fields(payload: Payload) -> list[tuple[str, str]]:
    """The header fields as they are read: without white space around, and without Content-Length, which is added."""
    return without_length(payload.headers.items())


def without_length(items: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """As :func:`fields`."""
    return [(name, value.strip(" \t")) for name, value in items if name.lower() != "content-length"]


def escaped(value: str) -> str:
    """What browsers make of a name; the reader leaves it so."""
    return value.replace("\r", "%0D").replace("\n", "%0A")


async def rendered(writer: MultipartWriter) -> bytes | None:
    """The bytes of the message, by every way; None where a body has the delimiter in it."""
    size = writer.size
    try:
        message = await writer.as_bytes()
    except ValueError:
        try:
            async for _ in writer:
                pass
        except ValueError:
            return None
        raise
    hold(size in (None, len(message)), f"size {size} of {len(message)} bytes")
    pieces = [piece async for piece in writer]
    hold(all(pieces), "an empty piece")
    agree("iteration", message, b"".join(pieces))
    for write in (writer.write, lambda sink: writer.write_with_length(sink, None)):
        sink = Sink()
        await write(sink)
        agree("writing", message, sink.data)
    whole = writer.whole()
    hold(whole in (None, message), "whole() differs")
    agree("size afterwards", size, writer.size)
    length = writer.http_headers().get("Content-Length")
    agree("Content-Length", None if size is None else str(size), length)
    return message


async def compare(reader: MultipartReader, parts: list[Part], *, by_chunks: bool) -> None:
    """Read a message, and those nested in it, and hold it to what was written."""
    levels = [(reader, iter(parts))]
    while levels:
        reader, expected = levels[-1]
        part = await reader.next()
        wanted = next(expected, None)
        if part is None or wanted is None:
            hold(part is None and wanted is None, f"{wanted} was written, {part} is read")
            levels.pop()
            continue
        agree("header fields", wanted.headers, without_length(part.headers.items()))
        if isinstance(part, MultipartReader):
            if isinstance(wanted.content, bytes):
                raise AssertionError(f"{wanted} is read as a message")  # noqa: TRY004
            levels.append((part, iter(wanted.content)))
            continue
        if wanted.name is not None:
            agree("name and filename", (wanted.name, wanted.filename), (part.name, part.filename))
        if by_chunks:
            body = b"".join([chunk async for chunk in part.iter_chunks(100)])
        else:
            body = await part.read(decode=True)
        agree("body", wanted.content, body)
        if part.content_type == "application/json":
            hold(isinstance(json.loads(body), dict), "no JSON")
