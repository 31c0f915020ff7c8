"""Bytes that nobody keeps."""

from __future__ import annotations

from .faces import Quick

__all__ = ("NullTarget",)


class NullTarget(Quick[int]):
    """Drops the body; the result is how many bytes it had."""

    def __init__(self) -> None:
        self._size = 0

    def _write(self, data: bytes) -> None:
        self._size += len(data)

    def _close(self) -> int:
        return self._size
