"""FileTarget and DirectoryTarget, and saving a part: whole or not at all, and never on the event loop."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import resource
import stat
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import blockbuster
import pytest

from aiomultipart import (
    BodyPartReader,
    DirectoryTarget,
    FileTarget,
    IncompleteBody,
    MultipartReader,
    SavedFile,
    StateError,
    safe_filename,
)
from aiomultipart.targets import copy, disk
from tests.support.reading import FORM, build, next_part
from tests.support.saving import MIB, Executor, Part, files, open_files, pattern, pieces

BODY = pattern(3 * MIB + 12345)
HEAD = b'Content-Disposition: form-data; name="photo"; filename="../../etc/photo.jpg"'
MESSAGE = build((HEAD, BODY), (HEAD, b"next"))


@pytest.fixture(params=["unnamed", "no /proc", "old kernel", "named", "by path"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How files are made: as on Linux, there without /proc, long ago, on macOS, by path."""
    if request.param == "no /proc":
        monkeypatch.setattr(disk, "_FILE_OF_FD", "/nowhere/{}")
    elif request.param == "old kernel":
        monkeypatch.setattr(os, "O_TMPFILE", os.O_DIRECTORY)  # the open() of a kernel that does not know the rest
    elif request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE")
    elif request.param == "by path":
        monkeypatch.setattr(disk, "_HAS_DIR_FD", False)
    return str(request.param)


async def first(message: bytes = MESSAGE) -> BodyPartReader:
    return await next_part(MultipartReader(FORM, pieces(message)))


# Saving


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("size", [0, 1, 65536, MIB, len(BODY)])
async def test_save(tmp_path: Path, size: int) -> None:
    before = open_files()
    part = await first(build((HEAD, BODY[:size])))
    saved = await part.save(tmp_path / "photo.jpg", hash="sha256")
    assert saved == SavedFile(tmp_path / "photo.jpg", size, hashlib.sha256(BODY[:size]).hexdigest())
    assert files(tmp_path) == {"photo.jpg": BODY[:size]}
    assert stat.S_IMODE((tmp_path / "photo.jpg").stat().st_mode) == 0o600
    assert open_files() == before


async def test_save_to_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    part = await first()
    assert await part.save("photo.jpg") == SavedFile(Path("photo.jpg"), len(BODY), None)
    assert files(tmp_path) == {"photo.jpg": BODY}


async def test_what_is_saved_is_decoded(tmp_path: Path) -> None:
    message = build((b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64", b"aGVs\r\nbG8="))
    part = await next_part(MultipartReader({"Content-Type": "multipart/mixed; boundary=b"}, message))
    await part.save(tmp_path / "x")
    assert files(tmp_path) == {"x": b"hello"}


@pytest.mark.usefixtures("way")
async def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"old")
    part = await first()
    with pytest.raises(FileExistsError, match=r"photo\.jpg"):
        await part.save(tmp_path / "photo.jpg")
    assert files(tmp_path) == {"photo.jpg": b"old"}


@pytest.mark.usefixtures("way")
async def test_a_file_that_comes_meanwhile_stays(tmp_path: Path) -> None:
    before = open_files()

    async def chunks() -> AsyncIterator[bytes]:
        async for piece in pieces(BODY):
            yield piece
        (tmp_path / "x").write_bytes(b"other")

    with pytest.raises(FileExistsError):
        await copy(Part(), chunks(), FileTarget(tmp_path / "x"))
    assert files(tmp_path) == {"x": b"other"}
    assert open_files() == before


@pytest.mark.usefixtures("way")
async def test_overwrite(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"old")
    await (await first()).save(tmp_path / "photo.jpg", overwrite=True)
    assert files(tmp_path) == {"photo.jpg": BODY}
    await (await first()).save(tmp_path / "new.jpg", overwrite=True)
    assert set(files(tmp_path)) == {"photo.jpg", "new.jpg"}


@pytest.mark.usefixtures("way")
async def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "victim").write_bytes(b"old")
    for name, target in (("link", "there/victim"), ("dangling", "there/nothing")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(FileExistsError):
            await (await first()).save(tmp_path / name)
        assert (tmp_path / name).is_symlink()
        await (await first()).save(tmp_path / name, overwrite=True)
        assert not (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_bytes() == BODY
    assert files(tmp_path / "there") == {"victim": b"old"}


async def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EPERM, "as on FAT")

    monkeypatch.setattr(os, "link", link)
    assert (await (await first()).save(tmp_path / "x")).size == len(BODY)
    with pytest.raises(FileExistsError):
        await (await first()).save(tmp_path / "x")
    assert files(tmp_path) == {"x": BODY}


async def test_a_system_that_writes_less_than_it_is_asked_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", lambda fd, pieces: os.write(fd, pieces[0][:100]))
    assert (await (await first()).save(tmp_path / "x")).size == len(BODY)
    assert files(tmp_path) == {"x": BODY}


@pytest.mark.usefixtures("way")
async def test_fsync(tmp_path: Path) -> None:
    await copy(Part(), pieces(BODY), FileTarget(tmp_path / "x", fsync=True))
    assert files(tmp_path) == {"x": BODY}


@pytest.mark.parametrize("path", ["", "/", ".", "..", "x/", "x/..", "a\0b"])
def test_a_path_that_names_no_file(path: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        FileTarget(path)


@pytest.mark.parametrize("name", ["sha257", "shake_128", ""])
def test_a_hash_that_is_not_known(tmp_path: Path, name: str) -> None:
    for make in (lambda: FileTarget(tmp_path / "x", hash=name), lambda: DirectoryTarget(tmp_path, hash=name)):
        with pytest.raises(ValueError, match="hash"):
            make()


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await (await first()).save(tmp_path / "nothing" / "x")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        await (await first()).save(tmp_path / "file" / "x")


async def test_saving_fails_early_when_the_name_is_taken(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            yield bytes(MIB // 2)
            taken += 1

    with pytest.raises(FileExistsError):
        await copy(Part(), chunks(), FileTarget(tmp_path / "x"))
    assert taken < 10


# Failures


@pytest.mark.usefixtures("way")
async def test_a_message_that_is_cut_leaves_nothing(tmp_path: Path) -> None:
    before = open_files()
    part = await first(MESSAGE[: 2 * MIB])
    with pytest.raises(IncompleteBody):
        await part.save(tmp_path / "x")
    assert files(tmp_path) == {}
    assert open_files() == before


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("hash_name", [None, "md5"])
async def test_a_file_that_may_not_grow(tmp_path: Path, hash_name: str | None) -> None:
    before = open_files()
    part = await first()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * MIB, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            await part.save(tmp_path / "x", hash=hash_name)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert files(tmp_path) == {}
    assert open_files() == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting is not allowed: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


@pytest.mark.usefixtures("way")
async def test_a_full_disk(small_disk: Path) -> None:
    part = await first()
    with pytest.raises(OSError, match="No space left") as caught:
        await part.save(small_disk / "x")
    assert caught.value.errno == errno.ENOSPC
    assert files(small_disk) == {}
    # All of its space is back.
    await copy(Part(), pieces(BODY[:MIB]), FileTarget(small_disk / "y"))
    assert files(small_disk) == {"y": BODY[:MIB]}


@pytest.mark.parametrize("body", [BODY[:100], BODY])
async def test_cancelled_while_the_thread_works(tmp_path: Path, executor: Executor, body: bytes) -> None:
    part = await first(build((HEAD, body)))
    executor.hold()
    task = asyncio.create_task(part.save(tmp_path / "x"))
    await executor.first_started.wait()
    for _ in range(3):
        task.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not task.done()
    executor.let_go()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert executor.unfinished == 0
    assert files(tmp_path) == {}


async def test_a_job_that_fails_beside_the_source(tmp_path: Path, executor: Executor) -> None:
    before = open_files()
    (tmp_path / "x").touch()
    with pytest.raises(KeyError) as caught:
        await copy(Part(), pieces(b"", error=KeyError()), FileTarget(tmp_path / "x"))
    assert not hasattr(caught.value, "__notes__")
    assert executor.unfinished == 0
    assert open_files() == before


async def test_the_part_can_be_read_on_after_a_target_failed(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    reader = MultipartReader(FORM, pieces(MESSAGE))
    part = await next_part(reader)
    with pytest.raises(FileExistsError):
        await part.save(tmp_path / "x")
    await part.release()
    assert await (await next_part(reader)).read() == b"next"


async def test_few_hops_to_the_thread(tmp_path: Path, executor: Executor) -> None:
    await copy(Part(), pieces(BODY[:100], 1), FileTarget(tmp_path / "small"))
    assert executor.started == 2
    await copy(Part(), pieces(BODY), FileTarget(tmp_path / "large"))
    assert executor.started - 2 <= 2 + len(BODY) // MIB


async def test_little_is_held_while_the_thread_is_busy(tmp_path: Path, executor: Executor) -> None:
    executor.hold()
    taken = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal taken
        async for piece in pieces(BODY * 3):
            taken += len(piece)
            yield piece

    task = asyncio.create_task(copy(Part(), chunks(), FileTarget(tmp_path / "x")))
    for _ in range(1000):
        await asyncio.sleep(0)
    assert 0 < taken <= 2 * MIB
    executor.let_go()
    assert (await task).size == taken == 3 * len(BODY)


async def test_objects_are_counted_like_bytes(tmp_path: Path, executor: Executor) -> None:
    executor.hold()
    target = FileTarget(tmp_path / "x")
    await target.start(Part())
    for _ in range(MIB // 66):
        await target.write(b"xy")
    writing = asyncio.create_task(target.write(b"xy"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not writing.done()  # it waits for room
    executor.let_go()
    await writing
    await target.finish()


@pytest.mark.usefixtures("no_blocking")
async def test_nothing_blocks_the_loop(tmp_path: Path) -> None:
    with pytest.raises(blockbuster.BlockingError):
        os.stat(tmp_path)  # noqa: PTH116 - it does look
    target = DirectoryTarget(tmp_path, name=lambda part: "a", hash="sha256", fsync=True)
    assert (await copy(Part(), pieces(BODY), target)).size == len(BODY)
    assert (await (await first()).save(tmp_path / "b")).size == len(BODY)
    with pytest.raises(ZeroDivisionError):
        await copy(Part(), pieces(BODY, error=ZeroDivisionError()), FileTarget(tmp_path / "c"))


# Directories


@pytest.mark.usefixtures("way")
async def test_a_directory_names_by_itself(tmp_path: Path) -> None:
    saved = [await (await first()).copy_to(DirectoryTarget(tmp_path, hash="md5")) for _ in range(3)]
    assert files(tmp_path) == {each.path.name: BODY for each in saved}
    assert len({each.path for each in saved}) == 3
    for each in saved:
        assert each.path.parent == tmp_path
        assert "photo" not in each.path.name
        assert each.hexdigest == hashlib.md5(BODY).hexdigest()


async def test_a_directory_with_names_of_the_caller(tmp_path: Path) -> None:
    target = DirectoryTarget(tmp_path, name=lambda part: safe_filename(part.filename or "none"))
    assert (await (await first()).copy_to(target)).path == tmp_path / "photo.jpg"
    assert files(tmp_path) == {"photo.jpg": BODY}


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x", "/etc/x", "a\\b", "x/", "a\0b"])
async def test_a_directory_is_not_left(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    (inside / "a").mkdir(parents=True)
    with pytest.raises(ValueError, match="no name"):
        await (await first()).copy_to(DirectoryTarget(inside, name=lambda part: name))
    assert list(tmp_path.rglob("*")) == [inside, inside / "a"]


@pytest.mark.usefixtures("way")
async def test_no_link_leads_out_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "x").symlink_to("../outside")
    with pytest.raises(FileExistsError):
        await (await first()).copy_to(DirectoryTarget(tmp_path / "inside", name=lambda part: "x"))
    saved = await (await first()).copy_to(
        DirectoryTarget(tmp_path / "inside", name=lambda part: "x", collision="number")
    )
    assert saved.path.name == "x-1"
    assert not (tmp_path / "outside").exists()


async def test_a_directory_that_is_exchanged_meanwhile(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()

    async def chunks() -> AsyncIterator[bytes]:
        async for piece in pieces(BODY):
            yield piece
        inside.rename(tmp_path / "moved")
        inside.symlink_to("outside")

    await copy(Part(), chunks(), DirectoryTarget(inside, name=lambda part: "x"))
    assert files(tmp_path / "moved") == {"x": BODY}
    assert files(outside) == {}


@pytest.mark.usefixtures("way")
async def test_numbered(tmp_path: Path) -> None:
    for expected in ("a.tar", "a-1.tar", "a-2.tar"):
        target = DirectoryTarget(tmp_path, name=lambda part: "a.tar", collision="number")
        assert (await copy(Part(), pieces(BODY[:10]), target)).path.name == expected
    assert files(tmp_path) == dict.fromkeys(["a.tar", "a-1.tar", "a-2.tar"], BODY[:10])
    with pytest.raises(FileExistsError):
        await copy(Part(), pieces(b"x"), DirectoryTarget(tmp_path, name=lambda part: "a.tar"))
    long = "é" * 125 + ".jpeg"
    for _ in range(11):
        target = DirectoryTarget(tmp_path, name=lambda part: long, collision="number")
        saved = await copy(Part(), pieces(b"x"), target)
        assert saved.path.suffix == ".jpeg"
    assert saved.path.name == "é" * 123 + "-10.jpeg"


@pytest.mark.usefixtures("way")
async def test_numbers_go_on_past_999(tmp_path: Path) -> None:
    for name in ["x", *(f"x-{number}" for number in range(1, 1000))]:
        (tmp_path / name).touch()
    for expected in ("x-1000", "x-1001"):
        target = DirectoryTarget(tmp_path, name=lambda part: "x", collision="number")
        assert (await copy(Part(), pieces(b"x"), target)).path.name == expected
    assert len(list(tmp_path.iterdir())) == 1002


@pytest.mark.usefixtures("way")
async def test_a_number_that_somebody_takes_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nobody can say that a name is free; only who gets it knows.
    monkeypatch.setattr(disk.Folder, "status", lambda self, name: None)
    for expected in ("x", "x-1", "x-2"):
        target = DirectoryTarget(tmp_path, name=lambda part: "x", collision="number")
        assert (await copy(Part(), pieces(b"x"), target)).path.name == expected


def test_a_collision_that_is_not_known(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="collision"):
        DirectoryTarget(tmp_path, collision="replace")  # type: ignore[arg-type]


# The order of the calls


async def test_a_target_is_for_one_part(tmp_path: Path) -> None:
    target = FileTarget(tmp_path / "x")
    await copy(Part(), pieces(b"one"), target)
    with pytest.raises(StateError):
        await copy(Part(), pieces(b"two"), target)
    assert files(tmp_path) == {"x": b"one"}


async def test_abort_after_finish_removes_what_was_made_and_nothing_else(tmp_path: Path) -> None:
    target = FileTarget(tmp_path / "x")
    await copy(Part(), pieces(b"one"), target)
    await target.abort()
    await target.abort()
    assert files(tmp_path) == {}
    target = FileTarget(tmp_path / "x")
    await copy(Part(), pieces(b"one"), target)
    (tmp_path / "x").unlink()
    (tmp_path / "x").write_bytes(b"other")
    await target.abort()
    assert files(tmp_path) == {"x": b"other"}
