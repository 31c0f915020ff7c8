"""Read a nested multipart message with aiohttp and with httpx, send it back, and show what arrived.

A server on the loopback interface sends JSON, a gzip part, a base64 part and, one level deeper, two files. Each client
reads them, then builds the same message with MultipartWriter and posts it; the server answers what it saw. A table has
the ways side by side; the program fails unless everything arrived as it was sent.
"""

import asyncio
import base64
import gzip
import hashlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
import httpx
from aiohttp import web
from rich.console import Console
from rich.table import Table
from rich.text import Text

import aiomultipart.integrations.aiohttp  # noqa: F401  (aiohttp's client learns to send a MultipartWriter)
from aiomultipart import BodyPartReader, MultipartReader, MultipartResponseWrapper, MultipartWriter

ORDER = b'{"order": 7, "paid": true}'
PRICES = b"item,price\r\n" + b"coffee,3.20\r\n" * 10_000
INVOICE = b"%PDF-1.7\n" + bytes(range(256)) * 100
MENU = "<h1>Menü</h1>\n".encode()
PHOTO = b"\x89PNG\r\n\x1a\n" + bytes(200_000)
BODIES = (ORDER, PRICES, INVOICE, MENU, PHOTO)
WIDE, MEDIUM = 110, 70  # columns of a terminal that has room for types and encodings; for a column for each way


def message(boundary: bytes, parts: list[tuple[bytes, bytes]]) -> bytes:
    """A multipart body of header blocks and bodies (RFC 2046 section 5.1)."""
    opened = [b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, headers, body) for headers, body in parts]
    return b"".join(opened) + b"--%b--\r\n" % boundary


FILES = [
    (b'Content-Type: text/html; charset=utf-8\r\nContent-Disposition: inline; filename="menu.html"', MENU),
    (b"Content-Type: image/png\r\nContent-Disposition: inline; filename*=UTF-8''caf%C3%A9.png", PHOTO),
]
PARTS = [
    (b"Content-Type: application/json", ORDER),
    (b"Content-Type: text/csv\r\nContent-Encoding: gzip", gzip.compress(PRICES)),
    (
        (
            b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n"
            b'Content-Disposition: attachment; filename="invoice.pdf"'
        ),
        base64.encodebytes(INVOICE).replace(b"\n", b"\r\n"),
    ),
    (b"Content-Type: multipart/related; boundary=inner", message(b"inner", FILES)),
]


def build() -> MultipartWriter:
    """The same message, built from parts; the encodings are applied while it is sent."""
    with MultipartWriter("mixed") as root:
        root.append(ORDER, {"Content-Type": "application/json"})
        prices = root.append(PRICES, {"Content-Type": "text/csv"})
        prices.headers["Content-Encoding"] = "gzip"
        invoice = root.append(INVOICE, {"Content-Type": "application/pdf", "Content-Transfer-Encoding": "base64"})
        invoice.set_content_disposition("attachment", filename="invoice.pdf")
        with MultipartWriter("related") as files:
            menu = files.append(MENU, {"Content-Type": "text/html; charset=utf-8"})
            menu.set_content_disposition("inline", filename="menu.html")
            photo = files.append(PHOTO, {"Content-Type": "image/png"})
            photo.set_content_disposition("inline", filename="café.png")
        root.append(files)
    return root


class Arrival(NamedTuple):
    """A row of the table: one part, as it was read."""

    level: int
    name: str
    content_type: str
    encoding: str
    size: int
    sha256: str


async def answer(request: web.Request) -> web.StreamResponse:
    """Send the message a little at a time."""
    body = message(b"outer", PARTS)
    response = web.StreamResponse(headers={"Content-Type": "multipart/mixed; boundary=outer"})
    await response.prepare(request)
    for start in range(0, len(body), 10_000):
        await response.write(body[start : start + 10_000])
    return response


async def receive(request: web.Request) -> web.Response:
    """Read a message, and answer what it was."""
    return web.json_response(await collect(MultipartReader(request.headers, request.content)))


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Run the server on a free port and give its URL."""
    app = web.Application()
    app.add_routes([web.get("/", answer), web.post("/", receive)])
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0]
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


async def collect(reader: MultipartReader | MultipartResponseWrapper, level: int = 1) -> list[Arrival]:
    """Read every part; one that is itself multipart comes as a reader of its own."""
    arrivals: list[Arrival] = []
    async for part in reader:
        if not isinstance(part, BodyPartReader):
            arrivals += await collect(part, level + 1)
            continue
        encoding = part.headers.get("Content-Encoding") or part.headers.get("Content-Transfer-Encoding") or ""
        size, digest = 0, hashlib.sha256()
        async for chunk in part.iter_chunks():  # decoded, at most 64 KiB
            size += len(chunk)
            digest.update(chunk)
        arrivals.append(Arrival(level, part.filename or "", part.content_type, encoding, size, digest.hexdigest()))
    return arrivals


async def by_aiohttp(url: str) -> dict[str, list[Arrival]]:
    """What aiohttp's response brings, and what the server says that aiohttp's request brought."""
    async with aiohttp.ClientSession() as session:
        async with session.get(url) as response:
            read = await collect(MultipartReader.from_response(response))
        async with session.post(url, data=build()) as response:
            sent = [Arrival(*row) for row in await response.json()]
    return {"aiohttp reads": read, "aiohttp sends": sent}


async def by_httpx(url: str, client: httpx.AsyncClient) -> dict[str, list[Arrival]]:
    """The same with httpx."""
    async with client:
        async with client.stream("GET", url) as streamed:
            read = await collect(MultipartReader.from_response(streamed))
        message = build()
        response = await client.post(url, content=message, headers=message.http_headers())
        sent = [Arrival(*row) for row in response.json()]
    return {"httpx reads": read, "httpx sends": sent}


async def exchange(httpx_client: httpx.AsyncClient) -> dict[str, list[Arrival]]:
    """Read and send with both, and give what arrived each time."""
    async with serving() as url:
        return await by_aiohttp(url) | await by_httpx(url, httpx_client)


def table_of(arrived: dict[str, list[Arrival]], console: Console) -> Table:
    """All ways side by side: each part in a row, and how it arrived in each way."""
    wide, medium = console.width >= WIDE, console.width >= MEDIUM
    same = "✓" if console.encoding.startswith("utf") else "ok"
    table = Table("Part", *(["Type", "Encoding"] if wide else []), title="One message, four ways")
    table.add_column("Bytes", justify="right")
    for way in arrived if medium else ["Ways"]:
        table.add_column(way, justify="center")
    first, *_ = arrived.values()
    for number, (arrival, body) in enumerate(zip(first, BODIES, strict=True)):
        name = "  " * (arrival.level - 1) + (arrival.name or "(no name)")
        what = [name, arrival.content_type, arrival.encoding] if wide else [name]
        expected = hashlib.sha256(body).hexdigest()
        right = [way[number].sha256 == expected for way in arrived.values()]
        if medium:
            marks = [Text(same, "green") if each else Text("differs", "bold red") for each in right]
        else:
            marks = [Text(f"{sum(right)} of {len(right)}", "green" if all(right) else "bold red")]
        table.add_row(*map(Text, what), f"{arrival.size:,}", *marks)  # Text, for what was received is no markup
    return table


def show(console: Console) -> bool:
    """Serve, read, send and compare, and show the table; whether everything arrived as it was sent."""
    # Made outside the event loop, since it loads certificates; no proxy of the environment leads to this machine.
    httpx_client = httpx.AsyncClient(trust_env=False)
    arrived = asyncio.run(exchange(httpx_client))
    ways = list(arrived.values())
    if any(len(way) != len(BODIES) for way in ways):
        return False
    console.print(table_of(arrived, console))
    hashes = [hashlib.sha256(body).hexdigest() for body in BODIES]
    return all(way == ways[0] for way in ways) and [arrival.sha256 for arrival in ways[0]] == hashes


def main() -> int:
    """Show it; the exit status."""
    console = Console()
    if not show(console):
        console.print("What arrived is not what was sent.")
        return 1
    console.print(f"Both clients read and sent the same {len(BODIES)} parts; each arrived as it was sent.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
