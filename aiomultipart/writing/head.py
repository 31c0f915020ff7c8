"""The header block of a body part: what stands in it, what it says of the body, how it is written.

Here (name, value) pairs become text, whoever they come from, and are judged: by :func:`render`, and by :func:`begin`
where nearly all are alike.
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
    "begin",
    "charset_of",
    "check_charset",
    "check_codings",
    "coded_size",
    "codings",
    "content_disposition",
    "given_length",
    "header_items",
    "render",
    "value_of",
)

Field: TypeAlias = tuple[str, str]
HeadersLike: TypeAlias = HeaderItems | Iterable[Field]
Lines: TypeAlias = tuple[str, int | None, str | None, str | None]

# Names that need no check and say nothing of the body, in this spelling; any other gets a closer look.
_PLAIN = frozenset({"Content-Disposition", "Content-Type"})
_OF_THE_BODY = frozenset({"content-length", "content-encoding", "content-transfer-encoding"})
_IDENTITY = frozenset({"", "identity"})

# Values that are written as they are, whichever way quotes would be escaped.
_AS_IT_IS = re.compile(r"[\w.\-\[\] ]*").fullmatch


def header_items(headers: HeadersLike) -> Iterable[Field]:
    """The (name, value) pairs of header fields in any form."""
    return headers.items() if hasattr(headers, "items") else headers


def value_of(fields: Iterable[Field], name: str) -> str | None:
    """The value of the first field with a name, which is given in lower case; None without one."""
    return next((value for field_name, value in fields if field_name.lower() == name), None)


def render(fields: Iterable[Field], in_form_data: bool = False) -> Lines:
    """Write a header block, but for Content-Length, which is not the caller's to say.

    :return: the text; where in it a Content-Length stood, None without one; the content coding and the transfer
        encoding to apply, None where none is named and "" for one that changes nothing.
    :raises ValueError: a field cannot be written, or is not allowed in form-data.
    :raises TypeError: a name or a value is no string.
    """
    text = ""
    at = coding = transfer_encoding = None
    try:
        for name, value in fields:
            if name not in _PLAIN or not value.isprintable():
                lower = name.lower()
                if lower == "content-length" and not in_form_data:
                    at = len(text) if at is None else at
                    continue
                if not value.isprintable() or not is_token(name):
                    check_field(name, value)
                    value.encode()  # a lone surrogate is no control character
                if lower in _OF_THE_BODY:
                    if in_form_data:
                        raise ValueError(f"{name} on a part of form-data (RFC 7578 section 4.8)")
                    if lower == "content-encoding":
                        coding = _named(value, _IDENTITY) if coding is None else coding
                    elif transfer_encoding is None:
                        transfer_encoding = _named(value, IDENTITY_TRANSFER_ENCODINGS)
            text += f"{name}: {value}\r\n"
    except AttributeError:
        raise TypeError(f"header field {name!r}: {value!r} is not text") from None
    return text, at, coding, transfer_encoding


def begin(content_type: str, headers: HeadersLike | None) -> tuple[str, str, list[Field] | None]:
    """The header block of a new payload.

    :param content_type: a Content-Type, which one among ``headers`` replaces where it stands.
    :return: the text; the line of a Content-Disposition at its end; and the fields, where they say something of the
        body, or have a disposition elsewhere, so that the text alone will not do. Raises as :func:`render`.
    """
    given = () if headers is None else headers.items() if hasattr(headers, "items") else list(headers)
    text = disposition = ""
    try:
        for name, value in given:  # as nearly all have them
            if not value.isprintable():
                break
            if name == "Content-Disposition" and not disposition:
                disposition = f"Content-Disposition: {value}\r\n"
            elif name == "Content-Type" and not text:
                text = f"Content-Type: {value}\r\n"
            else:
                break
        else:
            if text or content_type.isprintable():
                return text or f"Content-Type: {content_type}\r\n", disposition, None
    except AttributeError:
        pass  # it is not text, which render() says better
    given = list(given)
    at = next((at for at, (name, _) in enumerate(given) if str.lower(name) == "content-type"), None)
    fields = [("Content-Type", content_type) if at is None else given.pop(at), *given]
    text, *of_the_body = render(fields)
    by_text = of_the_body == [None, None, None] and "\ncontent-disposition: " not in text.lower()
    return text, "", None if by_text else fields


def _named(coding: str, identity: Container[str]) -> str:
    coding = coding.strip().lower()
    return "" if coding in identity else coding


def codings(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Content coding and transfer encoding to apply, by a multidict; None for those that change nothing."""
    return (
        _named(headers.get("Content-Encoding", ""), _IDENTITY) or None,
        _named(headers.get("Content-Transfer-Encoding", ""), IDENTITY_TRANSFER_ENCODINGS) or None,
    )


def check_codings(coding: str | None, transfer_encoding: str | None) -> None:
    """Raise unless a body can be encoded so.

    :raises UnsupportedEncoding: one is not known, or its library is missing.
    """
    if not coding and not transfer_encoding:
        return
    try:
        encoder(transfer_encoding, coding)
    except UnknownEncoding as exc:
        raise UnsupportedEncoding(exc.message) from exc.__cause__


def coded_size(size: int | None, coding: str | None, transfer_encoding: str | None) -> int | None:
    """How many bytes a body of ``size`` is once it is encoded; None where that is not known beforehand."""
    if size is None or coding or transfer_encoding not in (None, "", "base64"):
        return None
    return encoded_size(size) if transfer_encoding else size


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

    Raises as :func:`check_charset`.
    """
    content_type = value_of(headers, "content-type") or content_type
    if content_type is None or "charset" not in str.lower(content_type):
        return "utf-8"
    charset = media_type_charset(content_type)
    return check_charset(charset) if charset else "utf-8"
