"""Payloads that are in memory: bytes, text, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import IO, Any

from aiomultipart.writing.head import Field, HeadersLike, are_plain, charset_of, check_charset, merge

from .base import READ_SIZE, UNSET, Payload, Unset

__all__ = ("BytesPayload", "JsonBytesPayload", "JsonPayload", "StringIOPayload", "StringPayload")

_TEXT: Field = ("Content-Type", "text/plain; charset=utf-8")
_JSON: Field = ("Content-Type", "application/json")
_encode_json = json.JSONEncoder().encode  # json.dumps(), without its look at eight arguments


class BytesPayload(Payload):
    """Bytes, a bytearray or a memoryview.

    :raises TypeError: the value is something else.
    """

    _autoclose = True
    at_hand = True

    def __init__(
        self,
        value: bytes | bytearray | memoryview,
        headers: HeadersLike | None = None,
        content_type: str | Unset | None = UNSET,
        filename: str | None = None,
        encoding: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Payload's own, by its name and without keywords: this runs for each field of a form.
        Payload.__init__(self, value, headers, content_type, filename, encoding)
        if isinstance(value, (bytes, bytearray)):
            self._size = len(value)
        elif isinstance(value, memoryview):
            self._size = value.nbytes
        else:
            raise TypeError(f"value must be bytes, a bytearray or a memoryview, not {type(value)!r}")

    def whole(self) -> bytes:
        """All bytes."""
        return bytes(self._value)

    def blocks(self) -> Iterator[bytes]:
        """The bytes in pieces: who takes them may have to copy what it cannot send yet."""
        value = self._value
        if isinstance(value, memoryview):
            value = value.cast("B") if value.c_contiguous else bytes(value)
        for start in range(0, len(value), READ_SIZE):
            yield bytes(value[start : start + READ_SIZE])


class StringPayload(BytesPayload):
    """Text; its charset is ``encoding``, else that of the Content-Type, else UTF-8."""

    def __init__(
        self,
        value: str,
        headers: HeadersLike | None = None,
        content_type: str | None = None,
        filename: str | None = None,
        encoding: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Nothing of what Payload's own does for others: this runs for each field of a form.
        self._filename = filename
        if encoding is not None:
            check_charset(encoding)
        if encoding is content_type is None:
            self._fields = [_TEXT]
        else:
            self._fields = [("Content-Type", content_type or f"text/plain; charset={encoding}")]
            self._plain = are_plain(self._fields)
        if headers is not None:
            self._plain = merge(self._fields, headers)
        if encoding is None:
            encoding = "utf-8" if self._fields[0] is _TEXT else charset_of(self._fields[0][1])
        self._encoding = encoding
        self._value = data = value.encode(encoding)
        self._size = len(data)


class StringIOPayload(StringPayload):
    """What is left of a ``StringIO``."""

    def __init__(self, value: IO[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(value.read(), *args, **kwargs)


class JsonPayload(StringPayload):
    """An object as JSON; its charset is ``encoding``, else that of the Content-Type, else UTF-8."""

    def __init__(
        self,
        value: Any,
        encoding: str | None = None,
        content_type: str = "application/json",
        dumps: Callable[[Any], str] = json.dumps,
        headers: HeadersLike | None = None,
        filename: str | None = None,
        **kwargs: Any,
    ) -> None:
        text = (_encode_json if dumps is json.dumps else dumps)(value)
        if encoding is None and content_type == "application/json" and headers is None and filename is None:
            self._fields = [_JSON]
            self._value = data = text.encode()
            self._size = len(data)
            self._encoding = "utf-8"
        else:
            super().__init__(text, headers, content_type, filename, encoding)


class JsonBytesPayload(BytesPayload):
    """An object as JSON, by a serializer that gives bytes (orjson)."""

    def __init__(
        self,
        value: Any,
        dumps: Callable[[Any], bytes],
        content_type: str = "application/json",
        headers: HeadersLike | None = None,
        filename: str | None = None,
        encoding: str = "utf-8",
        **kwargs: Any,
    ) -> None:
        super().__init__(dumps(value), headers, content_type, filename, encoding)
