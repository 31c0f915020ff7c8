"""MultipartReader.from_response and MultipartResponseWrapper, with doubles of the clients' responses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from aiomultipart import (
    BodyPartReader,
    IncompleteBody,
    LimitExceeded,
    Limits,
    MultipartReader,
    MultipartResponseWrapper,
    ParseError,
    StateError,
)
from aiomultipart.testing import PAUSE, ScriptedSource, Step
from tests.support.reading import MIXED, all_parts, build, next_part

MESSAGE = build((b"", b"one"), (b"", b"two"))


class Aiohttp:
    """With ``release()`` as in aiohttp: it gives something awaitable, or nothing."""

    def __init__(self, message: bytes = MESSAGE, *, awaitable: bool = False) -> None:
        self.headers = dict(MIXED)
        self.content = ScriptedSource(message)
        self.awaitable = awaitable
        self.released = 0

    def release(self) -> Any:
        async def nothing() -> None:
            self.awaited = True

        self.released += 1
        return nothing() if self.awaitable else None


class Httpx:
    def __init__(self) -> None:
        self.headers = httpx.Headers(MIXED)
        self.closed = 0
        self.finished = False

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        try:
            for i in range(0, len(MESSAGE), 5):
                yield MESSAGE[i : i + 5]
        finally:
            self.finished = True

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("awaitable", [False, True])
async def test_aiohttp(awaitable: bool) -> None:
    response = Aiohttp(awaitable=awaitable)
    wrapper = MultipartReader.from_response(response)
    assert type(wrapper) is MultipartResponseWrapper
    assert wrapper.resp is response
    assert type(wrapper.stream) is MultipartReader
    assert not wrapper.at_eof()
    bodies = []
    async for part in wrapper:
        assert response.released == 0
        assert isinstance(part, BodyPartReader)
        bodies.append(await part.read())
    assert bodies == [b"one", b"two"]
    assert response.released == 1
    assert hasattr(response, "awaited") is awaitable
    assert wrapper.at_eof()
    assert await wrapper.next() is None


@pytest.mark.parametrize("ending", [PAUSE, ConnectionResetError(), b"x" * 200_000])
async def test_the_end_of_the_response_is_not_waited_for_and_may_be_bad(ending: Step) -> None:
    response = Aiohttp(MESSAGE + b"\r\n")
    response.content.add(ending)
    async with asyncio.timeout(10):
        wrapper = MultipartReader.from_response(response)
        bodies = [await part.read() async for part in wrapper if isinstance(part, BodyPartReader)]
    assert bodies == [b"one", b"two"]
    assert response.released == 1


async def test_httpx() -> None:
    response = Httpx()
    wrapper = MultipartReader.from_response(response)
    bodies = [await part.read() async for part in wrapper if isinstance(part, BodyPartReader)]
    assert bodies == [b"one", b"two"]
    assert response.closed == 1
    assert response.finished
    response = Httpx()
    wrapper = MultipartReader.from_response(response)
    assert await wrapper.next() is not None
    await wrapper.release()
    assert response.closed == 1
    assert response.finished


async def test_a_real_httpx_response() -> None:
    async def stream() -> AsyncIterator[bytes]:
        yield MESSAGE

    response = httpx.Response(200, headers=MIXED, content=stream())
    wrapper = MultipartReader.from_response(response)
    assert await (await next_part(wrapper.stream)).read() == b"one"
    await wrapper.release()
    assert response.is_closed


async def test_an_early_release_and_an_error() -> None:
    response = Aiohttp()
    wrapper = MultipartReader.from_response(response)
    await wrapper.next()
    await wrapper.release()
    assert response.released == 1
    response = Aiohttp(MESSAGE[:-4])
    wrapper = MultipartReader.from_response(response)
    await wrapper.next()
    await wrapper.next()
    with pytest.raises(IncompleteBody):
        await wrapper.next()
    assert not wrapper.at_eof()


PAST_THE_LIMIT = build((b"Content-Type: multipart/mixed; boundary=c", build((b"", b"1"), (b"", b"2"), boundary=b"c")))


async def test_a_limit_passed_in_a_nested_message_keeps_no_connection() -> None:
    response = Aiohttp(PAST_THE_LIMIT)
    wrapper = MultipartReader.from_response(response, limits=Limits(max_parts=2))
    with pytest.raises(LimitExceeded):
        await all_parts(wrapper.stream)
    await wrapper.release()
    assert response.released == 1
    with pytest.raises(LimitExceeded):
        await wrapper.next()


async def test_release_gives_the_connection_back_whatever_closing_raises() -> None:
    class Failing(Httpx):
        async def aiter_bytes(self) -> AsyncIterator[bytes]:
            try:
                yield MESSAGE
                yield b""
            finally:
                raise ConnectionResetError

    response = Failing()
    wrapper = MultipartReader.from_response(response)
    await wrapper.next()
    with pytest.raises(ConnectionResetError):
        await wrapper.release()
    assert response.closed == 1


async def test_release_while_another_task_reads_gives_nothing_back() -> None:
    response = Aiohttp()
    response.content = ScriptedSource(PAUSE, MESSAGE)
    wrapper = MultipartReader.from_response(response)
    task = asyncio.create_task(wrapper.next())
    await response.content.paused()
    with pytest.raises(StateError, match="another task"):
        await wrapper.release()
    assert response.released == 0
    response.content.resume()
    assert await task is not None
    assert [part async for part in wrapper]
    assert response.released == 1


async def test_subclasses_and_responses_that_are_not_multipart() -> None:
    class Wrapper(MultipartResponseWrapper):
        pass

    class Reader(MultipartReader):
        response_wrapper_cls = Wrapper

    wrapper = Reader.from_response(Aiohttp())
    assert type(wrapper) is Wrapper
    assert type(wrapper.stream) is Reader
    response = Aiohttp()
    response.headers["Content-Type"] = "text/html"
    with pytest.raises(ParseError, match="Content-Type"):
        Reader.from_response(response)
