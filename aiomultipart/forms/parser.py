"""Forms without I/O: bytes in, fields and files out. multipart/form-data (RFC 7578), application/x-www-form-urlencoded.

Strategy. :class:`FormParser` sits on the push parser, or for urlencoded forms on a splitter of its own. A field is
gathered and comes as one :class:`Field`; a file comes as its :class:`~aiomultipart.PartBegin`, its decoded bytes and
``PART_END``. What becomes of a file, and how much memory all fields together may take, is up to who drives it: the
async reader and the synchronous one differ in that alone.

Who drives it may lend some memory beforehand. Fields that fit into it are added in one loop, without an event for each,
which is twice as fast where a form has nothing else.
"""

from __future__ import annotations

import copy
import enum
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple, NoReturn, TypeAlias
from urllib.parse import unquote_to_bytes

from aiomultipart import hdrs
from aiomultipart.codecs import Codec, decoder
from aiomultipart.exceptions import (
    IncompleteBody,
    LimitExceeded,
    MultipartError,
    ParseError,
    UnknownEncoding,
    UnsupportedMediaType,
)
from aiomultipart.grammar.boundary import parse_boundary
from aiomultipart.grammar.charsets import CHARSET_FIELD, decode_text, lookup_charset
from aiomultipart.grammar.fields import HeaderItems, as_multidict, parse_content_length
from aiomultipart.grammar.media_type import parse_media_type, sole_content_type
from aiomultipart.limits import Limits, bound
from aiomultipart.parser import PART_END, Defect, Event, Mark, PartBegin, PushMultipartParser
from aiomultipart.policy import ACCEPT, FORGIVE, REJECT, Policy

__all__ = ("Field", "FormEvent", "FormParser")

_PIECE: Final = 64 * 1024
# What an entry of a form takes besides its bytes: objects, and a place in a multidict.
_OVERHEAD: Final = 200


# What browsers and clients send. All else is left to the general grammar; for this one both find the same boundary.
_COMMON_CONTENT_TYPE = re.compile(r"multipart/form-data; boundary=([0-9A-Za-z'+_.\-]{1,70}+)", re.ASCII).fullmatch


class _Kind(enum.Enum):
    FIELD = enum.auto()
    NO_FILE_YET = enum.auto()
    FILE = enum.auto()


_FIELD: Final = _Kind.FIELD  # CPython 3.11 is slow to look it up there


class Field(NamedTuple):
    """A field of a form that is no file."""

    name: str
    value: str
    raw: bytes
    """The value as bytes, transfer encoding and percent-encoding undone."""
    part: PartBegin | None
    """The part that it came in; None in a urlencoded form."""
    size: int
    """What it takes in memory: the bytes that its name, headers and value arrived in, and 200 more."""


FormEvent: TypeAlias = Field | PartBegin | bytes | Mark
"""A field, the beginning of a file, bytes of it, or ``PART_END``."""


class FormParser:
    """Parse one form, pushed in chunk by chunk.

    :param headers: the header fields of the request: its Content-Type, and its Content-Length if it has one.
    :param limits: bounds; ``max_part_size`` holds for files, ``max_field_size`` for fields.
    :param policy: how odd constructs are read.
    :param is_file: whether a part without a ``filename`` is a file nevertheless; none is, if not given.
    :ivar content_length: of the request, in bytes; None if it is not known.
    :raises ParseError: the Content-Type is missing; the Content-Length is no length.
    :raises UnsupportedMediaType: the Content-Type is none of a form.
    :raises LimitExceeded: the Content-Length passes ``max_total_size``.
    """

    def __init__(
        self,
        headers: HeaderItems,
        *,
        limits: Limits,
        policy: Policy = Policy.STANDARD,
        is_file: Callable[[PartBegin], bool] | None = None,
    ) -> None:
        fields = as_multidict(headers)
        content_type = sole_content_type(fields)
        self.content_length: int | None = None
        # Behind a Content-Encoding, which somebody has undone, the length is that of other bytes.
        lengths = fields.getall(hdrs.CONTENT_LENGTH, ())
        is_announced = any(value.strip(" \t").strip("0") for value in lengths)
        if lengths and hdrs.CONTENT_ENCODING not in fields:
            # Not strip() alone, which takes more than the white space of a header off (RFC 9110 section 5.6.3).
            counts = {parse_content_length(length.strip(" \t")) for length in lengths}
            self.content_length = counts.pop()
            if counts:
                raise ParseError("Content-Length: there more than once, and not the same", code="repeated-field")
        most = limits.max_total_size
        if most is not None and self.content_length is not None and self.content_length > most:
            raise LimitExceeded(
                f"Content-Length of {self.content_length} passes max_total_size of {most}",
                limit="max_total_size",
                value=most,
            )
        self._form: _Multipart | _Urlencoded
        common = _COMMON_CONTENT_TYPE(content_type)
        if common is not None and len(common[1]) <= bound(limits.max_boundary_length) and limits.max_parameters != 0:
            self._form = _Multipart(common[1], limits, policy, is_file, [], is_announced=is_announced)
            return
        found: list[str] = []
        media_type = parse_media_type(content_type, policy=policy, limits=limits, defects=found)
        defects = [Defect(kind, None, None) for kind in found]
        match media_type[:2]:
            case ("multipart", "form-data"):
                boundary = parse_boundary(media_type, policy=policy, limits=limits)
                self._form = _Multipart(boundary, limits, policy, is_file, defects, is_announced=is_announced)
            case ("application", "x-www-form-urlencoded"):
                label = media_type.parameters.get("charset", "utf-8")
                self._form = _Urlencoded(label, limits, policy, self.content_length, defects)
            case (type_, subtype):
                raise UnsupportedMediaType(
                    "Content-Type: a form is multipart/form-data or application/x-www-form-urlencoded, "
                    f"not {f'{type_}/{subtype}'[:80]}",
                    code="not-a-form",
                )

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the policy has forgiven so far."""
        return tuple(self._form.defects)

    def feed(self, data: bytes) -> Iterator[FormEvent]:
        """Take the next bytes; has to be iterated to its end.

        :return: the events of what is complete now, in order.
        :raises MultipartError: after the events before that; again, freshly, in every later call.
        """
        return self._form.feed(data)

    def close(self) -> Iterator[FormEvent]:
        """The input has ended; as :meth:`feed`.

        :raises IncompleteBody: there was no close-delimiter, or less than the Content-Length of a urlencoded form. A
            multipart form may have no bytes at all, if the policy forgives that and no other Content-Length was there.
        """
        return self._form.close()

    def lend(self, room: int, add: Callable[[str, str], object]) -> None:
        """Have fields that take up to ``room`` bytes of memory together handed to ``add``, by name and value.

        They do not come as events then. A field that is too large for what is left of it does, and so may others.
        """
        self._form.room, self._form.add = room, add

    def take_back(self) -> int:
        """What is left of what was lent, in bytes; from now on nothing is."""
        room, self._form.room = self._form.room, 0
        return room

    def locate(self, error: MultipartError) -> None:
        """Have an error that says no place say where the entry in hand began, which it is, and its name."""
        if error.offset is None and error.part_index is None:
            self._form.locate(error)


class _Form:
    """What both kinds of form do with what was lent."""

    room: int
    add: Callable[[str, str], object]

    def keep(self, field: Field) -> bool:
        """Add it, if what was lent is enough; whether it was."""
        if field.size > self.room:
            return False
        self.add(field.name, field.value)
        self.room -= field.size
        return True


class _Multipart(_Form):
    def __init__(
        self,
        boundary: str,
        limits: Limits,
        policy: Policy,
        is_file: Callable[[PartBegin], bool] | None,
        defects: list[Defect],
        *,
        is_announced: bool,
    ) -> None:
        self._parser = PushMultipartParser(boundary, subtype="form-data", limits=limits, policy=policy)
        self._parser.defects = self.defects = defects
        self.room = 0
        self._limits = limits
        self._policy = policy
        self._is_file = is_file
        self._limit, self._most = _field_bound(limits)
        self._charset = "utf-8"
        self._charset_may_come = policy.rules.charset_field is ACCEPT
        self._is_announced = is_announced  # that there are bytes
        self._is_empty = True
        # Of the whole message, if parts of it may be multipart: each parser counts those of its own level.
        self._is_deep = bound(limits.max_depth) > 1
        self._parts = self._header_bytes = 0
        self._are_plain = is_file is None and not self._is_deep  # a part with nothing but a name is a field, in UTF-8
        # The part in hand
        self._begin: PartBegin | None = None
        self._outer: PartBegin | None = None  # of this message, where that is nested in it
        self._kind = _FIELD
        self._codec: Codec | None = None
        self._raw: bytes | bytearray = b""  # of a field
        # For its body, if it is multipart, for that of the part in hand of that body, and so on
        self._inner: list[PushMultipartParser] = []
        self._error: MultipartError | None = None

    def feed(self, data: bytes) -> Iterator[FormEvent]:
        if data:
            self._is_empty = False
        return self._read(self._parser.feed, data)

    def close(self) -> Iterator[FormEvent]:
        return self._read(self._close)

    def _close(self) -> Iterable[Event]:
        if not self._is_empty:
            return self._parser.close()
        if self._is_announced or self._policy.rules.empty_body is not FORGIVE:
            raise IncompleteBody("the body has no bytes", code="empty-body", offset=0)
        self._parser.forgive("empty-body", None)
        return ()

    def locate(self, error: MultipartError) -> None:
        part = self._outer
        if part is not None:
            error.offset, error.part_index = part.offset, part.index
            error.part_name = error.part_name or part.name

    def _read(self, parse: Callable[..., Iterable[Event]], *data: bytes) -> Iterator[FormEvent]:
        if self._error is not None:
            raise self._error.fresh()
        try:
            events = iter(parse(*data))
            event: Event | None
            for event in events:
                if self._are_plain and 0 < self.room <= self._most and type(event) is PartBegin:
                    event = self._add_fields(event, events)
                if self._inner:
                    yield from self._within(event)
                elif type(event) is PartBegin:
                    if self._part_begin(event):
                        yield event
                elif event is PART_END:
                    if self._kind is _FIELD:
                        field = self._field()
                        if field is not None and not self.keep(field):
                            yield field
                    else:
                        yield from self._file_end()
                    self._charset_may_come = False
                elif type(event) is bytes:
                    if self._kind is not _FIELD:
                        yield from self._file_data(event)
                    elif self._raw or len(event) > self._most:
                        self._gather(event)
                    else:
                        self._raw = event
        except MultipartError as exc:
            self._error = exc
            if exc.offset is None:
                # Not one of the parser's: it knows less of the place than we do.
                self.locate(exc)
            raise

    def _add_fields(self, event: Event | None, events: Iterator[Event]) -> Event | None:
        """Add the fields from ``event`` on that are like most: whole, with nothing but a name, within what was lent.

        :return: the event after them, None if there is none. What is left of a field that it began with is in hand.
        """
        if self._charset_may_come and type(event) is PartBegin and event.name == CHARSET_FIELD:
            return event
        self._charset_may_come = False
        add, room = self.add, self.room
        while (
            type(event) is PartBegin
            and event.filename is None
            and event.content_type is None
            and event.transfer_encoding is None
            and not event.defects
        ):
            begin, raw, event = event, b"", next(events, None)
            if type(event) is bytes:
                raw, event = event, next(events, None)
            size = len(begin.raw) + len(raw) + _OVERHEAD
            if event is PART_END and size <= room:
                try:
                    add(begin.name or "", raw.decode())
                except UnicodeDecodeError:
                    pass
                else:
                    room -= size
                    event = next(events, None)
                    continue
            self._part_begin(begin)
            if raw:
                self._gather(raw)
            break
        self.room = room
        return event

    def _part_begin(self, begin: PartBegin) -> bool:
        """Whether it is a file for certain."""
        self._begin = self._outer = begin
        if begin.defects and "no-form-data-name" in begin.defects and self._policy.rules.nameless_field is REJECT:
            what = "form-data part without a Content-Disposition of form-data and a name"
            raise ParseError(what, code="no-form-data-name")
        if self._is_deep:
            self._count(begin)
        if _holds_files(begin):
            if self._policy.rules.nested_files is REJECT:
                raise ParseError("multipart/mixed in form-data (RFC 7578 section 4.3)", code="nested-files")
            self._inner.append(self._parser.nested(begin, shared=False))
            self._charset_may_come = False
            return False
        if begin.filename is None and (self._is_file is None or not self._is_file(begin)):
            self._kind = _FIELD
            self._raw = b""
            return False
        return self._file_begin(begin)

    def _file_begin(self, begin: PartBegin) -> bool:
        self._codec = self._decoder(begin)
        # What browsers send for a file input without a file: nothing is known of it before its first byte.
        self._kind = _Kind.NO_FILE_YET if begin.filename == "" else _Kind.FILE
        return self._kind is _Kind.FILE

    def _count(self, begin: PartBegin) -> None:
        self._parts += 1
        self._header_bytes += len(begin.raw)
        for limit, most, size in (
            ("max_parts", self._limits.max_parts, self._parts),
            ("max_total_header_bytes", self._limits.max_total_header_bytes, self._header_bytes),
        ):
            if most is not None and size > most:
                raise LimitExceeded(f"form passes {limit} of {most}", limit=limit, value=most)

    def _within(self, event: Event | None, level: int = 0) -> Iterator[FormEvent]:
        """The files in a part that is multipart, under its name; what is wrong with them is wrong with that part.

        It calls itself for parts of parts, as deep as ``max_depth`` lets them be.

        :param event: bytes of the part, or its end.
        """
        parser = self._inner[level]
        try:
            for inner in parser.feed(event) if isinstance(event, bytes) else parser.close():
                if level + 1 < len(self._inner):
                    yield from self._within(inner, level + 1)
                elif isinstance(inner, PartBegin):
                    self._count(inner)
                    if _holds_files(inner):
                        self._inner.append(parser.nested(inner, shared=False))
                        continue
                    outer, self._begin = self._begin, copy.copy(inner)
                    self._begin.name = None if outer is None else outer.name
                    if self._file_begin(self._begin):
                        yield self._begin
                elif isinstance(inner, bytes):
                    yield from self._file_data(inner)
                elif inner is PART_END:
                    yield from self._file_end()
        except MultipartError as exc:
            exc.offset = exc.part_index = exc.part_name = None
            self._forgive_within(parser)
            raise
        if event is PART_END:
            self._forgive_within(parser)
            self._inner.pop()

    def _forgive_within(self, parser: PushMultipartParser) -> None:
        for kind in dict.fromkeys(defect.kind for defect in parser.defects):
            self._parser.forgive(kind, self._outer)

    def _decoder(self, begin: PartBegin) -> Codec | None:
        if begin.transfer_encoding is None:
            return None
        try:
            return decoder(begin.transfer_encoding, None, limits=self._limits)
        except UnknownEncoding:
            if self._policy.rules.unknown_encoding is not FORGIVE:
                raise
            self._parser.forgive("unknown-coding", self._outer)
            return None

    def _file_data(self, data: bytes) -> Iterator[PartBegin | bytes]:
        if self._kind is _Kind.NO_FILE_YET and self._begin is not None:
            self._kind = _Kind.FILE
            yield self._begin
        if self._codec is None:
            yield data
        else:
            self._codec.feed_data(data)
            while piece := self._codec.read(_PIECE):
                yield piece

    def _file_end(self) -> Iterator[bytes | Mark]:
        if self._kind is _Kind.NO_FILE_YET:
            return
        if self._codec is not None:
            self._codec.feed_eof()
            while piece := self._codec.read(_PIECE):
                yield piece
        yield PART_END

    def _gather(self, data: bytes) -> None:
        if len(self._raw) + len(data) > self._most:
            most = self._most
            raise LimitExceeded(f"field passes {self._limit} of {most}", limit=self._limit, value=most)
        if isinstance(self._raw, bytes):
            self._raw = bytearray(self._raw)
        self._raw += data

    def _field(self) -> Field | None:
        """The field in hand; None for the one that names the charset of the others (RFC 7578 section 4.6)."""
        begin, raw = self._begin, bytes(self._raw)
        if begin is None:
            return None
        size = len(begin.raw) + len(raw) + _OVERHEAD
        if begin.transfer_encoding is not None and (codec := self._decoder(begin)) is not None:
            codec.feed_data(raw)
            codec.feed_eof()
            raw = b"".join(iter(lambda: codec.read(_PIECE), b""))
        if self._charset_may_come and begin.name == CHARSET_FIELD:
            charset = lookup_charset(raw.decode("latin-1"))
            if charset is not None:
                self._charset = charset
                self._are_plain = False
                return None
        label = None if begin.content_type is None else begin.charset
        value, defect = decode_text(raw, label or self._charset, policy=self._policy)
        if defect is not None:
            self._parser.forgive(defect, self._outer)
        return Field(begin.name or "", value, raw, begin, size)


def _holds_files(begin: PartBegin) -> bool:
    """Whether it is how RFC 2388 section 4.2 sent several files of one field; curl still does."""
    return begin.boundary is not None and begin.filename is None and begin.content_type == "multipart/mixed"


def _field_bound(limits: Limits) -> tuple[str, int]:
    """The tightest of the limits on one field, and its value. What does not fit into memory is not gathered either."""
    limit, most = "max_field_size", bound(limits.max_field_size)
    if limits.max_part_size is not None and limits.max_part_size < most:
        limit, most = "max_part_size", limits.max_part_size
    if limits.max_memory is not None and limits.max_memory < most:
        limit, most = "max_memory", limits.max_memory
    return limit, most


class _Urlencoded(_Form):
    """WHATWG URL, "application/x-www-form-urlencoded parsing": pairs between "&", "+" for a space, percent-encoding."""

    def __init__(self, label: str, limits: Limits, policy: Policy, length: int | None, defects: list[Defect]) -> None:
        self.defects = defects
        self.room = 0
        self._label = label
        self._length = length
        self._policy = policy
        self._limits = limits
        self._limit, self._most = _field_bound(limits)
        self._most_of_name = bound(limits.max_header_line)
        self._received = 0  # bytes
        self._pairs = 0
        # The pair that is not complete: its bytes so far, where its name ends, and its offset
        self._rest = bytearray()
        self._name_end = -1
        self._offset = 0
        self._in_hand: bytes | bytearray = b""  # that pair, or the complete one that an error is about
        self._error: MultipartError | None = None

    def feed(self, data: bytes) -> Iterator[FormEvent]:
        return self._read(data, is_end=False)

    def close(self) -> Iterator[FormEvent]:
        return self._read(b"", is_end=True)

    def locate(self, error: MultipartError) -> None:
        error.offset, error.part_index = self._offset, self._pairs
        name, equals, _ = self._in_hand.partition(b"=")
        if equals and len(name) <= self._most_of_name:
            charset = lookup_charset(self._label) or "utf-8"
            error.part_name = unquote_to_bytes(bytes(name).replace(b"+", b" ")).decode(charset, "replace")

    def _read(self, data: bytes, *, is_end: bool) -> Iterator[FormEvent]:
        if self._error is not None:
            raise self._error.fresh()
        room = bound(self._limits.max_total_size) - self._received
        try:
            yield from self._split(data[:room] if len(data) > room else data)
            self._received += min(len(data), room)
            if len(data) > room:
                most = self._received
                raise LimitExceeded(
                    f"form passes max_total_size of {most}", limit="max_total_size", value=most, offset=most
                )
            if is_end:
                if self._length is not None and self._received < self._length:
                    what = f"input ended before the {self._length} bytes of Content-Length"
                    raise IncompleteBody(what, code="body-cut-short", offset=self._received)
                yield from self._pair(bytes(self._rest))
                self._rest.clear()
        except MultipartError as exc:
            self._error = exc
            if exc.offset is None:
                self.locate(exc)
            raise

    def _split(self, data: bytes) -> Iterator[FormEvent]:
        start = 0
        while (end := data.find(b"&", start)) >= 0:
            pair = bytes(self._rest) + data[start:end]
            self._rest.clear()
            self._name_end = -1
            yield from self._pair(pair)
            self._offset += len(pair) + 1
            start = end + 1
        if self._name_end < 0 and (found := data.find(b"=", start)) >= 0:
            self._name_end = len(self._rest) + found - start
        self._rest += data[start:]
        self._in_hand = self._rest
        self._check(len(self._rest), self._name_end, 3)

    def _check(self, size: int, name_end: int, factor: int) -> None:
        """Hold the bounds on a pair. In one that is not decoded, ``factor`` bytes may stand for one."""
        name_size = size if name_end < 0 else name_end
        if name_size > factor * self._most_of_name:
            self._exceed("name", "max_header_line", self._most_of_name)
        if size - name_size - 1 > factor * self._most:
            self._exceed("field", self._limit, self._most)

    def _exceed(self, what: str, limit: str, most: int) -> NoReturn:
        raise LimitExceeded(f"{what} passes {limit} of {most}", limit=limit, value=most)

    def _pair(self, pair: bytes) -> Iterator[Field]:
        if not pair:
            return
        self._in_hand = pair
        self._check(len(pair), pair.find(b"="), 3)
        name, _, value = (unquote_to_bytes(piece) for piece in pair.replace(b"+", b" ").partition(b"="))
        self._check(len(name) + 1 + len(value), len(name), 1)
        most = bound(self._limits.max_parts)
        if self._pairs >= most:
            self._exceed("form", "max_parts", most)
        field = Field(self._text(name), self._text(value), value, None, len(pair) + _OVERHEAD)
        if not self.keep(field):
            yield field
        self._pairs += 1

    def _text(self, data: bytes) -> str:
        text, defect = decode_text(data, self._label, policy=self._policy)
        if defect is not None and (found := Defect(defect, None, None)) not in self.defects:
            self.defects.append(found)
        return text
