"""What a delimiter looks like: the line that it stands on, and how devices write it.

* RFC 2046's delimiter line is a small automaton, :class:`Line` and the tables in :data:`LINES`.
* LENIENT reads more. The first delimiter line shows the :class:`Dialect` of the whole message: whether the boundary
  parameter holds the two dashes already (never guessed: both are looked for), and whether lines end in CRLF or in LF
  alone.
* To LENIENT a stream of images (x-mixed-replace) may begin with the headers of its first part, without a delimiter; a
  header may follow a delimiter on the same line; and the line end before a delimiter may be missing.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

__all__ = (
    "CRLF",
    "HEADER",
    "LF",
    "LINES",
    "LINE_DONE",
    "STANDARD_LINE",
    "Dialect",
    "Line",
    "Opening",
    "may_begin",
    "read_line",
)

CRLF: Final = b"\r\n"
LF: Final = b"\n"


class Line(enum.IntEnum):
    """How much of a delimiter line has been seen after the boundary."""

    BOUNDARY = enum.auto()
    DASH = enum.auto()
    CLOSE = enum.auto()
    PADDING = enum.auto()
    CR = enum.auto()
    CLOSE_CR = enum.auto()
    IS_DELIMITER = enum.auto()
    IS_CLOSE_DELIMITER = enum.auto()
    IS_HEADER = enum.auto()
    """A header follows the boundary on its line; only to LENIENT, in image streams."""
    HEADER = enum.auto()
    """From here on: as many letters of :data:`HEADER` have been seen."""


LINE_DONE = frozenset({Line.IS_DELIMITER, Line.IS_CLOSE_DELIMITER, Line.IS_HEADER})
HEADER = b"Content-"  # in any case


def _line_table(newline: bytes, *, images: bool) -> dict[int, dict[int, int]]:
    """What the bytes of a delimiter line lead to.

    delimiter line = dash-boundary transport-padding CRLF / dash-boundary "--" transport-padding ( CRLF / end of input )
    """
    table: dict[int, dict[int, int]] = {
        Line.BOUNDARY: {0x2D: Line.DASH, 0x20: Line.PADDING, 0x09: Line.PADDING},
        Line.DASH: {0x2D: Line.CLOSE},
        Line.CLOSE: {0x20: Line.CLOSE, 0x09: Line.CLOSE},
        Line.PADDING: {0x20: Line.PADDING, 0x09: Line.PADDING},
    }
    if newline == LF:
        table[Line.BOUNDARY][0x0A] = table[Line.PADDING][0x0A] = Line.IS_DELIMITER
        table[Line.CLOSE][0x0A] = Line.IS_CLOSE_DELIMITER
    else:
        table[Line.BOUNDARY][0x0D] = table[Line.PADDING][0x0D] = Line.CR
        table[Line.CLOSE][0x0D] = Line.CLOSE_CR
        table[Line.CR] = {0x0A: Line.IS_DELIMITER}
        table[Line.CLOSE_CR] = {0x0A: Line.IS_CLOSE_DELIMITER}
    if images:
        state: int = Line.BOUNDARY
        for seen, letters in enumerate(zip(HEADER.lower(), HEADER.upper(), strict=True), 1):
            to: int = Line.IS_HEADER if seen == len(HEADER) else Line.HEADER + seen
            table.setdefault(state, {}).update(dict.fromkeys(letters, to))
            state = to
    return table


LINES = {(newline, images): _line_table(newline, images=images) for newline in (CRLF, LF) for images in (False, True)}
STANDARD_LINE = LINES[CRLF, False]


def read_line(rest: bytes, *, images: bool) -> Line | None:
    """What a whole line is, by what follows the dash-boundary on it; None for data. The tables, in one step."""
    padded = rest.rstrip(b" \t")
    if padded == b"":
        return Line.IS_DELIMITER
    if padded == b"--":
        return Line.IS_CLOSE_DELIMITER
    if images and rest[: len(HEADER)].lower() == HEADER.lower():
        return Line.IS_HEADER
    return None


# Longer lines of a preamble are skipped unread: they are no delimiter lines and no header lines.
_LONGEST = 8 * 1024

# What the parts of an image stream begin with. In any other text before the first delimiter, a preamble is meant.
_IMAGE_HEADER = re.compile(rb"(?:Content|X)-[A-Za-z0-9\-]++:", re.IGNORECASE).match


class Dialect(NamedTuple):
    """How a sender writes its delimiters."""

    dash_boundary: bytes
    newline: bytes
    """CRLF or LF, for the whole message."""
    closes: bool = False
    """The first delimiter was the close-delimiter."""
    header: bytes = b""
    """The header line that came with the delimiter, or instead of one."""
    forgiven: tuple[str, ...] = ()


class Opening:
    """The preamble, read line by line until one shows the dialect.

    :param boundary: the boundary parameter.
    :param images: the message is x-mixed-replace.
    """

    __slots__ = ("_blank", "_counted", "_dash_boundaries", "_images", "_line", "_newline", "_skipped", "_tail")

    def __init__(self, boundary: bytes, *, images: bool) -> None:
        self._dash_boundaries = [b"--" + boundary]
        if boundary.startswith(b"--"):
            self._dash_boundaries.append(boundary)
        self._images = images
        self._line = bytearray()
        self._skipped = 0  # bytes of the line beyond the longest that is looked at
        self._counted = 0  # bytes of the lines before
        self._newline = b""  # how the line before ended
        self._tail = b""  # the last two bytes that came
        self._blank = True  # no line had text yet

    @property
    def size(self) -> int:
        """Bytes that are known to be preamble. A line end may yet turn out to be a delimiter's."""
        if self._skipped:
            return self._counted + len(self._line) + self._skipped
        return self._counted - len(self._newline)

    def add(self, piece: bytes) -> Dialect | None:
        """Take bytes up to an LF, or all there are; the dialect, once a line shows it."""
        room = _LONGEST - len(self._line)
        self._line += piece[:room]
        self._skipped += max(0, len(piece) - room)
        self._tail = (self._tail + piece[-2:])[-2:]
        if not piece.endswith(LF):
            return None
        newline = CRLF if self._tail == CRLF else LF
        dialect = None if self._skipped else self._read(bytes(self._line[: -len(newline)]), newline)
        if dialect is None:
            self._count(newline)
        return dialect

    def end(self) -> Dialect | None:
        """The input has ended: the dialect, if it is a close-delimiter that was there last."""
        dialect = None if self._skipped else self._read(bytes(self._line), self._newline or CRLF)
        if dialect is not None and dialect.closes:
            return dialect
        self._count(b"")
        return None

    def _count(self, newline: bytes) -> None:
        self._counted += len(self._line) + self._skipped
        self._blank = self._blank and len(self._line) == len(newline)
        self._newline = newline
        self._line.clear()
        self._skipped = 0

    def _read(self, text: bytes, newline: bytes) -> Dialect | None:
        if newline == CRLF and self._newline == LF:
            return None  # the line before is of another style, so its line end is no delimiter's
        style = ("line-feed-only",) if newline == LF else ()
        for dash_boundary in self._dash_boundaries:
            if not text.startswith(dash_boundary):
                continue
            forgiven = style if dash_boundary is self._dash_boundaries[0] else (*style, "dashes-in-boundary")
            rest = text[len(dash_boundary) :]
            line = read_line(rest, images=self._images)
            if line is Line.IS_HEADER:
                return Dialect(dash_boundary, newline, False, rest + newline, (*forgiven, "header-on-delimiter-line"))
            if line is not None:
                return Dialect(dash_boundary, newline, line is Line.IS_CLOSE_DELIMITER, b"", forgiven)
        if self._images and self._blank and _IMAGE_HEADER(text):
            # Nothing has shown the dashes yet. "--b" stands in "----b" too, so that every delimiter is found.
            forgiven = (*style, "no-first-delimiter")
            return Dialect(self._dash_boundaries[-1], newline, False, text + newline, forgiven)
        return None


def may_begin(delimiter: bytes, dash_boundary: bytes, data: bytes, start: int) -> bool:
    """Whether what stands at ``start``, to the end of ``data``, is a delimiter with or without its line end, or may
    become one.
    """
    piece = data[start : start + len(delimiter)]
    return delimiter.startswith(piece) or dash_boundary.startswith(piece[: len(dash_boundary)])
