"""Byte ranges, as a server answers with them (RFC 9110 sections 13.1.5, 14.2 and 15.3.7), whatever the framework.

Which way the data flows: request headers -> what is asked for -> status, header fields, and a payload that is written
like any other. A file is opened once for an answer: its length, its ETag and all its parts are those of one state, even
if another file takes its name meanwhile. It is read as it goes, in a thread.
"""

from __future__ import annotations

import errno
import mimetypes
import os
import stat
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, Self, TypedDict

from multidict import CIMultiDict

from aiomultipart import hdrs
from aiomultipart.exceptions import RangeNotSatisfiable, StateError
from aiomultipart.grammar.fields import HeaderItems, as_multidict, check_field
from aiomultipart.grammar.ranges import ContentRange, is_strong_entity_tag, parse_range
from aiomultipart.work import in_thread, read_ahead
from aiomultipart.writing.payloads.base import READ_SIZE, Payload
from aiomultipart.writing.payloads.memory import BytesPayload
from aiomultipart.writing.writer import MultipartWriter

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ("MAX_RANGES", "RangeAnswer", "RangeContent", "RangeOptions", "answer_ranges")

MAX_RANGES = 100
"""How many ranges a request may ask for. Who asks for more gets a 416: many small ones cost a server much more to send
than a client to ask for (RFC 9110 section 14.2)."""

RangeContent = bytes | bytearray | memoryview | os.PathLike[str]
"""What ranges are taken of."""


class RangeOptions(TypedDict, total=False):
    """The keywords of :func:`answer_ranges` that are of the content."""

    content_type: str | None
    etag: str | None
    last_modified: float | None
    max_ranges: int


class _Bytes:
    """Bytes that are here."""

    changed: float | None = None
    entity_tag: str | None = None

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = memoryview(data).cast("B")
        self.length: int = len(self._data)

    def payload(self, found: ContentRange, headers: Mapping[str, str]) -> Payload:
        return _Slice(self, found, headers)

    def read(self, position: int, size: int) -> bytes:
        return bytes(self._data[position : position + size])

    async def close(self) -> None:
        """Nothing to close."""


class _File:
    """A file that is open."""

    def __init__(self, path: os.PathLike[str]) -> None:
        """Open it, which takes a thread.

        :raises OSError: it cannot be opened, or is no regular file.
        """
        if not _is_regular(path):  # to open a pipe may take for ever
            raise FileNotFoundError(errno.ENOENT, "no regular file", os.fspath(path))
        self._file: IO[bytes] = Path(path).open("rb", buffering=0)  # noqa: SIM115  (it stays open)
        status = os.fstat(self._file.fileno())
        self.length: int = status.st_size
        self.changed: float | None = status.st_mtime
        self.entity_tag: str | None = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        if not _has_settled(status.st_mtime):
            self.entity_tag = f"W/{self.entity_tag}"
        self._reading = threading.Lock()

    def payload(self, found: ContentRange, headers: Mapping[str, str]) -> Payload:
        return _FileSlice(self, found, headers)

    def read(self, position: int, size: int) -> bytes:
        """Bytes from a position on; a thread that is given up on must not move the file under another."""
        with self._reading:
            self._file.seek(position)
            data = self._file.read(size)
        if not data:
            raise StateError(f"the file has become shorter than its {self.length} bytes while it is sent")
        return data

    async def close(self) -> None:
        await in_thread(self._file.close)


def _is_regular(path: os.PathLike[str]) -> bool:
    """Whether a path is that of a file; a name that no file can have, such as one with a NUL in it, is of none.

    :raises OSError: it cannot be told, or there is nothing.
    """
    try:
        return stat.S_ISREG(Path(path).stat().st_mode)
    except ValueError:
        return False
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:
            return False
        raise


class _Readable(Protocol):
    def read(self, position: int, size: int) -> bytes: ...


class _Slice(Payload):
    """A range of bytes that are in memory."""

    _autoclose = True
    _value: _Readable

    def __init__(self, value: _Readable, found: ContentRange, headers: Mapping[str, str]) -> None:
        super().__init__(value, headers)
        self._position = found.first_pos
        self._size = found.size

    def blocks(self) -> Iterator[bytes]:
        """The bytes.

        :raises StateError: the file has fewer of them by now.
        """
        position, end = self._position, self._position + (self._size or 0)
        while position < end:
            block = self._value.read(position, min(READ_SIZE, end - position))
            position += len(block)
            yield block
            del block  # or it would be kept while the next one is read


class _FileSlice(_Slice):
    """A range of a file."""

    def blocks(self) -> Iterator[bytes]:
        """As :meth:`_Slice.blocks`."""
        return super().blocks()

    def chunks(self) -> AsyncIterator[bytes]:
        """The bytes, read in a thread, one piece ahead."""
        return read_ahead(self.blocks(), 1)


class RangeAnswer:
    """What to answer; ``async with`` closes the file.

    :ivar status: 200, 206 or 416.
    :ivar headers: the header fields: Content-Type, Content-Length, Content-Range, Accept-Ranges, and those by which the
        representation is known.
    :ivar body: a payload, to be written to a response or iterated over by ``as_chunks()``; its size is known.
    """

    def __init__(self, status: int, headers: CIMultiDict[str], body: Payload, content: _Bytes | _File) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._content = content

    async def close(self) -> None:
        """Close the file that was opened."""
        await self._content.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


async def answer_ranges(
    headers: HeaderItems,
    content: RangeContent,
    *,
    method: str = "GET",
    content_type: str | None = None,
    etag: str | None = None,
    last_modified: float | None = None,
    max_ranges: int = MAX_RANGES,
) -> RangeAnswer:
    """Answer a request for a file, or for bytes: as a whole, or the ranges that it asks for.

    :param headers: the header fields of the request; of them Range and If-Range count.
    :param content: bytes, or the path of a file; a ``str`` is neither.
    :param method: that of the request. A Range counts with GET only (RFC 9110 section 14.2).
    :param content_type: the Content-Type; guessed from the file's name if not given, else
        ``application/octet-stream``.
    :param etag: the entity tag in its quotes, ``W/`` before it if it is weak. Of a file it is made from its size and
        the time of its last change, and is weak within a second of that.
    :param last_modified: when the content was changed, in seconds since 1970; of a file that is known. It is sent when
        it is more than a second ago.
    :param max_ranges: how many ranges may be asked for; more is a 416.
    :raises FileNotFoundError: there is no such file, or it is no regular file.
    :raises OSError: it cannot be read.
    :raises ValueError: ``etag`` is none, ``content_type`` cannot be written, ``max_ranges`` is below 1.
    :raises TypeError: ``content`` is something else.
    """
    if max_ranges < 1:
        raise ValueError(f"max_ranges is at least 1, not {max_ranges}")
    if etag is not None and not is_strong_entity_tag(etag.removeprefix("W/")):
        raise ValueError(f"etag {etag!r} is no entity tag; it has quotes around it")
    if content_type is None:
        name = os.fspath(content) if isinstance(content, os.PathLike) else ""
        content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    check_field(hdrs.CONTENT_TYPE, content_type)
    source = await _open(content)
    try:
        fields = CIMultiDict({"Accept-Ranges": "bytes"})
        known = etag or source.entity_tag
        if known is not None:
            fields[hdrs.ETAG] = known
        changed = source.changed if last_modified is None else last_modified
        if changed is not None and _has_settled(changed):
            fields[hdrs.LAST_MODIFIED] = _http_date(changed)
        return _answer(as_multidict(headers), source, method, content_type, fields, max_ranges)
    except BaseException:
        await source.close()
        raise


async def _open(content: RangeContent) -> _Bytes | _File:
    if isinstance(content, (bytes, bytearray, memoryview)):
        return _Bytes(content)
    if not isinstance(content, os.PathLike):
        raise TypeError(f"content is bytes or a path such as pathlib.Path, not {type(content)!r}")
    opened: list[_File] = []
    try:
        await in_thread(lambda: opened.append(_File(content)))
    except BaseException:
        if opened:  # and then it was cancelled
            await opened[0].close()
        raise
    return opened[0]


def _answer(
    request: Mapping[str, str],
    content: _Bytes | _File,
    method: str,
    content_type: str,
    fields: CIMultiDict[str],
    max_ranges: int,
) -> RangeAnswer:
    length = content.length
    typed = {"Content-Type": content_type}
    try:
        ranges = _asked_for(request, fields, length, max_ranges) if method == "GET" else None
    except RangeNotSatisfiable:
        fields.update({"Content-Range": f"bytes */{length}", "Content-Length": "0"})
        return RangeAnswer(416, fields, BytesPayload(b""), content)
    if ranges is not None and len(ranges) > 1:
        writer = MultipartWriter("byteranges")
        for found in ranges:
            writer.append_payload(content.payload(found, {**typed, "Content-Range": str(found)}))
        fields.update(writer.http_headers())
        return RangeAnswer(206, fields, writer, content)
    fields.update(typed)
    whole = ContentRange(0, length - 1, length)
    found = whole if ranges is None else ranges[0]
    if ranges is not None:
        fields[hdrs.CONTENT_RANGE] = str(found)
    fields[hdrs.CONTENT_LENGTH] = str(found.size)
    body = BytesPayload(b"") if method == "HEAD" else content.payload(found, typed)
    return RangeAnswer(200 if ranges is None else 206, fields, body, content)


def _asked_for(
    request: Mapping[str, str], fields: Mapping[str, str], length: int, max_ranges: int
) -> list[ContentRange] | None:
    """The ranges that are asked for; None for the whole.

    :raises RangeNotSatisfiable: as :func:`~aiomultipart.grammar.ranges.parse_range`.
    """
    asked = _sole(request, hdrs.RANGE)
    if asked is None:
        return None
    if hdrs.IF_RANGE in request:
        # Section 13.1.5: entity tags by strong comparison, dates if they are the same.
        known = _sole(request, hdrs.IF_RANGE)
        tag = fields.get(hdrs.ETAG, "")
        if known is None or not (
            (is_strong_entity_tag(tag) and known == tag) or known == fields.get(hdrs.LAST_MODIFIED)
        ):
            return None
    ranges = parse_range(asked, length, max_ranges=max_ranges)
    return None if ranges is None else [ContentRange(first, last, length) for first, last in ranges]


def _sole(headers: Mapping[str, str], name: str) -> str | None:
    """The value of a field; None where there is none, or more than one."""
    values = as_multidict(headers).getall(name, [])
    return values[0].strip(" \t") if len(values) == 1 else None


def _has_settled(changed: float) -> bool:
    """Whether a change is so long ago that the next one will have another date (RFC 9110 section 8.8.2.2)."""
    return changed < time.time() - 1


def _http_date(moment: float) -> str:
    from email.utils import formatdate  # which takes a while to import

    return formatdate(int(moment), usegmt=True)
