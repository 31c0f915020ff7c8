"""Fuzzing: ``make fuzz``, or ``python -m fuzz``. Each target is a module with ``one_input()`` and ``seeds()``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ("CORPUS", "TARGETS")

TARGETS: Final = ("push_parser", "accelerator", "header_parsers", "codings", "round_trip", "async_reader")
CORPUS: Final = Path(__file__).resolve().parent / "corpus"
