"""Forms without I/O: bytes in, fields and files out.

:class:`FormParser` reads the headers, and chooses between the two kinds of form: :mod:`.multipart`, over the push
parser, and :mod:`.urlencoded`. Here is what they share: the events of a call are given before the error that ends it,
an error stays, and what was forgiven is listed by its place, up to that of the error.

What becomes of a file is up to who drives the parser: the asynchronous reader and the synchronous one differ in that
alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from aiomultipart import hdrs
from aiomultipart.exceptions import LimitExceeded, MultipartError, ParseError, StateError, UnsupportedMediaType
from aiomultipart.grammar.boundary import parse_boundary
from aiomultipart.grammar.fields import HeaderItems, as_multidict, parse_content_length
from aiomultipart.grammar.media_type import parse_media_type, sole_content_type
from aiomultipart.limits import Limits
from aiomultipart.parser import Defect, PartBegin
from aiomultipart.parser.base import MAX_DEFECTS, place, then_raise
from aiomultipart.policy import Policy

from .events import FormEvent, Usage
from .multipart import MultipartForm
from .urlencoded import UrlencodedForm

__all__ = ("FORM_LIMITS", "FormParser", "content_length")

FORM_LIMITS = Limits.for_forms()


class FormParser:
    """Parse one form, pushed in chunk by chunk: multipart/form-data or application/x-www-form-urlencoded.

    :param headers: the header fields of the request: its Content-Type, and its Content-Length if it has one.
    :param limits: bounds, ``Limits.for_forms()`` if not given; ``max_part_size`` holds for files, ``max_field_size``
        for fields. Of ``max_memory`` it counts the fields, and of files what they take besides their bytes.
    :param policy: how odd constructs are read.
    :param is_file: whether a part without a ``filename`` is a file nevertheless; none is, if not given.
    :param with_unchosen: a file that a browser's user did not choose is an empty file, not nothing.
    :ivar content_length: of the request, in bytes; None if it is not known.
    :raises ParseError: the Content-Type is missing; the Content-Length is no length.
    :raises UnsupportedMediaType: the Content-Type is none of a form.
    :raises LimitExceeded: the Content-Length passes ``max_total_size``.

    The events: a :class:`Field` for each field; for each file its :class:`PartBegin`, its bytes, transfer encodings
    undone, and :data:`PART_END`; :data:`END`. A file that a browser's user did not choose gives none. The files in a
    part that is multipart/mixed have the name, index and offset of that part.
    """

    def __init__(
        self,
        headers: HeaderItems,
        *,
        limits: Limits | None = None,
        policy: Policy = Policy.STANDARD,
        is_file: Callable[[PartBegin], bool] | None = None,
        with_unchosen: bool = False,
    ) -> None:
        limits = limits or FORM_LIMITS
        fields = as_multidict(headers)
        content_type = sole_content_type(fields)
        lengths = fields.getall(hdrs.CONTENT_LENGTH, ())
        # Behind a Content-Encoding, which somebody has undone, the length is that of other bytes.
        self.content_length: int | None = None if hdrs.CONTENT_ENCODING in fields else content_length(lengths)
        most = limits.max_total_size
        if most is not None and self.content_length is not None and self.content_length > most:
            raise LimitExceeded(
                f"Content-Length of {self.content_length} passes max_total_size of {most}",
                limit="max_total_size",
                value=most,
            )
        self._error: MultipartError | None = None
        self._is_closed = False
        self._is_broken = False
        found: list[str] = []
        media_type = parse_media_type(content_type, policy=policy, limits=limits, defects=found)
        self._forgiven = [Defect(kind, None, None) for kind in found]
        self._form: MultipartForm | UrlencodedForm
        kind = f"{media_type.type}/{media_type.subtype}"
        if kind == "multipart/form-data":
            boundary = parse_boundary(media_type, policy=policy, limits=limits)
            self._form = MultipartForm(boundary, limits, policy, is_file, lengths=lengths, with_unchosen=with_unchosen)
        elif kind == "application/x-www-form-urlencoded":
            charset = media_type.parameters.get("charset", "utf-8")
            self._form = UrlencodedForm(charset, limits, policy, self.content_length)
        else:
            what = f"Content-Type: a form is multipart/form-data or application/x-www-form-urlencoded, not {kind[:80]}"
            raise UnsupportedMediaType(what, code="not-a-form")

    @property
    def usage(self) -> Usage:
        """What its entries take in memory so far, and how many files have begun."""
        return self._form.usage

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the policy has forgiven so far, by offset, the first 1000; after an error, up to where that is."""
        defects = [*self._forgiven, *self._form.defects]
        if not defects:
            return ()
        defects.sort(key=place)
        end = None if self._error is None else self._error.offset
        if end is not None:
            defects = [defect for defect in defects if place(defect) <= end]
        return tuple(defects[:MAX_DEFECTS])

    def feed(self, data: bytes | bytearray | memoryview) -> Iterable[FormEvent]:
        """Take the next bytes of the body.

        :return: the events of what is complete now, in order. If the bytes are bad, the events before that come first
            and then, in the same iteration, the error.
        :raises MultipartError: the bytes are bad and no event comes before that, or were bad in an earlier call.
        :raises StateError: after :meth:`close`, and after ``is_file`` has raised.
        :raises TypeError: the data is not bytes.
        """
        if self._is_closed:
            raise StateError("the parser is closed")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data must be bytes, a bytearray or a memoryview, not {type(data)!r}")
        return self._run(self._form.feed, data)

    def close(self) -> Iterable[FormEvent]:
        """The input has ended; a second call does nothing.

        :return: the events that only the end completes, as :meth:`feed` does.
        :raises IncompleteBody: there was no close-delimiter, or less than the Content-Length of a urlencoded form. A
            multipart form may have no bytes at all, if the policy forgives that and no other Content-Length was there.
        :raises MultipartError: the input was bad.
        """
        if self._is_closed:
            return ()
        events = self._run(self._form.close)
        self._is_closed = self._error is None
        return events

    def _run(self, parse: Callable[..., None], *data: bytes | bytearray | memoryview) -> Iterable[FormEvent]:
        if self._error is not None:
            raise self._error.fresh()
        if self._is_broken:
            raise StateError("is_file has raised")
        events: list[FormEvent] = []
        self._form.events = events
        try:
            parse(*data)
        except MultipartError as exc:
            if exc.offset is None:
                # Not one of the push parser's: it knows less of the place than we do.
                self._form.locate(exc)
            self._error = exc
            if events:
                return then_raise(events, exc)
            raise
        except BaseException:
            # The rest of the chunk is lost, so nothing that came later would make sense.
            self._is_broken = True
            raise
        return events


def content_length(lengths: Iterable[str]) -> int | None:
    """Of the fields of that name.

    :raises ParseError: one is no length, or they are not the same.
    """
    # Not strip() alone, which takes more than the white space of a header off (RFC 9110 section 5.6.3).
    counts = [parse_content_length(length.strip(" \t")) for length in lengths]
    if not counts:
        return None
    if len(set(counts)) > 1:
        raise ParseError("Content-Length: there more than once, and not the same", code="repeated-field")
    return counts[0]
