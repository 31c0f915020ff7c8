"""Content-Disposition, read and written: by RFC 7578 in form-data, by RFC 6266, 8187 and 2231 elsewhere."""

from __future__ import annotations

import re
import warnings
from collections.abc import Container, Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import quote, unquote_to_bytes

from aiomultipart.exceptions import ParseError
from aiomultipart.limits import Limits
from aiomultipart.policy import FORGIVE, REJECT, Policy, Rules

from .charsets import lookup_charset
from .fields import TOKEN, Parameter, find_control, is_token, parse_parameters, too_many_parameters, undo_quoted_pairs

__all__ = (
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "Disposition",
    "content_disposition_filename",
    "format_disposition",
    "parse_content_disposition",
    "parse_disposition",
)

# RFC 2183 section 2:  disposition-type = token
_DISPOSITION_TYPE = re.compile(rf"[ \t]*+({TOKEN})", re.ASCII).match

# In form-data these are what a sender escapes. Before anything else "\" is sent raw, as in C:\dir\file.
_FORM_QUOTED_PAIR = re.compile(r'\\(["\\ \t])')
# A form-data disposition whose values may hold backslashes and no quote: what browsers send, who escape the one as %22
# and the other not at all. Chromium's name that ends in "\" has no other reading.
_RAW_BACKSLASHES = re.compile(r'form-data; name="([^"]*+)"(?:; filename="([^"]*+)")?').fullmatch

# RFC 8187 section 3.2.1:  ext-value = charset "'" [ language ] "'" value-chars
_EXT_VALUE = re.compile(rf"({TOKEN.replace(chr(39), '')})'([A-Za-z0-9\-]*+)'(.*+)", re.ASCII | re.DOTALL).fullmatch
_VALUE_CHARS = re.compile(r"[%!#$&+\-.^_`|~0-9A-Za-z]*+", re.ASCII).fullmatch
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})").search
# What no text of an extended value may decode to
_EXT_CONTROL = re.compile(r"[\x00-\x1f\x7f]").search
_FORM_CHARSETS = ("utf_8", "latin_1")
# RFC 2231 section 3:  attribute "*" section [ "*" ]
_CONTINUATION = re.compile(r"([^*]++)\*(0|[1-9][0-9]{0,2})(\*?)", re.ASCII).fullmatch


class Disposition(NamedTuple):
    """A parsed Content-Disposition (RFC 2183, 6266, 7578)."""

    type: str
    """In lower case."""
    parameters: dict[str, str]
    """Values by parameter name in lower case, decoded; ``filename*`` and its like are under the plain name."""
    defects: tuple[str, ...]


# Of a continued parameter, by number: the text, and whether it is percent-encoded
_Sections: TypeAlias = dict[int, tuple[str, bool]]


def _unescape_form(parameter: Parameter) -> str:
    """RFC 7578 section 4.2 as browsers write it (WHATWG): %22 is a quote, a quoted-pair what senders escape."""
    value = parameter.value
    if parameter.quoted:
        if "\\" in value:
            value = _FORM_QUOTED_PAIR.sub(r"\1", value)
        if "%22" in value:
            value = value.replace("%22", '"')
    return value


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
        raise too_many_parameters("Content-Disposition", most)
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
        what = f"{field}: {value[:60]!r} does not begin with a disposition type"
        raise ParseError(what, code="bad-content-disposition")
    plain: dict[str, str] = {}
    extended: dict[str, str] = {}
    sections: dict[str, _Sections] = {}
    defects: list[str] = []
    seen: set[str] = set()
    rules = policy.rules
    for parameter in parse_parameters(value, match.end(), field, policy=policy, limits=limits, defects=defects):
        name = parameter.name
        if name in seen:
            raise ParseError(f"{field}: parameter {name!r} is there twice", code="repeated-parameter")
        seen.add(name)
        if "*" not in name:
            plain[name] = (_unescape_form if form_data else undo_quoted_pairs)(parameter)
            continue
        if form_data and rules.extended_parameter is REJECT:
            what = f"{field}: extended parameter {name!r} in form-data (RFC 7578 section 4.2)"
            raise ParseError(what, code="extended-parameter")
        if name.endswith("*") and name.count("*") == 1:
            extended[name[:-1]] = parameter.value
            continue
        if form_data and rules.continued_parameter is REJECT:
            raise ParseError(f"{field}: continued parameter {name!r} in form-data", code="extended-parameter")
        continuation = _CONTINUATION(name)
        if continuation is not None:
            section = int(continuation[2])
            of_name = sections.setdefault(continuation[1], {})
            if section in of_name:
                what = f"{field}: section {section} of parameter {continuation[1]!r} is there twice"
                raise ParseError(what, code="repeated-parameter")
            of_name[section] = (undo_quoted_pairs(parameter), bool(continuation[3]))
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
                what = f"Content-Disposition: continued parameter {name!r} does not join (RFC 2231)"
                raise ParseError(what, code="bad-extended-parameter")
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
    what = f"Content-Disposition: parameter {name!r} decodes to control characters"
    return ParseError(what, code="control-character")


def _not_supported(name: str, value: str) -> ParseError:
    label = value.partition("'")[0]
    what = f"Content-Disposition: charset {label[:40]!r} of parameter '{name}*' is not supported"
    return ParseError(what, code="unknown-charset")


def _decode_ext_value(name: str, value: str) -> tuple[str | None, str]:
    """The charset and the text of ``name*`` (RFC 8187 section 3.2); None, and the value, in a charset we do not know.

    Quotes around the whole, which some senders add, are let pass.

    :raises ParseError: it is no extended value, or not in its charset.
    """
    match = _EXT_VALUE(value)
    if match is None or not _VALUE_CHARS(match[3]) or _BAD_PERCENT(match[3]):
        what = f"Content-Disposition: '{name}*' is no extended value (RFC 8187)"
        raise ParseError(what, code="bad-extended-parameter")
    charset = lookup_charset(match[1])
    if charset is None:
        return None, value
    try:
        return charset, unquote_to_bytes(match[3]).decode(charset)
    except UnicodeDecodeError as exc:
        what = f"Content-Disposition: parameter '{name}*' is not in charset {match[1]!r}"
        raise ParseError(what, code="bad-extended-parameter") from exc


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
    if not is_token(disposition_type):
        raise ValueError(f"disposition type {disposition_type!r} is no token")
    is_form = quote_fields and disposition_type.lower() == "form-data"
    written = [disposition_type]
    for name, value in parameters.items():
        if not is_token(name):
            raise ValueError(f"parameter name {name!r} is no token")
        if is_form:
            text = _ESCAPING.sub(r"\\\\", value.translate(_FORM_ESCAPES))
        else:
            text = _QUOTES.sub(r"\\\1", value)
        control = find_control(text)
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
            raise ParseError("no disposition type", code="bad-content-disposition")
        found = parse_parameters(
            header, match.end(), "Content-Disposition", policy=Policy.LENIENT, limits=_ANY_NUMBER, defects=None
        )
    except ParseError:
        raw = _read_raw_backslashes(header)
        if raw is not None:
            return "form-data", raw
        warnings.warn(BadContentDispositionHeader(header), stacklevel=2)
        return None, {}
    unescape = _unescape_form if match[1].lower() == "form-data" else undo_quoted_pairs
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
