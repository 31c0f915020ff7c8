"""The leaves of a message, what readers and parts look like, and what they refuse at once."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from aiomultipart import (
    BodyPartReader,
    IncompleteBody,
    Limits,
    MultipartReader,
    Policy,
    StateError,
    UnsupportedMediaType,
)
from aiomultipart.sources import ByteStream
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.support.reading import MIXED, all_parts, build, everywhere, next_part

NESTED = b"Content-Type: multipart/mixed; boundary=%b"
INNERMOST = build((b"", b"3"), boundary=b"d")
INNER = build((b"", b"2a"), (NESTED % b"d", INNERMOST), (b"", b"2b"), boundary=b"c")
MESSAGE = build((b"", b"1a"), (NESTED % b"c", INNER), (NESTED % b"c", build(boundary=b"c")), (b"", b"1b"))
LEAVES = [(1, b"1a"), (2, b"2a"), (3, b"3"), (2, b"2b"), (1, b"1b")]


async def test_the_leaves_in_order() -> None:
    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        assert [(leaf.depth, await leaf.read()) async for leaf in reader.walk()] == LEAVES
        assert reader.at_eof()
        assert [leaf async for leaf in reader.walk()] == []

    await everywhere(MESSAGE, check)


async def test_leaves_that_are_not_read_are_skipped() -> None:
    async def check(source: ByteStream) -> None:
        assert [leaf.depth async for leaf in MultipartReader(MIXED, source).walk()] == [1, 2, 3, 2, 1]

    await everywhere(MESSAGE, check)


async def test_a_cancelled_walk_goes_on() -> None:
    source = ScriptedSource(*[step for byte in MESSAGE for step in (PAUSE, bytes([byte]))])
    leaves = MultipartReader(MIXED, source).walk()
    found = []
    while True:
        task = asyncio.ensure_future(anext(leaves, None))
        paused = asyncio.create_task(source.paused())
        await asyncio.wait([task, paused], return_when=asyncio.FIRST_COMPLETED)
        paused.cancel()
        if not task.done():
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            source.resume()
            continue
        leaf = task.result()
        if leaf is None:
            break
        found.append(leaf.depth)
    assert found == [1, 2, 3, 2, 1]


async def test_an_error_inside_ends_the_walk_inside() -> None:
    message = build((NESTED % b"c", b"--c\r\n\r\nhalf"), (b"", b"after"))
    leaves = MultipartReader(MIXED, message).walk()
    half = await anext(leaves)
    for _ in range(2):
        with pytest.raises(IncompleteBody):
            await half.read()
    for _ in range(2):
        with pytest.raises(IncompleteBody):
            await anext(leaves)


# What they look like


async def test_reprs() -> None:
    head = b'Content-Disposition: attachment; name="n"; filename="f"\r\nContent-Type: image/png'
    reader = MultipartReader(MIXED, build((head, b"x"), (b"", b"y")))
    assert repr(reader) == "<MultipartReader multipart/mixed, boundary 'b', between parts>"
    part = await next_part(reader)
    assert repr(reader) == "<MultipartReader multipart/mixed, boundary 'b', at part 0>"
    assert repr(part) == "<BodyPartReader 0, name='n', filename='f', image/png, to be read>"
    await part.read()
    assert repr(part) == "<BodyPartReader 0, name='n', filename='f', image/png, at its end>"
    await reader.release()
    assert repr(part) == "<BodyPartReader 0, name='n', filename='f', image/png, the reader has moved on>"
    assert repr(reader) == "<MultipartReader multipart/mixed, boundary 'b', at its end>"
    assert repr(BodyPartReader(b"--b", {}, b"")) == "<BodyPartReader 0, without a Content-Type, to be read>"


# What is refused


@pytest.mark.parametrize(
    "headers", ["multipart/mixed; boundary=b", b"Content-Type: multipart/mixed", None, [("A", "b")]]
)
def test_headers_that_are_no_mapping(headers: Any) -> None:
    with pytest.raises(TypeError, match="headers must be a mapping"):
        MultipartReader(headers, b"")


def test_options_of_another_type() -> None:
    options: Any
    for options in ({"limits": {}}, {"limits": 5}, {"limits": {"max_parts": 1}}):
        with pytest.raises(TypeError, match=r"limits must be a Limits, such as Limits\(max_parts=100\)"):
            MultipartReader(MIXED, b"", **options)
    for options in ({"policy": "lenient"}, {"policy": None}):
        with pytest.raises(TypeError, match=r"policy must be a Policy, such as Policy\.LENIENT"):
            MultipartReader(MIXED, b"", **options)
    MultipartReader(MIXED, b"", limits=Limits(), policy=Policy.STRICT)


async def test_a_part_that_is_read_too_late_says_what_to_do() -> None:
    reader = MultipartReader(MIXED, build((b"", b"x"), (b"", b"y")))
    part = await next_part(reader)
    await reader.next()
    with pytest.raises(StateError, match="the reader has moved on from this part: read it before you ask for the next"):
        await part.read()


# Responses


class Response:
    """As a client has it: its body, and how often it was given back."""

    status = 200
    url = "http://user:secret@example.org/x"

    def __init__(self, message: bytes, content_type: str = MIXED["Content-Type"]) -> None:
        self.headers = {"Content-Type": content_type}
        self.content = ScriptedSource(message)
        self.released = 0

    def release(self) -> None:
        self.released += 1


def test_a_response_that_is_another_page_is_named() -> None:
    response = Response(b"", "text/html")
    response.status = 404
    with pytest.raises(UnsupportedMediaType, match=r"not text/html; .* 404 of http://example\.org/x$") as caught:
        MultipartReader.from_response(response)
    assert "the response 404 of" in repr(caught.value)


class Synchronous:
    """As ``requests`` has it: its content is read when it is looked at."""

    headers = MIXED

    @property
    def content(self) -> bytes:
        raise AssertionError("it was read")


def test_responses_of_synchronous_clients() -> None:
    by_requests: Any = Synchronous()
    with pytest.raises(TypeError, match=r"not .*Synchronous of a synchronous client"):
        MultipartReader.from_response(by_requests)

    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=MIXED, content=iter([MESSAGE]))

    with (
        httpx.Client(transport=httpx.MockTransport(handle)) as client,
        client.stream("GET", "http://x/") as response,
        pytest.raises(TypeError, match=r"not httpx\.Response of a synchronous client"),
    ):
        MultipartReader.from_response(response)


async def test_a_wrapper_has_what_a_reader_has() -> None:
    names = {name for name in dir(MultipartReader) if not name.startswith("_")}
    names -= {"from_asgi", "from_response", "part_reader_cls", "multipart_reader_cls", "response_wrapper_cls"}
    names -= {"make_parser"}  # how it is constructed
    response = Response(build((b"Content-Type: image", b"1"), (NESTED % b"c", build((b"", b"2"), boundary=b"c"))))
    async with MultipartReader.from_response(response) as wrapper:
        assert names <= {*dir(wrapper)}
        assert wrapper.headers["content-type"] == MIXED["Content-Type"]
        assert [await leaf.read() async for leaf in wrapper.walk()] == [b"1", b"2"]
        assert [defect.kind for defect in wrapper.defects] == ["bad-content-type"]
        assert wrapper._at_eof
        assert repr(wrapper) == f"<MultipartResponseWrapper of {wrapper.stream!r}>"
    assert response.released == 1


async def test_leaving_a_wrapper_gives_the_response_back_once() -> None:
    response = Response(MESSAGE)
    async with MultipartReader.from_response(response) as wrapper:
        await wrapper.next()
        await wrapper.release()
    await wrapper.release()
    assert response.released == 1


@pytest.mark.parametrize("where", ["next", "part", "nested", "walk", "limit"])
async def test_after_an_error_the_response_is_given_back_once(where: str) -> None:
    whole = build((b"", b"1"), (NESTED % b"c", build((b"", b"2"), (b"", b"3"), boundary=b"c")))
    message = whole if where == "limit" else whole[: whole.index(b"3")]
    response = Response(message if where in {"nested", "limit", "walk"} else b"--b\r\n\r\n1")
    limits = Limits(max_parts=3) if where == "limit" else Limits()
    wrapper = MultipartReader.from_response(response, limits=limits)
    with pytest.raises(ValueError, match=r"input ended|max_parts"):  # noqa: PT012
        if where == "part":
            part: Any = await wrapper.next()
            await part.read()
        elif where == "walk":
            _ = [leaf async for leaf in wrapper.walk()]
        else:
            await all_parts(wrapper.stream)
    assert response.released == 1
    for _ in range(2):
        with pytest.raises(ValueError, match=r"input ended|max_parts"):
            await wrapper.next()
        await wrapper.release() if _ else None
    assert response.released == 1
