"""``ls``: the tree of parts, as a table or as JSON. It is written as it is read: a message may have any size."""

from __future__ import annotations

import json
import sys
import time
from typing import Final

from aiomultipart.exceptions import MultipartError
from aiomultipart.parser import Defect
from aiomultipart.parser.base import MAX_DEFECTS

from .arguments import Options
from .failures import BadInput
from .inputs import Input, opened
from .terminal import Span, Terminal, count_of, shown
from .tree import Found, Level, Step, Tree, explain

__all__ = ("label", "place_of", "run")

_HELD: Final = 1000  # rows that wait for one another, so that their columns agree
_HELD_SIZE: Final = 1024 * 1024
_WIDEST: Final = 80  # a column; what is longer stands out of it, and does not move the others
_PATIENCE: Final = 0.3  # seconds that they wait for a source that is slow
_TITLES: Final = ("INDEX", "TYPE", "SIZE", "OFFSET", "BODY", "CODING", "NAME")
_TO_THE_RIGHT: Final = frozenset({"SIZE", "OFFSET", "BODY"})
_STYLES: Final = ("cyan", "", "", "dim", "dim", "magenta", "bold")


def run(options: Options, terminal: Terminal) -> int:
    """List a message."""
    with opened(options.file, options) as source, terminal.progress(source.name, source.size) as advance:
        tree = source.tree(options)
        listing: _Table | _Json = _Json(source, tree) if options.json else _Table(source, tree, terminal)
        try:
            for step, found, _ in source.steps(tree, advance, listing.pause):
                if step is Step.BEGIN:
                    listing.begin(found)
                elif step is Step.END:
                    listing.end(found)
        except BadInput as exc:
            listing.finish(exc)
            raise
        except BaseException:
            listing.abandon()
            raise
        listing.finish(None)
        if tree.error is not None:
            raise tree.error
    return 0


def label(found: Found) -> str:
    """What a part is called, as curl writes it: "title=" is a field, "photo=@cat.png" a file, "@cat.png" too."""
    part = found.part
    name = "" if part.name is None else f"{part.name}="
    if part.filename is not None:
        return f"{name}@{part.filename}"
    if not name:
        for field in ("Content-Location", "Content-ID"):
            if field in part.headers:
                return part.headers[field]
    return name


def _codings(found: Found) -> str:
    part = found.part
    return " ".join([each for each in (part.transfer_encoding, part.content_coding) if each])


class _Row:
    """A part, as it is shown. Its size is there once it has ended."""

    def __init__(self, found: Found) -> None:
        self.is_open = True
        self.is_message = found.inner is not None
        part = found.part
        depth = found.path.count(".")
        codings = shown(_codings(found)) or "-"
        type_ = "  " * depth + shown(part.content_type or "-")
        self.cells = [found.path, type_, "...", str(found.offset), str(found.body_offset), codings, shown(label(found))]
        self.remarks = ""

    def end(self, found: Found, defects: list[Defect]) -> None:
        """The part has ended."""
        self.is_open = False
        self.cells[2] = str(found.size)
        said = [defect.kind for defect in defects]
        if not found.is_whole:
            said.append("not whole" if found.error is None else "bad inside")
        self.remarks = ", ".join(said)


class _Table:
    """Rows in columns. They are held until there are many, so that each column is as wide as it needs to be."""

    def __init__(self, source: Input, tree: Tree, terminal: Terminal) -> None:
        self._source = source
        self._tree = tree
        self._terminal = terminal
        self._rows: list[_Row] = []
        self._open: list[_Row] = []
        self._widths = list(map(len, _TITLES))
        self._has_titles = False
        self._since = 0.0
        self._size = 0  # of the text in them
        self._count = 0
        self._said = _Said()
        self._remarks: list[str] = []
        level = tree.root
        what = f"multipart/{shown(level.parser.subtype)}, boundary {level.parser.boundary!r}, {source.kind}"
        terminal.line((shown(source.name), "bold"), f": {what}")

    def begin(self, found: Found) -> None:
        row = _Row(found)
        if not self._rows:
            self._since = time.monotonic()
        self._rows.append(row)
        self._size += sum(map(len, row.cells))
        self._open.append(row)
        self._count += 1

    def end(self, found: Found) -> None:
        row = self._open.pop()
        row.end(found, self._said.of_part(found))
        if found.inner is not None and len(self._remarks) < _HELD:
            self._remarks += self._remarks_on(found.inner)
        if len(self._rows) >= _HELD or self._size > _HELD_SIZE:
            self._write()

    def pause(self) -> None:
        """What comes next may be a while in coming."""
        if self._source.is_live and self._rows and time.monotonic() - self._since > _PATIENCE:
            # The part that is coming will have a size.
            self._write(len(self._rows) - (self._rows[-1].is_open and not self._rows[-1].is_message))
            self._terminal.flush()

    def abandon(self) -> None:
        """What there is, is all."""
        self._write()

    def finish(self, error: BadInput | None) -> None:
        self._write()
        for remark in [*self._remarks, *self._remarks_on(self._tree.root)][:_HELD]:
            self._terminal.line((remark, "yellow"))
        parts = count_of(self._count, "part")
        self._terminal.line((parts if error is None else f"{parts}, and then an error", "dim"))

    def _remarks_on(self, level: Level) -> list[str]:
        remarks: list[str] = []
        for defect in self._said.of_message(level):
            where = level.path[:-1] if defect.part_index is None else f"{level.path}{defect.part_index}"
            remarks.append(f"! {defect.kind}{place_of(defect, level)}{f' in part {where}' if where else ''}")
        return remarks

    def _write(self, count: int | None = None) -> None:
        """Write the first rows, all if not said."""
        rows = self._rows[:count]
        if not rows:
            return
        width_of = len if self._terminal.is_plain else self._terminal.width_of
        columns = zip(*[row.cells for row in rows], strict=True)
        self._widths = [
            min(max(width, *map(width_of, column)), _WIDEST)
            for width, column in zip(self._widths, columns, strict=True)
        ]
        if not self._has_titles:
            self._has_titles = True
            self._line(_TITLES, ("dim",) * len(_TITLES), "")
        for row in rows:
            self._line(row.cells, _STYLES, row.remarks)
        del self._rows[: len(rows)]
        self._size = 0
        self._since = time.monotonic()

    def _line(self, cells: list[str] | tuple[str, ...], styles: tuple[str, ...], remarks: str) -> None:
        said = f"  ! {remarks}" if remarks else ""
        if self._terminal.is_plain:
            pad = "{:<{}}  {:<{}}  {:>{}}  {:>{}}  {:>{}}  {:<{}}  {}{}"
            values = [value for pair in zip(cells, self._widths, strict=True) for value in pair]
            self._terminal.line(pad.format(*values[:-1], said))
            return
        spans: list[Span] = []
        for title, cell, style, width in zip(_TITLES, cells, styles, self._widths, strict=True):
            room = " " * (width - self._terminal.width_of(cell))
            if title == "NAME":
                room = ""
            spans.append((room + cell if title in _TO_THE_RIGHT else cell + room, style))
            spans.append("  " if title != "NAME" else "")
        spans.append((said, "yellow"))
        self._terminal.line(*spans, cut=True)


class _Said:
    """Which defects of the messages that are open have been shown with their parts."""

    def __init__(self) -> None:
        self._said: dict[str, set[Defect]] = {}

    def of_part(self, found: Found) -> list[Defect]:
        """Those of its header fields. Others show sooner or later, by how the input was cut."""
        part = found.part
        defects = [Defect(kind, part.offset, part.index) for kind in part.defects]
        if defects:
            said = self._said.setdefault(found.level.path, set())
            if len(said) < MAX_DEFECTS:  # the parser keeps no more than that
                said.update(defects)
        return defects

    def of_message(self, level: Level) -> list[Defect]:
        """All others of a message that has ended."""
        said = self._said.pop(level.path, set())
        return [defect for defect in level.parser.defects if defect not in said]


def place_of(defect: Defect, level: Level) -> str:
    """Where in the file a defect is, in words."""
    return "" if defect.offset is None else f" at byte {level.offset + defect.offset}"


class _Json:
    """One JSON object, written as it grows: what is known at the end of a message stands behind its parts."""

    def __init__(self, source: Input, tree: Tree) -> None:
        self._tree = tree
        self._said = _Said()
        self._is_first = [True]
        about = {"source": source.name, "kind": source.kind, "content_type": source.content_type}
        self._write(_opening(about | _about(tree.root)))

    def begin(self, found: Found) -> None:
        self._write(("" if self._is_first[-1] else ",") + "\n" + "  " * len(self._is_first))
        self._is_first[-1] = False
        part = found.part
        known = {
            "index": found.path,
            "offset": found.offset,
            "body_offset": found.body_offset,
            "type": part.content_type,
            "disposition": part.disposition_type,
            "name": part.name,
            "filename": part.filename,
            "transfer_encoding": part.transfer_encoding,
            "content_coding": part.content_coding,
            "content_length": part.content_length,
            "headers": [list(field) for field in part.headers.items()],
        }
        if found.inner is not None:
            self._write(_opening(known | _about(found.inner)))
            self._is_first.append(True)
        else:
            self._write(json.dumps(known)[:-1])

    def end(self, found: Found) -> None:
        known: dict[str, object] = {"size": found.size, "whole": found.is_whole}
        defects = [_defect(defect, found.level) for defect in self._said.of_part(found)]
        if found.inner is not None:
            self._is_first.pop()
            self._write("]")
            defects += self._late(found.inner)
        known |= {"defects": defects, "error": _error(found.error, found.inner or found.level)}
        self._write(", " + json.dumps(known)[1:])

    def pause(self) -> None:
        """What comes next may be a while in coming."""

    def abandon(self) -> None:
        """What there is, is all."""

    def finish(self, error: BadInput | None) -> None:
        root = self._tree.root
        known = {"defects": self._late(root), "error": _error(None if error is None else error.error, root)}
        self._write("\n], " + json.dumps(known)[1:] + "\n")

    def _late(self, level: Level) -> list[dict[str, object]]:
        return [_defect(defect, level) for defect in self._said.of_message(level)]

    def _write(self, text: str) -> None:
        sys.stdout.write(text)


def _opening(known: dict[str, object]) -> str:
    return json.dumps(known)[:-1] + ', "parts": ['


def _about(level: Level) -> dict[str, object]:
    return {"subtype": level.parser.subtype, "boundary": level.parser.boundary}


def _defect(defect: Defect, level: Level) -> dict[str, object]:
    offset = None if defect.offset is None else level.offset + defect.offset
    part = None if defect.part_index is None else f"{level.path}{defect.part_index}"
    return {"kind": defect.kind, "offset": offset, "part": part, "size": defect.size}


def _error(error: MultipartError | None, level: Level) -> dict[str, object] | None:
    if error is None:
        return None
    return {"code": error.code, "message": explain(error, level)}
