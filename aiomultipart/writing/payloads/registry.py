"""Payload classes for what is in memory and for async iterables, and the registry that finds the class for an object.

The classes for files are in :mod:`.files`, what they all are in :mod:`.base`;
their names are here too, as in ``aiohttp.payload``.
"""

from __future__ import annotations

import builtins
import enum
import io
import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from inspect import iscoroutinefunction
from typing import IO, Any, TypeAlias, TypeVar

from multidict import CIMultiDict

from aiomultipart.exceptions import StateError
from aiomultipart.sources import AsyncReadable
from aiomultipart.writing.sinks import Writer, closing, send

from .base import (
    DEFAULT_CHUNK_SIZE,
    READ_SIZE,
    UNSET,
    HeadersLike,
    Payload,
    Unset,
    charset_of,
    check_charset,
    chunks_of,
    file_name,
    header_items,
    whole_of,
)
from .files import AsyncReadablePayload, BufferedReaderPayload, BytesIOPayload, IOBasePayload, TextIOPayload

__all__ = (
    "DEFAULT_CHUNK_SIZE",
    "PAYLOAD_REGISTRY",
    "READ_SIZE",
    "AsyncIterablePayload",
    "AsyncReadablePayload",
    "BufferedReaderPayload",
    "BytesIOPayload",
    "BytesPayload",
    "HeadersLike",
    "IOBasePayload",
    "JsonBytesPayload",
    "JsonPayload",
    "Order",
    "Payload",
    "PayloadRegistry",
    "StringIOPayload",
    "StringPayload",
    "TextIOPayload",
    "Writer",
    "chunks_of",
    "closing",
    "file_name",
    "get_payload",
    "payload_factory",
    "payload_type",
    "register_payload",
    "send",
    "whole_of",
)


class LookupError(Exception):  # noqa: A001  (the name is aiohttp's)
    """No payload class is registered for an object."""


class Order(enum.StrEnum):
    """When a registered payload class is looked at: before the others, with them, or after."""

    normal = "normal"
    try_first = "try_first"
    try_last = "try_last"


class BytesPayload(Payload):
    """Bytes, a bytearray or a memoryview."""

    _autoclose = True
    _is_bytes = True

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
        if type(value) is not bytes:
            self._is_bytes = False

    def _hold(self, value: bytes, content_type: str, encoding: str) -> None:
        """What ``__init__`` comes to for bytes alone, in a fraction of the time."""
        self._value = value
        self._size = len(value)
        self._content_type = content_type
        self._encoding = encoding

    def whole(self) -> bytes:
        """All bytes."""
        return bytes(self._value)

    async def chunks(self) -> AsyncIterator[bytes]:
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
        if encoding is None and content_type is None and headers is None and filename is None:
            self._hold(value.encode(), "text/plain; charset=utf-8", "utf-8")
            return
        if encoding is None:
            headers = None if headers is None else CIMultiDict(header_items(headers))
            encoding = charset_of(content_type, headers)
        else:
            check_charset(encoding)
        data = value.encode(encoding)
        super().__init__(data, headers, content_type or f"text/plain; charset={encoding}", filename, encoding)


class StringIOPayload(StringPayload):
    """What is left of a ``StringIO``."""

    def __init__(self, value: IO[str], *args: Any, **kwargs: Any) -> None:
        super().__init__(value.read(), *args, **kwargs)


_encode_json = json.JSONEncoder().encode  # json.dumps(), without its look at eight arguments


class JsonPayload(BytesPayload):
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
        if encoding is not None:
            check_charset(encoding)
        elif headers is None and content_type == "application/json":
            encoding = "utf-8"
        else:
            headers = None if headers is None else CIMultiDict(header_items(headers))
            encoding = charset_of(content_type, headers)
        data = (_encode_json if dumps is json.dumps else dumps)(value).encode(encoding)
        if headers is None and filename is None and isinstance(content_type, str):
            self._hold(data, content_type, encoding)
        else:
            super().__init__(data, headers, content_type, filename, encoding)


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


class AsyncIterablePayload(Payload):
    """An async iterable of bytes. It can be sent once, unless it gives a new iterator each time."""

    _value: AsyncIterable[bytes]

    def __init__(self, value: AsyncIterable[bytes], *args: Any, **kwargs: Any) -> None:
        if not isinstance(value, AsyncIterable):
            raise TypeError(f"value must be an async iterable, not {type(value)!r}")
        super().__init__(value, *args, **kwargs)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of the iterable; an async generator is closed when this one is."""
        if isinstance(self._value, AsyncGenerator) and _has_ended(self._value):
            # It was used elsewhere; nothing at all would be sent in its place.
            raise StateError("an async generator that has ended cannot be sent")
        iterator = aiter(self._value)
        self._consumed = iterator is self._value
        try:
            async for chunk in iterator:
                if chunk:
                    yield chunk
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()

    async def _keep(self) -> None:
        """Read an iterator, which can be read only once, and keep its bytes."""
        if isinstance(self._value, AsyncIterator):
            await self.as_bytes()


def _has_ended(generator: AsyncGenerator[Any, Any]) -> bool:
    return getattr(generator, "ag_frame", generator) is None


Factory: TypeAlias = Callable[..., Payload]
_F = TypeVar("_F", bound=Factory)
_Types: TypeAlias = type[Any] | Iterable[type[Any]]


class PayloadRegistry:
    """Which payload class is for which type of object."""

    def __init__(self) -> None:
        self._factories: dict[Order, list[tuple[Factory, tuple[type[Any], ...]]]] = {order: [] for order in Order}
        self._first = self._factories[Order.try_first]
        self._by_type: dict[type[Any], Factory] = {}  # of Order.normal

    def register(self, factory: Factory, type: _Types, *, order: Order = Order.normal) -> None:  # noqa: A002  (aiohttp's)
        """Use ``factory`` for objects of ``type``.

        :param factory: called as ``factory(obj, *args, **kwargs)``.
        :param type: a type, or several.
        :param order: when it is looked at. In the same order, one for the very type of an object is used, the latest
            that was registered, before one for a base of that type, of which it is the earliest.
        :raises ValueError: there is no such order.
        """
        types = (type,) if isinstance(type, builtins.type) else tuple(type)
        self._factories[Order(order)].append((factory, types))
        if order is Order.normal:
            self._by_type.update(dict.fromkeys(types, factory))

    def get(self, data: Any, *args: Any, **kwargs: Any) -> Payload:
        """The payload for ``data``; a payload as it is.

        :raises LookupError: there is none.
        """
        factory = self.factory(data)
        return data if factory is None else factory(data, *args, **kwargs)

    def factory(self, data: Any) -> Factory | None:
        """What makes a payload of ``data``; None where it is one already.

        :raises LookupError: there is none.
        """
        for factory, types in self._first:
            if isinstance(data, types):
                return factory
        if (own := self._by_type.get(type(data))) is not None:
            return own
        if isinstance(data, Payload):
            return None
        for factory, types in self._factories[Order.normal] + self._factories[Order.try_last]:
            if isinstance(data, types):
                return factory
        raise LookupError(f"no payload class for {type(data)!r}")


PAYLOAD_REGISTRY = PayloadRegistry()


def get_payload(data: Any, *args: Any, **kwargs: Any) -> Payload:
    """The payload for ``data``, by :data:`PAYLOAD_REGISTRY`.

    :raises LookupError: there is none.
    """
    return PAYLOAD_REGISTRY.get(data, *args, **kwargs)


def payload_factory(data: Any) -> Factory | None:
    """What :func:`get_payload` would call; to call it oneself is quicker than to hand everything on.

    :raises LookupError: there is none.
    """
    registry = PAYLOAD_REGISTRY
    # One that somebody has put in its place has a way of its own.
    return registry.factory(data) if type(registry) is PayloadRegistry else registry.get


def register_payload(factory: Factory, type: _Types, *, order: Order = Order.normal) -> None:  # noqa: A002  (aiohttp's)
    """Use ``factory`` for objects of ``type``, by :data:`PAYLOAD_REGISTRY`; see :meth:`PayloadRegistry.register`."""
    PAYLOAD_REGISTRY.register(factory, type, order=order)


def payload_type(type: _Types, *, order: Order = Order.normal) -> Callable[[_F], _F]:  # noqa: A002  (aiohttp's)
    """Class decorator: register a payload class for a type."""

    def register(factory: _F) -> _F:
        register_payload(factory, type, order=order)
        return factory

    return register


def _readable(value: Any, *args: Any, **kwargs: Any) -> Payload:
    """Tell an async file from a wrapper around a plain one (``tempfile``), which is no ``IOBase``."""
    if iscoroutinefunction(value.read):
        return AsyncReadablePayload(value, *args, **kwargs)
    wrapped = getattr(value, "file", None)
    if isinstance(wrapped, io.TextIOBase):
        return TextIOPayload(value, *args, **kwargs)
    if isinstance(wrapped, (io.BufferedReader, io.BufferedRandom, io.FileIO)):
        return BufferedReaderPayload(value, *args, **kwargs)
    return IOBasePayload(value, *args, **kwargs)


register_payload(BytesPayload, (bytes, bytearray, memoryview))
register_payload(StringPayload, str)
register_payload(StringIOPayload, io.StringIO)
register_payload(TextIOPayload, io.TextIOBase)
register_payload(BytesIOPayload, io.BytesIO)
register_payload(BufferedReaderPayload, (io.BufferedReader, io.BufferedRandom, io.FileIO))
register_payload(IOBasePayload, io.IOBase)
register_payload(_readable, AsyncReadable, order=Order.try_last)
register_payload(AsyncIterablePayload, AsyncIterable, order=Order.try_last)
