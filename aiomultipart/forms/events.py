"""What a form consists of: fields, each one event, and files, each its beginning, its bytes and its end."""

from __future__ import annotations

import sys
from typing import Final, NamedTuple, TypeAlias

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
    if type(entry) is Field:
        return _size_of(entry.name) + _size_of(entry.value) + _FIELD_OVERHEAD
    if isinstance(entry, PartBegin):
        return len(entry.raw) + _size_of(entry.name or "") + _size_of(entry.filename or "") + _FILE_OVERHEAD
    return 0


def _size_of(text: str) -> int:
    return len(text) if text.isascii() else sys.getsizeof(text)


def field_bound(limits: Limits) -> tuple[str, int]:
    """The tightest of the limits on one field, and its value. What does not fit into memory is not gathered either."""
    limit, most = "max_field_size", bound(limits.max_field_size)
    if limits.max_part_size is not None and limits.max_part_size < most:
        limit, most = "max_part_size", limits.max_part_size
    if limits.max_memory is not None and limits.max_memory < most:
        limit, most = "max_memory", limits.max_memory
    return limit, most


class Usage:
    """What the entries of one form take together.

    :ivar memory: in bytes; of files without their bodies.
    """

    def __init__(self, limits: Limits) -> None:
        self.memory = 0
        self._most = bound(limits.max_memory)

    def add(self, entry: Field | PartBegin) -> None:
        """Count a field, or a file that begins.

        :raises LimitExceeded: ``max_memory``.
        """
        self.memory += size_in_memory(entry)
        if self.memory > self._most:
            raise LimitExceeded(f"form passes max_memory of {self._most}", limit="max_memory", value=self._most)
