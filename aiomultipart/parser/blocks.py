"""Header blocks: where one ends, and the limits that hold for its bytes.

Mostly a block is here whole and so short that no limit can be passed. Any other is read line by line, so that each
limit is passed at one byte, however the block was cut.
"""

from __future__ import annotations

from typing import Final, NoReturn

from aiomultipart.exceptions import LimitExceeded
from aiomultipart.limits import bound

from .base import BaseParser, Emit
from .events import PartBegin
from .framing import CLOSE_DELIMITER, CRLF, DELIMITER, HEADER, LF, Framing

__all__ = ("HeaderBlocks",)

_BLANK_LINE: Final = CRLF + CRLF


class Held:
    """What was held back of the chunks so far, and how far it was read: the receive buffer."""

    __slots__ = ("data", "fields", "first", "line", "seen")

    # How many fields a header block that is read by line has so far
    fields: int

    def __init__(self, data: bytes) -> None:
        self.data: bytes = data
        self.first: bytes = b""  # what the preamble begins with, for an error
        self.seen: int = 0  # up to where nothing has to be searched again
        self.line: int = 0  # in a header block that is read by line: where the line in hand begins


class HeaderBlocks(BaseParser):
    """The steps of HEADERS that come before there is a part."""

    __slots__ = ("_framing", "_held")

    _framing: Framing
    _held: Held

    def _hold(self, data: bytes, position: int, seen: int) -> int:
        """Go on from ``position`` when more has come, and search from ``seen``."""
        self._held.data = data[position:]
        self._held.seen = seen - position
        return len(data)

    def _read_block(self, data: bytes, position: int, emit: Emit) -> tuple[bytes | None, int, int]:
        """Read a header block, from the line end of a delimiter line on.

        :return: the block, where it begins, and where its blank line ends; or None, and in the last how far it got.
        """
        framing, limits, held = self._framing, self.limits, self._held
        origin = position + 2
        # Mostly a block is no delimiter line, and so short that no limit can be passed.
        if framing.newline is CRLF and not held.line and (held.seen or not data.startswith(b"-", origin)):
            end = data.find(_BLANK_LINE, position + held.seen)
            size = (len(data) if end < 0 else end) - origin
            line, total, most = limits.max_header_line, limits.max_header_bytes, limits.max_headers
            if (
                (line is None or size <= line)
                and (total is None or size <= total)
                and (most is None or size < 3 * most or (end >= 0 and data.count(CRLF, origin, end) < most))
            ):
                if end < 0:
                    return None, 0, self._hold(data, position, len(data) - _begun(data[-3:]))
                held.seen = 0
                return data[origin:end], origin, end + len(_BLANK_LINE)
        return self._read_lines(data, position, emit)

    def _read_lines(self, data: bytes, position: int, emit: Emit) -> tuple[bytes | None, int, int]:
        """As :meth:`_read_block`, line by line."""
        framing, held = self._framing, self._held
        newline = framing.newline
        origin = position + len(newline)  # where the block begins
        line, seen, fields = origin, origin, 0
        if held.line:
            line, seen, fields = held.line, held.seen, held.fields
        held.line = held.seen = 0
        while True:
            end = data.find(newline, seen)
            if end < 0:
                end = len(data)
                if newline is CRLF and data.endswith(b"\r"):
                    end = max(line, end - 1)
                self._check_line(origin, line, end)
                held.line, held.fields = line - position, fields
                return None, 0, self._hold(data, position, end)
            if end == line:
                block = data[origin : max(origin, end - len(newline))]
                if newline is LF:
                    block = block.replace(LF, CRLF)
                return block, origin, end + len(newline)
            self._check_line(origin, line, end)
            if line == origin:
                kind, start = framing.whole_line(data[line:end])
                if kind is HEADER:
                    origin = line = seen = line + start
                    position = origin - len(newline)
                    self._forgive("header-on-delimiter-line", origin, None)
                    continue
                if kind is CLOSE_DELIMITER:
                    return None, 0, self._end(end + len(newline), emit)
                if kind is DELIMITER:
                    return None, 0, end
            if not data.startswith((b" ", b"\t"), line):
                fields += 1
                if fields > bound(self.limits.max_headers):
                    self._exceed_in_headers("max_headers", end)
            line = seen = end + len(newline)

    def _check_line(self, origin: int, start: int, end: int) -> None:
        """Hold the bounds on one header line and on the block; of two that are passed, the first counts."""
        line_end = start + bound(self.limits.max_header_line)
        block_end = origin + bound(self.limits.max_header_bytes)
        if start < end and end > min(line_end, block_end):
            limit = "max_header_line" if line_end <= block_end else "max_header_bytes"
            self._exceed_in_headers(limit, min(line_end, block_end))

    def _count(self, part: PartBegin, position: int) -> None:
        """Hold the limits on all parts of the message."""
        usage = self._usage
        usage[0] += 1
        usage[1] += len(part.raw)
        if usage[0] > bound(self.limits.max_parts):
            self._exceed_in_headers("max_parts", position, part.name)
        if usage[1] > bound(self.limits.max_total_header_bytes):
            self._exceed_in_headers("max_total_header_bytes", position, part.name)

    def _exceed_in_headers(self, limit: str, position: int, name: str | None = None) -> NoReturn:
        value: int = getattr(self.limits, limit)
        raise LimitExceeded(
            f"{'header block' if 'header' in limit else 'message'} passes {limit} of {value}",
            limit=limit,
            value=value,
            offset=self._offset + position,
            part_index=self._next_index,
            part_name=name,
        )

    @property
    def _next_index(self) -> int:
        return 0 if self.part is None else self.part.index + 1


def _begun(tail: bytes) -> int:
    """How many of the last three bytes of a header block may be of the blank line after it."""
    return 3 if tail == b"\r\n\r" else 2 if tail[-2:] == CRLF else tail[-1:] == b"\r"
