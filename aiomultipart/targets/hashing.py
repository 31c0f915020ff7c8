"""Bytes that are hashed."""

from __future__ import annotations

from collections.abc import Sequence

from .base import ReceivedPart
from .disk import new_hash
from .faces import Threaded

__all__ = ("HashTarget",)

# As much is hashed on the event loop (about 40 us); beyond that a thread does it.
_INLINE = 64 * 1024


class HashTarget(Threaded[str]):
    """Hashes the body, a long one in a thread; the result is the digest in hexadecimal.

    :param name: of a hash of ``hashlib``.
    :raises ValueError: there is none of this name, or its size is not fixed.
    """

    def __init__(self, name: str = "sha256") -> None:
        super().__init__()
        self._hash = new_hash(name)

    async def start(self, part: ReceivedPart) -> None:
        """Get ready."""
        self._start()

    async def finish(self) -> str:
        """The digest."""
        self._finish()
        await self._worker.wait()
        rest = self._outbox.take()
        if sum(map(len, rest)) > _INLINE:
            return await self._worker.run(self._write_and_close, rest)
        return self._write_and_close(rest)

    async def abort(self) -> None:
        """Wait for the thread."""
        self._abort()
        await self._worker.settle()

    def _write(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self._hash.update(piece)

    def _close(self) -> str:
        return self._hash.hexdigest()
