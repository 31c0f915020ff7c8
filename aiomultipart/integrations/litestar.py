"""Litestar: problem details for what is wrong with a form; the extra ``litestar``. A form is read from the request, by
:func:`aiomultipart.read_form`.
"""

from typing import Any

from litestar import Request, Response

from aiomultipart.exceptions import MultipartError

__all__ = ("answer_problem",)


def answer_problem(request: Request[Any, Any, Any], error: MultipartError) -> Response[dict[str, object]]:  # noqa: ARG001
    """An exception handler: problem details (RFC 9457), with the status of the error.

    ``Litestar(..., exception_handlers={MultipartError: answer_problem})``
    """
    return Response(error.to_problem(), status_code=error.http_status, media_type="application/problem+json")
