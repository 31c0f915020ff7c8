"""Payloads that are read from files, plain ones in a thread, and from async readers."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import AsyncIterator
from inspect import isawaitable
from typing import IO, Any

from multidict import CIMultiDict

from aiomultipart import hdrs
from aiomultipart.exceptions import StateError
from aiomultipart.sources import AsyncReadable
from aiomultipart.work import in_thread, read_ahead

from .base import (
    DEFAULT_CHUNK_SIZE,
    READ_SIZE,
    HeadersLike,
    Payload,
    TextEncoder,
    charset_of,
    check_charset,
    file_name,
    header_items,
)

__all__ = ("AsyncReadablePayload", "BufferedReaderPayload", "BytesIOPayload", "IOBasePayload", "TextIOPayload")


_AHEAD = 2  # chunks that may be read before they are asked for


class IOBasePayload(Payload):
    """A file, read in a thread from where it stands now; each time that it is sent, it is rewound to there.

    :param disposition: the disposition type to set with the file's base name; None for no Content-Disposition.
    """

    _value: IO[Any]

    def __init__(self, value: IO[Any], disposition: str | None = "attachment", *args: Any, **kwargs: Any) -> None:
        if kwargs.get("filename") is None:
            kwargs["filename"] = file_name(value)
        super().__init__(value, *args, **kwargs)
        if self._filename is not None and disposition is not None and hdrs.CONTENT_DISPOSITION not in self.headers:
            self.set_content_disposition(disposition, filename=self._filename)
        self._started = False
        self._reading = threading.Lock()
        try:
            self._start = value.tell() if value.seekable() else None
        except (AttributeError, OSError, ValueError):
            self._start = None

    @property
    def consumed(self) -> bool:
        """Whether it has been sent and cannot be rewound, or is closed."""
        return self._consumed or (self._started and self._start is None)

    def rewind(self) -> None:
        """Get ready to be sent.

        :raises StateError: the file has been sent and cannot be rewound, or is closed.
        """
        if self._consumed or getattr(self._value, "closed", False):
            raise StateError(f"{self._filename or 'the file'} is closed")
        if self.consumed:
            raise StateError(f"{self._filename or 'the file'} can be sent only once: it cannot be rewound")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes, each chunk read in a thread."""
        self._started = True
        start = self._start
        encoder = TextEncoder(self)
        # A future, and a thread that is slow to let go of it, would keep its result while the next chunk is read.
        box: list[bytes] = []
        more = True
        while more:
            # Cancelled or not, the file is not left to a thread that still reads it.
            more = await in_thread(self._read, start, encoder, box)
            start = None
            if box:
                yield box.pop()

    def _read(self, start: int | None, encoder: TextEncoder, box: list[bytes]) -> bool:
        """Read some, into ``box`` where that gives bytes; False at the end."""
        if start is not None:
            self._value.seek(start)
        data = self._value.read(READ_SIZE)
        encoded = encoder.encode(data)
        if encoded:
            box.append(encoded)
        return bool(data)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The text of the file. It is read here and now, so not while an event loop has other things to do.

        :param encoding: of a binary file.
        :raises StateError: the file has been sent and cannot be rewound, or is closed.
        """
        self.rewind()
        self._started = True
        with self._reading:
            if self._start is not None:
                self._value.seek(self._start)
            data = self._value.read(-1)
        return data if isinstance(data, str) else (data or b"").decode(encoding, errors)

    async def close(self) -> None:
        """Close the file, in a thread."""
        self._consumed = True
        await in_thread(self._value.close)


class TextIOPayload(IOBasePayload):
    """A text file. Its size is not known: encoding and newline translation can change it.

    Its charset is ``encoding``, else that of the Content-Type, else UTF-8.
    """

    def __init__(
        self,
        value: IO[str],
        disposition: str | None = "attachment",
        headers: HeadersLike | None = None,
        content_type: str | None = None,
        filename: str | None = None,
        encoding: str | None = None,
        **kwargs: Any,
    ) -> None:
        headers = None if headers is None else CIMultiDict(header_items(headers))
        charset = charset_of(content_type, headers) if encoding is None else check_charset(encoding)
        super().__init__(
            value,
            disposition,
            headers=headers,
            content_type=content_type or f"text/plain; charset={charset}",
            filename=filename,
            encoding=charset,
            **kwargs,
        )


class BytesIOPayload(IOBasePayload):
    """What is left of a ``BytesIO``, which stays the caller's to close."""

    _value: io.BytesIO
    _autoclose = True

    @property
    def size(self) -> int | None:
        """How many bytes are left from where it stood."""
        if self._value.closed:
            return None
        return max(self._value.getbuffer().nbytes - (self._start or 0), 0)

    def whole(self) -> bytes | None:
        """All bytes."""
        return self._value.getvalue()[self._start or 0 :]

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All bytes as text."""
        return Payload.decode(self, encoding, errors)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes in pieces; there is nothing to wait for."""
        position = self._start or 0
        while True:
            # Its place is its own: the same object may be in another part too.
            self._value.seek(position)
            chunk = self._value.read(READ_SIZE)
            if not chunk:
                return
            position += len(chunk)
            yield chunk
            del chunk

    async def close(self) -> None:
        """Nothing: there is nothing to give back."""


class BufferedReaderPayload(IOBasePayload):
    """A binary file on disk, whose size is known."""

    @property
    def size(self) -> int | None:
        """From where it stood to its end; None for a pipe and the like."""
        size = self._size_on_disk()
        return self._size if size is None else size

    def _size_on_disk(self) -> int | None:
        # Of a wrapper around something else (gzip) fileno() is that other file's.
        raw = getattr(self._value, "raw", self._value)
        if self._start is None or not isinstance(raw, io.FileIO):
            return None
        try:
            status = os.fstat(raw.fileno())
        except (OSError, ValueError):
            return None
        return max(status.st_size - self._start, 0) if stat.S_ISREG(status.st_mode) else None

    def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes, read in a thread, and ahead where that cannot take for ever as with a pipe."""
        if self._size_on_disk() is None:
            return super().chunks()
        position = self._start or 0

        def read() -> bytes:
            nonlocal position
            # A thread that still reads for one who went away must not move the file under another.
            with self._reading:
                self._value.seek(position)
                chunk: bytes = self._value.read(READ_SIZE)
            position += len(chunk)
            return chunk

        return read_ahead(read, _AHEAD)


class AsyncReadablePayload(Payload):
    """Anything with an async ``read(n)``: an async file (aiofiles, anyio), an asyncio or aiohttp stream reader.

    A file, which is what has ``seek()``, is rewound to where it stood when it was sent first.
    """

    _value: AsyncReadable

    def __init__(self, value: AsyncReadable, *args: Any, **kwargs: Any) -> None:
        if kwargs.get("filename") is None:
            kwargs["filename"] = file_name(value)
        super().__init__(value, *args, **kwargs)
        if self._filename is not None and hdrs.CONTENT_DISPOSITION not in self.headers:
            self.set_content_disposition("attachment", filename=self._filename)
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
        encoder = TextEncoder(self)
        more = True
        while more:
            chunk = await self._value.read(size)
            more = bool(chunk)
            chunk = encoder.encode(chunk)
            if chunk:
                yield chunk
            del chunk

    async def _keep(self) -> None:
        """Read a stream, which can be read only once, and keep its bytes."""
        if not hasattr(self._value, "seek"):
            await self.as_bytes()

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
