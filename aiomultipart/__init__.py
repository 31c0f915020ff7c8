"""Streaming multipart for asyncio; see :class:`MultipartReader` and :class:`PushMultipartParser`."""

from . import hdrs
from .exceptions import (
    CodecError,
    FieldError,
    IncompleteBody,
    LimitExceeded,
    MultipartError,
    ParseError,
    RangeNotSatisfiable,
    RejectedPart,
    StateError,
    UnknownEncoding,
    UnsupportedEncoding,
    UnsupportedMediaType,
)
from .families.byteranges import ByteRanges, RangePart, byteranges, fetch_ranges
from .families.range_answers import RangeAnswer, answer_ranges
from .families.replace.reading import Frame, FrameReader, frames
from .families.replace.writing import FrameBroadcast, FrameStream
from .forms.asynchronous import FormReading, read_form
from .forms.events import Field, FormEvent
from .forms.model import Form, UploadedFile
from .forms.parser import FormParser
from .forms.synchronous import FormField, FormFile, parse_form
from .grammar.disposition import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    content_disposition_filename,
    parse_content_disposition,
)
from .limits import Limits
from .parser import END, PART_END, Defect, Event, PartBegin, PushMultipartParser
from .policy import Policy
from .reading.part import BodyPartReader
from .reading.reader import MultipartReader
from .reading.response import MultipartResponseWrapper
from .sources import StreamReader
from .targets import (
    CallbackTarget,
    DirectoryTarget,
    FileTarget,
    HashTarget,
    MemoryTarget,
    NullTarget,
    PlainTarget,
    ReceivedPart,
    SavedFile,
    SpooledFile,
    SpooledTarget,
    Target,
    TargetFactory,
    TeeTarget,
    ValidatedTarget,
    safe_filename,
)
from .writing.formdata import FormData
from .writing.payloads.base import DEFAULT_CHUNK_SIZE, READ_SIZE, Payload
from .writing.payloads.files import BufferedReaderPayload, BytesIOPayload, IOBasePayload, PathPayload, TextIOPayload
from .writing.payloads.memory import BytesPayload, JsonBytesPayload, JsonPayload, StringIOPayload, StringPayload
from .writing.payloads.registry import (
    PAYLOAD_REGISTRY,
    Order,
    PayloadRegistry,
    get_payload,
    payload_type,
    register_payload,
)
from .writing.payloads.registry import LookupError as LookupError  # noqa: A004  (the name is aiohttp's; who wants all gets the builtin)
from .writing.payloads.streams import AsyncIterablePayload, AsyncReadablePayload
from .writing.relay import BodyPartReaderPayload
from .writing.writer import MultipartWriter

__version__ = "0.1.0"

__all__ = (
    "DEFAULT_CHUNK_SIZE",
    "END",
    "PART_END",
    "PAYLOAD_REGISTRY",
    "READ_SIZE",
    "AsyncIterablePayload",
    "AsyncReadablePayload",
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "BodyPartReader",
    "BodyPartReaderPayload",
    "BufferedReaderPayload",
    "ByteRanges",
    "BytesIOPayload",
    "BytesPayload",
    "CallbackTarget",
    "CodecError",
    "Defect",
    "DirectoryTarget",
    "Event",
    "Field",
    "FieldError",
    "FileTarget",
    "Form",
    "FormData",
    "FormEvent",
    "FormField",
    "FormFile",
    "FormParser",
    "FormReading",
    "Frame",
    "FrameBroadcast",
    "FrameReader",
    "FrameStream",
    "HashTarget",
    "IOBasePayload",
    "IncompleteBody",
    "JsonBytesPayload",
    "JsonPayload",
    "LimitExceeded",
    "Limits",
    "MemoryTarget",
    "MultipartError",
    "MultipartReader",
    "MultipartResponseWrapper",
    "MultipartWriter",
    "NullTarget",
    "Order",
    "ParseError",
    "PartBegin",
    "PathPayload",
    "Payload",
    "PayloadRegistry",
    "PlainTarget",
    "Policy",
    "PushMultipartParser",
    "RangeAnswer",
    "RangeNotSatisfiable",
    "RangePart",
    "ReceivedPart",
    "RejectedPart",
    "SavedFile",
    "SpooledFile",
    "SpooledTarget",
    "StateError",
    "StreamReader",
    "StringIOPayload",
    "StringPayload",
    "Target",
    "TargetFactory",
    "TeeTarget",
    "TextIOPayload",
    "UnknownEncoding",
    "UnsupportedEncoding",
    "UnsupportedMediaType",
    "UploadedFile",
    "ValidatedTarget",
    "answer_ranges",
    "byteranges",
    "content_disposition_filename",
    "fetch_ranges",
    "frames",
    "get_payload",
    "hdrs",
    "parse_content_disposition",
    "parse_form",
    "payload_type",
    "read_form",
    "register_payload",
    "safe_filename",
)

# A received part can be sent on.
register_payload(BodyPartReaderPayload, BodyPartReader, order=Order.try_first)
