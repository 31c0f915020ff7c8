"""Files: written without a name or under a random one, and named when they are whole.

Linux and macOS: everything is done relative to a descriptor of the directory, so it makes no difference if somebody
exchanges the directory, or a symbolic link to it, meanwhile. Windows has no such descriptors; there it is done by path.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from aiomultipart.exceptions import StateError

from .base import SavedFile
from .hops import HOP
from .names import numbered_names

__all__ = ("MODE", "Draft", "Folder", "check_name", "new_hash", "open_unnamed", "split_path", "write_all")

_HAS_DIR_FD: Final = os.open in os.supports_dir_fd and hasattr(os, "O_DIRECTORY")
_FLAGS: Final = (
    os.O_RDWR
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOINHERIT", 0)
)
MODE: Final = 0o600
# O_TMPFILE is Linux's. These say that the file system, or the kernel, does not have it.
_NO_TMPFILE: Final = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL}
_MOST_PIECES: Final = 1024  # that writev() takes, on Linux and macOS
_FILE_OF_FD: Final = "/proc/self/fd/{}"


class Folder:
    """A directory to make files in."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: str) -> None:
        self.path: str = path
        self._fd: int | None = None
        if _HAS_DIR_FD:
            self._fd = os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of it."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _at(self, name: str) -> str:
        return os.path.join(self.path, name) if self._fd is None else name  # noqa: PTH118  (all of it is str here)

    def create(self, name: str) -> io.FileIO:
        """A new file.

        :raises FileExistsError: the name is taken, be it by a symbolic link to nowhere.
        """
        return io.FileIO(os.open(self._at(name), _FLAGS | os.O_CREAT | os.O_EXCL, MODE, dir_fd=self._fd), "r+")

    def create_unnamed(self) -> io.FileIO | None:
        """A new file without a name, which :meth:`name_unnamed` can give it; None where there is no such thing."""
        if self._fd is None or not hasattr(os, "O_TMPFILE"):
            return None
        try:
            fd = os.open(".", _FLAGS | os.O_TMPFILE, MODE, dir_fd=self._fd)
        except OSError as exc:
            if exc.errno in _NO_TMPFILE:
                return None
            raise
        return io.FileIO(fd, "r+")

    def name_unnamed(self, file: io.FileIO, name: str) -> None:
        """Give an unnamed file its name; it must be free."""
        os.link(_FILE_OF_FD.format(file.fileno()), name, dst_dir_fd=self._fd, follow_symlinks=True)

    def rename(self, old: str, new: str) -> None:
        """Rename; the new name must be free."""
        if os.name == "nt":
            os.rename(self._at(old), self._at(new))  # noqa: PTH104  (there it refuses a name that is taken)
            return
        try:
            os.link(self._at(old), self._at(new), src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=False)
        except FileExistsError:
            raise
        except OSError:
            # No hard links here (FAT, some network file systems): take the name with an empty file first.
            self.create(new).close()
            self.replace(old, new)
        else:
            self.remove(old)

    def replace(self, old: str, new: str) -> None:
        """Rename; whoever had the new name loses it."""
        os.replace(self._at(old), self._at(new), src_dir_fd=self._fd, dst_dir_fd=self._fd)

    def remove(self, name: str) -> None:
        """Remove a file."""
        os.unlink(self._at(name), dir_fd=self._fd)

    def status(self, name: str) -> os.stat_result | None:
        """Of what has the name; None when it is free."""
        try:
            return os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    @property
    def device(self) -> int | None:
        """The file system; None where that makes no difference, because unnamed files cannot be named."""
        return None if self._fd is None else os.fstat(self._fd).st_dev

    def sync(self) -> None:
        """Have the names on the disk."""
        if self._fd is not None:
            os.fsync(self._fd)


def open_unnamed(directory: str | None) -> tuple[io.FileIO, bool]:
    """A temporary file without a name, and whether it can be given one.

    :param directory: where; None for the system's directory of temporary files.
    """
    import tempfile

    folder = Folder(directory if directory is not None else tempfile.gettempdir())
    try:
        file = folder.create_unnamed()
    finally:
        folder.close()
    if file is not None:
        return file, True
    # On Windows it has a name, and vanishes when it is closed; and it is wrapped.
    opened: object = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115  (the caller closes it)
    raw: object = getattr(opened, "file", opened)
    if not isinstance(raw, io.FileIO):
        raise TypeError(f"a temporary file is {raw!r}")
    return raw, False


class Draft:
    """A file being written that has no name yet. Plain blocking code, for one thread at a time.

    :param directory: where it will be.
    :param name: its name there.
    :param overwrite: replace what has the name.
    :param number: if the name is taken, try ``name-1`` and so on.
    :param hash: name of a hash of ``hashlib``.
    :param fsync: have the file, and its name, on the disk before :meth:`finish` returns.
    :param mode: of the file when it gets its name, whatever the umask; not on Windows.
    :ivar size: of what has been written, in bytes.
    :ivar is_complete: whether it is an adopted file, which has its bytes already.
    """

    def __init__(
        self,
        directory: str,
        name: str,
        *,
        overwrite: bool = False,
        number: bool = False,
        hash: str | None = None,  # noqa: A002  (the name is public)
        fsync: bool = False,
        mode: int = MODE,
    ) -> None:
        self.size: int = 0
        self.is_complete: bool = False
        self._directory = directory
        self._name = name
        self._overwrite = overwrite
        self._number = number
        self._hash = None if hash is None else new_hash(hash)
        self._fsync = fsync
        self._mode = mode
        self._folder: Folder | None = None
        self._file: io.FileIO | None = None
        self._temporary: str | None = None  # the name that it has meanwhile
        self._status: os.stat_result | None = None  # when all was written
        self._made: str | None = None  # the name that it got

    def open(self) -> None:
        """Make the file.

        :raises FileExistsError: the name is taken.
        """
        folder = self._opened_folder()
        self._file = folder.create_unnamed()
        if self._file is None:
            _, self._file = self._create(folder)

    def adopt(self, file: io.FileIO) -> bool:
        """Take ``file`` in place of a new one: it is complete, and can be named. It stays open for its owner too.

        :return: False, and nothing done, when it is on another file system or has a name already.
        :raises FileExistsError: the name is taken.
        """
        folder = self._opened_folder()
        status = os.fstat(file.fileno())
        if status.st_nlink or status.st_dev != folder.device:
            return False
        self._file = io.FileIO(os.dup(file.fileno()), "r+")
        self.size = status.st_size
        self.is_complete = True
        return True

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append ``pieces``, and hash them."""
        if self._hash is not None:
            for piece in pieces:
                self._hash.update(piece)
        self.size += write_all(self._opened_file(), pieces)

    def hash(self, data: bytes) -> None:
        """Hash ``data``, which an adopted file has already."""
        if self._hash is not None:
            self._hash.update(data)

    @property
    def is_hashed(self) -> bool:
        """Whether :meth:`hash` is of use."""
        return self._hash is not None

    def finish(self, pieces: Sequence[bytes] = ()) -> SavedFile:
        """Append the last ``pieces``, and give the file its name.

        :raises FileExistsError: the name is taken; nothing has changed.
        """
        if pieces:
            self.write(pieces)
        folder = self._opened_folder()
        self._settle()
        name = self._give_name(folder)
        if self._fsync:
            folder.sync()
        self._close()
        return SavedFile(Path(self._directory, name), self.size, None if self._hash is None else self._hash.hexdigest())

    def discard(self) -> None:
        """Leave nothing behind. A file that was finished goes too, if it still has the name and replaced nothing."""
        try:
            if self._temporary is not None or self._made is not None:
                folder = self._folder = self._folder or Folder(self._directory)
                if self._temporary is not None:
                    folder.remove(self._temporary)
                elif self._made is not None and _is_same(folder.status(self._made), self._status):
                    folder.remove(self._made)
        finally:
            self._temporary = self._made = None
            self._close()

    def _close(self) -> None:
        try:
            if self._file is not None:
                self._file.close()
        finally:
            if self._folder is not None:
                self._folder.close()
            self._file = self._folder = None

    def _opened_folder(self) -> Folder:
        if self._folder is None:
            self._folder = Folder(self._directory)
            # The name is taken at the end only, but who cannot have it should not wait until then.
            if not self._overwrite and not self._number and self._folder.status(self._name) is not None:
                raise self._taken()
        return self._folder

    def _opened_file(self) -> io.FileIO:
        if self._file is None:
            raise StateError("the file is closed")
        return self._file

    def _create(self, folder: Folder) -> tuple[str, io.FileIO]:
        name = random_name()
        file = folder.create(name)
        self._temporary = name
        return name, file

    def _give_name(self, folder: Folder) -> str:
        for name in numbered_names(self._name, lambda name: folder.status(name) is not None):
            try:
                self._take_name(folder, name)
            except FileExistsError:
                if self._number:
                    continue
                break
            return name
        raise self._taken()

    def _take_name(self, folder: Folder, name: str) -> None:
        if self._temporary is None and not self._overwrite and self._link(folder, name):
            self._made = name
            return
        temporary = self._temporary or self._name_temporarily(folder)
        if folder.device is None:
            self._opened_file().close()  # Windows renames no open file
        if self._overwrite:
            folder.replace(temporary, name)
        else:
            folder.rename(temporary, name)
            self._made = name
        self._temporary = None

    def _link(self, folder: Folder, name: str) -> bool:
        try:
            folder.name_unnamed(self._opened_file(), name)
        except FileExistsError:
            raise
        except OSError:  # no /proc, or a security module that is against it
            return False
        return True

    def _name_temporarily(self, folder: Folder) -> str:
        name = random_name()
        if self._link(folder, name):
            self._temporary = name
            return name
        # It cannot get a name, so a copy has to.
        with self._opened_file() as unnamed:
            name, self._file = self._create(folder)
            unnamed.seek(0)
            while data := unnamed.read(HOP):
                write_all(self._file, [data])
        self._settle()
        return name

    def _settle(self) -> None:
        """All is written."""
        fd = self._opened_file().fileno()
        if self._mode != MODE and hasattr(os, "fchmod"):
            os.fchmod(fd, self._mode)
        if self._fsync:
            os.fsync(fd)
        self._status = os.fstat(fd)

    def _taken(self) -> FileExistsError:
        return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.path.join(self._directory, self._name))  # noqa: PTH118


def _is_same(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    """Whether both are of one file, unchanged. (The number of a file that was removed may come again.)"""
    if one is None or other is None:
        return False
    return all(getattr(one, field) == getattr(other, field) for field in ("st_dev", "st_ino", "st_size", "st_mtime_ns"))


def new_hash(name: str) -> hashlib._Hash:
    """A hash of ``hashlib`` that has a fixed size.

    :raises ValueError: there is none of this name.
    """
    found = hashlib.new(name, usedforsecurity=False)
    if not found.digest_size:
        raise ValueError(f"hash {name!r} has no fixed size")
    return found


def random_name() -> str:
    """A name for a temporary file that nobody guesses."""
    return f".{secrets.token_hex(16)}.tmp"


def write_all(file: io.FileIO, pieces: Sequence[bytes | memoryview]) -> int:
    """Write all of ``pieces``, with one system call where it takes them all; how many bytes they are."""
    written = 0
    if 1 < len(pieces) <= _MOST_PIECES and hasattr(os, "writev"):
        written = os.writev(file.fileno(), pieces)
        if written == sum(map(len, pieces)):
            return written
    with memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces)) as view:
        while written < len(view):
            written += file.write(view[written:]) or 0
    return written


def split_path(path: str | os.PathLike[str]) -> tuple[str, str]:
    """The directory of a path and the name in it.

    :raises ValueError: it ends in no name.
    """
    directory, name = os.path.split(os.fspath(path))
    check_name(name)
    return directory, name


def check_name(name: str) -> str:
    """``name``, which is one component of a path.

    :raises ValueError: it is not.
    """
    if name in {"", ".", ".."} or any(character in name for character in "/\\\0"):
        raise ValueError(f"{name!r} is no name of a file")
    if os.name == "nt" and ":" in name:
        raise ValueError(f"{name!r} names a drive or a stream")
    return name
