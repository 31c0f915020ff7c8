"""Sending through aiohttp: once this module is imported, ``session.post(url, data=writer)`` and
``web.Response(body=writer)`` carry the writer's Content-Type, and its Content-Length when the size is known.
"""

from __future__ import annotations

from typing import Any

from aiohttp import payload as aiohttp_payload
from aiohttp.abc import AbstractStreamWriter

from aiomultipart.payload import Payload

__all__ = ("AiohttpPayload",)


class AiohttpPayload(aiohttp_payload.Payload):
    """One of our payloads, a :class:`~aiomultipart.MultipartWriter` above all, as one of aiohttp's."""

    _value: Payload

    def __init__(self, value: Payload, *args: Any, **kwargs: Any) -> None:
        super().__init__(value, headers=value.headers, content_type=value.content_type)

    @property
    def size(self) -> int | None:
        """How many bytes it is now; None when that is not known."""
        return self._value.size

    @property
    def consumed(self) -> bool:
        """Whether it has been sent and cannot be sent again."""
        return self._value.consumed

    @property
    def autoclose(self) -> bool:
        """Whether there is nothing to close."""
        return self._value.autoclose

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all bytes."""
        await self._value.write(writer)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write at most ``content_length`` bytes."""
        await self._value.write_with_length(writer, content_length)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """All bytes."""
        return await self._value.as_bytes(encoding, errors)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All bytes as text."""
        return self._value.decode(encoding, errors)

    async def close(self) -> None:
        """Files belong to the writer, which may be sent again."""


aiohttp_payload.PAYLOAD_REGISTRY.register(AiohttpPayload, Payload, order=aiohttp_payload.Order.try_first)
