"""Whole forms with asyncio: :func:`read_form`. It reads the source, and gives a :class:`.collecting.Collector` what the
parser makes of that.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

from aiomultipart.grammar.fields import HeaderItems
from aiomultipart.limits import Limits
from aiomultipart.policy import Policy
from aiomultipart.sources import ByteStream, open_source
from aiomultipart.targets import TargetFactory, Targets, abort_all

from .collecting import Collector, StreamOptions
from .model import Form

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ("FormOptions", "FormReading", "Progress", "read_form")


class Progress(Protocol):
    """Told of bytes that arrived."""

    def __call__(self, received: int, total: int | None, /) -> object:
        """``total`` is the Content-Length of the request; None if it has none."""


class FormOptions(StreamOptions, total=False):
    """The keywords of :func:`read_form`, for the integrations."""

    on_progress: Progress | None


class FormReading(Coroutine[Any, Any, Form], AbstractAsyncContextManager[Form]):
    """A form to be read: awaited, or entered by ``async with``, which closes it."""

    __slots__ = ("_coroutine", "_form")

    _form: Form

    def __init__(self, coroutine: Coroutine[Any, Any, Form]) -> None:
        self._coroutine = coroutine

    # Any: what a coroutine is made of
    def __await__(self) -> Generator[Any, Any, Form]:
        return self._coroutine.__await__()

    def send(self, value: Any, /) -> Any:
        """As of any coroutine."""
        return self._coroutine.send(value)

    def throw(self, *args: Any) -> Any:
        """As of any coroutine."""
        return self._coroutine.throw(*args)

    def close(self) -> None:
        """As of any coroutine."""
        self._coroutine.close()

    async def __aenter__(self) -> Form:
        self._form = await self._coroutine
        return self._form

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._form.__aexit__(exc_type, exc, traceback)


def read_form(
    headers: HeaderItems,
    source: ByteStream,
    *,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
    targets: Targets | None = None,
    default: TargetFactory | None = None,
    json: bool = False,
    on_progress: Progress | None = None,
) -> FormReading:
    """Read a form: multipart/form-data (RFC 7578) or application/x-www-form-urlencoded.

    :param headers: the header fields of the request.
    :param source: its body: anything that :class:`MultipartReader` reads from.
    :param limits: bounds, ``Limits.for_forms()`` if not given. They hold for both kinds of form.
    :param policy: how odd constructs are read.
    :param targets: where files go: factories of targets by field name (which take parts of that name without a
        file name too; a target in place of a factory takes one part), or one factory for all files, whose None leaves a
        file to ``default``. ``max_memory`` and ``max_open_files`` count what goes to ``default``'s own only.
    :param default: makes the target of any other file; a :class:`SpooledTarget` if not given.
    :param json: parse fields whose Content-Type is JSON; parts with a file name stay files. Then a field is whatever
        JSON is, though its type says ``str``.
    :param on_progress: called, and awaited if need be, with the bytes received so far and the Content-Length, or None,
        for each chunk.
    :return: the form, when it is awaited; close it then. Or by ``async with read_form(...) as form``, which closes it.
    :raises MultipartError: the form is bad, cut short, or passes a limit.
    :raises Exception: what a target raises, as it is.

    If it raises, or is cancelled, nothing is left behind: what targets made of earlier files is removed too, but for
    what has replaced something and objects that are stored. So it is when the block of ``async with`` is left by an
    exception.
    """
    options = StreamOptions(limits=limits, policy=policy, targets=targets, default=default, json=json)
    return FormReading(_read(headers, source, on_progress, options))


async def _read(headers: HeaderItems, source: ByteStream, on_progress: Progress | None, options: StreamOptions) -> Form:
    collector = Collector(headers, **options)
    parser, take, received = collector.parser, collector.take, 0
    body = open_source(source)
    try:
        try:
            while (data := await body.receive()) is not None:
                await take(parser.feed(data))
                if on_progress is not None:
                    received += len(data)
                    told = on_progress(received, parser.content_length)
                    if inspect.isawaitable(told):
                        await told
            await take(parser.close())
        finally:
            await body.aclose()
    except BaseException as exc:
        await abort_all(collector.begun, exc)
        raise
    return collector.complete()
