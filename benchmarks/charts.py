"""Bar charts as SVG, for light and for dark pages."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from .figures import Result, Streaming, memory, shown, times

WIDTH = 760
LABELS = 158  # where the bars begin
LENGTH = 372  # of the longest bar
LINE = 17
THICK = 11
MARGIN = 14
NARROW, NARROW_LABELS, NARROW_LENGTH, NARROW_LINE = 400, 100, 170, 19  # the same, where a phone is to show it
# The two colours are of Okabe and Ito's palette, which those who confuse red and green can tell apart too.
# Every rule begins with the class of the drawing, because docs/chart.py makes it a part of a page.
STYLE = """\
 .chart text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1c1c1c; }
 .chart.narrow text { font-size: 13px; }
 .chart .title { font-weight: 600; }
 .chart .faint { fill: #5a5a5a; }
 .chart .page { fill: #ffffff; }
 .chart .ours { fill: #0072b2; }
 .chart .peer { fill: #9a9a9a; }
 .chart .floor { fill: none; stroke: #9a9a9a; stroke-dasharray: 3 2; }
 .chart .target { stroke: #b84a00; stroke-width: 2; }
 .chart .missed { fill: #b84a00; font-weight: 600; }
 @media (prefers-color-scheme: dark) {
  .chart text { fill: #e6e6e6; }
  .chart .faint { fill: #a8a8a8; }
  .chart .page { fill: #16181c; }
  .chart .ours { fill: #56b4e9; }
  .chart .peer { fill: #7d7d7d; }
  .chart .floor { stroke: #8d8d8d; }
  .chart .target { stroke: #ff9d4d; }
  .chart .missed { fill: #ff9d4d; }
 }"""


@dataclass(frozen=True)
class Bar:
    """One bar."""

    label: str
    length: float
    """In the unit of its block."""
    text: str
    kind: str
    """One of ours, peer and floor."""
    missed: bool = False


@dataclass(frozen=True)
class Block:
    """Bars that are compared with each other."""

    title: str
    bars: Sequence[Bar]
    target: float | None = None
    """A line across the first bar."""
    note: str = ""
    """What the line says."""


def speeds(title: str, results: Iterable[Result]) -> str:
    """A chart of scenarios: a longer bar is faster."""
    return render(
        title,
        "Longer is faster. N ×: aiomultipart is N times as fast. Line: what aiomultipart has to reach.",
        [_block(result) for result in results],
    )


def _block(result: Result) -> Block:
    """Lengths are speeds, that of the first contestant being 1."""
    bars = []
    target, note = None, ""
    for row in result.rows:
        text = shown(result, row)
        if row.seconds is None:
            bars.append(Bar(row.name, 0.0, text, "peer"))
        elif row.ratios is None:
            bars.append(Bar(row.name, 1.0, text, "ours", result.missed))
        else:
            ratio = row.ratios[1]
            bars.append(Bar(row.name, 1 / ratio, f"{text}, {times(ratio)}", "floor" if row.floor else "peer"))
            if row.bar is not None and row.bar / ratio > (target or 0.0):
                target, note = row.bar / ratio, f"{row.bar:g} × {row.name}"
    return Block(result.title, bars, target, note)


def memories(title: str, measured: Iterable[Streaming]) -> str:
    """A chart of peaks: a shorter bar is less memory. Lengths are logarithms, because some take all there is."""
    blocks = []
    for streaming in measured:
        bars = []
        target, note = None, ""
        for number, peak in enumerate(streaming.rows):
            kind = "peer" if number else "ours"
            bars.append(Bar(peak.name, _logarithm(peak.octets), memory(peak.octets), kind, peak.missed))
            if peak.most is not None:
                target, note = _logarithm(peak.most), f"under {memory(peak.most)}"
        blocks.append(Block(streaming.title, bars, target, note))
    subtitle = "Shorter is less memory; the scale is logarithmic. Line: what aiomultipart has to stay under."
    return render(title, subtitle, blocks, longest=_logarithm(2**29))


def _logarithm(octets: int) -> float:
    return math.log2(1 + octets / 2**15)


def render(title: str, subtitle: str, blocks: Sequence[Block], longest: float | None = None) -> str:
    """Draw.

    :param longest: what the longest bar stands for; of each block its own if not given.
    """
    lines: list[str] = []
    y = 3 * LINE + 4
    for block in blocks:
        y += LINE
        lines.append(_text(MARGIN, y, block.title, "title"))
        if block.note:
            lines.append(_text(WIDTH - MARGIN, y, f"line: {block.note}", "faint", anchor="end"))
        scale = LENGTH / (longest or max(block.target or 0.0, *(bar.length for bar in block.bars)))
        for number, bar in enumerate(block.bars):
            y += LINE
            target = None if number or block.target is None else LABELS + block.target * scale
            lines += _bar(bar, y, max(1.5, bar.length * scale), target)
        y += LINE // 2
    head = [_text(MARGIN, LINE + 6, title, "title"), _text(MARGIN, 2 * LINE + 6, subtitle, "faint")]
    return _drawing(title, blocks, [*head, *lines], WIDTH, y + MARGIN)


def narrow(title: str, subtitle: str, blocks: Sequence[Block]) -> str:
    """Draw for a page that people read on a phone: in each block, a shorter bar is better."""
    lines = [_text(0, NARROW_LINE, subtitle, "faint")]
    y = NARROW_LINE
    for block in blocks:
        y += NARROW_LINE + 14
        lines.append(_text(0, y, block.title, "title"))
        scale = NARROW_LENGTH / (max(bar.length for bar in block.bars) or 1)
        for bar in block.bars:
            y += NARROW_LINE
            length = max(2.0, bar.length * scale)
            lines += [
                _text(0, y, bar.label),
                f'<rect class="{bar.kind}" x="{NARROW_LABELS}" y="{y - 11}" width="{length:.1f}" height="13" rx="2"/>',
                _text(NARROW_LABELS + length + 6, y, bar.text),
            ]
    return _drawing(title, blocks, lines, NARROW, y + 8, "chart narrow")


def _drawing(
    title: str, blocks: Sequence[Block], lines: Iterable[str], width: int, height: int, kind: str = "chart"
) -> str:
    description = " ".join(_sentence(block) for block in blocks)
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" {size} role="img" aria-labelledby="title desc">',
            f'<title id="title">{escape(title)}</title>',
            f'<desc id="desc">{escape(description)}</desc>',
            f"<style>\n{STYLE}\n</style>",
            f'<rect class="page" width="{width}" height="{height}" rx="6"/>',
            *lines,
            "</svg>",
            "",
        ]
    )


def _bar(bar: Bar, y: int, length: float, target: float | None) -> Iterable[str]:
    middle = y - 4
    yield _text(LABELS - 8, y, bar.label, anchor="end")
    if bar.length:
        yield (
            f'<rect class="{bar.kind}" x="{LABELS}" y="{middle - THICK / 2:g}" width="{length:.1f}" height="{THICK}"/>'
        )
    else:
        length = 0
    end = LABELS + length
    if target is not None:
        yield f'<line class="target" x1="{target:.1f}" x2="{target:.1f}" y1="{middle - 9}" y2="{middle + 9}"/>'
        if target < end + 190:
            end = max(end, target)
    yield _text(end + 8, y, f"{bar.text} ✗ falls short" if bar.missed else bar.text, "missed" if bar.missed else "")


def _text(x: float, y: float, text: str, kind: str = "", *, anchor: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    if anchor:
        attributes += f' text-anchor="{anchor}"'
    return f'<text x="{x:.0f}" y="{y:.0f}"{attributes}>{escape(text)}</text>'


def _sentence(block: Block) -> str:
    bars = ", ".join(f"{bar.label} {bar.text}{' (falls short)' if bar.missed else ''}" for bar in block.bars)
    return f"{block.title}: {bars}."
