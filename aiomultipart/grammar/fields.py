"""Field blocks, and what field values are made of: tokens, parameters, quoted-pairs, lengths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from multidict import CIMultiDict, CIMultiDictProxy

from aiomultipart.exceptions import LimitExceeded, ParseError
from aiomultipart.limits import Limits
from aiomultipart.policy import REJECT, Policy

__all__ = (
    "TOKEN",
    "HeaderItems",
    "Parameter",
    "as_multidict",
    "check_field",
    "decode_field_block",
    "find_control",
    "is_token",
    "parse_content_length",
    "parse_field_block",
    "parse_parameters",
    "too_many_parameters",
    "undo_quoted_pairs",
    "usual_field_line",
)

# RFC 9110 section 5.6.2:  token = 1*tchar
TCHAR = r"!#$%&'*+\-.^_`|~0-9A-Za-z"
TOKEN = rf"[{TCHAR}]++"

# RFC 9112 section 5 and RFC 5322 section 2.2:  field-line = field-name ":" OWS field-value OWS
# The value is any text without control characters; TAB is white space, bytes from 128 up are obs-text.
_FIELD_LINE = re.compile(rf"({TOKEN}):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)", re.ASCII).fullmatch
find_control: Callable[[str], re.Match[str] | None] = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search

# RFC 9110 section 5.6.6:  parameters = *( OWS ";" OWS [ parameter ] ),  parameter = token "=" ( token / quoted-string )
# Wider than that in two groups, for the policies to judge: white space around "=" (groups 2 and 3) and an unquoted
# value with characters that no token has (group 6). Of a quoted-string it reads what stands before the first backslash
# (group 4), and its closing quote if there is none (group 5).
_PARAMETER = re.compile(
    rf'[ \t]*+;[ \t]*+(?:({TOKEN})([ \t]*+)=([ \t]*+)(?:"([^"\\]*+)("?)|([^\s;"]++)))?', re.ASCII
).match
_PAIR_OR_QUOTE = re.compile(r'\\.|"', re.DOTALL).finditer
is_token: Callable[[str], re.Match[str] | None] = re.compile(TOKEN, re.ASCII).fullmatch

# RFC 9110 section 5.6.4:  quoted-pair = "\" ( HTAB / SP / VCHAR / obs-text )
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)

# A header line of a part as nearly all senders write it, which means the same in every grammar and under every policy:
# no escapes, no other parameters. What stands in it is read: disposition type, name, filename; media type; length. The
# line end belongs to it, but for the last line of a block.
_PLAIN = r'[^"\\%\x00-\x1f\x7f]*+'
usual_field_line: Callable[[str, int], re.Match[str] | None] = re.compile(
    rf'(?:Content-Disposition: ([a-z\-]++)(?:; name="({_PLAIN})")?(?:; filename="({_PLAIN})")?'
    rf"|Content-Type: ((?!(?i:multipart)/){TOKEN}/{TOKEN})(?:; charset={TOKEN})?"
    r"|Content-Length: ([0-9]{1,18}+))(?:\r\n(?!\Z)|\Z)",
    re.ASCII,
).match

# RFC 2045 section 6.2: the transfer encodings that change nothing
IDENTITY_TRANSFER_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})


class HeaderItems(Protocol):
    """Header fields: a mapping, or anything else whose ``items()`` gives pairs of strings."""

    def items(self) -> Iterable[tuple[str, str]]:
        """The (name, value) pairs."""


def as_multidict(headers: HeaderItems) -> CIMultiDictProxy[str]:
    """Header fields as a case-insensitive multidict; a repeated field keeps the values that ``headers`` has for it."""
    if isinstance(headers, CIMultiDictProxy):
        return headers
    items = getattr(headers, "multi_items", headers.items)  # httpx joins repeated fields in items()
    return CIMultiDictProxy(CIMultiDict(items()))


class Parameter(NamedTuple):
    """One parameter of a field value, its quoted-pairs still in place."""

    name: str
    """In lower case."""
    value: str
    """Without the quotes around it."""
    quoted: bool


def decode_field_block(block: bytes) -> str:
    """The text of a field block: UTF-8, or for each line that is not, ISO-8859-1."""
    try:
        return block.decode()
    except UnicodeDecodeError:
        return "\r\n".join(map(_decode_line, block.split(b"\r\n")))


def _decode_line(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def parse_field_block(text: str, *, policy: Policy) -> list[tuple[str, str]]:
    """Split a field block, without its blank line, into (field name, field value) pairs, in order.

    Folded lines (RFC 5322 section 2.2.3) are joined with one space, and refused under STRICT.

    :raises ParseError: a line is no header field; a control character, a bare CR or LF stands in it; a name is
        followed by white space; the first line begins with white space.
    """
    fields: list[tuple[str, str]] = []
    folds: dict[int, list[str]] = {}
    if not text:
        return fields
    for line in text.split("\r\n"):
        match = _FIELD_LINE(line)
        if match is not None:
            name, value = match.groups()
            fields.append((name, value.rstrip(" \t")))
        elif line[:1] in (" ", "\t") and fields and policy.rules.folded_line is not REJECT and not find_control(line):
            folds.setdefault(len(fields) - 1, []).append(line.strip(" \t"))
        else:
            raise _what_is_wrong(line, first=not fields)
    for index, lines in folds.items():
        name, value = fields[index]
        fields[index] = (name, " ".join((value, *lines)).strip(" \t"))
    return fields


def _what_is_wrong(line: str, *, first: bool) -> ParseError:
    shown = repr(line if len(line) <= 60 else f"{line[:57]}...")
    control = find_control(line)
    if control is not None:
        return ParseError(f"control character {control[0]!r} in header line {shown}", code="control-character")
    if line[:1] in (" ", "\t"):
        if not first:
            return ParseError(f"folded header line: {shown}", code="folded-line")
        return ParseError(f"first header line begins with white space: {shown}", code="bad-header")
    if ":" not in line:
        return ParseError(f"header line without a colon: {shown}", code="bad-header")
    name = line.partition(":")[0]
    if name.rstrip(" \t") != name:
        return ParseError(f"white space before the colon of header line {shown}", code="bad-header")
    return ParseError(f"header field name {name[:60]!r} is no token", code="bad-header")


def parse_parameters(
    text: str, position: int, field: str, *, policy: Policy, limits: Limits, defects: list[str] | None
) -> list[Parameter]:
    """The parameters from ``position`` to the end of a field value, quoted-pairs still in place.

    :param defects: where to say what was forgiven.
    :raises ParseError: the text does not fit the grammar under ``policy``.
    :raises LimitExceeded: ``max_parameters``.
    """
    parameters: list[Parameter] = []
    text = text.rstrip(" \t")
    most = limits.max_parameters
    while position < len(text):
        match = _PARAMETER(text, position)
        end = 0 if match is None else match.end()
        if match is not None and match[5] == "":
            end = _end_of_quoted(text, end)
        if match is None or end == 0 or (end < len(text) and text[end] not in "; \t"):
            rest = text[position : position + 40]
            raise ParseError(f"{field}: cannot read its parameters from {rest!r} on", code="bad-parameter")
        position = end
        name, before, after, quoted, closed, bare = match.groups()
        if name is None:
            continue
        if closed == "":
            quoted = text[match.start(4) : end - 1]
        if most is not None and len(parameters) >= most:
            raise too_many_parameters(field, most)
        if before or after:
            if policy.rules.white_space_around_equals is REJECT:
                raise ParseError(f"{field}: white space around the '=' of parameter {name!r}", code="bad-parameter")
            if defects is not None:
                defects.append("white-space-around-equals")
        if bare is not None and policy.rules.value_that_is_no_token is REJECT and not is_token(bare):
            raise ParseError(f"{field}: unquoted value of parameter {name!r} is no token", code="bad-parameter")
        parameters.append(Parameter(name.lower(), bare if quoted is None else quoted, quoted is not None))
    return parameters


def too_many_parameters(field: str, most: int) -> LimitExceeded:
    """The error to raise when a field has more than ``max_parameters``."""
    return LimitExceeded(f"{field} has more than {most} parameters", limit="max_parameters", value=most)


def _end_of_quoted(text: str, position: int) -> int:
    """Where a quoted-string ends, behind its closing quote; ``position`` is within it. 0 if it does not end."""
    for found in _PAIR_OR_QUOTE(text, position):
        if found[0] == '"':
            return found.end()
    return 0


def undo_quoted_pairs(parameter: Parameter) -> str:
    """The value that a parameter has."""
    if parameter.quoted and "\\" in parameter.value:
        return _QUOTED_PAIR.sub(r"\1", parameter.value)
    return parameter.value


_LENGTH_DIGITS = 18  # below 2**63


def parse_content_length(value: str) -> int:
    """A Content-Length: ASCII digits, nothing else (RFC 9110 section 8.6).

    :raises ParseError: anything else, or more than 18 digits.
    """
    if not (value.isascii() and value.isdigit() and len(value) <= _LENGTH_DIGITS):
        raise ParseError(f"Content-Length: {value[:40]!r} is no length", code="bad-content-length")
    return int(value)


def check_field(name: str, value: str) -> None:
    """Raise unless a header field can be written as it is (RFC 9110 sections 5.1 and 5.5).

    :raises ValueError: the name is no token, or a control character stands in the value.
    """
    if not is_token(name):
        raise ValueError(f"header field name {name!r} is no token")
    control = find_control(value)
    if control is not None:
        raise ValueError(f"control character {control[0]!r} in the value of header field {name}")
