"""Building and sending multipart bodies: :class:`MultipartWriter`.

Which way the data flows: payload -> codec -> layout -> sink. ``layout()`` is the one description of the message, made
anew from the headers as they are when rendering starts. ``size`` is the sum of it; :mod:`.layout` renders
it, for ``chunks()``, which iteration and ``as_bytes()`` use, and for ``write()``.
"""

from __future__ import annotations

import asyncio
import functools
import re
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self
from urllib.parse import urlencode

from multidict import CIMultiDict, getversion

from aiomultipart import hdrs
from aiomultipart.codecs import encoded_size, encoder
from aiomultipart.exceptions import ParseError, UnknownEncoding, UnsupportedEncoding
from aiomultipart.grammar.boundary import BCHARS_NO_SPACE
from aiomultipart.grammar.fields import IDENTITY_TRANSFER_ENCODINGS, TOKEN, check_field, parse_content_length

from . import layout
from .layout import JOINED, Body, Layout, render, render_whole
from .payloads import registry as payloads
from .payloads.base import charset_of, header_items
from .payloads.registry import HeadersLike, JsonPayload, Payload, StringPayload, payload_factory, whole_of
from .sinks import Writer, closing, first_bytes, send

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ("MultipartWriter", "Part")

_SMALL = 4 * 1024
_UNENCODED = (None, None)
_IDENTITY = frozenset({"", "identity"})
_NOT_IN_FORM_DATA = frozenset({"content-length", "content-encoding", "content-transfer-encoding"})
# Names that need no check, in this spelling; any other gets one.
_SAFE_IN_FORM_DATA = frozenset({"Content-Disposition", "Content-Type"})
_SAFE = _SAFE_IN_FORM_DATA | {"Content-Encoding", "Content-Length", "Content-Transfer-Encoding"}

# Its stub asks for a multidict of objects, which one of strings is not.
_version: Callable[[CIMultiDict[str]], int] = getversion  # type: ignore[assignment]

# RFC 2046 section 5.1.1:  boundary := 0*69<bchars> bcharsnospace
_BOUNDARY = re.compile(rf"[{BCHARS_NO_SPACE} ]{{0,69}}[{BCHARS_NO_SPACE}]", re.ASCII).fullmatch
_TOKEN = re.compile(TOKEN, re.ASCII).fullmatch


class Part(NamedTuple):
    """One body part of a writer, as indexing gives it."""

    payload: Payload
    encoding: str | None
    """The content coding that will be applied, from the headers."""
    te_encoding: str | None
    """The transfer encoding that will be applied, from the headers."""

    @property
    def headers(self) -> CIMultiDict[str]:
        """The header fields of the part; they may be changed until it is sent."""
        return self.payload.headers


class _Entry:
    """A part of a writer, and how it was rendered last, which holds until its headers or its size change."""

    __slots__ = (
        "_block",
        "_codings",
        "_declared",
        "_had_length",
        "_headers",
        "_in_form_data",
        "_nested",
        "_version",
        "payload",
        "size",
    )

    def __init__(self, payload: Payload, in_form_data: bool) -> None:
        self.payload = payload
        self.size: int | None = None
        self._in_form_data = in_form_data
        # One that was there, and that the user takes away, stays away.
        self._had_length = not in_form_data
        self._headers: CIMultiDict[str] | None = None
        self._version = 0
        self._nested: Layout | None = None

    def preview(self) -> None:
        """Check the part, and announce its length.

        :raises ValueError: a header field cannot be written, or is not allowed in form-data.
        :raises UnsupportedEncoding: a coding that cannot be applied.
        """
        payload = self.payload
        headers = payload.headers
        self._measure(headers)
        if not self._in_form_data and self.size is not None:
            if hdrs.CONTENT_LENGTH not in headers or payload._length is not None:  # noqa: SLF001
                payload._length = self.size  # noqa: SLF001
            headers[hdrs.CONTENT_LENGTH] = str(self.size)
        self._had_length = hdrs.CONTENT_LENGTH in headers
        self._block = self._fields(headers)
        self._headers, self._version = headers, _version(headers)

    def render(self) -> tuple[bytes, bytes | Body]:
        """The header block with the empty line after it, and the body, by the headers as they are now.

        :raises ValueError: a header field cannot be written, or is not allowed in form-data.
        :raises UnsupportedEncoding: a coding that cannot be applied.
        """
        payload = self.payload
        headers = payload.headers
        version = _version(headers)
        unchanged = headers is self._headers and version == self._version
        if not unchanged or self._nested is not None or payload.size != self._declared:
            self._measure(headers)
            self._block = self._fields(headers)
            self._headers, self._version = headers, version
        coding, transfer_encoding = self._codings
        declared = self._declared
        if declared is not None and declared <= _SMALL and coding is None and transfer_encoding is None:
            whole = whole_of(payload)
            if whole is not None and len(whole) == declared:
                return self._block, whole
        return self._block, Body(payload, coding, transfer_encoding, declared, self._nested)

    def _measure(self, headers: CIMultiDict[str]) -> None:
        payload = self.payload
        coding, transfer_encoding = self._codings = _codings(headers)
        self._nested = None
        if coding is not None or transfer_encoding is not None:
            try:
                encoder(transfer_encoding, coding)
            except UnknownEncoding as exc:
                raise UnsupportedEncoding(exc.message) from exc.__cause__
            self._declared = size = payload.size
            predictable = coding is None and transfer_encoding == "base64"
            self.size = encoded_size(size) if predictable and size is not None else None
        elif isinstance(payload, MultipartWriter) and payload.renders_by_layout:
            self._nested = payload.layout()
            self._declared, self.size = None, self._nested.size
        else:
            self._declared = self.size = payload.size

    def _fields(self, headers: CIMultiDict[str]) -> bytes:
        """The header block.

        :raises ValueError: a header field cannot be written, or is not allowed in form-data.
        :raises TypeError: a value is no string.
        """
        safe = _SAFE
        if self._in_form_data:
            safe = _SAFE_IN_FORM_DATA
        else:
            headers = self._with_length(headers)
        lines = []
        for name, value in headers.items():
            if name not in safe or not str.isprintable(value):
                check_field(name, value)
                if self._in_form_data and name.lower() in _NOT_IN_FORM_DATA:
                    if name.lower() == "content-length" and value == str(self.payload._length):  # noqa: SLF001
                        continue  # of another message that the payload is in
                    raise ValueError(f"{name} on a part of form-data (RFC 7578 section 4.8)")
            lines.append(f"{name}: {value}\r\n")
        lines.append("\r\n")
        return "".join(lines).encode()

    def _with_length(self, headers: CIMultiDict[str]) -> CIMultiDict[str]:
        there, length = headers.get(hdrs.CONTENT_LENGTH), None if self.size is None else str(self.size)
        if there == length or (there is None and self._had_length):
            return headers
        headers = headers.copy()
        if length is None:
            headers.popall(hdrs.CONTENT_LENGTH)
        else:
            headers[hdrs.CONTENT_LENGTH] = length
        return headers


class MultipartWriter(Payload):
    """A multipart message that is built from parts, and streamed.

    :param subtype: the multipart subtype, ``mixed`` if not given; any text without control characters, since
        ``MultipartWriter("image/jpeg")`` is how aiohttp's documentation sends frames.
    :param boundary: 1 to 70 characters of RFC 2046's set; if not given, 128 random bits. With a boundary of your own,
        a body that contains the delimiter raises before it would end the part.
    :param on_progress: called as ``on_progress(sent, total)`` with each chunk that is about to be handed on; bytes,
        ``total`` None when the size is not known.
    :raises ValueError: the subtype or the boundary cannot be written.

    As a context manager it closes nothing: files belong to the writer, and :meth:`close` closes them.
    """

    renders_by_layout: ClassVar[bool] = True
    """Whether its bytes are those of its layout; a subclass may make other ones."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = {"chunks", "rewind", "size", "whole", "write"} & vars(cls).keys()
        cls.renders_by_layout = cls.renders_by_layout and not own

    def __init__(
        self,
        subtype: str = "mixed",
        boundary: str | None = None,
        *,
        on_progress: Callable[[int, int | None], object] | None = None,
    ) -> None:
        self._value = None
        self._chosen_boundary = boundary is not None
        if boundary is None:
            # The underscore keeps it from beginning with a boundary like "b", chosen for a message around this one.
            boundary = f"_{secrets.token_hex(16)}"
            self._content_type = _media_type(subtype, None) + boundary
        else:
            self._content_type = _media_type(subtype, boundary)
        self._boundary = boundary
        self._is_form_data = subtype.lower() == "form-data"
        # A payload that is bytes, and whose headers nobody has asked for, has nothing to remember.
        self._entries: list[_Entry | Payload] = []
        self.on_progress = on_progress

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    # No __iter__, or httpx would take the writer for a synchronous body; "for part in writer" works by indexing.

    @property
    def _payloads(self) -> Iterable[Payload]:
        return (entry.payload if isinstance(entry, _Entry) else entry for entry in self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, index: int) -> Part:
        entry = self._entries[index]
        payload = entry.payload if isinstance(entry, _Entry) else entry
        return Part(payload, *_codings(payload.headers))

    if TYPE_CHECKING:
        # mypy does not know that ``for part in writer`` goes by the index. At run time httpx must not find this method.
        def __iter__(self) -> Iterator[Part]: ...

    @property
    def boundary(self) -> str:
        """The boundary, without the leading dashes."""
        return self._boundary

    def http_headers(self) -> dict[str, str]:
        """The header fields of a message with this body: Content-Type, and Content-Length when the size is known."""
        headers = {str(hdrs.CONTENT_TYPE): self.content_type}
        size = self.size
        if size is not None:
            headers[str(hdrs.CONTENT_LENGTH)] = str(size)
        return headers

    # Building

    def append(self, obj: Any, headers: HeadersLike | None = None, *, size: int | None = None) -> Payload:
        """Add a part.

        :param obj: text, bytes, a file, an async iterable, another writer …: anything that a payload class is
            registered for.
        :param headers: header fields of the part.
        :param size: how many bytes an object of unknown size will come to.
        :return: the payload; its headers may be changed until the message is sent.
        :raises TypeError: there is no payload class for ``obj``.
        :raises ValueError: a header field cannot be written, or is not allowed in form-data.
        :raises UnsupportedEncoding: a coding in ``headers`` that cannot be applied.
        """
        if isinstance(obj, Payload):
            payload = obj
            if headers is not None:
                payload.headers.update(header_items(headers))
        else:
            try:
                # A payload would have been handed on by itself.
                payload = payload_factory(obj)(obj, headers=headers)  # type: ignore[misc]
            except payloads.LookupError:
                raise TypeError(f"cannot send {type(obj)!r}: no payload class is registered for it") from None
        if size is not None:
            payload.declare_size(size)
        return self.append_payload(payload)

    def append_payload(self, payload: Payload) -> Payload:
        """Add a part that is a payload already; otherwise as :meth:`append`."""
        if payload._announce(len(self._entries), self._is_form_data):  # noqa: SLF001
            self._entries.append(payload)
            return payload
        if isinstance(payload, MultipartWriter) and any(writer is self for writer in _writers_in(payload)):
            raise ValueError("a writer cannot be a part of itself")
        headers = payload.headers
        if self._is_form_data:
            if hdrs.CONTENT_DISPOSITION not in headers:
                payload.set_content_disposition("form-data", name=f"section-{len(self._entries)}")
        elif hdrs.CONTENT_LENGTH in headers:
            length = _given_length(headers[hdrs.CONTENT_LENGTH])
            if _codings(headers) == _UNENCODED:
                payload.declare_size(length)
        entry = _Entry(payload, self._is_form_data)
        entry.preview()
        self._entries.append(entry)
        return payload

    def append_json(self, obj: Any, headers: HeadersLike | None = None) -> Payload:
        """Add ``obj`` as a part of JSON."""
        return self.append_payload(JsonPayload(obj, headers=headers))

    def append_form(
        self, obj: Sequence[tuple[str, str]] | Mapping[str, str], headers: HeadersLike | None = None
    ) -> Payload:
        """Add name and value pairs as a part of application/x-www-form-urlencoded, in the charset of ``headers``."""
        from yarl import URL  # hardly anybody needs it, and it takes a while to import

        headers = None if headers is None else CIMultiDict(header_items(headers))
        charset = charset_of(None, headers)
        if charset.lower() == "utf-8":
            query = URL.build(query=obj if isinstance(obj, Mapping) else list(obj)).raw_query_string
        else:
            query = urlencode(obj, doseq=True, encoding=charset)
        return self.append_payload(
            StringPayload(query, headers=headers, content_type="application/x-www-form-urlencoded")
        )

    # Rendering

    def layout(self, *, close_boundary: bool = True) -> Layout:
        """The message by its headers as they are now.

        :param close_boundary: as in :meth:`chunks`.
        :raises ValueError: a header field cannot be written.
        """
        boundary, in_form_data = self._boundary, self._is_form_data
        items: list[bytes | Body] = []
        in_memory = True
        of_bodies: int | None = 0
        delimiter, next_delimiter = f"--{boundary}\r\n", f"\r\n--{boundary}\r\n"
        for index, entry in enumerate(self._entries):
            if not isinstance(entry, _Entry):
                head = entry._head(delimiter, in_form_data)  # noqa: SLF001
                whole = entry._value  # noqa: SLF001
                if head is not None and len(whole) <= JOINED:
                    items += (head, whole)
                    delimiter = next_delimiter
                    continue
                # It is large, or somebody has asked for its headers and may change them.
                entry = self._entries[index] = _Entry(entry, in_form_data)
            block, body = entry.render()
            items += (delimiter.encode() + block, body)
            delimiter = next_delimiter
            if not isinstance(body, bytes):
                in_memory = False
                of_bodies = None if of_bodies is None or entry.size is None else of_bodies + entry.size
        last = ("\r\n" if items else "") + (f"--{boundary}--\r\n" if close_boundary else "")
        items.append(last.encode())
        size = of_bodies
        if size is not None:
            size += sum(map(len, items if in_memory else [item for item in items if isinstance(item, bytes)]))
        guarded = f"\r\n--{boundary}".encode() if self._chosen_boundary else None
        return Layout(items, size, guarded, in_memory)

    @property
    def size(self) -> int | None:
        """How many bytes the message is; None when that of a part is not known."""
        return self.layout().size

    @property
    def consumed(self) -> bool:
        """Whether a part has been sent and cannot be sent again, or the writer is closed."""
        return self._consumed or any(payload.consumed for payload in self._payloads)

    def rewind(self) -> None:
        """Get ready to be sent.

        :raises StateError: a part has been sent and cannot be sent again.
        """
        for entry in self._entries:
            if isinstance(entry, _Entry):  # the others can be sent as often as one likes
                entry.payload.rewind()

    def whole(self) -> bytes | None:
        """All bytes, when every part is in memory."""
        return render_whole(self.layout())

    def chunks(self, close_boundary: bool = True) -> AsyncIterator[bytes]:
        """The bytes of the message.

        :param close_boundary: end it with the close-delimiter; False for a part of a stream that goes on, as MJPEG.
        :raises StateError: a part has been sent and cannot be sent again, or gives more or fewer bytes than declared.
        :raises ValueError: a header field cannot be written; a body contains the delimiter of a boundary of your own.
        """
        return render(self.layout(close_boundary=close_boundary))

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes of the message, to be sent; for clients and servers that take an async iterable.

        :raises TypeError: aiohttp is about to send it as application/octet-stream, because
            ``aiomultipart.integrations.aiohttp`` has not been imported.
        """
        # AsyncIterablePayload asks for the iterator when it is made: the only moment to notice.
        if sys._getframe(1).f_globals.get("__name__") == "aiohttp.payload":  # noqa: SLF001
            raise TypeError("to send a MultipartWriter through aiohttp, import aiomultipart.integrations.aiohttp")
        return self._sent()

    def _sent(self, close_boundary: bool = True) -> AsyncIterator[bytes]:
        self.rewind()
        chunks = self.chunks(close_boundary)
        if self.on_progress is None:
            return chunks
        return _reported(chunks, self.on_progress, self.size if close_boundary else None)

    async def write(self, writer: Writer, close_boundary: bool = True) -> None:
        """Write the message to ``writer``, waiting for it after each chunk.

        :param writer: anything with ``write(bytes)``, plain or async; ``drain()`` is awaited where there is one.
        :param close_boundary: as in :meth:`chunks`.
        :raises StateError: before the first byte, when a part cannot be sent again.
        """
        if self.on_progress is not None or not self.renders_by_layout:
            await send(self._sent(close_boundary), writer)
        else:
            self.rewind()
            await layout.write(self.layout(close_boundary=close_boundary), writer)

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write at most ``content_length`` bytes of the message, or all when it is None; otherwise as :meth:`write`."""
        chunks = self._sent()
        await send(chunks if content_length is None else first_bytes(chunks, content_length), writer)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """All bytes. What a part can be read for only once is kept, so that the message can be sent all the same.

        The parameters, which are aiohttp's, are not used.

        :raises StateError: a part has been sent and cannot be sent again.
        """
        self.rewind()
        for payload in (payload for writer in _writers_in(self) for payload in writer._payloads):  # noqa: SLF001
            await payload._keep()  # noqa: SLF001
        return b"".join([chunk async for chunk in self.chunks()])

    async def close(self) -> None:
        """Close the files and streams of all parts; all of them, even if closing one of them raises or is cancelled."""
        self._consumed = True
        error: BaseException | None = None
        for payload in self._payloads:
            if not payload.autoclose:
                try:
                    await payload.close()
                except asyncio.CancelledError as exc:
                    error = exc
                except Exception as exc:  # noqa: BLE001  (raised below)
                    error = error or exc
        if error is not None:
            raise error


async def _reported(
    chunks: AsyncIterator[bytes], report: Callable[[int, int | None], object], total: int | None
) -> AsyncIterator[bytes]:
    sent = 0
    async with closing(chunks):
        async for chunk in chunks:
            sent += len(chunk)
            report(sent, total)
            yield chunk
            del chunk


def _writers_in(payload: Payload) -> Iterator[MultipartWriter]:
    """The payload, where it is a writer, and all that are nested in it."""
    found = [payload]
    while found:
        payload = found.pop()
        if isinstance(payload, MultipartWriter):
            yield payload
            found += payload._payloads  # noqa: SLF001


@functools.lru_cache(maxsize=128)
def _media_type(subtype: str, boundary: str | None) -> str:
    """The Content-Type; for no boundary, up to where it stands.

    Cached because a stream of pictures makes a writer for each of them.

    :raises ValueError: the subtype or the boundary cannot be written.
    """
    if boundary is None:
        boundary = ""
    elif not _BOUNDARY(boundary):
        raise ValueError(f"boundary {boundary!r} is not 1 to 70 characters of RFC 2046's set")
    elif not _TOKEN(boundary):
        boundary = f'"{boundary}"'
    content_type = f"multipart/{subtype}; boundary={boundary}"
    check_field(hdrs.CONTENT_TYPE, content_type)
    return content_type


def _given_length(value: object) -> int:
    """A Content-Length that the caller has given.

    :raises ValueError: it is no length.
    """
    try:
        return parse_content_length(str(value))
    except ParseError as exc:
        raise ValueError(exc.message) from None


def _codings(headers: CIMultiDict[str]) -> tuple[str | None, str | None]:
    """Content coding and transfer encoding to apply, by the headers; None for those that change nothing."""
    coding = headers.get(hdrs.CONTENT_ENCODING)
    transfer_encoding = headers.get(hdrs.CONTENT_TRANSFER_ENCODING)
    if coding is transfer_encoding is None:
        return _UNENCODED
    if coding is not None and (coding := coding.strip().lower()) in _IDENTITY:
        coding = None
    if (
        transfer_encoding is not None
        and (transfer_encoding := transfer_encoding.strip().lower()) in IDENTITY_TRANSFER_ENCODINGS
    ):
        transfer_encoding = None
    return coding, transfer_encoding
