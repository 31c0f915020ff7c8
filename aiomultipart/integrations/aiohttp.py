"""aiohttp, both ways.

Sending: once this module is imported, ``session.post(url, data=writer)`` and ``web.Response(body=writer)`` carry the
writer's Content-Type, and its Content-Length when the size is known. Receiving: :func:`read_form`. Serving byte ranges:
:class:`RangeResponse`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Unpack

from aiohttp import ClientError, StreamReader, web
from aiohttp import payload as aiohttp_payload
from aiohttp.abc import AbstractStreamWriter

from aiomultipart.exceptions import IncompleteBody, MultipartError
from aiomultipart.families.range_answers import RangeContent, RangeOptions, answer_ranges
from aiomultipart.forms.asynchronous import FormOptions, FormReading
from aiomultipart.forms.asynchronous import read_form as read_any_form
from aiomultipart.writing.payloads.base import Payload

__all__ = ("AiohttpPayload", "RangeResponse", "answer_problems", "read_form")


class AiohttpPayload(aiohttp_payload.Payload):
    """One of our payloads, a :class:`~aiomultipart.MultipartWriter` above all, as one of aiohttp's."""

    _value: Payload

    def __init__(self, value: Payload, *args: Any, **kwargs: Any) -> None:
        super().__init__(value, headers=value.headers, content_type=value.content_type)

    @property
    def size(self) -> int | None:
        """How many bytes it is now; None when that is not known."""
        return self._value.size

    @property
    def consumed(self) -> bool:
        """Whether it has been sent and cannot be sent again."""
        return self._value.consumed

    @property
    def autoclose(self) -> bool:
        """Whether there is nothing to close."""
        return self._value.autoclose

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write all bytes."""
        await self._value.write(writer)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write at most ``content_length`` bytes."""
        await self._value.write_with_length(writer, content_length)

    async def as_bytes(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """All bytes."""
        return await self._value.as_bytes(encoding, errors)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """All bytes as text."""
        return self._value.decode(encoding, errors)

    async def close(self) -> None:
        """Files belong to the writer, which may be sent again."""


aiohttp_payload.PAYLOAD_REGISTRY.register(AiohttpPayload, Payload, order=aiohttp_payload.Order.try_first)


class _Body:
    """The body of a request; what goes wrong with it is an error of ours."""

    def __init__(self, content: StreamReader) -> None:
        self._content = content

    async def read(self, n: int, /) -> bytes:
        try:
            return await self._content.read(n)
        except Exception as exc:
            if self._content.exception() is None:
                raise  # two tasks read, for instance
            if isinstance(exc, (ClientError, ConnectionError)):
                raise IncompleteBody("the client has disconnected", code="disconnected") from exc
            what = f"the rest of the body cannot be received: {exc}"
            raise IncompleteBody(what, code="broken-transfer") from exc


def read_form(request: web.BaseRequest, **options: Unpack[FormOptions]) -> FormReading:
    """As :func:`aiomultipart.read_form`, of a request to an aiohttp server.

    ``client_max_size`` of the application does not hold here: ``limits`` does.

    :param options: keywords of :func:`aiomultipart.read_form`, such as ``limits`` and ``targets``.
    :raises IncompleteBody: the client has disconnected, or its chunks or Content-Encoding are broken; nothing is left
        behind.
    """
    return read_any_form(request.headers, _Body(request.content), **options)


class RangeResponse(web.StreamResponse):
    """A file, or bytes: the whole, or the ranges that the request asks for, as :func:`aiomultipart.answer_ranges`.

    To be returned from a handler. Where there is no such file the answer is 404, where it may not be read 403.

    :param content: bytes, or the path of a file.
    :param headers: more header fields.
    :param options: keywords of :func:`aiomultipart.answer_ranges`, such as ``content_type`` and ``etag``.
    """

    def __init__(
        self, content: RangeContent, *, headers: Mapping[str, str] | None = None, **options: Unpack[RangeOptions]
    ) -> None:
        super().__init__(headers=headers)
        self._content = content
        self._options = options

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send all of it.

        :raises StateError: the file has become shorter meanwhile; what was sent is not complete.
        """
        if self.prepared:
            return await super().prepare(request)
        try:
            answer = await answer_ranges(request.headers, self._content, method=request.method, **self._options)
        except (FileNotFoundError, NotADirectoryError, PermissionError) as exc:
            self.set_status(403 if isinstance(exc, PermissionError) else 404)
            self.content_length = 0
            return await super().prepare(request)
        async with answer:
            self.set_status(answer.status)
            self.headers.update(answer.headers)
            writer = await super().prepare(request)
            await answer.body.write(self)
            await self.write_eof()
        return writer


@web.middleware
async def answer_problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A middleware: a :exc:`MultipartError` is answered with problem details (RFC 9457), and its status.

    ``web.Application(middlewares=[answer_problems])``.
    """
    try:
        return await handler(request)
    except MultipartError as exc:
        problem, status = exc.to_problem(), exc.http_status
        return web.json_response(problem, status=status, content_type="application/problem+json")
