"""What the parser says: a body part begins, bytes of its body, the part ends, the message ends.

The bytes of a body are plain ``bytes``, the two ends are constants, and a :class:`PartBegin` is shared by all parts
with an equal header block, so nobody may change it. That shape was the fastest of those measured; see
``benchmarks/event_shapes.py``.
"""

from __future__ import annotations

import enum
import re
from typing import Any, Final, NamedTuple, TypeAlias, final

from multidict import CIMultiDict, CIMultiDictProxy

from aiomultipart import hdrs
from aiomultipart.exceptions import ParseError
from aiomultipart.grammar.boundary import parse_boundary
from aiomultipart.grammar.disposition import parse_disposition
from aiomultipart.grammar.fields import (
    IDENTITY_TRANSFER_ENCODINGS,
    TCHAR,
    decode_field_block,
    parse_content_length,
    parse_field_block,
)
from aiomultipart.grammar.media_type import MediaType, parse_media_type
from aiomultipart.limits import Limits
from aiomultipart.policy import FORGIVE, REJECT, Policy

__all__ = ("END", "PART_END", "Defect", "Event", "Mark", "PartBegin")


class Defect(NamedTuple):
    """Something that the policy in force forgave.

    :param kind: a short word, such as ``extended-parameter-beside-plain``.
    :param offset: where, in bytes from the start of the multipart body (of the nested one for a nested body); None for
        what its own Content-Type says, and for an encoding.
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

# What browsers and clients send for nearly every part of a form. Whatever differs in the least (an escape, a parameter
# more, another order) is left to the general grammar; a property test holds that the two agree.
_COMMON_FORM_BLOCK = re.compile(
    r'\r\nContent-Disposition: form-data; name="([^"\\%\x00-\x1f\x7f]*+)"(?:; filename="([^"\\%\x00-\x1f\x7f]*+)")?'
    rf"(?:\r\nContent-Type: ((?!multipart/)[{TCHAR}]++/[{TCHAR}]++))?",
    re.ASCII | re.IGNORECASE,
).fullmatch

_ONCE = ("content-disposition", "content-type", "content-transfer-encoding")


@final
class PartBegin:
    """A body part begins; its header fields are complete and valid.

    Read-only: the same object may stand for several parts with equal headers, also of other messages.
    """

    __slots__ = (
        "_fields",
        "_headers",
        "_media_type",
        "boundary",
        "content_length",
        "content_type",
        "defects",
        "disposition_type",
        "filename",
        "form_data",
        "name",
        "raw",
        "transfer_encoding",
    )

    _fields: list[tuple[str, str]]
    _headers: CIMultiDictProxy[str]
    _media_type: MediaType | None
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

    def __init__(self, block: bytes, *, form_data: bool, policy: Policy, limits: Limits) -> None:
        """Check and read a header block.

        :param block: the header block, without its blank line; may be empty.
        :param form_data: read it by RFC 7578.
        :raises MultipartError: the block is not valid under ``policy``, or passes one of ``limits``.
        """
        self.raw = block
        self.form_data = form_data
        self.content_length = None
        self.boundary = None
        self._read(parse_field_block(decode_field_block(block), policy=policy), policy, limits)

    def _read(self, fields: list[tuple[str, str]], policy: Policy, limits: Limits) -> None:
        rules = policy.rules
        known: dict[str, str] = {}
        defects: list[str] = []
        for name, text in fields:
            lowered = name.lower()
            if lowered in known and (lowered in _ONCE or (lowered == "content-length" and not self.form_data)):
                raise ParseError(f"{name} is there twice")
            known[lowered] = text
        self._fields = fields
        self.disposition_type = None
        self.name = None
        self.filename = None
        if "content-disposition" in known:
            value = known["content-disposition"]
            disposition = parse_disposition(value, form_data=self.form_data, policy=policy, limits=limits)
            self.disposition_type = disposition.type
            self.name = disposition.parameters.get("name")
            self.filename = disposition.parameters.get("filename")
            defects += disposition.defects
        if self.form_data and (self.disposition_type != "form-data" or self.name is None):
            if rules.no_form_data_name is REJECT:
                raise ParseError("form-data part without a Content-Disposition of form-data and a name")
            defects.append("no-form-data-name")
        self.transfer_encoding = known.get("content-transfer-encoding")
        if self.form_data:
            encoding = (self.transfer_encoding or "").lower()
            if rules.transfer_encoding_in_form_data is REJECT and encoding not in IDENTITY_TRANSFER_ENCODINGS:
                raise ParseError(f"Content-Transfer-Encoding {encoding!r} in form-data (RFC 7578 section 4.7)")
        elif "content-length" in known:
            try:
                self.content_length = parse_content_length(known["content-length"])
            except ParseError:
                if rules.bad_content_length is REJECT:
                    raise
                defects.append("bad-content-length")
        self._read_media_type(known.get("content-type"), policy, limits, defects)
        self.defects = tuple(defects)

    def _read_media_type(self, value: str | None, policy: Policy, limits: Limits, defects: list[str]) -> None:
        self._media_type = None
        self.content_type = None
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
        return self._headers

    @property
    def media_type(self) -> MediaType | None:
        """The parsed Content-Type; None without one, or with one that is no media type."""
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

    def __getattr__(self, name: str) -> Any:
        # Most parts of a form are read without a look at all their fields.
        if name == "_headers":
            value: object = CIMultiDictProxy(CIMultiDict(self._fields))
        elif name == "_fields":
            value = parse_field_block(decode_field_block(self.raw), policy=Policy.STANDARD)
        elif name == "_media_type":
            value = None if self.content_type is None else parse_media_type(self.content_type)
        else:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        setattr(self, name, value)
        return value

    def __repr__(self) -> str:
        return f"<PartBegin {self.raw!r}>"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PartBegin):
            return self.raw == other.raw and self.form_data == other.form_data
        return NotImplemented

    def __hash__(self) -> int:
        return hash((self.raw, self.form_data))


_new = object.__new__


def read_common_form_block(head: bytes) -> PartBegin | None:
    """What ``PartBegin(head[2:], form_data=True, ...)`` gives, under any policy and limits that allow two parameters,
    but in less time; None for a header block that is not as common.

    :param head: CRLF, and the header block.
    """
    try:
        match = _COMMON_FORM_BLOCK(head.decode())
    except UnicodeDecodeError:
        return None
    if match is None:
        return None
    begin = _new(PartBegin)
    begin.raw = head[2:]
    begin.form_data = True
    begin.disposition_type = "form-data"
    begin.name, begin.filename, content_type = match.groups()
    begin.content_type = None if content_type is None else content_type.lower()
    begin.content_length = None
    begin.boundary = None
    begin.transfer_encoding = None
    begin.defects = ()
    return begin


Event: TypeAlias = PartBegin | bytes | Mark
