"""Draw the house: the directives ``house``, a picture of the rooms, and ``rooms``, the table in full; and ``states``,
the table of what the parser waits for.

The first two come from ``tests/rooms.py`` and from what lies in ``aiomultipart/``; a room that is not built yet is left
out. The last comes from ``aiomultipart/parser/states.py``.
"""

from __future__ import annotations

import textwrap
from html import escape
from typing import Any

import rooms
from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from aiomultipart.parser.states import TRANSITIONS

WIDTH, HEIGHT = 960, 80  # of the picture; of a box
GAP, STAIRS = 16, 58  # between two boxes; between two floors
LETTER = 6.1  # the width of one, for the lines of small text
COLOURS = "#2962ff", "#00897b", "#ef6c00"  # of the arrows, so that neighbours can be told apart


def floors(imports: dict[str, set[str]]) -> list[list[str]]:
    """The rooms by height: each stands above all that it imports."""
    height: dict[str, int] = {}
    while len(height) < len(imports):
        for name, below in imports.items():
            if name not in height and below <= height.keys():
                height[name] = 1 + max((height[other] for other in below), default=-1)
    return [[name for name in imports if height[name] == level] for level in range(1 + max(height.values()))]


def arrows(imports: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Who imports whom, without what follows from other arrows."""
    beyond: dict[str, set[str]] = {}

    def reach(name: str) -> set[str]:
        if name not in beyond:
            beyond[name] = imports[name].union(*map(reach, imports[name]))
        return beyond[name]

    return [
        (name, other)
        for name, below in imports.items()
        for other in sorted(below)
        if not any(other in reach(third) for third in below - {other})
    ]


def picture(modules: dict[str, list[str]]) -> str:
    """The house as SVG, in the colours of the page around it."""
    imports = {
        name: {other for other in (*room.imports, *(to for of in room.also.values() for to in of)) if other in modules}
        for name, room in rooms.ROOMS.items()
        if name in modules
    }
    levels = floors(imports)
    total = len(levels) * (HEIGHT + STAIRS) - STAIRS + 2
    boxes: dict[str, tuple[float, float, float]] = {}
    drawn = []
    for level, names in enumerate(levels):
        width = (WIDTH - 2 - GAP * (len(names) - 1)) / len(names)
        top = total - 1 - HEIGHT - level * (HEIGHT + STAIRS)
        for number, name in enumerate(names):
            left = 1 + number * (width + GAP)
            boxes[name] = left, top, width
            lines = textwrap.wrap(" · ".join(modules[name]), int((width - 24) / LETTER))[:3]
            if lines == [name]:
                lines = textwrap.wrap(rooms.ROOMS[name].does, int((width - 24) / LETTER))[:3]
            loop = " ∞" if rooms.ROOMS[name].asyncio else ""
            drawn.append(
                f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{HEIGHT}" rx="6" fill="none" '
                f'stroke="currentColor" stroke-opacity="0.6"/>'
                f'<text x="{left + 12:.1f}" y="{top + 22}" font-size="15" font-weight="600">{escape(name)}{loop}</text>'
            )
            drawn += [
                f'<text x="{left + 12:.1f}" y="{top + 40 + 14 * i}" font-size="11.5" fill-opacity="0.75">'
                f"{escape(line)}</text>"
                for i, line in enumerate(lines)
            ]
    found = arrows(imports)
    leaving = {name: [arrow for arrow in found if arrow[0] == name] for name in imports}
    reaching = {name: [arrow for arrow in found if arrow[1] == name] for name in imports}

    def middle(name: str) -> float:
        left, _, width = boxes[name]
        return left + width / 2

    def place(name: str, others: list[str], other: str) -> float:
        """Where an arrow meets a box: those of one box stand side by side, in the order of where they lead."""
        left, _, width = boxes[name]
        others = sorted(others, key=middle)
        return left + width * (others.index(other) + 1) / (len(others) + 1)

    for name, other in found:
        start = place(name, [to for _, to in leaving[name]], other)
        end = place(other, [by for by, _ in reaching[other]], name)
        y1, y2 = boxes[name][1] + HEIGHT, boxes[other][1]
        colour = COLOURS[[*imports].index(name) % len(COLOURS)]
        bend = STAIRS / 2
        drawn.append(
            f'<path d="M{start:.1f} {y1} C{start:.1f} {y1 + bend} {end:.1f} {y2 - bend} {end:.1f} {y2 - 6}" '
            f'fill="none" stroke="{colour}" stroke-width="1.5"/>'
            f'<path d="M{end:.1f} {y2} l-4 -8 h8 z" fill="{colour}"/>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {total}" role="img" aria-label="The rooms of aiomultipart and who imports whom" '
        f'style="width: 100%; height: auto; font-family: inherit" fill="currentColor">{"".join(drawn)}</svg>'
    )


def table(modules: dict[str, list[str]]) -> list[str]:
    """The table in full, as reStructuredText; from the top of the house down."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 12 34 34 20", ""]
    lines += ["   * - room", "     - what it is for", "     - may import", "     - asyncio in"]
    for name, room in reversed(rooms.ROOMS.items()):
        if name not in modules:
            continue
        imports = ", ".join(f"``{other}``" for other in room.imports if other in modules)
        imports += "".join(
            f"; ``{module}`` also {', '.join(f'``{other}``' for other in others)}"
            for module, others in room.also.items()
        )
        loop = "all of it" if room.asyncio == rooms.EVERYWHERE else ", ".join(f"``{each}``" for each in room.asyncio)
        lines += [f"   * - ``{name}``", f"     - {room.does}", f"     - {imports}", f"     - {loop}"]
    return lines


class House(Directive):
    """``.. house::``: the picture."""

    def run(self) -> list[nodes.Node]:
        """The picture, for HTML."""
        self.state.document.settings.env.note_dependency(rooms.__file__)
        caption = "Each room stands above all that it may import. ∞: there may be asyncio in it."
        drawn = nodes.raw("", f'<figure style="margin: 1em 0">{picture(rooms.modules())}</figure>', format="html")
        return [drawn, nodes.paragraph("", caption)]


class Rooms(Directive):
    """``.. rooms::``: the table."""

    def run(self) -> list[nodes.Node]:
        """The table, parsed as if it stood in the page."""
        parent = nodes.Element()
        source = StringList(table(rooms.modules()), source=rooms.__file__)
        self.state.nested_parse(source, self.content_offset, parent)
        return parent.children


def transitions() -> list[str]:
    """The parser's states, as reStructuredText."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 20 50 30", ""]
    lines += ["   * - state", "     - what ends it", "     - what comes next"]
    for row in TRANSITIONS:
        to = ", ".join(f"``{state.name}``" for state in row.to)
        lines += [f"   * - ``{row.state.name}``", f"     - {row.ends_with}", f"     - {to}"]
    return lines


class States(Directive):
    """``.. states::``: the parser's states."""

    def run(self) -> list[nodes.Node]:
        """The table, parsed as if it stood in the page."""
        parent = nodes.Element()
        self.state.nested_parse(StringList(transitions(), source=__file__), self.content_offset, parent)
        return parent.children


def setup(app: Any) -> dict[str, bool]:
    """Tell Sphinx."""
    app.add_directive("house", House)
    app.add_directive("rooms", Rooms)
    app.add_directive("states", States)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
