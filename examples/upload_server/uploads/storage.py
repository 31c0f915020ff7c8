"""Where files go: a directory (``file:``) or a bucket (``s3:``). The received names have no part in it.

Directory. A file that arrives is in ``incoming-.../``, which belongs to one process; it moves one level up when its
whole request has been accepted. So whatever is in ``incoming-.../`` is dispensable once that process is gone, and that
can be told for certain: it holds a lock on the directory for as long as it lives. The next start removes what the dead
have left, at once, and never touches what the living are writing.

Both. What was accepted is named ``upload_<random>.tmp``: somebody is expected to fetch it. A start removes files of
this pattern that are older than ``keep``.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import os
import re
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname

from aiomultipart import FileTarget, HashTarget, ReceivedPart, SavedFile, Target, TeeTarget

from .locks import alone_in, is_abandoned, lock
from .refusals import Refused

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from .settings import Scanner

__all__ = ("FileStorage", "ObjectStorage", "Storage", "Stored", "open_storage")

T = TypeVar("T")

_NAME: Final = re.compile(r"upload_[0-9a-f]{32}\.tmp")
_INCOMING: Final = re.compile(r"incoming-[0-9a-f]{16}")


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A file that arrived.

    :ivar location: its path, or its URL.
    :ivar size: in bytes.
    :ivar sha256: in hexadecimal.
    """

    location: str
    size: int
    sha256: str


class Storage(Protocol):
    """A place for files."""

    async def open(self) -> None:
        """Get ready, and remove what earlier processes have left."""

    def target(self, scanner: Scanner | None) -> Target[Stored]:
        """A target for one file."""

    async def accept(self, files: Sequence[Stored]) -> list[Stored]:
        """The request is complete: keep its files, all or none; where they are now."""

    async def discard(self, files: Sequence[Stored]) -> None:
        """Remove files that have not been accepted."""

    async def close(self) -> None:
        """Nothing more will come."""


def open_storage(url: str, *, keep: float) -> Storage:
    """The storage that a URL names; ``open()`` has still to be called.

    :param url: ``file:`` and a directory, or ``s3://bucket/prefix``, whose keys and endpoint are in the variables
        ``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION`` and ``AWS_ENDPOINT``.
    :param keep: how old, in seconds, files have to be for a start to remove them.
    :raises ValueError: the URL names no storage.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path:
        return FileStorage(Path(url2pathname(parts.path)), keep=keep)
    if parts.scheme == "s3" and parts.netloc:
        return ObjectStorage(url, keep=keep)
    raise ValueError(f"{url!r} is no storage: it has to be file:/directory or s3://bucket/prefix")


class _Receiving(Generic[T]):
    """A target that gives a :class:`Stored`, once the scanner has nothing against it.

    :param target: where the bytes go.
    :param stored: makes it of that target's result.
    :param undo: is called when it is aborted, after the target.
    """

    def __init__(
        self,
        target: Target[T],
        stored: Callable[[T], Stored],
        scanner: Scanner | None,
        undo: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._target = target
        self._stored = stored
        self._scanner = scanner
        self._undo = undo
        self._part: ReceivedPart | None = None
        self._is_complete = False

    async def start(self, part: ReceivedPart) -> None:
        self._part = part
        await self._target.start(part)

    async def write(self, data: bytes) -> None:
        await self._target.write(data)

    async def finish(self) -> Stored:
        self._is_complete = True
        stored = self._stored(await self._target.finish())
        if self._scanner is not None and self._part is not None:
            reason = await self._scanner(stored.location, self._part)
            if reason is not None:
                raise Refused(422, f"the file was rejected: {reason}", code="rejected", part_name=self._part.name)
        return stored

    async def abort(self) -> None:
        await self._target.abort()
        if self._is_complete and self._undo is not None:
            await self._undo()


class FileStorage:
    """Files in a directory."""

    def __init__(self, directory: Path, *, keep: float) -> None:
        self._directory = directory
        self._keep = keep
        self._incoming: Path | None = None
        self._lock: int | None = None

    async def open(self) -> None:
        """Make the directory, and remove what earlier processes have left."""
        await asyncio.to_thread(self._open)

    def _open(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(self._directory)
        with alone_in(self._directory):
            self._sweep()
            incoming = self._directory / f"incoming-{secrets.token_hex(8)}"
            incoming.mkdir(mode=0o700)
            self._lock = lock(incoming)
            self._incoming = incoming

    def _sweep(self) -> None:
        too_old = time.time() - self._keep
        for path in self._directory.iterdir():
            with contextlib.suppress(FileNotFoundError):  # somebody has fetched it
                status = path.lstat()
                if _INCOMING.fullmatch(path.name) and stat.S_ISDIR(status.st_mode):
                    if is_abandoned(path):
                        shutil.rmtree(path, ignore_errors=True)
                elif _NAME.fullmatch(path.name) and stat.S_ISREG(status.st_mode) and status.st_mtime < too_old:
                    path.unlink()

    def target(self, scanner: Scanner | None) -> Target[Stored]:
        """A target for one file."""
        if self._incoming is None:
            raise RuntimeError("the storage is not open")
        target = FileTarget(self._incoming / _new_name(), hash="sha256")
        return _Receiving(target, _saved, scanner)

    async def accept(self, files: Sequence[Stored]) -> list[Stored]:
        """Move the files of a request out of ``incoming-.../``, all or none."""
        return await asyncio.to_thread(self._accept, files)

    def _accept(self, files: Sequence[Stored]) -> list[Stored]:
        moves = [(Path(file.location), self._directory / Path(file.location).name) for file in files]
        try:
            for old, new in moves:
                old.rename(new)
        except BaseException:
            for _, new in moves:
                new.unlink(missing_ok=True)
            raise
        return [dataclasses.replace(file, location=str(new)) for file, (_, new) in zip(files, moves, strict=True)]

    async def discard(self, files: Sequence[Stored]) -> None:
        """Remove files that have not been moved."""
        for file in files:
            await asyncio.to_thread(Path(file.location).unlink, missing_ok=True)

    async def close(self) -> None:
        """Remove what is still arriving."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            shutil.rmtree(incoming, ignore_errors=True)
        fd, self._lock = self._lock, None
        if fd is not None:
            os.close(fd)


def _saved(file: SavedFile) -> Stored:
    return Stored(str(file.path), file.size, file.hexdigest or "")


def _new_name() -> str:
    return f"upload_{secrets.token_hex(16)}.tmp"


def _check_owner(directory: Path) -> None:
    """Whoever else may write here could exchange the files.

    :raises PermissionError: somebody may.
    """
    if sys.platform != "win32":
        status = directory.stat()
        if status.st_uid not in {0, os.getuid()} or status.st_mode & stat.S_IWOTH:
            raise PermissionError(f"{directory} belongs to somebody else, or everybody may write in it")


class ObjectStorage:
    """Objects in a bucket.

    A crash may leave parts of an unfinished upload in the bucket, where nobody sees them; a lifecycle rule of the
    bucket (``AbortIncompleteMultipartUpload``) removes those.
    """

    def __init__(self, url: str, *, keep: float) -> None:
        from obstore.store import S3Store

        self._url = url.rstrip("/")
        self._keep = keep
        self._store: ObjectStore = S3Store.from_url(url)

    async def open(self) -> None:
        """Remove what is too old.

        :raises Exception: the bucket cannot be listed.
        """
        import obstore

        now = datetime.datetime.now(datetime.UTC)
        async for objects in obstore.list(self._store):
            for each in objects:
                age = (now - each["last_modified"]).total_seconds()
                if age > self._keep and _NAME.fullmatch(each["path"]):
                    await obstore.delete_async(self._store, each["path"])

    def target(self, scanner: Scanner | None) -> Target[Stored]:
        """A target for one file."""
        import obstore

        from aiomultipart.integrations.objectstore import ObjectStoreTarget, StoredObject

        name = _new_name()

        def stored(results: tuple[str, StoredObject]) -> Stored:
            sha256, found = results
            return Stored(f"{self._url}/{name}", found.size, sha256)

        target = TeeTarget(HashTarget("sha256"), ObjectStoreTarget(self._store, name))
        return _Receiving(target, stored, scanner, lambda: obstore.delete_async(self._store, name))

    async def accept(self, files: Sequence[Stored]) -> list[Stored]:
        """They are where they stay."""
        return list(files)

    async def discard(self, files: Sequence[Stored]) -> None:
        """Delete the objects."""
        import obstore

        await obstore.delete_async(self._store, [file.location.removeprefix(f"{self._url}/") for file in files])

    async def close(self) -> None:
        """Nothing to do."""
