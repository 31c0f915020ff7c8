"""What the fields and files of one form may take together."""

from __future__ import annotations

import threading

from aiomultipart.exceptions import LimitExceeded

__all__ = ("Budget",)


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
        self.memory: int = 0
        self.open_files: int = 0
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
