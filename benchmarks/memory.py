"""How much memory streaming 256 MiB takes, each contestant in a fresh process.

``python -m benchmarks.memory SCENARIO CONTESTANT`` is such a process. It streams one small message first, so that what
is imported, or started once, is there already, and prints what the large one added at its peak. Where Linux lets a
process reset its own peak, that is of the memory that is resident: what C code and threads take counts too. Elsewhere
it is what Python's allocator handed out.

A reader is given new chunks of 64 KiB, which nobody else keeps, as a socket would give them. What is written is
dropped. The pages of files that the system caches are not the process's own, and don't count.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import functools
import gc
import os
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from .figures import Peak, Streaming
from .harness import ABSENT

BOUNDARY = "----WebKitFormBoundaryAbCdEf0123456789"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
CHUNK = 64 * 1024
MIB = 2**20
SMALL, LARGE = 1024, 256 * MIB
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
OURS, AIOHTTP = "aiomultipart", "aiohttp"

Stream = Callable[[int], Awaitable[int]]
"""Given the size of the body, it streams it, and says how much it saw."""


def _chunks(size: int) -> Iterator[bytes]:
    """The message. It is cut so that no chunk ends where a body does."""
    block = memoryview(bytes(range(256)) * (CHUNK // 256))
    yield HEAD
    for start in range(0, size, CHUNK):
        yield bytes(block[: size - start])
    yield TAIL


async def _source(size: int) -> AsyncIterator[bytes]:
    for chunk in _chunks(size):
        yield chunk


def _aiohttp_stream(size: int) -> Any:
    from .arrival import arriving

    return arriving(_chunks(size), CHUNK)


# Any: the readers of both libraries have the same methods.
async def _by_chunks(make: Callable[[int], Any], size: int) -> int:
    seen = 0
    part = await make(size).next()
    while chunk := await part.read_chunk(CHUNK):
        seen += len(chunk)
    return seen


async def _by_iteration(make: Callable[[int], Any], size: int) -> int:
    seen = 0
    part = await make(size).next()
    async for chunk in part:
        seen += len(chunk)
    return seen


def _our_reader(size: int) -> Any:
    from aiomultipart import MultipartReader

    return MultipartReader(HEADERS, _source(size))


def _aiohttp_reader(size: int) -> Any:
    from aiohttp import MultipartReader
    from multidict import CIMultiDict

    return MultipartReader(CIMultiDict(HEADERS), _aiohttp_stream(size))


async def _our_form(size: int) -> int:
    from aiomultipart import FileTarget, Limits, read_form

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "file")
        limits = Limits.for_forms(max_part_size=2 * LARGE)
        async with await read_form(HEADERS, _source(size), limits=limits, targets=lambda _: FileTarget(path)) as form:
            file = form["file"]
            return 0 if isinstance(file, str) else file.size


async def _starlette_form(size: int) -> int:
    from starlette.datastructures import UploadFile
    from starlette.requests import Request

    chunks = _chunks(size)

    async def receive() -> dict[str, Any]:
        chunk = next(chunks, b"")
        return {"type": "http.request", "body": chunk, "more_body": bool(chunk)}

    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    async with Request({"type": "http", "method": "POST", "headers": headers}, receive).form() as form:
        file = form["file"]
        return file.size or 0 if isinstance(file, UploadFile) else 0


async def _aiohttp_form(size: int) -> int:
    from aiohttp.test_utils import make_mocked_request
    from aiohttp.web import FileField

    request = make_mocked_request(
        "POST", "/", headers=HEADERS, payload=_aiohttp_stream(size), client_max_size=2 * LARGE
    )
    file = (await request.post())["file"]
    return file.file.seek(0, 2) if isinstance(file, FileField) else 0


class _Nowhere:
    """A writer that keeps nothing."""

    size = 0

    async def write(self, data: bytes) -> None:
        self.size += len(data)


async def _write(library: str, size: int) -> int:
    import importlib

    with _file(size) as file:
        writer = importlib.import_module(library).MultipartWriter("mixed", boundary=BOUNDARY)
        writer.append(file, {"Content-Type": "application/octet-stream"})
        sink = _Nowhere()
        await writer.write(sink)
    return sink.size


async def _httpx_write(size: int) -> int:
    import httpx

    with _file(size) as file:
        request = httpx.Request("POST", "http://localhost/", files={"file": file})
        return sum(map(len, request.stream))  # type: ignore[arg-type]  # it is a synchronous one too


async def _toolbelt_write(size: int) -> int:
    from requests_toolbelt import MultipartEncoder  # type: ignore[import-untyped]

    seen = 0
    with _file(size) as file:
        encoder = MultipartEncoder([("file", ("f", file, "application/octet-stream"))])
        while piece := encoder.read(CHUNK):
            seen += len(piece)
    return seen


@contextlib.contextmanager
def _file(size: int) -> Iterator[BinaryIO]:
    """A file of holes: it reads like any other, and takes no disk."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "file")
        path.touch()
        os.truncate(path, size)
        with path.open("rb") as file:
            yield file


SCENARIOS: Mapping[str, tuple[int | None, Mapping[str, Stream]]] = {
    "read by read_chunk(64 KiB)": (
        1 * MIB,
        {
            OURS: functools.partial(_by_chunks, _our_reader),
            AIOHTTP: functools.partial(_by_chunks, _aiohttp_reader),
        },
    ),
    "read by iteration": (
        1 * MIB,
        {
            OURS: functools.partial(_by_iteration, _our_reader),
            AIOHTTP: functools.partial(_by_iteration, _aiohttp_reader),
        },
    ),
    "read a form, its file to disk": (
        None,  # it goes in pieces of 1 MiB, because a way to a thread and back takes as long as to write some 256 KiB
        {OURS: _our_form, "starlette": _starlette_form, AIOHTTP: _aiohttp_form},
    ),
    "write a file": (
        2 * MIB,
        {
            OURS: functools.partial(_write, OURS),
            AIOHTTP: functools.partial(_write, AIOHTTP),
            "httpx": _httpx_write,
            "requests-toolbelt": _toolbelt_write,
        },
    ),
}
"""How much the first contestant may take, if that is bounded, and the contestants."""


class _Resident:
    """Resident memory, whose peak Linux keeps."""

    how = "peak resident memory"

    def __init__(self) -> None:
        # What was freed before, but is resident still, would hide as much of what comes.
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", "ascii")
        self._before = self._status("VmRSS")

    def peak(self) -> int:
        return max(0, self._status("VmHWM") - self._before)

    @staticmethod
    def _status(name: str) -> int:
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise OSError(f"no {name}")


class _Traced:
    """What Python's allocator hands out."""

    how = "peak of Python's allocator"

    def __init__(self) -> None:
        tracemalloc.start()

    def peak(self) -> int:
        return tracemalloc.get_traced_memory()[1]


def _gauge() -> _Resident | _Traced:
    try:
        return _Resident()
    except OSError:
        return _Traced()


async def _added(stream: Stream) -> int:
    await stream(SMALL)
    gc.collect()
    gauge = _gauge()
    seen = await stream(LARGE)
    added = gauge.peak()
    if seen < LARGE:
        raise AssertionError(f"{seen} of {LARGE} bytes came through")
    return added


def how() -> str:
    """What is measured here."""
    return _gauge().how


def measure(times: int = 1) -> tuple[Streaming, ...]:
    """Have each contestant stream, each time in a new process; the largest peak counts."""
    found = []
    for title, (most, contestants) in SCENARIOS.items():
        peaks = []
        for name in contestants:
            results = [child(title, name) for _ in range(times)]
            if None in results:
                ABSENT.add(name)
                continue
            peaks.append(
                Peak(name, max(result for result in results if result is not None), most if name == OURS else None)
            )
        found.append(Streaming(title, tuple(peaks)))
    return tuple(found)


def child(title: str, name: str) -> int | None:
    """What one contestant adds, or None if its package is missing."""
    command = [sys.executable, "-m", "benchmarks.memory", title, name]
    root = Path(__file__).parents[1]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=root)  # noqa: S603  # it is this file
    return int(run.stdout) if run.stdout else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("contestant")
    options = parser.parse_args()
    try:
        print(asyncio.run(_added(SCENARIOS[options.scenario][1][options.contestant])))
    except ModuleNotFoundError:
        pass  # it is not installed: nothing is printed
