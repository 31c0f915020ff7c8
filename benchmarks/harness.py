"""Time several ways to do one thing, against each other and in one process.

A machine has slow and fast seconds, so figures from different minutes say little. Here each round takes one sample of
each contestant, in a new order, and what counts is the median of the ratios within the rounds.
"""

from __future__ import annotations

import asyncio
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

    group: str
    """The heading that it stands under."""
    title: str
    contestants: Mapping[str, Callable[[Input], object]]
    """By name; the first is compared with each of the others."""
    inputs: Callable[[int], Sequence[Input]]
    """Makes the inputs of one sample. Its argument is never the same twice, so that no contestant need meet an input
    that it, or another one, has seen: with caches that would be a different question."""
    best: float | None = None
    """How many times as fast as the best of the others, floors left out, the first has to be."""
    bars: Mapping[str, float] = field(default_factory=dict)
    """The same, by the name of another contestant."""
    floors: frozenset[str] = frozenset()
    """Contestants that are no peers: what the machine, or a few lines by hand, would take."""
    exact: Mapping[str, Callable[[Input], object]] | None = None
    """In place of ``contestants`` when their outputs are compared, for those that do not keep all they read."""
    waits: bool = False
    """Whether the contestants give coroutines. They are awaited one after another in one loop, which is not timed."""
    items: int = 1
    """How many parts one input has, to say what one of them costs."""
    octets: int = 0
    """How many bytes one input has, where bytes for each second say more than seconds."""

    def check(self) -> None:
        """Have every contestant read the same inputs; all outputs must be equal."""
        contestants = self.exact or self.contestants
        for item in self.inputs(0):
            outputs = {
                name: asyncio.run(_awaited(run(item))) if self.waits else run(item) for name, run in contestants.items()
            }
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
def measure(scenario: Scenario[Any], *, seconds: float, least: int, most: int) -> list[Row]:
    """Check that the contestants agree, then time them.

    :param seconds: how long, in rounds; but at ``least`` so many of them, and at ``most``.
    """
    scenario.check()
    order = list(scenario.contestants)
    first = order[0]
    samples: dict[str, list[float]] = {name: [] for name in order}
    serial = 0
    end = time.perf_counter() + seconds
    with asyncio.Runner() as runner:
        while (rounds := len(samples[first])) < least or (rounds < most and time.perf_counter() < end):
            random.shuffle(order)
            for name in order:
                serial += 1
                run, inputs = scenario.contestants[name], scenario.inputs(serial)
                samples[name].append(
                    runner.run(_sample_waiting(run, inputs)) if scenario.waits else _sample(run, inputs)
                )
    rows = []
    medians = {name: statistics.median(samples[name]) for name in scenario.contestants}
    peers = [name for name in scenario.contestants if name != first and name not in scenario.floors]
    best = min(peers, key=medians.__getitem__, default=None)
    for name, median in medians.items():
        ratios = None
        if name != first:
            low, middle, high = statistics.quantiles(
                (other / own for other, own in zip(samples[name], samples[first], strict=True)), n=4
            )
            ratios = (low, middle, high)
        rows.append(Row(name, median, ratios, scenario.best if name == best else scenario.bars.get(name)))
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


async def _sample_waiting(run: Callable[[Any], Any], inputs: Sequence[Any]) -> float:
    gc.disable()
    try:
        start = time.perf_counter()
        for item in inputs:
            await run(item)
        return (time.perf_counter() - start) / len(inputs)
    finally:
        gc.enable()


async def _awaited(result: Any) -> object:
    return await result


def report(scenarios: Iterable[Scenario[Any]], packages: Iterable[str], *, quick: bool = False) -> bool:
    """Measure and print.

    :return: whether every bar is met.
    """
    for line in _surroundings(packages):
        print(line)
    print("Medians; the middle half of the ratios in brackets")
    seconds, least, most = (1.0, 5, 51) if quick else (4.0, 9, 201)
    header = ("scenario", "contestant", "time", "ratio", "", "bar", "")
    lines: list[tuple[str, ...]] = []
    met = True
    for scenario in scenarios:
        title = scenario.title
        for row in measure(scenario, seconds=seconds, least=least, most=most):
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
