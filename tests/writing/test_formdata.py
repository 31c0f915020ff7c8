"""FormData, and what becomes of it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import pytest
from multidict import MultiDict, MultiDictProxy

import aiomultipart
from aiomultipart import FormData, MultipartWriter, StateError, hdrs
from tests.support.writing import Repeatable, every_way, header_block, stream, written


async def multipart(form: FormData) -> bytes:
    """The body with the boundary "b"."""
    writer = form()
    assert isinstance(writer, MultipartWriter)
    return (await every_way(writer)).replace(writer.boundary.encode(), b"b")


async def test_urlencoded() -> None:
    form = FormData({"a": "1 é&", "b": "+"})
    assert not form.is_multipart
    body = form()
    assert body.content_type == "application/x-www-form-urlencoded"
    data = await body.as_bytes()
    assert data == b"a=1+%C3%A9%26&b=%2B"
    assert body.size == len(data)
    assert parse_qsl(data.decode()) == [("a", "1 é&"), ("b", "+")]


async def test_urlencoded_in_another_charset() -> None:
    body = FormData({"é": "ü"}, charset="latin-1")()
    assert body.content_type == "application/x-www-form-urlencoded; charset=latin-1"
    assert await body.as_bytes() == b"%E9=%FC"


async def test_nothing_in_it() -> None:
    assert await FormData()().as_bytes() == b""
    assert await multipart(FormData(default_to_multipart=True)) == b"--b--\r\n"


async def test_multipart() -> None:
    form = FormData({"a": "1 é"}, default_to_multipart=True)
    assert form.is_multipart
    form.add_field("n", 1)
    form.add_field("f", 1.5)
    assert (
        await multipart(form)
        == (
            '--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="a"\r\n\r\n1 é\r\n'
            '--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="n"\r\n\r\n1\r\n'
            '--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name="f"\r\n\r\n1.5\r\n'
            "--b--\r\n"
        ).encode()
    )


@pytest.mark.parametrize(
    "add",
    [
        lambda form: form.add_field("f", b"x"),
        lambda form: form.add_field("f", bytearray(b"x")),
        lambda form: form.add_field("f", memoryview(b"x")),
        lambda form: form.add_field("f", io.BytesIO(b"x")),
        lambda form: form.add_field("f", io.StringIO("x")),
        lambda form: form.add_field("f", "x", filename="f"),
    ],
)
async def test_a_file_makes_it_multipart(add: Callable[[FormData], None]) -> None:
    form = FormData({"a": "1"})
    add(form)
    assert form.is_multipart
    assert header_block(await multipart(form), 1)["Content-Disposition"] == 'form-data; name="f"; filename="f"'


async def test_a_content_type_makes_it_multipart() -> None:
    form = FormData()
    form.add_field("j", "{}", content_type="application/json")
    assert header_block(await multipart(form)) == {
        "Content-Type": "application/json",
        "Content-Disposition": 'form-data; name="j"',
    }


async def test_a_source_makes_it_multipart() -> None:
    form = FormData()
    form.add_field("s", Repeatable(b"1", b"2"))
    assert form.is_multipart
    assert b'name="s"\r\n\r\n12\r\n' in await multipart(form)


async def test_files(tmp_path: Path) -> None:
    path = tmp_path / "фото.png"
    path.write_bytes(b"png")
    with path.open("rb") as file:
        form = FormData(file)
        form.add_field("other", file, filename="other.txt", content_type="image/x")
        assert (
            await multipart(form)
            == (
                "--b\r\nContent-Type: image/png\r\n"
                'Content-Disposition: form-data; name="фото.png"; filename="фото.png"\r\n\r\npng\r\n'
                "--b\r\nContent-Type: image/x\r\n"
                'Content-Disposition: form-data; name="other"; filename="other.txt"\r\n\r\npng\r\n'
                "--b--\r\n"
            ).encode()
        )
        await form().close()
        assert file.closed


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ([("a", "1"), ["b", "2"]], ["a", "b"]),
        ((("a", "1"),), ["a"]),
        ({"a": "1", "b": "2"}, ["a", "b"]),
        (MultiDict([("a", "1"), ("a", "2")]), ["a", "a"]),
        (MultiDictProxy(MultiDict([("a", "1"), ("a", "2")])), ["a", "a"]),
        ([MultiDict([("a", "1")]), ("b", "2")], ["a", "b"]),
        ([io.BytesIO(b"x")], ["unknown"]),
        (io.BytesIO(b"x"), ["unknown"]),
        ((pair for pair in [("a", "1")]), ["a"]),
    ],
)
async def test_fields(fields: Any, names: list[str]) -> None:
    form = FormData(fields, default_to_multipart=True)
    assert re.findall('; name="([^"]*)"', (await multipart(form)).decode()) == names


@pytest.mark.parametrize("fields", ["text", ["text"], [1], [("a", "b", "c")], [None]])
def test_no_fields(fields: Any) -> None:
    with pytest.raises(TypeError, match="a field is a file"):
        FormData(fields)


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": 1, "value": "x"},
        {"name": "n", "value": "x", "filename": 1},
        {"name": "n", "value": "x", "content_type": 1},
    ],
)
def test_not_a_string(arguments: dict[str, Any]) -> None:
    form = FormData()
    with pytest.raises(TypeError, match="1 is not a string"):
        form.add_field(**arguments)
    assert not form.is_multipart


def test_what_cannot_be_written() -> None:
    form = FormData()
    with pytest.raises(ValueError, match="control character"):
        form.add_field("n", "x", content_type="text/plain\r\nX: y")
    form = FormData()
    form.add_field("n", object())
    with pytest.raises(TypeError, match="as field 'n'"):
        form()


@pytest.mark.parametrize("text", ["\0", "n\0", "\x1f", "a\x7fb", "é\0", "\ud800"])
@pytest.mark.parametrize("quote_fields", [True, False])
@pytest.mark.parametrize("default_to_multipart", [True, False])
def test_what_no_name_can_hold(text: str, quote_fields: bool, default_to_multipart: bool, tmp_path: Path) -> None:
    form = FormData({"a": "1"}, quote_fields, default_to_multipart=default_to_multipart)
    options: list[dict[str, Any]] = [
        {"name": text, "value": "x"},
        {"name": text, "value": 1},
        {"name": text, "value": b"x"},
        {"name": text, "value": "x", "content_type": "a/b"},
        {"name": "n", "value": "x", "filename": text},
        {"name": "n", "value": b"x", "filename": text},
        {"name": text, "value": stream(b"x"), "filename": "f"},
    ]
    for arguments in options:
        with pytest.raises(ValueError, match=r"control character|surrogates"):
            form.add_field(**arguments)
    with pytest.raises(ValueError, match=r"control character|surrogates"):
        FormData([(text, "x")])
    assert form.is_multipart == default_to_multipart
    body = form()
    assert (len(body) if isinstance(body, MultipartWriter) else body.decode()) == (1 if default_to_multipart else "a=1")


def test_a_file_whose_name_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "a\x01b"
    path.write_bytes(b"x")
    with path.open("rb") as file:
        form = FormData()
        with pytest.raises(ValueError, match="control character"):
            form.add_field("f", file)
        form.add_field("f", file, filename="ab")


@pytest.mark.parametrize(
    ("name", "quoted", "unquoted"),
    [
        ("plain", "plain", "plain"),
        ('a"b', "a%22b", 'a\\"b'),
        ("a\r\nb", "a%0D%0Ab", None),
        ("имя é", "имя é", "имя é"),
        ("a\\b", "a\\b", "a\\\\b"),
        ("a\\", "a\\\\", "a\\\\"),
        ("a\\ b", "a\\\\ b", "a\\\\ b"),
        ("100%", "100%", "100%"),
    ],
)
async def test_quote_fields(name: str, quoted: str, unquoted: str | None) -> None:
    for quote_fields, expected in ((True, quoted), (False, unquoted)):
        for filename in (None, name):
            form = FormData(quote_fields=quote_fields, default_to_multipart=True)
            if expected is None:
                with pytest.raises(ValueError, match="control character"):
                    form.add_field(name, "x", filename=filename)
                continue
            form.add_field(name, "x", filename=filename)
            header = header_block(await multipart(form))["Content-Disposition"]
            assert header == f'form-data; name="{expected}"' + (f'; filename="{expected}"' if filename else "")
            writer = form()
            reader = aiomultipart.MultipartReader(writer.headers, await writer.as_bytes())
            part = await reader.next()
            assert isinstance(part, aiomultipart.BodyPartReader)
            if "\r" not in name:
                assert part.name == name


async def test_a_payload_as_a_field() -> None:
    form = FormData()
    form.add_field("p", aiomultipart.JsonPayload([1]))
    assert header_block(await multipart(form)) == {
        "Content-Type": "application/json",
        "Content-Disposition": 'form-data; name="p"',
    }


async def test_charset() -> None:
    form = FormData({"a": "é"}, charset="latin-1", default_to_multipart=True)
    assert await multipart(form) == (
        b'--b\r\nContent-Type: text/plain; charset=latin-1\r\nContent-Disposition: form-data; name="a"\r\n\r\n\xe9\r\n'
        b"--b--\r\n"
    )


async def test_called_twice() -> None:
    form = FormData({"a": "1"}, default_to_multipart=True)
    body = form()
    assert form() is body
    form.add_field("b", "2")
    assert form() is not body
    assert b'name="b"' in await form().as_bytes()
    form.add_field("s", stream(b"x"))
    await written(form())
    with pytest.raises(StateError):
        await written(form())


async def test_no_lengths_in_a_form() -> None:
    form = FormData([io.BytesIO(b"x"), ("b", b"y")])
    assert hdrs.CONTENT_LENGTH.encode() not in await multipart(form)
    assert form().size is not None


@pytest.mark.parametrize(
    ("fields", "default_to_multipart"),
    [
        ([("a", "1"), ("ключ", "é")], False),
        ([("a b", "1")], False),
        # In multipart, aiohttp percent-encodes such names, and browsers do not.
        ([("a", "1"), ("key", "é")], True),
        ([("a", io.BytesIO(b"x"))], False),
        ([("a", "1"), ("f", io.BytesIO(b"\0"))], False),
    ],
)
async def test_as_aiohttp_writes_it(fields: list[tuple[str, Any]], default_to_multipart: bool) -> None:
    theirs = aiohttp.FormData(fields, default_to_multipart=default_to_multipart)
    ours = FormData(fields, default_to_multipart=default_to_multipart)
    assert ours.is_multipart == theirs.is_multipart
    expected, got = theirs(), ours()
    data = await expected.as_bytes()
    if isinstance(expected, aiohttp.MultipartWriter):
        assert isinstance(got, MultipartWriter)
        data = data.replace(expected.boundary.encode(), got.boundary.encode())
    assert await got.as_bytes() == data
