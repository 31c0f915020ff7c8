"""The directive ``bounds``: every field of ``Limits``, what it bounds, and its two defaults; from the code."""

from __future__ import annotations

import dataclasses

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

from aiomultipart import Limits

COUNTED = ("max_headers", "max_parameters", "max_parts", "max_depth", "max_open_files", "max_files", "max_fields")
UNITS = (("MiB", 2**20), ("KiB", 2**10))


def shown(name: str, value: int | None) -> str:
    """A bound as people write it."""
    if value is None:
        return "none"
    if name == "max_decode_ratio":
        return f"{value} ×"
    if name not in COUNTED:
        for unit, size in UNITS:
            if value >= size and not value % size:
                return f"{value // size} {unit}"
        return f"{value} bytes"
    return f"{value}"


def table() -> list[str]:
    """The table as reStructuredText."""
    documented = ModuleAnalyzer.for_module("aiomultipart.limits").find_attr_docs()
    readers, forms = Limits(), Limits.for_forms()
    lines = [".. list-table::", "   :header-rows: 1", "   :class: bounds", ""]
    lines += ["   * - limit", "     - ``Limits()``", "     - ``Limits.for_forms()``", "     - what it bounds"]
    for field in dataclasses.fields(Limits):
        ours = [shown(field.name, getattr(limits, field.name)) for limits in (readers, forms)]
        text = " ".join(documented["Limits", field.name]).strip()
        lines += [f"   * - :attr:`~aiomultipart.Limits.{field.name}`"]
        lines += [f"     - {value}" for value in (*ours, text)]
    return [*lines, ""]


class Bounds(Directive):
    """``.. bounds::``."""

    def run(self) -> list[nodes.Node]:
        """The table's nodes."""
        node = nodes.Element()
        self.state.nested_parse(StringList(table(), "bounds"), self.content_offset, node)
        return node.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx's entry point."""
    app.add_directive("bounds", Bounds)
    return {"parallel_read_safe": True}
