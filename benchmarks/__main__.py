"""``python -m benchmarks``: aiomultipart against other packages, and whether it is as fast as it should be."""

from __future__ import annotations

import argparse
import sys

from . import push, writing
from .harness import report

SCENARIOS = [*push.SCENARIOS, *writing.SCENARIOS]
PACKAGES = ["aiomultipart", "multipart", "aiohttp", "httpx", "requests-toolbelt"]


def main() -> int:
    """Run the benchmarks that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument("--quick", action="store_true", help="few rounds: a glance, no proof")
    parser.add_argument("--only", metavar="TEXT", default="", help="only scenarios with TEXT in their title")
    arguments = parser.parse_args()
    scenarios = [scenario for scenario in SCENARIOS if arguments.only in scenario.title]
    met = report(scenarios, PACKAGES, quick=arguments.quick)
    return 1 if arguments.check and not met else 0


sys.exit(main())
