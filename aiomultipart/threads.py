"""Work that is not left behind, in a thread above all: who is cancelled meanwhile is cancelled when it is done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ("in_thread", "to_its_end", "uninterrupted")

T = TypeVar("T")


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


async def to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run ``coroutine``, in a task of its own; a cancellation that arrives meanwhile is raised afterwards."""
    return await uninterrupted(asyncio.get_running_loop().create_task(coroutine))
