"""Whole forms: :func:`read_form` for asyncio, :func:`parse_form` for everybody else.

Strategy. Both drive one :class:`.parser.FormParser`. A field becomes text at once; a file goes to its
target while it arrives. Fields and files that are still in memory share one :class:`~aiomultipart.targets.Budget`:
when it is used up, files make room by moving to disk, the largest first.
"""

from __future__ import annotations

import contextlib
import inspect
import json as jsonlib
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Protocol, Self, TypeAlias, TypedDict, TypeVar

from multidict import CIMultiDict, CIMultiDictProxy, MultiDict

from aiomultipart.exceptions import CodecError, MultipartError, RejectedPart, StateError
from aiomultipart.grammar.fields import HeaderItems
from aiomultipart.limits import Limits
from aiomultipart.parser import PART_END, Defect, PartBegin
from aiomultipart.policy import Policy
from aiomultipart.sources import ByteStream, open_source
from aiomultipart.targets import (
    Budget,
    ReceivedPart,
    SavedFile,
    Spool,
    SpooledFile,
    SpooledTarget,
    Target,
    TargetFactory,
    Targets,
    select_target,
)
from aiomultipart.work import to_its_end

from .events import Field, FormEvent, size_in_memory
from .multipart import locate
from .parser import FORM_LIMITS, FormParser

if TYPE_CHECKING:
    import os

__all__ = ("Form", "FormField", "FormFile", "FormValue", "UploadedFile", "parse_form", "read_form")

_READ_SIZE: Final = 64 * 1024
_SYNC_READ_SIZE: Final = 1024 * 1024


class UploadedFile:
    """A file of a form.

    What it says of itself was written by the sender: the name is data, not a path, and the type may be wrong.

    :ivar size: in bytes, decoded; so far, while the file arrives.
    :ivar result: what its target returned: without a target of your own a :class:`SpooledFile`.
    """

    def __init__(self, part: PartBegin) -> None:
        self._part = part
        self.size = 0
        self.result: object = None

    @property
    def name(self) -> str | None:
        """The name of the field."""
        return self._part.name

    @property
    def filename(self) -> str | None:
        """The name that the file had where it came from; see :func:`safe_filename`."""
        return self._part.filename

    @property
    def content_type(self) -> str:
        """``type/subtype`` in lower case; ``application/octet-stream`` if none was sent that can be read."""
        return self._part.content_type or "application/octet-stream"

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The header fields of its part."""
        return self._part.headers

    async def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes from where the last call stopped, all if it is negative; ``b""`` at the end.

        :raises StateError: the form is closed, or the target kept no bytes.
        """
        return await self._spooled().read(size)

    async def seek(self, position: int) -> int:
        """Go to ``position``, in bytes from the start."""
        return await self._spooled().seek(position)

    def iter_chunks(self, size: int = _READ_SIZE) -> AsyncIterator[bytes]:
        """The rest in pieces of 1 to ``size`` bytes."""
        return self._spooled().iter_chunks(size)

    async def save(
        self,
        path: str | os.PathLike[str],
        *,
        hash: str | None = None,  # noqa: A002  (the name is public)
        overwrite: bool = False,
    ) -> SavedFile:
        """Save all of it; the file is there when it is whole, or not at all. A file on disk is moved where it can be.

        :param path: of the file. It is trusted: make no path out of what was received.
        :param hash: name of a hash of ``hashlib`` to compute.
        :param overwrite: replace a file that is there.
        :raises FileExistsError: there is one.
        :raises StateError: the form is closed, or the target kept no bytes.
        """
        return await self._spooled().save(path, hash=hash, overwrite=overwrite)

    @property
    def file(self) -> IO[bytes]:
        """The bytes as a plain binary file, for code that is not async; reading it may block.

        Its position is that of :meth:`read` and :meth:`seek`, and begins at 0.

        :raises StateError: the form is closed, or the target kept no bytes.
        """
        return self._spooled().file_object

    @property
    def in_memory(self) -> bool:
        """Whether its bytes are in memory; not for one that went to a target of your own."""
        return isinstance(self.result, SpooledFile) and not (self.result.rolled or self.result.closed)

    def _spooled(self) -> SpooledFile:
        if isinstance(self.result, SpooledFile):
            return self.result
        raise StateError(f"file {self.name!r} went to its target, which gave {self.result!r}")

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r} {self.filename!r} {self.content_type} {self.size} bytes>"


# str or UploadedFile, with json=True whatever JSON is: which of them, its name tells the reader, but no type checker.
FormValue: TypeAlias = Any


class Form(MultiDict[FormValue]):
    """The fields and files of a form by name, in order: a multidict of ``str`` and :class:`UploadedFile`.

    ``async with`` and ``with`` close it. Then its temporary files are gone; what targets saved elsewhere stays. A copy
    has the same files, and closing either closes them.

    :ivar defects: what the policy has forgiven.
    """

    defects: tuple[Defect, ...] = ()
    _received: Sequence[UploadedFile] = ()  # also those whose entries have been removed since

    # Any: what a multidict is made of
    def __init__(self, *args: Any, **kwargs: FormValue) -> None:
        super().__init__(*args, **kwargs)
        if args and isinstance(args[0], Form):
            self.defects, self._received = args[0].defects, args[0]._received  # noqa: SLF001  (a form too)

    def copy(self) -> Self:
        """The same entries, to be changed independently."""
        return type(self)(self)

    __copy__ = copy

    @property
    def files(self) -> list[UploadedFile]:
        """All files, in order."""
        return [value for value in self.values() if isinstance(value, UploadedFile)]

    async def aclose(self) -> None:
        """Remove the temporary files; a cancellation is held back until that is done."""
        if self._received:
            await to_its_end(self._aclose())

    async def _aclose(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for file in self._spooled():
                stack.push_async_callback(file.aclose)

    def close(self) -> None:
        """The same, without an event loop."""
        with contextlib.ExitStack() as stack:
            for file in self._spooled():
                stack.callback(file.close)

    def _spooled(self) -> Iterator[SpooledFile]:
        results = [file.result for file in self._received]
        while results:
            result = results.pop()
            if isinstance(result, SpooledFile):
                yield result
            elif isinstance(result, tuple):  # of a TeeTarget
                results += result

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Readable(Protocol):
    """What :func:`parse_form` reads from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


class Progress(Protocol):
    """Told of bytes that arrived."""

    def __call__(self, received: int, total: int | None, /) -> object:
        """``total`` is the Content-Length of the request; None if it has none."""


class FormOptions(TypedDict, total=False):
    """The keywords of :func:`read_form`, for the integrations."""

    limits: Limits | None
    policy: Policy
    targets: Targets | None
    default: TargetFactory | None
    json: bool
    on_progress: Progress | None


async def read_form(
    headers: HeaderItems,
    source: ByteStream,
    *,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
    targets: Targets | None = None,
    default: TargetFactory | None = None,
    json: bool = False,
    on_progress: Progress | None = None,
) -> Form:
    """Read a form: multipart/form-data (RFC 7578) or application/x-www-form-urlencoded.

    :param headers: the header fields of the request.
    :param source: its body: anything that :class:`MultipartReader` reads from.
    :param limits: bounds, ``Limits.for_forms()`` if not given. They hold for both kinds of form.
    :param policy: how odd constructs are read.
    :param targets: where files go: factories of targets by field name (which take parts of that name without a
        file name too; a target in place of a factory takes one part), or one factory for all files, whose None leaves a
        file to ``default``. ``max_memory`` and ``max_open_files`` count what goes to ``default``'s own only.
    :param default: makes the target of any other file; a :class:`SpooledTarget` if not given.
    :param json: parse fields whose Content-Type is JSON; parts with a file name stay files.
    :param on_progress: called, and awaited if need be, with the bytes received so far and the Content-Length, or None,
        for each chunk.
    :return: the form; close it, best by ``async with``.
    :raises MultipartError: the form is bad, cut short, or passes a limit.
    :raises Exception: what a target raises, as it is.

    If it raises, or is cancelled, nothing is left behind: what targets made of earlier files is removed too, but for
    what has replaced something and objects that are stored.
    """
    limits = limits or FORM_LIMITS
    parser = FormParser(headers, limits=limits, policy=policy, is_file=_named_in(targets))
    return await _Reading(parser, limits, targets, default, json=json).run(source, on_progress)


def _named_in(targets: Targets | None) -> Callable[[PartBegin], bool] | None:
    if targets is None or not isinstance(targets, Mapping):
        return None
    return lambda part: part.name in targets


class _Reading:
    """One form on its way in."""

    def __init__(
        self,
        parser: FormParser,
        limits: Limits,
        targets: Targets | None,
        default: TargetFactory | None,
        *,
        json: bool,
    ) -> None:
        self._parser = parser
        self._json = json
        self._budget = _budget(limits)
        self._targets = targets
        self._default = default
        self._form = Form()
        self._received: list[UploadedFile] = []
        self._begun: list[Target[object]] = []
        self._file: UploadedFile | None = None  # the one that arrives

    def _spooled_target(self, part: ReceivedPart) -> SpooledTarget:
        """What a file goes to by default."""
        return SpooledTarget(budget=self._budget)

    async def run(self, source: ByteStream, on_progress: Progress | None) -> Form:
        body = open_source(source)
        parser, received = self._parser, 0
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
            if self._begun:
                await to_its_end(self._abort(exc))
            raise
        self._form.defects = parser.defects
        self._form._received = self._received  # noqa: SLF001  (who reads the form fills it)
        return self._form

    async def _take(self, events: Iterable[FormEvent]) -> None:
        """Take the events of one feed(); fields are charged together, before a file and at the end."""
        fields: list[Field] = []
        try:
            for event in events:
                if type(event) is Field:
                    fields.append(event)
                elif type(event) is bytes:
                    if self._file is not None:
                        self._file.size += len(event)
                    await self._begun[-1].write(event)
                elif isinstance(event, PartBegin):
                    complete, fields = fields, []
                    await self._add_fields(complete)
                    await self._begin_file(event)
                elif self._file is not None:
                    await self._finish_file(self._file)
        except MultipartError as exc:
            if self._file is not None:
                locate(exc, self._file._part)  # noqa: SLF001  (nobody else needs to know)
            await self._add_fields(fields)
            raise
        await self._add_fields(fields)

    async def _add_fields(self, fields: list[Field]) -> None:
        """Charge ``fields``, which files may have to make room for, and add them."""
        fits = not fields or self._budget.take(sum(map(size_in_memory, fields)))
        for field in fields:
            try:
                if not fits:
                    await self._take_memory(size_in_memory(field))
                self._form.add(field.name, _value(field) if self._json else field.value)
            except MultipartError as exc:
                if field.part is not None:
                    locate(exc, field.part)
                raise

    async def _begin_file(self, part: PartBegin) -> None:
        file = self._file = UploadedFile(part)
        await self._take_memory(size_in_memory(part))
        target = select_target(self._targets, file, self._default or self._spooled_target)
        if any(target is begun for begun in self._begun):
            # It stands in ``targets`` in place of a factory, for one part.
            raise RejectedPart(f"a second file in field {file.name!r}, whose target is for one", code="second-file")
        self._begun.append(target)
        try:
            await target.start(file)
        except StateError:
            self._begun.pop()  # it is busy with another part, which is not ours to abort
            raise

    async def _finish_file(self, file: UploadedFile) -> None:
        file.result = await self._begun[-1].finish()
        self._file = None
        self._received.append(file)
        self._form.add(file.name or "", file)

    async def _take_memory(self, size: int) -> None:
        while not self._budget.take(size):
            # There is always a file to move: the parser bounds all that is no body of a file.
            file = _largest_in_memory(self._received, self._budget)
            if isinstance(file.result, SpooledFile):
                await file.result.rollover()

    async def _abort(self, error: BaseException) -> None:
        for target in reversed(self._begun):
            try:
                await target.abort()
            except Exception as exc:  # noqa: BLE001  (the first error is the one to know of)
                error.add_note(f"and aborting a target failed: {exc!r}")


def _budget(limits: Limits) -> Budget:
    return Budget(max_memory=limits.max_memory, max_open_files=limits.max_open_files)


F = TypeVar("F", bound=UploadedFile)


def _largest_in_memory(files: Iterable[F], budget: Budget) -> F:
    """The file that moves to disk when something that cannot needs its room."""
    in_memory = [
        file
        for file in files
        if file.size and file.in_memory and isinstance(file.result, SpooledFile) and file.result.counts_in(budget)
    ]
    return max(in_memory, key=lambda file: file.size)


def _value(field: Field) -> FormValue:
    """What a field is when JSON is parsed."""
    if field.part is None:
        return field.value
    content_type = field.part.content_type or ""
    if content_type != "application/json" and not content_type.endswith("+json"):
        return field.value
    try:
        return jsonlib.loads(field.value)
    except (ValueError, RecursionError) as exc:
        raise CodecError(f"field is not JSON: {exc}", code="bad-json", part_name=field.name) from exc


AnyHeaders: TypeAlias = Mapping[str, str | bytes | int] | Mapping[bytes, str | bytes | int] | HeaderItems


class FormField:
    """A field, as :func:`parse_form` hands it over.

    :ivar name: as text.
    :ivar text: the value as text.
    :ivar field_name: as bytes, UTF-8; python-multipart's name for it.
    :ivar value: as bytes.
    """

    def __init__(self, field: Field) -> None:
        self.name = field.name
        self.text = field.value
        self.field_name = field.name.encode()
        self.value = field.raw

    def __repr__(self) -> str:
        return f"<FormField {self.name!r} {self.text[:60]!r}>"


class FormFile(UploadedFile):
    """A file, as :func:`parse_form` hands it over: an :class:`UploadedFile` with python-multipart's attributes.

    :ivar field_name: as bytes, UTF-8.
    :ivar file_name: the name that the file had where it came from, as bytes, UTF-8. It is data, not a path.
    """

    def __init__(self, part: PartBegin, spool: Spool) -> None:
        super().__init__(part)
        self._spool = spool
        self.size = spool.size
        self.result = SpooledFile(spool)
        self.field_name = (part.name or "").encode()
        self.file_name = None if part.filename is None else part.filename.encode()

    @property
    def file_object(self) -> IO[bytes]:
        """Its bytes as a binary file; it stands at its start the first time."""
        return self.file

    def rollover(self) -> None:
        """Move it to disk, if it is not there."""
        self._spool.roll_over()

    def close(self) -> None:
        """Close it; the temporary file is gone."""
        self._spooled().close()


def parse_form(
    headers: AnyHeaders,
    input_stream: Readable,
    on_field: Callable[[FormField], object] | None,
    on_file: Callable[[FormFile], object] | None,
    chunk_size: int = 1024 * 1024,
    *,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
) -> None:
    """Read a form without asyncio: multipart/form-data or application/x-www-form-urlencoded.

    The signature, and the attributes of what it hands over, are python-multipart's.

    :param headers: the header fields of the request; names and values may be bytes.
    :param input_stream: its body: an object with ``read(n)``, such as ``wsgi.input``. No more than the Content-Length
        is read from it.
    :param on_field: called with each field.
    :param on_file: called with each file, complete: in memory, or past 1 MiB on disk. It stays open, so close it; it is
        closed if a later part fails.
    :param chunk_size: how much is read at a time, in bytes.
    :param limits: bounds, ``Limits.for_forms()`` if not given.
    :param policy: how odd constructs are read.
    :raises MultipartError: the form is bad, cut short, or passes a limit.
    :raises ValueError: ``chunk_size`` is less than 1.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {chunk_size}")
    limits = limits or FORM_LIMITS
    parser = FormParser(_as_text(headers), limits=limits, policy=policy)
    with contextlib.closing(_values(parser, input_stream, chunk_size, _budget(limits), quiet=True)) as values:
        for value in values:
            if isinstance(value, Field):
                if on_field is not None:
                    on_field(FormField(value))
            elif on_file is not None:
                on_file(value)
            else:
                value.close()


def collect_form(
    headers: HeaderItems, input_stream: Readable, *, limits: Limits | None, policy: Policy, json: bool
) -> Form:
    """Read a form without asyncio, as :func:`read_form` does with it."""
    limits = limits or FORM_LIMITS
    parser = FormParser(headers, limits=limits, policy=policy)
    budget = _budget(limits)
    form = Form()
    received: list[FormFile] = []
    with contextlib.closing(_values(parser, input_stream, _SYNC_READ_SIZE, budget)) as values:
        for value in values:
            part = value.part if isinstance(value, Field) else value._part  # noqa: SLF001  (as above)
            try:
                while not budget.take(size_in_memory(value if isinstance(value, Field) else value._part)):  # noqa: SLF001
                    _largest_in_memory(received, budget).rollover()
                if isinstance(value, Field):
                    form.add(value.name, _value(value) if json else value.value)
                else:
                    form.add(value.name or "", value)
                    received.append(value)
            except MultipartError as exc:
                if part is not None:
                    locate(exc, part)
                raise
    form.defects = parser.defects
    form._received = received  # noqa: SLF001  (who reads the form fills it)
    return form


def _values(
    parser: FormParser, input_stream: Readable, chunk_size: int, budget: Budget, *, quiet: bool = False
) -> Generator[Field | FormFile, None, None]:
    """Fields and complete files. If anything fails, here or where they go, the files are closed."""
    part: PartBegin | None = None
    with contextlib.ExitStack() as stack:
        try:
            spool = Spool()
            for event in _events(parser, input_stream, chunk_size):
                if isinstance(event, Field):
                    yield event
                elif isinstance(event, PartBegin):
                    part, spool = event, Spool(budget=budget, quiet=quiet)
                    stack.callback(spool.close)
                elif isinstance(event, bytes):
                    spool.write(event)
                elif event is PART_END and part is not None:
                    yield FormFile(part, spool)
        except MultipartError as exc:
            if part is not None:
                locate(exc, part)
            raise
        stack.pop_all()


def _events(parser: FormParser, stream: Readable, chunk_size: int) -> Iterator[FormEvent]:
    left = parser.content_length
    while left is None or left > 0:
        data = stream.read(chunk_size if left is None else min(left, chunk_size))
        if not data:
            break
        if left is not None:
            left -= len(data)
        yield from parser.feed(data)
    yield from parser.close()


def _as_text(headers: AnyHeaders) -> HeaderItems:
    pairs = [(_to_str(name), _to_str(value)) for name, value in headers.items()]
    # WSGI has an empty Content-Length where there is none. A Content-Encoding is dropped, so that the Content-Length
    # always holds: reading beyond it may block for ever.
    return CIMultiDict([(name, value) for name, value in pairs if value and name.lower() != "content-encoding"])


def _to_str(value: str | bytes | int) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
