"""Starlette's own ``request.form()``, through this library's parser, and byte ranges; the extra ``starlette``.

:class:`MultipartRoute` stands in place of Starlette's ``Route``, and nothing else changes: forms are Starlette's
``FormData``, files its ``UploadFile``. :mod:`.fastapi` has the same for FastAPI. Files are written in threads, which
are waited for through anyio, so that this works under trio too. :class:`RangeResponse`, which is apart from that, needs
asyncio.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractAsyncContextManager, aclosing
from io import FileIO
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Final, NoReturn, Self, TypeVar, Unpack, cast

from anyio import CancelScope
from anyio.to_thread import run_sync
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from aiomultipart.exceptions import LimitExceeded, MultipartError, ParseError, UnsupportedMediaType
from aiomultipart.families.range_answers import RangeContent, RangeOptions, answer_ranges
from aiomultipart.forms.events import Field, size_of_field, size_of_file
from aiomultipart.forms.parser import FORM_LIMITS, FormParser
from aiomultipart.limits import Limits, bound
from aiomultipart.parser import PART_END, PartBegin
from aiomultipart.policy import Policy
from aiomultipart.targets.disk import write_all
from aiomultipart.writing.sinks import closing

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.background import BackgroundTask
    from starlette.types import Receive, Scope, Send

__all__ = ("FormRequest", "MultipartRoute", "RangeResponse", "answer_problem", "raise_as_http", "read_form_data")

T = TypeVar("T")

_MIB: Final = 1024 * 1024
_OVERHEAD: Final = 64  # what a bytes object and its place in a list take
MAX_IN_MEMORY: Final = 1 << 20  # bytes of one file, as Starlette has it
# What Starlette says a request without a form has: an empty one.
_NO_FORM: Final = {"not-a-form", "missing-content-type"}


async def answer_problem(request: Request, error: Exception) -> Response:  # noqa: ARG001  (the handler's signature)
    """An exception handler for :exc:`MultipartError`: problem details (RFC 9457), with the status of the error.

    ``Starlette(exception_handlers={MultipartError: answer_problem})``; the same with FastAPI.
    """
    if not isinstance(error, MultipartError):
        raise error
    return JSONResponse(error.to_problem(), error.http_status, media_type="application/problem+json")


def raise_as_http(request: Request, error: MultipartError) -> NoReturn:
    """Raise what bad input is to Starlette.

    :raises MultipartError: the application has an exception handler for it.
    :raises HTTPException: it has none; of the status of the error.
    """
    handlers: Mapping[Any, object] = getattr(request.scope.get("app"), "exception_handlers", {})
    if any(kind in handlers for kind in type(error).__mro__ if issubclass(kind, MultipartError)):
        raise error
    raise HTTPException(error.http_status, str(error)) from error


# The event loop need not hear of each job, and under trio it is the same.
_THREADS: Final = ThreadPoolExecutor(thread_name_prefix="aiomultipart")


async def _done(job: Future[T]) -> T:
    """What ``job`` gives, waited for in a thread of anyio's."""
    return job.result() if job.done() else await run_sync(job.result)


class _Spooled:
    """A file that arrives: bytes are collected, and once the file is on disk a thread writes them, 1 MiB at a time.
    While it does, the next are received.
    """

    def __init__(self, part: PartBegin) -> None:
        # Starlette closes it.
        self._file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(max_size=MAX_IN_MEMORY)  # noqa: SIM115
        raw = [(name.lower().encode(), value.encode()) for name, value in part.headers.items()]
        self.upload = UploadFile(
            cast("BinaryIO", self._file),
            size=0,
            filename=part.filename or "",
            headers=Headers(raw=raw),
        )
        self.size = 0
        self.on_disk = False
        self._raw: FileIO | None = None  # on disk, what is below the buffer of the file
        self._job: Future[Any] | None = None
        self._pieces: list[bytes] = []
        self._held = 0

    async def write(self, data: bytes) -> None:
        self.size += len(data)
        if not self.on_disk:
            self._file.write(data)
            return
        self._pieces.append(data)
        self._held += len(data) + _OVERHEAD
        if self._held >= _MIB:
            await self._flush()

    async def _flush(self) -> None:
        """Begin to write what was collected, when the thread is done with what it has."""
        if self._job is not None:
            await _done(self._job)
        self._job = None
        pieces, self._pieces, self._held = self._pieces, [], 0
        if pieces and self._raw is not None:
            self._job = _THREADS.submit(write_all, self._raw, pieces)

    async def move_to_disk(self) -> None:
        """Have it on disk from now on."""
        self.on_disk = True
        self._job = _THREADS.submit(self._roll_over)
        await _done(self._job)

    def _roll_over(self) -> None:
        self._file.rollover()
        self._file.flush()
        self._raw = FileIO(self._file.fileno(), "r+", closefd=False)

    async def finish(self) -> UploadFile:
        if self.on_disk:
            await self._flush()
            await self._flush()
        self.upload.size = self.size
        await self.upload.seek(0)
        return self.upload

    def close(self) -> None:
        """In a thread: wait for the other one, then close it."""
        if self._job is not None:
            wait([self._job])
        self._file.close()


def _close(files: list[_Spooled]) -> None:
    for file in files:
        file.close()


async def read_form_data(
    headers: Mapping[str, str], stream: AsyncIterator[bytes], *, limits: Limits, policy: Policy = Policy.STANDARD
) -> FormData:
    """Read a form, under asyncio or trio.

    :param headers: of the request.
    :param stream: its body, as ``request.stream()`` gives it.
    :param limits: bounds; ``max_memory`` holds for fields and files in memory together, beyond it files go to disk.
    :param policy: how odd constructs are read.
    :return: the form; an empty one if the request has no Content-Type, or one that is no form.
    :raises MultipartError: the form is bad, cut short, or passes a limit. Nothing is left behind.
    """
    try:
        parser = FormParser(headers, limits=limits, policy=policy, with_unchosen=True)
    except ParseError as exc:
        if isinstance(exc, UnsupportedMediaType) or exc.code in _NO_FORM:
            return FormData()
        raise
    reading = _Reading(parser, limits)
    try:
        async for data in stream:
            await reading.take(data)
        await reading.take(None)
    except BaseException:
        job = _THREADS.submit(_close, reading.files)  # which it does, though this task be cancelled again
        with CancelScope(shield=True):
            await _done(job)
        raise
    return FormData(reading.items)


class _Reading:
    """One form on its way in."""

    def __init__(self, parser: FormParser, limits: Limits) -> None:
        self._parser = parser
        self._limits = limits
        self._most_memory = bound(limits.max_memory)
        self._memory = 0
        self._open_files = 0
        self.files: list[_Spooled] = []
        self.items: list[tuple[str, str | UploadFile]] = []
        self._name = ""

    async def take(self, data: bytes | None) -> None:
        """The next bytes; None at the end."""
        for event in self._parser.close() if data is None else self._parser.feed(data):
            if type(event) is Field:
                self._memory += size_of_field(event.name, event.value)
                self.items.append((event.name, event.value))
            elif type(event) is bytes:
                file = self.files[-1]
                if not file.on_disk:
                    if file.size + len(event) > MAX_IN_MEMORY:
                        await self._move_to_disk(file)
                    else:
                        self._memory += len(event)
                await file.write(event)
            elif type(event) is PartBegin:
                self._name = event.name or ""
                self.files.append(_Spooled(event))
                self._memory += size_of_file(event)
            elif event is PART_END:
                self.items.append((self._name, await self.files[-1].finish()))
            if self._memory > self._most_memory:
                await self._make_room()

    async def _make_room(self) -> None:
        """Files move to disk while there is too little memory, the largest first."""
        while self._memory > self._most_memory:
            in_memory = [file for file in self.files if file.size and not file.on_disk]
            if not in_memory:
                break  # the parser bounds all that is no body of a file
            await self._move_to_disk(max(in_memory, key=lambda file: file.size))

    async def _move_to_disk(self, file: _Spooled) -> None:
        most = bound(self._limits.max_open_files)
        if self._open_files >= most:
            raise LimitExceeded(f"form passes max_open_files of {most}", limit="max_open_files", value=most)
        self._open_files += 1
        self._memory -= file.size
        await file.move_to_disk()


class _Form(AbstractAsyncContextManager[FormData]):
    """What ``request.form()`` gives: awaited, or entered by ``async with``."""

    def __init__(self, request: FormRequest, limits: Limits) -> None:
        self._request = request
        self._limits = limits

    def __await__(self) -> Generator[Any, None, FormData]:
        return self._request.read_form(self._limits).__await__()

    async def __aenter__(self) -> FormData:
        return await self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._request.close()


class FormRequest(Request):
    """A Starlette request whose ``form()`` is read by this library's parser.

    :cvar limits: bounds on its form.
    :cvar policy: how odd constructs are read.
    """

    limits: ClassVar[Limits] = FORM_LIMITS
    policy: ClassVar[Policy] = Policy.STANDARD
    error: MultipartError | None = None
    """What was wrong with its form."""

    def form(
        self,
        *,
        max_files: float | None = None,
        max_fields: float | None = None,
        max_part_size: int | None = None,
    ) -> _Form:
        """The form, awaited or entered by ``async with``.

        :param max_files: in place of that of ``limits``, as Starlette has it.
        :param max_fields: the same.
        :param max_part_size: of a field; ``max_field_size`` of ``limits``.
        :raises HTTPException: the form is bad; of the status of the error. Where the application has an exception
            handler for :exc:`MultipartError`, that is raised.
        """
        given = {"max_files": max_files, "max_fields": max_fields, "max_field_size": max_part_size}
        limits = self.limits
        for name, most in given.items():
            if most is not None:
                limits = limits.replace(**{name: None if most == float("inf") else int(most)})
        return _Form(self, limits)

    async def read_form(self, limits: Limits) -> FormData:
        """Read it, unless it has been."""
        if self._form is None:
            try:
                async with aclosing(self.stream()) as stream:
                    self._form = await read_form_data(self.headers, stream, limits=limits, policy=self.policy)
            except MultipartError as exc:
                self.error = exc
                raise_as_http(self, exc)
        return self._form

    @classmethod
    def configured(cls, *, limits: Limits | None = None, policy: Policy | None = None) -> type[Self]:
        """A subclass with bounds, and a policy, of its own."""
        attributes = {"limits": limits or cls.limits, "policy": policy or cls.policy}
        return cast("type[Self]", type(cls.__name__, (cls,), attributes))


class MultipartRoute(Route):
    """A Starlette ``Route`` whose endpoint gets a :class:`FormRequest`.

    :param endpoint: a function, plain or async, that takes the request.
    :raises TypeError: the endpoint is a class, which makes requests by itself.
    """

    request_class: ClassVar[type[FormRequest]] = FormRequest

    def __init__(self, path: str, endpoint: Callable[..., Any], **kwargs: Any) -> None:
        if inspect.isclass(endpoint):
            raise TypeError(f"the endpoint of a MultipartRoute is a function, not the class {endpoint.__name__}")
        super().__init__(path, self._with_form(endpoint), **kwargs)

    @classmethod
    def configured(cls, *, limits: Limits | None = None, policy: Policy | None = None) -> type[Self]:
        """A subclass whose forms have bounds, and a policy, of their own."""
        request_class = cls.request_class.configured(limits=limits, policy=policy)
        return cast("type[Self]", type(cls.__name__, (cls,), {"request_class": request_class}))

    def _with_form(self, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        request_class = self.request_class
        if inspect.iscoroutinefunction(inspect.unwrap(getattr(endpoint, "func", endpoint))):

            @functools.wraps(endpoint)
            async def call_async(request: Request) -> Any:
                return await endpoint(request_class(request.scope, request.receive))

            return call_async

        @functools.wraps(endpoint)
        def call(request: Request) -> Any:
            return endpoint(request_class(request.scope, request.receive))

        return call


class RangeResponse(Response):
    """A file, or bytes: the whole, or the ranges that the request asks for, as :func:`aiomultipart.answer_ranges`.

    To be returned from an endpoint of Starlette or FastAPI. Where there is no such file the answer is 404, where it may
    not be read 403.

    :param content: bytes, or the path of a file.
    :param headers: more header fields.
    :param background: what to do after it has been sent.
    :param options: keywords of :func:`aiomultipart.answer_ranges`, such as ``content_type`` and ``etag``.
    :raises StateError: when it is sent: the file has become shorter meanwhile; what was sent is not complete.
    """

    def __init__(
        self,
        content: RangeContent,
        *,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
        **options: Unpack[RangeOptions],
    ) -> None:
        super().__init__(headers=headers, background=background)
        del self.headers["content-length"]  # of no content
        self._content = content
        self._options = options

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            answer = await answer_ranges(Headers(scope=scope), self._content, method=scope["method"], **self._options)
        except (FileNotFoundError, NotADirectoryError, PermissionError) as exc:
            raise HTTPException(403 if isinstance(exc, PermissionError) else 404) from exc
        async with answer, closing(answer.body.as_chunks()) as chunks:
            response = StreamingResponse(chunks, answer.status, background=self.background)
            self.headers.update(answer.headers)
            response.raw_headers = self.raw_headers
            await response(scope, receive, send)
