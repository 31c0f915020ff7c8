"""Work that is not left behind, in a thread above all: who is cancelled meanwhile is cancelled when it is done."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

__all__ = ("give_way", "in_thread", "read_ahead", "to_its_end", "uninterrupted")

T = TypeVar("T")


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


async def read_ahead(read: Callable[[], bytes], pieces: int) -> AsyncIterator[bytes]:
    """What ``read`` gives, called in a thread until it gives nothing, and ahead of whoever takes it.

    The way to a thread and back takes as long as to read some 256 KiB. So the thread goes on while there is room for
    what it reads; when there is none it is given back, and not kept from others by one who is slow to take bytes.

    :param pieces: for how many there is room; one more is with the caller.
    """
    loop = asyncio.get_running_loop()
    ready: deque[bytes] = deque()
    more = asyncio.Event()
    goes_on, stopped = True, False

    def work() -> None:
        nonlocal goes_on
        goes_on = False
        while not stopped:
            if len(ready) == pieces:
                goes_on = True
                return
            piece = read()
            if not piece:
                return
            ready.append(piece)
            del piece  # or it would be kept while the next one is read
            loop.call_soon_threadsafe(more.set)

    def worked(job: asyncio.Future[None]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            job.exception()  # or asyncio would say that nobody asked, where nobody does any more
        more.set()

    job: asyncio.Future[None] | None = None
    try:
        while True:
            piece = ready.popleft() if ready else None
            # That a job is done is news that the loop brings, so nothing of this changes meanwhile.
            if not ready and goes_on and (job is None or job.done()):
                job = loop.run_in_executor(None, work)
                job.add_done_callback(worked)
            if piece is not None:
                yield piece
            elif job is not None and job.done():
                job.result()
                return
            else:
                more.clear()
                await more.wait()
    finally:
        stopped = True
        if job is not None and not job.done():
            with contextlib.suppress(Exception):
                await uninterrupted(job)


async def to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine``, in a task of its own; a cancellation that arrives meanwhile is raised afterwards."""
    return await uninterrupted(asyncio.get_running_loop().create_task(coroutine))
