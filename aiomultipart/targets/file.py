"""Bytes to a file."""

from __future__ import annotations

import os
from collections.abc import Sequence

from aiomultipart.exceptions import StateError

from .base import ReceivedPart, SavedFile
from .disk import MODE, Draft, split_path
from .faces import Threaded

__all__ = ("FileTarget", "Saving")


class Saving(Threaded[SavedFile]):
    """A target that is one file on disk."""

    def __init__(self) -> None:
        super().__init__()
        self._draft: Draft | None = None

    def _make_draft(self, part: ReceivedPart) -> Draft:
        raise NotImplementedError

    def _prepare(self, part: ReceivedPart) -> None:
        self._draft = self._make_draft(part)

    def _started(self) -> Draft:
        if self._draft is None:
            raise StateError("the target was not started")
        return self._draft

    def _open(self) -> None:
        self._started().open()

    def _write(self, pieces: Sequence[bytes]) -> None:
        self._started().write(pieces)

    def _close(self) -> SavedFile:
        return self._started().finish()

    def _drop(self) -> None:
        if self._draft is not None:
            self._draft.discard()


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
