"""The _charset_ field of a form (RFC 7578 section 4.6)."""

from __future__ import annotations

import asyncio

import pytest

from aiomultipart import BodyPartReader, IncompleteBody, MultipartReader, Policy
from aiomultipart.sources import ByteStream
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.support.reading import FORM, MIXED, all_parts, build, everywhere, next_part

NAME = b'Content-Disposition: form-data; name="%b"'


def charset_form(charset: bytes) -> bytes:
    return build((NAME % b"_charset_", charset), (NAME % b"text", b"\xd0\xd2\xc9\xd7\xc5\xd4"))


@pytest.mark.parametrize("charset", [b"koi8-r", b" KOI8-R\r\n"])
@pytest.mark.parametrize("policy", [Policy.STANDARD, Policy.LENIENT])
async def test_the_charset_field_is_applied_and_hidden(charset: bytes, policy: Policy) -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(FORM, source, policy=policy)
        part = await next_part(reader)
        assert part.name == "text"
        assert part.get_charset("utf-8") == charset.decode().strip()
        assert await part.text() == "привет"
        assert await reader.next() is None

    await everywhere(charset_form(charset), check, splits=80)


@pytest.mark.parametrize("charset", [b"", b"base64", b"no-such-charset", b"utf-8" + b" " * 50, b"x" * 500])
async def test_an_unknown_charset_field_is_an_ordinary_field(charset: bytes) -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(FORM, source)
        part = await next_part(reader)
        assert part.name == "_charset_"
        assert await part.read() == charset
        assert (await next_part(reader)).get_charset("utf-8") == "utf-8"

    await everywhere(charset_form(charset), check, splits=8)


async def test_the_charset_field_is_ordinary_under_strict_elsewhere_and_later() -> None:
    message = charset_form(b"koi8-r")
    later = build((NAME % b"a", b"x"), (NAME % b"_charset_", b"koi8-r"), (NAME % b"b", b"y"))
    strict = MultipartReader(FORM, message, policy=Policy.STRICT)
    mixed = MultipartReader(MIXED, message)
    assert [(await next_part(reader)).name for reader in (strict, mixed)] == ["_charset_", "_charset_"]
    assert len(await all_parts(MultipartReader(FORM, later))) == 3


async def test_waiting_for_the_charset_field_can_be_cancelled() -> None:
    message = charset_form(b"koi8-r")
    source = ScriptedSource(*[step for i in range(len(message)) for step in (PAUSE, message[i : i + 1])])
    reader = MultipartReader(FORM, source)
    while True:
        task = asyncio.create_task(reader.next())
        await asyncio.wait([task, asyncio.ensure_future(source.paused())], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        source.resume()
    part = task.result()
    assert isinstance(part, BodyPartReader)
    assert (part.name, part.get_charset("utf-8")) == ("text", "koi8-r")


async def test_an_error_in_the_charset_field_comes_with_it() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(FORM, source)
        part = await next_part(reader)
        assert part.name == "_charset_"
        with pytest.raises(IncompleteBody):
            await part.read()

    await everywhere(b"--b\r\n" + NAME % b"_charset_" + b"\r\n\r\nkoi8", check)


async def test_a_charset_in_the_content_type_wins() -> None:
    message = build(
        (NAME % b"_charset_", b"koi8-r"), (NAME % b"t" + b"\r\nContent-Type: text/plain; charset=cp1251", b"\xcf")
    )
    part = await next_part(MultipartReader(FORM, message))
    assert part.charset == part.get_charset("utf-8") == "cp1251"
    assert await part.text() == "П"


async def test_nothing_but_the_charset_field() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(FORM, source)
        assert await reader.next() is None
        assert reader.at_eof()

    await everywhere(build((NAME % b"_charset_", b"koi8-r")), check)
