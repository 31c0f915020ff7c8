"""Parts, and a thread that can be held, for the tests of targets."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy, MultiMapping

MIB = 1024 * 1024


@dataclasses.dataclass
class Part:
    """A part as a target sees it."""

    name: str | None = "field"
    filename: str | None = "file.bin"
    content_type: str = "application/octet-stream"
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def headers(self) -> MultiMapping[str]:
        return CIMultiDictProxy(CIMultiDict(self.fields))


def pattern(size: int) -> bytes:
    """Bytes that show where they are from."""
    return b"".join(b"%07d " % i for i in range(size // 8 + 1))[:size]


async def pieces(
    data: bytes, size: int = 64 * 1024, *, error: BaseException | None = None
) -> AsyncGenerator[bytes, None]:
    """``data``, piece by piece; then ``error`` is raised."""
    for start in range(0, len(data), size):
        await asyncio.sleep(0)
        yield data[start : start + size]
    if error is not None:
        raise error


def files(directory: Path) -> dict[str, bytes]:
    """The files that are there, with their content."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def open_files() -> list[str]:
    """What this process has open, but for pipes and sockets."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except FileNotFoundError:
            continue  # the one that the directory is listed with
    return sorted(name for name in found if name.startswith("/"))


class Executor(ThreadPoolExecutor):
    """One thread, which can be held; it knows how many jobs there were and how many are not done."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self.started = 0
        self.unfinished = 0
        self.first_started = asyncio.Event()
        self._gate = threading.Event()
        self._gate.set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        self.started += 1
        self.first_started.set()
        self.unfinished += 1

        def job() -> Any:
            self._gate.wait()
            try:
                return fn(*args, **kwargs)
            finally:
                self.unfinished -= 1

        return super().submit(job)

    def hold(self) -> None:
        self._gate.clear()

    def let_go(self) -> None:
        self._gate.set()


class FilesTouched:
    """What event loops in the thread that made it opened, linked or removed, by the audit events of Python.

    ``blockbuster`` sees blocking calls too, but not ``os.open()``.
    """

    def __init__(self) -> None:
        self.events: list[str] = []
        self._thread = threading.get_ident()
        self.active = True
        sys.addaudithook(self._note)

    def _note(self, event: str, args: object) -> None:
        if self.active and event in _FILE_EVENTS and threading.get_ident() == self._thread:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return  # pytest itself
            self.events.append(event)


_FILE_EVENTS = frozenset({"open", "os.link", "os.remove", "os.rename"})
