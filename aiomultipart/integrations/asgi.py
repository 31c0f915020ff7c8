"""Forms of ASGI requests: Starlette, FastAPI, Litestar, Quart, or no framework at all."""

from __future__ import annotations

from typing import Unpack

from multidict import CIMultiDict, CIMultiDictProxy

from aiomultipart.forms.asynchronous import FormOptions, FormReading
from aiomultipart.forms.asynchronous import read_form as read_any_form
from aiomultipart.sources import AsgiBody, AsgiReceive, AsgiScope

__all__ = ("read_form",)

# Of some dozen header fields a form needs these, and to decode the others takes longer than to read a field.
_NEEDED = frozenset({b"content-type", b"content-length", b"content-encoding"})


def read_form(scope: AsgiScope, receive: AsgiReceive, **options: Unpack[FormOptions]) -> FormReading:
    """As :func:`aiomultipart.read_form`, of an ASGI request.

    :param scope: the application's ``scope``; Starlette's ``request.scope``.
    :param receive: its ``receive``; Starlette's ``request.receive``.
    :param options: keywords of :func:`aiomultipart.read_form`, such as ``limits`` and ``targets``.
    :raises IncompleteBody: the client has disconnected; nothing is left behind.
    """
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"] if name.lower() in _NEEDED
    ]
    return read_any_form(CIMultiDictProxy(CIMultiDict(headers)), AsgiBody(receive), **options)
