"""Building and sending multipart bodies: :class:`MultipartWriter`.

Which way the data flows: payload -> layout -> sink. The writer keeps its parts, and nothing about them: ``layout`` says
anew, from the headers as they are when rendering starts, what the message is, and gives its size and its bytes.
"""

from __future__ import annotations

import functools
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeAlias
from urllib.parse import urlencode

from multidict import CIMultiDict

from aiomultipart import hdrs
from aiomultipart.grammar.boundary import BCHARS_NO_SPACE
from aiomultipart.grammar.fields import TOKEN, check_field

from . import layout
from .head import HeadersLike, charset_of, codings, header_items
from .payloads import registry
from .payloads.base import Message, Payload
from .payloads.memory import JsonPayload, StringPayload
from .sinks import Serialized, Writer, check_caller, closing, send, serialized

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ("MultipartWriter", "Part")

# RFC 2046 section 5.1.1:  boundary := 0*69<bchars> bcharsnospace
_BOUNDARY = re.compile(rf"[{BCHARS_NO_SPACE} ]{{0,69}}[{BCHARS_NO_SPACE}]", re.ASCII).fullmatch
_TOKEN = re.compile(TOKEN, re.ASCII).fullmatch

# What a subclass may define that makes it another message than its layout says.
_OWN_WAYS = ("as_bytes", "blocks", "chunks", "close", "consumed", "keep", "message", "rewind", "size", "whole", "write")

Report: TypeAlias = Callable[[int, int | None], object]


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


class MultipartWriter(Payload):
    """A multipart message that is built from parts, and streamed.

    :param subtype: the multipart subtype, ``mixed`` if not given; any text without control characters, since
        ``MultipartWriter("image/jpeg")`` is how aiohttp's documentation sends frames.
    :param boundary: 1 to 70 characters of RFC 2046's set; if not given, 128 random bits. With a boundary of your own,
        a body that contains the delimiter raises before it would end the part.
    :param on_progress: called as ``on_progress(sent, total)`` with each chunk that is about to be handed on; bytes,
        ``total`` None when the size is not known.
    :raises ValueError: the subtype or the boundary cannot be written.

    ``async with`` closes its files, as :meth:`close` does. ``with`` closes nothing: it is how aiohttp's documentation
    sets off what builds a message.
    """

    _value: list[Payload]  # its parts
    # Whether its bytes are those of its layout; a subclass may make other ones.
    _renders_by_layout: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._renders_by_layout = all(getattr(cls, way) is getattr(MultipartWriter, way) for way in _OWN_WAYS)

    def __init__(
        self,
        subtype: str = "mixed",
        boundary: str | None = None,
        *,
        on_progress: Report | None = None,
    ) -> None:
        chosen = boundary is not None
        if boundary is None:
            # The underscore keeps it from beginning with a boundary like "b", chosen for a message around this one.
            boundary = f"_{secrets.token_hex(16)}"
            content_type = _media_type(subtype, None) + boundary
        else:
            content_type = _media_type(subtype, boundary)
        self._text = f"Content-Type: {content_type}\r\n"
        self._value = parts = list[Payload]()
        self._message = Message(boundary, parts, subtype.lower() == "form-data", chosen)
        self._is_nested = False
        self._closed = 0  # parts
        self.on_progress = on_progress

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    # No __iter__, or httpx would take the writer for a synchronous body; "for part in writer" works by indexing.

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, index: int) -> Part:
        payload = self._value[index]
        return Part(payload, *codings(payload.headers))

    if TYPE_CHECKING:
        # mypy does not know that ``for part in writer`` goes by the index. At run time httpx must not find this method.
        def __iter__(self) -> Iterator[Part]: ...

    @property
    def boundary(self) -> str:
        """The boundary, without the leading dashes."""
        return self._message.boundary

    # Building

    def append(self, obj: Any, headers: HeadersLike | None = None, *, size: int | None = None) -> Payload:
        """Add a part.

        :param obj: text, bytes, a file, a path (:class:`os.PathLike`; a ``str`` is text), an async iterable, another
            writer …: anything that a payload class is registered for.
        :param headers: header fields of the part.
        :param size: how many bytes an object of unknown size will come to.
        :return: the payload; its headers may be changed until the message is sent.
        :raises TypeError: there is no payload class for ``obj``.
        :raises ValueError: a header field cannot be written, or is not allowed in form-data.
        :raises UnsupportedEncoding: a coding in ``headers`` that cannot be applied.
        """
        factory = registry.payload_factory(obj)
        if factory is not None:
            payload = factory(obj) if headers is None else factory(obj, headers=headers)
        else:
            payload = obj
            if headers is not None:
                payload.headers.update(header_items(headers))
        if size is not None:
            payload.declare_size(size)
        return self.append_payload(payload)

    def append_payload(self, payload: Payload) -> Payload:
        """Add a part that is a payload already; otherwise as :meth:`append`."""
        if isinstance(payload, MultipartWriter):
            # What is in no other message is in none of those inside it.
            if payload is self or (self._is_nested and any(inner is self for inner in payload.walk())):
                raise ValueError("a writer cannot be a part of itself")
            payload._is_nested = True  # noqa: SLF001
        payload.become_part(len(self._value), self._message.in_form_data)
        self._value.append(payload)
        return payload

    def append_json(self, obj: Any, headers: HeadersLike | None = None) -> Payload:
        """Add ``obj`` as a part of JSON."""
        return self.append_payload(JsonPayload(obj, headers=headers))

    def append_form(
        self, obj: Sequence[tuple[str, str]] | Mapping[str, str], headers: HeadersLike | None = None
    ) -> Payload:
        """Add name and value pairs as a part of application/x-www-form-urlencoded, in the charset of ``headers``."""
        from yarl import URL  # hardly anybody needs it, and it takes a while to import

        headers = None if headers is None else list(header_items(headers))
        charset = charset_of(None, headers or ())
        if charset.lower() == "utf-8":
            query = URL.build(query=obj if isinstance(obj, Mapping) else list(obj)).raw_query_string
        else:
            query = urlencode(obj, doseq=True, encoding=charset)
        return self.append_payload(
            StringPayload(query, headers=headers, content_type="application/x-www-form-urlencoded")
        )

    # Rendering

    def message(self) -> Message | None:
        """What it is made of; None for a subclass that makes its bytes in a way of its own."""
        return self._message if self._renders_by_layout else None

    def walk(self) -> Iterator[Payload]:
        """All payloads that are in it, however deep, where their bytes are by a layout."""
        found: list[Sequence[Payload]] = [self._value]
        for parts in found:
            for payload in parts:
                yield payload
                if (message := payload.message()) is not None:
                    found.append(message.parts)

    def _leaves(self) -> Iterator[Payload]:
        return (payload for payload in self.walk() if payload.message() is None)

    @property
    def size(self) -> int | None:
        """How many bytes the message is; None when that of a part is not known."""
        return layout.lay_out(self._message).size

    @property
    def consumed(self) -> bool:
        """Whether a part has been sent and cannot be sent again, or the writer is closed."""
        return self._consumed or any(payload.consumed for payload in self._leaves())

    def rewind(self) -> None:
        """Get ready to be sent.

        :raises StateError: a part has been sent and cannot be sent again.
        """
        for payload in self._leaves():
            payload.rewind()

    async def keep(self) -> None:
        """Read what a part can be read for only once, and keep it."""
        for payload in self._leaves():
            await payload.keep()

    def chunks(self, close_boundary: bool = True) -> AsyncIterator[bytes]:
        """The bytes of the message.

        :param close_boundary: end it with the close-delimiter; False for a part of a stream that goes on, as MJPEG.
        :raises StateError: a part has been sent and cannot be sent again, or gives more or fewer bytes than declared.
        :raises ValueError: a part contains the delimiter of a boundary of your own.
        """
        return layout.chunks(layout.lay_out(self._message, close_boundary=close_boundary))

    def blocks(self) -> Iterator[bytes]:
        """As :meth:`chunks`, without an event loop.

        :raises TypeError: a part cannot be read without one.
        """
        return layout.blocks(layout.without_a_loop(layout.lay_out(self._message)))

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes of the message, to be sent; for clients and servers that take an async iterable.

        :raises TypeError: aiohttp is about to send it as application/octet-stream, because
            ``aiomultipart.integrations.aiohttp`` has not been imported; or httpx is without a Content-Type.
        """
        check_caller()
        return self.ready_chunks()

    def ready_chunks(self, close_boundary: bool = True) -> AsyncIterator[bytes]:
        """As :meth:`chunks`, with what it is made of rewound before the first byte; progress is reported."""
        if self._renders_by_layout:
            laid_out = layout.rewound(layout.lay_out(self._message, close_boundary=close_boundary))
            chunks, size = layout.chunks(laid_out), laid_out.size
        else:
            self.rewind()
            chunks, size = self.chunks(close_boundary), self.size
        if self.on_progress is None:
            return chunks
        return _reported_async(chunks, self.on_progress, size if close_boundary else None)

    async def write(self, writer: Writer, close_boundary: bool = True) -> None:
        """Write the message to ``writer``, waiting for it after each chunk.

        :param writer: anything with ``write(bytes)``, plain or async; ``drain()`` is awaited where there is one.
        :param close_boundary: as in :meth:`chunks`.
        :raises StateError: before the first byte, when a part cannot be sent again.
        """
        await send(self.ready_chunks(close_boundary), writer)

    def serialize(self) -> Serialized:
        """The bytes without an event loop, as :meth:`Payload.serialize`; progress is reported."""
        if not self._renders_by_layout:
            return super().serialize()
        laid_out = layout.rewound(layout.without_a_loop(layout.lay_out(self._message)))
        blocks = layout.blocks(laid_out)
        if self.on_progress is not None:
            blocks = _reported(blocks, self.on_progress, laid_out.size)
        return serialized(blocks, laid_out.size)

    def _to_close(self) -> list[Payload]:
        """Its own parts that have to be closed and have not been asked to; it counts as closed."""
        self._consumed = True
        parts, self._closed = self._value[self._closed :], len(self._value)
        return [payload for payload in parts if payload.message() is None and not payload.autoclose]

    async def close(self) -> None:
        """Close the files and streams of all parts; all of them, even if closing one of them raises or is cancelled.

        :raises ExceptionGroup: closing several of them raised; of one, what it raised.
        """
        inside = [inner for inner in self.walk() if isinstance(inner, MultipartWriter) and inner.message() is not None]
        errors: list[Exception] = []
        stop: BaseException | None = None
        for payload in [payload for writer in (self, *inside) for payload in writer._to_close()]:  # noqa: SLF001
            try:
                await payload.close()
            except Exception as exc:  # noqa: BLE001  (raised below)
                errors.append(exc)
            except BaseException as exc:  # noqa: BLE001  (a cancellation: the others are closed for all that)
                stop = exc
        failure = errors[0] if len(errors) == 1 else ExceptionGroup("closing a message", errors) if errors else None
        if stop is not None:
            raise stop from failure
        if failure is not None:
            raise failure


def _reported(pieces: Iterator[bytes], report: Report, total: int | None) -> Iterator[bytes]:
    sent = 0
    for piece in pieces:
        report(sent := sent + len(piece), total)
        yield piece


async def _reported_async(pieces: AsyncIterator[bytes], report: Report, total: int | None) -> AsyncIterator[bytes]:
    sent = 0
    async with closing(pieces):
        async for piece in pieces:
            report(sent := sent + len(piece), total)
            yield piece
            del piece


@functools.lru_cache(maxsize=128)
def _media_type(subtype: str, boundary: str | None) -> str:
    """The Content-Type; for no boundary, up to where it stands.

    Cached because a stream of pictures makes a writer for each of them.

    :raises ValueError: the subtype or the boundary cannot be written.
    """
    if subtype.lower().startswith("multipart/"):
        raise ValueError(f"subtype {subtype!r}: give it without 'multipart/', as {subtype[10:]!r}")
    if boundary is None:
        boundary = ""
    elif not _BOUNDARY(boundary):
        raise ValueError(f"boundary {boundary!r} is not 1 to 70 characters of RFC 2046's set")
    elif not _TOKEN(boundary):
        boundary = f'"{boundary}"'
    content_type = f"multipart/{subtype}; boundary={boundary}"
    check_field(hdrs.CONTENT_TYPE, content_type)
    return content_type
