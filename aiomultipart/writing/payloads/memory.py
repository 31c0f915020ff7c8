"""Payloads that are in memory: bytes, text, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import IO, Any

from aiomultipart.writing.head import HeadersLike, charset_of, check_charset

from .base import UNSET, Payload, Unset, sliced

__all__ = ("BytesPayload", "JsonBytesPayload", "JsonPayload", "StringIOPayload", "StringPayload")

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
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise TypeError(f"value must be bytes, a bytearray or a memoryview, not {type(value)!r}")
        super().__init__(value, headers, content_type, filename, encoding)
        self._size = value.nbytes if isinstance(value, memoryview) else len(value)

    def whole(self) -> bytes:
        """All bytes."""
        return bytes(self._value)

    def blocks(self) -> Iterator[bytes]:
        """The bytes in pieces."""
        value = memoryview(self._value)
        return sliced(value.cast("B") if value.c_contiguous else bytes(value))


class StringPayload(BytesPayload):
    """Text; its charset is ``encoding``, else that of the Content-Type, else UTF-8."""

    _text = "Content-Type: text/plain; charset=utf-8\r\n"
    _encoding = "utf-8"

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
        if filename is not None:
            self._filename = filename
        if headers is not None or content_type is not None or encoding is not None:
            if encoding is not None:
                check_charset(encoding)
            self._begin(content_type or f"text/plain; charset={encoding or 'utf-8'}", headers)
            if encoding is None:
                encoding = "utf-8" if self._text == StringPayload._text else charset_of(self.content_type)
            self._encoding = encoding
            self._value = data = value.encode(encoding)
        else:
            self._value = data = value.encode()
        self._size = len(data)

    def whole(self) -> bytes:
        """All bytes."""
        return self._value  # type: ignore[no-any-return]


class StringIOPayload(StringPayload):
    """What is left of a ``StringIO``."""

    def __init__(self, value: IO[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(value.read(), *args, **kwargs)


class JsonPayload(StringPayload):
    """An object as JSON; its charset is ``encoding``, else that of the Content-Type, else UTF-8."""

    _text = "Content-Type: application/json\r\n"

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
        if encoding is None and headers is None and filename is None and content_type == "application/json":
            self._value = data = text.encode()
            self._size = len(data)
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
