"""Bytes to a new file in a directory."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from typing import Literal

from .base import ReceivedPart
from .disk import MODE, Draft, check_name, new_hash
from .file import Saving

__all__ = ("DirectoryTarget",)


class DirectoryTarget(Saving):
    """Writes the body to a new file in a directory; the result is a :class:`SavedFile`.

    The file is made as by :class:`FileTarget`. Nothing outside of the directory is touched, and nothing replaced.

    :param directory: it must be there.
    :param name: gives the file's name for a part; None for a random one, without extension. The received file name is
        safe to use only through :func:`safe_filename`.
    :param collision: what to do when the name is taken: ``"error"`` for :exc:`FileExistsError`, ``"number"`` for the
        first free one of ``name-1``, ``name-2``, ...; if there are gaps in those that are taken, it may be a later one.
    :param hash: name of a hash of ``hashlib`` to compute on the way.
    :param fsync: have it on the disk, not only handed to the system, before it is finished.
    :param mode: of the file, whatever the umask; not on Windows.
    :raises ValueError: ``hash`` or ``collision`` is not known. From ``start()``: what ``name`` gave has a separator in
        it, or is ``""``, ``"."`` or ``".."``.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        name: Callable[[ReceivedPart], str] | None = None,
        collision: Literal["error", "number"] = "error",
        hash: str | None = None,  # noqa: A002  (the name is public)
        fsync: bool = False,
        mode: int = MODE,
    ) -> None:
        super().__init__()
        if collision not in {"error", "number"}:
            raise ValueError(f"collision must be 'error' or 'number', not {collision!r}")
        if hash is not None:
            new_hash(hash)
        self._directory = os.fspath(directory)
        self._name = name
        self._number = collision == "number"
        self._hash = hash
        self._fsync = fsync
        self._mode = mode

    def _make_draft(self, part: ReceivedPart) -> Draft:
        name = secrets.token_hex(16) if self._name is None else check_name(self._name(part))
        return Draft(self._directory, name, number=self._number, hash=self._hash, fsync=self._fsync, mode=self._mode)
