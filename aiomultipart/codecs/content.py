"""Content codings, with the libraries that do the work: gzip, deflate, br, zstd."""

from __future__ import annotations

import importlib
import zlib
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, Final

from aiomultipart.exceptions import UnknownEncoding
from aiomultipart.limits import Limits

from .base import SLICE, Stage

__all__ = (
    "BrotliDecoder",
    "DeflateDecoder",
    "GzipDecoder",
    "ZstdDecoder",
    "brotli_encoder",
    "deflate_encoder",
    "gzip_encoder",
    "zstd_encoder",
)

_GZIP_LEVEL: Final = 6
_BROTLI_QUALITY: Final = 5  # the library's default of 11 is for files compressed once and served often
_ZSTD_LEVEL: Final = 3
_MEMBERS: Final = 1000  # that may be of any size; more have to be _MEMBER_SIZE long on average
_MEMBER_SIZE: Final = 1024
_ZSTD_WINDOW_LOG: Final = 23  # 8 MiB, what RFC 9659 asks every decoder to support and no encoder to pass


# Decoders.


class _MembersDecoder(Stage):
    """A coding whose streams may follow one another: gzip members, zstd frames."""

    _member: Any = None  # the library's object, which for zlib has no public name in typeshed
    _bite = 1
    _members = 0

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        if self._member is None:
            if not data or self._skip(data):
                return b"", len(data)
            self._count_member()
            self._member = self._open()
        out, used = self._decompress(data, want)
        # A member starts with one byte, for two reasons: at its end the library copies what it did not use, all of it
        # for each of many tiny members; and libzstd takes a shortcut, which skips the check of the window, if it sees
        # a whole frame at once.
        self._bite = min(self._bite * 4, SLICE)
        if self._member.eof:
            self._member = None
            self._bite = 1
        return out, used

    def _count_member(self) -> None:
        """Refuse a body of tiny members: each costs as much as many bytes do, and may decode to nothing."""
        self._members += 1
        if self._members > _MEMBERS + (self._raw - len(self._slice) + self._slice_pos) // _MEMBER_SIZE:
            raise self._damaged("too many members")

    def _finish(self) -> bytes:
        if self._member is not None:
            raise self._cut_short()
        return b""

    def _skip(self, data: memoryview) -> bool:
        """Whether ``data``, which starts outside members, is to be skipped; if not, a member starts there."""
        return False

    @abstractmethod
    def _open(self) -> Any:
        """The library's object for one member."""

    def _decompress(self, data: memoryview, want: int) -> tuple[bytes, int]:
        """One call of the library, zlib here; as :meth:`_step`."""
        try:
            out: bytes = self._member.decompress(data, want)
        except zlib.error as exc:
            raise self._damaged(str(exc).rpartition("data: ")[2]) from exc
        return out, len(data) - len(self._member.unused_data if self._member.eof else self._member.unconsumed_tail)


class GzipDecoder(_MembersDecoder):
    """RFC 1952: members one after another (section 2.2), then nothing but zeros, the padding of tapes and blocks."""

    coding = "gzip"
    _any_member = False
    _padding = False

    def _skip(self, data: memoryview) -> bool:
        if not self._any_member or (data[0] == 0x1F and not self._padding):
            self._any_member = True
            return False
        if bytes(data).strip(b"\0"):
            raise self._damaged("data after the end")
        self._padding = True
        self._bite = SLICE
        return True

    def _open(self) -> Any:
        return zlib.decompressobj(wbits=31)


class DeflateDecoder(_MembersDecoder):
    """RFC 9110 section 8.4.1.2: the zlib format (RFC 1950), and raw deflate (RFC 1951), which some send instead."""

    coding = "deflate"
    _head = b""  # the first two bytes, which tell one from the other

    def _skip(self, data: memoryview) -> bool:
        if len(self._head) == 2:
            raise self._damaged("data after the end")
        self._head += data[:1]  # all of it: a member starts with one byte
        return len(self._head) == 1

    def _open(self) -> Any:
        cmf, flg = self._head
        # RFC 1950 section 2.2: method 8, a window of at most 32 KiB, a multiple of 31.
        wrapped = cmf & 0x0F == 8 and cmf >> 4 <= 7 and (cmf << 8 | flg) % 31 == 0
        self._member = zlib.decompressobj(wbits=15 if wrapped else -15)
        self._decompress(memoryview(self._head)[:1], 1)  # which is too short for any output
        return self._member

    def _finish(self) -> bytes:
        if len(self._head) == 1:
            raise self._cut_short()
        return super()._finish()


class BrotliDecoder(Stage):
    """RFC 7932."""

    coding = "br"

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self._brotli = _brotli_library()
        self._stream = self._brotli.Decompressor()

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
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
        if self._raw and not self._stream.is_finished():
            raise self._cut_short()
        return b""


class ZstdDecoder(_MembersDecoder):
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


# Encoders.


class _Compressor(Stage):
    """Any library with one call that takes data and one that ends the stream."""

    def __init__(self, compress: Callable[[memoryview], bytes], end: Callable[[], bytes]) -> None:
        super().__init__()
        self._compress, self._end = compress, end

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        # An empty step is the question whether there is more, which these libraries never hold back.
        return (self._compress(data) if data else b""), len(data)

    def _finish(self) -> bytes:
        return self._end()


def gzip_encoder() -> Stage:
    """RFC 1952; no name and no time, so that the same body gives the same bytes."""
    stream = zlib.compressobj(_GZIP_LEVEL, wbits=31)
    return _Compressor(stream.compress, stream.flush)


def deflate_encoder() -> Stage:
    """RFC 9110 section 8.4.1.2, the zlib format (RFC 1950)."""
    stream = zlib.compressobj(_GZIP_LEVEL, wbits=15)
    return _Compressor(stream.compress, stream.flush)


def brotli_encoder() -> Stage:
    """RFC 7932."""
    stream = _brotli_library().Compressor(quality=_BROTLI_QUALITY)
    return _Compressor(stream.process, stream.finish)


def zstd_encoder() -> Stage:
    """RFC 8878."""
    stream = _zstd_library().ZstdCompressor(level=_ZSTD_LEVEL)
    return _Compressor(stream.compress, stream.flush)


# Optional libraries.


# Any: neither library is there for the type checker, which need not have the extras.
def _brotli_library() -> Any:
    brotli = _library("br", "brotli", "brotli")
    if not hasattr(brotli.Decompressor, "can_accept_more_data"):
        what = "content coding 'br' needs brotli 1.2 or later: pip install -U aiomultipart[brotli]"
        raise UnknownEncoding(what, code="missing-library")
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
        f"content coding {coding!r} needs {' or '.join(modules)}: pip install aiomultipart[{extra}]",
        code="missing-library",
    ) from missing
