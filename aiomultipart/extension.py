"""The accelerator, or None: not every installation has it, and ``AIOMULTIPART_NO_EXTENSIONS=1`` turns it off."""

from __future__ import annotations

import os

__all__ = ("accelerator",)

if os.environ.get("AIOMULTIPART_NO_EXTENSIONS"):
    accelerator = None
else:
    try:
        from . import _accelerator as accelerator
    except ImportError:
        accelerator = None
