"""Reading one body part: raw or decoded, in chunks, lines or whole, as text, JSON or a form."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING, Any, Self, TypedDict, TypeVar, Unpack
from urllib.parse import parse_qsl

from multidict import CIMultiDictProxy

from aiomultipart import hdrs
from aiomultipart.codecs import Codec, decoder
from aiomultipart.exceptions import CodecError, LimitExceeded, MultipartError, ParseError, UnknownEncoding
from aiomultipart.grammar.charsets import decode_text, lookup_charset
from aiomultipart.grammar.fields import HeaderItems, as_multidict
from aiomultipart.parser import Defect, PartBegin
from aiomultipart.policy import FORGIVE
from aiomultipart.sources import ByteStream
from aiomultipart.targets import FileTarget, SavedFile, Target, copy
from aiomultipart.work import PIECE, Jobs

from .alone import cursor_alone
from .body import Pieces
from .decoded import DecodedBody
from .message import Cursor

if TYPE_CHECKING:
    from yarl import URL

__all__ = ("BodyPartReader", "PartOptions", "SizeOptions")

E = TypeVar("E", bound=MultipartError)
T = TypeVar("T")


class SizeOptions(TypedDict, total=False):
    """What readers and parts can be told about sizes."""

    client_max_size: int | None
    max_size_error_cls: type[Exception] | None


class PartOptions(SizeOptions, total=False):
    """The keywords of :class:`BodyPartReader`."""

    subtype: str
    default_charset: str | None
    max_decompress_size: int


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
    _begin: PartBegin | None = None  # of the headers that count, once they have been read
    _decoded: Pieces | None = None  # the raw body, where there is nothing to undo; None before somebody asks
    _default_charset: str | None = None
    _max_decompress_size = 256 * 1024
    _client_max_size: int | None = None
    _max_size_error_cls: type[Exception] | None = None

    # To take options by name would cost as much as all the rest.
    def __init__(
        self,
        boundary: bytes,
        headers: HeaderItems | None,
        content: ByteStream | Cursor,
        **options: Unpack[PartOptions],
    ) -> None:
        if options:
            self._set_options(**options)
        if isinstance(content, Cursor):
            self._cursor = content
            self._at = begin = content.begin or content.current
            # Headers that a subclass has changed are read again.
            if headers is None or headers is begin.headers:
                self._begin = begin
            else:
                self._headers = as_multidict(headers)
        else:
            self._headers = as_multidict(headers or {})
            self._cursor = cursor_alone(boundary, self._headers, content, options.get("subtype", "mixed"))
            self._at = self._cursor.current

    def _set_options(
        self,
        *,
        subtype: str = "mixed",
        default_charset: str | None = None,
        max_decompress_size: int = 256 * 1024,
        client_max_size: int | None = None,
        max_size_error_cls: type[Exception] | None = None,
    ) -> None:
        self._default_charset = default_charset
        self._max_decompress_size = max_decompress_size
        self._client_max_size = client_max_size
        self._max_size_error_cls = max_size_error_cls

    def __repr__(self) -> str:
        begin = self._begin or self._at
        what = [f"<{type(self).__name__} {begin.index}"]
        for field in ("name", "filename"):
            value = getattr(begin, field)
            if value is not None:
                what.append(f"{field}={value!r}")
        what.append(begin.content_type or "without a Content-Type")
        if self._cursor.is_past(self._at):
            what.append("the reader has moved on")
        else:
            what.append("at its end" if self.at_eof() else "to be read")
        return f"{', '.join(what)}>"

    # What the headers say

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The header fields of the part."""
        if self._headers is None:
            self._headers = self._at.headers
        return self._headers

    @property
    def _fields(self) -> PartBegin:
        if self._begin is None:
            block = "\r\n".join(f"{name}: {value}" for name, value in self.headers.items())
            try:
                raw = block.encode(errors="surrogateescape")  # as aiohttp decodes them
            except UnicodeEncodeError as exc:
                raise ParseError(f"header fields that are no text: {exc}", code="bad-header") from exc
            parser, at = self._cursor.parser, self._at
            is_form = parser.subtype == "form-data"
            self._begin = PartBegin(raw, is_form, parser.policy, parser.limits, at.index, at.offset)
        return self._begin

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
        begin = self._begin or self._fields
        if begin.content_type is not None:
            return begin.content_type
        if begin.defects and hdrs.CONTENT_TYPE in self.headers:
            return "application/octet-stream"
        return "message/rfc822" if self._cursor.parser.subtype == "digest" else "text/plain"

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
        index = self._at.index
        return tuple(defect for defect in self._cursor.parser.defects if defect.part_index == index)

    @property
    def depth(self) -> int:
        """How many messages the part is in: 1 in the outermost, 2 in one that is nested in that, and so on."""
        return self._cursor.depth

    def get_charset(self, default: str) -> str:
        """The charset parameter of the Content-Type, else the message's ``_charset_`` field, else ``default``."""
        return self._fields.charset or self._default_charset or default

    # The raw body

    def at_eof(self) -> bool:
        """Whether the last byte of the raw body has been handed out and that is known to be the end."""
        return self._cursor.at_end or self._cursor.is_past(self._at)

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
        cursor = self._cursor
        if cursor.begin is not self._at or cursor.guarded or cursor.message.blocked:
            cursor.check(self._at)
        pieces = self._undone() if decode else cursor
        # Mostly a small body is here, in one piece.
        data = pieces.take_all() if self._client_max_size is None else None
        if data is None:
            data = await pieces.read(self._check_size)
        if not data:
            await cursor.settle()
        return data

    def _check_size(self, size: int) -> None:
        most = self._client_max_size
        if most is not None and size > most:
            if self._max_size_error_cls is not None:
                raise self._max_size_error_cls(most)
            raise LimitExceeded(
                f"body passes client_max_size of {most}",
                limit="client_max_size",
                value=most,
                part_index=self._at.index,
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
        cursor = self._cursor
        if cursor.begin is not self._at or cursor.guarded or cursor.message.blocked:
            cursor.check(self._at)
        encoding = (self._begin or self._fields).transfer_encoding
        if encoding is not None and encoding.strip().lower() == "base64":
            data = await cursor.read_quartets(max(size, 4))
        else:
            data = cursor.take(size) or await cursor.some(size)  # mostly some is here
        if not data:
            await cursor.settle()
        return data

    async def readline(self) -> bytes:
        """The rest of the current line of the raw body, with its line end (LF or CRLF); ``b""`` at the end."""
        cursor = self._cursor
        cursor.check(self._at)
        data = await cursor.readline()
        if not data:
            await cursor.settle()
        return data

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
        cursor = self._cursor
        passed = cursor.is_past(self._at)
        if not passed:
            cursor.check(self._at)
            cursor.drop()  # before anything is awaited: the rest is not wanted, even if the wait for it is cancelled
        if isinstance(self._decoded, DecodedBody):
            await self._decoded.drop()
        if not passed:
            await cursor.skip()

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
        error.part_index, error.part_name = self._at.index, self.name
        return error

    def _to_text(self, data: bytes, encoding: str | None) -> str:
        try:
            if encoding is not None:
                return data.decode(encoding)
            policy = self._cursor.parser.policy
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
            self._cursor.parser.forgive(forgiven, self._at)
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
        cursor = self._cursor
        cursor.check(self._at)
        pieces = self._undone() if decode else cursor
        while data := await pieces.some(size):
            yield data
            cursor.check(self._at)
        await cursor.settle()

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

    def _undone(self) -> Pieces:
        """The decoded body; the raw one where there is nothing to undo."""
        if self._decoded is None:
            codec = self._make_decoder()
            self._decoded = self._cursor
            if codec is not None:
                self._decoded = DecodedBody(self._cursor, codec, self._cursor.message, self._fields)
        return self._decoded

    def _make_decoder(self) -> Codec | None:
        fields, parser = self._fields, self._cursor.parser
        try:
            return decoder(fields.transfer_encoding, fields.content_coding, limits=parser.limits)
        except UnknownEncoding as exc:
            if parser.policy.rules.unknown_encoding is FORGIVE:
                parser.forgive("unknown-coding", self._at)
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
        return data if codec is None else codec.whole(data)

    async def decode_iter(self, data: bytes) -> AsyncIterator[bytes]:
        """As :meth:`decode`, in pieces of at most ``max_decompress_size`` bytes; long work is done in a thread."""
        codec = self._make_decoder()
        if codec is None:
            if data:
                yield data
            return
        codec.feed_data(data)
        codec.feed_eof()
        pieces = DecodedBody(self._cursor, codec, Jobs(), self._fields)
        while piece := await pieces.some(self._max_decompress_size or PIECE):  # 0: no bound, for aiohttp
            yield piece
