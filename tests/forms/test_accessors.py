"""What a form says to those who ask for a field: the text or file, or a FieldError that names it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aiomultipart import FieldError, Form, LimitExceeded, Limits, UploadedFile, parse_form, read_form
from tests.support.reading import FORM, build

URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


def field(name: str, value: bytes) -> tuple[bytes, bytes]:
    return f'Content-Disposition: form-data; name="{name}"'.encode(), value


def file(name: str, body: bytes) -> tuple[bytes, bytes]:
    return f'Content-Disposition: form-data; name="{name}"; filename="{name}.txt"'.encode(), body


@pytest.fixture
def form() -> Form:
    message = build(
        field("title", b"T"),
        field("tag", b"1"),
        field("tag", b"2"),
        file("photo", b"p"),
        file("page", b"a"),
        file("page", b"b"),
        field("both", b"x"),
        file("both", b"y"),
    )
    return parse_form(FORM, message)


def test_what_is_there(form: Form) -> None:
    assert form.text("title") == "T"
    assert form.text("title", None) == "T"
    assert form.texts("tag") == ["1", "2"]
    assert form.texts("title") == ["T"]
    assert form.file("photo").read_sync() == b"p"
    assert form.file("photo", None) is form.file("photo")
    assert [page.filename for page in form.files_of("page")] == ["page.txt"] * 2
    assert form.files_of("photo") == [form.file("photo")]
    assert [each.name for each in form.files] == ["photo", "page", "page", "both"]


@pytest.mark.parametrize(
    ("ask", "code", "name"),
    [
        (lambda form: form.text("no"), "missing-field", "no"),
        (lambda form: form.texts("no"), "missing-field", "no"),
        (lambda form: form.file("no"), "missing-field", "no"),
        (lambda form: form.files_of("no"), "missing-field", "no"),
        (lambda form: form.text("photo"), "not-text", "photo"),
        (lambda form: form.texts("page"), "not-text", "page"),
        (lambda form: form.texts("both"), "not-text", "both"),
        (lambda form: form.file("title"), "not-a-file", "title"),
        (lambda form: form.files_of("tag"), "not-a-file", "tag"),
        (lambda form: form.files_of("both"), "not-a-file", "both"),
        (lambda form: form.text("tag"), "too-many", "tag"),
        (lambda form: form.file("page"), "too-many", "page"),
        (lambda form: form.text("tag", "default"), "too-many", "tag"),
        (lambda form: form.text("photo", "default"), "not-text", "photo"),
    ],
)
def test_what_is_not(form: Form, ask: Callable[[Form], Any], code: str, name: str) -> None:
    with pytest.raises(FieldError) as caught:
        ask(form)
    assert (caught.value.code, caught.value.part_name, caught.value.http_status) == (code, name, 422)
    assert repr(name) in str(caught.value)
    assert caught.value.to_problem()["status"] == 422


def test_defaults(form: Form) -> None:
    assert form.text("no", "default") == "default"
    assert form.text("no", None) is None
    assert form.file("no", None) is None
    assert form.texts("no", []) == []
    assert form.files_of("no", ()) == ()


def test_json_is_no_text() -> None:
    message = build((b'Content-Disposition: form-data; name="a"\r\nContent-Type: application/json', b"[1]"))
    form = parse_form(FORM, message, json=True)
    assert form["a"] == [1]  # type: ignore[comparison-overlap]
    with pytest.raises(FieldError):
        form.text("a")


@pytest.mark.parametrize(("limit", "index"), [("max_files", 2), ("max_fields", 3)])
async def test_files_and_fields_are_counted(limit: str, index: int) -> None:
    message = build(file("a", b""), field("b", b""), file("c", b""), field("d", b""))
    for most in (2, None):
        with parse_form(FORM, message, limits=Limits.for_forms(**{limit: most})) as form:
            assert len(form) == 4
    for read in (read_form, in_a_coroutine):
        with pytest.raises(LimitExceeded) as caught:
            await read(FORM, message, limits=Limits.for_forms(**{limit: 1}))
        error = caught.value
        assert (error.limit, error.value, error.part_index, error.code) == (limit, 1, index, limit.replace("_", "-"))
    if limit == "max_fields":
        with pytest.raises(LimitExceeded) as caught:
            parse_form(URLENCODED, b"a=1&b=2", limits=Limits.for_forms(max_fields=1))
        assert (caught.value.part_name, caught.value.offset) == ("b", 4)


async def in_a_coroutine(*args: Any, **kwargs: Any) -> Form:
    return parse_form(*args, **kwargs)


def test_files_that_were_not_chosen_do_not_count() -> None:
    message = build(*[(b'Content-Disposition: form-data; name="a"; filename=""', b"")] * 3)
    assert len(parse_form(FORM, message, limits=Limits.for_forms(max_files=0))) == 0


def test_the_type_of_a_file(form: Form) -> None:
    assert isinstance(form["photo"], UploadedFile)
    assert form.file("photo").part.name == "photo"
