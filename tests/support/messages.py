"""The messages that are read here, what is in them, and every way to read a part."""

from __future__ import annotations

import base64
import gzip
import json
import random
import sys
import zlib
from collections.abc import Awaitable, Callable

import brotli

from aiomultipart import BodyPartReader
from aiomultipart.writing.sinks import closing
from tests.support.reading import build

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY = b"one\r\ntwo\n--bb\r\nthree"
TEXT = b"All work and no play makes Jack a dull boy.\r\n" * 3
# Some twenty hops to a thread
BIG = random.Random(7).randbytes(1000) * 5000

GZIP = b"Content-Encoding: gzip"
BASE64 = b"Content-Transfer-Encoding: base64"
NESTED = b"Content-Type: multipart/mixed; boundary=bb"

CODED: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "plain": (b"A: 1", bytes),
    "base64": (BASE64, lambda data: base64.encodebytes(data).replace(b"\n", b"\r\n")),
    "gzip": (GZIP, lambda data: gzip.compress(data, mtime=0)),
    "deflate": (b"Content-Encoding: deflate", zlib.compress),
    "br": (b"Content-Encoding: br", brotli.compress),
    "zstd": (b"Content-Encoding: zstd", zstd.compress),
    "gzip in base64": (GZIP + b"\r\n" + BASE64, lambda data: base64.b64encode(gzip.compress(data, mtime=0))),
}


def coded(coding: str, data: bytes) -> tuple[bytes, bytes]:
    """A part for ``build()``."""
    head, encode = CODED[coding]
    return head, encode(data)


INNER = build((b"", b"inner\r\nbody"), (b"", b""), (b"X: y", b"more"), boundary=b"bb", end=b"\r\ninner epilogue")
MESSAGE = build((b"A: 1", BODY), (NESTED, INNER), (b"Content-Length: 4", b"last"), end=b"\r\nepilogue\r\n" * 3)
BODIES = [BODY, [b"inner\r\nbody", b"", b"more"], b"last"]


# A way to read takes the part and a list for what it finds, to which it adds whenever it has something: when it is
# cancelled and called again, all that it found is in the list.
Way = Callable[[BodyPartReader, list[bytes]], Awaitable[None]]


async def _read(part: BodyPartReader, found: list[bytes]) -> None:
    found.append(await part.read())


async def _read_decoded(part: BodyPartReader, found: list[bytes]) -> None:
    found.append(await part.read(decode=True))


async def _next(part: BodyPartReader, found: list[bytes]) -> None:
    while (data := await part.next()) is not None:
        found.append(data)


async def _read_chunk(part: BodyPartReader, found: list[bytes]) -> None:
    while data := await part.read_chunk(5):
        found.append(data)


async def _readline(part: BodyPartReader, found: list[bytes]) -> None:
    while data := await part.readline():
        found.append(data)


async def _iterate(part: BodyPartReader, found: list[bytes]) -> None:
    async for data in part:
        found.append(data)  # noqa: PERF401  (each at once)


async def _iter_chunks(part: BodyPartReader, found: list[bytes]) -> None:
    async with closing(part.iter_chunks(7)) as chunks:
        async for data in chunks:
            found.append(data)  # noqa: PERF401


async def _iter_chunks_raw(part: BodyPartReader, found: list[bytes]) -> None:
    async with closing(part.iter_chunks(7, decode=False)) as chunks:
        async for data in chunks:
            found.append(data)  # noqa: PERF401


async def _text(part: BodyPartReader, found: list[bytes]) -> None:
    found.append((await part.text(encoding="latin-1")).encode("latin-1"))


RAW: dict[str, Way] = {
    "read": _read,
    "next": _next,
    "read_chunk": _read_chunk,
    "readline": _readline,
    "iteration": _iterate,
    "iter_chunks raw": _iter_chunks_raw,
}
DECODED: dict[str, Way] = {"read decoded": _read_decoded, "iter_chunks": _iter_chunks, "text": _text}
WAYS = RAW | DECODED


async def _json(part: BodyPartReader, found: list[bytes]) -> None:
    found.append(json.dumps(await part.json()).encode())


async def _form(part: BodyPartReader, found: list[bytes]) -> None:
    found.append("&".join(f"{name}={value}" for name, value in await part.form()).encode())


async def _release(part: BodyPartReader, found: list[bytes]) -> None:
    await part.release()


ALL_WAYS = WAYS | {"json": _json, "form": _form, "release": _release}
