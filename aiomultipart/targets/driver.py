"""Which target a part gets, the driver that copies a part into one, and how targets are undone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from aiomultipart.exceptions import StateError

from .base import AnyTarget, ReceivedPart, Target, TargetFactory, Targets
from .plain import SyncTarget, as_sync

__all__ = ("abort_all", "abort_all_sync", "copy", "copy_sync", "select_target")

T = TypeVar("T")

# Who stops a loop may cancel all tasks, and again; a target that is cancelled while it is aborted is told once more.
_TRIES: Final = 3


def select_target(targets: Targets | None, part: ReceivedPart, default: TargetFactory) -> AnyTarget[object]:
    """The target for ``part``.

    :param targets: factories by field name, or one factory for all parts.
    :param default: makes the target where ``targets`` has none for this part, or its factory gives None.
    :raises TypeError: neither gives a target.
    """
    chosen: TargetFactory | AnyTarget[object] | None
    if isinstance(targets, Mapping):
        chosen = None if part.name is None else targets.get(part.name)
    else:
        chosen = targets
    target = chosen(part) if callable(chosen) else chosen
    if target is None:
        target = default(part)
    if target is None:
        raise TypeError(f"no target for part {part.name!r}")
    return target


async def copy(part: ReceivedPart, chunks: AsyncIterable[bytes], target: Target[T]) -> T:
    """Write ``chunks`` to ``target``.

    Whatever goes wrong, the target is aborted, and the error, or the cancellation, comes through as it is. The abort
    itself is not cut short: a cancellation that arrives meanwhile is raised when it is done.

    :return: the result of the target.
    """
    try:
        await target.start(part)
    except StateError:
        raise  # it is busy with another part, which is not ours to abort
    except BaseException as exc:
        await abort_all([target], exc)
        raise
    try:
        async for chunk in chunks:
            await target.write(chunk)
        return await target.finish()
    except BaseException as exc:
        await abort_all([target], exc)
        raise


async def abort_all(targets: Sequence[Target[object]], error: BaseException | None) -> None:
    """Abort ``targets``, the last first; all are tried.

    None is cut short: a cancellation that arrives meanwhile is raised when all are done.

    :param error: gets a note of each that fails; without it what the first raises is raised at the end.
    """
    cancelled: asyncio.CancelledError | None = None
    failures: list[BaseException] = []
    for target in reversed(targets):
        for _ in range(_TRIES):
            task = asyncio.ensure_future(target.abort())
            while not task.done():
                try:
                    await asyncio.wait((task,))
                except asyncio.CancelledError as exc:
                    cancelled = exc
            if task.cancelled():
                continue
            failure = task.exception()
            if failure is not None:
                failures.append(failure)
            break
    try:
        _report(failures, error)
    finally:
        if cancelled is not None:
            raise cancelled


def abort_all_sync(targets: Sequence[Target[object]], error: BaseException | None) -> None:
    """The same without an event loop. A target that has only coroutines fails."""
    failures: list[BaseException] = []
    for target in reversed(targets):
        try:
            as_sync(target).abort_sync()
        except Exception as exc:  # noqa: BLE001  (the others have to be aborted too)
            failures.append(exc)
    _report(failures, error)


def _report(failures: Sequence[BaseException], error: BaseException | None) -> None:
    if error is None and failures:
        error, *failures = failures
        _report(failures, error)
        raise error
    for failure in failures:
        if error is not None:
            error.add_note(f"and aborting a target failed: {failure!r}")


def copy_sync(part: ReceivedPart, chunks: Iterable[bytes], target: SyncTarget[T]) -> T:
    """As :func:`copy`, without an event loop."""
    try:
        target.start_sync(part)
    except StateError:
        raise
    except BaseException as exc:
        abort_all_sync([target], exc)
        raise
    try:
        for chunk in chunks:
            target.write_sync(chunk)
        return target.finish_sync()
    except BaseException as exc:
        abort_all_sync([target], exc)
        raise
