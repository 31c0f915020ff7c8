"""The registry that finds the payload class for an object, with all classes in it."""

from __future__ import annotations

import builtins
import enum
import io
import os
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from inspect import isasyncgenfunction, iscoroutine, iscoroutinefunction, isgeneratorfunction
from typing import Any, TypeAlias, TypeVar

from aiomultipart.sources import AsyncReadable

from .base import Payload
from .files import BufferedReaderPayload, BytesIOPayload, IOBasePayload, PathPayload, TextIOPayload
from .memory import BytesPayload, StringIOPayload, StringPayload
from .streams import AsyncIterablePayload, AsyncReadablePayload

__all__ = (
    "PAYLOAD_REGISTRY",
    "Order",
    "PayloadRegistry",
    "get_payload",
    "payload_factory",
    "payload_type",
    "register_payload",
)


class LookupError(TypeError):  # noqa: A001  (the name is aiohttp's)
    """No payload class is registered for an object; it says what to do instead."""


class Order(enum.StrEnum):
    """When a registered payload class is looked at: before the others, with them, or after."""

    normal = "normal"
    try_first = "try_first"
    try_last = "try_last"


Factory: TypeAlias = Callable[..., Payload]
_F = TypeVar("_F", bound=Factory)
_Types: TypeAlias = type[Any] | Iterable[type[Any]]


class PayloadRegistry:
    """Which payload class is for which type of object."""

    def __init__(self) -> None:
        self._factories: dict[Order, list[tuple[Factory, tuple[type[Any], ...]]]] = {order: [] for order in Order}
        self._first = self._factories[Order.try_first]
        self._by_type: dict[type[Any], Factory] = {}  # of Order.normal
        self._known: dict[type[Any], Factory] = {}  # what has been found for text and bytes, which are asked for most

    def register(self, factory: Factory, type: _Types, *, order: Order = Order.normal) -> None:  # noqa: A002  (aiohttp's)
        """Use ``factory`` for objects of ``type``.

        :param factory: called as ``factory(obj, *args, **kwargs)``.
        :param type: a type, or several.
        :param order: when it is looked at. In the same order, one for the very type of an object is used, the latest
            that was registered, before one for a base of that type, of which it is the earliest.
        :raises ValueError: there is no such order.
        """
        self._known.clear()
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
        kind = type(data)
        for factory, types in self._first:
            if isinstance(data, types):
                return factory
        if (own := self._by_type.get(kind)) is not None:
            if kind in (str, bytes):
                self._known[kind] = own
            return own
        if isinstance(data, Payload):
            return None
        for factory, types in self._factories[Order.normal] + self._factories[Order.try_last]:
            if isinstance(data, types):
                return factory
        raise LookupError(_advice(data))


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
    if type(registry) is not PayloadRegistry:
        return registry.get  # one that somebody has put in its place has a way of its own
    known = registry._known.get(type(data))  # noqa: SLF001
    return registry.factory(data) if known is None else known


def _advice(obj: object) -> str:
    """What to do about an object that there is no payload class for."""
    cannot = f"cannot send {type(obj)!r}"
    if obj is None:
        return f"{cannot}: leave the part out, or give an empty text"
    if isgeneratorfunction(obj) or isasyncgenfunction(obj) or iscoroutinefunction(obj):
        return f"{cannot}: call {obj.__name__}() and give what it returns"
    if iscoroutine(obj):
        obj.close()  # or it would warn that it was never awaited
        return f"{cannot}: await it, and give what it returns"
    if isinstance(obj, (Mapping, Sequence, set, frozenset)):
        return f"{cannot}: append_json() sends it as JSON, append_form() as a urlencoded form"
    if isinstance(obj, (int, float)):
        return f"{cannot}: give str() of it, or use append_json()"
    if isinstance(obj, Iterator):
        return f"{cannot}: join its bytes, or give an async generator, or a file"
    return f"{cannot}: no payload class is registered for it, see register_payload()"


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
register_payload(PathPayload, os.PathLike)
register_payload(_readable, AsyncReadable, order=Order.try_last)
register_payload(AsyncIterablePayload, AsyncIterable, order=Order.try_last)
