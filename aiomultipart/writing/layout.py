"""From the parts of a multipart message to its bytes.

A :class:`Layout` is a message as it will be sent, laid out once: runs of framing and small bodies, and in between the
bodies that have to be fetched, and messages. :class:`_Rendering` walks through it and is the only one who joins, guards
and encodes; it waits for nothing. What has to be fetched it leaves to its driver, of which there are two:
:func:`chunks` with an event loop, :func:`blocks` without.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

from aiomultipart.codecs import Codec, encoder
from aiomultipart.exceptions import StateError
from aiomultipart.work import give_way, in_thread

from .head import Field, check_codings, coded_size, given_length, lines_of, value_of
from .payloads.base import Message, Payload
from .sinks import closing

__all__ = ("JOINED", "Frames", "Layout", "blocks", "chunks", "fetched", "lay_out", "prepare_part", "require_no_loop")

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
    levels = [_lay_out(message, close_boundary)]
    done: Layout | None = None
    while levels:
        try:
            nested = levels[-1].send(done)
        except StopIteration as stop:
            done = stop.value
            levels.pop()
        else:
            levels.append(_lay_out(nested, True))
            done = None
    return done  # type: ignore[return-value]  # the outermost


def _lay_out(message: Message, close_boundary: bool) -> Generator[Message, Layout | None, Layout]:
    """One level; it gives the messages that are its parts, and takes them laid out."""
    boundary, parts, in_form_data, chosen = message
    delimiter, next_delimiter = f"--{boundary}\r\n", f"\r\n--{boundary}\r\n"
    items: list[Run | Body] = []
    of_bodies: int | None = 0
    pieces: list[bytes] = []
    held = framed = 0
    delimiters = -1
    for number, payload in enumerate(parts):
        lines, at, coding, transfer_encoding = payload.lines(in_form_data)
        inner = None if payload.at_hand else payload.message()
        nested = None if inner is None else (yield inner)
        length = declared = payload.size if nested is None else nested.size
        as_it_is = coding is None and transfer_encoding is None
        if not as_it_is:
            check_codings(coding, transfer_encoding)
            length = coded_size(declared, coding, transfer_encoding)
        if length is not None and at is not None and not in_form_data:
            lines.insert(at, f"Content-Length: {length}\r\n")
        head = f"{delimiter}{''.join(lines)}\r\n".encode()
        delimiter = next_delimiter
        delimiters += 1
        pieces.append(head)
        held += len(head)
        if as_it_is and nested is None and length is not None and length <= (JOINED if payload.at_hand else _SMALL):
            whole = payload.whole() if payload.at_hand else payload.in_memory()
            if whole is not None and len(whole) == length:
                pieces.append(whole)
                held += length
                if held < JOINED:
                    continue
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


def prepare_part(payload: Payload, number: int, in_form_data: bool) -> None:
    """Make a payload a part of a message.

    :raises ValueError: a header field cannot be written, or is not allowed in form-data.
    :raises UnsupportedEncoding: a coding that cannot be applied.
    """
    fields = payload.fields(in_form_data)
    if not payload.is_plain:
        _, _, coding, transfer_encoding = payload.lines(in_form_data)
        check_codings(coding, transfer_encoding)
        lengths = [given_length(value) for name, value in fields if name.lower() == "content-length"]
        if lengths and not in_form_data and coding is None and transfer_encoding is None:
            payload.declare_size(lengths[0])
    if not in_form_data:
        payload.announce()
    elif len(fields) != 2 or fields[1][0] != "Content-Disposition":  # as nearly all have it
        if value_of(fields, "content-disposition") is None:
            payload.call_section(number)


def fetched(layout: Layout) -> Iterator[Body]:
    """All bodies that have to be fetched, those of nested messages included."""
    layouts = [layout]
    while layouts:
        for item in layouts.pop().items:
            if isinstance(item, Body):
                if item.nested is None:
                    yield item
                else:
                    layouts.append(item.nested)


def require_no_loop(layout: Layout) -> None:
    """Raise unless the message can be had without an event loop.

    :raises TypeError: a part cannot.
    """
    for body in fetched(layout):
        if not body.payload.has_blocks:
            name = value_of(body.payload.fields(), "content-disposition")
            raise body.payload.needs_a_loop(f"part {body.number}" + ("" if name is None else f" ({name})"))


# Rendering


class _Guard:
    """Sees to it that no part contains a delimiter; only a boundary that the caller chose can be met by chance.

    RFC 2046 section 5.1.1: it must not be "the prefix of any line", so what follows it does not matter. One delimiter
    is looked for and counted. The boundaries of several messages that are in each other are looked up at each line that
    begins with two dashes, so that what is deep inside is not searched for each of them.
    """

    __slots__ = ("_boundaries", "_keep", "_lengths", "_only", "_tail")

    def __init__(self) -> None:
        self._boundaries: dict[bytes, None] = {}
        self._lengths: dict[int, int] = {}  # of the boundaries, and how many have it
        self._only: bytes | None = None  # the delimiter, where there is one
        self._keep = 0  # bytes in which a delimiter can begin that ends in the next chunk
        self._tail = b""

    def enter(self, layout: Layout) -> None:
        """The framing of a message follows, whose first line has no CRLF before it to be found by."""
        if self._boundaries:
            self._search(b"\r\n--%b--" % layout.boundary, None)
        if layout.chosen:
            size = len(layout.boundary)
            self._boundaries[layout.boundary] = None
            self._lengths[size] = self._lengths.get(size, 0) + 1
            self._changed()

    def leave(self, layout: Layout) -> None:
        """That framing has ended."""
        if layout.chosen:
            size = len(layout.boundary)
            del self._boundaries[layout.boundary]
            self._lengths[size] -= 1
            if not self._lengths[size]:
                del self._lengths[size]
            self._changed()

    def _changed(self) -> None:
        self._only = b"\r\n--%b" % next(iter(self._boundaries)) if len(self._boundaries) == 1 else None
        self._keep = max(self._lengths, default=0) + 3

    def check_run(self, data: bytes, run: Run, layout: Layout) -> None:
        """Look at a run of the message that was entered last, before it is handed on."""
        if self._boundaries:
            own, expected = (layout.boundary, run.delimiters) if layout.chosen else (None, 0)
            if self._search(data, own) != expected:
                raise _refusal(b"\r\n--%b" % layout.boundary)
            self._tail = data[-self._keep :]

    def check(self, chunk: bytes) -> None:
        """Look at the next chunk of a body, before it is handed on."""
        if self._boundaries:
            self._search(chunk, None)
            tail, keep = self._tail, self._keep
            self._search(tail + chunk[:keep], None, len(tail))
            self._tail = chunk[-keep:] if len(chunk) >= keep else (tail + chunk)[-keep:]

    def _search(self, data: bytes, own: bytes | None, beyond: int = 0) -> int:
        """How many delimiters there are with the boundary ``own``, of those that end beyond an offset.

        :raises ValueError: there is one with another boundary.
        """
        if self._only is not None:
            if own is not None:
                return data.count(self._only)
            if self._only in data:
                raise _refusal(self._only)
            return 0
        found = 0
        at = data.find(b"\r\n--")
        while at >= 0:
            for size in self._lengths:
                end = at + 4 + size
                if beyond < end <= len(data) and (boundary := data[at + 4 : end]) in self._boundaries:
                    if boundary != own:
                        raise _refusal(data[at:end])
                    found += 1
            at = data.find(b"\r\n--", at + 4)
        return found


def _refusal(delimiter: bytes) -> ValueError:
    return ValueError(f"a part contains the delimiter {delimiter!r}; choose another boundary, or give none")


class _Rendering:
    """A message on its way to bytes; it waits for nothing."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        # What bytes go through: a guard; what makes a body of the section around of them; whether that takes long.
        self._sections: list[tuple[_Guard, Codec | None, bool]] = [(_Guard(), None, False)]
        # What is being fetched
        self._body: Body | None = None
        self._encoded = False
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
        sections = self._sections
        sections[0][0].enter(self._layout)
        entered: list[tuple[Layout, Iterator[Run | Body], bool]] = [(self._layout, iter(self._layout.items), False)]
        while entered:
            layout, items, encoded = entered[-1]
            for item in items:
                if isinstance(item, Run):
                    data = b"".join(item.pieces)
                    sections[-1][0].check_run(data, item, layout)
                    yield from self._through(data)
                elif item.nested is not None:
                    entered.append((item.nested, iter(item.nested.items), self._enter(item)))
                    sections[-1][0].enter(item.nested)
                    break
                else:
                    payload = item.payload
                    payload.rewind()  # it may be in the message twice
                    small = item.declared is not None and item.declared <= JOINED
                    whole = payload.in_memory() if small else None
                    self._body, self._given, self._encoded = item, 0, self._enter(item)
                    if whole is None:
                        yield payload
                    else:
                        yield from (*self.take(whole), *self.end())
            else:
                entered.pop()
                sections[-1][0].leave(layout)
                if encoded:
                    yield from self._leave()

    def _enter(self, body: Body) -> bool:
        """The bytes of a body follow; whether they are encoded."""
        codec = encoder(body.transfer_encoding, body.content_coding)
        if codec is not None:
            slow = body.content_coding is not None or body.transfer_encoding != "base64"
            self._sections.append((_Guard(), codec, slow))
        return codec is not None

    def _leave(self) -> Sequence[bytes]:
        """They have ended; what is left of them, where they are encoded."""
        _, codec, _ = self._sections[-1]
        if codec is not None:
            codec.feed_eof()
        rest = self._through(b"")
        self._sections.pop()
        return rest

    def _through(self, data: bytes) -> Sequence[bytes]:
        """What becomes of bytes that have been entered."""
        pieces = [data]
        for depth in range(len(self._sections) - 1, 0, -1):
            _, codec, _ = self._sections[depth]
            pieces = [encoded for piece in pieces for encoded in _encoded(codec, piece)]
            for piece in pieces:
                self._sections[depth - 1][0].check(piece)
        return pieces

    def take(self, chunk: bytes) -> Sequence[bytes]:
        """What becomes of a chunk of the body that is being fetched.

        :raises StateError: there are more bytes than were declared.
        :raises ValueError: the part contains the delimiter.
        """
        self._given += len(chunk)
        body = self._body
        if body is not None and body.declared is not None and self._given > body.declared:
            raise StateError(f"a {type(body.payload).__name__} gives more than its {body.declared} bytes")
        self._sections[-1][0].check(chunk)
        return self._through(chunk)

    def end(self) -> Sequence[bytes]:
        """What is left after its last chunk.

        :raises StateError: there were fewer bytes than declared.
        """
        body = self._body
        if body is not None and body.declared is not None and self._given < body.declared:
            raise StateError(f"a {type(body.payload).__name__} of {body.declared} bytes ended after {self._given}")
        return self._leave() if self._encoded else ()

    @property
    def encodes(self) -> bool:
        """Whether this body is encoded, if only with the message around it."""
        return len(self._sections) > 1

    def takes_long(self, size: int) -> bool:
        """Whether to encode so many bytes more of this body would keep the event loop."""
        return self._given + size > INLINE and any(slow for _, _, slow in self._sections)


def _encoded(codec: Codec | None, data: bytes) -> Iterator[bytes]:
    if codec is None:
        yield data
        return
    if data:
        codec.feed_data(data)
    while encoded := codec.read(JOINED):
        yield encoded


async def chunks(layout: Layout) -> AsyncIterator[bytes]:
    """The bytes of a message, in pieces that are not empty.

    :raises StateError: a part has been sent and cannot be sent again, or gives more or fewer bytes than declared.
    :raises ValueError: a part contains the delimiter.
    """
    rendering = _Rendering(layout)
    for step in rendering.steps():
        if isinstance(step, bytes):
            yield step
            continue
        async with closing(step.as_chunks()) as fetched:
            async for chunk in fetched:
                size = len(chunk)
                pieces = await in_thread(rendering.take, chunk) if rendering.takes_long(size) else rendering.take(chunk)
                encoded = rendering.encodes
                del chunk  # or it would be kept while the next one is made
                for piece in pieces:
                    yield piece
                    del piece
                del pieces
                if encoded and size >= JOINED:
                    await give_way()  # that took a while
        for piece in await in_thread(rendering.end) if rendering.takes_long(0) else rendering.end():
            yield piece


def blocks(layout: Layout) -> Iterator[bytes]:
    """As :func:`chunks`, without an event loop; only after :func:`require_no_loop`."""
    rendering = _Rendering(layout)
    for step in rendering.steps():
        if isinstance(step, bytes):
            yield step
            continue
        for block in step.as_blocks():
            yield from rendering.take(block)
        yield from rendering.end()


# Parts that are sent one by one, of a message that goes on and on


class Frames:
    """The parts of an ``x-mixed-replace``, each with its delimiter after it: who receives it need not wait for the next
    one to know that it is whole.

    :param boundary: that of the message; what is sent is searched for it.
    """

    __slots__ = ("_delimiter", "start")

    def __init__(self, boundary: str) -> None:
        self.start = f"--{boundary}\r\n".encode()
        """What stands before the first part."""
        self._delimiter = f"\r\n--{boundary}".encode()

    def frame(self, body: bytes, fields: Iterable[Field], *, last: bool = False) -> bytes:
        """One part, and the delimiter after it.

        :param fields: its header fields; Content-Length is added.
        :param last: it is the close-delimiter that follows.
        :raises ValueError: a field cannot be written, or the part contains the delimiter.
        """
        lines, *_ = lines_of(fields, in_form_data=False)
        head = f"{''.join(lines)}Content-Length: {len(body)}\r\n\r\n".encode()
        delimiter = self._delimiter
        whole = b"".join((head, body, delimiter, b"--\r\n" if last else b"\r\n"))
        if whole.count(delimiter) != 1 or whole.startswith(delimiter[2:]):
            raise _refusal(delimiter)
        return whole
