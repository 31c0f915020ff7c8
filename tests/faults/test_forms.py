"""Forms: cancelled at each await, with a thread at work or not, they leave no file, and nothing open."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from aiomultipart import (
    DirectoryTarget,
    FileTarget,
    Form,
    HashTarget,
    Limits,
    NullTarget,
    ReceivedPart,
    SpooledTarget,
    StreamReader,
    TeeTarget,
    UploadedFile,
    read_form,
)
from tests.faults.conftest import Threads
from tests.support.awaits import Run, at_every_await
from tests.support.reading import FORM, build
from tests.support.saving import MIB, Part, files, open_files, pattern, pieces

BODY = pattern(MIB + 12345)


def file(name: str, body: bytes) -> tuple[bytes, bytes]:
    return f'Content-Disposition: form-data; name="{name}"; filename="x"'.encode(), body


MESSAGE = build(
    file("saved", BODY),
    file("spooled", BODY),
    file("small", b"1" * 5000),
    file("both", BODY),
    (b'Content-Disposition: form-data; name="text"', b"2" * 5000),
)


@pytest.fixture(params=["unnamed", "named"], autouse=True)
def _kind_of_file(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
        monkeypatch.setattr("tempfile._O_TMPFILE_WORKS", False)


async def read(directory: Path) -> Form:
    targets = {
        "saved": lambda part: FileTarget(directory / "saved"),
        "both": lambda part: TeeTarget(DirectoryTarget(directory), HashTarget("md5")),
    }
    # The text finds no room until the small file is on disk.
    limits = Limits.for_forms(max_memory=14_000)
    return await read_form(FORM, pieces(MESSAGE, MIB // 2), targets=targets, limits=limits)


async def test_reading(tmp_path: Path, threads: Threads) -> None:
    before = open_files()

    async def scenario(run: Run) -> None:
        try:
            form = await run.once(lambda: read(tmp_path))
        except asyncio.CancelledError:
            assert files(tmp_path) == {}
        else:
            assert list(form) == ["saved", "spooled", "small", "both", "text"]
            await form.aclose()
            for path in tmp_path.iterdir():
                path.unlink()
        assert not threads.unfinished
        assert open_files() == before

    await at_every_await(scenario, least=12)


class BusyThread(Threads):
    """One thread that others keep busy: a job begins when the loop has gone round many times."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        free = threading.Event()

        def go_round(left: int) -> None:
            if left:
                loop.call_soon(go_round, left - 1)
            else:
                free.set()

        def run() -> Any:
            free.wait(20)
            return fn(*args, **kwargs)

        loop = asyncio.get_running_loop()
        go_round(50)
        return super().submit(run)


@pytest.fixture
async def busy_thread() -> AsyncIterator[BusyThread]:
    """The executor of the running loop."""
    loop = asyncio.get_running_loop()
    usual = loop._default_executor  # type: ignore[attr-defined]
    busy = BusyThread()
    loop.set_default_executor(busy)
    yield busy
    loop.set_default_executor(usual)
    busy.shutdown()


async def test_finished_files_that_move_to_disk(busy_thread: BusyThread) -> None:
    """They are closed when the thread that moves them is done, also where it has not begun."""
    before = open_files()
    texts = [(f'Content-Disposition: form-data; name="{n}"'.encode(), b"x" * 3000) for n in range(3)]
    message = build(file("a", b"a" * 3000), file("b", b"b" * 5000), *texts)
    limits = Limits.for_forms(max_memory=14_000)

    async def scenario(run: Run) -> None:
        try:
            form = await run.once(lambda: read_form(FORM, pieces(message, 2000), limits=limits))
        except asyncio.CancelledError:
            pass
        else:
            assert [upload.on_disk for upload in form.files] == [True, True]
            await form.aclose()
        assert not busy_thread.unfinished
        assert open_files() == before

    await at_every_await(scenario, least=6)


async def test_a_finished_file_that_moves_to_disk_when_asked_to(busy_thread: BusyThread) -> None:
    before = open_files()

    async def scenario(run: Run) -> None:
        target = SpooledTarget()
        await target.start(Part())
        await target.write(b"x" * 1000)
        spooled = await target.finish()
        with contextlib.suppress(asyncio.CancelledError):
            await run.once(spooled.move_to_disk)
        await target.abort()
        assert spooled.closed
        assert not busy_thread.unfinished
        assert open_files() == before

    await at_every_await(scenario)


async def test_using(tmp_path: Path, threads: Threads) -> None:
    """What was saved is whole; the rest is gone when the block is left."""
    before = open_files()

    async def use() -> None:
        async with await read_form(FORM, build(file("a", BODY), file("b", b"1"))) as form:
            for value in form.values():
                assert isinstance(value, UploadedFile)
                assert [chunk async for chunk in value.iter_chunks()] != []
                await value.save(tmp_path / f"{value.name}", hash="md5")

    async def scenario(run: Run) -> None:
        try:
            await run.once(use)
        except asyncio.CancelledError:
            assert set(files(tmp_path).values()) <= {BODY, b"1"}
        else:
            assert files(tmp_path) == {"a": BODY, "b": b"1"}
        for path in tmp_path.iterdir():
            path.unlink()
        assert not threads.unfinished
        assert open_files() == before

    await at_every_await(scenario, least=6)


class SlowToClose(StreamReader):
    """It waits when it is closed."""

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        await super().aclose()


async def test_a_source_that_takes_its_time_to_close(tmp_path: Path) -> None:
    """The form is complete then, and nobody has it yet."""
    before = open_files()

    async def scenario(run: Run) -> None:
        stream = SlowToClose()
        stream.feed_data(MESSAGE)
        stream.feed_eof()
        try:
            form = await run.once(lambda: read_form(FORM, stream, targets=lambda part: DirectoryTarget(tmp_path)))
        except asyncio.CancelledError:
            assert files(tmp_path) == {}
        else:
            await form.aclose()
            for path in tmp_path.iterdir():
                path.unlink()
        assert open_files() == before

    await at_every_await(scenario, least=5)


class Slow(NullTarget):
    """It waits in each of its methods."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    async def start(self, part: ReceivedPart) -> None:
        self.log.append("begun")
        await asyncio.sleep(0)
        await super().start(part)

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)

    async def finish(self) -> int:
        await asyncio.sleep(0)
        return await super().finish()

    async def abort(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        self.log.append("aborted")


async def test_every_target_that_was_begun_is_aborted() -> None:
    async def scenario(run: Run) -> None:
        log: list[str] = []
        try:
            await run.once(lambda: read_form(FORM, pieces(MESSAGE, MIB), targets=lambda part: Slow(log)))
        except asyncio.CancelledError:
            assert log.count("aborted") == log.count("begun")
        else:
            assert log == ["begun"] * 4

    await at_every_await(scenario, least=12)


@pytest.fixture
def file_size() -> Iterator[Callable[[int], None]]:
    """Sets the size beyond which no file grows, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 4096, MIB])
async def test_a_file_that_cannot_be_written(
    tmp_path: Path, threads: Threads, file_size: Callable[[int], None], size: int
) -> None:
    before = open_files()
    file_size(size)
    with pytest.raises(OSError, match="File too large") as caught:
        await read(tmp_path)
    assert caught.value.errno == errno.EFBIG
    assert files(tmp_path) == {}
    assert open_files() == before
    assert not threads.unfinished
    file_size(resource.RLIM_INFINITY)
    async with await read(tmp_path) as form:
        assert len(form) == 5
