"""The grammar of header fields: field blocks, media types, Content-Disposition, extended values, charsets.

Rules of this module:

* Everything works on ``str``; the wire's bytes become ``str`` once, in :func:`decode_field_block`.
* A regex stands beside the rule it came from and cannot backtrack, so that reading is linear in the input. What it
  repeats is one class of characters, possessively. A possessive group would match wrongly on CPython 3.11.0 to 3.11.4
  (gh-106052); where a rule repeats more than a class, a few lines of Python do. What may be left out, ``(...)?``, is
  never followed by what it could begin with.
* A header either has one meaning under the policy in force, or is a :exc:`ParseError` that names the field. What a
  policy forgives is returned as a defect, a short word that the parser gives a place to.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Container, Iterable, Mapping
from encodings.aliases import aliases
from typing import NamedTuple, Protocol, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from multidict import CIMultiDict, CIMultiDictProxy

from . import hdrs
from .exceptions import CodecError, LimitExceeded, ParseError, UnknownEncoding
from .limits import DEFAULT_LIMITS, FORGIVE, REJECT, Limits, Policy, Rules

__all__ = (
    "CHARSET_FIELD",
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "Disposition",
    "HeaderItems",
    "MediaType",
    "as_multidict",
    "check_boundary",
    "check_field",
    "content_disposition_filename",
    "decode_field_block",
    "decode_text",
    "format_disposition",
    "lookup_charset",
    "media_type_charset",
    "parse_boundary",
    "parse_content_disposition",
    "parse_content_length",
    "parse_disposition",
    "parse_field_block",
    "parse_media_type",
    "sole_content_type",
)

# RFC 9110 section 5.6.2:  token = 1*tchar
TCHAR = r"!#$%&'*+\-.^_`|~0-9A-Za-z"
TOKEN = rf"[{TCHAR}]++"

# RFC 9112 section 5 and RFC 5322 section 2.2:  field-line = field-name ":" OWS field-value OWS
# The value is any text without control characters; TAB is white space, bytes from 128 up are obs-text.
_FIELD_LINE = re.compile(rf"({TOKEN}):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)", re.ASCII).fullmatch
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]").search

# RFC 9110 section 8.3.1:  media-type = type "/" subtype parameters
_MEDIA_TYPE = re.compile(rf"[ \t]*+({TOKEN})/({TOKEN})", re.ASCII).match
# RFC 2183 section 2:  disposition-type = token
_DISPOSITION_TYPE = re.compile(rf"[ \t]*+({TOKEN})", re.ASCII).match
# RFC 9110 section 5.6.6:  parameters = *( OWS ";" OWS [ parameter ] ),  parameter = token "=" ( token / quoted-string )
# Wider than that in two groups, for the policies to judge: white space around "=" (groups 2 and 3) and an unquoted
# value with characters that no token has (group 6). Of a quoted-string it reads what stands before the first backslash
# (group 4), and its closing quote if there is none (group 5).
_PARAMETER = re.compile(
    rf'[ \t]*+;[ \t]*+(?:({TOKEN})([ \t]*+)=([ \t]*+)(?:"([^"\\]*+)("?)|([^\s;"]++)))?', re.ASCII
).match
_PAIR_OR_QUOTE = re.compile(r'\\.|"', re.DOTALL).finditer
_IS_TOKEN = re.compile(TOKEN, re.ASCII).fullmatch

# RFC 9110 section 5.6.4:  quoted-pair = "\" ( HTAB / SP / VCHAR / obs-text )
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
# In form-data these are what a sender escapes. Before anything else "\" is sent raw, as in C:\dir\file.
_FORM_QUOTED_PAIR = re.compile(r'\\(["\\ \t])')
# A form-data disposition whose values may hold backslashes and no quote: what browsers send, who escape the one as %22
# and the other not at all. Chromium's name that ends in "\" has no other reading.
_RAW_BACKSLASHES = re.compile(r'form-data; name="([^"]*+)"(?:; filename="([^"]*+)")?').fullmatch

# RFC 2045 section 6.2: the transfer encodings that change nothing
IDENTITY_TRANSFER_ENCODINGS = frozenset({"", "7bit", "8bit", "binary"})

# RFC 8187 section 3.2.1:  ext-value = charset "'" [ language ] "'" value-chars
_EXT_VALUE = re.compile(rf"({TOKEN.replace(chr(39), '')})'([A-Za-z0-9\-]*+)'(.*+)", re.ASCII | re.DOTALL).fullmatch
_VALUE_CHARS = re.compile(r"[%!#$&+\-.^_`|~0-9A-Za-z]*+", re.ASCII).fullmatch
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})").search
# What no text of an extended value may decode to
_EXT_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search
_FORM_CHARSETS = ("utf_8", "latin_1")
# RFC 2231 section 3:  attribute "*" section [ "*" ]
_CONTINUATION = re.compile(r"([^*]++)\*(0|[1-9][0-9]{0,2})(\*?)", re.ASCII).fullmatch

# RFC 2046 section 5.1.1:  bchars; a space may not come last
BCHARS_NO_SPACE = r"0-9A-Za-z'()+_,\-./:=?"
_BCHARS = re.compile(rf"[{BCHARS_NO_SPACE} ]*+", re.ASCII).fullmatch
USUAL_BOUNDARY_LENGTH = 70
# What check_boundary() accepts under every policy, where boundaries may be that long
is_usual_boundary = re.compile(rf"[{BCHARS_NO_SPACE}]{{1,{USUAL_BOUNDARY_LENGTH}}}+", re.ASCII).fullmatch


CHARSET_FIELD = "_charset_"
"""The form field that names the charset of the others (RFC 7578 section 4.6)."""


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


def sole_content_type(headers: CIMultiDictProxy[str]) -> str:
    """The Content-Type of a message.

    :raises ParseError: it is missing, or there more than once.
    """
    values = headers.getall(hdrs.CONTENT_TYPE, [])
    if len(values) != 1:
        raise ParseError(f"Content-Type: {'missing' if not values else 'there more than once'}")
    return values[0]


class MediaType(NamedTuple):
    """A parsed Content-Type."""

    type: str
    """In lower case, as ``subtype``."""
    subtype: str
    parameters: dict[str, str]
    """Values by parameter name in lower case, quoted-pairs undone."""


class Disposition(NamedTuple):
    """A parsed Content-Disposition (RFC 2183, 6266, 7578)."""

    type: str
    """In lower case."""
    parameters: dict[str, str]
    """Values by parameter name in lower case, decoded; ``filename*`` and its like are under the plain name."""
    defects: tuple[str, ...]


class _Parameter(NamedTuple):
    name: str
    value: str
    quoted: bool


# Of a continued parameter, by number: the text, and whether it is percent-encoded
_Sections: TypeAlias = dict[int, tuple[str, bool]]


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
        elif line[:1] in (" ", "\t") and fields and policy.rules.folded_line is not REJECT and not _CONTROL(line):
            folds.setdefault(len(fields) - 1, []).append(line.strip(" \t"))
        else:
            raise ParseError(_what_is_wrong(line, first=not fields))
    for index, lines in folds.items():
        name, value = fields[index]
        fields[index] = (name, " ".join((value, *lines)).strip(" \t"))
    return fields


def _what_is_wrong(line: str, *, first: bool) -> str:
    shown = repr(line if len(line) <= 60 else f"{line[:57]}...")
    control = _CONTROL(line)
    if control is not None:
        return f"control character {control[0]!r} in header line {shown}"
    if line[:1] in (" ", "\t"):
        return f"{'first header line begins with white space' if first else 'folded header line'}: {shown}"
    if ":" not in line:
        return f"header line without a colon: {shown}"
    name = line.partition(":")[0]
    if name.rstrip(" \t") != name:
        return f"white space before the colon of header line {shown}"
    return f"header field name {name[:60]!r} is no token"


def _parse_parameters(
    text: str, position: int, field: str, *, policy: Policy, limits: Limits, defects: list[str] | None
) -> list[_Parameter]:
    """The parameters from ``position`` to the end of a field value, quoted-pairs still in place.

    :param defects: where to say what was forgiven.
    :raises ParseError: the text does not fit the grammar under ``policy``.
    :raises LimitExceeded: ``max_parameters``.
    """
    parameters: list[_Parameter] = []
    text = text.rstrip(" \t")
    most = limits.max_parameters
    while position < len(text):
        match = _PARAMETER(text, position)
        end = 0 if match is None else match.end()
        if match is not None and match[5] == "":
            end = _end_of_quoted(text, end)
        if match is None or end == 0 or (end < len(text) and text[end] not in "; \t"):
            raise ParseError(f"{field}: cannot read its parameters from {text[position : position + 40]!r} on")
        position = end
        name, before, after, quoted, closed, bare = match.groups()
        if name is None:
            continue
        if closed == "":
            quoted = text[match.start(4) : end - 1]
        if most is not None and len(parameters) >= most:
            raise _too_many_parameters(field, most)
        if before or after:
            if policy.rules.white_space_around_equals is REJECT:
                raise ParseError(f"{field}: white space around the '=' of parameter {name!r}")
            if defects is not None:
                defects.append("white-space-around-equals")
        if bare is not None and policy.rules.value_that_is_no_token is REJECT and not _IS_TOKEN(bare):
            raise ParseError(f"{field}: unquoted value of parameter {name!r} is no token")
        parameters.append(_Parameter(name.lower(), bare if quoted is None else quoted, quoted is not None))
    return parameters


def _too_many_parameters(field: str, most: int) -> LimitExceeded:
    return LimitExceeded(f"{field} has more than {most} parameters", limit="max_parameters", value=most)


def _end_of_quoted(text: str, position: int) -> int:
    """Where a quoted-string ends, behind its closing quote; ``position`` is within it. 0 if it does not end."""
    for found in _PAIR_OR_QUOTE(text, position):
        if found[0] == '"':
            return found.end()
    return 0


def _unescape(parameter: _Parameter) -> str:
    if parameter.quoted and "\\" in parameter.value:
        return _QUOTED_PAIR.sub(r"\1", parameter.value)
    return parameter.value


def _unescape_form(parameter: _Parameter) -> str:
    """RFC 7578 section 4.2 as browsers write it (WHATWG): %22 is a quote, a quoted-pair what senders escape."""
    value = parameter.value
    if parameter.quoted:
        if "\\" in value:
            value = _FORM_QUOTED_PAIR.sub(r"\1", value)
        if "%22" in value:
            value = value.replace("%22", '"')
    return value


def parse_media_type(
    value: str,
    *,
    policy: Policy = Policy.STANDARD,
    limits: Limits | None = None,
    field: str = "Content-Type",
    defects: list[str] | None = None,
) -> MediaType:
    """Parse a Content-Type (RFC 9110 section 8.3.1).

    :param field: the name of the field, for errors.
    :param defects: a list that takes what the policy forgave, a short word each.
    :raises ParseError: the value does not fit the grammar, or a parameter is there twice.
    :raises LimitExceeded: ``max_parameters``.
    """
    control = _CONTROL(value)
    if control is not None:
        raise ParseError(f"{field}: control character {control[0]!r}")
    match = _MEDIA_TYPE(value)
    if match is None:
        raise ParseError(f"{field}: {value[:60]!r} is no media type")
    parameters: dict[str, str] = {}
    limits = limits or DEFAULT_LIMITS
    for parameter in _parse_parameters(value, match.end(), field, policy=policy, limits=limits, defects=defects):
        if parameter.name in parameters:
            raise ParseError(f"{field}: parameter {parameter.name!r} is there twice")
        if parameter.name == "boundary" and not parameter.quoted and "," in parameter.value:
            # Two header fields joined into one look like this.
            raise ParseError(f"{field}: unquoted comma in the boundary parameter")
        parameters[parameter.name] = _unescape(parameter)
    return MediaType(match[1].lower(), match[2].lower(), parameters)


def parse_boundary(media_type: MediaType, *, policy: Policy, limits: Limits, field: str = "Content-Type") -> str:
    """The boundary parameter of a multipart media type, checked (RFC 2046 section 5.1.1).

    :raises ParseError: it is missing, or is no boundary under ``policy``.
    :raises LimitExceeded: ``max_boundary_length``.
    """
    parameters = media_type.parameters
    for name in parameters:
        if name.startswith("boundary*"):
            raise ParseError(f"{field}: extended parameter {name!r} in place of a boundary")
    if "boundary" not in parameters:
        raise ParseError(f"{field}: {media_type.type}/{media_type.subtype} without a boundary parameter")
    boundary = parameters["boundary"]
    check_boundary(boundary, policy=policy, limits=limits, field=field)
    return boundary


def check_boundary(boundary: str, *, policy: Policy, limits: Limits, field: str = "boundary") -> None:
    """Raise unless ``boundary`` can delimit parts under ``policy``.

    :raises ParseError: it is empty, holds a control or non-ASCII character, ends in white space (which would be read as
        transport padding); under STRICT, holds what RFC 2046 does not allow.
    :raises LimitExceeded: ``max_boundary_length``.
    """
    if not boundary:
        raise ParseError(f"{field}: empty boundary")
    most = limits.max_boundary_length
    if most is not None and len(boundary) > most:
        raise LimitExceeded(
            f"{field}: boundary of {len(boundary)} characters, over {most}", limit="max_boundary_length", value=most
        )
    if (
        not (boundary.isascii() and boundary.isprintable())
        or boundary[-1] == " "
        or (policy.rules.boundary_outside_bchars is REJECT and not _BCHARS(boundary))
    ):
        raise ParseError(f"{field}: boundary {boundary!r} holds a character that no boundary has")


_LENGTH_DIGITS = 18  # below 2**63


def parse_content_length(value: str) -> int:
    """A Content-Length: ASCII digits, nothing else (RFC 9110 section 8.6).

    :raises ParseError: anything else, or more than 18 digits.
    """
    if not (value.isascii() and value.isdigit() and len(value) <= _LENGTH_DIGITS):
        raise ParseError(f"Content-Length: {value[:40]!r} is no length")
    return int(value)


def parse_disposition(value: str, *, form_data: bool, policy: Policy, limits: Limits) -> Disposition:
    """Parse a part's Content-Disposition: by RFC 7578 in form-data, by RFC 6266, 8187 and 2231 elsewhere.

    :raises ParseError: the value does not fit the grammar, a parameter is there twice, or, where the policy says so,
        an extended parameter stands in form-data.
    :raises LimitExceeded: ``max_parameters``.
    """
    try:
        return _parse_disposition(value, form_data=form_data, policy=policy, limits=limits)
    except ParseError:
        # Quoted-pairs in the whole value or nowhere in it: by parameter, one value could mean several things.
        raw = _read_raw_backslashes(value) if form_data and policy.rules.literal_backslash is FORGIVE else None
        if raw is None:
            raise
    most = limits.max_parameters
    if most is not None and len(raw) > most:
        raise _too_many_parameters("Content-Disposition", most)
    return Disposition("form-data", raw, ("literal-backslash",))


def _read_raw_backslashes(value: str) -> dict[str, str] | None:
    """The parameters of a form-data disposition in which no backslash escapes anything; None for any other text."""
    match = _RAW_BACKSLASHES(value)
    if match is None:
        return None
    name, filename = match.groups()
    parameters = {"name": name.replace("%22", '"')}
    if filename is not None:
        parameters["filename"] = filename.replace("%22", '"')
    return parameters


def _parse_disposition(value: str, *, form_data: bool, policy: Policy, limits: Limits) -> Disposition:
    field = "Content-Disposition"
    match = _DISPOSITION_TYPE(value)
    if match is None:
        raise ParseError(f"{field}: {value[:60]!r} does not begin with a disposition type")
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    sections: dict[str, _Sections] = {}
    defects: list[str] = []
    seen: set[str] = set()
    rules = policy.rules
    for parameter in _parse_parameters(value, match.end(), field, policy=policy, limits=limits, defects=defects):
        name = parameter.name
        if name in seen:
            raise ParseError(f"{field}: parameter {name!r} is there twice")
        seen.add(name)
        if "*" not in name:
            plain[name] = (_unescape_form if form_data else _unescape)(parameter)
            continue
        if form_data and rules.extended_parameter is REJECT:
            raise ParseError(f"{field}: extended parameter {name!r} in form-data (RFC 7578 section 4.2)")
        if name.endswith("*") and name.count("*") == 1:
            extended[name[:-1]] = parameter.value
            continue
        if form_data and rules.continued_parameter is REJECT:
            raise ParseError(f"{field}: continued parameter {name!r} in form-data")
        continuation = _CONTINUATION(name)
        if continuation is not None:
            section = int(continuation[2])
            of_name = sections.setdefault(continuation[1], {})
            if section in of_name:
                raise ParseError(f"{field}: section {section} of parameter {continuation[1]!r} is there twice")
            of_name[section] = (_unescape(parameter), bool(continuation[3]))
        elif form_data:
            defects.append("bad-continued-parameter")
    if extended or sections:
        decoded = _decode_extended(extended, plain, rules, defects, form_data=form_data)
        joined = _join_continued(sections, plain, rules, defects, form_data=form_data)
        for name, text in (joined | decoded).items():
            if form_data and name in plain:
                defects.append("extended-parameter-beside-plain")
            else:
                plain[name] = text
    return Disposition(match[1].lower(), plain, tuple(defects))


# What is forgiven and has no plain parameter beside it keeps the text that was sent: without a file name, what is a
# file would become a field.


def _decode_extended(
    extended: Mapping[str, str], plain: Container[str], rules: Rules, defects: list[str], *, form_data: bool
) -> dict[str, str]:
    """Extended parameters by their plain names, without those that a plain one has to stand in for."""
    decoded: dict[str, str] = {}
    for name, value in extended.items():
        alone = name not in plain
        try:
            charset, text = _decode_ext_value(name, value)
        except ParseError:
            if rules.bad_extended_parameter is REJECT or (form_data and alone):
                raise
            defects.append("bad-extended-parameter")
            continue
        if form_data and alone and charset not in _FORM_CHARSETS:
            if rules.extended_charset is REJECT:
                raise _not_supported(name, value)
            defects.append("extended-parameter-charset")
        elif charset is None:
            if rules.bad_extended_parameter is REJECT:
                raise _not_supported(name, value)
            defects.append("bad-extended-parameter")
            continue
        if _EXT_CONTROL(text):
            if rules.control_in_extended_parameter is REJECT:
                raise _control_in(f"{name}*")
            defects.append("control-in-extended-parameter")
            if not alone:
                continue
            text = value
        decoded[name] = text
    return decoded


def _join_continued(
    sections: Mapping[str, _Sections], plain: Container[str], rules: Rules, defects: list[str], *, form_data: bool
) -> dict[str, str]:
    """Continued parameters by their plain names, as :func:`_decode_extended`."""
    decoded: dict[str, str] = {}
    for name, of_name in sections.items():
        text = _join_sections(of_name)
        keeps = text is not None or form_data
        if text is None:
            if rules.bad_extended_parameter is REJECT:
                raise ParseError(f"Content-Disposition: continued parameter {name!r} does not join (RFC 2231)")
            defects.append("bad-continued-parameter")
        elif _has_control(of_name, text):
            if rules.control_in_extended_parameter is REJECT:
                raise _control_in(name)
            defects.append("control-in-extended-parameter")
            text = None
        elif form_data:
            defects.append("continued-parameter")
        if text is None and keeps and name not in plain and _are_complete(of_name):
            text = "".join(value for _, (value, _) in sorted(of_name.items()))
        if text is not None:
            decoded[name] = text
    return decoded


def _control_in(name: str) -> ParseError:
    return ParseError(f"Content-Disposition: parameter {name!r} decodes to control characters")


def _not_supported(name: str, value: str) -> ParseError:
    label = value.partition("'")[0]
    return ParseError(f"Content-Disposition: charset {label!r} of parameter '{name}*' is not supported")


def _decode_ext_value(name: str, value: str) -> tuple[str | None, str]:
    """The charset and the text of ``name*`` (RFC 8187 section 3.2); None, and the value, in a charset we do not know.

    Quotes around the whole, which some senders add, are let pass.

    :raises ParseError: it is no extended value, or not in its charset.
    """
    match = _EXT_VALUE(value)
    if match is None or not _VALUE_CHARS(match[3]) or _BAD_PERCENT(match[3]):
        raise ParseError(f"Content-Disposition: '{name}*' is no extended value (RFC 8187)")
    charset = lookup_charset(match[1])
    if charset is None:
        return None, value
    try:
        return charset, unquote_to_bytes(match[3]).decode(charset)
    except UnicodeDecodeError as exc:
        raise ParseError(f"Content-Disposition: parameter '{name}*' is not in charset {match[1]!r}") from exc


def _are_complete(sections: _Sections) -> bool:
    return sections.keys() == set(range(len(sections)))


def _has_control(sections: _Sections, text: str) -> bool:
    """Whether sections were decoded to control characters; what is not encoded may hold a TAB."""
    return any(encoded for _, encoded in sections.values()) and _EXT_CONTROL(text) is not None


def _join_sections(sections: _Sections) -> str | None:
    """Join a continued parameter (RFC 2231 section 4.1); None where a section is missing or does not decode."""
    if not _are_complete(sections):
        return None
    label = "utf-8"
    first, encoded = sections[0]
    if encoded:
        match = _EXT_VALUE(first)
        if match is None:
            return None
        label, _, rest = match.groups()
        sections = {**sections, 0: (rest, True)}
    charset = lookup_charset(label)
    if charset is None:
        return None
    # A character may be cut between two sections, so bytes are joined before they are decoded.
    text = "".join(value if encoded else value.replace("%", "%25") for _, (value, encoded) in sorted(sections.items()))
    try:
        return unquote_to_bytes(text).decode(charset)
    except UnicodeDecodeError:
        return None


_UNLIMITED = Limits(max_parameters=None)  # for what is ours

# Charsets that a message may name. Left out are codecs that are no charset of text (base64, rot13), that are slow or
# surprising on hostile input (idna, punycode, unicode_escape, utf-7), and Python's own.
_CHARSETS = frozenset(
    """ascii utf_8 utf_8_sig utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le latin_1 iso8859_1 iso8859_2
    iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11 iso8859_13 iso8859_14
    iso8859_15 iso8859_16 cp437 cp850 cp852 cp855 cp858 cp866 cp874 cp932 cp949 cp950 cp1250 cp1251 cp1252 cp1253
    cp1254 cp1255 cp1256 cp1257 cp1258 koi8_r koi8_u koi8_t kz1048 mac_cyrillic mac_roman tis_620 shift_jis
    shift_jis_2004 euc_jp euc_jis_2004 iso2022_jp iso2022_kr euc_kr johab gb2312 gbk gb18030 hz big5
    big5hkscs""".split()
)


def decode_text(data: bytes, label: str, *, policy: Policy) -> tuple[str, str | None]:
    """Text in the charset that a message names, and the defect that had to be forgiven, if one had.

    :raises CodecError: the text is not in its charset, and the policy does not forgive that.
    :raises UnknownEncoding: the charset is not on our list, and the policy does not forgive that.
    """
    charset = "utf-8" if label == "utf-8" else lookup_charset(label)
    if charset is not None:
        try:
            return data.decode(charset), None
        except UnicodeError as exc:
            if policy.rules.undecodable_text is not FORGIVE:
                raise CodecError(f"text is not in charset {charset}: {exc}") from exc
        return data.decode(charset, "replace"), "undecodable-text"
    if policy.rules.unknown_encoding is not FORGIVE:
        raise UnknownEncoding(f"charset {label[:40]!r} is not supported")
    return data.decode("utf-8", "replace"), "unknown-charset"


def lookup_charset(label: str) -> str | None:
    """Python's name for a charset label of a message (IANA names and aliases), or None when it is not on our list."""
    if not label.isascii():  # some of what is not ASCII becomes it in lower case
        return None
    name = label.strip(" \t\r\n").lower().replace("-", "_")
    name = aliases.get(name.replace(".", "_"), name)
    return name if name in _CHARSETS else None


def media_type_charset(content_type: str | None) -> str | None:
    """The charset parameter of a Content-Type that we are about to send; None without one."""
    if content_type is None:
        return None
    try:
        return parse_media_type(content_type, policy=Policy.LENIENT, limits=_UNLIMITED).parameters.get("charset")
    except ParseError:
        return None


def check_field(name: str, value: str) -> None:
    """Raise unless a header field can be written as it is (RFC 9110 sections 5.1 and 5.5).

    :raises ValueError: the name is no token, or a control character stands in the value.
    """
    if not _IS_TOKEN(name):
        raise ValueError(f"header field name {name!r} is no token")
    control = _CONTROL(value)
    if control is not None:
        raise ValueError(f"control character {control[0]!r} in the value of header field {name}")


# WHATWG HTML, "multipart/form-data encoding algorithm"; other bytes stay as they are, but for a backslash that would
# be read as the first half of a quoted-pair: the next character may be the closing quote.
_FORM_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_ESCAPING = re.compile(r"\\(?=[\\ \t]|\Z)")
_QUOTES = re.compile(r'(["\\])')
_NOT_ASCII = re.compile(r"[^\x20-\x7e]")


def format_disposition(
    disposition_type: str, parameters: Mapping[str, str], *, quote_fields: bool = True, charset: str = "utf-8"
) -> str:
    """Write a Content-Disposition.

    :param quote_fields: in form-data escape as browsers do; elsewhere add an ext-value for what is not ASCII.
    :param charset: of an ext-value.
    :raises ValueError: the type or a name is no token; a value holds a control character that cannot be escaped.
    """
    if not _IS_TOKEN(disposition_type):
        raise ValueError(f"disposition type {disposition_type!r} is no token")
    is_form = quote_fields and disposition_type.lower() == "form-data"
    written = [disposition_type]
    for name, value in parameters.items():
        if not _IS_TOKEN(name):
            raise ValueError(f"parameter name {name!r} is no token")
        if is_form:
            text = _ESCAPING.sub(r"\\\\", value.translate(_FORM_ESCAPES))
        else:
            text = _QUOTES.sub(r"\\\1", value)
        control = _CONTROL(text)
        if control is not None:
            raise ValueError(f"control character {control[0]!r} in parameter {name}")
        if quote_fields and not is_form and not value.isascii():
            written.append(f'{name}="{_NOT_ASCII.sub("_", text)}"')
            written.append(f"{name}*={charset}''{quote(value, safe='', encoding=charset)}")
        else:
            written.append(f'{name}="{text}"')
    return "; ".join(written)


_ANY_NUMBER = Limits(max_parameters=None)


class BadContentDispositionHeader(RuntimeWarning):
    """A Content-Disposition could not be parsed; the name is aiohttp's."""


class BadContentDispositionParam(RuntimeWarning):
    """A parameter of a Content-Disposition could not be parsed; the name is aiohttp's."""


def parse_content_disposition(header: str | None) -> tuple[str | None, dict[str, str]]:
    """Parse a Content-Disposition as aiohttp does: for bad input it warns and gives ``(None, {})``.

    :param header: the field value; None or empty gives ``(None, {})``.
    :return: disposition type in lower case, and values by parameter name in lower case. An extended parameter is
        decoded and stays under its own name (``filename*``); the sections of a continued one are left as they are,
        for :func:`content_disposition_filename` to join.
    """
    if not header:
        return None, {}
    try:
        match = _DISPOSITION_TYPE(header)
        if match is None:
            raise ParseError("no disposition type")
        found = _parse_parameters(
            header, match.end(), "Content-Disposition", policy=Policy.LENIENT, limits=_ANY_NUMBER, defects=None
        )
    except ParseError:
        raw = _read_raw_backslashes(header)
        if raw is not None:
            return "form-data", raw
        warnings.warn(BadContentDispositionHeader(header), stacklevel=2)
        return None, {}
    unescape = _unescape_form if match[1].lower() == "form-data" else _unescape
    parameters: dict[str, str] = {}
    for parameter in found:
        name = parameter.name
        if name in parameters:
            warnings.warn(BadContentDispositionHeader(header), stacklevel=2)
            return None, {}
        if name.endswith("*") and not _CONTINUATION(name):
            try:
                charset, text = _decode_ext_value(name[:-1], parameter.value)
            except ParseError:
                charset, text = None, ""
            if charset is None or _EXT_CONTROL(text):
                warnings.warn(BadContentDispositionParam(header), stacklevel=2)
            else:
                parameters[name] = text
        else:
            parameters[name] = unescape(parameter)
    return match[1].lower(), parameters


def content_disposition_filename(params: Mapping[str, str], name: str = "filename") -> str | None:
    """The file name among the parameters that :func:`parse_content_disposition` gave, or None.

    :param name: the parameter looked for, without ``*``. The extended form wins, then the plain one, then sections.
    """
    for key in (f"{name}*", name):
        if key in params:
            return params[key]
    sections: _Sections = {}
    for key, value in params.items():
        match = _CONTINUATION(key)
        if match is not None and match[1] == name:
            sections[int(match[2])] = (value, bool(match[3]))
    text = _join_sections(sections) if sections else None
    return None if text is None or _has_control(sections, text) else text
