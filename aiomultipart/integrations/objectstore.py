"""Received parts to an object store (S3, GCS, Azure, local, memory) through `obstore`_; the extra ``objectstore``.

Measured with obstore 0.12: an upload that is cancelled, or whose writer is dropped, leaves its parts in the bucket.
Only ``put_async()`` over an iterator that raises aborts it. So the upload here reads from such an iterator, is never
cancelled, and is aborted by that iterator.

.. _obstore: https://developmentseed.org/obstore/
"""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING, Final, Self

import obstore

from aiomultipart.exceptions import StateError
from aiomultipart.targets import ReceivedPart

if TYPE_CHECKING:
    from obstore import Attributes, PutResult
    from obstore.store import ObjectStore

__all__ = ("ObjectStoreTarget", "StoredObject")

_MIB: Final = 1024 * 1024
_CHUNK_SIZE: Final = 5 * _MIB  # the least that S3 takes for a part


@dataclasses.dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that was stored.

    :ivar path: within the store.
    :ivar size: in bytes.
    :ivar e_tag: what the store calls this content; None where it has no such thing.
    :ivar version: of the object; None where there are no versions.
    """

    path: str
    size: int
    e_tag: str | None = None
    version: str | None = None


class ObjectStoreTarget:
    """Streams the body to an object; the result is a :class:`StoredObject`.

    A body of at most ``chunk_size`` bytes is put with one request, a longer one is a multipart upload, which is aborted
    when anything fails. An object of the same path is replaced, once the body is complete. What was completed is not
    undone, neither by a cancellation in that moment nor by another target that fails later. Aborting waits for the
    requests under way; how long, and how often they are tried again, is for the store's configuration to say.

    :param store: any store of obstore.
    :param path: of the object. It is trusted: make no path out of what was received.
    :param chunk_size: of the parts of an upload, in bytes; S3 takes 5 MiB or more, and 10,000 of them.
    :param max_concurrency: how many parts may be on their way at a time. So many chunks, and three more, are held.
    :param attributes: of the object, such as its Content-Type, as obstore takes them; not for local stores. None are
        taken from the part by themselves: a sender who chooses ``text/html`` would have a page on your site.
    :param tags: of the object.
    :raises ValueError: ``chunk_size`` or ``max_concurrency`` is less than 1.
    """

    def __init__(
        self,
        store: ObjectStore,
        path: str,
        *,
        chunk_size: int = _CHUNK_SIZE,
        max_concurrency: int = 4,
        attributes: Attributes | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        if chunk_size < 1 or max_concurrency < 1:
            raise ValueError("chunk_size and max_concurrency must be at least 1")
        self._store = store
        self._path = path
        self._chunk_size = chunk_size
        self._max_concurrency = max_concurrency
        self._attributes = attributes
        self._tags = tags
        self._size = 0
        self._pending = bytearray()
        self._feed = _Feed()
        self._upload: asyncio.Future[PutResult] | None = None
        self._is_open: bool | None = None  # None: not started

    async def start(self, part: ReceivedPart) -> None:
        """Get ready; there is no request before there is a chunk, or the end."""
        if self._is_open is not None:
            raise StateError("an ObjectStoreTarget is for one part, and this one has had its own")
        self._is_open = True

    def _check(self) -> None:
        if not self._is_open:
            raise StateError("this ObjectStoreTarget is not open")

    async def write(self, data: bytes) -> None:
        """Take ``data``.

        :raises obstore.exceptions.BaseError, OSError: the upload has failed.
        """
        self._check()
        self._pending += data
        self._size += len(data)
        if len(self._pending) > self._chunk_size:
            if self._upload is None:
                self._upload = self._put(self._feed)
                self._upload.add_done_callback(self._feed.stop)
            await self._hand_over()

    def _put(self, content: _Feed | bytearray) -> asyncio.Future[PutResult]:
        return asyncio.ensure_future(
            obstore.put_async(
                self._store,
                self._path,
                content,
                attributes=self._attributes,
                tags=self._tags,
                use_multipart=isinstance(content, _Feed),
                chunk_size=self._chunk_size,
                max_concurrency=self._max_concurrency,
            )
        )

    async def _hand_over(self) -> None:
        await self._feed.room.wait()
        if self._upload is not None and self._upload.done():
            self._upload.result()
            raise StateError("the upload ended before the body did")
        pending, self._pending = self._pending, bytearray()
        self._feed.put(pending)

    async def finish(self) -> StoredObject:
        """Complete the upload.

        :raises obstore.exceptions.BaseError, OSError: it has failed.
        """
        self._check()
        self._is_open = False
        if self._upload is None:
            self._upload = self._put(self._pending)
        else:
            if self._pending:
                await self._hand_over()
            await self._feed.room.wait()
            self._feed.end(None)
        await asyncio.wait((self._upload,))
        result = self._upload.result()
        return StoredObject(self._path, self._size, result["e_tag"], result["version"])

    async def abort(self) -> None:
        """Abort the upload, and wait until that is done."""
        self._is_open = False
        self._pending = bytearray()
        if self._upload is None:
            return
        self._feed.end(_Aborted())
        await asyncio.wait((self._upload,))
        self._upload.exception()  # ours, or one that write() or finish() has raised or would have


class _Aborted(Exception):
    """What ends an upload that is aborted."""


class _Feed:
    """What obstore reads: one block at a time."""

    def __init__(self) -> None:
        self._block: bytearray | None = None
        self._ready = asyncio.Event()
        self._is_ended = False
        self._error: Exception | None = None
        self.room = asyncio.Event()
        self.room.set()

    def put(self, block: bytearray) -> None:
        """Have ``block`` read; there is room."""
        self._block = block
        self.room.clear()
        self._ready.set()

    def end(self, error: Exception | None) -> None:
        """End with ``error``, at once, or without one, after the block."""
        self._is_ended = True
        self._error = error
        self._ready.set()

    def stop(self, _: object) -> None:
        """Nobody reads any more."""
        self.room.set()
        self.end(None)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytearray:
        await self._ready.wait()
        if self._error is not None:
            raise self._error
        block, self._block = self._block, None
        self.room.set()
        if block is None:
            raise StopAsyncIteration
        if not self._is_ended:
            self._ready.clear()
        return block
