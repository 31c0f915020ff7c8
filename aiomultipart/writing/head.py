"""The header block of a body part: what stands in it, what it says of the codings, how it is written.

A block is a list of (name, value) pairs; a multidict is made only for those who ask a payload for its ``headers``.
:func:`lines_of` is the one place where pairs become text, whoever they come from, and the one where they are judged.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from typing import TypeAlias

from aiomultipart.codecs import encoded_size, encoder
from aiomultipart.exceptions import ParseError, UnknownEncoding, UnsupportedEncoding
from aiomultipart.grammar.disposition import format_disposition
from aiomultipart.grammar.fields import (
    IDENTITY_TRANSFER_ENCODINGS,
    HeaderItems,
    check_field,
    is_token,
    parse_content_length,
)
from aiomultipart.grammar.media_type import media_type_charset

__all__ = (
    "Field",
    "HeadersLike",
    "Lines",
    "are_plain",
    "charset_of",
    "check_charset",
    "check_codings",
    "coded_size",
    "codings",
    "content_disposition",
    "given_length",
    "header_items",
    "lines_of",
    "merge",
    "plain_lines_of",
    "value_of",
)

Field: TypeAlias = tuple[str, str]
HeadersLike: TypeAlias = HeaderItems | Iterable[Field]
Lines: TypeAlias = tuple[list[str], int | None, str | None, str | None]

# Names that need no check and say nothing of the body, in this spelling; any other gets a closer look.
_PLAIN = frozenset({"Content-Disposition", "Content-Type"})
_LENGTH, _CODING, _TRANSFER_ENCODING = "content-length", "content-encoding", "content-transfer-encoding"
_OF_THE_BODY = frozenset({_LENGTH, _CODING, _TRANSFER_ENCODING})
_IDENTITY = frozenset({"", "identity"})

# Values that are written as they are, whichever way quotes would be escaped.
_AS_IT_IS = re.compile(r"[\w.\-\[\]]*").fullmatch


def header_items(headers: HeadersLike) -> Iterable[Field]:
    """The (name, value) pairs of header fields in any form."""
    return headers.items() if hasattr(headers, "items") else headers


def merge(fields: list[Field], headers: HeadersLike) -> bool:
    """Add ``headers`` to ``fields``, a lone Content-Type, which one among them replaces where it stands.

    :return: whether all of them :func:`are_plain`.
    """
    replaced, plain = False, True
    for field in header_items(headers):
        name, value = field
        if name not in _PLAIN or type(value) is not str or not value.isprintable():
            plain = False
        if not replaced and name.lower() == "content-type":
            fields[0] = field
            replaced = True
        else:
            fields.append(field)
    return plain and are_plain(fields[:1])


def value_of(fields: Iterable[Field], name: str) -> str | None:
    """The value of the first field with a name, which is given in lower case; None without one."""
    for field_name, value in fields:
        if field_name.lower() == name:
            return value
    return None


def are_plain(fields: Iterable[Field]) -> bool:
    """Whether the fields can be written as they are, and say nothing of the body, as a quick look tells."""
    for name, value in fields:  # noqa: SIM110  (in a third of the time)
        if name not in _PLAIN or type(value) is not str or not value.isprintable():
            return False
    return True


def plain_lines_of(fields: Iterable[Field]) -> list[str]:
    """The lines of fields that :func:`are_plain`."""
    return [f"{name}: {value}\r\n" for name, value in fields]


def lines_of(fields: Iterable[Field], in_form_data: bool) -> Lines:
    """The lines of a header block but for Content-Length, which is not the caller's to say.

    :return: the lines; at which of them a Content-Length stood, None without one; the content coding and the transfer
        encoding to apply, None for those that change nothing.
    :raises ValueError: a field cannot be written, or is not allowed in form-data.
    :raises TypeError: a value is no string.
    """
    lines: list[str] = []
    at = coding = transfer_encoding = None
    try:
        for name, value in fields:
            if name not in _PLAIN or not value.isprintable():
                lower = name.lower()
                if lower == _LENGTH and not in_form_data:
                    at = len(lines) if at is None else at
                    continue
                if not value.isprintable() or not is_token(name):
                    check_field(name, value)
                    value.encode()  # a lone surrogate is no control character
                if lower in _OF_THE_BODY:
                    if in_form_data:
                        raise ValueError(f"{name} on a part of form-data (RFC 7578 section 4.8)")
                    if lower == _CODING:
                        coding = value if coding is None else coding
                    else:
                        transfer_encoding = value if transfer_encoding is None else transfer_encoding
            lines.append(f"{name}: {value}\r\n")
    except AttributeError:
        raise TypeError(f"header field {name!r}: {value!r} is not text") from None
    if coding is not None:
        coding = _unless_in(_IDENTITY, coding)
    if transfer_encoding is not None:
        transfer_encoding = _unless_in(IDENTITY_TRANSFER_ENCODINGS, transfer_encoding)
    return lines, at, coding, transfer_encoding


def _unless_in(identity: Container[str], coding: str) -> str | None:
    coding = coding.strip().lower()
    return None if coding in identity else coding


def codings(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Content coding and transfer encoding to apply, by a multidict; None for those that change nothing."""
    return (
        _unless_in(_IDENTITY, headers.get("Content-Encoding", "")),
        _unless_in(IDENTITY_TRANSFER_ENCODINGS, headers.get("Content-Transfer-Encoding", "")),
    )


def check_codings(coding: str | None, transfer_encoding: str | None) -> None:
    """Raise unless a body can be encoded so.

    :raises UnsupportedEncoding: one is not known, or its library is missing.
    """
    if coding is not None or transfer_encoding is not None:
        try:
            encoder(transfer_encoding, coding)
        except UnknownEncoding as exc:
            raise UnsupportedEncoding(exc.message) from exc.__cause__


def coded_size(size: int | None, coding: str | None, transfer_encoding: str | None) -> int | None:
    """How many bytes a body of ``size`` is once it is encoded; None where that is not known beforehand."""
    if coding is None and (transfer_encoding is None or size is None):
        return size
    return encoded_size(size) if coding is None and transfer_encoding == "base64" and size is not None else None


def given_length(value: object) -> int:
    """A Content-Length that the caller has given.

    :raises ValueError: it is no length.
    """
    try:
        return parse_content_length(str(value))
    except ParseError as exc:
        raise ValueError(exc.message) from None


def content_disposition(disptype: str, parameters: Mapping[str, str], quote_fields: bool, charset: str) -> str:
    """The value of a Content-Disposition; as :func:`~aiomultipart.grammar.disposition.format_disposition`."""
    # Nothing in it to escape, as in most of them.
    if disptype == "form-data" and len(parameters) == 1 and (name := parameters.get("name")) is not None:
        if name.isidentifier() or _AS_IT_IS(name):
            return f'form-data; name="{name}"'
    return format_disposition(disptype, parameters, quote_fields=quote_fields, charset=charset)


def check_charset(charset: str) -> str:
    """The charset of text that is to be sent, as it is.

    :raises ValueError: it cannot stand in a Content-Type.
    :raises UnsupportedEncoding: Python has no such codec for text.
    """
    if not is_token(charset):
        raise ValueError(f"charset {charset!r} is no token")
    try:
        "".encode(charset)
    except LookupError:
        raise UnsupportedEncoding(f"unknown charset {charset!r}") from None
    return charset


def charset_of(content_type: str | None, headers: Iterable[Field] = ()) -> str:
    """The charset that the Content-Type of a part names, UTF-8 if none; that in ``headers`` wins.

    :raises ValueError: as :func:`check_charset`.
    :raises UnsupportedEncoding: as :func:`check_charset`.
    """
    content_type = value_of(headers, "content-type") or content_type
    if content_type is None or "charset" not in str.lower(content_type):
        return "utf-8"
    charset = media_type_charset(content_type)
    return check_charset(charset) if charset else "utf-8"
