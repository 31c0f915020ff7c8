"""Streaming multipart for asyncio; see :class:`MultipartReader` and :class:`PushMultipartParser`."""

from . import hdrs
from .bodypart import BodyPartReader
from .events import END, PART_END, Defect, Event, PartBegin
from .exceptions import (
    CodecError,
    IncompleteBody,
    LimitExceeded,
    MultipartError,
    ParseError,
    StateError,
    UnknownEncoding,
)
from .formdata import FormData
from .forward import BodyPartReaderPayload
from .headers import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    content_disposition_filename,
    parse_content_disposition,
)
from .limits import Limits, Policy
from .parser import PushMultipartParser
from .payload import (
    DEFAULT_CHUNK_SIZE,
    PAYLOAD_REGISTRY,
    READ_SIZE,
    AsyncIterablePayload,
    AsyncReadablePayload,
    BufferedReaderPayload,
    BytesIOPayload,
    BytesPayload,
    IOBasePayload,
    JsonBytesPayload,
    JsonPayload,
    LookupError,  # noqa: A004  (the name is aiohttp's)
    Order,
    Payload,
    PayloadRegistry,
    StringIOPayload,
    StringPayload,
    TextIOPayload,
    get_payload,
    payload_type,
    register_payload,
)
from .reader import MultipartReader, MultipartResponseWrapper
from .streams import StreamReader
from .writer import MultipartWriter

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
    "BytesIOPayload",
    "BytesPayload",
    "CodecError",
    "Defect",
    "Event",
    "FormData",
    "IOBasePayload",
    "IncompleteBody",
    "JsonBytesPayload",
    "JsonPayload",
    "LimitExceeded",
    "Limits",
    "LookupError",
    "MultipartError",
    "MultipartReader",
    "MultipartResponseWrapper",
    "MultipartWriter",
    "Order",
    "ParseError",
    "PartBegin",
    "Payload",
    "PayloadRegistry",
    "Policy",
    "PushMultipartParser",
    "StateError",
    "StreamReader",
    "StringIOPayload",
    "StringPayload",
    "TextIOPayload",
    "UnknownEncoding",
    "content_disposition_filename",
    "get_payload",
    "hdrs",
    "parse_content_disposition",
    "payload_type",
    "register_payload",
)
