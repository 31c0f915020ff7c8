"""Media types: Content-Type."""

from __future__ import annotations

import re
from typing import NamedTuple

from multidict import CIMultiDictProxy

from aiomultipart import hdrs
from aiomultipart.exceptions import ParseError
from aiomultipart.limits import DEFAULT_LIMITS, Limits
from aiomultipart.policy import Policy

from .fields import TOKEN, find_control, parse_parameters, undo_quoted_pairs

__all__ = ("MediaType", "media_type_charset", "parse_media_type", "sole_content_type")

# RFC 9110 section 8.3.1:  media-type = type "/" subtype parameters
_MEDIA_TYPE = re.compile(rf"[ \t]*+({TOKEN})/({TOKEN})", re.ASCII).match


def sole_content_type(headers: CIMultiDictProxy[str]) -> str:
    """The Content-Type of a message.

    :raises ParseError: it is missing, or there more than once.
    """
    values = headers.getall(hdrs.CONTENT_TYPE, [])
    if not values:
        raise ParseError("Content-Type: missing", code="missing-content-type")
    if len(values) > 1:
        raise ParseError("Content-Type: there more than once", code="repeated-field")
    return values[0]


class MediaType(NamedTuple):
    """A parsed Content-Type."""

    type: str
    """In lower case, as ``subtype``."""
    subtype: str
    parameters: dict[str, str]
    """Values by parameter name in lower case, quoted-pairs undone."""


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
    control = find_control(value)
    if control is not None:
        raise ParseError(f"{field}: control character {control[0]!r}", code="control-character")
    match = _MEDIA_TYPE(value)
    if match is None:
        raise ParseError(f"{field}: {value[:60]!r} is no media type", code="bad-content-type")
    parameters: dict[str, str] = {}
    limits = limits or DEFAULT_LIMITS
    for parameter in parse_parameters(value, match.end(), field, policy=policy, limits=limits, defects=defects):
        if parameter.name in parameters:
            raise ParseError(f"{field}: parameter {parameter.name!r} is there twice", code="repeated-parameter")
        if parameter.name == "boundary" and not parameter.quoted and "," in parameter.value:
            # Two header fields joined into one look like this.
            raise ParseError(f"{field}: unquoted comma in the boundary parameter", code="bad-boundary")
        parameters[parameter.name] = undo_quoted_pairs(parameter)
    return MediaType(match[1].lower(), match[2].lower(), parameters)


_UNLIMITED = Limits(max_parameters=None)  # for what is ours


def media_type_charset(content_type: str | None) -> str | None:
    """The charset parameter of a Content-Type that we are about to send; None without one."""
    if content_type is None:
        return None
    try:
        return parse_media_type(content_type, policy=Policy.LENIENT, limits=_UNLIMITED).parameters.get("charset")
    except ParseError:
        return None
