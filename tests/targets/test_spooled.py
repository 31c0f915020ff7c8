"""SpooledTarget and what it gives: memory, then disk, without blocking, within a budget."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import tempfile
from pathlib import Path

import pytest

from aiomultipart import LimitExceeded, SavedFile, SpooledFile, SpooledTarget, StateError
from aiomultipart.targets import Budget, Spool, copy, disk
from tests.support.saving import MIB, Executor, Part, files, open_files, pattern, pieces

BODY = pattern(3 * MIB + 12345)


@pytest.fixture(params=["unnamed", "no /proc", "old kernel", "TemporaryFile"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How temporary files are made: as on Linux, there without /proc, and as on macOS."""
    if request.param == "no /proc":
        monkeypatch.setattr(disk, "_FILE_OF_FD", "/nowhere/{}")
    elif request.param == "old kernel":
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)  # the open() of a kernel that does not know the rest
        monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", True)  # it is told otherwise
    elif request.param == "TemporaryFile":
        monkeypatch.delattr(os, "O_TMPFILE")
        monkeypatch.setattr(tempfile, "_O_TMPFILE_WORKS", False)


async def spooled(body: bytes, directory: Path | None = None, *, max_memory: int = MIB) -> SpooledFile:
    return await copy(Part(), pieces(body), SpooledTarget(max_memory=max_memory, directory=directory))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize(("size", "rolled"), [(0, False), (1, False), (MIB, False), (MIB + 1, True), (len(BODY), True)])
async def test_memory_then_disk(tmp_path: Path, size: int, rolled: bool) -> None:
    before = open_files()
    async with await spooled(BODY[:size], tmp_path) as file:
        assert (file.size, file.on_disk, file.closed) == (size, rolled, False)
        assert len(open_files()) - len(before) == rolled
        assert await file.read() == BODY[:size]
        assert await file.read() == b""
        assert files(tmp_path) == {}  # it has no name
    assert file.closed
    assert open_files() == before


async def test_reading() -> None:
    for max_memory in (10 * MIB, 0):
        async with await spooled(BODY, max_memory=max_memory) as file:
            assert await file.read(0) == b""
            assert await file.read(10) == BODY[:10]
            assert file.tell() == 10
            chunks = file.iter_chunks(1000)
            assert await anext(chunks) == BODY[10:1010]
            assert await file.read(5) == BODY[1010:1015]
            assert await anext(chunks) == BODY[1015:2015]
            await chunks.aclose()  # type: ignore[attr-defined]
            rest = [chunk async for chunk in file.iter_chunks()]
            assert max(map(len, rest)) == 65536
            assert b"".join(rest) == BODY[2015:]
            assert await file.seek(len(BODY) + 5) == len(BODY) + 5
            assert await file.read() == b""
            await file.seek(0)
            assert b"".join([chunk async for chunk in file.iter_chunks(2 * MIB)]) == BODY
            with pytest.raises(ValueError, match="negative"):
                await file.seek(-1)
            with pytest.raises(ValueError, match="at least 1"):
                await anext(file.iter_chunks(0))


async def test_reading_in_short_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, size, position: pread(fd, min(size, 100_000), position))
    async with await spooled(BODY, max_memory=0) as file:
        assert await file.read() == BODY
        await file.seek(5)
        assert await file.read(200_000) == BODY[5:200_005]


async def test_reading_without_pread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pread")
    async with await spooled(BODY, max_memory=0) as file:
        assert await file.read(10) == BODY[:10]
        assert await file.read() == BODY[10:]


@pytest.mark.parametrize("max_memory", [10 * MIB, 0])
async def test_after_close(tmp_path: Path, max_memory: int) -> None:
    file = await spooled(BODY, max_memory=max_memory)
    await file.aclose()
    await file.aclose()
    for call in (file.read(), file.save(tmp_path / "x"), anext(file.iter_chunks()), file.move_to_disk()):
        with pytest.raises(StateError, match="closed"):
            await call
    with pytest.raises(StateError, match="closed"):
        file.file_object.read()
    assert files(tmp_path) == {}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("max_memory", [10 * MIB, 0])
async def test_save(tmp_path: Path, max_memory: int) -> None:
    before = open_files()
    digest = hashlib.sha256(BODY).hexdigest()
    async with await spooled(BODY, tmp_path, max_memory=max_memory) as file:
        await file.read(100)
        assert await file.save(tmp_path / "x") == SavedFile(tmp_path / "x", len(BODY), None)
        assert await file.save(tmp_path / "y", hash="sha256") == SavedFile(tmp_path / "y", len(BODY), digest)
        with pytest.raises(FileExistsError):
            await file.save(tmp_path / "x")
        (tmp_path / "z").write_bytes(b"old")
        await file.save(tmp_path / "z", hash="sha256", overwrite=True)
        assert await file.read() == BODY[100:]
    assert files(tmp_path) == dict.fromkeys("xyz", BODY)
    assert len({path.stat().st_ino for path in tmp_path.iterdir()}) == 3
    assert {oct(path.stat().st_mode) for path in tmp_path.iterdir()} == {"0o100600"}
    assert open_files() == before


@pytest.mark.parametrize("hash_name", [None, "sha256"])
async def test_the_temporary_file_itself_is_saved(tmp_path: Path, hash_name: str | None) -> None:
    async with await spooled(BODY, tmp_path) as file:
        inode = os.fstat(file.file_object.fileno()).st_ino
        saved = await file.save(tmp_path / "x", hash=hash_name)
        assert saved.path.stat().st_ino == inode
        assert saved.hexdigest == (hash_name and hashlib.sha256(BODY).hexdigest())
    assert files(tmp_path) == {"x": BODY}


async def test_save_to_another_file_system(tmp_path: Path) -> None:
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system")
    async with await spooled(BODY, other) as file:
        assert (await file.save(tmp_path / "x", hash="md5")).hexdigest == hashlib.md5(BODY).hexdigest()
    assert files(tmp_path) == {"x": BODY}


async def test_a_large_file_is_saved_in_steps(tmp_path: Path, executor: Executor) -> None:
    async with await spooled(BODY * 6, tmp_path) as file:
        await file.save(tmp_path / "x")
        before = executor.started
        await file.save(tmp_path / "y")
        assert executor.started - before == 3
    assert (tmp_path / "y").read_bytes() == BODY * 6


@pytest.mark.parametrize("max_memory", [10 * MIB, 0])
async def test_the_plain_file(max_memory: int) -> None:
    async with await spooled(BODY, max_memory=max_memory) as file:
        plain = file.file_object
        assert plain.read() == BODY
        assert file.file_object is plain
        assert plain.tell() == len(BODY)
        plain.seek(5)
        assert plain.readline() == BODY[5:]
    assert plain.closed


@pytest.mark.usefixtures("no_blocking")
@pytest.mark.parametrize("pread", [True, False], ids=["pread", "no pread"])
@pytest.mark.parametrize("max_memory", [10 * MIB, 0])
async def test_there_is_one_position(max_memory: int, pread: bool, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if not pread:
            patch.delattr(os, "pread")
        async with await spooled(BODY, max_memory=max_memory) as file:
            assert await file.read(10) == BODY[:10]
            plain = file.file_object
            assert (plain.tell(), file.tell()) == (10, 10)
            assert await asyncio.to_thread(plain.read, 10) == BODY[10:20]
            assert await file.read(10) == BODY[20:30]
            assert plain.tell() == 30
            await file.seek(MIB)
            assert await asyncio.to_thread(plain.read, 10) == BODY[MIB : MIB + 10]
            plain.seek(50)
            assert file.tell() == 50
            chunks = file.iter_chunks(1000)
            assert await anext(chunks) == BODY[50:1050]
            assert await asyncio.to_thread(plain.read, 2 * MIB) == BODY[1050 : 1050 + 2 * MIB]
            assert await anext(chunks) == BODY[1050 + 2 * MIB :][:1000]
            await chunks.aclose()  # type: ignore[attr-defined]
            await file.save(tmp_path / "x")
            assert await asyncio.to_thread(plain.read) == BODY[2050 + 2 * MIB :]
            assert await file.read() == b""
    assert await asyncio.to_thread((tmp_path / "x").read_bytes) == BODY


async def test_move_to_disk() -> None:
    async with await spooled(BODY[:100]) as file:
        await file.read(10)
        plain = file.file_object
        await file.move_to_disk()
        await file.move_to_disk()
        assert file.on_disk
        assert plain is not file.file_object
        assert file.file_object.read(10) == BODY[10:20]
        await file.seek(0)
        assert await file.read() == BODY[:100]


async def test_move_to_disk_keeps_the_position() -> None:
    for touch in (False, True):
        async with await spooled(BODY[:100]) as file:
            await file.seek(10)
            if touch:
                assert file.file_object.read(10) == BODY[10:20]
            await file.move_to_disk()
            assert file.tell() == 10 + 10 * touch
            assert await file.read() == BODY[10 + 10 * touch : 100]


async def test_close_without_a_loop() -> None:
    before = open_files()
    for max_memory in (10 * MIB, 0):
        file = await spooled(BODY, max_memory=max_memory)
        file.close()
        file.close()
    assert open_files() == before


# Failures


async def test_roll_over_that_fails(tmp_path: Path) -> None:
    before = open_files()
    budget = Budget()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (MIB // 2, 2 * MIB):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(OSError, match="File too large"):
                await copy(Part(), pieces(BODY), SpooledTarget(directory=tmp_path, budget=budget))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert open_files() == before
        assert (budget.memory, budget.open_files) == (0, 0)
    with pytest.raises(FileNotFoundError):
        await copy(Part(), pieces(BODY), SpooledTarget(directory=tmp_path / "nothing", budget=budget))
    assert (budget.memory, budget.open_files) == (0, 0)
    assert open_files() == before


async def test_a_cancelled_read_loses_nothing_and_closing_waits_for_it(executor: Executor) -> None:
    file = await spooled(BODY, max_memory=0)
    executor.hold()
    task = asyncio.create_task(file.read(100))
    await asyncio.sleep(0)
    with pytest.raises(StateError, match="another task"):
        await file.read(1)
    with pytest.raises(StateError, match="another task"):
        file.close()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(StateError, match="another task"):
        file.close()
    executor.let_go()
    assert await file.read(100) == BODY[:100]
    executor.hold()
    task = asyncio.create_task(file.read(100))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    closing = asyncio.create_task(file.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not closing.done()
    executor.let_go()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert file.closed
    assert executor.unfinished == 0


@pytest.mark.usefixtures("no_blocking")
async def test_nothing_blocks_the_loop(tmp_path: Path) -> None:
    async with await spooled(BODY, tmp_path) as file:
        assert await file.read() == BODY
        await file.save(tmp_path / "x", hash="md5")
        await file.save(tmp_path / "y")
    async with await spooled(BODY[:100]) as file:
        await file.move_to_disk()
    with pytest.raises(ZeroDivisionError):
        await copy(Part(), pieces(BODY, error=ZeroDivisionError()), SpooledTarget())


# Budget


async def test_memory_that_is_shared() -> None:
    budget = Budget(max_memory=1000)
    kept = []
    for size, rolled, memory in ((600, False, 600), (500, True, 600), (400, False, 1000), (1, True, 1000)):
        file = await copy(Part(), pieces(BODY[:size], 7), SpooledTarget(budget=budget))
        assert (file.on_disk, budget.memory) == (rolled, memory)
        kept.append(file)
    assert budget.open_files == 2
    await kept[0].move_to_disk()
    assert (budget.memory, budget.open_files) == (400, 3)
    for file in kept:
        await file.aclose()
    assert (budget.memory, budget.open_files) == (0, 0)


async def test_files_that_are_open() -> None:
    budget = Budget(max_open_files=1)
    async with await copy(Part(), pieces(BODY), SpooledTarget(budget=budget)):
        with pytest.raises(LimitExceeded, match="max_open_files of 1") as caught:
            await copy(Part(), pieces(BODY), SpooledTarget(budget=budget))
        assert (caught.value.limit, caught.value.value) == ("max_open_files", 1)
        async with await copy(Part(), pieces(BODY[:9]), SpooledTarget(budget=budget)) as small:
            with pytest.raises(LimitExceeded):
                await small.move_to_disk()
            assert await small.read() == BODY[:9]
    async with await copy(Part(), pieces(BODY), SpooledTarget(budget=budget)) as file:
        assert file.on_disk


async def test_a_target_that_is_aborted_gives_its_budget_back() -> None:
    budget = Budget()
    for body in (BODY, BODY[:9]):
        target = SpooledTarget(budget=budget)
        file = await copy(Part(), pieces(body), target)
        await target.abort()
        assert file.closed
        assert (budget.memory, budget.open_files) == (0, 0)


# Without asyncio


def test_the_plain_core(tmp_path: Path) -> None:
    for max_memory in (10 * MIB, 1000, 0):
        spool = Spool(max_memory=max_memory, directory=tmp_path)
        for start in range(0, len(BODY), 65536):
            spool.write(BODY[start : start + 65536])
        assert (spool.size, spool.on_disk) == (len(BODY), max_memory < MIB)
        assert spool.file_object.read() == BODY
        spool.close()
        with pytest.raises(StateError):
            spool.write(b"x")
