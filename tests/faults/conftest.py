"""Each test here runs in asyncio's debug mode, and fails if it leaves anything behind.

That is: a task, a thread, a job in a thread, an open file or socket, an async generator that was not closed, a warning
(a ResourceWarning too, and what goes wrong in a finalizer), or a record of the logger ``asyncio`` from WARNING on (a
task that was destroyed while it was pending, an exception that nobody retrieved). ``test_net.py`` holds that it is so.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sysconfig
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import AsyncGeneratorType
from typing import Any

import pytest

import aiomultipart

_ANYIO_WORKER = "AnyIO worker thread"
_FDS = Path("/proc/self/fd")
_OURS = f"{Path(aiomultipart.__file__).parent}{os.sep}"
_OTHERS = f"{sysconfig.get_path('purelib')}{os.sep}"


class Threads(ThreadPoolExecutor):
    """The loop's executor: counts its jobs, and holds them while the gate is closed."""

    def __init__(self, max_workers: int = 4) -> None:
        super().__init__(max_workers=max_workers, thread_name_prefix="faults")
        self.jobs = 0
        self.unfinished: set[Future[Any]] = set()
        self.gate = threading.Event()
        self.gate.set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        def run() -> Any:
            self.gate.wait(20)
            return fn(*args, **kwargs)

        self.jobs += 1
        job = super().submit(run)
        self.unfinished.add(job)
        job.add_done_callback(self.unfinished.discard)
        return job

    async def busy(self) -> None:
        """Wait until there is a job."""
        while not self.unfinished:  # noqa: ASYNC110  (what begins it is a coroutine that waits for it)
            await asyncio.sleep(0)

    async def idle(self) -> None:
        """Wait until no job is left."""
        while self.unfinished:  # noqa: ASYNC110
            await asyncio.sleep(0)


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(self.format(record))


def _open_files() -> dict[str, str]:
    """What the descriptors of this process stand for; empty where there is no /proc."""
    found = {}
    for fd in os.listdir(_FDS) if _FDS.is_dir() else ():  # noqa: PTH208  (names are wanted)
        try:
            found[fd] = os.readlink(_FDS / fd)  # noqa: PTH115  (not each can be a path)
        except FileNotFoundError:
            continue  # the one of the listing
    return found


def _finalizes(task: asyncio.Task[Any]) -> bool:
    """Whether it closes an async generator that was collected; which those are is seen elsewhere."""
    return type(task.get_coro()).__name__ == "async_generator_athrow"


@pytest.fixture
async def threads() -> Threads:
    """The executor of the running loop."""
    executor = asyncio.get_running_loop()._default_executor  # type: ignore[attr-defined]
    assert isinstance(executor, Threads)
    return executor


@pytest.fixture(scope="module", autouse=True)
def _only_what_is_new_is_collected() -> Iterator[None]:
    """To look at all that has been imported would take longer than most tests."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
async def _nothing_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    # Of where each future was made, which takes most of the time in debug mode
    monkeypatch.setattr("asyncio.constants.DEBUG_STACK_DEPTH", 1)
    gc.collect()
    loop: Any = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = float("inf")  # how long something takes is no fault here
    threads_before = set(threading.enumerate())
    executor = Threads()
    loop.set_default_executor(executor)
    files = _open_files()
    generators = set(loop._asyncgens)
    abandoned: list[str] = []
    finalize = loop._asyncgen_finalizer_hook

    def finalizing(generator: AsyncGeneratorType[Any, Any]) -> None:
        file = generator.ag_code.co_filename
        if file.startswith(_OURS) or not file.startswith(_OTHERS):  # httpx does not close its own
            abandoned.append(repr(generator))
        finalize(generator)

    loop._asyncgen_finalizer_hook = finalizing  # taken up when the loop runs next: for the test
    records = _Records()
    logging.getLogger("asyncio").addHandler(records)
    try:
        yield
        # Before anything here gives it time to end
        busy = len(executor.unfinished)
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not _finalizes(task)]
        for _ in range(5):
            await asyncio.sleep(0)  # closed transports
        gc.collect()
        await asyncio.sleep(0)
        left = [generator for generator in set(loop._asyncgens) - generators if generator.ag_frame is not None]
        executor.gate.set()
        executor.shutdown()
        started = [thread for thread in threading.enumerate() if thread not in threads_before]
        for thread in started:
            if thread.name == _ANYIO_WORKER:  # told to stop when the test's task ended, which takes it a moment
                thread.join(20)
        started = [thread for thread in started if thread.is_alive()]
        assert not busy, "jobs in threads that nobody waited for"
        assert not tasks
        assert not left, "async generators that are still open"
        assert not abandoned, "async generators that were not closed"
        assert not started, "threads"
        assert _open_files() == files
        assert not records.messages
    finally:
        logging.getLogger("asyncio").removeHandler(records)
        loop._asyncgen_finalizer_hook = finalize
