"""From the parts of a multipart message to its bytes.

A :class:`Layout` is a message as it will be sent, laid out once: runs of framing and small bodies, and in between the
bodies that have to be fetched, and messages. :class:`_Rendering` walks through it and is the only one who joins, guards
and encodes; it waits for nothing. What has to be fetched it leaves to its driver, of which there are two:
:func:`chunks` with an event loop, :func:`blocks` without.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from aiomultipart.codecs import Codec, encoder
from aiomultipart.exceptions import StateError
from aiomultipart.extension import find
from aiomultipart.work import give_way, in_thread

from .head import Field, render
from .payloads.base import Message, Payload
from .sinks import closing

__all__ = ("JOINED", "Frames", "Layout", "blocks", "chunks", "lay_out", "rewound", "without_a_loop")

JOINED = 64 * 1024
"""Pieces are joined until they are this many bytes."""
INLINE = 512 * 1024
"""How many bytes of a body are compressed on the event loop, as many as are decoded there; the rest is in a thread."""
_SMALL = 4 * 1024  # a body in memory of this size is looked at when the message is laid out


class Run(NamedTuple):
    """Framing, and small bodies; it begins with a delimiter."""

    pieces: list[bytes]
    delimiters: int
    """How many there are; the first one of a message, which has no CRLF before it, does not count."""


class Body(NamedTuple):
    """The body of one part, to be fetched."""

    payload: Payload
    content_coding: str | None
    transfer_encoding: str | None
    declared: int | None
    """How many bytes it has to come to, before any encoding; None where that is open."""
    nested: Layout | None
    """In place of the payload's own bytes: a message."""
    number: int
    """Which part of its message it is."""


class Layout(NamedTuple):
    """A message as it will be sent."""

    items: Sequence[Run | Body]
    size: int | None
    boundary: bytes
    chosen: bool


# Laying out


def lay_out(message: Message, *, close_boundary: bool = True) -> Layout:
    """The message by its headers as they are now.

    :param close_boundary: end it with the close-delimiter.
    :raises ValueError: a header field cannot be written.
    :raises UnsupportedEncoding: a coding that cannot be applied.
    """
    messages = [message]
    for each in messages:  # and those found meanwhile
        messages += [inner for part in each.parts if not part.at_hand and (inner := part.message()) is not None]
    laid_out: dict[int, Layout] = {}
    for each in reversed(messages):  # so what is inside comes first
        laid_out[id(each)] = _lay_out(each, close_boundary or each is not message, laid_out)
    return laid_out[id(message)]


def _lay_out(message: Message, close_boundary: bool, laid_out: Mapping[int, Layout]) -> Layout:
    boundary, parts, in_form_data, chosen = message
    delimiter = f"--{boundary}\r\n"
    items: list[Run | Body] = []
    of_bodies: int | None = 0
    pieces: list[bytes] = []
    held = framed = 0
    delimiters = -1
    for number, payload in enumerate(parts):
        at_hand = payload.at_hand
        inner = None if at_hand else payload.message()
        nested = None if inner is None else laid_out[id(inner)]
        declared = payload.size if nested is None else nested.size
        text, length, coding, transfer_encoding = payload.header_block(in_form_data, declared)
        head = f"{delimiter}{text}\r\n".encode()
        if delimiters < 0:
            delimiter = f"\r\n{delimiter}"
        delimiters += 1
        pieces.append(head)
        held += len(head)
        # Looked at here and now, where that costs nothing.
        if length is not None and length <= (JOINED if at_hand else _SMALL):
            if nested is None and not coding and not transfer_encoding:
                whole = payload.whole() if at_hand else payload.in_memory()
                if whole is not None and len(whole) == length:
                    pieces.append(whole)
                    held += length
                    if held >= JOINED:
                        items.append(Run(pieces, delimiters))
                        framed += held
                        pieces, held, delimiters = [], 0, 0
                    continue
        items += (Run(pieces, delimiters), Body(payload, coding, transfer_encoding, declared, nested, number))
        framed += held
        of_bodies = None if of_bodies is None or length is None else of_bodies + length
        pieces, held, delimiters = [], 0, 0
    last = "" if delimiters < 0 else "\r\n"
    if close_boundary:
        last += f"--{boundary}--\r\n"
        delimiters += 1
    if last:
        items.append(Run([*pieces, last.encode()], delimiters))
        framed += held + len(last)
    return Layout(items, None if of_bodies is None else of_bodies + framed, boundary.encode(), chosen)


def _fetched(layout: Layout) -> Iterator[Body]:
    layouts = [layout]
    for each in layouts:  # and those found meanwhile
        for item in each.items:
            if isinstance(item, Body):
                if item.nested is None:
                    yield item
                else:
                    layouts.append(item.nested)


def rewound(layout: Layout) -> Layout:
    """The layout, with what has to be fetched ready for that.

    :raises StateError: a part has been sent and cannot be sent again.
    """
    for body in _fetched(layout):
        body.payload.rewind()
    return layout


def without_a_loop(layout: Layout) -> Layout:
    """The layout, if it can be had without an event loop.

    :raises TypeError: a part cannot.
    """
    for body in _fetched(layout):
        if not body.payload.has_blocks:
            name = body.payload.disposition
            raise body.payload.needs_a_loop(f"part {body.number}" + ("" if name is None else f" ({name})"))
    return layout


# Rendering


class _Guard:
    """Sees to it that no part contains a delimiter; only a boundary that the caller chose can be met by chance.

    RFC 2046 section 5.1.1: it must not be "the prefix of any line", so what follows it does not matter. One delimiter
    is searched for. The boundaries of several messages that are in each other are looked up at each line that begins
    with two dashes, so that what is deep inside is not searched for each of them.
    """

    __slots__ = ("_boundaries", "_lengths", "_tail")

    def __init__(self) -> None:
        self._boundaries: set[bytes] = set()
        self._lengths: set[int] = set()  # of all that there have been
        self._tail = b""

    def enter(self, layout: Layout) -> None:
        """The framing of a message follows, whose first line has no CRLF before it to be found by."""
        self._look_up(b"\r\n--%b--" % layout.boundary)
        if layout.chosen:
            self._boundaries.add(layout.boundary)
            self._lengths.add(len(layout.boundary))

    def leave(self, layout: Layout) -> None:
        """That framing has ended."""
        self._boundaries.discard(layout.boundary)

    def check(self, data: bytes, layout: Layout | None = None, delimiters: int = 0) -> None:
        """Look at what follows, before it is handed on.

        :param layout: the message that was entered last, of which it is a run; else it is a chunk of a body.
        :param delimiters: how many of its own there are.
        :raises ValueError: there is one too many.
        """
        if not self._boundaries:
            return
        own = layout.boundary if layout is not None and layout.chosen else None
        if layout is None:
            self._look_up(self._tail + data[: self._keep], None, len(self._tail))
        if len(self._boundaries) > 1:
            found = self._look_up(data, own)
        else:
            (only,) = self._boundaries
            delimiter = b"\r\n--%b" % only
            found = data.count(delimiter) if own is not None else find(data, delimiter) + 1
        if found != (0 if own is None else delimiters):
            raise _refusal(own or only)
        self._tail = (data if len(data) >= self._keep else self._tail + data)[-self._keep :]

    @property
    def _keep(self) -> int:
        """Bytes in which a delimiter can begin that ends in the next chunk."""
        return max(self._lengths) + 3

    def _look_up(self, data: bytes, own: bytes | None = None, beyond: int = 0) -> int:
        """How many delimiters there are with the boundary ``own``, of those that end beyond an offset.

        :raises ValueError: there is one with another boundary.
        """
        found = 0
        at = data.find(b"\r\n--")
        while at >= 0:
            for size in self._lengths:
                end = at + 4 + size
                if beyond < end <= len(data) and (boundary := data[at + 4 : end]) in self._boundaries:
                    if boundary != own:
                        raise _refusal(boundary)
                    found += 1
            at = data.find(b"\r\n--", at + 4)
        return found


def _refusal(boundary: bytes) -> ValueError:
    return ValueError(f"a part contains the delimiter {b'--' + boundary!r}; choose another boundary, or give none")


class _Rendering:
    """A message on its way to bytes; it waits for nothing."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # What bytes go through: a guard, then what encodes them, and whether that takes long, then the guard around.
        self._guards = [_Guard()]
        self._codecs: list[tuple[Codec, bool]] = []
        # What is being fetched, and how much of it has been
        self._body: Body
        self._given = 0

    def steps(self) -> Iterator[bytes | Payload]:
        """Pieces, joined; and payloads whose bytes are to be fetched before the next step, to :meth:`take`.

        :raises StateError: a part gives more or fewer bytes than declared.
        :raises ValueError: a part contains the delimiter.
        """
        pending: list[bytes] = []
        held = 0
        for step in self._walk():
            if isinstance(step, bytes):
                pending.append(step)
                held += len(step)
            # Nothing is held back while a source is awaited.
            if held and (held >= JOINED or not isinstance(step, bytes)):
                yield b"".join(pending)
                pending, held = [], 0
            if not isinstance(step, bytes):
                yield step
        if held:
            yield b"".join(pending)

    def _walk(self) -> Iterator[bytes | Payload]:
        guards = self._guards
        guards[0].enter(self._layout)
        entered = [(self._layout, iter(self._layout.items), 0)]
        while entered:
            layout, items, codecs = entered[-1]
            for item in items:
                if isinstance(item, Run):
                    data = b"".join(item.pieces)
                    guards[-1].check(data, layout, item.delimiters)
                    yield from self._through(data)
                    continue
                payload, coding, transfer_encoding, declared, nested, _ = item
                codec = encoder(transfer_encoding, coding)
                if codec is not None:
                    guards.append(_Guard())
                    self._codecs.append((codec, bool(coding) or transfer_encoding != "base64"))
                self._body, self._given = item, 0
                if nested is not None:
                    entered.append((nested, iter(nested.items), len(self._codecs)))
                    guards[-1].enter(nested)
                    break
                payload.rewind()  # it may be in the message twice
                whole = payload.in_memory() if declared is not None and declared <= JOINED else None
                if whole is None:
                    yield payload
                else:
                    yield from (*self.take(whole), *self.take(None))
            else:
                entered.pop()
                guards[-1].leave(layout)
                if entered and codecs > entered[-1][2]:
                    yield from self._leave()

    def take(self, chunk: bytes | None) -> Sequence[bytes]:
        """What becomes of the next chunk of the body that is being fetched; None is its end.

        :raises StateError: there are more bytes than were declared, or fewer.
        :raises ValueError: the part contains the delimiter.
        """
        payload, coding, transfer_encoding, declared, *_ = self._body
        if chunk is not None:
            self._given += len(chunk)
            if declared is not None and self._given > declared:
                raise StateError(f"a {type(payload).__name__} gives more than its {declared} bytes")
            self._guards[-1].check(chunk)
            return self._through(chunk)
        if declared is not None and self._given < declared:
            raise StateError(f"a {type(payload).__name__} of {declared} bytes ended after {self._given}")
        return self._leave() if coding or transfer_encoding else ()

    def _leave(self) -> Sequence[bytes]:
        """What is left of a section that has ended."""
        rest = self._through(None)
        self._codecs.pop()
        self._guards.pop()
        return rest

    def _through(self, data: bytes | None) -> Sequence[bytes]:
        """What becomes of bytes of the innermost section; None: of its end."""
        pieces = [] if data is None else [data]
        for guard, (codec, _) in zip(self._guards[-2::-1], reversed(self._codecs), strict=True):
            given, pieces = pieces, []
            for piece in given:
                codec.feed_data(piece)
                pieces += iter(partial(codec.read, JOINED), b"")
            if data is None and codec is self._codecs[-1][0]:
                codec.feed_eof()
                pieces += iter(partial(codec.read, JOINED), b"")
            for piece in pieces:
                guard.check(piece)
        return pieces

    @property
    def encodes(self) -> bool:
        """Whether this body is encoded, if only with the message around it."""
        return bool(self._codecs)

    def takes_long(self, size: int) -> bool:
        """Whether to encode so many bytes more of this body would keep the event loop."""
        return self._given + size > INLINE and any(slow for _, slow in self._codecs)


async def chunks(layout: Layout) -> AsyncIterator[bytes]:
    """The bytes of a message, in pieces that are not empty; raises as :meth:`_Rendering.steps`."""
    rendering = _Rendering(layout)
    for step in rendering.steps():
        if isinstance(step, bytes):
            yield step
            continue
        async with closing(step.as_chunks()) as fetched:
            async for chunk in fetched:
                size, box = len(chunk), [chunk]
                del chunk  # or it would be kept while the next one is made, as by a thread that has done with it
                take = partial(_take_from, box, rendering)
                pieces = await in_thread(take) if rendering.takes_long(size) else take()
                long = rendering.encodes and size >= JOINED
                for piece in pieces:
                    yield piece
                    del piece
                del pieces
                if long:
                    await give_way()
        for piece in await in_thread(rendering.take, None) if rendering.takes_long(0) else rendering.take(None):
            yield piece


def _take_from(box: list[bytes], rendering: _Rendering) -> Sequence[bytes]:
    return rendering.take(box.pop())


def blocks(layout: Layout) -> Iterator[bytes]:
    """As :func:`chunks`, without an event loop; only after :func:`without_a_loop`."""
    rendering = _Rendering(layout)
    for step in rendering.steps():
        if isinstance(step, bytes):
            yield step
            continue
        for block in step.as_blocks():
            yield from rendering.take(block)
        yield from rendering.take(None)


# Parts that are sent one by one, of a message that goes on and on


class Frames:
    """The parts of an ``x-mixed-replace``, each with its delimiter after it: who receives it need not wait for the next
    one to know that it is whole.

    :param boundary: that of the message; what is sent is searched for it.
    """

    __slots__ = ("_boundary", "start")

    def __init__(self, boundary: str) -> None:
        self._boundary = boundary.encode()
        self.start: bytes = b"--%b\r\n" % self._boundary
        """What stands before the first part."""

    def frame(self, body: bytes, fields: Iterable[Field], *, last: bool = False) -> bytes:
        """One part, and the delimiter after it.

        :param fields: its header fields; Content-Length is added.
        :param last: it is the close-delimiter that follows.
        :raises ValueError: a field cannot be written, or the part contains the delimiter.
        """
        head = f"{render(fields)[0]}Content-Length: {len(body)}\r\n\r\n".encode()
        delimiter = b"\r\n--%b" % self._boundary
        whole = b"".join((head, body, delimiter, b"--\r\n" if last else b"\r\n"))
        if find(whole, delimiter) != len(head) + len(body) or whole.startswith(delimiter[2:]):
            raise _refusal(self._boundary)
        return whole
