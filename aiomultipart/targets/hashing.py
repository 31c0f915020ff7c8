"""Bytes that are hashed."""

from __future__ import annotations

from .base import OnePart, ReceivedPart
from .disk import new_hash
from .hops import Outbox, Worker

__all__ = ("HashTarget",)

# As much is hashed on the event loop (about 40 us); beyond that a thread does it.
_INLINE = 64 * 1024


class HashTarget(OnePart):
    """Hashes the body, a long one in a thread; the result is the digest in hexadecimal.

    :param name: of a hash of ``hashlib``.
    :raises ValueError: there is none of this name, or its size is not fixed.
    """

    def __init__(self, name: str = "sha256") -> None:
        self._hash = new_hash(name)
        self._worker = Worker()
        self._outbox = Outbox(self._worker, self._update)

    async def start(self, part: ReceivedPart) -> None:
        """Get ready."""
        self._start()

    async def write(self, data: bytes) -> None:
        """Hash ``data``."""
        self._check()
        await self._outbox.write(data)

    async def finish(self) -> str:
        """The digest."""
        self._finish()
        await self._worker.wait()
        rest = self._outbox.take()
        if sum(map(len, rest)) > _INLINE:
            await self._worker.run(self._update, rest)
        else:
            self._update(rest)
        return self._hash.hexdigest()

    def start_sync(self, part: ReceivedPart) -> None:
        """As :meth:`start`."""
        self._start()

    def write_sync(self, data: bytes) -> None:
        """As :meth:`write`."""
        self._check()
        self._hash.update(data)

    def finish_sync(self) -> str:
        """As :meth:`finish`."""
        self._finish()
        return self._hash.hexdigest()

    def abort_sync(self) -> None:
        """As :meth:`abort`."""
        self._abort()

    def _update(self, pieces: list[bytes]) -> None:
        for piece in pieces:
            self._hash.update(piece)

    async def abort(self) -> None:
        """Wait for the thread."""
        self._abort()
        await self._worker.settle()
