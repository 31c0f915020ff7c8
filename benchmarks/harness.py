"""Time several ways to do one thing, against each other and in one process.

A machine has slow and fast seconds, so figures from different minutes say little. Here each round takes one sample of
each contestant, in a new order, and what counts is the median of the ratios within the rounds.
"""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

Input = TypeVar("Input")


@dataclass(frozen=True, kw_only=True)
class Scenario(Generic[Input]):
    """What is measured."""

    title: str
    contestants: Mapping[str, Callable[[Input], object]]
    """By name; the first is compared with each of the others."""
    inputs: Callable[[int], Sequence[Input]]
    """Makes the inputs of one sample. Its argument is never the same twice, so that no contestant need meet an input
    that it, or another one, has seen: with caches that would be a different question."""
    bars: Mapping[str, float] = field(default_factory=dict)
    """By the name of another contestant: how many times as fast as that one the first has to be."""
    exact: Mapping[str, Callable[[Input], object]] | None = None
    """In place of ``contestants`` when their outputs are compared, for those that do not keep all they read."""

    def check(self) -> None:
        """Have every contestant read the same inputs; all outputs must be equal."""
        for item in self.inputs(0):
            outputs = {name: run(item) for name, run in (self.exact or self.contestants).items()}
            first, *others = outputs
            for other in others:
                if outputs[other] != outputs[first]:
                    raise AssertionError(f"{self.title}: {other} and {first} do not agree")


class Row(NamedTuple):
    """One contestant's figures."""

    name: str
    seconds: float
    """Median, for one input."""
    ratios: tuple[float, float, float] | None
    """Quartiles of how many times as fast the first contestant is; None for itself."""
    bar: float | None

    @property
    def missed(self) -> bool:
        """Whether the first contestant is slower than it has to be."""
        return self.bar is not None and self.ratios is not None and self.ratios[1] < self.bar


# Any: the inputs of a scenario concern nobody else.
def measure(scenario: Scenario[Any], rounds: int) -> list[Row]:
    """Check that the contestants agree, then time them."""
    scenario.check()
    order = list(scenario.contestants)
    first = order[0]
    samples: dict[str, list[float]] = {name: [] for name in order}
    serial = 0
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            serial += 1
            samples[name].append(_sample(scenario.contestants[name], scenario.inputs(serial)))
    rows = []
    for name in scenario.contestants:
        ratios = None
        if name != first:
            low, middle, high = statistics.quantiles(
                (other / own for other, own in zip(samples[name], samples[first], strict=True)), n=4
            )
            ratios = (low, middle, high)
        rows.append(Row(name, statistics.median(samples[name]), ratios, scenario.bars.get(name)))
    return rows


def _sample(run: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    gc.disable()
    try:
        start = time.perf_counter()
        for item in inputs:
            run(item)
        return (time.perf_counter() - start) / len(inputs)
    finally:
        gc.enable()


def report(scenarios: Iterable[Scenario[Any]], rounds: int, packages: Iterable[str]) -> bool:
    """Measure and print.

    :return: whether every bar is met.
    """
    for line in _surroundings(packages):
        print(line)
    print(f"{rounds} rounds; the middle half of the ratios in brackets")
    header = ("scenario", "contestant", "time", "ratio", "", "bar", "")
    lines: list[tuple[str, ...]] = []
    met = True
    for scenario in scenarios:
        title = scenario.title
        for row in measure(scenario, rounds):
            lines.append((title, *_cells(row)))
            title = ""
            met = met and not row.missed
    _print_table(header, lines)
    return met


def _cells(row: Row) -> tuple[str, ...]:
    duration = f"{row.seconds * 1e6:.1f} µs"
    if row.ratios is None:
        return (row.name, duration, "", "", "", "")
    low, middle, high = row.ratios
    bar, verdict = "", ""
    if row.bar is not None:
        bar, verdict = f">= {row.bar:.1f}x", "MISSED" if row.missed else "met"
    return (row.name, duration, f"{middle:.3f}x", f"({low:.2f}-{high:.2f})", bar, verdict)


def _print_table(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    right = {"time", "ratio"}
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
        for line in [header, tuple("-" * width for width in widths), *lines]:
            cells = zip(header, line, widths, strict=True)
            print("  ".join(c.rjust(w) if name in right else c.ljust(w) for name, c, w in cells).rstrip())
        return
    table = Table()
    for name in header:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    for number, line in enumerate(lines):
        if line[0] and number:
            table.add_section()
        table.add_row(*line)
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)  # a pipe has no width, and rich would take 80 columns and cut
    console.print(table)


def _surroundings(packages: Iterable[str]) -> Iterable[str]:
    yield f"{platform.platform()}, {os.cpu_count()} x {_processor()}"
    yield f"{platform.python_implementation()} {platform.python_version()} ({platform.python_compiler()})"
    versions = ", ".join(f"{name} {_version(name)}" for name in packages)
    if versions:
        yield versions


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
