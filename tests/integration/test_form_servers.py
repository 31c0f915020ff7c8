"""Forms sent by real clients to real servers, and what becomes of a server that is let down."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import hashlib
import json
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import fastapi
import httpx
import litestar
import pytest
import requests
import waitress
from aiohttp import web
from litestar.di import NamedDependency, Provide
from obstore.store import MemoryStore
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from waitress import wasyncore

from aiomultipart import (
    DirectoryTarget,
    FileTarget,
    Form,
    HashTarget,
    IncompleteBody,
    LimitExceeded,
    Limits,
    MultipartError,
    MultipartReader,
    SavedFile,
    TeeTarget,
    UploadedFile,
    parse_form,
    read_form,
)
from aiomultipart.integrations import aiohttp as our_aiohttp
from aiomultipart.integrations import asgi, wsgi
from aiomultipart.integrations.objectstore import ObjectStoreTarget
from tests.support.measuring import TIMEOUT, forget_peak, memory, post
from tests.support.saving import MIB, files, open_files, pattern
from tests.support.serving import uvicorn_server

PHOTO = pattern(2 * MIB + 17)
FIELDS = [("title", "é & ü=+%"), ("tag", "one"), ("tag", "two\r\nlines")]
FILENAME = "été.jpg"
EXPECTED: list[Any] = [
    *[[name, value] for name, value in FIELDS],
    ["photo", [FILENAME, "image/jpeg", len(PHOTO), hashlib.sha256(PHOTO).hexdigest()]],
]


async def contents(form: Form) -> list[tuple[str, Any]]:
    return [
        (name, await description(value) if isinstance(value, UploadedFile) else value) for name, value in form.items()
    ]


async def description(file: UploadedFile) -> list[Any]:
    digest = hashlib.sha256()
    async for chunk in file.iter_chunks():
        digest.update(chunk)
    return [file.filename, file.content_type, file.size, digest.hexdigest()]


# Servers: each answers with what was in the form


@contextlib.asynccontextmanager
async def aiohttp_server(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], **kwargs: Any
) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=1, **kwargs)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield "http://{}:{}/".format(*runner.addresses[0][:2])
    await runner.cleanup()


@contextlib.asynccontextmanager
async def waitress_server(app: Any) -> AsyncIterator[str]:
    sockets: dict[int, Any] = {}
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=4, map=sockets)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield f"http://127.0.0.1:{server.effective_port}/"
    server.trigger.pull_trigger(lambda: wasyncore.close_all(sockets))
    await asyncio.to_thread(thread.join)
    server.task_dispatcher.shutdown()


async def starlette_endpoint(request: Request) -> JSONResponse:
    async with await read_form(request.headers, request.stream()) as form:
        return JSONResponse(await contents(form))


def starlette_app(endpoint: Callable[[Request], Awaitable[JSONResponse]] = starlette_endpoint) -> Starlette:
    return Starlette(routes=[Route("/", endpoint, methods=["POST"])])


async def plain_app(scope: Any, receive: Any, send: Any) -> None:
    async with await asgi.read_form(scope, receive) as form:
        await JSONResponse(await contents(form))(scope, receive, send)


async def fastapi_form(request: fastapi.Request) -> AsyncIterator[Form]:
    async with await read_form(request.headers, request.stream()) as form:
        yield form


def fastapi_app() -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.post("/")
    async def endpoint(form: Annotated[Any, fastapi.Depends(fastapi_form)]) -> list[Any]:
        return await contents(form)

    return app


async def litestar_form(request: litestar.Request[Any, Any, Any]) -> AsyncIterator[Form]:
    async with await read_form(request.headers, request.stream()) as form:
        yield form


def litestar_app() -> litestar.Litestar:
    @litestar.post("/", dependencies={"form": Provide(litestar_form)})
    async def endpoint(form: NamedDependency[Form]) -> list[Any]:
        return await contents(form)

    return litestar.Litestar([endpoint], openapi_config=None, logging_config=None)


async def aiohttp_handler(request: web.Request) -> web.Response:
    async with await our_aiohttp.read_form(request) as form:
        return web.json_response(await contents(form))


def wsgi_app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    with wsgi.parse_form(environ) as form:
        found = [
            [name, [value.filename, value.content_type, value.size, hashlib.sha256(value.file.read()).hexdigest()]]
            if isinstance(value, UploadedFile)
            else [name, value]
            for name, value in form.items()
        ]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]


def wsgi_app_with_callbacks(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    headers = {"Content-Type": environ["CONTENT_TYPE"], "Content-Length": environ["CONTENT_LENGTH"]}
    found: list[Any] = []

    def on_field(field: Any) -> None:
        found.append([field.field_name.decode(), field.value.decode()])

    def on_file(file: Any) -> None:
        digest = hashlib.sha256(file.file_object.read()).hexdigest()
        found.append([file.field_name.decode(), [file.file_name.decode(), file.content_type, file.size, digest]])

    parse_form(headers, environ["wsgi.input"], on_field, on_file)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(found).encode()]


SERVERS: dict[str, Callable[[], contextlib.AbstractAsyncContextManager[str]]] = {
    "starlette": lambda: uvicorn_server(starlette_app()),
    "plain asgi": lambda: uvicorn_server(plain_app),
    "fastapi": lambda: uvicorn_server(fastapi_app()),
    "litestar": lambda: uvicorn_server(litestar_app()),
    "aiohttp": lambda: aiohttp_server(aiohttp_handler),
    "waitress": lambda: waitress_server(wsgi_app),
    "waitress, callbacks": lambda: waitress_server(wsgi_app_with_callbacks),
}


@pytest.fixture(params=SERVERS)
async def url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    before = open_files()
    async with SERVERS[request.param]() as url:
        yield url
    assert open_files() == before


# Clients


async def by_aiohttp(url: str, path: Path | None) -> str:
    form = aiohttp.FormData(FIELDS, quote_fields=False)
    with contextlib.ExitStack() as stack:
        if path is not None:
            file = stack.enter_context(path.open("rb"))
            form.add_field("photo", file, filename=FILENAME, content_type="image/jpeg")
        async with aiohttp.ClientSession() as session, session.post(url, data=form) as response:
            return await response.text()


async def by_httpx(url: str, path: Path | None) -> str:
    data: dict[str, Any] = {"title": FIELDS[0][1], "tag": [value for name, value in FIELDS if name == "tag"]}
    upload = {} if path is None else {"files": {"photo": (FILENAME, path.read_bytes(), "image/jpeg")}}
    async with httpx.AsyncClient(verify=False, trust_env=False, timeout=TIMEOUT) as client:
        return (await client.post(url, data=data, **upload)).text


async def by_requests(url: str, path: Path | None) -> str:
    def post() -> str:
        with requests.Session() as session, contextlib.ExitStack() as stack:
            session.trust_env = False
            upload = {} if path is None else {"photo": (FILENAME, stack.enter_context(path.open("rb")), "image/jpeg")}
            return session.post(url, data=FIELDS, files=upload, timeout=TIMEOUT).text

    return await asyncio.to_thread(post)


async def run(*args: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *args, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await process.communicate()
    if process.returncode:
        raise AssertionError(f"{args[0]}: {process.returncode} {errors.decode()}")
    return output.decode()


async def by_curl(url: str, path: Path | None) -> str:
    options = [
        "--disable",
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--noproxy",
        "*",
        "--max-time",
        str(TIMEOUT),
    ]
    for name, value in FIELDS:
        options += ["--data-urlencode", f"{name}={value}"] if path is None else ["--form-string", f"{name}={value}"]
    if path is not None:
        options += ["--form", f"photo=@{path};filename={FILENAME};type=image/jpeg"]
    return await run("curl", *options, url)


NODE = """
const [url, fields, filename, path] = JSON.parse(process.argv[1]);
const body = path === null ? new URLSearchParams() : new FormData();
for (const [name, value] of fields) body.append(name, value);
if (path !== null)
  body.append("photo", await require("node:fs").openAsBlob(path, { type: "image/jpeg" }), filename);
const response = await fetch(url, { method: "POST", body });
console.log(await response.text());
"""


async def by_node(url: str, path: Path | None) -> str:
    arguments = json.dumps([url, FIELDS, FILENAME, None if path is None else str(path)])
    return await run("node", "--no-warnings", "--eval", f"(async () => {{{NODE}}})()", arguments)


CLIENTS = {"aiohttp": by_aiohttp, "httpx": by_httpx, "requests": by_requests, "curl": by_curl, "node": by_node}


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo"
    path.write_bytes(PHOTO)
    return path


@pytest.mark.parametrize("client", CLIENTS)
async def test_clients(client: str, url: str, photo: Path, curl: str, node: str) -> None:
    async with asyncio.timeout(TIMEOUT):
        assert json.loads(await CLIENTS[client](url, photo)) == EXPECTED
        assert json.loads(await CLIENTS[client](url, None)) == EXPECTED[:-1]


async def test_several_files_of_one_field_from_curl(curl: str, tmp_path: Path) -> None:
    """``-F f=@a,b`` nests them in a multipart/mixed of their own (RFC 2388)."""
    answers: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        for depth in (1, 2):
            content = await request.read()
            limits = Limits.for_forms(max_depth=depth)
            try:
                async with await read_form(request.headers, content, limits=limits) as form:
                    answers.append([(f.name, f.filename, await f.read()) for f in form.files])
            except LimitExceeded as exc:
                answers.append(exc.limit)
        return web.Response()

    for name in "ab":
        (tmp_path / name).write_text(name)
    async with aiohttp_server(take) as url:
        await run(curl, "--disable", "--silent", "--fail", "--form", f"f=@{tmp_path}/a,{tmp_path}/b;type=a/b", url)
    assert answers == ["max_depth", [("f", "a", b"a"), ("f", "b", b"b")]]


async def test_a_chunked_request_through_waitress() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a=1&"
        yield b"b=2"

    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with waitress_server(wsgi_app) as url, httpx.AsyncClient(verify=False, trust_env=False) as client:
        response = await client.post(url, content=chunks(), headers=headers)
    assert response.json() == [["a", "1"], ["b", "2"]]


async def test_targets_through_waitress(tmp_path: Path) -> None:
    """Files go straight to where they belong, and go again when the form is bad or its handler fails."""
    targets: Any = {"photo": lambda part: DirectoryTarget(tmp_path, hash="sha256")}
    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        try:
            with wsgi.parse_form(environ, targets=targets) as form:
                saved = form.file("photo").result
                seen.append(files(tmp_path))
                answer = f"{form.text('title')} {saved.size} {saved.hexdigest}"
        except MultipartError as exc:
            return wsgi.answer_problem(exc, start_response)
        except TypeError as exc:
            answer = str(exc)
        start_response("200 OK", [("Content-Length", str(len(answer.encode())))])
        return [answer.encode()]

    photo = {"photo": ("x", PHOTO)}
    async with waitress_server(app) as url, httpx.AsyncClient(verify=False, trust_env=False) as client:
        response = await client.post(url, data={"title": "t"}, files=photo)
        assert response.text == f"t {len(PHOTO)} {hashlib.sha256(PHOTO).hexdigest()}"
        assert [*files(tmp_path).values()] == [PHOTO]
        (kept,) = files(tmp_path)
        response = await client.post(url, data={"title": ["t", "u"]}, files=photo)
        assert (response.status_code, response.json()["code"]) == (422, "too-many")
        assert len(seen[-1]) == 2
        assert [*files(tmp_path)] == [kept]
        request = client.build_request("POST", url, files=photo)
        cut = (await request.aread())[:-20]
        response = await client.post(url, content=cut, headers={"Content-Type": request.headers["Content-Type"]})
        assert (response.status_code, response.json()["code"]) == (400, "no-close-delimiter")
        assert [*files(tmp_path)] == [kept]
        targets["photo"] = lambda part: ObjectStoreTarget(MemoryStore(), "x")
        response = await client.post(url, files=photo)
        assert "has only coroutines" in response.text


async def test_fifty_at_once(photo: Path) -> None:
    before = open_files()
    async with uvicorn_server(starlette_app()) as url, asyncio.timeout(TIMEOUT):
        found = await asyncio.gather(*[by_aiohttp(url, photo) for _ in range(50)])
    assert [json.loads(each) for each in found] == [EXPECTED] * 50
    assert open_files() == before


# What is promised to work, as it stands there


async def post_files(app: Any, *names: str) -> httpx.Response:
    fields = {"title": "é"}
    files = [(name, (f"{name}.jpg", PHOTO, "image/jpeg")) for name in names]
    async with uvicorn_server(app) as url, httpx.AsyncClient(verify=False, trust_env=False) as client:
        return await client.post(url, data=fields, files=files)


async def test_the_form_of_a_request(tmp_path: Path) -> None:
    upload_dir = tmp_path

    async def upload(request: Request) -> JSONResponse:
        limits = Limits.for_forms(max_part_size=1 << 30)
        async with await read_form(request.headers, request.stream(), limits=limits) as form:
            title = form["title"]
            photo = form["photo"]
            saved = await photo.save(upload_dir / "photo.jpg", hash="sha256")
        return JSONResponse([title, saved.size, saved.hexdigest])

    response = await post_files(starlette_app(upload), "photo")
    assert response.json() == ["é", len(PHOTO), hashlib.sha256(PHOTO).hexdigest()]
    assert files(tmp_path) == {"photo.jpg": PHOTO}


async def test_straight_to_where_it_belongs(tmp_path: Path) -> None:
    tmp, store = tmp_path, MemoryStore()
    forms: list[Form] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        form = await asgi.read_form(
            scope,
            receive,
            targets={
                "avatar": lambda part: TeeTarget(FileTarget(tmp / uuid4().hex), HashTarget("sha256")),
                "backup": lambda part: ObjectStoreTarget(store, f"backups/{part.name}"),
            },
        )
        forms.append(form)
        await JSONResponse(form["title"])(scope, receive, send)

    assert (await post_files(app, "avatar", "backup")).json() == "é"
    (form,) = forms
    saved, digest = form["avatar"].result
    assert isinstance(saved, SavedFile)
    assert digest == hashlib.sha256(PHOTO).hexdigest()
    assert files(tmp) == {saved.path.name: PHOTO}
    assert form["backup"].result.path == "backups/backup"
    assert bytes(await (await store.get_async("backups/backup")).bytes_async()) == PHOTO


async def test_driving_it_yourself(tmp_path: Path) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async for part in MultipartReader.from_asgi(scope, receive):
            target = FileTarget(tmp_path / part.name)
            await part.copy_to(target)
        await JSONResponse("done")(scope, receive, send)

    assert (await post_files(app, "photo")).json() == "done"
    assert files(tmp_path) == {"title": "é".encode(), "photo": PHOTO}


# What goes wrong


class Server:
    """Reads forms, notes what that raised, and can be told to fail."""

    def __init__(self, directory: Path) -> None:
        self.url = ""
        self.directory = directory
        self.received: list[int] = []
        self.raised: asyncio.Queue[BaseException] = asyncio.Queue()
        self.is_cancelling = False

    def on_progress(self, received: int, total: int | None) -> None:
        self.received.append(received)
        task = asyncio.current_task()
        if self.is_cancelling and task is not None:
            self.is_cancelling = False
            task.cancel()

    async def read(self, read: Callable[..., Awaitable[Form]]) -> list[Any]:
        """``saved`` goes to a file at once, everything else is spooled."""
        try:
            async with await read(targets={"saved": self.to_file}, on_progress=self.on_progress) as form:
                return [name for name, _ in form.items()]
        except BaseException as exc:
            self.raised.put_nowait(exc)
            raise

    def to_file(self, part: Any) -> TeeTarget[Any]:
        return TeeTarget(FileTarget(self.directory / uuid4().hex), HashTarget("sha256"))


@pytest.fixture(params=["starlette", "plain asgi", "aiohttp"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    directory = tmp_path / "saved"
    directory.mkdir()
    server = Server(directory)

    async def endpoint(request: Request) -> JSONResponse:
        def read(**kwargs: Any) -> Awaitable[Form]:
            return read_form(request.headers, request.stream(), **kwargs)

        return JSONResponse(await server.read(read))

    async def plain(scope: Any, receive: Any, send: Any) -> None:
        names = await server.read(lambda **kwargs: asgi.read_form(scope, receive, **kwargs))
        await JSONResponse(names)(scope, receive, send)

    async def handler(request: web.Request) -> web.Response:
        return web.json_response(await server.read(lambda **kwargs: our_aiohttp.read_form(request, **kwargs)))

    kinds: dict[str, contextlib.AbstractAsyncContextManager[str]] = {
        "starlette": uvicorn_server(starlette_app(endpoint)),
        "plain asgi": uvicorn_server(plain),
        "aiohttp": aiohttp_server(handler),
    }
    before = open_files()
    async with kinds[request.param] as server.url, asyncio.timeout(TIMEOUT):
        yield server
    assert open_files() == before


def body() -> bytes:
    pieces = []
    for name, filename in (("saved", "1"), ("spooled", "2"), ("saved", "3"), ("small", "4")):
        head = f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n\r\n'
        pieces += [head.encode(), PHOTO if name != "small" else b"1", b"\r\n"]
    return b"".join([*pieces, b"--b--\r\n"])


BODY = body()
HEAD = (
    "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n"
).encode()


async def send(url: str, data: bytes, *, then_leave: bool = False) -> bytes:
    """Send bytes over a socket; the response, if one is waited for and comes."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    response = b""
    with contextlib.suppress(ConnectionError):  # a server that fails does not read on
        writer.write(data)
        await writer.drain()
        if not then_leave:
            response = await reader.read()
    if then_leave:
        writer.transport.abort()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return response


async def answers(server: Server) -> None:
    """The next request is served; then nothing is left but what it saved."""
    response = await send(server.url, HEAD + BODY)
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(response.partition(b"\r\n\r\n")[2]) == ["saved", "spooled", "saved", "small"]
    assert list(files(server.directory).values()) == [PHOTO, PHOTO]
    assert server.received[-1] == len(BODY)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
async def test_a_client_that_disconnects(server: Server, part: float) -> None:
    before = open_files()
    await send(server.url, HEAD + BODY[: int(len(BODY) * part)], then_leave=True)
    error = await server.raised.get()
    # Starlette's own stream raises Starlette's own error.
    assert isinstance(error, (IncompleteBody, ClientDisconnect))
    assert getattr(error, "code", "disconnected") == "disconnected"
    assert files(server.directory) == {}
    assert [name for name in open_files() if name not in before] == []
    await answers(server)


async def test_a_client_that_ends_its_side_half_way(server: Server) -> None:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(HEAD + BODY[: len(BODY) // 2])
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()
    assert isinstance(await server.raised.get(), (IncompleteBody, ClientDisconnect))
    assert files(server.directory) == {}
    await answers(server)


async def test_a_task_that_is_cancelled(server: Server) -> None:
    server.is_cancelling = True
    response = await send(server.url, HEAD + BODY[: len(BODY) // 2], then_leave=True)
    assert isinstance(await server.raised.get(), asyncio.CancelledError)
    assert response == b""
    assert files(server.directory) == {}
    await answers(server)


async def test_aiohttp_that_cancels_handlers(tmp_path: Path) -> None:
    """With ``handler_cancellation`` a client that disconnects is a cancellation."""
    server = Server(tmp_path)

    async def handler(request: web.Request) -> web.Response:
        return web.json_response(await server.read(lambda **kwargs: our_aiohttp.read_form(request, **kwargs)))

    before = open_files()
    async with aiohttp_server(handler, handler_cancellation=True) as server.url, asyncio.timeout(TIMEOUT):
        await send(server.url, HEAD + BODY[: len(BODY) // 2], then_leave=True)
        assert isinstance(await server.raised.get(), (asyncio.CancelledError, IncompleteBody))
        assert files(tmp_path) == {}
        await answers(server)
    assert open_files() == before


@pytest.mark.parametrize("chunk", [b"zz\r\n", b"-1\r\n", b"1\r\nxx\r\n"])
async def test_a_bad_chunk_through_aiohttp(chunk: bytes, tmp_path: Path) -> None:
    server = Server(tmp_path)
    head = HEAD.replace(f"Content-Length: {len(BODY)}".encode(), b"Transfer-Encoding: chunked")

    async def handler(request: web.Request) -> web.Response:
        return web.json_response(await server.read(lambda **kwargs: our_aiohttp.read_form(request, **kwargs)))

    async with aiohttp_server(handler) as server.url, asyncio.timeout(TIMEOUT):
        address = urlsplit(server.url)
        _, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(head + b"400\r\n" + BODY[:1024] + b"\r\n")
        while not server.received:  # noqa: ASYNC110  (a callback says so)
            await asyncio.sleep(0)
        writer.write(chunk)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        assert isinstance(await server.raised.get(), IncompleteBody)
        assert files(tmp_path) == {}
        await answers(server)


async def test_a_bad_content_encoding_through_aiohttp(tmp_path: Path) -> None:
    server = Server(tmp_path)

    async def handler(request: web.Request) -> web.Response:
        return web.json_response(await server.read(lambda **kwargs: our_aiohttp.read_form(request, **kwargs)))

    async with aiohttp_server(handler) as server.url, asyncio.timeout(TIMEOUT):
        await send(server.url, HEAD.replace(b"Connection:", b"Content-Encoding: gzip\r\nConnection:") + BODY)
        error = await server.raised.get()
        assert isinstance(error, IncompleteBody)
        assert error.code == "broken-transfer"
        zipped = gzip.compress(BODY)
        head = HEAD.replace(b"Connection:", b"Content-Encoding: gzip\r\nConnection:")
        response = await send(server.url, head.replace(str(len(BODY)).encode(), str(len(zipped)).encode()) + zipped)
        assert b" 200 " in response.splitlines()[0]


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where temporary files go: on a disk of 3 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting is not allowed: {done.stderr.strip()}")
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    yield disk
    subprocess.run(["umount", disk], check=True)


def files_of(*sizes: int) -> tuple[bytes, bytes]:
    """The head and the body of a request with so many spooled files."""
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    message = b"".join([*[head + bytes(size) + b"\r\n" for size in sizes], b"--b--\r\n"])
    return HEAD.replace(str(len(BODY)).encode(), str(len(message)).encode()), message


async def test_a_full_disk(server: Server, small_disk: Path) -> None:
    response = await send(server.url, b"".join(files_of(2 * MIB, 2 * MIB)))
    error = await server.raised.get()
    assert isinstance(error, OSError)
    assert error.errno == errno.ENOSPC
    assert response == b"" or b" 500 " in response.splitlines()[0]
    assert b" 200 " in (await send(server.url, b"".join(files_of(2 * MIB, 100)))).splitlines()[0]
    assert files(small_disk) == {}


async def test_files_that_cannot_be_written(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    try:
        await send(server.url, HEAD + BODY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    error = await server.raised.get()
    assert isinstance(error, OSError)
    assert error.errno == errno.EFBIG
    assert files(server.directory) == {}
    await answers(server)


# Memory, and the event loop


SERVER = """
import socket, sys
from pathlib import Path

import blockbuster, uvicorn
from aiomultipart import Limits, read_form
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

upload_dir = Path(sys.argv[1])
limits = Limits.for_forms(max_part_size=1 << 30)

async def upload(request):
    with blockbuster.blockbuster_ctx():
        async with await read_form(request.headers, request.stream(), limits=limits) as form:
            title = form["title"]
            photo = form["photo"]
            saved = await photo.save(upload_dir / "photo.jpg", hash="sha256", overwrite=True)
    return JSONResponse([title, saved.size, saved.hexdigest])

app = Starlette(routes=[Route("/", upload, methods=["POST"])])
uvicorn.run(app, fd=int(sys.argv[2]), log_level="warning", lifespan="off", ws="none", http="h11")
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")
def test_a_gibibyte(tmp_path: Path) -> None:
    """Spooled, saved under its name and hashed, in less than 16 MiB, and without a call that blocks the loop."""
    with socket.create_server(("127.0.0.1", 0)) as listening_socket:
        fd = listening_socket.fileno()
        address = listening_socket.getsockname()
        flags = ["-OO"] * (sys.flags.optimize == 2)
        command = [sys.executable, *flags, "-c", SERVER, str(tmp_path), str(fd)]
        process = subprocess.Popen(command, pass_fds=[fd], cwd=Path(__file__).parents[2])
        try:
            post(address, 10)
            before = forget_peak(process.pid)
            result, digest = post(address, 1 << 30)
            assert memory(process.pid, "VmHWM") - before < 16 * MIB
        finally:
            process.terminate()
            process.wait(TIMEOUT)
    assert json.loads(result) == ["large", 1 << 30, digest]
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    assert (tmp_path / "photo.jpg").stat().st_size == 1 << 30
    (tmp_path / "photo.jpg").unlink()


STOPPED = """
import sys
from pathlib import Path

import uvicorn
from aiomultipart import DirectoryTarget, read_form
from aiomultipart.integrations.fastapi import MultipartForm
from fastapi import Depends, FastAPI
from litestar import Litestar, Request as LitestarRequest, post
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

upload_dir, kind = Path(sys.argv[1]), sys.argv[3]

def target(part):
    print(part.filename, flush=True)
    return DirectoryTarget(upload_dir)

async def upload(request):
    async with read_form(request.headers, request.stream(), targets=target) as form:
        return JSONResponse(len(form))

class Model(BaseModel):
    saved: list

fastapi = FastAPI()

@fastapi.post("/")
async def with_model(form: Model = Depends(MultipartForm(Model, targets=target))):
    return len(form.saved)

@post("/")
async def with_litestar(request: LitestarRequest) -> int:
    async with read_form(request.headers, request.stream(), targets=target) as form:
        return len(form)

apps = {
    "starlette": Starlette(routes=[Route("/", upload, methods=["POST"])]),
    "fastapi": fastapi,
    "litestar": Litestar([with_litestar]),
}
uvicorn.run(
    apps[kind], fd=int(sys.argv[2]), log_level="critical", lifespan="off", ws="none", timeout_graceful_shutdown=1
)
"""


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("kind", ["starlette", "fastapi", "litestar"])
async def test_a_server_that_is_stopped_in_mid_upload(kind: str, times: int, tmp_path: Path) -> None:
    """By SIGINT, once or twice: files that were complete are undone too."""
    with socket.create_server(("127.0.0.1", 0)) as listening_socket:
        fd = listening_socket.fileno()
        command = [sys.executable, "-c", STOPPED, str(tmp_path), str(fd), kind]
        process = await asyncio.create_subprocess_exec(
            *command, pass_fds=[fd], cwd=Path(__file__).parents[2], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(TIMEOUT):
                _, writer = await asyncio.open_connection(*listening_socket.getsockname())
                writer.write(HEAD + BODY[: len(PHOTO) + MIB])
                await writer.drain()
                assert await process.stdout.readline() == b"1\n"
                assert await process.stdout.readline() == b"2\n"  # so the first file is complete
                assert len(files(tmp_path)) == 1
                for _ in range(times):
                    process.send_signal(signal.SIGINT)
                await process.wait()
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    assert files(tmp_path) == {}
