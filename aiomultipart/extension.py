"""The accelerator, or None: not every installation has it, and ``AIOMULTIPART_NO_EXTENSIONS=1`` turns it off."""

from __future__ import annotations

import os
from typing import Any

__all__ = ("accelerator", "find")

# Any: a module that may be None has no other type.
accelerator: Any = None
if not os.environ.get("AIOMULTIPART_NO_EXTENSIONS"):
    try:
        from . import _accelerator as accelerator
    except ImportError:  # pragma: no cover - a process of its own has none
        accelerator = None


def find(data: bytes, needle: bytes, start: int = 0) -> int:
    """Where ``needle`` begins in ``data`` from ``start`` on, or -1.

    The first byte of ``needle``, which has at least two, must not be in it again: that is so of a delimiter, and makes
    the search of the accelerator linear.
    """
    return data.find(needle, start)


if accelerator is not None:  # pragma: no branch
    find = accelerator.find
