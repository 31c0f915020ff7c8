"""Forms of ASGI requests: Starlette, FastAPI, Litestar, Quart, or no framework at all."""

from __future__ import annotations

from typing import Unpack

from aiomultipart.form import Form, FormOptions
from aiomultipart.form import read_form as read_any_form
from aiomultipart.streams import AsgiBody, AsgiReceive, AsgiScope, asgi_headers

__all__ = ("read_form",)


async def read_form(scope: AsgiScope, receive: AsgiReceive, **options: Unpack[FormOptions]) -> Form:
    """As :func:`aiomultipart.read_form`, of an ASGI request.

    :param scope: the application's ``scope``; Starlette's ``request.scope``.
    :param receive: its ``receive``; Starlette's ``request.receive``.
    :param options: keywords of :func:`aiomultipart.read_form`, such as ``limits`` and ``targets``.
    :raises IncompleteBody: the client has disconnected; nothing is left behind.
    """
    return await read_any_form(asgi_headers(scope), AsgiBody(receive), **options)
