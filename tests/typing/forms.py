"""Types of the forms, as mypy sees them; nothing here is run."""

from __future__ import annotations

from typing import Any, assert_type

from aiohttp import web

from aiomultipart import (
    FileTarget,
    Form,
    FormField,
    FormFile,
    HashTarget,
    ReceivedPart,
    SavedFile,
    TeeTarget,
    UploadedFile,
    parse_form,
    read_form,
)
from aiomultipart.integrations import aiohttp as our_aiohttp
from aiomultipart.integrations import asgi, wsgi


async def read(scope: dict[str, Any], receive: Any, request: web.Request) -> None:
    async with await read_form({"Content-Type": "x"}, b"", json=True) as form:
        assert_type(form, Form)
        assert_type(form.files, list[UploadedFile[Any]])
        assert_type(await form.files[0].save("x"), SavedFile)
    await read_form(request.headers, request.content, on_progress=lambda received, total: None)
    await read_form(
        {},
        b"",
        targets={"a": lambda part: TeeTarget(FileTarget(part.name or ""), HashTarget()), "b": HashTarget()},
        default=lambda part: None if part.filename is None else FileTarget("x"),
    )
    assert_type(await asgi.read_form(scope, receive), Form)
    assert_type(await our_aiohttp.read_form(request), Form)


def parse(environ: dict[str, Any]) -> None:
    with wsgi.parse_form(environ) as form:
        assert_type(form, Form)

    def on_field(field: FormField) -> None:
        assert_type(field.value, bytes)

    def on_file(file: FormFile) -> None:
        assert_type(file.file_name, bytes | None)

    strings: dict[str, str] = {}
    raw: dict[bytes, bytes] = {}
    numbers: dict[str, str | int] = {}
    parse_form(strings, environ["wsgi.input"], on_field, on_file)
    parse_form(raw, environ["wsgi.input"], None, None)
    parse_form(numbers, environ["wsgi.input"], None, None, 1024)


async def ask(form: Form) -> None:
    assert_type(form.text("a"), str)
    assert_type(form.text("a", None), str | None)
    assert_type(form.texts("a"), list[str])
    assert_type(form.file("a"), UploadedFile[Any])
    assert_type(form.files_of("a", 1), list[UploadedFile[Any]] | int)
    assert_type(form["a"], str | UploadedFile[Any])
    photo: UploadedFile[SavedFile] = form.file("photo")
    assert_type(photo.result, SavedFile)
    assert_type(await photo.copy_to(HashTarget()), str)
    assert_type(photo.copy_to_sync(Plain()), int)
    assert_type(photo.save_sync("x", mode=0o644), SavedFile)
    assert_type(photo.read_sync(), bytes)
    await form.discard()


class Plain:
    """A target of plain methods."""

    def start(self, part: ReceivedPart) -> None: ...
    def write(self, data: bytes) -> None: ...
    def finish(self) -> int:
        return 0

    def abort(self) -> None: ...


async def enter() -> None:
    async with read_form({}, b"", targets={"a": lambda part: Plain(), "b": Plain()}) as form:
        assert_type(form, Form)
    with parse_form({}, b"", targets=lambda part: FileTarget("x")) as form:
        assert_type(form, Form)
