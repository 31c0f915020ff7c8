"""What a form consists of: fields, each one event, and files, each its beginning, its bytes and its end."""

from __future__ import annotations

import dataclasses
import sys
from typing import Final, NoReturn, TypeAlias

from aiomultipart.exceptions import LimitExceeded
from aiomultipart.limits import Limits, bound
from aiomultipart.parser import Mark, PartBegin

__all__ = ("Field", "FormEvent", "Usage", "field_bound", "size_of_field", "size_of_file")

# What an entry of a form takes besides its text: objects, and a place in a multidict.
_FIELD_OVERHEAD: Final = 200
_FILE_OVERHEAD: Final = 1500


@dataclasses.dataclass(slots=True)
class Field:
    """A field of a form that is no file. Read-only.

    :ivar name: of the field.
    :ivar value: as text.
    :ivar raw: the value as bytes, transfer encoding and percent-encoding undone.
    :ivar part: the part that it came in; None in a urlencoded form.
    """

    name: str
    value: str
    raw: bytes
    part: PartBegin | None


FormEvent: TypeAlias = Field | PartBegin | bytes | Mark
"""A field; the beginning of a file, bytes of it, or ``PART_END``; ``END``."""


def size_of_field(name: str, value: str) -> int:
    """What is held of a field, in bytes; text with one wide character takes four times its own."""
    if name.isascii() and value.isascii():
        return len(name) + len(value) + _FIELD_OVERHEAD
    return sum(len(text) if text.isascii() else sys.getsizeof(text) for text in (name, value)) + _FIELD_OVERHEAD


def size_of_file(part: PartBegin) -> int:
    """What is held of a file besides its bytes, in bytes."""
    texts = (part.name or "", part.filename or "")
    return len(part.raw) + sum(map(sys.getsizeof, texts)) + _FILE_OVERHEAD


def field_bound(limits: Limits) -> tuple[str, int]:
    """The tightest of the limits on one field, and its value. What does not fit into memory is not gathered either."""
    limit, most = "max_field_size", bound(limits.max_field_size)
    if limits.max_part_size is not None and limits.max_part_size < most:
        limit, most = "max_part_size", limits.max_part_size
    if limits.max_memory is not None and limits.max_memory < most:
        limit, most = "max_memory", limits.max_memory
    return limit, most


class Usage:
    """What the entries of one form take together, and how many they are.

    :ivar memory: in bytes; of files without their bodies.
    :ivar fields: how many there are.
    :ivar files: how many have begun.
    """

    __slots__ = ("_most_fields", "_most_files", "_most_memory", "fields", "files", "memory")

    def __init__(self, limits: Limits) -> None:
        self.memory: int = 0
        self.fields: int = 0
        self.files: int = 0
        self._most_memory = bound(limits.max_memory)
        self._most_fields = bound(limits.max_fields)
        self._most_files = bound(limits.max_files)

    def add_field(self, field: Field) -> None:
        """Count a field.

        :raises LimitExceeded: ``max_fields``, ``max_memory``.
        """
        self.fields += 1
        self.memory = memory = self.memory + size_of_field(field.name, field.value)
        if memory > self._most_memory or self.fields > self._most_fields:
            self._exceed("max_fields", self.fields, self._most_fields)

    def add_file(self, part: PartBegin) -> None:
        """Count a file that begins.

        :raises LimitExceeded: ``max_files``, ``max_memory``.
        """
        self.files += 1
        self.memory += size_of_file(part)
        if self.memory > self._most_memory or self.files > self._most_files:
            self._exceed("max_files", self.files, self._most_files)

    def _exceed(self, limit: str, count: int, most: int) -> NoReturn:
        if count <= most:
            limit, most = "max_memory", self._most_memory
        raise LimitExceeded(f"form passes {limit} of {most}", limit=limit, value=most)
