"""Whole forms without an event loop: :func:`parse_form`, in two shapes.

One gives a :class:`~aiomultipart.Form`, as :func:`~aiomultipart.read_form` does, and has the plain face of each target
do the work. The other calls functions with each field and each complete file, as python-multipart does.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Final, Protocol, TypeAlias, Unpack, overload

from multidict import CIMultiDict

from aiomultipart.exceptions import IncompleteBody, LimitExceeded, MultipartError
from aiomultipart.grammar.fields import HeaderItems, as_multidict
from aiomultipart.grammar.media_type import parse_media_type, sole_content_type
from aiomultipart.limits import Limits, bound
from aiomultipart.parser import END, PART_END, PartBegin
from aiomultipart.policy import Policy
from aiomultipart.targets import (
    AnyTarget,
    Budget,
    Spool,
    SpooledFile,
    Target,
    TargetFactory,
    Targets,
    abort_all_sync,
    as_sync,
    inline,
    run_inline,
)

from .collecting import Collector, StreamOptions
from .events import Field, FormEvent
from .model import Form, UploadedFile
from .multipart import locate
from .parser import FORM_LIMITS, FormParser, content_length

__all__ = ("AnyHeaders", "FormField", "FormFile", "Readable", "collect_form", "parse_form")

_READ_SIZE: Final = 1024 * 1024

AnyHeaders: TypeAlias = Mapping[str, str | bytes | int] | Mapping[bytes, str | bytes | int] | HeaderItems


class Readable(Protocol):
    """What :func:`parse_form` reads from."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""


class FormField:
    """A field, as :func:`parse_form` hands it over.

    :ivar name: as text.
    :ivar text: the value as text.
    :ivar field_name: as bytes, UTF-8; python-multipart's name for it.
    :ivar value: as bytes.
    """

    def __init__(self, field: Field) -> None:
        self.name: str = field.name
        self.text: str = field.value
        self.field_name: bytes = field.name.encode()
        self.value: bytes = field.raw

    def __repr__(self) -> str:
        return f"<FormField {self.name!r} {self.text[:60]!r}>"


class FormFile(UploadedFile[SpooledFile]):
    """A file, as :func:`parse_form` hands it over: an :class:`UploadedFile` with python-multipart's attributes.

    :ivar field_name: as bytes, UTF-8; None for a body that is no form, but one file.
    :ivar file_name: the name that the file had where it came from, as bytes, UTF-8. It is data, not a path.
    """

    def __init__(self, part: PartBegin, spool: Spool) -> None:
        super().__init__(part)
        self.size: int = spool.size
        self.complete(SpooledFile(spool))
        self.field_name: bytes | None = (part.name or "").encode() if part.form_data else None
        self.file_name: bytes | None = None if part.filename is None else part.filename.encode()

    @property
    def file_object(self) -> IO[bytes]:
        """Its bytes as a binary file; it stands at its start the first time."""
        return self.file

    @property
    def in_memory(self) -> bool:
        """Whether its bytes are in memory."""
        return not self.result.closed and not self.on_disk

    def close(self) -> None:
        """Close it; the temporary file is gone."""
        self.result.close()


class _Unset:
    """Stands for a callback that was not given; None is one that does nothing."""


_UNSET: Final = _Unset()
OnField: TypeAlias = Callable[[FormField], object] | None
OnFile: TypeAlias = Callable[[FormFile], object] | None


@overload
def parse_form(
    headers: AnyHeaders,
    body: bytes | bytearray | memoryview | Readable,
    *,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
    targets: Targets | None = None,
    default: TargetFactory | None = None,
    json: bool = False,
) -> Form: ...


@overload
def parse_form(
    headers: AnyHeaders,
    body: bytes | bytearray | memoryview | Readable,
    on_field: OnField,
    on_file: OnFile,
    chunk_size: int = _READ_SIZE,
    *,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
) -> None: ...


def parse_form(
    headers: AnyHeaders,
    body: bytes | bytearray | memoryview | Readable,
    on_field: OnField | _Unset = _UNSET,
    on_file: OnFile | _Unset = _UNSET,
    chunk_size: int = _READ_SIZE,
    *,
    limits: Limits | None = None,
    policy: Policy = Policy.STANDARD,
    targets: Targets | None = None,
    default: TargetFactory | None = None,
    json: bool = False,
) -> Form | None:
    """Read a form without an event loop: multipart/form-data or application/x-www-form-urlencoded.

    :param headers: the header fields of the request; names and values may be bytes.
    :param body: its bytes, or an object with ``read(n)``, such as ``wsgi.input``. No more than the Content-Length is
        read from it.
    :param on_field: called with each field. With it and ``on_file`` there is no form: the signature, and the attributes
        of what is handed over, are python-multipart's. A body of application/octet-stream is then one file.
    :param on_file: called with each file, complete: in memory, or past 1 MiB on disk. It stays open, so close it; it is
        closed if a later part fails.
    :param chunk_size: how much is read at a time, in bytes.
    :param limits: bounds, ``Limits.for_forms()`` if not given.
    :param policy: how odd constructs are read.
    :param targets: where files go, as for :func:`read_form`.
    :param default: makes the target of any other file, as for :func:`read_form`.
    :param json: parse fields whose Content-Type is JSON.
    :return: the form; close it, best by ``with``. None with callbacks.
    :raises MultipartError: the form is bad, cut short, or passes a limit. Nothing is left behind.
    :raises TypeError: a target has only coroutines; none of its bytes have been read.
    :raises ValueError: ``chunk_size`` is less than 1.
    """
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {chunk_size}")
    stream = io.BytesIO(body) if isinstance(body, (bytes, bytearray, memoryview)) else body
    text = _as_text(headers)
    if isinstance(on_field, _Unset) and isinstance(on_file, _Unset):
        return collect_form(
            text,
            stream,
            chunk_size=chunk_size,
            limits=limits,
            policy=policy,
            targets=targets,
            default=default,
            json=json,
        )
    if targets is not None or default is not None or json:
        raise TypeError("targets, default and json are for a form: there is none with callbacks")
    field_to = None if isinstance(on_field, _Unset) else on_field
    file_to = None if isinstance(on_file, _Unset) else on_file
    _hand_over(text, stream, field_to, file_to, chunk_size, limits or FORM_LIMITS, policy)
    return None


def collect_form(
    headers: HeaderItems, stream: Readable, *, chunk_size: int = _READ_SIZE, **options: Unpack[StreamOptions]
) -> Form:
    """Read a form, as :func:`read_form` does with an event loop."""
    collector = _Collector(headers, **options)
    try:
        for events in _events(collector.parser, stream, chunk_size):
            run_inline(collector.take(events))
    except BaseException as exc:
        abort_all_sync(collector.begun, exc)
        raise
    return collector.complete()


class _Collector(Collector):
    """The same without an event loop."""

    def __init__(self, headers: HeaderItems, **options: Unpack[StreamOptions]) -> None:
        super().__init__(headers, **options)
        targets = options.get("targets")
        for target in targets.values() if isinstance(targets, Mapping) else ():
            if not callable(target):
                as_sync(target)

    def adapt(self, target: AnyTarget[object]) -> Target[object]:
        """With both faces: who undoes it may have a loop, or not."""
        return as_sync(target)

    def awaited(self, target: Target[object]) -> Target[object]:
        """What does its work at once."""
        return inline(target)

    async def move_to_disk(self, file: SpooledFile) -> None:
        """At once."""
        file.move_to_disk_sync()


class _Parser(Protocol):
    content_length: int | None

    def feed(self, data: bytes) -> Iterable[FormEvent]: ...

    def close(self) -> Iterable[FormEvent]: ...


def _events(parser: _Parser, stream: Readable, chunk_size: int) -> Iterator[Iterable[FormEvent]]:
    """The events of each chunk."""
    left = parser.content_length
    while left is None or left > 0:
        data = stream.read(chunk_size if left is None else min(left, chunk_size))
        if not data:
            break
        if left is not None:
            left -= len(data)
        yield parser.feed(data)
    yield parser.close()


def _hand_over(
    headers: HeaderItems,
    stream: Readable,
    on_field: OnField,
    on_file: OnFile,
    chunk_size: int,
    limits: Limits,
    policy: Policy,
) -> None:
    parser = _OneFile.of(headers, limits, policy) or FormParser(headers, limits=limits, policy=policy)
    budget = Budget(max_memory=limits.max_memory, max_open_files=limits.max_open_files)
    part: PartBegin | None = None
    with contextlib.ExitStack() as stack:
        spool = Spool()
        try:
            for event in (event for events in _events(parser, stream, chunk_size) for event in events):
                if isinstance(event, Field):
                    if on_field is not None:
                        on_field(FormField(event))
                elif isinstance(event, PartBegin):
                    part, spool = event, Spool(budget=budget, quiet=True)
                    stack.callback(spool.close)
                elif isinstance(event, bytes):
                    spool.write(event)
                elif event is PART_END and part is not None:
                    file = FormFile(part, spool)
                    if on_file is not None:
                        on_file(file)
                    else:
                        file.close()
        except MultipartError as exc:
            if part is not None:
                locate(exc, part)
            raise
        stack.pop_all()


class _OneFile:
    """A body of application/octet-stream, as python-multipart takes it: one file, its name in X-File-Name."""

    def __init__(self, headers: HeaderItems, limits: Limits, policy: Policy) -> None:
        fields = as_multidict(headers)
        self.content_length = content_length(fields.getall("Content-Length", ()))
        self._part = PartBegin(b"Content-Type: application/octet-stream", False, policy, limits)
        self._part.filename = fields.get("X-File-Name")
        self._is_begun = False
        self._size = 0
        size, total = bound(limits.max_part_size), bound(limits.max_total_size)
        self._limit, self._most = ("max_part_size", size) if size <= total else ("max_total_size", total)

    @classmethod
    def of(cls, headers: HeaderItems, limits: Limits, policy: Policy) -> _OneFile | None:
        """For such a body; None for any other."""
        media_type = parse_media_type(sole_content_type(as_multidict(headers)), policy=policy, limits=limits)
        if media_type[:2] != ("application", "octet-stream"):
            return None
        return cls(headers, limits, policy)

    def feed(self, data: bytes) -> Iterable[FormEvent]:
        self._size += len(data)
        if self._size > self._most:
            what = f"body passes {self._limit} of {self._most}"
            raise LimitExceeded(what, limit=self._limit, value=self._most, offset=self._most)
        begun, self._is_begun = self._is_begun, True
        return [data] if begun else [self._part, data]

    def close(self) -> Iterable[FormEvent]:
        if self.content_length is not None and self._size < self.content_length:
            what = f"input ended before the {self.content_length} bytes of Content-Length"
            raise IncompleteBody(what, code="body-cut-short", offset=self._size)
        return [PART_END, END] if self._is_begun else [self._part, PART_END, END]


def _as_text(headers: AnyHeaders) -> HeaderItems:
    pairs = [(_to_str(name), _to_str(value)) for name, value in headers.items()]
    # WSGI has an empty Content-Length where there is none. A Content-Encoding is dropped, so that the Content-Length
    # always holds: reading beyond it may block for ever.
    return CIMultiDict([(name, value) for name, value in pairs if value and name.lower() != "content-encoding"])


def _to_str(value: str | bytes | int) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
