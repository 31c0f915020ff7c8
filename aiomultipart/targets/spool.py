"""Bytes in memory while they are few, then in a temporary file: plain code."""

from __future__ import annotations

import io
import os
from typing import IO, Final

from aiomultipart.exceptions import StateError

from .budget import Budget
from .disk import Draft, open_unnamed, write_all

__all__ = ("MAX_MEMORY", "Spool")

MAX_MEMORY: Final = 1024 * 1024


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
        max_memory: int = MAX_MEMORY,
        directory: str | os.PathLike[str] | None = None,
        budget: Budget | None = None,
        quiet: bool = False,
    ) -> None:
        self.size: int = 0
        self.closed: bool = False
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
    def on_disk(self) -> bool:
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

    def move_to_disk(self) -> None:
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
            self.move_to_disk()
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
