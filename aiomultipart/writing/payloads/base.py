"""What every payload is: :class:`Payload`, and the ways to get at its bytes and its header fields.

Which way the data flows: object -> :class:`Payload` -> its chunks or blocks -> the layout. A class
says how it makes its bytes by what it defines: ``whole()`` (all at once, where they are in memory anyway), ``blocks()``
(piece by piece, without a loop), ``chunks()`` (with one) or, as for aiohttp, ``write()``. What the nearest class
defines counts, and not what others have said of other bytes.

A multidict costs as much as all the rest of a small part, and hardly anybody looks into it. So header fields are a list
of pairs until ``headers`` is asked for first.
"""

from __future__ import annotations

import mimetypes
import operator
from collections.abc import AsyncIterator, Iterator, Sequence
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
    are_plain,
    check_charset,
    coded_size,
    content_disposition,
    lines_of,
    merge,
    plain_lines_of,
    value_of,
)
from aiomultipart.writing.sinks import Serialized, Writer, first_bytes, iterate_writes, opened, send, serialized

__all__ = (
    "DEFAULT_CHUNK_SIZE",
    "READ_SIZE",
    "UNSET",
    "Message",
    "Payload",
    "Unset",
)

DEFAULT_CHUNK_SIZE: Final = 64 * 1024
"""What an async source is asked for at a time, in bytes."""
READ_SIZE: Final = 288 * 1024
"""What a file is read in, in bytes. The way to a thread and back costs 35 to 125 us, so with 128 KiB a file takes twice
as long; and some six chunks are held at a time, by threads that ended too, which shall be less than 2 MiB."""


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
    _size: int | None = None
    _encoding: str | None = None
    _filename: str | None = None
    # The Content-Type first; not used any more once there is a multidict.
    _fields: list[Field]
    # Whether they are known to be plain; else what has been made of them.
    _plain: bool = True
    _lines: Lines | None = None
    _headers: CIMultiDict[str] | None = None
    # Where among the fields a message would have the Content-Length; and the one that it has put into the multidict, ""
    # where there was one of the caller's: one that was there and that the user takes away stays away.
    _length_at: int | None = None
    _length: str | None = None
    _consumed: bool = False
    # What as_bytes() has read of a source that can be read only once.
    _kept: bytes | None = None
    _autoclose: bool = False
    at_hand: ClassVar[bool] = False
    """Whether to ask for ``whole()`` costs nothing."""

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
        self._encoding = encoding
        self._filename = filename
        if not isinstance(content_type, str):
            guessed = mimetypes.guess_type(filename)[0] if filename is not None else None
            content_type = guessed or self._default_content_type
        self._fields = [("Content-Type", content_type)]
        self._plain = are_plain(self._fields) if headers is None else merge(self._fields, headers)

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
            fields, at = self._fields, self._length_at
            self._headers = CIMultiDict(fields if at is None else fields[:at])
            if at is not None:
                self._show_length(self._headers)
                self._headers.extend(fields[at:])
        return self._headers

    @property
    def encoding(self) -> str | None:
        """The charset of text."""
        return self._encoding

    @property
    def content_type(self) -> str:
        """The Content-Type."""
        if self._headers is None:
            return self._fields[0][1]
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
            fields = self._fields
            self._lines = None
            self._plain = self._plain and value.isprintable()
            if len(fields) == 2 and fields[1][0] == "Content-Disposition":
                fields[1] = ("Content-Disposition", value)
                return
            if len(fields) == 1 or value_of(fields, "content-disposition") is None:
                fields.append(("Content-Disposition", value))
                return
        self.headers[hdrs.CONTENT_DISPOSITION] = value

    # For who sends it: what the methods that a subclass may have made its own come to

    def fields(self, in_form_data: bool = False) -> Sequence[Field]:
        """The header fields as they are now.

        :param in_form_data: leave out a Content-Length that another message has put there.
        """
        if self._headers is None and not self._own_headers:
            return self._fields
        fields = list(self.headers.items())
        if in_form_data and self._length:
            fields = [field for field in fields if (field[0].lower(), field[1]) != ("content-length", self._length)]
        return fields

    @property
    def is_plain(self) -> bool:
        """Whether it is known that the header fields can be written, and say nothing of the body."""
        return self._plain and self._headers is None and not self._own_headers

    def lines(self, in_form_data: bool) -> Lines:
        """The header fields as they are written; raises as :func:`~aiomultipart.writing.head.lines_of`."""
        if self._headers is None and not self._own_headers:
            if self._plain:
                return plain_lines_of(self._fields), self._length_at, None, None
            if self._lines is None or in_form_data:
                self._lines = lines_of(self._fields, in_form_data)
            lines, at, coding, transfer_encoding = self._lines
            return lines.copy(), self._length_at if at is None else at, coding, transfer_encoding
        fields = self.fields(in_form_data)
        lines, at, coding, transfer_encoding = lines_of(fields, in_form_data)
        return lines, len(lines) if at is None and self._length is None else at, coding, transfer_encoding

    def announce(self) -> None:
        """Show the length among the header fields, as a part of a message does that has such fields."""
        if self._headers is not None or self._own_headers:
            self._show_length(self.headers)
        elif self._length_at is None:
            self._length_at = len(self._fields)

    def call_section(self, number: int) -> None:
        """Have the name that a part of form-data gets if nobody gives it one."""
        if self._headers is None and type(self).set_content_disposition is Payload.set_content_disposition:
            self._fields.append(("Content-Disposition", f'form-data; name="section-{number}"'))
            self._lines = None
        else:
            self.set_content_disposition("form-data", name=f"section-{number}")

    def _show_length(self, headers: CIMultiDict[str]) -> None:
        _, at, coding, transfer_encoding = lines_of(headers.items(), in_form_data=False)
        length = coded_size(self.size, coding, transfer_encoding)
        if at is not None and not self._length:
            self._length = ""
        elif length is not None:
            self._length = str(length)
        if length is not None:
            headers[hdrs.CONTENT_LENGTH] = str(length)

    def as_chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in pieces that are not empty."""
        if self._kept is not None:
            return _at_once(_sliced(self._kept))
        if "chunks" not in self._defined_by:
            if "blocks" in self._defined_by:
                return _at_once(self.blocks())
            whole = self.in_memory()
            if whole is not None:
                return _at_once(_sliced(whole))
            if "write" in self._defined_by:
                return iterate_writes(self.write)
        return self.chunks()

    @property
    def has_blocks(self) -> bool:
        """Whether the bytes can be had without an event loop."""
        return self._kept is not None or not self._defined_by.isdisjoint(("blocks", "whole"))

    def as_blocks(self) -> Iterator[bytes]:
        """The bytes, in pieces that are not empty, where they can be had without an event loop."""
        if self._kept is None and "blocks" in self._defined_by:
            return self.blocks()
        whole = self.in_memory()
        if whole is None:
            raise self.needs_a_loop("this")
        return _sliced(whole)

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
        headers = {"Content-Type": self.content_type}
        size = self.size
        if size is not None:
            headers["Content-Length"] = str(size)
        return headers

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
        """The bytes, in pieces that are not empty; they are read here and now.

        :raises TypeError: that takes an event loop.
        """
        whole = self.whole()
        if whole is None:
            raise TypeError(f"a {type(self).__name__} is sent with an event loop only")
        return _sliced(whole)

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in pieces that are not empty."""
        if type(self).blocks is Payload.blocks and type(self).whole is Payload.whole:
            raise NotImplementedError(f"{type(self).__name__} defines neither chunks() nor write()")
        return _at_once(self.blocks())

    async def write(self, writer: Writer) -> None:
        """Write all bytes to ``writer``.

        :raises StateError: it has been sent and cannot be sent again.
        """
        self.rewind()
        # Where a subclass has its own write(), this is what it calls its base for.
        await send(self.chunks() if self._defined_by == {"write"} else self.as_chunks(), writer)

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write at most ``content_length`` bytes, or all when it is None.

        :raises StateError: it has been sent and cannot be sent again.
        """
        self.rewind()
        chunks = self.as_chunks()
        await send(chunks if content_length is None else first_bytes(chunks, content_length), writer)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """All bytes. Those of a source that can be read only once are kept, so that it can be sent all the same.

        :param encoding: not used; what is text is encoded when the payload is made. The parameters are aiohttp's.
        :raises StateError: it has been sent and cannot be sent again.
        """
        self.rewind()
        whole = self.in_memory()
        if whole is None:
            whole = b"".join([chunk async for chunk in self.as_chunks()])
            if self._consumed and "write" not in self._defined_by:
                self._kept, self._consumed = whole, False
        return whole

    async def keep(self) -> None:
        """As :meth:`as_bytes`, where the source can be read only once; else nothing."""

    def serialize(self) -> Serialized:
        """The bytes without an event loop: an iterator, read as it goes.

        Its ``len()`` is the size where that is known, by which ``requests`` sends a Content-Length; where it is not,
        there is no ``__len__``.

        :raises TypeError: a part is an async source, or has only an asynchronous ``write()``.
        :raises StateError: a part has been sent and cannot be sent again.
        """
        if not self.has_blocks:
            raise self.needs_a_loop("this")
        self.rewind()
        return serialized(self.as_blocks(), self.size)

    def to_bytes(self) -> bytes:
        """All bytes without an event loop; raises as :meth:`serialize`."""
        return b"".join(self.serialize())

    def open(self) -> BinaryIO:
        """A binary file to ``read(n)`` the bytes from; otherwise as :meth:`serialize`."""
        return opened(self.serialize())

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All bytes as text.

        :raises TypeError: they take an event loop, and have not been kept by :meth:`as_bytes`.
        """
        if not self.has_blocks:
            raise self.needs_a_loop("this")
        return b"".join(self.as_blocks()).decode(encoding, errors)

    async def close(self) -> None:
        """Close what is sent, where it is a file."""


async def _at_once(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block
        del block  # or it would be kept while the next one is made


def _sliced(data: bytes) -> Iterator[bytes]:
    # Not all at once: who takes it may have to copy what it cannot send yet.
    for start in range(0, len(data), READ_SIZE):
        yield data[start : start + READ_SIZE]
