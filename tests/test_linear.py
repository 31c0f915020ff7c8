"""Linear time and bounded memory on bad input, shown by counting; nothing here is timed.

Time: the parser gets bytes that count each search through them, and at most two looks at a byte are allowed for each
level of nesting. The regexes of the header grammar are swapped for ones that count what they scan, and none may be able
to backtrack. Codecs count what they hand to their libraries. Memory: all that a parser, a reader or a codec leads to is
added up after each feed.
"""

from __future__ import annotations

import base64
import contextlib
import enum
import functools
import gzip
import importlib
import io
import itertools
import re
import sys
import types
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from re import _constants, _parser  # what sre_parse was
from typing import Any

import brotli
import pytest

from aiomultipart import BodyPartReader, MultipartReader
from aiomultipart.codecs import Codec, base, decoder
from aiomultipart.exceptions import CodecError, LimitExceeded, MultipartError
from aiomultipart.limits import Limits
from aiomultipart.parser import PART_END, PartBegin, framing
from aiomultipart.parser.push import PushMultipartParser
from aiomultipart.policy import Policy

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KIB = 1024
MIB = 1024 * KIB

# Chunk size, and how much is fed at that size
FEEDS = {1: 150, 7: 700, 1434: 4_000, 65536: 8_000}

BOUNDARY = "b" * 60
DELIMITER = b"\r\n--" + BOUNDARY.encode()
FIELD = b'Content-Disposition: form-data; name="a"'
OPEN = DELIMITER[2:] + b"\r\n"

# Where the bad input stands
PLACES = {
    "at the start": b"",
    "in a preamble": b"preamble\r\n",
    "in headers": OPEN,
    "in more headers": OPEN + FIELD + b"\r\n",
    "in a body": OPEN + FIELD + b"\r\n\r\n",
    "in a counted body": OPEN + FIELD + b"\r\nContent-Length: 1000000\r\n\r\n",
    "after a counted body": OPEN + FIELD + b"\r\nContent-Length: 0\r\n\r\n",
    "in an epilogue": DELIMITER[2:] + b"--\r\n",
    "in a body with LF": OPEN.replace(b"\r\n", b"\n") + FIELD + b"\n\n",
}

# What is fed again and again
PATTERNS = {
    "only CR": b"\r",
    "only LF": b"\n",
    "only CRLF": b"\r\n",
    "only dashes": b"-",
    "CRLF and dashes": b"\r\n--",
    "nearly the boundary": DELIMITER[:-1],
    "nearly the boundary, with LF": DELIMITER[1:-1],
    "nearly the boundary, without a line end": DELIMITER[2:-1],
    "a boundary that breaks off": DELIMITER[: len(DELIMITER) // 2],
    "a longer boundary": DELIMITER + b"b",
    "a delimiter, then junk": DELIMITER + b" \t \tx",
    "a close-delimiter, then junk": DELIMITER + b"--x",
    "a delimiter and half of its line end": DELIMITER + b"\r",
    "zeros": b"\0",
    "delimiters": DELIMITER + b"\r\n",
    "delimiters, with LF": DELIMITER[1:] + b"\n",
    "delimiters without a line end": DELIMITER[2:],
    "padded delimiters": DELIMITER + b" \r\n",
    "one endless padding": b" ",
    "empty parts": DELIMITER + b"\r\n\r\n",
    "empty parts with a name": DELIMITER + b"\r\n" + FIELD + b"\r\n\r\n",
    "empty parts, with LF": DELIMITER[1:] + b"\n\n",
    "small parts": DELIMITER + b"\r\n" + FIELD + b"\r\n\r\nxx",
    "small parts with padding": DELIMITER + b" \r\n" + FIELD + b"\r\n\r\nxx",
    "small parts, with LF": DELIMITER[1:] + b"\n" + FIELD + b"\n\nxx",
    "small parts that end without CRLF": b"xx" + DELIMITER[2:] + b"\r\n" + FIELD + b"\r\n\r\n",
    "counted parts": DELIMITER + b"\r\n" + FIELD + b"\r\nContent-Length: 2\r\n\r\nxx",
    "parts that count too little": DELIMITER + b"\r\nContent-Length: 1\r\n\r\nxxxx",
    "parts that count too much": DELIMITER + b"\r\nContent-Length: 9\r\n\r\nxx",
    "headers on delimiter lines": DELIMITER + b"Content-Type: image/jpeg\r\n\r\nxx",
    "header lines": b"A: 1\r\n",
    "header lines, with LF": b"A: 1\n",
    "one endless header line": b"A: 1",
    "folds": b" 1\r\n",
    "blank lines": b"\r\n\r\n",
    "parameters": b"; a=1",
    "escapes": b'\\"',
    "parts with long headers": DELIMITER + b"\r\n" + FIELD + b"\r\nA: " + b"1" * 2000 + b"\r\n\r\nxx",
    "parts with many headers": DELIMITER + b"\r\n" + FIELD + b"\r\n" + b"A: 1\r\n" * 30 + b"\r\nxx",
    "parts within parts": DELIMITER + b"\r\nContent-Type: multipart/mixed; boundary=%b\r\n\r\n" % BOUNDARY.encode(),
}

# x-mixed-replace is read like mixed, but by LENIENT: IMAGES are for that.
KINDS = [(policy, subtype) for subtype in ("mixed", "form-data") for policy in Policy]
WIDE = Limits(
    max_preamble=None,
    max_epilogue=None,
    max_headers=None,
    max_header_line=None,
    max_header_bytes=None,
    max_parameters=None,
)

# Streams of images that LENIENT reads, by boundary
IMAGES = {
    "runs of dashes": ("b" * 60, b"-----"),
    "runs of dashes, boundary of dashes": ("-" * 59 + "b", b"-"),
    "runs of dashes, short boundary of dashes": ("--b", b"-"),
    "shifted dashes": ("-" * 30 + "b" * 30, b"-" * 31 + b"b" * 30),
    "nearly the boundary": ("b" * 60, b"--" + b"b" * 59),
    "nearly the boundary, after LF": ("b" * 60, b"\n--" + b"b" * 59),
    "nearly the boundary, after CRLF": ("b" * 60, b"\r\n--" + b"b" * 59),
    "held tails": ("b" * 60, b"\r\n--b\r\n--bb\r\n--bbb"),
    "a boundary of line ends": ("b--b" * 15, b"\r\n--b--b\r\n--b--b--b"),
    "a periodic boundary": ("-b-" * 20, b"---b--b--b-"),
    "only CR and LF": ("b" * 60, b"\r\r\n\n"),
    "frames without a line end": ("frame", b"--frame\r\nContent-Type: image/jpeg\r\n\r\nxx"),
    "frames with a header on the line": ("frame", b"--frameContent-Type: image/jpeg\r\n\r\nxx\r\n"),
    "headers on the line that break off": ("frame", b"--frameContent"),
    "frames that count too little": ("frame", b"--frame\r\nContent-Length: 2\r\n\r\nxx\r\n--fram"),
    "frames that count too much": ("frame", b"--frame\r\nContent-Length: 50\r\n\r\nxx\r\n"),
}


def chunks_of(message: bytes, size: int) -> Iterator[bytes]:
    return (message[start : start + size] for start in range(0, len(message), size))


def bad_input(head: bytes, pattern: bytes, size: int) -> bytes:
    return head + pattern * -(-FEEDS[size] // len(pattern))


# Time: what the parser looks at


class Counter:
    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.searched = 0
        self.compared = 0

    @property
    def seen(self) -> int:
        return self.searched + self.compared


COUNTER = Counter()
UNSENT = 2
"""Each parser begins with a CRLF that nobody sent."""


class Counting(bytes):
    """Bytes that count what is looked at, as their slices do; the parser takes them as they are, because ``bytes()``
    does.

    Not counted are comparisons of a slice with a delimiter that an earlier chunk began: at most as long as the chunk.
    """

    def __bytes__(self) -> Counting:
        return self

    def find(self, sub: Any, start: Any = 0, end: Any = None, /) -> int:
        start, end, _ = slice(start, end).indices(len(self))
        found = super().find(sub, start, end)
        if len(sub) <= end - start:  # in less there is nothing to look for
            COUNTER.searched += (found + len(sub) if found >= 0 else end) - start
        return found

    def rfind(self, sub: Any, start: Any = 0, end: Any = None, /) -> int:
        start, end, _ = slice(start, end).indices(len(self))
        found = super().rfind(sub, start, end)
        COUNTER.searched += max(0, end - (found if found >= 0 else start))
        return found

    def startswith(self, prefix: Any, start: Any = 0, end: Any = None, /) -> bool:
        COUNTER.compared += max(0, min(len(prefix), len(self) - start))
        return super().startswith(prefix, start, end)

    def endswith(self, suffix: Any, start: Any = 0, end: Any = None, /) -> bool:
        COUNTER.compared += min(len(suffix), len(self))
        return super().endswith(suffix, start, end)

    def split(self, sep: Any = None, maxsplit: Any = -1) -> Any:
        COUNTER.searched += len(self)
        return [Counting(piece) for piece in super().split(sep, maxsplit)]

    def partition(self, sep: Any, /) -> Any:
        head, found, tail = super().partition(sep)
        COUNTER.searched += len(head) + len(found)
        return Counting(head), Counting(found), Counting(tail)

    def __contains__(self, item: Any, /) -> bool:
        return self.find(item) >= 0

    def __getitem__(self, key: Any, /) -> Any:
        if isinstance(key, int):
            COUNTER.compared += 1
            return super().__getitem__(key)
        return Counting(super().__getitem__(key))

    def __add__(self, other: Any, /) -> Any:
        return Counting(super().__add__(other))

    def __radd__(self, other: Any, /) -> Any:
        if isinstance(other, bytearray):
            return NotImplemented  # it appends
        return Counting(other + bytes.__getitem__(self, slice(None)))


@pytest.fixture(autouse=True)
def _count(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates, may_begin = framing._CANDIDATE, framing.ImageFraming._may_begin

    def counting_candidates(data: bytes, start: int, stop: int) -> Iterator[re.Match[bytes]]:
        for match in candidates(data, start, stop):
            COUNTER.searched += match.end() - start
            start = match.end()
            yield match
        COUNTER.searched += stop - start

    def counting_may_begin(self: framing.ImageFraming, data: bytes, start: int, stop: int) -> bool:
        COUNTER.compared += min(len(self.delimiter), stop - start)
        return may_begin(self, data, start, stop)

    monkeypatch.setattr(framing, "_CANDIDATE", counting_candidates)
    monkeypatch.setattr(framing.ImageFraming, "_may_begin", counting_may_begin)
    COUNTER.reset()


def count(parser: PushMultipartParser, chunks: Iterable[bytes]) -> int:
    """Feed until the end or an error; how much was fed."""
    COUNTER.reset()
    fed = 0
    with contextlib.suppress(MultipartError):
        for chunk in chunks:
            fed += len(chunk)
            for _ in parser.feed(Counting(chunk)):
                pass
        for _ in parser.close():
            pass
    return fed


@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_byte_is_looked_at_more_than_twice(pattern: str) -> None:
    for place, size in itertools.product(PLACES, FEEDS):
        message = bad_input(PLACES[place], PATTERNS[pattern], size)
        for policy, subtype in KINDS:
            parser = PushMultipartParser(BOUNDARY, subtype=subtype, limits=WIDE, policy=policy)
            fed = count(parser, chunks_of(message, size))
            assert COUNTER.seen <= 2 * (fed + UNSENT), (place, size, policy, subtype, COUNTER.seen / fed)


@pytest.mark.parametrize("stream", [*IMAGES, *PATTERNS])
def test_image_streams_are_searched_twice_at_most(stream: str) -> None:
    """What is held back of one chunk is compared with the delimiter again in the next, at most five times."""
    boundary, pattern = IMAGES[stream] if stream in IMAGES else (BOUNDARY, PATTERNS[stream])
    dash_boundary = b"--" + boundary.encode()
    for head in (
        b"",
        dash_boundary + b"\r\nContent-Type: image/jpeg\r\n\r\n",
        dash_boundary + b"\nContent-Type: image/jpeg\n\n",
        dash_boundary + b"\r\nContent-Length: 100\r\n\r\n",
    ):
        for size in (*FEEDS, len(dash_boundary)):
            message = head + pattern * (FEEDS.get(size, 2_000) // len(pattern) + 1)
            parser = PushMultipartParser(boundary, subtype="x-mixed-replace", limits=WIDE, policy=Policy.LENIENT)
            fed = count(parser, chunks_of(message, size))
            assert COUNTER.searched <= 2 * fed, (size, head, COUNTER.searched / fed)
            assert COUNTER.compared <= 5 * (2 + len(dash_boundary)) * fed, (size, head, COUNTER.compared / fed)


def nest(pattern: bytes, depth: int) -> tuple[bytes, str]:
    """``pattern`` in the body of a part in that many multiparts, outermost first and none ended; the outer boundary."""
    boundaries = [f"x{level}" for level in range(depth - 1)] + [BOUNDARY]
    lines = [
        f"--{outer}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n"
        for outer, inner in itertools.pairwise(boundaries)
    ]
    return "".join(lines).encode() + OPEN + FIELD + b"\r\n\r\n" + pattern, boundaries[0]


class Nested:
    """A parser for each level, by hand."""

    def __init__(self, boundary: str, limits: Limits) -> None:
        self.parsers = [PushMultipartParser(boundary, limits=limits)]

    def feed(self, data: bytes, level: int = 0) -> None:
        parsers = self.parsers
        for event in parsers[level].feed(data):
            if isinstance(event, PartBegin) and event.boundary is not None:
                with contextlib.suppress(LimitExceeded):  # max_depth: then it is a part like any other
                    parsers[level + 1 :] = [parsers[level].nested(event)]
            elif isinstance(event, bytes) and level + 1 < len(parsers):
                with contextlib.suppress(MultipartError):
                    self.feed(event, level + 1)
            elif event is PART_END:
                del parsers[level + 1 :]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_levels_by_hand(pattern: str) -> None:
    for depth in (1, 2, 3, 4):
        for size, length in FEEDS.items():
            message, boundary = nest(PATTERNS[pattern] * (length // len(PATTERNS[pattern])), depth)
            levels = Nested(boundary, WIDE.replace(max_depth=depth))
            COUNTER.reset()
            with contextlib.suppress(MultipartError):
                for chunk in chunks_of(message, size):
                    levels.feed(Counting(chunk))
            assert COUNTER.seen <= 2 * (len(message) + UNSENT) * depth, (depth, size)


class Feeding:
    """A source of counting chunks, which counts what was asked for."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.given = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._run()

    async def _run(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            self.given += len(chunk)
            yield Counting(chunk)


async def walk(reader: MultipartReader, after: Callable[[], object] = lambda: None) -> None:
    """Read all of a message, in order; nested messages too."""
    async for part in reader:
        after()
        if isinstance(part, MultipartReader):
            with contextlib.suppress(MultipartError):
                await walk(part, after)
        else:
            async for _ in part:
                after()


@pytest.mark.parametrize("pattern", PATTERNS)
async def test_levels_by_the_reader(pattern: str) -> None:
    for depth in (1, 2, 3, 4):
        for size, length in FEEDS.items():
            message, boundary = nest(PATTERNS[pattern] * (length // len(PATTERNS[pattern])), depth)
            source = Feeding(chunks_of(message, size))
            headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
            COUNTER.reset()
            with contextlib.suppress(MultipartError):
                await walk(MultipartReader(headers, source, limits=WIDE.replace(max_depth=depth)))
            assert COUNTER.seen <= 2 * (source.given + UNSENT) * depth, (depth, size)


def test_deep_nesting() -> None:
    deep = b"".join(b"--x%d\r\nContent-Type: multipart/mixed; boundary=x%d\r\n\r\n" % (n, n + 1) for n in range(100))
    for size, length in ((1, 1_000), (7, len(deep)), (65536, len(deep))):
        levels = Nested("x0", Limits(max_depth=None))
        COUNTER.reset()
        for chunk in chunks_of(deep[:length], size):
            levels.feed(Counting(chunk))
        assert len(levels.parsers) == (64 if length == len(deep) else 19)
        assert COUNTER.seen <= 2 * (length + UNSENT) * len(levels.parsers)


def test_the_counting_counts() -> None:
    parser = PushMultipartParser("b")
    list(parser.feed(Counting(b"x" * 1000)))
    assert 1000 <= COUNTER.seen <= 1010
    COUNTER.reset()
    parser = PushMultipartParser("b")
    list(parser.feed(Counting(b"--b\r\n" + b"x" * 1000)))
    assert 2000 <= COUNTER.seen <= 2015  # for the blank line, then for the ends of lines
    COUNTER.reset()
    parser = PushMultipartParser("b", subtype="x-mixed-replace", policy=Policy.LENIENT)
    list(parser.feed(Counting(b"--b\r\nA: 1\r\n\r\n" + b"x" * 1000 + b"\r\n-")))
    assert 1000 <= COUNTER.searched <= 1040
    assert COUNTER.compared > 3


# Memory: what a parser leads to

SMALL = Limits(
    max_preamble=None, max_epilogue=None, max_header_line=1 * KIB, max_header_bytes=4 * KIB, max_decode_ratio=None
)


def bound_of(parser: PushMultipartParser) -> int:
    """A header block, for which a bytearray takes an eighth more, and 8 KiB: what is cut off, parameters, the line
    that may show LENIENT the dialect.
    """
    most = parser.limits.max_header_bytes
    assert most is not None
    return most * 9 // 8 + 8 * KIB + 4 * len(parser.boundary)


def held(thing: object, seen: set[int] | None = None) -> int:
    """Bytes that an object keeps alive: its own, and those of all that it leads to, but for what all objects of its
    kind share.
    """
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, SHARED) or callable(thing):
        return 0
    seen.add(id(thing))
    size = sys.getsizeof(thing)
    if isinstance(thing, (bytes, bytearray, str, int, float)):
        return size
    if isinstance(thing, memoryview):
        return size + held(thing.obj, seen)
    if isinstance(thing, io.BytesIO):
        return len(thing.getvalue())  # which it may share
    inner: list[object] = []
    if isinstance(thing, dict):
        inner += [*thing.keys(), *thing.values()]
    elif isinstance(thing, (list, tuple, deque, set, frozenset)):
        inner += thing
    inner += vars(thing).values() if hasattr(thing, "__dict__") else ()
    inner += [getattr(thing, name, None) for name in ("unconsumed_tail", "unused_data")]  # of zlib and zstd
    for cls in type(thing).__mro__:
        inner += [getattr(thing, name, None) for name in cls.__dict__.get("__slots__", ()) if name not in NOT_HELD]
    return size + sum(held(one, seen) for one in inner)


SHARED = (type, types.ModuleType, enum.Enum, Limits)
# Defects are at most 1000.
NOT_HELD = {"defects"}


def grows(parser: PushMultipartParser, chunks: Iterable[bytes], *, every: int = 1) -> int:
    """The most that the parser has held beyond what it does at rest."""
    rest, most = held(parser), 0
    with contextlib.suppress(MultipartError):
        for turn, chunk in enumerate(chunks):
            for _ in parser.feed(chunk):
                pass
            if turn % every == 0:
                most = max(most, held(parser) - rest)
    return max(most, held(parser) - rest)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_parser_holds_little(pattern: str) -> None:
    for place in ("at the start", "in headers", "in a body", "in a body with LF"):
        for policy, subtype in (
            (Policy.STRICT, "form-data"),
            (Policy.STANDARD, "mixed"),
            (Policy.LENIENT, "mixed"),
            (Policy.LENIENT, "x-mixed-replace"),
        ):
            for size, length, every in ((1, 150, 10), (7, 5_000, 250), (65536, 70_000, 1)):
                if size == 65536 and place not in ("at the start", "in a body"):
                    continue
                message = PLACES[place] + PATTERNS[pattern] * (length // len(PATTERNS[pattern]))
                parser = PushMultipartParser(BOUNDARY, subtype=subtype, limits=SMALL, policy=policy)
                most = grows(parser, chunks_of(message, size), every=every)
                assert most <= bound_of(parser), (place, policy, subtype, size)
                assert len(parser.defects) <= 1000


@pytest.mark.parametrize("size", [1, 7, 65536])
def test_by_default_a_header_flood_is_held_to_64_kib(size: int) -> None:
    length = 70_000 if size > 1 else 66_000
    for flood in (b"A: 1\r\n", b"; a=1") if size == 1 else (b"A: 1\r\n", b"; a=1", b" 1\r\n A: 1\r\n", b'\\"'):
        message = OPEN + b"A: " + flood * (length // len(flood))
        parser = PushMultipartParser(BOUNDARY, limits=Limits(max_headers=None, max_header_line=None))
        assert 60 * KIB < grows(parser, chunks_of(message, size), every=500) <= bound_of(parser)
        assert isinstance(parser.error, LimitExceeded)


def events_of(reader: MultipartReader) -> int:
    """Bytes of bodies and headers that are waiting, at all levels and in front of them."""
    waiting = 0
    for event in reader._cursor.events:
        waiting += len(event) if isinstance(event, bytes) else len(getattr(event, "raw", b""))
    return waiting


@pytest.mark.parametrize("pattern", PATTERNS)
async def test_a_reader_holds_one_chunk_at_each_level(pattern: str) -> None:
    for depth, (size, length) in itertools.product((1, 3), ((1, 150), (7, 700), (4096, 9_000))):
        message, boundary = nest(PATTERNS[pattern] * (length // len(PATTERNS[pattern])), depth)
        readers: list[MultipartReader] = []

        class Reader(MultipartReader):
            def __init__(self, *args: Any, into: list[MultipartReader] = readers, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                into.append(self)

        def check(turns: Iterator[int], size: int = size, readers: list[MultipartReader] = readers) -> None:
            turn = next(turns)
            for reader in readers:
                assert events_of(reader) <= size + 2 * len(DELIMITER)
                if turn % 16 == 1:
                    assert held(reader._cursor.parser) <= 8 * KIB + bound_of(reader._cursor.parser)
                    # The objects that are made of a few bytes take up more than these.
                    assert held(reader._cursor.events) <= 32 * (size + KIB)

        headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
        reader = Reader(headers, Feeding(chunks_of(message, size)), limits=SMALL)
        with contextlib.suppress(MultipartError):
            await walk(reader, functools.partial(check, itertools.count()))
        assert len(readers) >= depth


@pytest.mark.parametrize(
    "block", [b"Content-Transfer-Encoding: none", b"Content-Type: bad", b"Content-Length: 0", b"Content-Length: 9"]
)
async def test_defects_are_bounded(block: bytes) -> None:
    part = b"\r\n--b\r\n%b\r\n\r\nx" % block
    reader = MultipartReader(
        {"Content-Type": "multipart/mixed; boundary=b"},
        part[2:] + part * 1_500 + b"\r\n--b--",
        policy=Policy.LENIENT,
    )
    async for part_reader in reader:
        assert isinstance(part_reader, BodyPartReader)
        await part_reader.read(decode=True)
    assert len(reader.defects) == 1000


# Time: the header grammar

# Modules that read what arrives with regexes.
READING = (
    *(f"grammar.{module}" for module in ("fields", "media_type", "boundary", "charsets", "disposition")),
    *(f"parser.{module}" for module in ("events", "framing", "push")),
    *(f"codecs.{module}" for module in ("transfer", "content")),
    "reading.part",
    "forms.parser",
)
GREEDY_ONE_BY_ONE = 16
"""A bounded repeat that may backtrack no further than this is as good as none."""

# Unbounded repeats that could give back what they took, and why they never do so to no avail.
HARMLESS = {
    # The whole pattern is one repeat of one class: nothing follows that could fail.
    ("codecs.transfer", "_QP_UNSAFE"),
}


def regexes() -> Iterator[tuple[str, str, str, re.Pattern[Any]]]:
    """Module, name and use of each regex at the head of a module; the use is unknown of those kept as patterns."""
    for module in READING:
        for name, value in vars(importlib.import_module(f"aiomultipart.{module}")).items():
            if isinstance(value, re.Pattern):
                yield module, name, "search", value
            elif isinstance(getattr(value, "__self__", None), re.Pattern):
                yield module, name, value.__name__, value.__self__


def repeats(items: Any) -> Iterator[tuple[Any, int]]:
    """The repeats in a parsed regex that may backtrack: their operation and how far."""
    for operation, argument in items:
        if operation in (_constants.MAX_REPEAT, _constants.MIN_REPEAT):
            least, most, inner = argument
            yield operation, most - least
            yield from repeats(inner)
        elif operation is _constants.POSSESSIVE_REPEAT:
            yield from repeats(argument[2])
        elif operation is _constants.ATOMIC_GROUP:
            yield from repeats(argument)
        elif operation is _constants.SUBPATTERN:
            yield from repeats(argument[3])
        elif operation is _constants.BRANCH:
            for branch in argument[1]:
                yield from repeats(branch)
        elif operation in (_constants.ASSERT, _constants.ASSERT_NOT):
            yield from repeats(argument[1])


ENDLESS = int(_constants.MAXREPEAT)


def test_no_regex_of_the_library_can_backtrack() -> None:
    """Every repeat without a bound is possessive, so that what it took is never tried again."""
    found = list(regexes())
    assert {module for module, *_ in found} >= {"grammar.fields", "parser.events", "parser.framing", "codecs.transfer"}
    assert len(found) > 20
    backtracking = set()
    for module, name, _, pattern in found:
        for _, far in repeats(_parser.parse(pattern.pattern, pattern.flags)):
            if far > GREEDY_ONE_BY_ONE:
                backtracking.add((module, name))
    assert backtracking == HARMLESS


def test_no_search_begins_with_an_endless_repeat() -> None:
    """A search tries again at each place: what fails after an endless repeat is quadratic, possessive or not."""
    for module, name, use, pattern in regexes():
        parsed = _parser.parse(pattern.pattern, pattern.flags)
        repeat = {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}
        if use not in ("match", "fullmatch") and parsed[0][0] in repeat and parsed[0][1][1] >= ENDLESS:
            assert len(parsed) == 1, (module, name)


def test_the_check_of_the_regexes_finds_what_it_is_for() -> None:
    for bad in (r"a*b", r"(?:a|b+)c", r"(?=a+b)", r"(?>x)(?:a+)?+", r"((a*)*)*b", r"a+?b", r"a{1,500}b"):
        assert any(far > GREEDY_ONE_BY_ONE for _, far in repeats(_parser.parse(bad))), bad
    for fine in (r"a*+b", r"(?:a|b++)c", r"(?>a)b", r"a{1,3}b"):
        assert not any(far > GREEDY_ONE_BY_ONE for _, far in repeats(_parser.parse(fine))), fine


class CountingRegex:
    """A regex that counts what it scans, at most: to the end of what it matched, to the end of all where it did not."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def _counted(self, method: str, text: str, start: int, end: int = sys.maxsize) -> re.Match[str] | None:
        match: re.Match[str] | None = getattr(self._pattern, method)(text, start, end)
        COUNTER.searched += (match.end() if match else min(len(text), end)) - start
        return match

    def match(self, text: str, start: int = 0) -> re.Match[str] | None:
        return self._counted("match", text, start)

    def fullmatch(self, text: str, start: int = 0) -> re.Match[str] | None:
        return self._counted("fullmatch", text, start)

    def search(self, text: str, start: int = 0) -> re.Match[str] | None:
        return self._counted("search", text, start)

    def finditer(self, text: str, start: int = 0) -> Iterator[re.Match[str]]:
        for match in self._pattern.finditer(text, start):
            COUNTER.searched += match.end() - start
            start = match.end()
            yield match
        COUNTER.searched += len(text) - start

    def sub(self, new: str, text: str) -> str:
        COUNTER.searched += len(text)
        return self._pattern.sub(new, text)


DISPOSITION = "Content-Disposition: form-data; name=a"
# A header block of about n bytes for each n
BLOCKS: dict[str, Callable[[int], str]] = {
    "header flood": lambda n: "A: 1\r\n" * (n // 6) + "A: 1",
    "one endless header line": lambda n: "A: " + "1" * n,
    "one endless name": lambda n: "A" * n + ": 1",
    "one endless name, and no colon": lambda n: "A" * n,
    "white space": lambda n: "A:" + " \t" * (n // 2) + "1",
    "white space that goes on": lambda n: "A:" + " 1" * (n // 2),
    "folds": lambda n: "A: 1" + "\r\n 1" * (n // 4),
    "folds of white space": lambda n: "A: 1" + "\r\n \t " * (n // 5),
    "folds of a Content-Type": lambda n: "Content-Type: a/b" + ";\r\n p=1" * 8 + "\r\n " * (n // 3),
    "parameters": lambda n: "Content-Type: a/b" + "".join(f"; a{i}=1" for i in range(n // 8)),
    "parameters that are empty": lambda n: "Content-Type: a/b" + ";" * n,
    "parameters and white space": lambda n: "Content-Type: a/b" + " \t ; \t" * (n // 6),
    "parameters without values": lambda n: "Content-Type: a/b" + "; a" * (n // 3),
    "the same parameter": lambda n: "Content-Type: a/b" + "; a=1" * (n // 5),
    "parameters in a disposition": lambda n: DISPOSITION + "".join(f"; a{i}=1" for i in range(n // 8)),
    "escapes": lambda n: DISPOSITION + '; filename="' + '\\"' * (n // 2) + '"',
    "escapes, and no end": lambda n: DISPOSITION + '; filename="' + '\\"' * (n // 2),
    "escapes of backslashes": lambda n: DISPOSITION + '; filename="' + "\\\\" * (n // 2) + "\\",
    "quotes": lambda n: DISPOSITION + ';filename=""' * (n // 12),
    "only quotes": lambda n: DISPOSITION + "; filename=" + '"' * n,
    "literal backslashes": lambda n: 'Content-Disposition: form-data; name="' + "\\\\" * (n // 2) + '\\"',
    "literal backslashes, and a file": lambda n: (
        'Content-Disposition: form-data; name="a\\"; filename="' + "\\\\" * (n // 2) + '"'
    ),
    "%22": lambda n: DISPOSITION + '; filename="' + "%22" * (n // 3) + '"',
    "equals signs": lambda n: DISPOSITION + "; filename" + "=" * n,
    "white space around equals signs": lambda n: DISPOSITION + "; filename" + " " * n + "=x",
    "an extended value": lambda n: "Content-Disposition: a; filename*=utf-8''" + "%20" * (n // 3),
    "an extended value that is none": lambda n: "Content-Disposition: a; filename*=utf-8''" + "%20" * (n // 3) + "%",
    "apostrophes": lambda n: "Content-Disposition: a; filename*=" + "'" * n,
    "extended values": lambda n: "Content-Disposition: a" + "".join(f"; a{i}*=utf-8''x" for i in range(n // 16)),
    "continuations": lambda n: "Content-Disposition: a" + "".join(f"; f*{i}=x" for i in range(min(n // 7, 1000))),
    "continuations that do not join": lambda n: (
        "Content-Disposition: a" + "".join(f"; f{i}*{i % 999}=x" for i in range(n // 9))
    ),
    "continuations, all encoded": lambda n: (
        "Content-Disposition: a; f*0*=utf-8''" + "".join(f"; f*{i}*=%20" for i in range(1, min(n // 9, 1000)))
    ),
    "stars": lambda n: "Content-Disposition: a; f" + "*" * n + "=x",
    "a media type of slashes": lambda n: "Content-Type: " + "/" * n,
    "a boundary": lambda n: "Content-Type: multipart/x; boundary=" + "b" * n,
    "a boundary of spaces": lambda n: 'Content-Type: multipart/x; boundary="' + " " * n + '"',
    "a length": lambda n: "Content-Length: " + "1" * n,
    "what is not UTF-8": lambda n: "A: \xe9\r\n" * (n // 6) + "A: 1",
    "control characters": lambda n: "A: " + "\x01" * n,
    "nearly the common block": lambda n: 'Content-Disposition: form-data; name="' + "a" * n + "\\",
}

# A field line once, a control character, a parameter, whether it is a token, an escape, an ext-value and its characters
LOOKS = 8


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("form_data", [False, True])
def test_each_character_of_a_header_is_scanned_a_few_times(
    block: str, form_data: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, use, pattern in regexes():
        if isinstance(pattern.pattern, str):
            counting: Any = CountingRegex(pattern)
            whole = isinstance(vars(sys.modules[f"aiomultipart.{module}"])[name], re.Pattern)
            monkeypatch.setattr(f"aiomultipart.{module}.{name}", counting if whole else getattr(counting, use))
    limits = WIDE.replace(max_boundary_length=None)
    for policy in Policy:
        COUNTER.reset()
        raw = BLOCKS[block](20_000).encode("latin-1")
        with contextlib.suppress(MultipartError):
            PartBegin(raw, form_data=form_data, policy=policy, limits=limits)
        assert COUNTER.searched <= LOOKS * len(raw), (policy, COUNTER.searched / len(raw))
    assert len(raw) / 2 < COUNTER.searched  # to LENIENT, who reads it all


# Codecs: time is what goes into the steps, and so into the libraries; memory is the input, the output and what is kept
# between steps. What the libraries hold inside (32 KiB for zlib, a window of at most 8 MiB for zstd, 16 MiB for brotli)
# no Python code can add up.


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


BOMB = 4 * MIB
# Transfer encoding, content coding, the body of about n bytes for each n (bombs are as long as they are)
BODIES: dict[str, tuple[str | None, str | None, Callable[[int], bytes]]] = {
    "gzip bomb": (None, "gzip", lambda n: gzip.compress(bytes(BOMB))),
    "deflate bomb": (None, "deflate", lambda n: zlib.compress(bytes(BOMB))),
    "raw deflate bomb": (None, "deflate", lambda n: raw_deflate(bytes(BOMB))),
    "br bomb": (None, "br", lambda n: brotli.compress(bytes(BOMB))),
    "zstd bomb": (None, "zstd", lambda n: zstd.compress(bytes(BOMB))),
    "gzip bomb in base64": ("base64", "gzip", lambda n: base64.encodebytes(gzip.compress(bytes(BOMB)))),
    "zstd bomb in quoted-printable": ("quoted-printable", "zstd", lambda n: quoted(zstd.compress(bytes(BOMB)))),
    "gzip, then noise": (None, "gzip", lambda n: gzip.compress(bytes(BOMB)) + b"\1" * n),
    "gzip, then zeros": (None, "gzip", lambda n: gzip.compress(b"") + bytes(n)),
    "tiny gzip members": (None, "gzip", lambda n: gzip.compress(b"") * (n // 20 + 1)),
    "tiny zstd frames": (None, "zstd", lambda n: zstd.compress(b"") * (n // 9 + 1)),
    "empty deflate blocks": (None, "deflate", lambda n: b"\0\0\0\xff\xff" * (n // 5)),
    "gzip that never ends its name": (None, "gzip", lambda n: b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * n),
    "zstd that is skipped": (None, "zstd", lambda n: b"\x50\x2a\x4d\x18\xff\xff\xff\x7f" + bytes(n)),
    "base64 of white space": ("base64", None, lambda n: b" \t\r\n" * (n // 4)),
    "base64, spread": ("base64", None, lambda n: b"Q \r\n" * (n // 4 & ~3)),
    "base64 of white space before gzip": ("base64", "gzip", lambda n: b" \t\r\n" * (n // 4)),
    "soft line breaks": ("quoted-printable", None, lambda n: b"=\r\n" * (n // 3)),
    "soft line breaks, with LF": ("quoted-printable", None, lambda n: b"=\n" * (n // 2)),
    "soft line breaks, with blanks": ("quoted-printable", None, lambda n: b"= \t\r\n" * (n // 5)),
    "quoted-printable blanks": ("quoted-printable", None, lambda n: b" " * n),
    "quoted-printable escapes": ("quoted-printable", None, lambda n: b"=41" * (n // 3)),
    "quoted-printable escapes of blanks": ("quoted-printable", None, lambda n: b"=20 \r\n" * (n // 6)),
    "quoted-printable CR": ("quoted-printable", None, lambda n: b"\r" * n),
}


def quoted(data: bytes) -> bytes:
    return b"=\r\n".join(b"=%02X" % byte for byte in data)


class Work:
    """What goes through the steps of all stages."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        self.given = 0
        for cls in subclasses(base.Stage):
            if "_step" in vars(cls):
                monkeypatch.setattr(cls, "_step", self._counting(vars(cls)["_step"]))

    def _counting(self, step: Callable[..., tuple[bytes, int]]) -> Callable[..., tuple[bytes, int]]:
        def counting(stage: base.Stage, data: memoryview, want: int) -> tuple[bytes, int]:
            self.calls += 1
            self.given += len(data)
            return step(stage, data, want)

        return counting


def subclasses(cls: type) -> Iterator[type]:
    for one in cls.__subclasses__():
        yield one
        yield from subclasses(one)


class Decoding:
    """A codec at work: bytes fed and decoded, the most that was held beyond what is at rest, and how it ended."""

    def __init__(self, codec: Codec, chunks: Iterable[bytes], *, every: int) -> None:
        self.codec = codec
        self.feeds = self.fed = self.decoded = self.most = 0
        self.error: MultipartError | None = None
        self._rest = held(codec)
        try:
            for turn, chunk in enumerate(chunks):
                self.feeds += 1
                self.fed += len(chunk)
                codec.feed_data(chunk)
                self._read(look=turn % every == 0)
            codec.feed_eof()
            self._read(look=True)
        except (CodecError, LimitExceeded) as exc:
            self.error = exc

    def _read(self, *, look: bool) -> None:
        self._look(look)
        while piece := self.codec.read(64 * KIB):
            assert len(piece) <= 64 * KIB
            self.decoded += len(piece)
            self._look(look)
        self._look(look)

    def _look(self, look: bool) -> None:
        if look:
            self.most = max(self.most, held(self.codec) - self._rest)


@pytest.mark.parametrize("size", [1, 7, 65536])
@pytest.mark.parametrize("body", BODIES)
def test_a_codec_does_little_and_holds_little(body: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    encoding, coding, make = BODIES[body]
    data = make({1: 1_500, 7: 7_000, 65536: 500_000}[size])
    work = Work(monkeypatch)
    stages = 2 if encoding and coding else 1
    for limit in (None, 1 * MIB):
        codec = decoder(encoding, coding, limits=Limits(max_decoded_size=limit, max_decode_ratio=None))
        assert codec is not None
        work.calls = work.given = 0
        done = Decoding(codec, chunks_of(data, size), every={1: 13, 7: 5, 65536: 1}[size])
        # Once, and again what a library did not get to because its output was full; see _bite for the members.
        assert work.given <= stages * 3 * done.fed + 2 * done.decoded
        assert work.calls <= stages * (done.feeds + done.fed // 2 + 100) + done.decoded // (16 * KIB)
        # The chunk in hand and the one before, a step of output, and what its next step goes on from
        assert done.most <= stages * (2 * size + 3 * 64 * KIB)
        if "bomb" in body and limit is None:
            assert (done.decoded, done.error) == (BOMB, None)
        elif "bomb" in body:
            assert done.decoded == limit
            assert isinstance(done.error, LimitExceeded)
            assert (done.error.limit, done.error.value) == ("max_decoded_size", limit)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_the_input_of_a_bomb_is_not_asked_for_after_the_limit(coding: str) -> None:
    data = BODIES[f"{coding} bomb"][2](0)
    for limits, most in (
        (Limits(max_decoded_size=64 * KIB), 64 * KIB),
        (Limits(max_decode_ratio=10, decode_ratio_floor=64 * KIB), 64 * KIB),
    ):
        codec = decoder(None, coding, limits=limits)
        assert codec is not None
        done = Decoding(codec, chunks_of(data, 7), every=1)
        assert isinstance(done.error, LimitExceeded)
        assert done.decoded <= most
        # 64 KiB of zeros take up this much, and slices may be as long as an eighth of what was before, or 32 bytes.
        assert done.fed <= len(data) * most // BOMB * 9 // 8 + 64
