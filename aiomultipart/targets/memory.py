"""Bytes in memory."""

from __future__ import annotations

from aiomultipart.exceptions import LimitExceeded

from .base import OnePart, ReceivedPart

__all__ = ("MemoryTarget",)


class MemoryTarget(OnePart):
    """Keeps the body in memory; the result is its bytes.

    :param max_size: the most that it takes, in bytes; None for what the reader's limits allow.
    :raises LimitExceeded: when the body passes ``max_size``.
    """

    def __init__(self, *, max_size: int | None = None) -> None:
        self._max_size = max_size
        self._name: str | None = None
        self._data = bytearray()

    async def start(self, part: ReceivedPart) -> None:
        """Get ready."""
        self.start_sync(part)

    async def write(self, data: bytes) -> None:
        """Keep ``data``."""
        self.write_sync(data)

    async def finish(self) -> bytes:
        """The bytes."""
        return self.finish_sync()

    async def abort(self) -> None:
        """Drop them."""
        self.abort_sync()

    def start_sync(self, part: ReceivedPart) -> None:
        """As :meth:`start`."""
        self._start()
        self._name = part.name

    def write_sync(self, data: bytes) -> None:
        """As :meth:`write`."""
        self._check()
        most = self._max_size
        if most is not None and len(self._data) + len(data) > most:
            raise LimitExceeded(f"body passes max_size of {most}", limit="max_size", value=most, part_name=self._name)
        self._data += data

    def finish_sync(self) -> bytes:
        """As :meth:`finish`."""
        self._finish()
        data, self._data = bytes(self._data), bytearray()
        return data

    def abort_sync(self) -> None:
        """As :meth:`abort`."""
        self._abort()
        self._data = bytearray()
