"""What every payload is: :class:`Payload`, and the two ways to get at its bytes.

Which way the data flows: object -> :class:`Payload` -> :func:`chunks_of` -> the writer's framing. That is the one
way in which bytes come out; ``write()``, ``as_bytes()`` and the writer all use it. A subclass that defines ``write()``,
as aiohttp's do, is turned into chunks by running that coroutine from one written piece to the next.

Each payload says of itself ``whole()`` (all bytes at once, where they are in memory anyway), ``size`` and whether it
can be sent a second time (``rewind()``).
"""

from __future__ import annotations

import enum
import mimetypes
import os
from collections.abc import AsyncIterator, Iterable
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from typing import Any, ClassVar, Final, TypeAlias

from multidict import CIMultiDict

from . import hdrs
from .exceptions import StateError
from .headers import HeaderItems, format_disposition
from .sending import Writer, first_bytes, iterate_writes, send

__all__ = (
    "DEFAULT_CHUNK_SIZE",
    "READ_SIZE",
    "UNSET",
    "HeadersLike",
    "Payload",
    "Unset",
    "chunks_of",
    "file_name",
    "header_items",
    "whole_of",
)

DEFAULT_CHUNK_SIZE: Final = 64 * 1024
"""What an async source is asked for at a time, in bytes."""
READ_SIZE: Final = 512 * 1024
"""What a file is read in, in bytes. A hop to a thread costs 35 to 125 us; with 64 KiB a file takes seven times as long
as with 512 KiB, with 1 MiB two thirds; and two chunks are alive at a time."""

HeadersLike: TypeAlias = HeaderItems | Iterable[tuple[str, str]]


class Unset(enum.Enum):
    """The type of :data:`UNSET`."""

    UNSET = enum.auto()


UNSET: Final = Unset.UNSET
"""An argument that was not given, where None says something else."""


def header_items(headers: HeadersLike) -> Iterable[tuple[str, str]]:
    """The (name, value) pairs of header fields in any form."""
    return headers.items() if hasattr(headers, "items") else headers


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
    _consumed: bool = False
    _autoclose: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._defined_by = {"chunks", "whole", "write"} & vars(cls).keys() or cls._defined_by

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
        self._headers: CIMultiDict[str] = CIMultiDict()
        if not isinstance(content_type, str):
            guessed = mimetypes.guess_type(filename)[0] if filename is not None else None
            content_type = guessed or self._default_content_type
        self._headers[hdrs.CONTENT_TYPE] = content_type
        if headers is not None:
            self._headers.update(header_items(headers))

    @property
    def size(self) -> int | None:
        """How many bytes it is; None when that is not known."""
        return self._size

    def declare_size(self, size: int) -> None:
        """Say how many bytes it will be, where that is not known; one that gives more or fewer will raise.

        :raises ValueError: the size is known, and another one; or is negative.
        """
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
        return self._headers

    @property
    def encoding(self) -> str | None:
        """The charset of text."""
        return self._encoding

    @property
    def content_type(self) -> str:
        """The Content-Type."""
        return self._headers.get(hdrs.CONTENT_TYPE, self._default_content_type)

    @property
    def consumed(self) -> bool:
        """Whether it has been sent and cannot be sent again."""
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
        :raises ValueError: a value holds a control character that cannot be written.
        """
        self._headers[hdrs.CONTENT_DISPOSITION] = format_disposition(
            disptype, params, quote_fields=quote_fields, charset=_charset
        )

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
        """All bytes.

        :param encoding: not used; what is text is encoded when the payload is made. The parameters are aiohttp's.
        :raises StateError: it has been sent and cannot be sent again.
        """
        self.rewind()
        whole = whole_of(self)
        return b"".join([chunk async for chunk in chunks_of(self)]) if whole is None else whole

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All bytes as text.

        :raises TypeError: the bytes are not in memory.
        """
        whole = whole_of(self)
        if whole is None:
            raise TypeError(f"{type(self).__name__} is not in memory; await as_bytes()")
        return whole.decode(encoding, errors)

    async def close(self) -> None:
        """Close what is sent, where it is a file."""


def chunks_of(payload: Payload) -> AsyncIterator[bytes]:
    """The bytes of a payload, in pieces that are not empty."""
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
    return payload.whole() if "whole" in payload._defined_by else None  # noqa: SLF001


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
