"""Uploads and forms through real loopback sockets, to uvicorn and to aiohttp's server.

Each server is a child process with an endpoint for each contestant, so that only what reads the body differs. A sample
is the time from the first byte that is sent to the last one of the answer, over one connection that is kept alive. The
answer says how many entries there were and how long they are together; for the check, their hash too.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Annotated, Any, TypeAlias

import fastapi
import uvicorn
from aiohttp import BodyPartReader, web
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from aiomultipart import Form, Limits, MultipartReader, UploadedFile
from aiomultipart.integrations import aiohttp as our_aiohttp
from aiomultipart.integrations import asgi
from aiomultipart.integrations.fastapi import MultipartRoute

from . import forms
from .forms import BOUNDARY, CHUNK, MB, body
from .harness import Scenario

OURS, STARLETTE, FASTAPI, AIOHTTP, UNPARSED = "aiomultipart", "starlette", "fastapi", "aiohttp", "not parsed"
UVICORN = "uvicorn"
MIB, GIB = 2**20, 2**30
Pieces: TypeAlias = tuple[bytes, ...]
HASHED = b"?hash"
_PATIENCE = 3600  # seconds


class Answer:
    """What an endpoint found, as text.

    :param hashed: whether to hash it.
    """

    def __init__(self, *, hashed: bool) -> None:
        self._hash = hashlib.sha256() if hashed else None
        self._entries = 0
        self._size = 0

    def field(self, name: str | None, value: str) -> None:
        """Add a field."""
        self._entries += 1
        self._size += len(value)
        if self._hash is not None:
            self._hash.update(f"{name} {value}".encode())

    def file(self, name: str | None, filename: str | None, content_type: str | None) -> None:
        """Add a file, but for its bytes."""
        self.field(name, f"{filename} {content_type}")

    def received(self, size: int) -> None:
        """Add the size of a file that is stored."""
        self._size += size

    def data(self, data: bytes | bytearray) -> None:
        """Add bytes of a file."""
        self._size += len(data)
        self.hash(data)

    def hash(self, data: bytes | bytearray) -> None:
        """Add bytes to the hash, which nobody has counted here."""
        if self._hash is not None:
            self._hash.update(data)

    def stored(self, file: IO[bytes]) -> None:
        """Add the bytes of a stored file to the hash; they are not read for nothing."""
        if self._hash is not None:
            file.seek(0)
            while data := file.read(MB):
                self._hash.update(data)

    def saved(self, path: Path) -> None:
        """The same of a file that has a name."""
        with path.open("rb") as file:
            self.stored(file)

    def encode(self) -> bytes:
        """All of it."""
        return f"{self._entries} {self._size} {self._hash and self._hash.hexdigest()}".encode()


# The endpoints of uvicorn

Scope: TypeAlias = Any
Receive: TypeAlias = Any


def _our_form(form: Form, answer: Answer) -> None:
    for name, value in form.items():
        if isinstance(value, UploadedFile):
            answer.file(name, value.filename, value.content_type)
            answer.received(value.size)
            answer.stored(value.file)
        else:
            answer.field(name, value)


async def _our_parts(reader: MultipartReader, answer: Answer) -> None:
    async for part in reader:
        assert not isinstance(part, MultipartReader)
        answer.file(part.name, part.filename, part.content_type)
        async for chunk in part.iter_chunks():
            answer.data(chunk)


async def _asgi_form(scope: Scope, receive: Receive, answer: Answer) -> None:
    async with await asgi.read_form(scope, receive) as form:
        _our_form(form, answer)


async def _asgi_parts(scope: Scope, receive: Receive, answer: Answer) -> None:
    await _our_parts(MultipartReader.from_asgi(scope, receive), answer)


async def _starlette_form(scope: Scope, receive: Receive, answer: Answer) -> None:
    async with Request(scope, receive).form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                answer.file(name, value.filename, value.content_type)
                answer.received(value.size or 0)
                answer.stored(value.file)
            else:
                answer.field(name, value)


# A file that is saved under a name, in the way that each documentation shows


async def _our_saved(reader: MultipartReader, answer: Answer) -> None:
    with _path() as path:
        async for part in reader.walk():
            answer.file(part.name, part.filename, part.content_type)
            saved = await part.save(path)
            answer.received(saved.size)
        answer.saved(path)


async def _asgi_saved(scope: Scope, receive: Receive, answer: Answer) -> None:
    await _our_saved(MultipartReader.from_asgi(scope, receive), answer)


async def _starlette_saved(scope: Scope, receive: Receive, answer: Answer) -> None:
    async with Request(scope, receive).form() as form:
        for name, value in form.multi_items():
            assert isinstance(value, UploadFile)
            answer.file(name, value.filename, value.content_type)
            answer.received(value.size or 0)
            with _path() as path:
                await asyncio.to_thread(_copy, value.file, path)
                answer.saved(path)


def _copy(file: IO[bytes], path: Path) -> None:
    with path.open("wb") as target:
        shutil.copyfileobj(file, target)


@contextlib.contextmanager
def _path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory, "file")


async def _asgi_unparsed(_: Scope, receive: Receive, answer: Answer) -> None:
    while (message := await receive()).get("more_body"):
        answer.data(message["body"])
    answer.data(message["body"])


UVICORN_ENDPOINTS: Mapping[str, Callable[[Scope, Receive, Answer], Awaitable[None]]] = {
    "/form/aiomultipart": _asgi_form,
    "/form/starlette": _starlette_form,
    "/parts/aiomultipart": _asgi_parts,
    "/saved/aiomultipart": _asgi_saved,
    "/saved/starlette": _starlette_saved,
    "/unparsed": _asgi_unparsed,
}


def _fastapi(route_class: type[APIRoute]) -> FastAPI:
    """An application as FastAPI's documentation writes one."""
    app = FastAPI(openapi_url=None)
    app.router.route_class = route_class

    @app.post("/{path:path}")
    async def upload(
        request: Request,
        field0: Annotated[str, fastapi.Form()],
        field1: Annotated[str, fastapi.Form()],
        field2: Annotated[str, fastapi.Form()],
        file: fastapi.UploadFile,
    ) -> PlainTextResponse:
        answer = Answer(hashed=bool(request.scope["query_string"]))
        for number, value in enumerate((field0, field1, field2)):
            answer.field(f"field{number}", value)
        answer.file("file", file.filename, file.content_type)
        answer.received(file.size or 0)
        answer.stored(file.file)
        return PlainTextResponse(answer.encode())

    return app


APPS = {
    "/fastapi/aiomultipart": _fastapi(MultipartRoute.configured(limits=Limits.for_forms(max_part_size=64 * MB))),
    "/fastapi/fastapi": _fastapi(APIRoute),
}


async def _app(scope: Scope, receive: Receive, send: Any) -> None:
    if app := APPS.get(scope["path"]):
        await app(scope, receive, send)
        return
    answer = Answer(hashed=bool(scope["query_string"]))
    await UVICORN_ENDPOINTS[scope["path"]](scope, receive, answer)
    content = answer.encode()
    headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _serve_uvicorn(listening: socket.socket) -> None:
    # A connection waits for its turn, while other rows are measured.
    config = uvicorn.Config(
        _app, log_config=None, access_log=False, lifespan="off", ws="none", timeout_keep_alive=_PATIENCE
    )
    await uvicorn.Server(config).serve([listening])


# The endpoints of aiohttp


async def _integrated_form(request: web.Request, answer: Answer) -> None:
    async with await our_aiohttp.read_form(request) as form:
        _our_form(form, answer)


async def _integrated_parts(request: web.Request, answer: Answer) -> None:
    await _our_parts(MultipartReader(request.headers, request.content), answer)


async def _aiohttp_form(request: web.Request, answer: Answer) -> None:
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            answer.file(name, value.filename, value.content_type)
            answer.received(os.fstat(value.file.fileno()).st_size)
            answer.stored(value.file)
            value.file.close()
        else:
            assert isinstance(value, str)
            answer.field(name, value)


async def _aiohttp_parts(request: web.Request, answer: Answer) -> None:
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        answer.file(part.name, part.filename, part.headers.get("Content-Type"))
        while chunk := await part.read_chunk(CHUNK):
            answer.data(chunk)


async def _integrated_saved(request: web.Request, answer: Answer) -> None:
    await _our_saved(MultipartReader(request.headers, request.content), answer)


async def _aiohttp_saved(request: web.Request, answer: Answer) -> None:
    async for part in await request.multipart():
        assert isinstance(part, BodyPartReader)
        answer.file(part.name, part.filename, part.headers.get("Content-Type"))
        with _path() as path:
            with path.open("wb") as target:  # so its documentation does it
                while chunk := await part.read_chunk():
                    answer.received(len(chunk))
                    target.write(chunk)
            answer.saved(path)


async def _aiohttp_unparsed(request: web.Request, answer: Answer) -> None:
    async for chunk in request.content.iter_any():
        answer.data(chunk)


AIOHTTP_ENDPOINTS: Mapping[str, Callable[[web.Request, Answer], Awaitable[None]]] = {
    "/form/aiomultipart": _integrated_form,
    "/form/aiohttp": _aiohttp_form,
    "/parts/aiomultipart": _integrated_parts,
    "/parts/aiohttp": _aiohttp_parts,
    "/saved/aiomultipart": _integrated_saved,
    "/saved/aiohttp": _aiohttp_saved,
    "/unparsed": _aiohttp_unparsed,
}


async def _handle(request: web.Request) -> web.Response:
    answer = Answer(hashed=bool(request.query_string))
    await AIOHTTP_ENDPOINTS[request.path](request, answer)
    return web.Response(body=answer.encode())


async def _serve_aiohttp(listening: socket.socket) -> None:
    app = web.Application(client_max_size=64 * MB)
    app.router.add_post("/{path:.*}", _handle)
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=_PATIENCE)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    await asyncio.Event().wait()


SERVERS = {UVICORN: _serve_uvicorn, AIOHTTP: _serve_aiohttp}


def _serve(name: str) -> None:
    """Be a server until the process that started this one closes the pipe to it, or is gone."""
    # With the protocol's number, as servers make it: without, asyncio would leave Nagle's algorithm on.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        print(listening.getsockname()[1], flush=True)
        threading.Thread(target=_wait_for_end, daemon=True).start()
        asyncio.run(SERVERS[name](listening))


def _wait_for_end() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


# The client


class _Connection:
    """A server of our own, and a blocking connection to it."""

    def __init__(self, server: str) -> None:
        self._child = subprocess.Popen(  # noqa: S603  (this module)
            [sys.executable, "-m", __name__, server],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for this process; the server then sees its pipe close
        )
        atexit.register(self.close)
        assert self._child.stdout is not None
        port = int(self._child.stdout.readline())
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")

    def close(self) -> None:
        """Stop the server."""
        with contextlib.suppress(AttributeError):  # it never got as far as a connection
            self._file.close()
            self._socket.close()
        self._child.communicate()

    def post(self, target: bytes, content: bytes | Pieces) -> bytes:
        """Send a form; the body of the answer."""
        pieces = content if isinstance(content, tuple) else (content,)
        head = (
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=%b\r\n"
            b"Content-Length: %d\r\n\r\n" % (target, BOUNDARY.encode(), sum(map(len, pieces)))
        )
        sent = self._socket.sendmsg([head, pieces[0]])
        self._socket.sendall(memoryview(pieces[0])[sent - len(head) :])
        for piece in pieces[1:]:
            self._socket.sendall(piece)
        status = self._file.readline()
        length = 0
        while (line := self._file.readline()) != b"\r\n":
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        answer = self._file.read(length)
        if status.split()[1] != b"200":
            raise ConnectionError(f"{status!r} {answer!r}")
        return answer


_connection = functools.cache(_Connection)


def _client(server: str, path: str, query: bytes = b"") -> Callable[[bytes | Pieces], object]:
    return lambda content: _connection(server).post(path.encode() + query, content)


def _scenario(
    title: str,
    server: str,
    paths: Mapping[str, str],
    inputs: Callable[[int], Sequence[bytes | Pieces]],
    *,
    items: int = 1,
    octets: int = 0,
    bars: Mapping[str, float] | None = None,
    rounds: int | None = None,
) -> Scenario[bytes | Pieces]:
    return Scenario(
        group="Loopback",
        title=title,
        contestants={name: _client(server, path) for name, path in paths.items()},
        # What nobody parsed has another hash.
        exact={name: _client(server, path, HASHED) for name, path in paths.items() if name != UNPARSED},
        floors=frozenset({UNPARSED}),
        inputs=inputs,
        items=items,
        octets=octets,
        bars=bars or {},
        rounds=rounds,
    )


def _fields(serial: int) -> Sequence[bytes]:
    return [body(f"{serial:05}-{i:03}-", 20) for i in range(10)]


@functools.cache
def _upload() -> Sequence[bytes]:
    return [body("", 0, forms.octets(32 * MB))]


@functools.cache
def _photo(size: int, times: int) -> Sequence[bytes]:
    return [body("", 3, forms.octets(size))] * times


def _pieces() -> Pieces:
    block = forms.octets(32 * MIB)
    head, _, tail = body("", 0, block).partition(block)
    return head, block, tail


def _large_upload(serial: int) -> Sequence[Pieces]:
    """A file of 1 GiB, of pieces that are in memory once; two of them do for the check, which hashes."""
    head, block, tail = _pieces()
    return [(head, *[block] * (GIB // len(block) if serial else 2), tail)]


def _scenarios(server: str, peer: str, form: str, parts: str) -> list[Scenario[bytes | Pieces]]:
    """Those of one server; ``form`` and ``parts`` are what the peer has to read each with."""
    unparsed = {UNPARSED: "/unparsed"}
    as_form = {OURS: "/form/aiomultipart", peer: form, **unparsed}
    streamed = {OURS: "/parts/aiomultipart", peer: parts, **unparsed}
    return [
        _scenario(f"a form of 20 fields to {server}", server, as_form, _fields, items=20),
        _scenario(f"32 MB to {server}, as a form", server, as_form, lambda _: _upload(), octets=32 * MB),
        _scenario(f"32 MB to {server}, streamed", server, streamed, lambda _: _upload(), octets=32 * MB),
    ]


_BY_FASTAPI = {OURS: "/fastapi/aiomultipart", FASTAPI: "/fastapi/fastapi"}
SCENARIOS: list[Scenario[Any]] = [
    # Starlette can read an upload as a form only.
    *_scenarios(UVICORN, STARLETTE, "/form/starlette", "/form/starlette"),
    *_scenarios(AIOHTTP, AIOHTTP, "/form/aiohttp", "/parts/aiohttp"),
    # FastAPI's own parameters, stock and with MultipartRoute
    _scenario(
        "three fields and a file of 20 kB to FastAPI",
        UVICORN,
        _BY_FASTAPI,
        lambda _: _photo(20_000, 20),
        bars={FASTAPI: 1.1},
    ),
    _scenario(
        "64 MB to FastAPI", UVICORN, _BY_FASTAPI, lambda _: _photo(64 * MB, 1), octets=64 * MB, bars={FASTAPI: 1.5}
    ),
    # What the page for users shows: seconds for each round, so there are few.
    _scenario(
        "1 GiB to uvicorn, saved",
        UVICORN,
        {OURS: "/saved/aiomultipart", STARLETTE: "/saved/starlette"},
        _large_upload,
        octets=GIB,
        rounds=3,
    ),
    _scenario(
        "1 GiB to aiohttp, saved",
        AIOHTTP,
        {OURS: "/saved/aiomultipart", AIOHTTP: "/saved/aiohttp"},
        _large_upload,
        octets=GIB,
        rounds=3,
    ),
]


if __name__ == "__main__":
    _serve(sys.argv[1])
