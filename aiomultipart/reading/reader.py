"""The asyncio face of reading: :class:`MultipartReader` yields :class:`BodyPartReader` or nested readers."""

from __future__ import annotations

import asyncio
import enum
import functools
from typing import ClassVar, Self, Unpack

from multidict import CIMultiDictProxy

from aiomultipart import hdrs
from aiomultipart.exceptions import MultipartError, ParseError, StateError
from aiomultipart.grammar.charsets import CHARSET_FIELD, lookup_charset
from aiomultipart.grammar.fields import HeaderItems, as_multidict
from aiomultipart.grammar.media_type import sole_content_type
from aiomultipart.limits import DEFAULT_LIMITS, Limits
from aiomultipart.parser import Defect, PartBegin, PushMultipartParser
from aiomultipart.policy import ACCEPT, FORGIVE, Policy
from aiomultipart.sources import AsgiBody, AsgiReceive, AsgiScope, ByteStream, Source, asgi_headers, open_source

from .message import Cursor, Message
from .part import BodyPartReader, PartOptions, SizeOptions
from .response import MultipartResponseWrapper, Response, content_of, named
from .walk import PartIterator

__all__ = ("MultipartReader",)

# The longest label of a charset in use has 40 characters.
_LONGEST_CHARSET = 40


class _State(enum.Enum):
    """How far a reader is."""

    FIRST = "before the first part, or at it if that is not handed over, since it may name the charset"
    READING = "between parts, or at one that has been handed over"
    FETCHING = "in somebody's own fetch_next_part()"
    PENDING = "at a part that is not handed over"
    ENDED = "at the end of the message"
    CLOSED = "closed before its end"


_FIRST, _READING, _FETCHING, _PENDING, _ENDED, _CLOSED = _State  # which is quicker than to ask the enumeration


class ReaderOptions(SizeOptions, total=False):
    """The keywords of :class:`MultipartReader`."""

    max_field_size: int
    max_headers: int
    limits: Limits
    policy: Policy


class MultipartReader(PartIterator):
    """Read a multipart message part by part.

    :param headers: the header fields of the message; its Content-Type has to be multipart, with a boundary.
    :param content: where the bytes come from: an object with an async ``read(n)`` (an ``asyncio.StreamReader``, an
        ``aiohttp.StreamReader``), an async iterable of bytes, or bytes.
    :param client_max_size: the largest body that ``read``, ``text``, ``json`` and ``form`` of a part gather, in bytes.
    :param max_field_size: the longest header line, in bytes; ``limits.max_header_line`` by aiohttp's name.
    :param max_headers: header fields of one part; ``limits.max_headers`` by aiohttp's name.
    :param max_size_error_cls: what they raise past ``client_max_size``.
    :param limits: bounds on the message.
    :param policy: how odd constructs are read.
    :raises ParseError: the Content-Type is missing, not multipart, or has no boundary that can delimit parts.
    :raises LimitExceeded: ``max_boundary_length``; for a nested message ``max_depth``.

    A part that is not read to its end is drained by the next call of :meth:`next`. After bad input every call raises
    the same error again. ``async with`` closes an async generator that is read from.
    """

    response_wrapper_cls: ClassVar[type[MultipartResponseWrapper]] = MultipartResponseWrapper
    multipart_reader_cls: ClassVar[type[MultipartReader] | None] = None
    """What nested messages are read with; None for the reader's own class."""
    part_reader_cls: ClassVar[type[BodyPartReader]] = BodyPartReader

    def __init__(
        self,
        headers: HeaderItems,
        content: ByteStream | Source | Cursor,
        *,
        client_max_size: int | None = None,
        max_field_size: int | None = None,
        max_headers: int | None = None,
        max_size_error_cls: type[Exception] | None = None,
        limits: Limits | None = None,
        policy: Policy = Policy.STANDARD,
    ) -> None:
        _check_arguments(headers, limits, policy)
        self.headers: CIMultiDictProxy[str] = as_multidict(headers)
        self._state = _READING
        if isinstance(content, Cursor):
            self._cursor = cursor = content.nested()
        else:
            limits = limits or DEFAULT_LIMITS
            if max_field_size is not None or max_headers is not None:
                limits = _with_bounds(limits, max_field_size, max_headers)
            content_type, kind = self._content_type(policy)
            parser = self.make_parser(content_type, limits, policy)
            if kind is not None:
                parser.forgive(kind, None)
            self._cursor = cursor = Cursor(parser, Message(open_source(content)))
        parser = cursor.parser
        # RFC 7578 section 4.6: only the first field of a form may name the charset of the others.
        if parser.subtype == "form-data" and parser.policy.rules.charset_field is ACCEPT:
            self._state = _FIRST
        self._sizes: SizeOptions = {}
        self._options: PartOptions = {}
        if client_max_size is not None:
            self._sizes["client_max_size"] = self._options["client_max_size"] = client_max_size
        if max_size_error_cls is not None:
            self._sizes["max_size_error_cls"] = self._options["max_size_error_cls"] = max_size_error_cls
        self._overridden = type(self).fetch_next_part is not MultipartReader.fetch_next_part
        self._boundary = b"--" + parser.boundary.encode()

    def __repr__(self) -> str:
        cursor, parser = self._cursor, self._cursor.parser
        where = "between parts" if cursor.begin is None else f"at part {cursor.begin.index}"
        if self._at_eof:
            where = "closed" if self._state is _CLOSED else "at its end"
        depth = "" if cursor.depth == 1 else f", depth {cursor.depth}"
        return f"<{type(self).__name__} multipart/{parser.subtype}, boundary {parser.boundary!r}{depth}, {where}>"

    @classmethod
    def from_asgi(cls, scope: AsgiScope, receive: AsgiReceive, **options: Unpack[ReaderOptions]) -> Self:
        """A reader over the body of an ASGI request (Starlette, FastAPI, Litestar, Quart …).

        :param scope: the application's ``scope``; Starlette's ``request.scope``.
        :param receive: its ``receive``; Starlette's ``request.receive``.
        :param options: keywords of the reader, such as ``limits`` and ``policy``.
        :raises ParseError: the request is not multipart.

        Reading raises :exc:`IncompleteBody` when the client disconnects.
        """
        return cls(asgi_headers(scope), AsgiBody(receive), **options)

    def make_parser(self, content_type: str, limits: Limits, policy: Policy) -> PushMultipartParser:
        """What the message is parsed by.

        :meta private:
        """
        return PushMultipartParser.from_content_type(content_type, limits=limits, policy=policy)

    def _content_type(self, policy: Policy) -> tuple[str, str | None]:
        """The media type of the message, and what had to be forgiven to find it."""
        ranges = self.headers.get(hdrs.CONTENT_RANGE, "")
        if ranges[:21].lower() == "multipart/byteranges;" and policy.rules.boundary_in_content_range is FORGIVE:
            values = self.headers.getall(hdrs.CONTENT_TYPE, [])
            if not any(value[:10].lower() == "multipart/" for value in values):
                return ranges, "boundary-in-content-range"
        return sole_content_type(self.headers), None

    @classmethod
    def from_response(cls, response: Response, **options: Unpack[ReaderOptions]) -> MultipartResponseWrapper:
        """A reader over a client's response, which it releases at the end.

        :param options: keywords of the reader, such as ``limits`` and ``policy``.
        :param response: an ``aiohttp.ClientResponse``, or an ``httpx.Response`` that is being streamed. The response's
            own Content-Encoding is the client's business and already undone.
        :raises ParseError: the response is not multipart; its status and URL are named.
        :raises TypeError: it is the response of a synchronous client.
        """
        source = open_source(content_of(response))
        try:
            stream = cls(response.headers, source, **options)
        except ParseError as exc:
            raise named(exc, response) from None
        wrapper = cls.response_wrapper_cls(response, stream)
        source.on_failure = wrapper.give_back
        return wrapper

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the policy has forgiven at this level, by offset: up to where the reader has come, and to an error."""
        return self._cursor.defects

    @property
    def depth(self) -> int:
        """How deep this message is nested: 1 for the outermost, as ``max_depth`` counts."""
        return self._cursor.depth

    @property
    def _at_eof(self) -> bool:
        return self._state is _ENDED or self._state is _CLOSED

    def at_eof(self) -> bool:
        """Whether :meth:`next` has returned None."""
        return self._at_eof

    async def next(self) -> BodyPartReader | MultipartReader | None:
        """The next part, or None when there is none; what is left of the part before is drained.

        A part that is itself multipart and has a boundary comes as a reader.

        :raises ParseError: the message breaks the grammar.
        :raises IncompleteBody: the input ended before the close-delimiter.
        :raises LimitExceeded: one of ``limits``.
        :raises StateError: another task is reading this message, the reader of an outer message has moved on, or
            the reader was closed before its end.
        """
        cursor, begin = self._cursor, None
        if self._state is not _READING or cursor.guarded or cursor.message.blocked:
            if not self._check():
                return None
            if self._state is not _READING:
                begin = cursor.begin
        if begin is None:
            # Of small parts most are here already, and nothing has to be awaited for them.
            begin = cursor.step() or await cursor.advance()
        if self._state is _FIRST:
            begin = await self._after_charset(begin)
        if begin is None:
            self._state = _ENDED
            return None
        if self._overridden:
            return await self._fetch()
        if begin.boundary is None and self.part_reader_cls is BodyPartReader and not self._options:
            # To parse the headers takes longer than the rest, and nobody may ask for them.
            return BodyPartReader(self._boundary, None, cursor)
        return self._make_part()

    def _check(self) -> bool:
        """Whether there may be a part; raises what keeps the reader from looking."""
        self._check_fetching()
        if self._state is not _ENDED and self._state is not _CLOSED:
            self._cursor.check_level()
            return True
        self._cursor.message.check()
        if self._state is _CLOSED:
            raise StateError("the reader is closed")
        return False

    def _check_fetching(self) -> None:
        if self._state is _FETCHING:
            raise StateError("another task is in next() of this reader: one task reads, and the others wait for it")

    async def _fetch(self) -> BodyPartReader | MultipartReader:
        """What somebody's own :meth:`fetch_next_part` makes; the part is still to come if that is cancelled."""
        self._state = _FETCHING
        try:
            part = await self.fetch_next_part()
        except asyncio.CancelledError:
            self._state = _PENDING
            raise
        except BaseException:
            self._state = _READING
            raise
        self._state = _READING
        return part

    async def _after_charset(self, begin: PartBegin | None) -> PartBegin | None:
        """The first part; the one after it where that is ``_charset_`` and names one that we know."""
        charset = await self._named_charset(begin)
        self._state = _READING
        if not charset:
            return begin
        self._options["default_charset"] = charset
        return self._cursor.step() or await self._cursor.advance()

    async def _named_charset(self, begin: PartBegin | None) -> str:
        """What the first field names; its events are only looked at."""
        if begin is None or begin.name != CHARSET_FIELD:
            return ""
        value, fresh = b"", list(self._cursor.events)
        while True:
            for event in fresh:
                if not isinstance(event, bytes):
                    charset = value.decode("latin-1").strip(" \t\r\n")
                    return "" if lookup_charset(charset) is None else charset
                value += event
                if len(value) > _LONGEST_CHARSET:
                    return ""
            try:
                fresh = await self._cursor.fill()
            except MultipartError:
                return ""  # which comes again when the events before it are used

    async def fetch_next_part(self) -> BodyPartReader | MultipartReader:
        """Make the reader for the part that the message has come to; :meth:`next` calls it, subclasses may override.

        :raises StateError: there is no current part.
        """
        return self._make_part()

    def _make_part(self) -> BodyPartReader | MultipartReader:
        cursor = self._cursor
        begin = cursor.begin or cursor.current
        if begin.boundary is not None:
            reader_cls = self.multipart_reader_cls or type(self)
            return reader_cls(begin.headers, cursor, **self._sizes)
        part_cls, options = self.part_reader_cls, self._options
        if part_cls is BodyPartReader:
            return part_cls(self._boundary, None, cursor, **options)
        # A subclass may want to be given them.
        options = options.copy()
        options.setdefault("subtype", cursor.parser.subtype)
        options.setdefault("default_charset", None)
        return part_cls(self._boundary, begin.headers, cursor, **options)

    async def release(self) -> None:
        """Read the message to its end, epilogue included, and drop it.

        :raises MultipartError: what is read is bad, or the input ends early.
        :raises StateError: another task is reading this message.

        Nothing to do for a nested message once the reader of the outer one has moved on, and after :meth:`aclose`.
        """
        self._check_fetching()
        if self._state is _CLOSED:
            return
        if not self._cursor.passed:
            self._cursor.check_level()
            await self._cursor.drain()
        self._state = _ENDED

    async def aclose(self) -> None:
        """Close what reading opened (an async generator), without reading on; the caller's stream stays open.

        :raises StateError: another task is reading this message.
        """
        self._check_fetching()
        message = self._cursor.message
        message.check_idle()
        if not self._at_eof:
            self._state = _CLOSED
        self._cursor.begin = None
        if self._cursor.outer is None:
            await message.aclose()


# One object for equal bounds: to make one takes longer than to read a small message.
@functools.lru_cache(maxsize=16)
def _with_bounds(limits: Limits, max_field_size: int | None, max_headers: int | None) -> Limits:
    if max_field_size is not None:
        limits = limits.replace(max_header_line=max_field_size)
    if max_headers is not None:
        limits = limits.replace(max_headers=max_headers)
    return limits


def _check_arguments(headers: object, limits: object, policy: object) -> None:
    """What is often given in place of what is wanted, and would come to light much later.

    :raises TypeError: headers without items, limits that are none, a policy by its name.
    """
    if isinstance(headers, (str, bytes)) or not hasattr(headers, "items"):
        what = "headers must be a mapping of header fields, such as {'Content-Type': 'multipart/mixed; boundary=x'}"
        raise TypeError(f"{what}, not {type(headers).__name__}")
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits must be a Limits, such as Limits(max_parts=100), not {limits!r}")
    if not isinstance(policy, Policy):
        raise TypeError(f"policy must be a Policy, such as Policy.LENIENT, not {policy!r}")
