r"""The sans-IO core: bytes in, events out (RFC 2046 section 5.1.1).

States, what ends each, and what comes next::

    PREAMBLE        a delimiter                -> DELIMITER_LINE
    DELIMITER_LINE  CRLF                       -> HEADERS
                    "--" and CRLF or the end   -> EPILOGUE
                    anything else: it was data -> the state before
    HEADERS         a blank line               -> BODY, or COUNTED_BODY where a Content-Length counts
                    an adjacent delimiter line -> HEADERS or EPILOGUE (no part)
    BODY            a delimiter                -> DELIMITER_LINE
    COUNTED_BODY    as many bytes as announced -> COUNTED_END
                    a delimiter line           -> FAILED (it came too early)
    COUNTED_END     a delimiter                -> DELIMITER_LINE
                    anything else              -> FAILED
    SURPLUS         a delimiter                -> DELIMITER_LINE
    EPILOGUE        close()                    -> CLOSED
    any             bad input                  -> FAILED

LENIENT begins in OPENING in place of PREAMBLE, where the first delimiter line shows how this sender writes delimiters
(:mod:`aiomultipart.parser.framing`), and drops SURPLUS in place of COUNTED_END. To it a delimiter before the end of a
COUNTED_BODY is one, and close() may come at any time.

How it works:

* A delimiter is CRLF, two dashes and the boundary. The CRLF may be shared: the start of the input counts as one, and so
  does the blank line, so that ``--b`` right after it ends an empty part.
* Only a CR can begin a delimiter and there is no second one in it. So at most one proper prefix of the delimiter can
  stand at the end of a chunk, it is remembered as a number (``_matched``), and nothing is searched or joined again
  when the next chunk comes. (In image streams that LENIENT reads, a dash can begin one too. What may become a
  delimiter is held back there, ``_held``, and joined to the next chunk.)
* A chunk without a delimiter is handed on as the object that came in.
* Small parts are split off many at a time, by :meth:`PushMultipartParser._parts`; every detour (a cut, a long or odd
  header block, transport padding, a Content-Length that is not met exactly) leaves it for the step of its state.
* What comes out never depends on how the input was cut: each limit has one byte at which it is passed.
"""

from __future__ import annotations

import enum
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, NoReturn, Self, TypedDict

from aiomultipart.exceptions import IncompleteBody, LimitExceeded, MultipartError, ParseError, StateError
from aiomultipart.grammar.boundary import USUAL_BOUNDARY_LENGTH, check_boundary, is_usual_boundary, parse_boundary
from aiomultipart.grammar.media_type import parse_media_type
from aiomultipart.limits import DEFAULT_LIMITS, Limits, bound
from aiomultipart.policy import ACCEPT, FORGIVE, REJECT, Policy

from .events import END, PART_END, Defect, Event, PartBegin, read_common_form_block
from .framing import CRLF, HEADER, LF, LINE_DONE, LINES, STANDARD_LINE, Dialect, Line, Opening, may_begin, read_line

__all__ = ("PushMultipartParser",)

BLANK = b"\r\n\r\n"
CLOSE_LINE = b"--\r\n"
DASH = 0x2D

# How much is split at its delimiters in one go: little, until that has been of use; and never more than stays in a near
# cache, because it is copied twice.
_MIN_WINDOW = 1024
_MAX_WINDOW = 16 * 1024
# In fewer bytes than some 30 000 CPython looks for a delimiter by a way that is slow where the bytes of the delimiter
# abound. Where lines are short these are CR and LF, so the dash-boundary is looked for, until it is found.
_LARGE = 32 * 1024
# A header block within these bounds may be read by the loop and shared through the cache, when the limits in force
# are no narrower. Others go line by line.
_FAST_BYTES = 1024
_FAST_LINES = 12
_FAST_PARAMETERS = 12
_CACHE_SIZE = 512
_CACHES: dict[tuple[Policy, bool], dict[bytes, PartBegin]] = {
    (policy, form_data): {} for policy in Policy for form_data in (False, True)
}

_MAX_DEFECTS = 1000
# Readers of nested messages await one another, so that even without a limit there is an end.
_MAX_DEPTH = 64
_GATHER = 4096

_CALLBACKS = frozenset({"on_part_begin", "on_part_data", "on_part_end", "on_end"})


class State(enum.IntEnum):
    OPENING = enum.auto()
    PREAMBLE = enum.auto()
    DELIMITER_LINE = enum.auto()
    HEADERS = enum.auto()
    BODY = enum.auto()
    COUNTED_BODY = enum.auto()
    COUNTED_END = enum.auto()
    SURPLUS = enum.auto()
    EPILOGUE = enum.auto()
    CLOSED = enum.auto()
    FAILED = enum.auto()


# CPython 3.11 is slow to look up State.BODY.
OPENING, PREAMBLE, DELIMITER_LINE, HEADERS, BODY, COUNTED_BODY, COUNTED_END, SURPLUS, EPILOGUE, CLOSED, FAILED = State


class _Where(TypedDict):
    offset: int
    part_index: int | None
    part_name: str | None


class _Terms:
    """What limits, policy and subtype come to, for the code that sees every message and every chunk."""

    __slots__ = (
        "_limits_within",
        "cache",
        "fast",
        "form_data",
        "limits",
        "max_epilogue",
        "max_part_size",
        "max_parts",
        "max_preamble",
        "max_total_header_bytes",
        "max_total_size",
        "policy",
        "state",
        "subtype",
        "usual_boundary",
    )

    def __init__(self, limits: Limits, policy: Policy, subtype: str) -> None:
        self.limits = limits
        self.policy = policy
        self.subtype = subtype.lower()
        self.form_data = self.subtype == "form-data"
        self.max_total_size = bound(limits.max_total_size)
        self.max_part_size = bound(limits.max_part_size)
        self.max_parts = bound(limits.max_parts)
        self.max_preamble = bound(limits.max_preamble)
        self.max_epilogue = bound(limits.max_epilogue)
        if self.form_data and policy.rules.text_around_form_data is REJECT:
            self.max_preamble = self.max_epilogue = -1
        self.max_total_header_bytes = bound(limits.max_total_header_bytes)
        self.fast = (
            bound(limits.max_header_line) >= _FAST_BYTES
            and bound(limits.max_header_bytes) >= _FAST_BYTES
            and bound(limits.max_headers) >= _FAST_LINES
            and bound(limits.max_parameters) >= _FAST_PARAMETERS
        )
        self.usual_boundary = bound(limits.max_boundary_length) >= USUAL_BOUNDARY_LENGTH
        # By what stands before the blank line: CRLF and the header block, or nothing.
        self.cache = _CACHES[policy, self.form_data] if self.fast else {}
        self.state = OPENING if policy.rules.line_feed_only is FORGIVE else PREAMBLE
        self._limits_within: Limits | None = None

    def limits_within(self) -> Limits:
        """Of the parsers for nested messages, which do not count bytes; the outermost one does."""
        if self._limits_within is None:
            self._limits_within = self.limits.replace(max_total_size=None)
        return self._limits_within


# By the ids of limits and policy, which are quick to hash; the terms keep both alive, so that no others get their ids.
_TERMS: dict[tuple[int, int, str], _Terms] = {}
_TERMS_SIZE = 64


def _work_out(limits: Limits, policy: Policy, subtype: str) -> _Terms:
    if len(_TERMS) >= _TERMS_SIZE:
        _TERMS.clear()
    terms = _TERMS[id(limits), id(policy), subtype] = _Terms(limits, policy, subtype)
    return terms


class PushMultipartParser:
    """Parse one multipart body, pushed in chunk by chunk.

    :param boundary: the boundary parameter, without the leading dashes.
    :param subtype: the multipart subtype; ``form-data`` is read by RFC 7578.
    :param limits: bounds; ``Limits()`` if not given.
    :param policy: how odd constructs are read.
    :param callbacks: functions to call in place of returning events: ``on_part_begin()``, with the new part in
        :attr:`part`; ``on_part_data(data, start, end)``, for ``data[start:end]``; ``on_part_end()``; ``on_end()``.
        Any of them may be missing.
    :raises ParseError: the boundary cannot delimit parts.
    :raises LimitExceeded: ``max_boundary_length``.
    :raises ValueError: an unknown callback.

    A multipart part is handed over like any other; :meth:`nested` gives the parser for its body. Who has to know where
    a part began sets :attr:`starts` to a deque, which then takes the offset of each part's header block.
    """

    # Beyond 30 attributes CPython keeps each instance's in a dict of its own, which is slow to fill and to read.
    __slots__ = (
        "_before",
        "_block",
        "_body_end",
        "_callbacks",
        "_dash_boundary",
        "_delimiter",
        "_depth",
        "_error",
        "_fields",
        "_found_at",
        "_held",
        "_images",
        "_index",
        "_initial",
        "_lent",
        "_line",
        "_line_bytes",
        "_line_start",
        "_line_table",
        "_matched",
        "_name",
        "_newline",
        "_offset",
        "_opener",
        "_opening",
        "_plain",
        "_rejoined",
        "_remaining",
        "_room",
        "_searched",
        "_shared",
        "_size",
        "_sought",
        "_state",
        "_step_to",
        "_tail",
        "_terms",
        "_usage",
        "_window",
        "boundary",
        "defects",
        "limits",
        "part",
        "policy",
        "starts",
        "subtype",
    )

    # Set where a state begins that needs them, because most messages never get there:
    # OPENING
    _opener: Opening
    # COUNTED_END, SURPLUS: where the body ended
    _body_end: int
    # DELIMITER_LINE: where it begins, the state before, and how far the line is read
    _found_at: int
    _before: State
    _line: int
    # HEADERS: the block so far, where its last line begins, how far it was searched, its fields
    _block: bytearray
    _line_start: int
    _searched: int
    _fields: int

    def __init__(
        self,
        boundary: str | bytes,
        *,
        subtype: str = "mixed",
        limits: Limits | None = None,
        policy: Policy = Policy.STANDARD,
        callbacks: Mapping[str, Callable[..., object]] | None = None,
    ) -> None:
        if limits is None:
            limits = DEFAULT_LIMITS
        if isinstance(boundary, bytes):
            boundary = boundary.decode("latin-1")
        terms = _TERMS.get((id(limits), id(policy), subtype)) or _work_out(limits, policy, subtype)
        if not (terms.usual_boundary and is_usual_boundary(boundary)):
            check_boundary(boundary, policy=policy, limits=limits)
        if callbacks is not None and not callbacks.keys() <= _CALLBACKS:
            raise ValueError(f"unknown callbacks: {', '.join(sorted(callbacks.keys() - _CALLBACKS))}")
        self.boundary = boundary
        self.subtype = terms.subtype
        self.limits = limits
        self.policy = policy
        self.part: PartBegin | None = None
        self.starts: deque[int] | None = None
        self.defects: list[Defect] = []
        self._callbacks = callbacks
        self._terms = terms
        self._depth = 1
        self._usage = [0, 0]  # parts and header bytes of the whole message; its nested parsers count here too
        self._dash_boundary = dash_boundary = b"--" + boundary.encode("ascii")
        self._delimiter = CRLF + dash_boundary
        self._opening = dash_boundary + CRLF  # most messages begin with it
        self._tail = 1 - len(self._opening)  # from where a delimiter may be cut off by the end of a chunk
        self._newline = CRLF
        self._initial = b"\r"  # what begins a delimiter, if only one byte does
        self._line_table = STANDARD_LINE
        self._state = state = terms.state
        self._images = False
        self._plain = callbacks is None
        if state is OPENING:
            # In an image stream delimiters are looked for with and without their line ends.
            self._images = policy.rules.loose_image_stream is FORGIVE and terms.subtype == "x-mixed-replace"
            self._plain = self._plain and not self._images
            self._opener = Opening(dash_boundary[2:], images=self._images)
        self._error: MultipartError | None = None
        self._offset = 0  # of the chunk in hand
        # How much is split at its delimiters in one go, and up to which offset parts are read step by step instead
        self._window = _MIN_WINDOW
        self._step_to = 0
        # Where chunks are only body: how much more of it may come, and how much that was when it was last counted
        self._room = -1
        self._lent = 0
        self._sought = 0  # up to where the chunk in hand has no delimiter
        self._index = -1  # of the part in hand
        self._name: str | None = None  # its name, for errors
        # Preamble, body or epilogue so far
        self._size = 0
        # Bytes of the delimiter seen at the end of the chunks so far, and how many of them belong to what was before
        self._matched = self._shared = 2
        # After these: what was read of a delimiter line, beyond the boundary
        self._line_bytes: bytes | bytearray = b""
        # COUNTED_BODY: bytes still to come
        self._remaining = 0
        # In an image stream: what was held back of the chunks so far, and how much of it stands in front of this one
        self._held = b""
        self._rejoined = 0

    @classmethod
    def from_content_type(
        cls,
        content_type: str,
        *,
        limits: Limits | None = None,
        policy: Policy = Policy.STANDARD,
        callbacks: Mapping[str, Callable[..., object]] | None = None,
    ) -> Self:
        """A parser for the body that goes with a Content-Type.

        :param content_type: the field value, such as ``multipart/form-data; boundary=x``.
        :raises ParseError: it is not multipart, has no boundary, or one that cannot delimit parts.
        :raises LimitExceeded: ``max_boundary_length``, ``max_parameters``.
        """
        limits = limits or DEFAULT_LIMITS
        defects: list[str] = []
        media_type = parse_media_type(content_type, policy=policy, limits=limits, defects=defects)
        if media_type.type != "multipart":
            raise ParseError(f"Content-Type: {media_type.type}/{media_type.subtype} is not multipart")
        boundary = parse_boundary(media_type, policy=policy, limits=limits)
        parser = cls(boundary, subtype=media_type.subtype, limits=limits, policy=policy, callbacks=callbacks)
        if defects:
            parser.defects = [Defect(kind, None, None) for kind in defects]
        return parser

    def nested(self, part: PartBegin, *, shared: bool = True) -> PushMultipartParser:
        """A parser for the body of a part that is itself multipart.

        :param part: a part of this message with a ``boundary``.
        :param shared: count its parts and header bytes towards the limits of this message, as far as each level has
            been fed; False for a caller who counts them himself.
        :raises LimitExceeded: ``max_depth``.
        :raises StateError: the part is not multipart.
        """
        if part.boundary is None or part.media_type is None:
            raise StateError("the part is not multipart")
        most = min(bound(self.limits.max_depth), _MAX_DEPTH)
        if self._depth >= most:
            raise LimitExceeded(
                f"multipart nested deeper than {most}", limit="max_depth", value=most, part_name=part.name
            )
        parser = PushMultipartParser(
            part.boundary,
            subtype=part.media_type.subtype,
            limits=self._terms.limits_within(),
            policy=self.policy,
        )
        parser._depth = self._depth + 1
        if shared:
            parser._usage = self._usage
        return parser

    @property
    def error(self) -> MultipartError | None:
        """The error that ended the parsing, if one did; every later call raises it again."""
        return self._error

    @property
    def ended(self) -> bool:
        """Whether the close-delimiter has been read."""
        return self._state in (EPILOGUE, CLOSED)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` has been called and found the message complete."""
        return self._state is CLOSED

    def feed(self, data: bytes | bytearray | memoryview) -> Iterable[Event]:
        """Take the next bytes of the body.

        :param data: any number of bytes.
        :return: the events of what is complete now, in order; nothing when there are callbacks. If the bytes are bad,
            the events before that come first and then, in the same iteration, the error.
        :raises MultipartError: the bytes are bad and no event comes before that, or were bad in an earlier call.
        :raises StateError: after :meth:`close`, and after a callback has raised.
        """
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data must be bytes, a bytearray or a memoryview, not {type(data)!r}")
            data = bytes(data)
        size = len(data)
        if 0 < size <= self._room:
            # Most chunks of a file are body and nothing else: for them as little is done as can be.
            found = data.find(self._dash_boundary if size < _LARGE else self._delimiter)
            if found >= 0:
                self._sought = max(0, found - len(CRLF))
            else:
                cut = data.rfind(self._initial, self._tail)
                if cut < 0 or not self._delimiter.startswith(data[cut:]):
                    self._room -= size
                    return (data,) if self._state is BODY else ()
        if self._room >= 0:
            self._settle()
        state = self._state
        if state is BODY or state is PREAMBLE:
            if size and self._plain and self._offset and not self._sought:
                body = self._between_delimiters(data)
                if body is not None:
                    return body
        elif state is EPILOGUE:
            terms = self._terms
            if self._size + size <= terms.max_epilogue and self._offset + size <= terms.max_total_size:
                self._offset += size
                self._size += size
                return ()
        elif state is CLOSED or state is FAILED:
            self._refuse()
        events: list[Event] = []
        emit = events.append
        room = self._terms.max_total_size - self._offset
        try:
            if len(data) > room:
                self._run(data[:room], emit)
                self._offset += room
                self._exceed("max_total_size", "message", 0)
            self._run(data, emit)
        except MultipartError as exc:
            return self._fail(exc, events)
        self._sought = 0
        self._offset += len(data)
        return events if self._callbacks is None else self._dispatch(events)

    def _settle(self) -> None:
        """Count the chunks that were only body, which was put off."""
        self._offset += self._lent - self._room
        self._size += self._lent - self._room
        self._room = -1

    def _between_delimiters(self, data: bytes) -> tuple[bytes, ...] | None:
        """What the steps would make of a chunk without a delimiter in it, in one piece; None for any other."""
        state, terms, matched, delimiter = self._state, self._terms, self._matched, self._delimiter
        held = delimiter[self._shared : matched] if matched else b""
        size = self._size + len(held) + len(data)
        most = terms.max_part_size if state is BODY else terms.max_preamble
        if (
            size > most
            or self._offset + len(data) > terms.max_total_size
            or (
                matched
                and data[0] == delimiter[matched]  # mostly it is not, which is the quicker way to see that
                and delimiter.startswith(data[: len(delimiter) - matched], matched)
            )
        ):
            return None
        found = data.find(self._dash_boundary if len(data) < _LARGE else delimiter)
        if found >= 0:
            self._sought = max(0, found - len(CRLF))
            return None
        self._offset += len(data)
        self._size = size
        cut = data.rfind(self._initial, self._tail)
        if cut >= 0 and delimiter.startswith(data[cut:]):
            self._shared = 0
            self._matched = matched = len(data) - cut
            self._size = size - matched
            data = data[:cut]
        else:
            self._matched = self._shared = 0
            self._room = self._lent = min(most - size, terms.max_total_size - self._offset)
        if state is PREAMBLE:
            return ()
        if held:
            return (held, data) if data else (held,)
        return (data,) if data else ()

    def close(self) -> Iterable[Event]:
        """The input has ended.

        :return: the events that only the end completes, as :meth:`feed` does.
        :raises IncompleteBody: there was no close-delimiter.
        :raises MultipartError: the input was bad in an earlier call.
        :raises StateError: a callback has raised.

        A second call does nothing.
        """
        if self._state is CLOSED:
            return ()
        if self._state is FAILED:
            self._refuse()
        if self._room >= 0:
            self._settle()
        events: list[Event] = []
        try:
            if self._state is not EPILOGUE:
                self._close(events.append)
        except MultipartError as exc:
            return self._fail(exc, events)
        self._state = CLOSED
        return events if self._callbacks is None else self._dispatch(events)

    def _close(self, emit: Callable[[Event], object]) -> None:
        if self._state is DELIMITER_LINE and self._line == Line.CLOSE:
            if self._before is COUNTED_BODY and not self._ends_leniently():
                self._too_early(0)
            self._delimited(emit)
            emit(END)
        elif self._state is HEADERS and self._adjacent(bytes(self._block)) is Line.IS_CLOSE_DELIMITER:
            emit(END)
        elif self.policy.rules.missing_close_delimiter is FORGIVE:
            self._close_leniently(emit)
        else:
            what = {
                PREAMBLE: "before the first delimiter",
                HEADERS: "in the headers of a part",
                BODY: "in the body of a part",
                COUNTED_BODY: "in the body of a part",
            }.get(self._state, "in a delimiter")
            raise IncompleteBody(f"input ended {what}, without a close-delimiter", **self._where(0))

    def _close_leniently(self, emit: Callable[[Event], object]) -> None:
        """What there is at the end of the input is all there is."""
        state = self._state
        if state is OPENING:
            dialect = self._opener.end()
            self._check_opening()
            if dialect is not None:
                for kind in dialect.forgiven:
                    self._forgive(kind, 0, None)
                emit(END)
                return
        elif state is HEADERS:
            if self._block and self._adjacent(bytes(self._block)) is None:
                self._forgive("headers-cut-short", 0, self._index + 1)
        elif state is DELIMITER_LINE:
            # Its boundary is complete.
            self._delimited(emit)
        elif state is SURPLUS:
            held = len(self._held) or self._matched
            surplus = self._offset - held - self._body_end
            if surplus > 0:
                self._forgive("content-length-too-small", self._body_end - self._offset, self._index, surplus)
        else:
            self._offset -= len(self._held)
            self._deliver(self._held, 0, len(self._held), emit)
            self._offset += len(self._held)
            self._release(0, emit)
            emit(PART_END)
            self._forgive("part-cut-short", 0, self._index)
        self._forgive("missing-close-delimiter", 0, None)
        emit(END)

    def forgive(self, kind: str, *, part_index: int | None) -> None:
        """Record a defect that the parser does not see, such as an unknown charset, unless it is recorded already.

        Of all defects the first 1000 are kept.
        """
        defect = Defect(kind, None, part_index)
        if defect not in self.defects:
            self._record(defect)

    def _forgive(self, kind: str, position: int, index: int | None, size: int = 0) -> None:
        self._record(Defect(kind, self._offset + position, index, size))

    def _record(self, defect: Defect) -> None:
        if len(self.defects) < _MAX_DEFECTS:
            self.defects.append(defect)

    def _fail(self, exc: MultipartError, events: list[Event]) -> Iterable[Event]:
        self._state = FAILED
        self._error = exc
        if self._callbacks is not None:
            self._dispatch(events)
        elif events:
            return _then_raise(events, exc)
        raise exc.fresh()

    def _refuse(self) -> NoReturn:
        if self._error is not None:
            raise self._error.fresh()
        raise StateError("the parser is closed" if self._state is CLOSED else "a callback has raised")

    def _dispatch(self, events: list[Event]) -> tuple[Event, ...]:
        try:
            for event in events:
                if isinstance(event, bytes):
                    self._call("on_part_data", event, 0, len(event))
                elif isinstance(event, PartBegin):
                    self.part = event
                    self._call("on_part_begin")
                elif event is PART_END:
                    self._call("on_part_end")
                    self.part = None
                else:
                    self._call("on_end")
        except BaseException:
            # The events after it are lost, so nothing that came later would make sense.
            self._state = FAILED
            raise
        return ()

    def _call(self, name: str, *arguments: object) -> None:
        callback = self._callbacks.get(name) if self._callbacks is not None else None
        if callback is not None:
            callback(*arguments)

    def _where(self, position: int) -> _Where:
        """Keywords for an error at ``position`` of the chunk in hand."""
        state = self._before if self._state is DELIMITER_LINE else self._state
        if state in _IN_PART:
            return {"offset": self._offset + position, "part_index": self._index, "part_name": self._name}
        return {"offset": self._offset + position, "part_index": None, "part_name": None}

    def _exceed(self, limit: str, what: str, position: int) -> NoReturn:
        value: int = getattr(self.limits, limit)
        raise LimitExceeded(f"{what} passes {limit} of {value}", limit=limit, value=value, **self._where(position))

    def _exceed_in_headers(self, limit: str, position: int, index: int, name: str | None = None) -> NoReturn:
        try:
            self._exceed(limit, "header block" if "header" in limit else "message", position)
        except LimitExceeded as exc:
            exc.part_index, exc.part_name = index, name
            raise

    def _run(self, data: bytes, emit: Callable[[Event], object]) -> None:
        held = self._held
        if held:
            data = held + data
            self._held = b""
            self._rejoined = len(held)
            self._offset -= len(held)
        position, end = 0, len(data)
        if self._offset == 0 and self._state is PREAMBLE:
            size = len(self._opening)
            if end > size and data.startswith(self._opening):
                self._matched = self._shared = 0
                position = self._parts(data, size - len(CRLF), emit)
        while position < end:
            position = self._steps[self._state](self, data, position, emit)
        if held:
            self._rejoined = 0
            self._offset += len(held)

    # OPENING: LENIENT's preamble

    def _open(self, data: bytes, position: int, emit: Callable[[Event], object]) -> int:
        end = data.find(LF, position) + 1 or len(data)
        dialect = self._opener.add(data[position:end])
        self._check_opening()
        return end if dialect is None else self._adopt(dialect, data, end, emit)

    def _check_opening(self) -> None:
        most = self.limits.max_preamble
        if most is not None and self._opener.size > most:
            self._exceed("max_preamble", "preamble", most - self._offset)

    def _adopt(self, dialect: Dialect, data: bytes, position: int, emit: Callable[[Event], object]) -> int:
        """Read on from ``position``, after the first delimiter line, in the dialect that it showed."""
        for kind in dialect.forgiven:
            self._forgive(kind, position, None)
        self._newline = dialect.newline
        self._initial = b"" if self._images else dialect.newline[:1]
        self._dash_boundary = dialect.dash_boundary
        self._delimiter = dialect.newline + dialect.dash_boundary
        self._tail = 1 - len(self._delimiter)
        self._line_table = LINES[dialect.newline, self._images]
        if dialect.closes:
            self._end(emit)
            return position
        if self._line_table is STANDARD_LINE and data.endswith(CRLF, 0, position):
            return self._parts(data, position - len(CRLF), emit)
        self._begin_headers()
        self._block += dialect.header
        return self._headers(data, position, emit)

    # PREAMBLE, BODY, COUNTED_BODY and SURPLUS: look for the delimiter

    def _search(self, data: bytes, position: int, emit: Callable[[Event], object]) -> int:
        if self._images:
            return self._search_images(data, position, emit)
        state = self._state
        stop = len(data)
        if state is COUNTED_BODY:
            stop = min(stop, position + self._remaining)
        if self._matched:
            position = self._resume(data, position, stop, emit)
            if self._state is not state or position == stop:
                return self._counted(position, emit) if state is COUNTED_BODY else position
        delimiter = self._delimiter
        found = data.find(delimiter, max(position, self._sought), stop)
        if found < 0:
            return self._pass_on(data, position, stop, emit)
        self._deliver(data, position, found, emit)
        after = found + len(delimiter)
        if self._line_table is STANDARD_LINE and state is not COUNTED_BODY and data.startswith(CRLF, after):
            self._found_at = self._offset + found
            self._delimited(emit)
            return self._parts(data, after, emit)
        self._begin_line(found)
        if state is COUNTED_BODY:
            self._remaining -= after - position
            return self._counted(after, emit)
        return after

    def _resume(self, data: bytes, position: int, stop: int, emit: Callable[[Event], object]) -> int:
        """Go on with a delimiter of which an earlier chunk held the beginning."""
        rest = self._delimiter[self._matched :]
        piece = data[position : min(stop, position + len(rest))]
        if rest.startswith(piece):
            if self._state is COUNTED_BODY:
                self._remaining -= len(piece)
            self._matched += len(piece)
            if len(piece) == len(rest):
                self._begin_line(position + len(piece) - len(self._delimiter))
            return position + len(piece)
        self._release(position, emit)
        return position

    def _release(self, position: int, emit: Callable[[Event], object]) -> None:
        """What looked like a delimiter, up to ``position`` of the chunk in hand, was none."""
        held = self._delimiter[self._shared : self._matched] + self._line_bytes
        self._matched = self._shared = 0
        self._line_bytes = b""
        before = position - len(held)
        self._offset += before
        self._deliver(held, 0, len(held), emit)
        self._offset -= before

    def _pass_on(self, data: bytes, position: int, stop: int, emit: Callable[[Event], object]) -> int:
        """No delimiter in data[position:stop]: deliver it, but for a beginning of one at its end."""
        end = stop
        reached = self._state is COUNTED_BODY and stop - position >= self._remaining
        if not reached or self._ends_leniently():
            hold = data.rfind(self._initial, max(position, stop - len(self._delimiter) + 1), stop)
            if hold >= 0 and self._delimiter.startswith(data[hold:stop]):
                end = hold
        self._deliver(data, position, end, emit)
        self._matched, self._shared = stop - end, 0
        if self._state is COUNTED_BODY:
            self._remaining -= stop - position
            return self._counted(stop, emit)
        return stop

    def _search_images(self, data: bytes, position: int, emit: Callable[[Event], object]) -> int:
        """In an image stream, where a delimiter may do without its line end."""
        delimiter, newline = self._delimiter, self._newline
        dash_boundary = delimiter[len(newline) :]
        stop = len(data)
        start = position
        while start < self._rejoined and not may_begin(delimiter, dash_boundary, data, start):
            start += 1
        if start < self._rejoined:
            # Of what was held nothing is searched again: here is the delimiter, or it is still incomplete.
            found = start if data.startswith(dash_boundary, start) else start + len(newline)
            found = found if data.startswith(dash_boundary, found) else -1
        else:
            found = data.find(dash_boundary, start)
        after = found + len(dash_boundary)
        hold = stop
        if found >= 0:
            begin = found - len(newline) if data.endswith(newline, position, found) else found
        else:
            for candidate in _CANDIDATE(data, max(start, stop - len(delimiter) + 1)):
                if may_begin(delimiter, dash_boundary, data, candidate.start()):
                    hold = candidate.start()
                    break
            begin = hold
        if self._state is COUNTED_BODY:
            end = position + self._remaining
            if stop >= end and (found < 0 or after > end):
                self._deliver(data, position, end, emit)
                self._remaining = 0
                self._counted(end, emit)
                position = end
            else:
                self._remaining -= (hold if found < 0 else after) - position
        if self._state is SURPLUS:
            position = max(position, self._body_end - self._offset)  # what was held back may have been of the body
        self._deliver(data, position, max(position, begin), emit)
        if found < 0:
            self._held = data[hold:]
            return stop
        self._begin_line(begin)
        self._shared = len(newline) if begin == found else 0
        return self._counted(after, emit)

    def _deliver(self, data: bytes, start: int, end: int, emit: Callable[[Event], object]) -> None:
        """Hand on data[start:end] of a body; count it as preamble before the first part."""
        if start == end:
            return
        size = self._size + end - start
        if self._state is PREAMBLE:
            self._skip("preamble", self.limits.max_preamble, end - start, start)
            return
        if size > self._terms.max_part_size:
            end = start + self._terms.max_part_size - self._size
            if start < end and self._state is not SURPLUS:
                emit(data[start:end])
            self._exceed("max_part_size", "body", end)
        self._size = size
        if self._state is not SURPLUS:
            emit(data[start:end])

    def _skip(self, what: str, most: int | None, size: int, position: int) -> None:
        if self._terms.form_data and self.policy.rules.text_around_form_data is REJECT:
            raise ParseError(f"{what} in form-data (RFC 7578)", **self._where(position))
        if most is not None and self._size + size > most:
            self._exceed(f"max_{what}", what, position + most - self._size)
        self._size += size

    def _delimited(self, emit: Callable[[Event], object]) -> None:
        """A delimiter line is complete: the part before it ends."""
        before = self._before if self._state is DELIMITER_LINE else self._state
        if before is BODY or (before is COUNTED_END and not self._ends_at_length()):
            emit(PART_END)
        elif before is COUNTED_BODY:
            emit(PART_END)
            self._forgive("content-length-too-large", self._found_at - self._offset, self._index)
        elif before is SURPLUS:
            self._end_surplus()
        if self._images and self._shared and self._size:
            self._forgive("no-line-end-before-delimiter", self._found_at - self._offset, self._index)
        self._matched = self._shared = 0

    def _end_surplus(self) -> None:
        """A delimiter was found after the end of a counted body, or across it."""
        surplus = self._found_at - self._body_end
        if surplus > 0:
            self._forgive("content-length-too-small", self._body_end - self._offset, self._index, surplus)
        elif surplus < 0 and self._size:
            self._forgive("content-length-too-large", self._found_at - self._offset, self._index)

    def _ends_at_length(self) -> bool:
        return self.policy.rules.body_ends_at_content_length is ACCEPT

    def _ends_leniently(self) -> bool:
        return self.policy.rules.wrong_content_length is FORGIVE

    # COUNTED_BODY and COUNTED_END: a Content-Length says where the body ends

    def _counted(self, position: int, emit: Callable[[Event], object]) -> int:
        """After each move in a counted body: end it when all its bytes are here, whatever they looked like."""
        if self._remaining == 0 and (
            self._state is COUNTED_BODY or (self._state is DELIMITER_LINE and self._before is COUNTED_BODY)
        ):
            # A close-delimiter that the body ends with is left to it: the CRLF after it may be of another delimiter.
            in_line = self._state is DELIMITER_LINE and self._line != Line.CLOSE
            matched = self._matched if in_line or self._state is COUNTED_BODY else 0
            self._state = COUNTED_BODY
            self._release(position, emit)
            self._body_end = self._offset + position
            if self._ends_leniently():
                # What is of the body may yet turn out to be of a delimiter too.
                self._matched = self._shared = matched
                self._before = SURPLUS
                self._state = DELIMITER_LINE if in_line else SURPLUS
            else:
                self._state = COUNTED_END
            if self._ends_at_length():
                emit(PART_END)
        return position

    def _expect(self, data: bytes, position: int, emit: Callable[[Event], object]) -> int:
        if self._matched == 0 and self._size == 0 and data[position] == DASH:
            self._matched = 2  # the CRLF of the blank line is the delimiter's
        rest = self._delimiter[self._matched :]
        piece = data[position : position + len(rest)]
        if not rest.startswith(piece):
            self._overrun()
        self._matched += len(piece)
        if len(piece) == len(rest):
            self._begin_line(position)
        return position + len(piece)

    def _too_early(self, position: int) -> NoReturn:
        raise ParseError("delimiter before the end of the part's Content-Length", **self._where(position))

    def _overrun(self) -> NoReturn:
        where = self._where(self._body_end - self._offset)
        raise ParseError(f"no delimiter after the {self._size} bytes of Content-Length", **where)

    # DELIMITER_LINE

    def _begin_line(self, position: int) -> None:
        """A delimiter has been found that begins at ``position``; the rest of its line says whether it is one."""
        self._found_at = self._offset + position
        self._before = self._state
        self._state = DELIMITER_LINE
        self._matched = len(self._delimiter)
        self._line = Line.BOUNDARY
        self._line_bytes = bytearray()

    def _delimiter_line(self, data: bytes, position: int, emit: Callable[[Event], object]) -> int:
        counted = self._before is COUNTED_BODY
        stop = len(data)
        if counted:
            stop = min(stop, position + self._remaining)
        most = bound(self.limits.max_header_line)
        stop = min(stop, position + most + len(CRLF) - len(self._line_bytes))
        line: int | None = self._line
        table = self._line_table
        end = position
        while end < stop and line is not None and line not in LINE_DONE:
            line = table[line].get(data[end])
            end += 1
        if line is None:
            return self._not_a_delimiter(data, position, end - 1, emit)
        self._line = line
        if counted:
            self._remaining -= end - position
        if line not in LINE_DONE:
            self._line_bytes += data[position:end]
            if len(self._line_bytes) >= most + len(CRLF):
                self._exceed("max_header_line", "delimiter line", end)
            return self._counted(end, emit)
        if counted and not self._ends_leniently():
            self._too_early(end)
        self._line_bytes = b""
        self._delimited(emit)
        if line == Line.IS_CLOSE_DELIMITER:
            self._end(emit)
            return end
        if self._line_table is STANDARD_LINE and data.endswith(CRLF, 0, end):
            return self._parts(data, end - len(CRLF), emit)
        self._begin_headers()
        if line == Line.IS_HEADER:
            self._forgive("header-on-delimiter-line", end - len(HEADER), None)
            self._block += HEADER
        return end

    def _not_a_delimiter(self, data: bytes, position: int, end: int, emit: Callable[[Event], object]) -> int:
        if self._before is COUNTED_END:
            self._overrun()
        self._line_bytes += data[position:end]
        if self._before is PREAMBLE and data[end] == LF[0] and self._line_bytes != b"-":
            raise ParseError("the first delimiter line ends in LF alone", **self._where(end))
        if self._before is COUNTED_BODY:
            self._remaining -= end - position
        self._state = self._before
        self._release(end, emit)
        return end

    def _end(self, emit: Callable[[Event], object]) -> None:
        self._state = EPILOGUE
        self._size = 0
        emit(END)

    def _epilogue(self, data: bytes, position: int, emit: Callable[[Event], object]) -> int:
        self._skip("epilogue", self.limits.max_epilogue, len(data) - position, position)
        return len(data)

    # HEADERS

    def _begin_headers(self) -> None:
        self._state = HEADERS
        self._block = bytearray()
        self._line_start = self._searched = self._fields = 0

    def _headers(self, data: bytes, position: int, emit: Callable[[Event], object]) -> int:
        """Gather a header block line by line."""
        block = self._block
        origin = position - len(block)  # where the block would begin in data
        block += data[position : position + _GATHER]
        newline = self._newline
        while True:
            start = self._line_start
            end = block.find(newline, self._searched)
            if end < 0:
                half = newline is CRLF and block.endswith(b"\r")
                self._searched = max(start, len(block) - half)
                self._check_line(start, len(block) - half, origin)
                return origin + len(block)
            after = origin + end + len(newline)
            if end == start:
                raw = bytes(block[: max(0, start - len(newline))])
                self._begin_part(raw if newline is CRLF else raw.replace(LF, CRLF), origin, after, emit)
                return after
            self._check_line(start, end, origin)
            if start == 0:
                line = self._adjacent(bytes(block[:end]))
                if line is Line.IS_HEADER:
                    dashes = len(self._delimiter) - len(newline)
                    self._forgive("header-on-delimiter-line", origin + dashes, None)
                    del block[:dashes]
                    origin += dashes
                    self._searched = 0
                    continue
                if line is not None:
                    self._begin_headers()
                    if line is Line.IS_CLOSE_DELIMITER:
                        self._end(emit)
                    return after
            if block[start] not in b" \t":
                self._fields += 1
                if self._fields > bound(self.limits.max_headers):
                    self._exceed_in_headers("max_headers", origin + end, self._index + 1)
            self._line_start = self._searched = end + len(newline)

    def _check_line(self, start: int, end: int, origin: int) -> None:
        """Hold the bounds on one header line and on the block; of two that are passed, the first counts."""
        line_end = start + bound(self.limits.max_header_line)
        block_end = bound(self.limits.max_header_bytes)
        if start < end and end > min(line_end, block_end):
            limit = "max_header_line" if line_end <= block_end else "max_header_bytes"
            self._exceed_in_headers(limit, origin + min(line_end, block_end), self._index + 1)

    def _begin_part(self, block: bytes, position: int, body: int, emit: Callable[[Event], object]) -> None:
        head = CRLF + block if block else b""
        begin = self._terms.cache.get(head)
        if begin is None:
            begin = self._read_block(head, self._index + 1, position, is_short=_is_short(head))
        self._index += 1
        self._name = begin.name
        usage = self._usage
        usage[0] += 1
        usage[1] += len(block)
        if usage[0] > self._terms.max_parts:
            self._exceed_in_headers("max_parts", position, self._index, begin.name)
        if usage[1] > self._terms.max_total_header_bytes:
            self._exceed_in_headers("max_total_header_bytes", position, self._index, begin.name)
        if self.starts is not None:
            self.starts.append(self._offset + position)
        emit(begin)
        self._begin_body(begin, body, emit)

    def _read_block(self, head: bytes, index: int, position: int, *, is_short: bool) -> PartBegin:
        block = head[2:]
        try:
            begin = PartBegin(block, form_data=self._terms.form_data, policy=self.policy, limits=self.limits)
        except MultipartError as exc:
            exc.offset = self._offset + position
            exc.part_index = index
            raise
        for kind in begin.defects:
            self._forgive(kind, position, index)
        if (
            not begin.defects
            and begin.boundary is None  # whose length may be within other limits, and not within these
            and is_short
            and block.count(b";") <= _FAST_PARAMETERS
        ):
            cache = self._terms.cache
            if len(cache) >= _CACHE_SIZE:
                cache.clear()
            cache[head] = begin
        return begin

    def _begin_body(self, begin: PartBegin, position: int, emit: Callable[[Event], object]) -> None:
        self._size = 0
        # The line end of the blank line may be that of the delimiter too.
        self._matched = self._shared = 0 if self._images else len(self._newline)
        if begin.content_length is None:
            self._state = BODY
        else:
            self._state = COUNTED_BODY
            self._remaining = begin.content_length
            self._counted(position, emit)

    def _adjacent(self, line: bytes) -> Line | None:
        """Whether a line where a header block should begin is a delimiter line, and which."""
        dash_boundary = self._dash_boundary
        if not line.startswith(dash_boundary):
            return None
        return read_line(line[len(dash_boundary) :], images=self._images)

    # The loop over small parts

    def _parts(self, data: bytes, position: int, emit: Callable[[Event], object]) -> int:
        """Read the parts that lie whole in ``data``, from the CRLF at ``position`` that ends a delimiter line.

        A window of the data is split at its delimiters in one go. Each piece then is the end of a delimiter line, a
        header block, a blank line and a body. One look into the cache, for all that stands before the blank line, says
        that the delimiter line and the headers are good; and with that, that the part before has ended.

        :return: how far it got, with the state set for what comes there.
        """
        terms, usage, starts = self._terms, self._usage, self.starts
        delimiter, size = self._delimiter, len(self._delimiter)
        cache = terms.cache
        cached = cache.get
        # The part before position: it has ended if the delimiter between them is one.
        begin: PartBegin | None = None
        body = b""
        split = terms.fast and self._offset + position >= self._step_to
        while split:
            window = data[position : position + self._window]
            pieces = window.split(delimiter)
            rest = pieces.pop()
            first = index = self._index
            header_bytes = 0
            room, header_room = terms.max_parts - usage[0], terms.max_total_header_bytes - usage[1]
            length = len(window)
            stop = position + length
            careful = starts is not None or len(pieces) > room or length > header_room or length > terms.max_part_size
            try:
                for piece in pieces:
                    head, blank, text = piece.partition(BLANK)
                    following = cached(head)
                    if following is None and terms.form_data and len(head) <= _FAST_BYTES:
                        following = read_common_form_block(head)
                        if following is not None:
                            if len(cache) >= _CACHE_SIZE:
                                cache.clear()
                            cache[head] = following
                    if not blank or (following is None and not _is_short(head)):
                        split = False
                        break
                    if begin is not None:
                        emit(PART_END)
                    begin = following or self._read_block(head, index + 1, position + 2, is_short=True)
                    body = text
                    index += 1
                    header_bytes += len(begin.raw)
                    if careful:
                        if index - first > room or header_bytes > header_room:
                            limit = "max_parts" if index - first > room else "max_total_header_bytes"
                            self._exceed_in_headers(limit, position + 2, index, begin.name)
                        if starts is not None:
                            starts.append(self._offset + position + 2)
                    emit(begin)
                    counted = begin.content_length
                    if (counted is not None and counted != len(body)) or (careful and len(body) > terms.max_part_size):
                        self._go_by_steps(stop, length)
                        self._name = begin.name
                        position += len(head) + len(BLANK)
                        self._begin_body(begin, position, emit)
                        return position
                    if body:
                        emit(body)
                    position += len(piece) + size
            finally:
                self._index = index
                usage[0] += index - first
                usage[1] += header_bytes
            if not split:
                self._go_by_steps(stop, length)
            elif rest.startswith(CLOSE_LINE):
                emit(PART_END)
                self._end(emit)
                return position + len(CLOSE_LINE)
            elif stop < len(data) or len(rest) > _FAST_BYTES:
                blank_line = data.find(BLANK, position, position + _FAST_BYTES + len(BLANK))
                if blank_line >= 0 and pieces and stop < len(data) and len(rest) <= _FAST_BYTES:
                    self._window = min(2 * self._window, _MAX_WINDOW)
                    continue
                head = data[position : max(position, blank_line)]
                if blank_line >= 0 and _is_short(head):
                    self._window = _MIN_WINDOW
                    if begin is not None:
                        emit(PART_END)
                    return self._begin_long(head, data, position, stop, emit)
                self._go_by_steps(stop, length)
            split = False
        if begin is not None:
            if not data.startswith(CRLF, position):
                return self._reopen(begin, len(body), position - size, emit)
            emit(PART_END)
        self._begin_headers()
        return position + len(CRLF)

    def _go_by_steps(self, stop: int, length: int) -> None:
        """A window had an odd part: what follows may be no better, and then to split it would be a search in vain."""
        self._step_to = self._offset + stop + 4 * length
        self._window = _MIN_WINDOW

    def _begin_long(self, head: bytes, data: bytes, position: int, stop: int, emit: Callable[[Event], object]) -> int:
        """Begin the part whose ``head`` is at ``position``, and which does not end before ``stop``."""
        delimiter, body = self._delimiter, position + len(head) + len(BLANK)
        self._begin_part(head[2:], position + len(CRLF), body, emit)
        if self._state is not BODY or stop - body < len(delimiter):
            return body
        found = data.find(delimiter, stop - len(delimiter) + 1) if stop < len(data) else -1
        if found < 0:
            return self._pass_on(data, body, len(data), emit)
        self._matched = self._shared = 0
        self._deliver(data, body, found, emit)
        return found

    def _reopen(self, begin: PartBegin, size: int, position: int, emit: Callable[[Event], object]) -> int:
        """The delimiter at ``position``, after ``size`` bytes of body, is incomplete, padded, or none."""
        self._name = begin.name
        self._size = size
        self._matched = self._shared = 0
        if begin.content_length is None:
            self._state = BODY
        else:
            self._state = COUNTED_BODY
            self._remaining = 0
            self._counted(position, emit)
        return position

    _steps: ClassVar[dict[State, Callable[[PushMultipartParser, bytes, int, Callable[[Event], object]], int]]] = {
        OPENING: _open,
        PREAMBLE: _search,
        DELIMITER_LINE: _delimiter_line,
        HEADERS: _headers,
        BODY: _search,
        COUNTED_BODY: _search,
        COUNTED_END: _expect,
        SURPLUS: _search,
        EPILOGUE: _epilogue,
    }


def _is_short(head: bytes) -> bool:
    """Whether it is CRLF and header lines, or nothing, within the bounds of what the loop may read."""
    return not head or (head.startswith(CRLF) and len(head) <= _FAST_BYTES and head.count(CRLF) <= _FAST_LINES)


_IN_PART = frozenset({BODY, COUNTED_BODY, COUNTED_END, SURPLUS})
_CANDIDATE = re.compile(rb"[\r\n-]").finditer


def _then_raise(events: list[Event], error: MultipartError) -> Iterator[Event]:
    yield from events
    raise error.fresh()
