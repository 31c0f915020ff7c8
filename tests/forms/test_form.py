"""Whole forms: read_form(), parse_form(), and what they give."""

from __future__ import annotations

import asyncio
import copy
import gc
import hashlib
import io
import json
import os
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiomultipart import (
    CodecError,
    DirectoryTarget,
    FileTarget,
    Form,
    FormField,
    FormFile,
    HashTarget,
    IncompleteBody,
    LimitExceeded,
    Limits,
    MemoryTarget,
    MultipartError,
    NullTarget,
    ParseError,
    Policy,
    PushMultipartParser,
    ReceivedPart,
    RejectedPart,
    SavedFile,
    SpooledTarget,
    StateError,
    TeeTarget,
    UnsupportedMediaType,
    UploadedFile,
    ValidatedTarget,
    parse_form,
    read_form,
)
from aiomultipart.integrations import asgi, wsgi
from aiomultipart.sources import ByteStream
from aiomultipart.testing import ScriptedSource, cuttings
from tests.support.reading import FORM, build, everywhere
from tests.support.saving import MIB, Part, files, open_files, pattern

URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}
BIG = pattern(3 * MIB + 5)


def field(name: str, value: bytes | str, content_type: str = "") -> tuple[bytes, bytes]:
    head = f'Content-Disposition: form-data; name="{name}"'
    if content_type:
        head += f"\r\nContent-Type: {content_type}"
    return head.encode(), value.encode() if isinstance(value, str) else value


def file(name: str, filename: str, body: bytes, content_type: str = "image/png") -> tuple[bytes, bytes]:
    head = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {content_type}'
    return head.encode(), body


MESSAGE = build(
    field("title", "At the sea"),
    file("photo", "été.png", b"\x89PNG\r\n\x1a\n"),
    field("tag", "one"),
    field("tag", "zwei ü"),
    file("photo", "", b""),
    file("photo", "2.png", b""),
    field("end", ""),
)


@pytest.fixture(autouse=True)
def _nothing_is_open_afterwards() -> Iterator[None]:
    before = open_files()
    yield
    if open_files() != before:
        gc.collect()  # an error and its traceback
        assert open_files() == before


def chunked(message: bytes, size: int = 64 * 1024) -> ScriptedSource:
    return ScriptedSource(*[message[i : i + size] for i in range(0, len(message), size)])


async def entries(form: Form) -> list[tuple[str, Any]]:
    """Fields as they are, files as (file name, type, bytes)."""
    return [
        (name, (value.filename, value.content_type, await value.read()) if isinstance(value, UploadedFile) else value)
        for name, value in form.items()
    ]


def upload(form: Form, name: str) -> UploadedFile:
    value = form[name]
    assert isinstance(value, UploadedFile)
    return value


# What there is in a form


async def test_multipart() -> None:
    async def check(source: ByteStream) -> None:
        async with await read_form(FORM, source) as form:
            assert await entries(form) == [
                ("title", "At the sea"),
                ("photo", ("été.png", "image/png", b"\x89PNG\r\n\x1a\n")),
                ("tag", "one"),
                ("tag", "zwei ü"),
                ("photo", ("2.png", "image/png", b"")),
                ("end", ""),
            ]
            assert form["title"] == "At the sea"
            assert form.getall("tag") == ["one", "zwei ü"]
            assert [file.filename for file in form.files] == ["été.png", "2.png"]
            assert form.defects == ()

    await everywhere(MESSAGE, check, splits=8, random_cuts=2)


async def test_urlencoded() -> None:
    async def check(source: ByteStream) -> None:
        async with await read_form(URLENCODED, source) as form:
            assert list(form.items()) == [("a", "1"), ("b", "é é"), ("a", "")]
            assert form.files == []

    await everywhere(b"a=1&b=%C3%A9+%c3%a9&a", check)


async def test_what_a_file_says_of_itself() -> None:
    head = b'Content-Disposition: form-data; name="f"; filename="../../etc/passwd"\r\nX-Mine: 1'
    async with await read_form(FORM, build((head, b"12345"))) as form:
        f = upload(form, "f")
        assert (f.name, f.filename, f.size, f.content_type) == ("f", "../../etc/passwd", 5, "application/octet-stream")
        assert f.headers["x-mine"] == "1"
        assert not f.on_disk
        assert repr(f) == "<UploadedFile 'f' '../../etc/passwd' application/octet-stream 5 bytes>"


async def test_defects() -> None:
    form = await read_form(FORM, build((b"", b"1"))[:-7], policy=Policy.LENIENT)
    assert list(form.items()) == [("", "1")]
    assert {defect.kind for defect in form.defects} >= {"no-form-data-name"}


async def test_the_source_is_read_to_its_end_and_closed() -> None:
    closed = []

    async def source(*, fail: bool) -> AsyncIterator[bytes]:
        try:
            yield MESSAGE + b"\r\n"
            yield b"x" if fail else b""
            yield bytes(5000) if fail else b"\r\n"
            yield b""
        finally:
            closed.append(fail)

    async with await read_form(FORM, source(fail=False)):
        assert closed == [False]
    with pytest.raises(LimitExceeded):
        await read_form(FORM, source(fail=True))
    assert closed == [False, True]


# JSON


@pytest.mark.parametrize("content_type", ["application/json", "application/problem+json; charset=utf-8"])
async def test_json_on_request(content_type: str) -> None:
    value = {"é": [1, 2.5, None, True]}
    message = build(
        field("meta", json.dumps(value), content_type), field("text", "[1]"), file("f", "a.json", b"[1]", content_type)
    )
    async with await read_form(FORM, message, json=True) as form:
        assert form["meta"] == value
        assert form["text"] == "[1]"
        assert await upload(form, "f").read() == b"[1]"
    async with await read_form(FORM, message) as form:
        assert form["meta"] == json.dumps(value)


@pytest.mark.parametrize("text", ["", "{", "[1,]", "[" * 100_000, "1" * 5000, "\ufeff1"])
async def test_bad_json(text: str) -> None:
    message = build(field("a", "1"), field("meta", text, "application/json"))
    with pytest.raises(CodecError) as caught:
        await read_form(FORM, message, json=True)
    error = caught.value
    assert (error.part_name, error.part_index, error.http_status) == ("meta", 1, 400)
    assert error.offset == message.rindex(b"Content-Disposition")


# Files


async def test_a_small_file_stays_in_memory_and_a_large_one_does_not(tmp_path: Path) -> None:
    async with await read_form(FORM, chunked(build(file("a", "a", BIG), file("b", "b", BIG[:1000])))) as form:
        a, b = form.files
        assert (a.on_disk, b.on_disk) == (True, False)
        assert (a.size, b.size) == (len(BIG), 1000)
        assert await a.read(10) == BIG[:10]
        assert b"".join([chunk async for chunk in a.iter_chunks(100_000)]) == BIG[10:]
        assert await a.read() == b""
        await a.seek(len(BIG) - 3)
        assert await a.read() == BIG[-3:]
        for f in (a, b):
            await f.seek(1)
            assert f.file.read() == BIG[1 : f.size]
            assert await f.read() == b""
            f.file.seek(2)
            assert await f.read(3) == BIG[2:5]
            assert f.file.read(3) == BIG[5:8]


async def test_save(tmp_path: Path) -> None:
    async with await read_form(FORM, chunked(build(file("a", "a", BIG), file("b", "b", b"123")))) as form:
        for f, body in zip(form.files, (BIG, b"123"), strict=True):
            path = tmp_path / f"{f.name}"
            digest = hashlib.sha256(body).hexdigest()
            assert await f.save(path, hash="sha256") == SavedFile(path, len(body), digest)
            with pytest.raises(FileExistsError):
                await f.save(path)
            # What was saved is not changed by saving it again, elsewhere or in its place.
            await f.save(tmp_path / f"{f.name}2")
            await f.save(path, overwrite=True)
            assert await f.read() == body
    assert files(tmp_path) == {"a": BIG, "a2": BIG, "b": b"123", "b2": b"123"}


async def test_after_the_form_is_closed(tmp_path: Path) -> None:
    form = await read_form(FORM, chunked(build(field("x", "1"), file("a", "a", BIG), file("b", "b", b"123"))))
    async with form:
        pass
    await form.aclose()
    form.close()
    assert form["x"] == "1"
    for f in form.files:
        assert not f.on_disk
        uses: list[Callable[[], Any]] = [f.read, lambda f=f: f.save(tmp_path / "x"), lambda f=f: anext(f.iter_chunks())]
        for use in uses:
            with pytest.raises(StateError):
                await use()
        with pytest.raises(StateError):
            f.file  # noqa: B018
    assert files(tmp_path) == {}


async def test_closing_without_a_loop() -> None:
    with await read_form(FORM, chunked(build(file("a", "a", BIG), file("b", "b", b"123")))) as form:
        read = form.files[0].file.read()
    assert read == BIG
    for f in form.files:
        with pytest.raises(StateError):
            f.file  # noqa: B018


async def test_files_that_were_taken_out_of_the_form_are_closed_too() -> None:
    async with await read_form(FORM, chunked(build(file("a", "a", BIG), file("b", "b", BIG)))) as form:
        a = form.popone("a")
        form["b"] = "replaced"
    with pytest.raises(StateError):
        await a.read()


@pytest.mark.parametrize("copied", [Form.copy, copy.copy, Form], ids=["copy()", "copy.copy()", "Form()"])
async def test_a_copy_has_the_same_files(copied: Callable[[Form], Form]) -> None:
    before = open_files()
    message = build(file("a", "a", BIG), file("b", "b", BIG), field("c", "1"), (b"", b"2"))
    for close in (lambda form: form.aclose(), lambda form: asyncio.to_thread(form.close)):
        form = await read_form(FORM, chunked(message), policy=Policy.LENIENT)
        assert len(open_files()) == len(before) + 2
        other = copied(form)
        assert type(other) is Form
        assert (list(other.items()), other.defects) == (list(form.items()), form.defects)
        assert len(form.defects) == 1
        del other["a"], other["c"]
        assert len(form) == 4
        await close(other)
        assert open_files() == before
        with pytest.raises(StateError):
            await upload(form, "a").read()


# Targets


class Recorder:
    """A target that notes what is called, and fails where it is told to."""

    def __init__(self, fail: str = "", error: BaseException | None = None) -> None:
        self.calls: list[str] = []
        self.part: ReceivedPart | None = None
        self.fail = fail
        self.error = error or ZeroDivisionError(fail)

    async def _call(self, name: str) -> None:
        self.calls.append(name)
        await asyncio.sleep(0)
        if name == self.fail:
            raise self.error

    async def start(self, part: ReceivedPart) -> None:
        self.part = part
        await self._call("start")

    async def write(self, data: bytes) -> None:
        await self._call("write")

    async def finish(self) -> str:
        await self._call("finish")
        return "the result"

    async def abort(self) -> None:
        await self._call("abort")


async def test_targets_by_name(tmp_path: Path) -> None:
    message = build(
        file("a", "a", b"1"),
        field("b", "2"),
        file("c", "c", b"3"),
        file("d", "d", b"4"),
        file("a", "x", b"5"),
        field("e", "6"),
    )
    seen = []

    def to_directory(part: ReceivedPart) -> DirectoryTarget:
        seen.append((part.name, part.filename, part.content_type))
        return DirectoryTarget(tmp_path, name=lambda part: part.filename or "unnamed", collision="number")

    targets = {"a": to_directory, "b": HashTarget("md5"), "c": lambda part: None, "nobody": to_directory}
    async with await read_form(FORM, message, targets=targets) as form:
        assert seen == [("a", "a", "image/png"), ("a", "x", "image/png")]
        assert [f.result for f in form.getall("a")] == [
            SavedFile(tmp_path / "a", 1),
            SavedFile(tmp_path / "x", 1),
        ]
        b = upload(form, "b")
        assert (b.result, b.filename, b.size, b.on_disk) == (hashlib.md5(b"2").hexdigest(), None, 1, False)
        assert [await upload(form, name).read() for name in "cd"] == [b"3", b"4"]
        assert form["e"] == "6"
        with pytest.raises(StateError, match="target"):
            await b.read()
    assert files(tmp_path) == {"a": b"1", "x": b"5"}


async def test_one_factory_for_all_files() -> None:
    message = build(field("a", "1"), file("b", "b", b"2"), file("c", "c", b"3"))

    def choose(part: ReceivedPart) -> NullTarget | None:
        return NullTarget() if part.name == "b" else None

    async with await read_form(FORM, message, targets=choose, default=lambda part: MemoryTarget()) as form:
        assert form["a"] == "1"
        assert [f.result for f in form.files] == [1, b"3"]


async def test_a_tee_of_a_spool_is_closed_with_the_form() -> None:
    def both(part: ReceivedPart) -> TeeTarget[Any]:
        return TeeTarget(TeeTarget(SpooledTarget(max_memory=10)), HashTarget("md5"))

    async with await read_form(FORM, build(file("a", "a", b"1" * 100)), targets=both) as form:
        (spooled,), digest = form.files[0].result
        assert await spooled.read() == b"1" * 100
    assert spooled.closed
    assert digest == hashlib.md5(b"1" * 100).hexdigest()


@pytest.mark.parametrize("step", ["start", "write", "finish"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RejectedPart("no"), KeyboardInterrupt()])
async def test_a_target_that_raises(tmp_path: Path, step: str, error: BaseException) -> None:
    """The error comes through as it is, and what was made of earlier files is gone."""
    target = Recorder(step, error)
    targets = {
        "a": lambda part: FileTarget(tmp_path / "a"),
        "b": lambda part: TeeTarget(SpooledTarget(max_memory=1), FileTarget(tmp_path / "b")),
        "c": lambda part: target,
    }
    message = build(*[file(name, name, b"123") for name in "axbc"], field("d", "1"))
    with pytest.raises(type(error)) as caught:
        await read_form(FORM, message, targets=targets)
    assert caught.value is error
    assert target.calls[-2:] == [step, "abort"]
    assert files(tmp_path) == {}


async def test_a_factory_that_raises(tmp_path: Path) -> None:
    def refuse(part: ReceivedPart) -> None:
        raise RejectedPart("no", part_name=part.name)

    message = build(file("a", "a", b"123"), file("b", "b", b"123"))
    with pytest.raises(RejectedPart) as caught:
        await read_form(FORM, message, targets={"a": lambda part: FileTarget(tmp_path / "a"), "b": refuse})
    assert (caught.value.part_name, caught.value.part_index) == ("b", 1)
    assert files(tmp_path) == {}


async def test_an_abort_that_raises_is_noted() -> None:
    class Bad(Recorder):
        async def abort(self) -> None:
            raise OSError("abort")

    good, error = Recorder(), ZeroDivisionError()
    targets = {"a": lambda part: good, "b": lambda part: Bad("write", error)}
    with pytest.raises(ZeroDivisionError) as caught:
        await read_form(FORM, build(file("a", "a", b"1"), file("b", "b", b"2")), targets=targets)
    assert caught.value is error
    assert "abort" in caught.value.__notes__[0]
    assert good.calls[-1] == "abort"


async def test_a_target_that_is_busy_is_left_alone() -> None:
    target = HashTarget("md5")
    await target.start(Part())
    with pytest.raises(StateError):
        await read_form(FORM, build(file("a", "a", b"1")), targets={"a": target})
    await target.write(b"2")
    assert await target.finish() == hashlib.md5(b"2").hexdigest()


async def test_a_validated_target_says_where() -> None:
    def small(part: ReceivedPart) -> ValidatedTarget[bytes]:
        return ValidatedTarget(MemoryTarget(), max_size=3)

    with pytest.raises(LimitExceeded) as caught:
        await read_form(FORM, build(field("x", ""), file("a", "a", b"1234")), targets=small)
    assert (caught.value.limit, caught.value.part_name, caught.value.part_index) == ("max_size", "a", 1)


# Limits


async def test_a_long_body_is_refused_before_a_byte_is_read() -> None:
    source = chunked(MESSAGE)
    for headers in (FORM, URLENCODED):
        with pytest.raises(LimitExceeded):
            await read_form({**headers, "Content-Length": str(128 * MIB + 1)}, source)
    assert source.reads == 0


async def test_files_move_to_disk_to_make_room_for_fields() -> None:
    message = build(
        file("a", "a", b"a" * 3000),
        file("b", "b", b"b" * 5000),
        field("x", "x" * 3000),
        file("c", "c", b"c" * 500),
        field("y", "y" * 4000),
    )
    with wsgi_form(message, limits=Limits.for_forms(max_memory=14_000)) as form:
        assert [f.on_disk for f in form.files] == [True, True, False]
        assert [f.file.read() for f in form.files] == [b"a" * 3000, b"b" * 5000, b"c" * 500]
    async with await read_form(FORM, message, limits=Limits.for_forms(max_memory=14_000)) as form:
        assert [f.on_disk for f in form.files] == [True, True, False]
        assert [len(value) for value in form.values() if isinstance(value, str)] == [3000, 4000]
        assert [await f.read() for f in form.files] == [b"a" * 3000, b"b" * 5000, b"c" * 500]


ONE_BY_ONE = b"&".join([b"a"] * 100)


@pytest.mark.parametrize(
    ("headers", "message", "index", "name"),
    [
        (FORM, build(file("f", "f", b"1" * 900), field("a", "1" * 3000), field("b", "1" * 3000)), 2, "b"),
        (FORM, build(*[field("a", "")] * 100), None, "a"),
        (FORM, build(*[file("a", "a", b"")] * 100), None, "a"),
        (URLENCODED, b"a=1&b=" + b"1" * 4800, 1, "b"),
        (URLENCODED, ONE_BY_ONE, None, None),
    ],
    ids=["fields", "many fields", "many files", "urlencoded", "many pairs"],
)
async def test_max_memory(headers: dict[str, str], message: bytes, index: int | None, name: str | None) -> None:
    """What cannot move to disk is refused; the entries count, too, and not their bytes only."""
    limits = Limits.for_forms(max_memory=5000)
    for read in (lambda: read_form(headers, message, limits=limits), lambda: in_wsgi(message, headers, limits=limits)):
        with pytest.raises(LimitExceeded) as caught:
            await read()
        error = caught.value
        assert (error.limit, error.value, error.part_name, error.http_status) == ("max_memory", 5000, name, 413)
        assert error.offset is not None
        assert error.part_index == index if index is not None else error.part_index


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("[" + "[]," * 9_999 + "[]]", 10_000 * (56 + 8)),
        ("[" + '{"name": 1.5},' * 1_999 + "{}]", 2_000 * (184 + 24)),
        ('["' + "\U0001f600" * 1_000 + '"]', 4_000),
        ("17", 28),
    ],
)
async def test_json_counts_as_what_it_becomes(text: str, size: int) -> None:
    """What is parsed may take twenty times the memory of its text."""
    message = build(field("a", "1"), field("meta", text, "application/json"))
    enough, too_little = Limits.for_forms(max_memory=size * 5 // 4 + 1000), Limits.for_forms(max_memory=size + 200)
    async with read_form(FORM, chunked(message), limits=enough, json=True) as form:
        assert form.json("meta") == json.loads(text)
    if size > len(text.encode()) + 500:
        async with read_form(FORM, message, limits=too_little) as form:
            assert form.text("meta") == text
    for read in (
        lambda: read_form(FORM, message, limits=too_little, json=True),
        lambda: read_form(FORM, chunked(message), limits=too_little, json=True),
        lambda: in_wsgi(message, limits=too_little, json=True),
    ):
        with pytest.raises(LimitExceeded) as caught:
            await read()
        error = caught.value
        assert (error.limit, error.part_name, error.part_index) == ("max_memory", "meta", 1)


@pytest.mark.parametrize("with_json", [False, True])
async def test_memory_is_counted_to_the_byte(with_json: bool) -> None:
    """Whatever is taken in advance is there again for a file, or for the last field."""
    fields = [field(f"a{i}", "1" * 1500) for i in range(60)]
    message = build(*fields[:30], file("f", "f", b"2" * 7000), *fields[30:])
    largest = Limits.for_forms(max_memory=10 * MIB)

    async def fits(most: int, chunks: Any) -> bool:
        """Whether the file may stay in memory."""
        limits = largest.replace(max_memory=most)
        async with await read_form(FORM, chunks(message), limits=limits, json=with_json) as form:
            assert [name for name in form if name != "f"] == [f"a{i}" for i in range(60)]
            return not form.files[0].on_disk

    low, high = 60 * 1820, 60 * 2500  # the fields take less than the one, and the file fits into the other
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if await fits(middle, chunked) else (middle, high)
    with wsgi_form(message, limits=largest.replace(max_memory=high)) as form:
        assert not form.files[0].on_disk
    with wsgi_form(message, limits=largest.replace(max_memory=high - 1)) as form:
        assert form.files[0].on_disk
    assert await fits(high, lambda whole: whole)
    assert not await fits(high - 1, lambda whole: whole)


async def test_max_open_files() -> None:
    message = build(field("x", ""), *[file(f"f{i}", "f", BIG) for i in range(3)])
    async with await read_form(FORM, chunked(message), limits=Limits.for_forms(max_open_files=3)) as form:
        assert len(form.files) == 3
    limits = Limits.for_forms(max_open_files=2)
    for read in (lambda: read_form(FORM, chunked(message), limits=limits), lambda: in_wsgi(message, limits=limits)):
        with pytest.raises(LimitExceeded) as caught:
            await read()
        error = caught.value
        assert (error.limit, error.value, error.part_name, error.part_index) == ("max_open_files", 2, "f2", 3)


# Errors, and progress


@pytest.mark.parametrize("error", [OSError("gone"), RuntimeError("x"), IncompleteBody("y"), asyncio.CancelledError()])
async def test_a_source_that_raises(tmp_path: Path, error: BaseException) -> None:
    message = build(file("a", "a", BIG), file("b", "b", BIG))
    source = ScriptedSource(*[message[i : i + MIB] for i in range(0, 5 * MIB, MIB)], error)
    with pytest.raises(type(error)) as caught:
        await read_form(FORM, source, targets={"a": lambda part: FileTarget(tmp_path / "a")})
    assert caught.value is error
    assert files(tmp_path) == {}


async def test_a_source_that_fails_to_close(tmp_path: Path) -> None:
    async def source() -> AsyncIterator[bytes]:
        try:
            yield MESSAGE
        finally:
            raise OSError("close")

    with pytest.raises(OSError, match="close"):
        await read_form(FORM, source(), targets=lambda part: FileTarget(tmp_path / "a"))
    assert files(tmp_path) == {}


async def test_progress() -> None:
    told: list[tuple[int, int | None]] = []
    headers = {**FORM, "Content-Length": str(len(MESSAGE))}
    for chunks in cuttings(MESSAGE, splits=3, random_cuts=2):
        told.clear()
        await (await read_form(headers, ScriptedSource(*chunks), on_progress=lambda *args: told.append(args))).aclose()
        ends = [sum(map(len, chunks[: i + 1])) for i in range(len(chunks))]
        assert told == [(end, len(MESSAGE)) for end in ends]
    told.clear()
    await read_form(URLENCODED, b"a=1", on_progress=lambda *args: told.append(args))
    assert told == [(3, None)]


async def test_progress_that_raises(tmp_path: Path) -> None:
    def progress(received: int, total: int | None) -> None:
        if received > 2 * MIB:
            raise ZeroDivisionError

    message = build(file("a", "a", b"1"), file("b", "b", BIG))
    with pytest.raises(ZeroDivisionError):
        await read_form(
            FORM, chunked(message), on_progress=progress, targets={"a": lambda part: FileTarget(tmp_path / "a")}
        )
    assert files(tmp_path) == {}


# ASGI


def asgi_request(*messages: dict[str, Any], headers: dict[str, str] = FORM) -> tuple[dict[str, Any], Any]:
    script = iter(messages)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return next(script)

    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": "POST", "headers": raw}, receive


async def test_asgi() -> None:
    pieces = [
        {"type": "http.request", "body": MESSAGE[i : i + 50], "more_body": True} for i in range(0, len(MESSAGE), 50)
    ]
    told: list[int] = []
    scope, receive = asgi_request(*pieces, {"type": "http.request"})
    form = await asgi.read_form(
        scope, receive, targets={"photo": lambda part: MemoryTarget()}, on_progress=lambda n, _: told.append(n)
    )
    assert form["title"] == "At the sea"
    assert [f.result for f in form.files] == [b"\x89PNG\r\n\x1a\n", b""]
    assert told[-1] == len(MESSAGE)


async def test_asgi_client_that_disconnects(tmp_path: Path) -> None:
    for end in range(0, len(MESSAGE), 7):
        scope, receive = asgi_request(
            {"type": "http.request", "body": MESSAGE[:end], "more_body": True}, {"type": "http.disconnect"}
        )
        with pytest.raises(IncompleteBody, match="disconnected"):
            await asgi.read_form(scope, receive, targets=lambda part: DirectoryTarget(tmp_path))
        assert files(tmp_path) == {}


# parse_form()


class Input:
    """A body that counts what is read, and gives no more than a few bytes at a time."""

    def __init__(self, data: bytes, most: int = 7) -> None:
        self._file = io.BytesIO(data)
        self._most = most
        self.sizes: list[int] = []

    def read(self, size: int, /) -> bytes:
        self.sizes.append(size)
        return self._file.read(min(size, self._most))


def collect(message: bytes, headers: Any = FORM, *, keep: bool = False, **kwargs: Any) -> list[tuple[bytes, Any]]:
    found: list[tuple[bytes, Any]] = []

    def on_file(f: FormFile) -> None:
        found.append((f.field_name, f if keep else (f.file_name, f.file_object.read())))
        if not keep:
            f.close()

    parse_form(headers, io.BytesIO(message), lambda f: found.append((f.field_name, f.value)), on_file, **kwargs)
    return found


def wsgi_form(message: bytes, headers: dict[str, str] = FORM, **kwargs: Any) -> Form:
    environ = {
        "CONTENT_TYPE": headers["Content-Type"],
        "CONTENT_LENGTH": str(len(message)),
        "wsgi.input": io.BytesIO(message + b"of the next request"),
    }
    return wsgi.parse_form(environ, **kwargs)


async def in_wsgi(message: bytes, headers: dict[str, str] = FORM, **kwargs: Any) -> Form:
    return wsgi_form(message, headers, **kwargs)


PARSED = [
    (b"title", b"At the sea"),
    (b"photo", ("été.png".encode(), b"\x89PNG\r\n\x1a\n")),
    (b"tag", b"one"),
    (b"tag", "zwei ü".encode()),
    (b"photo", (b"2.png", b"")),
    (b"end", b""),
]


@pytest.mark.parametrize("chunk_size", [1, 2, 50, 1 << 20])
def test_parse_form(chunk_size: int) -> None:
    assert collect(MESSAGE, chunk_size=chunk_size) == PARSED


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": FORM["Content-Type"], "CONTENT-LENGTH": len(MESSAGE)},
        {b"Content-Type": FORM["Content-Type"].encode(), b"Content-Length": str(len(MESSAGE)).encode()},
        {"Content-Type": FORM["Content-Type"].encode(), "Content-Length": ""},
        {**FORM, "Content-Length": str(len(MESSAGE)), "Content-Encoding": "gzip"},
    ],
    ids=["int", "bytes", "empty", "Content-Encoding"],
)
def test_parse_form_headers(headers: Any) -> None:
    assert collect(MESSAGE, headers) == PARSED


def test_parse_form_reads_no_further_than_the_content_length() -> None:
    for extra in ({}, {"Content-Encoding": "gzip"}):
        stream = Input(MESSAGE + b"the next request")
        parse_form({**FORM, "Content-Length": len(MESSAGE), **extra}, stream, None, None, chunk_size=100)
        assert sum(min(size, 7) for size in stream.sizes) == len(MESSAGE)
        assert max(stream.sizes) == 100
        assert stream.sizes[-1] <= 7


def test_parse_form_urlencoded() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=latin-1"}
    seen: list[FormField] = []
    parse_form(headers, io.BytesIO(b"%e9=1+2&a"), seen.append, None)
    assert [(f.field_name, f.name, f.value, f.text) for f in seen] == [
        ("é".encode(), "é", b"1 2", "1 2"),
        (b"a", "a", b"", ""),
    ]
    assert repr(seen[0]) == "<FormField 'é' '1 2'>"


def test_parse_form_hands_over_files_that_stay_open() -> None:
    message = build(file("a", "a", BIG), file("b", "b", b"123"))
    found = dict(collect(message, keep=True))
    a, b = found[b"a"], found[b"b"]
    assert (a.size, a.in_memory, b.size, b.in_memory) == (len(BIG), False, 3, True)
    assert (a.file_object.read(), b.file_object.read()) == (BIG, b"123")
    for f in (a, b):
        f.close()
        f.close()
        with pytest.raises(StateError):
            f.file_object  # noqa: B018


@pytest.mark.parametrize("touch", [False, True])
@pytest.mark.parametrize("in_a_cycle", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_parse_form_files_that_nobody_closes(
    touch: bool, in_a_cycle: bool, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As python-multipart's users know it: they are closed when they are collected, and nothing is said."""
    if named:
        monkeypatch.delattr(os, "O_TMPFILE")
        monkeypatch.setattr("tempfile._O_TMPFILE_WORKS", False)
    before = open_files()
    kept: list[Any] = []

    def on_file(f: FormFile) -> None:
        if touch:
            assert f.file_object.read(5) == BIG[:5]
        if in_a_cycle:
            cycle: list[Any] = [f, f.file_object] if touch else [f]
            cycle.append(cycle)
        kept.append(f)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parse_form(FORM, io.BytesIO(build(file("a", "a", BIG), file("b", "b", BIG))), None, on_file)
        assert len(open_files()) == len(before) + 2
        kept.clear()
        gc.collect()
        assert open_files() == before


def test_the_file_object_outlives_the_form_file() -> None:
    objects: list[Any] = []
    parse_form(FORM, io.BytesIO(build(file("a", "a", BIG))), None, lambda f: objects.append(f.file_object))
    gc.collect()
    assert objects[0].read() == BIG


def test_parse_form_without_callbacks() -> None:
    before = open_files()
    parse_form(
        FORM,
        io.BytesIO(build(field("x", "1"), *[file("a", "a", BIG)] * 3)),
        None,
        None,
        limits=Limits.for_forms(max_open_files=1),
    )
    assert open_files() == before


@pytest.mark.parametrize("where", ["on_field", "on_file"])
def test_parse_form_callbacks_that_raise(where: str) -> None:
    given: list[FormFile] = []

    def fail(_: object) -> None:
        raise ZeroDivisionError

    def on_file(f: FormFile) -> None:
        given.append(f)
        if where == "on_file" and len(given) == 2:
            fail(f)

    message = build(file("a", "a", BIG), file("b", "b", BIG), field("x", "1"))
    with pytest.raises(ZeroDivisionError):
        parse_form(FORM, io.BytesIO(message), fail if where == "on_field" else None, on_file)
    for f in given:
        with pytest.raises(StateError):
            f.file_object  # noqa: B018


@pytest.mark.parametrize("headers", [FORM, {**FORM, "Content-Length": len(MESSAGE)}], ids=["", "Content-Length"])
def test_parse_form_input_cut_short(headers: Any) -> None:
    for end in range(9, len(MESSAGE), 9):
        with pytest.raises(IncompleteBody):
            collect(MESSAGE[:end], headers)
    with pytest.raises(IncompleteBody):
        collect(b"a=1&b", {**URLENCODED, "Content-Length": 6})


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, io.BytesIO, Input])
async def test_parse_form_gives_a_form(kind: Callable[[bytes], Any], tmp_path: Path) -> None:
    with parse_form({**FORM, "Content-Length": len(MESSAGE)}, kind(MESSAGE)) as form:
        assert await entries(form) == await entries(await read_form(FORM, MESSAGE))
        assert form.files[0].save_sync(tmp_path / "x", hash="md5").hexdigest == (
            hashlib.md5(b"\x89PNG\r\n\x1a\n").hexdigest()
        )
    with parse_form(URLENCODED, b"a=1") as form:
        assert form.text("a") == "1"


@pytest.mark.parametrize("length", [None, 3 * MIB + 5])
@pytest.mark.parametrize("name", [None, "x.bin"])
def test_parse_form_one_file(length: int | None, name: str | None) -> None:
    headers: dict[str, Any] = {"Content-Type": "application/octet-stream"}
    if length is not None:
        headers["Content-Length"] = length
    if name is not None:
        headers["X-File-Name"] = name
    found: list[FormFile] = []
    for body in (BIG, b""):
        if not body and length is not None:
            with pytest.raises(IncompleteBody):
                parse_form(headers, io.BytesIO(body), None, found.append)
            continue
        parse_form(headers, io.BytesIO(body), None, found.append)
        file = found.pop()
        assert (file.field_name, file.file_name, file.size) == (None, name and name.encode(), len(body))
        assert file.content_type == "application/octet-stream"
        assert file.file_object.read() == body
        file.close()
    assert found == []
    with pytest.raises(UnsupportedMediaType):
        parse_form(headers, BIG)
    for limit in ("max_part_size", "max_total_size"):
        for chunk_size in (1000, 1 << 20):
            limits = Limits.for_forms(max_part_size=5 * MIB).replace(**{limit: MIB})
            with pytest.raises(LimitExceeded) as caught:
                parse_form(headers, io.BytesIO(BIG), None, found.append, chunk_size, limits=limits)
            assert (caught.value.limit, caught.value.offset) == (limit, MIB)


def test_other_media_types_say_what_is_expected_and_what_came() -> None:
    with pytest.raises(UnsupportedMediaType, match=r"multipart/form-data.*urlencoded.*not text/plain") as caught:
        parse_form({"Content-Type": "text/plain"}, b"")
    assert (caught.value.http_status, caught.value.code) == (415, "not-a-form")


def test_callbacks_and_targets() -> None:
    with pytest.raises(TypeError, match="callbacks"):
        parse_form(FORM, MESSAGE, None, None, targets={})  # type: ignore[call-overload]


def test_memory_is_bounded_with_callbacks_too() -> None:
    message = build(*[field("a", "€" * 100)] * 5)
    limits = Limits.for_forms(max_memory=1500)
    seen: list[FormField] = []
    with pytest.raises(LimitExceeded):
        parse_form(FORM, message, seen.append, None, limits=limits)
    assert len(seen) == 3


def test_parse_form_bad_arguments() -> None:
    with pytest.raises(ValueError, match="chunk_size"):
        parse_form(FORM, io.BytesIO(MESSAGE), None, None, 0)
    for headers in ({}, {"Content-Type": "text/plain"}, {**FORM, "Content-Length": "x"}):
        with pytest.raises(ParseError):
            parse_form(headers, io.BytesIO(MESSAGE), None, None)


# WSGI


async def test_wsgi() -> None:
    with wsgi_form(build(field("a", "[1]", "application/json"), file("f", "x", BIG)), json=True) as form:
        assert form["a"] == [1]
        assert upload(form, "f").file.read() == BIG
        assert upload(form, "f").name == "f"
    with pytest.raises(StateError):
        upload(form, "f").file  # noqa: B018


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CONTENT_LENGTH": ""}, []),
        ({}, []),
        ({"wsgi.input_terminated": True}, [("a", "1"), ("b", "2")]),
        ({"wsgi.input_terminated": True, "CONTENT_LENGTH": "3"}, [("a", "1")]),
    ],
)
def test_wsgi_lengths(environ: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    environ |= {"CONTENT_TYPE": URLENCODED["Content-Type"], "wsgi.input": io.BytesIO(b"a=1&b=2")}
    assert list(wsgi.parse_form(environ).items()) == expected


def test_wsgi_errors() -> None:
    with pytest.raises(ParseError):
        wsgi.parse_form({"wsgi.input": io.BytesIO()})
    with pytest.raises(MultipartError):
        wsgi_form(build(file("a", "a", BIG), (b"bad", b"")))


# The snippets that people know, with the import changed


def test_the_wsgi_snippet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import aiomultipart as multipart

    def on_field(field):
        print("Field:", field.field_name.decode(), "=", field.value.decode())  # noqa: T201  (the snippet's)

    def on_file(file):
        filename = file.file_name.decode()
        with open(filename, "wb") as out:  # noqa: PTH123  (the snippet's)
            chunk = file.file_object.read(1024 * 1024)
            while chunk:
                out.write(chunk)
                chunk = file.file_object.read(1024 * 1024)
        print("File saved:", filename)  # noqa: T201  (the snippet's)

    def handle_wsgi_upload(environ):
        headers = {"Content-Type": environ["CONTENT_TYPE"], "Content-Length": environ["CONTENT_LENGTH"]}
        multipart.parse_form(headers, environ["wsgi.input"], on_field, on_file)

    monkeypatch.chdir(tmp_path)
    message = build(field("a", "é"), file("f", "big", BIG))
    handle_wsgi_upload(
        {"CONTENT_TYPE": FORM["Content-Type"], "CONTENT_LENGTH": str(len(message)), "wsgi.input": io.BytesIO(message)}
    )
    assert capsys.readouterr().out == "Field: a = é\nFile saved: big\n"
    assert files(tmp_path) == {"big": BIG}


async def test_the_asgi_pattern() -> None:
    async def handle_async_upload(body, content_type):
        results = {"fields": {}, "files": {}}
        parser = PushMultipartParser.from_content_type(content_type)
        part, data = None, b""
        for chunk in body:
            for event in parser.feed(chunk):
                if hasattr(event, "filename"):
                    part, data = event, b""
                elif isinstance(event, bytes):
                    data += event
                elif part is not None and part.filename:
                    results["files"][part.name] = (part.filename, data)
                elif part is not None:
                    results["fields"][part.name] = data.decode()
        parser.close()
        return results

    body = next(chunks for chunks in list(cuttings(MESSAGE))[5:])
    results = await handle_async_upload(body, FORM["Content-Type"])
    assert results["fields"]["tag"] == "zwei ü"
    assert results["files"] == {"photo": ("2.png", b"")}


def test_the_hashing_pattern() -> None:
    class HashingMultipartHandler:
        def __init__(self):
            self.part_hash = None
            self.digests = []

        def on_part_begin(self):
            self.part_hash = hashlib.sha256()

        def on_part_data(self, data, start, end):
            self.part_hash.update(data[start:end])

        def on_part_end(self):
            self.digests.append(self.part_hash.hexdigest())

    handler = HashingMultipartHandler()
    callbacks = {
        "on_part_begin": handler.on_part_begin,
        "on_part_data": handler.on_part_data,
        "on_part_end": handler.on_part_end,
    }
    parser = PushMultipartParser("b", callbacks=callbacks)
    for start in range(0, len(MESSAGE), 5):
        parser.feed(MESSAGE[start : start + 5])
    parser.close()
    assert handler.digests[2] == hashlib.sha256(b"one").hexdigest()
    assert len(handler.digests) == 7


@pytest.mark.parametrize("name", [b"ab", b"a%20b"])
async def test_a_long_urlencoded_field_is_refused_by_default(name: bytes) -> None:
    message = name + b"=" + b"x" * 4 * MIB
    for read in (
        lambda: read_form(URLENCODED, message),
        lambda: read_form(URLENCODED, chunked(message)),
        lambda: in_wsgi(message, URLENCODED),
        lambda: asyncio.to_thread(collect, message, URLENCODED),
    ):
        with pytest.raises(LimitExceeded) as caught:
            await read()
        assert (caught.value.limit, caught.value.part_name) == ("max_field_size", name.decode().replace("%20", " "))


async def test_a_target_in_place_of_a_factory_takes_one_part() -> None:
    targets = {"a": MemoryTarget()}
    field = b'--b\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n\r\none\r\n'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with await read_form(headers, field + b"--b--", targets=targets) as form:
        assert form["a"].result == b"one"
    with pytest.raises(RejectedPart, match="second file") as caught:
        await read_form(headers, field + field + b"--b--", targets={"a": MemoryTarget()})
    assert (caught.value.part_index, caught.value.part_name) == (1, "a")


async def test_progress_may_be_async() -> None:
    told: list[tuple[int, int | None]] = []

    async def on_progress(received: int, total: int | None) -> None:
        await asyncio.sleep(0)
        told.append((received, total))

    headers = {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "3"}
    async with await read_form(headers, b"a=1", on_progress=on_progress) as form:
        assert form["a"] == "1"
    assert told == [(3, 3)]


async def test_files_of_a_budget_of_their_own_do_not_make_room() -> None:
    file = b'--b\r\nContent-Disposition: form-data; name="a"; filename="x"\r\n\r\n' + b"x" * 3000 + b"\r\n"
    field = b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\n' + b"y" * 3000 + b"\r\n--b--"
    spools: list[SpooledTarget] = []

    def spool(part: ReceivedPart) -> SpooledTarget:
        spools.append(SpooledTarget())
        return spools[-1]

    rolled: list[bool] = []
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    limits = Limits.for_forms(max_memory=5000)
    async with await read_form(headers, file + field, limits=limits, targets={"a": spool}) as form:
        rolled.append(form.file("a").on_disk)
    async with await read_form(headers, file + field, limits=limits) as form:
        rolled.append(form.file("a").on_disk)
    assert rolled == [False, True]
