"""The page of the documentation, and its charts, from the figures that are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from . import charts
from .figures import Figures, Result, Row, Streaming, duration, load_all, memory, quartiles, shown, speed, times

NAME = "performance"
DIRECTORY = Path(__file__).parents[1] / "docs" / "explanation"

HEAD = """\
.. Generated from performance/*.json by "make bench" and "make bench-quick"; do not edit. What is written by hand stands
   in performance/notes.inc.

Performance
===========

How fast aiomultipart is, beside packages that do the same. All figures come from one command, which anybody can
repeat::

    make bench

What counts is ratios: "2.0 ×" beside a package says that aiomultipart is twice as fast as that. Absolute times are
those of one machine on one day.
"""

HOW = """\
How it is measured
------------------

* All contestants of a scenario run in one process and take turns: each round takes one sample of each, in a new order.
  A ratio is taken within each round. What is shown is the median, and in brackets the middle half. So a machine that is
  slow for a while is slow for all.
* Before it is timed, the output of each is compared with that of the others. Each reads name, file name, content type
  and body of every part, in the way that its documentation shows. Where megabytes are read, each chunk is taken, but
  they are not joined, for that takes longer than to parse them.
* *Cold* input has names that nobody has seen before, and new ones in each round. *Warm* input is one form again and
  again, as a server sees it.
* What *rejects* an input is not timed. Where there is junk, aiomultipart's limits are raised, so that it reads on.
* A contestant in a dashed bar is no package: it is the machine, or a few lines by hand.
* Memory is measured in a fresh process for each, which streams a small message first, and gives back to the system what
  it freed since it began. What is shown is what 256 MiB then added to its resident memory, at the peak: buffers, what C
  code takes, threads. Of several runs the largest counts. Where the system does not let a process reset its peak, it is
  what Python's allocator handed out, and the table says so.
* aiomultipart is measured with its accelerator. Some of the others are compiled, in part or as a whole.

``make bench PYTHON=python3.13 VENV=.venv-3.13`` measures with another interpreter, ``BENCH_OPTIONS=--check`` fails when
a bar is missed, and ``BENCH_OPTIONS="--only MJPEG"`` runs some scenarios, and stores nothing. ``make bench-quick``
takes a minute, and its figures are a glance, no proof. It replaces no figures of a whole run.
"""

NOTES = """\
.. Written by hand, under "What falls short" of the page on performance. "make bench" leaves this file alone.
"""


def render(runs: Sequence[Figures]) -> dict[str, str]:
    """Make the page and its charts.

    :return: texts by path, from the directory of the page.
    """
    files: dict[str, str] = {}
    groups = list(dict.fromkeys(result.group for run in runs for result in run.results))
    lines = [HEAD]
    if not runs:
        lines.append("Nothing has been measured yet.\n")
    lines += [*_bars(runs), *_shortfalls(runs), *_machines(runs), HOW]
    for group in groups:
        lines += _heading(group)
        for run in runs:
            results = [result for result in run.results if result.group == group]
            if results:
                chart = f"{group}, {_named(run)}"
                lines += _image(files, chart, f"{group} {run.python}", charts.speeds(chart, results))
        lines += _table(["", *_twice(runs)], _speeds(runs, group), [25, *[15, 23] * len(runs)])
    if any(run.memory for run in runs):
        lines += _heading("Memory")
        for run in runs:
            if run.memory:
                chart = f"Memory added while 256 MiB are streamed, {_named(run)}"
                lines += _image(files, chart, f"memory {run.python}", charts.memories(chart, run.memory))
        lines += _table(["", *map(_named, runs)], _memories(runs))
    files[f"{NAME}.rst"] = "\n".join(lines).rstrip() + "\n"
    return files


def write(directory: Path = DIRECTORY) -> None:
    """Write the page and its charts from what is stored in ``performance/``."""
    kept = directory / NAME
    kept.mkdir(parents=True, exist_ok=True)
    notes = kept / "notes.inc"
    if not notes.exists():
        notes.write_text(NOTES, "utf-8")
    files = render(load_all(kept))
    for path in kept.glob("*.svg"):
        if f"{NAME}/{path.name}" not in files:
            path.unlink()
    for name, text in files.items():
        (directory / name).write_text(text, "utf-8")


def _heading(title: str) -> list[str]:
    return [_plain(title), "-" * len(_plain(title)), ""]


def _plain(text: str) -> str:
    """Text in which nothing is markup."""
    return re.sub(r"([\\`*_|])", r"\\\1", text)


def _named(run: Figures) -> str:
    return f"{run.python} (quick run)" if run.quick else run.python


def _twice(runs: Iterable[Figures]) -> Iterator[str]:
    for run in runs:
        yield _named(run)
        yield "ratio"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int] = ()) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1"]
    if widths:
        lines.append(f"   :widths: {' '.join(map(str, widths))}")
    lines.append("")
    for row in [header, *rows]:
        lines += [f"   {'*' if not number else ' '} - {cell}".rstrip() for number, cell in enumerate(row)]
    return [*lines, ""]


def _image(files: dict[str, str], title: str, slug: str, chart: str) -> list[str]:
    path = f"{NAME}/{re.sub('[^a-z0-9.]+', '-', slug.lower()).strip('-')}.svg"
    files[path] = chart
    return [f".. image:: {path}", f"   :alt: {_plain(title)}. The table below has the same figures.", ""]


def _by_title(run: Figures) -> Mapping[tuple[str, str], Result]:
    return {(result.group, result.title): result for result in run.results}


def _titles(runs: Iterable[Figures]) -> list[tuple[str, str]]:
    """All scenarios, once each."""
    return list(dict.fromkeys(key for run in runs for key in _by_title(run)))


def _mark(*, missed: bool) -> str:
    return "✗" if missed else "✓"


def _bars(runs: Sequence[Figures]) -> list[str]:
    rows = []
    last = ""
    for group, title in _titles(runs):
        cells, bars = [], set()
        for run in runs:
            result = _by_title(run).get((group, title))
            barred = [row for row in result.rows if row.bar is not None and row.ratios] if result else []
            bars |= {f"{row.bar:g} ×" for row in barred}
            cells.append("; ".join(map(_verdict, barred)))
        if bars:
            if group != last:
                rows.append([f"**{_plain(group)}**", "", *[""] * len(runs)])
                last = group
            rows.append([_plain(title), " or ".join(sorted(bars)), *cells])
    if any(run.memory for run in runs):
        rows.append(["**Memory**", "", *[""] * len(runs)])
    for title, streamed in _streamed(runs):
        most = next((peak.most for of in streamed for peak in of.rows if peak.most), None)
        if most:
            cells = ["; ".join(_peaks(of, barred=True)) for of in streamed]
            rows.append([_plain(title), f"under {memory(most)}", *cells])
    if not rows:
        return []
    text = "What aiomultipart has to reach, and what it does reach, beside the package that the bar is about.\n"
    return [*_heading("The bars"), text, *_table(["", "bar", *map(_named, runs)], rows)]


def _verdict(row: Row) -> str:
    ratio = times(row.ratios[1]) if row.ratios else ""
    return f"{f'**{ratio}**' if row.missed else ratio} {_plain(row.name)} {_mark(missed=row.missed)}"


def _shortfalls(runs: Sequence[Figures]) -> list[str]:
    lines = _heading("What falls short")
    for run in runs:
        found = [f"* {_plain(title)}: {_plain(what)}" for title, what in run.shortfalls()]
        lines += [f"{_named(run)}:" if found else f"{_named(run)}: nothing.", "", *found, *([""] if found else [])]
    return [*lines, f".. include:: {NAME}/notes.inc", ""]


def _machines(runs: Sequence[Figures]) -> list[str]:
    lines = _heading("The machine")
    for run in runs:
        lines += [
            f"{_named(run)}",
            f"   ``{run.command}`` on {run.date}, in {run.minutes:g} minutes; {_details(run)}",
            "",
        ]
    names = list(dict.fromkeys(limit.name for run in runs for limit in run.limits))
    rows = []
    for name in names:
        cells = []
        for run in runs:
            limit = next((limit for limit in run.limits if limit.name == name), None)
            cell = duration(limit.seconds) if limit else ""
            cells.append(f"{cell}, {speed(limit.octets, limit.seconds)}" if limit and limit.octets else cell)
        rows.append([_plain(name), *cells])
    if rows:
        lines += ["What the machine does at best, measured during the same run:", ""]
        lines += _table(["", *map(_named, runs)], rows)
    return lines


def _details(run: Figures) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    text = f"{', '.join(run.surroundings.values())}; {versions}"
    if run.absent:
        text += f"; left out, because they are not installed: {', '.join(run.absent)}"
    return f"{_plain(text)}; :download:`all figures <{NAME}/{run.file_name}>`"


def _speeds(runs: Sequence[Figures], group: str) -> Iterator[list[str]]:
    for key in _titles(runs):
        if key[0] != group:
            continue
        found = [_by_title(run).get(key) for run in runs]
        yield [f"**{_plain(key[1])}**", *[""] * 2 * len(runs)]
        for name in dict.fromkeys(row.name for result in found if result for row in result.rows):
            cells = [_plain(name)]
            for result in found:
                row = next((row for row in result.rows if row.name == name), None) if result else None
                cells += [shown(result, row), _ratio(row)] if result and row else ["", ""]
            yield cells


def _ratio(row: Row) -> str:
    if row.ratios is None:
        return ""
    ratio = times(row.ratios[1])
    mark = "" if row.bar is None else f" {_mark(missed=row.missed)}"
    return f"{f'**{ratio}**' if row.missed else ratio}{mark} ({quartiles(row.ratios)})"


def _streamed(runs: Sequence[Figures]) -> Iterator[tuple[str, list[Streaming]]]:
    for title in dict.fromkeys(of.title for run in runs for of in run.memory):
        yield title, [next((of for of in run.memory if of.title == title), Streaming(title, ())) for run in runs]


def _peaks(streaming: Streaming, name: str | None = None, *, barred: bool = False) -> Iterator[str]:
    for peak in streaming.rows:
        if name in (None, peak.name) and (peak.most is not None or not barred):
            mark = "" if peak.most is None else f" {_mark(missed=peak.missed)}"
            yield f"{f'**{memory(peak.octets)}**' if peak.missed else memory(peak.octets)}{mark}"


def _memories(runs: Sequence[Figures]) -> Iterator[list[str]]:
    for title, streamed in _streamed(runs):
        yield [f"**{_plain(title)}**", *[""] * len(runs)]
        for name in dict.fromkeys(peak.name for of in streamed for peak in of.rows):
            yield [_plain(name), *("".join(_peaks(of, name)) for of in streamed)]
    if any(run.memory_by for run in runs):
        yield ["measured by", *(run.memory_by for run in runs)]
