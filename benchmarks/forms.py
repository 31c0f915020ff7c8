"""Whole forms: a request in; every field's value and the file's name, content type and size out; then it is closed.

Each contestant is given the same body, in chunks of 64 KiB, as its server would give it: ASGI messages, aiohttp's
``StreamReader``, or a WSGI input. Nothing is sent anywhere; ``loopback`` has the rows with sockets. aiomultipart reads
the ASGI request, as Starlette does.
"""

from __future__ import annotations

import asyncio
import functools
import io
import random
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http_parser import RawRequestMessage
from multidict import CIMultiDict, CIMultiDictProxy
from starlette.datastructures import UploadFile
from starlette.requests import Request
from werkzeug.formparser import parse_form_data
from yarl import URL

from aiomultipart.integrations import asgi

from .harness import Scenario

BOUNDARY = "----WebKitFormBoundaryAbCdEf0123456789"
CHUNK = 64 * 1024
MB = 1_000_000
OURS, STARLETTE, AIOHTTP, WERKZEUG = "aiomultipart", "starlette", "aiohttp", "werkzeug"
FILENAME, CONTENT_TYPE = "holidays.jpg", "image/jpeg"
# What a browser sends
HEADERS = (
    ("Host", "localhost:8000"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.5"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Content-Type", f"multipart/form-data; boundary={BOUNDARY}"),
    ("Origin", "http://localhost:8000"),
    ("Connection", "keep-alive"),
    ("Referer", "http://localhost:8000/"),
    ("Cookie", "session=0123456789abcdef0123456789abcdef"),
)


class Form(NamedTuple):
    """A request, in the shapes in which servers have it before a form reader comes."""

    scope: dict[str, Any]
    messages: Sequence[dict[str, Any]]
    message: RawRequestMessage
    environ: dict[str, Any]

    async def receive(self, messages: Any) -> dict[str, Any]:
        """Like a server that has all of the body already."""
        return cast("dict[str, Any]", next(messages))


File: TypeAlias = tuple[str | None, str | None, int]
Entries: TypeAlias = list[tuple[str, str | File]]


async def _aiomultipart(form: Form) -> Entries:
    receive = functools.partial(form.receive, iter(form.messages))
    async with await asgi.read_form(form.scope, receive) as read:
        return [
            (
                name,
                value if isinstance(value, str) else (value.filename, value.content_type, value.size),
            )
            for name, value in read.items()
        ]


async def _starlette(form: Form) -> Entries:
    receive = functools.partial(form.receive, iter(form.messages))
    async with Request(form.scope, receive).form() as read:
        return [
            (
                name,
                (value.filename, value.content_type, value.size or 0) if isinstance(value, UploadFile) else value,
            )
            for name, value in read.multi_items()
        ]


async def _aiohttp(form: Form) -> Entries:
    loop = asyncio.get_running_loop()
    connection: Any = _Connection()
    content = StreamReader(connection, CHUNK, loop=loop)
    for message in form.messages:
        content.feed_data(message["body"])
    content.feed_eof()
    nobody: Any = None  # a form is read without the writer and the task
    request = web.BaseRequest(form.message, content, connection, nobody, nobody, loop, client_max_size=8 * MB)
    entries: Entries = []
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            size = value.file.seek(0, io.SEEK_END)
            entries.append((name, (value.filename, value.content_type, size)))
            value.file.close()
        else:
            assert isinstance(value, str)
            entries.append((name, value))
    return entries


class _Connection:
    """What a ``web.Request`` and its stream ask of their connection."""

    ssl_context = peername = sockname = None
    max_field_size, max_headers = 8190, 128  # a server's defaults

    def pause_reading(self) -> None:
        """All is here already."""

    def resume_reading(self, *, resume_parser: bool = True) -> None:
        """The same."""


async def _werkzeug(form: Form) -> Entries:
    body = b"".join([message["body"] for message in form.messages])
    _, fields, files = parse_form_data(form.environ | {"wsgi.input": io.BytesIO(body)})
    entries: Entries = list(fields.items(multi=True))
    for name, file in files.items(multi=True):
        size = file.stream.seek(0, io.SEEK_END)
        entries.append((name, (file.filename, file.content_type, size)))
        file.close()
    return entries


CONTESTANTS = {OURS: _aiomultipart, STARLETTE: _starlette, AIOHTTP: _aiohttp, WERKZEUG: _werkzeug}


def body(tag: str, fields: int, file: bytes | None = None) -> bytes:
    """The body of a form: fields whose names begin with ``tag``, and perhaps a file after them."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{tag}field{i}"\r\n\r\nvalue of field {i}\r\n'.encode()
        for i in range(fields)
    ]
    if file is not None:
        head = f'form-data; name="{tag}file"; filename="{FILENAME}"\r\nContent-Type: {CONTENT_TYPE}'
        parts.append(f"--{BOUNDARY}\r\nContent-Disposition: {head}\r\n\r\n".encode() + file + b"\r\n")
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])


def _form(data: bytes) -> Form:
    headers = [*HEADERS, ("Content-Length", str(len(data)))]
    raw = [(name.lower().encode(), value.encode()) for name, value in headers]
    starts = range(0, len(data), CHUNK)
    return Form(
        scope={"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": raw},
        messages=[
            {"type": "http.request", "body": data[start : start + CHUNK], "more_body": start + CHUNK < len(data)}
            for start in starts
        ],
        message=RawRequestMessage(
            "POST",
            "/",
            HttpVersion11,
            CIMultiDictProxy(CIMultiDict(headers)),
            tuple((name.encode(), value.encode()) for name, value in headers),
            False,
            None,
            False,
            False,
            URL("/"),
        ),
        environ={
            "REQUEST_METHOD": "POST",
            "CONTENT_TYPE": dict(HEADERS)["Content-Type"],
            "CONTENT_LENGTH": str(len(data)),
        },
    )


@functools.cache
def octets(size: int) -> bytes:
    """The bytes of a file."""
    return random.Random(3).randbytes(size)


def _cold(forms: int, file: bytes | None = None) -> Callable[[int], Sequence[Form]]:
    return lambda serial: [_form(body(f"{serial:05}-{i:03}-", 20, file)) for i in range(forms)]


def _warm(times: int, file: bytes | None = None) -> Callable[[int], Sequence[Form]]:
    form = functools.cache(lambda: _form(body("", 20, file)))
    return lambda _: [form()] * times


def _scenario(title: str, inputs: Callable[[int], Sequence[Form]], bar: float, *, size: int = 0) -> Scenario[Any]:
    return Scenario(
        group="Forms",
        title=f"read a form of 20 fields{title}",
        contestants=CONTESTANTS,
        inputs=inputs,
        waits=True,
        bars={STARLETTE: bar},
        items=1 if size else 20,
        octets=size,
    )


FILE = 5 * MB
SCENARIOS: list[Scenario[Any]] = [
    _scenario(", cold", _cold(40), 4.0),
    _scenario(", warm", _warm(40), 4.0),
    _scenario(" and a file of 5 MB, cold", _cold(1, octets(FILE)), 2.1, size=FILE),
    _scenario(" and a file of 5 MB, warm", _warm(1, octets(FILE)), 2.1, size=FILE),
]
