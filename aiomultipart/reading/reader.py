"""The asyncio face of reading: :class:`MultipartReader` yields :class:`BodyPartReader` or nested readers."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import ClassVar, Self, TypedDict, Unpack

from aiomultipart import hdrs
from aiomultipart.exceptions import LimitExceeded, MultipartError, ParseError, StateError
from aiomultipart.grammar.charsets import CHARSET_FIELD, lookup_charset
from aiomultipart.grammar.fields import HeaderItems, as_multidict
from aiomultipart.grammar.media_type import sole_content_type
from aiomultipart.limits import DEFAULT_LIMITS, Limits
from aiomultipart.parser import Defect, PushMultipartParser
from aiomultipart.policy import ACCEPT, FORGIVE, Policy
from aiomultipart.sources import AsgiBody, AsgiReceive, AsgiScope, ByteStream, asgi_headers, open_source

from .body import Body
from .message import Cursor, Message
from .part import BodyPartReader
from .response import MultipartResponseWrapper, Response, content_of, named
from .walk import PartIterator

__all__ = ("MultipartReader",)

_part_of_body = BodyPartReader.of_body

# The longest label of a charset in use has 40 characters.
_LONGEST_CHARSET = 40


class _SizeOptions(TypedDict, total=False):
    client_max_size: int
    max_size_error_cls: type[Exception]


class _PartOptions(_SizeOptions, total=False):
    subtype: str
    default_charset: str | None


class ReaderOptions(_SizeOptions, total=False):
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
        content: ByteStream | Body,
        *,
        client_max_size: int | None = None,
        max_field_size: int | None = None,
        max_headers: int | None = None,
        max_size_error_cls: type[Exception] | None = None,
        limits: Limits | None = None,
        policy: Policy = Policy.STANDARD,
    ) -> None:
        _check_arguments(headers, limits, policy)
        self.headers = as_multidict(headers)
        self._at_eof = False
        self._closed = False  # before its end
        self._stepping = False  # a task is in next()
        self._pending = False  # the part that has been come to is not handed over
        if isinstance(content, Body):
            outer = content.cursor
            try:
                parser = outer.parser.nested(content.begin, shared=False)
            except LimitExceeded as exc:
                exc.part_index = content.begin.index
                raise
            self._cursor = Cursor(parser, outer.message, content)
        else:
            limits = _with_bounds(limits or DEFAULT_LIMITS, max_field_size, max_headers)
            content_type, kind = self._content_type(policy)
            parser = self.make_parser(content_type, limits, policy)
            if kind is not None:
                parser.forgive(kind, None)
            self._cursor = Cursor(parser, Message(open_source(content)), None)
        # RFC 7578 section 4.6: only the first field of a form may name the charset of the others. None: not looked yet
        may_come = parser.subtype == "form-data" and parser.policy.rules.charset_field is ACCEPT
        self._charset: str | None = None if may_come else ""
        self._sizes: _SizeOptions = {}
        self._options: _PartOptions = {}
        if client_max_size is not None:
            self._sizes["client_max_size"] = self._options["client_max_size"] = client_max_size
        if max_size_error_cls is not None:
            self._sizes["max_size_error_cls"] = self._options["max_size_error_cls"] = max_size_error_cls
        self._overridden = type(self).fetch_next_part is not MultipartReader.fetch_next_part
        self._boundary = b"--" + parser.boundary.encode()

    def __repr__(self) -> str:
        parser = self._cursor.parser
        if self._at_eof:
            where = "closed" if self._closed else "at its end"
        else:
            body = self._cursor.body
            where = "between parts" if body is None else f"at part {body.begin.index}"
        depth = "" if self._cursor.depth == 1 else f", depth {self._cursor.depth}"
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
        content = content_of(response)
        try:
            stream = cls(response.headers, content, **options)
        except ParseError as exc:
            raise named(exc, response) from None
        return cls.response_wrapper_cls(response, stream)

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the policy has forgiven at this level, by offset: up to where the reader has come, and to an error."""
        return self._cursor.defects

    @property
    def depth(self) -> int:
        """How deep this message is nested: 1 for the outermost, as ``max_depth`` counts."""
        return self._cursor.depth

    def on_failure(self, callback: Callable[[], Awaitable[object]]) -> None:
        """Have ``callback`` awaited when an error has ended the whole message, at whatever level, before it is raised.

        For those who lend what is read from. It may be called again when the error is.
        """
        self._cursor.message.on_failure = callback

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
        if self._stepping:
            self._check_stepping()
        cursor = self._cursor
        if self._at_eof:
            cursor.message.check()
            if self._closed:
                raise StateError("the reader is closed")
            return None
        message = cursor.message
        if message.busy or message.error is not None or cursor.outer is not None:
            cursor.check()
        self._stepping = True
        try:
            # Of small parts most are here already, and nothing has to be awaited for them.
            if not self._pending and cursor.find() is None and not await self._advance():
                return None
            if self._charset is None and await self._read_charset():
                self._pending = False
                if not (cursor.find() or await self._advance()):
                    return None
            self._pending = False
            if not self._overridden:
                return self._make_part()
            try:
                return await self.fetch_next_part()
            except asyncio.CancelledError:
                self._pending = True
                raise
        finally:
            self._stepping = False

    def _check_stepping(self) -> None:
        if self._stepping:
            raise StateError("another task is in next() of this reader: one task reads, and the others wait for it")

    async def _advance(self) -> bool:
        """Go on to the next part, which is not here; False at the end."""
        self._at_eof = await self._cursor.advance() is None
        return not self._at_eof

    async def _read_charset(self) -> bool:
        """Whether the first field is ``_charset_`` with a charset that we know; its events are only looked at."""
        self._pending = True
        self._charset = await self._first_charset()
        if self._charset:
            self._options["default_charset"] = self._charset
        return bool(self._charset)

    async def _first_charset(self) -> str:
        body = self._cursor.body
        if body is None or body.begin.name != CHARSET_FIELD:
            return ""
        value, fresh = b"", list(body.events)
        while True:
            for event in fresh:
                if not isinstance(event, bytes):
                    charset = value.decode("latin-1").strip(" \t\r\n")
                    return "" if lookup_charset(charset) is None else charset
                value += event
                if len(value) > _LONGEST_CHARSET:
                    return ""
            try:
                fresh = await body.fill()
            except MultipartError:
                return ""  # which comes again when the events before it are used

    async def fetch_next_part(self) -> BodyPartReader | MultipartReader:
        """Make the reader for the part that the message has come to; :meth:`next` calls it, subclasses may override.

        :raises StateError: there is no current part.
        """
        return self._make_part()

    def _make_part(self) -> BodyPartReader | MultipartReader:
        body = self._cursor.body
        if body is None:
            raise StateError("there is no part to fetch: next() has not come to one, or has come to the end")
        begin = body.begin
        if begin.boundary is not None:
            reader_cls = self.multipart_reader_cls or type(self)
            return reader_cls(begin.headers, body, **self._sizes)
        part_cls = self.part_reader_cls
        # To parse the headers takes longer than the rest, and nobody may ask for them.
        if part_cls is BodyPartReader:
            if not self._options:
                return _part_of_body(body)
            return part_cls(self._boundary, None, body, **self._options)
        options = self._options.copy()
        # A subclass may want to be given them.
        options.setdefault("subtype", self._cursor.parser.subtype)
        options.setdefault("default_charset", None)
        return part_cls(self._boundary, begin.headers, body, **options)

    async def release(self) -> None:
        """Read the message to its end, epilogue included, and drop it.

        :raises MultipartError: what is read is bad, or the input ends early.
        :raises StateError: another task is reading this message.

        Nothing to do for a nested message once the reader of the outer one has moved on, and after :meth:`aclose`.
        """
        self._check_stepping()
        if not (self._closed or self._cursor.passed):
            self._cursor.check()
            await self._cursor.drain()
        self._at_eof = True

    async def aclose(self) -> None:
        """Close what reading opened (an async generator), without reading on; the caller's stream stays open.

        :raises StateError: another task is reading this message.
        """
        self._check_stepping()
        message = self._cursor.message
        message.check_idle()
        self._closed = self._closed or not self._at_eof
        self._at_eof = True
        self._cursor.body = None
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
