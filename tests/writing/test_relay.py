"""A received body part, sent on."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest

import aiomultipart
from aiomultipart import BodyPartReader, BodyPartReaderPayload, MultipartReader, MultipartWriter, StateError, hdrs
from tests.support.reading import FORM, MIXED, build, next_part
from tests.support.writing import Plain, header_block, written


async def received(head: bytes, body: bytes = b"body", headers: dict[str, str] = MIXED) -> BodyPartReader:
    return await next_part(MultipartReader(headers, build((head, body))))


async def test_sent_on() -> None:
    part = await received(b'Content-Type: image/gif\r\nContent-Disposition: attachment; filename="x.gif"; name=n')
    writer = MultipartWriter(boundary="b")
    payload = writer.append(part)
    assert type(payload) is BodyPartReaderPayload
    message = await written(writer)
    assert header_block(message) == {
        "Content-Type": "image/gif",
        "Content-Disposition": 'attachment; name="n"; filename="x.gif"',
    }
    assert message.endswith(b"\r\n\r\nbody\r\n--b--\r\n")
    assert writer.consumed
    sink = Plain()
    with pytest.raises(StateError, match="only once"):
        await writer.write(sink)
    assert sink.pieces == []


async def test_it_is_kept_by_as_bytes() -> None:
    writer = MultipartWriter(boundary="b")
    writer.append(await received(b""))
    assert await writer.as_bytes() == await written(writer) == writer.to_bytes()


async def test_without_headers() -> None:
    writer = MultipartWriter(boundary="b")
    writer.append(await received(b""))
    assert header_block(await writer.as_bytes()) == {"Content-Type": "application/octet-stream"}


async def test_own_headers_win() -> None:
    writer = MultipartWriter(boundary="b")
    headers = {hdrs.CONTENT_TYPE: "a/b", hdrs.CONTENT_DISPOSITION: "inline"}
    writer.append(await received(b"Content-Type: image/gif\r\nContent-Disposition: attachment; filename=x"), headers)
    assert header_block(await writer.as_bytes()) == {"Content-Type": "a/b", "Content-Disposition": "inline"}


@pytest.mark.parametrize("filename", [None, "имя.png"])
async def test_from_a_form_to_a_form(filename: str | None) -> None:
    head = 'Content-Disposition: form-data; name="поле"' + (f'; filename="{filename}"' if filename else "")
    part = await received(head.encode(), headers=FORM)
    writer = MultipartWriter("form-data")
    writer.append(part)
    reader = MultipartReader(writer.headers, await writer.as_bytes())
    again = await next_part(reader)
    assert (again.name, again.filename, await again.read()) == ("поле", filename, b"body")
    assert again.headers[hdrs.CONTENT_DISPOSITION] == head.removeprefix("Content-Disposition: ")


@pytest.mark.parametrize("coding", [None, "deflate"])
async def test_decoded_and_encoded_anew(coding: str | None) -> None:
    part = await received(b"Content-Encoding: gzip\r\nContent-Length: 24", gzip.compress(b"text"))
    writer = MultipartWriter()
    payload = writer.append(part, None if coding is None else {hdrs.CONTENT_ENCODING: coding})
    assert payload.size is None
    reader = MultipartReader(writer.headers, await writer.as_bytes())
    again = await next_part(reader)
    assert again.headers.get(hdrs.CONTENT_ENCODING) == coding
    assert await again.read(decode=True) == b"text"


async def test_streamed() -> None:
    """What has arrived is sent on before the rest arrives, in pieces of a bounded size."""
    log: list[str] = []

    async def source() -> AsyncIterator[bytes]:
        yield b"--b\r\n\r\n"
        for i in range(10):
            log.append(f"received {i}")
            yield b"%d" % i * 200_000
        yield b"\r\n--b--\r\n"

    part = await next_part(MultipartReader(MIXED, source()))
    writer = MultipartWriter()
    writer.append(part)
    size = 0
    async for chunk in writer:
        size += len(chunk)
        assert len(chunk) <= 300_000
        log.append("sent")
    assert size > 2_000_000
    assert log.index("received 2") > log.index("sent")
    assert log.index("received 9") > log.index("sent", 10)


async def test_after_the_reader_moved_on() -> None:
    reader = MultipartReader(MIXED, build((b"", b"first"), (b"", b"second")))
    part = await next_part(reader)
    writer = MultipartWriter()
    writer.append(part)
    await reader.next()
    with pytest.raises(StateError):
        await written(writer)


async def test_cut_short() -> None:
    async def source() -> AsyncIterator[bytes]:
        yield b"--b\r\n\r\nbody that en"

    part = await next_part(MultipartReader(MIXED, source()))
    writer = MultipartWriter(boundary="b")
    writer.append(part)
    sink = Plain()
    with pytest.raises(aiomultipart.IncompleteBody):
        await writer.write(sink)
    assert not sink.data.endswith(b"--b--\r\n")
