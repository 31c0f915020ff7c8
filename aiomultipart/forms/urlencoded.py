"""application/x-www-form-urlencoded (WHATWG URL): pairs between "&", "+" for a space, percent-encoding.

A pair that is not complete is held, and bounded meanwhile: as long as it is not decoded, three of its bytes may stand
for one.
"""

from __future__ import annotations

from typing import NoReturn
from urllib.parse import unquote_to_bytes

from aiomultipart.exceptions import IncompleteBody, LimitExceeded, MultipartError
from aiomultipart.grammar.charsets import decode_text, lookup_charset
from aiomultipart.limits import Limits, bound
from aiomultipart.parser import END, Defect
from aiomultipart.policy import Policy

from .events import Field, FormEvent, Usage, field_bound

__all__ = ("UrlencodedForm",)


class UrlencodedForm:
    """The pairs of one form.

    :param charset: its name, as the Content-Type has it.
    :param length: the Content-Length; None where there is none.
    :ivar events: what is complete; whoever takes them leaves an empty list.
    :ivar defects: what the policy has forgiven.
    """

    def __init__(
        self,
        charset: str,
        limits: Limits,
        policy: Policy,
        length: int | None,
    ) -> None:
        self.events: list[FormEvent] = []
        self.defects: list[Defect] = []
        self._charset = charset
        self._limits = limits
        self._policy = policy
        self._length = length
        self.usage: Usage = Usage(limits)
        self._field_bound = field_bound(limits)
        self._received = 0  # bytes
        self._pairs = 0
        # The pair that is not complete: its bytes so far, and where its name ends
        self._rest = bytearray()
        self._name_end = -1
        self._offset = 0  # of the pair in hand
        self._pair: bytes | bytearray = b""  # it, for an error to name

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        data = bytes(data)
        room = bound(self._limits.max_total_size) - self._received
        self._split(data[:room] if len(data) > room else data)
        self._received += min(len(data), room)
        if len(data) > room:
            most = self._received
            raise LimitExceeded(
                f"form passes max_total_size of {most}", limit="max_total_size", value=most, offset=most
            )

    def close(self) -> None:
        """The input has ended."""
        if self._length is not None and self._received < self._length:
            what = f"input ended before the {self._length} bytes of Content-Length"
            raise IncompleteBody(what, code="body-cut-short", offset=self._received)
        self._add(bytes(self._rest))
        self._rest.clear()
        self.events.append(END)

    def locate(self, error: MultipartError) -> None:
        """Have ``error`` say where the pair in hand began, which it is, and its name."""
        error.offset, error.part_index = self._offset, self._pairs
        name, equals, _ = self._pair.partition(b"=")
        if equals and len(name) <= bound(self._limits.max_header_line):
            charset = lookup_charset(self._charset) or "utf-8"
            error.part_name = unquote_to_bytes(bytes(name).replace(b"+", b" ")).decode(charset, "replace")

    def _split(self, data: bytes) -> None:
        start = 0
        while (end := data.find(b"&", start)) >= 0:
            pair = bytes(self._rest) + data[start:end]
            self._rest.clear()
            self._name_end = -1
            self._add(pair)
            self._offset += len(pair) + 1
            start = end + 1
        if self._name_end < 0 and (found := data.find(b"=", start)) >= 0:
            self._name_end = len(self._rest) + found - start
        self._rest += data[start:]
        self._pair = self._rest
        self._check(len(self._rest), self._name_end, 3)

    def _check(self, size: int, name_end: int, factor: int) -> None:
        """Hold the bounds on a pair; ``factor`` bytes of it may stand for one."""
        name_size = size if name_end < 0 else name_end
        most = bound(self._limits.max_header_line)
        if name_size > factor * most:
            self._exceed("name", "max_header_line", most)
        limit, most = self._field_bound
        if size - name_size - 1 > factor * most:
            self._exceed("field", limit, most)

    def _exceed(self, what: str, limit: str, most: int) -> NoReturn:
        raise LimitExceeded(f"{what} passes {limit} of {most}", limit=limit, value=most)

    def _add(self, pair: bytes) -> None:
        if not pair:
            return
        self._pair = pair
        self._check(len(pair), pair.find(b"="), 3)
        name, _, value = (unquote_to_bytes(piece) for piece in pair.replace(b"+", b" ").partition(b"="))
        self._check(len(name) + 1 + len(value), len(name), 1)
        most = bound(self._limits.max_parts)
        if self._pairs >= most:
            self._exceed("form", "max_parts", most)
        field = Field(self._text(name), self._text(value), value, None)
        self.usage.add_field(field)
        self.events.append(field)
        self._pairs += 1

    def _text(self, data: bytes) -> str:
        text, kind = decode_text(data, self._charset, policy=self._policy)
        if kind is not None and (defect := Defect(kind, None, None)) not in self.defects:
            self.defects.append(defect)
        return text
