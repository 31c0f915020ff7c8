"""Writing: a message is built and sent.

Most rows are there twice. *Sent* goes through a TCP connection to a child process: what a user waits for, and how many
writes it takes is a good part of that. aiohttp and aiomultipart write to aiohttp's own ``StreamWriter``; the others
send each piece that they give on the same connection, which blocks for them, as it does in their users' programs.
*Built* is the same into a sink that drops everything: what the library itself costs. The kernel copies nothing then,
and who does not look at what is in memory does nearly nothing with it; aiomultipart still makes sure that no picture
holds the boundary that the caller chose. How long a file takes on its way to a socket is up to the kernel; the bar is
on what the library adds, for pictures it is on what is sent.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import functools
import itertools
import json
import random
import socket
import subprocess
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import httpx
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_writer import StreamWriter
from requests_toolbelt import MultipartEncoder  # type: ignore[import-untyped]
from urllib3 import encode_multipart_formdata

import aiomultipart
from aiomultipart import hdrs

from .harness import Scenario

KIB, MB = 1024, 1_000_000
BOUNDARY = "----aiomultipart-benchmark-0123456789"
OURS, AIOHTTP, HTTPX, TOOLBELT, URLLIB3 = "aiomultipart", "aiohttp", "httpx", "requests-toolbelt", "urllib3"
FLOOR, WRITTEN_FLOOR = "by hand", "by hand, with asyncio"
EACH = "aiomultipart, a writer for each"
LIBRARIES = {OURS: aiomultipart, AIOHTTP: aiohttp, EACH: aiomultipart}

Fields: TypeAlias = Sequence[tuple[str, str]]
# Any: the two libraries have the same names.
Library: TypeAlias = Any
Build: TypeAlias = Callable[[Library, Any], Iterable[Any]]
"""Makes the objects whose ``write()`` is called, one after another."""
Pieces: TypeAlias = Callable[[Any], Iterable[bytes]]
"""Makes the bytes of a message, for those that write nothing themselves."""


class _Kept:
    """A sink that keeps what it is given, for the check."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def write(self, data: bytes) -> None:
        self.pieces.append(bytes(data))


class _Dropped:
    """A sink that keeps nothing."""

    async def write(self, data: bytes) -> None:
        pass


class _Connection:
    """A TCP connection whose other end is read by a child process, and a loop that has it."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.socket = socket.create_connection(server.getsockname())
            other, _ = server.accept()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with other:
            self.child = subprocess.Popen(["cat"], stdin=other.fileno(), stdout=subprocess.DEVNULL)  # noqa: S607
        self.loop = asyncio.new_event_loop()
        # The other contestants send on a blocking descriptor of their own; asyncio's is not.
        self.blocking = self.socket.dup()
        _, protocol = self.loop.run_until_complete(
            self.loop.create_connection(lambda: BaseProtocol(self.loop), sock=self.socket)
        )
        self.writer = StreamWriter(protocol, self.loop)
        atexit.register(self.close)

    def close(self) -> None:
        self.blocking.close()
        if self.writer.transport is not None:
            self.writer.transport.abort()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()
        self.child.kill()
        self.child.wait()

    def send(self, pieces: Iterable[bytes]) -> None:
        # Both descriptors share the flag: without it, a full buffer would be an error here.
        self.blocking.setblocking(True)
        try:
            for piece in pieces:
                self.blocking.sendall(piece)
        finally:
            self.blocking.setblocking(False)


@functools.cache
def _connection() -> _Connection:
    return _Connection()


async def _write(build: Build, library: Library, sink: Any, value: Any) -> None:
    for writer in build(library, value):
        await writer.write(sink)


# Each contestant in three ways: sent, built, and kept for the check.


def _sent(builds: Mapping[str, Build], others: Mapping[str, Pieces]) -> dict[str, Callable[[Any], object]]:
    def writing(build: Build, library: Library) -> Callable[[Any], object]:
        def run(value: Any) -> None:
            connection = _connection()
            connection.loop.run_until_complete(_write(build, library, connection.writer, value))

        return run

    def sending(pieces: Pieces) -> Callable[[Any], object]:
        return lambda value: _connection().send(pieces(value))

    ours_and_aiohttp = {name: writing(build, LIBRARIES.get(name)) for name, build in builds.items()}
    return ours_and_aiohttp | {name: sending(pieces) for name, pieces in others.items()}


def _built(builds: Mapping[str, Build], others: Mapping[str, Pieces]) -> dict[str, Callable[[Any], object]]:
    def dropping(pieces: Pieces) -> Callable[[Any], object]:
        async def run(value: Any) -> None:
            for _ in pieces(value):
                pass

        return run

    ours_and_aiohttp = {
        name: functools.partial(_write, build, LIBRARIES.get(name), _Dropped()) for name, build in builds.items()
    }
    return ours_and_aiohttp | {name: dropping(pieces) for name, pieces in others.items()}


def _kept(
    builds: Mapping[str, Build], others: Mapping[str, Pieces], *, waits: bool
) -> dict[str, Callable[[Any], object]]:
    """What a part comes to: name, filename and decoded body, as our own reader reads it."""

    def writing(build: Build, library: Library) -> Callable[[Any], Any]:
        async def run(value: Any) -> object:
            sink = _Kept()
            await _write(build, library, sink, value)
            return await _parts(b"".join(sink.pieces))

        return run

    def keeping(pieces: Pieces) -> Callable[[Any], Any]:
        return lambda value: _parts(b"".join(pieces(value)))

    awaited = {name: writing(build, LIBRARIES.get(name)) for name, build in builds.items()}
    awaited |= {name: keeping(pieces) for name, pieces in others.items()}
    return awaited if waits else {name: _in_a_loop(run) for name, run in awaited.items()}


def _in_a_loop(run: Callable[[Any], Any]) -> Callable[[Any], object]:
    return lambda value: asyncio.run(run(value))


async def _parts(message: bytes) -> list[tuple[str | None, str | None, bytes]]:
    boundary = message[2 : message.index(b"\r\n")].decode()
    if not message.endswith(b"--\r\n"):
        message += f"--{boundary}--\r\n".encode()
    reader = aiomultipart.MultipartReader({"Content-Type": f'multipart/mixed; boundary="{boundary}"'}, message)
    return [
        (part.name, part.filename, await part.read(decode=True))
        async for part in reader
        if isinstance(part, aiomultipart.BodyPartReader)
    ]


def _scenarios(
    title: str,
    builds: Build | Mapping[str, Build],
    others: Mapping[str, Pieces],
    *,
    ways: Mapping[str, Mapping[str, float]],
    **options: Any,
) -> Iterator[Scenario[Any]]:
    """The same, sent and built.

    :param ways: the bars, by way.
    """
    if not isinstance(builds, Mapping):
        builds = dict.fromkeys((OURS, AIOHTTP), builds)
    for way, bars in ways.items():
        waits = way == "built"
        yield Scenario(
            group="Writing",
            title=f"{title}, {way}",
            contestants=(_built if waits else _sent)(builds, others),
            exact=_kept(builds, others, waits=waits),
            floors=frozenset({FLOOR, WRITTEN_FLOOR, EACH}),
            bars=bars,
            waits=waits,
            **options,
        )


# Fields of a form


def _form(library: Library, fields: Fields) -> Iterable[Any]:
    form = library.FormData(default_to_multipart=True)
    for name, value in fields:
        form.add_field(name, value)
    return (form(),)


def _httpx_pieces(files: Any) -> Iterable[bytes]:
    request = httpx.Request("POST", "http://localhost", files=files)
    assert isinstance(request.stream, httpx.SyncByteStream)
    return request.stream


def _toolbelt_pieces(fields: Any, size: int = 64 * KIB) -> Iterable[bytes]:
    encoder = MultipartEncoder(fields)
    while piece := encoder.read(size):
        yield piece


def _fields_by_hand(fields: Fields) -> Iterable[bytes]:
    text = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields
    )
    return (f"{text}--{BOUNDARY}--\r\n".encode(),)


FORMS: Mapping[str, Pieces] = {
    HTTPX: lambda fields: _httpx_pieces([(name, (None, value)) for name, value in fields]),
    TOOLBELT: _toolbelt_pieces,
    URLLIB3: lambda fields: (encode_multipart_formdata(fields)[0],),
    FLOOR: _fields_by_hand,
}


def _sync(pieces: Mapping[str, Pieces]) -> dict[str, Callable[[Any], object]]:
    def exhausting(one: Pieces) -> Callable[[Any], object]:
        def run(value: Any) -> None:
            for _ in one(value):
                pass

        return run

    return {name: exhausting(one) for name, one in pieces.items()}


def _fields(serial: int, tag: str) -> Fields:
    return [(f"{tag}field{i}", f"value {serial} of field {i}") for i in range(100)]


def _same_names(serial: int) -> Sequence[Fields]:
    return [_fields(serial, "")] * 5


def _new_names(serial: int) -> Sequence[Fields]:
    return [_fields(serial, f"{serial}-{i}-") for i in range(5)]


def _with_dispositions(library: Library, fields: Fields) -> Iterable[Any]:
    writer = library.MultipartWriter("form-data", boundary=BOUNDARY)
    for name, value in fields:
        writer.append(value).set_content_disposition("form-data", name=name)
    return (writer,)


def _with_headers(library: Library, fields: Fields) -> Iterable[Any]:
    writer = library.MultipartWriter("form-data", boundary=BOUNDARY)
    for name, value in fields:
        writer.append(value, {hdrs.CONTENT_DISPOSITION: f'form-data; name="{name}"'})
    return (writer,)


# The other two ways to the bytes: iterated, as httpx does it, and without an event loop.


class _Iterated:
    def __init__(self, body: Any) -> None:
        self._body = body

    async def write(self, sink: Any) -> None:
        async for piece in self._body:
            await sink.write(piece)


def _iterated_form(library: Library, fields: Fields) -> Iterable[_Iterated]:
    if library is aiomultipart:
        return map(_Iterated, _form(library, fields))
    stream = httpx.Request("POST", "http://localhost", files=[(name, (None, value)) for name, value in fields]).stream
    return (_Iterated(stream),)


def _serialized(fields: Fields) -> Iterable[bytes]:
    (writer,) = _form(aiomultipart, fields)
    pieces: Iterable[bytes] = writer.serialize()
    return pieces


SYNC_FORMS: Mapping[str, Pieces] = {OURS: _serialized, **FORMS}


# Many parts of JSON


def _json_parts(library: Library, objects: Sequence[object]) -> Iterable[Any]:
    writer = library.MultipartWriter("mixed")
    for obj in objects:
        writer.append_json(obj)
    return (writer,)


def _json_by_hand(objects: Sequence[object]) -> Iterable[bytes]:
    pieces = []
    for obj in objects:
        body = json.dumps(obj)
        pieces.append(
            f"--{BOUNDARY}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}\r\n"
        )
    return (f"{''.join(pieces)}--{BOUNDARY}--\r\n".encode(),)


def _objects(serial: int) -> Sequence[object]:
    return [{"id": i, "name": f"part {serial}"} for i in range(1000)]


# A stream of pictures


class _Frame:
    """One writer, sent without its close-delimiter."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    async def write(self, sink: Any) -> None:
        await self._writer.write(sink, close_boundary=False)


def _frames(library: Library, jpegs: Sequence[bytes]) -> Iterable[_Frame]:
    for jpeg in jpegs:
        with library.MultipartWriter("image/jpeg", boundary=BOUNDARY) as writer:
            writer.append(jpeg, {hdrs.CONTENT_TYPE: "image/jpeg"})
            yield _Frame(writer)


class _Stream:
    """All of them by a FrameStream, which sends what a viewer waits for after each."""

    def __init__(self, jpegs: Sequence[bytes]) -> None:
        self._jpegs = jpegs

    async def write(self, sink: Any) -> None:
        last = len(self._jpegs) - 1
        async with aiomultipart.FrameStream(sink, boundary=BOUNDARY) as stream:
            for number, jpeg in enumerate(self._jpegs):
                await stream.send(jpeg, "image/jpeg", last=number == last)


def _frame_stream(_: Library, jpegs: Sequence[bytes]) -> Iterable[_Stream]:
    return (_Stream(jpegs),)


def _frames_by_hand(jpegs: Sequence[bytes]) -> Iterable[bytes]:
    delimiter = b"\r\n--%b" % BOUNDARY.encode()
    head = b"--%b\r\nContent-Type: image/jpeg\r\nContent-Length: %%d\r\n\r\n" % BOUNDARY.encode()
    for jpeg in jpegs:
        if delimiter in jpeg:
            raise ValueError("a picture with the delimiter in it")
        yield b"".join((head % len(jpeg), jpeg, b"\r\n"))


class _Piece:
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def write(self, sink: Any) -> None:
        await sink.write(self._data)


def _frames_by_hand_with_asyncio(_: Library, jpegs: Sequence[bytes]) -> Iterable[_Piece]:
    return map(_Piece, _frames_by_hand(jpegs))


@functools.cache
def _jpegs() -> Sequence[bytes]:
    octets = random.Random(2).randbytes
    return [octets(30_000) for _ in range(500)]


# A large file


def _file(library: Library, path: Path, boundary: str | None = None) -> Iterator[Any]:
    with path.open("rb") as file:
        writer = library.MultipartWriter("form-data", boundary=boundary)
        payload = writer.append(file, {hdrs.CONTENT_TYPE: "application/octet-stream"})
        payload.set_content_disposition("form-data", name="file", filename=path.name)
        yield writer


def _opened(pieces: Callable[[Any], Iterable[bytes]]) -> Pieces:
    def run(path: Path) -> Iterable[bytes]:
        with path.open("rb") as file:
            yield from pieces([("file", (path.name, file, "application/octet-stream"))])

    return run


def _file_by_hand(path: Path) -> Iterable[bytes]:
    yield (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    with path.open("rb", buffering=0) as file:
        while piece := file.read(256 * KIB):
            yield piece
    yield f"\r\n--{BOUNDARY}--\r\n".encode()


FILES: Mapping[str, Pieces] = {
    HTTPX: _opened(_httpx_pieces),
    TOOLBELT: _opened(functools.partial(_toolbelt_pieces, size=MB)),
    # It takes bytes only.
    URLLIB3: lambda path: (encode_multipart_formdata({"file": (path.name, path.read_bytes())})[0],),
    FLOOR: _file_by_hand,
}


@functools.cache
def _large_file() -> Path:
    file = tempfile.NamedTemporaryFile(prefix="aiomultipart-", suffix=".bin", delete=False)  # noqa: SIM115
    atexit.register(Path(file.name).unlink)
    with file:
        octets = random.Random(1).randbytes(MB)
        for _ in range(32):
            file.write(octets)
    return Path(file.name)


# Encoded parts


class _Source:
    """What aiohttp and aiomultipart both take for an async iterable that can be sent often."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._data), 64 * KIB):
            yield self._data[start : start + 64 * KIB]


def _encoded(name: str, encoding: str) -> Build:
    def build(library: Library, data: bytes) -> Iterable[Any]:
        writer = library.MultipartWriter("mixed")
        writer.append(_Source(data), {name: encoding})
        return (writer,)

    return build


def _encoded_by_hand(name: str, encoding: str, encode: Callable[[bytes], Iterable[bytes]]) -> Pieces:
    def run(data: bytes) -> Iterable[bytes]:
        yield f"--{BOUNDARY}\r\n{name}: {encoding}\r\n\r\n".encode()
        yield from encode(data)
        yield f"\r\n--{BOUNDARY}--\r\n".encode()

    return run


def _gzip(data: bytes) -> Iterable[bytes]:
    codec = zlib.compressobj(wbits=31)
    for start in range(0, len(data), 64 * KIB):
        yield codec.compress(data[start : start + 64 * KIB])
    yield codec.flush()


def _base64(data: bytes) -> Iterable[bytes]:
    for start in range(0, len(data), 57 * KIB):
        yield base64.b64encode(data[start : start + 57 * KIB])


@functools.cache
def _text() -> bytes:
    words = [f"word{i}" for i in range(2000)]
    return " ".join(random.Random(3).choices(words, k=600_000)).encode()[: 4 * MB]


def _of(
    encoding: str, header: str, encode: Callable[[bytes], Iterable[bytes]], bars: Mapping[str, float]
) -> Iterator[Scenario[Any]]:
    return _scenarios(
        f"a part of 4 MB in {encoding}",
        _encoded(header, encoding),
        {FLOOR: _encoded_by_hand(header, encoding, encode)},
        inputs=lambda _: [_text()],
        ways={"built": bars},
        octets=4 * MB,
    )


SCENARIOS: list[Scenario[Any]] = list(
    itertools.chain(
        _scenarios(
            "100 fields",
            _form,
            FORMS,
            inputs=_new_names,
            ways={"sent": {AIOHTTP: 3.0, HTTPX: 1.0}, "built": {AIOHTTP: 3.0, HTTPX: 1.0}},
            items=100,
        ),
        _scenarios(
            "100 fields of the same names", _form, FORMS, inputs=_same_names, ways={"built": {AIOHTTP: 3.0}}, items=100
        ),
        _scenarios(
            "100 parts, each with its disposition set",
            _with_dispositions,
            {},
            inputs=_new_names,
            ways={"built": {AIOHTTP: 4.5}},
            items=100,
        ),
        _scenarios(
            "100 parts, each with its headers given",
            _with_headers,
            {},
            inputs=_new_names,
            ways={"built": {AIOHTTP: 2.0}},
            items=100,
        ),
        _scenarios(
            "100 fields, iterated",
            {OURS: _iterated_form, HTTPX: _iterated_form},
            {},
            inputs=_new_names,
            ways={"built": {HTTPX: 1.2}},
            items=100,
        ),
        (
            Scenario(
                group="Writing",
                title="100 fields, without an event loop",
                contestants=_sync(SYNC_FORMS),
                exact=_kept({}, SYNC_FORMS, waits=False),
                floors=frozenset({FLOOR}),
                bars={TOOLBELT: 3.0, URLLIB3: 1.5},
                inputs=_new_names,
                items=100,
            ),
        ),
        _scenarios(
            "1000 JSON parts",
            _json_parts,
            {FLOOR: _json_by_hand},
            inputs=lambda serial: [_objects(serial)],
            ways={"sent": {AIOHTTP: 2.0}, "built": {AIOHTTP: 2.0}},
            items=1000,
        ),
        _scenarios(
            "a file of 32 MB",
            _file,
            FILES,
            inputs=lambda _: [_large_file()],
            ways={"sent": {}, "built": {AIOHTTP: 1.4}},
            octets=32 * MB,
        ),
        _scenarios(
            "a file of 32 MB, a boundary of the caller's",
            functools.partial(_file, boundary=BOUNDARY),
            {},
            inputs=lambda _: [_large_file()],
            ways={"built": {AIOHTTP: 1.0}},
            octets=32 * MB,
        ),
        _of("gzip", "Content-Encoding", _gzip, {}),
        _of("base64", "Content-Transfer-Encoding", _base64, {AIOHTTP: 0.8}),
        _scenarios(
            "MJPEG, 500 x 30 KB",
            {
                OURS: _frame_stream,
                EACH: _frames,
                AIOHTTP: _frames,
                WRITTEN_FLOOR: _frames_by_hand_with_asyncio,
            },
            {FLOOR: _frames_by_hand},
            inputs=lambda _: [_jpegs()],
            ways={"sent": {AIOHTTP: 3.0}, "built": {}},
            items=500,
            octets=500 * 30_000,
        ),
    )
)
