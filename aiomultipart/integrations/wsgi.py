"""Forms of WSGI requests: Flask, Bottle, Django, or no framework at all."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol

from aiomultipart.exceptions import MultipartError
from aiomultipart.forms.model import Form
from aiomultipart.forms.synchronous import collect_form
from aiomultipart.limits import Limits
from aiomultipart.policy import Policy
from aiomultipart.targets import TargetFactory, Targets

__all__ = ("answer_problem", "parse_form")


class StartResponse(Protocol):
    """What a WSGI server gives an application to begin its answer."""

    # Any: servers differ in what they give back
    def __call__(self, status: str, headers: list[tuple[str, str]], /) -> Any: ...


def answer_problem(error: MultipartError, start_response: StartResponse) -> list[bytes]:
    """Answer with problem details (RFC 9457), and the status that goes with the error.

    :return: the body.
    """
    body = jsonlib.dumps(error.to_problem()).encode()
    status = HTTPStatus(error.http_status)
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]


# Any: an environ holds whatever its server and middleware put there.
def parse_form(
    environ: Mapping[str, Any],
    *,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
    targets: Targets | None = None,
    default: TargetFactory | None = None,
    json: bool = False,
) -> Form:
    """Read the form of a WSGI request.

    :param environ: the application's ``environ``; Flask's ``request.environ``. No more than its ``CONTENT_LENGTH`` is
        read; without one, to the end of a chunked body where the server marks it (``wsgi.input_terminated``), else
        nothing.
    :param limits: bounds, ``Limits.for_forms()`` if not given.
    :param policy: how odd constructs are read.
    :param targets: where files go, as for :func:`aiomultipart.read_form`.
    :param default: makes the target of any other file, as for :func:`aiomultipart.read_form`.
    :param json: parse fields whose Content-Type is JSON.
    :return: the form; close it, best by ``with``.
    :raises TypeError: a target has only coroutines.
    :raises MultipartError: the form is bad, cut short, or passes a limit. Nothing is left behind.
    """
    length = environ.get("CONTENT_LENGTH") or None
    if length is None and not environ.get("wsgi.input_terminated"):
        length = "0"
    headers = {"Content-Type": environ.get("CONTENT_TYPE") or None, "Content-Length": length}
    given = {name: value for name, value in headers.items() if value is not None}
    return collect_form(
        given, environ["wsgi.input"], limits=limits, policy=policy, targets=targets, default=default, json=json
    )
