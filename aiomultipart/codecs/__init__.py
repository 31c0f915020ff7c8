"""Content codings and transfer encodings: incremental, bounded, in both directions, without I/O.

Strategy. A :class:`Codec` is pulled: ``read(size)`` asks for output, and only when it answers ``b""`` is more input
fed. All state lives in the codec and changes only inside these calls, so a consumer that is cancelled between them
loses nothing. ``base.Stage`` owns everything that codecs share: queued input, output not yet handed out, the limits,
the end, and the error that stays. A codec proper (``content``, ``transfer``) is one ``_step`` (some input in, some
output out) and one ``_finish``; what a name means is looked up in the two tables here.

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

from collections.abc import Callable
from typing import Final, NamedTuple

from aiomultipart.exceptions import UnknownEncoding
from aiomultipart.limits import Limits

from . import content, transfer
from .base import UNBOUNDED, Chain, Codec
from .transfer import encoded_size

__all__ = ("Codec", "decoder", "encoded_size", "encoder")


class _Coding(NamedTuple):
    decoder: Callable[[Limits], Codec]
    encoder: Callable[[], Codec]


_CONTENT_CODINGS: Final = {
    "identity": None,
    "gzip": _Coding(content.GzipDecoder, content.gzip_encoder),
    "x-gzip": _Coding(content.GzipDecoder, content.gzip_encoder),
    "deflate": _Coding(content.DeflateDecoder, content.deflate_encoder),
    "br": _Coding(content.BrotliDecoder, content.brotli_encoder),
    "zstd": _Coding(content.ZstdDecoder, content.zstd_encoder),
}
_TRANSFER_ENCODINGS: Final = {
    "7bit": None,
    "8bit": None,
    "binary": None,
    "base64": _Coding(transfer.Base64Decoder, transfer.Base64Encoder),
    "quoted-printable": _Coding(transfer.QuotedPrintableDecoder, transfer.QuotedPrintableEncoder),
}


def decoder(content_transfer_encoding: str | None, content_coding: str | None, *, limits: Limits) -> Codec | None:
    """What undoes a part's transfer encoding and then its content coding; None if both are the identity.

    ``max_decoded_size`` bounds what comes out at the end. ``max_decode_ratio`` compares the input and the output of the
    last of the two: base64 before gzip does not count in the sender's favour.

    :param content_transfer_encoding: value of Content-Transfer-Encoding (RFC 2045 section 6.1), or None.
    :param content_coding: value of Content-Encoding (RFC 9110 section 8.4), or None.
    :raises UnknownEncoding: a name that is not known, more than one content coding, or a library that is missing.
    """
    outer, inner = _transfer_encoding(content_transfer_encoding), _content_coding(content_coding)
    if outer and inner:
        return Chain(outer.decoder(UNBOUNDED), inner.decoder(limits))
    one = outer or inner
    return one.decoder(limits) if one else None


def encoder(content_transfer_encoding: str | None, content_coding: str | None) -> Codec | None:
    """What applies a part's content coding and then its transfer encoding; None if both are the identity.

    :raises UnknownEncoding: as for :func:`decoder`.
    """
    outer, inner = _transfer_encoding(content_transfer_encoding), _content_coding(content_coding)
    if outer and inner:
        return Chain(inner.encoder(), outer.encoder())
    one = outer or inner
    return one.encoder() if one else None


def _transfer_encoding(field_value: str | None) -> _Coding | None:
    name = (field_value or "").strip().lower() or "7bit"
    if name not in _TRANSFER_ENCODINGS:
        raise UnknownEncoding(f"unknown content transfer encoding {name[:40]!r}", code="unknown-transfer-encoding")
    return _TRANSFER_ENCODINGS[name]


def _content_coding(field_value: str | None) -> _Coding | None:
    stripped = [name.strip().lower() for name in (field_value or "").split(",")]
    names = [name for name in stripped if name not in ("", "identity")] or ["identity"]
    if len(names) > 1:
        what = f"more than one content coding: {', '.join(names)[:60]!r}"
        raise UnknownEncoding(what, code="unknown-content-coding")
    if names[0] not in _CONTENT_CODINGS:
        raise UnknownEncoding(f"unknown content coding {names[0][:40]!r}", code="unknown-content-coding")
    return _CONTENT_CODINGS[names[0]]
