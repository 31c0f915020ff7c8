"""Where base64 that is handed out as it came may be cut (RFC 2045 section 6.8): between quartets, white space aside."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ("BLANKS", "at_most", "characters", "whole")

BLANKS: Final = b"\r\n \t"
"""What may stand between the characters."""
characters: Callable[[bytes, int], Iterator[re.Match[bytes]]] = re.compile(rb"[^\r\n \t]").finditer


def whole(data: bytes) -> bytes:
    """``data`` up to its last whole quartet."""
    extra = len(data.translate(None, BLANKS)) % 4
    end = len(data)
    while extra:
        end -= 1
        extra -= data[end] not in BLANKS
    return data[:end]


def at_most(size: int, data: bytes) -> bytes:
    """A quartet, without its white space if it is longer than ``size``."""
    return data if len(data) <= size else data.translate(None, BLANKS)
