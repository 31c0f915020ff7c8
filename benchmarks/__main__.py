"""``python -m benchmarks``: aiomultipart against other packages, and whether it is as fast as it should be."""

from __future__ import annotations

import sys

from .run import main

sys.exit(main())
