"""What a form consists of: fields, each one event, and files, each its beginning, its bytes and its end."""

from __future__ import annotations

import sys
from typing import Final, NamedTuple, NoReturn, TypeAlias

from aiomultipart.exceptions import LimitExceeded
from aiomultipart.limits import Limits, bound
from aiomultipart.parser import Mark, PartBegin

__all__ = ("Field", "FormEvent", "Usage", "field_bound", "size_in_memory")

# What an entry of a form takes besides its text: objects, and a place in a multidict.
_FIELD_OVERHEAD: Final = 200
_FILE_OVERHEAD: Final = 1500


class Field(NamedTuple):
    """A field of a form that is no file.

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


def size_in_memory(entry: Field | PartBegin) -> int:
    """What is held of a field, or of a file besides its bytes; text with one wide character takes four times its own.

    :return: in bytes.
    """
    if isinstance(entry, PartBegin):
        texts = (entry.name or "", entry.filename or "")
        return len(entry.raw) + sum(map(sys.getsizeof, texts)) + _FILE_OVERHEAD
    name, value = entry.name, entry.value
    if name.isascii() and value.isascii():
        return len(name) + len(value) + _FIELD_OVERHEAD
    return sum(len(text) if text.isascii() else sys.getsizeof(text) for text in (name, value)) + _FIELD_OVERHEAD


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
    :ivar files: how many have begun.
    """

    __slots__ = ("_fields", "_limits", "_most_fields", "_most_memory", "files", "memory")

    def __init__(self, limits: Limits) -> None:
        self.memory = self._fields = self.files = 0
        self._limits = limits
        self._most_fields = bound(limits.max_fields)
        self._most_memory = bound(limits.max_memory)

    def add_field(self, field: Field) -> None:
        """Count a field.

        :raises LimitExceeded: ``max_fields``, ``max_memory``.
        """
        self._fields += 1
        if self._fields > self._most_fields:
            self._exceed("max_fields", self._most_fields)
        self.memory += size_in_memory(field)
        if self.memory > self._most_memory:
            self._exceed("max_memory", self._most_memory)

    def add_file(self, part: PartBegin) -> None:
        """Count a file that begins.

        :raises LimitExceeded: ``max_files``, ``max_memory``.
        """
        self.files += 1
        if self.files > bound(self._limits.max_files):
            self._exceed("max_files", bound(self._limits.max_files))
        self.memory += size_in_memory(part)
        if self.memory > self._most_memory:
            self._exceed("max_memory", self._most_memory)

    def _exceed(self, limit: str, most: int) -> NoReturn:
        raise LimitExceeded(f"form passes {limit} of {most}", limit=limit, value=most)
