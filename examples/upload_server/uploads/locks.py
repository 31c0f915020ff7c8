"""Which directories belong to a process that still lives."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

__all__ = ("alone_in", "is_abandoned", "lock")

# Where a directory cannot be locked (Windows), one that has not changed for so long is nobody's, in seconds.
_ABANDONED: Final = 24 * 60 * 60


@contextlib.contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Wait until no other process is in this block for the same directory. (On Windows nobody waits.)"""
    if sys.platform == "win32":
        yield
    else:
        fd = _open(directory)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


def lock(directory: Path) -> int | None:
    """Lock a directory until the descriptor is closed, which the end of the process does too.

    :return: the descriptor; None when somebody else has locked it, or nobody can.
    """
    if sys.platform == "win32":
        return None
    fd = _open(directory)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def _open(directory: Path) -> int:
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def is_abandoned(directory: Path) -> bool:
    """Whether the process that has locked this directory is gone."""
    if sys.platform == "win32":
        return directory.stat().st_mtime < time.time() - _ABANDONED
    fd = lock(directory)
    if fd is None:
        return False
    os.close(fd)
    return True
