"""Where received bytes go: to memory, to disk, through a hash, to a callback, to several of these.

Strategy. A :class:`Target` takes one body part: ``start()``, ``write()`` for each decoded chunk, then ``finish()``,
whose result is the target's own, or ``abort()``. :func:`copy` is the one driver: it calls ``abort()`` after any failure
and lets it come to its end even while it is cancelled. Disk work is plain synchronous code (``disk.Draft``,
``spooled.Spool``) that knows no event loop; ``hops`` takes it to a thread, one job at a time and about 1 MiB a job.

Rules.

- What is under way has no name that anybody else would look for. A file gets its name whole, in one step.
- A job in a thread is never left behind: whoever is cancelled leaves it to ``abort()``, which waits for it first.
- Nothing that was received names a file unless the caller says so, and then not outside of the caller's directory.
"""

from __future__ import annotations

from .base import ReceivedPart, SavedFile, Target, TargetFactory, Targets, copy, select_target
from .compose import CallbackTarget, HashTarget, NullTarget, TeeTarget, ValidatedTarget
from .disk import DirectoryTarget, FileTarget
from .memory import MemoryTarget
from .names import safe_filename
from .spooled import Budget, Spool, SpooledFile, SpooledTarget

__all__ = (
    "Budget",
    "CallbackTarget",
    "DirectoryTarget",
    "FileTarget",
    "HashTarget",
    "MemoryTarget",
    "NullTarget",
    "ReceivedPart",
    "SavedFile",
    "Spool",
    "SpooledFile",
    "SpooledTarget",
    "Target",
    "TargetFactory",
    "Targets",
    "TeeTarget",
    "ValidatedTarget",
    "copy",
    "safe_filename",
    "select_target",
)
