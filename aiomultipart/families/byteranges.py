"""Byte ranges: what a client makes of a 206, and how ranges of a URL are fetched (RFC 9110 sections 14 and 15.3.7).

Which way the data flows: response -> one multipart message -> its parts, each with its range. A 206 without multipart,
and a 200, are read as a message of one part, so that there is one way to read them. A parser of its own holds each part
to its Content-Range: what is wrong with it is an error of the message, and is raised where the bytes are read.
"""

from __future__ import annotations

import bisect
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from multidict import CIMultiDict, CIMultiDictProxy

from aiomultipart import hdrs
from aiomultipart.exceptions import IncompleteBody, MultipartError, ParseError, RangeNotSatisfiable
from aiomultipart.grammar.fields import HeaderItems, as_multidict, parse_content_length
from aiomultipart.grammar.ranges import (
    ContentRange,
    RangeSpec,
    format_range,
    is_validator,
    merge_ranges,
    parse_content_range,
    parse_unsatisfied_range,
)
from aiomultipart.limits import Limits
from aiomultipart.parser import PART_END, Event, PartBegin, PushMultipartParser
from aiomultipart.policy import FORGIVE, Policy
from aiomultipart.reading.message import Cursor
from aiomultipart.reading.part import BodyPartReader
from aiomultipart.reading.reader import MultipartReader
from aiomultipart.reading.response import MultipartResponseWrapper, Response, content_of, named
from aiomultipart.sources import ByteStream, Source, open_source

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ("ByteRanges", "RangePart", "byteranges", "fetch_ranges")

# Ranges that are asked for may come as one, with what is between them, if that is less than another part would cost
# (RFC 9110 section 15.3.7.2).
_GAP = 1024
_BEYOND = 1 << 63  # behind all positions


class RangePart(NamedTuple):
    """One range of a representation, as it arrives."""

    first_pos: int
    """Position of its first byte, from 0."""
    last_pos: int | None
    """Position of its last byte; None where nobody has said, as in a 200 without Content-Length. One less than
    ``first_pos`` for the whole of a representation that is empty."""
    complete_length: int | None
    """How many bytes the whole representation is; None where the server does not know."""
    part: BodyPartReader
    """Its bytes. It is read before the next range is asked for. Where the response is not multipart, its header fields
    are those that say what the bytes are: Content-Type, and Content-Range or Content-Length."""


class _Asked:
    """The ranges that were asked for, and how many."""

    def __init__(self, ranges: Sequence[RangeSpec]) -> None:
        self._specs = ranges
        self._complete_length: int | None = None
        self._resolve()

    def _resolve(self) -> None:
        """Find the ranges that they are, as far as the complete length is known."""
        length = self._complete_length
        ranges, self._open = [], False  # whether the last bytes may be anywhere
        for first_pos, last_pos in self._specs:
            if first_pos is not None:
                ranges.append((first_pos, _BEYOND if last_pos is None else last_pos))
            elif last_pos is not None and length is not None:
                ranges.append((max(length - last_pos, 0), length - 1))
            else:
                self._open = True
        self._ranges = merge_ranges(ranges)
        self._groups = merge_ranges(ranges, gap=_GAP)

    def check(self, found: ContentRange, index: int) -> None:
        """Hold a part that has come to what was asked for.

        :raises ParseError: it was not asked for.
        """
        if index >= len(self._specs):
            what = f"more parts than the {len(self._specs)} ranges that were asked for"
            raise ParseError(what, code="range-not-asked-for")
        if self._complete_length is None and found.complete_length is not None:
            self._complete_length = found.complete_length
            self._resolve()
        if not self._open:
            group = _around(self._groups, found.first_pos, found.last_pos)
            begin = _around(self._ranges, found.first_pos, found.first_pos)
            end = _around(self._ranges, found.last_pos, found.last_pos)
            if None in (group, begin, end):
                raise ParseError(f"Content-Range: {found} was not asked for", code="range-not-asked-for")


def _around(ranges: list[tuple[int, int]], first_pos: int, last_pos: int) -> tuple[int, int] | None:
    """The range that another one is in."""
    place = bisect.bisect_right(ranges, (first_pos, _BEYOND)) - 1
    return ranges[place] if place >= 0 and last_pos <= ranges[place][1] else None


class _Watch:
    """Holds the parts of a message to their Content-Range."""

    def __init__(self, asked: Sequence[RangeSpec] | None, *, alone: bool) -> None:
        """Watch from the first part on.

        :param asked: what was asked for; None where nobody knows.
        :param alone: whether the one part is a response, and the message one that nobody sent.
        """
        self.error: MultipartError | None = None
        self._asked = None if asked is None else _Asked(asked)
        self._alone = alone
        self._begin: PartBegin
        self._complete_length: int | None = None
        self._size = 0  # of the part in hand, by its Content-Range
        self._left = 0  # of that, still to come

    def follow(self, events: Iterable[Event]) -> Iterator[Event]:
        """The events, up to one that does not fit its Content-Range."""
        for event in events:
            if isinstance(event, bytes):
                if len(event) > self._left:
                    if self._left:
                        yield event[: self._left]
                        self._left = 0
                    what = f"more than the {self._size} bytes of its Content-Range"
                    raise self._failed(ParseError(what, code="content-range-too-small"))
                self._left -= len(event)
            elif isinstance(event, PartBegin):
                self._begin = event
                try:
                    self._check(event)
                except ParseError as exc:
                    raise self._failed(exc) from None
            elif event is PART_END and self._left:
                what = f"{self._size - self._left} of the {self._size} bytes of its Content-Range"
                if self._alone:
                    raise self._failed(IncompleteBody(what, code="body-cut-short"))
                raise self._failed(ParseError(what, code="content-range-too-large"))
            yield event

    def _check(self, begin: PartBegin) -> None:
        """Read what the part says that it is.

        :raises ParseError: that is nothing, or not what it can be.
        """
        values = begin.headers.getall(hdrs.CONTENT_RANGE, [])
        if not values:
            raise ParseError("Content-Range: missing", code="missing-content-range")
        if len(values) > 1:
            raise ParseError("Content-Range: there more than once", code="repeated-field")
        found = parse_content_range(values[0])
        length = found.complete_length
        if length is not None:
            if self._complete_length not in (None, length):
                what = f"Content-Range: complete length {length}, after one of {self._complete_length}"
                raise ParseError(what, code="bad-content-range")
            self._complete_length = length
        if self._asked is not None:
            self._asked.check(found, begin.index)
        self._size = self._left = found.size

    def _failed(self, error: MultipartError) -> MultipartError:
        """The error, which is that of the message from here on, with its place: where the part begins."""
        error.offset, error.part_index = 0 if self._alone else self._begin.offset, self._begin.index
        self.error = error
        return error.fresh()


class _WatchedParser(PushMultipartParser):
    watch: _Watch

    @property
    def error(self) -> MultipartError | None:
        return self.watch.error or super().error

    def drop(self) -> None:
        """Nothing: what nobody wants is counted all the same."""

    def feed(self, data: bytes | bytearray | memoryview) -> Iterable[Event]:
        return self.watch.follow(super().feed(data))

    def close(self) -> Iterable[Event]:
        return self.watch.follow(super().close())


def _leaf(_headers: HeaderItems, content: Cursor) -> BodyPartReader:
    """A part of a file that is multipart is a part of a file."""
    return BodyPartReader(b"", None, content)


class _Reader(MultipartReader):
    multipart_reader_cls = cast("type[MultipartReader]", staticmethod(_leaf))

    def __init__(
        self, headers: HeaderItems, content: Source, watch: _Watch | None, limits: Limits | None, policy: Policy
    ) -> None:
        self._watch = watch
        super().__init__(headers, content, limits=limits, policy=policy)

    def make_parser(self, content_type: str, limits: Limits, policy: Policy) -> PushMultipartParser:
        if self._watch is None:
            return super().make_parser(content_type, limits, policy)
        parser = _WatchedParser.from_content_type(content_type, limits=limits, policy=policy)
        parser.watch = self._watch
        return parser


class _OnePart(Source):
    """What a response gives, as the one part of a message."""

    def __init__(self, boundary: str, fields: Iterable[tuple[str, str]], content: ByteStream) -> None:
        super().__init__()
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        self._head = f"--{boundary}\r\n{lines}\r\n".encode(errors="surrogateescape")  # as aiohttp decodes them
        self._source = open_source(content)
        self._tail = f"\r\n--{boundary}--\r\n".encode()

    async def _next(self) -> bytes | None:
        data: bytes | None
        if self._head:
            data, self._head = self._head, b""
            return data
        data = await self._source.receive() if self._tail else None
        if data is None:
            data, self._tail = self._tail, b""
        return data

    async def aclose(self) -> None:
        await super().aclose()
        await self._source.aclose()


class ByteRanges(AsyncIterator[RangePart]):
    """The ranges in a response, one after another; what :func:`byteranges` gives.

    The response is given back to its client after the last one, after an error, by :meth:`release`, and by leaving
    ``async with``.

    :ivar is_partial: whether it is a 206. If not, the one part is the whole representation.
    """

    def __init__(
        self,
        response: Response,
        *,
        ranges: Iterable[RangeSpec] | None = None,
        limits: Limits | None = None,
        policy: Policy = Policy.STANDARD,
    ) -> None:
        headers = as_multidict(response.headers)
        status = _status(response)
        self.is_partial: bool = status == 206
        self._length: int | None = None  # of a whole representation
        asked = None if ranges is None else list(ranges)
        try:
            _check_status(status, headers)
            if self.is_partial and _is_multipart(headers, policy):
                source = open_source(content_of(response))
                reader = _Reader(headers, source, _Watch(asked, alone=False), limits, policy)
            else:
                fields = [("Content-Type", value) for value in headers.getall(hdrs.CONTENT_TYPE, [])[:1]]
                if self.is_partial:
                    fields += [("Content-Range", value) for value in headers.getall(hdrs.CONTENT_RANGE, [])]
                elif hdrs.CONTENT_LENGTH in headers and hdrs.CONTENT_ENCODING not in headers:
                    self._length = parse_content_length(headers[hdrs.CONTENT_LENGTH])
                    fields.append(("Content-Length", str(self._length)))
                boundary = secrets.token_hex(16)
                source = _OnePart(boundary, fields, content_of(response))
                message = {"Content-Type": f"multipart/byteranges; boundary={boundary}"}
                watch = _Watch(asked, alone=True) if self.is_partial else None
                reader = _Reader(message, source, watch, limits, policy)
        except ParseError as exc:
            raise named(exc, response) from None
        self._parts = MultipartResponseWrapper(response, reader)
        source.on_failure = self._parts.give_back

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._parts!r}>"

    async def __anext__(self) -> RangePart:
        part = await self._parts.next()
        if not isinstance(part, BodyPartReader):
            raise StopAsyncIteration
        if self.is_partial:
            return RangePart(*parse_content_range(part.headers[hdrs.CONTENT_RANGE]), part)
        return RangePart(0, None if self._length is None else self._length - 1, self._length, part)

    async def release(self) -> None:
        """Give the response back to its client, whether it was read to its end or not."""
        await self._parts.release()

    aclose = release

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.release()


def _status(response: Any) -> int:
    """The status of a response of aiohttp or httpx."""
    status: int = response.status if hasattr(response, "status") else response.status_code
    return status


def _check_status(status: int, headers: CIMultiDictProxy[str]) -> None:
    if status == 416:
        length = parse_unsatisfied_range(headers.get(hdrs.CONTENT_RANGE, ""))
        known = "" if length is None else f", in a representation of {length} bytes"
        what = f"the server has none of the ranges{known}"
        raise RangeNotSatisfiable(what, code="range-not-satisfiable", complete_length=length)
    if status not in (200, 206):
        raise ParseError("neither ranges nor a whole representation", code="unexpected-status")


def _is_multipart(headers: CIMultiDictProxy[str], policy: Policy) -> bool:
    """Whether a 206 has several parts; a Content-Range says that it has one (RFC 9110 section 15.3.7.2)."""
    ranges = headers.get(hdrs.CONTENT_RANGE)
    if ranges is None:
        return headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip(" \t").lower() == "multipart/byteranges"
    return policy.rules.boundary_in_content_range is FORGIVE and ranges[:21].lower() == "multipart/byteranges;"


def byteranges(
    response: Response,
    *,
    ranges: Iterable[RangeSpec] | None = None,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
) -> ByteRanges:
    """The ranges in a response: of a 206 with many or with one, and of a 200, which is the whole.

    :param response: an ``aiohttp.ClientResponse``, or an ``httpx.Response`` that is being streamed.
    :param ranges: what was asked for, as in :func:`fetch_ranges`. A part with other bytes is an error then; the server
        may leave ranges out, change their order, and send two as one that overlap or have less than 1 KiB between them.
    :param limits: bounds on the message.
    :param policy: how odd constructs are read.
    :return: an async iterator of :class:`RangePart`, to be entered by ``async with`` where it may not be read to its
        end.
    :raises RangeNotSatisfiable: it is a 416.
    :raises ParseError: it is of another status. From the iterator, and from reading its parts: a Content-Range is
        missing, malformed, or not what the part comes to; whichever it is, ``offset`` is where the part begins.
    :raises IncompleteBody: from reading, too: the response ends early.
    """
    return ByteRanges(response, ranges=ranges, limits=limits, policy=policy)


@contextlib.asynccontextmanager
async def fetch_ranges(
    client: Any,
    url: Any,
    ranges: Iterable[RangeSpec],
    *,
    if_range: str | None = None,
    headers: Mapping[str, str] | None = None,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
    **options: Any,
) -> AsyncIterator[ByteRanges]:
    """Ask for ranges of a URL.

    :param client: an ``aiohttp.ClientSession`` or an ``httpx.AsyncClient``.
    :param ranges: pairs ``(first_pos, last_pos)``, both inclusive; ``(first_pos, None)`` for all from there on,
        ``(None, n)`` for the last ``n`` bytes.
    :param if_range: the ETag of a representation that is known, or its Last-Modified. If the server has another one by
        now, it sends that as a whole, and ``is_partial`` is False.
    :param headers: more header fields of the request.
    :param limits: bounds on the message.
    :param policy: how odd constructs are read.
    :param options: keywords of the client's ``get()`` (aiohttp) or ``stream()`` (httpx), such as ``timeout``.
    :return: a context manager that gives :class:`ByteRanges`.
    :raises ValueError: ``ranges`` holds none, or one that cannot be; ``if_range`` is a weak entity tag, or neither tag
        nor date.
    :raises ParseError: as :func:`byteranges`; and the ranges are of another representation than ``if_range``.
    :raises RangeNotSatisfiable: none of the ranges is there.

    ``async with fetch_ranges(session, url, [(0, 99), (None, 500)]) as parts:`` has bytes 0 to 99 and the last 500.
    """
    asked = list(ranges)
    # A content coding would make other bytes of it, and ranges of those.
    fields = CIMultiDict({"Accept-Encoding": "identity"})
    fields.update(headers or {})
    fields[hdrs.RANGE] = format_range(asked)
    if if_range is not None:
        if not is_validator(if_range):
            raise ValueError(f"if_range {if_range!r} is neither a strong ETag, in its quotes, nor a Last-Modified")
        fields[hdrs.IF_RANGE] = if_range
    # httpx takes pairs, where a multidict would lose what is there twice
    stream = getattr(client, "stream", None)
    opened = (
        client.get(url, headers=fields, **options)
        if stream is None
        else stream("GET", url, headers=list(fields.items()), **options)
    )
    async with opened as response, byteranges(response, ranges=asked, limits=limits, policy=policy) as parts:
        etag = response.headers.get(hdrs.ETAG)
        if parts.is_partial and if_range is not None and if_range[:1] == '"' and etag not in (None, if_range):
            what = f"ETag: {etag!r}, where ranges of {if_range!r} were asked for"
            raise named(ParseError(what, code="representation-changed"), response)
        yield parts
