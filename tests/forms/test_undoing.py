"""What targets stored for a form is undone when its handler fails, and stays when it does not."""

from __future__ import annotations

import asyncio
import gc
import os
import warnings
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aiomultipart import (
    CallbackTarget,
    DirectoryTarget,
    FileTarget,
    Form,
    HashTarget,
    MemoryTarget,
    NullTarget,
    ReceivedPart,
    RejectedPart,
    SavedFile,
    SpooledTarget,
    StateError,
    TeeTarget,
    UploadedFile,
    ValidatedTarget,
    parse_form,
    read_form,
)
from aiomultipart.targets import Targets, as_sync
from aiomultipart.testing import ScriptedSource
from tests.support.reading import FORM, build
from tests.support.saving import MIB, files, open_files, pattern

BODY = pattern(MIB + 7)


def file(name: str, body: bytes = BODY) -> tuple[bytes, bytes]:
    return f'Content-Disposition: form-data; name="{name}"; filename="{name}"'.encode(), body


MESSAGE = build(file("a"), file("b"), file("c", b"123"), (b'Content-Disposition: form-data; name="d"', b"4"))


def into(directory: Path) -> Targets:
    return {
        "a": lambda part: DirectoryTarget(directory, name=lambda part: "a"),
        "b": lambda part: TeeTarget(FileTarget(directory / "b"), HashTarget("md5")),
    }


async def read(directory: Path) -> Form:
    return await read_form(FORM, MESSAGE, targets=into(directory))


async def parse(directory: Path) -> Form:
    return parse_form(FORM, MESSAGE, targets=into(directory))


@pytest.fixture(params=[read, parse], ids=["read_form", "parse_form"])
def form_of(request: pytest.FixtureRequest) -> Callable[[Path], Awaitable[Form]]:
    found: Callable[[Path], Awaitable[Form]] = request.param
    return found


async def leave_by_an_error(form: Form) -> None:
    async with form:
        raise ZeroDivisionError


async def test_by_an_exception_in_the_block(tmp_path: Path, form_of: Any) -> None:
    form = await form_of(tmp_path)
    assert files(tmp_path) == {"a": BODY, "b": BODY}
    with pytest.raises(ZeroDivisionError):
        await leave_by_an_error(form)
    assert files(tmp_path) == {}
    with pytest.raises(StateError):
        form.file("c").read_sync()
    with pytest.raises(ZeroDivisionError), await form_of(tmp_path) as form:
        raise ZeroDivisionError
    assert files(tmp_path) == {}


async def test_by_a_cancellation(tmp_path: Path) -> None:
    async def handle() -> None:
        async with read_form(FORM, MESSAGE, targets=into(tmp_path)):
            reached.set()
            await asyncio.Event().wait()

    reached = asyncio.Event()
    task = asyncio.create_task(handle())
    await reached.wait()
    assert files(tmp_path) == {"a": BODY, "b": BODY}
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(tmp_path) == {}


async def test_what_is_left_alone(tmp_path: Path, form_of: Any) -> None:
    async with await form_of(tmp_path):
        pass
    assert files(tmp_path) == {"a": BODY, "b": BODY}


async def test_keep(tmp_path: Path, form_of: Any) -> None:
    form = await form_of(tmp_path)
    form.keep()
    with pytest.raises(ZeroDivisionError):
        await leave_by_an_error(form)
    assert files(tmp_path) == {"a": BODY, "b": BODY}
    assert form.file("c").result.closed


async def test_discard(tmp_path: Path, form_of: Any) -> None:
    form = await form_of(tmp_path)
    await form.discard()
    await form.discard()
    assert files(tmp_path) == {}
    form = await form_of(tmp_path)
    form.copy().discard_sync()
    assert files(tmp_path) == {}
    assert form.file("c").result.closed


async def test_what_was_saved_by_hand_stays(tmp_path: Path) -> None:
    form = await read_form(FORM, MESSAGE)
    await form.file("a").save(tmp_path / "mine")
    with pytest.raises(ZeroDivisionError):
        await leave_by_an_error(form)
    assert files(tmp_path) == {"mine": BODY}


async def test_the_last_first_and_all_are_tried() -> None:
    calls: list[str] = []

    def target(part: ReceivedPart) -> CallbackTarget[None]:
        def abort() -> None:
            calls.append(part.name or "")
            if part.name != "b":
                raise OSError(part.name)

        return CallbackTarget(lambda data: None, abort=abort)

    for read in (read_form, lambda *args, **kwargs: asyncio.sleep(0, parse_form(*args, **kwargs))):
        with pytest.raises(ZeroDivisionError) as caught:
            async with await read(FORM, MESSAGE, targets=target):  # type: ignore[operator]
                raise ZeroDivisionError
        assert calls == ["c", "b", "a"]
        assert [note.partition("failed: ")[2] for note in caught.value.__notes__] == ["OSError('c')", "OSError('a')"]
        calls.clear()
        with pytest.raises(OSError, match="c") as by_hand:
            await (await read(FORM, MESSAGE, targets=target)).discard()  # type: ignore[operator]
        assert len(by_hand.value.__notes__) == 1
        calls.clear()


@pytest.mark.parametrize("step", range(1, 30))
async def test_a_loop_that_cancels_all_tasks_again_and_again(tmp_path: Path, step: int) -> None:
    """As a server that is stopped does; the tasks that undo are among them."""
    me = asyncio.current_task()
    before = open_files()
    message = build(*[file(name) for name in "abcd"])

    async def endless() -> Any:
        for start in range(0, len(message), 300_000):
            yield message[start : start + 300_000]
            await asyncio.sleep(0)

    async def handle() -> None:
        async with read_form(FORM, endless(), targets=lambda part: DirectoryTarget(tmp_path)):
            await asyncio.Event().wait()

    task = asyncio.create_task(handle())
    for _ in range(step):
        await asyncio.sleep(0)
    for _ in range(2):
        for other in asyncio.all_tasks() - {me}:
            other.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(tmp_path) == {}
    assert open_files() == before


async def test_a_form_that_is_never_closed_says_so(recwarn: pytest.WarningsRecorder) -> None:
    warnings.simplefilter("always")
    form = await read_form(FORM, build(file("a"), file("b", b"1")))
    del form
    gc.collect()
    assert [str(each.message) for each in recwarn] == ["unclosed Form with the files 'a', 'b'"]
    assert recwarn[0].category is ResourceWarning
    recwarn.clear()
    form = await read_form(FORM, build(file("b", b"1")))
    async with read_form(FORM, build(file("a"))) as other:
        pass
    del form, other
    gc.collect()
    assert list(recwarn) == []


# How a form is read


async def test_awaited_and_entered() -> None:
    async with read_form(FORM, MESSAGE) as form:
        assert form.text("d") == "4"
    async with await read_form(FORM, MESSAGE) as form:
        assert form.text("d") == "4"
    form = await asyncio.create_task(read_form(FORM, MESSAGE))
    form.close()
    form = await asyncio.wait_for(read_form(FORM, MESSAGE), 20)
    form.close()


def test_one_that_is_never_awaited() -> None:
    with pytest.warns(RuntimeWarning, match="never awaited"):
        read_form(FORM, MESSAGE)
    read_form(FORM, MESSAGE).close()


# Without an event loop


class Plain:
    """A target of plain methods."""

    def __init__(self, log: list[Any], fail: str = "") -> None:
        self.log = log
        self.fail = fail

    def call(self, name: str, what: Any = None) -> None:
        self.log.append((name, what))
        if name == self.fail:
            raise ZeroDivisionError

    def start(self, part: ReceivedPart) -> None:
        self.call("start", part.name)

    def write(self, data: bytes) -> None:
        self.call("write", data)

    def finish(self) -> int:
        self.call("finish")
        return 5

    def abort(self) -> None:
        self.call("abort")


@pytest.mark.parametrize("fail", ["", "start", "write", "finish"])
async def test_a_target_of_plain_methods(fail: str) -> None:
    message = build(file("a", b"1"), file("b", b"22"))
    logs: list[list[Any]] = []
    for read in (parse_form, read_form):
        log: list[Any] = []
        logs.append(log)
        targets: Targets = {"a": lambda part, log=log: Plain(log), "b": lambda part, log=log: Plain(log, fail)}  # type: ignore[misc]
        try:
            form = read(FORM, message, targets=targets)
            async with form if isinstance(form, Form) else await form as form:
                assert [each.result for each in form.files] == [5, 5]
        except ZeroDivisionError:
            assert fail
            assert log[-2:] == [("abort", None)] * 2
        else:
            assert not fail
            assert [name for name, _ in log] == ["start", "write", "finish"] * 2
    assert logs[0] == logs[1]


async def test_every_target_has_both_faces(tmp_path: Path) -> None:
    body = pattern(3 * MIB + 1)
    taken: list[bytes] = []
    numbers = iter(range(100))
    makers: list[Callable[[], Any]] = [
        NullTarget,
        MemoryTarget,
        HashTarget,
        lambda: FileTarget(tmp_path / f"f{next(numbers)}", hash="md5"),
        lambda: DirectoryTarget(tmp_path, hash="sha1"),
        lambda: CallbackTarget(taken.append, start=lambda part: None, finish=lambda: len(taken) > 0),
        lambda: TeeTarget(MemoryTarget(), HashTarget("md5")),
        lambda: ValidatedTarget(MemoryTarget(), magic=lambda first: first.startswith(b"0000"), max_size=5 * MIB),
        lambda: TeeTarget(ValidatedTarget(Plain([]), content_types=["application/octet-stream"])),
    ]
    for make in makers:
        results = []
        for read in (parse_form, read_form):
            form = read(FORM, build(file("a", body)), targets=lambda part, make=make: make())  # type: ignore[misc]
            async with form if isinstance(form, Form) else await form as form:
                result: Any = form.file("a").result
                results.append((result.size, result.hexdigest) if isinstance(result, SavedFile) else result)
        assert results[0] == results[1]
    assert b"".join(taken) == body * 2
    saved = files(tmp_path)
    assert len(saved) == 4
    assert set(saved.values()) == {body}


async def test_every_target_is_undone_without_a_loop(tmp_path: Path) -> None:
    aborted: list[int] = []
    targets: Targets = {
        "a": lambda part: TeeTarget(FileTarget(tmp_path / "a"), SpooledTarget(), HashTarget()),
        "b": lambda part: ValidatedTarget(DirectoryTarget(tmp_path), magic=lambda first: True),
        "c": lambda part: CallbackTarget(lambda data: None, abort=lambda: aborted.append(1)),
        "d": lambda part: ValidatedTarget(MemoryTarget(), magic=lambda first: False),
    }
    before = open_files()
    for _ in range(2):
        with pytest.raises(RejectedPart) as caught:
            parse_form(FORM, build(*map(file, "abcd")), targets=targets)
        assert (caught.value.part_name, caught.value.part_index) == ("d", 3)
        assert files(tmp_path) == {}
        assert open_files() == before
    assert aborted == [1, 1]


class OnlyCoroutines(NullTarget):
    """As one that was written for asyncio alone."""

    check_sync = property()  # type: ignore[assignment]


async def coroutine(*args: Any) -> bool:
    return True


@pytest.mark.parametrize(
    "make",
    [
        OnlyCoroutines,
        lambda: CallbackTarget(coroutine),
        lambda: CallbackTarget(print, finish=coroutine),
        lambda: TeeTarget(HashTarget(), CallbackTarget(coroutine)),
        lambda: ValidatedTarget(OnlyCoroutines()),
        lambda: ValidatedTarget(MemoryTarget(), magic=coroutine),
    ],
)
def test_a_target_that_has_only_coroutines(make: Callable[[], Any], tmp_path: Path) -> None:
    """It is refused before it gets a byte; in place of a factory, before one is read."""
    targets = {"a": lambda part: FileTarget(tmp_path / "a"), "b": lambda part: make()}
    with pytest.raises(TypeError, match="event loop"):
        parse_form(FORM, build(file("a"), file("b")), targets=targets)
    assert files(tmp_path) == {}
    with pytest.raises(TypeError, match="event loop"):
        parse_form(FORM, Unread(), targets={"b": make()})
    with pytest.raises(TypeError, match="event loop"):
        as_sync(make())


class Unread:
    """A body that nobody may read."""

    def read(self, size: int, /) -> bytes:
        raise AssertionError("it was read")


def test_a_function_that_gives_an_awaitable_all_the_same() -> None:
    with pytest.raises(TypeError, match="awaitable"):
        parse_form(FORM, MESSAGE, targets=lambda part: CallbackTarget(lambda data: coroutine()))


async def test_copies_of_a_file(tmp_path: Path) -> None:
    async with read_form(FORM, MESSAGE) as form:
        for name, body in (("a", BODY), ("c", b"123")):
            upload = form.file(name)
            await upload.read(2)
            assert await upload.copy_to(MemoryTarget()) == body
            assert upload.copy_to_sync(MemoryTarget()) == body
            assert (await upload.copy_to(FileTarget(tmp_path / "x", hash="md5"))).size == len(body)
            assert upload.copy_to_sync(FileTarget(tmp_path / "y")).size == len(body)
            with pytest.raises(RejectedPart):
                await upload.copy_to(ValidatedTarget(FileTarget(tmp_path / "z"), magic=lambda first: False))
            with pytest.raises(RejectedPart):
                upload.copy_to_sync(ValidatedTarget(FileTarget(tmp_path / "z"), magic=lambda first: False))
            assert files(tmp_path) == {"x": body, "y": body}
            for path in tmp_path.iterdir():
                path.unlink()
            assert await upload.read(1) == body[2:3]
            assert upload.read_sync() == body[3:]


async def test_modes(tmp_path: Path) -> None:
    async with read_form(FORM, MESSAGE) as form:
        for name in "ac":
            for mode in (None, 0o640, 0o644):
                kwargs: Any = {} if mode is None else {"mode": mode}
                for save in (form.file(name).save, save_in_place(form.file(name))):
                    saved = await save(tmp_path / "x", overwrite=True, **kwargs)
                    assert saved.path.stat().st_mode & 0o777 == (mode or 0o600)
                    saved.path.unlink()
    for make in (lambda: FileTarget(tmp_path / "y", mode=0o644), lambda: DirectoryTarget(tmp_path, mode=0o644)):
        with parse_form(FORM, MESSAGE, targets={"a": lambda part, make=make: make()}) as form:  # type: ignore[misc]
            assert form.file("a").result.path.stat().st_mode & 0o777 == 0o644


def save_in_place(upload: UploadedFile[Any]) -> Callable[..., Awaitable[SavedFile]]:
    async def save(*args: Any, **kwargs: Any) -> SavedFile:
        return upload.save_sync(*args, **kwargs)

    return save


async def test_a_save_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    with parse_form(FORM, MESSAGE) as form:
        for name in "ac":
            with pytest.raises(FileExistsError):
                form.file(name).save_sync(tmp_path / "x")
    assert files(tmp_path) == {"x": b"old"}


async def test_a_source_that_fails_after_a_file(tmp_path: Path) -> None:
    cut = MESSAGE[: len(BODY) + 500]
    with pytest.raises(OSError, match="gone"):
        await read_form(FORM, ScriptedSource(cut, OSError("gone")), targets=into(tmp_path))
    assert files(tmp_path) == {}
    with pytest.raises(OSError, match="gone"):
        parse_cut(cut, tmp_path)
    assert files(tmp_path) == {}


def parse_cut(cut: bytes, directory: Path) -> None:
    class Source:
        def read(self, size: int, /) -> bytes:
            nonlocal cut
            data, cut = cut[:size], cut[size:]
            if not data:
                raise OSError("gone")
            return data

    parse_form(FORM, Source(), targets=into(directory))


async def test_a_form_read_without_a_loop_is_undone_in_one(tmp_path: Path, no_blocking: None) -> None:
    """What blocks is left to a thread then."""

    def make(part: Any) -> Any:
        return TeeTarget(DirectoryTarget(tmp_path), ValidatedTarget(DirectoryTarget(tmp_path)))

    form = await asyncio.to_thread(parse_form, FORM, MESSAGE, targets=make)
    assert await asyncio.to_thread(os.listdir, tmp_path)
    await form.discard()
    assert await asyncio.to_thread(os.listdir, tmp_path) == []
