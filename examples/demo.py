"""What aiomultipart does, in a quarter of a minute: one message read and sent in four ways, then a gigabyte, live.

For the gigabyte there is a server in a process of its own for each way to read it, and an upload over the loopback
interface. The table has the speed, and how much memory each server has taken for it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
from aiohttp import web
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

import aiomultipart
import quickstart

GIB, MIB = 2**30, 2**20
BLOCK = bytes(range(256)) * (MIB // 256)
NARROW = 64  # columns below which the code of each way is left out
HEAD = (
    b"--frontier\r\n"
    b'Content-Disposition: form-data; name="file"; filename="large.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
TAIL = b"\r\n--frontier--\r\n"
READY = "ready"
NEXT = "Next: make serve (an upload server, with a page), make mjpeg (moving pictures in a browser)."


async def by_aiomultipart(request: web.Request) -> int:
    """Chunk by chunk, 64 KiB at most."""
    size = 0
    async for part in aiomultipart.MultipartReader(request.headers, request.content).walk():
        async for chunk in part:
            size += len(chunk)
    return size


async def by_aiohttp(request: web.Request) -> int:
    """As aiohttp's documentation shows it for large files."""
    size = 0
    async for part in aiohttp.MultipartReader(request.headers, request.content):
        if isinstance(part, aiohttp.BodyPartReader):
            while chunk := await part.read_chunk():
                size += len(chunk)
    return size


async def by_aiohttp_iterating(request: web.Request) -> int:
    """The loop that reads like the first one: aiohttp gives the whole body as one chunk."""
    size = 0
    async for part in aiohttp.MultipartReader(request.headers, request.content):
        if isinstance(part, aiohttp.BodyPartReader):
            async for chunk in part:
                size += len(chunk)
    return size


class Way(NamedTuple):
    """One way to read an upload."""

    package: str
    code: str
    read: Callable[[web.Request], Awaitable[int]]


WAYS = {
    "aiomultipart": Way("aiomultipart", "async for chunk in part", by_aiomultipart),
    "aiohttp": Way("aiohttp", "await part.read_chunk()", by_aiohttp),
    "aiohttp-iterating": Way("aiohttp", "async for chunk in part", by_aiohttp_iterating),
}


def peak() -> int:
    """The most memory that this process has had so far, in bytes; 0 where that cannot be known."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


async def serve(name: str) -> None:
    """Be a server on a free port, until the pipe from the demo is closed."""
    before = 0

    async def handle(request: web.Request) -> web.Response:
        size = await WAYS[name].read(request)
        return web.json_response({"size": size, "memory": peak() - before})

    app = web.Application()
    app.router.add_post("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    before = peak()
    print(READY, runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


class Upload(NamedTuple):
    """How one upload went."""

    seconds: float
    memory: int


def upload(port: int, size: int, sent: Callable[[int], object]) -> Upload:
    """Send ``size`` bytes to a server, and say so on the way."""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as answer:
        request = (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: multipart/form-data; boundary=frontier\r\nContent-Length: %d\r\n\r\n"
        )
        connection.sendall(request % (len(HEAD) + size + len(TAIL)) + HEAD)
        for start in range(0, size, MIB):
            connection.sendall(memoryview(BLOCK)[: size - start])
            sent(min(start + MIB, size))
        connection.sendall(TAIL)
        head, _, body = answer.read().partition(b"\r\n\r\n")
    seconds = time.perf_counter() - began
    if head.split()[1] != b"200" or json.loads(body)["size"] != size:
        raise ConnectionError(f"the server says {head[:80]!r} {body[:200]!r}")
    return Upload(seconds, json.loads(body)["memory"])


@contextlib.contextmanager
def servers(names: list[str]) -> Iterator[dict[str, int]]:
    """A server for each way, by port; gone at the end."""
    command = [sys.executable, __file__, "--serve"]
    children = {
        name: subprocess.Popen(  # noqa: S603  (this file)
            [*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in names
    }
    try:
        ports = {}
        for name, child in children.items():
            line = child.stdout.readline() if child.stdout else ""
            ports[name] = int(line.removeprefix(READY))
        yield ports
    finally:
        for child in children.values():
            child.communicate()


def stream(size: int, console: Console) -> dict[str, Upload]:
    """Upload to each server in turn, with a bar for each."""
    found = {}
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        TextColumn("{task.percentage:>3.0f}%"),
        TransferSpeedColumn(),
        console=console,
        disable=not console.is_terminal,
        expand=True,
    )
    with servers(list(WAYS)) as ports, bar:
        for name, port in ports.items():
            task = bar.add_task(WAYS[name].package, total=size)

            def show(sent: int, task: TaskID = task) -> None:
                bar.update(task, completed=sent)

            found[name] = upload(port, size, show)
    return found


def table_of(found: dict[str, Upload], size: int, console: Console) -> Table:
    """Speeds and memory, side by side."""
    wide = console.width >= NARROW
    table = Table("Package", *(["Code"] if wide else []), title=f"{size / GIB:g} GiB, uploaded")
    table.add_column("MB/s", justify="right")
    table.add_column("Memory", justify="right")
    least = min(one.memory for one in found.values())
    for name, one in found.items():
        way = WAYS[name]
        style = "green" if one.memory <= 2 * least + MIB else "red"
        memory = Text(f"{one.memory / MIB:,.1f} MiB", style)
        table.add_row(way.package, *([Text(way.code)] if wide else []), f"{size / 1e6 / one.seconds:,.0f}", memory)
    return table


def main(arguments: list[str] | None = None) -> int:
    """Show it all; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=float, default=1.0, metavar="GIB", help="how much is uploaded (default: 1)")
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        asyncio.run(serve(options.serve))
        return 0
    console = Console()
    if not quickstart.show(console):
        console.print("What arrived is not what was sent.", style="bold red")
        return 1
    size = int(options.size * GIB)
    console.print(table_of(stream(size, console), size, console))
    console.print(NEXT, highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
