"""What a push parser looks like from outside: how it is made, fed and closed, and how an error ends it for good.

:class:`~.push.PushMultipartParser` adds what happens in between.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NoReturn, Self, TypeAlias, TypedDict, TypeVar

from aiomultipart.exceptions import LimitExceeded, MultipartError, StateError, UnsupportedMediaType
from aiomultipart.grammar.boundary import check_boundary, parse_boundary
from aiomultipart.grammar.media_type import parse_media_type
from aiomultipart.limits import DEFAULT_LIMITS, Limits, bound
from aiomultipart.policy import Policy

from .events import END, PART_END, Defect, Event, PartBegin
from .states import CLOSED, EPILOGUE, FAILED, IN_PART, PREAMBLE, State

__all__ = ("MAX_DEFECTS", "BaseParser", "Emit", "check_arguments", "place", "then_raise")

MAX_DEFECTS: Final = 1000
"""Of all defects of a message the first are kept."""
# Readers of nested messages await one another, so that even without a limit there is an end.
_MAX_DEPTH = 64
_CALLING: Mapping[str, Callable[..., object]] = {}
_CALLBACKS = frozenset({"on_part_begin", "on_part_data", "on_part_end", "on_end"})

T = TypeVar("T")
Emit: TypeAlias = Callable[[Event], object]
"""Takes one event."""


class _Where(TypedDict):
    offset: int
    part_index: int | None
    part_name: str | None


class BaseParser:
    """What surrounds the state machine. The arguments are those of :class:`~.push.PushMultipartParser`."""

    __slots__ = (
        "_callbacks",
        "_depth",
        "_error",
        "_offset",
        "_start",
        "_state",
        "_usage",
        "boundary",
        "defects",
        "limits",
        "part",
        "policy",
        "subtype",
    )

    def __init__(
        self,
        boundary: str | bytes,
        *,
        subtype: str = "mixed",
        limits: Limits | None = None,
        policy: Policy = Policy.STANDARD,
        callbacks: Mapping[str, Callable[..., object]] | None = None,
    ) -> None:
        limits = limits or DEFAULT_LIMITS
        self.limits: Limits = limits
        self.policy: Policy = policy
        self.subtype: str = subtype.lower()
        self.boundary: str = check_arguments(boundary, policy, limits, callbacks)
        self.part: PartBegin | None = None
        self.defects: list[Defect] = []
        self._callbacks = callbacks
        self._depth = 1
        self._usage = [0, 0]  # parts and header bytes of the whole message; its nested parsers count here too
        self._state: State = PREAMBLE
        self._error: MultipartError | None = None
        self._offset = 0  # of the data in hand; between two calls, of what comes next
        self._start = 0  # offset of the preamble, body or epilogue in hand
        self._prepare()

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
        :raises UnsupportedMediaType: it is not multipart.
        :raises ParseError: it is no media type, has no boundary, or one that cannot delimit parts.
        :raises LimitExceeded: ``max_boundary_length``, ``max_parameters``.
        """
        limits = limits or DEFAULT_LIMITS
        defects: list[str] = []
        media_type = parse_media_type(content_type, policy=policy, limits=limits, defects=defects)
        if media_type.type != "multipart":
            raise UnsupportedMediaType(
                f"Content-Type: multipart is expected, not {media_type.type}/{media_type.subtype}", code="not-multipart"
            )
        boundary = parse_boundary(media_type, policy=policy, limits=limits)
        parser = cls(boundary, subtype=media_type.subtype, limits=limits, policy=policy, callbacks=callbacks)
        parser.defects.extend([Defect(kind, None, None) for kind in defects])
        return parser

    def nested(self, part: PartBegin, *, shared: bool = True) -> Self:
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
                f"multipart nested deeper than {most}",
                limit="max_depth",
                value=most,
                offset=part.offset,
                part_index=part.index,
                part_name=part.name,
            )
        limits = self.limits
        if limits.max_total_size is not None:
            limits = limits.replace(max_total_size=None)  # the outermost parser counts the bytes
        parser = type(self)(part.boundary, subtype=part.media_type.subtype, limits=limits, policy=self.policy)
        parser._depth = self._depth + 1  # noqa: SLF001 - one of its own class
        if shared:
            parser._usage = self._usage  # noqa: SLF001 - as above
        return parser

    @property
    def error(self) -> MultipartError | None:
        """The error that ended the parsing, if one did; every later call raises it again."""
        return self._error

    @property
    def ended(self) -> bool:
        """Whether the close-delimiter has been read."""
        return self._state is EPILOGUE or self._state is CLOSED

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
        :raises StateError: after :meth:`close`, in a callback, and after a callback has raised.
        """
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data must be bytes, a bytearray or a memoryview, not {type(data)!r}")
            data = bytes(data)
        if self._state is FAILED or self._state is CLOSED:
            self._refuse()
        events: list[Event] = []
        emit = events.append if self._callbacks is None else self._caller()
        most = self.limits.max_total_size
        try:
            if most is not None and self._offset + len(data) > most:
                self._run(data[: most - self._offset], emit)
                self._exceed("max_total_size", "message", 0)
            self._run(data, emit)
        except MultipartError as exc:
            return self._fail(exc, events)
        return events

    def close(self) -> Iterable[Event]:
        """The input has ended.

        :return: the events that only the end completes, as :meth:`feed` does.
        :raises IncompleteBody: there was no close-delimiter.
        :raises MultipartError: the input was bad in an earlier call.
        :raises StateError: a callback has raised.

        A second call does nothing.
        """
        if self._state is FAILED:
            self._refuse()
        events: list[Event] = []
        if not self.ended:
            try:
                self._end_input(events.append if self._callbacks is None else self._caller())
            except MultipartError as exc:
                return self._fail(exc, events)
        self._state = CLOSED
        return events

    def _prepare(self) -> None:
        """Get ready for the first byte."""
        raise NotImplementedError

    def _run(self, data: bytes, emit: Emit) -> None:
        """Parse what has come."""
        raise NotImplementedError

    def _end_input(self, emit: Emit) -> None:
        """Make what can be made of what has come; the close-delimiter may be missing."""
        raise NotImplementedError

    def _end(self, position: int, emit: Emit) -> int:
        """The close-delimiter ends at ``position`` of the data in hand."""
        self._state = EPILOGUE
        self._start = self._offset + position
        emit(END)
        return position

    def _caller(self) -> Emit:
        """What gives events to callbacks."""
        if self._callbacks is _CALLING:
            raise StateError("a callback cannot feed the parser that calls it")
        return self._call

    def _call(self, event: Event) -> None:
        """Give an event to its callback."""
        arguments: tuple[object, ...] = ()
        if isinstance(event, bytes):
            name, arguments = "on_part_data", (event, 0, len(event))
        elif isinstance(event, PartBegin):
            name = "on_part_begin"
        else:
            name = "on_part_end" if event is PART_END else "on_end"
        callbacks = self._callbacks
        callback = None if callbacks is None else callbacks.get(name)
        if callback is not None:
            self._callbacks = _CALLING
            try:
                callback(*arguments)
            except BaseException:
                # The rest of the chunk is lost, so nothing that came later would make sense.
                self._state = FAILED
                raise
            finally:
                self._callbacks = callbacks

    # Errors and defects

    def _fail(self, exc: MultipartError, events: list[Event]) -> Iterable[Event]:
        if self._state is FAILED:
            raise exc  # a callback's own
        self._state = FAILED
        self._error = exc
        if events:
            return then_raise(events, exc)
        raise exc.fresh()

    def _refuse(self) -> NoReturn:
        if self._error is not None:
            raise self._error.fresh()
        raise StateError("the parser is closed" if self._state is CLOSED else "a callback has raised")

    def _where(self, position: int) -> _Where:
        """Keywords for an error at ``position`` of the data in hand."""
        part = self.part if self._state in IN_PART else None
        index, name = (None, None) if part is None else (part.index, part.name)
        return {"offset": self._offset + position, "part_index": index, "part_name": name}

    def _exceed(self, limit: str, what: str, position: int, more: str = "") -> NoReturn:
        value: int = getattr(self.limits, limit)
        message = f"{what} passes {limit} of {value}{more}"
        raise LimitExceeded(message, limit=limit, value=value, **self._where(position))

    def forgive(self, kind: str, part: PartBegin | None) -> None:
        """Record a defect that the parser does not see, such as an unknown charset, unless it is recorded already.

        Of all defects the first 1000 are kept.

        :param part: the part that has it; None for the whole message.
        """
        defect = Defect(kind, None, None) if part is None else Defect(kind, part.offset, part.index)
        if defect not in self.defects:
            _record(self.defects, defect)

    def _forgive(self, kind: str, position: int, index: int | None, size: int = 0) -> None:
        _record(self.defects, Defect(kind, self._offset + position, index, size))


def _record(defects: list[Defect], defect: Defect) -> None:
    if len(defects) < MAX_DEFECTS:
        insort(defects, defect, key=place)


def check_arguments(
    boundary: str | bytes, policy: Policy, limits: Limits, callbacks: Mapping[str, Callable[..., object]] | None
) -> str:
    """The boundary, as text; what is wrong with the arguments of a parser, as :class:`~.push.PushMultipartParser`."""
    if isinstance(boundary, bytes):
        boundary = boundary.decode("latin-1")
    check_boundary(boundary, policy=policy, limits=limits)
    if callbacks is not None and not callbacks.keys() <= _CALLBACKS:
        raise ValueError(f"unknown callbacks: {', '.join(sorted(callbacks.keys() - _CALLBACKS))}")
    return boundary


def place(defect: Defect) -> int:
    """What defects are sorted by: their offset; what has none comes first."""
    return -1 if defect.offset is None else defect.offset


def then_raise(events: Iterable[T], error: MultipartError) -> Iterator[T]:
    """The events before an error, and then the error, freshly."""
    yield from events
    raise error.fresh()
