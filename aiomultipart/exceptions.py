"""The errors of aiomultipart: one family for bad input, and two classes for misuse.

Whatever arrives off the wire ends in a result or in a :exc:`MultipartError`. What a caller does wrong (two tasks in one
reader, a part read after the reader moved on) is a :exc:`StateError`, which is no ``MultipartError``, so that a server
answering 400 to bad input does not hide a fault of its own. Nor is what a caller cannot send, which is a plain
``ValueError`` or ``TypeError``, and for an unknown coding or charset :exc:`UnsupportedEncoding`.

Each ``MultipartError`` has a ``code``, given where it is raised; ``docs/reference/exceptions`` lists them all.
"""

from __future__ import annotations

import copy
from http import HTTPStatus
from typing import ClassVar, Self

__all__ = (
    "CodecError",
    "FieldError",
    "IncompleteBody",
    "LimitExceeded",
    "MultipartError",
    "ParseError",
    "RangeNotSatisfiable",
    "RejectedPart",
    "StateError",
    "UnknownEncoding",
    "UnsupportedEncoding",
    "UnsupportedMediaType",
)


class MultipartError(ValueError):
    """Root of everything that bad input can raise.

    :ivar message: what was wrong, without the place.
    :ivar code: what was wrong, in a short word with dashes that stays the same, for programs to compare.
    :ivar offset: where, in bytes from the start of the multipart body being parsed (of the nested one for a nested
        body); None where no offset applies.
    :ivar part_index: index of the body part concerned, from 0, within its multipart body; None outside a part.
    :ivar part_name: the part's ``name`` parameter, if it has one.
    :cvar http_status: the status a server would answer with, one of :class:`http.HTTPStatus`.
    """

    http_status: ClassVar[int] = 400
    code: str = "bad-input"

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
        self.message = message
        if code is not None:
            self.code = code
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

    def to_problem(self) -> dict[str, object]:
        """The error as problem details (RFC 9457), to be answered as ``application/problem+json``.

        :return: ``type`` (``about:blank``), ``title`` (the phrase of the status), ``status``, ``detail`` (the error as
            a string) and ``code``; where they are known ``offset``, ``part_index`` and ``part_name``, and of a
            :exc:`LimitExceeded` ``limit`` and ``value``. Strings and integers only.
        """
        problem: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(self.http_status).phrase,
            "status": int(self.http_status),
            "detail": str(self),
            "code": self.code,
        }
        known = {"offset": self.offset, "part_index": self.part_index, "part_name": self.part_name}
        return problem | {name: value for name, value in known.items() if value is not None}


class ParseError(MultipartError):
    """The bytes, or a header, break the grammar (RFC 2046, 2045, 7578, 9110) as the policy in force reads it."""

    code = "bad-syntax"


class UnsupportedMediaType(ParseError):
    """The Content-Type is none that is read here: not multipart, or none of a form. The message says what is."""

    http_status = 415
    code = "unsupported-media-type"


class IncompleteBody(MultipartError):
    """The input ended before the close-delimiter (RFC 2046 section 5.1.1), or before its announced length."""

    code = "no-close-delimiter"


class LimitExceeded(MultipartError):
    """A bound of :class:`~aiomultipart.Limits` was passed, or one that was given to a target.

    Its ``code`` is the name of the limit, with dashes: ``max-part-size``.

    :ivar limit: name of the field of ``Limits``, or of the target's parameter.
    :ivar value: its value.
    """

    http_status = 413
    code = "limit-exceeded"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        limit: str = "",
        value: int | None = None,
        offset: int | None = None,
        part_index: int | None = None,
        part_name: str | None = None,
    ) -> None:
        code = code or limit.replace("_", "-") or None
        super().__init__(message, code=code, offset=offset, part_index=part_index, part_name=part_name)
        self.limit = limit
        self.value = value

    def to_problem(self) -> dict[str, object]:
        """As of any :exc:`MultipartError`, with ``limit`` and ``value``."""
        problem = super().to_problem()
        if self.limit:
            problem["limit"] = self.limit
        if self.value is not None:
            problem["value"] = self.value
        return problem


class CodecError(MultipartError):
    """A body does not decode: bad base64, damaged or cut-short gzip, text that is not in its charset, bad JSON."""

    code = "damaged-body"


class UnknownEncoding(MultipartError, RuntimeError):
    """A content coding, transfer encoding or charset that this library cannot undo (or whose extra is missing)."""

    http_status = 415
    code = "unknown-encoding"


class UnsupportedEncoding(ValueError, RuntimeError):
    """The caller's mistake: something is to be sent in a charset or coding that cannot be applied (extra missing)."""


class RejectedPart(MultipartError):
    """The application does not take this part: its Content-Type, its content, its file name, or one too many."""

    http_status = 415
    code = "rejected-part"


class RangeNotSatisfiable(MultipartError):
    """None of the ranges that were asked for is there, or they are too many (RFC 9110 section 15.5.17).

    :ivar complete_length: how many bytes the whole representation is; None where that is not known.
    """

    http_status = 416
    code = "range-not-satisfiable"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        complete_length: int | None = None,
        offset: int | None = None,
        part_index: int | None = None,
        part_name: str | None = None,
    ) -> None:
        super().__init__(message, code=code, offset=offset, part_index=part_index, part_name=part_name)
        self.complete_length = complete_length


class FieldError(MultipartError):
    """A form that is well-formed has not what was asked of it.

    Its ``code`` is ``missing-field``, ``not-a-file``, ``not-text`` or ``too-many``; ``part_name`` is the field's name.
    """

    http_status = 422
    code = "bad-field"


class StateError(RuntimeError):
    """The caller's mistake: two tasks in one reader, a part read after the reader moved on, use after close."""
