"""Input that is bad or cut short: the same error from every method, as often as it is asked for, freshly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiomultipart import (
    BodyPartReader,
    CodecError,
    IncompleteBody,
    LimitExceeded,
    Limits,
    MultipartError,
    MultipartReader,
    ParseError,
    Policy,
    StateError,
)
from aiomultipart.testing import ScriptedSource
from tests.support.messages import ALL_WAYS, BODY, DECODED, GZIP, NESTED, TEXT, WAYS, coded
from tests.support.origins import DYING, SURVIVING, pieces
from tests.support.reading import FORM, MIXED, build, next_nested, next_part

# Over both implementations of the parser
pytestmark = pytest.mark.usefixtures("implementation")

EVERYWHERE = SURVIVING | DYING
FIELD = b'Content-Disposition: form-data; name="a"'


async def errors_of(operation: Callable[[], Awaitable[object]], times: int = 3) -> list[MultipartError]:
    found = []
    for _ in range(times):
        with pytest.raises(MultipartError) as caught:
            await operation()
        found.append(caught.value)
    return found


def same_but_fresh(errors: list[MultipartError]) -> None:
    assert len({id(error) for error in errors}) == len(errors)
    assert len({type(error) for error in errors}) == 1
    fields = [{**vars(error), "str": str(error), "args": error.args} for error in errors]
    assert all(field == fields[0] for field in fields)
    depths = [len(frames(error)) for error in errors]
    assert max(depths) < 25  # no traceback that grows
    assert all(error.__context__ is None or error.__context__ not in errors for error in errors)


def frames(error: BaseException) -> list[Any]:
    found = []
    traceback = error.__traceback__
    while traceback is not None:
        found.append(traceback)
        traceback = traceback.tb_next
    return found


BAD: dict[str, tuple[bytes, type[MultipartError], Limits | None]] = {
    "header": (b"--b\r\n\r\n%b\r\n--b\r\nno colon\r\n\r\nx\r\n--b--", ParseError, None),
    "header name": (b"--b\r\n\r\n%b\r\n--b\r\nA : x\r\n\r\nx\r\n--b--", ParseError, None),
    "length": (b"--b\r\nContent-Length: 3\r\n\r\n%b\r\n--b\r\n\r\nx\r\n--b--", ParseError, None),
    "part": (b"--b\r\n\r\n%b\r\n--b\r\n\r\nx\r\n--b--", LimitExceeded, Limits(max_parts=1)),
    "size": (b"--b\r\n\r\n%b\r\n--b\r\n\r\nx\r\n--b--", LimitExceeded, Limits(max_part_size=9)),
    "headers": (b"--b\r\n\r\n%b\r\n--b\r\nA: 1\r\nB: 2\r\n\r\nx\r\n--b--", LimitExceeded, Limits(max_headers=1)),
    "total": (b"--b\r\n\r\n%b\r\n--b\r\n\r\nx\r\n--b--", LimitExceeded, Limits(max_total_size=20)),
    "cut short": (b"--b\r\n\r\n%b\r\n--b\r\n\r\nx\r\n--b", IncompleteBody, None),
}


@pytest.mark.parametrize("kind", EVERYWHERE)
@pytest.mark.parametrize("bad", BAD)
async def test_the_same_error_freshly(bad: str, kind: str) -> None:
    message, error, limits = BAD[bad]
    async with MultipartReader(MIXED, EVERYWHERE[kind](pieces(message % BODY, 9)), limits=limits) as reader:

        async def read_all() -> None:
            while (part := await reader.next()) is not None:
                assert isinstance(part, BodyPartReader)
                while await part.read_chunk(3):
                    pass

        errors = await errors_of(read_all)
        errors += await errors_of(reader.next)
        errors += await errors_of(lambda: anext(reader))
        errors += await errors_of(reader.release)
        assert type(errors[0]) is error
        same_but_fresh(errors)
        assert not reader.at_eof()


@pytest.mark.parametrize("kind", EVERYWHERE)
@pytest.mark.parametrize("name", ALL_WAYS)
async def test_the_same_error_freshly_from_a_part(name: str, kind: str) -> None:
    message = b"--b\r\nContent-Length: 99\r\n\r\n%b\r\n--b\r\n\r\nx\r\n--b--" % BODY
    for other in ALL_WAYS.values():
        async with MultipartReader(MIXED, EVERYWHERE[kind](pieces(message, 9))) as reader:
            part = await next_part(reader)
            errors = await errors_of(lambda part=part: ALL_WAYS[name](part, []))  # type: ignore[misc]
            errors += await errors_of(lambda part=part, other=other: other(part, []))  # type: ignore[misc]
            errors += await errors_of(reader.next)
            errors += await errors_of(reader.release)
            assert type(errors[0]) is ParseError
            same_but_fresh(errors)
            assert not reader.at_eof()


@pytest.mark.parametrize("name", DECODED)
async def test_a_codec_error_belongs_to_the_part(name: str) -> None:
    """It comes again; the reader goes on."""
    head, body = coded("gzip", TEXT)
    for bad in (body[:-1], body[:-8] + bytes(4) + body[-4:], b"no gzip"):
        reader = MultipartReader(MIXED, SURVIVING["asyncio"](pieces(build((head, bad), (b"", b"x")), 9)))
        part = await next_part(reader)
        errors = await errors_of(lambda part=part: WAYS[name](part, []))  # type: ignore[misc]
        assert {(type(error), str(error)) for error in errors} == {(CodecError, str(errors[0]))}
        assert await (await next_part(reader)).read() == b"x"


# Cut short, at every offset


@pytest.mark.parametrize(
    ("policy", "headers"),
    [(Policy.STRICT, MIXED), (Policy.STANDARD, MIXED), (Policy.STRICT, FORM), (Policy.STANDARD, FORM)],
    ids=["strict, mixed", "standard, mixed", "strict, form-data", "standard, form-data"],
)
@pytest.mark.parametrize("name", ALL_WAYS)
async def test_truncation(name: str, headers: dict[str, str], policy: Policy) -> None:
    head = FIELD if headers is FORM else b"A: 1"
    body = b"null\r\n--bb\r\n  " if name != "json" else b"null\r\n  "
    message = build((head, body), (head, b""), (head if headers is FORM else b"Content-Length: 4", b"null"))

    async def read_all(reader: MultipartReader) -> list[bytes]:
        bodies = []
        while (part := await reader.next()) is not None:
            assert isinstance(part, BodyPartReader)
            found: list[bytes] = []
            await ALL_WAYS[name](part, found)
            bodies.append(b"".join(found))
        return bodies

    whole = await read_all(MultipartReader(headers, message, policy=policy))
    assert len(whole) == 3
    for cut in range(len(message)):
        kinds = SURVIVING if cut % 31 == 0 else {"bytes": b"".join}
        for make in kinds.values():
            reader = MultipartReader(headers, make(pieces(message[:cut], 1 + cut % 7)), policy=policy)
            errors: list[MultipartError] = []
            for _ in range(2):
                with pytest.raises(IncompleteBody) as caught:
                    await read_all(reader)
                errors.append(caught.value)
            errors += await errors_of(reader.release)
            same_but_fresh(errors)
            assert not reader.at_eof()


@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.STANDARD])
@pytest.mark.parametrize("name", ALL_WAYS)
async def test_truncation_of_a_nested_message(name: str, policy: Policy) -> None:
    """The nested reader says so; the outer one goes on."""
    inner = build((b"A: 1", b"null\r\n"), (b"Content-Length: 4", b"null"), boundary=b"bb")

    async def read_all(reader: MultipartReader) -> None:
        while (part := await reader.next()) is not None:
            assert isinstance(part, BodyPartReader)
            await ALL_WAYS[name](part, [])

    for cut in range(len(inner)):
        message = build((NESTED, inner[:cut]), (b"", b"after"))
        source = SURVIVING["aiohttp"](pieces(message, 1 + cut % 7)) if cut % 5 == 0 else message
        reader = MultipartReader(MIXED, source, policy=policy)
        nested = await next_nested(reader)
        errors: list[MultipartError] = []
        for _ in range(2):
            with pytest.raises(IncompleteBody) as caught:
                await read_all(nested)
            errors.append(caught.value)
        errors += await errors_of(nested.next)
        errors += await errors_of(nested.release)
        same_but_fresh(errors)
        assert not nested.at_eof()
        assert await (await next_part(reader)).read() == b"after"
        with pytest.raises(StateError, match="moved on"):
            await nested.next()
        assert await reader.next() is None


@pytest.mark.parametrize("kind", EVERYWHERE)
async def test_truncation_of_the_outer_message_inside_the_nested_one(kind: str) -> None:
    message = build((NESTED, build((b"", BODY), boundary=b"bb")), (b"", b"after"))
    for cut in range(message.index(b"\r\n\r\n") + 4, message.index(b"after"), 5):
        async with MultipartReader(MIXED, EVERYWHERE[kind](pieces(message[:cut], 11))) as reader:
            nested = await next_nested(reader)

            async def read_all(nested: MultipartReader = nested, reader: MultipartReader = reader) -> None:
                async for part in nested:
                    assert isinstance(part, BodyPartReader)
                    await part.read()
                await reader.next()

            for operation in (read_all, reader.next, reader.release):
                for error in await errors_of(operation, 2):
                    assert type(error) is IncompleteBody
            assert not reader.at_eof()


@pytest.mark.parametrize("name", DECODED)
async def test_truncation_while_decoding(name: str) -> None:
    message = build(coded("gzip", TEXT))
    for cut in range(message.index(b"\r\n\r\n") + 4, len(message)):
        part = await next_part(MultipartReader(MIXED, SURVIVING["script"](pieces(message[:cut], 30))))
        for error in await errors_of(lambda part=part: WAYS[name](part, []), 2):  # type: ignore[misc]
            assert type(error) is IncompleteBody


@pytest.mark.parametrize("name", ALL_WAYS)
async def test_truncation_of_a_part_alone(name: str) -> None:
    whole = b"null\r\n--b"
    for cut in range(len(whole) - 1):
        part = BodyPartReader(b"--b", {}, SURVIVING["asyncio"](pieces(whole[:cut], 2)))
        errors = await errors_of(lambda part=part: ALL_WAYS[name](part, []))  # type: ignore[misc]
        assert type(errors[0]) is IncompleteBody
        same_but_fresh(errors)
        assert not part.at_eof()


# What the source raises


class SourceError(Exception):
    pass


@pytest.mark.parametrize("name", ALL_WAYS)
async def test_what_the_source_raises_comes_unchanged(name: str) -> None:
    """Over a source that can go on nothing is lost; over a generator, which cannot, a StateError follows."""

    class Failing:
        def __init__(self, chunks: list[bytes], at: int) -> None:
            self.chunks, self.at = chunks, at

        async def read(self, n: int) -> bytes:
            self.at -= 1
            if self.at == -1:
                raise error
            return self.chunks.pop(0) if self.chunks else b""

    async def generate(at: int) -> Any:
        source = Failing(pieces(message, 5), at)
        while chunk := await source.read(1):
            yield chunk

    error = SourceError("disk on fire")
    head, body = (GZIP, coded("gzip", BODY)[1]) if name in DECODED else (b"A: 1", b"null")
    expected = BODY if name in DECODED else b"null"
    message = build((head, body), (b"", b"x" * 20))
    for at in range(len(pieces(message, 5)) - 1):
        reader = MultipartReader(MIXED, Failing(pieces(message, 5), at))
        raised = 0

        async def insist(operation: Callable[[], Awaitable[Any]]) -> Any:
            nonlocal raised
            try:
                return await operation()
            except SourceError as exc:
                if exc is not error:
                    raise
            raised += 1
            return await operation()

        part = await insist(lambda reader=reader: next_part(reader))
        found: list[bytes] = []
        await insist(lambda part=part, found=found: ALL_WAYS[name](part, found))
        if name not in {"release", "form"}:
            assert b"".join(found) == expected
        part = await insist(lambda reader=reader: next_part(reader))
        assert await insist(part.read) == b"x" * 20
        assert await insist(reader.next) is None
        await insist(reader.release)
        assert raised == 1

        reader = MultipartReader(MIXED, generate(at))
        with pytest.raises(SourceError) as caught:
            await reader.release()
        assert caught.value is error
        for _ in range(2):
            with pytest.raises(StateError, match="generator"):
                await reader.next()


async def test_a_timeout_raised_by_the_source_loses_nothing() -> None:
    source = ScriptedSource(b"--b\r\n\r\none", TimeoutError("slow"), b"two", TimeoutError("slow"), b"\r\n--b--")
    reader = MultipartReader(MIXED, source)
    part = await next_part(reader)
    for _ in range(2):
        with pytest.raises(TimeoutError, match="slow"):
            await part.read()
    assert await part.read() == b"onetwo"
    assert await reader.next() is None


async def test_a_source_that_gives_something_else() -> None:
    class Text:
        async def read(self, n: int) -> Any:
            return "text"

    with pytest.raises(TypeError):
        await MultipartReader(MIXED, Text()).next()
