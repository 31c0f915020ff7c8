"""How far uploads are, as the server sees it, told as server-sent events.

The client makes up an id, listens at ``/progress/{id}`` and posts with ``?id=``; either may come first. A listener gets
``progress`` events, then one ``end``; or one ``expired``, when no upload of this id begins. Both close the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Final, Literal, TypeAlias

from .refusals import Refused

__all__ = ("Board", "Upload")

_ID: Final = re.compile(r"[A-Za-z0-9_-]{8,64}")
# Seconds between two events; what happens between them is in the later one.
_INTERVAL: Final = 0.05

Status: TypeAlias = Literal["waiting", "receiving", "complete", "failed"]


class Upload:
    """One upload.

    :ivar received: in bytes.
    :ivar total: in bytes; None if it is not known.
    """

    def __init__(self) -> None:
        self.status: Status = "waiting"
        self.received = 0
        self.total: int | None = None
        self.ended_at = 0.0
        self.watchers = 0
        self.changed = asyncio.Event()

    @property
    def is_ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.status in {"complete", "failed"}

    def update(self, received: int, total: int | None) -> None:
        """So much has arrived; for ``on_progress``."""
        self.received, self.total = received, total
        self._change()

    def become(self, status: Status) -> None:
        """Enter the next status."""
        self.status = status
        self.ended_at = asyncio.get_running_loop().time()
        self._change()

    def _change(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def event(self) -> bytes:
        """What a listener is told."""
        data = {"status": self.status, "received": self.received, "total": self.total}
        return _event("end" if self.is_ended else "progress", data)


def _event(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


class Board:
    """The uploads that can be listened to.

    :param size: how many of them, and how many listeners.
    :param patience: seconds that a listener waits for an upload to begin, and between signs of life.
    :param memory: seconds for which an upload that ended is known.
    """

    def __init__(self, *, size: int, patience: float = 10, memory: float = 60) -> None:
        self._size = size
        self._patience = patience
        self._memory = memory
        self._uploads: dict[str, Upload] = {}
        self._watchers = 0

    def __len__(self) -> int:
        return len(self._uploads)

    @contextlib.contextmanager
    def track(self, id_: str | None) -> Iterator[Upload]:
        """One upload, from its begin to its end. Without an id, or without room for it, nobody is told.

        :raises Refused: the id is none, or another upload has it.
        """
        upload = Upload() if id_ is None else self._find(id_) or self._add(id_) or Upload()
        if upload.status != "waiting":
            raise Refused(409, "another upload has this id")
        upload.become("receiving")
        try:
            yield upload
        except BaseException:
            upload.become("failed")
            raise
        upload.become("complete")

    def watch(self, id_: str) -> AsyncIterator[bytes]:
        """The events of an upload.

        :raises Refused: the id is none, or there are too many listeners.
        """
        if self._watchers >= self._size or (self._find(id_) is None and not self._make_room()):
            raise Refused(503, "too many are listening", retry_after=5)
        return self._watch(id_)

    async def _watch(self, id_: str) -> AsyncIterator[bytes]:
        upload = self._find(id_) or self._add(id_) or Upload()
        upload.watchers += 1
        self._watchers += 1
        try:
            while True:
                changed = upload.changed  # taken before it is told, so that no change is missed
                yield upload.event()
                if upload.is_ended:
                    return
                try:
                    await asyncio.wait_for(changed.wait(), self._patience)
                except TimeoutError:
                    if upload.status == "waiting":
                        yield _event("expired", {})
                        return
                    yield b": it has not moved\n\n"
                else:
                    await asyncio.sleep(_INTERVAL)
        finally:
            self._watchers -= 1
            upload.watchers -= 1
            if upload.status == "waiting" and not upload.watchers and self._uploads.get(id_) is upload:
                del self._uploads[id_]

    def _find(self, id_: str) -> Upload | None:
        if not _ID.fullmatch(id_):
            raise Refused(400, "an id is 8 to 64 letters, digits, dashes or low lines")
        return self._uploads.get(id_)

    def _add(self, id_: str) -> Upload | None:
        """A new one; None without room."""
        if not self._make_room():
            return None
        self._uploads[id_] = upload = Upload()
        return upload

    def _make_room(self) -> bool:
        """Forget uploads that ended, those of long ago in any case; whether there is room then."""
        long_ago = asyncio.get_running_loop().time() - self._memory
        for id_, upload in list(self._uploads.items()):
            if upload.is_ended and (upload.ended_at < long_ago or len(self._uploads) >= self._size):
                del self._uploads[id_]
        return len(self._uploads) < self._size
