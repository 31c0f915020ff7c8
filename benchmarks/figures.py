"""What a run found: plain values, which are stored as JSON and read again to make the page."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One contestant of a scenario."""

    name: str
    seconds: float | None
    """Median, for one input; None for one that rejects it."""
    ratios: tuple[float, float, float] | None = None
    """Quartiles of how many times as fast the first contestant is; None for itself."""
    bar: float | None = None
    floor: bool = False
    """Whether it is no peer."""

    @property
    def missed(self) -> bool:
        """Whether the first contestant is slower than it has to be."""
        return self.bar is not None and self.ratios is not None and self.ratios[1] < self.bar


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one scenario."""

    group: str
    title: str
    items: int
    octets: int
    rows: tuple[Row, ...]

    @property
    def missed(self) -> bool:
        """Whether a bar is missed."""
        return any(row.missed for row in self.rows)


@dataclass(frozen=True, slots=True)
class Peak:
    """How much memory one contestant added while it streamed."""

    name: str
    octets: int
    most: int | None = None
    """What it has to stay under."""

    @property
    def missed(self) -> bool:
        """Whether it takes more than it may."""
        return self.most is not None and self.octets >= self.most


@dataclass(frozen=True, slots=True)
class Streaming:
    """The peaks of those who did the same."""

    title: str
    rows: tuple[Peak, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """What the machine does at best."""

    name: str
    seconds: float
    octets: int = 0


@dataclass(frozen=True, slots=True)
class Figures:
    """One run."""

    python: str
    """Such as CPython 3.11."""
    quick: bool
    command: str
    date: str
    minutes: float
    surroundings: Mapping[str, str]
    versions: Mapping[str, str]
    absent: tuple[str, ...]
    """Packages that could not be imported, which are left out."""
    limits: tuple[Limit, ...]
    results: tuple[Result, ...]
    memory: tuple[Streaming, ...]
    memory_by: str = ""
    """How memory was measured."""
    format: int = FORMAT

    @property
    def file_name(self) -> str:
        """Where they are stored: one file for each Python."""
        return f"{self.python.lower().replace(' ', '-')}.json"

    @property
    def met(self) -> bool:
        """Whether every bar is met."""
        return not any(self.shortfalls())

    def shortfalls(self) -> Iterator[tuple[str, str]]:
        """Where a bar is missed: what was measured, and by how much it falls short."""
        for result in self.results:
            for row in result.rows:
                if row.missed and row.ratios is not None:
                    yield (
                        f"{result.group}: {result.title}",
                        f"{times(row.ratios[1])} {row.name}, the bar is {row.bar:g} ×",
                    )
        for streaming in self.memory:
            for peak in streaming.rows:
                if peak.missed and peak.most is not None:
                    yield f"Memory: {streaming.title}", f"{memory(peak.octets)}, the bar is under {memory(peak.most)}"


def store(figures: Figures, directory: Path) -> Path | None:
    """Write them to the file of their Python, unless that holds a full run and this was a quick one.

    :return: the file, or None if it was left alone.
    """
    path = directory / figures.file_name
    if figures.quick and path.exists() and not load(path).quick:
        return None
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dataclasses.asdict(figures), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def load(path: Path) -> Figures:
    """Read what :func:`store` wrote."""
    found = json.loads(path.read_text("utf-8"))
    if found["format"] != FORMAT:
        raise ValueError(f"{path} is of another format: run make bench again")
    found["absent"] = tuple(found["absent"])
    found["limits"] = tuple(Limit(**limit) for limit in found["limits"])
    found["results"] = tuple(Result(**result | {"rows": _rows(result["rows"])}) for result in found["results"])
    found["memory"] = tuple(
        Streaming(streaming["title"], tuple(Peak(**peak) for peak in streaming["rows"]))
        for streaming in found["memory"]
    )
    return Figures(**found)


def load_all(directory: Path) -> list[Figures]:
    """All that are stored, the oldest Python first."""
    every = [load(path) for path in directory.glob("*.json")]
    return sorted(every, key=lambda figures: [(len(part), part) for part in figures.python.split(".")])


# Any: JSON.
def _rows(rows: list[dict[str, Any]]) -> tuple[Row, ...]:
    return tuple(Row(**row | {"ratios": None if row["ratios"] is None else tuple(row["ratios"])}) for row in rows)


# Numbers as they are shown


def _digits(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def quartiles(ratios: tuple[float, float, float]) -> str:
    """The middle half."""
    return f"{_digits(ratios[0])}–{_digits(ratios[2])}"


def times(ratio: float) -> str:
    """A ratio."""
    return f"{_digits(ratio)} ×"


def duration(seconds: float) -> str:
    """A time."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.9995 * size:
            return f"{_digits(seconds / size)} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def speed(octets: int, seconds: float) -> str:
    """Bytes for each second."""
    per_second = octets / seconds
    return f"{_digits(per_second / 1e9)} GB/s" if per_second >= 1e9 else f"{_digits(per_second / 1e6)} MB/s"


def memory(octets: int) -> str:
    """A size in memory."""
    return f"{octets / 2**20:.0f} MiB" if octets >= 99.5 * 2**20 or not octets % 2**20 else f"{octets / 2**20:.2f} MiB"


def each(result: Result, row: Row) -> str:
    """What one part costs, or one input."""
    if row.seconds is None:
        return "rejects"
    return f"{duration(row.seconds / result.items)}{'/part' if result.items > 1 else ''}"


def rate(result: Result, row: Row) -> str:
    """How fast it is, where bytes count."""
    return speed(result.octets, row.seconds) if result.octets and row.seconds is not None else ""


def shown(result: Result, row: Row) -> str:
    """The one of the two that says more."""
    return rate(result, row) if result.items == 1 and result.octets and row.seconds else each(result, row)
