"""Tables on the terminal, or as plain text where rich is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .figures import Limit, Result, Streaming, duration, each, memory, quartiles, rate, speed, times

LEFT = frozenset({"scenario", "contestant", "limit", ""})


def print_results(results: Sequence[Result]) -> None:
    """One table: scenarios of one group."""
    lines: list[tuple[str, ...]] = []
    for result in results:
        title = result.title
        for row in result.rows:
            ratio = half = bar = mark = ""
            if row.ratios is not None:
                ratio, half = times(row.ratios[1]), quartiles(row.ratios)
            if row.bar is not None:
                bar, mark = f"{row.bar:g} ×", "MISSED" if row.missed else "met"
            lines.append((title, row.name, each(result, row), rate(result, row), ratio, half, bar, mark))
            title = ""
    header = ("scenario", "contestant", "each", "speed", "ratio", "quartiles", "bar", "")
    print_table(results[0].group, header, lines)


def print_limits(limits: Iterable[Limit]) -> None:
    """What the machine does at best."""
    lines = [
        (limit.name, duration(limit.seconds), speed(limit.octets, limit.seconds) if limit.octets else "")
        for limit in limits
    ]
    print_table("The machine's limits", ("limit", "time", "speed"), lines)


def print_memory(measured: Iterable[Streaming], how: str) -> None:
    """Peaks of memory."""
    lines: list[tuple[str, ...]] = []
    for streaming in measured:
        title = streaming.title
        for peak in streaming.rows:
            bar, mark = "", ""
            if peak.most is not None:
                bar, mark = f"under {memory(peak.most)}", "MISSED" if peak.missed else "met"
            lines.append((title, peak.name, memory(peak.octets), bar, mark))
            title = ""
    print_table(f"Memory: {how}", ("scenario", "contestant", "added", "bar", ""), lines)


def print_table(title: str, header: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> None:
    """One table; a line with a first cell begins a section."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(f"\n{title}")
        widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
        for line in [header, tuple("-" * width for width in widths), *lines]:
            cells = zip(header, line, widths, strict=True)
            print("  ".join(c.ljust(w) if name in LEFT else c.rjust(w) for name, c, w in cells).rstrip())
        return
    table = Table(title=title, title_justify="left")
    for name in header:
        table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=True)
    for number, line in enumerate(lines):
        if line[0] and number:
            table.add_section()
        style = "bold red" if line[-1] == "MISSED" else None
        table.add_row(*line, style=style)
    console = Console()
    # A pipe has no width, rich would take 80 columns, and cut.
    (console if console.is_terminal else Console(width=150)).print(table)
