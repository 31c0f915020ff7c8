"""The boundary parameter of a multipart media type."""

from __future__ import annotations

import re

from aiomultipart.exceptions import LimitExceeded, ParseError
from aiomultipart.limits import Limits
from aiomultipart.policy import REJECT, Policy

from .media_type import MediaType

__all__ = ("check_boundary", "parse_boundary")

# RFC 2046 section 5.1.1:  bchars; a space may not come last
BCHARS_NO_SPACE = r"0-9A-Za-z'()+_,\-./:=?"
_BCHARS = re.compile(rf"[{BCHARS_NO_SPACE} ]*+", re.ASCII).fullmatch
# What every policy accepts
_is_usual = re.compile(rf"[{BCHARS_NO_SPACE}]++", re.ASCII).fullmatch


def parse_boundary(media_type: MediaType, *, policy: Policy, limits: Limits, field: str = "Content-Type") -> str:
    """The boundary parameter of a multipart media type, checked (RFC 2046 section 5.1.1).

    :raises ParseError: it is missing, or is no boundary under ``policy``.
    :raises LimitExceeded: ``max_boundary_length``.
    """
    parameters = media_type.parameters
    for name in parameters:
        if name.startswith("boundary*"):
            raise ParseError(f"{field}: extended parameter {name!r} in place of a boundary", code="bad-boundary")
    if "boundary" not in parameters:
        what = f"{field}: {media_type.type}/{media_type.subtype} without a boundary parameter"
        raise ParseError(what, code="missing-boundary")
    boundary = parameters["boundary"]
    check_boundary(boundary, policy=policy, limits=limits, field=field)
    return boundary


def check_boundary(boundary: str, *, policy: Policy, limits: Limits, field: str = "boundary") -> None:
    """Raise unless ``boundary`` can delimit parts under ``policy``.

    :raises ParseError: it is empty, holds a control or non-ASCII character, ends in white space (which would be read as
        transport padding); under STRICT, holds what RFC 2046 does not allow.
    :raises LimitExceeded: ``max_boundary_length``.
    """
    most = limits.max_boundary_length
    if _is_usual(boundary) and (most is None or len(boundary) <= most):
        return
    if not boundary:
        raise ParseError(f"{field}: empty boundary", code="bad-boundary")
    if most is not None and len(boundary) > most:
        raise LimitExceeded(
            f"{field}: boundary of {len(boundary)} characters, over {most}", limit="max_boundary_length", value=most
        )
    if (
        not (boundary.isascii() and boundary.isprintable())
        or boundary[-1] == " "
        or (policy.rules.boundary_outside_bchars is REJECT and not _BCHARS(boundary))
    ):
        what = f"{field}: boundary {boundary!r} holds a character that no boundary has"
        raise ParseError(what, code="bad-boundary")
