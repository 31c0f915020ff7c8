"""multipart/form-data (RFC 7578): the push parser's events, and what becomes of them in a form.

A field is gathered, and comes as one event. Of a file the bytes come as they arrive, transfer encodings undone. A part
that is multipart/mixed holds the files of one field (RFC 2388); they come under its name, and what is wrong with them
is wrong with that part.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from aiomultipart.codecs import Codec, decoder
from aiomultipart.exceptions import IncompleteBody, LimitExceeded, MultipartError, ParseError, UnknownEncoding
from aiomultipart.grammar.charsets import CHARSET_FIELD, decode_text, lookup_charset
from aiomultipart.limits import Limits, bound
from aiomultipart.parser import END, PART_END, Defect, Event, PartBegin, PushMultipartParser
from aiomultipart.parser.base import MAX_DEFECTS
from aiomultipart.policy import ACCEPT, FORGIVE, REJECT, Policy

from .events import Field, FormEvent, Usage, field_bound

__all__ = ("MultipartForm",)

_PIECE: Final = 64 * 1024
_UTF_8: Final = "utf-8"


class _Body(Protocol):
    """The body of the part in hand, where that is no field."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""

    def close(self) -> None:
        """It has ended."""

    def forgiven(self) -> Iterable[str]:
        """What has been forgiven in it so far, and the form does not know of; a short word each."""


class _File:
    """A file that arrives."""

    def __init__(self, form: MultipartForm, part: PartBegin, codec: Codec | None) -> None:
        self._form = form
        self._part = part
        self._codec = codec
        # Browsers send filename="" for a file input without a file: nothing is known of it before its first byte.
        self._begun = False
        if part.filename != "" or form.with_unchosen:
            self._begin()

    def _begin(self) -> None:
        self._begun = True
        self._form.usage.add_file(self._part)
        self._form.events.append(self._part)

    def feed(self, data: bytes) -> None:
        if not self._begun:
            self._begin()
        if self._codec is None:
            self._form.events.append(data)
        else:
            self._codec.feed_data(data)
            self._drain(self._codec)

    def close(self) -> None:
        if not self._begun:
            return
        if self._codec is not None:
            self._codec.feed_eof()
            self._drain(self._codec)
        self._form.events.append(PART_END)

    def forgiven(self) -> Iterable[str]:
        return ()

    def _drain(self, codec: Codec) -> None:
        while piece := codec.read(_PIECE):
            self._form.events.append(piece)


class MultipartForm:
    """The parts of one form.

    :param is_file: whether a part without a ``filename`` is a file nevertheless.
    :param with_unchosen: whether a file that was not chosen is an empty one.
    :param lengths: the Content-Length fields of the request.
    :ivar events: what is complete; whoever takes them leaves an empty list.
    """

    def __init__(
        self,
        boundary: str,
        limits: Limits,
        policy: Policy,
        is_file: Callable[[PartBegin], bool] | None,
        *,
        lengths: Iterable[str],
        with_unchosen: bool,
    ) -> None:
        self.parser: PushMultipartParser = PushMultipartParser(
            boundary, subtype="form-data", limits=limits, policy=policy
        )
        self.events: list[FormEvent] = []
        self.usage: Usage = Usage(limits)
        self.with_unchosen = with_unchosen
        self._is_file = is_file
        self._lengths = lengths
        self._is_empty = True
        self._forgiven: list[Defect] = []
        self._field_bound = field_bound(limits)
        self._charset = _UTF_8
        self._charset_may_come = policy.rules.charset_field is ACCEPT
        # Of the whole message, if parts of it may be multipart: each parser counts those of its own level.
        self._counts = _Counts(limits) if bound(limits.max_depth) > 1 else None
        # The part in hand; None for the body of a field, which is gathered
        self._part: PartBegin | None = None
        self._body: _Body | None = None
        self._raw: bytes | bytearray = b""

    @property
    def defects(self) -> list[Defect]:
        """What the policy has forgiven: what the parser saw of a place first."""
        found = [*self.parser.defects, *self._forgiven]
        if self._body is not None and self._part is not None:
            new = [Defect(kind, self._part.offset, self._part.index) for kind in self._body.forgiven()]
            found += [defect for defect in dict.fromkeys(new) if defect not in found]
        return found

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes."""
        if data:
            self._is_empty = False
        self._read(self.parser.feed(data))

    def close(self) -> None:
        """The input has ended."""
        if not self._is_empty:
            self._read(self.parser.close())
        elif (
            any(length.strip(" \t0") for length in self._lengths) or self.parser.policy.rules.empty_body is not FORGIVE
        ):
            raise IncompleteBody("the body has no bytes", code="empty-body", offset=0)
        else:
            self._forgiven.append(Defect("empty-body", None, None))
            self.events.append(END)

    def locate(self, error: MultipartError) -> None:
        """Have ``error`` say which part is in hand."""
        if self._part is not None:
            locate(error, self._part)

    def _read(self, events: Iterable[Event]) -> None:
        most, is_odd = self._field_bound[1], self._is_file is not None or self._counts is not None
        for event in events:
            if type(event) is PartBegin:
                self._part, self._raw = event, b""
                # Nearly all are plain fields.
                if event.filename is not None or event.boundary is not None or event.defects or is_odd:
                    self._body = self._body_of(event)
            elif type(event) is bytes:
                if self._body is not None:
                    self._body.feed(event)
                elif self._raw or len(event) > most:
                    self._gather(event)
                else:
                    self._raw = event
            elif event is PART_END:
                if self._body is not None:
                    self._body.close()
                    self._body = None
                elif self._part is not None:
                    self._end_field(self._part, bytes(self._raw))
                self._charset_may_come = False
            else:
                self.events.append(END)

    def _body_of(self, part: PartBegin) -> _Body | None:
        """What takes the body of ``part``; None for that of a field."""
        rules = self.parser.policy.rules
        if "no-form-data-name" in part.defects and rules.nameless_field is REJECT:
            what = "form-data part without a Content-Disposition of form-data and a name"
            raise ParseError(what, code="no-form-data-name")
        if self._counts is not None:
            self._counts.add(part)
        if holds_files(part):
            if rules.nested_files is REJECT:
                raise ParseError("multipart/mixed in form-data (RFC 7578 section 4.3)", code="nested-files")
            self._charset_may_come = False
            return _Files(self, part, self.parser.nested(part, shared=False), self._counts)
        if part.filename is not None or (self._is_file is not None and self._is_file(part)):
            return self.file(part)
        return None

    def file(self, part: PartBegin) -> _File:
        """For a part that is one."""
        return _File(self, part, self._decoder(part))

    def _decoder(self, part: PartBegin) -> Codec | None:
        if part.transfer_encoding is None:
            return None
        try:
            return decoder(part.transfer_encoding, None, limits=self.parser.limits)
        except UnknownEncoding:
            if self.parser.policy.rules.unknown_encoding is not FORGIVE:
                raise
            self.forgive("unknown-coding")
            return None

    def forgive(self, kind: str) -> None:
        """Record a defect of the part in hand."""
        part = self._part
        if part is None or len(self._forgiven) >= MAX_DEFECTS:
            return
        for other in reversed(self._forgiven):
            if other.part_index != part.index:
                break
            if other.kind == kind:
                return
        self._forgiven.append(Defect(kind, part.offset, part.index))

    def _gather(self, data: bytes) -> None:
        limit, most = self._field_bound
        if len(self._raw) + len(data) > most:
            raise LimitExceeded(f"field passes {limit} of {most}", limit=limit, value=most)
        if isinstance(self._raw, bytes):
            self._raw = bytearray(self._raw)
        self._raw += data

    def _decoded(self, part: PartBegin, raw: bytes) -> bytes:
        codec = self._decoder(part)
        if codec is None:
            return raw
        return codec.whole(raw)

    def _end_field(self, part: PartBegin, raw: bytes) -> None:
        if part.transfer_encoding is not None:
            raw = self._decoded(part, raw)
        if self._charset_may_come and part.name == CHARSET_FIELD:
            charset = lookup_charset(raw.decode("latin-1"))
            if charset is not None:
                self._charset = charset  # for the fields that follow (RFC 7578 section 4.6)
                return
        label = self._charset if part.content_type is None else part.charset or self._charset
        try:
            value = raw.decode() if label is _UTF_8 else self._text(raw, label)
        except UnicodeDecodeError:
            value = self._text(raw, label)
        field = Field(part.name or "", value, raw, part)
        self.usage.add_field(field)
        self.events.append(field)

    def _text(self, raw: bytes, label: str) -> str:
        value, kind = decode_text(raw, label, policy=self.parser.policy)
        if kind is not None:
            self.forgive(kind)
        return value


class _Files:
    """The files in a part that is multipart, and in parts of it that are, as deep as ``max_depth`` lets them be."""

    def __init__(
        self, form: MultipartForm, outer: PartBegin, parser: PushMultipartParser, counts: _Counts | None
    ) -> None:
        self._form = form
        self._outer = outer
        self._parser = parser
        self._counts = counts
        self._offset = 0  # of the part in hand, in this body
        self._body: _Body | None = None
        self._has_failed = False

    def feed(self, data: bytes) -> None:
        self._read(self._parser.feed, data)

    def close(self) -> None:
        self._read(self._parser.close)
        self._forgive(None)

    def forgiven(self) -> Iterable[str]:
        if not self._has_failed:
            yield from (defect.kind for defect in self._parser.defects)
            if self._body is not None:
                yield from self._body.forgiven()

    def _forgive(self, end: int | None) -> None:
        """Record what has been forgiven here; with an error, up to its offset."""
        for defect in self._parser.defects:
            if end is None or defect.offset is None or defect.offset <= end:
                self._form.forgive(defect.kind)

    def _read(self, parse: Callable[..., Iterable[Event]], *data: bytes) -> None:
        try:
            for event in parse(*data):
                if isinstance(event, PartBegin):
                    self._begin(event)
                elif self._body is not None:
                    if isinstance(event, bytes):
                        self._body.feed(event)
                    elif event is PART_END:
                        self._body.close()
                        self._body = None
        except MultipartError as exc:
            self._has_failed = True
            self._forgive(self._offset if exc.offset is None else exc.offset)
            exc.offset = exc.part_index = exc.part_name = None
            raise

    def _begin(self, part: PartBegin) -> None:
        self._offset = part.offset
        if self._counts is not None:
            self._counts.add(part)
        if holds_files(part):
            self._body = _Files(self._form, self._outer, self._parser.nested(part, shared=False), self._counts)
        else:
            file, outer = copy.copy(part), self._outer
            file.name, file.index, file.offset = outer.name, outer.index, outer.offset
            self._body = self._form.file(file)


class _Counts:
    """The parts and header bytes of a message, those of its multipart parts too, in the order of their bytes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parts = 0
        self._header_bytes = 0

    def add(self, part: PartBegin) -> None:
        """Count a part.

        :raises LimitExceeded: ``max_parts``, ``max_total_header_bytes``.
        """
        self._parts += 1
        self._header_bytes += len(part.raw)
        for limit, most, size in (
            ("max_parts", self._limits.max_parts, self._parts),
            ("max_total_header_bytes", self._limits.max_total_header_bytes, self._header_bytes),
        ):
            if most is not None and size > most:
                raise LimitExceeded(f"form passes {limit} of {most}", limit=limit, value=most)


def holds_files(part: PartBegin) -> bool:
    """Whether it is how RFC 2388 section 4.2 sent several files of one field; curl still does."""
    return part.boundary is not None and part.filename is None and part.content_type == "multipart/mixed"


def locate(error: MultipartError, part: PartBegin) -> None:
    """Have an error that says no place say the part's."""
    if error.offset is None and error.part_index is None:
        error.offset, error.part_index = part.offset, part.index
        error.part_name = error.part_name or part.name
