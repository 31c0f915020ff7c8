"""Reading one body part: raw or decoded, in chunks, lines or whole, as text, JSON or a form."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import parse_qsl

from multidict import CIMultiDictProxy

from aiomultipart import hdrs
from aiomultipart.codecs import Codec, decoder
from aiomultipart.exceptions import CodecError, LimitExceeded, MultipartError, ParseError, UnknownEncoding
from aiomultipart.grammar.charsets import decode_text, lookup_charset
from aiomultipart.grammar.fields import HeaderItems, as_multidict
from aiomultipart.parser import PART_END, Defect, PartBegin
from aiomultipart.policy import FORGIVE
from aiomultipart.sources import ByteStream
from aiomultipart.targets import FileTarget, SavedFile, Target, copy
from aiomultipart.work import in_thread

from .decoded import INLINE, PIECE, DecodedBody, decode_some
from .levels import Level, PartSource, lone_part

if TYPE_CHECKING:
    from yarl import URL

__all__ = ("BodyPartReader",)

E = TypeVar("E", bound=MultipartError)
T = TypeVar("T")

_new = object.__new__

# What may stand between the characters of base64
_BLANKS = b"\r\n \t"
_CHARACTER = re.compile(rb"[^\r\n \t]").finditer


class BodyPartReader:
    """One body part: its headers, and its body as it arrives.

    Usually made by :class:`MultipartReader`. It can also stand alone, over a body that ends in its delimiter. There a
    Content-Length says where the body ends, and the call that reaches its last byte does not wait for more. The call
    after that one, or :meth:`release`, raises :exc:`ParseError` if anything but CRLF and the delimiter follows.

    :param boundary: the dash-boundary, as bytes with the two leading dashes.
    :param headers: the part's header fields; any mapping.
    :param content: what to read the body from.
    :param subtype: the subtype of the multipart message; ``form-data`` is read by RFC 7578.
    :param default_charset: the charset of text that names none.
    :param max_decompress_size: the largest piece of :meth:`decode_iter`, in bytes.
    :param client_max_size: the largest body that :meth:`read`, :meth:`text`, :meth:`json` and :meth:`form` gather, raw
        or decoded, in bytes.
    :param max_size_error_cls: what they raise past that, called with ``client_max_size``; :exc:`LimitExceeded` if not
        given.

    ``read``, ``read_chunk``, ``readline``, iteration and ``release`` may be mixed; nothing is lost or repeated. What
    decodes (``read(decode=True)``, ``text``, ``json``, ``form``, ``iter_chunks``) takes raw bytes ahead of what it
    gives, so once it has begun only more of it makes sense. After the reader has moved on to the next part, reading
    raises :exc:`StateError`; so does a second task in the same message. A read that is cancelled may be called again,
    where the source survives that.
    """

    chunk_size = 8192

    # What most parts never change; at class level it costs nothing.
    _headers: CIMultiDictProxy[str] | None = None
    _begin: PartBegin | None = None
    _subtype: str | None = None  # that of the message
    _default_charset: str | None = None
    _max_decompress_size = 256 * 1024
    _client_max_size: int | None = None
    _max_size_error_cls: type[Exception] | None = None
    _decoded: DecodedBody | None = None
    _encoded: bool | None = None  # not known before somebody asks
    _own_source: PartSource | None = None  # made when it is needed, see part_of()

    # What it is made of then; only part_of() sets them
    _level: Level

    def __init__(
        self,
        boundary: bytes,
        headers: HeaderItems | None,
        content: ByteStream | PartSource,
        *,
        subtype: str = "mixed",
        default_charset: str | None = None,
        max_decompress_size: int = 256 * 1024,
        client_max_size: int | None = None,
        max_size_error_cls: type[Exception] | None = None,
    ) -> None:
        self._headers = None if headers is None else as_multidict(headers)
        self._subtype = subtype
        self._default_charset = default_charset
        self._max_decompress_size = max_decompress_size
        self._client_max_size = client_max_size
        self._max_size_error_cls = max_size_error_cls
        if isinstance(content, PartSource):
            self._own_source = content
            # Headers that a subclass has changed are read again.
            if self._headers is None or self._headers is content.begin.headers:
                self._begin = content.begin
        else:
            self._own_source = lone_part(boundary, self.headers, content, subtype)

    @classmethod
    def _of(
        cls,
        level: Level,
        begin: PartBegin,
        default_charset: str | None,
        client_max_size: int | None,
        max_size_error_cls: type[Exception] | None,
    ) -> Self:
        """The reader of the part that a message has come to.

        A small part is mostly here as a whole, and read once. So nothing is made for it but this one object, and not by
        the constructor; its source is when something else is done with it.
        """
        self = _new(cls)
        self._level = level
        self._begin = begin
        level.part = self
        if default_charset is not None:
            self._default_charset = default_charset
        if client_max_size is not None:
            self._client_max_size = client_max_size
            self._max_size_error_cls = max_size_error_cls
        return self

    @property
    def _source(self) -> PartSource:
        source = self._own_source
        if source is None:
            level = self._level
            self._own_source = source = PartSource(level, self._fields)
            if level.part is self:
                level.part = source
        return source

    # What the headers say

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The header fields of the part."""
        if self._headers is None:
            self._headers = (self._begin or self._source.begin).headers
        return self._headers

    @property
    def _fields(self) -> PartBegin:
        if self._begin is None:
            block = "\r\n".join(f"{name}: {value}" for name, value in self.headers.items())
            try:
                raw = block.encode(errors="surrogateescape")  # as aiohttp decodes them
            except UnicodeEncodeError as exc:
                raise ParseError(f"header fields that are no text: {exc}", code="bad-header") from exc
            parser, begin = self._source.level.parser, self._source.begin
            is_form = self._message_subtype() == "form-data"
            self._begin = PartBegin(raw, is_form, parser.policy, parser.limits, begin.index, begin.offset)
        return self._begin

    def _message_subtype(self) -> str:
        return self._source.level.parser.subtype if self._subtype is None else self._subtype

    @property
    def name(self) -> str | None:
        """The ``name`` parameter of Content-Disposition (RFC 7578 section 4.2)."""
        return (self._begin or self._fields).name

    @property
    def filename(self) -> str | None:
        """The ``filename`` parameter of Content-Disposition. It is data, never a path."""
        return (self._begin or self._fields).filename

    @property
    def content_type(self) -> str:
        """``type/subtype`` in lower case. Without a Content-Type, what RFC 2046 section 5.1 has as the default:
        ``text/plain`` (in a digest ``message/rfc822``); ``application/octet-stream`` when it is no media type.
        """
        content_type = self._fields.content_type
        if content_type is not None:
            return content_type
        if hdrs.CONTENT_TYPE in self.headers:
            return "application/octet-stream"
        return "message/rfc822" if self._message_subtype() == "digest" else "text/plain"

    @property
    def charset(self) -> str | None:
        """The charset parameter of the Content-Type, as it was sent; None without one."""
        return self._fields.charset

    @property
    def location(self) -> URL | None:
        """The Content-Location (RFC 2557 section 4.2); None without one.

        :raises ParseError: it is no URL.
        """
        value = self.headers.get(hdrs.CONTENT_LOCATION)
        if value is None:
            return None
        from yarl import URL

        try:
            return URL(value)
        except (ValueError, IndexError) as exc:
            what = f"Content-Location: {value[:80]!r} is no URL"
            raise ParseError(what, code="bad-content-location", part_name=self.name) from exc

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What the policy has forgiven in this part so far. ``part-cut-short`` says that its body has no end."""
        return self._source.defects

    def get_charset(self, default: str) -> str:
        """The charset parameter of the Content-Type, else the message's ``_charset_`` field, else ``default``."""
        return self._fields.charset or self._default_charset or default

    # The raw body

    def at_eof(self) -> bool:
        """Whether the last byte of the raw body has been handed out and that is known to be the end."""
        return self._source.at_eof()

    async def read(self, *, decode: bool = False) -> bytes:
        """The rest of the body.

        :param decode: undo Content-Transfer-Encoding and Content-Encoding.
        :return: the bytes; ``b""`` when nothing is left.
        :raises LimitExceeded: the body passes ``client_max_size``, or a decoded one ``max_decoded_size`` or
            ``max_decode_ratio``.
        :raises CodecError: the body does not decode.
        :raises UnknownEncoding: the encoding is not known.
        :raises IncompleteBody: the input ended early.
        """
        if self._own_source is None and self._level.part is self:
            # Nothing has been done with the body yet, and mostly all of it is here.
            level, most = self._level, self._client_max_size
            if level.receiver is not level.channel:
                level.receiver.check()
            if not decode or self._decoded_body() is None:
                events = level.events
                if len(events) > 1 and events[1] is PART_END:
                    data = events[0]
                    if type(data) is bytes and (most is None or len(data) <= most):
                        events.popleft()
                        events.popleft()
                        level.ended = True
                        return data
        source = self._source
        source.check()
        if decode and (decoded := self._decoded_body()) is not None:
            return await self._gather(decoded.receive, decoded.give_back)
        return await self._gather(source.receive, source.give_back)

    async def _gather(
        self, receive: Callable[[], Awaitable[bytes | None]], give_back: Callable[[bytes], object]
    ) -> bytes:
        pieces = []
        size = 0
        try:
            while (piece := await receive()) is not None:
                size += len(piece)
                pieces.append(piece)
                self._check_size(size)
        except BaseException:
            # Whatever it was (a timeout, a bound passed), the next call must not take the rest for the whole.
            give_back(b"".join(pieces))
            raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _check_size(self, size: int) -> None:
        most = self._client_max_size
        if most is not None and size > most:
            if self._max_size_error_cls is not None:
                raise self._max_size_error_cls(most)
            raise LimitExceeded(
                f"body passes client_max_size of {most}",
                limit="client_max_size",
                value=most,
                part_index=self._source.begin.index,
                part_name=self.name,
            )

    async def read_chunk(self, size: int = chunk_size) -> bytes:
        """1 to ``size`` bytes of the raw body that are already here, as soon as there is one; ``b""`` at its end.

        In a base64 part (RFC 2045 section 6.8) these are whole quartets, so that each chunk decodes on its own. There
        ``size`` counts as at least 4, and a quartet that is longer, with the white space in it, comes without that.

        :raises ValueError: ``size`` is less than 1.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        self._source.check()
        if self._is_base64():
            return await self._whole_quartets(max(size, 4))
        return await self._source.take(size)

    def _is_base64(self) -> bool:
        encoding = self._fields.transfer_encoding
        return encoding is not None and encoding.strip().lower() == "base64"

    async def _whole_quartets(self, size: int) -> bytes:
        source = self._source
        kept, rest = _split_quartets(await source.take(size))
        source.give_back(rest)
        return kept or (await self._quartet(size) if rest else b"")

    async def _quartet(self, size: int) -> bytes:
        """The quartet that comes next, or what there is of it at the end; decoding says that it is cut short."""
        source = self._source
        found = bytearray()
        missing = 4
        try:
            while missing and (piece := await source.take(size)):
                end = len(piece)
                for character in _CHARACTER(piece):
                    missing -= 1
                    if not missing:
                        end = character.end()
                        break
                source.give_back(piece[end:])
                # Past the size white space is not kept, however much comes.
                found += piece[:end] if len(found) <= size else piece[:end].translate(None, _BLANKS)
        except BaseException:
            source.give_back(bytes(found))
            raise
        return bytes(found if len(found) <= size else found.translate(None, _BLANKS))

    async def readline(self) -> bytes:
        """The rest of the current line of the raw body, with its line end (LF or CRLF); ``b""`` at the end."""
        self._source.check()
        pieces: list[bytes] = []
        try:
            while piece := await self._source.take_line():
                pieces.append(piece)
                if piece.endswith(b"\n"):
                    break
        except BaseException:
            self._source.give_back(b"".join(pieces))
            raise
        return b"".join(pieces)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next piece of the raw body, at most 64 KiB."""
        data = await self.read_chunk(PIECE)
        if not data:
            raise StopAsyncIteration
        return data

    async def next(self) -> bytes | None:
        """The rest of the raw body; None when nothing is left."""
        return await self.read() or None

    async def release(self) -> None:
        """Read the rest of the body and drop it; nothing to do once the reader has moved on."""
        if self._decoded is not None:
            await self._decoded.finish()
        if not self._source.passed:
            self._source.check()
            await self._source.drain()
            # Nothing is left to decode either.
            self._decoded, self._encoded = None, False

    # The decoded body

    async def text(self, *, encoding: str | None = None) -> str:
        """The rest of the body, decoded, as text.

        :param encoding: its charset; if not given, :meth:`get_charset` with UTF-8 as the default.
        :raises CodecError: the text is not in its charset.
        :raises UnknownEncoding: the charset is not known.
        """
        return self._to_text(await self.read(decode=True), encoding)

    async def json(self, *, encoding: str | None = None) -> Any:
        """The rest of the body, decoded, as JSON; None for an empty body.

        :param encoding: as in :meth:`text`.
        :raises CodecError: the body is not JSON, or not in its charset.
        :raises UnknownEncoding: the charset is not known.
        """
        data = await self.read(decode=True)
        if not data:
            return None
        text = self._to_text(data, encoding)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as exc:  # ValueError: an integer of more digits than Python converts
            raise self._placed(CodecError(f"body is not JSON: {exc}", code="bad-json")) from exc

    async def form(self, *, encoding: str | None = None) -> list[tuple[str, str]]:
        """The rest of the body, decoded, as application/x-www-form-urlencoded pairs.

        :param encoding: as in :meth:`text`.
        :raises CodecError: the body is not in its charset.
        :raises UnknownEncoding: the charset is not known.
        """
        data = await self.read(decode=True)
        if not data:
            return []
        text = self._to_text(data.rstrip(), encoding)
        charset = encoding or lookup_charset(self.get_charset("utf-8")) or "utf-8"
        return parse_qsl(text, keep_blank_values=True, encoding=charset)

    def _placed(self, error: E) -> E:
        """The error, saying in which part it came up."""
        error.part_index, error.part_name = self._source.begin.index, self.name
        return error

    def _to_text(self, data: bytes, encoding: str | None) -> str:
        try:
            if encoding is not None:
                return data.decode(encoding)
            policy = self._source.level.parser.policy
            text, forgiven = decode_text(data, self.get_charset("utf-8"), policy=policy)
        except MultipartError as exc:
            self._placed(exc)
            raise
        except UnicodeError as exc:
            what = f"text is not in charset {encoding}: {exc}"
            raise self._placed(CodecError(what, code="undecodable-text")) from exc
        except LookupError as exc:
            what = f"charset {encoding!r} is not known"
            raise self._placed(UnknownEncoding(what, code="unknown-charset")) from exc
        if forgiven is not None:
            self._source.forgive(forgiven)
        return text

    async def iter_chunks(self, size: int = PIECE, *, decode: bool = True) -> AsyncGenerator[bytes, None]:
        """The rest of the body in pieces of 1 to ``size`` bytes, as they arrive.

        A fresh iterator goes on where a cancelled or abandoned one stopped, with the same codec.

        :param size: in bytes.
        :param decode: undo Content-Transfer-Encoding and Content-Encoding.
        :raises ValueError: ``size`` is less than 1.
        :raises CodecError: the body does not decode.
        :raises UnknownEncoding: the encoding is not known.
        :raises LimitExceeded: ``max_decoded_size``, ``max_decode_ratio``.
        """
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        self._source.check()
        if decode and (decoded := self._decoded_body()) is not None:
            while (piece := await decoded.receive()) is not None:
                if len(piece) > size:
                    decoded.give_back(piece[size:])
                    piece = piece[:size]
                yield piece
                self._source.check()
        else:
            while data := await self._source.take(size):
                yield data
                self._source.check()

    async def copy_to(self, target: Target[T]) -> T:
        """Write the rest of the body, decoded, to ``target``.

        :return: the result of the target.
        :raises Exception: what the target raises, as it is; it has been aborted then, as after any other failure.
        :raises CodecError, UnknownEncoding, LimitExceeded: as for :meth:`iter_chunks`.
        """
        async with contextlib.aclosing(self.iter_chunks()) as chunks:
            return await copy(self, chunks, target)

    async def save(
        self,
        path: str | os.PathLike[str],
        *,
        hash: str | None = None,  # noqa: A002  (the name is public)
        overwrite: bool = False,
    ) -> SavedFile:
        """Save the rest of the body, decoded, to a file, in a thread. The file is there when it is whole or not at all.

        :param path: of the file. It is trusted: make no path out of what was received.
        :param hash: name of a hash of ``hashlib`` to compute on the way.
        :param overwrite: replace a file that is there.
        :return: path, size and digest.
        :raises FileExistsError: the file is there, and ``overwrite`` is false.
        :raises ValueError: ``path`` ends in no name, or ``hash`` is not known.
        """
        return await self.copy_to(FileTarget(path, hash=hash, overwrite=overwrite))

    def _decoded_body(self) -> DecodedBody | None:
        """The decoded body, made when first asked for; None where there is nothing to undo."""
        if self._encoded is None:
            codec = self._make_decoder()
            self._encoded = codec is not None
            if codec is not None:
                self._decoded = DecodedBody(self._source, codec)
        return self._decoded

    def _make_decoder(self) -> Codec | None:
        fields = self._fields
        try:
            return decoder(fields.transfer_encoding, fields.content_coding, limits=self._source.level.parser.limits)
        except UnknownEncoding as exc:
            if self._source.level.parser.policy.rules.unknown_encoding is FORGIVE:
                self._source.forgive("unknown-coding")
                return None
            self._placed(exc)
            raise

    def decode(self, data: bytes) -> bytes:
        """Undo Content-Transfer-Encoding and Content-Encoding of ``data``, which is a whole body.

        :raises CodecError: it does not decode, or is cut short.
        :raises UnknownEncoding: the encoding is not known.
        :raises LimitExceeded: ``max_decoded_size``, ``max_decode_ratio``.
        """
        codec = self._make_decoder()
        if codec is None:
            return data
        codec.feed_data(data)
        codec.feed_eof()
        pieces = []
        while piece := codec.read(PIECE):
            pieces.append(piece)
        return b"".join(pieces)

    async def decode_iter(self, data: bytes) -> AsyncIterator[bytes]:
        """As :meth:`decode`, in pieces of at most ``max_decompress_size`` bytes; long work is done in a thread."""
        codec = self._make_decoder()
        if codec is None:
            if data:
                yield data
            return
        codec.feed_data(data)
        codec.feed_eof()
        size = min(self._max_decompress_size or PIECE, PIECE)  # 0: no bound, for aiohttp
        given = 0
        while True:
            pieces = await in_thread(decode_some, codec) if given >= INLINE else []
            # A thread that had nothing more to give has left the error, if there is one, with the codec.
            pieces = pieces or [codec.read(size)]
            for piece in pieces:
                if not piece:
                    return
                given += len(piece)
                for start in range(0, len(piece), size):
                    yield piece[start : start + size]


# For the reader, not for its users
part_of = BodyPartReader._of  # noqa: SLF001


def _split_quartets(data: bytes) -> tuple[bytes, bytes]:
    """Cut ``data`` after its last whole base64 quartet, white space not counted."""
    extra = len(data.translate(None, _BLANKS)) % 4
    end = len(data)
    while extra:
        end -= 1
        extra -= data[end] not in _BLANKS
    return data[:end], data[end:]
