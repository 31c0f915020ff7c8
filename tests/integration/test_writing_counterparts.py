"""What is written is read back, bytes equal, by parsers of other people, through real connections."""

import asyncio
import contextlib
import email.parser
import email.policy
import gzip
import io
import itertools
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import httpx
import multipart
import pytest
import uvicorn
import werkzeug.serving
from aiohttp import web
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse
from starlette.responses import StreamingResponse
from werkzeug.formparser import FormDataParser

import aiomultipart.integrations.aiohttp  # noqa: F401  (registers itself)
from aiomultipart import BodyPartReader, FormData, MultipartReader, MultipartWriter, StateError

ALL_BYTES = bytes(range(256)) * 300
NEAR_MISSES = b"\r\n--\r\n--0\r\n--frontier-\r\n\r\n-- \r\n" + b"\r\n" * 50 + b"\r\n-"

Send = Callable[[str, MultipartWriter], Awaitable[int]]


# What is sent


async def trickle(data: bytes, step: int = 9001) -> AsyncIterator[bytes]:
    for start in range(0, len(data), step):
        await asyncio.sleep(0)
        yield data[start : start + step]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[io.BufferedReader]:
    path = tmp_path / "Änderung.bin"
    path.write_bytes(ALL_BYTES[::-1] * 5)
    with path.open("rb") as file:
        yield file


BODIES = [
    b"text, \xc3\xbc",
    ALL_BYTES,
    NEAR_MISSES,
    b"",
    ALL_BYTES[::-1] * 5,
    b'{"a": [1, null]}',
    b"a=1&b=%C3%BC",
    ALL_BYTES * 2,
]
ENCODED = [b"gzip me " * 10_000, b"base64 \0\xff" * 999, b"quoted=printable\r\n caf\xc3\xa9 \t\r\n." * 99]
NESTED = [b"deep", b"deeper", b"deep again"]


def message(file: io.BufferedReader, *, nested: bool = True, known_size: bool = False) -> MultipartWriter:
    """A message with BODIES, and unless its size has to be known and may be, ENCODED and NESTED."""
    file.seek(0)
    writer = MultipartWriter("mixed")
    writer.append("text, ü")
    writer.append(ALL_BYTES)
    writer.append(io.BytesIO(NEAR_MISSES), {"Content-Type": "image/gif"})
    writer.append(b"")
    writer.append(file)
    writer.append_json({"a": [1, None]})
    writer.append_form({"a": "1", "b": "ü"})
    if known_size:
        writer.append(trickle(ALL_BYTES * 2), size=len(ALL_BYTES * 2))
        return writer
    writer.append(trickle(ALL_BYTES * 2))
    part = writer.append(ENCODED[0])
    part.headers["Content-Encoding"] = "gzip"
    writer.append(ENCODED[1], {"Content-Transfer-Encoding": "base64"})
    writer.append(ENCODED[2], {"Content-Transfer-Encoding": "quoted-printable"})
    if nested:
        with MultipartWriter("related") as inner:
            inner.append(NESTED[0])
            with MultipartWriter("alternative") as innermost:
                innermost.append(NESTED[1])
            inner.append(innermost)
            inner.append(NESTED[2])
        writer.append(inner)
    return writer


def form_of(file: io.BufferedReader) -> FormData:
    form = FormData({"name": "Ünal", "empty": ""})
    form.add_field('odd "name"', 'one\r\ntwo "three"')
    form.add_field("number", 7)
    form.add_field("same", "first")
    form.add_field("same", "second")
    form.add_field("upload", file, content_type="image/x-test")
    form.add_field("bytes", io.BytesIO(NEAR_MISSES), filename='a "quoted" näme;.gif', content_type="image/gif")
    form.add_field("stream", trickle(ALL_BYTES), filename="stream.bin")
    return form


# By RFC 7578 and the WHATWG a quote in a name is sent as %22; whether to undo that is the receiver's choice.
FIELDS = [
    ("name", "Ünal"),
    ("empty", ""),
    ("odd %22name%22", 'one\r\ntwo "three"'),
    ("number", "7"),
    ("same", "first"),
    ("same", "second"),
]
FILES = [
    ("upload", "Änderung.bin", "image/x-test", ALL_BYTES[::-1] * 5),
    ("bytes", "a %22quoted%22 näme;.gif", "image/gif", NEAR_MISSES),
    ("stream", "stream.bin", "application/octet-stream", ALL_BYTES),
]


def unquoted(text: str) -> str:
    return text.replace('"', "%22")


# Who sends


@pytest.fixture(params=["aiohttp", "httpx"])
def post(
    request: pytest.FixtureRequest, session: aiohttp.ClientSession, httpx_client: httpx.AsyncClient
) -> Callable[..., Awaitable[int]]:
    """Post a writer, and give the status."""

    async def by_aiohttp(url: str, writer: MultipartWriter, **headers: str) -> int:
        async with session.post(url, data=writer, headers=headers) as response:
            return response.status

    async def by_httpx(url: str, writer: MultipartWriter, **headers: str) -> int:
        response = await httpx_client.post(
            url, content=writer, headers={**writer.http_headers(), **headers}, follow_redirects=True
        )
        return response.status_code

    return by_aiohttp if request.param == "aiohttp" else by_httpx


class Mailbox:
    """Keeps what a server got."""

    def __init__(self) -> None:
        self.headers: list[Any] = []
        self.bodies: list[bytes] = []

    async def take(self, request: web.Request) -> web.Response:
        self.headers.append(request.headers.copy())
        self.bodies.append(await request.read())
        return web.Response()

    @property
    def content_type(self) -> str:
        return self.headers[-1]["Content-Type"]


# Who reads: general messages


async def by_aiohttp(content_type: str, body: bytes) -> list[bytes]:
    stream = aiohttp.StreamReader(_Protocol(), 2**20, loop=asyncio.get_running_loop())
    stream.feed_data(body)
    stream.feed_eof()
    return await flat(aiohttp.MultipartReader({"Content-Type": content_type}, stream), aiohttp.BodyPartReader)


class _Protocol(aiohttp.base_protocol.BaseProtocol):
    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())

    def pause_reading(self) -> None:
        pass

    def resume_reading(self, resume_parser: bool = True) -> None:
        pass


async def by_ourselves(content_type: str, body: bytes) -> list[bytes]:
    return await flat(MultipartReader({"Content-Type": content_type}, body), BodyPartReader)


async def flat(reader: Any, part_class: type) -> list[bytes]:
    found: list[bytes] = []
    while (part := await reader.next()) is not None:
        if isinstance(part, part_class):
            found.append(bytes(await part.read(decode=True)))
        else:
            found += await flat(part, part_class)
    return found


async def by_email(content_type: str, body: bytes) -> list[bytes]:
    head = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n".encode()
    parsed = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    found = []
    for part in parsed.walk():
        assert not part.defects
        if not part.is_multipart():
            # It undoes transfer encodings only; content codings are HTTP's.
            data = part.get_payload(decode=True)
            found.append(gzip.decompress(data) if part["Content-Encoding"] == "gzip" else data)
    return found


@pytest.mark.parametrize("read", [by_aiohttp, by_email, by_ourselves])
async def test_a_message(
    serve, post, file: io.BufferedReader, read: Callable[[str, bytes], Awaitable[list[bytes]]]
) -> None:
    mailbox = Mailbox()
    assert await post(await serve(mailbox.take), message(file)) == 200
    assert mailbox.headers[0]["Transfer-Encoding"] == "chunked"
    assert await read(mailbox.content_type, mailbox.bodies[0]) == BODIES + ENCODED + NESTED


async def test_by_aiohttps_reader_while_it_arrives(serve, post, file: io.BufferedReader) -> None:
    found: list[bytes] = []

    async def handler(request: web.Request) -> web.Response:
        found.extend(await flat(await request.multipart(), aiohttp.BodyPartReader))
        return web.Response()

    assert await post(await serve(handler), message(file)) == 200
    assert found == BODIES + ENCODED + NESTED


async def test_through_a_socket_without_http(file: io.BufferedReader) -> None:
    writer = message(file)
    found: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()

    async def connected(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            found.set_result(await flat(MultipartReader(writer.headers, source), BodyPartReader))
        finally:
            sink.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server, asyncio.timeout(20):
        _, sink = await asyncio.open_connection(*server.sockets[0].getsockname())
        await writer.write(sink)
        sink.write_eof()
        assert await found == BODIES + ENCODED + NESTED
        sink.close()
        await sink.wait_closed()


# Who reads: forms


async def read_by_aiohttp(request: web.Request) -> tuple[list[Any], list[Any]]:
    fields, files = [], []
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            with value.file as opened:
                files.append((name, value.filename, value.content_type, opened.read()))
        else:
            fields.append((name, value))
    return fields, files


async def read_by_multipart(request: web.Request) -> tuple[list[Any], list[Any]]:
    _, options = multipart.parse_options_header(request.headers["Content-Type"])
    body = await request.read()
    parts = list(multipart.MultipartParser(io.BytesIO(body), options["boundary"], strict=True))
    fields = [(part.name, part.value) for part in parts if not part.filename]
    files = [(part.name, part.filename, part.content_type, part.raw) for part in parts if part.filename]
    for part in parts:
        part.close()
    return fields, files


async def read_by_werkzeug(request: web.Request) -> tuple[list[Any], list[Any]]:
    _, options = multipart.parse_options_header(request.headers["Content-Type"])
    body = await request.read()
    _, form, files = FormDataParser().parse(
        io.BytesIO(body), "multipart/form-data", len(body), {"boundary": options["boundary"]}
    )
    found = []
    for name, file in files.items(multi=True):
        with file.stream as stream:
            found.append((name, file.filename, file.mimetype, stream.read()))
    return list(form.items(multi=True)), found


async def read_by_ourselves(request: web.Request) -> tuple[list[Any], list[Any]]:
    fields: list[Any] = []
    files: list[Any] = []
    async for part in MultipartReader(request.headers, request.content):
        if part.filename is None:
            fields.append((part.name, await part.text()))
        else:
            files.append((part.name, part.filename, part.content_type, await part.read()))
    return fields, files


def check(got: tuple[list[Any], list[Any]]) -> None:
    fields, files = got
    assert [(unquoted(name), value) for name, value in fields] == FIELDS
    assert [(name, unquoted(filename), content_type, data) for name, filename, content_type, data in files] == FILES


@pytest.mark.parametrize(
    "read", [read_by_aiohttp, read_by_multipart, read_by_werkzeug, read_by_ourselves], ids=lambda read: read.__name__
)
async def test_a_form(serve, post, file: io.BufferedReader, read) -> None:
    got: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        got.append(await read(request))
        return web.Response()

    assert await post(await serve(handler), form_of(file)()) == 200
    check(got[0])


async def test_a_form_without_files(serve, session: aiohttp.ClientSession, httpx_client: httpx.AsyncClient) -> None:
    got: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        got.append((request.content_type, list((await request.post()).items())))
        return web.Response()

    url = await serve(handler)
    pairs = [("name", "Ünal & Söhne"), ("same", "1"), ("same", "2")]
    async with session.post(url, data=FormData(pairs)()):
        pass
    body = FormData(pairs)()
    await httpx_client.post(url, content=await body.as_bytes(), headers={"Content-Type": body.content_type})
    assert got == [("application/x-www-form-urlencoded", pairs)] * 2
    multipart_body = FormData(pairs, default_to_multipart=True)()
    async with session.post(url, data=multipart_body):
        pass
    await httpx_client.post(url, content=multipart_body, headers=multipart_body.http_headers())
    assert got[2:] == [("multipart/form-data", pairs)] * 2


@contextlib.asynccontextmanager
async def starlette(app: Callable[..., Awaitable[None]], sock: socket.socket) -> AsyncIterator[str]:
    """Run a Starlette application under uvicorn."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off", ws="none", http="h11"))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:  # noqa: ASYNC110  (no event tells of it)
        await asyncio.sleep(0.01)
    host, port = sock.getsockname()
    yield f"http://{host}:{port}/"
    server.should_exit = True
    await task


async def test_starlette_reads_a_form(post, file: io.BufferedReader, listening_socket: socket.socket) -> None:
    got: list[Any] = []

    async def app(scope, receive, send) -> None:
        async with StarletteRequest(scope, receive).form() as form:
            fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
            files = [
                (name, value.filename, value.content_type, await value.read())
                for name, value in form.multi_items()
                if not isinstance(value, str)
            ]
            got.append((fields, files))
        await StarletteResponse()(scope, receive, send)

    async with starlette(app, listening_socket) as url:
        assert await post(url, form_of(file)()) == 200
    check(got[0])


async def test_starlette_answers_with_a_writer(
    session: aiohttp.ClientSession, file: io.BufferedReader, listening_socket: socket.socket
) -> None:
    async def app(scope, receive, send) -> None:
        writer = message(file, known_size=scope["path"] == "/known")
        await StreamingResponse(writer, headers=writer.http_headers())(scope, receive, send)

    async with starlette(app, listening_socket) as url:
        async with session.get(url) as response:
            assert response.headers.getall("Content-Type")[0].startswith("multipart/mixed; boundary=")
            assert "Content-Length" not in response.headers
            found = await flat(MultipartReader.from_response(response), BodyPartReader)
            assert found == BODIES + ENCODED + NESTED
        async with session.get(f"{url}known") as response:
            assert len(response.headers.getall("Content-Length")) == 1
            assert await flat(MultipartReader.from_response(response), BodyPartReader) == BODIES


async def test_werkzeug_serves(post, file: io.BufferedReader) -> None:
    """werkzeug's own server, in a thread, reads a chunked body and one of a known length."""
    got: list[Any] = []

    @werkzeug.Request.application
    def app(request: werkzeug.Request) -> werkzeug.Response:
        files = [(name, item.filename, item.mimetype, item.read()) for name, item in request.files.items(multi=True)]
        got.append((list(request.form.items(multi=True)), files))
        return werkzeug.Response()

    class Quiet(werkzeug.serving.WSGIRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002  (werkzeug's)
            pass

    server = werkzeug.serving.make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert await post(f"http://127.0.0.1:{server.server_port}/", form_of(file)()) == 200
        small = FormData({"a": "b"}, default_to_multipart=True)()
        assert small.size is not None
        assert await post(f"http://127.0.0.1:{server.server_port}/", small) == 200
    finally:
        await asyncio.to_thread(server.shutdown)
        thread.join()
        server.server_close()
    check(got[0])
    assert got[1] == ([("a", "b")], [])


# Answers


async def test_aiohttp_answers_with_a_writer(
    serve, session: aiohttp.ClientSession, httpx_client: httpx.AsyncClient, file: io.BufferedReader
) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=message(file, known_size="known" in request.query))

    url = await serve(handler)
    async with session.get(url) as response:
        assert response.headers.getall("Content-Type")[0].startswith("multipart/mixed; boundary=")
        found = await flat(MultipartReader.from_response(response), BodyPartReader)
        assert found == BODIES + ENCODED + NESTED
    async with httpx_client.stream("GET", f"{url}?known=1") as streamed:
        assert "Content-Length" in streamed.headers
        assert await flat(MultipartReader.from_response(streamed), BodyPartReader) == BODIES


# Sizes


async def test_a_server_that_wants_a_length(serve, post, file: io.BufferedReader) -> None:
    bodies: list[bytes] = []

    async def handler(request: web.Request) -> web.Response:
        if request.content_length is None:
            await request.read()
            return web.Response(status=411)
        bodies.append(await request.read())
        assert len(bodies[-1]) == request.content_length
        return web.Response()

    url = await serve(handler)
    writer = message(file, known_size=True)
    assert await post(url, writer) == 200
    assert await by_ourselves(writer.content_type, bodies[0]) == BODIES
    assert await post(url, message(file)) == 411


@pytest.mark.parametrize("declared", [10, 2])
async def test_a_source_that_is_not_what_was_declared(serve, post, declared: int) -> None:
    mailbox = Mailbox()
    writer = MultipartWriter()
    writer.append(trickle(b"12345", 2), size=declared)
    with pytest.raises(Exception) as caught:  # noqa: PT011  (each client wraps it in its own)
        await post(await serve(mailbox.take), writer)
    assert f"{declared} bytes" in str(state_error(caught.value))
    assert mailbox.bodies == []


def state_error(error: BaseException | None) -> StateError:
    """The error as it is, or as the cause of a client's."""
    while error is not None:
        if isinstance(error, StateError):
            return error
        error = error.__cause__ or error.__context__
    raise AssertionError("no StateError among the causes")


# Again


def sources(file: io.BufferedReader) -> dict[str, Callable[[], Any]]:
    class Again:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return trickle(ALL_BYTES)

    return {"bytes": lambda: ALL_BYTES, "file": lambda: file, "iterable": Again}


@pytest.fixture
def redirecting(serve) -> Callable[[], Awaitable[tuple[str, Mailbox]]]:
    """A server that answers 307 to the first request, and keeps each body."""

    async def start() -> tuple[str, Mailbox]:
        mailbox = Mailbox()

        async def handler(request: web.Request) -> web.Response:
            response = await mailbox.take(request)
            if "again" in request.query:
                return response
            return web.Response(status=307, headers={"Location": "/?again=1"})

        return await serve(handler), mailbox

    return start


@pytest.mark.parametrize("kind", ["bytes", "file", "iterable"])
async def test_redirect_sends_the_same_bytes(redirecting, post, file: io.BufferedReader, kind: str) -> None:
    url, mailbox = await redirecting()
    writer = MultipartWriter()
    writer.append("before")
    writer.append(sources(file)[kind](), {"Content-Encoding": "gzip"})
    writer.append("after")
    assert await post(url, writer) == 200
    first, second = mailbox.bodies
    assert first == second
    assert len(await by_ourselves(mailbox.content_type, second)) == 3


async def test_redirect_of_what_can_be_sent_once(redirecting, post) -> None:
    url, mailbox = await redirecting()
    writer = MultipartWriter()
    writer.append("before")
    writer.append(trickle(ALL_BYTES))
    with pytest.raises(Exception) as caught:  # noqa: PT011  (each client wraps it in its own)
        await post(url, writer)
    refused(caught.value)
    assert len(mailbox.bodies) == 1, "the second request got a body"


def refused(error: BaseException) -> None:
    """Our own refusal, or aiohttp's, which asks ``consumed`` first."""
    if not (isinstance(error, aiohttp.ClientPayloadError) and "consumed" in str(error)):
        assert "only once" in str(state_error(error))


@contextlib.asynccontextmanager
async def failing_first(bodies: list[bytes]) -> AsyncIterator[str]:
    """A server that resets its first connection in the middle of the body, and answers on the others."""
    numbers = itertools.count()

    async def connected(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            head = await source.readuntil(b"\r\n\r\n")
            if next(numbers) == 0:
                await source.read(1000)
                sink.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sink.transport.abort()
                return
            fields = dict(line.lower().split(b": ", 1) for line in head.strip().split(b"\r\n")[1:])
            if b"content-length" in fields:
                bodies.append(await source.readexactly(int(fields[b"content-length"])))
            else:
                body = bytearray()
                while size := int(await source.readline(), 16):
                    body += (await source.readexactly(size + 2))[:-2]
                await source.readline()
                bodies.append(bytes(body))
            sink.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await sink.drain()
        except asyncio.IncompleteReadError:
            pass  # refused by the client, before the first byte or later
        finally:
            sink.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}/"


@pytest.mark.parametrize("kind", ["bytes", "file", "iterable"])
async def test_after_a_failed_connection(post, file: io.BufferedReader, kind: str) -> None:
    bodies: list[bytes] = []
    writer = MultipartWriter()
    writer.append("before")
    for _ in range(20):  # more than the buffers of the system take
        writer.append(ALL_BYTES)
    writer.append(sources(file)[kind]())
    async with asyncio.timeout(20), failing_first(bodies) as url:
        with pytest.raises((aiohttp.ClientError, httpx.HTTPError, OSError)):
            await post(url, writer)
        assert await post(url, writer) == 200
    assert bodies == [await writer.as_bytes()]


async def test_after_a_failed_connection_what_can_be_sent_once_is_refused(post) -> None:
    bodies: list[bytes] = []
    writer = MultipartWriter()
    writer.append(trickle(ALL_BYTES * 20))
    async with asyncio.timeout(20), failing_first(bodies) as url:
        with pytest.raises((aiohttp.ClientError, httpx.HTTPError, OSError)):
            await post(url, writer)
        with pytest.raises(Exception) as caught:  # noqa: PT011  (each client wraps it in its own)
            await post(url, writer)
    refused(caught.value)
    assert bodies == []


async def test_nothing_listens(post, file: io.BufferedReader, serve, listening_socket: socket.socket) -> None:
    """A connection that is never made takes nothing of a source: it can be sent elsewhere."""
    mailbox = Mailbox()
    listening_socket.close()
    writer = MultipartWriter()
    writer.append(trickle(ALL_BYTES))
    with pytest.raises((aiohttp.ClientError, httpx.HTTPError)):
        await post("http://127.0.0.1:1/", writer)
    assert await post(await serve(mailbox.take), writer) == 200
    assert await by_ourselves(mailbox.content_type, mailbox.bodies[0]) == [ALL_BYTES]


# On and on


async def test_an_async_file(serve, post, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(ALL_BYTES)
    mailbox = Mailbox()
    async with await anyio.open_file(path, "rb") as opened:
        writer = MultipartWriter()
        part = writer.append(opened, size=len(ALL_BYTES))
        assert (part.filename, part.content_type) == ("a.png", "image/png")
        assert await post(await serve(mailbox.take), writer) == 200
    assert "Content-Length" in mailbox.headers[0]
    assert await by_ourselves(mailbox.content_type, mailbox.bodies[0]) == [ALL_BYTES]


async def test_a_received_part_is_sent_on(serve, session: aiohttp.ClientSession) -> None:
    """Through two servers, as it arrives: the second one has the beginning before the first one has the end."""
    arrived = asyncio.Event()
    got: list[Any] = []

    async def second(request: web.Request) -> web.Response:
        part = await MultipartReader(request.headers, request.content).next()
        data = bytearray(await part.read_chunk())
        arrived.set()
        async for chunk in part:
            data += chunk
        got.append((part.filename, part.content_type, bytes(data)))
        return web.Response()

    second_url = await serve(second)

    async def first(request: web.Request) -> web.Response:
        async for part in MultipartReader(request.headers, request.content):
            with MultipartWriter("mixed") as writer:
                writer.append(part)
                async with session.post(second_url, data=writer) as response:
                    assert response.status == 200
        return web.Response()

    async def recording() -> AsyncIterator[bytes]:
        yield ALL_BYTES
        await arrived.wait()
        for _ in range(20):
            yield ALL_BYTES

    with MultipartWriter("mixed") as writer:
        part = writer.append(recording(), {"Content-Type": "audio/x-test"})
        part.set_content_disposition("attachment", filename="Lärm.wav")
        writer.append(b"gzip " * 50_000, {"Content-Encoding": "gzip"})
    async with asyncio.timeout(20), session.post(await serve(first), data=writer) as response:
        assert response.status == 200
    assert got == [
        ("Lärm.wav", "audio/x-test", ALL_BYTES * 21),
        (None, "application/octet-stream", b"gzip " * 50_000),
    ]


async def test_progress_over_a_real_connection(serve, post, file: io.BufferedReader) -> None:
    mailbox = Mailbox()
    seen: list[tuple[int, int | None]] = []
    writer = message(file, known_size=True)
    writer.on_progress = lambda sent, total: seen.append((sent, total))
    assert await post(await serve(mailbox.take), writer) == 200
    size = len(mailbox.bodies[0])
    assert seen[-1] == (size, size)
    assert [sent for sent, _ in seen] == sorted({sent for sent, _ in seen})


async def test_a_client_that_stops_waiting(serve, post, tmp_path: Path) -> None:
    """Cancelled in the middle, the source is closed, and the file can be sent again."""
    closed = asyncio.Event()
    release = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield ALL_BYTES
                await asyncio.sleep(0)
        finally:
            closed.set()

    async def handler(request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    writer = MultipartWriter()
    writer.append(endless())
    task = asyncio.create_task(post(await serve(handler), writer))
    await asyncio.sleep(0.2)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        await closed.wait()
    release.set()
