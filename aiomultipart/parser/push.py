"""The reference: one state machine, which makes events of bytes (RFC 2046 section 5.1.1).

What it waits for, and what comes next, is the table of :mod:`.states`; LENIENT begins in OPENING, the others in
PREAMBLE. What is a delimiter line, and what is none, is the business of a :class:`~.framing.Framing`.

How it works:

* Each state has a step, which reads on from a position of the data in hand and returns how far it got. What a step
  cannot decide yet (less than a delimiter line, less than a header block) is held, with a note of how far it was
  searched, and joined to the next chunk. So one line or one block is joined at the most, and no byte is searched again.
* Steps go from line end to line end: HEADERS begins with the CRLF of a delimiter line, a body with that of the blank
  line, and the input with one that nobody sent. So "--b" is a delimiter at each of these places without more ado.
* A chunk that is only body is handed on as the object that came in.
* What comes out never depends on how the input was cut: each limit has one byte at which it is passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import ClassVar, Final, NoReturn

from aiomultipart.exceptions import IncompleteBody, MultipartError, ParseError
from aiomultipart.limits import Limits, bound
from aiomultipart.policy import ACCEPT, FORGIVE, REJECT, Policy

from .base import Emit, then_raise
from .blocks import HeaderBlocks, Held
from .events import PART_END, Defect, Event, PartBegin
from .framing import CLOSE_DELIMITER, CRLF, CUT, DATA, HEADER, LF, Framing, Line, Opening
from .states import (
    BODY,
    CLOSED,
    COUNTED_BODY,
    COUNTED_END,
    EPILOGUE,
    HEADERS,
    IN_PART,
    OPENING,
    PREAMBLE,
    SURPLUS,
    State,
)

__all__ = ("PushMultipartParser",)

_CLOSE: Final = b"--\r\n"
_SHOWN: Final = 60  # characters of a line in an error

_PLACES = {
    PREAMBLE: "before the first delimiter",
    HEADERS: "in the headers of a part",
    BODY: "in the body of a part",
    COUNTED_BODY: "in the body of a part",
}
_TEXT = frozenset({PREAMBLE, BODY, COUNTED_BODY, SURPLUS})


class PushMultipartParser(HeaderBlocks):
    """Parse one multipart body, pushed in chunk by chunk.

    :param boundary: the boundary parameter, without the leading dashes.
    :param subtype: the multipart subtype; ``form-data`` is read by RFC 7578.
    :param limits: bounds; ``Limits()`` if not given.
    :param policy: how odd constructs are read.
    :param callbacks: functions to call in place of returning events: ``on_part_begin()``, with the new part in
        :attr:`part`; ``on_part_data(data, start, end)``, for ``data[start:end]``; ``on_part_end()``; ``on_end()``.
        Any of them may be missing.
    :ivar part: the part that was begun last; None before the first.
    :ivar defects: what the policy has forgiven so far, by offset.
    :raises ParseError: the boundary cannot delimit parts.
    :raises LimitExceeded: ``max_boundary_length``.
    :raises ValueError: an unknown callback.

    A multipart part is handed over like any other; :meth:`nested` gives the parser for its body.
    """

    __slots__ = ("_dropped", "_opening")
    part: PartBegin | None  # as in the base class, said again for type checkers

    def _prepare(self) -> None:
        self._framing = Framing(b"--" + self.boundary.encode())
        self._opening: Opening | None = None
        self._held = Held(CRLF)
        self._dropped = False  # whether nobody wants the body in hand
        rules = self.policy.rules
        if rules.line_feed_only is FORGIVE:
            images = rules.loose_image_stream is FORGIVE and self.subtype == "x-mixed-replace"
            dashes = rules.dashes_in_boundary is FORGIVE
            self._opening = Opening(self.boundary.encode(), dashes=dashes, images=images)
            self._held.data = b""
            self._state = OPENING

    def drop(self) -> None:
        """Skip what is still to come of the body of the part in hand; its end is an event as always."""
        self._dropped = self._state in IN_PART

    @classmethod
    def resume(
        cls,
        boundary: str,
        subtype: str,
        limits: Limits,
        policy: Policy,
        callbacks: Mapping[str, Callable[..., object]] | None,
        defects: list[Defect],
        usage: list[int],
        depth: int,
        state: int,
        offset: int,
        start: int,
        part: PartBegin | None,
        dropped: bool,
        first: bytes,
        held: bytes | None,
    ) -> PushMultipartParser:
        """A parser that takes over from the accelerator in the middle of a message.

        :param defects: the list to go on with.
        :param usage: the same of what counts for all parsers of the message.
        :param depth: how deep it is nested.
        :param state: the :class:`.State`; 0 for none, where not one byte has been read.
        :param offset: of what comes next.
        :param start: offset of the preamble, body or epilogue in hand.
        :param part: the last one.
        :param dropped: nobody wants its body.
        :param first: what the preamble begins with.
        :param held: what came last and was held back: a part of a delimiter line, or of a header block.
        """
        self = cls(boundary, subtype=subtype, limits=limits, policy=policy, callbacks=callbacks)
        self.defects, self._usage, self._depth = defects, usage, depth
        if state:
            self._state, self._offset, self._start = State(state), offset, start
            self.part, self._dropped = part, dropped
            self._opening = None
            self._held.data, self._held.first = held or b"", first
            if self._state in _TEXT:
                self._held.seen = min(len(self._held.data), len(self._framing.delimiter))
        return self

    def feed_after(self, events: list[Event], data: bytes) -> Iterable[Event]:
        """As :meth:`feed`, where these events have come out before in the same call."""
        try:
            more = self.feed(data)
        except MultipartError as exc:
            if events:
                return then_raise(events, exc)
            raise
        return chain(events, more)

    # The steps

    def _run(self, data: bytes, emit: Emit) -> None:
        opening = self._state is OPENING
        if opening:
            data = self._open(data, emit)
        held = self._held.data
        if held and (data or opening):
            self._held.data = b""
            self._offset -= len(held)
            if self._held.seen and self._state in _TEXT and not self._framing.may_go_on(held, data):
                # Mostly what might have been a delimiter is none.
                self._held.seen = 0
                self._deliver(held, 0, len(held), emit)
                self._offset += len(held)
            else:
                data = held + data
        position, end = 0, len(data)
        while position < end:
            if self._state is BODY:
                position = self._text(data, position, emit)
            elif self._state is HEADERS:
                position = self._headers(data, position, emit)
            else:
                position = self._steps[self._state](self, data, position, emit)
        self._offset += end

    def _open(self, data: bytes, emit: Emit) -> bytes:
        """LENIENT's preamble: read up to the line that shows how this sender writes; what follows that."""
        opened, position = None, 0
        while opened is None and position < len(data) and self._opening is not None:
            end = data.find(LF, position) + 1 or len(data)
            opened = self._opening.add(data[position:end])
            self._check_opening(self._opening)
            position = end
        self._offset += position
        if opened is not None:
            for kind in opened.forgiven:
                self._forgive(kind, 0, None)
            self._framing = opened.framing
            self._state = HEADERS
            self._held.data = opened.framing.newline + opened.header
            if opened.closes:
                self._held.data = b""
                self._end(0, emit)
        return data[position:]

    def _check_opening(self, opening: Opening) -> None:
        most = self.limits.max_preamble
        if most is not None and opening.size > most:
            self._exceed("max_preamble", "preamble", most - self._offset)

    def _text(self, data: bytes, position: int, emit: Emit) -> int:
        """PREAMBLE, BODY, COUNTED_BODY, SURPLUS: up to a delimiter line, or where a Content-Length says."""
        state, framing, stop, after = self._state, self._framing, len(data), -1
        if (state is BODY or state is PREAMBLE) and framing.is_plain and not self._held.seen:
            # Nearly always that is all.
            begin = data.find(framing.delimiter, position)
            end = begin if begin >= 0 else framing.hold(data, position, stop)
            first, most = self._start - self._offset, self.limits.max_part_size
            start = position if first < position else first  # noqa: FURB136 - max() takes three times as long
            if start < end:
                if state is BODY and (most is None or end - first <= most) and not self._dropped:
                    emit(data[start:end])
                else:
                    self._deliver(data, start, end, emit)
            if begin < 0:
                return stop if end == stop else self._hold(data, end, stop)
            position = begin
            after = begin + len(framing.delimiter)
            if data.startswith(CRLF, after):
                if state is BODY:
                    emit(PART_END)
                self._state = HEADERS
                return after
            if data.startswith(_CLOSE, after) and bound(self.limits.max_header_line) > 1:
                if state is BODY:
                    emit(PART_END)
                return self._end(after + len(_CLOSE), emit)
        counted = self._body_end if state is COUNTED_BODY else -1
        if 0 <= counted <= stop:
            stop = counted
            if framing.is_plain and not self._held.seen:
                begin = data.find(framing.delimiter, position, stop)
                if begin < 0:
                    begin = framing.hold(data, position, stop) if self._ends_leniently else stop
                    return self._complete(data, position, begin, -1, emit)
                self._deliver(data, position, begin, emit)
                position, after = begin, begin + len(framing.delimiter)
        position, begin, after, kind, end = self._find_line(data, position, after, stop, emit)
        if kind is CUT and stop == counted:
            return self._complete(data, position, begin, after, emit)
        self._deliver(data, position, begin, emit)
        if kind is CUT:
            return self._hold(data, begin, end)
        return self._delimited(kind, begin, after, end, emit)

    def _delimited(self, kind: Line, begin: int, after: int, end: int, emit: Emit) -> int:
        """A delimiter line is complete: it begins at ``begin``, its boundary ends at ``after``, and it at ``end``."""
        self._end_part(begin, after, end, emit)
        if kind is CLOSE_DELIMITER:
            return self._end(end, emit)
        self._state = HEADERS
        if kind is HEADER:
            self._forgive("header-on-delimiter-line", after, None)
            end = after
        return end - len(self._framing.newline)

    def _find_line(
        self, data: bytes, position: int, after: int, stop: int, emit: Emit
    ) -> tuple[int, int, int, Line, int]:
        """Look for a delimiter line in data[position:stop], and hand on the text before what is none.

        :param after: where the boundary ends of a delimiter that is known to be at ``position``, or -1.
        :return: what is handed on; where the line begins, where its boundary ends, its kind, and its end. If there is
            none the kind is CUT: what is there may be the beginning of one, and was read up to the last; the third is
            -1 where not even the boundary is complete.
        """
        framing = self._framing
        begin, seen, self._held.seen = position, self._held.seen, 0
        if seen >= framing.boundary_end(data):
            after = framing.boundary_end(data)
        elif after < 0:
            begin, after = framing.find(data, position, stop, seen)
            seen = 0
        while after >= 0:
            kind, end = framing.read_line(data, after, max(seen, after), stop)
            if begin > position:
                self._deliver(data, position, begin, emit)
                position = begin
            self._check_padding(kind, after, end, stop)
            if kind is not DATA:
                return position, begin, after, kind, end
            if self._state is PREAMBLE and data.startswith(LF, end) and data[after:end] != b"-":
                raise ParseError("the first delimiter line ends in LF alone", code="line-feed-only", **self._where(end))
            begin, after = framing.find(data, end, stop, 0)
            seen = 0
        return position, begin, -1, CUT, stop

    def _check_padding(self, kind: Line, after: int, end: int, stop: int) -> None:
        """Hold ``max_header_line`` for what a delimiter line has after its boundary."""
        most = self.limits.max_header_line
        if most is not None:
            passed = after + most + 2
            if (stop if kind is CUT else end if kind is DATA else end - 1) >= passed:
                self._exceed("max_header_line", "delimiter line", passed)

    def _deliver(self, data: bytes, start: int, end: int, emit: Emit) -> None:
        """Hand on data[start:end] of a body; count it as preamble before the first part."""
        first = self._start - self._offset
        start = max(start, first)  # the line end before it might have been a delimiter's
        if start >= end:
            return
        state, most = self._state, self.limits.max_part_size
        if state is PREAMBLE:
            room = min(_SHOWN, bound(self.limits.max_preamble)) - len(self._held.first)
            if room > 0:
                self._held.first += data[start : min(end, start + room)]
            self._skip("preamble", end)
        elif most is not None and end - first > most:
            self._deliver(data, start, first + most, emit)
            self._exceed("max_part_size", "body", first + most)
        elif state is not SURPLUS and not self._dropped:
            emit(data[start:end])

    def _skip(self, what: str, end: int) -> None:
        """Count the preamble or epilogue up to ``end``."""
        first = self._start - self._offset
        if self.subtype == "form-data" and self.policy.rules.text_around_form_data is REJECT:
            if what == "preamble":
                raise ParseError("preamble in form-data (RFC 7578)", code="preamble", **self._where(first))
            raise ParseError("epilogue in form-data (RFC 7578)", code="epilogue", **self._where(first))
        most: int | None = getattr(self.limits, f"max_{what}")
        if most is not None and end - first > most:
            self._exceed(f"max_{what}", what, first + most, self._missed())

    def _missed(self, more: bytes = b"") -> str:
        """What was looked for, and what was there instead, before the first delimiter."""
        text = (self._held.first + more)[:_SHOWN]
        if self._state is not PREAMBLE or not text:
            return ""
        first = text.partition(LF)[0].rstrip(b"\r").decode("latin-1")
        return f"; no line is {self._framing.dash_boundary.decode()!r}, the first is {first!r}"

    def _end_part(self, begin: int, after: int, end: int, emit: Emit) -> None:
        """A delimiter line is complete, which ends at ``end``: the part before it ends, if there is one."""
        state, part = self._state, self.part
        if part is None or state is PREAMBLE:
            return
        size = self._offset + begin - self._start
        if state is BODY or (state is COUNTED_END and not self._ends_at_length):
            emit(PART_END)
        elif state is COUNTED_BODY:
            if not self._ends_leniently:
                raise ParseError(
                    "delimiter before the end of the part's Content-Length",
                    code="content-length-too-large",
                    **self._where(end),
                )
            emit(PART_END)
            self._forgive("content-length-too-large", begin, part.index)
        elif state is SURPLUS and part.content_length is not None:
            surplus = begin - self._body_end
            if surplus > 0:
                self._forgive("content-length-too-small", self._body_end, part.index, surplus)
            elif surplus < 0 and part.content_length:
                self._forgive("content-length-too-large", begin, part.index)
            size = max(size, part.content_length)
        if size > 0 and after - begin < len(self._framing.delimiter):
            self._forgive("no-line-end-before-delimiter", begin, part.index)

    def _epilogue(self, data: bytes, position: int, emit: Emit) -> int:
        if self._state is EPILOGUE:  # else on_end() has closed the parser
            self._skip("epilogue", len(data))
        return len(data)

    # Where a Content-Length says where the body ends

    @property
    def _body_end(self) -> int:
        """Where in the data in hand."""
        length = None if self.part is None else self.part.content_length
        return self._start - self._offset + (length or 0)

    @property
    def _ends_at_length(self) -> bool:
        return self.policy.rules.body_ends_at_content_length is ACCEPT

    @property
    def _ends_leniently(self) -> bool:
        return self.policy.rules.wrong_content_length is FORGIVE

    def _complete(self, data: bytes, position: int, begin: int, after: int, emit: Emit) -> int:
        """A counted body is complete, whatever it looked like; from ``begin`` it may be of a delimiter too."""
        end = self._body_end
        self._deliver(data, position, end, emit)
        if self._ends_at_length:
            emit(PART_END)
        if self._ends_leniently:
            self._state = SURPLUS
            # A close-delimiter that the body ends with is left to it: the CRLF after it may be of another delimiter.
            return end if after >= 0 and data[after:end].rstrip(b" \t") == b"--" else begin
        self._state = COUNTED_END
        # The CRLF of the blank line may be the delimiter's, where there was no body.
        return begin if self._offset + end == self._start else end

    def _expect(self, data: bytes, position: int, emit: Emit) -> int:
        """COUNTED_END: a delimiter line, and nothing else."""
        delimiter = self._framing.delimiter
        seen, self._held.seen = self._held.seen, 0
        start = self._body_end
        if position < start:
            if len(data) == start:
                return self._hold(data, position, 0)
            if not data.startswith(b"-", start):
                position = start
        after = position + len(delimiter)
        if not delimiter.startswith(data[position:after]):
            self._overrun()
        if self._ends_at_length and data.startswith(CRLF, after):
            self._state = HEADERS  # so it is nearly always
            return after
        kind, end = CUT, len(data)
        if after <= len(data):
            kind, end = self._framing.read_line(data, after, max(seen, after), len(data))
            self._check_padding(kind, after, end, len(data))
        if kind is DATA:
            self._overrun()
        if kind is CUT:
            return self._hold(data, position, end)
        return self._delimited(kind, position, after, end, emit)

    def _overrun(self) -> NoReturn:
        end = self._body_end
        size = end + self._offset - self._start
        raise ParseError(
            f"no delimiter after the {size} bytes of Content-Length",
            code="content-length-too-small",
            **self._where(end),
        )

    # Parts begin

    def _headers(self, data: bytes, position: int, emit: Emit) -> int:
        """HEADERS: from the line end of a delimiter line to that of the blank line."""
        block, origin, after = self._read_block(data, position, emit)
        if block is None:
            return after
        framing, limits = self._framing, self.limits
        index = 0 if self.part is None else self.part.index + 1
        offset = self._offset + origin
        try:
            part = PartBegin(block, self.subtype == "form-data", self.policy, limits, index, offset)
        except MultipartError as exc:
            exc.offset, exc.part_index = offset, index
            raise
        if part.defects:
            for kind in part.defects:
                self._forgive(kind, origin, index)
        if limits.max_parts is not None or limits.max_total_header_bytes is not None:
            self._count(part, origin)
        self.part = part
        self._state = BODY
        self._start = self._offset + after
        self._dropped = False
        emit(part)
        if part.content_length is not None:
            self._state = COUNTED_BODY
            if part.content_length == 0:
                return self._complete(b"", after, after - framing.shared, -1, emit)
        return after - framing.shared

    # The end of the input

    def _end_input(self, emit: Emit) -> None:
        framing, held = self._framing, self._held.data
        in_headers = self._state is HEADERS
        after = framing.boundary_end(held)
        in_line = not in_headers and 0 < after <= len(held)
        if in_line and held[after:].rstrip(b" \t") == b"--":
            self._end_part(-len(held), after - len(held), 0, emit)
        elif in_headers and framing.whole_line(held[len(framing.newline) :])[0] is CLOSE_DELIMITER:
            pass
        elif self.policy.rules.missing_close_delimiter is FORGIVE:
            self._end_leniently(held, after if in_line else 0, emit)
        else:
            what = "in a delimiter" if in_line else _PLACES.get(self._state, "in a delimiter")
            missed = "" if in_line else self._missed(held[max(0, self._start - self._offset + len(held)) :])
            message = f"input ended {what}, without a close-delimiter{missed}"
            raise IncompleteBody(message, code="no-close-delimiter", **self._where(0))
        self._end(0, emit)

    def _end_leniently(self, held: bytes, after: int, emit: Emit) -> None:
        """What there is at the end of the input is all there is; its last delimiter line may have been cut."""
        state, last = self._state, self._next_index - 1
        if self._opening is not None and state is OPENING:
            opened = self._opening.end()
            self._check_opening(self._opening)
            if opened is not None:
                for kind in opened.forgiven:
                    self._forgive(kind, 0, None)
                return
        elif state is HEADERS:
            block = held[len(self._framing.newline) :]
            if block and self._framing.whole_line(block)[0] is DATA:
                self._forgive("headers-cut-short", 0, last + 1)
        elif after:
            self._end_part(-len(held), after - len(held), 0, emit)
        elif state is SURPLUS:
            surplus = -len(held) - self._body_end
            if surplus > 0:
                self._forgive("content-length-too-small", self._body_end, last, surplus)
        else:
            self._offset -= len(held)
            self._deliver(held, 0, len(held), emit)
            self._offset += len(held)
            emit(PART_END)
            self._forgive("part-cut-short", 0, last)
        self._forgive("missing-close-delimiter", 0, None)

    _steps: ClassVar[dict[State, Callable[[PushMultipartParser, bytes, int, Emit], int]]] = {
        PREAMBLE: _text,
        HEADERS: _headers,
        BODY: _text,
        COUNTED_BODY: _text,
        COUNTED_END: _expect,
        SURPLUS: _text,
        EPILOGUE: _epilogue,
        CLOSED: _epilogue,
    }
