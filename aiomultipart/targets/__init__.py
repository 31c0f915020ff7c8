"""Where received bytes go: to memory, to disk, through a hash, to a callback, to several of these.

Strategy. A :class:`Target` takes one body part: ``start()``, ``write()`` for each decoded chunk, then ``finish()``,
whose result is the target's own, or ``abort()``. :func:`copy` is the one driver: it calls ``abort()`` after any failure
and lets it come to its end even while it is cancelled. Disk work is plain synchronous code (``disk.Draft``,
``spool.Spool``) that knows no event loop; ``hops`` takes it to a thread, one job at a time and about 1 MiB a job. So
each target has a second face for where there is no loop, ``start_sync()`` and so on (``faces``); only what calls
coroutines has not.

Rules.

- What is under way has no name that anybody else would look for. A file gets its name whole, in one step.
- A job in a thread is never left behind: whoever is cancelled leaves it to ``abort()``, which waits for it first.
- Nothing that was received names a file unless the caller says so, and then not outside of the caller's directory.
"""

from __future__ import annotations

from .base import AnyTarget, PlainTarget, ReceivedPart, SavedFile, Target, TargetFactory, Targets
from .budget import Budget
from .callback import CallbackTarget
from .directory import DirectoryTarget
from .driver import abort_all, abort_all_sync, copy, copy_sync, select_target
from .faces import run_inline
from .file import FileTarget
from .hashing import HashTarget
from .memory import MemoryTarget
from .names import safe_filename
from .null import NullTarget
from .plain import SyncTarget, as_sync, as_target, inline
from .spool import Spool
from .spooled import SpooledFile, SpooledTarget
from .tee import TeeTarget
from .validated import ValidatedTarget

__all__ = (
    "AnyTarget",
    "Budget",
    "CallbackTarget",
    "DirectoryTarget",
    "FileTarget",
    "HashTarget",
    "MemoryTarget",
    "NullTarget",
    "PlainTarget",
    "ReceivedPart",
    "SavedFile",
    "Spool",
    "SpooledFile",
    "SpooledTarget",
    "SyncTarget",
    "Target",
    "TargetFactory",
    "Targets",
    "TeeTarget",
    "ValidatedTarget",
    "abort_all",
    "abort_all_sync",
    "as_sync",
    "as_target",
    "copy",
    "copy_sync",
    "inline",
    "run_inline",
    "safe_filename",
    "select_target",
)
