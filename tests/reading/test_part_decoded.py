"""BodyPartReader: the decoded body, at once, in pieces, while it streams, in a thread."""

from __future__ import annotations

import asyncio
import base64
import gzip
import random
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from aiomultipart import (
    BodyPartReader,
    CodecError,
    LimitExceeded,
    Limits,
    MultipartError,
    MultipartReader,
    StateError,
    UnknownEncoding,
)
from aiomultipart.sources import ByteStream
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.support.reading import FORM, MIXED, build, everywhere, next_part

TEXT = b"All work and no play makes Jack a dull boy.\r\n" * 8
GZIP = b"Content-Encoding: gzip"
BASE64 = b"Content-Transfer-Encoding: base64"
CODED = {
    GZIP: gzip.compress(TEXT, mtime=0),
    b"Content-Encoding: deflate": zlib.compress(TEXT),
    BASE64: base64.encodebytes(TEXT).replace(b"\n", b"\r\n"),
    b"Content-Transfer-Encoding: quoted-printable": TEXT.replace(b"boy", b"b=6F=\r\ny"),
    GZIP + b"\r\n" + BASE64: base64.encodebytes(gzip.compress(TEXT, mtime=0)),
    b"Content-Encoding: identity\r\nContent-Transfer-Encoding: 8bit": TEXT,
}
# Many times what is decoded on the event loop
BIG = random.Random(7).randbytes(1000) * 3000
BIG_GZIP = gzip.compress(BIG, mtime=0)


@pytest.mark.parametrize("head", CODED, ids=range(len(CODED)))
async def test_every_way_to_decode(head: bytes) -> None:
    body = CODED[head]

    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        part = await next_part(reader)
        assert await part.read(decode=True) == TEXT
        assert await part.read(decode=True) == b""
        assert part.at_eof()
        part = await next_part(reader)
        assert b"".join([piece async for piece in part.iter_chunks()]) == TEXT
        part = await next_part(reader)
        pieces = [piece async for piece in part.iter_chunks(7)]
        assert b"".join(pieces) == TEXT
        assert max(map(len, pieces)) <= 7
        part = await next_part(reader)
        assert await part.text() == TEXT.decode()
        part = await next_part(reader)
        assert await part.read() == body
        assert part.decode(body) == TEXT
        assert b"".join([piece async for piece in part.decode_iter(body)]) == TEXT
        part = await next_part(reader)
        piece = await anext(part.iter_chunks(10))
        assert 1 <= len(piece) <= 10
        assert piece + await part.read(decode=True) == TEXT
        part = await next_part(reader)
        await anext(part.iter_chunks(10))
        await part.release()
        assert await part.read(decode=True) == b""
        assert [piece async for piece in part.iter_chunks()] == []

    await everywhere(build(*[(head, body)] * 7), check, splits=6, random_cuts=1)


@pytest.mark.parametrize("head", list(CODED)[:5], ids=range(5))
async def test_a_body_cut_short_never_decodes_to_a_shorter_one(head: bytes) -> None:
    body = CODED[head].rstrip() if BASE64 in head else CODED[head]
    for cut in range(1, len(body)):
        # These two do not know their length; a cut between quartets or escapes cannot be seen.
        if head == BASE64 and len(body[:cut].translate(None, b"\r\n")) % 4 == 0:
            continue
        if b"printable" in head and not body[:cut].endswith((b"=", b"=6")):
            continue
        part = await next_part(MultipartReader(MIXED, build((head, body[:cut]))))
        with pytest.raises(CodecError):
            part.decode(body[:cut])
        with pytest.raises(CodecError):
            _ = [piece async for piece in part.decode_iter(body[:cut])]
        with pytest.raises(CodecError):
            await part.read(decode=True)
        with pytest.raises(CodecError):
            await part.read(decode=True)


async def test_nothing_to_decode() -> None:
    part = await next_part(MultipartReader(MIXED, build((GZIP, b""), (b"", b"x"))))
    assert part.decode(b"") == b""
    assert [piece async for piece in part.decode_iter(b"")] == []
    part = BodyPartReader(b"--b", {}, b"")
    assert part.decode(b"x") == b"x"
    assert [piece async for piece in part.decode_iter(b"x")] == [b"x"]
    assert [piece async for piece in part.decode_iter(b"")] == []


@pytest.mark.parametrize("most", [0, 1, 100, 10**9])
async def test_pieces_of_decode_iter_are_bounded(most: int) -> None:
    part = BodyPartReader(b"--b", {"Content-Encoding": "gzip"}, b"", max_decompress_size=most)
    pieces = [piece async for piece in part.decode_iter(CODED[GZIP])]
    assert b"".join(pieces) == TEXT
    assert max(map(len, pieces)) <= (most or 65536)
    if most > 100:
        pieces = [piece async for piece in part.decode_iter(BIG_GZIP)]
        assert b"".join(pieces) == BIG
        assert max(map(len, pieces)) <= min(most, 65536)


async def test_content_encoding_is_ignored_in_form_data() -> None:
    head = b'Content-Disposition: form-data; name="n"\r\n'
    reader = MultipartReader(FORM, build((head + GZIP, b"raw"), (head + BASE64, b"QUJD")))
    assert await (await next_part(reader)).read(decode=True) == b"raw"
    assert await (await next_part(reader)).read(decode=True) == b"ABC"


@pytest.mark.parametrize(
    "head", [b"Content-Encoding: x", b"Content-Encoding: gzip, br", b"Content-Transfer-Encoding: x"]
)
async def test_unknown_encodings(head: bytes) -> None:
    reader = MultipartReader(
        MIXED, build((head + b'\r\nContent-Disposition: inline; name="n"', b"body"), (b"", b"next"))
    )
    part = await next_part(reader)
    calls: list[Callable[[], Any]] = [
        lambda: part.read(decode=True),
        part.text,
        part.json,
        part.form,
        lambda: anext(part.iter_chunks()),
        lambda: anext(part.decode_iter(b"x")),
    ]
    for call in calls:
        with pytest.raises(UnknownEncoding) as caught:
            await call()
        assert isinstance(caught.value, RuntimeError)
        assert isinstance(caught.value, MultipartError)
        assert caught.value.part_name == "n"
    with pytest.raises(UnknownEncoding):
        part.decode(b"x")
    assert await part.read() == b"body"
    assert await (await next_part(reader)).read() == b"next"


async def test_codec_errors_belong_to_the_part() -> None:
    head = b'Content-Disposition: inline; name="n"\r\n' + GZIP

    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source)
        part = await next_part(reader)
        texts = []
        for _ in range(2):
            with pytest.raises(CodecError) as caught:
                await part.read(decode=True)
            texts.append(str(caught.value))
            assert caught.value.part_name == "n"
        assert texts[0] == texts[1]
        assert await (await next_part(reader)).read(decode=True) == TEXT

    await everywhere(build((head, b"no gzip"), (GZIP, CODED[GZIP])), check)


async def test_limits_on_decoding() -> None:
    reader = MultipartReader(MIXED, build((GZIP, CODED[GZIP])), limits=Limits(max_decoded_size=100))
    with pytest.raises(LimitExceeded) as caught:
        await (await next_part(reader)).read(decode=True)
    assert caught.value.limit == "max_decoded_size"
    reader = MultipartReader(MIXED, build((GZIP, CODED[GZIP])), client_max_size=200, max_size_error_cls=KeyError)
    part = await next_part(reader)
    for _ in range(2):
        with pytest.raises(KeyError, match="200"):
            await part.read(decode=True)
    assert b"".join([piece async for piece in part.iter_chunks()]) == TEXT


# In a thread


class CountingExecutor(ThreadPoolExecutor):
    """Counts its jobs, and holds them while the gate is closed."""

    def __init__(self) -> None:
        super().__init__(max_workers=2)
        self.jobs = 0
        self.gate = threading.Event()
        self.gate.set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.jobs += 1

        def run() -> Any:
            self.gate.wait(10)
            return fn(*args, **kwargs)

        return super().submit(run)


@pytest.fixture
async def executor() -> CountingExecutor:
    executor = CountingExecutor()
    asyncio.get_running_loop().set_default_executor(executor)
    return executor


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def test_much_is_decoded_in_a_thread_and_little_is_not(executor: CountingExecutor) -> None:
    part = await next_part(MultipartReader(MIXED, build((GZIP, CODED[GZIP]))))
    assert await part.read(decode=True) == TEXT
    assert executor.jobs == 0
    for big in (build((GZIP, BIG_GZIP)), build((GZIP + b"\r\n" + BASE64, base64.b64encode(BIG_GZIP)))):
        before = executor.jobs
        part = await next_part(MultipartReader(MIXED, big))
        pieces = [piece async for piece in part.iter_chunks()]
        assert b"".join(pieces) == BIG
        assert max(map(len, pieces)) <= 65536
        assert executor.jobs > before
        part = await next_part(MultipartReader(MIXED, big))
        assert await part.read(decode=True) == BIG


async def test_the_loop_goes_on_while_the_thread_works(executor: CountingExecutor) -> None:
    executor.gate.clear()
    part = await next_part(MultipartReader(MIXED, build((GZIP, BIG_GZIP))))
    task = asyncio.create_task(part.read(decode=True))
    await until(lambda: executor.jobs > 0)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    with pytest.raises(StateError):
        await part.read(decode=True)
    with pytest.raises(StateError):
        await part.release()
    executor.gate.set()
    assert await task == BIG


@pytest.mark.parametrize("then", ["iter_chunks", "read", "release", "next"])
async def test_cancelled_while_the_thread_works(executor: CountingExecutor, then: str) -> None:
    reader = MultipartReader(MIXED, build((GZIP, BIG_GZIP), (b"", b"next")))
    part = await next_part(reader)
    found = []

    async def consume() -> None:
        async for piece in part.iter_chunks(50_000):
            found.append(piece)  # noqa: PERF401

    executor.gate.clear()
    for _ in range(3):
        task = asyncio.create_task(consume())
        await until(lambda: executor.jobs > 0)
        for _ in range(5):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert executor.jobs == 1
    executor.gate.set()
    if then == "iter_chunks":
        await consume()
        assert b"".join(found) == BIG
    elif then == "read":
        assert b"".join(found) + await part.read(decode=True) == BIG
    elif then == "release":
        await part.release()
        assert await part.read(decode=True) == b""
    assert await (await next_part(reader)).read() == b"next"
    await reader.aclose()


async def test_a_cancelled_read_keeps_what_it_had_decoded(executor: CountingExecutor) -> None:
    part = await next_part(MultipartReader(MIXED, build((GZIP, BIG_GZIP)), client_max_size=len(BIG)))
    task = asyncio.create_task(part.read(decode=True))
    await until(lambda: executor.jobs > 2)
    executor.gate.clear()
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    executor.gate.set()
    pieces = [piece async for piece in part.iter_chunks(10**9)]
    assert b"".join(pieces) == BIG
    assert max(map(len, pieces)) <= 65536


async def test_damage_found_by_the_thread() -> None:
    damaged = BIG_GZIP[:-8] + b"\0\0\0\0" + BIG_GZIP[-4:]
    part = await next_part(MultipartReader(MIXED, build((GZIP, damaged))))
    found = []
    with pytest.raises(CodecError):  # noqa: PT012
        async for piece in part.iter_chunks():
            found.append(piece)  # noqa: PERF401
    assert b"".join(found) == BIG[: len(b"".join(found))]
    with pytest.raises(CodecError):
        _ = [piece async for piece in part.decode_iter(damaged)]


async def test_closing_waits_for_the_thread_and_holds_cancellation_back(executor: CountingExecutor) -> None:
    closed = []

    async def generate() -> Any:
        try:
            yield build((GZIP, BIG_GZIP))
        finally:
            closed.append(True)

    reader = MultipartReader(MIXED, generate())
    part = await next_part(reader)
    executor.gate.clear()
    task = asyncio.create_task(part.read(decode=True))
    await until(lambda: executor.jobs > 0)
    with pytest.raises(StateError):
        await reader.aclose()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    closing = asyncio.create_task(reader.aclose())
    for _ in range(3):
        await asyncio.sleep(0)
        closing.cancel()
    assert not closing.done()
    assert closed == []
    executor.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert closed == [True]


async def test_cancelled_at_every_pause_while_decoding() -> None:
    body = CODED[GZIP + b"\r\n" + BASE64]
    message = build((GZIP + b"\r\n" + BASE64, body))
    source = ScriptedSource(*[step for i in range(len(message)) for step in (message[i : i + 1], PAUSE)])
    reader = MultipartReader(MIXED, source)
    task: asyncio.Task[Any] = asyncio.create_task(next_part(reader))
    while not task.done():
        source.resume()
        await asyncio.sleep(0)
    part = task.result()
    found = []

    async def consume() -> None:
        async for piece in part.iter_chunks(5):
            found.append(piece)  # noqa: PERF401

    while True:
        task = asyncio.create_task(consume())
        paused = asyncio.create_task(source.paused())
        await asyncio.wait([task, paused], return_when=asyncio.FIRST_COMPLETED)
        paused.cancel()
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        source.resume()
    assert b"".join(found) == TEXT


async def test_closing_waits_for_the_threads_of_all_parts(executor: CountingExecutor) -> None:
    reader = MultipartReader(MIXED, build((GZIP, BIG_GZIP), (GZIP, BIG_GZIP)))
    executor.gate.clear()
    for jobs in (1, 2):
        part = await next_part(reader)
        task = asyncio.create_task(part.read(decode=True))
        await until(lambda jobs=jobs: executor.jobs == jobs)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    closing = asyncio.create_task(reader.aclose())
    for _ in range(3):
        await asyncio.sleep(0)
    assert not closing.done()
    executor.gate.set()
    await closing
