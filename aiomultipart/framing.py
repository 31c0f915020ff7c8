"""From the layout of a multipart message to its bytes.

A :class:`Layout` is a message as it will be sent: framing bytes, and bodies to put in between, those of nested messages
included. :func:`render` is the one way from there to the bytes. Small pieces are joined, and what has been joined is
handed on before anything is awaited.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import NamedTuple

from .codecs import Codec, encoder
from .exceptions import StateError
from .payload_base import Payload, chunks_of, whole_of
from .sending import closing

__all__ = ("Body", "Layout", "render", "render_whole")

_JOINED = 64 * 1024  # pieces are joined up to this many bytes


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
    size: int | None
    delimiter: bytes | None
    """What must not be in a body; None for a boundary that cannot be met by chance."""


async def render(layout: Layout) -> AsyncIterator[bytes]:
    """The bytes of a message, in pieces that are not empty.

    :raises StateError: a part has been sent and cannot be sent again, or gives more or fewer bytes than declared.
    :raises ValueError: a body contains the delimiter.
    """
    pending: list[bytes] = []
    held = 0
    for item, guards in _flatten(layout):
        pieces = (item,) if isinstance(item, bytes) else _in_memory(item)
        if pieces is not None:
            for piece in pieces:
                for guard in guards:
                    guard.check(piece)
                pending.append(piece)
                held += len(piece)
        # Nothing is held back while a source is awaited.
        if held >= _JOINED or (held and pieces is None):
            yield b"".join(pending)
            pending, held = [], 0
        if pieces is None and not isinstance(item, bytes):
            async with closing(_encoded_chunks(item)) as chunks:
                async for chunk in chunks:
                    for guard in guards:
                        guard.check(chunk)
                    yield chunk
                    del chunk  # or it would be kept while the next one is made
    if held:
        yield b"".join(pending)


def render_whole(layout: Layout) -> bytes | None:
    """The bytes of a message whose parts are all in memory; else None."""
    pieces: list[bytes] = []
    for item, guards in _flatten(layout):
        piece = item if isinstance(item, bytes) else whole_of(item.payload)
        if piece is None:
            return None
        if not isinstance(item, bytes):
            piece = b"".join(_encoded(item, piece))
        for guard in guards:
            guard.check(piece)
        pieces.append(piece)
    return b"".join(pieces)


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
        if delimiter in chunk or delimiter in self._tail + chunk[:size]:
            raise ValueError(f"a body contains the delimiter {delimiter!r}; choose another boundary")
        self._tail = chunk[-size:] if len(chunk) >= size else (self._tail + chunk)[-size:]


def _flatten(layout: Layout) -> Iterator[tuple[bytes | Body, Sequence[_Guard]]]:
    """The items of a message and of those nested in it, with the guards of the messages whose bodies they are in."""
    entered: list[tuple[Iterator[bytes | Body], _Guard | None, Sequence[_Guard]]] = []

    def enter(message: Layout, around: Sequence[_Guard]) -> None:
        guard = None if message.delimiter is None else _Guard(message.delimiter)
        entered.append((iter(message.items), guard, around))

    enter(layout, ())
    while entered:
        items, guard, around = entered[-1]
        inside = around if guard is None else (*around, guard)
        for item in items:
            if isinstance(item, bytes):
                if guard is not None:
                    guard.begin()
                yield item, around
            elif item.nested is None:
                yield item, inside
            else:
                enter(item.nested, inside)
                break
        else:
            entered.pop()


def _in_memory(body: Body) -> Iterable[bytes] | None:
    """All of a body, encoded, in pieces; None if it is large or has to be awaited."""
    if body.declared is None or body.declared > _JOINED:
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
    while chunk := codec.read(_JOINED):
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
                if len(chunk) >= _JOINED:
                    await asyncio.sleep(0)  # to compress that took a while
            del chunk
    if declared is not None and given < declared:
        raise StateError(f"a {type(payload).__name__} of {declared} bytes ended after {given}")
    if codec is not None:
        codec.feed_eof()
        for piece in _drain(codec):
            yield piece
