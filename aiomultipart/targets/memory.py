"""Bytes in memory."""

from __future__ import annotations

from aiomultipart.exceptions import LimitExceeded

from .base import ReceivedPart
from .faces import Quick

__all__ = ("MemoryTarget",)


class MemoryTarget(Quick[bytes]):
    """Keeps the body in memory; the result is its bytes.

    :param max_size: the most that it takes, in bytes; None for what the reader's limits allow.
    :raises LimitExceeded: when the body passes ``max_size``.
    """

    def __init__(self, *, max_size: int | None = None) -> None:
        self._max_size = max_size
        self._name: str | None = None
        self._data = bytearray()

    def _open(self, part: ReceivedPart) -> None:
        self._name = part.name

    def _write(self, data: bytes) -> None:
        most = self._max_size
        if most is not None and len(self._data) + len(data) > most:
            raise LimitExceeded(f"body passes max_size of {most}", limit="max_size", value=most, part_name=self._name)
        self._data += data

    def _close(self) -> bytes:
        data, self._data = bytes(self._data), bytearray()
        return data

    def _drop(self) -> None:
        self._data = bytearray()
