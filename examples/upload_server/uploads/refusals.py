"""Answers that say no: JSON, always of the same form."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from aiomultipart import MultipartError

__all__ = ("HANDLERS", "Refused")

_LOG = logging.getLogger("uploads")
_FULL: Final = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


class Refused(Exception):
    """The request is not served.

    :param status: of the answer.
    :param message: for the client.
    :param retry_after: in how many seconds to try again.
    """

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status == 408:
            self.headers["Connection"] = "close"


def _answer(status: int, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"success": False, "error": message}, status, headers)


async def _refused(request: Request, exc: Exception) -> JSONResponse:
    if isinstance(exc, Refused):
        return _answer(exc.status, str(exc), exc.headers)
    if isinstance(exc, MultipartError):
        return _answer(exc.http_status, str(exc))
    if isinstance(exc, HTTPException):
        return _answer(exc.status_code, exc.detail, exc.headers)
    if isinstance(exc, OSError):
        _LOG.error("%s %s failed", request.method, request.url.path, exc_info=exc)
        if exc.errno in _FULL:
            return _answer(507, "there is no room left for this file")
    return _answer(500, "the server has failed; its log says why")


HANDLERS: Final = dict.fromkeys((Refused, MultipartError, HTTPException, OSError, Exception), _refused)
"""For ``exception_handlers`` of Starlette."""
