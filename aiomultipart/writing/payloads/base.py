"""What every payload is: :class:`Payload`, and the ways to get at its bytes and its header fields.

Which way the data flows: object -> :class:`Payload` -> its chunks or blocks -> the layout. A class
says how it makes its bytes by what it defines: ``whole()`` (all at once, where they are in memory anyway), ``blocks()``
(piece by piece, without a loop), ``chunks()`` (with one) or, as for aiohttp, ``write()``. What the nearest class
defines counts, and not what others have said of other bytes.

A multidict costs as much as all the rest of a small part, and hardly anybody looks into it. So a header block that says
nothing of the body is kept as it will be written, until ``headers`` is asked for first.
"""

from __future__ import annotations

import mimetypes
import operator
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum, auto
from typing import Any, BinaryIO, ClassVar, Final, NamedTuple

from multidict import CIMultiDict

from aiomultipart import hdrs
from aiomultipart.exceptions import StateError
from aiomultipart.writing.head import (
    Field,
    HeadersLike,
    Lines,
    begin,
    check_charset,
    check_codings,
    coded_size,
    content_disposition,
    given_length,
    render,
)
from aiomultipart.writing.sinks import Serialized, Writer, first_bytes, iterate_writes, opened, send, serialized

__all__ = ("DEFAULT_CHUNK_SIZE", "READ_SIZE", "UNSET", "Message", "Payload", "Unset", "at_once", "sliced")

DEFAULT_CHUNK_SIZE: Final = 64 * 1024
"""What an async source is asked for at a time, in bytes."""
READ_SIZE: Final = 256 * 1024
"""What a file is read in, in bytes."""


class Unset(Enum):
    """The type of :data:`UNSET`."""

    UNSET = auto()


UNSET: Final = Unset.UNSET
"""An argument that was not given, where None says something else."""


class Message(NamedTuple):
    """A multipart message, as the layout needs to know it."""

    boundary: str
    parts: Sequence[Payload]
    in_form_data: bool
    chosen: bool
    """Whether the caller has chosen the boundary, so that a body may contain it."""


class Payload:
    """An object to send, and its header fields.

    :param value: the object.
    :param headers: header fields of the part; they win over what is worked out here.
    :param content_type: the Content-Type; if not given, guessed from ``filename``, else the class's default.
    :param filename: the name of the file that it is.
    :param encoding: the charset of text.
    :raises ValueError: a header field cannot be written.

    A subclass defines one of ``whole()``, ``blocks()``, ``chunks()`` and ``write()``, or several that agree.
    """

    _default_content_type: ClassVar[str] = "application/octet-stream"
    # What the class, or the nearest of its bases that has any, defines its bytes by.
    _defined_by: ClassVar[AbstractSet[str]] = frozenset()
    _own_headers: ClassVar[bool] = False
    at_hand: ClassVar[bool] = False
    """Whether to ask for ``whole()`` costs nothing."""

    _size: int | None = None
    _encoding: str | None = None
    _filename: str | None = None
    # The header block, until there is a multidict: the line of a Content-Disposition by itself, as it comes last and is
    # often set anew; and whether a message has the Content-Length follow it, or precede it; None: no message has one.
    _text: str
    _disposition: str = ""
    _length_last: bool | None = None
    # The multidict; and the Content-Length that a message has put into it, "" where there was one of the caller's: one
    # that was there and that the user takes away stays away.
    _headers: CIMultiDict[str] | None = None
    _length: str | None = None
    _consumed: bool = False
    # What as_bytes() has read of a source that can be read only once.
    _kept: bytes | None = None
    _autoclose: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        ways = {"blocks", "chunks", "whole", "write"}
        bases = cls.__mro__[: cls.__mro__.index(Payload)]
        cls._defined_by = next((own for base in bases if (own := ways & vars(base).keys())), frozenset())
        cls._own_headers = cls.headers is not Payload.headers
        cls.at_hand = cls.at_hand and "whole" in cls._defined_by

    def __init__(
        self,
        value: Any,
        headers: HeadersLike | None = None,
        content_type: str | Unset | None = UNSET,
        filename: str | None = None,
        encoding: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._value = value
        if encoding is not None:
            self._encoding = encoding
        if filename is not None:
            self._filename = filename
        if not isinstance(content_type, str):
            guessed = mimetypes.guess_type(filename)[0] if filename is not None else None
            content_type = guessed or self._default_content_type
        self._begin(content_type, headers)

    def _begin(self, content_type: str, headers: HeadersLike | None) -> None:
        """Have its first header fields."""
        self._text, self._disposition, fields = begin(content_type, headers)
        if fields is not None:
            self._headers = CIMultiDict(fields)

    @property
    def size(self) -> int | None:
        """How many bytes it is; None when that is not known."""
        return self._size

    def declare_size(self, size: int) -> None:
        """Say how many bytes it will be, where that is not known; one that gives more or fewer will raise.

        :raises ValueError: the size is known, and another one; or is negative.
        :raises TypeError: it is no integer.
        """
        size = operator.index(size)
        if size < 0 or self.size not in (None, size):
            raise ValueError(f"size {size} of a payload of {self.size} bytes")
        self._size = size

    @property
    def filename(self) -> str | None:
        """The name of the file that it is."""
        return self._filename

    @property
    def headers(self) -> CIMultiDict[str]:
        """The header fields of the part; they may be changed until it is sent."""
        if self._headers is None:
            last, disposition = self._length_last, self._disposition
            headers = self._headers = CIMultiDict(_fields_in(self._text + disposition if last else self._text))
            if last is not None:
                self._show_length(headers)
            if not last:
                headers.extend(_fields_in(disposition))
        return self._headers

    @property
    def encoding(self) -> str | None:
        """The charset of text."""
        return self._encoding

    @property
    def content_type(self) -> str:
        """The Content-Type."""
        if self._headers is None:
            return self._text.partition("\r\n")[0].partition(": ")[2]
        return self._headers.get(hdrs.CONTENT_TYPE, self._default_content_type)

    @property
    def consumed(self) -> bool:
        """Whether it has been sent and cannot be sent again, or is closed."""
        return self._consumed

    @property
    def autoclose(self) -> bool:
        """Whether there is nothing to close."""
        return self._autoclose

    def set_content_disposition(
        self, disptype: str, quote_fields: bool = True, _charset: str = "utf-8", **params: str
    ) -> None:
        """Set Content-Disposition.

        :param disptype: ``form-data``, ``attachment`` …
        :param quote_fields: in form-data, escape as browsers do (WHATWG: ``%22``, ``%0D``, ``%0A``); elsewhere, give
            what is not ASCII as an ext-value too (RFC 6266 section 4.3). False: backslash escapes only.
        :param _charset: of an ext-value.
        :param params: ``name``, ``filename`` and the like.
        :raises ValueError: a value holds a control character that cannot be written, or is not in the charset.
        :raises UnsupportedEncoding: an unknown charset.
        """
        if _charset != "utf-8":
            check_charset(_charset)
        value = content_disposition(disptype, params, quote_fields, _charset)
        if self._headers is None and not self._own_headers:
            if not value.isprintable():
                value.encode()  # a lone surrogate is no control character
            self._disposition = f"Content-Disposition: {value}\r\n"
        else:
            self.headers[hdrs.CONTENT_DISPOSITION] = value

    # For who sends it: what the methods that a subclass may have made its own come to

    @property
    def disposition(self) -> str | None:
        """The Content-Disposition; None without one."""
        if self._headers is None and not self._own_headers:
            return self._disposition.partition(": ")[2].removesuffix("\r\n") or None
        return self.headers.get(hdrs.CONTENT_DISPOSITION)

    def header_block(self, in_form_data: bool, size: int | None) -> tuple[str, int | None, str | None, str | None]:
        """The header block as it is now, the length that it tells, the content coding and the transfer encoding.

        :param in_form_data: tell no length.
        :param size: of the body before it is encoded.
        :raises ValueError: a header field cannot be written, or is not allowed in form-data.
        :raises UnsupportedEncoding: a coding that cannot be applied.
        """
        if self._headers is None and not self._own_headers:
            last = self._length_last
            if in_form_data or last is None or size is None:
                return self._text + self._disposition, size, None, None
            length = f"Content-Length: {size}\r\n"
            text = self._text
            return (
                f"{text}{self._disposition}{length}" if last else f"{text}{length}{self._disposition}",
                size,
                None,
                None,
            )
        text, at, coding, transfer_encoding = self._judged(in_form_data)
        if coding or transfer_encoding:
            size = coded_size(size, coding, transfer_encoding)
        if size is not None and not in_form_data and (at is not None or self._length is None):
            at = len(text) if at is None else at
            text = f"{text[:at]}Content-Length: {size}\r\n{text[at:]}"
        return text, size, coding, transfer_encoding

    def _judged(self, in_form_data: bool) -> Lines:
        fields: Iterable[Field] = self.headers.items()
        if in_form_data:  # a Content-Length that another message has put there is none of the caller's
            fields = [field for field in fields if (field[0].lower(), field[1]) != ("content-length", self._length)]
        lines = render(fields, in_form_data)
        check_codings(lines[2], lines[3])
        return lines

    def become_part(self, number: int, in_form_data: bool) -> None:
        """Become a part of a message, which says what its form-data is called if nobody does, or how long it is.

        :raises ValueError: a header field cannot be written, or is not allowed in form-data.
        :raises UnsupportedEncoding: a coding that cannot be applied.
        """
        if self._headers is None and not self._own_headers:
            if not in_form_data and self._length_last is None:
                self._length_last = self._disposition != ""
            elif in_form_data and not self._disposition:
                if type(self).set_content_disposition is Payload.set_content_disposition:
                    self._disposition = f'Content-Disposition: form-data; name="section-{number}"\r\n'
                else:
                    self.set_content_disposition("form-data", name=f"section-{number}")
            return
        _, at, coding, transfer_encoding = self._judged(in_form_data)
        headers = self.headers
        if in_form_data:
            if hdrs.CONTENT_DISPOSITION not in headers:
                self.set_content_disposition("form-data", name=f"section-{number}")
            return
        if at is not None and (self._length is None or headers.get(hdrs.CONTENT_LENGTH) != self._length):
            length = given_length(headers[hdrs.CONTENT_LENGTH]) if hdrs.CONTENT_LENGTH in headers else None
            if length is not None and not coding and not transfer_encoding:
                self.declare_size(length)
        self._show_length(headers)

    def _show_length(self, headers: CIMultiDict[str]) -> None:
        _, at, coding, transfer_encoding = render(headers.items())
        length = None if coding else coded_size(self.size, coding, transfer_encoding)
        if at is not None and not self._length:
            self._length = ""
        elif length is not None:
            self._length = str(length)
        if length is not None:
            headers[hdrs.CONTENT_LENGTH] = str(length)

    def as_chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in pieces that are not empty."""
        if self._kept is None:
            ways = self._defined_by
            if "chunks" in ways:
                return self.chunks()
            if "write" in ways and "blocks" not in ways and self.in_memory() is None:
                return iterate_writes(self.write)
        return at_once(self.as_blocks()) if self.has_blocks else self.chunks()

    @property
    def has_blocks(self) -> bool:
        """Whether the bytes can be had without an event loop."""
        return self._kept is not None or not self._defined_by.isdisjoint(("blocks", "whole"))

    def as_blocks(self) -> Iterator[bytes]:
        """The bytes, in pieces that are not empty, where they can be had without an event loop.

        :raises TypeError: they cannot.
        """
        if self._kept is None and "blocks" in self._defined_by:
            return self.blocks()
        whole = self.in_memory()
        if whole is None:
            raise self.needs_a_loop("this")
        return sliced(whole)

    def needs_a_loop(self, what: str) -> TypeError:
        """The error to raise where they cannot.

        :param what: what to call it.
        """
        return TypeError(
            f"{what} is a {type(self._value).__name__}, which can be read with an event loop only: send it by"
            " 'async for' or write(), or await as_bytes() first"
        )

    def in_memory(self) -> bytes | None:
        """All bytes, where they are in memory anyway; else None."""
        return self.whole() if "whole" in self._defined_by else self._kept

    def message(self) -> Message | None:
        """The multipart message that it is, where it is one; else None."""
        return None

    def http_headers(self) -> dict[str, str]:
        """The header fields of a message with this body: Content-Type, and Content-Length when the size is known."""
        size = self.size
        return {"Content-Type": self.content_type} | ({} if size is None else {"Content-Length": str(size)})

    # Its bytes

    def whole(self) -> bytes | None:
        """All bytes, where they are in memory anyway; else None."""
        return None

    def rewind(self) -> None:
        """Get ready to be sent; called before the first byte of the message is.

        :raises StateError: it has been sent and cannot be sent again.
        """
        if self.consumed:
            raise StateError(f"{type(self).__name__} over {type(self._value).__name__} can be sent only once")

    def blocks(self) -> Iterator[bytes]:
        """The bytes, in pieces that are not empty; they are read here and now."""
        return sliced(self.whole() or b"")

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in pieces that are not empty."""
        if type(self).blocks is Payload.blocks and type(self).whole is Payload.whole:
            raise NotImplementedError(f"{type(self).__name__} defines neither chunks() nor write()")
        return at_once(self.blocks())

    def ready_chunks(self) -> AsyncIterator[bytes]:
        """The bytes, ready to be sent."""
        self.rewind()
        return self.as_chunks()

    async def write(self, writer: Writer) -> None:
        """Write all bytes to ``writer``.

        :raises StateError: it has been sent and cannot be sent again.
        """
        self.rewind()
        # Where a subclass has its own write(), this is what it calls its base for.
        await send(self.chunks() if self._defined_by == {"write"} else self.as_chunks(), writer)

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write at most ``content_length`` bytes, or all when it is None; otherwise as :meth:`write`."""
        chunks = self.ready_chunks()
        await send(chunks if content_length is None else first_bytes(chunks, content_length), writer)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """All bytes. Those of a source that can be read only once are kept, so that it can be sent all the same.

        The parameters, which are aiohttp's, are not used.

        :raises StateError: it has been sent and cannot be sent again.
        """
        self.rewind()
        await self.keep()
        whole = self.in_memory()
        return b"".join([chunk async for chunk in self.as_chunks()]) if whole is None else whole

    def _once(self) -> bool:
        """Whether it can be read only once."""
        return False

    async def keep(self) -> None:
        """Read it, where that can be done only once, and keep what was read."""
        if self._kept is None and self._once():
            self._kept = b"".join([chunk async for chunk in self.as_chunks()])
            self._consumed = False

    def serialize(self) -> Serialized:
        """The bytes without an event loop: an iterator, read as it goes.

        Its ``len()`` is the size where that is known, by which ``requests`` sends a Content-Length; where it is not,
        there is no ``__len__``.

        :raises TypeError: a part is an async source, or has only an asynchronous ``write()``; the part is named.
        :raises StateError: a part has been sent and cannot be sent again.
        """
        blocks = self.as_blocks()
        self.rewind()
        return serialized(blocks, self.size)

    def to_bytes(self) -> bytes:
        """All bytes without an event loop; raises as :meth:`serialize`."""
        return b"".join(self.serialize())

    def open(self) -> BinaryIO:
        """A binary file to ``read(n)`` the bytes from; otherwise as :meth:`serialize`."""
        return opened(self.serialize())

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All bytes as text; raises as :meth:`serialize`."""
        return self.to_bytes().decode(encoding, errors)

    async def close(self) -> None:
        """Close what is sent, where it is a file."""


def _fields_in(text: str) -> list[Field]:
    return [line.partition(": ")[::2] for line in text.split("\r\n")[:-1]]


async def at_once(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Blocks that nobody has to wait for."""
    for block in blocks:
        yield block
        del block  # or it would be kept while the next one is made


def sliced(data: bytes | memoryview) -> Iterator[bytes]:
    """Bytes in pieces: who takes them may have to copy what it cannot send yet."""
    for start in range(0, len(data), READ_SIZE):
        yield bytes(data[start : start + READ_SIZE])
