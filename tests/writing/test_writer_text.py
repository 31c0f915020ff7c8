"""Text that is sent: its charset, whichever way it is given, and the byte order marks of those that have one."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiofiles
import anyio
import pytest

from aiomultipart import (
    READ_SIZE,
    AsyncReadablePayload,
    FormData,
    IOBasePayload,
    JsonPayload,
    MultipartError,
    MultipartReader,
    MultipartWriter,
    Payload,
    StringIOPayload,
    StringPayload,
    TextIOPayload,
    UnsupportedEncoding,
    hdrs,
    read_form,
)
from tests.support.writing import bodies, every_way, header_block

WITH_BOM = ["utf-16", "utf-32", "utf-8-sig", "UTF_16"]
# These begin or end a text in a way of their own, so that to encode it piece by piece gives other bytes.
STATEFUL = ["iso2022_kr", "iso2022_jp", "hz", "shift_jis_2004", "euc_jis_2004", "utf-7"]
PLAIN = ["utf-8", "utf-16-le", "koi8-r"]

LONG = "ж" * (READ_SIZE - 1) + "\u304b" * 3


class Source(io.StringIO):
    """A text file that ends sooner or later: one that is asked on and on after its end fails."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.ends = 0

    def read(self, size: int | None = -1) -> str:
        text = super().read(size)
        self.ends += not text
        assert self.ends < 20, "it is read for ever"
        return text


@pytest.mark.parametrize("text", ["", "ab", "и"])
@pytest.mark.parametrize("encoding", WITH_BOM + STATEFUL + PLAIN)
@pytest.mark.parametrize("cls", [TextIOPayload, IOBasePayload])
async def test_a_text_file_is_encoded_as_its_text(cls: type[IOBasePayload], encoding: str, text: str) -> None:
    payload = cls(Source(text), encoding=encoding)
    for _ in range(2):
        assert await payload.as_bytes() == text.encode(encoding)


@pytest.mark.parametrize("encoding", [*WITH_BOM, "shift_jis_2004", "utf-8"])
async def test_a_long_text_file_is_encoded_as_its_text(encoding: str) -> None:
    assert await TextIOPayload(Source(LONG), encoding=encoding).as_bytes() == LONG.encode(encoding)


@pytest.mark.parametrize("encoding", STATEFUL)
async def test_a_long_text_in_a_stateful_charset(encoding: str) -> None:
    text = "\u304b\uac00a"[encoding == "iso2022_kr" :: 2] * READ_SIZE
    data = await TextIOPayload(Source(text), encoding=encoding).as_bytes()
    assert data.decode(encoding) == text


async def _aiofile(path: Path, stack: AsyncExitStack) -> Any:
    return await stack.enter_async_context(aiofiles.open(path, encoding="utf-8"))


async def _anyio_file(path: Path, stack: AsyncExitStack) -> Any:
    return await stack.enter_async_context(await anyio.open_file(path, encoding="utf-8"))


async def _plain_file(path: Path, stack: AsyncExitStack) -> Any:
    return stack.enter_context(path.open(encoding="utf-8"))


async def _wrapper(path: Path, stack: AsyncExitStack) -> Any:
    return stack.enter_context(io.TextIOWrapper(io.BytesIO(path.read_bytes()), encoding="utf-8"))


async def _temporary(path: Path, stack: AsyncExitStack) -> Any:
    return _filled(stack.enter_context(tempfile.NamedTemporaryFile("w+", encoding="utf-8")), path)


async def _spooled(path: Path, stack: AsyncExitStack) -> Any:
    return _filled(stack.enter_context(tempfile.SpooledTemporaryFile(mode="w+", encoding="utf-8")), path)


def _filled(file: Any, path: Path) -> Any:
    file.write(path.read_text(encoding="utf-8"))
    file.seek(0)
    return file


async def _string_io(path: Path, stack: AsyncExitStack) -> Any:
    return io.StringIO(path.read_text(encoding="utf-8"))


async def _string(path: Path, stack: AsyncExitStack) -> Any:
    return path.read_text(encoding="utf-8")


KINDS = [_plain_file, _wrapper, _temporary, _spooled, _aiofile, _anyio_file, _string_io, _string]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_text(LONG, encoding="utf-8")
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("charset", ["utf-16", "utf-8-sig", "utf-16-be"])
async def test_the_charset_of_the_header_is_that_of_the_body(kind: Any, charset: str, path: Path) -> None:
    async with AsyncExitStack() as stack:
        writer = MultipartWriter(boundary="b")
        payload = writer.append(await kind(path, stack), {"content-type": f'text/plain; charset="{charset}"'})
        assert payload.headers.getall(hdrs.CONTENT_TYPE) == [f'text/plain; charset="{charset}"']
        message = await every_way(writer)
        assert await bodies(writer) == [LONG.encode(charset)]
        length = header_block(message.replace(LONG.encode(charset), b"")).get("Content-Length")
        assert length in (None, str(len(LONG.encode(charset))))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("charset", WITH_BOM)
async def test_the_charset_of_a_form(kind: Any, charset: str, path: Path) -> None:
    async with AsyncExitStack() as stack:
        form = FormData(charset=charset, default_to_multipart=True)
        form.add_field("f", await kind(path, stack))
        writer = form()
        assert isinstance(writer, MultipartWriter)
        assert await bodies(writer) == [LONG.encode(charset)]


async def test_the_charset_of_one_field_wins() -> None:
    form = FormData(charset="utf-16")
    form.add_field("t", "é", content_type="text/plain; charset=latin-1")
    form.add_field("f", Source("é"), content_type="text/plain; charset=latin-1")
    form.add_field("of the form", "é", content_type="text/plain")
    writer = form()
    assert isinstance(writer, MultipartWriter)
    assert await bodies(writer) == [b"\xe9", b"\xe9", "é".encode("utf-16")]


async def test_a_declared_size_counts_the_byte_order_mark() -> None:
    for size in (6, 4):
        writer = MultipartWriter()
        writer.append(TextIOPayload(Source("ab"), encoding="utf-16"), size=size)
        if size == 6:
            assert writer.size == len(await writer.as_bytes())
        else:
            with pytest.raises(RuntimeError, match="more than its 4 bytes"):
                await writer.as_bytes()


@pytest.mark.parametrize("encoding", WITH_BOM)
async def test_text_in_memory_has_one_byte_order_mark(encoding: str) -> None:
    for payload in (StringPayload("é", encoding=encoding), StringIOPayload(io.StringIO("é"), encoding=encoding)):
        assert await payload.as_bytes() == "é".encode(encoding)
        assert payload.size == len("é".encode(encoding))


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Content-Type": "application/json; charset=utf-16"}},
        {"content_type": "application/json; charset=utf-16"},
        {"encoding": "utf-16"},
    ],
)
async def test_json_is_in_the_charset_that_it_names(options: dict[str, Any]) -> None:
    payload = JsonPayload(["é"], dumps=lambda value: f'["{value[0]}"]', **options)
    assert await payload.as_bytes() == '["é"]'.encode("utf-16")
    assert payload.encoding == "utf-16"


@pytest.mark.parametrize("charset", ["utf-16", "latin-1", "utf-8"])
async def test_a_form_of_another_charset_inside_a_message(charset: str) -> None:
    writer = MultipartWriter()
    content_type = f"application/x-www-form-urlencoded; charset={charset}"
    writer.append_form([("é", "ü +"), ("b", "2")], iter([("Content-Type", content_type)]))
    part: Any = await MultipartReader(writer.headers, await writer.as_bytes()).next()
    assert await part.form() == [("é", "ü +"), ("b", "2")]


async def test_a_charset_among_many_parameters() -> None:
    content_type = "text/plain" + "".join(f"; p{number}=x" for number in range(40)) + "; charset=latin-1"
    assert await StringPayload("é", content_type=content_type).as_bytes() == b"\xe9"


MAKERS: dict[str, Callable[[str], Payload]] = {
    "str": lambda charset: StringPayload("x", encoding=charset),
    "StringIO": lambda charset: StringIOPayload(io.StringIO("x"), encoding=charset),
    "text file": lambda charset: TextIOPayload(Source("x"), encoding=charset),
    "JSON": lambda charset: JsonPayload("x", charset),
    "form": lambda charset: FormData({"a": "1"}, charset=charset)(),
    "multipart": lambda charset: FormData({"a": "1"}, charset=charset, default_to_multipart=True)(),
}
HEADERS: dict[str, Callable[[str], Payload]] = {
    "str": lambda charset: StringPayload("x", content_type=f'text/plain; charset="{charset}"'),
    "str by headers": lambda charset: StringPayload("x", {"Content-Type": f'text/plain; charset="{charset}"'}),
    "text file": lambda charset: TextIOPayload(Source("x"), headers={"Content-Type": f'a/b; charset="{charset}"'}),
    "JSON": lambda charset: JsonPayload("x", content_type=f'a/b; charset="{charset}"'),
}


@pytest.mark.parametrize("make", [*MAKERS.values(), *HEADERS.values()], ids=[*MAKERS, *HEADERS])
@pytest.mark.parametrize("charset", ["klingon", "rot13", "base64"])
def test_an_unknown_charset(make: Callable[[str], Payload], charset: str) -> None:
    with pytest.raises(UnsupportedEncoding, match=f"unknown charset '{charset}'") as caught:
        make(charset)
    assert isinstance(caught.value, RuntimeError)
    assert isinstance(caught.value, ValueError)
    assert not isinstance(caught.value, MultipartError)


@pytest.mark.parametrize("make", MAKERS.values(), ids=[*MAKERS])
@pytest.mark.parametrize("charset", ["utf 8", "utf-8\r\n\r\n", "utf-8;a=b", ""])
def test_a_charset_that_no_header_can_hold(make: Callable[[str], Payload], charset: str) -> None:
    # Python takes the first three for UTF-8.
    with pytest.raises(ValueError, match="is no token") as caught:
        make(charset)
    assert not isinstance(caught.value, MultipartError)


async def test_an_unknown_charset_of_a_text_file_that_is_read_asynchronously() -> None:
    class Text:
        def __init__(self) -> None:
            self.texts = ["x", ""]

        async def read(self, size: int) -> str:
            return self.texts.pop(0)

    writer = MultipartWriter()
    writer.append(AsyncReadablePayload(Text(), content_type="text/plain; charset=klingon"))  # type: ignore[arg-type]
    with pytest.raises(UnsupportedEncoding):
        await writer.as_bytes()


async def test_a_urlencoded_form_with_byte_order_marks() -> None:
    body = FormData({"é": "ü", "b": ""}, charset="utf-8-sig")()
    assert body.content_type.endswith("; charset=utf-8-sig")
    assert body.size == len(await body.as_bytes())
    form = await read_form({"Content-Type": body.content_type}, await body.as_bytes())
    assert [*form] == ["é", "b"]
