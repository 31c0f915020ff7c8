"""Time several ways to do one thing, against each other and in one process.

A machine has slow and fast seconds, so figures from different minutes say little. Here each round takes one sample of
each contestant, in a new order, and what counts is the median of the ratios within the rounds.
"""

from __future__ import annotations

import asyncio
import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from .figures import Result, Row

Input = TypeVar("Input")
Made = TypeVar("Made")


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
    rejects: frozenset[str] = frozenset()
    """Contestants that refuse the input. That they do is checked; a rejection is not timed."""
    exact: Mapping[str, Callable[[Input], object]] | None = None
    """In place of ``contestants`` when their outputs are compared, for those that do not keep all they read."""
    waits: bool = False
    """Whether the contestants give coroutines. They are awaited one after another in one loop, which is not timed."""
    rounds: int | None = None
    """How many there are, where one takes seconds; else as many as there is time for."""
    items: int = 1
    """How many parts one input has, to say what one of them costs."""
    octets: int = 0
    """How many bytes one input has, where bytes for each second say more than seconds."""

    def check(self) -> None:
        """Have every contestant read the same inputs; all outputs must be equal."""
        for item in self.inputs(0):
            first: str | None = None
            expected: object = None
            for name, run in (self.exact or self.contestants).items():
                try:
                    output = asyncio.run(_awaited(run(item))) if self.waits else run(item)
                except Exception:
                    if name not in self.rejects:
                        raise
                    continue
                if name in self.rejects:
                    raise AssertionError(f"{self.title}: {name} does not reject it")
                if first is None:
                    first, expected = name, output
                elif output != expected:
                    raise AssertionError(f"{self.title}: {name} and {first} do not agree")


# Any: the inputs of a scenario concern nobody else.
def measure(scenario: Scenario[Any], *, seconds: float, least: int, most: int) -> Result:
    """Check that the contestants agree, then time them.

    :param seconds: how long, in rounds; but at ``least`` so many of them, and at ``most``.
    """
    scenario.check()
    if scenario.rounds is not None:
        least = most = scenario.rounds
    contestants = {name: run for name, run in scenario.contestants.items() if name not in scenario.rejects}
    order = list(contestants)
    first = order[0]
    samples: dict[str, list[float]] = {name: [] for name in order}
    serial = 0
    end = time.perf_counter() + seconds
    with asyncio.Runner() as runner:
        while (rounds := len(samples[first])) < least or (rounds < most and time.perf_counter() < end):
            random.shuffle(order)
            for name in order:
                serial += 1
                run, inputs = contestants[name], scenario.inputs(serial)
                samples[name].append(
                    runner.run(_sample_waiting(run, inputs)) if scenario.waits else _sample(run, inputs)
                )
    medians = {name: statistics.median(samples[name]) for name in contestants}
    peers = [name for name in contestants if name != first and name not in scenario.floors]
    best = min(peers, key=medians.__getitem__, default=None)
    rows = []
    for name in scenario.contestants:
        if name in scenario.rejects:
            rows.append(Row(name, None))
            continue
        ratios, bar = None, scenario.bars.get(name)
        if name != first:
            low, middle, high = statistics.quantiles(
                (other / own for other, own in zip(samples[name], samples[first], strict=True)), n=4
            )
            ratios = (low, middle, high)
        if name == best and scenario.best is not None:
            bar = max(scenario.best, bar or 0.0)
        rows.append(Row(name, medians[name], ratios, bar, name in scenario.floors))
    return Result(scenario.group, scenario.title, scenario.items, scenario.octets, tuple(rows))


ABSENT: set[str] = set()


# Any: the arguments are between a module of benchmarks and its factories.
def available(factories: Mapping[str, Callable[..., Made]], *arguments: Any, **keywords: Any) -> dict[str, Made]:
    """What the factories make, each of which imports its package; a package that is missing is left out."""
    made = {}
    for name, factory in factories.items():
        try:
            made[name] = factory(*arguments, **keywords)
        except ImportError:
            ABSENT.add(name)
    return made


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
