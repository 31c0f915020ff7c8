"""The fuzzers' corpus, replayed: what they start from, and what they have found. ``make fuzz`` looks for more."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from fuzz import CORPUS, TARGETS

FILES = sorted(CORPUS.glob("*/*"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_corpus(path: Path) -> None:
    importlib.import_module(f"fuzz.{path.parent.name}").one_input(path.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_seeds(target: str) -> None:
    module = importlib.import_module(f"fuzz.{target}")
    for seed in module.seeds():
        try:
            module.one_input(seed)
        except BaseException as exc:
            exc.add_note(f"{seed!r}")
            raise


@pytest.mark.parametrize("target", TARGETS)
def test_a_corpus_for_each_target(target: str) -> None:
    """It stays small enough to be replayed with every test run."""
    files = [path for path in FILES if path.parent.name == target]
    assert 0 < len(files) <= 250
    assert sum(path.stat().st_size for path in files) <= 100_000
