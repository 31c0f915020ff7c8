"""File names made safe."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable, Iterator
from typing import Final

from aiomultipart.exceptions import RejectedPart

__all__ = ("numbered_names", "safe_filename")

_MAX_LENGTH: Final = 255  # bytes; what the common file systems take
_MAX_EXTENSION: Final = 32
# They turn text around, so that "exe.gpj" is shown as "jpg.exe" (Unicode Standard Annex 9).
_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RESERVED: Final = frozenset('<>"|?*/\\:')
_JOINERS: Final = frozenset("\u200c\u200d")  # Persian and emoji are spelled with them
_DEVICES: Final = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
    + [f"{device}{digit}" for device in ("COM", "LPT") for digit in "0123456789¹²³"]
)


def safe_filename(name: str, *, max_length: int = _MAX_LENGTH, replacement: str = "_") -> str:
    """A name for a file, made of one that was received: one component of a path, on any platform.

    Directories are dropped, whichever separator they are written with, and so are dots and spaces at both ends. What
    is left is in NFC. Control characters, unpaired surrogates and ``<>"|?*`` are replaced; letters of all scripts stay.
    What would begin with ``-`` or ``~``, which shells and programs take for more than a name, begins with ``_``.
    A long name is cut before its extension. A safe name gives itself.

    It may well be taken; :class:`DirectoryTarget` can number it.

    :param name: as received.
    :param max_length: in bytes of UTF-8.
    :param replacement: for each character that is replaced; may be empty.
    :return: the name.
    :raises RejectedPart: nothing is left, or the name is that of a device on Windows (``NUL``, ``com1.txt``), has a
        colon in it (a stream of NTFS, or a drive) or characters that change the direction of text. It is a
        ``ValueError`` too.
    :raises ValueError: ``max_length`` is less than 1, or ``replacement`` not safe itself.
    """
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, not {max_length}")
    if any(_is_unsafe(character) or character in _BIDI or character in ". " for character in replacement):
        raise ValueError(f"replacement {replacement!r} is not safe itself")
    base = name.replace("\\", "/").rpartition("/")[2]
    if not _BIDI.isdisjoint(base):
        raise RejectedPart(
            f"file name {name!r} has characters that change the direction of text", code="unsafe-filename"
        )
    if ":" in base:
        raise RejectedPart(f"file name {name!r} names a drive or a stream", code="unsafe-filename")
    if not base.isprintable() or not _RESERVED.isdisjoint(base):
        base = "".join([replacement if _is_unsafe(character) else character for character in base])
    # The time that NFC takes is quadratic in the number of marks on one letter, so a long name is cut first. Nothing
    # becomes unsafe by NFC.
    stem, extension = _split(_strip(base))
    base = _strip(unicodedata.normalize("NFC", stem[:max_length] + extension))
    if base.startswith(("-", "~")):
        base = "_" + base
    base = _cut(base, max_length)
    if not base:
        raise RejectedPart(f"nothing is left of file name {name!r}", code="unsafe-filename")
    if base.partition(".")[0].rstrip().upper() in _DEVICES:
        raise RejectedPart(f"file name {name!r} is that of a device", code="unsafe-filename")
    return base


def _is_unsafe(character: str) -> bool:
    if character in _RESERVED:
        return True
    if character in _JOINERS:
        return False
    # Cc: control; Cf: invisible; Cs: unpaired surrogates; Zl, Zp: separators of lines and paragraphs
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}


def _strip(name: str) -> str:
    start, end = 0, len(name)
    while start < end and (name[start] == "." or name[start].isspace()):
        start += 1
    while start < end and (name[end - 1] == "." or name[end - 1].isspace()):
        end -= 1
    return name[start:end]


def _cut(name: str, most: int, suffix: str = "") -> str:
    """At most ``most`` bytes, with ``suffix`` before the extension."""
    stem, extension = _split(name)
    stem = _first_bytes(stem, most - len((suffix + extension).encode()))
    if not stem:  # there is room for the extension only, or not even that
        stem, extension = _first_bytes(name, most - len(suffix)), ""
    return stem + suffix + extension


def _first_bytes(text: str, room: int) -> str:
    encoded = text.encode()
    return text if len(encoded) <= room else _strip(encoded[: max(room, 0)].decode(errors="ignore"))


def _split(name: str) -> tuple[str, str]:
    """Stem and extension, with its dot; none when it is so long that it is not one."""
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > _MAX_EXTENSION:
        return name, ""
    return stem, dot + extension


def numbered_names(name: str, is_taken: Callable[[str], bool]) -> Iterator[str]:
    """``name``, then the same with a number before its extension, none of them too long.

    :param is_taken: whether a file has a name. It is asked to find the first number; where there is no gap in those
        that are taken, few questions are enough, and it is the smallest.
    """

    def numbered(number: int) -> str:
        return _cut(name, _MAX_LENGTH, f"-{number}")

    yield name
    taken, free = 0, 1
    while is_taken(numbered(free)):
        taken, free = free, 2 * free
    while free - taken > 1:
        middle = (taken + free) // 2
        if is_taken(numbered(middle)):
            taken = middle
        else:
            free = middle
    yield from map(numbered, itertools.count(free))
