"""Bytes in memory while they are few, then in a temporary file."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import AsyncIterator, Iterator
from typing import IO, Final, Self

from aiomultipart.exceptions import LimitExceeded, StateError
from aiomultipart.work import to_its_end

from .base import OnePart, ReceivedPart, SavedFile
from .disk import Draft, open_unnamed, split_path, write_all
from .hops import HOP, Outbox, Worker

__all__ = ("Budget", "Spool", "SpooledFile", "SpooledTarget")

_MAX_MEMORY: Final = 1024 * 1024
_PIECE: Final = 64 * 1024
# Saving is done by jobs of so many bytes, so that a cancellation need not wait for all of a large file.
_STEP: Final = 8 * HOP


class Budget:
    """What the fields and files of one form may take together.

    :param max_memory: in bytes; None for no bound.
    :param max_open_files: temporary files on disk; None for no bound.
    :ivar memory: bytes taken now.
    :ivar open_files: files open now.
    """

    def __init__(self, *, max_memory: int | None = None, max_open_files: int | None = None) -> None:
        self.max_memory = max_memory
        self.max_open_files = max_open_files
        self.memory = 0
        self.open_files = 0
        self._lock = threading.Lock()  # files move to disk, and are closed, in threads

    def take(self, size: int) -> bool:
        """Take memory if there is enough left; whether there was."""
        with self._lock:
            if self.max_memory is not None and self.memory + size > self.max_memory:
                return False
            self.memory += size
            return True

    def give(self, size: int) -> None:
        """Give memory back."""
        with self._lock:
            self.memory -= size

    def open_file(self) -> None:
        """Count a file.

        :raises LimitExceeded: ``max_open_files``.
        """
        most = self.max_open_files
        with self._lock:
            if most is not None and self.open_files >= most:
                raise LimitExceeded(f"form passes max_open_files of {most}", limit="max_open_files", value=most)
            self.open_files += 1

    def close_file(self) -> None:
        """Count it no more."""
        with self._lock:
            self.open_files -= 1


class _QuietFile(io.FileIO):
    """Closed when it is collected, without a ResourceWarning."""

    def __del__(self) -> None:
        self.close()


class _QuietBuffer(io.BufferedRandom):
    """The same."""

    def __del__(self) -> None:
        self.close()


class Spool:
    """The bytes of :class:`SpooledTarget`, without asyncio: plain code, for one thread at a time.

    :param max_memory: how many bytes stay in memory.
    :param directory: for the temporary file; None for the system's.
    :param budget: shared with others; a file that finds no memory there goes to disk earlier.
    :param quiet: it may be dropped without having been closed: then there is no ResourceWarning.
    :ivar size: in bytes.
    :ivar closed: whether :meth:`close` was called.
    """

    def __init__(
        self,
        *,
        max_memory: int = _MAX_MEMORY,
        directory: str | os.PathLike[str] | None = None,
        budget: Budget | None = None,
        quiet: bool = False,
    ) -> None:
        self.size = 0
        self.closed = False
        self._max_memory = max_memory
        self._directory = None if directory is None else os.fspath(directory)
        self._budget = Budget() if budget is None else budget
        self._quiet = quiet
        self._memory: io.BytesIO | None = io.BytesIO()
        self._taken = 0
        self._file: io.FileIO | None = None
        self._is_linkable = False
        self._view: io.BufferedRandom | io.BytesIO | None = None
        self._position = 0  # while there is no view

    @property
    def rolled(self) -> bool:
        """Whether the bytes are on disk."""
        return self._file is not None

    def counts_in(self, budget: Budget) -> bool:
        """Whether its memory is taken from ``budget``."""
        return self._budget is budget

    def hold(self, data: bytes) -> bool:
        """Keep ``data`` in memory, if it is there that the bytes are and there is room; it does not block."""
        memory = self._in_memory
        if memory is None or self.size + len(data) > self._max_memory or not self._budget.take(len(data)):
            return False
        self._taken += len(data)
        memory.write(data)
        self.size += len(data)
        return True

    @property
    def _in_memory(self) -> io.BytesIO | None:
        if self.closed:
            raise StateError("the file is closed")
        return self._memory

    def roll_over(self) -> None:
        """Move to disk.

        :raises LimitExceeded: ``max_open_files`` of the budget.
        :raises OSError: the disk is full, for instance.
        """
        memory = self._in_memory
        if memory is None:
            return
        self._budget.open_file()
        try:
            file, is_linkable = open_unnamed(self._directory)
            if self._quiet:
                with file:
                    file = _QuietFile(os.dup(file.fileno()), "r+")
        except BaseException:
            self._budget.close_file()
            raise
        try:
            with memory.getbuffer() as view:
                write_all(file, [view])
        except BaseException:
            self._budget.close_file()
            file.close()
            raise
        self._file, self._is_linkable = file, is_linkable
        self._position, self._view = self.tell(), None
        self._memory = None
        self._budget.give(self._taken)
        self._taken = 0

    def append(self, pieces: list[bytes]) -> None:
        """Write ``pieces`` to the file on disk."""
        if self._file is None:
            raise StateError("the file is closed" if self.closed else "the file is in memory")
        self.size += write_all(self._file, pieces)

    def write(self, data: bytes) -> None:
        """Append ``data``, in memory or on disk."""
        if not self.hold(data):
            self.roll_over()
            self.append([data])

    def read_at(self, position: int, size: int) -> bytes:
        """At most ``size`` bytes from ``position`` on; ``b""`` at the end."""
        memory = self._in_memory
        if memory is not None:
            with memory.getbuffer() as view:
                return bytes(view[position : position + size])
        if self._file is None:
            raise StateError("the file is closed")
        pieces = []
        while size > 0 and (piece := _read_at(self._file, position, size)):
            pieces.append(piece)  # one call gives 2 GiB at the most
            position += len(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @property
    def file_object(self) -> IO[bytes]:
        """The bytes as a binary file, whose position is that of :meth:`tell`. It is closed with this."""
        memory = self._in_memory
        if self._view is None:
            view: io.BufferedRandom | io.BytesIO
            if memory is not None:
                view = memory
            elif self._file is not None:
                view = _QuietBuffer(self._file) if self._quiet else io.BufferedRandom(self._file)
            else:
                raise StateError("the file is closed")
            view.seek(self._position)
            self._view = view
        return self._view

    def tell(self) -> int:
        """The position, in bytes."""
        return self._position if self._view is None else self._view.tell()

    def seek(self, position: int) -> None:
        """Go to ``position``, in bytes from the start."""
        if self._view is None:
            self._position = position
        else:
            self._view.seek(position)

    def begin_saving(self, draft: Draft) -> None:
        """Have ``draft`` take the file itself if that can be done, else make its own."""
        if self._in_memory is not None or self._file is None or not self._is_linkable or not draft.adopt(self._file):
            draft.open()

    def close(self) -> None:
        """Drop the bytes."""
        self.closed = True
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.close()
        self._budget.give(self._taken)
        self._taken = 0
        view, self._view = self._view, None
        file, self._file = self._file, None
        if file is not None:
            self._budget.close_file()
            try:
                if view is not None:
                    view.close()
            finally:
                file.close()


def _read_at(file: io.FileIO, position: int, size: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), size, position)
    before = file.tell()  # Windows; who reads the file itself counts on its place
    file.seek(position)
    try:
        return file.read(size) or b""
    finally:
        file.seek(before)


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
    def rolled(self) -> bool:
        """Whether the bytes are on disk."""
        return self._spool.rolled

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

        Both have one position, and are closed together. :meth:`rollover` puts another file in its place.
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
        if not self._spool.rolled:
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

    async def rollover(self) -> None:
        """Move to disk, if it is not there: that gives memory back to the budget.

        :raises LimitExceeded: ``max_open_files`` of the budget.
        """
        if not self._spool.rolled:
            with self._in_use():
                await self._worker.run(self._spool.roll_over)

    async def save(
        self,
        path: str | os.PathLike[str],
        *,
        hash: str | None = None,  # noqa: A002  (the name is public)
        overwrite: bool = False,
    ) -> SavedFile:
        """Save all of it, wherever the position is. The file is there when it is whole, or not at all.

        The first time, the temporary file itself gets the name, where the system allows that and ``path`` is on the
        same file system; else it is copied. So is what is in memory.

        :param path: of the file. It is trusted: make no path out of what was received.
        :param hash: name of a hash of ``hashlib`` to compute.
        :param overwrite: replace a file that is there.
        :raises FileExistsError: there is one.
        :raises ValueError: ``path`` ends in no name, or ``hash`` is not known.
        """
        directory, name = split_path(path)
        draft = Draft(directory, name, overwrite=overwrite, hash=hash)
        with self._in_use():
            try:
                start = 0
                while (saved := await self._worker.run(self._save_some, draft, start)) is None:
                    start += _STEP
            except BaseException:
                await to_its_end(self._drop(draft))
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
        if self._spool.rolled:
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
    :raises LimitExceeded: ``max_open_files`` of the budget.
    """

    def __init__(
        self,
        *,
        max_memory: int = _MAX_MEMORY,
        directory: str | os.PathLike[str] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._spool = Spool(max_memory=max_memory, directory=directory, budget=budget)
        self._worker = Worker()
        self._outbox = Outbox(self._worker, self._spool.append)

    async def start(self, part: ReceivedPart) -> None:
        """Get ready."""
        self._start()

    async def write(self, data: bytes) -> None:
        """Take ``data``.

        :raises OSError: writing earlier bytes failed.
        """
        self._check()
        if not self._spool.rolled:
            if self._spool.hold(data):
                return
            await self._worker.run(self._spool.roll_over)
        await self._outbox.write(data)

    async def finish(self) -> SpooledFile:
        """What was received, complete."""
        self._finish()
        if self._spool.rolled:
            await self._worker.wait()
            if rest := self._outbox.take():
                await self._worker.run(self._spool.append, rest)
        return SpooledFile(self._spool, self._worker)  # so that abort() waits for what the file does, too

    async def abort(self) -> None:
        """Drop it; a :class:`SpooledFile` that it gave is closed."""
        if self._abort():
            await self._worker.settle()
            if self._spool.rolled:
                await self._worker.run(self._spool.close)
            else:
                self._spool.close()
