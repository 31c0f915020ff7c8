"""Bytes in memory while they are few, then in a temporary file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from typing import IO, Final, Self

from aiomultipart.exceptions import StateError
from aiomultipart.work import to_its_end

from .base import ReceivedPart, SavedFile
from .budget import Budget
from .disk import MODE, Draft, split_path
from .faces import OnePart
from .hops import HOP, Outbox, Worker
from .spool import MAX_MEMORY, Spool

__all__ = ("SpooledFile", "SpooledTarget")

_PIECE: Final = 64 * 1024
# Saving is done by jobs of so many bytes, so that a cancellation need not wait for all of a large file.
_STEP: Final = 8 * HOP


class SpooledFile:
    """What a :class:`SpooledTarget` received; an async context manager, which closes it.

    It is read from its position, which begins at 0. One task at a time may use it.
    """

    def __init__(self, spool: Spool, worker: Worker | None = None) -> None:
        self._spool = spool
        self._worker = worker or Worker()
        self._is_busy = False

    @property
    def size(self) -> int:
        """In bytes."""
        return self._spool.size

    @property
    def on_disk(self) -> bool:
        """Whether the bytes are on disk."""
        return self._spool.on_disk

    def counts_in(self, budget: Budget) -> bool:
        """Whether its memory is taken from ``budget``."""
        return self._spool.counts_in(budget)

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._spool.closed

    @property
    def file_object(self) -> IO[bytes]:
        """The bytes as a plain binary file, for code that is not async: reading it may block.

        Both have one position, and are closed together. :meth:`move_to_disk` puts another file in its place.
        """
        return self._spool.file_object

    @contextlib.contextmanager
    def _in_use(self) -> Iterator[None]:
        if self._is_busy:
            raise StateError("another task is using this file")
        self._is_busy = True
        try:
            yield
        finally:
            self._is_busy = False

    def tell(self) -> int:
        """The position, in bytes."""
        return self._spool.tell()

    async def seek(self, position: int) -> int:
        """Go to ``position``, in bytes from the start; nothing is waited for.

        :raises ValueError: it is negative.
        """
        if position < 0:
            raise ValueError(f"position must not be negative: {position}")
        self._spool.seek(position)
        return position

    async def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes, all if it is negative; ``b""`` at the end.

        :raises StateError: it is closed, or another task is using it.
        """
        position = self.tell()
        data = await self._read_at(position, max(self.size - position, 0) if size < 0 else size)
        self._spool.seek(position + len(data))
        return data

    async def _read_at(self, position: int, size: int) -> bytes:
        if not self._spool.on_disk:
            return self._spool.read_at(position, size)
        with self._in_use():
            return await self._worker.run(self._spool.read_at, position, size)

    async def iter_chunks(self, size: int = _PIECE) -> AsyncIterator[bytes]:
        """The rest in pieces of 1 to ``size`` bytes.

        :raises ValueError: ``size`` is less than 1.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        while True:
            start = self.tell()
            block = await self._read_at(start, max(size, HOP))
            if not block:
                return
            for offset in range(0, len(block), size):
                if self.tell() != start + offset:
                    break  # somebody went elsewhere
                piece = block[offset : offset + size]
                self._spool.seek(start + offset + len(piece))
                yield piece

    async def move_to_disk(self) -> None:
        """Move to disk, if it is not there: that gives memory back to the budget.

        :raises LimitExceeded: ``max_open_files`` of the budget.
        """
        if not self._spool.on_disk:
            with self._in_use():
                await self._worker.run(self._spool.move_to_disk)

    async def whole(self) -> AsyncIterator[bytes]:
        """All of it in pieces of about 1 MiB, wherever the position is."""
        for position in range(0, self.size, HOP):
            yield await self._read_at(position, HOP)

    def whole_sync(self) -> Iterator[bytes]:
        """The same, without an event loop."""
        with self._in_use_sync():
            for position in range(0, self.size, HOP):
                yield self._spool.read_at(position, HOP)

    def read_sync(self, size: int = -1) -> bytes:
        """As :meth:`read`, without an event loop; it may block."""
        with self._in_use_sync():
            position = self.tell()
            data = self._spool.read_at(position, max(self.size - position, 0) if size < 0 else size)
            self._spool.seek(position + len(data))
            return data

    @contextlib.contextmanager
    def _in_use_sync(self) -> Iterator[None]:
        if self._worker.is_working:
            raise StateError("another task is using this file")
        with self._in_use():
            yield

    def move_to_disk_sync(self) -> None:
        """As :meth:`move_to_disk`, without an event loop; it may block."""
        with self._in_use_sync():
            self._spool.move_to_disk()

    async def save(
        self,
        path: str | os.PathLike[str],
        *,
        hash: str | None = None,  # noqa: A002  (the name is public)
        overwrite: bool = False,
        mode: int = MODE,
    ) -> SavedFile:
        """Save all of it, wherever the position is. The file is there when it is whole, or not at all.

        The first time, the temporary file itself gets the name, where the system allows that and ``path`` is on the
        same file system; else it is copied. So is what is in memory.

        :param path: of the file. It is trusted: make no path out of what was received.
        :param hash: name of a hash of ``hashlib`` to compute.
        :param overwrite: replace a file that is there.
        :param mode: of the file, whatever the umask; not on Windows.
        :raises FileExistsError: there is one.
        :raises ValueError: ``path`` ends in no name, or ``hash`` is not known.
        """
        directory, name = split_path(path)
        draft = Draft(directory, name, overwrite=overwrite, hash=hash, mode=mode)
        with self._in_use():
            try:
                start = 0
                while (saved := await self._worker.run(self._save_some, draft, start)) is None:
                    start += _STEP
            except BaseException:
                await to_its_end(self._drop(draft))
                raise
            return saved

    def save_sync(
        self,
        path: str | os.PathLike[str],
        *,
        hash: str | None = None,  # noqa: A002  (the name is public)
        overwrite: bool = False,
        mode: int = MODE,
    ) -> SavedFile:
        """As :meth:`save`, without an event loop; it blocks."""
        directory, name = split_path(path)
        draft = Draft(directory, name, overwrite=overwrite, hash=hash, mode=mode)
        with self._in_use_sync():
            try:
                start = 0
                while (saved := self._save_some(draft, start)) is None:
                    start += _STEP
            except BaseException:
                draft.discard()
                raise
            return saved

    def _save_some(self, draft: Draft, start: int) -> SavedFile | None:
        """In a thread: a step of saving."""
        if start == 0:
            self._spool.begin_saving(draft)
        end = min(start + _STEP, self.size)
        if not draft.is_complete:
            for position in range(start, end, HOP):
                draft.write([self._spool.read_at(position, HOP)])
        elif draft.is_hashed:
            for position in range(start, end, HOP):
                draft.hash(self._spool.read_at(position, HOP))
        else:
            end = self.size
        return draft.finish() if end == self.size else None

    async def _drop(self, draft: Draft) -> None:
        await self._worker.settle()
        await self._worker.run(draft.discard)

    async def aclose(self) -> None:
        """Close it; the bytes are gone, but for what was saved. A cancellation is held back until then."""
        await to_its_end(self._aclose())

    async def _aclose(self) -> None:
        await self._worker.settle()
        if self._spool.on_disk:
            await self._worker.run(self._spool.close)
        else:
            self._spool.close()

    def close(self) -> None:
        """Close it without an event loop.

        :raises StateError: a task is using it, or has left a thread at work.
        """
        if self._is_busy or self._worker.is_working:
            raise StateError("another task is using this file")
        self._spool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


class SpooledTarget(OnePart):
    """Keeps a short body in memory, and moves a longer one to a temporary file; the result is a :class:`SpooledFile`.

    The temporary file has no name: it is gone when it is closed, or the process ends.

    :param max_memory: how many bytes stay in memory.
    :param directory: for the temporary file; None for the system's directory of temporary files.
    :param budget: shared by the targets of one form; a body that finds no memory there goes to disk earlier.
    :param quiet: the file may be dropped without having been closed; there is no ResourceWarning then.
    :raises LimitExceeded: ``max_open_files`` of the budget.
    """

    def __init__(
        self,
        *,
        max_memory: int = MAX_MEMORY,
        directory: str | os.PathLike[str] | None = None,
        budget: Budget | None = None,
        quiet: bool = False,
    ) -> None:
        self._spool = Spool(max_memory=max_memory, directory=directory, budget=budget, quiet=quiet)
        self._worker = Worker()
        self._outbox = Outbox(self._worker)

    async def start(self, part: ReceivedPart) -> None:
        """Get ready."""
        self._start()

    async def write(self, data: bytes) -> None:
        """Take ``data``.

        :raises OSError: writing earlier bytes failed.
        """
        self._check()
        if not self._spool.on_disk:
            if self._spool.hold(data):
                return
            await self._worker.run(self._spool.move_to_disk)
        await self._outbox.write(data, self._spool.append)

    async def finish(self) -> SpooledFile:
        """What was received, complete."""
        self._finish()
        if self._spool.on_disk:
            await self._worker.wait()
            if rest := self._outbox.take():
                await self._worker.run(self._spool.append, rest)
        return SpooledFile(self._spool, self._worker)  # so that abort() waits for what the file does, too

    async def abort(self) -> None:
        """Drop it; a :class:`SpooledFile` that it gave is closed."""
        if self._abort():
            await self._worker.settle()
            if self._spool.on_disk:
                await self._worker.run(self._spool.close)
            else:
                self._spool.close()

    def start_sync(self, part: ReceivedPart) -> None:
        """As :meth:`start`."""
        self._start()

    def write_sync(self, data: bytes) -> None:
        """As :meth:`write`."""
        self._check()
        self._spool.write(data)

    def finish_sync(self) -> SpooledFile:
        """As :meth:`finish`."""
        self._finish()
        return SpooledFile(self._spool, self._worker)

    def abort_sync(self) -> None:
        """As :meth:`abort`."""
        if self._abort():
            self._spool.close()
