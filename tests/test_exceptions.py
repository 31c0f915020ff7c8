"""What an error says of itself: its code, its status, and the problem that a server answers with."""

from __future__ import annotations

import ast
import copy
import dataclasses
import json
import pickle
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

import aiomultipart
from aiomultipart import (
    BodyPartReader,
    CodecError,
    FieldError,
    IncompleteBody,
    LimitExceeded,
    Limits,
    MemoryTarget,
    MultipartError,
    MultipartReader,
    ParseError,
    Policy,
    RangeNotSatisfiable,
    RejectedPart,
    UnknownEncoding,
    UnsupportedMediaType,
    ValidatedTarget,
    read_form,
    safe_filename,
)

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "aiomultipart"


def family(root: type[MultipartError] = MultipartError) -> Iterator[type[MultipartError]]:
    yield root
    for child in root.__subclasses__():
        if child.__module__.startswith("aiomultipart"):
            yield from family(child)


CLASSES = sorted(set(family()), key=lambda each: each.__name__)


# What an error says


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (MultipartError, "bad-input", 400),
        (ParseError, "bad-syntax", 400),
        (UnsupportedMediaType, "unsupported-media-type", 415),
        (IncompleteBody, "no-close-delimiter", 400),
        (LimitExceeded, "limit-exceeded", 413),
        (CodecError, "damaged-body", 400),
        (UnknownEncoding, "unknown-encoding", 415),
        (RangeNotSatisfiable, "range-not-satisfiable", 416),
        (RejectedPart, "rejected-part", 415),
        (FieldError, "bad-field", 422),
    ],
)
def test_each_class_has_a_code_and_a_status(kind: type[MultipartError], code: str, status: int) -> None:
    assert (kind("x").code, kind("x").http_status) == (code, status)
    assert kind("x", code="mine").code == "mine"
    assert kind("x").code == code
    assert kind("x").to_problem() == {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": "x",
        "code": code,
    }


def test_all_classes_are_public() -> None:
    assert len(CLASSES) == 10
    for kind in CLASSES:
        assert getattr(aiomultipart, kind.__name__) is kind
        assert kind.__name__ in aiomultipart.__all__


def test_what_they_can_be_caught_as() -> None:
    assert issubclass(UnsupportedMediaType, ParseError)
    assert issubclass(UnknownEncoding, RuntimeError)
    assert all(issubclass(kind, ValueError) for kind in CLASSES)


def test_the_code_of_a_limit_is_its_name() -> None:
    assert LimitExceeded("x", limit="max_part_size", value=5).code == "max-part-size"
    assert LimitExceeded("x", limit="max_part_size", code="mine").code == "mine"


def test_a_problem_says_all_that_is_known() -> None:
    error = LimitExceeded("body passes it", limit="max_size", value=0, offset=0, part_index=0, part_name="")
    assert json.loads(json.dumps(error.to_problem())) == {
        "type": "about:blank",
        "title": HTTPStatus(413).phrase,
        "status": 413,
        "detail": "body passes it [at byte 0, in part 0 ('')]",
        "code": "max-size",
        "offset": 0,
        "part_index": 0,
        "part_name": "",
        "limit": "max_size",
        "value": 0,
    }


def test_a_problem_follows_the_place() -> None:
    """Whoever knows the place better sets it later."""
    error = FieldError("no such field", code="missing-field")
    assert "part_name" not in error.to_problem()
    error.part_name = "größe"
    assert error.to_problem()["part_name"] == "größe"
    assert not {"offset", "part_index", "limit", "value"} & error.to_problem().keys()


def test_an_application_may_have_a_class_of_its_own() -> None:
    class Unwanted(RejectedPart):
        http_status = 403
        code = "unwanted"

    problem = Unwanted("no cats").to_problem()
    assert (problem["status"], problem["title"], problem["code"]) == (403, "Forbidden", "unwanted")


WAYS: dict[str, Callable[[MultipartError], MultipartError]] = {
    "fresh": lambda error: error.fresh(),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("code", [None, "mine"])
@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_a_copy_keeps_everything(kind: type[MultipartError], code: str | None, way: str) -> None:
    more: dict[str, Any] = {"limit": "max_parts", "value": 3} if kind is LimitExceeded else {}
    error = kind("what", code=code, offset=7, part_index=1, part_name="é", **more)
    error.add_note("and more")
    copied = WAYS[way](error)
    assert copied is not error
    assert type(copied) is kind
    assert (str(copied), copied.code, vars(copied)) == (str(error), error.code, vars(error))
    assert copied.to_problem() == error.to_problem()


# What is raised


FORM = "multipart/form-data; boundary=b"
NAME = 'Content-Disposition: form-data; name="a"'


def form_with(head: str, body: str = "x") -> bytes:
    return f"--b\r\n{head}\r\n\r\n{body}\r\n--b--".encode("latin-1")


def names(disposition: str) -> bytes:
    return form_with(f"Content-Disposition: form-data; {disposition}")


FORMS: dict[str, tuple[str, bytes, dict[str, Any], type[MultipartError], str]] = {
    "no form": ("text/plain", b"", {}, UnsupportedMediaType, "not-a-form"),
    "another multipart": ("multipart/mixed; boundary=b", b"", {}, UnsupportedMediaType, "not-a-form"),
    "no media type": ("form", b"", {}, ParseError, "bad-content-type"),
    "control in a media type": ("text/plain; a=\x01", b"", {}, ParseError, "control-character"),
    "boundary missing": ("multipart/form-data", b"", {}, ParseError, "missing-boundary"),
    "boundary empty": ('multipart/form-data; boundary=""', b"", {}, ParseError, "bad-boundary"),
    "boundary extended": ("multipart/form-data; boundary*=x", b"", {}, ParseError, "bad-boundary"),
    "boundary with a comma": ("multipart/form-data; boundary=a,b", b"", {}, ParseError, "bad-boundary"),
    "boundary with a letter": ('multipart/form-data; boundary="ä"', b"", {}, ParseError, "bad-boundary"),
    "boundary too long": (f"multipart/form-data; boundary={'b' * 71}", b"", {}, LimitExceeded, "max-boundary-length"),
    "boundary twice": (f"{FORM}; boundary=b", b"", {}, ParseError, "repeated-parameter"),
    "boundary cut short": ('multipart/form-data; boundary="b', b"", {}, ParseError, "bad-parameter"),
    "space before the equals sign": ("multipart/form-data; boundary =b", b"", {}, ParseError, "bad-parameter"),
    "too many parameters": (f"{FORM}; a=1; b=2", b"", {"max_parameters": 2}, LimitExceeded, "max-parameters"),
    "no colon": (FORM, form_with("A"), {}, ParseError, "bad-header"),
    "space before the colon": (FORM, form_with("A : 1"), {}, ParseError, "bad-header"),
    "name of a header": (FORM, form_with("A(: 1"), {}, ParseError, "bad-header"),
    "folded first": (FORM, form_with(" A: 1"), {}, ParseError, "bad-header"),
    "folded": (FORM, form_with(f"{NAME}\r\n ;a=1"), {"policy": Policy.STRICT}, ParseError, "folded-line"),
    "control in a header": (FORM, form_with("A: \x00"), {}, ParseError, "control-character"),
    "no type": (FORM, form_with("Content-Disposition: ;"), {}, ParseError, "bad-content-disposition"),
    "no name": (FORM, form_with("A: 1"), {}, ParseError, "no-form-data-name"),
    "name twice": (FORM, names("name=a; name=b"), {}, ParseError, "repeated-parameter"),
    "section twice": (
        FORM,
        names("name=a; filename*0=a; filename*0*=b; filename*0=c"),
        {"policy": Policy.LENIENT},
        ParseError,
        "repeated-parameter",
    ),
    "extended": (FORM, names("name*=utf-8''a"), {"policy": Policy.STRICT}, ParseError, "extended-parameter"),
    "continued": (FORM, names("name*0=a"), {}, ParseError, "extended-parameter"),
    "no extended value": (FORM, names("name*=a"), {}, ParseError, "bad-extended-parameter"),
    "not in its charset": (FORM, names("name*=utf-8''%ff"), {}, ParseError, "bad-extended-parameter"),
    "charset of a name": (FORM, names("name*=klingon''a"), {}, ParseError, "unknown-charset"),
    "control in a name": (FORM, names("name*=utf-8''%00"), {}, ParseError, "control-character"),
    "files in a field": (
        FORM,
        form_with(f"{NAME}\r\nContent-Type: multipart/mixed; boundary=c"),
        {"policy": Policy.STRICT},
        ParseError,
        "nested-files",
    ),
    "text": (FORM, form_with(NAME, "\xff"), {}, CodecError, "undecodable-text"),
    "charset": (
        FORM,
        form_with(f"{NAME}\r\nContent-Type: text/plain; charset=x"),
        {},
        UnknownEncoding,
        "unknown-charset",
    ),
    "JSON": (FORM, form_with(f"{NAME}\r\nContent-Type: application/json"), {"json": True}, CodecError, "bad-json"),
    "transfer encoding": (
        FORM,
        form_with(f"{NAME}\r\nContent-Transfer-Encoding: x"),
        {},
        UnknownEncoding,
        "unknown-transfer-encoding",
    ),
    "base64": (FORM, form_with(f"{NAME}\r\nContent-Transfer-Encoding: base64", "!!!!"), {}, CodecError, "damaged-body"),
    "base64 cut short": (
        FORM,
        form_with(f"{NAME}\r\nContent-Transfer-Encoding: base64", "YQ"),
        {},
        CodecError,
        "body-cut-short",
    ),
    "nothing": (FORM, b"", {"policy": Policy.STRICT}, IncompleteBody, "empty-body"),
    "cut short": (FORM, form_with(NAME)[:-3], {}, IncompleteBody, "no-close-delimiter"),
    "field too large": (FORM, form_with(NAME), {"max_field_size": 0}, LimitExceeded, "max-field-size"),
    "two files for one target": (
        FORM,
        b"--b\r\n%b; filename=a\r\n\r\nx\r\n" % NAME.encode() + form_with(f"{NAME}; filename=b"),
        {"targets": {"a": MemoryTarget()}},
        RejectedPart,
        "second-file",
    ),
    "file too large": (
        FORM,
        form_with(f"{NAME}; filename=a"),
        {"targets": {"a": lambda _: MemoryTarget(max_size=0)}},
        LimitExceeded,
        "max-size",
    ),
    "file of another type": (
        FORM,
        form_with(f"{NAME}; filename=a"),
        {"targets": {"a": lambda _: ValidatedTarget(MemoryTarget(), content_types={"image/*"})}},
        RejectedPart,
        "content-type-not-accepted",
    ),
    "file with something else in it": (
        FORM,
        form_with(f"{NAME}; filename=a"),
        {"targets": {"a": lambda _: ValidatedTarget(MemoryTarget(), magic=lambda _: False)}},
        RejectedPart,
        "content-not-accepted",
    ),
}


@pytest.mark.parametrize("case", FORMS)
async def test_the_code_of_a_bad_form(case: str) -> None:
    content_type, body, options, kind, code = FORMS[case]
    limits = {name: options[name] for name in options if name.startswith("max_")}
    given: dict[str, Any] = {name: value for name, value in options.items() if name not in limits}
    with pytest.raises(kind) as caught:
        await read_form({"Content-Type": content_type}, body, limits=Limits.for_forms(**limits), **given)
    error = caught.value
    assert type(error) is kind
    assert error.code == code
    problem = error.to_problem()
    assert (problem["code"], problem["status"], problem["detail"]) == (code, error.http_status, str(error))
    assert json.loads(json.dumps(problem)) == problem


@pytest.mark.parametrize(
    ("headers", "kind", "code"),
    [
        ([], ParseError, "missing-content-type"),
        ([("Content-Type", FORM), ("Content-Type", FORM)], ParseError, "repeated-field"),
        ([("Content-Type", FORM), ("Content-Length", "+1")], ParseError, "bad-content-length"),
        ([("Content-Type", FORM), ("Content-Length", "1"), ("Content-Length", "2")], ParseError, "repeated-field"),
        ([("Content-Type", FORM), ("Content-Length", "99999999999")], LimitExceeded, "max-total-size"),
        (
            [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "9")],
            IncompleteBody,
            "body-cut-short",
        ),
    ],
)
async def test_the_code_of_bad_headers(headers: list[tuple[str, str]], kind: type[MultipartError], code: str) -> None:
    class Headers:
        def items(self) -> list[tuple[str, str]]:
            return headers

    with pytest.raises(kind) as caught:
        await read_form(Headers(), b"a=1")
    assert (type(caught.value), caught.value.code) == (kind, code)


async def test_what_is_no_form_says_what_was_expected_and_what_came() -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        await read_form({"Content-Type": "Application/JSON; charset=utf-8"}, b"{}")
    for name in ("multipart/form-data", "application/x-www-form-urlencoded", "application/json"):
        assert name in str(caught.value)


async def test_a_form_cut_short_says_how_much_was_announced_and_how_much_came() -> None:
    with pytest.raises(IncompleteBody) as caught:
        await read_form({"Content-Type": "application/x-www-form-urlencoded", "Content-Length": "9"}, b"a=1")
    assert caught.value.offset == 3
    assert "9 bytes of Content-Length" in str(caught.value)


async def the_part(head: str, body: bytes = b"\xff") -> BodyPartReader:
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    part = await MultipartReader(headers, b"--b\r\n%b\r\n\r\n%b\r\n--b--" % (head.encode(), body)).next()
    assert isinstance(part, BodyPartReader)
    return part


@pytest.mark.parametrize(
    ("head", "read", "kind", "code"),
    [
        ("A: 1", lambda part: part.text(encoding="ascii"), CodecError, "undecodable-text"),
        ("A: 1", lambda part: part.text(encoding="x"), UnknownEncoding, "unknown-charset"),
        ("A: 1", lambda part: part.json(encoding="latin-1"), CodecError, "bad-json"),
        ("Content-Encoding: x", lambda part: part.read(decode=True), UnknownEncoding, "unknown-content-coding"),
        ("Content-Encoding: gzip, br", lambda part: part.read(decode=True), UnknownEncoding, "unknown-content-coding"),
    ],
)
async def test_the_code_of_a_bad_body(
    head: str, read: Callable[[BodyPartReader], Any], kind: type[MultipartError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        await read(await the_part(head))
    assert (type(caught.value), caught.value.code, caught.value.part_index) == (kind, code, 0)


@pytest.mark.parametrize(("body", "code"), [(b"\x1f\x8b", "body-cut-short"), (b"no gzip", "damaged-body")])
async def test_the_code_of_a_body_that_does_not_decode(body: bytes, code: str) -> None:
    part = await the_part("Content-Encoding: gzip", body)
    with pytest.raises(CodecError) as caught:
        await part.read(decode=True)
    assert caught.value.code == code


async def test_the_code_of_a_location() -> None:
    part = await the_part("Content-Location: http://[")
    with pytest.raises(ParseError) as caught:
        part.location  # noqa: B018
    assert caught.value.code == "bad-content-location"


async def test_the_code_of_client_max_size() -> None:
    part = await MultipartReader(
        {"Content-Type": "multipart/mixed; boundary=b"}, b"--b\r\n\r\nxx\r\n--b--", client_max_size=1
    ).next()
    assert isinstance(part, BodyPartReader)
    with pytest.raises(LimitExceeded) as caught:
        await part.read()
    assert caught.value.code == "client-max-size"


async def test_the_code_of_a_client_that_is_gone() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    scope = {"headers": [(b"content-type", FORM.encode())]}
    with pytest.raises(IncompleteBody) as caught:
        await MultipartReader.from_asgi(scope, receive).next()
    assert caught.value.code == "disconnected"


@pytest.mark.parametrize("name", ["", "a\u202eb", "c:d", "NUL"])
def test_the_code_of_a_file_name(name: str) -> None:
    with pytest.raises(RejectedPart) as caught:
        safe_filename(name)
    assert caught.value.code == "unsafe-filename"


# The list of codes


def calls(path: Path) -> Iterator[tuple[str, dict[str, ast.expr], ast.Call]]:
    """Every call in a file: what is called, by its last name, and with which keywords."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            yield name, {each.arg: each.value for each in node.keywords if each.arg is not None}, node


def code_of(limit: str) -> str:
    return limit.replace("_", "-")


def raised() -> set[str]:
    """The codes that stand in the source, and those of the limits."""
    found = {kind.code for kind in CLASSES}
    found |= {code_of(field.name) for field in dataclasses.fields(Limits) if field.name.startswith("max_")}
    for path in PACKAGE.rglob("*.py"):
        for name, keywords, _ in calls(path):
            code, limit = keywords.get("code"), keywords.get("limit")
            if isinstance(code, ast.Constant) and isinstance(code.value, str):
                found.add(code.value)
            if name == "LimitExceeded" and isinstance(limit, ast.Constant) and isinstance(limit.value, str):
                found.add(code_of(limit.value))
    return found


def listed() -> list[str]:
    page = (ROOT / "docs/reference/exceptions.rst").read_text("utf-8")
    return re.findall(r"``([a-z]+(?:-[a-z]+)*)``", page.partition("\nCodes\n-----\n")[2])


def test_every_code_is_on_the_list() -> None:
    assert raised() - set(listed()) == set()


def test_every_code_on_the_list_is_raised() -> None:
    assert set(listed()) <= raised()


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_error_gets_a_code_where_it_is_made(path: Path) -> None:
    for name, keywords, node in calls(path):
        if name in {kind.__name__ for kind in CLASSES}:
            own = keywords.get("limit" if name == "LimitExceeded" else "code")
            assert own is not None, f"{path}:{node.lineno}"
            assert name == "LimitExceeded" or isinstance(own, ast.Constant), f"{path}:{node.lineno}"
