"""Frames for viewers: each is handed over with all that a viewer waits for before it shows it.

That is the delimiter, and for Chromium the header block of the next part. A viewer who has left ends his own stream,
and nothing else. There is no task, but for one that listens to what an ASGI server says of the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from inspect import isawaitable
from types import TracebackType
from typing import Any, Self, TypeAlias

from aiomultipart.exceptions import StateError
from aiomultipart.grammar.boundary import parse_boundary
from aiomultipart.grammar.fields import as_multidict
from aiomultipart.grammar.media_type import parse_media_type, sole_content_type
from aiomultipart.limits import DEFAULT_LIMITS
from aiomultipart.policy import Policy
from aiomultipart.sources import AsgiReceive
from aiomultipart.writing.frames import AnnouncedFrames
from aiomultipart.writing.head import HeadersLike, header_items
from aiomultipart.writing.layout import Frames
from aiomultipart.writing.sinks import Writer
from aiomultipart.writing.writer import MultipartWriter

__all__ = ("FrameBroadcast", "FrameStream")

# Any: ASGI's messages are mappings of whatever their keys say.
AsgiSend: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[object]]


class _Sink:
    """Where the bytes of a stream go: anything with a ``write()``, plain or async."""

    lost: tuple[type[OSError], ...] = (ConnectionError,)
    """What says that the viewer has left. Of a file's errors none does."""

    gone: asyncio.Task[None] | None = None
    """Is done when the viewer has left, where somebody says so."""

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
            media_type = parse_media_type(value, policy=Policy.STANDARD, limits=DEFAULT_LIMITS)
            self.boundary: str = parse_boundary(media_type, policy=Policy.STANDARD, limits=DEFAULT_LIMITS)

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

    async def start(self, headers: Mapping[str, str]) -> None:
        self.gone = asyncio.create_task(self._disconnect())
        fields = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": fields})

    async def _disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def write(self, data: bytes) -> None:
        if self.gone is not None and self.gone.done():
            raise ConnectionResetError("the viewer has disconnected")
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, complete: bool) -> None:
        if self.gone is not None:
            self.gone.cancel()
            await asyncio.gather(self.gone, return_exceptions=True)
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
        self.boundary: str = boundary
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
        fields = (("Content-Type", content_type), *header_items(headers))
        if self._counted is not None:
            if any(name.lower() == "content-type" for name, _ in fields[1:]):
                raise ValueError("the Content-Type of a frame is an argument of its own, and not among its headers")
            return self._counted.frame(data, fields, last=last)
        if len(fields) > 1:
            raise ValueError("for header fields of a frame's own, make the stream with lengths=True")
        if self._announced is None:
            self._announced = AnnouncedFrames(self.boundary, content_type)
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

    async def wait(self, changed: asyncio.Future[None]) -> None:
        """Wait for that, or until the viewer leaves, where somebody says so.

        :raises OSError: he has left.
        """
        gone = self._sink.gone
        await asyncio.wait((changed,) if gone is None else (changed, gone), return_when=asyncio.FIRST_COMPLETED)
        if gone is not None and gone.done():
            self._left = ConnectionResetError("the viewer has disconnected")
            raise self._left

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
            with suppress(*self._sink.lost):
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
        self.boundary: str
        self.headers: dict[str, str]
        self.boundary, self.headers = _boundary_and_headers(boundary or sink.boundary)
        """Without the leading dashes; and what the header of the message has to have."""
        self.sent: int = 0
        """How many frames the viewer was sent."""
        self._viewer = _Viewer(sink, self.boundary)
        self._script = _Script(self.boundary, lengths)
        self._open = False
        self._ended = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.sent} sent>"

    async def __aenter__(self) -> Self:
        try:
            await self._viewer.start(self.headers)
        except BaseException as exc:
            await self._viewer.end(b"", exc)
            raise
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
        self.boundary: str
        self.headers: dict[str, str]
        self.boundary, self.headers = _boundary_and_headers(boundary)
        """Without the leading dashes; and what the header of the message has to have."""
        self.viewers: int = 0
        """How many there are."""
        self.published: int = 0
        """How many frames there were."""
        self._script = _Script(self.boundary, lengths)
        self._newest = b""
        self._closed = False
        self._changed: asyncio.Future[None] | None = None  # what viewers wait for

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
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set_result(None)

    async def serve(self, target: Any, request: Any = None, *, receive: AsgiReceive | None = None) -> int:
        """Send a viewer frame after frame, the newest first, until he leaves or :meth:`close` is called.

        The parameters are those of :class:`FrameStream`.

        :return: how many frames he was sent.
        """
        viewer = _Viewer(_open_sink(target, request, receive), self.boundary)
        seen = sent = 0
        self.viewers += 1
        try:
            await viewer.start(self.headers)
            while seen < self.published or not self._closed:
                if seen == self.published:
                    if self._changed is None:
                        self._changed = asyncio.get_running_loop().create_future()
                    await viewer.wait(self._changed)
                    continue
                seen = self.published
                await viewer.send(self._newest if sent else self._script.start + self._newest)
                sent += 1
        except BaseException as exc:
            if not await viewer.end(b"", exc):
                raise
        else:
            await viewer.end(self._script.end, None)
        finally:
            self.viewers -= 1
        return sent
