"""What the clients without asyncio send, on the raw socket and to an aiohttp server: one of the two ways to say how
long a body is, and never both (RFC 9112 section 6.1)."""

from __future__ import annotations

import asyncio
import http.client
import io
import os
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3  # type: ignore[import-untyped,unused-ignore]
import httpx
import pytest
import requests
import urllib3
from aiohttp import web

from aiomultipart import MultipartReader, MultipartWriter


class Listener:
    """Takes one request and keeps it as it came."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.head = b""
        self.body = b""
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self.server.accept()
        with connection, connection.makefile("rb") as file:
            while (line := file.readline()) not in (b"\r\n", b""):
                self.head += line
            fields = self.fields()
            if "content-length" in fields:
                self.body = file.read(int(fields["content-length"][0]))
            else:
                while size := int(file.readline(), 16):
                    self.body += file.read(size)
                    file.readline()
                file.readline()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    def fields(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for line in self.head.decode().split("\r\n")[1:-1]:
            name, value = line.split(":", 1)
            found.setdefault(name.lower(), []).append(value.strip())
        return found

    def close(self) -> None:
        self._thread.join(20)
        self.server.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


def _requests(url: str, body: Any, headers: dict[str, str]) -> None:
    requests.post(url, data=body, headers=headers, timeout=20).close()


def _urllib3(url: str, body: Any, headers: dict[str, str]) -> None:
    with urllib3.PoolManager() as pool:
        pool.request("POST", url, body=body, headers=headers).close()


def _http_client(url: str, body: Any, headers: dict[str, str]) -> None:
    host, _, path = url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("POST", f"/{path}", body, headers)
    connection.getresponse().read()
    connection.close()


def _httpx(url: str, body: Any, headers: dict[str, str]) -> None:
    with httpx.Client(timeout=20, trust_env=False) as client:
        client.post(url, content=body, headers=headers)


def _urllib(url: str, body: Any, headers: dict[str, str]) -> None:
    request = urllib.request.Request(url, data=body, headers=headers, method="POST")
    urllib.request.urlopen(request, timeout=20).close()


CLIENTS: dict[str, Callable[[str, Any, dict[str, str]], None]] = {
    "requests": _requests,
    "urllib3": _urllib3,
    "http.client": _http_client,
    "httpx": _httpx,
    "urllib": _urllib,
}
WAYS: dict[str, Callable[[MultipartWriter], Any]] = {
    "serialize": MultipartWriter.serialize,
    "to_bytes": MultipartWriter.to_bytes,
    "open": MultipartWriter.open,
}


def _message(path: Path, *, known: bool) -> MultipartWriter:
    writer = MultipartWriter("form-data", boundary="b")
    writer.append("text").set_content_disposition("form-data", name="a")
    if known:
        writer.append(path).set_content_disposition("form-data", name="f", filename="f.bin")
        return writer
    outer = MultipartWriter(boundary="outer")
    outer.append(writer, {"Content-Encoding": "gzip"})
    outer.append(path, {"Content-Encoding": "deflate"})
    return outer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(700_000))
    return path


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("known", [True, False])
def test_one_of_the_two(client: str, way: str, known: bool, path: Path, listener: Listener) -> None:
    writer = _message(path, known=known)
    CLIENTS[client](f"http://127.0.0.1:{listener.port}/", WAYS[way](writer), writer.http_headers())
    listener.close()
    fields = listener.fields()
    length, encoding = fields.get("content-length", []), fields.get("transfer-encoding", [])
    assert len(length) + len(encoding) == 1
    if known or way == "to_bytes":
        assert length == [str(len(writer.to_bytes()))]
    else:
        assert encoding == ["chunked"]
    assert fields["content-type"] == [writer.content_type]
    assert listener.body == writer.to_bytes()


@pytest.mark.parametrize("way", ["serialize", "open"])
@pytest.mark.parametrize("known", [True, False])
def test_requests_without_the_length(way: str, known: bool, path: Path, listener: Listener) -> None:
    """It asks the body."""
    writer = _message(path, known=known)
    _requests(f"http://127.0.0.1:{listener.port}/", WAYS[way](writer), {"Content-Type": writer.content_type})
    listener.close()
    fields = listener.fields()
    assert ("content-length" in fields, "transfer-encoding" in fields) == (known, not known)
    assert listener.body == writer.to_bytes()


def test_nothing_goes_out_under_a_length_after_a_redirect(path: Path) -> None:
    """The body has been read to its end: to send it again is an error, and not a request without a body."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]

    def redirect() -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as file:
            size = 0
            while (line := file.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            file.read(size)
            connection.sendall(
                b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
        try:
            server.settimeout(2)
            server.accept()[0].close()
        except TimeoutError:
            pass

    thread = threading.Thread(target=redirect)
    thread.start()
    writer = _message(path, known=True)
    try:
        with pytest.raises((RuntimeError, requests.exceptions.RequestException)):
            _requests(f"http://127.0.0.1:{port}/", writer.serialize(), writer.http_headers())
    finally:
        thread.join(20)
        server.close()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("way", WAYS)
async def test_to_an_aiohttp_server(client: str, way: str, path: Path) -> None:
    received: list[bytes] = []

    async def handle(request: web.Request) -> web.Response:
        reader = MultipartReader(request.headers, request.content)
        received.extend([await part.read() async for part in reader])  # type: ignore[call-arg, misc]
        return web.Response()

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        writer = _message(path, known=True)
        await asyncio.to_thread(CLIENTS[client], f"http://127.0.0.1:{port}/", WAYS[way](writer), writer.http_headers())
    finally:
        await runner.cleanup()
    assert received == [b"text", path.read_bytes()]


def test_boto3(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto import mock_aws  # type: ignore[import-untyped,unused-ignore]

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    writer = _message(path, known=True)
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket="bucket")
        with writer.open() as file:
            s3.upload_fileobj(file, "bucket", "key")
        stored = io.BytesIO()
        s3.download_fileobj("bucket", "key", stored)
    assert stored.getvalue() == writer.to_bytes()
