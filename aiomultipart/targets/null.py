"""Bytes that nobody keeps."""

from __future__ import annotations

from .base import OnePart, ReceivedPart

__all__ = ("NullTarget",)


class NullTarget(OnePart):
    """Drops the body; the result is how many bytes it had."""

    def __init__(self) -> None:
        self._size = 0

    async def start(self, part: ReceivedPart) -> None:
        """Get ready."""
        self._start()

    async def write(self, data: bytes) -> None:
        """Count ``data``."""
        self.write_sync(data)

    async def finish(self) -> int:
        """The size of the body in bytes."""
        return self.finish_sync()

    async def abort(self) -> None:
        """Nothing to do."""
        self._abort()

    def start_sync(self, part: ReceivedPart) -> None:
        """As :meth:`start`."""
        self._start()

    def write_sync(self, data: bytes) -> None:
        """As :meth:`write`."""
        self._check()
        self._size += len(data)

    def finish_sync(self) -> int:
        """As :meth:`finish`."""
        self._finish()
        return self._size

    def abort_sync(self) -> None:
        """As :meth:`abort`."""
        self._abort()
