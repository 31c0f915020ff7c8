"""What a file begins with: the header fields of a message, or the body at once. Pure; no I/O.

``curl -i`` and proxies write an HTTP message, browsers (MHTML) and mail programs a MIME message (RFC 5322, RFC 2045).
Anything else is a body, whose boundary stands on its first delimiter line.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from multidict import CIMultiDict

from aiomultipart.exceptions import MultipartError
from aiomultipart.grammar.boundary import check_boundary
from aiomultipart.grammar.fields import decode_field_block, parse_field_block
from aiomultipart.limits import Limits
from aiomultipart.policy import Policy

from .failures import Failure

__all__ = ("LOOKED_AT", "Head", "find_boundary", "find_head")

LOOKED_AT: Final = 256 * 1024
"""How many bytes of a file are searched for its header fields and its boundary."""

# RFC 9112 sections 3 and 4:  status-line, request-line; HTTP/2 has no minor version.
_START_LINE = re.compile(
    rb"HTTP/[0-9](?:\.[0-9])? [0-9]{3}(?: |\r?\n)|[A-Z]{3,20} [^ \r\n]+ HTTP/[0-9.]{1,3}\r?\n"
).match
_FIELD = re.compile(rb"[!-9;-~]+:").match
_BLANK_LINE = re.compile(rb"\r?\n\r?\n").search
_LINE = re.compile(rb"^--([ -~]{1,200}?)[ \t]*\r?(?:\n|\Z)", re.MULTILINE).finditer
_FORM_DATA = re.compile(rb"content-disposition:[ \t]*form-data", re.IGNORECASE).search
_ANY_LENGTH: Final = Limits(max_boundary_length=None)


class Head(NamedTuple):
    """What stands before the body."""

    kind: str
    """What it is, in words."""
    size: int
    """In bytes; the body begins behind it."""
    content_type: str | None
    content_coding: str | None
    transfer_coding: str | None


_NONE: Final = Head("a body", 0, None, None, None)


def find_head(data: bytes, is_all: bool) -> Head | None:
    """The head of a file.

    :param data: what the file begins with.
    :param is_all: whether there will be no more of it.
    :return: None where more is needed to tell.
    :raises Failure: it is one, and cannot be read.
    """
    position = start = 0
    fields: CIMultiDict[str] = CIMultiDict()
    kind = ""
    while match := _START_LINE(data, position):
        # More than one: "100 Continue", a proxy's, redirects.
        start = match.end() if data[match.end() - 1] == 10 else data.find(b"\n", match.end()) + 1
        kind = "an HTTP response" if data.startswith(b"HTTP/", position) else "an HTTP request"
        end = _end_of_block(data, start - 1) if start else -1
        if end < 0:
            if is_all:
                raise Failure(f"{kind} whose header fields do not end")
            return None
        fields, position = _read_fields(data[start:end], kind), end
        if len(data) - end < 5 and b"HTTP/".startswith(data[end:]) and not is_all:
            return None
    if kind:
        return _head(kind, position, fields)
    if data.startswith(b"--") or not _FIELD(data):
        return None if not is_all and len(data) < LOOKED_AT and re.fullmatch(rb"[!-9;-~]*", data) else _NONE
    end = _end_of_block(data, 0)
    if end < 0:
        return None if not is_all and len(data) < LOOKED_AT else _NONE
    try:
        fields = _read_fields(data[:end], "a MIME message")
    except Failure:
        return _NONE
    # An image stream may begin with the headers of its first part.
    is_multipart = fields.get("Content-Type", "").lower().startswith("multipart/")
    return _head("a MIME message", end, fields) if is_multipart or "MIME-Version" in fields else _NONE


def _end_of_block(data: bytes, position: int) -> int:
    """Where the blank line ends after the line at ``position``; -1 where it is not there yet."""
    match = _BLANK_LINE(data, position)
    return -1 if match is None else match.end()


def _read_fields(block: bytes, kind: str) -> CIMultiDict[str]:
    text = decode_field_block(block.replace(b"\r\n", b"\n").strip(b"\n").replace(b"\n", b"\r\n"))
    try:
        return CIMultiDict(parse_field_block(text, policy=Policy.LENIENT))
    except MultipartError as exc:
        raise Failure(f"{kind} whose header fields cannot be read: {exc.message}") from exc


def _head(kind: str, size: int, fields: CIMultiDict[str]) -> Head:
    codings = ", ".join(fields.getall("Content-Encoding", []))
    return Head(kind, size, fields.get("Content-Type"), codings or None, fields.get("Transfer-Encoding"))


def find_boundary(data: bytes, is_all: bool) -> tuple[str, str] | None:
    """The boundary of a body, and its multipart subtype as far as its first part tells: form-data, or mixed.

    A delimiter line has something after it that a part begins with, so that "--" in a preamble is none.

    :param data: what the body begins with.
    :param is_all: whether more of it makes no difference.
    :return: None where there is none.
    """
    for match in _LINE(data):
        boundary, end = match[1].decode("ascii"), match.end()
        if end == len(data):
            if not is_all or not boundary.endswith("--") or len(boundary) < 3:
                continue
            boundary = boundary[:-2]  # a message of no parts
        elif not _FIELD(data, end) and not data.startswith((b"\n", b"\r", match[0]), end):
            continue
        try:
            check_boundary(boundary, policy=Policy.LENIENT, limits=_ANY_LENGTH)
        except MultipartError:
            continue
        end = _end_of_block(data, match.start())
        if end < 0 and not is_all:
            return None
        block = data[match.end() : end if end >= 0 else len(data)]
        return boundary, "form-data" if _FORM_DATA(block) else "mixed"
    return None
