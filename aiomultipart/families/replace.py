"""Image streams, ``multipart/x-mixed-replace``: pictures that replace each other, known as MJPEG.

Which way the data flows: a response -> source -> :class:`PushMultipartParser` -> :class:`Frame` -> you; and pictures ->
``Frames``, which writes one part at a time -> :class:`FrameStream` -> the response of each viewer.

Rules:

* Reading drives the parser itself. Of a :class:`MultipartReader` nothing is needed here but its price: a frame is read
  whole, and nobody skips, decodes or nests it.
* A frame is complete at its Content-Length, or at the delimiter; one without a body is none. What is gathered is
  bounded by ``max_part_size``, however small the pieces are in which it comes.
* No task is made to read, but for ``latest``: to have the newest frame one has to read while nobody asks. It ends with
  the loop, or with the block of ``async with``.
* Writing hands over each frame with all that a viewer waits for before it shows it: the delimiter, and for Chromium the
  header block of the next part.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import AsyncExitStack
from inspect import isawaitable
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias

from multidict import CIMultiDictProxy

from aiomultipart.exceptions import IncompleteBody, MultipartError, ParseError, StateError
from aiomultipart.grammar.boundary import parse_boundary
from aiomultipart.grammar.fields import as_multidict
from aiomultipart.grammar.media_type import parse_media_type, sole_content_type
from aiomultipart.limits import MIB, Limits
from aiomultipart.parser import PART_END, Defect, PartBegin, PushMultipartParser
from aiomultipart.policy import Policy
from aiomultipart.reading.response import content_of, named
from aiomultipart.sources import AsgiReceive, open_source
from aiomultipart.writing.frames import AnnouncedFrames
from aiomultipart.writing.head import HeadersLike, header_items
from aiomultipart.writing.layout import Frames
from aiomultipart.writing.sinks import Writer
from aiomultipart.writing.writer import MultipartWriter

__all__ = ("Frame", "FrameBroadcast", "FrameReader", "FrameStream", "frames")

_LIMITS = Limits(max_part_size=16 * MIB)
_FEW = 256  # pieces of a frame that are kept apart; more of them are small, and an object each would be the larger part

# Any: a response of aiohttp's or httpx's, a stream, or a context manager that gives one.
Opener: TypeAlias = Callable[[], Any]
Backoff: TypeAlias = Callable[[int, Exception], float | None]
# Any: ASGI's messages are mappings of whatever their keys say.
AsgiSend: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[object]]
Take: TypeAlias = Callable[[bytes, PartBegin, bool], object]


class Frame:
    """One picture of a stream."""

    __slots__ = ("_begin", "complete", "data", "index", "received_at")

    def __init__(self, data: bytes, begin: PartBegin, index: int, received_at: float, complete: bool) -> None:
        self.data = data
        """Its bytes."""
        self.index = index
        """Which frame of those that have arrived it is, from 0; what ``latest`` has dropped counts too."""
        self.received_at = received_at
        """When its last byte arrived, in seconds since the epoch, as ``time.time()`` gives."""
        self.complete = complete
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


# Reading


class _Options(NamedTuple):
    content_type: str | None
    limits: Limits
    policy: Policy


class _Connection:
    """One response or stream, from its first byte to its last: what it is read from, parsed, and gathered."""

    def __init__(self, opened: Any, options: _Options, resources: AsyncExitStack) -> None:
        headers = getattr(opened, "headers", None)
        content = opened if headers is None else content_of(opened)
        content_type, limits, policy = options
        if content_type is None:
            if headers is None:
                what = "a stream has no header fields: give frames() its content_type, with the boundary"
                raise TypeError(f"{what}; this is a {type(content).__name__}")
            content_type = sole_content_type(as_multidict(headers))
        self.parser = PushMultipartParser.from_content_type(content_type, limits=limits, policy=policy)
        self.resources = resources
        """What is closed at the end."""
        self.frames = 0
        """How many have come."""
        self.ended = False
        """Whether no more frames will come."""
        self.cut = False
        """Whether it ended without a close-delimiter."""
        self._source = open_source(content)
        self._begin: PartBegin | None = None
        self._pieces: list[bytes] = []  # of the frame in hand
        self._before = bytearray()  # what came before them, when they were many

    async def read(self, take: Take) -> None:
        """Await one chunk.

        :param take: called with the body of each frame that it completes, with its part, and whether it is whole.
        """
        data = await self._source.receive()
        parser = self.parser
        short = False
        if data is None:
            if self._source.in_doubt and not parser.ended:
                raise StateError("what is read from seems to have ended after a read was cancelled, in mid-stream")
            events, self.ended = parser.close(), True
            forgiven = {defect.kind for defect in parser.defects[-2:]}
            self.cut, short = "missing-close-delimiter" in forgiven, "part-cut-short" in forgiven
        else:
            events = parser.feed(data)
        pieces, begin = self._pieces, self._begin
        for event in events:
            if type(event) is bytes:
                pieces.append(event)
                if len(pieces) > _FEW:
                    self._before += b"".join(pieces)
                    pieces.clear()
            elif event is PART_END:
                body = b"".join((self._before, *pieces)) if self._before else b"".join(pieces)
                pieces.clear()
                self._before.clear()
                # What ends before its Content-Length because the input does is no picture.
                if body and begin is not None and not (short and begin.content_length is not None):
                    self.frames += 1
                    take(body, begin, not short)
            elif type(event) is PartBegin:
                self._begin = begin = event
            else:
                self.ended = True
        if len(parser.defects) >= _FEW:
            del parser.defects[: -_FEW // 2]  # a stream that goes on and on

    async def aclose(self) -> None:
        """Give back what is read from."""
        try:
            await self._source.aclose()
        finally:
            await self.resources.aclose()


async def _open(opener: Opener, options: _Options) -> _Connection:
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


def _connect(opened: Any, options: _Options, resources: AsyncExitStack) -> _Connection:
    """A connection over a response or a stream; a response is given back with ``resources``."""
    if not hasattr(opened, "headers"):
        return _Connection(opened, options, resources)
    resources.push_async_callback(_give_back, opened)
    try:
        return _Connection(opened, options, resources)
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
        options: _Options,
        connection: _Connection | None,
        idle_timeout: float | None,
        backoff: Backoff | None,
    ) -> None:
        self.connection = connection
        self.reconnections = 0
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
            raise IncompleteBody("the stream ended without a close-delimiter")
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
        self.received = 0
        """How many frames have arrived."""
        self.dropped = 0
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
        return () if connection is None else tuple(connection.parser.defects)

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
        while self._ended is None:
            await self._read()
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
    options = _Options(content_type, limits or _LIMITS, policy)
    is_opener = callable(source) and not hasattr(source, "read")
    if backoff is not None and not is_opener:
        raise TypeError("backoff needs a source that can be opened anew: a function, such as lambda: session.get(url)")
    connection = None if is_opener else _connect(source, options, AsyncExitStack())
    line = _Line(source if is_opener else None, options, connection, idle_timeout, backoff)
    return FrameReader(line, latest)


# Writing


class _Sink:
    """Where the bytes of a stream go: anything with a ``write()``, plain or async."""

    lost: tuple[type[OSError], ...] = (ConnectionError,)
    """What says that the viewer has left. Of a file's errors none does."""

    def __init__(self, writer: Writer) -> None:
        self.boundary: str | None = None
        """That of a response whose header fields are sent already."""
        self._write = writer.write
        self._drain = getattr(writer, "drain", None)
        if hasattr(writer, "transport"):
            self.lost = (OSError,)

    async def start(self, headers: Mapping[str, str]) -> None:
        """Send the header fields, where that is for the stream to do."""

    async def write(self, data: bytes) -> None:
        """Send bytes, and wait until there is room for more."""
        waiting = self._write(data)
        if isawaitable(waiting) or (self._drain is not None and isawaitable(waiting := self._drain())):
            await waiting

    async def finish(self, complete: bool) -> None:
        """No more will come; ``complete``: and the viewer is there to be told."""


class _ResponseSink(_Sink):
    """A response of aiohttp's server."""

    lost = (OSError,)

    def __init__(self, response: Any, request: Any) -> None:
        super().__init__(response)
        self._response = response
        self._request = request
        if response.prepared:
            value = sole_content_type(as_multidict(response.headers))
            media_type = parse_media_type(value, policy=Policy.STANDARD, limits=_LIMITS)
            self.boundary = parse_boundary(media_type, policy=Policy.STANDARD, limits=_LIMITS)

    async def start(self, headers: Mapping[str, str]) -> None:
        response = self._response
        if not response.prepared:
            if self._request is None:
                raise StateError("prepare the response, or give FrameStream the request")
            response.headers.update(headers)
            await response.prepare(self._request)


class _AsgiSink(_Sink):
    """An ASGI server. Not every ``send`` raises when nobody is there any more, so ``receive`` is listened to."""

    lost = (OSError,)

    def __init__(self, send: AsgiSend, receive: AsgiReceive) -> None:
        super().__init__(self)
        self._send = send
        self._receive = receive
        self._gone: asyncio.Task[None] | None = None

    async def start(self, headers: Mapping[str, str]) -> None:
        self._gone = asyncio.create_task(self._disconnect())
        fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": fields})

    async def _disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def write(self, data: bytes) -> None:
        if self._gone is not None and self._gone.done():
            raise ConnectionResetError("the viewer has disconnected")
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, complete: bool) -> None:
        if self._gone is not None:
            self._gone.cancel()
            await asyncio.wait((self._gone,))
        if complete:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def _open_sink(target: Any, request: Any, receive: AsgiReceive | None) -> _Sink:
    if hasattr(target, "prepare"):
        return _ResponseSink(target, request)
    if hasattr(target, "write"):
        return _Sink(target)
    if not callable(target):
        what = "a FrameStream takes a response of aiohttp's server, an ASGI send, or what has a write()"
        raise TypeError(f"{what}, not a {type(target).__name__}")
    if receive is None:
        raise TypeError("an ASGI send needs the application's receive beside it, which tells that a viewer has left")
    return _AsgiSink(target, receive)


class _Script:
    """The bytes of a stream, whoever they go to; the arguments are those of :class:`FrameStream`."""

    def __init__(self, boundary: str, lengths: bool) -> None:
        self.boundary = boundary
        self._counted = Frames(boundary) if lengths else None
        self._announced: AnnouncedFrames | None = None
        self._content_type = ""  # that is announced

    def frame(self, data: bytes, content_type: str, headers: HeadersLike, last: bool) -> bytes:
        """One frame, and what a viewer waits for before it shows it.

        :raises ValueError: a header field cannot be written, or is not what was announced; the frame contains the
            delimiter.
        """
        if type(data) is not bytes:
            data = bytes(memoryview(data))  # a str or a number is a TypeError
        if self._counted is not None:
            return self._counted.frame(data, (("Content-Type", content_type), *header_items(headers)), last=last)
        if headers:
            raise ValueError("for header fields of a frame's own, make the stream with lengths=True")
        if self._announced is None:
            self._announced = AnnouncedFrames(self.boundary, (("Content-Type", content_type),))
            self._content_type = content_type
        elif content_type != self._content_type:
            what = f"with the frame before, {self._content_type} was announced, not {content_type}"
            raise ValueError(f"{what}: for several media types, make the stream with lengths=True")
        return self._announced.frame(data, last=last)

    @property
    def start(self) -> bytes:
        """What stands before the first frame, once that has been made."""
        script = self._counted or self._announced
        return b"" if script is None else script.start

    @property
    def end(self) -> bytes:
        """What ends the stream after a frame that was not the last for all that one knew."""
        return f"--{self.boundary}--\r\n".encode() if self._announced is None else self._announced.end


class _Viewer:
    """Whoever a stream goes to, until he leaves."""

    def __init__(self, sink: _Sink, boundary: str) -> None:
        if sink.boundary not in (None, boundary):
            raise ValueError(f"the response has been prepared with the boundary {sink.boundary!r}, not {boundary!r}")
        self._sink = sink
        self._left: OSError | None = None

    async def start(self, headers: Mapping[str, str]) -> None:
        """Send the header fields."""
        try:
            await self._sink.start(headers)
        except self._sink.lost as exc:
            self._left = exc  # the first frame raises it

    async def send(self, data: bytes) -> None:
        """Send bytes, and wait until there is room for more.

        :raises OSError: the viewer has left; this, or what follows, says that.
        """
        if self._left is not None:
            raise self._left
        try:
            await self._sink.write(data)
        except self._sink.lost as exc:
            self._left = exc
            raise

    async def end(self, data: bytes, error: BaseException | None) -> bool:
        """Send the last bytes, unless there was an error.

        :return: whether the error says no more than that the viewer has left.
        """
        try:
            if error is None and data:
                await self.send(data)
        except self._sink.lost:
            pass
        finally:
            await self._sink.finish(complete=error is None and self._left is None)
        return error is not None and error is self._left


def _boundary_and_headers(boundary: str | None) -> tuple[str, dict[str, str]]:
    writer = MultipartWriter("x-mixed-replace", boundary)
    return writer.boundary, {"Content-Type": writer.headers["Content-Type"], "Cache-Control": "no-store"}


class FrameStream:
    """Pictures for one viewer, each of which replaces the one before: the body of a ``multipart/x-mixed-replace``.

    :param target: a ``StreamResponse`` of aiohttp's server, an ASGI ``send``, an ``asyncio.StreamWriter``, or what else
        has a ``write()``.
    :param request: what to prepare aiohttp's response with, if that has not been done. One that is prepared has to have
        the Content-Type of an image stream, whose boundary is taken.
    :param receive: the ``receive`` that goes with an ASGI ``send``.
    :param boundary: 1 to 70 characters; 128 random bits if not given.
    :param lengths: give each frame a Content-Length, and header fields of its own. Chromium then shows a frame only
        when the next one comes. Without it the header block of the next frame goes out with each, so that every browser
        shows it at once; all frames have one media type then.
    :raises ValueError: the boundary cannot be written, or is not that of a response that is prepared.
    :raises TypeError: the target takes no bytes; an ASGI ``send`` without ``receive``.

    ``async with`` sends the header fields; to a target that has nothing but a ``write()`` they are yours to send, see
    :attr:`headers`. The end of the block ends the message. When the viewer has left, :meth:`send` raises what the
    target raised, an :exc:`OSError`, and the block is left without an error.
    """

    def __init__(
        self,
        target: Any,
        request: Any = None,
        *,
        receive: AsgiReceive | None = None,
        boundary: str | None = None,
        lengths: bool = False,
    ) -> None:
        sink = _open_sink(target, request, receive)
        self.boundary, self.headers = _boundary_and_headers(boundary or sink.boundary)
        """Without the leading dashes; and what the header of the message has to have."""
        self.sent = 0
        """How many frames the viewer was sent."""
        self._viewer = _Viewer(sink, self.boundary)
        self._script = _Script(self.boundary, lengths)
        self._open = False
        self._ended = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.sent} sent>"

    async def __aenter__(self) -> Self:
        await self._viewer.start(self.headers)
        self._open = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._open = False
        return await self._viewer.end(b"" if self._ended else self._script.end, exc)

    async def send(
        self, data: bytes, content_type: str = "image/jpeg", *, headers: HeadersLike = (), last: bool = False
    ) -> None:
        """Send one frame, and wait until there is room for the next.

        :param headers: further header fields of the frame, with ``lengths=True``.
        :param last: it ends the message.
        :raises ValueError: a header field cannot be written; the frame contains the delimiter; or the media type is
            another one than before, without ``lengths=True``.
        :raises OSError: the viewer has left.
        :raises StateError: outside of the block, or after the last frame.
        """
        if not self._open or self._ended:
            raise StateError("send() belongs into the block of async with, before the last frame")
        frame = self._script.frame(data, content_type, headers, last)
        if not self.sent:
            frame = self._script.start + frame
        self._ended = last
        await self._viewer.send(frame)
        self.sent += 1


class FrameBroadcast:
    """One camera's pictures for many viewers, each at its own pace: who is slow skips frames, and holds nobody up.

    :param boundary: as of :class:`FrameStream`.
    :param lengths: as of :class:`FrameStream`.

    A frame is rendered once, for all. Kept are the newest one, and for each viewer the one that it is being sent.
    """

    def __init__(self, *, boundary: str | None = None, lengths: bool = False) -> None:
        self.boundary, self.headers = _boundary_and_headers(boundary)
        """Without the leading dashes; and what the header of the message has to have."""
        self.viewers = 0
        """How many there are."""
        self.published = 0
        """How many frames there were."""
        self._script = _Script(self.boundary, lengths)
        self._newest = b""
        self._closed = False
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.published} frames, {self.viewers} viewers>"

    def publish(self, data: bytes, content_type: str = "image/jpeg", *, headers: HeadersLike = ()) -> None:
        """Have every viewer sent this frame who is ready for one before the next is published.

        To be called in the thread of the event loop; nothing is waited for.

        :raises ValueError: as :meth:`FrameStream.send`.
        :raises StateError: after :meth:`close`.
        """
        if self._closed:
            raise StateError("publish() after close()")
        self._newest = self._script.frame(data, content_type, headers, last=False)
        self.published += 1
        self._wake()

    def close(self) -> None:
        """End the streams of all viewers, each after the newest frame."""
        self._closed = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def serve(self, target: Any, request: Any = None, *, receive: AsgiReceive | None = None) -> int:
        """Send a viewer frame after frame, the newest first, until he leaves or :meth:`close` is called.

        The parameters are those of :class:`FrameStream`.

        :return: how many frames he was sent.
        """
        viewer = _Viewer(_open_sink(target, request, receive), self.boundary)
        sent = 0
        self.viewers += 1
        try:
            await viewer.start(self.headers)
            async for frame in self._frames():
                await viewer.send(frame if sent else self._script.start + frame)
                sent += 1
        except BaseException as exc:
            if not await viewer.end(b"", exc):
                raise
        else:
            await viewer.end(self._script.end, None)
        finally:
            self.viewers -= 1
        return sent

    async def _frames(self) -> AsyncIterator[bytes]:
        """The newest frame each time that it is asked for, rendered."""
        seen = 0
        while True:
            if seen < self.published:
                seen = self.published
                yield self._newest
            elif self._closed:
                return
            else:
                await self._changed.wait()
