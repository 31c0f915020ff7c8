"""The codecs: what comes out depends on the bytes and the limits, not on the cuts or on how much is asked for."""

from __future__ import annotations

import base64
import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from aiomultipart import LimitExceeded, Limits, MultipartError, UnknownEncoding
from aiomultipart.codecs import Codec, decoder, encoded_size, encoder

from .choices import CUTS, Choices, agree, cut, described, hold, pieces

TRANSFER: Final = (None, "base64", "quoted-printable")
CONTENT: Final = (None, "gzip", "deflate", "br", "zstd")
SIZES: Final = (1, 2, 3, 7, 64, 1000, 65536)
LARGE: Final = 65536
# The most that an input may grow to: fuzzers find bombs.
MOST: Final = 1 << 18
BYTE_BY_BYTE: Final = 400
BLANKS: Final = b"\r\n \t"


class Coding(NamedTuple):
    """One or two codings and their limits."""

    transfer: str | None
    content: str | None
    limits: Limits

    def decoder(self) -> Codec | None:
        """A fresh decoder."""
        return decoder(self.transfer, self.content, limits=self.limits)

    def encoder(self) -> Codec | None:
        """A fresh encoder."""
        return encoder(self.transfer, self.content)


def one_input(data: bytes) -> None:
    """Decode the input, or encode it, damage that, and decode it."""
    choices = Choices(data)
    kind = choices.number()
    coding = Coding(TRANSFER[kind % 3], CONTENT[kind // 3 % 5], limits_of(choices))
    encode, times = kind >= 128, choices.pick((1, 10, 80))
    cuts, size = choices.cuts(), choices.pick(SIZES)
    damage = [(choices.number(2), choices.number()) for _ in range(2)]
    content = choices.rest()
    try:
        if coding.decoder() is None:
            return
    except UnknownEncoding:  # a library is not there
        return
    if encode:
        content *= times
        encoded = check_encoder(coding, content, cuts, size)
        content = damaged(encoded, damage)
        if content == encoded and size < 64:
            return  # it has been decoded already
    check_decoder(coding, content, cuts, size)


def seeds() -> Iterator[bytes]:
    """Each coding, and each pair, in both directions, with and without damage."""
    text = b"a line of text, and = another\r\n \t\r\nof \xc3\xa4\x00\xff=\r\n"
    for kind in range(len(TRANSFER) * len(CONTENT)):
        for flags, damage in ((0, bytes(6)), (0, bytes([9, 0, 1, 0, 0, 0]))):
            encode = 135 + kind  # 135 is a multiple of 15
            yield bytes([encode, flags, 0, 0, kind % 3]) + bytes([kind, 0] * CUTS) + bytes([kind]) + damage + text
        yield bytes([encode, 1 + kind % 3, 30, 2, 2]) + bytes([kind, 0] * CUTS) + bytes([4]) + bytes(6) + text
        codec = encoder(TRANSFER[kind % 3], CONTENT[kind // 3])
        if codec is not None:
            head = bytes([kind, 0, 0, 0, 0]) + bytes([kind, 0] * CUTS) + bytes([kind]) + bytes(6)
            yield head + b"".join(pull(codec, [text], LARGE))


def limits_of(choices: Choices) -> Limits:
    """No limit that matters, or low ones."""
    flags, size, ratio = choices.number() % 4, choices.number(), choices.number() % 16
    return Limits(
        max_decoded_size=size * 4 if flags & 1 else MOST,
        max_decode_ratio=ratio if flags & 2 else None,
        decode_ratio_floor=size if flags & 2 else 0,
    )


def damaged(data: bytes, damage: Iterable[tuple[int, int]]) -> bytes:
    """``data`` with some bytes changed: at which place, and which bits."""
    changed = bytearray(data)
    for place, bits in damage:
        if changed:
            changed[place % len(changed)] ^= bits
    return bytes(changed)


def pull(codec: Codec, chunks: Sequence[bytes], size: int) -> Iterator[bytes]:
    """Drive a codec as a reader does."""
    for chunk in chunks:
        codec.feed_data(chunk)
        while data := codec.read(size):
            hold(len(data) <= size, f"{len(data)} bytes in place of {size}")
            yield data
        hold(not codec.at_eof, "at its end before the end of the input")
    codec.feed_eof()
    while data := codec.read(size):
        hold(len(data) <= size, f"{len(data)} bytes in place of {size}")
        yield data
    hold(codec.at_eof and codec.read(size) == b"", "not at its end")


def outcome(codec: Codec | None, chunks: Sequence[bytes], size: int) -> tuple[bytes, MultipartError | None]:
    """What came out, and the error that ended it, which has to come again."""
    out = bytearray()
    if codec is None:
        raise AssertionError("no codec")
    try:
        for data in pull(codec, chunks, size):
            out += data
    except MultipartError as exc:
        hold(not codec.at_eof, "at its end after an error")
        try:
            codec.read(size)
        except MultipartError as again:
            agree("the error again", described(exc), described(again))
        else:
            raise AssertionError("no error the second time") from exc
        return bytes(out), exc
    return bytes(out), None


def check_decoder(coding: Coding, content: bytes, cuts: Sequence[int], size: int) -> None:
    """Every way to decode one body."""
    whole, error = outcome(coding.decoder(), [content], LARGE)
    check_limits(coding, content, whole, error)
    if error is None:
        check_reference(coding, content, whole)
    if len(whole) > MOST // 8 and size < 64:
        size = 1000
    ways = [([content], size), (cut(content, cuts), LARGE), (cut(content, cuts), size)]
    if len(content) <= BYTE_BY_BYTE and len(whole) < 10 * BYTE_BY_BYTE:
        ways.append((pieces(content, 1), size))
    for chunks, at_once in ways:
        out, other = outcome(coding.decoder(), chunks, at_once)
        how = f"{coding}, pieces of {[len(chunk) for chunk in chunks][:9]}, {at_once} at once"
        if coding.content is None or error is None:
            agree(how, whole, out)
        else:
            # The libraries drop some of what they decoded before damage.
            shorter, longer = sorted((whole, out), key=len)
            hold(longer.startswith(shorter), f"{how}: other output")
        if coding.content == "br":
            agree(f"{how}: whether it fails", error is None, other is None)
        else:
            agree(f"{how}: error", described(error), described(other))


def check_limits(coding: Coding, content: bytes, out: bytes, error: MultipartError | None) -> None:
    """No more comes out than the limits allow, and all of that before the error."""
    limits = coding.limits
    size, ratio = limits.max_decoded_size, limits.max_decode_ratio
    hold(size is None or len(out) <= size, f"{len(out)} bytes past {size}")
    if ratio is not None and coding.transfer is None:
        # Before an error it is held to the next checkpoint, not to the last byte.
        raw = len(content) + (max(len(content) // 8, 32) if error is not None else 0)
        hold(len(out) <= max(limits.decode_ratio_floor, ratio * raw), f"{len(out)} bytes of {len(content)}")
    if isinstance(error, LimitExceeded):
        agree("the limit's value", getattr(limits, error.limit), error.value)
        if error.limit == "max_decoded_size":
            agree("handed out before the limit", size, len(out))


def check_reference(coding: Coding, content: bytes, out: bytes) -> None:
    """The standard library decodes alike what was accepted."""
    if coding.transfer == "base64":
        decoded = base64.b64decode(content.translate(None, BLANKS), validate=True)
        if coding.content is None:
            agree("base64", decoded, out)
            return
        content = decoded
    elif coding.transfer is not None:
        return
    if not content:
        agree("an empty body", b"", out)
    elif coding.content == "gzip":
        agree("gzip", gzip.decompress(content), out)
    elif coding.content == "deflate":
        try:
            decoded = zlib.decompress(content)
        except zlib.error:
            decoded = zlib.decompress(content, wbits=-15)
        agree("deflate", decoded, out)


def check_encoder(coding: Coding, content: bytes, cuts: Sequence[int], size: int) -> bytes:
    """What is encoded decodes to the same; the encoded bytes."""
    encoded, error = outcome(coding.encoder(), [content], LARGE)
    hold(error is None, f"encoding failed: {error}")
    other, _ = outcome(coding.encoder(), cut(content, cuts), max(size, 64))
    free = coding._replace(limits=Limits(max_decode_ratio=None))
    for each in {encoded, other}:
        decoded, error = outcome(free.decoder(), [each], LARGE)
        hold(error is None, f"{coding}: not decoded again: {error}")
        agree(f"{coding}: round trip", content, decoded)
    if coding.content is None:  # compressors may cut their blocks elsewhere
        agree(f"{coding}: encoded in pieces", encoded, other)
    if coding.transfer == "base64" and coding.content is None:
        agree("encoded_size()", len(encoded), encoded_size(len(content)))
    if coding.transfer is not None:
        hold(all(len(line) <= 76 for line in encoded.split(b"\r\n")), "a line of more than 76 characters")
        hold(encoded.isascii(), "not ASCII")
    return encoded
