"""Forms of WSGI requests: Flask, Bottle, Django, or no framework at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiomultipart.forms.asynchronous import Form, collect_form
from aiomultipart.limits import Limits
from aiomultipart.policy import Policy

__all__ = ("parse_form",)


# Any: an environ holds whatever its server and middleware put there.
def parse_form(
    environ: Mapping[str, Any],
    *,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
    json: bool = False,
) -> Form:
    """Read the form of a WSGI request.

    :param environ: the application's ``environ``; Flask's ``request.environ``. No more than its ``CONTENT_LENGTH`` is
        read; without one, to the end of a chunked body where the server marks it (``wsgi.input_terminated``), else
        nothing.
    :param limits: bounds, ``Limits.for_forms()`` if not given.
    :param policy: how odd constructs are read.
    :param json: parse fields whose Content-Type is JSON.
    :return: the form; close it, best by ``with``. Its files are read through their ``file``.
    :raises MultipartError: the form is bad, cut short, or passes a limit. Nothing is left behind.
    """
    length = environ.get("CONTENT_LENGTH") or None
    if length is None and not environ.get("wsgi.input_terminated"):
        length = "0"
    headers = {"Content-Type": environ.get("CONTENT_TYPE") or None, "Content-Length": length}
    given = {name: value for name, value in headers.items() if value is not None}
    return collect_form(given, environ["wsgi.input"], limits=limits, policy=policy, json=json)
