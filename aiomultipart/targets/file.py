"""Bytes to a file."""

from __future__ import annotations

import os

from aiomultipart.exceptions import StateError

from .base import OnePart, ReceivedPart, SavedFile
from .disk import MODE, Draft, split_path
from .hops import Outbox, Worker

__all__ = ("FileTarget", "Saving")


class Saving(OnePart):
    """A target that is one file on disk, written in a thread."""

    def __init__(self) -> None:
        self._worker = Worker()
        self._draft: Draft | None = None
        self._outbox: Outbox | None = None

    def _make_draft(self, part: ReceivedPart) -> Draft:
        raise NotImplementedError

    async def start(self, part: ReceivedPart) -> None:
        """Begin to make the file. What that raises comes from the call that follows."""
        self._start()
        self._draft = draft = self._make_draft(part)
        self._outbox = Outbox(self._worker, draft.write)
        self._worker.begin(draft.open)  # not waited for: bytes may arrive meanwhile

    async def write(self, data: bytes) -> None:
        """Take ``data``.

        :raises OSError: making the file or writing earlier bytes failed.
        """
        self._check()
        if self._outbox is None:
            raise StateError("the target was not started")
        await self._outbox.write(data)

    async def finish(self) -> SavedFile:
        """Write the rest, and give the file its name.

        :raises FileExistsError: the name is taken.
        :raises OSError: writing failed.
        """
        self._finish()
        if self._draft is None or self._outbox is None:
            raise StateError("the target was not started")
        await self._worker.wait()
        return await self._worker.run(self._draft.finish, self._outbox.take())

    async def abort(self) -> None:
        """Remove the file; one that replaced another is left where it is."""
        if self._abort() and self._draft is not None:
            await self._worker.settle()
            await self._worker.run(self._draft.discard)

    def start_sync(self, part: ReceivedPart) -> None:
        """As :meth:`start`."""
        self._start()
        self._draft = self._make_draft(part)
        self._draft.open()

    def write_sync(self, data: bytes) -> None:
        """As :meth:`write`."""
        self._check()
        self._started().write([data])

    def finish_sync(self) -> SavedFile:
        """As :meth:`finish`."""
        self._finish()
        return self._started().finish()

    def abort_sync(self) -> None:
        """As :meth:`abort`."""
        if self._abort() and self._draft is not None:
            self._draft.discard()

    def _started(self) -> Draft:
        if self._draft is None:
            raise StateError("the target was not started")
        return self._draft


class FileTarget(Saving):
    """Writes the body to a file, which is there when it is whole or not at all; the result is a :class:`SavedFile`.

    The file is written without a name where the platform has that (Linux), else under a random one in the same
    directory. A symbolic link at ``path`` is not followed.

    :param path: of the file. It is trusted: make no path out of what was received.
    :param overwrite: replace a file that is there; if not, there is :exc:`FileExistsError`, at the start where the
        file is there by then.
    :param hash: name of a hash of ``hashlib`` to compute on the way.
    :param fsync: have it on the disk, not only handed to the system, before it is finished.
    :param mode: of the file, whatever the umask; not on Windows.
    :raises ValueError: ``path`` ends in no name, or ``hash`` is not known.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        hash: str | None = None,  # noqa: A002  (the name is public)
        fsync: bool = False,
        mode: int = MODE,
    ) -> None:
        super().__init__()
        directory, name = split_path(path)
        self._new = Draft(directory, name, overwrite=overwrite, hash=hash, fsync=fsync, mode=mode)

    def _make_draft(self, part: ReceivedPart) -> Draft:
        return self._new
