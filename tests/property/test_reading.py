"""Random nested messages, read in random ways, cut and cancelled anywhere: they give what they always do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from aiomultipart import BodyPartReader, MultipartError, MultipartReader, Policy
from tests.support.awaits import Run
from tests.support.feeding import cut

T = TypeVar("T")
WORDS = [b"x", b"--", b"\r\n--b", b"\n", b"\r", b"--bX\r\n", b"line\nline\n", b"a" * 50, b"--c\r\n", b"QUJD", b"\r\n"]
HEADS = [b"", b"", b"A: 1", b"Content-Type: image", b"Content-Transfer-Encoding: base64", b"Content-Length: 3", b"bad"]


def message(rng: random.Random, boundary: bytes = b"b", depth: int = 0) -> bytes:
    pieces = [rng.choice([b"", b"", b"preamble\r\n"])]
    for _ in range(rng.randrange(4)):
        head, body = rng.choice(HEADS), b"".join(rng.choices(WORDS, k=rng.randrange(5)))
        if depth < 3 and rng.random() < 0.3:
            inner = rng.choice([boundary + b"c", b"c%d" % depth, boundary])
            head, body = b"Content-Type: multipart/mixed; boundary=" + inner, message(rng, inner, depth + 1)
        pieces += [b"--%b\r\n%b\r\n" % (boundary, head + b"\r\n" if head else b""), body, b"\r\n"]
    pieces.append(b"--%b--" % boundary if rng.random() < 0.9 else b"")
    return b"".join(pieces)


class Source:
    """Waits before each chunk; a wait that is cancelled loses nothing."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.chunks = [chunk for chunk in chunks if chunk]

    async def read(self, n: int) -> bytes:
        await asyncio.sleep(0)
        return self.chunks.pop(0) if self.chunks else b""


async def by_chunk(part: BodyPartReader) -> bytes:
    return await part.read_chunk(4)


WAYS: list[Callable[[BodyPartReader], Awaitable[bytes]]] = [BodyPartReader.read, BodyPartReader.readline, by_chunk]


async def log_of(
    reader: MultipartReader, rng: random.Random, run: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
) -> list[Any]:
    """Each part as its depth and what was read of it; readers as lists, and errors as what they say."""
    log: list[Any] = []
    try:
        while (part := await run(reader.next)) is not None:
            if isinstance(part, MultipartReader):
                log.append(await log_of(part, rng, run))
                continue
            way, body = rng.choice(WAYS), b""
            if rng.random() < 0.8:
                while data := await run(lambda part=part, way=way: way(part)):  # type: ignore[misc]
                    body += data
            log.append((part.depth, body))
    except MultipartError as exc:
        log.append((type(exc), str(exc)))
    log.append(reader.at_eof() and [(defect.kind, defect.offset) for defect in reader.defects])
    return log


@pytest.mark.parametrize("policy", Policy)
async def test_cuts_and_cancellations_change_nothing(policy: Policy) -> None:
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    for seed in range(150):
        rng = random.Random(seed)
        whole = message(rng)
        undisturbed = await log_of(MultipartReader(headers, whole, policy=policy), random.Random(seed), Run().once)
        chunks = cut(whole, rng.choices(range(len(whole) + 1), k=rng.choice([0, 3, 30])))

        async def often(operation: Callable[[], Awaitable[T]], rng: random.Random = rng) -> T:
            return await Run(rng.choice([None, 1, 2]))(operation)

        reader = MultipartReader(headers, Source(chunks), policy=policy)
        assert await log_of(reader, random.Random(seed), often) == undisturbed, (seed, chunks)
