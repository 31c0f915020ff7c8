"""Reading, cancelled at each await and called again: exactly the remaining bytes, or a StateError and no false end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from aiomultipart import BodyPartReader, IncompleteBody, MultipartReader, Policy, StateError
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.faults.conftest import Threads
from tests.support import messages
from tests.support.awaits import Cancel, Run, at_every_await
from tests.support.messages import (
    ALL_WAYS,
    BIG,
    BODIES,
    BODY,
    CODED,
    DECODED,
    GZIP,
    INNER,
    MESSAGE,
    NESTED,
    RAW,
    TEXT,
    WAYS,
    Way,
    coded,
)
from tests.support.origins import DYING, SURVIVING, Wrapper, pieces
from tests.support.reading import FORM, MIXED, build, next_nested, next_part

# Over both implementations of the parser
pytestmark = pytest.mark.usefixtures("implementation")


async def gather(run: Run, reader: MultipartReader, way: Way) -> list[Any]:
    """The bodies of all parts, by ``way``; nested messages as lists."""
    bodies: list[Any] = []
    while (part := await run(reader.next)) is not None:
        if isinstance(part, MultipartReader):
            bodies.append(await gather(run, part, way))
            continue
        found: list[bytes] = []
        await run(lambda part=part, found=found: way(part, found))  # type: ignore[misc]
        if way is not messages._release:
            # There is nothing more, whichever way one asks.
            assert part.at_eof()
            assert await part.read() == b""
            assert await part.read_chunk() == b""
        bodies.append(b"".join(found))
    assert reader.at_eof()
    assert await run(reader.next) is None
    await run(reader.release)
    assert reader.at_eof()
    return bodies


# Sources that survive it


@pytest.mark.parametrize("kind", SURVIVING)
@pytest.mark.parametrize("name", WAYS)
async def test_all_bytes(name: str, kind: str) -> None:
    async def scenario(run: Run) -> None:
        async with MultipartReader(MIXED, SURVIVING[kind](pieces(MESSAGE))) as reader:
            assert await gather(run, reader, WAYS[name]) == BODIES

    await at_every_await(scenario, least=len(pieces(MESSAGE)))


@pytest.mark.parametrize("coding", list(CODED)[1:])
@pytest.mark.parametrize("name", [*DECODED, "read_chunk"])
async def test_the_same_codec_goes_on(name: str, coding: str) -> None:
    head, body = coded(coding, TEXT)
    expected = TEXT if name in DECODED else body

    async def scenario(run: Run) -> None:
        async with MultipartReader(MIXED, SURVIVING["asyncio"](pieces(message, 13))) as reader:
            assert await gather(run, reader, WAYS[name]) == [expected, BODY]

    message = build((head, body), (b"", BODY))
    await at_every_await(scenario, least=len(pieces(message, 13)))


@pytest.mark.parametrize("kind", SURVIVING)
@pytest.mark.parametrize("name", ["json", "form"])
async def test_values(name: str, kind: str) -> None:
    body = b'{"a": ["' + b"x" * 70 + b'"]}' if name == "json" else b"a=" + b"x" * 70 + b"&b=y"

    async def scenario(run: Run) -> None:
        async with MultipartReader(MIXED, SURVIVING[kind](pieces(message))) as reader:
            assert await gather(run, reader, ALL_WAYS[name]) == [body] * 3

    message = build((b"", body), (GZIP, CODED["gzip"][1](body)), coded("base64", body))
    await at_every_await(scenario, least=5)


@pytest.mark.parametrize("name", RAW)
async def test_another_method_goes_on(name: str) -> None:
    """What one method had when it was cancelled, any other finds."""
    message = build((b"", BODY + TEXT), (b"", b"x"))
    for other in RAW.values():

        async def scenario(run: Run, other: Way = other) -> None:
            reader = MultipartReader(MIXED, SURVIVING["asyncio"](pieces(message, 17)))
            part = await next_part(reader)
            found: list[bytes] = []
            try:
                await run.once(lambda: RAW[name](part, found))
            except asyncio.CancelledError:
                await other(part, found)
            assert b"".join(found) == BODY + TEXT
            assert await (await next_part(reader)).read() == b"x"

        await at_every_await(scenario, least=8)


@pytest.mark.parametrize("name", WAYS)
async def test_a_read_is_cancelled_and_the_reader_goes_on(name: str) -> None:
    async def scenario(run: Run) -> None:
        reader = MultipartReader(MIXED, SURVIVING["script"](pieces(message, 7)))
        part = await next_part(reader)
        found: list[bytes] = []
        try:
            await run.once(lambda: WAYS[name](part, found))
        except asyncio.CancelledError:
            assert not part.at_eof()
            assert BODY.startswith(b"".join(found))
        else:
            assert b"".join(found) == BODY
        assert await (await next_part(reader)).read() == b"x"
        assert part.at_eof()
        assert await reader.next() is None

    message = build((b"", BODY), (b"", b"x"))
    await at_every_await(scenario, least=2)


@pytest.mark.parametrize("how", [Cancel.EARLY, Cancel.LATE])
@pytest.mark.parametrize("name", WAYS)
async def test_cancelled_at_every_await_of_one_message(name: str, how: Cancel) -> None:
    """Not at one of them in each play, but at all of them in one."""

    class Slow:
        """What is waited for comes while the wait is cancelled."""

        def __init__(self) -> None:
            self.chunks = pieces(MESSAGE)
            self.waits = 0
            self.waited = False

        async def read(self, n: int) -> bytes:
            if not self.waited:
                self.waited = True
                self.waits += 1
                come = asyncio.Event()
                asyncio.get_running_loop().call_soon(come.set)
                await come.wait()
            self.waited = False
            return self.chunks.pop(0) if self.chunks else b""

    async def until_done(operation: Any) -> Any:
        nonlocal cancelled
        while True:
            run = Run(1, how)
            try:
                return await run.once(operation)
            except asyncio.CancelledError:
                cancelled += 1

    cancelled = 0
    source = Slow()
    reader = MultipartReader(MIXED, source)
    assert await gather(until_done, reader, WAYS[name]) == BODIES  # type: ignore[arg-type]
    assert cancelled == source.waits == len(pieces(MESSAGE)) + 1


@pytest.mark.parametrize("kind", SURVIVING)
async def test_release_of_parts(kind: str) -> None:
    async def scenario(run: Run) -> None:
        reader = MultipartReader(MIXED, SURVIVING[kind](pieces(MESSAGE)))
        seen = 0
        while (part := await run(reader.next)) is not None:
            seen += 1
            await run(part.release)
            assert part.at_eof()
            if isinstance(part, BodyPartReader):
                assert await part.read() == b""
            else:
                assert await part.next() is None
        assert seen == 3

    await at_every_await(scenario, least=10)


@pytest.mark.parametrize("name", ALL_WAYS)
@pytest.mark.parametrize("coding", ["plain", "gzip"])
async def test_a_cancelled_release_has_dropped_the_rest(coding: str, name: str) -> None:
    """Whoever reads on, by whatever way, finds the end of the part, and after it the next one."""

    async def scenario(run: Run) -> None:
        reader = MultipartReader(MIXED, SURVIVING["asyncio"](pieces(message)))
        part = await next_part(reader)
        async with messages.closing(part.iter_chunks(3)) as chunks:
            assert await anext(chunks) == BODY[:3]
        with contextlib.suppress(asyncio.CancelledError):
            await run.once(part.release)
        if name != "json":
            found: list[bytes] = []
            await ALL_WAYS[name](part, found)
            assert b"".join(found) == b""
        assert await part.read(decode=True) == b""
        assert await part.read() == b""
        assert part.at_eof()
        assert await (await next_part(reader)).read() == b"x"

    message = build(coded(coding, BODY * 5), (b"", b"x"))
    await at_every_await(scenario)


async def test_a_cancelled_release_while_a_thread_decodes(threads: Threads) -> None:
    async def scenario(run: Run) -> None:
        async with MultipartReader(MIXED, SURVIVING["asyncio"]([message[:-50], message[-50:]])) as reader:
            part = await next_part(reader)
            threads.gate.clear()
            task = asyncio.create_task(part.read(decode=True))
            await threads.busy()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            asyncio.get_running_loop().call_soon(threads.gate.set)
            with contextlib.suppress(asyncio.CancelledError):
                await run.once(part.release)
            for _ in range(2):
                assert await part.read(decode=True) == b""
            assert await part.read() == b""
            assert await (await next_part(reader)).read() == b"x"
        assert not threads.unfinished

    message = build(coded("gzip", BIG), (b"", b"x"))
    await at_every_await(scenario)


@pytest.mark.parametrize("reads", range(5))
async def test_release_of_the_reader(reads: int) -> None:
    async def scenario(run: Run) -> None:
        source = SURVIVING["asyncio"](pieces(MESSAGE))
        reader = MultipartReader(MIXED, source)
        for _ in range(min(reads, 4)):
            part = await reader.next()
        await run(reader.release)
        assert reader.at_eof()
        assert await reader.next() is None
        assert await source.read(100) == b""  # type: ignore[union-attr]
        if reads and isinstance(part, BodyPartReader):
            with pytest.raises(StateError):
                await part.read()

    await at_every_await(scenario, least=3)


async def test_a_cancelled_release_and_next() -> None:
    """It has dropped some parts, and may not make up any."""

    async def scenario(run: Run) -> None:
        reader = MultipartReader(MIXED, SURVIVING["asyncio"](pieces(message)))
        try:
            await run.once(reader.release)
        except asyncio.CancelledError:
            bodies = await gather(Run(), reader, WAYS["read"])
            assert bodies == wanted[len(wanted) - len(bodies) :]
        assert reader.at_eof()

    wanted = [b"%d" % i * 5 for i in range(9)]
    message = build(*[(b"", body) for body in wanted])
    await at_every_await(scenario, least=5)


async def test_the_charset_field() -> None:
    head = b'Content-Disposition: form-data; name="%b"'
    message = build((head % b"_charset_", b"koi8-r"), (head % b"a", "п".encode("koi8-r")))

    async def scenario(run: Run) -> None:
        reader = MultipartReader(FORM, SURVIVING["asyncio"](pieces(message, 6)))
        part = await run(reader.next)
        assert isinstance(part, BodyPartReader)
        assert part.name == "a"
        assert await run(part.text) == "п"
        assert await run(reader.next) is None

    await at_every_await(scenario, least=20)


async def test_an_override_of_fetch_next_part_that_waits() -> None:
    class Reader(MultipartReader):
        async def fetch_next_part(self) -> MultipartReader | BodyPartReader:
            await asyncio.sleep(0)
            part = await super().fetch_next_part()
            await asyncio.sleep(0)
            return part

    async def scenario(run: Run) -> None:
        reader = Reader(MIXED, SURVIVING["asyncio"](pieces(MESSAGE)))
        assert await gather(run, reader, WAYS["read"]) == BODIES

    await at_every_await(scenario, least=20)


# A part that stands alone


@pytest.mark.parametrize("kind", ["asyncio", "aiohttp", "iterator"])
@pytest.mark.parametrize("name", WAYS)
async def test_a_part_alone(name: str, kind: str) -> None:
    async def scenario(run: Run) -> None:
        part = BodyPartReader(b"--b", {}, SURVIVING[kind](pieces(BODY + TEXT + b"\r\n--b--", 20)))
        found: list[bytes] = []
        await run(lambda: WAYS[name](part, found))
        assert b"".join(found) == BODY + TEXT
        assert part.at_eof()

    await at_every_await(scenario, least=8)


async def test_next_after_a_cancelled_release_does_not_wait_for_the_epilogue() -> None:
    source = ScriptedSource(build((b"", b"x"), (b"", b"y"), end=b"\r\n"), PAUSE, b"epilogue")
    reader = MultipartReader(MIXED, source)
    task = asyncio.create_task(reader.release())
    await source.paused()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await reader.next() is None
    assert reader.at_eof()


# Sources that do not survive it


async def all_raise_state_error(
    reader: MultipartReader, part: BodyPartReader | None, *, in_release: bool = False
) -> None:
    for way in [*ALL_WAYS.values()] * 2 if part is not None else []:
        with pytest.raises(StateError, match="generator"):
            await way(part, [])  # type: ignore[arg-type]
    for call in (reader.release,) if in_release else (reader.next, reader.release) * 2:
        with pytest.raises(StateError, match="generator"):
            await call()
    assert not reader.at_eof()
    if in_release:
        # Perhaps the close-delimiter had come; then that was the end.
        with contextlib.suppress(StateError):
            assert await reader.next() is None


@pytest.mark.parametrize("kind", DYING)
@pytest.mark.parametrize("name", ALL_WAYS)
async def test_a_dead_generator(name: str, kind: str) -> None:
    async def scenario(run: Run) -> None:
        reader = MultipartReader(MIXED, DYING[kind](pieces(message, 7)))
        part: BodyPartReader | None = None
        in_release = False
        async with reader:
            try:
                part = await run.once(lambda: next_part(reader))
                await run.once(lambda: ALL_WAYS[name](part, []))
                part, in_release = None, True
                await run.once(reader.release)
            except asyncio.CancelledError:
                await all_raise_state_error(reader, part, in_release=in_release)
        assert reader.at_eof()

    message = build((b"", b"null  " if name == "json" else BODY), end=b"\r\nepilogue")
    await at_every_await(scenario, least=len(pieces(message, 7)))


@pytest.mark.parametrize("kind", DYING)
async def test_a_dead_generator_of_a_part_alone(kind: str) -> None:
    for way in ALL_WAYS.values():

        async def scenario(run: Run, way: Way = way) -> None:
            source: Any = DYING[kind](pieces(b'"text"\r\n--b--', 2))
            part = BodyPartReader(b"--b", {}, source)
            try:
                await run.once(lambda: way(part, []))
            except asyncio.CancelledError:
                for again in [*ALL_WAYS.values()] * 2:
                    with pytest.raises(StateError):
                        await again(part, [])
            await source.aclose()

        await at_every_await(scenario, least=5)


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("name", ALL_WAYS)
async def test_a_dead_generator_that_is_not_seen_is_no_end(name: str, policy: Policy) -> None:
    """Inside an iterator of somebody's own: it seems that the input has ended, and it is cut short. That LENIENT, which
    would forgive it, does not do so here.
    """
    error = StateError if policy is Policy.LENIENT else IncompleteBody

    async def scenario(run: Run) -> None:
        source = Wrapper(pieces(message, 7))
        reader = MultipartReader(MIXED, source, policy=policy)
        part: BodyPartReader | None = None
        try:
            part = await run.once(lambda: next_part(reader))
            await run.once(lambda: ALL_WAYS[name](part, []))
            assert await run.once(reader.next) is None
        except asyncio.CancelledError:
            for again in [*ALL_WAYS.values()] if part is not None else []:
                with pytest.raises(error):
                    await again(part, [])
            for call in (reader.next, reader.release) * 2:
                with pytest.raises(error):
                    await call()
            assert not reader.at_eof()
        await source.generator.aclose()

    # The last chunk is not asked for: then all would be there.
    message = build((b"", b"null  " if name == "json" else BODY), end=b"\r\nepilogue")
    await at_every_await(scenario, least=4)


# Nested messages


@pytest.mark.parametrize("kind", ["aiohttp", "script"])
@pytest.mark.parametrize("name", WAYS)
async def test_cancelled_inside_and_gone_on_with_outside(name: str, kind: str) -> None:
    """The inner one is read no further; the outer one finds the part after it."""

    async def scenario(run: Run) -> None:
        reader = MultipartReader(MIXED, SURVIVING[kind](pieces(message, 11)))
        nested = await next_nested(reader)
        part: Any = None
        try:
            while (part := await run.once(nested.next)) is not None:
                await run.once(lambda: WAYS[name](part, []))
        except asyncio.CancelledError:
            assert not nested.at_eof()
        assert await (await next_part(reader)).read() == b"after"
        if not nested.at_eof():
            with pytest.raises(StateError, match="moved on"):
                await nested.next()
        if part is not None:
            assert part.at_eof()
            with pytest.raises(StateError, match="moved on"):
                await part.read()
        assert await reader.next() is None

    message = build((NESTED, INNER), (b"", b"after"))
    await at_every_await(scenario, least=6)


@pytest.mark.parametrize("level", range(3))
async def test_release_inside(level: int) -> None:
    inner = build((b"", b"x" * 30), (b"", b"y"), boundary=b"b3", end=b"\r\nepilogue")
    middle = build((NESTED + b"3", inner), (b"", b"2"), boundary=b"b2", end=b"\r\nepilogue")
    message = build((NESTED + b"2", middle), (b"", b"1")).replace(b"=bb", b"=b")

    async def scenario(run: Run) -> None:
        reader = MultipartReader(MIXED, SURVIVING["aiohttp"](pieces(message, 13)))
        readers = [reader, await next_nested(reader)]
        readers.append(await next_nested(readers[1]))
        await next_part(readers[2])
        await run(readers[level].release)
        assert readers[level].at_eof()
        assert await run(readers[level].next) is None
        if level:
            assert await (await next_part(readers[level - 1])).read() == b"%d" % level

    await at_every_await(scenario, least=3)


# Closing


class Closable:
    """A generator that has something to close, which takes a while."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.opened = self.closed = False
        self.generator = self._generate(chunks)

    async def _generate(self, chunks: list[bytes]) -> Any:
        self.opened = True
        try:
            for chunk in chunks:
                await asyncio.sleep(0)
                yield chunk
        finally:
            self.closed = True
            await asyncio.sleep(0)


@pytest.mark.parametrize("parts", range(4))
async def test_async_with_closes_what_is_read_from(parts: int) -> None:
    async def scenario(run: Run) -> None:
        source = Closable(pieces(MESSAGE))

        async def use() -> None:
            async with MultipartReader(MIXED, source.generator) as reader:
                for _ in range(parts):
                    await reader.next()

        try:
            await run.once(use)
        except asyncio.CancelledError:
            pass
        assert source.closed is source.opened
        assert source.generator.ag_frame is None

    await at_every_await(scenario, least=0 if parts == 0 else 2)


async def test_aclose_called_again() -> None:
    async def scenario(run: Run) -> None:
        source = Closable(pieces(MESSAGE))
        reader = MultipartReader(MIXED, source.generator)
        part = await next_part(reader)
        await run(reader.aclose)
        await run(reader.aclose)
        assert source.closed
        assert source.generator.ag_frame is None
        for call in (reader.next, part.read):
            with pytest.raises(StateError):
                await call()
        await reader.release()

    await at_every_await(scenario)


# Threads


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
@pytest.mark.parametrize("name", DECODED)
async def test_threads_that_decode(name: str, coding: str, threads: Threads) -> None:
    async def scenario(run: Run) -> None:
        before = threads.jobs
        async with MultipartReader(MIXED, message) as reader:
            part = await next_part(reader)
            found: list[bytes] = []
            await run(lambda: way(part, found))
            assert b"".join(found) == BIG
            assert await (await next_part(reader)).read() == b"x"
        # Cancelling makes no job more; each has been waited for.
        jobs.add(threads.jobs - before)
        assert not threads.unfinished

    async def large_chunks(part: BodyPartReader, found: list[bytes]) -> None:
        async with messages.closing(part.iter_chunks()) as chunks:
            async for chunk in chunks:
                found.append(chunk)  # noqa: PERF401

    jobs: set[int] = set()
    way = large_chunks if name == "iter_chunks" else WAYS[name]
    message = build(coded(coding, BIG), (b"", b"x"))
    await at_every_await(scenario, least=5)
    assert len(jobs) == 1


@pytest.mark.parametrize("then", ["release", "next", "reader release", "aclose", "async with"])
async def test_threads_are_waited_for(then: str, threads: Threads) -> None:
    async def scenario(run: Run) -> None:
        reader = MultipartReader(MIXED, message)
        async with reader:
            part = await next_part(reader)
            try:
                await run.once(lambda: part.read(decode=True))
            except asyncio.CancelledError:
                if then == "release":
                    await part.release()
                    assert not threads.unfinished
                    assert await part.read(decode=True) == b""
                elif then == "next":
                    assert await (await next_part(reader)).read() == b"x"
                elif then == "reader release":
                    await reader.release()
                elif then == "aclose":
                    await reader.aclose()
        assert not threads.unfinished

    message = build(coded("gzip", BIG), (b"", b"x"))
    await at_every_await(scenario, least=5)


async def test_closing_is_cancelled_while_a_thread_works(threads: Threads) -> None:
    async def scenario(run: Run) -> None:
        reader = MultipartReader(MIXED, build(coded("gzip", BIG)))
        part = await next_part(reader)
        threads.gate.clear()
        task = asyncio.create_task(part.read(decode=True))
        await threads.busy()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        asyncio.get_running_loop().call_soon(threads.gate.set)
        await run(reader.aclose)
        assert not threads.unfinished
        with pytest.raises(StateError):
            await part.read(decode=True)

    await at_every_await(scenario)


@pytest.mark.parametrize("how", Cancel)
async def test_decode_iter_leaves_no_thread(how: Cancel, threads: Threads) -> None:
    async def scenario(run: Run) -> None:
        part = BodyPartReader(b"--b", {"Content-Encoding": "gzip"}, b"")

        async def decode() -> None:
            async with messages.closing(part.decode_iter(data)) as chunks:
                async for chunk in chunks:
                    found.append(chunk)  # noqa: PERF401

        found: list[bytes] = []
        try:
            await run.once(decode)
        except asyncio.CancelledError:
            assert BIG.startswith(b"".join(found))
        else:
            assert b"".join(found) == BIG
        assert not threads.unfinished

    data = CODED["gzip"][1](BIG)
    await at_every_await(scenario, ways=(how,), least=5)
