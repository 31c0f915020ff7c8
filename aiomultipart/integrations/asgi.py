"""Forms of ASGI requests: Starlette, FastAPI, Litestar, Quart, or no framework at all."""

from __future__ import annotations

from aiomultipart.form import Form, Progress
from aiomultipart.form import read_form as read_any_form
from aiomultipart.limits import Limits, Policy
from aiomultipart.streams import AsgiBody, AsgiReceive, AsgiScope, asgi_headers
from aiomultipart.targets import TargetFactory, Targets

__all__ = ("read_form",)


async def read_form(
    scope: AsgiScope,
    receive: AsgiReceive,
    *,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
    targets: Targets | None = None,
    default: TargetFactory | None = None,
    json: bool = False,
    on_progress: Progress | None = None,
) -> Form:
    """As :func:`aiomultipart.read_form`, of an ASGI request.

    :param scope: the application's ``scope``; Starlette's ``request.scope``.
    :param receive: its ``receive``; Starlette's ``request.receive``.
    :raises IncompleteBody: the client has disconnected; nothing is left behind.
    """
    return await read_any_form(
        asgi_headers(scope),
        AsgiBody(receive),
        limits=limits,
        policy=policy,
        targets=targets,
        default=default,
        json=json,
        on_progress=on_progress,
    )
