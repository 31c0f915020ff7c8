"""Cancelling at each await that there is.

:func:`at_every_await` plays a scenario as often as it suspends, and each time cancels it at another place. The scenario
calls its operations through the :class:`Run` that it is given, which calls the one that was cancelled again.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

T = TypeVar("T")


class Cancel(enum.Enum):
    """How."""

    EARLY = "as soon as it waits"
    LATE = "when what it waits for is there, but has not been taken"
    OFTEN = "as soon as it waits, and again each time that it waits after that, until it ends"


class _Counted(Awaitable[T]):
    """An awaitable that calls ``suspended(yielded)`` each time that what it is made of suspends."""

    def __init__(self, operation: Callable[[], Awaitable[T]], suspended: Callable[[Any], None]) -> None:
        self._operation = operation
        self._suspended = suspended

    def __await__(self) -> Generator[Any, Any, T]:
        inner = self._call().__await__()
        resume: Callable[[Any], Any] = inner.send
        value: Any = None
        while True:
            try:
                yielded = resume(value)
            except StopIteration as stop:
                return stop.value
            self._suspended(yielded)
            try:
                value = yield yielded
            except BaseException as exc:  # noqa: BLE001  (it is handed on)
                resume, value = inner.throw, exc
            else:
                resume = inner.send

    async def _call(self) -> T:
        return await self._operation()


class Run:
    """Runs operations in the task that calls it, which it cancels at suspension number ``at`` of them all.

    :ivar suspensions: how many there have been.
    :ivar cancelled: whether it came to that.
    :ivar waited_for: what it was waiting for then.
    :ivar went_on: whether it waited again before it ended.
    """

    def __init__(self, at: int | None = None, how: Cancel = Cancel.EARLY) -> None:
        self.at = at
        self.how = how
        self.suspensions = 0
        self.cancelled = False
        self.waited_for: object = None
        self.went_on = False

    async def once(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run it; a CancelledError comes out, and then the task can go on."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("not in a task")
        cancelled = False

        def suspended(yielded: Any) -> None:
            nonlocal cancelled
            self.suspensions += 1
            if self.suspensions == self.at:
                self.cancelled = cancelled = True
                self.waited_for = yielded
                if self.how is Cancel.LATE and isinstance(yielded, asyncio.Future):
                    # Called before the task that waits is.
                    yielded.add_done_callback(lambda _: task.cancel())
                else:
                    task.cancel()
            elif cancelled:
                self.went_on = True
                if self.how is Cancel.OFTEN:
                    task.cancel()

        try:
            result = await _Counted(operation, suspended)
        except asyncio.CancelledError:
            if not cancelled:
                raise AssertionError("cancelled by itself") from None
            raise
        finally:
            while task.cancelling():
                task.uncancel()
        if cancelled:
            raise AssertionError(f"was cancelled, and gave {result!r}")
        return result

    async def __call__(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run it, and once more when it is cancelled."""
        try:
            return await self.once(operation)
        except asyncio.CancelledError:
            return await self.once(operation)


Scenario = Callable[[Run], Awaitable[None]]


async def at_every_await(scenario: Scenario, *, ways: tuple[Cancel, ...] = tuple(Cancel), least: int = 1) -> int:
    """Play ``scenario`` undisturbed, then cancelled at its first, second … last suspension, in all ``ways``.

    Where two ways come to the same, it is one: there is nothing to take from what is no future, and an operation that
    ends at once cannot be cancelled again.

    :param least: it suspends at least this often.
    :return: how often it suspended when it was not disturbed.
    """

    async def play(at: int, how: Cancel) -> Run:
        run = Run(at, how)
        try:
            await scenario(run)
        except BaseException as exc:
            exc.add_note(f"cancelled at suspension {at} of {undisturbed.suspensions}, {how.value}")
            raise
        return run

    undisturbed = Run()
    await scenario(undisturbed)
    first, *others = ways
    for at in itertools.count(1):
        run = await play(at, first)
        if not run.cancelled:
            break
        for how in others:
            if run.went_on if how is Cancel.OFTEN else isinstance(run.waited_for, asyncio.Future):
                await play(at, how)
    if at <= least:
        raise AssertionError(f"{at - 1} suspensions, {least} expected")
    return undisturbed.suspensions


async def watched_at_every_await(operation: Callable[[], Awaitable[T]], watch: Callable[[], None]) -> tuple[T, int]:
    """Run an operation and call ``watch`` each time that it has suspended.

    :return: its result, and how often that was.
    """
    count = 0

    def suspended(yielded: object) -> None:
        nonlocal count
        count += 1
        watch()

    return await _Counted(operation, suspended), count


def at_once(operation: Callable[[], Awaitable[T]]) -> T:
    """Run an operation that does not wait, from where nothing can be awaited."""
    steps = _Counted(operation, lambda yielded: None).__await__()
    try:
        next(steps)
    except StopIteration as stop:
        return stop.value
    steps.close()
    raise AssertionError("it waits")
