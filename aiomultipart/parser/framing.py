r"""What delimits parts (RFC 2046 section 5.1.1), and how devices write it::

    delimiter      = CRLF "--" boundary
    delimiter line = delimiter transport-padding CRLF
    close line     = delimiter "--" transport-padding ( CRLF / end of input )

Rules of this module:

* A :class:`Framing` says where the next delimiter is, what the rest of its line makes of it, and from where on the end
  of a chunk may be a delimiter that was cut. It is chosen once for a message, and knows nothing of parts.
* There is one CR in a delimiter, at its start: the end of a chunk can be the beginning of one delimiter at most, and
  what has turned out to be none holds no other.
* LENIENT reads more. The first delimiter line shows how this sender writes them (:class:`Opening`): whether the
  boundary parameter holds the two dashes already (never guessed: both are looked for), and whether lines end in CRLF
  or in LF alone. In a stream of images (x-mixed-replace) the first delimiter may be missing, a header may follow a
  delimiter on its line, and the line end before a delimiter may be missing (:class:`ImageFraming`).
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

__all__ = (
    "CLOSE_DELIMITER",
    "CRLF",
    "CUT",
    "DATA",
    "DELIMITER",
    "HEADER",
    "LF",
    "Framing",
    "ImageFraming",
    "Line",
    "LineFeedFraming",
    "Opened",
    "Opening",
)

CRLF: Final = b"\r\n"
LF: Final = b"\n"
_HEADER = b"content-"  # what a header that follows a boundary on its line begins with, in any case
_PADDING = re.compile(rb"[ \t]*+").match
_CANDIDATE = re.compile(rb"[\r\n-]").finditer


class Line(enum.Enum):
    """What follows a boundary on its line."""

    DELIMITER = enum.auto()
    CLOSE_DELIMITER = enum.auto()
    HEADER = enum.auto()
    """A header field; only to LENIENT, in image streams."""
    DATA = enum.auto()
    """What makes it no delimiter."""
    CUT = enum.auto()
    """Too little to tell."""


DELIMITER: Final = Line.DELIMITER
CLOSE_DELIMITER: Final = Line.CLOSE_DELIMITER
HEADER: Final = Line.HEADER
DATA: Final = Line.DATA
CUT: Final = Line.CUT


class Framing:
    """Delimiters on lines of their own.

    :param dash_boundary: two dashes and the boundary.
    :param newline: CRLF or LF, for the whole message.
    """

    __slots__ = ("dash_boundary", "delimiter")

    newline = CRLF
    is_plain = True  # whether find() is no more than bytes.find()
    # So much of the line end before a body may belong to a delimiter: "--b" after a blank line ends an empty part.
    shared = 2

    def __init__(self, dash_boundary: bytes) -> None:
        self.dash_boundary: bytes = dash_boundary
        self.delimiter: bytes = self.newline + dash_boundary

    def find(self, data: bytes, start: int, stop: int, held: int) -> tuple[int, int]:
        """Look for a delimiter in data[start:stop].

        :param held: up to where ``data`` was looked at before.
        :return: where it begins, and where its boundary ends; if there is none, from where on the data may be the
            beginning of one, ``stop`` if none of it is, and -1.
        """
        delimiter = self.delimiter
        size = len(delimiter)
        if held and stop < size:
            return 0, -1  # may_go_on() has seen that
        found = data.find(delimiter, start, stop)
        if found >= 0:
            return found, found + size
        return self.hold(data, start, stop), -1

    def hold(self, data: bytes, start: int, stop: int) -> int:
        """From where data[start:stop], in which no delimiter is, may begin one; ``stop`` if none of it does."""
        delimiter = self.delimiter
        tail = stop - len(delimiter) + 1
        if tail < start:  # noqa: PLR1730 - max() takes three times as long, for each chunk
            tail = start
        cut = data.rfind(delimiter[:1], tail, stop)
        return cut if cut >= 0 and delimiter.startswith(data[cut:stop]) else stop

    def may_go_on(self, held: bytes, data: bytes) -> bool:
        """Whether what was held back, a part of a delimiter, may be one when ``data`` follows."""
        rest = self.delimiter[len(held) :]
        return rest.startswith(data[: len(rest)])

    def boundary_end(self, line: bytes) -> int:
        """Where the boundary ends in a line that begins with a delimiter, or with a part of one."""
        return len(self.delimiter)

    def read_line(self, data: bytes, start: int, seen: int, stop: int) -> tuple[Line, int]:
        """What data[start:stop], after a boundary, makes of its line.

        :param seen: up to where a cut line was read before; ``start`` for one that was not.
        :return: the second is where the line ends; for data, the byte that shows it; for what is cut, where to go on.
        """
        close = data.startswith(b"--", start, stop)
        padding = _PADDING(data, max(seen, start + 2 if close else start), stop)
        end = stop if padding is None else padding.end()
        if data.startswith(self.newline, end, stop):
            return (CLOSE_DELIMITER if close else DELIMITER), end + len(self.newline)
        wrong = end
        # Half of "--", or of CRLF
        if (end == start and data.startswith(b"-", end, stop)) or (
            self.newline == CRLF and data.startswith(b"\r", end, stop)
        ):
            wrong += 1
        return (CUT, end) if wrong == stop else (DATA, wrong)

    def whole_line(self, line: bytes) -> tuple[Line, int]:
        """What a line without its line end is, and where its boundary ends."""
        start = len(self.dash_boundary)
        if not line.startswith(self.dash_boundary):
            return DATA, start
        padding = line[start:].rstrip(b" \t")
        return DELIMITER if padding == b"" else CLOSE_DELIMITER if padding == b"--" else DATA, start


class LineFeedFraming(Framing):
    """Delimiters on lines that end in LF alone."""

    __slots__ = ()

    newline = LF
    is_plain = False
    shared = 1


class ImageFraming(Framing):
    """Delimiters that may do without the line end before them, and have a header after them on their line."""

    __slots__ = ("newline",)

    is_plain = False
    shared = 0

    def __init__(self, dash_boundary: bytes, newline: bytes) -> None:
        self.newline: bytes = newline
        super().__init__(dash_boundary)

    def find(self, data: bytes, start: int, stop: int, held: int) -> tuple[int, int]:
        """With or without the line end before it."""
        dash_boundary, newline = self.dash_boundary, self.newline
        # What was held back is not searched again: a delimiter begins in it, or has not come whole yet, or does not.
        position = start
        while position < held and not self._may_begin(data, position, stop):
            position += 1
        if position < held:
            found = position if data.startswith(dash_boundary, position, stop) else position + len(newline)
            found = found if data.startswith(dash_boundary, found, stop) else -1
        else:
            found = data.find(dash_boundary, position, stop)
        if found >= 0:
            begin = found - len(newline) if data.endswith(newline, start, found) else found
            return begin, found + len(dash_boundary)
        for candidate in _CANDIDATE(data, max(position, stop - len(self.delimiter) + 1), stop):
            if self._may_begin(data, candidate.start(), stop):
                return candidate.start(), -1
        return stop, -1

    def _may_begin(self, data: bytes, start: int, stop: int) -> bool:
        """Whether data[start:stop] begins with a delimiter, with or without its line end, or may become one."""
        piece = data[start : min(stop, start + len(self.delimiter))]
        return self.delimiter.startswith(piece) or self.dash_boundary.startswith(piece[: len(self.dash_boundary)])

    def may_go_on(self, held: bytes, data: bytes) -> bool:
        """Left to :meth:`find`."""
        return True

    def boundary_end(self, line: bytes) -> int:
        """The line may begin with the dashes."""
        return len(self.delimiter if line.startswith(self.newline) else self.dash_boundary)

    def read_line(self, data: bytes, start: int, seen: int, stop: int) -> tuple[Line, int]:
        """A header may follow."""
        letters = 0
        for sent, letter in zip(data[start : min(stop, start + len(_HEADER))].lower(), _HEADER, strict=False):
            if sent != letter:
                break
            letters += 1
        if letters == 0:
            return super().read_line(data, start, seen, stop)
        end = start + letters
        if letters == len(_HEADER):
            return HEADER, end
        return (CUT, start) if end == stop else (DATA, end)

    def whole_line(self, line: bytes) -> tuple[Line, int]:
        """A header may follow."""
        kind, start = super().whole_line(line)
        if kind is DATA and line.startswith(self.dash_boundary) and line[start:].lower().startswith(_HEADER):
            kind = HEADER
        return kind, start


# Longer lines of a preamble are skipped unread: they are no delimiter lines and no header lines.
_LONGEST = 8 * 1024

# What the parts of an image stream begin with. In any other text before the first delimiter, a preamble is meant.
_IMAGE_HEADER = re.compile(rb"(?:Content|X)-[A-Za-z0-9\-]++:", re.IGNORECASE).match


class Opened(NamedTuple):
    """What the first delimiter line showed."""

    framing: Framing
    closes: bool = False
    """It was the close-delimiter."""
    header: bytes = b""
    """The header line that came with the delimiter, or instead of one."""
    forgiven: tuple[str, ...] = ()


class Opening:
    """The preamble, read line by line until one shows how this sender writes delimiters; to LENIENT alone.

    :param boundary: the boundary parameter.
    :param dashes: it may hold the two dashes already.
    :param images: the message is x-mixed-replace.
    """

    __slots__ = ("_blank", "_counted", "_dash_boundaries", "_images", "_line", "_newline", "_skipped", "_tail")

    def __init__(self, boundary: bytes, *, dashes: bool, images: bool) -> None:
        self._dash_boundaries = [b"--" + boundary]
        if dashes and boundary.startswith(b"--"):
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

    def add(self, piece: bytes) -> Opened | None:
        """Take bytes up to an LF, or all there are; what a line has shown, once one has."""
        room = _LONGEST - len(self._line)
        self._line += piece[:room]
        self._skipped += max(0, len(piece) - room)
        self._tail = (self._tail + piece[-2:])[-2:]
        if not piece.endswith(LF):
            return None
        newline = CRLF if self._tail == CRLF else LF
        opened = None if self._skipped else self._read(bytes(self._line[: -len(newline)]), newline)
        if opened is None:
            self._count(newline)
        return opened

    def end(self) -> Opened | None:
        """The input has ended: what its last line has shown, if that is a close-delimiter."""
        opened = None if self._skipped else self._read(bytes(self._line), self._newline or CRLF)
        if opened is not None and opened.closes:
            return opened
        self._count(b"")
        return None

    def _count(self, newline: bytes) -> None:
        self._counted += len(self._line) + self._skipped
        self._blank = self._blank and len(self._line) == len(newline)
        self._newline = newline
        self._line.clear()
        self._skipped = 0

    def _framing(self, dash_boundary: bytes, newline: bytes) -> Framing:
        if self._images:
            return ImageFraming(dash_boundary, newline)
        return (Framing if newline == CRLF else LineFeedFraming)(dash_boundary)

    def _read(self, text: bytes, newline: bytes) -> Opened | None:
        if newline == CRLF and self._newline == LF:
            return None  # the line before is of another style, so its line end is no delimiter's
        style = ("line-feed-only",) if newline == LF else ()
        for dash_boundary in self._dash_boundaries:
            framing = self._framing(dash_boundary, newline)
            kind, start = framing.whole_line(text)
            if kind is DATA:
                continue
            forgiven = style if dash_boundary is self._dash_boundaries[0] else (*style, "dashes-in-boundary")
            if kind is HEADER:
                return Opened(framing, False, text[start:] + newline, (*forgiven, "header-on-delimiter-line"))
            return Opened(framing, kind is CLOSE_DELIMITER, b"", forgiven)
        if self._images and self._blank and _IMAGE_HEADER(text):
            # Nothing has shown the dashes yet. "--b" stands in "----b" too, so that every delimiter is found.
            framing = self._framing(self._dash_boundaries[-1], newline)
            return Opened(framing, False, text + newline, (*style, "no-first-delimiter"))
        return None
