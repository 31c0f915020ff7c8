"""Writing: a message is built and sent, aiomultipart against aiohttp, httpx and requests-toolbelt.

What is made of many small pieces is sent through a socket, because how many writes it takes is a good part of what it
costs: aiohttp and aiomultipart write to aiohttp's own ``StreamWriter``, the others to the socket, each piece that they
give. A child process reads the other end. "Built only" is the same without any sink. A large file is rendered into
nothing: to copy it through the kernel costs all of them the same, and would hide the rest.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import random
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp
import httpx
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_writer import StreamWriter
from requests_toolbelt import MultipartEncoder  # type: ignore[import-untyped]

import aiomultipart
from aiomultipart import hdrs

from .harness import Scenario

MB = 1024 * 1024
BOUNDARY = "----aiomultipart-benchmark-0123456789"
OURS, AIOHTTP, HTTPX, TOOLBELT = "aiomultipart", "aiohttp", "httpx", "requests-toolbelt"

LIBRARIES = {OURS: aiomultipart, AIOHTTP: aiohttp}
Fields: TypeAlias = Sequence[tuple[str, str]]
# Any: the two libraries have the same names.
Library: TypeAlias = Any


class _Nowhere:
    """A writer that keeps nothing, or what it is given as one message."""

    def __init__(self, *, keep: bool = False) -> None:
        self.pieces: list[bytes] | None = [] if keep else None

    async def write(self, data: bytes) -> None:
        if self.pieces is not None:
            self.pieces.append(data)


class _Wire:
    """A loop, and a socket whose other end is read by a child process."""

    def __init__(self) -> None:
        self.socket, other = socket.socketpair()
        self.child = subprocess.Popen(["cat"], stdin=other.fileno(), stdout=subprocess.DEVNULL)  # noqa: S607
        other.close()
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
def _wire() -> _Wire:
    return _Wire()


def _sender(build: Callable[[Library, Any], Any], library: Library) -> Callable[[Any], None]:
    async def run(value: Any) -> None:
        for writer in build(library, value):
            await writer.write(_wire().writer)

    return lambda value: _wire().loop.run_until_complete(run(value))


def _renderer(build: Callable[[Library, Any], Any], library: Library, *, keep: bool = False) -> Callable[[Any], object]:
    async def run(value: Any) -> object:
        sink = _Nowhere(keep=keep)
        for writer in build(library, value):
            await writer.write(sink)
        return None if sink.pieces is None else b"".join(sink.pieces)

    return lambda value: _wire().loop.run_until_complete(run(value))


# The forms, the parts, the file, the frames


def _form(library: Library, fields: Fields) -> list[Any]:
    form = library.FormData(default_to_multipart=True)
    for name, value in fields:
        form.add_field(name, value)
    body = form()
    return [body]


def _json_parts(library: Library, objects: Sequence[object]) -> list[Any]:
    writer = library.MultipartWriter("mixed", boundary=BOUNDARY)
    for obj in objects:
        writer.append_json(obj)
    return [writer]


def _json_parts_own_boundary(library: Library, objects: Sequence[object]) -> list[Any]:
    writer = library.MultipartWriter("mixed")
    for obj in objects:
        writer.append_json(obj)
    return [writer]


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


def _file(library: Library, path: Path, *, boundary: str | None = None) -> Iterable[Any]:
    with path.open("rb") as file:
        writer = library.MultipartWriter("form-data", boundary=boundary)
        payload = writer.append(file, {hdrs.CONTENT_TYPE: "application/octet-stream"})
        payload.set_content_disposition("form-data", name="file", filename=path.name)
        yield writer


def _httpx_pieces(files: Any) -> Iterable[bytes]:
    request = httpx.Request("POST", "http://localhost", files=files)
    assert isinstance(request.stream, httpx.SyncByteStream)
    return request.stream


def _httpx_fields(fields: Fields) -> Iterable[bytes]:
    return _httpx_pieces([(name, (None, value)) for name, value in fields])


def _httpx_file(path: Path) -> None:
    with path.open("rb") as file:
        for _ in _httpx_pieces([("file", (path.name, file, "application/octet-stream"))]):
            pass


def _toolbelt_pieces(encoder: Any, size: int = 64 * 1024) -> Iterable[bytes]:
    while piece := encoder.read(size):
        yield piece


def _toolbelt_file(path: Path) -> None:
    with path.open("rb") as file:
        encoder = MultipartEncoder([("file", (path.name, file, "application/octet-stream"))])
        for _ in _toolbelt_pieces(encoder, MB):
            pass


def _drop(pieces: Iterable[bytes]) -> None:
    for _ in pieces:
        pass


# What they have in common, for the check: names and values as our own parser reads them.


def _parts(pieces: Iterable[bytes]) -> list[tuple[str | None, str | None, bytes]]:
    message = b"".join(pieces)
    boundary = message[2 : message.index(b"\r\n")].decode()
    parts: list[tuple[str | None, str | None, bytes]] = []
    for event in aiomultipart.PushMultipartParser(boundary, subtype="form-data").feed(message):
        if isinstance(event, aiomultipart.PartBegin):
            begin, body = event, b""
        elif isinstance(event, bytes):
            body += event
        elif event is aiomultipart.PART_END:
            parts.append((begin.name, begin.filename, body))
    return parts


def _parts_of(build: Callable[[Library, Any], Any], library: Library) -> Callable[[Any], object]:
    render = _renderer(build, library, keep=True)

    def run(value: Any) -> object:
        message = render(value)
        assert isinstance(message, bytes)
        return _parts([message if message.endswith(b"--\r\n") else message + b"--%b--" % BOUNDARY.encode()])

    return run


@functools.cache
def _large_file() -> Path:
    file = tempfile.NamedTemporaryFile(prefix="aiomultipart-", suffix=".bin", delete=False)  # noqa: SIM115
    atexit.register(Path(file.name).unlink)
    with file:
        octets = random.Random(1).randbytes(MB)
        for _ in range(32):
            file.write(octets)
    return Path(file.name)


def _fields(serial: int, tag: str) -> Fields:
    return [(f"{tag}field{i}", f"value {serial} of field {i}") for i in range(100)]


def _objects(serial: int) -> Sequence[object]:
    return [{"id": i, "name": f"part {serial}"} for i in range(1000)]


@functools.cache
def _jpegs() -> Sequence[bytes]:
    octets = random.Random(2).randbytes
    return [octets(30_000) for _ in range(500)]


FORM = {
    OURS: _sender(_form, aiomultipart),
    AIOHTTP: _sender(_form, aiohttp),
    HTTPX: lambda fields: _wire().send(_httpx_fields(fields)),
    TOOLBELT: lambda fields: _wire().send(_toolbelt_pieces(MultipartEncoder(fields))),
}
FORM_BUILT = {
    OURS: _renderer(_form, aiomultipart),
    AIOHTTP: _renderer(_form, aiohttp),
    HTTPX: lambda fields: _drop(_httpx_fields(fields)),
    TOOLBELT: lambda fields: _drop(_toolbelt_pieces(MultipartEncoder(fields))),
}
FORM_EXACT = {
    OURS: _parts_of(_form, aiomultipart),
    AIOHTTP: _parts_of(_form, aiohttp),
    HTTPX: lambda fields: _parts(_httpx_fields(fields)),
    TOOLBELT: lambda fields: _parts(_toolbelt_pieces(MultipartEncoder(fields))),
}
JSON_EXACT = {
    OURS: _renderer(_json_parts, aiomultipart, keep=True),
    AIOHTTP: _renderer(_json_parts, aiohttp, keep=True),
}


def _file_exact() -> dict[str, Callable[[Path], object]]:
    def ours_and_theirs(library: Library) -> Callable[[Path], object]:
        return _renderer(functools.partial(_file, boundary=BOUNDARY), library, keep=True)

    return {OURS: ours_and_theirs(aiomultipart), AIOHTTP: ours_and_theirs(aiohttp)}


SCENARIOS: list[Scenario[Any]] = [
    Scenario(
        group="Writing",
        title="write 100 fields",
        contestants=FORM,
        exact=FORM_EXACT,
        inputs=lambda serial: [_fields(serial, "")] * 5,
        bars={AIOHTTP: 3.0},
    ),
    Scenario(
        group="Writing",
        title="write 100 fields, new names",
        contestants=FORM,
        exact=FORM_EXACT,
        inputs=lambda serial: [_fields(serial, f"{serial}-{i}-") for i in range(5)],
    ),
    Scenario(
        group="Writing",
        title="write 100 fields, built only",
        contestants=FORM_BUILT,
        exact=FORM_EXACT,
        inputs=lambda serial: [_fields(serial, "")] * 5,
    ),
    Scenario(
        group="Writing",
        title="write 1000 JSON parts",
        contestants={name: _sender(_json_parts_own_boundary, library) for name, library in LIBRARIES.items()},
        exact=JSON_EXACT,
        inputs=lambda serial: [_objects(serial)],
        bars={AIOHTTP: 1.5},
    ),
    Scenario(
        group="Writing",
        title="write 1000 JSON parts, built only",
        contestants={name: _renderer(_json_parts_own_boundary, library) for name, library in LIBRARIES.items()},
        exact=JSON_EXACT,
        inputs=lambda serial: [_objects(serial)],
    ),
    Scenario(
        group="Writing",
        title="write a file of 32 MB",
        contestants={
            OURS: _renderer(_file, aiomultipart),
            AIOHTTP: _renderer(_file, aiohttp),
            HTTPX: _httpx_file,
            TOOLBELT: _toolbelt_file,
        },
        exact=_file_exact(),
        inputs=lambda _: [_large_file()],
        bars={AIOHTTP: 1.3},
    ),
    Scenario(
        group="Writing",
        title="write 500 MJPEG frames of 30 KB",
        contestants={name: _sender(_frames, library) for name, library in LIBRARIES.items()},
        exact={name: _renderer(_frames, library, keep=True) for name, library in LIBRARIES.items()},
        inputs=lambda _: [_jpegs()],
    ),
]
