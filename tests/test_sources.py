"""aiomultipart.StreamReader: bytes in the order fed, the end, exceptions, back-pressure, one reader at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from aiomultipart import MultipartReader, StateError, StreamReader
from aiomultipart.sources import AsgiBody, AsyncReadable
from tests.support.reading import MIXED, all_parts, build


class Valve:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def stream(self, **options: int) -> StreamReader:
        return StreamReader(
            pause=lambda: self.calls.append("pause"), resume=lambda: self.calls.append("resume"), **options
        )


async def waiting(stream: StreamReader, size: int = -1) -> asyncio.Task[bytes]:
    task = asyncio.create_task(stream.read(size))
    await asyncio.sleep(0)
    return task


async def test_read() -> None:
    stream = StreamReader()
    assert isinstance(stream, AsyncReadable)
    stream.feed_data(b"abc")
    stream.feed_data(b"")
    stream.feed_data(bytearray(b"def"))  # type: ignore[arg-type]
    assert await stream.read(0) == b""
    assert await stream.read(2) == b"ab"
    assert await stream.read(2) == b"c"
    assert await stream.read(9) == b"def"
    task = await waiting(stream, 5)
    assert not task.done()
    stream.feed_data(b"ghi")
    assert await task == b"ghi"
    stream.feed_data(b"j")
    assert not stream.at_eof()
    stream.feed_eof()
    assert not stream.at_eof()
    assert await stream.read(5) == b"j"
    assert stream.at_eof()
    assert await stream.read(5) == b""
    assert await stream.read() == b""


@pytest.mark.parametrize(("attribute", "size"), [("feed_data", 64 * 1024), ("seek", 256 * 1024)])
async def test_how_much_a_source_is_asked_for(attribute: str, size: int) -> None:
    """What is fed has its bytes in memory; elsewhere each read may be a hop to a thread."""
    asked = []
    chunks = iter([build((b"", b"1"))])

    class Readable:
        async def read(self, n: int, /) -> bytes:
            asked.append(n)
            return next(chunks, b"")

    setattr(Readable, attribute, None)
    assert await all_parts(MultipartReader(MIXED, Readable())) == [b"1"]
    assert set(asked) == {size}


async def test_read_all() -> None:
    stream = StreamReader()
    stream.feed_data(b"ab")
    task = await waiting(stream)
    stream.feed_data(b"cd")
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    task = await waiting(stream)
    stream.feed_eof()
    assert await task == b"abcd"


async def test_iteration_and_receive() -> None:
    stream = StreamReader()
    stream.feed_data(b"ab")
    stream.feed_data(b"cd")
    stream.feed_data(b"e")
    stream.feed_eof()
    assert await stream.receive() == b"ab"
    assert [chunk async for chunk in stream] == [b"cd", b"e"]
    assert await stream.receive() is None
    await stream.aclose()


async def test_feeding_after_the_end() -> None:
    stream = StreamReader()
    stream.feed_eof()
    stream.feed_eof()
    with pytest.raises(StateError):
        stream.feed_data(b"x")


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("eof", [False, True])
async def test_set_exception(wait: bool, eof: bool) -> None:
    stream = StreamReader()
    stream.feed_data(b"abc")
    assert await stream.read(2) == b"ab"
    error = ConnectionResetError("gone")
    task = await waiting(stream) if wait else None
    stream.set_exception(error)
    if eof:
        stream.feed_eof()
    if task is not None:
        with pytest.raises(ConnectionResetError):
            await task
    assert await stream.read(2) == b"c"
    reads: list[Callable[[], object]] = [lambda: stream.read(2), stream.read, stream.receive, lambda: anext(stream)]
    for read in reads * 2:
        with pytest.raises(ConnectionResetError) as caught:
            await read()  # type: ignore[misc]
        assert caught.value is error


async def test_an_exception_reaches_the_readers() -> None:
    stream = StreamReader()
    stream.feed_data(build((b"", b"x"))[:-3])
    stream.set_exception(ConnectionResetError("gone"))
    reader = MultipartReader(MIXED, stream)
    with pytest.raises(ConnectionResetError, match="gone"):
        await all_parts(reader)


async def test_back_pressure() -> None:
    valve = Valve()
    stream = valve.stream(high_water=10, low_water=4)
    stream.feed_data(b"0123456789")
    assert valve.calls == []
    stream.feed_data(b"a")
    stream.feed_data(b"b")
    assert valve.calls == ["pause"]
    await stream.read(7)
    assert valve.calls == ["pause"]
    await stream.read(1)
    assert valve.calls == ["pause", "resume"]
    while await stream.read(1) != b"b":
        pass
    assert valve.calls == ["pause", "resume"]
    stream.feed_data(b"0123456789")
    stream.feed_data(b"a")
    assert valve.calls == ["pause", "resume", "pause"]
    assert await stream.receive() == b"0123456789"
    assert valve.calls == ["pause", "resume"] * 2


async def test_back_pressure_when_all_is_asked_for() -> None:
    valve = Valve()
    stream = valve.stream(high_water=2)
    stream.feed_data(b"abc")
    assert valve.calls == ["pause"]
    task = await waiting(stream)
    assert valve.calls == ["pause", "resume"]
    stream.feed_data(b"def")
    await asyncio.sleep(0)
    assert valve.calls == ["pause", "resume"] * 2
    stream.feed_eof()
    assert await task == b"abcdef"
    assert valve.calls == ["pause", "resume"] * 2


async def test_back_pressure_without_callbacks_and_bad_levels() -> None:
    stream = StreamReader(high_water=0)
    stream.feed_data(b"x")
    assert await stream.read(1) == b"x"
    for high, low in ((1, 2), (-1, None), (5, -1)):
        with pytest.raises(ValueError, match="between"):
            StreamReader(high_water=high, low_water=low)


async def test_two_waiters() -> None:
    stream = StreamReader()
    task = await waiting(stream, 5)
    for read in (stream.receive, stream.read, lambda: stream.read(1), lambda: anext(stream)):
        with pytest.raises(StateError, match="another task"):
            await read()
    stream.feed_data(b"x")
    # The first one has not run yet, but the bytes are its.
    with pytest.raises(StateError, match="another task"):
        await stream.read(1)
    assert await task == b"x"
    task = await waiting(stream, 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    stream.feed_data(b"y")
    assert await stream.read(1) == b"y"


async def test_a_message_fed_while_it_is_read() -> None:
    stream = StreamReader(high_water=8)
    reading = asyncio.create_task(all_parts(MultipartReader(MIXED, stream)))
    for byte in build((b"", b"one"), (b"", b"two")):
        stream.feed_data(bytes([byte]))
        await asyncio.sleep(0)
    stream.feed_eof()
    assert await reading == [b"one", b"two"]


async def test_the_body_of_an_asgi_request() -> None:
    """It is an ordinary stream, too."""
    messages = iter(
        [
            {"type": "http.request", "body": b"abc", "more_body": True},
            {"type": "http.request", "more_body": True},
            {"type": "http.request", "body": b"d"},
        ]
    )

    async def receive() -> dict[str, object]:
        return next(messages)

    body = AsgiBody(receive)
    assert isinstance(body, AsyncReadable)
    assert [await body.read(2) for _ in range(4)] == [b"abc", b"d", b"", b""]
