"""The accelerator, or None: not every installation has it, and ``AIOMULTIPART_NO_EXTENSIONS=1`` turns it off."""

from __future__ import annotations

import binascii
import functools
import os
import struct
from collections.abc import Callable
from typing import Any

__all__ = ("accelerator", "base64_lines", "find")

# Any: a module that may be None has no other type.
accelerator: Any = None
if not os.environ.get("AIOMULTIPART_NO_EXTENSIONS"):
    try:
        from . import _accelerator as accelerator
    except ImportError:  # pragma: no cover - a process of its own has none
        accelerator = None


def find(data: bytes, needle: bytes, start: int = 0) -> int:
    """Where ``needle`` begins in ``data`` from ``start`` on, or -1.

    The first byte of ``needle``, which has at least two, must not be in it again: that is so of a delimiter, and makes
    the search of the accelerator linear.
    """
    return data.find(needle, start)


def base64_lines(octets: bytes) -> bytes:
    """Base64 in lines of 76 characters (RFC 2045 section 6.8), each with its CRLF.

    :param octets: 57 for each line.
    """
    text = binascii.b2a_base64(octets, newline=False)
    # What is behind the last line, nothing, gives it its CRLF.
    return b"\r\n".join((*_cut(len(text) // 76)(text), b""))


@functools.lru_cache(maxsize=8)
def _cut(count: int) -> Callable[[bytes], tuple[bytes, ...]]:
    """What cuts text into so many lines of 76 characters; in half the time that slices take."""
    return struct.Struct("76s" * count).unpack


if accelerator is not None:  # pragma: no branch
    find = accelerator.find
    base64_lines = accelerator.base64_lines
