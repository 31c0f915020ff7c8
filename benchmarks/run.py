"""A run: all scenarios, the machine's limits and memory; then the tables, the figures and the page."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import importlib
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import figures, machine, memory, page, terminal
from .harness import ABSENT, Scenario, measure

MODULES = ("push", "reading", "forms", "loopback", "writing")
# The time for all scenarios together; memory comes on top, and so does what has to be checked before it is timed.
SECONDS, QUICK_SECONDS = 240.0, 35.0


def scenarios_of(modules: Sequence[str] = MODULES) -> list[Scenario[Any]]:
    """All scenarios. A module whose peers are missing is left out, and so are peers that are missing in it."""
    found: list[Scenario[Any]] = []
    for name in modules:
        try:
            found += importlib.import_module(f".{name}", __package__).SCENARIOS
        except ModuleNotFoundError as exc:
            ABSENT.add(f"{exc.name} (and so all of {name})")
    return found


def measure_all(scenarios: Sequence[Scenario[Any]], *, seconds: float, quick: bool, streaming: bool) -> figures.Figures:
    """Measure them, and print a table of each group.

    :param seconds: how long the scenarios may take together.
    :param streaming: measure memory too.
    """
    began = time.perf_counter()
    limits = machine.Limits()
    results: list[figures.Result] = []
    groups = list(dict.fromkeys(scenario.group for scenario in scenarios))
    if quick:
        scenarios = [scenario for scenario in scenarios if scenario.rounds is None]
    ordered = sorted(scenarios, key=lambda scenario: groups.index(scenario.group))
    for _, group in itertools.groupby(ordered, key=lambda scenario: scenario.group):
        of_group: list[figures.Result] = []
        for scenario in group:
            asyncio.run(limits.sample())
            share = (began + seconds - time.perf_counter()) / (len(scenarios) - len(results) - len(of_group))
            of_group.append(measure(scenario, seconds=share, least=3 if quick else 7, most=51 if quick else 201))
        terminal.print_results(of_group)
        results += of_group
    terminal.print_limits(limits.found())
    how = memory.how() if streaming else ""
    peaks = memory.measure(1 if quick else 3) if streaming else ()
    if peaks:
        terminal.print_memory(peaks, how)
    return figures.Figures(
        python=machine.python(),
        quick=quick,
        command="make bench-quick" if quick else "make bench",
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        minutes=round((time.perf_counter() - began) / 60, 1),
        surroundings=machine.surroundings(),
        versions=machine.versions(),
        absent=tuple(sorted(ABSENT)),
        limits=limits.found(),
        results=tuple(results),
        memory=peaks,
        memory_by=how,
    )


def keep(found: figures.Figures, directory: Path = page.DIRECTORY) -> None:
    """Store what a run found, and write the page."""
    path = figures.store(found, directory / page.NAME)
    if path is None:
        print(f"The figures of a whole run with {found.python} stay on the page; a quick one does not replace them.")
    page.write(directory, page.README if directory == page.DIRECTORY else None)
    print(f"Written: {directory / page.NAME}.rst")


def main(
    arguments: Sequence[str] | None = None,
    *,
    scenarios: Sequence[Scenario[Any]] | None = None,
    directory: Path = page.DIRECTORY,
) -> int:
    """Do what the command line asks for.

    :param scenarios: in place of all that there are, without memory.
    :param directory: of the page.
    :return: the exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bar is missed")
    parser.add_argument("--quick", action="store_true", help="few rounds: a glance, no proof")
    parser.add_argument("--only", metavar="TEXT", help="only what has TEXT in its group or title; nothing is stored")
    parser.add_argument("--page", action="store_true", help="only write the page, from the figures that are stored")
    options = parser.parse_args(arguments)
    if options.page:
        page.write(directory, page.README if directory == page.DIRECTORY else None)
        return 0
    every = scenarios_of() if scenarios is None else scenarios
    chosen = [scenario for scenario in every if (options.only or "") in f"{scenario.group}: {scenario.title}"]
    seconds = QUICK_SECONDS if options.quick else SECONDS
    if options.only is not None:
        seconds = min(seconds, (1.0 if options.quick else 4.0) * len(chosen))
    streaming = scenarios is None and (options.only is None or options.only in "Memory")
    found = measure_all(chosen, seconds=seconds, quick=options.quick, streaming=streaming)
    if options.only is None:
        keep(found, directory)
    for title, what in found.shortfalls():
        print(f"MISSED {title}: {what}")
    return 1 if options.check and not found.met else 0
