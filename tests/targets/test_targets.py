"""The targets that need no disk, those around other targets, choosing one, and copying into it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiomultipart import (
    CallbackTarget,
    FileTarget,
    HashTarget,
    IncompleteBody,
    LimitExceeded,
    MemoryTarget,
    MultipartError,
    MultipartReader,
    NullTarget,
    ReceivedPart,
    RejectedPart,
    SpooledTarget,
    StateError,
    Target,
    TeeTarget,
    ValidatedTarget,
)
from aiomultipart.targets import copy, select_target
from tests.support.reading import FORM, build, next_part
from tests.support.saving import MIB, Executor, Part, files, pattern, pieces

BODY = pattern(2 * MIB + 100)


class Recorder:
    """A target that notes what is called, and fails where it is told to."""

    def __init__(self, fail: str = "", error: BaseException | None = None) -> None:
        self.calls: list[str] = []
        self.data = b""
        self.fail = fail
        self.error = error or ZeroDivisionError(fail)

    async def _call(self, name: str) -> None:
        if self.calls[-1:] != [name]:
            self.calls.append(name)
        await asyncio.sleep(0)
        if name == self.fail:
            raise self.error

    async def start(self, part: ReceivedPart) -> None:
        await self._call("start")

    async def write(self, data: bytes) -> None:
        await self._call("write")
        self.data += data

    async def finish(self) -> int:
        await self._call("finish")
        return len(self.data)

    async def abort(self) -> None:
        await self._call("abort")


# Copying


async def test_copy_to() -> None:
    message = build((b"Content-Type: text/plain\r\nContent-Transfer-Encoding: base64", b"aGVs\r\nbG8="), (b"", b"next"))
    reader = MultipartReader({"Content-Type": "multipart/mixed; boundary=b"}, pieces(message, 3))
    target = Recorder()
    assert await (await next_part(reader)).copy_to(target) == 5
    assert target.data == b"hello"
    assert target.calls == ["start", "write", "finish"]
    assert await (await next_part(reader)).copy_to(MemoryTarget()) == b"next"


async def test_copy_to_what_is_left() -> None:
    part = await next_part(MultipartReader(FORM, build((b'Content-Disposition: form-data; name="a"', b"one two"))))
    assert await part.read_chunk(4) == b"one "
    assert await part.copy_to(MemoryTarget()) == b"two"
    assert part.at_eof()


@pytest.mark.parametrize("fail", ["start", "write", "finish"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), asyncio.CancelledError(), KeyError("x")])
async def test_what_a_target_raises_comes_through_after_its_abort(fail: str, error: BaseException) -> None:
    target = Recorder(fail, error)
    with pytest.raises(type(error)) as caught:
        await copy(Part(), pieces(b"abc"), target)
    assert caught.value is error
    assert target.calls[-2:] == [fail, "abort"]


async def test_what_the_source_raises_comes_through_after_the_abort() -> None:
    target = Recorder()
    part = await next_part(MultipartReader(FORM, build((b'Content-Disposition: form-data; name="a"', b"x" * 99))[:-9]))
    with pytest.raises(IncompleteBody):
        await part.copy_to(target)
    assert target.calls[-1] == "abort"


async def test_an_abort_that_fails_is_a_note() -> None:
    target = Recorder("abort")
    with pytest.raises(KeyError) as caught:
        await copy(Part(), pieces(b"abc", error=KeyError("x")), target)
    assert "ZeroDivisionError" in caught.value.__notes__[0]


async def test_a_target_that_is_busy_is_not_aborted() -> None:
    target = Recorder("start", StateError("busy"))
    with pytest.raises(StateError):
        await copy(Part(), pieces(b"abc"), target)
    assert target.calls == ["start"]


# Single targets


@pytest.mark.parametrize("size", [0, 1, 70000, len(BODY)])
async def test_results(size: int) -> None:
    body = BODY[:size]
    assert await copy(Part(), pieces(body), MemoryTarget()) == body
    assert await copy(Part(), pieces(body), NullTarget()) == size
    assert await copy(Part(), pieces(body), HashTarget()) == hashlib.sha256(body).hexdigest()
    assert await copy(Part(), pieces(body, 999), HashTarget("blake2b")) == hashlib.blake2b(body).hexdigest()


async def test_memory_is_bounded() -> None:
    assert await copy(Part(), pieces(b"12345", 1), MemoryTarget(max_size=5)) == b"12345"
    with pytest.raises(LimitExceeded, match="max_size of 5") as caught:
        await copy(Part(), pieces(b"123456", 1), MemoryTarget(max_size=5))
    error = caught.value
    assert (error.limit, error.value, error.part_name, error.http_status) == ("max_size", 5, "field", 413)


@pytest.mark.parametrize("name", ["sha257", "shake_128", ""])
def test_a_hash_that_is_not_known(name: str) -> None:
    with pytest.raises(ValueError, match="hash"):
        HashTarget(name)


async def test_a_long_body_is_hashed_in_a_thread() -> None:
    executor = Executor()
    asyncio.get_running_loop().set_default_executor(executor)
    await copy(Part(), pieces(BODY[:1000]), HashTarget())
    assert executor.started == 0
    await copy(Part(), pieces(BODY), HashTarget())
    assert executor.started == 2


async def test_callbacks() -> None:
    calls: list[object] = []
    target = CallbackTarget(calls.append, start=lambda part: calls.append(part.name), finish=lambda: len(calls))
    assert await copy(Part(), pieces(b"abc", 2), target) == 3
    assert calls == ["field", b"ab", b"c"]
    result: object = await copy(Part(), pieces(b"abc"), CallbackTarget(calls.append))
    assert result is None


async def test_async_callbacks() -> None:
    calls: list[object] = []

    async def note(what: object = "called") -> str:
        await asyncio.sleep(0)
        calls.append(what)
        return "result"

    target = CallbackTarget(note, start=note, finish=note, abort=note)
    part = Part()
    assert await copy(part, pieces(b"abc", 2), target) == "result"
    assert calls == [part, b"ab", b"c", "called"]
    calls.clear()
    failing = CallbackTarget(note, abort=note)
    with pytest.raises(KeyError):
        await copy(part, pieces(b"abc", error=KeyError()), failing)
    await failing.abort()
    assert calls == [b"abc", "called"]


SINGLE: dict[str, Callable[[Path], Target[object]]] = {
    "memory": lambda path: MemoryTarget(),
    "null": lambda path: NullTarget(),
    "hash": lambda path: HashTarget(),
    "callback": lambda path: CallbackTarget(lambda data: None),
    "file": lambda path: FileTarget(path / "x"),
    "spooled": lambda path: SpooledTarget(),
    "tee": lambda path: TeeTarget(NullTarget()),
    "validated": lambda path: ValidatedTarget(NullTarget()),
}


@pytest.mark.parametrize("kind", SINGLE)
async def test_the_order_of_the_calls(kind: str, tmp_path: Path) -> None:
    make = SINGLE[kind]
    with pytest.raises(StateError, match="not been started"):
        await make(tmp_path).write(b"x")
    with pytest.raises(StateError, match="not been started"):
        await make(tmp_path).finish()
    await make(tmp_path).abort()
    target = make(tmp_path)
    await target.start(Part())
    with pytest.raises(StateError, match="one part"):
        await target.start(Part())
    await target.write(b"x")
    await target.finish()
    for call in (target.finish(), target.write(b"x"), target.start(Part())):
        with pytest.raises(StateError):
            await call
    await target.abort()
    await target.abort()
    assert files(tmp_path) == {}


# Several


async def test_tee(tmp_path: Path) -> None:
    target = TeeTarget(FileTarget(tmp_path / "x"), HashTarget("sha256"), MemoryTarget(), NullTarget())
    saved, digest, data, size = await copy(Part(), pieces(BODY), target)
    assert saved.path.read_bytes() == data == BODY
    assert digest == hashlib.sha256(BODY).hexdigest()
    assert size == len(BODY)


@pytest.mark.parametrize("fail", ["start", "write", "finish"])
async def test_when_one_fails_all_are_aborted(fail: str, tmp_path: Path) -> None:
    first, bad, last = Recorder(), Recorder(fail), Recorder()
    with pytest.raises(ZeroDivisionError, match=fail):
        await copy(Part(), pieces(BODY), TeeTarget(FileTarget(tmp_path / "x"), first, bad, last))
    assert files(tmp_path) == {}
    assert first.calls[-1] == bad.calls[-1] == "abort"
    assert last.calls[-1:] == ([] if fail == "start" else ["abort"])


async def test_all_are_aborted_when_an_abort_fails() -> None:
    first, bad, last = Recorder(), Recorder("abort"), Recorder("abort")
    with pytest.raises(KeyError) as caught:
        await copy(Part(), pieces(BODY, error=KeyError()), TeeTarget(first, bad, last))
    assert len(caught.value.__notes__) == 1
    assert first.calls[-1] == bad.calls[-1] == last.calls[-1] == "abort"


async def test_a_tee_with_a_target_that_is_busy(tmp_path: Path) -> None:
    busy = MemoryTarget()
    await busy.start(Part())
    with pytest.raises(StateError):
        await copy(Part(), pieces(BODY), TeeTarget(FileTarget(tmp_path / "x"), busy))
    assert files(tmp_path) == {}
    await busy.write(b"still")
    assert await busy.finish() == b"still"


# Validated


async def test_a_size_that_is_allowed() -> None:
    target = Recorder()
    assert await copy(Part(), pieces(b"12345", 2), ValidatedTarget(target, max_size=5)) == 5


@pytest.mark.parametrize("chunk", [1, 4, 100])
async def test_a_size_that_is_not(chunk: int) -> None:
    target = Recorder()
    with pytest.raises(LimitExceeded, match="max_size of 5") as caught:
        await copy(Part(), pieces(b"123456789", chunk), ValidatedTarget(target, max_size=5))
    assert (caught.value.limit, caught.value.value, caught.value.part_name) == ("max_size", 5, "field")
    assert target.calls[-1] == "abort"
    assert len(target.data) <= 5


@pytest.mark.parametrize(
    ("wanted", "accepted"),
    [
        (["image/png"], True),
        (["IMAGE/PNG", "x/y"], True),
        (["image/*"], True),
        ([], False),
        (["image/jpeg"], False),
        (["text/*"], False),
        (["*"], False),
        (["image"], False),
    ],
)
async def test_content_types(wanted: list[str], accepted: bool) -> None:
    target = Recorder()
    validated = ValidatedTarget(target, content_types=wanted)
    if accepted:
        assert await copy(Part(content_type="image/png"), pieces(b"x"), validated) == 1
    else:
        with pytest.raises(RejectedPart, match="image/png") as caught:
            await copy(Part(content_type="image/png"), pieces(b"x"), validated)
        assert isinstance(caught.value, MultipartError)
        assert caught.value.http_status == 415
        assert target.calls == []


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("body", [b"", b"GIF", b"GIF89a", b"GIF89a and more", b"GIF89a" * 1000])
@pytest.mark.parametrize("chunk", [1, 5, 7, 100000])
async def test_magic(is_async: bool, body: bytes, chunk: int) -> None:
    asked: list[bytes] = []

    def magic(data: bytes) -> Any:
        asked.append(data)
        result = data == b"GIF89a"
        if not is_async:
            return result
        future = asyncio.get_running_loop().create_future()
        future.set_result(result)
        return future

    target = Recorder()
    validated = ValidatedTarget(target, magic=magic, magic_size=6)
    if body.startswith(b"GIF89a"):
        assert await copy(Part(), pieces(body, chunk), validated) == len(body)
        assert target.data == body
    else:
        with pytest.raises(RejectedPart, match="content"):
            await copy(Part(), pieces(body, chunk), validated)
        assert target.calls == ["start", "abort"]
    assert asked == [body[:6]]


async def test_what_magic_raises_comes_through() -> None:
    target = Recorder()
    with pytest.raises(ZeroDivisionError):
        await copy(Part(), pieces(b"x" * 3000), ValidatedTarget(target, magic=lambda data: bool(1 // 0)))
    assert target.calls == ["start", "abort"]


async def test_a_validated_target_that_is_busy() -> None:
    target = Recorder("start", StateError("busy"))
    validated = ValidatedTarget(target)
    with pytest.raises(StateError):
        await copy(Part(), pieces(b"x"), validated)
    await validated.abort()
    assert target.calls == ["start"]


def test_validation_that_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="magic_size"):
        ValidatedTarget(NullTarget(), magic_size=0)
    with pytest.raises(TypeError, match="content_types"):
        ValidatedTarget(NullTarget(), content_types="image/png")


# Choosing


def test_select_target() -> None:
    ready = NullTarget()
    targets: dict[str, Any] = {"a": lambda part: MemoryTarget(), "b": ready, "c": lambda part: None}

    def default(part: ReceivedPart) -> Target[object]:
        return SpooledTarget()

    assert isinstance(select_target(targets, Part("a"), default), MemoryTarget)
    assert select_target(targets, Part("b"), default) is ready
    for name in ("c", "d", "", None):
        assert isinstance(select_target(targets, Part(name), default), SpooledTarget)
    assert isinstance(select_target(None, Part("a"), default), SpooledTarget)
    assert isinstance(select_target(lambda part: HashTarget(), Part("a"), default), HashTarget)
    assert isinstance(select_target(lambda part: None, Part("a"), default), SpooledTarget)
    with pytest.raises(TypeError, match="no target"):
        select_target(None, Part("a"), lambda part: None)


def test_a_factory_gets_the_part() -> None:
    part = Part("a")
    seen: list[ReceivedPart] = []

    def factory(part: ReceivedPart) -> Target[object]:
        seen.append(part)
        return NullTarget()

    first, second = (select_target({"a": factory}, part, factory) for _ in range(2))
    assert first is not second
    assert seen == [part, part]
