"""Codecs: vectors, every cut, damage, limits, bounded memory, missing libraries, round trips."""

from __future__ import annotations

import base64
import binascii
import gzip
import importlib
import itertools
import quopri
import random
import sys
import tracemalloc
import types
import zlib
from collections.abc import Callable, Iterable, Iterator
from email.message import Message
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiomultipart.codecs import Codec, decoder, encoded_size, encoder
from aiomultipart.exceptions import CodecError, LimitExceeded, MultipartError, StateError, UnknownEncoding
from aiomultipart.limits import Limits

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

brotli = importlib.import_module("brotli")  # it has no type hints

LIMITS = Limits()
RNG = random.Random(2045)
TEXT = b"".join(RNG.choice([b"alpha ", b"beta", b"\r\n", b"=\t", b"\x00\xff", b"gamma"]) for _ in range(60))
NOISE = RNG.randbytes(300)
READ_SIZES = (1, 7, 65536)
READ_SIZES_OF_LONG_OUTPUT = (777, 65536, 1 << 30)

Outcome = tuple[bytes, str | None]


def raw_deflate(data: ReadableBuffer) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "deflate": zlib.compress,
    "br": lambda data: bytes(brotli.compress(data, quality=11 if len(data) < 10_000 else 5)),  # 11 is slow
    "zstd": zstd.compress,
}
TRANSFER = ("base64", "quoted-printable")


def decoding(name: str, limits: Limits = LIMITS) -> Codec:
    codec = decoder(name, None, limits=limits) if name in TRANSFER else decoder(None, name, limits=limits)
    assert codec is not None
    return codec


def encoding(name: str) -> Codec:
    codec = encoder(name, None) if name in TRANSFER else encoder(None, name)
    assert codec is not None
    return codec


def pull(codec: Codec, chunks: Iterable[bytes], size: int = 65536) -> Iterator[bytes]:
    """Drive a codec as a reader does, and hold it to its interface on the way."""
    for chunk in chunks:
        codec.feed_data(chunk)
        while data := codec.read(size):
            assert len(data) <= size
            yield data
        assert not codec.at_eof
    codec.feed_eof()
    while data := codec.read(size):
        assert len(data) <= size
        yield data
    assert codec.at_eof
    assert codec.read(size) == b""


def run(codec: Codec, chunks: Iterable[bytes], size: int = 65536) -> bytes:
    return b"".join(pull(codec, chunks, size))


def outcome(codec: Codec, chunks: Iterable[bytes], size: int = 65536) -> Outcome:
    """What came out, and the error that ended it."""
    out = bytearray()
    try:
        for data in pull(codec, chunks, size):
            out += data
    except MultipartError as exc:
        error = exc
    else:
        return bytes(out), None
    for _ in range(2):
        with pytest.raises(type(error)) as again:
            codec.read(size)
        assert again.value is not error
        assert str(again.value) == str(error)
    assert not codec.at_eof
    return bytes(out), f"{type(error).__name__}: {error}"


def drained(codec: Codec) -> int:
    """How much output there is, which is not kept."""
    total = 0
    while data := codec.read(65536):
        total += len(data)
    return total


def cuts(data: bytes, splits: int) -> Iterator[list[bytes]]:
    """Every cut in two (of long data, some), byte by byte (short data only), and random ones."""
    if len(data) < 3000:
        yield [data[i : i + 1] for i in range(len(data))]
    for i in range(0, len(data) + 1, len(data) // splits + 1):
        yield [data[:i], data[i:]]
    rng = random.Random(1)
    for longest in (3, 50, 2000, 100_000):
        for _ in range(2 if longest > len(data) // 1000 else 0):
            chunks, pos = [], 0
            while pos < len(data):
                end = pos + rng.randint(1, longest)
                chunks.append(data[pos:end])
                pos = end
            yield chunks


def every_way(make: Callable[[], Codec], data: bytes, *, splits: int = 80, same_output: bool = True) -> Outcome:
    """The one outcome of all cuts and read sizes; of the error alone where the output before it may differ."""
    expected = outcome(make(), [data])
    sizes = READ_SIZES if len(expected[0]) < 3000 else READ_SIZES_OF_LONG_OUTPUT
    for number, chunks in enumerate(cuts(data, splits)):
        got = outcome(make(), chunks, sizes[number % len(sizes)])
        if same_output or expected[1] is None:
            assert got == expected
        else:
            assert got[1] == expected[1]
    return expected


def decoded(name: str, data: bytes, limits: Limits = LIMITS) -> bytes:
    out, error = every_way(lambda: decoding(name, limits), data)
    assert error is None
    return out


def error_of(name: str, data: bytes, limits: Limits = LIMITS, *, same_output: bool = True) -> str:
    _, error = every_way(lambda: decoding(name, limits), data, same_output=same_output)
    assert error is not None
    return error


# names


@pytest.mark.parametrize("transfer", [None, "", "7bit", " 8BIT\t", "Binary"])
@pytest.mark.parametrize("content", [None, "", "identity", " Identity , identity", ","])
def test_identity_is_none(transfer: str | None, content: str | None) -> None:
    assert decoder(transfer, content, limits=LIMITS) is None
    assert encoder(transfer, content) is None


@pytest.mark.parametrize("name", [" GZip\t", "x-gzip", "X-GZIP", "identity, gzip", "gzip,"])
def test_names_ignore_case_and_space(name: str) -> None:
    codec = encoder(None, name)
    assert codec is not None
    assert gzip.decompress(run(codec, [b"abc"])) == b"abc"
    codec = decoder(" BASE64 ", name, limits=LIMITS)
    assert codec is not None
    assert run(codec, [base64.b64encode(gzip.compress(b"abc"))]) == b"abc"


@pytest.mark.parametrize(
    ("transfer", "content", "named"),
    [
        (None, "compress", "'compress'"),
        ("x-uuencode", None, "'x-uuencode'"),
        ("gzip", None, "'gzip'"),
        (None, "base64", "'base64'"),
        (None, "gzip, br", "more than one content coding: 'gzip, br'"),
        (None, "gzip, gzip", "more than one"),
        (None, "gzıp", "'gzıp'"),
    ],
)
def test_unknown_names(transfer: str | None, content: str | None, named: str) -> None:
    with pytest.raises(UnknownEncoding, match=named):
        decoder(transfer, content, limits=LIMITS)
    with pytest.raises(UnknownEncoding, match=named):
        encoder(transfer, content)


@pytest.mark.parametrize(
    ("coding", "modules", "extra"),
    [("br", ["brotli"], r"aiomultipart\[brotli\]"), ("zstd", ["compression.zstd", "backports.zstd"], r"\[zstd\]")],
)
def test_missing_library(monkeypatch: pytest.MonkeyPatch, coding: str, modules: list[str], extra: str) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UnknownEncoding, match=extra):
        decoder(None, coding, limits=LIMITS)
    with pytest.raises(UnknownEncoding, match=extra):
        encoder(None, coding)


def test_brotli_too_old_to_be_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    old = types.ModuleType("brotli")
    old.Decompressor = type("Decompressor", (), {})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "brotli", old)
    with pytest.raises(UnknownEncoding, match=r"1\.2 or later"):
        decoder(None, "br", limits=LIMITS)


# the interface


@pytest.mark.parametrize("size", [0, -1])
def test_read_needs_a_size(size: int) -> None:
    with pytest.raises(ValueError, match="size"):
        decoding("gzip").read(size)


@pytest.mark.parametrize("transfer", [None, "base64"])
def test_no_input_after_the_end(transfer: str | None) -> None:
    codec = decoder(transfer, "gzip", limits=LIMITS)
    assert codec is not None
    codec.feed_data(b"")
    codec.feed_eof()
    with pytest.raises(StateError):
        codec.feed_data(b"x")


def test_input_may_be_queued_and_changed_afterwards() -> None:
    codec = decoding("base64")
    buffer = bytearray(b"YWJj")
    codec.feed_data(buffer)  # type: ignore[arg-type]  # what type checkers forbid works all the same
    buffer[:] = b"ZGVm"
    codec.feed_data(memoryview(buffer))  # type: ignore[arg-type]
    codec.feed_eof()
    assert codec.read(2) == b"ab"
    assert codec.read(4) == b"c"
    assert codec.read(4) == b"def"
    assert not codec.at_eof
    assert codec.read(4) == b""
    assert codec.at_eof


@pytest.mark.parametrize("name", [*COMPRESS, *TRANSFER])
def test_empty_input_is_an_empty_body(name: str) -> None:
    assert decoded(name, b"") == b""


def test_input_after_an_error_is_ignored() -> None:
    codec = decoding("base64")
    codec.feed_data(b"****")
    for _ in range(3):
        with pytest.raises(CodecError):
            codec.read(100)
        codec.feed_data(b"Zm9v")


def test_first_error_has_the_library_s_as_its_cause() -> None:
    for name in COMPRESS:
        codec = decoding(name)
        codec.feed_data(b"\xff" * 64)
        with pytest.raises(CodecError, match=f"^{name}: ") as caught:
            codec.read(100)
        assert caught.value.__cause__ is not None


# compressed codings


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize(
    "body", [b"", b"a", TEXT, NOISE, b"\0" * 200_000], ids=["empty", "one", "text", "noise", "zeros"]
)
def test_compressed(name: str, body: bytes) -> None:
    assert decoded(name, COMPRESS[name](body)) == body


@pytest.mark.parametrize("name", COMPRESS)
def test_compressed_large(name: str) -> None:
    body = RNG.randbytes(100_000) + b"spam" * 60_000 + RNG.randbytes(100_000)
    out, error = every_way(lambda: decoding(name), COMPRESS[name](body), splits=4)
    assert error is None
    assert out == body


def test_deflate_raw() -> None:
    for body in (b"", b"a", TEXT, NOISE):
        assert decoded("deflate", raw_deflate(body)) == body
    # stored blocks, the shortest stream, one literal
    assert decoded("deflate", b"\x01\x03\x00\xfc\xffabc") == b"abc"
    assert decoded("deflate", b"\x03\x00") == b""
    assert decoded("deflate", b"\x4b\x04\x00") == b"a"


@pytest.mark.parametrize("level", [1, 6, 9])
@pytest.mark.parametrize("window", [9, 15])
def test_deflate_wrapped_headers(level: int, window: int) -> None:
    stream = zlib.compressobj(level, wbits=window)
    assert decoded("deflate", stream.compress(TEXT) + stream.flush()) == TEXT


def test_deflate_preset_dictionary() -> None:
    stream = zlib.compressobj(zdict=b"alpha beta")
    assert "Error 2" in error_of("deflate", stream.compress(TEXT) + stream.flush())


def test_gzip_members_and_padding() -> None:
    members = b"".join(gzip.compress(part) for part in (b"one ", b"", b"two ", TEXT))
    assert decoded("gzip", members) == b"one two " + TEXT
    assert decoded("gzip", members + b"\0" * 700) == b"one two " + TEXT
    assert run(decoding("gzip"), [gzip.compress(b"ab") * 1000]) == b"ab" * 1000


@pytest.mark.parametrize("member", [b"", b"a"])
def test_a_body_of_tiny_members_is_refused(member: bytes) -> None:
    """Each costs as much as many bytes do, and the empty ones escape every bound on what is decoded."""
    body = gzip.compress(member) * 1100
    for size in (len(body), 1000, 7):
        codec = decoding("gzip")
        with pytest.raises(CodecError, match="too many members"):
            run(codec, [body[i : i + size] for i in range(0, len(body), size)])
    large = gzip.compress(random.Random(1).randbytes(2000), 0) * 2000
    assert len(run(decoding("gzip"), [large])) == 2000 * 2000


@pytest.mark.parametrize(
    ("tail", "message"),
    [
        (b"x", "data after the end"),
        (b"\0" * 40 + b"\x1f\x8b", "data after the end"),
        (b"\x1fx", "incorrect header check"),
        (b"\x1f", "cut short"),
        (gzip.compress(b"two", mtime=0)[:-1], "cut short"),
    ],
)
def test_gzip_trailing_garbage(tail: bytes, message: str) -> None:
    out, error = every_way(lambda: decoding("gzip"), gzip.compress(b"one") + tail, same_output=False)
    assert error == f"CodecError: gzip: {message}"
    assert out.startswith(b"one")


def test_gzip_leading_zeros() -> None:
    assert "incorrect header check" in error_of("gzip", b"\0" + gzip.compress(b"one"))


def test_zstd_frames() -> None:
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"
    frames = zstd.compress(b"one ") + skippable + zstd.compress(b"") + zstd.compress(TEXT)
    assert decoded("zstd", frames) == b"one " + TEXT
    assert decoded("zstd", skippable) == b""
    assert run(decoding("zstd"), [zstd.compress(b"ab" * 40_000) * 10]) == b"ab" * 400_000


@pytest.mark.parametrize("name", ["deflate", "br", "zstd"])
def test_trailing_data(name: str) -> None:
    for tail in (b"x", b"\0", b"x" * 500):
        message = error_of(name, COMPRESS[name](TEXT) + tail, same_output=False)
        assert message.startswith(f"CodecError: {name}: ")


def test_deflate_trailing_data_is_named() -> None:
    for data in (zlib.compress(TEXT), raw_deflate(TEXT)):
        assert every_way(lambda: decoding("deflate"), data + b"x") == (TEXT, "CodecError: deflate: data after the end")


@pytest.mark.parametrize("name", [*COMPRESS, "raw"])
def test_cut_short_anywhere(name: str) -> None:
    data = raw_deflate(TEXT) if name == "raw" else COMPRESS[name](TEXT)
    coding = "deflate" if name == "raw" else name
    for end in range(1, len(data)):
        out, error = outcome(decoding(coding), [data[:end]])
        assert error == f"CodecError: {coding}: cut short"
        assert TEXT.startswith(out)
        if end % 3 == 1:  # one byte of a header, too
            assert outcome(decoding(coding), [data[i : i + 1] for i in range(end)], 7) == (out, error)


@pytest.mark.parametrize("name", COMPRESS)
def test_damage(name: str) -> None:
    data = COMPRESS[name](TEXT)
    rng = random.Random(7)
    for _ in range(50):
        place = rng.randrange(len(data))
        damaged = data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
        results = {
            outcome(decoding(name), chunks)[1]
            for chunks in ([damaged], [damaged[i : i + 1] for i in range(len(damaged))], [damaged[:60], damaged[60:]])
        }
        assert len(results) == 1
        assert (results.pop() or "CodecError").startswith("CodecError")


def test_zstd_window() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 24, zstd.CompressionParameter.content_size_flag: 0}
    stream = zstd.ZstdCompressor(options=options)
    assert "requires too much memory" in error_of("zstd", stream.compress(TEXT) + stream.flush())
    # A frame that declares 2 GiB of window for 3 bytes, which libzstd accepts if it sees all of it at once.
    frame = b"\x28\xb5\x2f\xfd\x80\xa8\x03\x00\x00\x00\x19\x00\x00abc"
    assert zstd.decompress(frame) == b"abc"
    assert "requires too much memory" in error_of("zstd", frame)
    options[zstd.CompressionParameter.window_log] = 23
    stream = zstd.ZstdCompressor(options=options)
    assert decoded("zstd", stream.compress(TEXT) + stream.flush()) == TEXT


# limits


@pytest.mark.parametrize("name", COMPRESS)
@pytest.mark.parametrize("body", [b"\0" * 1000, NOISE], ids=["zeros", "noise"])
def test_max_decoded_size(name: str, body: bytes) -> None:
    data = COMPRESS[name](body)
    assert decoded(name, data, Limits(max_decoded_size=len(body))) == body
    for limit in (0, 1, 100, len(body) - 1):
        out, error = every_way(lambda limit=limit: decoding(name, Limits(max_decoded_size=limit)), data, splits=15)  # type: ignore[misc]
        assert out == body[:limit]
        assert error == f"LimitExceeded: {name}: more than {limit} bytes of decoded body (max_decoded_size)"


@pytest.mark.parametrize(
    ("name", "data"), [("base64", b"YWJj\r\n" * 20), ("quoted-printable", b"=61b c=\r\n" * 20)], ids=TRANSFER
)
def test_max_decoded_size_of_transfer_encodings(name: str, data: bytes) -> None:
    whole = decoded(name, data, Limits(max_decoded_size=60 + 20 * (name != "base64")))
    for limit in (0, 1, 29, len(whole) - 1):
        out, error = every_way(lambda limit=limit: decoding(name, Limits(max_decoded_size=limit)), data, splits=15)  # type: ignore[misc]
        assert out == whole[:limit]
        assert error is not None
        assert "max_decoded_size" in error


@pytest.mark.parametrize("name", ["gzip", "deflate", "zstd"])
def test_limit_or_damage_whichever_comes_first(name: str) -> None:
    body = bytes(RNG.choices(b"abcdefgh", k=600))
    data = COMPRESS[name](body)[:-4] + b"\xff\xff\xff\xff"
    for limit in (100, 599):
        if name != "zstd":  # whose frames have no checksum here: the damage is in its only block, which comes first
            _, error = every_way(lambda limit=limit: decoding(name, Limits(max_decoded_size=limit)), data, splits=15)  # type: ignore[misc]
            assert error is not None
            assert "max_decoded_size" in error
    assert error_of(name, data, Limits(max_decoded_size=600), same_output=False).startswith("CodecError")


@pytest.mark.parametrize("name", ["base64", "quoted-printable"])
def test_transfer_encodings_give_all_before_the_damage(name: str) -> None:
    good = b"YWJj" if name == "base64" else b"=61bc"
    for limit, expected in ((None, "CodecError"), (30, "CodecError"), (29, "LimitExceeded")):
        limits = Limits(max_decoded_size=limit)
        out, error = every_way(lambda limits=limits: decoding(name, limits), good * 10 + b"=*" * 8)  # type: ignore[misc]
        assert out == (b"abc" * 10)[:limit]
        assert error is not None
        assert error.startswith(expected)


@pytest.mark.parametrize("name", COMPRESS)
def test_max_decode_ratio(name: str) -> None:
    body = b"\0" * 300_000
    data = COMPRESS[name](body)
    exact = -(-len(body) // len(data))
    for ratio in (1, exact // 2, exact - 1):
        limits = Limits(max_decode_ratio=ratio, decode_ratio_floor=1000)
        _, error = every_way(lambda limits=limits: decoding(name, limits), data, splits=15)  # type: ignore[misc]
        assert error == f"LimitExceeded: {name}: more than {ratio} times the size of its input (max_decode_ratio)"
    codec = decoding(name, Limits(max_decode_ratio=1, decode_ratio_floor=1000))
    codec.feed_data(data)
    with pytest.raises(LimitExceeded) as caught:
        drained(codec)
    assert (caught.value.limit, caught.value.value) == ("max_decode_ratio", 1)
    for limits in (
        Limits(max_decode_ratio=None, decode_ratio_floor=0),
        Limits(max_decode_ratio=1, decode_ratio_floor=len(body)),
        Limits(max_decode_ratio=2 * exact, decode_ratio_floor=1000),
    ):
        assert outcome(decoding(name, limits), [data]) == (body, None)


@pytest.mark.parametrize("name", COMPRESS)
def test_without_a_ratio_cuts_change_nothing(name: str) -> None:
    data = COMPRESS[name](RNG.randbytes(300_000))[:-40_000]
    for size in (None, 200_000):
        limits = Limits(max_decode_ratio=None, max_decoded_size=size)
        whole = outcome(decoding(name, limits), [data])
        assert whole == outcome(decoding(name, limits), [data[i : i + 1000] for i in range(0, len(data), 1000)])


def test_ratio_is_held_against_the_input_so_far() -> None:
    # First what does not compress, then what does: enough credit. The other way round there is none yet.
    noise, zeros = gzip.compress(RNG.randbytes(20_000)), gzip.compress(b"\0" * 200_000)
    make = lambda: decoding("gzip", Limits(max_decode_ratio=20, decode_ratio_floor=0))  # noqa: E731
    assert every_way(make, noise + zeros, splits=15)[1] is None
    out, error = every_way(make, zeros + noise, splits=15)
    assert error is not None
    assert len(out) < 20_000


def test_the_smaller_limit_is_named() -> None:
    data = gzip.compress(b"\0" * 100_000)
    for limits, named in (
        (Limits(max_decoded_size=500, max_decode_ratio=10, decode_ratio_floor=501), "max_decoded_size"),
        (Limits(max_decoded_size=501, max_decode_ratio=1, decode_ratio_floor=500), "max_decode_ratio"),
        (Limits(max_decoded_size=500, max_decode_ratio=1, decode_ratio_floor=500), "max_decoded_size"),
    ):
        assert named in error_of("gzip", data, limits)


@pytest.mark.parametrize("name", COMPRESS)
def test_bomb_is_bounded(name: str) -> None:
    data = COMPRESS[name](bytes(10_000_000))
    codec = decoding(name, Limits(max_decode_ratio=None))
    codec.feed_data(data)
    codec.feed_eof()
    total = 0
    tracemalloc.start()
    try:
        while chunk := codec.read(1 << 30):
            total += len(chunk)
            assert len(chunk) < 400_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 10_000_000
    assert peak < 2_000_000
    out, error = outcome(decoding(name, Limits.for_forms()), [data])
    assert error is not None
    assert error.startswith("LimitExceeded")
    assert len(out) < 8_000_000


def test_large_read_of_a_large_chunk_holds_little_more_than_the_chunk() -> None:
    data = base64.b64encode(bytes(3_000_000))
    codec = decoding("base64")
    tracemalloc.start()
    try:
        codec.feed_data(data)
        total = 0
        while chunk := codec.read(1 << 30):
            total += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 3_000_000
    assert peak < 600_000


# base64


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"Zg==", b"f"),
        (b"Zm8=", b"fo"),
        (b"Zm9v", b"foo"),
        (b"Zm9vYg==\r\n", b"foob"),
        (b" Z\tm\r\n9\nv\rYmE= \r\n", b"fooba"),
        (b"+/+/", b"\xfb\xff\xbf"),
        (b"  \r\n\t ", b""),
        (b"Zh==", b"f"),
        (b"Z g = =", b"f"),
    ],
)
def test_base64(data: bytes, body: bytes) -> None:
    assert decoded("base64", data) == body


@pytest.mark.parametrize(
    ("data", "out", "message"),
    [
        (b"Z", b"", "cut short"),
        (b"Zg", b"", "cut short"),
        (b"Zg=", b"", "cut short"),
        (b"Zm9vZm8", b"foo", "cut short"),
        (b"Zm9v=", b"foo", "misplaced padding"),
        (b"Zm9v====", b"foo", "misplaced padding"),
        (b"Zm9vZ===", b"foo", "misplaced padding"),
        (b"====", b"", "misplaced padding"),
        (b"Zg=v", b"", "misplaced padding"),
        (b"Zg==Zm9v", b"f", "data after the padding"),
        (b"Zg==\r\n=", b"f", "data after the padding"),
        (b"Zm8=*", b"fo", "data after the padding"),
        (b"Zm8=Z", b"fo", "data after the padding"),
        (b"Zm9vZm*vZm9v", b"foo", "byte 0x2a is not in the alphabet"),
        (b"Zm9v-_-_", b"foo", "byte 0x2d is not in the alphabet"),
        (b"Zm9v\x00", b"foo", "byte 0x00 is not in the alphabet"),
        (b"Zm9v\x0b\x0cZm", b"foo", "byte 0x0b is not in the alphabet"),
        (b"Zm9v\xe9", b"foo", "byte 0xe9 is not in the alphabet"),
    ],
)
def test_base64_strict(data: bytes, out: bytes, message: str) -> None:
    assert every_way(lambda: decoding("base64"), data) == (out, f"CodecError: base64: {message}")


def in_lines(text: bytes, length: int, line_end: bytes) -> bytes:
    return line_end.join([text[i : i + length] for i in range(0, len(text), length)])


# What stands in the lines may be decoded without a look at each character; whatever is odd about them must not pass.
@pytest.mark.parametrize(
    "line_end", [b"\n", b"\r\n", b"\r", b"\n\r", b"\r\r\n", b" \r\n", b"\r\n\r\n", b"\t", b"\n" * 20]
)
@pytest.mark.parametrize("length", [1, 2, 3, 4, 75, 76, 500])
def test_base64_lines(line_end: bytes, length: int) -> None:
    body = random.Random(length).randbytes(400)
    text = in_lines(base64.b64encode(body), length, line_end)
    assert every_way(lambda: decoding("base64"), text + line_end, splits=40) == (body, None)
    ragged = text[:70] + line_end + text[70:333] + b"\r\n" + text[333:]
    assert every_way(lambda: decoding("base64"), ragged, splits=40) == (body, None)


@pytest.mark.parametrize("foreign", [b"-", b"----", b"-" * 76, b"\xff\r\n--", b"\0" * 4])
@pytest.mark.parametrize("place", [0, 1, 4, 77, 78, 200, 311, 312])
def test_base64_lines_with_foreign_characters(foreign: bytes, place: int) -> None:
    text = in_lines(base64.b64encode(random.Random(1).randbytes(231)), 76, b"\r\n")
    before = text[:place].translate(None, b"\r\n")
    expected = base64.b64decode(before[: len(before) // 4 * 4])
    out, error = every_way(lambda: decoding("base64"), text[:place] + foreign + text[place:])
    assert (out, error) == (expected, f"CodecError: base64: byte {foreign[0]:#04x} is not in the alphabet")
    replaced = text[:place] + foreign + text[place + len(foreign) :]
    assert outcome(decoding("base64"), [replaced]) == (out, error)


def test_base64_large() -> None:
    body = RNG.randbytes(400_000)
    for data in (base64.b64encode(body), base64.encodebytes(body).replace(b"\n", b"\r\n")):
        out, error = every_way(lambda: decoding("base64"), data, splits=4)
        assert error is None
        assert out == body


@pytest.mark.parametrize("size", [0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 1000, 200_001])
def test_base64_encoded_lines_and_size(size: int) -> None:
    body = RNG.randbytes(size)
    expected = base64.encodebytes(body).rstrip(b"\n").replace(b"\n", b"\r\n")
    assert len(expected) == encoded_size(size)
    out, error = every_way(lambda: encoding("base64"), body, splits=20)
    assert error is None
    assert out == expected


def test_white_space_alone_holds_nothing() -> None:
    codec = decoding("base64")
    tracemalloc.start()
    try:
        for _ in range(200):
            codec.feed_data(b" \r\n\t" * 4096)
            assert codec.read(10) == b""
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 300_000


# quoted-printable


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"plain", b"plain"),
        (b"=41=6a=6A=3D", b"Ajj="),
        (b"soft=\r\nbreak=\nbreak", b"softbreakbreak"),
        (b"padded= \t \r\nbreak= \nx", b"paddedbreakx"),
        (b"end \t\r\nof \nline \t", b"end\r\nof\nline"),
        (b"kept=20\r\n kept  too =\r\nx", b"kept \r\n kept  too x"),
        (b"caf\xc3\xa9 \x00_", b"caf\xc3\xa9 \x00_"),
        (b"bare\rcr \r", b"bare\rcr \r"),
        (b"\r\r\n \r\r\n", b"\r\r\n \r\r\n"),
        (b"\r\n\r\n", b"\r\n\r\n"),
        (b"a=\r\n \t \r\nb", b"a\r\nb"),
        (b"=3D41", b"=41"),
    ],
)
def test_quoted_printable(data: bytes, body: bytes) -> None:
    assert decoded("quoted-printable", data) == body


@pytest.mark.parametrize(
    ("data", "out"),
    [
        (b"ok=4G", b"ok"),
        (b"ok==41", b"ok"),
        (b"ok=G1", b"ok"),
        (b"ok= x", b"ok"),
        (b"ok=\rx", b"ok"),
        (b"ok=\t\rx", b"ok"),
        (b"ok=4 1", b"ok"),
        (b"ok=4=41", b"ok"),
        (b"ok \r\n =x", b"ok\r\n "),
        (b"ok=\r \nb", b"ok"),
        (b"ok= \r\t\r\nb", b"ok"),
    ],
)
def test_quoted_printable_malformed(data: bytes, out: bytes) -> None:
    message = "CodecError: quoted-printable: '=' before neither two hexadecimal digits nor a line end"
    assert every_way(lambda: decoding("quoted-printable"), data) == (out, message)


@pytest.mark.parametrize("tail", [b"=", b"=4", b"=\r", b"= ", b"= \t\r"])
def test_quoted_printable_cut_short(tail: bytes) -> None:
    expected = (b"ok ", "CodecError: quoted-printable: cut short")
    assert every_way(lambda: decoding("quoted-printable"), b"ok " + tail) == expected


@pytest.mark.parametrize("before", [b"", b"x", b"=", b"\r\n"])
@pytest.mark.parametrize("after", [b"", b"\r\n", b"\n", b"\r"])
def test_quoted_printable_white_space_is_bounded(before: bytes, after: bytes) -> None:
    def ways(data: bytes) -> set[Outcome]:
        sizes = (1 << 30, 9999, 50) if before + after == b"" else (1 << 30, 9999)
        chunkings = [[data[i : i + size] for i in range(0, len(data), size)] for size in sizes]
        return {outcome(decoding("quoted-printable"), chunks) for chunks in chunkings}

    _, error = ways(before + b" \t" * 32768 + b" " + after).pop()
    assert len(ways(before + b" \t" * 32768 + b" " + after)) == 1
    assert error == "CodecError: quoted-printable: a run of more than 65536 bytes of white space"
    assert len(longest := ways(before + b" \t" * 32768 + after)) == 1
    assert "white space" not in (longest.pop()[1] or "")


def test_quoted_printable_interior_white_space_is_bounded_too() -> None:
    def longer(blanks: int) -> str | None:
        data = b"x" * 1000 + b" " * blanks + b"x"
        errors = {outcome(decoding("quoted-printable"), [data[:i], data[i:]])[1] for i in (0, 900, 1001, 40_000)}
        assert len(errors) == 1
        return errors.pop()

    assert longer(65_536) is None
    assert longer(65_537) is not None


def test_quoted_printable_reads_what_others_write() -> None:
    body = b"".join(RNG.choice([b"word ", b"\xe9t\xe9", b"=", b" \r\n", b"\r\n", b"x" * 90]) for _ in range(400))
    text = binascii.b2a_qp(body, istext=True)
    assert every_way(lambda: decoding("quoted-printable"), text, splits=20) == (body, None)
    binary = NOISE.replace(b"\n", b".") * 3
    assert run(decoding("quoted-printable"), [quopri.encodestring(binary, quotetabs=True)]) == binary


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", b""),
        (b"a=b\xff", b"a=3Db=FF"),
        (b"a \r\nb\t", b"a=20\r\nb=09"),
        (b"a  \r\n  b", b"a =20\r\n  b"),
        (b" \r \n\r\r\n\n", b" =0D =0A=0D\r\n=0A"),
        (b"\r", b"=0D"),
        (b" \r", b" =0D"),
        (b"x" * 75, b"x" * 75),
        (b"x" * 76, b"x" * 75 + b"=\r\nx"),
        (b"x" * 72 + b"=y", b"x" * 72 + b"=3D=\r\ny"),
        (b"x" * 73 + b"=y", b"x" * 73 + b"=\r\n=3Dy"),
        (b"x" * 74 + b"=y", b"x" * 74 + b"=\r\n=3Dy"),
        (b"x" * 74 + b" \r\n", b"x" * 74 + b"=\r\n=20\r\n"),
    ],
)
def test_quoted_printable_encode(body: bytes, text: bytes) -> None:
    assert every_way(lambda: encoding("quoted-printable"), body) == (text, None)


def test_email_reads_what_is_written() -> None:
    for name in TRANSFER:
        message = Message()
        message["Content-Transfer-Encoding"] = name
        message.set_payload(run(encoding(name), [TEXT]).decode("ascii"))
        payload = message.get_payload(decode=True)
        assert payload == TEXT


# encoders and chains


def test_encoders_write_what_the_libraries_read() -> None:
    assert gzip.decompress(run(encoding("gzip"), [TEXT, NOISE])) == TEXT + NOISE
    assert zlib.decompress(run(encoding("deflate"), [TEXT, NOISE])) == TEXT + NOISE
    assert brotli.decompress(run(encoding("br"), [TEXT, NOISE])) == TEXT + NOISE
    assert zstd.decompress(run(encoding("zstd"), [TEXT, NOISE])) == TEXT + NOISE
    assert run(encoding("gzip"), [TEXT])[4:8] == bytes(4)  # RFC 1952 section 2.3: MTIME


@pytest.mark.parametrize("name", [*COMPRESS, *TRANSFER])
def test_encoders_do_not_depend_on_the_cut(name: str) -> None:
    body = TEXT * 30 + NOISE * 10
    assert every_way(lambda: encoding(name), body, splits=10)[1] is None


@pytest.mark.parametrize("transfer", TRANSFER)
@pytest.mark.parametrize("content", COMPRESS)
def test_chain(transfer: str, content: str) -> None:
    def encode() -> Codec:
        codec = encoder(transfer, content)
        assert codec is not None
        return codec

    def decode() -> Codec:
        codec = decoder(transfer, content, limits=LIMITS)
        assert codec is not None
        return codec

    wire, error = every_way(encode, TEXT, splits=20)
    assert error is None
    assert run(decoding(content), [run(decoding(transfer), [wire])]) == TEXT
    assert every_way(decode, wire, splits=40) == (TEXT, None)
    assert every_way(decode, wire[:-4], splits=20, same_output=False)[1] is not None
    assert (every_way(decode, wire[:9] + b"=*", same_output=False)[1] or "").startswith(f"CodecError: {transfer}")
    assert every_way(decode, b"") == (b"", None)


def test_chain_limits_hold_for_its_output() -> None:
    wire = base64.b64encode(gzip.compress(b"\0" * 100_000))
    for limits in (Limits(max_decoded_size=10), Limits(max_decode_ratio=2, decode_ratio_floor=10)):
        codec = decoder("base64", "gzip", limits=limits)
        assert codec is not None
        out, error = outcome(codec, [wire])
        assert error is not None
        assert error.startswith("LimitExceeded: gzip")
        assert len(out) <= 10 or limits.max_decoded_size is None


@settings(max_examples=30, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", [*COMPRESS, *TRANSFER])
def test_round_trip(name: str, data: st.DataObject) -> None:
    piece = st.binary(max_size=40) | st.sampled_from([b" ", b"\t \r\n", b"\r", b"\n", b"=", b"x" * 75, b"\0" * 3000])
    chunks = data.draw(st.lists(piece, max_size=12))
    body = b"".join(chunks)
    text = run(encoding(name), chunks, data.draw(st.sampled_from(READ_SIZES)))
    cut = data.draw(st.integers(0, len(text)))
    assert run(decoding(name), [text[:cut], text[cut:]], data.draw(st.sampled_from(READ_SIZES))) == body
    if name == "base64":
        assert len(text) == encoded_size(len(body))
    if name in TRANSFER:
        assert text.isascii()
        assert all(len(line) <= 76 and line == line.rstrip() for line in text.split(b"\r\n"))


@settings(max_examples=50, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from([b"=", b"4", b"1g", b" ", b"\t", b"\r", b"\n", b"\r\n", b"Zm9v", b"==", b"*", b"Z"]),
        max_size=15,
    )
)
@pytest.mark.parametrize("name", TRANSFER)
@pytest.mark.parametrize("limit", [None, 4])
def test_any_text_has_one_outcome(name: str, limit: int | None, pieces: list[bytes]) -> None:
    every_way(lambda: decoding(name, Limits(max_decoded_size=limit)), b"".join(pieces), splits=5)


@pytest.mark.parametrize(("name", "alphabet"), [("quoted-printable", b"=\r\n 4"), ("base64", b"=\r A+")])
def test_short_text_read_byte_by_byte_is_as_in_one_piece(name: str, alphabet: bytes) -> None:
    for length in range(1, 6):
        for characters in itertools.product(alphabet, repeat=length):
            data = bytes(characters)
            one_by_one = outcome(decoding(name), [data[i : i + 1] for i in range(length)])
            assert (data, one_by_one) == (data, outcome(decoding(name), [data]))


@settings(max_examples=25, deadline=None)
@given(start=st.integers(0, 40), tail=st.binary(max_size=60))
@pytest.mark.parametrize("name", COMPRESS)
def test_any_bytes_have_one_outcome(name: str, start: int, tail: bytes) -> None:
    every_way(lambda: decoding(name), COMPRESS[name](TEXT)[:start] + tail, splits=5, same_output=False)
