"""From the layout of a multipart message to its bytes.

A :class:`Layout` is a message as it will be sent: framing bytes, and bodies to put in between, those of nested messages
included. :func:`render` is the one way from there to the bytes. Small pieces are joined, and what has been joined is
handed on before anything is awaited.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, NoReturn

from aiomultipart.codecs import Codec, encoder
from aiomultipart.exceptions import StateError
from aiomultipart.extension import accelerator
from aiomultipart.work import give_way

from .payloads.base import Payload, chunks_of, whole_of
from .sinks import Writer, closing, putting, send

__all__ = ("JOINED", "Body", "Layout", "render", "render_whole", "write")

JOINED = 64 * 1024
"""Pieces are joined until they are this many bytes."""


class Body(NamedTuple):
    """The body of one part."""

    payload: Payload
    content_coding: str | None
    transfer_encoding: str | None
    declared: int | None
    """How many bytes it has to come to, before any encoding; None where that is open."""
    nested: Layout | None
    """In place of the payload's own bytes: a message that is sent as it is."""


class Layout(NamedTuple):
    """A message as it will be sent."""

    items: Sequence[bytes | Body]
    """Framing and bodies by turns; framing comes first and last. A body that is bytes is sent as it is."""
    size: int | None
    delimiter: bytes | None
    """What must not be in a body; None for a boundary that cannot be met by chance."""
    in_memory: bool
    """Whether all bodies are bytes."""


async def render(layout: Layout) -> AsyncIterator[bytes]:
    """The bytes of a message, in pieces that are not empty.

    :raises StateError: a part has been sent and cannot be sent again, or gives more or fewer bytes than declared.
    :raises ValueError: a body contains the delimiter.
    """
    for piece in _pieces(layout):
        if isinstance(piece, bytes):
            yield piece
        else:
            async with closing(piece) as chunks:
                async for chunk in chunks:
                    yield chunk
                    del chunk  # or it would be kept while the next one is made


async def write(layout: Layout, writer: Writer) -> None:
    """Write a message, waiting for the writer after each piece; as :func:`render`, but no generator is made.

    :raises StateError: as :func:`render`.
    :raises ValueError: as :func:`render`.
    """
    put = putting(writer)
    for piece in _pieces(layout):
        if isinstance(piece, bytes):
            waiting = put(piece)
            if waiting is not None:
                await waiting
        else:
            await send(piece, writer)


def _pieces(layout: Layout, *, most: int | None = JOINED) -> Iterable[bytes | AsyncIterator[bytes]]:
    """What is in memory, joined, and in between the bodies that have to be awaited.

    :param most: a body in memory that is larger is awaited too, and so given bit by bit.
    """
    if not layout.in_memory:
        return _collected(layout, most)
    items: Sequence[bytes] = layout.items  # type: ignore[assignment]  # which is what in_memory says
    if layout.size == 0:
        return ()
    if layout.size is not None and layout.size <= JOINED:
        return (_checked(items, 1, layout.delimiter),)
    return _joined(items, layout.delimiter)


def _joined(items: Sequence[bytes], delimiter: bytes | None) -> Iterator[bytes]:
    """The pieces of a message that is all in memory, without a look at each of its items."""
    ends = list(accumulate(map(len, items), initial=0))
    start = 0
    while start < len(items):
        stop = bisect_left(ends, ends[start] + JOINED, start + 1, len(items))
        yield _checked(items[start:stop], 1 - start % 2, delimiter)
        start = stop


def _checked(items: Sequence[bytes], first: int, delimiter: bytes | None) -> bytes:
    """Framing and bodies, joined; the first body is at ``first``."""
    if delimiter is not None:
        for body in items[first::2]:
            # Framing ends in an empty line, and begins with the end of one.
            if delimiter in body or body.startswith(delimiter[2:]):
                _refuse(delimiter)
    return b"".join(items)


def _collected(layout: Layout, most: int | None) -> Iterator[bytes | AsyncIterator[bytes]]:
    pending: list[bytes] = []
    held = 0
    for item, guards in _flatten(layout):
        ready = (item,) if isinstance(item, bytes) else _in_memory(item, most)
        if ready is not None:
            for piece in ready:
                for guard in guards:
                    guard.check(piece)
                pending.append(piece)
                held += len(piece)
        # Nothing is held back while a source is awaited.
        if held >= JOINED or (held and ready is None):
            yield b"".join(pending)
            pending, held = [], 0
        if ready is None and not isinstance(item, bytes):
            chunks = _encoded_chunks(item)
            yield _guarded(chunks, guards) if guards else chunks
    if held:
        yield b"".join(pending)


async def _guarded(chunks: AsyncIterator[bytes], guards: Iterable[_Guard]) -> AsyncIterator[bytes]:
    async with closing(chunks):
        async for chunk in chunks:
            for guard in guards:
                guard.check(chunk)
            yield chunk
            del chunk


def render_whole(layout: Layout) -> bytes | None:
    """The bytes of a message whose parts are all in memory; else None.

    :raises StateError: a part gives more or fewer bytes than declared.
    :raises ValueError: a body contains the delimiter.
    """
    whole: list[bytes] = []
    for piece in _pieces(layout, most=None):
        if not isinstance(piece, bytes):
            return None
        whole.append(piece)
    return b"".join(whole)


class _Guard:
    """Sees to it that no body contains the delimiter; only a boundary that the caller chose can be met by chance.

    RFC 2046 section 5.1.1: it must not be "the prefix of any line", so what follows it does not matter.
    """

    __slots__ = ("_delimiter", "_tail")

    def __init__(self, delimiter: bytes) -> None:
        self._delimiter = delimiter
        self._tail = b""

    def begin(self) -> None:
        """A body begins, after an empty line."""
        self._tail = b"\r\n"

    def check(self, chunk: bytes) -> None:
        """Look at the next chunk of the body, before it is handed on."""
        delimiter = self._delimiter
        size = len(delimiter) - 1
        found = chunk.find(delimiter) if accelerator is None else accelerator.find(chunk, delimiter)
        if found >= 0 or delimiter in self._tail + chunk[:size]:
            _refuse(delimiter)
        self._tail = chunk[-size:] if len(chunk) >= size else (self._tail + chunk)[-size:]


def _refuse(delimiter: bytes) -> NoReturn:
    raise ValueError(f"a body contains the delimiter {delimiter!r}; choose another boundary")


def _flatten(layout: Layout) -> Iterator[tuple[bytes | Body, tuple[_Guard, ...]]]:
    """The items of a message and of those nested in it, with the guards of the messages whose bodies they are in."""
    entered: list[tuple[Iterator[bytes | Body], _Guard | None, tuple[_Guard, ...]]] = []

    def enter(message: Layout, around: tuple[_Guard, ...]) -> None:
        guard = None if message.delimiter is None else _Guard(message.delimiter)
        entered.append((iter(message.items), guard, around))

    enter(layout, ())
    while entered:
        items, guard, around = entered[-1]
        inside = around if guard is None else (*around, guard)
        for framing in items:
            yield framing, around
            body = next(items, None)
            if body is None:
                continue
            if guard is not None:
                guard.begin()
            if isinstance(body, bytes) or body.nested is None:
                yield body, inside
            else:
                enter(body.nested, inside)
                break
        else:
            entered.pop()


def _in_memory(body: Body, most: int | None) -> Iterable[bytes] | None:
    """All of a body, encoded, in pieces; None if it is large or has to be awaited."""
    if most is not None and (body.declared is None or body.declared > most):
        return None
    whole = whole_of(body.payload)
    return None if whole is None else _encoded(body, whole)


def _encoded(body: Body, whole: bytes) -> Iterable[bytes]:
    payload, coding, transfer_encoding, declared, _ = body
    if declared is not None and len(whole) != declared:
        raise StateError(f"a {type(payload).__name__} of {declared} bytes has {len(whole)} bytes now")
    codec = None if coding is None and transfer_encoding is None else encoder(transfer_encoding, coding)
    if codec is None:
        return (whole,)
    codec.feed_data(whole)
    codec.feed_eof()
    return _drain(codec)


def _drain(codec: Codec) -> Iterator[bytes]:
    while chunk := codec.read(JOINED):
        yield chunk


async def _encoded_chunks(body: Body) -> AsyncIterator[bytes]:
    """The body of one part, encoded; counted where its size was declared."""
    payload, coding, transfer_encoding, declared, _ = body
    payload.rewind()  # once more: it may be in the message twice
    codec = encoder(transfer_encoding, coding)
    given = 0
    async with closing(chunks_of(payload)) as chunks:
        async for chunk in chunks:
            given += len(chunk)
            if declared is not None and given > declared:
                raise StateError(f"a {type(payload).__name__} gives more than its {declared} bytes")
            if codec is None:
                yield chunk
            else:
                codec.feed_data(chunk)
                for piece in _drain(codec):
                    yield piece
                if len(chunk) >= JOINED:
                    await give_way()  # to compress that took a while
            del chunk
    if declared is not None and given < declared:
        raise StateError(f"a {type(payload).__name__} of {declared} bytes ended after {given}")
    if codec is not None:
        codec.feed_eof()
        for piece in _drain(codec):
            yield piece
