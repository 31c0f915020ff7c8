"""The accelerator, or None: not every installation has it, and ``AIOMULTIPART_NO_EXTENSIONS=1`` turns it off."""

from __future__ import annotations

import os
from typing import Any

__all__ = ("accelerator",)

# Any: a module that may be None has no other type.
accelerator: Any = None
if not os.environ.get("AIOMULTIPART_NO_EXTENSIONS"):
    try:
        from . import _accelerator as accelerator
    except ImportError:  # pragma: no cover - a process of its own has none
        accelerator = None
