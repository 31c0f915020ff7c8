"""Payloads that are read with an event loop: async iterables and async readers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from inspect import isawaitable
from typing import Any

from aiomultipart.exceptions import StateError
from aiomultipart.sources import AsyncReadable

from .base import DEFAULT_CHUNK_SIZE, READ_SIZE, Payload
from .files import FilePayload, text_encoder

__all__ = ("AsyncIterablePayload", "AsyncReadablePayload")


class AsyncIterablePayload(Payload):
    """An async iterable of bytes. It can be sent once, unless it gives a new iterator each time.

    :raises TypeError: the value is something else.
    """

    _value: AsyncIterable[bytes]

    def __init__(self, value: AsyncIterable[bytes], *args: Any, **kwargs: Any) -> None:
        if not isinstance(value, AsyncIterable):
            raise TypeError(f"value must be an async iterable, not {type(value)!r}")
        super().__init__(value, *args, **kwargs)

    def rewind(self) -> None:
        """Get ready to be sent.

        :raises StateError: it has been sent and cannot be sent again.
        """
        if self.consumed:
            raise StateError(
                f"an {type(self._value).__name__} can be sent only once; to send it again, as after a redirect, give an"
                " object whose __aiter__() starts anew"
            )

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of the iterable; an async generator is closed when this one is.

        :raises TypeError: one is text.
        """
        if isinstance(self._value, AsyncGenerator) and _has_ended(self._value):
            # It was used elsewhere; nothing at all would be sent in its place.
            raise StateError("an async generator that has ended cannot be sent")
        iterator = aiter(self._value)
        self._consumed = iterator is self._value
        try:
            async for chunk in iterator:
                if isinstance(chunk, str):  # type: ignore[unreachable]
                    raise TypeError(f"{type(self._value).__name__} yields text where bytes are sent: encode() it")
                if chunk:
                    yield chunk
                del chunk  # or it would be kept while the next one is made
        finally:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()

    def _once(self) -> bool:
        return isinstance(self._value, AsyncIterator)


def _has_ended(generator: AsyncGenerator[Any, Any]) -> bool:
    return getattr(generator, "ag_frame", generator) is None


class AsyncReadablePayload(FilePayload):
    """Anything with an async ``read(n)``: an async file (aiofiles, anyio), an asyncio or aiohttp stream reader.

    A file, which is what has ``seek()``, is rewound to where it stood when it was sent first.
    """

    _value: AsyncReadable

    def __init__(self, value: AsyncReadable, *args: Any, **kwargs: Any) -> None:
        super().__init__(value, "attachment", *args, **kwargs)
        self._start: int | None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        """What the source gives."""
        if self._start is not None:
            await self._value.seek(self._start)  # type: ignore[attr-defined]
        else:
            self._consumed = True  # nobody else begins meanwhile
            try:
                self._start = await _position(self._value)
            except BaseException:
                self._consumed = False  # nothing has been read
                raise
            self._consumed = self._start is None
        size = READ_SIZE if self._start is not None else DEFAULT_CHUNK_SIZE  # a file is read in a thread
        encode = text_encoder(self)
        more = True
        while more:
            chunk = await self._value.read(size)
            more = bool(chunk)
            chunk = encode(chunk)
            if chunk:
                yield chunk
            del chunk

    def _once(self) -> bool:
        return not hasattr(self._value, "seek")

    async def close(self) -> None:
        """Close the source, where it can be."""
        self._consumed = True
        close = getattr(self._value, "aclose", None) or getattr(self._value, "close", None)
        result = close() if close is not None else None
        if isawaitable(result):
            await result


async def _position(value: Any) -> int | None:
    """Where an async file stands; None where it cannot be rewound."""
    try:
        seekable = value.seekable()  # plain in anyio
        if isawaitable(seekable):
            seekable = await seekable
        return await value.tell() if seekable and hasattr(value, "seek") else None
    except (AttributeError, OSError, TypeError, ValueError):
        return None
