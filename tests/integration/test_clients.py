"""Responses of real clients, and uploads by real clients to real servers, over loopback sockets."""

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import aiohttp
import httpx
import pytest
from aiohttp import web
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

import aiomultipart
from tests.support.serving import uvicorn_server

TIMEOUT = 20
HEADERS = {"Content-Type": "multipart/mixed; boundary=b"}
LARGE = bytes(range(256)) * 4096  # 1 MiB
PARTS = [
    ("first.txt", b"one\r\n--b\xff two\r\n--bb\r\n"),
    ("empty", b""),
    ("sized", b"\r\n--bb--\r\nto the end\0"),
    ("last", b"--"),
]
MESSAGE = (
    b'preamble\r\n--b\r\nContent-Disposition: attachment; filename="first.txt"\r\n\r\n%b'
    b'\r\n--b \r\nContent-Disposition: attachment; filename="empty"\r\n\r\n%b'
    b'\r\n--b\r\nContent-Length: 21\r\nContent-Disposition: attachment; filename="sized"\r\n\r\n%b'
    b'\r\n--b\r\ncontent-disposition: attachment; filename="last"\r\n\r\n%b\r\n--b--\r\nepilogue'
) % tuple(body for _, body in PARTS)


def host_and_port(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port


async def read_all(reader) -> list[tuple[str | None, bytes]]:
    return [(part.filename, await part.read()) async for part in reader]


# Responses


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def raw_server(script: Script) -> AsyncIterator[str]:
    """A server that sends what ``script`` says, and nothing else; its URL."""
    connections: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):  # clients leave when they have what they want
            try:
                await script(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield "http://{}:{}/".format(*server.sockets[0].getsockname())
        await asyncio.gather(*connections)


def http_response(*pieces: bytes, head: bytes = b"Transfer-Encoding: chunked", cut: bool = False) -> Script:
    """Send a response, one piece to a write and (chunked) one to a chunk; cut: break off without a last chunk."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=b\r\n%b\r\n\r\n" % head)
        chunked = b"chunked" in head
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            await writer.drain()
            await asyncio.sleep(0)
        if chunked and not cut:
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    return script


def odd_places(message: bytes) -> dict[str, list[bytes]]:
    """Cuts that go through delimiters, line ends and headers."""
    delimiters = [i + 1 for i in range(len(message)) if message.startswith(b"\r\n--b", i)]
    dashes = [i + 3 for i in delimiters]
    return {
        "single bytes": [message[i : i + 1] for i in range(len(message))],
        "in each CRLF": split(message, delimiters),
        "in each delimiter": split(message, dashes),
        "primes": split(message, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79]),
    }


def split(message: bytes, places: list[int]) -> list[bytes]:
    return [message[a:b] for a, b in itertools.pairwise([0, *places, len(message)])]


@pytest.mark.parametrize("where", odd_places(MESSAGE))
@pytest.mark.parametrize("client", ["aiohttp", "httpx"])
async def test_response_in_chunks(client: str, where: str, session, httpx_client) -> None:
    pieces = odd_places(MESSAGE)[where]
    async with asyncio.timeout(TIMEOUT), raw_server(http_response(*pieces)) as url:
        assert await read_with(client, url, session, httpx_client) == PARTS


async def read_with(client: str, url: str, session, httpx_client) -> list[tuple[str | None, bytes]]:
    if client == "aiohttp":
        async with session.get(url) as response:
            return await read_all(aiomultipart.MultipartReader.from_response(response))
    async with httpx_client.stream("GET", url) as response:
        return await read_all(aiomultipart.MultipartReader.from_response(response))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("client", ["aiohttp", "httpx"])
async def test_the_client_undoes_the_coding_of_the_message(
    client: str, coding: str, serve, session, httpx_client
) -> None:
    async def handler(request: web.Request) -> web.Response:
        response = web.Response(body=MESSAGE, headers=HEADERS)
        response.enable_compression(web.ContentCoding(coding))
        return response

    async with asyncio.timeout(TIMEOUT):
        assert await read_with(client, await serve(handler), session, httpx_client) == PARTS


@pytest.mark.parametrize("how", ["aiter_bytes", "aiter_raw"])
async def test_httpx_iterators_as_content(how: str, httpx_client) -> None:
    pieces = odd_places(MESSAGE)["in each delimiter"]
    async with (
        asyncio.timeout(TIMEOUT),
        raw_server(http_response(*pieces)) as url,
        httpx_client.stream("GET", url) as response,
    ):
        reader = aiomultipart.MultipartReader(response.headers, getattr(response, how)())
        assert await read_all(reader) == PARTS
        await reader.release()


@pytest.mark.parametrize("client", ["aiohttp", "httpx"])
@pytest.mark.parametrize("ending", ["with a length", "chunked", "chunked, the end late"])
async def test_a_connection_is_used_again(client: str, ending: str, serve, session, httpx_client) -> None:
    """For that a client has to see the end of the response, which comes after that of the message."""
    peers = []

    async def handler(request: web.Request) -> web.StreamResponse:
        peers.append(request.transport.get_extra_info("peername"))
        if ending == "with a length":
            return web.Response(body=MESSAGE, headers=HEADERS)
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        await response.write(MESSAGE)
        if ending == "chunked, the end late":
            # Long enough for the client to have read the message, far below the moment that it gives the end.
            await asyncio.sleep(0.01)
        return response

    url = await serve(handler)
    async with asyncio.timeout(TIMEOUT):
        for _ in range(3):
            assert await read_with(client, url, session, httpx_client) == PARTS
    assert len(peers) == 3
    assert len(set(peers)) == 1


async def test_asyncio_streams() -> None:
    """A StreamReader at both ends of a connection that is no HTTP."""
    arrived: list[list[tuple[str | None, bytes]]] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        multipart = aiomultipart.MultipartReader(HEADERS, reader)
        arrived.append(await read_all(multipart))
        for piece in odd_places(MESSAGE)["single bytes"]:
            writer.write(piece)
            await asyncio.sleep(0)
        writer.write_eof()

    async with asyncio.timeout(TIMEOUT), raw_server(script) as url:
        reader, writer = await asyncio.open_connection(*host_and_port(url))
        for piece in odd_places(MESSAGE)["primes"]:
            writer.write(piece)
            await writer.drain()
        multipart = aiomultipart.MultipartReader(HEADERS, reader)
        arrived.append(await read_all(multipart))
        await multipart.release()
        assert reader.at_eof()
        writer.close()
        await writer.wait_closed()
    assert arrived == [PARTS, PARTS]


# Connections that break

CUT = b"--b\r\n\r\nhere is the beginning of a body"


@pytest.mark.parametrize(
    "head", [b"Transfer-Encoding: chunked", b"Content-Length: 1000"], ids=["chunked", "Content-Length"]
)
@pytest.mark.parametrize("client", ["aiohttp", "httpx"])
@pytest.mark.parametrize("how", ["read", "next", "iter_chunks", "release"])
async def test_the_clients_error_comes_through(client: str, head: bytes, how: str, session, httpx_client) -> None:
    async with asyncio.timeout(TIMEOUT), raw_server(http_response(CUT, head=head, cut=True)) as url:
        if client == "aiohttp":
            async with session.get(url) as response:
                with pytest.raises(aiohttp.ClientPayloadError):
                    await read_the_cut_one(aiomultipart.MultipartReader.from_response(response), how)
        else:
            async with httpx_client.stream("GET", url) as response:
                with pytest.raises(httpx.RemoteProtocolError):
                    await read_the_cut_one(aiomultipart.MultipartReader.from_response(response), how)


@pytest.mark.parametrize("client", ["aiohttp", "httpx"])
@pytest.mark.parametrize("how", ["read", "next", "iter_chunks", "release"])
async def test_an_end_that_http_cannot_see_is_an_incomplete_body(client: str, how: str, session, httpx_client) -> None:
    script = http_response(CUT, head=b"Connection: close")
    async with asyncio.timeout(TIMEOUT), raw_server(script) as url:
        if client == "aiohttp":
            async with session.get(url) as response:
                with pytest.raises(aiomultipart.IncompleteBody):
                    await read_the_cut_one(aiomultipart.MultipartReader.from_response(response), how)
        else:
            async with httpx_client.stream("GET", url) as response:
                with pytest.raises(aiomultipart.IncompleteBody):
                    await read_the_cut_one(aiomultipart.MultipartReader.from_response(response), how)


async def read_the_cut_one(reader, how: str) -> None:
    part = await reader.next()
    if how == "read":
        await part.read()
    elif how == "iter_chunks":
        async for _ in part.iter_chunks():
            pass
    elif how == "release":
        await part.release()
    else:
        await reader.next()


@pytest.mark.parametrize("abort", [False, True], ids=["end of file", "reset"])
async def test_a_cut_asyncio_stream(abort: bool) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CUT)
        await writer.drain()
        await reader.readexactly(1)  # the client has the beginning
        if abort:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()

    async with asyncio.timeout(TIMEOUT), raw_server(script) as url:
        reader, writer = await asyncio.open_connection(*host_and_port(url))
        multipart = aiomultipart.MultipartReader(HEADERS, reader)
        part = await multipart.next()
        assert await part.read_chunk(4) == b"here"
        writer.write(b"!")
        with pytest.raises(ConnectionResetError if abort else aiomultipart.IncompleteBody):
            await part.read()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


# A live stream


@pytest.mark.parametrize("client", ["aiohttp", "httpx", "asyncio"])
async def test_each_frame_is_readable_before_the_next_is_sent(client: str, serve, session, httpx_client) -> None:
    go_on = asyncio.Event()
    sent = 0
    leaving = False

    def frame(number: int) -> bytes:
        return b"\xff\xd8%d\r\n--\r\n\xff\xd9" % number * 20

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        headers = {"Content-Type": "multipart/x-mixed-replace; boundary=b"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        while not leaving:
            image = frame(sent)
            head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(image)
            await response.write(b"%b--b\r\n" % (b"\r\n" if sent else b"") + head + image)
            sent += 1
            await go_on.wait()
            go_on.clear()
        return response

    async def watch(reader) -> None:
        for number in range(5):
            part = await reader.next()
            assert part.headers["Content-Type"] == "image/jpeg"
            if number % 2:
                assert await part.read() == frame(number)
            else:
                assert b"".join([chunk async for chunk in part.iter_chunks(16)]) == frame(number)
            assert part.at_eof()
            assert sent == number + 1  # the server has sent nothing beyond this frame
            go_on.set()

    url = await serve(handler)
    async with asyncio.timeout(TIMEOUT):
        if client == "aiohttp":
            async with session.get(url) as response:
                await watch(aiomultipart.MultipartReader.from_response(response))
        elif client == "httpx":
            async with httpx_client.stream("GET", url) as response:
                await watch(aiomultipart.MultipartReader.from_response(response))
        else:
            reader, writer = await asyncio.open_connection(*host_and_port(url))
            writer.write(b"GET / HTTP/1.0\r\n\r\n")  # HTTP/1.0 has no chunks
            await reader.readuntil(b"\r\n\r\n")
            await watch(aiomultipart.MultipartReader({"Content-Type": "multipart/x-mixed-replace; boundary=b"}, reader))
            writer.close()
            await writer.wait_closed()
    leaving = True
    go_on.set()


# Uploads


class Received(NamedTuple):
    name: str | None
    filename: str | None
    content_type: str
    body: bytes


class UploadServer:
    """Where uploads go, and what came of them: parts, or an error."""

    def __init__(self) -> None:
        self.url = ""
        self.received: list[Received] = []
        self.error: BaseException | None = None
        self.begun = asyncio.Event()
        self.failed = asyncio.Event()

    async def receive(self, reader: aiomultipart.MultipartReader) -> None:
        self.begun.set()
        try:
            async for part in reader:
                if part.filename is None:
                    body = await part.read(decode=True)
                else:
                    body = b"".join([chunk async for chunk in part.iter_chunks(1000)])
                self.received.append(Received(part.name, part.filename, part.content_type, body))
            await reader.release()
        except Exception as exc:
            self.error = exc
            self.failed.set()
            raise


@pytest.fixture(params=["aiohttp", "starlette"])
async def uploads(request: pytest.FixtureRequest, serve) -> AsyncIterator[UploadServer]:
    server = UploadServer()
    if request.param == "aiohttp":

        async def handle(request: web.Request) -> web.Response:
            await server.receive(aiomultipart.MultipartReader(request.headers, request.content))
            return web.Response(text="read")

        server.url = await serve(handle)
        yield server
        return

    async def endpoint(request: Request) -> PlainTextResponse:
        await server.receive(aiomultipart.MultipartReader(request.headers, request.stream()))
        return PlainTextResponse("read")

    app = Starlette(routes=[Route("/", endpoint, methods=["POST"])])
    async with uvicorn_server(app) as server.url:
        yield server


async def run_curl(curl: str, *args: str) -> str:
    process = await asyncio.create_subprocess_exec(
        curl,
        "--disable",  # no ~/.curlrc
        "--silent",
        "--show-error",
        "--fail",
        "--noproxy",
        "*",
        "--max-time",
        str(TIMEOUT),
        *args,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


FIELD = 'naïve "field"; name=x'
NAMES = [
    "plain.txt",
    'say "hi".txt',
    "naïve café ☕.txt",
    "semi;colon=comma,.txt",
    "100%20.txt",
    "it's.txt",
    r"C:\dir\file",
    r"a\;b \(1).txt",
    "trailing\\",
]


async def test_curl(curl: str, uploads: UploadServer, tmp_path: Path) -> None:
    small, large = tmp_path / "small.bin", tmp_path / "large.bin"
    small.write_bytes(b"\r\n--\0\xff")
    large.write_bytes(LARGE)
    answer = await run_curl(
        curl,
        *("-F", "title=a title, with a comma"),
        *("-F", 'meta={"a": 1};type=application/json'),
        *("-F", f"files=@{small}"),
        *("-F", f"files=@{large};type=image/x-large"),
        *("-F", f"note=<{small};type=text/x-note"),
        *("-F", "empty="),
        uploads.url,
    )
    assert answer == "read"
    assert uploads.received == [
        Received("title", None, "text/plain", b"a title, with a comma"),
        Received("meta", None, "application/json", b'{"a": 1}'),
        Received("files", "small.bin", "application/octet-stream", small.read_bytes()),
        Received("files", "large.bin", "image/x-large", LARGE),
        Received("note", None, "text/x-note", small.read_bytes()),
        Received("empty", None, "text/plain", b""),
    ]


@pytest.mark.parametrize("escape", [(), ("--form-escape",)], ids=["percent", "backslash"])
async def test_names_in_curl(curl: str, uploads: UploadServer, escape: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    # With --form-escape curl doubles a backslash, which browsers do not.
    args = []
    for name in NAMES:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        field = FIELD.replace("=", ":")  # curl's own separator
        args += ["-F", f'{field}=@{path};type=text/plain;filename="{quoted}"']
    await run_curl(curl, *escape, *args, uploads.url)
    assert uploads.received == [Received(field, name, "text/plain", b"content") for name in NAMES]


async def test_httpx_files(uploads: UploadServer, httpx_client: httpx.AsyncClient) -> None:
    # httpx doubles a backslash.
    files = [("files", (name, name.encode() * 3, "text/plain")) for name in NAMES]
    files.append(("large", ("large.bin", LARGE, "application/x-large")))
    answer = await httpx_client.post(uploads.url, data={"title": "ein Titel ü", FIELD: "1"}, files=files)
    assert answer.text == "read"
    assert uploads.received == [
        Received("title", None, "text/plain", "ein Titel ü".encode()),
        Received(FIELD, None, "text/plain", b"1"),
        *(Received("files", name, "text/plain", name.encode() * 3) for name in NAMES),
        Received("large", "large.bin", "application/x-large", LARGE),
    ]


@pytest.mark.parametrize("quote_fields", [True, False])
async def test_aiohttp_form_data(uploads: UploadServer, session: aiohttp.ClientSession, quote_fields: bool) -> None:
    # aiohttp doubles a backslash where it does not percent-encode, and escapes spaces.
    form = aiohttp.FormData(quote_fields=quote_fields)
    form.add_field("title", "ein Titel ü")
    # aiohttp percent-encodes file names only, and cannot send a field's name that is not ASCII when it quotes.
    field = 'a "field"; name=x' if quote_fields else FIELD
    form.add_field(field, json.dumps({"a": 1}), content_type="application/json")
    for name in NAMES:
        form.add_field("files", name.encode() * 3, filename=name, content_type="text/x-file")
    form.add_field("large", LARGE, filename="large.bin", content_type="application/x-large")
    async with session.post(uploads.url, data=form) as answer:
        assert await answer.text() == "read"

    def arrives_as(name: str) -> str:
        # What is percent-encoded looks like a name with percent signs in it; only %22 has but one meaning in forms.
        return quote(name, safe="").replace("%22", '"') if quote_fields else name

    assert uploads.received == [
        Received("title", None, "text/plain", "ein Titel ü".encode()),
        Received(field, None, "application/json", b'{"a": 1}'),
        *(Received("files", arrives_as(name), "text/x-file", name.encode() * 3) for name in NAMES),
        Received("large", "large.bin", "application/x-large", LARGE),
    ]


async def test_an_upload_in_pieces(uploads: UploadServer, httpx_client: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in odd_places(MESSAGE)["single bytes"]:
            yield piece
            await asyncio.sleep(0)

    async with asyncio.timeout(TIMEOUT):
        answer = await httpx_client.post(uploads.url, content=pieces(), headers=HEADERS)
    assert answer.text == "read"
    assert [(part.filename, part.body) for part in uploads.received] == PARTS


async def test_an_upload_that_breaks_off(uploads: UploadServer) -> None:
    """The server's own error comes through; nothing hangs."""
    async with asyncio.timeout(TIMEOUT):
        _, writer = await asyncio.open_connection(*host_and_port(uploads.url))
        writer.write(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nContent-Type: %b\r\n\r\n"
            % (HEADERS["Content-Type"].encode())
        )
        writer.write(CUT)
        await writer.drain()
        await uploads.begun.wait()
        writer.close()
        await writer.wait_closed()
        await uploads.failed.wait()
    assert isinstance(uploads.error, (ConnectionError, ClientDisconnect))
    assert uploads.received == []


async def test_an_upload_without_its_end(uploads: UploadServer, httpx_client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(TIMEOUT):
        answer = await httpx_client.post(uploads.url, content=CUT, headers=HEADERS)
    assert answer.status_code == 500
    assert isinstance(uploads.error, aiomultipart.IncompleteBody)
