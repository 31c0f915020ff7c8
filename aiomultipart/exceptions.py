"""The errors of aiomultipart: one family for bad input, and two classes for misuse.

Whatever arrives off the wire ends in a result or in a :exc:`MultipartError`. What a caller does wrong (two tasks in one
reader, a part read after the reader moved on) is a :exc:`StateError`, which is no ``MultipartError``, so that a server
answering 400 to bad input does not hide a fault of its own. Nor is what a caller cannot send, which is a plain
``ValueError`` or ``TypeError``, and for an unknown coding or charset :exc:`UnsupportedEncoding`.
"""

from __future__ import annotations

import copy
from typing import ClassVar, Self

__all__ = (
    "CodecError",
    "IncompleteBody",
    "LimitExceeded",
    "MultipartError",
    "ParseError",
    "RejectedPart",
    "StateError",
    "UnknownEncoding",
    "UnsupportedEncoding",
)


class MultipartError(ValueError):
    """Root of everything that bad input can raise.

    :ivar message: what was wrong, without the place.
    :ivar offset: where, in bytes from the start of the multipart body being parsed (of the nested one for a nested
        body); None where no offset applies.
    :ivar part_index: index of the body part concerned, from 0, within its multipart body; None outside a part.
    :ivar part_name: the part's ``name`` parameter, if it has one.
    :cvar http_status: the status a server would answer with.
    """

    http_status: ClassVar[int] = 400

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        offset: int | None = None,
        part_index: int | None = None,
        part_name: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.offset = offset
        self.part_index = part_index
        self.part_name = part_name

    def __str__(self) -> str:
        where = []
        if self.offset is not None:
            where.append(f"at byte {self.offset}")
        if self.part_index is not None:
            name = "" if self.part_name is None else f" ({self.part_name!r})"
            where.append(f"in part {self.part_index}{name}")
        return f"{self.message} [{', '.join(where)}]" if where else self.message

    def fresh(self) -> Self:
        """The same error without traceback, context or cause, to be raised again."""
        return copy.copy(self)


class ParseError(MultipartError):
    """The bytes, or a header, break the grammar (RFC 2046, 2045, 7578, 9110) as the policy in force reads it."""


class UnsupportedMediaType(ParseError):
    """415"""

    http_status = 415


class IncompleteBody(MultipartError):
    """The input ended before the close-delimiter (RFC 2046 section 5.1.1)."""


class LimitExceeded(MultipartError):
    """A bound of :class:`~aiomultipart.Limits` was passed, or one that was given to a target.

    :ivar limit: name of the field of ``Limits``, or of the target's parameter.
    :ivar value: its value.
    """

    http_status = 413

    def __init__(
        self,
        message: str,
        *,
        limit: str = "",
        value: int | None = None,
        offset: int | None = None,
        part_index: int | None = None,
        part_name: str | None = None,
    ) -> None:
        super().__init__(message, offset=offset, part_index=part_index, part_name=part_name)
        self.limit = limit
        self.value = value


class CodecError(MultipartError):
    """A body does not decode: bad base64, damaged or cut-short gzip, text that is not in its charset, bad JSON."""


class UnknownEncoding(MultipartError, RuntimeError):
    """A content coding, transfer encoding or charset that this library cannot undo (or whose extra is missing)."""

    http_status = 415


class UnsupportedEncoding(ValueError, RuntimeError):
    """The caller's mistake: something is to be sent in a charset or coding that cannot be applied (extra missing)."""


class RejectedPart(MultipartError):
    """The application does not take this part: its Content-Type, its content, its file name, or one too many."""

    http_status = 415


class StateError(RuntimeError):
    """The caller's mistake: two tasks in one reader, a part read after the reader moved on, use after close."""
