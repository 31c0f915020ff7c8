"""The directive ``chart``: an SVG file as a part of the page, so that it has the page's colours, light or dark."""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

# A file has to ask the system which colours it is to have; a part of the page follows the page.
SYSTEM = re.compile(r"@media \(prefers-color-scheme: dark\) (\{(?:[^{}]|\{[^{}]*\})*\})")


class Chart(Directive):
    """``.. chart:: path``, relative to the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The picture; where there is no HTML, its description."""
        path = Path(self.state.document["source"]).parent / self.arguments[0]
        self.state.document.settings.record_dependencies.add(str(path))
        drawing = path.read_text("utf-8")
        dark = SYSTEM.search(drawing)
        if dark is not None:
            # Furo marks the body; "auto" leaves it to the system.
            rules = dark[1].strip("{}")
            chosen = re.sub(r"(?m)^( *)(?=\.)", r'\1body[data-theme="dark"] ', rules)
            auto = re.sub(r"(?m)^( *)(?=\.)", r'\1body:not([data-theme="light"]) ', rules)
            drawing = drawing.replace(dark[0], f"{chosen} @media (prefers-color-scheme: dark) {{{auto}}}")
        return [nodes.raw("", f'<div class="chart-of-page">{drawing}</div>', format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry point."""
    app.add_directive("chart", Chart)
    return {"parallel_read_safe": True}
