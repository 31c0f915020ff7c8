"""Payloads that are read from files, in a thread where there is an event loop."""

from __future__ import annotations

import codecs
import errno
import io
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path, PurePath
from typing import IO, Any

from aiomultipart.exceptions import StateError
from aiomultipart.work import in_thread, read_ahead
from aiomultipart.writing.head import HeadersLike, charset_of, check_charset, header_items

from .base import READ_SIZE, Payload

__all__ = (
    "BufferedReaderPayload",
    "BytesIOPayload",
    "FilePayload",
    "IOBasePayload",
    "PathPayload",
    "TextIOPayload",
    "file_name",
    "text_encoder",
)

# Chunks that are read in one way to a thread and back, which takes as long as to read one; with the one that the caller
# has and the one that is read, they are less than 2 MiB.
_AHEAD = 3


def file_name(value: object) -> str | None:
    """The base name of a file object or path; None where it has none."""
    name = value if isinstance(value, os.PathLike) else getattr(value, "name", None)
    # A descriptor's number and "<stdin>" are no names of files.
    if isinstance(name, (str, os.PathLike)) and (name := os.fsdecode(name)) and not name.startswith("<"):
        return PurePath(name).name
    return None


def text_encoder(payload: Payload) -> Callable[[bytes | str | None], bytes]:
    """Makes bytes of what is read from a file, which may be text; nothing read is the end, and may give bytes too.

    Text is encoded as one, however it is cut: a BOM comes once.
    """
    encoder: codecs.IncrementalEncoder | None = None

    def encode(data: bytes | str | None) -> bytes:
        nonlocal encoder
        if not isinstance(data, str):
            return data or b""
        if encoder is None:
            encoder = codecs.getincrementalencoder(payload.encoding or charset_of(payload.content_type))()
        return encoder.encode(data, final=not data)

    return encode


class FilePayload(Payload):
    """What has a file name, which its Content-Disposition and its Content-Type tell.

    :param disposition: the disposition type to set with the file's base name; None for no Content-Disposition.
    """

    def __init__(self, value: Any, disposition: str | None = "attachment", *args: Any, **kwargs: Any) -> None:
        if kwargs.get("filename") is None:
            kwargs["filename"] = file_name(value)
        super().__init__(value, *args, **kwargs)
        if self._filename and disposition is not None and self.disposition is None:
            self.set_content_disposition(disposition, filename=self._filename)

    def _is_on_disk(self) -> bool:
        """Whether it is read by position, which cannot take for ever as with a pipe."""
        return False

    def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes, read in a thread, and ahead where that cannot take for ever."""
        return read_ahead(self.blocks(), _AHEAD if self._is_on_disk() else 0)


class IOBasePayload(FilePayload):
    """A file, read in a thread from where it stands now; each time that it is sent, it is rewound to there."""

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

    def blocks(self) -> Iterator[bytes]:
        """The file's bytes."""
        self._started = True
        position, by_position = self._start, self._is_on_disk()
        encode = text_encoder(self)
        box: list[bytes] = []  # a local name would keep what was handed on while the next is read
        more = True
        while more:
            # A thread that still reads for one who went away must not move the file under another.
            with self._reading:
                if position is not None:
                    self._value.seek(position)
                data = self._value.read(READ_SIZE)
            more = bool(data)
            position = position + len(data) if position is not None and by_position else None
            data = encode(data)
            if data:
                box.append(data)
            del data
            if box:
                yield box.pop()

    def chunks(self) -> AsyncIterator[bytes]:
        """The same, read in a thread."""
        return FilePayload.chunks(self)

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
        content_type = content_type or f"text/plain; charset={charset}"
        super().__init__(value, disposition, headers, content_type, filename=filename, encoding=charset, **kwargs)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The text of the file. It is read here and now, so not while an event loop has other things to do."""
        return super().decode(self._encoding or encoding, errors)


class BytesIOPayload(IOBasePayload):
    """What is left of a ``BytesIO``, which stays the caller's to close."""

    _value: io.BytesIO
    _autoclose = True

    @property
    def size(self) -> int | None:
        """How many bytes are left from where it stood."""
        return None if self._value.closed else max(self._value.getbuffer().nbytes - (self._start or 0), 0)

    def _is_on_disk(self) -> bool:
        return True

    def whole(self) -> bytes | None:
        """All bytes."""
        return self._value.getvalue()[self._start or 0 :]

    def blocks(self) -> Iterator[bytes]:
        """All bytes; there is nothing to wait for."""
        return IOBasePayload.blocks(self)

    async def close(self) -> None:
        """Nothing is to be given back."""


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

    def _is_on_disk(self) -> bool:
        return self._size_on_disk() is not None


class PathPayload(FilePayload):
    """A path: the file that is there is opened when it is sent, and closed after that."""

    _value: os.PathLike[Any]
    _autoclose = True

    @property
    def size(self) -> int | None:
        """How many bytes the file has now; None for a pipe and the like.

        :raises OSError: there is no file.
        """
        path = os.fspath(self._value)
        status = os.stat(path)  # noqa: PTH116  (it may be of bytes)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return status.st_size if stat.S_ISREG(status.st_mode) else self._size

    def _is_on_disk(self) -> bool:
        return stat.S_ISREG(os.stat(self._value).st_mode)  # noqa: PTH116

    def rewind(self) -> None:
        """Get ready to be sent.

        :raises OSError: there is no file, or it may not be read.
        """
        path = os.fspath(self._value)
        if self.size is not None and not os.access(path, os.R_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def blocks(self) -> Iterator[bytes]:
        """The file's bytes."""
        with Path(os.fsdecode(self._value)).open("rb", buffering=0) as file:
            while block := file.read(READ_SIZE):
                yield block
                del block

    def chunks(self) -> AsyncIterator[bytes]:
        """The same, read in a thread."""
        return FilePayload.chunks(self)
