"""Where a run takes place, and what the machine does at best."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
import os
import platform
import random
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiomultipart.parser import implementation

from .figures import Limit

PEERS = (
    "aiohttp",
    "emmett-core",
    "httpx",
    "multipart",
    "python-multipart",
    "requests-toolbelt",
    "starlette",
    "streaming-form-data",
    "urllib3",
    "uvicorn",
    "werkzeug",
)
SIZE = 64 * 1024


def python() -> str:
    """Such as CPython 3.11."""
    return f"{platform.python_implementation()} {'.'.join(platform.python_version_tuple()[:2])}"


def surroundings() -> dict[str, str]:
    """The machine and the interpreter."""
    return {
        "interpreter": f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})",
        "system": platform.platform(),
        "processor": f"{os.cpu_count()} × {_processor()}",
        "parser": "aiomultipart's parser in C" if implementation == "c" else "aiomultipart's parser in Python",
    }


def versions() -> dict[str, str]:
    """Of the packages that are here."""
    found = {}
    for name in ("aiomultipart", *PEERS):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


async def _ready() -> None:
    pass


def _never() -> None:
    pass


class Limits:
    """The machine's limits, of which a sample is taken now and then during a run."""

    def __init__(self) -> None:
        octets = random.Random(3).randbytes(SIZE).replace(b"\0", b"\1")
        needle = bytes(range(1, 41))
        target = bytearray(SIZE)
        self._samples: dict[str, list[float]] = {}
        self._octets: dict[str, int] = {}

        def copy() -> None:
            target[:] = octets

        self._calls: list[tuple[str, Callable[[], object], int]] = [
            ("memcpy of 64 KiB", copy, 300),
            ("memchr: find an absent byte", lambda: octets.find(b"\0"), 300),
            ("bytes.find of 40 absent bytes", lambda: octets.find(needle), 100),
            ("sha256", lambda: hashlib.sha256(octets).digest(), 10),
        ]

    async def sample(self) -> None:
        """Take one of each."""
        for name, call, times in self._calls:
            start = time.perf_counter()
            for _ in range(times):
                call()
            self._take(name, (time.perf_counter() - start) / times, SIZE)
        self._take("await a coroutine that is ready", await _timed(_ready, 1000))
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, _never)  # starts the thread
        self._take("hop to a thread and back", await _timed(lambda: loop.run_in_executor(None, _never), 10))

    def _take(self, name: str, seconds: float, octets: int = 0) -> None:
        self._samples.setdefault(name, []).append(seconds)
        self._octets[name] = octets

    def found(self) -> tuple[Limit, ...]:
        """The medians."""
        return tuple(
            Limit(name, statistics.median(samples), self._octets[name]) for name, samples in self._samples.items()
        )


async def _timed(waits: Callable[[], Awaitable[object]], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        await waits()
    return (time.perf_counter() - start) / times
