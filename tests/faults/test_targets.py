"""Targets: cancelled at each await, with a thread at work or not, they leave no file, and nothing open."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aiomultipart import (
    DirectoryTarget,
    FileTarget,
    HashTarget,
    MultipartReader,
    ReceivedPart,
    SpooledTarget,
    TeeTarget,
)
from aiomultipart.targets import Budget, copy
from aiomultipart.writing.sinks import closing
from tests.faults.conftest import Threads
from tests.support.awaits import Run, at_every_await
from tests.support.reading import FORM, build, next_part
from tests.support.saving import MIB, Part, files, pattern, pieces

BODY = pattern(2 * MIB + 12345)
PIECE = MIB // 2


@pytest.fixture(params=["unnamed", "named"], autouse=True)
def _kind_of_file(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
        monkeypatch.setattr("tempfile._O_TMPFILE_WORKS", False)


async def save_part(path: Path) -> None:
    message = build((b'Content-Disposition: form-data; name="a"', BODY))
    async with closing(pieces(message, PIECE)) as chunks:
        part = await next_part(MultipartReader(FORM, chunks))
        await part.save(path, hash="md5")


async def copy_all(path: Path, *, overwrite: bool = False) -> None:
    async with closing(pieces(BODY, PIECE)) as chunks:
        await copy(Part(), chunks, TeeTarget(FileTarget(path, overwrite=overwrite, fsync=True), HashTarget()))


async def copy_numbered(path: Path) -> None:
    async with closing(pieces(BODY, PIECE)) as chunks:
        await copy(Part(), chunks, DirectoryTarget(path.parent, name=lambda part: "x", collision="number"))


@pytest.mark.parametrize("save", [save_part, copy_all, copy_numbered])
async def test_saving(tmp_path: Path, threads: Threads, save: Callable[[Path], asyncio.Future[None]]) -> None:
    async def scenario(run: Run) -> None:
        try:
            await run.once(lambda: save(tmp_path / "x"))
        except asyncio.CancelledError:
            assert files(tmp_path) == {}
        else:
            assert files(tmp_path) == {"x": BODY}
            (tmp_path / "x").unlink()
        assert not threads.unfinished

    await at_every_await(scenario, least=6)


async def test_replacing(tmp_path: Path) -> None:
    async def scenario(run: Run) -> None:
        (tmp_path / "x").write_bytes(b"old")
        try:
            await run.once(lambda: copy_all(tmp_path / "x", overwrite=True))
        except asyncio.CancelledError:
            # To replace is one step, and is not undone.
            assert files(tmp_path) in ({"x": b"old"}, {"x": BODY})
        else:
            assert files(tmp_path) == {"x": BODY}

    await at_every_await(scenario, least=6)


async def test_spooling(tmp_path: Path, threads: Threads) -> None:
    budget = Budget()

    async def use() -> None:
        async with closing(pieces(BODY, PIECE)) as chunks:
            target = SpooledTarget(directory=tmp_path, budget=budget)
            file = await copy(Part(), chunks, target)
        async with file:
            assert file.on_disk
            assert await file.read() == BODY
            await file.save(tmp_path / "x")
            await file.save(tmp_path / "y", hash="md5")

    async def scenario(run: Run) -> None:
        try:
            await run.once(use)
        except asyncio.CancelledError:
            # What was saved before stays, and is whole.
            assert set(files(tmp_path).values()) <= {BODY}
        else:
            assert files(tmp_path) == {"x": BODY, "y": BODY}
        for path in tmp_path.iterdir():
            path.unlink()
        assert not threads.unfinished
        assert (budget.memory, budget.open_files) == (0, 0)

    await at_every_await(scenario, least=10)


async def test_rolling_over(tmp_path: Path) -> None:
    budget = Budget()

    async def use() -> None:
        async with await copy(Part(), pieces(BODY[:10]), SpooledTarget(budget=budget)) as file:
            await file.move_to_disk()
            assert await file.read() == BODY[:10]

    async def scenario(run: Run) -> None:
        try:
            await run.once(use)
        except asyncio.CancelledError:
            pass
        assert (budget.memory, budget.open_files) == (0, 0)

    await at_every_await(scenario, least=3)


class Slow:
    """A target that waits in each of its methods, in ``abort()`` for long."""

    def __init__(self) -> None:
        self.is_started = self.is_aborted = False

    async def start(self, part: ReceivedPart) -> None:
        self.is_started = True
        await asyncio.sleep(0)

    async def write(self, data: bytes) -> None:
        await asyncio.sleep(0)

    async def finish(self) -> None:
        await asyncio.sleep(0)

    async def abort(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        self.is_aborted = True


async def test_an_abort_comes_to_its_end() -> None:
    async def scenario(run: Run) -> None:
        target = Slow()

        async def use() -> None:
            async with closing(pieces(b"abc", 1)) as chunks:
                await copy(Part(), chunks, target)

        try:
            await run.once(use)
        except asyncio.CancelledError:
            assert target.is_aborted
        else:
            assert not target.is_aborted

    await at_every_await(scenario, least=5)
