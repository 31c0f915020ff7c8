"""Transfer encodings: base64 (RFC 2045 section 6.8) and quoted-printable (section 6.7)."""

from __future__ import annotations

import binascii
import re
from typing import Final

from aiomultipart.exceptions import CodecError
from aiomultipart.extension import base64_lines

from .base import Stage

__all__ = ("Base64Decoder", "Base64Encoder", "QuotedPrintableDecoder", "QuotedPrintableEncoder", "encoded_size")

# base64

_BASE64_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BASE64_PADDED = re.compile(rb"[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=)")
_BASE64_LINE: Final = 57  # bytes that make a line of 76 characters


class Base64Decoder(Stage):
    """Strict, where RFC 2045 would ignore what is foreign; white space between the characters is what it may be."""

    coding = "base64"
    _never_grows = True
    _quartet = b""  # its beginning, when it is not complete
    _padded = False
    _odd = False  # not in lines of one length, or damaged

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        text = b"".join((self._quartet, data))
        if not (self._padded or self._odd or b"=" in text):
            out = self._decode_lines(text)
            if out is not None:
                return out, len(data)
            self._odd = True
        text = text.translate(None, b"\r\n \t")
        if self._padded and text:
            raise self._damaged("data after the padding")
        foreign = text.translate(None, _BASE64_ALPHABET)
        end = (text.index(foreign[:1]) if foreign else len(text)) & ~3
        if padded := _BASE64_PADDED.match(text, end):
            self._padded = True
            end = padded.end()
        self._quartet = text[end:]
        if self._padded and self._quartet:
            self._fail(self._damaged("data after the padding"))
        elif len(self._quartet) >= 4:
            self._fail(self._bad_quartet(self._quartet[:4]))
        return binascii.a2b_base64(text[:end]), len(data)

    def _decode_lines(self, text: bytes) -> bytes | None:
        """What characters of the alphabet in lines of one length decode to; None for any other text.

        binascii passes over what is foreign, and then gives less than it should. So nobody has to look at each
        character if it is known how many are line ends, and in lines of one length these are easily found.
        """
        size = end = len(text)
        first = text.find(b"\n")
        if first >= 0:
            length = max(text.find(b"\n", first + 1) - first, 1)
            size -= text[first::length].count(b"\n") + text[(first - 1) % length :: length].count(b"\r")
        elif text.endswith(b"\r"):
            size -= 1
        rest = size % 4
        while rest and end > max(len(text) - 16, 0):
            end -= 1
            rest -= text[end] not in b"\r\n"
        quartet = text[end:].translate(None, b"\r\n \t")
        try:
            out = binascii.a2b_base64(memoryview(text)[:end])
        except binascii.Error:
            return None
        if len(quartet) != size % 4 or len(out) != size // 4 * 3:
            return None
        self._quartet = quartet
        return out

    def _bad_quartet(self, quartet: bytes) -> CodecError:
        """The error for what is no quartet: 4 characters, or fewer at the end of the input."""
        foreign = quartet.lstrip(_BASE64_ALPHABET)
        if not foreign or _BASE64_PADDED.fullmatch(quartet + b"="):
            return self._cut_short()
        if foreign.startswith(b"="):
            return self._damaged("misplaced padding")
        return self._damaged(f"byte {foreign[0]:#04x} is not in the alphabet")

    def _finish(self) -> bytes:
        if self._quartet:
            raise self._bad_quartet(self._quartet)
        return b""


class Base64Encoder(Stage):
    """Lines of 76 characters with CRLF between them, none after the last: see :func:`encoded_size`."""

    _line = b""  # its octets so far; a full line waits for one more, which says that CRLF follows it

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        octets = self._line + data
        whole = (len(octets) - 1) // _BASE64_LINE * _BASE64_LINE
        self._line = octets[whole:]
        return base64_lines(octets[:whole]), len(data)

    def _finish(self) -> bytes:
        return binascii.b2a_base64(self._line, newline=False)


def encoded_size(size: int) -> int:
    """How many bytes ``size`` bytes become in base64, line ends included: what a Content-Length needs."""
    characters = -(-size // 3) * 4
    return characters + max(0, -(-characters // 76) - 1) * 2


# quoted-printable

_MAX_BLANKS: Final = 64 * 1024  # one run of white space, which may have to be held
_BLANKS: Final = b" \t"
_QP_MALFORMED = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*+\r?\n)")
_QP_ESCAPE_STARTED = re.compile(rb"=[0-9A-Fa-f]")
_QP_UNSAFE = re.compile(rb"[^ -<>-~\t\r\n]+")  # CR and LF wait until the pairs are out of the way
# The pieces of a line: what is left if it fits, or 75 characters, so that there is always a place for the "=", or less
# where an escape would not stay whole.
_QP_PIECE = re.compile(rb".{1,75}+\Z|.{73,75}(?<!=)(?<!=.)", re.DOTALL)


class QuotedPrintableDecoder(Stage):
    """Strict in what follows ``=``; octets that should have been encoded are taken as they are."""

    coding = "quoted-printable"
    _held = b""  # what the next byte gives a meaning: [=] *WSP [CR], or "=" and one hexadecimal digit

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        fresh = bytes(data)
        if self._held.endswith((b"=", b" ", b"\t")):
            blanks = len(fresh) - len(fresh.lstrip(_BLANKS))
            # A slice is not longer than the longest run, so only a run that was held can get too long.
            if len(self._held) - self._held.startswith(b"=") + blanks > _MAX_BLANKS:
                raise self._damaged(f"a run of more than {_MAX_BLANKS} bytes of white space")
            if blanks == len(fresh):
                self._held += fresh
                return b"", len(data)
        text = self._held + fresh
        end = len(text.removesuffix(b"\r").rstrip(_BLANKS).removesuffix(b"="))
        if end == len(text) and _QP_ESCAPE_STARTED.fullmatch(text, end - 2):
            end -= 2
        self._held = text[end:]
        return self._decode(text[:end]), len(data)

    def _decode(self, text: bytes) -> bytes:
        """Text whose escapes are complete and whose last line is not, as far as it is well-formed."""
        # Looked for in the text as it came: to drop white space can make a line end of what was none.
        if malformed := _QP_MALFORMED.search(text):
            self._fail(self._damaged("'=' before neither two hexadecimal digits nor a line end"))
            text = text[: malformed.start()]
        # Rule 3: white space at the end of a line, and so after the "=" of a soft line break, is not part of it.
        for line_end in (b"\r\n", b"\n"):
            if b" " + line_end in text or b"\t" + line_end in text:
                *lines, last = text.split(line_end)
                text = line_end.join([*(line.rstrip(_BLANKS) for line in lines), last])
        # Of text like this it undoes escapes and soft line breaks, and nothing else.
        return binascii.a2b_qp(text)

    def _finish(self) -> bytes:
        if self._held.startswith(b"="):
            # "An '=' cannot be the ultimate or penultimate character in the encoded object."
            raise self._cut_short()
        # The end of the body is the end of a line.
        return self._held if self._held.endswith(b"\r") else b""


class QuotedPrintableEncoder(Stage):
    """Lines of at most 76 characters. CRLF stays a line end; CR and LF that are not a pair are escaped."""

    _held = b""  # [WSP] [CR]: a line end may follow
    _line = b""  # its beginning, encoded, when it is not complete

    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        text = self._held + data
        end = len(text) - text.endswith(b"\r")
        end -= text[:end].endswith((b" ", b"\t"))
        self._held = text[end:]
        return self._lines(text[:end]), len(data)

    def _finish(self) -> bytes:
        # The end of the body is the end of a line.
        return self._lines(self._held + b"\r\n")[:-2]

    def _lines(self, text: bytes) -> bytes:
        """What text makes complete: lines, with the soft line breaks they need, each with its line end."""
        text = self._line + _QP_UNSAFE.sub(_escape, text)
        text = text.replace(b" \r\n", b"=20\r\n").replace(b"\t\r\n", b"=09\r\n")
        lines = [line.replace(b"\r", b"=0D").replace(b"\n", b"=0A") for line in text.split(b"\r\n")]
        text = b"\r\n".join([b"=\r\n".join(_QP_PIECE.findall(line)) for line in lines])
        complete, line_end, self._line = text.rpartition(b"\r\n")
        return complete + line_end


def _escape(octets: re.Match[bytes]) -> bytes:
    return b"=" + binascii.hexlify(octets[0], b"=").upper()
