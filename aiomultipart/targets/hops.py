"""Work that blocks, in a thread: one job at a time, and large ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

__all__ = ("HOP", "Outbox", "Worker")

HOP = 1024 * 1024
"""Bytes for one job: a hop to a thread costs 35 to 125 us."""

_OVERHEAD = 64  # what a bytes object and its place in a list take

P = ParamSpec("P")
T = TypeVar("T")


class Worker:
    """Jobs in threads, one after the other. One that nobody waits for any more goes on; :meth:`settle` waits for it."""

    __slots__ = ("_job",)

    def __init__(self) -> None:
        self._job: asyncio.Future[Any] | None = None

    def begin(self, job: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Begin a job. The one before it has been waited for."""
        self._job = asyncio.get_running_loop().run_in_executor(None, lambda: job(*args, **kwargs))

    async def run(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a job, after the one before it. What either raises is raised."""
        await self.wait()
        future = asyncio.get_running_loop().run_in_executor(None, lambda: job(*args, **kwargs))
        self._job = future
        await self.wait()
        return future.result()

    @property
    def is_ready(self) -> bool:
        """Whether :meth:`wait` would not wait, and has something to say."""
        return self._job is not None and self._job.done()

    @property
    def is_working(self) -> bool:
        """Whether a job is under way."""
        return self._job is not None and not self._job.done()

    async def wait(self) -> None:
        """Wait until no job is under way; what the last one raised is raised, once."""
        job = self._job
        if job is None:
            return
        if not job.done():
            await asyncio.wait((job,))  # unlike await, it leaves the job alone when it is cancelled
        self._job = None
        job.result()

    async def settle(self) -> None:
        """Wait until no job is under way, whatever became of it."""
        job = self._job
        if job is not None:
            await asyncio.wait((job,))
            self._job = None
            job.exception()


class Outbox:
    """Bytes on their way to a function that blocks, collected for jobs of about 1 MiB.

    While one job is under way, bytes for the next are taken; only when these are enough too is it waited for. So at
    most 2 MiB and a chunk are held.
    """

    __slots__ = ("_held", "_pieces", "_worker")

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._pieces: list[bytes] = []
        self._held = 0

    async def write(self, data: bytes, function: Callable[[list[bytes]], object]) -> None:
        """Take ``data`` for ``function``; what an earlier job raised is raised."""
        if self._worker.is_ready:
            await self._worker.wait()
        self._pieces.append(data)
        self._held += len(data) + _OVERHEAD
        if self._held >= HOP:
            await self._worker.wait()
            self._worker.begin(function, self.take())

    def take(self) -> list[bytes]:
        """What no job has taken yet."""
        pieces, self._pieces, self._held = self._pieces, [], 0
        return pieces
