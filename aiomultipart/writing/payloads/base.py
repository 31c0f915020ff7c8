"""What every payload is: :class:`Payload`, and the two ways to get at its bytes.

Which way the data flows: object -> :class:`Payload` -> :func:`chunks_of` -> the writer's framing. What is bytes already
goes to the framing as it is. A subclass that defines ``write()``, as aiohttp's do, is turned into chunks by running
that coroutine from one written piece to the next.

Each payload says of itself ``whole()`` (all bytes at once, where they are in memory anyway), ``size`` and whether it
can be sent a second time (``rewind()``).

A multidict costs as much as all the rest of a small part, and hardly anybody looks into it. So it is made when
``headers`` is asked for first; until then three attributes say what will be in it, and the writer reads those.
"""

from __future__ import annotations

import codecs
import enum
import mimetypes
import operator
import os
import re
from collections.abc import AsyncIterator, Iterable
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from typing import Any, ClassVar, Final, TypeAlias

from multidict import CIMultiDict

from aiomultipart import hdrs
from aiomultipart.exceptions import StateError, UnsupportedEncoding
from aiomultipart.grammar.disposition import format_disposition
from aiomultipart.grammar.fields import TOKEN, HeaderItems, check_field
from aiomultipart.grammar.media_type import media_type_charset
from aiomultipart.writing.sinks import Writer, first_bytes, iterate_writes, send

__all__ = (
    "DEFAULT_CHUNK_SIZE",
    "READ_SIZE",
    "UNSET",
    "HeadersLike",
    "Payload",
    "TextEncoder",
    "Unset",
    "charset_of",
    "check_charset",
    "chunks_of",
    "file_name",
    "header_items",
    "whole_of",
)

DEFAULT_CHUNK_SIZE: Final = 64 * 1024
"""What an async source is asked for at a time, in bytes."""
READ_SIZE: Final = 288 * 1024
"""What a file is read in, in bytes. The way to a thread and back costs 35 to 125 us, so with 128 KiB a file takes twice
as long; and some six chunks are held at a time, by threads that ended too, which shall be less than 2 MiB."""

HeadersLike: TypeAlias = HeaderItems | Iterable[tuple[str, str]]


class Unset(enum.Enum):
    """The type of :data:`UNSET`."""

    UNSET = enum.auto()


UNSET: Final = Unset.UNSET
"""An argument that was not given, where None says something else."""


_HOW_IT_IS_SENT = frozenset(
    {"chunks", "consumed", "headers", "rewind", "set_content_disposition", "size", "whole", "write"}
)


def header_items(headers: HeadersLike) -> Iterable[tuple[str, str]]:
    """The (name, value) pairs of header fields in any form."""
    return headers.items() if hasattr(headers, "items") else headers


_TOKEN = re.compile(TOKEN, re.ASCII).fullmatch


def check_charset(charset: str) -> str:
    """The charset of text that is to be sent, as it is.

    :raises ValueError: it cannot stand in a Content-Type.
    :raises UnsupportedEncoding: Python has no such codec for text.
    """
    if not _TOKEN(charset):
        raise ValueError(f"charset {charset!r} is no token")
    try:
        "".encode(charset)
    except LookupError:
        raise UnsupportedEncoding(f"unknown charset {charset!r}") from None
    return charset


def charset_of(content_type: str | None, headers: CIMultiDict[str] | None = None) -> str:
    """The charset that the Content-Type of a part names, UTF-8 if none; that in ``headers`` wins.

    :raises ValueError: as :func:`check_charset`.
    :raises UnsupportedEncoding: as :func:`check_charset`.
    """
    if headers is not None:
        content_type = headers.get(hdrs.CONTENT_TYPE, content_type)
    charset = media_type_charset(content_type)
    return check_charset(charset) if charset else "utf-8"


class TextEncoder:
    """What is read from a file, as bytes. Text is encoded as one, however it is cut: a BOM comes once."""

    __slots__ = ("_encoder", "_payload")

    def __init__(self, payload: Payload) -> None:
        self._payload = payload
        self._encoder: codecs.IncrementalEncoder | None = None

    def encode(self, data: bytes | str | None) -> bytes:
        """The bytes of what was read next; nothing read is the end, and may give bytes too."""
        if not isinstance(data, str):
            return data or b""
        if self._encoder is None:
            charset = self._payload.encoding or charset_of(self._payload.content_type)
            self._encoder = codecs.getincrementalencoder(charset)()
        return self._encoder.encode(data, final=not data)


class Payload:
    """An object to send, and its header fields.

    :param value: the object.
    :param headers: header fields of the part; they win over what is worked out here.
    :param content_type: the Content-Type; if not given, guessed from ``filename``, else the class's default.
    :param filename: the name of the file that it is.
    :param encoding: the charset of text.

    A subclass defines ``chunks()``, or ``write()``; and ``whole()``, if the bytes are in memory.
    """

    _default_content_type: ClassVar[str] = "application/octet-stream"
    # What the class, or the nearest of its bases that has any, defines its bytes by: "chunks", "whole", "write".
    _defined_by: ClassVar[AbstractSet[str]] = frozenset()
    _size: int | None = None
    _encoding: str | None = None
    _filename: str | None = None
    # None until it is asked for. What it will hold then, in this order; the length is what a writer has announced, and
    # stays here, so that a form knows it for none of the caller's.
    _fields: CIMultiDict[str] | None = None
    _content_type: str
    _disposition: str | None = None
    _length: int | None = None
    _consumed: bool = False
    # What as_bytes() has read of a source that can be read only once.
    _kept: bytes | None = None
    _autoclose: bool = False
    # Whether it is sent as its value, which is bytes that cannot change.
    _is_bytes: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._defined_by = {"chunks", "whole", "write"} & vars(cls).keys() or cls._defined_by
        mixed_in = [base for base in cls.__mro__ if not issubclass(base, Payload)]
        if any(_HOW_IT_IS_SENT & vars(base).keys() for base in (cls, *mixed_in)):
            cls._is_bytes = bool(vars(cls).get("_is_bytes"))

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
        self._content_type = content_type
        if headers is not None:
            self._update(headers)

    def _update(self, headers: HeadersLike) -> None:
        if type(headers) is dict and len(headers) == 1 and self._fields is None:
            # As a stream of pictures has it for each of them.
            content_type = headers.get("Content-Type")
            if isinstance(content_type, str):
                self._content_type = content_type
                return
        self.headers.update(header_items(headers))

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
        fields = self._fields
        if fields is None:
            fields = self._fields = CIMultiDict()
            fields[hdrs.CONTENT_TYPE] = self._content_type
            if self._disposition is not None:
                fields[hdrs.CONTENT_DISPOSITION] = self._disposition
            if self._length is not None:
                fields[hdrs.CONTENT_LENGTH] = str(self._length)
        return fields

    @property
    def encoding(self) -> str | None:
        """The charset of text."""
        return self._encoding

    @property
    def content_type(self) -> str:
        """The Content-Type."""
        if self._fields is None:
            return self._content_type
        return self._fields.get(hdrs.CONTENT_TYPE, self._default_content_type)

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
        self._set_disposition(format_disposition(disptype, params, quote_fields=quote_fields, charset=_charset))

    def _set_disposition(self, disposition: str) -> None:
        if self._fields is None and self._length is None:
            self._disposition = disposition
        else:
            self.headers[hdrs.CONTENT_DISPOSITION] = disposition

    def _announce(self, index: int, in_form_data: bool) -> bool:
        """Become a part of a message, the one at ``index``.

        :return: False if it takes a look into the headers; all is as it was then.
        :raises ValueError: a header field cannot be written.
        """
        if not self._is_bytes or self._fields is not None or (in_form_data and self._length is not None):
            return False
        disposition = self._disposition
        if not self._content_type.isprintable():
            check_field(hdrs.CONTENT_TYPE, self._content_type)
            self._content_type.encode()
        if disposition is None:
            if in_form_data:
                self._disposition = f'form-data; name="section-{index}"'
        elif not disposition.isprintable():
            disposition.encode()
        if not in_form_data:
            self._length = self._size
        return True

    def _head(self, delimiter: str, in_form_data: bool) -> bytes | None:
        """What stands before the body, where it was announced; None once somebody has asked for the headers, or has
        changed the value.
        """
        if self._fields is not None or (in_form_data and self._length is not None):
            return None
        disposition, length = self._disposition, self._length
        if length is not None and length != len(self._value):
            return None
        if length is None:
            block = f"{delimiter}Content-Type: {self._content_type}\r\nContent-Disposition: {disposition}\r\n\r\n"
        elif disposition is None:
            block = f"{delimiter}Content-Type: {self._content_type}\r\nContent-Length: {length}\r\n\r\n"
        else:
            block = (
                f"{delimiter}Content-Type: {self._content_type}\r\n"
                f"Content-Disposition: {disposition}\r\nContent-Length: {length}\r\n\r\n"
            )
        return block.encode()

    def whole(self) -> bytes | None:
        """All bytes, where they are in memory anyway; else None."""
        return None

    def rewind(self) -> None:
        """Get ready to be sent; called before the first byte of the message is.

        :raises StateError: it has been sent and cannot be sent again.
        """
        if self.consumed:
            raise StateError(f"{type(self).__name__} over {type(self._value).__name__} can be sent only once")

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, in pieces that are not empty."""
        whole = self.whole()
        if whole is None:
            raise NotImplementedError(f"{type(self).__name__} defines neither chunks() nor write()")
        return _sliced(whole)

    async def write(self, writer: Writer) -> None:
        """Write all bytes to ``writer``.

        :raises StateError: it has been sent and cannot be sent again.
        """
        self.rewind()
        # Where a subclass has its own write(), this is what it calls its base for.
        await send(self.chunks() if self._defined_by == {"write"} else chunks_of(self), writer)

    async def write_with_length(self, writer: Writer, content_length: int | None) -> None:
        """Write at most ``content_length`` bytes, or all when it is None.

        :raises StateError: it has been sent and cannot be sent again.
        """
        self.rewind()
        chunks = chunks_of(self)
        await send(chunks if content_length is None else first_bytes(chunks, content_length), writer)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """All bytes. Those of a source that can be read only once are kept, so that it can be sent all the same.

        :param encoding: not used; what is text is encoded when the payload is made. The parameters are aiohttp's.
        :raises StateError: it has been sent and cannot be sent again.
        """
        self.rewind()
        whole = whole_of(self)
        if whole is None:
            whole = b"".join([chunk async for chunk in chunks_of(self)])
            if self._consumed and "write" not in self._defined_by:
                self._kept, self._consumed = whole, False
        return whole

    async def _keep(self) -> None:
        """As :meth:`as_bytes`, where the source can be read only once; else nothing."""

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All bytes as text.

        :raises TypeError: the bytes are not in memory, or have not been kept by :meth:`as_bytes`.
        """
        whole = whole_of(self)
        if whole is None:
            raise TypeError(f"{type(self).__name__} is not in memory; await as_bytes()")
        return whole.decode(encoding, errors)

    async def close(self) -> None:
        """Close what is sent, where it is a file."""


def chunks_of(payload: Payload) -> AsyncIterator[bytes]:
    """The bytes of a payload, in pieces that are not empty."""
    if payload._kept is not None:  # noqa: SLF001
        return _sliced(payload._kept)  # noqa: SLF001
    defined_by = payload._defined_by  # noqa: SLF001
    if "chunks" not in defined_by:
        whole = whole_of(payload)
        if whole is not None:
            return _sliced(whole)
        if "write" in defined_by:
            return iterate_writes(payload.write)
    return payload.chunks()


def whole_of(payload: Payload) -> bytes | None:
    """All bytes of a payload that has them in memory anyway; else None."""
    return payload.whole() if "whole" in payload._defined_by else payload._kept  # noqa: SLF001


async def _sliced(data: bytes) -> AsyncIterator[bytes]:
    # Not all at once: who takes it may have to copy what it cannot send yet.
    for start in range(0, len(data), READ_SIZE):
        yield data[start : start + READ_SIZE]


def file_name(value: object) -> str | None:
    """The base name of a file object; None where it has none."""
    name = getattr(value, "name", None)
    # A descriptor's number and "<stdin>" are no names of files.
    if isinstance(name, (str, os.PathLike)) and str(name) and not str(name).startswith("<"):
        return PurePath(name).name
    return None
