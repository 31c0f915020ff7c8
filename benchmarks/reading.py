"""Reading with asyncio: a message arrives in a stream, and its parts are read.

Each library reads from aiohttp's own ``StreamReader``, as in a client or a server. It is filled as a transport would
fill it, 64 KiB at a time and never past its high-water mark, but for that nobody has to wait: what a network takes
would hide the rest. "The stream" is that alone, which no reader can be quicker than.
"""

from __future__ import annotations

import base64
import binascii
import functools
import gzip
import json
import random
import zlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy

import aiomultipart
from aiomultipart import PART_END, PartBegin, PushMultipartParser

from .arrival import arriving
from .harness import Scenario

GROUP = "Reading"
BOUNDARY = "----WebKitFormBoundaryAbCdEf0123456789"
CHUNK = 64 * 1024
WINDOW = 256 * 1024  # as large as that of aiohttp's client
MB = 1_000_000
OURS, AIOHTTP = "aiomultipart", "aiohttp"
STREAM, PARSER, BARE = "the stream", "aiomultipart's parser", "the codec alone"

Message: TypeAlias = Sequence[bytes]  # in the chunks in which it arrives
# Any: the two libraries have the same names.
Library: TypeAlias = Any
Read: TypeAlias = Callable[[Library, Message], Awaitable[object]]
Contestant: TypeAlias = Callable[[Message], Awaitable[object]]
# What becomes of a chunk: megabytes are kept only when outputs are compared.
Use: TypeAlias = Callable[[bytes], object]


HEADERS = {
    subtype: CIMultiDictProxy(CIMultiDict({"Content-Type": f"multipart/{subtype}; boundary={BOUNDARY}"}))
    for subtype in ("form-data", "mixed", "x-mixed-replace")
}


def _reader(library: Library, message: Message, subtype: str = "mixed") -> Any:
    return library.MultipartReader(HEADERS[subtype], arriving(message, WINDOW))


def _rendered(parts: Iterable[tuple[str, bytes]], boundary: str = BOUNDARY) -> bytes:
    """A message of ``parts``, which are given as header lines and body."""
    pieces = []
    for head, body in parts:
        pieces += [f"--{boundary}\r\n{head}\r\n\r\n".encode(), body, b"\r\n"]
    return b"".join([*pieces, f"--{boundary}--\r\n".encode()])


def _cut(data: bytes) -> Message:
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


def _cold(render: Callable[[str], bytes], messages: int) -> Callable[[int], Sequence[Message]]:
    """Messages that nobody has seen: ``render`` is given what tells them apart."""
    return lambda serial: [_cut(render(f"{serial:05}-{i:03}")) for i in range(messages)]


def _same(data: bytes, times: int = 1) -> Callable[[int], Sequence[Message]]:
    message = _cut(data)
    return lambda _: [message] * times


# How they are read


def _both(read: Read) -> dict[str, Contestant]:
    return {
        OURS: functools.partial(read, aiomultipart),
        AIOHTTP: functools.partial(read, aiohttp),
    }


async def _fields(library: Library, message: Message) -> object:
    reader = _reader(library, message, "form-data")
    fields = []
    while (part := await reader.next()) is not None:
        fields.append((part.name, await part.read()))
    return fields


async def _typed_fields(library: Library, message: Message) -> object:
    reader = _reader(library, message, "form-data")
    fields = []
    while (part := await reader.next()) is not None:
        content_type = part.content_type if library is aiomultipart else part.headers["Content-Type"]
        fields.append((part.name, content_type, await part.read()))
    return fields


async def _parsed_fields(message: Message) -> object:
    stream = arriving(message, WINDOW)
    parser = PushMultipartParser(BOUNDARY, subtype="form-data")
    fields = []
    while chunk := await stream.readany():
        for event in parser.feed(chunk):
            if isinstance(event, PartBegin):
                begin, chunks = event, []
            elif isinstance(event, bytes):
                chunks.append(event)
            elif event is PART_END:
                fields.append((begin.name, b"".join(chunks)))
    parser.close()
    return fields


async def _parts(library: Library, message: Message, *, subtype: str = "mixed") -> object:
    readers = [_reader(library, message, subtype)]
    parts = []
    while readers:
        part = await readers[-1].next()
        if part is None:
            readers.pop()
        elif isinstance(part, library.MultipartReader):
            readers.append(part)
        else:
            parts.append((part.name, part.filename, part.headers["Content-Type"], await part.read()))
    return parts


async def _frames(message: Message) -> object:
    content_type = HEADERS["x-mixed-replace"]["Content-Type"]
    stream = aiomultipart.frames(arriving(message, WINDOW), content_type=content_type)
    return [(None, None, frame.content_type, frame.data) async for frame in stream]


async def _skip(library: Library, message: Message) -> object:
    reader = _reader(library, message)
    parts = 0
    while await reader.next() is not None:
        parts += 1
    return parts


async def _chunks(library: Library, message: Message, *, use: Use, size: tuple[int, ...]) -> object:
    part = await _reader(library, message).next()
    used = []
    while chunk := await part.read_chunk(*size):
        used.append(use(chunk))
    return _total(used)


async def _iterated(message: Message, *, use: Use) -> object:
    part = await _reader(aiomultipart, message).next()
    return _total([use(chunk) async for chunk in part])


async def _streamed(message: Message, *, use: Use) -> object:
    stream = arriving(message, WINDOW)
    used = []
    while chunk := await stream.readany():
        used.append(use(chunk))
    return _total(used)


def _total(used: Sequence[Any]) -> object:
    return b"".join(used) if isinstance(used[0], bytes) else sum(used)


async def _whole(library: Library, message: Message, *, decode: bool = False) -> object:
    part = await _reader(library, message).next()
    return await part.read(decode=decode)


async def _streamed_whole(message: Message) -> object:
    stream = arriving(message, WINDOW)
    chunks = []
    while chunk := await stream.readany():
        chunks.append(chunk)
    return b"".join(chunks)


def _codec_alone(decode: Callable[[bytes], bytes], body: bytes) -> dict[str, Contestant]:
    async def run(_: Message) -> object:
        return decode(body)

    return {BARE: run}


# What is read


def _form(fields: int, more: str = "") -> Callable[[str], bytes]:
    return lambda tag: _rendered(
        (f'Content-Disposition: form-data; name="{tag}-field{i}"{more}', f"value of field {i}".encode())
        for i in range(fields)
    )


def _json_parts(parts: int, *, counted: bool) -> Callable[[str], bytes]:
    def render(tag: str) -> bytes:
        rendered = []
        for i in range(parts):
            body = json.dumps({"id": i, "status": 200, "etag": f"{i:08x}", "tags": ["one", "two"]}).encode()
            head = f"Content-Type: application/json\r\nContent-ID: <{tag}-{i}>"
            if counted:
                head += f"\r\nContent-Length: {len(body)}"
            rendered.append((head, body))
        return _rendered(rendered)

    return render


def _tree(tag: str) -> bytes:
    """Three levels: 5 messages in the outer one, 4 in each of these, and 5 leaves in each of those."""

    def render(path: str, boundary: str, breadths: Sequence[int]) -> bytes:
        parts = []
        for i in range(breadths[0]):
            inner = f"{path}.{i}"
            if len(breadths) == 1:
                parts.append((f"Content-Type: text/plain\r\nContent-ID: <{inner}>", f"leaf {inner}".encode()))
            else:
                # As senders make them: none may begin as another does.
                own = f"=={zlib.crc32(inner.encode()):08x}=="
                parts.append((f'Content-Type: multipart/mixed; boundary="{own}"', render(inner, own, breadths[1:])))
        return _rendered(parts, boundary)

    return render(tag, BOUNDARY, (5, 4, 5))


_octets = random.Random(1).randbytes


def _file(size: int) -> bytes:
    head = 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="file"'
    return _rendered([(head, _octets(size))])


def _files(files: int, size: int) -> bytes:
    return _rendered(
        (f'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="{i}"', _octets(size))
        for i in range(files)
    )


def _video(frames: int, size: int, *, counted: bool) -> bytes:
    length = f"\r\nContent-Length: {size}" if counted else ""
    return _rendered((f"Content-Type: image/jpeg{length}", _octets(size)) for _ in range(frames))


def _records(size: int) -> bytes:
    """Lines of JSON, of which gzip makes a quarter."""
    numbers = random.Random(1)
    lines: list[bytes] = []
    length = 0
    while length < size:
        record = {
            "id": f"{numbers.getrandbits(128):032x}",
            "time": f"2026-11-{numbers.randrange(1, 31):02}T{numbers.randrange(24):02}:{numbers.randrange(60):02}:00Z",
            "user": f"user{numbers.randrange(5000)}",
            "price": round(numbers.random() * 100, 2),
            "currency": "EUR",
            "paid": numbers.random() < 0.8,
        }
        lines.append(json.dumps(record).encode() + b"\n")
        length += len(lines[-1])
    return b"".join(lines)[:size]


def _scenarios() -> Iterable[Scenario[Message]]:
    fields_floor: dict[str, Contestant] = {PARSER: _parsed_fields}
    for fields, messages, fields_bar in ((100, 5, 50.0), (1000, 1, 60.0)):
        for title, inputs in (
            (f"{fields} form fields", _cold(_form(fields), messages)),
            (f"{fields} form fields, warm", _same(_form(fields)("w"), messages)),
        ):
            yield Scenario(
                group=GROUP,
                title=title,
                contestants=_both(_fields) | fields_floor,
                floors=frozenset(fields_floor),
                inputs=inputs,
                bars={AIOHTTP: fields_bar},
                waits=True,
                items=fields,
            )
    yield Scenario(
        group=GROUP,
        title="100 form fields with a Content-Type",
        contestants=_both(_typed_fields),
        inputs=_cold(_form(100, "\r\nContent-Type: text/plain"), 5),
        bars={AIOHTTP: 36.0},
        waits=True,
        items=100,
    )
    for title, counted, bar in (("with", True, 5.0), ("without", False, 9.0)):
        yield Scenario(
            group=GROUP,
            title=f"1000 mixed parts {title} Content-Length",
            contestants=_both(_parts),
            inputs=_cold(_json_parts(1000, counted=counted), 1),
            bars={AIOHTTP: bar},
            waits=True,
            items=1000,
        )
    yield Scenario(
        group=GROUP,
        title="three levels of nesting, 100 leaves",
        contestants=_both(_parts),
        inputs=_cold(_tree, 5),
        bars={AIOHTTP: 5.0},
        waits=True,
        items=100,
    )
    skipped = _files(100, 64_000)
    yield Scenario(
        group=GROUP,
        title="100 x 64 KB skipped",
        contestants=_both(_skip) | {STREAM: functools.partial(_streamed, use=len)},
        exact=_both(_skip),
        floors=frozenset({STREAM}),
        inputs=_same(skipped),
        bars={AIOHTTP: 7.5},
        waits=True,
        items=100,
        octets=len(skipped),
    )
    yield from _uploads()
    for title, counted, bar in (("with", True, 1.7), ("without", False, 4.3)):
        video = _video(500, 30_000, counted=counted)
        by_reader = _both(functools.partial(_parts, subtype="x-mixed-replace"))
        yield Scenario(
            group=GROUP,
            title=f"MJPEG, 500 x 30 KB {title} Content-Length",
            contestants=by_reader | {STREAM: _streamed_whole},
            exact=by_reader,
            floors=frozenset({STREAM}),
            inputs=_same(video),
            bars={AIOHTTP: bar},
            waits=True,
            items=500,
            octets=len(video),
        )
        by_frames = {OURS: _frames, AIOHTTP: by_reader[AIOHTTP]}
        yield Scenario(
            group=GROUP,
            title=f"MJPEG by frames(), 500 x 30 KB {title} Content-Length",
            contestants=by_frames | {STREAM: _streamed_whole},
            exact=by_frames,
            floors=frozenset({STREAM}),
            inputs=_same(video),
            bars={AIOHTTP: bar},
            waits=True,
            items=500,
            octets=len(video),
        )
    yield from _decoded()


def _uploads() -> Iterable[Scenario[Message]]:
    upload = _file(32 * MB)
    streamed: dict[str, Contestant] = {STREAM: functools.partial(_streamed, use=len)}

    def by_chunks(use: Use, size: tuple[int, ...] = ()) -> dict[str, Contestant]:
        return _both(functools.partial(_chunks, use=use, size=size))

    def by_default(use: Use) -> dict[str, Contestant]:
        # To aiohttp iteration is read(): these are its chunks.
        return by_chunks(use) | {OURS: functools.partial(_iterated, use=use)}

    for title, contestants, bar in (
        ("chunks of 64 KiB", functools.partial(by_chunks, size=(CHUNK,)), 1.7),
        ("default iteration", by_default, 3.0),
    ):
        yield Scenario(
            group=GROUP,
            title=f"32 MB upload, {title}",
            contestants=contestants(len) | streamed,
            exact=contestants(bytes),
            floors=frozenset({STREAM}),
            inputs=_same(upload),
            bars={AIOHTTP: bar},
            waits=True,
            octets=len(upload),
        )
    yield Scenario(
        group=GROUP,
        title="32 MB upload, whole",
        contestants=_both(_whole) | {STREAM: _streamed_whole},
        exact=_both(_whole),
        floors=frozenset({STREAM}),
        inputs=_same(upload),
        bars={AIOHTTP: 1.2},
        waits=True,
        octets=len(upload),
    )


def _decoded() -> Iterable[Scenario[Message]]:
    data = _octets(4 * MB)
    records = _records(16 * MB)
    both = _both(functools.partial(_whole, decode=True))
    base64_head = "Content-Type: image/png\r\nContent-Transfer-Encoding: base64"
    gzip_head = "Content-Type: application/json\r\nContent-Encoding: gzip"
    for title, head, body, bare, size, bar in (
        ("4 MB of base64, flat", base64_head, base64.b64encode(data), binascii.a2b_base64, len(data), 1.15),
        (
            "4 MB of base64, in lines",
            base64_head,
            base64.encodebytes(data).strip().replace(b"\n", b"\r\n"),
            binascii.a2b_base64,
            len(data),
            1.2,
        ),
        ("gzip to 16 MB", gzip_head, gzip.compress(records, 6), _gunzip, len(records), 1.0),
    ):
        yield Scenario(
            group=GROUP,
            title=title,
            contestants=both | _codec_alone(bare, body),
            floors=frozenset({BARE}),
            inputs=_same(_rendered([(head, body)])),
            bars={AIOHTTP: bar},
            waits=True,
            octets=size,
        )


def _gunzip(data: bytes) -> bytes:
    return zlib.decompress(data, wbits=31)


SCENARIOS = list(_scenarios())
