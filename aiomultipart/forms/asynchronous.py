"""Whole forms with asyncio: :func:`read_form`.

It drives one :class:`.parser.FormParser`. A field becomes text at once; a file goes to its target while it arrives.
Fields and files that are still in memory share one :class:`~aiomultipart.targets.Budget`, and are charged once for each
chunk: when it is used up, files make room by moving to disk, the largest first.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine, Generator, Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol, Unpack

from aiomultipart.exceptions import MultipartError, StateError
from aiomultipart.grammar.fields import HeaderItems
from aiomultipart.limits import Limits
from aiomultipart.parser import PartBegin
from aiomultipart.policy import Policy
from aiomultipart.sources import ByteStream, open_source
from aiomultipart.targets import Target, TargetFactory, Targets, abort_all, as_target

from .collecting import Collector, StreamOptions
from .events import Field, FormEvent, size_in_memory
from .model import Form, UploadedFile
from .multipart import locate

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
    return FormReading(_read(headers, source, on_progress, **options))


async def _read(
    headers: HeaderItems, source: ByteStream, on_progress: Progress | None, **options: Unpack[StreamOptions]
) -> Form:
    return await _Reading(headers, **options).run(source, on_progress)


class _Reading(Collector):
    """One form on its way in."""

    def __init__(self, headers: HeaderItems, **options: Unpack[StreamOptions]) -> None:
        super().__init__(headers, **options)
        # Those that stand in ``targets`` as they are, and those that were begun, with both faces.
        self._chosen: list[object] = []
        self._begun: list[Target[object]] = []
        self._charged = 0  # of what the parser has counted, as long as there are no files

    async def run(self, source: ByteStream, on_progress: Progress | None) -> Form:
        """Read it to its end."""
        body = open_source(source)
        parser, received = self.parser, 0
        try:
            try:
                while (data := await body.receive()) is not None:
                    await self._take(parser.feed(data))
                    if on_progress is not None:
                        received += len(data)
                        told = on_progress(received, parser.content_length)
                        if inspect.isawaitable(told):
                            await told
                await self._take(parser.close())
            finally:
                await body.aclose()
        except BaseException as exc:
            await abort_all(self._begun, exc)
            raise
        self.form.defects = parser.defects
        self.form.holdings.targets = self._begun
        return self.form

    async def _take(self, events: Iterable[FormEvent]) -> None:
        """Take the events of one chunk; fields are charged together, before a file and at the end."""
        if not self.parser.usage.files:
            self._take_fields(events)
            return
        fields: list[Field] = []
        try:
            for event in events:
                if type(event) is Field:
                    fields.append(event)
                elif type(event) is bytes:
                    if self.file is not None:
                        self.file.size += len(event)
                    await self._begun[-1].write(event)
                elif isinstance(event, PartBegin):
                    complete, fields = fields, []
                    await self._add_fields(complete)
                    await self._begin_file(event)
                elif self.file is not None:
                    self.end(self.file, await self._begun[-1].finish())
        except MultipartError as exc:
            if self.file is not None:
                locate(exc, self.file.part)
            await self._add_fields(fields)
            raise
        await self._add_fields(fields)

    def _take_fields(self, events: Iterable[FormEvent]) -> None:
        """As long as there are no files there is nothing that could move, and the parser has counted."""
        for event in events:
            if type(event) is Field:
                try:
                    self.add(event)
                except MultipartError as exc:
                    if event.part is not None:
                        locate(exc, event.part)
                    raise
        memory = self.parser.usage.memory
        self.takes(memory - self._charged)
        self._charged = memory

    async def _add_fields(self, fields: list[Field]) -> None:
        fits = not fields or self.takes(sum(map(size_in_memory, fields)))
        for field in fields:
            try:
                if not fits:
                    await self._take_memory(size_in_memory(field))
                self.add(field)
            except MultipartError as exc:
                if field.part is not None:
                    locate(exc, field.part)
                raise

    async def _begin_file(self, part: PartBegin) -> None:
        file: UploadedFile[Any] = self.begin(part)
        await self._take_memory(size_in_memory(part))
        chosen = self.choose_target(file)
        self.check_new(any(chosen is other for other in self._chosen))
        target = as_target(chosen)
        self._chosen.append(chosen)
        self._begun.append(target)
        try:
            await target.start(file)
        except StateError:
            self._begun.pop()  # it is busy with another part, which is not ours to abort
            raise

    async def _take_memory(self, size: int) -> None:
        while not self.takes(size):
            await self.largest().move_to_disk()
