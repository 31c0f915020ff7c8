"""Every regex of the package, on the inputs that CPython 3.11.0 to 3.11.4 match wrongly where a group is possessive."""

from __future__ import annotations

import importlib
import pkgutil
import re
import types
from typing import Any

import pytest

import aiomultipart
from aiomultipart.exceptions import ParseError
from aiomultipart.grammar.disposition import parse_disposition
from aiomultipart.grammar.fields import usual_field_line
from aiomultipart.grammar.media_type import parse_media_type
from aiomultipart.limits import Limits
from aiomultipart.policy import Policy

_compiler: Any
_constants: Any
_parser: Any
_compiler, _constants, _parser = (
    importlib.import_module(f"re.{name}") for name in ("_compiler", "_constants", "_parser")
)

# One character, or one out of a class: possessively repeated, these match rightly on every version.
SINGLE = {"IN", "LITERAL", "NOT_LITERAL", "ANY"}


def patterns() -> dict[str, re.Pattern[Any]]:
    """The compiled patterns among the globals of all modules, and those whose methods are."""
    found: dict[str, re.Pattern[Any]] = {}
    for module in pkgutil.walk_packages(aiomultipart.__path__, "aiomultipart."):
        if module.name == "aiomultipart.__main__":
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            owner = value.__self__ if isinstance(value, types.BuiltinMethodType) else value
            if isinstance(owner, re.Pattern):
                found.setdefault(f"{module.name}.{name}", owner)
    return found


PATTERNS = patterns()


def possessive(tree: Any) -> list[list[str]]:
    """The kinds of what each possessive repetition repeats."""
    found = []
    for operation, arguments in tree:
        if operation is _constants.POSSESSIVE_REPEAT:
            found.append([str(kind) for kind, _ in arguments[2]])
        for body in trees(arguments):
            found += possessive(body)
    return found


def trees(arguments: Any) -> list[Any]:
    if isinstance(arguments, _parser.SubPattern):
        return [arguments]
    return [tree for each in arguments for tree in trees(each)] if isinstance(arguments, (list, tuple)) else []


def without_possession(pattern: re.Pattern[Any]) -> re.Pattern[Any]:
    """The same pattern with greedy repetitions, which are older than 3.11."""
    tree = _parser.parse(pattern.pattern, pattern.flags)
    todo = [tree]
    while todo:
        each = todo.pop()
        for index, (operation, arguments) in enumerate(each.data):
            if operation is _constants.POSSESSIVE_REPEAT:
                each.data[index] = (_constants.MAX_REPEAT, arguments)
            todo += trees(arguments)
    return _compiler.compile(tree, pattern.flags)  # type: ignore[no-any-return]


def test_the_patterns_are_found() -> None:
    assert {
        "aiomultipart.grammar.fields._PARAMETER",
        "aiomultipart.grammar.fields.usual_field_line",
    } <= PATTERNS.keys()
    assert len(PATTERNS) > 20


@pytest.mark.parametrize("name", PATTERNS)
def test_no_group_is_possessive(name: str) -> None:
    pattern = PATTERNS[name]
    for body in possessive(_parser.parse(pattern.pattern, pattern.flags)):
        assert len(body) == 1
        assert body[0] in SINGLE


# What the grammar is for, and what it is not: cut short at any place, or with one character more or less.
WHOLE = [
    "; name=a",
    "; name = a",
    ' ; name="a"',
    '; name="a\\"b"',
    '; name="a\\\\"',
    "; ;; a=b",
    ';\tname="a"; filename="b.txt"',
    '\r\nContent-Disposition: form-data; name="a"',
    '\r\nContent-Disposition: form-data; name="a"; filename="b"',
    '\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: image/png',
    '\r\nContent-Disposition: form-data; name="a"; filename="b"\r\nContent-Type: image/png',
    '\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: multipart/x',
    'form-data; name="a\\"',
    'form-data; name="a\\"; filename="b\\"',
    "A: b",
    "X-A:\t b c ",
    "text/plain",
    "text/plain; charset=utf-8",
    "multipart/form-data; boundary=----b'1",
    "utf-8'en'a%41%c3%a9b",
    "filename*0*",
    "filename*12",
    "a=3D=20b=\r\n",
    "YWI=YQ==",
    "--b",
    "a\\b c\t\x00\x7f\u00e9",
]
EDITS = ["", "=", ";", '"', "\\", "%", "/", "'", "*", " ", "\n", "a"]


def inputs() -> list[str]:
    made = dict.fromkeys(WHOLE)
    for text in WHOLE:
        for place in range(len(text) + 1):
            made[text[:place]] = None
            for edit in EDITS:
                made[text[:place] + edit + text[place + 1 :]] = made[text[:place] + edit + text[place:]] = None
    return list(made)


INPUTS = inputs()


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_matches_as_one_without_possession(name: str) -> None:
    pattern = PATTERNS[name]
    reference = without_possession(pattern)
    texts: list[Any] = [text.encode() for text in INPUTS] if isinstance(pattern.pattern, bytes) else list(INPUTS)
    for text in texts:
        for way in ("match", "fullmatch", "search"):
            found, expected = getattr(pattern, way)(text), getattr(reference, way)(text)
            assert (found and (found.span(), found.groups())) == (expected and (expected.span(), expected.groups())), (
                way,
                text,
            )


def accepts(value: str) -> bool:
    try:
        parse_disposition(value, form_data=True, policy=Policy.STRICT, limits=Limits())
    except ParseError:
        return False
    return True


# What is written out here is known without any regex.


@pytest.mark.parametrize(
    "rest",
    [
        *("; a", "; a ", "; a=", "; a= ", "; =b", '; a="', '; a="b', '; a="b\\"', '; a="b\\', '; a="b"c', "; a=b c"),
        *("; a; b=c", "; a=b; c", '; a=b"', "; a b", '; a="\\\\\\"', "; a=b; c; d=e", "; a;", ";a\t;"),
    ],
)
def test_bad_parameters(rest: str) -> None:
    assert not accepts(f"form-data{rest}")
    with pytest.raises(ParseError):
        parse_media_type(f"a/b{rest}")


@pytest.mark.parametrize(
    "rest", ["", ";", " ; ", "; a=b", '; a=""', '; a="b\\"c"; d=e;', ";;a=b ;\t;c=d", '; a="\\\\"']
)
def test_good_parameters(rest: str) -> None:
    assert accepts(f"form-data{rest}")
    parse_media_type(f"a/b{rest}", policy=Policy.STRICT)


@pytest.mark.parametrize(
    ("line", "usual"),
    [
        ('Content-Disposition: form-data; name="a"', True),
        ('Content-Disposition: form-data; name="a"; filename="b"', True),
        ('Content-Disposition: attachment; filename=""', True),
        ("Content-Type: image/png", True),
        ("Content-Type: text/plain; charset=utf-8", True),
        ("Content-Length: 0", True),
        ('Content-Disposition: form-data; name="a"; filename="b', False),
        ('Content-Disposition: form-data; name="a"; filename=', False),
        ('Content-Disposition: form-data; name="a\\"', False),
        ('Content-Disposition: form-data; name="%22"', False),
        ('Content-Disposition: form-data; name="a\t"', False),
        ("Content-Type: image", False),
        ("Content-Type: image/", False),
        ("Content-Type", False),
        ("Content-Type: multipart/x", False),
        ("Content-Type: Multipart/x", False),
        ("Content-Length: 1 ", False),
        ("Content-Length: \u0661", False),
        ("Content-Length: " + "1" * 19, False),
        ("", False),
    ],
)
def test_usual_lines(line: str, usual: bool) -> None:
    assert (usual_field_line(line) is not None) is usual
