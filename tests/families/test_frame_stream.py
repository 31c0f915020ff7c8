"""``FrameStream`` and ``FrameBroadcast``: what viewers are sent, and what becomes of those who leave."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

from aiomultipart import FrameBroadcast, FrameReader, FrameStream, MultipartReader, StateError, frames
from tests.support.writing import Async, Draining, Plain

NEXT = b"\r\n--b\r\nContent-Type: image/jpeg\r\n\r\n"
FIRST = NEXT[2:]


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("sink_class", [Plain, Draining, Async])
async def test_a_frame_goes_out_with_all_that_a_browser_waits_for(sink_class: type[Plain]) -> None:
    sink = sink_class()
    async with FrameStream(sink, boundary="b") as stream:
        await stream.send(b"one")
        assert sink.data == FIRST + b"one" + NEXT
        await stream.send(b"two", "image/jpeg")
        assert sink.data == FIRST + b"one" + NEXT + b"two" + NEXT
        assert repr(stream) == "<FrameStream: 2 sent>"
    assert sink.data == FIRST + b"one" + NEXT + b"two" + NEXT + b"\r\n--b--\r\n"
    assert len(sink.pieces) == 3
    if isinstance(sink, Draining):
        assert (sink.drains, sink.most_waiting) == (3, 1)


async def test_with_lengths() -> None:
    sink = Plain()
    async with FrameStream(sink, boundary="b", lengths=True) as stream:
        await stream.send(b"one", headers={"X-Time": "7"})
        await stream.send(b"two", "image/png", last=True)
        with pytest.raises(StateError, match="last"):
            await stream.send(b"three")
    assert sink.data == (
        b"--b\r\nContent-Type: image/jpeg\r\nX-Time: 7\r\nContent-Length: 3\r\n\r\none\r\n"
        b"--b\r\nContent-Type: image/png\r\nContent-Length: 3\r\n\r\ntwo\r\n--b--\r\n"
    )


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("count", [0, 1, 3])
async def test_every_reader_reads_it(lengths: bool, last: bool, count: int) -> None:
    sink = Plain()
    pictures = [b"picture %d" % number for number in range(count)]
    async with FrameStream(sink, lengths=lengths) as stream:
        for number, picture in enumerate(pictures):
            await stream.send(memoryview(picture), last=last and number == count - 1)
    assert [frame.data async for frame in frames(sink.data, content_type=stream.headers["Content-Type"])] == pictures
    reader = MultipartReader(stream.headers, sink.data)
    found = [await part.read() async for part in reader]  # type: ignore[call-arg]
    assert found[:count] == pictures
    assert found[count:] in ([], [b""])


async def test_boundaries() -> None:
    one, two = FrameStream(Plain()), FrameStream(Plain())
    assert len(one.boundary) > 30
    assert one.boundary != two.boundary
    assert one.headers == {
        "Content-Type": f"multipart/x-mixed-replace; boundary={one.boundary}",
        "Cache-Control": "no-store",
    }
    with pytest.raises(ValueError, match="boundary"):
        FrameStream(Plain(), boundary="a\r\nb")


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("data", [b"--b", b"x\r\n--b", b"x\r\n--bc"])
async def test_a_frame_with_the_delimiter_in_it(data: bytes, lengths: bool) -> None:
    sink = Plain()
    async with FrameStream(sink, boundary="b", lengths=lengths) as stream:
        await stream.send(b"one")
        before = sink.data
        with pytest.raises(ValueError, match="contains the delimiter") as caught:
            await stream.send(data)
        assert "b" in str(caught.value)
        assert sink.data == before
        await stream.send(b"two")


async def test_what_cannot_be_written() -> None:
    sink = Plain()
    async with FrameStream(sink, boundary="b") as stream:
        with pytest.raises(ValueError, match="control"):
            await stream.send(b"one", "image/jpeg\r\nX: y")
        with pytest.raises(ValueError, match="lengths=True"):
            await stream.send(b"one", headers={"X": "y"})
        with pytest.raises(TypeError):
            await stream.send("one")  # type: ignore[arg-type]
        await stream.send(b"one")
        with pytest.raises(ValueError, match=r"image/jpeg was announced, not image/png.*lengths=True"):
            await stream.send(b"two", "image/png")
    with pytest.raises(StateError, match="block"):
        await stream.send(b"three")
    async with FrameStream(sink, lengths=True) as stream:
        for headers in ({"X": "y\r\nZ: z"}, {"X\r\nZ": "z"}, {"content-type": "image/png"}):
            with pytest.raises(ValueError, match=r"control|token|Content-Type"):
                await stream.send(b"one", headers=headers)
    with pytest.raises(TypeError, match="not a int"):
        FrameStream(7)
    with pytest.raises(TypeError, match="receive"):
        FrameStream(lambda message: None)


# Viewers who leave


class Leaving(Async):
    """One that takes so many writes."""

    def __init__(self, writes: int, error: Exception) -> None:
        super().__init__()
        self.writes = writes
        self.error = error

    async def write(self, data: bytes) -> None:  # type: ignore[override]
        if len(self.pieces) == self.writes:
            raise self.error
        await super().write(data)


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), BrokenPipeError("gone")])
async def test_a_viewer_who_leaves_ends_the_block(error: OSError) -> None:
    sink = Leaving(2, error)
    ended = False
    async with FrameStream(sink) as stream:
        for _ in range(9):
            await stream.send(b"picture")
        ended = True
    assert not ended
    assert (stream.sent, len(sink.pieces)) == (2, 2)
    # Who goes on nevertheless is told again.
    async with FrameStream(Leaving(0, error)) as stream:
        for _ in range(2):
            with pytest.raises(type(error)):
                await stream.send(b"picture")


async def test_one_who_leaves_before_the_end_is_told() -> None:
    async with FrameStream(Leaving(1, ConnectionResetError())) as stream:
        await stream.send(b"picture")


async def test_other_errors_come_out() -> None:
    with pytest.raises(ConnectionRefusedError):
        async with FrameStream(sink := Plain()):
            raise ConnectionRefusedError("the camera")
    assert sink.data == b""  # and the message is not ended as if it were whole
    with pytest.raises(OSError, match="full"):
        async with FrameStream(Leaving(0, OSError(28, "disk full"))) as stream:
            await stream.send(b"picture")


# ASGI


class Client:
    """An ASGI server with a client, who leaves when told."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.leaves = asyncio.Event()
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if self.asked == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await asyncio.sleep(0)
        self.messages.append(message)


async def test_asgi() -> None:
    client = Client()
    async with FrameStream(client.send, receive=client.receive, boundary="b") as stream:
        await stream.send(b"one")
    start, *bodies = client.messages
    assert start == {
        "type": "http.response.start",
        "status": 200,
        "headers": [
            (b"content-type", b"multipart/x-mixed-replace; boundary=b"),
            (b"cache-control", b"no-store"),
        ],
    }
    assert [(body["body"], body["more_body"]) for body in bodies] == [
        (FIRST + b"one" + NEXT, True),
        (b"\r\n--b--\r\n", True),
        (b"", False),
    ]
    assert len(asyncio.all_tasks()) == 1


async def test_an_asgi_client_who_leaves() -> None:
    """A send() that does not raise, as uvicorn's."""
    client = Client()
    async with FrameStream(client.send, receive=client.receive) as stream:
        await stream.send(b"one")
        client.leaves.set()
        for _ in range(1000):
            await stream.send(b"more")
    assert stream.sent < 10
    assert client.messages[-1]["more_body"]
    assert len(asyncio.all_tasks()) == 1


async def test_an_asgi_client_who_is_gone_when_it_ends() -> None:
    """After the last frame there is nothing but the end of the response that can tell."""
    client = Client()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body" and not message["more_body"]:
            raise OSError("gone")
        await client.send(message)

    async with FrameStream(send, receive=client.receive) as stream:
        await stream.send(b"one", last=True)
    assert stream.sent == 1
    assert len(asyncio.all_tasks()) == 1


async def test_cancelled_before_the_block_begins() -> None:
    client = Client()

    async def send(message: Any) -> None:
        await client.leaves.wait()

    async def show() -> None:
        async with FrameStream(send, receive=client.receive):
            pass

    task = asyncio.create_task(show())
    await settled()
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert len(asyncio.all_tasks()) == 1


# Many viewers


class Viewer(Async):
    """One that takes a frame each time it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.room = asyncio.Semaphore(0)

    async def write(self, data: bytes) -> None:  # type: ignore[override]
        await self.room.acquire()
        self.pieces.append(data)

    async def seen(self, broadcast: FrameBroadcast) -> list[bytes]:
        stream: FrameReader = frames(self.data, content_type=broadcast.headers["Content-Type"])
        return [frame.data async for frame in stream]


@pytest.mark.parametrize("lengths", [False, True])
async def test_each_viewer_at_its_own_pace(lengths: bool) -> None:
    broadcast = FrameBroadcast(lengths=lengths)
    fast, slow = Viewer(), Viewer()
    for _ in range(99):
        fast.room.release()
    tasks = [asyncio.create_task(broadcast.serve(viewer)) for viewer in (fast, slow)]
    for number in range(6):
        await settled()
        assert broadcast.viewers == 2
        broadcast.publish(b"%d" % number)
        if number == 3:
            slow.room.release()
    late = Viewer()
    for _ in range(99):
        late.room.release()
    tasks.append(asyncio.create_task(broadcast.serve(late)))
    await settled()
    for _ in range(99):
        slow.room.release()
    broadcast.publish(b"last")
    broadcast.close()
    assert await asyncio.gather(*tasks) == [7, 3, 2]
    assert await fast.seen(broadcast) == [b"0", b"1", b"2", b"3", b"4", b"5", b"last"]
    assert await slow.seen(broadcast) == [b"0", b"3", b"last"]
    assert await late.seen(broadcast) == [b"5", b"last"]
    assert repr(broadcast) == "<FrameBroadcast: 7 frames, 0 viewers>"
    with pytest.raises(StateError, match="close"):
        broadcast.publish(b"more")


async def test_a_viewer_of_many_leaves() -> None:
    broadcast = FrameBroadcast()
    leaving, staying = Leaving(1, ConnectionResetError()), Async()
    tasks = [asyncio.create_task(broadcast.serve(viewer)) for viewer in (leaving, staying)]
    for number in range(3):
        await settled()
        broadcast.publish(b"%d" % number)
    await settled()
    assert broadcast.viewers == 1
    assert tasks[0].result() == 1
    tasks[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await tasks[1]
    assert broadcast.viewers == 0
    with pytest.raises(OSError, match="full"):
        await broadcast.serve(Leaving(0, OSError(28, "disk full")))
    assert broadcast.viewers == 0


async def test_a_viewer_leaves_while_there_is_nothing_to_send() -> None:
    """Who leaves is not kept until the camera has another picture; nor does he wake the others for nothing."""
    broadcast = FrameBroadcast()
    leaving, staying = Client(), Client()
    tasks = [asyncio.create_task(broadcast.serve(each.send, receive=each.receive)) for each in (leaving, staying)]
    broadcast.publish(b"one")
    await settled()
    assert broadcast.viewers == 2
    leaving.leaves.set()
    await settled()
    assert broadcast.viewers == 1
    assert tasks[0].result() == 1
    broadcast.publish(b"two")
    await settled()
    broadcast.close()
    assert await tasks[1] == 2
    assert len(asyncio.all_tasks()) == 1


async def test_many_viewers_who_take_nothing() -> None:
    """What is held for them is the frame that each of them waits to take: here one for all."""
    broadcast = FrameBroadcast()
    viewers = [Viewer() for _ in range(100)]
    tasks = [asyncio.create_task(broadcast.serve(viewer)) for viewer in viewers]
    await settled()
    broadcast.publish(bytes(100_000))
    await settled()
    tracemalloc.start()
    try:
        for _ in range(200):
            broadcast.publish(bytes(100_000))
            await settled()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 500_000
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_a_frame_is_rendered_once_for_all() -> None:
    broadcast = FrameBroadcast()
    sinks = [Async(), Async()]
    tasks = [asyncio.create_task(broadcast.serve(sink)) for sink in sinks]
    for _ in range(2):
        broadcast.publish(b"picture")
        await settled()
    assert sinks[0].pieces[1] is sinks[1].pieces[1]
    broadcast.close()
    await asyncio.gather(*tasks)
