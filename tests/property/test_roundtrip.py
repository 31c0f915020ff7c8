"""Any tree of parts, with any codings, written and read back under any chunking, is the same tree."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import aiomultipart
from aiomultipart import Limits, MultipartReader, MultipartWriter, hdrs
from tests.support.writing import OnlyWrite, Repeatable, every_way

LIMITS = Limits(max_depth=30, max_decode_ratio=None)


@dataclass(frozen=True)
class Leaf:
    """A part: its body in pieces, how it is given to the writer, and its headers."""

    chunks: list[bytes]
    kind: str
    coding: str | None
    transfer_encoding: str | None
    headers: list[tuple[str, str]]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def value(self) -> Any:
        match self.kind:
            case "bytes":
                return self.body
            case "bytearray":
                return bytearray(self.body)
            case "BytesIO":
                file = io.BytesIO(b"not this" + self.body)
                file.seek(8)
                return file
            case "async iterable":
                return Repeatable(*self.chunks)
            case _:
                return OnlyWrite(self.chunks)


@dataclass(frozen=True)
class Branch:
    """A multipart message, or one in another."""

    parts: list[Leaf | Branch]
    subtype: str = "mixed"
    coding: str | None = None
    transfer_encoding: str | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    boundary: str | None = None

    def writer(self) -> MultipartWriter:
        writer = MultipartWriter(self.subtype, boundary=self.boundary)
        for part in self.parts:
            value = part.writer() if isinstance(part, Branch) else part.value()
            payload = writer.append(value)
            # After it was appended: that is when a user does it.
            for name, text in part.headers:
                payload.headers.add(name, text)
            if part.coding is not None:
                payload.headers[hdrs.CONTENT_ENCODING] = part.coding
            if part.transfer_encoding is not None:
                payload.headers[hdrs.CONTENT_TRANSFER_ENCODING] = part.transfer_encoding
        return writer


CODINGS = st.sampled_from([None, None, "gzip", "deflate", "br", "zstd"])
TRANSFER_ENCODINGS = st.sampled_from([None, None, "base64", "quoted-printable", "binary", "8bit"])
# What looks like framing, and what is nearly that.
HOSTILE = st.lists(
    st.sampled_from(
        [b"\r\n", b"\r", b"\n", b"--", b"-", b"b", b"--b--", b"\r\n--", b"=", b" ", b"\t", b"\0", b"x" * 90]
    )
).map(b"".join)
CHUNKS = st.lists(st.binary(max_size=200) | HOSTILE, max_size=6)
VALUES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=20)
HEADERS = st.lists(st.tuples(st.sampled_from(["X-One", "x-two", "X-Three"]), VALUES), max_size=3)
LEAVES = st.builds(
    Leaf,
    chunks=CHUNKS,
    kind=st.sampled_from(["bytes", "bytearray", "BytesIO", "async iterable", "only write"]),
    coding=CODINGS,
    transfer_encoding=TRANSFER_ENCODINGS,
    headers=HEADERS,
)


def _branches(parts: st.SearchStrategy[Leaf | Branch]) -> st.SearchStrategy[Branch]:
    # A multipart body has no coding of its own (RFC 2045 section 6.4).
    return st.builds(
        Branch,
        parts=st.lists(parts, max_size=4),
        subtype=st.sampled_from(["mixed", "related", "alternative"]),
        headers=HEADERS,
    )


TREES = _branches(st.recursive(LEAVES, lambda inner: LEAVES | _branches(inner), max_leaves=8))


async def tree_of(reader: MultipartReader) -> list[Any]:
    found: list[Any] = []
    async for part in reader:
        headers = [(name, text) for name, text in part.headers.items() if name.lower().startswith("x-")]
        if isinstance(part, MultipartReader):
            found.append((headers, await tree_of(part)))
        else:
            found.append((headers, await part.read(decode=True)))
    return found


def expected_of(tree: Branch) -> list[Any]:
    return [(part.headers, expected_of(part) if isinstance(part, Branch) else part.body) for part in tree.parts]


async def chunked(message: bytes, sizes: list[int]) -> AsyncIterator[bytes]:
    start = turn = 0
    while start < len(message):
        size = sizes[turn % len(sizes)]
        yield message[start : start + size]
        start += size
        turn += 1


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(tree=TREES, sizes=st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_the_same_tree(tree: Branch, sizes: list[int]) -> None:
    async def run() -> None:
        writer = tree.writer()
        message = await every_way(writer)
        assert await every_way(writer) == message
        known = writer.size is not None
        assert known == (aiomultipart.hdrs.CONTENT_LENGTH in writer.http_headers())
        for source in (message, chunked(message, sizes), chunked(message, [1])):
            reader = MultipartReader(writer.headers, source, limits=LIMITS)
            assert await tree_of(reader) == expected_of(tree)
            assert not reader.defects

    asyncio.run(run())


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(tree=TREES, data=st.data())
def test_a_chosen_boundary_is_either_safe_or_refused(tree: Branch, data: st.DataObject) -> None:
    """With "b" in the bodies, it is met by chance: then nothing may be corrupted."""
    boundary = data.draw(st.sampled_from(["b", "x", "b--b", "-"]))

    async def run() -> None:
        writer = Branch(tree.parts, tree.subtype, boundary=boundary).writer()
        try:
            message = await every_way(writer)
        except ValueError as exc:
            if "contains the delimiter" not in str(exc):
                raise
            return
        reader = MultipartReader(writer.headers, message, limits=LIMITS)
        assert await tree_of(reader) == expected_of(tree)

    asyncio.run(run())
