"""What real senders send, as (boundary, subtype, message): where the fuzzers start from."""

from __future__ import annotations

from typing import Final

__all__ = ("MESSAGES",)

_FORM: Final = (
    b'--b\r\nContent-Disposition: form-data; name="title"\r\n\r\nx\r\n'
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
    b"a\r\nb\r\n--b--\r\n"
)
_FRAME: Final = b"Content-Type: image/jpeg\r\nContent-Length: 4\r\n\r\n\xff\xd8\xff\xd9\r\n"

_NESTED: Final = (
    b"--b\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nin\r\n--i--\r\n"
    b"--b\r\nContent-Type: multipart/related\r\n\r\n\r\n--b--"
)
_ENCODED: Final = (
    b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\nYW\r\nJj\r\n"
    b"--b\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; charset=latin-1\r\n\r\n"
    b"a=E4=\r\n\r\n--b\r\nContent-Encoding: deflate\r\n\r\n\x4b\x04\x00\r\n--b--"
)

MESSAGES: Final[tuple[tuple[str, str, bytes], ...]] = (
    ("b", "form-data", _FORM),
    ("b", "form-data", _FORM.replace(b"\r\n", b"\n")),
    # Sony SNC, Panasonic HE40: the dashes are in the parameter already
    ("--b", "x-mixed-replace", b"--b\r\n" + _FRAME + b"--b\r\n" + _FRAME),
    # CouchDB, Rider
    ("--b", "related", b"----b\r\n" + _FRAME + b"----b--"),
    # Foscam, Hikvision
    ("b", "x-mixed-replace", b"--b\r\n--b\r\n" + _FRAME + b"--b\r\n--b\r\n" + _FRAME),
    # GraphQL servers
    ("b", "mixed", b"--b\r\n--b--"),
    # ESP32 cameras, Tasmota: no first delimiter
    ("b", "x-mixed-replace", _FRAME + b"--b\r\n" + _FRAME + b"--b--"),
    # some cameras: headers on the delimiter line
    (
        "b",
        "x-mixed-replace",
        b"--bContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff\xd9\r\n--bContent-Type: image/jpeg\r\n\r\n",
    ),
    # ffmpeg mpjpeg, Mobotix
    ("b", "x-mixed-replace", b"--b\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\xff\xd9\r\n--b\r\n\r\n"),
    # Dahua: lengths that are wrong, and one CRLF too many
    ("b", "mixed", b"--b\r\nContent-Length: 9\r\n\r\nab\r\n--b\r\nContent-Length: 1\r\n\r\nabc\r\n--b--"),
    ("b", "mixed", b"--b\r\nContent-Length:-1\r\n\r\nab\r\n--b\r\nContent-Length:1\r\n\r\na\r\n\r\n--b--"),
    # no CRLF between the body and the delimiter
    ("b", "x-mixed-replace", b"--b\r\nContent-Length: 2\r\n\r\nab--b\r\n\r\ncd--b--"),
    # LF only
    ("b", "byteranges", b"--b\nContent-Range: bytes 0-1/9\n\nab\n--b\nContent-Range: bytes 3-4/9\n\ncd\n--b--\n"),
    # Werkzeug's test client, Android: a CRLF comes first
    ("b", "form-data", b"\r\n" + _FORM),
    ("b", "mixed", b"preamble\r\n--b \t\r\n\r\nhi\r\n--b-- \t\r\nepilogue"),
    ("b", "mixed", b"--b\r\n\r\nhi\r\n--b\r\n\r\n--b--"),
    # the input ends early
    ("b", "mixed", b"--b\r\n\r\nhi\r\n-"),
    # .NET's HttpClient
    (
        "b",
        "form-data",
        b"--b\r\nContent-Disposition: form-data; name=p; filename=p; filename*=utf-8''p%2Ecsv\r\n\r\nx\r\n--b--\r\n",
    ),
    # browsers, old and new
    (
        "b",
        "form-data",
        b'--b\r\nContent-Disposition: form-data; name="%22\xc3\xa4"; filename="C:\\d\\f\xe4"\r\n\r\n\r\n--b--',
    ),
    # RFC 2231, RFC 8187, a folded line
    (
        "b",
        "mixed",
        b'--b\r\nContent-Disposition: attachment;\r\n filename*0*=utf-8\'\'%c3; filename*1*=%a4; n="\\""\r\n\r\n--b--',
    ),
    # Matrix media
    (
        "b",
        "mixed",
        b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b\r\nLocation: https://m.example/x\r\n\r\n--b--",
    ),
    ("b", "mixed", _NESTED),
    ("b", "form-data", b'--b\r\nContent-Disposition: form-data; name="_charset_"\r\n\r\niso-8859-1\r\n' + _FORM),
    ("b", "mixed", _ENCODED),
)
