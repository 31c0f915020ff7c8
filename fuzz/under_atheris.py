"""One target under libFuzzer: ``python -m fuzz.under_atheris TARGET [what libFuzzer takes]``."""

from __future__ import annotations

import importlib
import shlex
import sys
import warnings
from typing import Any

atheris: Any = importlib.import_module("atheris")  # it has no type hints


def main() -> None:
    """Instrument the library, not the target, and go."""
    warnings.simplefilter("error")
    target = sys.argv.pop(1)
    # libFuzzer starts itself again to merge, by way of a shell.
    sys.argv[0] = f"{shlex.quote(sys.executable)} -m fuzz.under_atheris {target}"
    with atheris.instrument_imports(include=["aiomultipart"]):
        one_input = importlib.import_module(f"fuzz.{target}").one_input
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


main()
