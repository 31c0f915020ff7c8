"""Payloads that are read from files, in a thread where there is an event loop."""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
import threading
from collections.abc import AsyncIterator, Generator
from functools import partial
from pathlib import Path, PurePath
from typing import IO, Any

from aiomultipart.exceptions import StateError
from aiomultipart.work import in_thread, read_ahead
from aiomultipart.writing.head import HeadersLike, charset_of, check_charset, header_items
from aiomultipart.writing.sinks import closing

from .base import READ_SIZE, Payload

__all__ = (
    "BufferedReaderPayload",
    "BytesIOPayload",
    "FilePayload",
    "IOBasePayload",
    "PathPayload",
    "TextEncoder",
    "TextIOPayload",
    "file_name",
)

_AHEAD = 1  # chunks that may be read before they are asked for; the threads at work hold some more


def file_name(value: object) -> str | None:
    """The base name of a file object or path; None where it has none."""
    name = value if isinstance(value, os.PathLike) else getattr(value, "name", None)
    # A descriptor's number and "<stdin>" are no names of files.
    if isinstance(name, (str, os.PathLike)) and (name := os.fsdecode(name)) and not name.startswith("<"):
        return PurePath(name).name
    return None


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


class FilePayload(Payload):
    """What has a file name, which its Content-Disposition and its Content-Type tell.

    :param disposition: the disposition type to set with the file's base name; None for no Content-Disposition.
    """

    def __init__(self, value: Any, disposition: str | None = "attachment", *args: Any, **kwargs: Any) -> None:
        if kwargs.get("filename") is None:
            kwargs["filename"] = file_name(value)
        super().__init__(value, *args, **kwargs)
        if self._filename and disposition is not None:
            if self.disposition is None:
                self.set_content_disposition(disposition, filename=self._filename)


class IOBasePayload(FilePayload):
    """A file, read in a thread from where it stands now; each time that it is sent, it is rewound to there.

    :param disposition: the disposition type to set with the file's base name; None for no Content-Disposition.
    """

    _value: IO[Any]

    def __init__(self, value: IO[Any], disposition: str | None = "attachment", *args: Any, **kwargs: Any) -> None:
        super().__init__(value, disposition, *args, **kwargs)
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

    def _keeps_place(self) -> bool:
        """Whether each who reads it may seek to a place of his own, counted in bytes."""
        return False

    def blocks(self) -> Generator[bytes]:
        """The file's bytes."""
        self._started = True
        position, keeps_place = self._start, self._keeps_place()
        encoder = TextEncoder(self)
        box: list[bytes] = []  # a local name would keep what was handed on while the next is read
        more = True
        while more:
            # A thread that still reads for one who went away must not move the file under another.
            with self._reading:
                if position is not None:
                    self._value.seek(position)
                data = self._value.read(READ_SIZE)
            more = bool(data)
            position = position + len(data) if position is not None and keeps_place else None
            data = encoder.encode(data)
            if data:
                box.append(data)
            del data
            if box:
                yield box.pop()

    def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes, read in a thread, and ahead where that cannot take for ever as with a pipe."""
        blocks = self.blocks()
        return _ahead(blocks) if self._keeps_place() else _in_steps(blocks)

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
        headers = None if headers is None else list(header_items(headers))
        charset = charset_of(content_type, headers or ()) if encoding is None else check_charset(encoding)
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

    def _keeps_place(self) -> bool:
        return True

    def whole(self) -> bytes | None:
        """All bytes."""
        return self._value.getvalue()[self._start or 0 :]

    def blocks(self) -> Generator[bytes]:
        """The bytes in pieces; there is nothing to wait for."""
        return super().blocks()

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All bytes as text."""
        return Payload.decode(self, encoding, errors)

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

    def _keeps_place(self) -> bool:
        return self._size_on_disk() is not None


class PathPayload(FilePayload):
    """A path: the file that is there is opened when it is sent, and closed after that.

    :param disposition: the disposition type to set with the file's base name; None for no Content-Disposition.
    """

    _value: os.PathLike[Any]
    _autoclose = True

    @property
    def size(self) -> int | None:
        """How many bytes the file has now; None for a pipe and the like.

        :raises OSError: there is no file.
        """
        status = self._status()
        return status.st_size if stat.S_ISREG(status.st_mode) else self._size

    def _status(self) -> os.stat_result:
        path = os.fspath(self._value)
        status = os.stat(path)  # noqa: PTH116  (it may be of bytes)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return status

    def rewind(self) -> None:
        """Get ready to be sent.

        :raises OSError: there is no file, or it may not be read.
        """
        self._status()
        path = os.fspath(self._value)
        if not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def blocks(self) -> Generator[bytes]:
        """The file's bytes."""
        with Path(os.fsdecode(self._value)).open("rb", buffering=0) as file:
            while block := file.read(READ_SIZE):
                yield block
                del block

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes, read in a thread, and ahead where that cannot take for ever as with a pipe."""
        blocks = self.blocks()
        try:
            async with closing(_in_steps(blocks) if self.size is None else _ahead(blocks)) as fetched:
                async for block in fetched:
                    yield block
                    del block
        finally:
            blocks.close()  # and the file


async def _in_steps(blocks: Generator[bytes]) -> AsyncIterator[bytes]:
    """Blocks that are fetched in a thread, each when it is asked for."""
    # A future, and a thread that is slow to let go of it, would keep its result while the next one is read.
    box: list[bytes] = []

    def step() -> bool:
        for block in blocks:
            box.append(block)
            return True
        return False

    # Cancelled or not, the file is not left to a thread that still reads it.
    while await in_thread(step):
        yield box.pop()


def _ahead(blocks: Generator[bytes]) -> AsyncIterator[bytes]:
    """Blocks that are fetched in a thread, and before they are asked for."""
    return read_ahead(partial(next, blocks, b""), _AHEAD)
