"""Answers that say no: JSON, always of the same form, in words for who has sent the file.

``error`` is for people, ``code`` for programs, ``detail`` for who looks for a fault; ``file`` is the number of the file
that is at fault, from 0, where it is one file's.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from aiomultipart import IncompleteBody, LimitExceeded, MultipartError

__all__ = ("HANDLERS", "Refused", "refusal_of")

_LOG = logging.getLogger("uploads")
_FULL: Final = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}


# By code; what is not here has the words for its status.
_WORDS: Final = {
    "max-part-size": "the file is larger than {size}",
    "max-decoded-size": "the file is larger than {size}",
    "max-total-size": "together the files are larger than {size}",
    "max-field-size": "a text is longer than {size}",
    "content-type-not-accepted": "files of this type are not taken here",
    "no-close-delimiter": "the upload was cut off; send it again",
    "body-cut-short": "the upload was cut off; send it again",
    "disconnected": "the upload was cut off; send it again",
    "broken-transfer": "the upload was cut off; send it again",
    "empty-body": "nothing has arrived; send it again",
}
_WORDS_OF_STATUS: Final = {
    413: "there is too much in this upload",
    415: "a file like this is not taken here",
}
_OTHERWISE: Final = "the upload cannot be read; load the page again, then send it again"


class Refused(Exception):
    """The request is not served.

    :param status: of the answer.
    :param message: for who has sent it.
    :param code: for programs.
    :param detail: for who looks for a fault.
    :param part_name: the field, where one part is at fault.
    :param retry_after: in how many seconds to try again.
    :ivar file: the number of the file that is at fault, from 0; None where it is no file's.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "refused",
        detail: str | None = None,
        part_name: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.detail = detail
        self.part_name = part_name
        self.file: int | None = None
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status == 408:
            self.headers["Connection"] = "close"


def refusal_of(error: MultipartError) -> Refused:
    """The same in plain words."""
    words = _WORDS.get(error.code) or _WORDS_OF_STATUS.get(error.http_status, _OTHERWISE)
    if isinstance(error, LimitExceeded):
        words = words.format(size=_size_text(error.value or 0))
    is_of_all = isinstance(error, IncompleteBody) or error.code == "max-total-size"
    name = None if is_of_all else error.part_name
    return Refused(error.http_status, words, code=error.code, detail=str(error), part_name=name)


def _size_text(size: float) -> str:
    """A number of bytes, as people write it."""
    units = iter(("bytes", "KiB", "MiB", "GiB"))
    unit = next(units)
    while size >= 1024 and (larger := next(units, None)):
        size, unit = size / 1024, larger
    return f"{size:.4g} {unit}"


def _answer(
    status: int,
    message: str,
    headers: Mapping[str, str] | None = None,
    *,
    code: str = "refused",
    detail: str | None = None,
    file: int | None = None,
) -> JSONResponse:
    answer = {"success": False, "error": message, "code": code, "detail": detail, "file": file}
    return JSONResponse(answer, status, headers)


async def _refused(request: Request, exc: Exception) -> JSONResponse:
    if isinstance(exc, MultipartError):
        exc = refusal_of(exc)
    if isinstance(exc, Refused):
        return _answer(exc.status, str(exc), exc.headers, code=exc.code, detail=exc.detail, file=exc.file)
    if isinstance(exc, HTTPException):
        return _answer(exc.status_code, exc.detail, exc.headers)
    if isinstance(exc, OSError):
        _LOG.error("%s %s failed", request.method, request.url.path, exc_info=exc)
        if exc.errno in _FULL:
            return _answer(507, "there is no room left for this file", code="disk-full")
    return _answer(500, "the server has failed; its log says why", code="failed")


HANDLERS: Final = dict.fromkeys((Refused, MultipartError, HTTPException, OSError, Exception), _refused)
"""For ``exception_handlers`` of Starlette."""
