"""``frames()``: what cameras send, in any chunks; and how it goes on, and ends."""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

import aiomultipart
from aiomultipart import (
    Frame,
    IncompleteBody,
    LimitExceeded,
    Limits,
    MultipartError,
    ParseError,
    PartBegin,
    Policy,
    PushMultipartParser,
    StateError,
)
from tests.support.awaits import Run, at_every_await

X = "multipart/x-mixed-replace; boundary=b"
HEAD = b"Content-Type: image/jpeg\r\n"


def part(body: bytes, *, length: int | None = -1, more: bytes = b"") -> bytes:
    """A part after its delimiter line; -1: with the Content-Length that it has."""
    size = len(body) if length == -1 else length
    counted = b"" if size is None else b"Content-Length: %d\r\n" % size
    return b"--b\r\n" + HEAD + counted + more + b"\r\n" + body + b"\r\n"


def frames(source: Any, **options: Any) -> aiomultipart.FrameReader:
    return aiomultipart.frames(source, **{"content_type": X, **options})


async def chunked(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


async def read(source: Any, **options: Any) -> tuple[list[tuple[bytes, bool]], str]:
    """All frames, and the code of the error that ended them."""
    found: list[tuple[bytes, bool]] = []
    try:
        async for frame in frames(source, **options):
            assert frame.index == len(found)
            found.append((frame.data, frame.complete))
    except MultipartError as exc:
        return found, f"{exc.code} at {exc.offset}"
    return found, ""


async def every_way(data: bytes, **options: Any) -> tuple[list[bytes], str]:
    """What every cutting gives: whole, by byte, in pairs, and in two at each place."""
    expected = await read(data, **options)
    ways = [cut(data, 1), cut(data, 7), *([data[:at], data[at:]] for at in range(1, len(data)))]
    for chunks in ways:
        assert await read(chunked(chunks), **options) == expected, chunks
    return [body for body, _ in expected[0]], expected[1]


END = b"--b--\r\n"
CAMERAS = {
    "with lengths": part(b"one") + part(b"two") + END,
    "without": part(b"one", length=None) + part(b"two", length=None) + END,
    "no close-delimiter": part(b"one") + part(b"two") + b"--b\r\n",
    "two delimiters": b"--b\r\n" + part(b"one") + b"--b\r\n" + part(b"two") + END,
    "no first delimiter": (part(b"one") + part(b"two") + END).removeprefix(b"--b\r\n"),
    "header on the delimiter line": (part(b"one") + part(b"two") + END).replace(b"--b\r\nC", b"--bC"),
    "length of -1": (part(b"one", length=7) + part(b"two") + END).replace(b": 7", b": -1"),
    "length too large": part(b"one", length=30) + part(b"two", length=30) + END,
    "length too small": part(b"one#", length=3) + part(b"two##", length=3) + END,
    "an extra line end": part(b"one\r\n", length=3) + part(b"two\r\n", length=3) + END,
    "no line end before the delimiter": (
        part(b"one", length=None) + part(b"two", length=None) + part(b"", length=None) + END
    )
    .replace(b"one\r\n", b"one")
    .replace(b"two\r\n", b"two"),
    "no line end, with lengths": (part(b"one") + part(b"two") + END).replace(b"one\r\n", b"one"),
    "line feeds": (part(b"one", length=None) + part(b"two", length=None) + END).replace(b"\r\n", b"\n"),
    "padding": (part(b"one") + part(b"two") + END).replace(b"--b\r\n", b"--b \t\r\n"),
    "a line end first": b"\r\n" + part(b"one") + part(b"two") + END,
    "empty parts": part(b"") + part(b"one") + part(b"", length=None) + part(b"two") + part(b"") + END,
    "a preamble": b"hello\r\n" + part(b"one") + part(b"two") + END,
    "late oddities": part(b"one") + part(b"two", length=90) + b"--b" + HEAD + b"\r\n\r\n" + END,
}


@pytest.mark.parametrize("data", CAMERAS.values(), ids=CAMERAS)
async def test_cameras(data: bytes) -> None:
    assert await every_way(data) == ([b"one", b"two"], "")


@pytest.mark.parametrize("boundary", ["--b", "b"])
async def test_dashes_in_the_boundary_parameter(boundary: str) -> None:
    content_type = f"multipart/x-mixed-replace;boundary={boundary}"
    assert await every_way(CAMERAS["with lengths"], content_type=content_type) == ([b"one", b"two"], "")


async def test_a_boundary_in_a_later_frame_is_data() -> None:
    """The first part has shown how this sender writes."""
    data = part(b"one", length=None) + part(b"x--by", length=None) + part(b"--bContent-Type", length=None) + END
    assert await every_way(data) == ([b"one", b"x--by", b"--bContent-Type"], "")


async def test_what_a_frame_has() -> None:
    before = time.time()
    stream = frames(part(b"one", more=b"X-Time: 7\r\n") + b"--b\r\n\r\ntwo\r\n" + END)
    one, two = [frame async for frame in stream]
    assert (one.data, one.content_type, one.index, one.complete) == (b"one", "image/jpeg", 0, True)
    assert one.headers["x-time"] == "7"
    assert (two.data, two.content_type, two.index, len(two.headers)) == (b"two", None, 1, 0)
    assert before <= one.received_at <= two.received_at <= time.time()
    assert repr(one) == "<Frame 0: image/jpeg, 3 bytes>"
    assert (stream.received, stream.dropped, stream.reconnections) == (2, 0, 0)
    assert repr(stream) == "<FrameReader: 2 received, 0 dropped>"


async def test_a_frame_is_complete_at_its_length() -> None:
    """No byte of what follows it has come."""
    reader = asyncio.StreamReader()
    async with frames(reader) as stream:
        for number in range(3):
            reader.feed_data(part(b"frame %d" % number).removesuffix(b"\r\n"))
            assert (await anext(stream)).data == b"frame %d" % number
            reader.feed_data(b"\r\n")


@pytest.mark.parametrize(
    ("tail", "found"),
    [
        (part(b"two", length=9).removesuffix(b"\r\n"), [(b"one", True)]),
        (part(b"two", length=None).removesuffix(b"\r\n"), [(b"one", True), (b"two", False)]),
        (part(b"two", length=None) + b"--b", [(b"one", True), (b"two", True)]),
        (b"--b\r\nContent-Ty", [(b"one", True)]),
    ],
    ids=["counted", "uncounted", "delimited", "in a header"],
)
async def test_the_end_of_the_input_in_mid_stream(tail: bytes, found: list[tuple[bytes, bool]]) -> None:
    data = part(b"one") + tail
    for chunks in cut(data, 1), cut(data, 3), [data]:
        assert await read(chunked(chunks)) == (found, "")
    with pytest.raises(IncompleteBody):
        [frame async for frame in frames(data, policy=Policy.STANDARD)]


async def test_defects_and_offsets_count_from_the_beginning() -> None:
    good = part(b"one") * 3
    data = good + part(b"four##", length=4) + b"--b\r\nbad header\r\n\r\n"
    stream = frames(chunked(cut(data, 5)))
    assert [(await anext(stream)).data for _ in range(4)] == [b"one", b"one", b"one", b"four"]
    with pytest.raises(ParseError) as caught:
        await anext(stream)
    assert (caught.value.offset, caught.value.part_index) == (len(good + part(b"four##", length=4)) + 5, 4)
    stream = frames(chunked(cut(good + part(b"four##", length=4) + part(b"five"), 5)))
    async with stream:
        while (await anext(stream)).data != b"five":
            pass
        [defect] = stream.defects
    assert (defect.kind, defect.part_index, defect.size) == ("content-length-too-small", 3, 2)
    assert defect.offset == len(good) + part(b"four##", length=4).index(b"##")


# Hostile streams


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"--b\r\n" + b"X" * 100_000, "max-header-line"),
        (b"--b\r\n" + b"X: y\r\n" * 100_000, "max-headers"),
        (b"x" * 100_000, "max-preamble"),
        (part(b"one") + b"--b\r\n" + b"X: " + b"y" * 100_000, "max-header-line"),
        (part(b"x" * 5000, length=None), "max-part-size"),
        (part(b"x" * 5000), "max-part-size"),
        (part(b"x" * 900) + part(b"x" * 5000, length=7), "max-part-size"),
    ],
)
async def test_hostile_streams(data: bytes, code: str) -> None:
    limits = Limits(max_part_size=1000)
    outcomes = {(await read(chunked(cut(data, size)), limits=limits))[1] for size in (13, 1000, len(data))}
    [outcome] = outcomes
    assert outcome.startswith(code)


async def test_a_frame_has_16_mib_at_most() -> None:
    with pytest.raises(LimitExceeded) as caught:
        await anext(frames(part(bytes((16 << 20) + 1), length=None)))
    assert (caught.value.limit, caught.value.value) == ("max_part_size", 16 << 20)


@pytest.mark.parametrize("limit", ["max_total_size", "max_parts", "max_total_header_bytes"])
async def test_limits_of_the_whole_stream(limit: str) -> None:
    """They hold from the first byte, whatever it is read by."""
    data = part(b"one") + part(b"two", length=2) + part(b"three") + END
    value = {"max_total_size": data.index(b"three"), "max_parts": 2, "max_total_header_bytes": 110}[limit]
    found, code = await every_way(data, limits=Limits(**{limit: value}))
    assert code.startswith(limit.replace("_", "-"))
    assert found == [b"one", b"tw"]


async def test_small_pieces_take_no_more_than_their_bytes() -> None:
    import tracemalloc

    size = 100_000

    async def drip() -> AsyncIterator[bytes]:
        yield b"--b\r\n\r\n"
        for _ in range(size // 2):
            yield b"ab"

    stream = frames(drip())
    tracemalloc.start()
    try:
        [frame] = [frame async for frame in stream]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(frame.data) == size
    assert peak < 4 * size


async def test_defects_do_not_pile_up() -> None:
    data = part(b"one#", length=3) * 5000
    async with frames(chunked(cut(data, 1000))) as stream:
        while stream.received < 4990:
            await anext(stream)
        assert 0 < len(stream.defects) < 300


# Errors, and what is misused


async def test_an_error_comes_after_the_frames_before_it_and_again() -> None:
    data = part(b"one") + part(b"two") + b"--b\r\nno header\r\n\r\n"
    async with frames(data) as stream:
        assert [(await anext(stream)).data for _ in range(2)] == [b"one", b"two"]
        errors = []
        for _ in range(2):
            with pytest.raises(ParseError) as caught:
                await anext(stream)
            errors.append(caught.value)
        assert errors[0] is not errors[1]


async def test_what_is_no_stream() -> None:
    with pytest.raises(TypeError, match="content_type"):
        aiomultipart.frames(b"")
    with pytest.raises(TypeError, match="async read"):
        frames(7)
    with pytest.raises(ParseError):
        frames(b"", content_type="text/html")
    with pytest.raises(TypeError, match="function"):
        frames(b"", backoff=lambda failures, error: 0)


async def test_two_tasks() -> None:
    reader = asyncio.StreamReader()
    async with frames(reader) as stream:
        waiting = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        with pytest.raises(StateError, match="another task"):
            await anext(stream)
        with pytest.raises(StateError, match="another task"):
            await stream.aclose()
        reader.feed_data(part(b"one"))
        assert (await waiting).data == b"one"


async def test_a_closed_stream() -> None:
    async with frames(part(b"one") + part(b"two") + END) as stream:
        await anext(stream)
    with pytest.raises(StateError, match="closed"):
        await anext(stream)
    stream = frames(part(b"one") + END)
    assert len([frame async for frame in stream]) == 1
    assert [frame async for frame in stream] == []  # it had ended


# Cancellation and closing


@pytest.mark.parametrize("latest", [False, True])
async def test_cancelled_at_every_await(latest: bool) -> None:
    data = part(b"one") + part(b"two", length=2) + part(b"three", length=None) + END

    class Source:
        """One that survives cancellation."""

        def __init__(self) -> None:
            self.chunks = cut(data, 11)

        async def read(self, n: int) -> bytes:
            await asyncio.sleep(0)
            return self.chunks.pop(0) if self.chunks else b""

    async def scenario(run: Run) -> None:
        found = []
        async with frames(Source(), latest=latest) as stream:
            while True:
                try:
                    found.append((await run(lambda: anext(stream))).data)
                except StopAsyncIteration:
                    break
        if not latest:
            assert found == [b"one", b"tw", b"three"]
        assert found[-1] == b"three"

    await at_every_await(scenario)
    assert len(asyncio.all_tasks()) == 1


class Response:
    """A response, as httpx has it."""

    def __init__(self, *chunks: bytes, error: Exception | None = None, forever: bool = False) -> None:
        self.headers = {"Content-Type": X}
        self.chunks = chunks
        self.error = error
        self.forever = forever
        self.closed = 0

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            await asyncio.sleep(0)
            yield chunk
        if self.error is not None:
            raise self.error
        if self.forever:
            await asyncio.get_running_loop().create_future()

    async def aclose(self) -> None:
        self.closed += 1


async def settled() -> None:
    """Let the loop close what has been left."""
    gc.collect()
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("latest", [False, True])
@pytest.mark.parametrize("how", ["end", "break", "raise", "cancel", "with", "error"])
async def test_the_response_is_closed(how: str, latest: bool) -> None:
    tail = END if how == "end" else b"--b\r\n bad\r\n\r\n" if how == "error" else b""
    response = Response(part(b"one"), part(b"two"), tail, forever=True)

    async def loop() -> None:
        async for _ in aiomultipart.frames(response, latest=latest):
            if how == "break":
                break
            if how == "raise":
                raise KeyError

    if how == "with":
        async with aiomultipart.frames(response, latest=latest) as stream:
            async for _ in stream:
                break
            assert not response.closed
    elif how == "cancel":
        task = asyncio.create_task(loop())
        await settled()
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
    elif how in {"raise", "error"}:
        with pytest.raises(KeyError if how == "raise" else ParseError):
            await loop()
    else:
        await loop()
    await settled()
    assert response.closed == 1
    assert len(asyncio.all_tasks()) == 1


# The latest


async def test_the_latest_frame() -> None:
    reader = asyncio.StreamReader()
    async with frames(reader, latest=True) as stream:
        reader.feed_data(part(b"0"))
        assert (await anext(stream)).data == b"0"
        for number in range(1, 6):  # while nobody asks
            reader.feed_data(part(b"%d" % number))
            await settled()
        frame = await anext(stream)
        assert (frame.data, frame.index, stream.dropped, stream.received) == (b"5", 5, 4, 6)
        waiting = asyncio.create_task(anext(stream))
        await settled()
        assert not waiting.done()
        reader.feed_data(part(b"6") + part(b"7"))
        assert (await waiting).data == b"7"
        assert stream.dropped == 5
        reader.feed_data(part(b"8") + b"--b\r\n bad\r\n\r\n")
        await settled()
        assert (await anext(stream)).data == b"8"
        with pytest.raises(ParseError):
            await anext(stream)


async def test_latest_is_cancelled_from_below() -> None:
    """Nobody is left waiting for a frame that nobody reads."""

    class Source:
        async def read(self, n: int) -> bytes:
            await asyncio.sleep(0)
            raise asyncio.CancelledError

    async with asyncio.timeout(10), frames(Source(), latest=True) as stream:
        with pytest.raises(StateError, match="cancelled"):
            await anext(stream)


async def test_latest_holds_one_frame_only() -> None:
    """A consumer that takes nothing, and a camera that goes on: what is held does not grow."""
    reader = asyncio.StreamReader()
    async with frames(reader, latest=True) as stream:
        reader.feed_data(part(b"first"))
        await anext(stream)
        for number in range(200):
            reader.feed_data(part(bytes([number]) * 1000))
            for _ in range(9):
                await asyncio.sleep(0)
            assert stream.received == number + 2
        held = [found for found in gc.get_objects() if isinstance(found, Frame)]
        assert stream.dropped == 199
        assert (await anext(stream)).index == 200
        assert len(held) <= 1


# Time, and another time


async def test_silence() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(part(b"one") + b"--b\r\n\r\nhalf")
    async with frames(reader, idle_timeout=0.01) as stream:
        assert (await anext(stream)).data == b"one"
        with pytest.raises(IncompleteBody, match=r"no frame for 0\.01 seconds") as caught:
            await anext(stream)
        assert caught.value.code == "idle-timeout"


async def test_what_comes_byte_by_byte_is_silence_too() -> None:
    async def drip() -> AsyncIterator[bytes]:
        yield b"--b\r\n\r\n"
        while True:
            await asyncio.sleep(0)
            yield b"x"

    with pytest.raises(IncompleteBody) as caught:
        await anext(frames(drip(), idle_timeout=0.02))
    assert caught.value.code == "idle-timeout"


async def test_a_timeout_of_the_client_is_its_own() -> None:
    error = TimeoutError("the client's")
    with pytest.raises(TimeoutError) as caught:
        await anext(aiomultipart.frames(Response(error=error), idle_timeout=60))
    assert caught.value is error


@pytest.mark.parametrize("latest", [False, True])
async def test_opened_anew(latest: bool) -> None:
    responses = [
        Response(part(b"0"), part(b"1"), error=ConnectionResetError("lost")),
        ConnectionRefusedError("no"),
        ConnectionRefusedError("no"),
        Response(part(b"2"), b"--b\r\nhalf"),
        Response(part(b"3"), b"--b\r\n bad\r\n\r\n"),
        Response(part(b"4") + END),
    ]
    opened: list[Any] = []
    asked: list[tuple[int, str]] = []

    async def open_() -> Response:
        opened.append(responses[len(opened)])
        if isinstance(opened[-1], Exception):
            raise opened[-1]
        return opened[-1]

    def backoff(failures: int, error: Exception) -> float:
        asked.append((failures, type(error).__name__))
        return 0

    stream = aiomultipart.frames(open_, latest=latest, backoff=backoff)
    found = [(frame.index, frame.data) async for frame in stream]
    if not latest:
        assert found == [(number, b"%d" % number) for number in range(5)]
    assert found[-1] == (4, b"4")
    assert asked == [
        (1, "ConnectionResetError"),
        (2, "ConnectionRefusedError"),
        (3, "ConnectionRefusedError"),
        (1, "IncompleteBody"),
        (1, "ParseError"),
    ]
    assert stream.reconnections == 5
    assert all(response.closed == 1 for response in opened if isinstance(response, Response))


async def test_giving_up() -> None:
    calls = itertools.count()

    async def open_() -> Response:
        next(calls)
        raise ConnectionRefusedError("no")

    with pytest.raises(ConnectionRefusedError):
        await anext(frames(open_, backoff=lambda failures, error: 0 if failures < 3 else None))
    assert next(calls) == 3


async def test_misuse_is_not_tried_again() -> None:
    def open_() -> object:
        return 7

    with pytest.raises(TypeError):
        await anext(frames(open_, backoff=lambda failures, error: pytest.fail("asked")))


async def test_an_opener_may_give_a_context_manager() -> None:
    class Opening:
        def __init__(self) -> None:
            self.response = Response(part(b"one"), part(b"two"))
            self.left = False

        async def __aenter__(self) -> Response:
            return self.response

        async def __aexit__(self, *exc_info: object) -> None:
            self.left = True

    opening = Opening()
    async with aiomultipart.frames(lambda: opening) as stream:
        await anext(stream)
        assert not opening.left
    assert opening.left
    assert opening.response.closed == 1


async def test_another_page_in_place_of_the_stream() -> None:
    response = Response()
    response.headers = {"Content-Type": "text/html"}
    response.status_code = 401  # type: ignore[attr-defined]
    response.url = "http://user:secret@camera/"  # type: ignore[attr-defined]
    with pytest.raises(ParseError, match=r"text/html; this is the response 401 of http://camera/") as caught:
        await anext(aiomultipart.frames(lambda: response))
    assert "secret" not in str(caught.value)
    assert response.closed == 1


def random_stream(numbers: random.Random) -> bytes:
    """Parts of which some are as cameras write them, and bodies that are nearly delimiters."""
    pieces = []
    loose = numbers.random() < 0.2  # one who leaves line ends out does so everywhere
    for _ in range(numbers.randrange(1, 6)):
        body = b"".join(
            numbers.choices([b"x", b"\r\n", b"--", b"\r", b"\n", b"-", b"\r\n--", b"\r\n--c", b"y" * 9], k=5)
        )
        length = numbers.choice([-1, -1, -1, None, None, len(body) + 30, max(0, len(body) - 3), 0])
        made = part(body + b"z", length=None) if loose else part(body, length=length)
        odd = numbers.randrange(12)
        if odd == 0:
            made = b"--b\r\n" + made
        elif odd == 1:
            made = made.replace(b"--b\r\n", b"--b\t\r\n", 1)
        elif odd == 2:
            made = made.replace(b"Content-Length: ", b"Content-Length: -", 1)
        elif odd == 3:
            made = made.replace(b"image/jpeg", b"image", 1)
        pieces.append(made.removesuffix(b"\r\n") if loose else made)
    return b"".join([*pieces, numbers.choice([END, b"--b--", b"--b", b"", b"--b\r\nX"])])


def by_lenient(data: bytes) -> list[bytes]:
    """What the parser makes of it under LENIENT from the first byte; the frame that the end has cut short aside."""
    parser = PushMultipartParser("b", subtype="x-mixed-replace", policy=Policy.LENIENT)
    found: list[bytes] = []
    body = b""
    for events in (parser.feed(data), parser.close()):
        for event in events:
            if isinstance(event, bytes):
                body += event
            elif isinstance(event, PartBegin):
                begin, body = event, b""
            elif event is aiomultipart.PART_END and body:
                found.append(body)
    if found and begin.content_length is not None and any(d.kind == "part-cut-short" for d in parser.defects):
        found.pop()
    return found


async def test_streams_at_random() -> None:
    """However it was cut, and as LENIENT reads it from the first byte."""
    for seed in range(300):
        numbers = random.Random(seed)
        data = random_stream(numbers)
        expected = await read(data)
        assert [body for body, _ in expected[0]] == by_lenient(data), (seed, data)
        for size in (1, 3, numbers.randrange(4, 60)):
            assert await read(chunked(cut(data, size))) == expected, (seed, size, data)
