"""Forms of WSGI requests: Flask, Bottle, Django, or no framework at all."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Protocol, Unpack

from aiomultipart.exceptions import MultipartError
from aiomultipart.forms.collecting import StreamOptions
from aiomultipart.forms.model import Form
from aiomultipart.forms.synchronous import collect_form

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
def parse_form(environ: Mapping[str, Any], **options: Unpack[StreamOptions]) -> Form:
    """Read the form of a WSGI request.

    :param environ: the application's ``environ``; Flask's ``request.environ``. No more than its ``CONTENT_LENGTH`` is
        read; without one, to the end of a chunked body where the server marks it (``wsgi.input_terminated``), else
        nothing.
    :param options: keywords of :func:`aiomultipart.parse_form`, such as ``limits`` and ``targets``.
    :return: the form; close it, best by ``with``.
    :raises TypeError: a target has only coroutines.
    :raises MultipartError: the form is bad, cut short, or passes a limit. Nothing is left behind.
    """
    length = environ.get("CONTENT_LENGTH") or None
    if length is None and not environ.get("wsgi.input_terminated"):
        length = "0"
    headers = {"Content-Type": environ.get("CONTENT_TYPE") or None, "Content-Length": length}
    given = {name: value for name, value in headers.items() if value is not None}
    return collect_form(given, environ["wsgi.input"], **options)
