"""The page of the documentation, and its charts, from the figures that are stored."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from . import charts
from .figures import Figures, Result, Row, Streaming, duration, load_all, memory, quartiles, shown, speed, times

NAME = "performance"
ROWS = "performance-rows"
FELT = f"{NAME}/felt.svg"
ROOT = Path(__file__).parents[1]
BEHIND = 0.95  # of our time: what is closer is a tie
DIRECTORY = ROOT / "docs" / "explanation"
README = ROOT / "README.rst"
BEGIN, END = ".. begin compared\n", ".. end compared\n"

HEAD = """\
.. Generated from performance/*.json by "make bench" and "make bench-quick"; do not edit. What is written by hand stands
   in performance/notes.inc.

Performance
===========

How fast aiomultipart is, beside packages that do the same: first what users notice, then where others are faster, and
why.
"""

ROWS_HEAD = """\
:orphan:

.. Generated from performance/*.json by "make bench" and "make bench-quick"; do not edit.

All benchmarks
==============

For those who work on the library: every scenario that ``make bench`` measures, and the bars that it has to reach.
:doc:`performance` says what users feel. "2.0 ×" beside a package says that aiomultipart is twice as fast as that.
Ratios hold; absolute times are those of one machine on one day.
"""

AHEAD = """\
Where others are ahead
----------------------
"""

SHORT = """\
How it is measured
------------------

All contestants of a scenario take turns in one process, and a ratio is taken within each turn, so that a slow second of
the machine is slow for all of them. What each of them read or wrote is compared before anything is timed. Servers are
processes of their own, on the loopback interface. Memory is that of a fresh process: what it added at its peak while it
streamed 256 MiB.

*Cold* input has names that have not been seen before; *warm* input is one form again and again. What is *built* is not
sent, so only the library works.

Anybody can repeat it, in five minutes::

    make bench

:doc:`performance-rows` has every scenario, for each Python, and how it is measured in full.
"""

HOW = """\
How it is measured, in full
---------------------------

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
* Under "The machine" stands which parser of aiomultipart ran: the compiled one is there to be measured. Some of the
  others are compiled, in part or as a whole.

``make bench PYTHON=python3.13 VENV=.venv-3.13`` measures with another interpreter, ``BENCH_OPTIONS=--check`` fails when
a bar is missed, and ``BENCH_OPTIONS="--only MJPEG"`` runs some scenarios, and stores nothing. ``make bench-quick``
takes a minute, and its figures are a glance, no proof. It replaces no figures of a whole run.
"""

NOTES = """\
.. Written by hand, under "What falls short" of the page on performance. "make bench" leaves this file alone.
"""


# What people feel: the scenario, and how the chart calls it.
FELT_SPEEDS = (
    ("Loopback", "a form of 20 fields to uvicorn", "A form of 20 fields, to uvicorn"),
    ("Loopback", "a form of 20 fields to aiohttp", "A form of 20 fields, to aiohttp's server"),
    ("Loopback", "1 GiB to uvicorn, saved", "An upload of 1 GiB, to uvicorn, saved"),
    ("Loopback", "1 GiB to aiohttp, saved", "An upload of 1 GiB, to aiohttp's server, saved"),
    ("Reading", "MJPEG, 500 x 30 KB with Content-Length", "A frame of a camera's stream (MJPEG)"),
)
FELT_MEMORY = (
    ("read by iteration", "Memory, while 256 MiB are read chunk by chunk"),
    ("read a form, its file to disk", "Memory, while a form's 256 MiB go to disk"),
)
# The table of the README: a line for each scenario of a group, a column for each package that it is measured against.
COMPARED_WITH = ("aiohttp", "starlette", "multipart", "streaming-form-data", "requests-toolbelt")
COMPARED_SPEEDS = (
    (
        "100 form fields, parsed",
        (("Push parsing: small forms", "large form (100 fields), cold"), ("Reading", "100 form fields")),
    ),
    (
        "a file of 32 MB, parsed",
        (("Push parsing: files", "upload of 32 MB, chunks of 64 KiB"), ("Reading", "32 MB upload, chunks of 64 KiB")),
    ),
    (
        "a form, through a server",
        (("Loopback", "a form of 20 fields to uvicorn"), ("Loopback", "a form of 20 fields to aiohttp")),
    ),
    ("a file of 32 MB, sent", (("Writing", "a file of 32 MB, sent"),)),
)
# Starlette has its forms parsed by it.
STANDS_FOR = {"python-multipart": "starlette"}
FEATURES = (
    # in the order of COMPARED_WITH
    ("reads forms", "✓ ✓ ✓ ✓ ✓ –"),
    ("reads other multipart bodies, nested ones too", "✓ ✓ part – – part"),
    ("writes multipart bodies", "✓ ✓ – – – ✓"),
    ("for asyncio", "✓ ✓ ✓ part ✓ –"),
    ("without asyncio, or without I/O", "✓ – part ✓ ✓ ✓"),
    ("a file streams to its place while it arrives", "✓ part part part ✓ –"),
    ("undoes gzip and base64 of a part as it streams", "✓ part – – – –"),
    ("limits that answer with an HTTP status", "✓ part part ✓ part –"),
    ("one set of names for servers and clients", "✓ ✓ – – – –"),
    ("needs no other package", "– – – ✓ – –"),
    ("in wide use for years", "– ✓ ✓ ✓ ✓ ✓"),
)


def render(runs: Sequence[Figures]) -> dict[str, str]:
    """Make the pages and their charts.

    :return: texts by path, from the directory of the pages.
    """
    files: dict[str, str] = {}
    files[f"{NAME}.rst"] = "\n".join(_felt(files, runs)).rstrip() + "\n"
    groups = list(dict.fromkeys(result.group for run in runs for result in run.results))
    lines = [ROWS_HEAD]
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
    files[f"{ROWS}.rst"] = "\n".join(lines).rstrip() + "\n"
    return files


def compared(readme: str, runs: Sequence[Figures]) -> str:
    """The README, with its table made anew; as it is where nothing has been measured."""
    if not runs or BEGIN not in readme:
        return readme
    before, _, rest = readme.partition(BEGIN)
    after = rest.partition(END)[2]
    return "\n".join([f"{before}{BEGIN}", *_compared(runs[-1]), f"{END}{after}"])


def write(directory: Path = DIRECTORY, readme: Path | None = None) -> None:
    """Write the pages, their charts and the table of the README from what is stored in ``performance/``."""
    kept = directory / NAME
    kept.mkdir(parents=True, exist_ok=True)
    notes = kept / "notes.inc"
    if not notes.exists():
        notes.write_text(NOTES, "utf-8")
    runs = load_all(kept)
    files = render(runs)
    for path in kept.glob("*.svg"):
        if f"{NAME}/{path.name}" not in files:
            path.unlink()
    for name, text in files.items():
        (directory / name).write_text(text, "utf-8")
    if readme is not None:
        readme.write_text(compared(readme.read_text("utf-8"), runs), "utf-8")


# What users feel


def _felt(files: dict[str, str], runs: Sequence[Figures]) -> list[str]:
    """The page for users: the newest Python's figures."""
    if not runs:
        return [HEAD, "Nothing has been measured yet.\n", f".. include:: {NAME}/notes.inc", "", SHORT]
    run = runs[-1]
    blocks = [*_felt_speeds(run), *_felt_memory(run)]
    if blocks:
        files[FELT] = charts.narrow("What users feel", f"Shorter is better. {_named(run)}, {run.date}.", blocks)
    processor = _plain(run.surroundings.get("processor", ", ".join(run.surroundings.values())))
    return [
        HEAD,
        *([f".. chart:: {FELT}", ""] if blocks else []),
        f"Measured with {_plain(_named(run))}{_parser(run)} on {processor}, on {run.date}.",
        "",
        AHEAD,
        *_ahead(run),
        f".. include:: {NAME}/notes.inc",
        "",
        SHORT,
    ]


def _parser(run: Figures) -> str:
    return f" and {_plain(run.surroundings['parser'])}" if "parser" in run.surroundings else ""


def _felt_speeds(run: Figures) -> Iterator[charts.Block]:
    by_title = _by_title(run)
    for group, title, shown_as in FELT_SPEEDS:
        result = by_title.get((group, title))
        if result is not None:
            divided = result.items if title.startswith("MJPEG") else 1
            rows = [row for row in result.rows if row.seconds is not None and not row.floor]
            yield charts.Block(
                shown_as,
                [
                    charts.Bar(row.name, row.seconds or 0.0, _felt_text(result, row, divided), _kind(row.name))
                    for row in rows
                ],
            )


def _felt_text(result: Result, row: Row, divided: int) -> str:
    text = duration((row.seconds or 0.0) / divided)
    return f"{text}, {speed(result.octets, row.seconds)}" if result.octets and row.seconds and divided == 1 else text


def _felt_memory(run: Figures) -> Iterator[charts.Block]:
    for title, shown_as in FELT_MEMORY:
        for streaming in run.memory:
            if streaming.title == title:
                bars = [charts.Bar(row.name, row.octets, memory(row.octets), _kind(row.name)) for row in streaming.rows]
                yield charts.Block(shown_as, bars)


def _kind(name: str) -> str:
    return "ours" if name == "aiomultipart" else "peer"


def _ahead(run: Figures) -> Iterator[str]:
    """Everything that another package does in less than 95 % of our time."""
    rows = []
    for result in run.results:
        peers = [row for row in result.rows if row.ratios is not None and row.ratios[1] < BEHIND and not row.floor]
        if peers:
            cell = ", ".join(f"{_plain(row.name)} {times(1 / row.ratios[1])}" for row in peers if row.ratios)
            rows.append([f"{_plain(result.group)}: {_plain(result.title)}", cell])
    if not rows:
        yield from ("Nowhere, in what is measured.", "")
        return
    yield from ("What other packages do faster than aiomultipart, and how many times as fast they are:", "")
    yield from _table(["what is done", "who is ahead"], rows, [60, 40])


# The README


def _compared(run: Figures) -> Iterator[str]:
    """A table of speeds and features."""
    names = ["aiomultipart", *COMPARED_WITH]
    rows = [*_compared_speeds(run), *([title, *marks.split()] for title, marks in FEATURES)]
    yield "A number says how many times as fast as that package aiomultipart is; below 1, the package is faster."
    yield f'It was measured with {_plain(_named(run))}. "part" means that a package does some of it, or that it takes'
    yield "code of your own; a dash, that it does not do it, or was not measured. Starlette's column counts its parser,"
    yield "python-multipart, too."
    yield ""
    yield from _table(["", *names], rows, [28, *[12] * 6], "compared")


def _compared_speeds(run: Figures) -> Iterator[list[str]]:
    by_title = _by_title(run)
    for title, keys in COMPARED_SPEEDS:
        cells = dict.fromkeys(COMPARED_WITH, "–")
        for key in keys:
            for row in by_title[key].rows if key in by_title else ():
                name = STANDS_FOR.get(row.name, row.name)
                if row.ratios is not None and name in cells:
                    cells[name] = f"{row.ratios[1]:.{0 if row.ratios[1] >= 9.95 else 1}f}"  # narrow, for a phone
        yield [title, "1", *cells.values()]


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


def _table(
    header: Sequence[str], rows: Iterable[Sequence[str]], widths: Sequence[int] = (), kind: str = ""
) -> list[str]:
    lines = [".. list-table::", "   :header-rows: 1"]
    if kind:
        lines.append(f"   :class: {kind}")
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
