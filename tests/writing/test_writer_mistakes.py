"""What the caller does wrong, and what the error says to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from aiomultipart import FormData, MultipartWriter, StateError
from tests.support.writing import Plain, Repeatable, every_way, stream, written


async def _frames() -> AsyncIterator[bytes]:
    yield b"x"


def _lines() -> Iterator[bytes]:
    yield b"x"


async def _one() -> bytes:
    return b"x"


OBJECTS: list[tuple[Callable[[], Any], str]] = [
    (lambda: {"a": 1}, "append_json"),
    (lambda: ["a"], "append_json"),
    (lambda: ("a", "b"), "append_json"),
    (lambda: None, "leave the part out"),
    (lambda: 5, r"str\(\)"),
    (lambda: 1.5, r"str\(\)"),
    (lambda: _frames, r"call _frames\(\)"),
    (lambda: _lines, r"call _lines\(\)"),
    (lambda: _one, r"call _one\(\)"),
    (_one, "await it"),
    (_lines, "async generator"),
    (object, "register_payload"),
]


@pytest.mark.parametrize(("make", "advice"), OBJECTS)
def test_an_object_that_cannot_be_sent(make: Callable[[], Any], advice: str) -> None:
    writer = MultipartWriter()
    with pytest.raises(TypeError, match=advice):
        writer.append(make())
    assert len(writer) == 0


async def test_a_source_that_yields_text() -> None:
    async def texts() -> AsyncIterator[Any]:
        yield "text"

    writer = MultipartWriter()
    writer.append("first")
    writer.append(texts())
    with pytest.raises(TypeError, match=r"yields text.*encode\(\)"):
        await writer.as_bytes()


@pytest.mark.parametrize("subtype", ["multipart/form-data", "Multipart/mixed", "multipart/"])
def test_a_whole_media_type(subtype: str) -> None:
    with pytest.raises(ValueError, match="without 'multipart/'"):
        MultipartWriter(subtype)


async def test_what_cannot_be_sent_again_says_how() -> None:
    writer = MultipartWriter()
    writer.append(stream(b"x"))
    await written(writer)
    with pytest.raises(StateError, match="__aiter__"):
        await written(writer)
    again = MultipartWriter(boundary="b")
    again.append(Repeatable(b"x"))
    await every_way(again)


def test_a_field_that_cannot_be_sent() -> None:
    form = FormData()
    form.add_field("choice", {"a": 1})
    with pytest.raises(TypeError, match=r"append_json.*'choice'"):
        form()


# httpx sends no Content-Type for a body that it does not know


def _transport(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text=request.headers["Content-Type"])


async def test_httpx_without_a_content_type() -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(_transport)) as client:
        writer = MultipartWriter()
        writer.append("x")
        with pytest.raises(TypeError, match=r"headers=writer.http_headers\(\)"):
            await client.post("http://test", content=writer)
        response = await client.post("http://test", content=writer, headers=writer.http_headers())
        assert response.text == writer.content_type
        response = await client.post("http://test", content=writer, headers={"content-type": "multipart/x"})
        assert response.text == "multipart/x"


def test_httpx_without_a_content_type_or_a_loop() -> None:
    with httpx.Client(transport=httpx.MockTransport(_transport)) as client:
        writer = MultipartWriter()
        writer.append("x")
        with pytest.raises(TypeError, match=r"headers=writer.http_headers\(\)"):
            client.post("http://test", content=writer.serialize())
        response = client.post("http://test", content=writer.serialize(), headers=writer.http_headers())
        assert response.text == writer.content_type


# async with


async def test_async_with_closes_files(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    async with MultipartWriter("mixed", on_progress=lambda sent, total: None) as writer:
        assert isinstance(writer, MultipartWriter)
        file, inner = path.open("rb"), MultipartWriter()
        writer.append(inner)
        inner.append(file)
        await writer.write(Plain())
        assert not file.closed
    assert file.closed
    assert writer.consumed
    late = path.open("rb")
    with pytest.raises(KeyError, match="missing"):
        async with MultipartWriter() as writer:
            writer.append(late).headers["missing"]
    assert late.closed


async def test_a_part_that_was_added_after_close_is_closed_too(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x")
    writer = MultipartWriter()
    await writer.close()
    file = path.open("rb")
    writer.append(file)
    await writer.close()
    assert file.closed
