"""Frames, one after the other: from a connection, and after it fails from the next one.

Rules:

* No task is made to read, but for ``latest``: to have the newest frame one has to read while nobody asks. It ends with
  the loop, or with the block of ``async with``.
* What came before an error is given before the error.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from inspect import isawaitable
from types import TracebackType
from typing import Any, Self, TypeAlias

from multidict import CIMultiDictProxy

from aiomultipart.exceptions import IncompleteBody, MultipartError, ParseError, StateError
from aiomultipart.limits import MIB, Limits
from aiomultipart.parser import Defect, PartBegin
from aiomultipart.policy import Policy
from aiomultipart.reading.response import named

from .connection import Connection, Options, Take

__all__ = ("Frame", "FrameReader", "frames")

_LIMITS = Limits(max_part_size=16 * MIB)

# Any: a response of aiohttp's or httpx's, a stream, or a context manager that gives one.
Opener: TypeAlias = Callable[[], Any]
Backoff: TypeAlias = Callable[[int, Exception], float | None]


class Frame:
    """One picture of a stream."""

    __slots__ = ("_begin", "complete", "data", "index", "received_at")

    def __init__(self, data: bytes, begin: PartBegin, index: int, received_at: float, complete: bool) -> None:
        self.data: bytes = data
        """Its bytes."""
        self.index: int = index
        """Which frame of those that have arrived it is, from 0; what ``latest`` has dropped counts too."""
        self.received_at: float = received_at
        """When its last byte arrived, in seconds since the epoch, as ``time.time()`` gives."""
        self.complete: bool = complete
        """False for the last frame of a stream that ended without a delimiter, where no Content-Length says how long
        the frame is: it may have been cut short."""
        self._begin = begin

    def __repr__(self) -> str:
        return f"<Frame {self.index}: {self.content_type}, {len(self.data)} bytes>"

    @property
    def content_type(self) -> str | None:
        """``image/jpeg`` mostly, in lower case; None without a Content-Type."""
        return self._begin.content_type

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """All header fields of the part."""
        return self._begin.headers


async def _open(opener: Opener, options: Options) -> Connection:
    """Call ``opener``; the connection gives back at its end whatever that gave."""
    async with AsyncExitStack() as resources:
        opened = opener()
        if hasattr(opened, "__aenter__"):
            opened = await resources.enter_async_context(opened)
        elif isawaitable(opened):
            opened = await opened
        connection = _connect(opened, options, resources)
        connection.resources = resources.pop_all()
        return connection


def _connect(opened: Any, options: Options, resources: AsyncExitStack) -> Connection:
    """A connection over a response or a stream; a response is given back with ``resources``."""
    if not hasattr(opened, "headers"):
        return Connection(opened, options, resources)
    resources.push_async_callback(_give_back, opened)
    try:
        return Connection(opened, options, resources)
    except ParseError as exc:
        raise named(exc, opened) from None


async def _give_back(response: Any) -> None:
    close = getattr(response, "aclose", None)
    result = response.release() if close is None else close()
    if isawaitable(result):
        await result


class _Line:
    """One connection after the other, as far as the caller's back-off goes.

    :param opener: what opens one; None where there is only the one that is given.
    """

    def __init__(
        self,
        opener: Opener | None,
        options: Options,
        connection: Connection | None,
        idle_timeout: float | None,
        backoff: Backoff | None,
    ) -> None:
        self.connection = connection
        self.reconnections: int = 0
        self._opener = opener
        self._options = options
        self._idle_timeout = idle_timeout
        self._backoff = backoff
        self._failures = 0  # since a frame has come
        self._pause: float | None = None  # before the stream is opened anew

    async def read(self, take: Take) -> bool:
        """Read until a frame has come; or less, where there is a reason to ask again.

        :return: False at the end.
        """
        if self._pause is not None:
            await asyncio.sleep(self._pause)
            self._pause = None
            self.reconnections += 1
        try:
            if self._idle_timeout is None:
                return await self._read(take)
            async with asyncio.timeout(self._idle_timeout) as timer:
                return await self._read(take)
        except Exception as exc:  # noqa: BLE001  (of whatever client; it comes out, unless the caller wants to go on)
            error: Exception = exc
            if isinstance(exc, TimeoutError) and self._idle_timeout is not None and timer.expired():
                error = IncompleteBody(f"no frame for {self._idle_timeout:g} seconds", code="idle-timeout")
        if self.connection is not None and self.connection.frames:
            self._failures = 0
        await self.aclose()
        self._failures += 1
        if self._backoff is not None and not isinstance(error, (StateError, TypeError)):
            self._pause = self._backoff(self._failures, error)
        if self._pause is None:
            raise error
        return True

    async def _read(self, take: Take) -> bool:
        connection = self.connection
        if connection is None:
            if self._opener is None:
                return False
            connection = self.connection = await _open(self._opener, self._options)
        before = connection.frames
        while connection.frames == before and not connection.ended:
            await connection.read(take)
        if not connection.ended or connection.frames > before:
            return True
        if connection.cut and self._backoff is not None:
            raise IncompleteBody("the stream ended without a close-delimiter", code="no-close-delimiter")
        await self.aclose()
        return False

    async def aclose(self) -> None:
        """Close the connection, if there is one."""
        connection, self.connection = self.connection, None
        if connection is not None:
            await connection.aclose()


class FrameReader:
    """The frames of a stream; :func:`frames` makes it.

    ``async for frame in frames(...)`` closes the stream when the loop is left. In a block of ``async with frames(...)
    as stream`` it stays open until the end of the block, and ``await anext(stream)`` gives single frames. One task
    reads. A wait that is cancelled loses nothing, where what is read from survives that.
    """

    def __init__(self, line: _Line, latest: bool) -> None:
        self.received: int = 0
        """How many frames have arrived."""
        self.dropped: int = 0
        """How many of them ``latest`` has dropped, because the next one came before they were asked for."""
        self._line = line
        self._latest = latest
        self._ready: deque[Frame] = deque()
        self._ended: Exception | None = None  # what is raised from now on
        self._busy = False  # a task waits
        self._entered = False  # by "async with"
        self._task: asyncio.Task[None] | None = None  # which reads, for the latest
        self._come = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.received} received, {self.dropped} dropped>"

    @property
    def reconnections(self) -> int:
        """How often the stream was opened anew."""
        return self._line.reconnections

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the policy has forgiven since the stream was opened; of many the last ones."""
        connection = self._line.connection
        return () if connection is None else connection.defects

    async def __aenter__(self) -> Self:
        self._entered = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def __aiter__(self) -> AsyncGenerator[Frame]:
        ready = self._ready
        try:
            while ready or await self._more():
                yield ready.popleft()
        finally:
            if not self._entered:
                await self.aclose()

    async def __anext__(self) -> Frame:
        """The next frame.

        :raises StopAsyncIteration: the stream has ended.
        :raises MultipartError: what is read is bad, passes a limit, or was silent for too long.
        :raises StateError: another task is waiting, or the stream was closed before its end.
        """
        if not self._ready and not await self._more():
            raise StopAsyncIteration
        return self._ready.popleft()

    async def aclose(self) -> None:
        """Stop reading, and give back the response. A caller's own stream stays open, but for an async generator.

        :raises StateError: another task is waiting for a frame.
        """
        self._check_idle()
        self._ended = self._ended or StateError("the frames were closed before the stream's end")
        self._ready.clear()
        task, self._task = self._task, None
        try:
            if task is not None:
                task.cancel()
                await asyncio.wait((task,))
        finally:
            await self._line.aclose()

    def _check_idle(self) -> None:
        if self._busy:
            raise StateError("another task is waiting for a frame: one task reads, and hands on")

    async def _more(self) -> bool:
        """Wait for a frame; False at the end."""
        self._check_idle()
        self._busy = True
        try:
            if self._latest and self._task is None:
                self._task = asyncio.create_task(self._read_on())
            while not self._ready and self._ended is None:
                if self._latest:
                    self._come.clear()
                    await self._come.wait()
                else:
                    await self._read()
        finally:
            self._busy = False
        if self._ready or isinstance(self._ended, StopAsyncIteration):
            return bool(self._ready)
        if isinstance(self._ended, MultipartError):
            raise self._ended.fresh()
        raise self._ended or StateError("no frame has come")

    async def _read_on(self) -> None:
        """Read to the end, and keep the newest frame."""
        try:
            while self._ended is None:
                await self._read()
                self._come.set()
        finally:
            # Who is cancelled by what it reads from, or by others, must not leave somebody waiting.
            if self._ended is None:
                self._ended = StateError("the task that reads the frames was cancelled")
            self._come.set()

    async def _read(self) -> None:
        """Read a frame, or learn why there is none."""
        try:
            if not await self._line.read(self._take):
                self._ended = StopAsyncIteration()
        except Exception as exc:  # noqa: BLE001  (the frames before it come first)
            self._ended = exc

    def _take(self, data: bytes, begin: PartBegin, complete: bool) -> None:
        if self._latest and self._ready:
            self._ready.clear()
            self.dropped += 1
        self._ready.append(Frame(data, begin, self.received, time.time(), complete))
        self.received += 1


def frames(
    source: Any,
    *,
    content_type: str | None = None,
    latest: bool = False,
    idle_timeout: float | None = None,
    backoff: Backoff | None = None,
    limits: Limits | None = None,
    policy: Policy = Policy.LENIENT,
) -> FrameReader:
    """The pictures of an ``x-mixed-replace`` stream, such as a camera's MJPEG.

    :param source: an ``aiohttp.ClientResponse`` or a streaming ``httpx.Response``; a stream (an object with an async
        ``read(n)``, an async iterable of bytes, or bytes); or a function without arguments that opens one of these,
        or gives a context manager that does: ``lambda: session.get(url)``, ``lambda: client.stream("GET", url)``.
    :param content_type: in place of the response's own, which a stream does not have: ``multipart/x-mixed-replace;
        boundary=x``.
    :param latest: read on while nobody asks, and keep the newest frame only. Without it every frame is given, and a
        sender that is faster than you has to wait.
    :param idle_timeout: the seconds in which a frame has to come, opening the stream included; else
        :exc:`IncompleteBody` with the code ``idle-timeout``. None: for ever.
    :param backoff: called when the stream could not be opened, has failed, or has ended without a close-delimiter, as
        ``backoff(failures, error)``: how many times in a row, and why. It gives the seconds to wait before ``source``,
        a function then, is called again; or None to raise the error.
    :param limits: bounds; a frame has 16 MiB at the most if not given.
    :param policy: how odd constructs are read.
    :return: what to loop over.
    :raises TypeError: ``backoff`` without a function that opens the stream; a stream without ``content_type``.
    :raises ParseError: the response is not multipart. This and what follows comes from the loop if ``source`` is a
        function.
    """
    options = Options(content_type, limits or _LIMITS, policy)
    is_opener = callable(source) and not hasattr(source, "read")
    if backoff is not None and not is_opener:
        raise TypeError("backoff needs a source that can be opened anew: a function, such as lambda: session.get(url)")
    connection = None if is_opener else _connect(source, options, AsyncExitStack())
    line = _Line(source if is_opener else None, options, connection, idle_timeout, backoff)
    return FrameReader(line, latest)
