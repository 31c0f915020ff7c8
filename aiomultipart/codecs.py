"""Content codings and transfer encodings: incremental, bounded, in both directions, without I/O.

Strategy. A :class:`Codec` is pulled: ``read(size)`` asks for output, and only when it answers ``b""`` is more input
fed. All state lives in the codec and changes only inside these calls, so a consumer that is cancelled between them
loses nothing. :class:`_Stage` owns everything that codecs share: queued input, output not yet handed out, the limits,
the end, and the error that stays. A codec proper is one ``_step`` (some input in, some output out) and one
``_finish``; what a name means is looked up in the tables at the end.

Rules.

- A body decodes completely or is a :exc:`~aiomultipart.CodecError`; input cut short is never a shorter body. (Zero
  bytes of input are an empty body in every coding.) What zlib, brotli and zstd raise is translated where they are
  called.
- A codec holds at most one step of output (some 64 KiB, for brotli somewhat more), the input it was fed, and the
  window of its format (32 KiB for zlib, at most 8 MiB for zstd, at most 16 MiB for brotli).
- Neither the output nor whether it fails depends on how the input was cut or how much each ``read()`` asked for. Raw
  input therefore goes in by slices that never cross *checkpoints*, fixed offsets in the raw input, whose distance
  grows with the offset, an eighth of it, from 32 bytes to 64 KiB; a slice is drained of its output before the next.
  ``max_decode_ratio`` is held against the checkpoint that ends the current slice, and at the end of the input once
  more against its exact length: a function of the bytes alone.
- Which *output* precedes an error is as fixed, with one exception: gzip, deflate, br and zstd may lose some of what
  they decoded just before damaged data, because their libraries drop it. For ``br``, whose library decodes ahead, the
  cut can also decide which error comes, if damage and a passed limit lie within one slice.
"""

from __future__ import annotations

import binascii
import importlib
import re
import sys
import zlib
from abc import ABC, abstractmethod
from collections import deque
from typing import Any, ClassVar, Final

from .exceptions import CodecError, LimitExceeded, MultipartError, StateError, UnknownEncoding
from .limits import Limits

__all__ = ("Codec", "decoder", "encoded_size", "encoder")

_SLICE: Final = 64 * 1024  # the most that goes into a step, and that is asked of one
_FIRST_CHECKPOINT: Final = 32
_MAX_BLANKS: Final = 64 * 1024  # one run of white space in quoted-printable, which may have to be held

_GZIP_LEVEL: Final = 6
_BROTLI_QUALITY: Final = 5  # the library's default of 11 is for files compressed once and served often
_ZSTD_LEVEL: Final = 3
_ZSTD_WINDOW_LOG: Final = 23  # 8 MiB, what RFC 9659 asks every decoder to support and no encoder to pass


class Codec(ABC):
    """One direction of one coding (or of a transfer encoding and a content coding) for one body part."""

    @abstractmethod
    def feed_data(self, data: bytes) -> None:
        """Take input. Call it when :meth:`read` gave ``b""``; more than that is queued, however much it is.

        :raises StateError: after :meth:`feed_eof`.
        """

    @abstractmethod
    def feed_eof(self) -> None:
        """There will be no more input."""

    @abstractmethod
    def read(self, size: int) -> bytes:
        """From 1 to ``size`` bytes of output; ``b""``: more input is needed or, after :meth:`feed_eof`, that was all.

        :raises CodecError: the input is damaged or cut short.
        :raises LimitExceeded: a limit was passed; the output up to ``max_decoded_size`` has been handed out by then.
            Every call after an error raises the same error again.
        :raises ValueError: ``size`` is less than 1.
        """

    @property
    @abstractmethod
    def at_eof(self) -> bool:
        """Whether the input has ended without an error and :meth:`read` has given ``b""`` since."""


class _Stage(Codec):
    """What all codecs share; see the rules at the top of the module."""

    coding: ClassVar[str]

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._queue: deque[bytes] = deque()
        self._queue_pos = 0  # in the first chunk queued
        self._slice = memoryview(b"")
        self._slice_pos = 0
        self._bite = _SLICE  # the most of a slice to give to one step
        self._dry = True  # the step has nothing more to give without input
        self._eof = False
        self._finished = False
        self._at_eof = False
        self._out = b""
        self._out_pos = 0
        self._error: MultipartError | None = None  # raised as soon as the output before it has been handed out
        self._raw = 0
        self._decoded = 0
        self._checkpoint = 0
        self._set_checkpoint(_FIRST_CHECKPOINT)

    def feed_data(self, data: bytes) -> None:
        if self._eof:
            raise StateError("feed_data() after feed_eof()")
        if data and self._error is None:
            self._queue.append(bytes(data))

    def feed_eof(self) -> None:
        self._eof = True

    @property
    def at_eof(self) -> bool:
        return self._at_eof

    def read(self, size: int) -> bytes:
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        while not self._out:
            if self._error is not None:
                raise self._error.fresh()
            if self._finished:
                self._at_eof = True
                return b""
            try:
                if not self._advance():
                    return b""
            except MultipartError as exc:
                self._fail(exc.fresh())
                raise
        out = self._out
        if self._out_pos or len(out) > size:
            end = self._out_pos + size
            out = out[self._out_pos : end]
            if end < len(self._out):
                self._out_pos = end
                return out
        self._out, self._out_pos = b"", 0
        return out

    def _advance(self) -> bool:
        """One step, or the end. False: there is no input for it."""
        if self._dry and self._slice_pos == len(self._slice) and not self._next_slice():
            if self._eof:
                # The last word on the ratio: the exact size of the input.
                self._set_checkpoint(self._raw)
                self._finished = True
                self._put_out(self._finish())
            return self._eof
        room = self._ceiling - self._decoded
        # Where the output must not grow any more, input goes in by single bytes and one byte is asked for: so no damage
        # further on is found together with the byte too many, whose presence decides.
        want = min(room, _SLICE) or 1
        data = self._slice[self._slice_pos : self._slice_pos + (self._bite if room else 1)]
        out, used = self._step(data, want)
        self._slice_pos += used
        self._dry = used == len(data) and len(out) < want
        self._put_out(out)
        return True

    def _next_slice(self) -> bool:
        if not self._queue:
            return False
        if self._raw == self._checkpoint:
            self._set_checkpoint(self._raw + min(max(self._raw // 8, _FIRST_CHECKPOINT), _SLICE))
        chunk, start = self._queue[0], self._queue_pos
        end = min(start + self._checkpoint - self._raw, len(chunk))
        self._slice, self._slice_pos = memoryview(chunk)[start:end], 0
        self._raw += end - start
        self._queue_pos = end
        if end == len(chunk):
            self._queue.popleft()
            self._queue_pos = 0
        return True

    def _set_checkpoint(self, raw: int) -> None:
        """Let the input up to the raw offset in, and reckon how much output it may have."""
        limits = self._limits
        self._checkpoint = raw
        self._ceiling, self._ceiling_name = sys.maxsize, ""
        if limits.max_decoded_size is not None:
            self._ceiling, self._ceiling_name = limits.max_decoded_size, "max_decoded_size"
        if limits.max_decode_ratio is not None:
            allowed = max(limits.decode_ratio_floor, limits.max_decode_ratio * raw)
            if allowed < self._ceiling:
                self._ceiling, self._ceiling_name = allowed, "max_decode_ratio"

    def _put_out(self, out: bytes) -> None:
        self._decoded += len(out)
        excess = self._decoded - self._ceiling
        if excess > 0:
            out = out[:-excess]
            limit = self._ceiling_name
            value: int = getattr(self._limits, limit)
            what = "bytes of decoded body" if limit == "max_decoded_size" else "times the size of its input"
            self._fail(LimitExceeded(f"{self.coding}: more than {value} {what} ({limit})", limit=limit, value=value))
        self._out = out

    def _fail(self, error: MultipartError) -> None:
        self._error = error
        self._queue.clear()
        self._slice = memoryview(b"")

    def _damaged(self, what: str) -> CodecError:
        return CodecError(f"{self.coding}: {what}")

    @abstractmethod
    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        """Output, ``want`` bytes of it if the coding can stop there, and how many bytes of ``data`` are done with.

        Less than ``want`` with all of ``data`` used says that there is no more until the next input. ``data`` may be
        empty. Either there is output, or some of ``data`` is used. The count is negative if the library gives back
        what it took from the same slice in an earlier step.
        """

    @abstractmethod
    def _finish(self) -> bytes:
        """The input is complete and drained: check that, and give the last output."""


class _Chain(Codec):
    """``second`` applied to the output of ``first``."""

    def __init__(self, first: Codec, second: Codec) -> None:
        self._first = first
        self._second = second
        self._passed_eof = False

    def feed_data(self, data: bytes) -> None:
        self._first.feed_data(data)

    def feed_eof(self) -> None:
        self._first.feed_eof()

    def read(self, size: int) -> bytes:
        while not (out := self._second.read(size)) and not self._passed_eof:
            if data := self._first.read(_SLICE):
                self._second.feed_data(data)
            elif self._first.at_eof:
                self._second.feed_eof()
                self._passed_eof = True
            else:
                break
        return out

    @property
    def at_eof(self) -> bool:
        return self._second.at_eof


# Compressed codings: decoders.


class _MembersDecoder(_Stage):
    """A coding whose streams may follow one another: gzip members, zstd frames."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._member: Any = None
        self._bite = 1

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        if self._member is None:
            if not data:
                return b"", 0
            if (skipped := self._between(data)) is not None:
                return b"", skipped
            self._member = self._open()
        out, used = self._decompress(data, want)
        # A member starts with one byte, for two reasons: at its end the library copies what it did not use, all of it
        # for each of many tiny members; and libzstd takes a shortcut, which skips the check of the window, if it sees
        # a whole frame at once.
        self._bite = min(self._bite * 4, _SLICE)
        if self._member.eof:
            self._member = None
            self._bite = 1
        return out, used

    def _finish(self) -> bytes:
        if self._member is not None:
            raise self._damaged("cut short")
        return b""

    def _between(self, data: memoryview) -> int | None:
        """How much of ``data``, which starts between two members, to skip; None if a member starts there."""
        return None

    @abstractmethod
    def _open(self) -> Any: ...

    @abstractmethod
    def _decompress(self, data: memoryview, want: int) -> tuple[bytes, int]: ...


# Any: typeshed has no public name for zlib's decompression object.
def _inflate(coding: str, stream: Any, data: bytes | memoryview, want: int) -> tuple[bytes, int]:
    try:
        out: bytes = stream.decompress(data, want)
    except zlib.error as exc:
        raise CodecError(f"{coding}: {str(exc).rpartition('data: ')[2]}") from exc
    return out, len(data) - len(stream.unused_data if stream.eof else stream.unconsumed_tail)


class _GzipDecoder(_MembersDecoder):
    """RFC 1952: members one after another (section 2.2), then nothing but zeros, the padding of tapes and blocks."""

    coding = "gzip"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._any_member = False
        self._padding = False

    def _between(self, data: memoryview) -> int | None:
        if self._any_member and (self._padding or not data[0]):
            self._padding = True
            self._bite = _SLICE
            if bytes(data).strip(b"\0"):
                raise self._damaged("data after the end")
            return len(data)
        if self._any_member and data[0] != 0x1F:
            raise self._damaged("data after the end")
        return None

    def _open(self) -> Any:
        self._any_member = True
        return zlib.decompressobj(wbits=31)

    def _decompress(self, data: memoryview, want: int) -> tuple[bytes, int]:
        return _inflate(self.coding, self._member, data, want)


class _ZstdDecoder(_MembersDecoder):
    """RFC 8878 with the window limit of RFC 9659."""

    coding = "zstd"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._zstd = _zstd_library()

    def _open(self) -> Any:
        return self._zstd.ZstdDecompressor(options={self._zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})

    def _decompress(self, data: memoryview, want: int) -> tuple[bytes, int]:
        if not self._member.needs_input:
            data = data[:0]  # it keeps what it did not get to; do not pile up more
        try:
            out: bytes = self._member.decompress(data, want)
        except self._zstd.ZstdError as exc:
            raise self._damaged(str(exc).partition("data: ")[2] or "damaged data") from exc
        return out, len(data) - len(self._member.unused_data if self._member.eof else b"")


class _DeflateDecoder(_Stage):
    """RFC 9110 section 8.4.1.2: the zlib format (RFC 1950), and raw deflate (RFC 1951), which some send instead."""

    coding = "deflate"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._head = b""
        self._stream: Any = None

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        if self._stream is not None:
            if self._stream.eof and data:
                raise self._damaged("data after the end")
            return _inflate(self.coding, self._stream, data, want)
        held = len(self._head)
        head = self._head + data[: 2 - held]
        if len(head) < 2:
            self._head = head
            return b"", len(data)
        cmf, flg = head
        # RFC 1950 section 2.2: method 8, a window of at most 32 KiB, a multiple of 31.
        wrapped = cmf & 0x0F == 8 and cmf >> 4 <= 7 and (cmf << 8 | flg) % 31 == 0
        self._stream = zlib.decompressobj(wbits=15 if wrapped else -15)
        out, used = _inflate(self.coding, self._stream, self._head + data, want)
        return out, used - held

    def _finish(self) -> bytes:
        complete = self._stream.eof if self._stream is not None else not self._head
        if not complete:
            raise self._damaged("cut short")
        return b""


class _BrotliDecoder(_Stage):
    """RFC 7932."""

    coding = "br"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._brotli = _brotli_library()
        self._stream = self._brotli.Decompressor()
        self._started = False

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        self._started = True
        if not self._stream.can_accept_more_data():
            data = data[:0]
        try:
            # The library may give more than it is asked for, a block; it is kept until it is read.
            out: bytes = self._stream.process(data, output_buffer_limit=want)
        except self._brotli.error as exc:
            # It says "decoder failed" and no more, whether the data is damaged or does not end where it should.
            raise self._damaged("damaged data, or data after the end") from exc
        return out, len(data)

    def _finish(self) -> bytes:
        if self._started and not self._stream.is_finished():
            raise self._damaged("cut short")
        return b""


# Compressed codings: encoders.


class _Compressor(_Stage):
    """Any library with one call that takes data and one that ends the stream; subclasses say which."""

    _compress: Any
    _end: Any

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        # An empty step is the question whether there is more, which these libraries never hold back.
        return (self._compress(data) if data else b""), len(data)

    def _finish(self) -> bytes:
        return bytes(self._end())


class _GzipEncoder(_Compressor):
    """RFC 1952; no name and no time, so that the same body gives the same bytes."""

    coding = "gzip"
    _wbits = 31

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        stream = zlib.compressobj(_GZIP_LEVEL, wbits=self._wbits)
        self._compress, self._end = stream.compress, stream.flush


class _DeflateEncoder(_GzipEncoder):
    """RFC 9110 section 8.4.1.2, the zlib format (RFC 1950)."""

    coding = "deflate"
    _wbits = 15


class _BrotliEncoder(_Compressor):
    """RFC 7932."""

    coding = "br"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        stream = _brotli_library().Compressor(quality=_BROTLI_QUALITY)
        self._compress, self._end = stream.process, stream.finish


class _ZstdEncoder(_Compressor):
    """RFC 8878."""

    coding = "zstd"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        stream = _zstd_library().ZstdCompressor(level=_ZSTD_LEVEL)
        self._compress, self._end = stream.compress, stream.flush


# Any: neither library is there for the type checker, which need not have the extras.
def _brotli_library() -> Any:
    brotli = _library("br", "brotli", "brotli")
    if not hasattr(brotli.Decompressor, "can_accept_more_data"):
        raise UnknownEncoding("content coding 'br' needs brotli 1.2 or later: pip install -U aiomultipart[brotli]")
    return brotli


def _zstd_library() -> Any:
    return _library("zstd", "zstd", "compression.zstd", "backports.zstd")


def _library(coding: str, extra: str, *modules: str) -> Any:
    missing: ImportError | None = None
    for module in modules:
        try:
            return importlib.import_module(module)
        except ImportError as exc:
            missing = exc
    raise UnknownEncoding(
        f"content coding {coding!r} needs {' or '.join(modules)}: pip install aiomultipart[{extra}]"
    ) from missing


# Transfer encodings: base64 (RFC 2045 section 6.8).

_BASE64_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64_PADDED = re.compile(rb"[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=)")
_BASE64_LINE: Final = 57  # bytes that make a line of 76 characters


class _Base64Decoder(_Stage):
    """Strict, where RFC 2045 would ignore what is foreign; white space between the characters is what it may be."""

    coding = "base64"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._quartet = b""  # its beginning, when it is not complete
        self._padded = False

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        text = self._quartet + bytes(data).translate(None, b"\r\n \t")
        if self._padded and text:
            raise self._damaged("data after the padding")
        whole = len(text) & ~3
        text, self._quartet = text[:whole], text[whole:]
        # The library is only asked about quartets without padding: its strict mode takes "Zm9v====" in CPython 3.11.
        padding = text.find(b"=")
        end = whole if padding < 0 else padding & ~3
        last = text[end : end + 4]
        try:
            out = binascii.a2b_base64(text[:end], strict_mode=True)
        except binascii.Error:
            end = len(text) - len(text.lstrip(_BASE64_ALPHABET)) & ~3
            self._fail(self._bad_quartet(text[end : end + 4]))
            return binascii.a2b_base64(text[:end]), len(data)
        if _BASE64_PADDED.fullmatch(last):
            self._padded = True
            out += binascii.a2b_base64(last)
            if text[end + 4 :] or self._quartet:
                self._fail(self._damaged("data after the padding"))
        elif last:
            self._fail(self._bad_quartet(last))
        return out, len(data)

    def _bad_quartet(self, quartet: bytes) -> CodecError:
        """The error for what is no quartet: 4 characters, or fewer at the end of the input."""
        foreign = quartet.lstrip(_BASE64_ALPHABET)
        if not foreign or _BASE64_PADDED.fullmatch(quartet + b"="):
            return self._damaged("cut short")
        if foreign.startswith(b"="):
            return self._damaged("misplaced padding")
        return self._damaged(f"byte {foreign[0]:#04x} is not in the alphabet")

    def _finish(self) -> bytes:
        if self._quartet:
            raise self._bad_quartet(self._quartet)
        return b""


class _Base64Encoder(_Stage):
    """Lines of 76 characters with CRLF between them, none after the last: see :func:`encoded_size`."""

    coding = "base64"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._line = b""  # its beginning, when it is not complete
        self._glue = b""  # the CRLF that any further line needs before it

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        octets = self._line + data
        whole = len(octets) - len(octets) % _BASE64_LINE
        self._line = octets[whole:]
        return self._lines(octets[:whole]), len(data)

    def _finish(self) -> bytes:
        return self._lines(self._line)

    def _lines(self, octets: bytes) -> bytes:
        if not octets:
            return b""
        text = binascii.b2a_base64(octets, newline=False)
        glue, self._glue = self._glue, b"\r\n"
        return glue + b"\r\n".join([text[i : i + 76] for i in range(0, len(text), 76)])


def encoded_size(size: int) -> int:
    """How many bytes ``size`` bytes become in base64, line ends included: what a Content-Length needs."""
    characters = -(-size // 3) * 4
    return characters + max(0, -(-characters // 76) - 1) * 2


# Transfer encodings: quoted-printable (RFC 2045 section 6.7).

_BLANKS: Final = b" \t"
_QP_MALFORMED = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n)")
_QP_BLANKS_AT_LINE_END: Final = (b" \r\n", b"\t\r\n", b" \n", b"\t\n")
_QP_ESCAPE_STARTED = re.compile(rb"=[0-9A-Fa-f]")
_QP_UNSAFE = re.compile(rb"[^ -<>-~\t\r\n]+")  # CR and LF wait until the pairs are out of the way


class _QuotedPrintableDecoder(_Stage):
    """Strict in what follows ``=``; octets that should have been encoded are taken as they are."""

    coding = "quoted-printable"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        # What the next byte gives a meaning: [=] *WSP [CR], or "=" and one hexadecimal digit.
        self._held = bytearray()

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        fresh = bytes(data)
        blanks = len(fresh) - len(fresh.lstrip(_BLANKS))
        if self._held and self._held[-1] in b"= \t":
            # A slice is not longer than the longest run, so only a run that was held can get too long.
            if len(self._held) - self._held.startswith(b"=") + blanks > _MAX_BLANKS:
                raise self._damaged(f"a run of more than {_MAX_BLANKS} bytes of white space")
            if blanks == len(fresh):
                self._held += fresh
                return b"", len(data)
        text = bytes(self._held) + fresh
        solid = text[:-1] if text.endswith(b"\r") else text
        solid = solid.rstrip(_BLANKS)
        end = len(solid)
        if solid.endswith(b"="):
            end -= 1
        elif end == len(text) and _QP_ESCAPE_STARTED.fullmatch(text, end - 2):
            end -= 2
        self._held = bytearray(text[end:])
        return self._decode(text[:end]), len(data)

    def _decode(self, text: bytes) -> bytes:
        """Text whose escapes are complete and whose last line is not, as far as it is well-formed."""
        if any(blank in text for blank in _QP_BLANKS_AT_LINE_END):
            # Rule 3: white space at the end of a line, and so after the "=" of a soft line break, is not part of it.
            *lines, last = text.split(b"\n")
            text = b"\n".join([*map(_without_blanks_at_end, lines), last])
        if malformed := _QP_MALFORMED.search(text):
            self._fail(self._damaged("'=' before neither two hexadecimal digits nor a line end"))
            text = text[: malformed.start()]
        # Of text like this it undoes escapes and soft line breaks, and nothing else.
        return binascii.a2b_qp(text)

    def _finish(self) -> bytes:
        if self._held.startswith(b"="):
            # "An '=' cannot be the ultimate or penultimate character in the encoded object."
            raise self._damaged("cut short")
        # The end of the body is the end of a line.
        return bytes(self._held if self._held.endswith(b"\r") else b"")


def _without_blanks_at_end(line: bytes) -> bytes:
    return line[:-1].rstrip(_BLANKS) + b"\r" if line.endswith(b"\r") else line.rstrip(_BLANKS)


class _QuotedPrintableEncoder(_Stage):
    """Lines of at most 76 characters. CRLF stays a line end; CR and LF that are not a pair are escaped."""

    coding = "quoted-printable"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._held = b""  # [WSP] [CR]: a line end may follow
        self._column = 0

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        text = self._held + data
        end = len(text) - text.endswith(b"\r")
        end -= text[:end].endswith((b" ", b"\t"))
        text, self._held = text[:end], text[end:]
        *lines, last = _QP_UNSAFE.sub(_escape, text).split(b"\r\n")
        out: list[bytes] = []
        for line in lines:
            self._put_line(_escape_blank_at_end(line), out)
            out.append(b"\r\n")
            self._column = 0
        self._put_line(last, out)
        return b"".join(out), len(data)

    def _finish(self) -> bytes:
        out: list[bytes] = []
        self._put_line(_escape_blank_at_end(self._held), out)
        return b"".join(out)

    def _put_line(self, text: bytes, out: list[bytes]) -> None:
        """Text without a line end, from the current column on, with the soft line breaks it needs."""
        text = text.replace(b"\r", b"=0D").replace(b"\n", b"=0A")
        # 75, so that there is always a place for the "=": nobody knows yet what follows.
        start, room = 0, 75 - self._column
        while len(text) - start > room:
            end = start + room
            # Escapes stay whole.
            escape = text.find(b"=", max(start, end - 2), end)
            if escape >= 0:
                end = escape
            out += (text[start:end], b"=\r\n")
            start, room = end, 75
        out.append(text[start:])
        self._column = 75 - room + len(text) - start


def _escape_blank_at_end(line: bytes) -> bytes:
    return line[:-1] + _escape_octets(line[-1:]) if line.endswith((b" ", b"\t")) else line


def _escape(match: re.Match[bytes]) -> bytes:
    return _escape_octets(match[0])


def _escape_octets(octets: bytes) -> bytes:
    return b"=" + binascii.hexlify(octets, b"=").upper()


# The names, and what they mean.

_UNBOUNDED: Final = Limits(max_decoded_size=None, max_decode_ratio=None)

_TRANSFER_DECODERS: Final[dict[str, type[_Stage]]] = {
    "base64": _Base64Decoder,
    "quoted-printable": _QuotedPrintableDecoder,
}
_TRANSFER_ENCODERS: Final[dict[str, type[_Stage]]] = {
    "base64": _Base64Encoder,
    "quoted-printable": _QuotedPrintableEncoder,
}
_CONTENT_DECODERS: Final[dict[str, type[_Stage]]] = {
    "gzip": _GzipDecoder,
    "x-gzip": _GzipDecoder,
    "deflate": _DeflateDecoder,
    "br": _BrotliDecoder,
    "zstd": _ZstdDecoder,
}
_CONTENT_ENCODERS: Final[dict[str, type[_Stage]]] = {
    "gzip": _GzipEncoder,
    "x-gzip": _GzipEncoder,
    "deflate": _DeflateEncoder,
    "br": _BrotliEncoder,
    "zstd": _ZstdEncoder,
}


def decoder(
    content_transfer_encoding: str | None,
    content_coding: str | None,
    *,
    limits: Limits,
) -> Codec | None:
    """What undoes a part's transfer encoding and then its content coding; None if both are the identity.

    ``max_decoded_size`` bounds what comes out at the end. ``max_decode_ratio`` compares the input and the output of the
    last of the two: base64 before gzip does not count in the sender's favour.

    :param content_transfer_encoding: value of Content-Transfer-Encoding (RFC 2045 section 6.1), or None.
    :param content_coding: value of Content-Encoding (RFC 9110 section 8.4), or None.
    :raises UnknownEncoding: a name that is not known, more than one content coding, or a library that is missing.
    """
    transfer = _look_up_transfer(content_transfer_encoding, _TRANSFER_DECODERS)
    content = _look_up_content(content_coding, _CONTENT_DECODERS)
    if transfer and content:
        return _Chain(transfer(_UNBOUNDED), content(limits))
    one = transfer or content
    return one(limits) if one else None


def encoder(content_transfer_encoding: str | None, content_coding: str | None) -> Codec | None:
    """What applies a part's content coding and then its transfer encoding; None if both are the identity.

    :raises UnknownEncoding: as for :func:`decoder`.
    """
    transfer = _look_up_transfer(content_transfer_encoding, _TRANSFER_ENCODERS)
    content = _look_up_content(content_coding, _CONTENT_ENCODERS)
    if transfer and content:
        return _Chain(content(_UNBOUNDED), transfer(_UNBOUNDED))
    one = transfer or content
    return one(_UNBOUNDED) if one else None


def _look_up_transfer(field_value: str | None, table: dict[str, type[_Stage]]) -> type[_Stage] | None:
    name = (field_value or "").strip().lower()
    if name in ("", "7bit", "8bit", "binary"):
        return None
    if name not in table:
        raise UnknownEncoding(f"unknown content transfer encoding {name!r}")
    return table[name]


def _look_up_content(field_value: str | None, table: dict[str, type[_Stage]]) -> type[_Stage] | None:
    stripped = [name.strip().lower() for name in (field_value or "").split(",")]
    names = [name for name in stripped if name not in ("", "identity")]
    if not names:
        return None
    if len(names) > 1:
        raise UnknownEncoding(f"more than one content coding: {', '.join(names)!r}")
    if names[0] not in table:
        raise UnknownEncoding(f"unknown content coding {names[0]!r}")
    return table[names[0]]
