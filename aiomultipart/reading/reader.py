"""The asyncio face of reading: :class:`MultipartReader` yields :class:`BodyPartReader` or nested readers."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeAlias, TypedDict, Unpack

from aiomultipart import hdrs
from aiomultipart.exceptions import LimitExceeded, MultipartError, StateError
from aiomultipart.grammar.charsets import CHARSET_FIELD, lookup_charset
from aiomultipart.grammar.fields import HeaderItems, as_multidict
from aiomultipart.grammar.media_type import sole_content_type
from aiomultipart.limits import DEFAULT_LIMITS, Limits
from aiomultipart.parser import END, Defect, PartBegin, PushMultipartParser
from aiomultipart.policy import ACCEPT, FORGIVE, Policy
from aiomultipart.sources import AsgiBody, AsgiReceive, AsgiScope, ByteStream, asgi_headers, open_source

from .levels import Channel, Level, PartSource
from .part import BodyPartReader, part_of

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ("MultipartReader", "MultipartResponseWrapper")

# The longest label of a charset in use has 40 characters.
_LONGEST_CHARSET = 40

# How long the end of a response may take after that of the message, in seconds
_MOMENT = 0.1


class AiohttpResponse(Protocol):
    """What :meth:`MultipartReader.from_response` uses of an ``aiohttp.ClientResponse``."""

    # Any: its headers are an under_cached_property, and pyright compares that, not what it gives, with a property.
    @property
    def headers(self) -> Any: ...
    @property
    def content(self) -> ByteStream: ...
    def release(self) -> object: ...


class HttpxResponse(Protocol):
    """What :meth:`MultipartReader.from_response` uses of a streaming ``httpx.Response``."""

    @property
    def headers(self) -> HeaderItems: ...
    def aiter_bytes(self) -> AsyncIterator[bytes]: ...
    def aclose(self) -> Awaitable[None]: ...


Response: TypeAlias = AiohttpResponse | HttpxResponse

# Any: a part that is itself multipart comes as a MultipartReader; who expects none need not ask each part.
PartReader: TypeAlias = BodyPartReader | Any


class _SizeOptions(TypedDict, total=False):
    client_max_size: int
    max_size_error_cls: type[Exception]


class ReaderOptions(_SizeOptions, total=False):
    """The keywords of :class:`MultipartReader`."""

    max_field_size: int
    max_headers: int
    limits: Limits
    policy: Policy


class MultipartReader:
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

    response_wrapper_cls: ClassVar[type[MultipartResponseWrapper]]
    multipart_reader_cls: ClassVar[type[MultipartReader] | None] = None
    """What nested messages are read with; None for the reader's own class."""
    part_reader_cls: ClassVar[type[BodyPartReader]] = BodyPartReader

    def __init__(
        self,
        headers: HeaderItems,
        content: ByteStream | PartSource,
        *,
        client_max_size: int | None = None,
        max_field_size: int | None = None,
        max_headers: int | None = None,
        max_size_error_cls: type[Exception] | None = None,
        limits: Limits | None = None,
        policy: Policy = Policy.STANDARD,
    ) -> None:
        self.headers = as_multidict(headers)
        self._client_max_size = client_max_size
        self._max_size_error_cls = max_size_error_cls
        self._at_eof = False
        self._closed = False  # before its end
        self._begin: PartBegin | None = None
        self._stepping = False  # a task is in next()
        self._handed_over = True  # the part that the message has come to
        self._default_charset: str | None = None
        if isinstance(content, PartSource):
            outer = content.level
            try:
                parser = outer.parser.nested(content.begin, shared=False)
            except LimitExceeded as exc:
                exc.part_index = content.begin.index
                raise
            self._level = Level(parser, outer.channel, content)
        else:
            limits = _with_bounds(limits or DEFAULT_LIMITS, max_field_size, max_headers)
            content_type, kind = self._content_type(policy)
            parser = PushMultipartParser.from_content_type(content_type, limits=limits, policy=policy)
            if kind is not None:
                parser.forgive(kind, None)
            channel = Channel(open_source(content))
            self._level = Level(parser, channel, channel)
        self._boundary = b"--" + parser.boundary.encode()
        # RFC 7578 section 4.6: only the first field of a form may name the charset of the others.
        self._charset_may_come = parser.subtype == "form-data" and parser.policy.rules.charset_field is ACCEPT
        self._overridden = type(self).fetch_next_part is not MultipartReader.fetch_next_part

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
        :raises ParseError: the response is not multipart.
        """
        aiter_bytes = getattr(response, "aiter_bytes", None)
        content = aiter_bytes() if aiter_bytes is not None else response.content  # type: ignore[union-attr]
        return cls.response_wrapper_cls(response, cls(response.headers, content, **options))

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the policy has forgiven so far, at this level."""
        return tuple(self._level.parser.defects)

    def at_eof(self) -> bool:
        """Whether :meth:`next` has returned None."""
        return self._at_eof

    async def next(self) -> PartReader | None:
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
        if self._handed_over and not (self._at_eof or self._charset_may_come or self._overridden):
            # Of small parts most are here already, and nothing has to be awaited for them.
            level = self._level
            level.receiver.check()
            begin = self._find()
            if begin is not None:
                if begin.boundary is None and self.part_reader_cls is BodyPartReader:
                    return part_of(level, begin, self._default_charset, self._client_max_size, self._max_size_error_cls)
                return self._make_part()
        self._stepping = True
        try:
            return await self._step()
        finally:
            self._stepping = False

    def _check_stepping(self) -> None:
        if self._stepping:
            raise StateError("another task is in next() of this reader")

    async def _step(self) -> PartReader | None:
        level = self._level
        if self._at_eof:
            level.channel.check()
            if self._closed:
                raise StateError("the reader is closed")
            return None
        level.receiver.check()  # the channel, or the part that this message is the body of
        if self._handed_over and not await self._advance():
            return None
        if self._charset_may_come:
            # A cancelled wait for the first field finds it again.
            self._handed_over = False
            is_charset = await self._read_charset()
            self._charset_may_come = False
            self._handed_over = True
            if is_charset and not await self._advance():
                return None
        self._handed_over = True
        try:
            return await self.fetch_next_part()
        except asyncio.CancelledError:
            self._handed_over = False
            raise

    async def _advance(self) -> bool:
        """Drop what is left of the current part and go to the next one; False at the end."""
        while self._find() is None:
            if self._at_eof or not await self._level.fill():
                self._at_eof = True
                return False
        return True

    def _find(self) -> PartBegin | None:
        """As :meth:`_advance`, in what is here already; None when there is no part in it."""
        level = self._level
        level.part = None
        level.ended = False
        events = level.events
        while events:
            event = events.popleft()
            if type(event) is PartBegin:  # which takes half as long as isinstance()
                self._begin = event
                if level.counts:
                    level.count(event)
                return event
            if event is END:
                self._at_eof = True
                break
        return None

    async def _read_charset(self) -> bool:
        """Whether the first field is ``_charset_`` with a charset that we know; its events are only looked at."""
        begin, events = self._begin, self._level.events
        if begin is None or begin.name != CHARSET_FIELD:
            return False
        value = b""
        seen = 0
        while len(value) <= _LONGEST_CHARSET:
            if seen == len(events):
                try:
                    await self._level.fill()
                except MultipartError:
                    return False  # which comes again when the events before it are used
                value, seen = b"", 0
                continue
            event = events[seen]
            seen += 1
            if not isinstance(event, bytes):
                charset = value.decode("latin-1").strip(" \t\r\n")
                if lookup_charset(charset) is None:
                    return False
                self._default_charset = charset
                return True
            value += event
        return False

    async def fetch_next_part(self) -> PartReader:
        """Make the reader for the part that the message has come to; :meth:`next` calls it, subclasses may override.

        :raises StateError: there is no current part.
        """
        return self._make_part()

    def _make_part(self) -> PartReader:
        level, begin = self._level, self._begin
        if begin is None:
            raise StateError("next() has not come to a part")
        content = level.part
        if content is None and begin.boundary is None and self.part_reader_cls is BodyPartReader:
            return part_of(level, begin, self._default_charset, self._client_max_size, self._max_size_error_cls)
        if isinstance(content, BodyPartReader):
            content = content._source  # noqa: SLF001  (the part that this reader made)
        if not isinstance(content, PartSource):
            level.part = content = PartSource(level, begin)
        options: _SizeOptions = {}
        if self._client_max_size is not None:
            options["client_max_size"] = self._client_max_size
        if self._max_size_error_cls is not None:
            options["max_size_error_cls"] = self._max_size_error_cls
        if begin.boundary is not None:
            multipart_cls = self.multipart_reader_cls or type(self)
            return multipart_cls(begin.headers, content, **options)
        return self.part_reader_cls(
            self._boundary,
            begin.headers,
            content,
            subtype=level.parser.subtype,
            default_charset=self._default_charset,
            **options,
        )

    async def release(self) -> None:
        """Read the message to its end, epilogue included, and drop it.

        :raises MultipartError: what is read is bad, or the input ends early.
        :raises StateError: another task is reading this message.

        Nothing to do for a nested message once the reader of the outer one has moved on, and after :meth:`aclose`.
        """
        self._check_stepping()
        receiver = self._level.receiver
        if not self._closed and not (isinstance(receiver, PartSource) and receiver.passed):
            receiver.check()
            await self._level.drain()
        self._at_eof = True

    async def aclose(self) -> None:
        """Close what reading opened (an async generator), without reading on; the caller's stream stays open.

        :raises StateError: another task is reading this message.
        """
        self._check_idle()
        self._closed = self._closed or not self._at_eof
        self._at_eof = True
        self._level.part = None
        if self._level.is_root:
            await self._level.channel.aclose()

    def _check_idle(self) -> None:
        self._check_stepping()
        self._level.channel.check_idle()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PartReader:
        part = await self.next()
        if part is None:
            raise StopAsyncIteration
        return part


class MultipartResponseWrapper:
    """A reader over a client's response, which is released when the last part has been read.

    :param resp: the response.
    :param stream: the reader over its body.
    """

    def __init__(self, resp: Response, stream: MultipartReader) -> None:
        self.resp = resp
        self.stream = stream
        self._released = False

    def at_eof(self) -> bool:
        """Whether :meth:`next` has returned None."""
        return self.stream.at_eof()

    async def next(self) -> PartReader | None:
        """As :meth:`MultipartReader.next`; at the end the response is released.

        It is given 0.1 seconds to end by itself, since only then can its connection be used again.
        """
        part = await self.stream.next()
        if part is None and not self._released:
            await self._reach_end()
            await self.release()
        return part

    async def _reach_end(self) -> None:
        """Read to the end of the response. The message is complete, so an error that comes now is of no interest."""
        try:
            async with asyncio.timeout(_MOMENT):
                await self.stream.release()
        except Exception:  # noqa: BLE001, S110  (whatever the client raises)
            pass

    async def release(self) -> None:
        """Give the response back to its client, whether it was read to its end or not, and whatever closing raises.

        :raises StateError: another task is reading; nothing is given back then.
        """
        self.stream._check_idle()  # noqa: SLF001  (the reader that this is a wrapper of)
        try:
            await self.stream.aclose()
        finally:
            close = getattr(self.resp, "aclose", None)
            result = close() if close is not None else self.resp.release()  # type: ignore[union-attr]
            if inspect.isawaitable(result):
                await result
            self._released = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> PartReader:
        part = await self.next()
        if part is None:
            raise StopAsyncIteration
        return part


MultipartReader.response_wrapper_cls = MultipartResponseWrapper


# One object for equal bounds: to make one takes longer than to read a small message.
@functools.lru_cache(maxsize=16)
def _with_bounds(limits: Limits, max_field_size: int | None, max_headers: int | None) -> Limits:
    if max_field_size is not None:
        limits = limits.replace(max_header_line=max_field_size)
    if max_headers is not None:
        limits = limits.replace(max_headers=max_headers)
    return limits
