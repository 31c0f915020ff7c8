"""Charsets that a message may name, and text in them."""

from __future__ import annotations

from encodings.aliases import aliases

from aiomultipart.exceptions import CodecError, UnknownEncoding
from aiomultipart.policy import FORGIVE, Policy

__all__ = ("CHARSET_FIELD", "decode_text", "lookup_charset")

CHARSET_FIELD = "_charset_"
"""The form field that names the charset of the others (RFC 7578 section 4.6)."""

# Charsets that a message may name. Left out are codecs that are no charset of text (base64, rot13), that are slow or
# surprising on hostile input (idna, punycode, unicode_escape, utf-7), and Python's own.
_CHARSETS = frozenset(
    """ascii utf_8 utf_8_sig utf_16 utf_16_be utf_16_le utf_32 utf_32_be utf_32_le latin_1 iso8859_1 iso8859_2
    iso8859_3 iso8859_4 iso8859_5 iso8859_6 iso8859_7 iso8859_8 iso8859_9 iso8859_10 iso8859_11 iso8859_13 iso8859_14
    iso8859_15 iso8859_16 cp437 cp850 cp852 cp855 cp858 cp866 cp874 cp932 cp949 cp950 cp1250 cp1251 cp1252 cp1253
    cp1254 cp1255 cp1256 cp1257 cp1258 koi8_r koi8_u koi8_t kz1048 mac_cyrillic mac_roman tis_620 shift_jis
    shift_jis_2004 euc_jp euc_jis_2004 iso2022_jp iso2022_kr euc_kr johab gb2312 gbk gb18030 hz big5
    big5hkscs""".split()
)


def decode_text(data: bytes, label: str, *, policy: Policy) -> tuple[str, str | None]:
    """Text in the charset that a message names, and the defect that had to be forgiven, if one had.

    :raises CodecError: the text is not in its charset, and the policy does not forgive that.
    :raises UnknownEncoding: the charset is not on our list, and the policy does not forgive that.
    """
    charset = "utf-8" if label == "utf-8" else lookup_charset(label)
    if charset is not None:
        try:
            return data.decode(charset), None
        except UnicodeError as exc:
            if policy.rules.undecodable_text is not FORGIVE:
                raise CodecError(f"text is not in charset {charset}: {exc}", code="undecodable-text") from exc
        return data.decode(charset, "replace"), "undecodable-text"
    if policy.rules.unknown_encoding is not FORGIVE:
        raise UnknownEncoding(f"charset {label[:40]!r} is not supported", code="unknown-charset")
    return data.decode("utf-8", "replace"), "unknown-charset"


def lookup_charset(label: str) -> str | None:
    """Python's name for a charset label of a message (IANA names and aliases), or None when it is not on our list."""
    if not label.isascii():  # some of what is not ASCII becomes it in lower case
        return None
    name = label.strip(" \t\r\n").lower().replace("-", "_")
    name = aliases.get(name.replace(".", "_"), name)
    return name if name in _CHARSETS else None
