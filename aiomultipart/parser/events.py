"""What the parser says: a body part begins, bytes of its body, the part ends, the message ends.

The bytes of a body are plain ``bytes``, the two ends are constants, and each part has a :class:`PartBegin` of its own.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple, TypeAlias, final

from multidict import CIMultiDict, CIMultiDictProxy

from aiomultipart import hdrs
from aiomultipart.exceptions import ParseError
from aiomultipart.extension import accelerator
from aiomultipart.grammar.boundary import parse_boundary
from aiomultipart.grammar.disposition import parse_disposition
from aiomultipart.grammar.fields import (
    IDENTITY_TRANSFER_ENCODINGS,
    decode_field_block,
    parse_content_length,
    parse_field_block,
    usual_field_line,
)
from aiomultipart.grammar.media_type import MediaType, parse_media_type
from aiomultipart.limits import Limits
from aiomultipart.policy import FORGIVE, REJECT, Policy

__all__ = ("END", "PART_END", "Defect", "Event", "Mark", "PartBegin")


class Defect(NamedTuple):
    """Something that the policy in force forgave.

    :param kind: a short word, such as ``extended-parameter-beside-plain``.
    :param offset: where, in bytes from the start of the multipart body (of the nested one for a nested body); for an
        encoding, where the headers that name it begin; None for what the Content-Type of the body says.
    :param part_index: in which body part, from 0; None outside of parts.
    :param size: how many bytes were dropped.
    """

    kind: str
    offset: int | None
    part_index: int | None
    size: int = 0

    def __repr__(self) -> str:
        size = f", size={self.size}" if self.size else ""
        return f"Defect({self.kind!r}, {self.offset}, {self.part_index}{size})"


class Mark(enum.Enum):
    """The events that carry nothing."""

    PART_END = "part end"
    END = "end"


PART_END: Final = Mark.PART_END
"""The body of the current part is complete."""
END: Final = Mark.END
"""The close-delimiter has been read: no more parts. An epilogue may follow, and is ignored."""

_UNBOUNDED = Limits(max_parameters=None)
_ONCE = ("content-disposition", "content-type", "content-transfer-encoding")


@final
class PartBegin:
    """A body part begins; its header fields are complete and valid. Read-only."""

    __slots__ = (
        "_headers",
        "_media_type",
        "boundary",
        "content_length",
        "content_type",
        "defects",
        "disposition_type",
        "filename",
        "form_data",
        "index",
        "name",
        "offset",
        "raw",
        "transfer_encoding",
    )

    # Made when they are asked for.
    _headers: CIMultiDictProxy[str] | None
    _media_type: MediaType | None
    index: int
    """Which part of its message it is, from 0."""
    offset: int
    """Where its header block begins, in bytes from the start of the multipart body that it is in."""
    raw: bytes
    """The header block as it arrived, without the blank line; its line ends are CRLF."""
    form_data: bool
    """Whether the message is multipart/form-data."""
    disposition_type: str | None
    """``form-data``, ``attachment`` …, in lower case; None without a Content-Disposition."""
    name: str | None
    """The ``name`` parameter of Content-Disposition."""
    filename: str | None
    """Its ``filename`` parameter. It is data, not a path: it may hold anything."""
    content_type: str | None
    """``type/subtype`` in lower case; None without a Content-Type or with one that is no media type."""
    content_length: int | None
    """The part's Content-Length; always None in form-data (RFC 7578 section 4.8)."""
    boundary: str | None
    """The boundary, when the part is itself a multipart message."""
    transfer_encoding: str | None
    """The Content-Transfer-Encoding, as it was sent."""
    defects: tuple[str, ...]
    """What the policy in force forgave in the headers, a short word each."""

    def __init__(
        self, block: bytes, form_data: bool, policy: Policy, limits: Limits, index: int = 0, offset: int = 0
    ) -> None:
        """Check and read a header block.

        :param block: the header block, without its blank line; may be empty.
        :param form_data: read it by RFC 7578.
        :param index: which part of its message it is.
        :param offset: where the block begins.
        :raises MultipartError: the block is not valid under ``policy``, or passes one of ``limits``.
        """
        self.raw = block
        self.form_data = form_data
        self.index = index
        self.offset = offset
        self.content_length = self.boundary = self.disposition_type = self.name = self.filename = None
        self.content_type = self.transfer_encoding = self._headers = self._media_type = None
        self.defects = ()
        # What nearly all senders write takes one match a line; the grammar reads any other block.
        try:
            text = block.decode()
        except UnicodeDecodeError:
            text = "\0"
        position, end = 0, len(text)
        while position < end:
            match = usual_field_line(text, position)
            if match is None:
                break
            position = match.end()
            type_, name, filename, content_type, length = match.groups()
            if type_ is not None:
                if self.disposition_type is not None:
                    break
                self.disposition_type, self.name, self.filename = type_, name, filename
            elif content_type is not None:
                if self.content_type is not None:
                    break
                self.content_type = content_type.lower()
            elif not form_data:
                if self.content_length is not None:
                    break
                self.content_length = int(length)
        else:
            most = limits.max_parameters
            if (most is None or most > 1) and (
                not form_data or (self.name is not None and self.disposition_type == "form-data")
            ):
                return
        self._read(parse_field_block(decode_field_block(block), policy=policy), policy, limits)

    def _read(self, fields: list[tuple[str, str]], policy: Policy, limits: Limits) -> None:
        self.content_length = self.disposition_type = self.name = self.filename = self.content_type = None
        known: dict[str, str] = {}
        for name, value in fields:
            lowered = name.lower()
            if lowered in known and (lowered in _ONCE or (lowered == "content-length" and not self.form_data)):
                raise ParseError(f"{name} is there twice", code="repeated-field")
            known[lowered] = value
        if "content-disposition" in known:
            found = parse_disposition(
                known["content-disposition"], form_data=self.form_data, policy=policy, limits=limits
            )
            self.disposition_type, parameters, self.defects = found
            self.name = parameters.get("name")
            self.filename = parameters.get("filename")
        if self.form_data and (self.name is None or self.disposition_type != "form-data"):
            if policy.rules.no_form_data_name is REJECT:
                raise ParseError(
                    "form-data part without a Content-Disposition of form-data and a name", code="no-form-data-name"
                )
            self.defects += ("no-form-data-name",)
        self._read_others(known, policy, limits)

    def _read_others(self, known: dict[str, str], policy: Policy, limits: Limits) -> None:
        rules = policy.rules
        defects: list[str] = []
        self.transfer_encoding = known.get("content-transfer-encoding")
        if self.form_data:
            encoding = (self.transfer_encoding or "").lower()
            if rules.transfer_encoding_in_form_data is REJECT and encoding not in IDENTITY_TRANSFER_ENCODINGS:
                raise ParseError(
                    f"Content-Transfer-Encoding {encoding!r} in form-data (RFC 7578 section 4.7)",
                    code="transfer-encoding-in-form-data",
                )
        elif "content-length" in known:
            try:
                self.content_length = parse_content_length(known["content-length"])
            except ParseError:
                if rules.bad_content_length is REJECT:
                    raise
                defects.append("bad-content-length")
        self._read_media_type(known.get("content-type"), policy, limits, defects)
        if defects:
            self.defects += tuple(defects)

    def _read_media_type(self, value: str | None, policy: Policy, limits: Limits, defects: list[str]) -> None:
        if value is None:
            return
        multipart = value[:10].lower() == "multipart/"
        try:
            media_type = parse_media_type(value, policy=policy, limits=limits, defects=defects)
        except ParseError:
            # Some clients send "image", and a file must not be lost for it; the framing depends on multipart types.
            if policy.rules.bad_content_type is REJECT or multipart:
                raise
            defects.append("bad-content-type")
            return
        self._media_type = media_type
        self.content_type = f"{media_type.type}/{media_type.subtype}"
        if multipart:
            without = not any(name.startswith("boundary") for name in media_type.parameters)
            if without and policy.rules.multipart_without_boundary is FORGIVE:
                # Browsers send saved pages as multipart/related without one: a file like any other.
                defects.append("multipart-without-boundary")
            else:
                self.boundary = parse_boundary(media_type, policy=policy, limits=limits)

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """All header fields, in order; text that is not UTF-8 is read as ISO-8859-1."""
        if self._headers is None:
            fields = None if accelerator is None else accelerator.read_field_block(self.raw)
            if fields is None:
                fields = parse_field_block(decode_field_block(self.raw), policy=Policy.LENIENT)
            self._headers = CIMultiDictProxy(CIMultiDict(fields))
        return self._headers

    @property
    def media_type(self) -> MediaType | None:
        """The parsed Content-Type; None without one, or with one that is no media type."""
        if self._media_type is None and self.content_type is not None:
            value = self.headers[hdrs.CONTENT_TYPE]
            self._media_type = parse_media_type(value, policy=Policy.LENIENT, limits=_UNBOUNDED)
        return self._media_type

    @property
    def charset(self) -> str | None:
        """The charset parameter of the Content-Type, as it was sent."""
        media_type = self.media_type
        return None if media_type is None else media_type.parameters.get("charset")

    @property
    def content_coding(self) -> str | None:
        """The Content-Encoding, fields that repeat joined (RFC 9110 section 5.2); None in form-data (RFC 7578 4.8)."""
        return None if self.form_data else ", ".join(self.headers.getall(hdrs.CONTENT_ENCODING, ())) or None

    def __repr__(self) -> str:
        return f"<PartBegin {self.index} at {self.offset}: {self.raw!r}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PartBegin):
            return (self.raw, self.form_data, self.index, self.offset) == (
                other.raw,
                other.form_data,
                other.index,
                other.offset,
            )
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.raw, self.form_data, self.index, self.offset))

    def __getstate__(self) -> tuple[None, dict[str, object]]:
        # A multidict's proxy cannot be copied or pickled.
        return None, {name: getattr(self, name) for name in self.__slots__} | {"_headers": None}


Event: TypeAlias = PartBegin | bytes | Mark
