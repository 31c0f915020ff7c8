"""Work that is not left behind, in a thread above all: who is cancelled meanwhile is cancelled when it is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from typing import Any, TypeVar

from .exceptions import MultipartError

__all__ = ("PIECE", "Jobs", "Pump", "give_way", "in_thread", "read_ahead", "to_its_end", "uninterrupted")

T = TypeVar("T")

PIECE = 64 * 1024
"""The largest piece that a :class:`Pump` gives, in bytes."""

# What a pump may give on the event loop without new input: some 1.5 ms of gzip. 64 KiB of compressed text give less,
# and a hop for each of them would take a fifth of the time.
_INLINE = 512 * 1024

# What it makes in a thread at a time, so that a hop (35 to 125 us) is worth its while
_HOP = 256 * 1024


async def give_way() -> None:
    """Let others have a turn of the event loop."""
    await asyncio.sleep(0)


async def in_thread(function: Callable[..., T], *args: object) -> T:
    """Call ``function`` in a thread of the loop's executor.

    Cancellation waits for it to end; then what it raised or returned is dropped, and the cancellation goes on.
    """
    return await uninterrupted(asyncio.get_running_loop().run_in_executor(None, function, *args))


async def uninterrupted(job: asyncio.Future[T]) -> T:
    """The result of ``job``.

    Cancellation waits for it to end; then what it raised or returned is dropped, and the cancellation goes on.
    """
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        try:
            await asyncio.wait((job,))
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is None:
        return job.result()
    if not job.cancelled():
        job.exception()  # or asyncio would say that nobody asked
    raise cancelled


async def read_ahead(read: Iterator[bytes], pieces: int) -> AsyncIterator[bytes]:
    """What ``read`` gives, called for in a thread, and ahead of whoever takes it; a generator is closed with this.

    The way to a thread and back takes as long as to read some 256 KiB. So the thread goes on while there is room for
    what it reads; when there is none it is given back, and not kept from others by one who is slow to take bytes.

    :param pieces: for how many there is room; one more is with the caller. With 0, none is read before it is asked for.
    """
    loop = asyncio.get_running_loop()
    ready: deque[bytes] = deque()
    more = asyncio.Event()
    goes_on, stopped = True, False

    def work() -> None:
        nonlocal goes_on
        goes_on = False
        while not stopped:
            if len(ready) == pieces > 0:
                goes_on = True
                return
            piece = next(read, b"")
            if not piece:
                return
            ready.append(piece)
            del piece  # or it would be kept while the next one is read
            goes_on = pieces == 0
            if not more.is_set():  # it is waited for
                loop.call_soon_threadsafe(more.set)
            if goes_on:
                return

    def worked(job: asyncio.Future[None]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            job.exception()  # or asyncio would say that nobody asked, where nobody does any more
        more.set()

    job: asyncio.Future[None] | None = None
    try:
        while True:
            piece = ready.popleft() if ready else None
            # That a job is done is news that the loop brings, so nothing of this changes meanwhile.
            if not ready and (pieces or piece is None) and goes_on and (job is None or job.done()):
                job = loop.run_in_executor(None, work)
                job.add_done_callback(worked)
            if piece is not None:
                yield piece
            elif job is not None and job.done():
                job.result()
                return
            else:
                more.clear()
                if not ready:
                    await more.wait()
    finally:
        stopped = True
        try:
            if job is not None and not job.done():
                with contextlib.suppress(Exception):
                    await uninterrupted(job)
        finally:
            if isinstance(read, Generator):
                read.close()


async def to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine``, in a task of its own; a cancellation that arrives meanwhile is raised afterwards."""
    return await uninterrupted(asyncio.get_running_loop().create_task(coroutine))


class Jobs:
    """The threads at work for one owner."""

    __slots__ = ("_jobs",)

    def __init__(self) -> None:
        self._jobs: set[asyncio.Future[Any]] = set()

    def start(self, function: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Call ``function`` in a thread of the loop's executor, and know of it until it is done."""
        job = asyncio.get_running_loop().run_in_executor(None, function, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    async def result(self, job: asyncio.Future[T]) -> T:
        """What ``job`` gives. Here :func:`uninterrupted`; a reader leaves its job to whoever calls it again."""
        return await uninterrupted(job)

    async def settle(self) -> None:
        """Wait until nothing is at work. Cancellation is held back until then."""
        cancelled: asyncio.CancelledError | None = None
        while self._jobs:
            try:
                await asyncio.wait(self._jobs)
            except asyncio.CancelledError as exc:
                cancelled = exc
        if cancelled is not None:
            raise cancelled


class Pump:
    """What ``read(size)`` gives where that is work, as with a codec: a little on the event loop, much in a thread.

    A wait for a thread that is cancelled leaves it at work, and the next call gets what it made.
    """

    __slots__ = ("_given", "_job", "_jobs", "_read", "_ready")

    def __init__(self, read: Callable[[int], bytes], jobs: Jobs) -> None:
        """Take a function that may be called in a thread too, though never in two.

        :param read: gives at most as many bytes as it is asked for, none if it has none; what it raises of
            :exc:`MultipartError` it raises again when it is called again.
        :param jobs: knows of the thread.
        """
        self._read = read
        self._jobs = jobs
        self._ready: deque[bytes] = deque()
        self._given = 0
        self._job: asyncio.Future[list[bytes]] | None = None

    async def next(self) -> bytes:
        """The next piece, from 1 byte to 64 KiB; none when there is none without new input."""
        while True:
            if self._job is not None:
                await self.finish()
            if self._ready:
                return self._ready.popleft()
            if self._given < _INLINE:
                piece = self._read(PIECE)
                self._given = self._given + len(piece) if piece else 0
                return piece
            self._given = 0
            self._job = self._jobs.start(_some, self._read)

    async def finish(self) -> None:
        """Wait for the thread, if one is at work."""
        if self._job is not None:
            pieces = await self._jobs.result(self._job)
            self._job = None
            self._ready.extend(pieces)


def _some(read: Callable[[int], bytes]) -> list[bytes]:
    """In a thread: a bounded number of pieces. An error comes again from the next call."""
    pieces = []
    size = 0
    with contextlib.suppress(MultipartError):
        while size < _HOP and (piece := read(PIECE)):
            size += len(piece)
            pieces.append(piece)
    return pieces
