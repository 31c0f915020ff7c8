"""Forms without I/O: what comes out, however the input was cut."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from aiomultipart import (
    END,
    PART_END,
    CodecError,
    Defect,
    Field,
    FormEvent,
    FormParser,
    IncompleteBody,
    LimitExceeded,
    Limits,
    MultipartError,
    ParseError,
    PartBegin,
    Policy,
    StateError,
    UnknownEncoding,
)
from tests.support.feeding import cuttings, describe
from tests.support.reading import build

MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}

File = tuple[str | None, str | None, bytes]
Entry = tuple[str, str] | File


def run(
    chunks: Iterable[bytes], headers: Mapping[str, str], limits: Limits, **kwargs: Any
) -> tuple[list[Entry], MultipartError | None, tuple[Defect, ...]]:
    """Fields as pairs, files as triples; one that does not end has no place here."""
    entries: list[Entry] = []
    parser = FormParser(headers, limits=limits, **kwargs)

    def take(event: FormEvent) -> None:
        nonlocal part, body, ended
        if ended:
            raise AssertionError(f"{event!r} after END")
        if isinstance(event, Field):
            entries.append((event.name, event.value))
        elif isinstance(event, PartBegin):
            part, body = event, b""
        elif isinstance(event, bytes):
            if not event:
                raise AssertionError("an empty event")
            body += event
        elif part is not None and event is PART_END:
            entries.append((part.name, part.filename, body))
        else:
            ended = event is END

    part: PartBegin | None = None
    body, ended = b"", False
    try:
        for chunk in chunks:
            for event in parser.feed(chunk):
                take(event)
        for event in parser.close():
            take(event)
    except MultipartError as exc:
        for _ in range(2):
            with pytest.raises(type(exc), match=re.escape(str(exc))):
                list(parser.feed(b"more"))
        return entries, exc, parser.defects
    if not ended:
        raise AssertionError("no END")
    return entries, None, parser.defects


def every_way(
    message: bytes, headers: Mapping[str, str], limits: Limits | None = None, **kwargs: Any
) -> tuple[list[Entry], MultipartError | None, tuple[Defect, ...]]:
    """What each cutting of ``message`` gives; an AssertionError where they differ."""
    limits = limits or Limits.for_forms()
    entries, error, defects = run([message], headers, limits, **kwargs)
    for name, chunks in [("whole", [message]), *cuttings(message)]:
        got = run(chunks, headers, limits, **kwargs)
        if (got[0], describe(got[1]), got[2]) != (entries, describe(error), defects):
            raise AssertionError(f"{message!r}\nwhole: {entries} {error!r} {defects}\n{name}: {got}")
    return entries, error, defects


def parse(message: bytes, headers: Mapping[str, str] = MULTIPART, **kwargs: Any) -> list[Entry]:
    """The entries of a good form."""
    entries, error, defects = every_way(message, headers, **kwargs)
    if error is not None:
        raise error
    assert defects == ()
    return entries


def refused(message: bytes, headers: Mapping[str, str] = MULTIPART, **kwargs: Any) -> MultipartError:
    """The error of a bad one."""
    entries, error, _ = every_way(message, headers, **kwargs)
    assert error is not None, entries
    return error


def field(name: bytes, value: bytes, more: bytes = b"") -> tuple[bytes, bytes]:
    return b'Content-Disposition: form-data; name="%b"%b' % (name, more), value


def file(name: bytes, filename: bytes, body: bytes, more: bytes = b"") -> tuple[bytes, bytes]:
    return b'Content-Disposition: form-data; name="%b"; filename="%b"%b' % (name, filename, more), body


def charset(label: bytes) -> bytes:
    return b"\r\nContent-Type: text/plain; charset=" + label


def encoding(name: bytes) -> bytes:
    return b"\r\nContent-Transfer-Encoding: " + name


# multipart/form-data


def test_fields_and_files_in_their_order() -> None:
    message = build(
        field(b"a", b"1"),
        file(b"f", b"x.bin", b"\r\n--bb\r\n\x00\xff"),
        field(b"a", "zwei é".encode()),
        field(b"", b""),
        file(b"f", b"y", b""),
        field(b"b", b"x\r\n--bb\r\n-"),
    )
    assert parse(message) == [
        ("a", "1"),
        ("f", "x.bin", b"\r\n--bb\r\n\x00\xff"),
        ("a", "zwei é"),
        ("", ""),
        ("f", "y", b""),
        ("b", "x\r\n--bb\r\n-"),
    ]


def test_an_empty_form() -> None:
    assert parse(b"--b--\r\n") == []


def test_a_file_that_was_not_chosen_is_no_entry() -> None:
    octets = b"\r\nContent-Type: application/octet-stream"
    message = build(file(b"f", b"", b"", octets), file(b"f", b"", b"unnamed", octets), field(b"a", b"1"))
    assert parse(message) == [("f", "", b"unnamed"), ("a", "1")]


def test_a_part_without_a_filename_may_be_a_file() -> None:
    message = build(field(b"a", b"1"), field(b"f", b"22"), field(b"g", b""))
    assert parse(message, is_file=lambda part: part.name in {"f", "g"}) == [
        ("a", "1"),
        ("f", None, b"22"),
        ("g", None, b""),
    ]


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Disposition: form-data",
        b'Content-Disposition: attachment; name="a"',
        b'Content-Disposition: attachment; filename="a"',
        b"Content-Type: text/plain",
        b"",
    ],
)
def test_a_part_that_is_no_form_data(head: bytes) -> None:
    message = build(field(b"a", b"1"), (head, b"2"), field(b"c", b"3"))
    for policy in (Policy.STRICT, Policy.STANDARD):
        error = refused(message, policy=policy)
        assert isinstance(error, ParseError)
        assert (error.part_index, error.http_status) == (1, 400)
    entries, error, defects = every_way(message, MULTIPART, policy=Policy.LENIENT)
    assert error is None
    assert entries[0] == ("a", "1")
    assert len(entries) == 3
    assert entries[1][-1] in {"2", b"2"}
    assert [(defect.kind, defect.part_index) for defect in defects] == [("no-form-data-name", 1)]


def test_input_cut_short() -> None:
    message = build(field(b"a", b"1"), file(b"f", b"x", b"data"))
    for end in range(1, len(message)):
        entries, error, _ = run([message[:end]], MULTIPART, Limits.for_forms())
        assert type(error) is IncompleteBody
        assert entries in ([], [("a", "1")], [("a", "1"), ("f", "x", b"data")])


@pytest.mark.parametrize("length", [None, "0", "00", "1", "130"])
@pytest.mark.parametrize("coded", [False, True])
@pytest.mark.parametrize("policy", Policy)
def test_no_bytes_at_all(length: str | None, coded: bool, policy: Policy) -> None:
    headers = MULTIPART | ({} if length is None else {"Content-Length": length})
    if coded:
        headers |= {"Content-Encoding": "gzip"}
    for content_type in (MULTIPART["Content-Type"], "multipart/form-data; boundary=b; charset=x"):
        headers["Content-Type"] = content_type
        for chunks in ([], [b""], [b"", b""]):
            entries, error, defects = run(chunks, headers, Limits.for_forms(), policy=policy)
            assert entries == []
            if policy is Policy.STRICT or length in {"1", "130"}:
                assert type(error) is IncompleteBody
                assert (error.offset, defects) == (0, ())
            else:
                assert (error, defects) == (None, (("empty-body", None, None, 0),))


@pytest.mark.parametrize("policy", Policy)
def test_no_bytes_at_all_are_a_good_urlencoded_form(policy: Policy) -> None:
    assert parse(b"", URLENCODED, policy=policy) == []


# Files in a part that is multipart/mixed


def several(name: bytes, *files: tuple[bytes, bytes], more: bytes = b"") -> tuple[bytes, bytes]:
    """As curl sends them for ``-F name=@a,b``."""
    head, _ = field(name, b"", b"\r\nContent-Type: multipart/mixed; boundary=i" + more)
    return head, build(*files, boundary=b"i", end=b"\r\n")


def attached(filename: bytes, body: bytes, more: bytes = b"") -> tuple[bytes, bytes]:
    return b'Content-Disposition: attachment; filename="%b"%b' % (filename, more), body


DEEP = Limits.for_forms(max_depth=2)
SEVERAL = build(
    field(b"a", b"1"),
    several(
        b"f",
        attached(b"a.txt", b"\r\n--ii\r\n"),
        (b'Content-Disposition: file; name="x"; filename="b.txt"', b"b"),
        attached(b"", b""),
        attached(b"c.txt", b"w6k=", encoding(b"base64")),
        (b"Content-Type: text/plain", b"no name"),
    ),
    field(b"b", b"2"),
)


def test_files_in_a_part_that_is_multipart() -> None:
    read = [
        ("a", "1"),
        ("f", "a.txt", b"\r\n--ii\r\n"),
        ("f", "b.txt", b"b"),
        ("f", "c.txt", "é".encode()),
        ("f", None, b"no name"),
        ("b", "2"),
    ]
    for policy in (Policy.STANDARD, Policy.LENIENT):
        for is_file in (None, lambda part: part.name == "f"):
            assert parse(SEVERAL, limits=DEEP, policy=policy, is_file=is_file) == read
        error = refused(SEVERAL, policy=policy)
        assert isinstance(error, LimitExceeded)
        assert (error.limit, error.value, error.part_index, error.part_name) == ("max_depth", 1, 1, "f")
        assert error.offset == SEVERAL.index(b'Content-Disposition: form-data; name="f"')
    error = refused(SEVERAL, limits=DEEP, policy=Policy.STRICT)
    assert isinstance(error, ParseError)
    assert (error.part_index, error.part_name) == (1, "f")


def test_a_multipart_file_is_a_file_and_other_multipart_parts_are_fields() -> None:
    body = build(attached(b"a.txt", b"1"), boundary=b"i")
    head = b"\r\nContent-Type: multipart/"
    message = build(
        file(b"f", b"x.eml", body, head + b"mixed; boundary=i"),
        field(b"g", body, head + b"related; boundary=i"),
        field(b"h", body, head + b"mixed"),
    )
    for limits in (Limits.for_forms(), DEEP):
        entries, error, defects = every_way(message, MULTIPART, limits)
        assert (entries, error) == ([("f", "x.eml", body), ("g", body.decode()), ("h", body.decode())], None)
        assert [defect.kind for defect in defects] == ["multipart-without-boundary"]


def test_the_charset_is_not_named_after_files_in_a_part() -> None:
    message = build(several(b"f", attached(b"a", b"1")), field(b"_charset_", b"latin-1"), field(b"a", "é".encode()))
    assert parse(message, limits=DEEP) == [("f", "a", b"1"), ("_charset_", "latin-1"), ("a", "é")]


def test_files_in_parts_of_parts() -> None:
    leaf = several(b"", attached(b"a", b"1"), attached(b"b", b"2"))[1]
    body = b"--j\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n%b\r\n--j--" % leaf
    message = build(field(b"f", body, b"\r\nContent-Type: multipart/mixed; boundary=j"), field(b"g", b"3"))
    for most in (3, None):
        limits = Limits.for_forms(max_depth=most)
        assert parse(message, limits=limits) == [("f", "a", b"1"), ("f", "b", b"2"), ("g", "3")]
    error = refused(message, limits=DEEP)
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.value, error.part_index, error.part_name) == ("max_depth", 2, 0, "f")


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        (several(b"f", attached(b"a", b"1"), (b"no header", b"2")), ParseError),
        (several(b"f", attached(b"a", b"1"), attached(b"b", b"2", encoding(b"base64"))), CodecError),
        (several(b"f", attached(b"a", b"1"), attached(b"b", b"2", encoding(b"uu"))), UnknownEncoding),
        ((several(b"f")[0], b"--i\r\n\r\ncut"), IncompleteBody),
        ((several(b"f")[0], b""), IncompleteBody),
        ((several(b"f")[0].replace(b"=i", b'=""'), b""), ParseError),
    ],
)
def test_what_is_wrong_with_a_file_in_a_part(bad: tuple[bytes, bytes], kind: type[MultipartError]) -> None:
    for rest in ((), (field(b"b", b"2"),)):
        message = build(field(b"a", b"1"), bad, *rest)
        error = refused(message, limits=DEEP)
        assert type(error) is kind
        assert (error.part_index, error.offset) == (1, message.index(bad[0]))


def test_what_is_forgiven_in_a_part() -> None:
    body = (
        b"--i\r\nContent-Length: 1\r\n\r\n123\r\n"
        b"--i\r\nContent-Length: 2\r\n\r\n456\r\n"
        b"--i\r\nContent-Transfer-Encoding: uu\r\n\r\nraw\r\n--i\r\n\r\ncut"
    )
    message = build(field(b"a", b"1"), (several(b"f")[0], body), field(b"b", b"2"))
    entries, error, defects = every_way(message, MULTIPART, DEEP, policy=Policy.LENIENT)
    assert error is None
    read = [("f", None, body) for body in (b"1", b"45", b"raw", b"cut")]
    assert entries == [("a", "1"), *read, ("b", "2")]
    assert {(defect.kind, defect.part_index) for defect in defects} == {
        (kind, 1)
        for kind in ("content-length-too-small", "unknown-coding", "part-cut-short", "missing-close-delimiter")
    }


@pytest.mark.parametrize(
    ("limit", "passed", "kept", "part_index"),
    [
        ("max_parts", 7, 8, 2),
        ("max_parts", 3, 8, 1),
        ("max_parts", 1, 8, 1),
        ("max_total_header_bytes", 300, 1000, 1),
        ("max_total_size", len(SEVERAL) - 1, len(SEVERAL), None),
        ("max_decoded_size", 1, 2, 1),
        ("max_part_size", 7, 1000, 1),
    ],
)
def test_limits_of_files_in_a_part(limit: str, passed: int, kept: int, part_index: int | None) -> None:
    assert len(parse(SEVERAL, limits=Limits.for_forms(**{"max_depth": 2, limit: kept}))) == 6
    error = refused(SEVERAL, limits=Limits.for_forms(**{"max_depth": 2, limit: passed}))
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.value) == (limit, passed)
    if part_index is not None:
        assert (error.part_index, error.part_name) == (part_index, "f" if part_index == 1 else "b")


# Charsets


def test_charset() -> None:
    message = build(
        field(b"a", "é".encode("latin-1"), charset(b"ISO-8859-1")),
        field(b"b", "é".encode(), charset(b"utf-8")),
        field(b"c", "é".encode("utf-16"), charset(b"utf-16")),
        field(b"d", "é".encode(), b"\r\nContent-Type: text/plain"),
    )
    assert parse(message) == [(name, "é") for name in "abcd"]


def test_text_that_could_be_utf_8_too() -> None:
    data = "é".encode()
    message = build(field(b"_charset_", b"iso-8859-1"), field(b"a", data), field(b"b", data, charset(b"utf-8")))
    assert parse(message) == [("a", "Ã©"), ("b", "é")]
    message = build(field(b"a", data), field(b"b", data, charset(b"iso-8859-1")), field(b"c", data))
    assert parse(message) == [("a", "é"), ("b", "Ã©"), ("c", "é")]


def test_a_field_that_names_the_charset() -> None:
    message = build(
        field(b"_charset_", b"iso-8859-1"),
        field(b"a", b"\xe9"),
        field(b"b", "é".encode(), charset(b"utf-8")),
        field(b"_charset_", b"utf-8"),
        field(b"c", b"\xe9"),
    )
    assert parse(message) == [("a", "é"), ("b", "é"), ("_charset_", "utf-8"), ("c", "é")]


def test_to_strict_it_is_an_ordinary_field() -> None:
    message = build(field(b"_charset_", b"iso-8859-1"), field(b"a", b"1"))
    assert parse(message, policy=Policy.STRICT) == [("_charset_", "iso-8859-1"), ("a", "1")]
    assert isinstance(
        refused(build(field(b"_charset_", b"latin-1"), field(b"a", b"\xe9")), policy=Policy.STRICT), CodecError
    )


@pytest.mark.parametrize("value", [b"rot13", b"", b"utf-7", b"idna", b"\xe9"])
def test_a_charset_that_is_not_on_the_list_is_an_ordinary_field(value: bytes) -> None:
    message = build(field(b"_charset_", value.replace(b"\xe9", "é".encode())), field(b"a", "é".encode()))
    assert parse(message) == [("_charset_", value.decode("latin-1")), ("a", "é")]


def test_only_the_first_field_names_the_charset() -> None:
    rest = (field(b"_charset_", b"iso-8859-1"), field(b"a", "é".encode()))
    read = [("_charset_", "iso-8859-1"), ("a", "é")]
    assert parse(build(file(b"f", b"x", b""), *rest)) == [("f", "x", b""), *read]
    assert parse(build(field(b"f", b"x"), *rest)) == [("f", "x"), *read]


def test_text_that_is_not_in_its_charset() -> None:
    for rest in ([], [file(b"f", b"f", b"1"), field(b"c", b"2")]):
        message = build(field(b"a", b"1"), field(b"b", b"\xe9"), *rest)
        error = refused(message)
        assert isinstance(error, CodecError)
        offset = message.index(b'Content-Disposition: form-data; name="b"')
        assert (error.part_index, error.part_name, error.offset) == (1, "b", offset)


@pytest.mark.parametrize(
    ("label", "value", "text"),
    [
        (b"", b"1\xe92", "1\ufffd2"),
        (b"us-ascii", "é".encode(), "\ufffd\ufffd"),
        (b"utf-16-le", b"a\x00b", "a\ufffd"),
        (b"shift_jis", b"\x81", "\ufffd"),
    ],
)
def test_text_that_is_not_in_its_charset_may_be_forgiven(label: bytes, value: bytes, text: str) -> None:
    more = charset(label) if label else b""
    message = build(field(b"a", b"1"), field(b"b", value, more), file(b"f", b"f", value), field(b"c", b"3"))
    for policy in (Policy.STRICT, Policy.STANDARD):
        assert isinstance(refused(message, policy=policy), CodecError)
    entries, error, defects = every_way(message, MULTIPART, policy=Policy.LENIENT)
    assert (entries, error) == ([("a", "1"), ("b", text), ("f", "f", value), ("c", "3")], None)
    assert [(defect.kind, defect.part_index) for defect in defects] == [("undecodable-text", 1)]
    message = build(field(b"_charset_", label or b"utf-8"), field(b"b", value))
    assert isinstance(refused(message), CodecError)
    entries, error, defects = every_way(message, MULTIPART, policy=Policy.LENIENT)
    assert (entries, error) == ([("b", text)], None)
    assert [(defect.kind, defect.part_index) for defect in defects] == [("undecodable-text", 1)]


@pytest.mark.parametrize("label", [b"klingon", b"rot13", b"utf-7", b"unicode_escape", b"base64"])
def test_an_unknown_charset(label: bytes) -> None:
    message = build(field(b"a", b"\xe9", charset(label)))
    error = refused(message)
    assert isinstance(error, UnknownEncoding)
    assert (error.part_index, error.part_name, error.http_status) == (0, "a", 415)
    entries, error, defects = every_way(message, MULTIPART, policy=Policy.LENIENT)
    assert (entries, error) == ([("a", "\ufffd")], None)
    assert [defect.kind for defect in defects] == ["unknown-charset"]


# Transfer encodings


def test_transfer_encodings_are_undone() -> None:
    message = build(
        field(b"a", b"w6k=", encoding(b"base64")),
        field(b"b", b"=C3=A9=\r\n!", encoding(b"quoted-printable")),
        field(b"c", "é".encode(), encoding(b"8bit")),
        file(b"f", b"x", b"AAEC\r\n/w==\r\n", encoding(b"BASE64")),
        file(b"g", b"", b"=00", encoding(b"quoted-printable")),
    )
    assert parse(message) == [
        ("a", "é"),
        ("b", "é!"),
        ("c", "é"),
        ("f", "x", b"\x00\x01\x02\xff"),
        ("g", "", b"\x00"),
    ]
    assert isinstance(refused(message, policy=Policy.STRICT), ParseError)


def test_bad_base64() -> None:
    for bad in (field(b"a", b"w6k", encoding(b"base64")), file(b"a", b"x", b"AAEC/", encoding(b"base64"))):
        message = build(field(b"z", b""), bad)
        error = refused(message)
        assert isinstance(error, CodecError)
        assert (error.part_index, error.part_name) == (1, "a")
        assert error.offset == message.index(bad[0])


def test_an_unknown_transfer_encoding() -> None:
    message = build(field(b"a", b"1", encoding(b"uu")), file(b"f", b"x", b"2", encoding(b"uu")))
    assert isinstance(refused(message), UnknownEncoding)
    entries, error, defects = every_way(message, MULTIPART, policy=Policy.LENIENT)
    assert (entries, error) == ([("a", "1"), ("f", "x", b"2")], None)
    assert [(defect.kind, defect.part_index) for defect in defects] == [("unknown-coding", 0), ("unknown-coding", 1)]


def test_content_encoding_of_a_part_is_ignored() -> None:
    message = build(field(b"a", b"not gzip", b"\r\nContent-Encoding: gzip\r\nContent-Length: 3"))
    assert parse(message) == [("a", "not gzip")]


# Limits of multipart/form-data


FORM = build(field(b"first", b"12345"), file(b"photo", b"p.jpg", b"1234567890"), field(b"last", b"67"))


@pytest.mark.parametrize(
    ("limit", "passed", "kept", "part_index"),
    [
        ("max_field_size", 4, 5, 0),
        ("max_part_size", 9, 10, 1),
        ("max_parts", 2, 3, None),
        ("max_total_size", len(FORM) - 1, len(FORM), None),
        ("max_headers", 0, 1, 0),
        ("max_header_line", 60, 64, 1),
        ("max_header_bytes", 60, 64, 1),
        ("max_total_header_bytes", 100, 200, None),
        ("max_parameters", 1, 2, 1),
    ],
)
def test_limits(limit: str, passed: int, kept: int, part_index: int | None) -> None:
    assert len(parse(FORM, limits=Limits.for_forms(**{limit: kept}))) == 3
    error = refused(FORM, limits=Limits.for_forms(**{limit: passed}))
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.value, error.http_status) == (limit, passed, 413)
    assert error.offset is not None
    if part_index is not None:
        assert error.part_index == part_index


def test_where_a_field_passes_its_limit() -> None:
    error = refused(FORM, limits=Limits.for_forms(max_field_size=4))
    assert (error.part_index, error.part_name, error.offset) == (0, "first", len(b"--b\r\n"))


def test_files_are_not_fields() -> None:
    assert len(parse(FORM, limits=Limits.for_forms(max_field_size=5))) == 3


def test_decoded_files_are_bounded() -> None:
    message = build(file(b"f", b"x", b"AAEC" * 10, encoding(b"base64")))
    assert parse(message, limits=Limits.for_forms(max_decoded_size=30)) == [("f", "x", b"\x00\x01\x02" * 10)]
    error = refused(message, limits=Limits.for_forms(max_decoded_size=29))
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.part_name) == ("max_decoded_size", "f")


# The headers of the request


def test_a_length_above_the_limit_is_refused_at_once() -> None:
    for headers in (MULTIPART, URLENCODED):
        limits = Limits.for_forms(max_total_size=1000)
        assert FormParser({**headers, "content-length": "1000"}, limits=limits).content_length == 1000
        with pytest.raises(LimitExceeded) as caught:
            FormParser({**headers, "content-length": "1001"}, limits=limits)
        assert (caught.value.limit, caught.value.value) == ("max_total_size", 1000)


@pytest.mark.parametrize("value", ["", "-1", "+1", "1_0", "1,1", "0x1", "1.0", "١", "1" * 19])
def test_a_length_that_is_none(value: str) -> None:
    for text in (value, f" {value}", f"\xa0{value}"):
        with pytest.raises(ParseError, match="Content-Length"):
            FormParser({**MULTIPART, "Content-Length": text}, limits=Limits.for_forms())


def test_a_length_is_digits_within_the_white_space_of_headers() -> None:
    for value in ("12", " 12", "12\t "):
        assert FormParser({**MULTIPART, "Content-Length": value}, limits=Limits.for_forms()).content_length == 12
    for value in ("\xa012\x1f", "\xa012", "12\x1f", "12\x85", "\u200312", "12\n", "\x0b12"):
        for headers in (
            {**URLENCODED, "Content-Length": value},
            CIMultiDict([*URLENCODED.items(), ("Content-Length", "12"), ("Content-Length", value)]),
        ):
            with pytest.raises(ParseError, match="Content-Length"):
                FormParser(headers, limits=Limits.for_forms())


def test_two_lengths() -> None:
    headers = CIMultiDict([*MULTIPART.items(), ("Content-Length", "5"), ("Content-Length", " 5\t")])
    assert FormParser(headers, limits=Limits.for_forms()).content_length == 5
    headers.add("Content-Length", "6")
    with pytest.raises(ParseError, match="Content-Length"):
        FormParser(headers, limits=Limits.for_forms())


def test_a_length_behind_a_content_encoding_is_that_of_other_bytes() -> None:
    headers = {**URLENCODED, "Content-Length": "1000", "Content-Encoding": "gzip"}
    assert parse(b"a=1", headers) == [("a", "1")]


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/mixed; boundary=b",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "application/json",
        "text/plain",
        "form-data",
        "",
    ],
)
def test_other_media_types(content_type: str) -> None:
    with pytest.raises(ParseError):
        FormParser({"Content-Type": content_type}, limits=Limits.for_forms())


def test_none_or_two_media_types() -> None:
    for headers in ({}, CIMultiDict([*MULTIPART.items(), *URLENCODED.items()])):
        with pytest.raises(ParseError, match="Content-Type"):
            FormParser(headers, limits=Limits.for_forms())


@pytest.mark.parametrize("limits", [{}, {"max_boundary_length": 3}, {"max_parameters": 0}], ids=str)
@pytest.mark.parametrize("boundary", ["b", "bbb", "bbbb", "-_+.'9", "b" * 70, "b" * 71, "b,b", "b=b", "é", "b b"])
@pytest.mark.parametrize("policy", Policy)
def test_common_media_types(boundary: str, limits: dict[str, int], policy: Policy) -> None:
    """White space before the semicolon makes no difference."""

    def outcome(content_type: str) -> object:
        try:
            parser = FormParser({"Content-Type": content_type}, limits=Limits.for_forms(**limits), policy=policy)
            events = [*parser.feed(b"--%b--" % boundary.encode()), *parser.close()]
        except MultipartError as exc:
            return describe(exc)
        return events, parser.defects

    expected = outcome(f"multipart/form-data ; boundary={boundary}")
    assert outcome(f"multipart/form-data; boundary={boundary}") == expected


# application/x-www-form-urlencoded


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", []),
        (b"a=1", [("a", "1")]),
        (b"a=1&b=2&a=3", [("a", "1"), ("b", "2"), ("a", "3")]),
        (b"a", [("a", "")]),
        (b"a=", [("a", "")]),
        (b"=1", [("", "1")]),
        (b"=", [("", "")]),
        (b"&&a=1&&&b&", [("a", "1"), ("b", "")]),
        (b"a=b=c", [("a", "b=c")]),
        (b"a+b=c+d%2B%26%3D", [("a b", "c d+&=")]),
        (b"%61%c3%A9=%F0%9F%98%80", [("aé", "😀")]),
        (b"a=%zz%4&b=%", [("a", "%zz%4"), ("b", "%")]),
        (b"a=1;b=2", [("a", "1;b=2")]),
        (b"a=1\r\n&b=\x00", [("a", "1\r\n"), ("b", "\x00")]),
        ("é=ü".encode(), [("é", "ü")]),
        (b"_charset_=latin-1&a=1", [("_charset_", "latin-1"), ("a", "1")]),
    ],
)
def test_urlencoded(body: bytes, expected: list[Entry]) -> None:
    assert parse(body, URLENCODED) == expected


@given(st.text(alphabet="ab&=+%2é ", max_size=30))
def test_urlencoded_as_the_standard_library_reads_it(text: str) -> None:
    entries, error, _ = run([text.encode()], URLENCODED, Limits.for_forms())
    try:
        expected = parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        assert isinstance(error, CodecError)
    else:
        assert (entries, error) == (expected, None)


def test_urlencoded_in_another_charset() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=ISO-8859-1"}
    assert parse(b"%e9=\xfc", headers) == [("é", "ü")]


def test_urlencoded_in_an_unknown_charset() -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=klingon"}
    error = refused(b"a=1", headers)
    assert isinstance(error, UnknownEncoding)
    assert error.http_status == 415
    entries, error, defects = every_way(b"a=%e9&b=%e9", headers, policy=Policy.LENIENT)
    assert (entries, error) == ([("a", "\ufffd"), ("b", "\ufffd")], None)
    assert [defect.kind for defect in defects] == ["unknown-charset"]


def test_urlencoded_that_is_not_in_its_charset() -> None:
    error = refused(b"a=1&b+c=%e9&d", URLENCODED)
    assert isinstance(error, CodecError)
    assert (error.offset, error.part_index, error.part_name) == (4, 1, "b c")
    assert isinstance(refused(b"a=1&b+c=%e9&d", URLENCODED, policy=Policy.STRICT), CodecError)
    entries, error, defects = every_way(b"a=1&%ff=%e9&d", URLENCODED, policy=Policy.LENIENT)
    assert (entries, error) == ([("a", "1"), ("\ufffd", "\ufffd"), ("d", "")], None)
    assert defects == (("undecodable-text", None, None, 0),)


@pytest.mark.parametrize(
    ("limit", "passed", "kept", "offset", "part_index", "part_name"),
    [
        ("max_total_size", 20, 21, 20, None, None),
        ("max_parts", 2, 3, 15, 2, "c"),
        ("max_field_size", 4, 5, 4, 1, "bbbb"),
        ("max_part_size", 4, 5, 4, 1, "bbbb"),
        ("max_header_line", 3, 4, 4, 1, None),
    ],
)
def test_limits_of_urlencoded(
    limit: str, passed: int, kept: int, offset: int, part_index: int | None, part_name: str | None
) -> None:
    body = b"a=1&bbbb=12345&c=++%2B"[:21]
    assert len(parse(body, URLENCODED, limits=Limits.for_forms(**{limit: kept}))) == 3
    error = refused(body, URLENCODED, limits=Limits.for_forms(**{limit: passed}))
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.value, error.http_status) == (limit, passed, 413)
    assert (error.offset, error.part_index, error.part_name) == (offset, part_index, part_name)


@pytest.mark.parametrize("name", [b"aaa", b"%61a", b"a+%20", b"%zz%", b"%c3%a9", b""])
def test_a_pair_that_passes_a_limit(name: bytes) -> None:
    """Whether it is complete or not, and whatever has to be decoded in its name."""
    for limit, value, most in (
        ("max_field_size", b"x" * 5, 4),
        ("max_field_size", b"x" * 15, 4),
        ("max_field_size", b"%78" * 5, 4),
        ("max_part_size", b"+" * 15, 4),
        ("max_memory", b"%" * 415, 410),
        ("max_parts", b"%20", 1),
        ("max_total_size", b"x" * 15, 14),
    ):
        for rest in (b"", b"&", b"&b=1"):
            body = b"z=1&" + name + b"=" + value + rest
            error = refused(body, URLENCODED, limits=Limits.for_forms(**{limit: most}))
            assert isinstance(error, LimitExceeded)
            assert (error.limit, error.value) == (limit, most)
            if limit != "max_total_size":
                assert (error.offset, error.part_index) == (4, 1)
                assert [(error.part_name, "")] == parse(name + b"=", URLENCODED)


@pytest.mark.parametrize("name", [b"a" * 10, b"%61" * 5, b"+" * 15, b"%zz" * 5])
def test_a_name_that_passes_its_limit(name: bytes) -> None:
    for rest in (b"", b"=", b"=%31&", b"&", b"&b=1"):
        error = refused(b"z=1&" + name + rest, URLENCODED, limits=Limits.for_forms(max_header_line=4))
        assert isinstance(error, LimitExceeded)
        assert (error.limit, error.offset, error.part_index, error.part_name) == ("max_header_line", 4, 1, None)


def test_limits_are_those_of_decoded_bytes() -> None:
    limits = Limits.for_forms(max_field_size=2, max_header_line=2)
    assert parse(b"%61%62=%63%64", URLENCODED, limits=limits) == [("ab", "cd")]
    for body, limit in ((b"%61%62%63=d", "max_header_line"), (b"a=%61%62%63", "max_field_size")):
        error = refused(body, URLENCODED, limits=limits)
        assert isinstance(error, LimitExceeded)
        assert error.limit == limit


@pytest.mark.parametrize("body", [b"a" * 100, b"a=" + b"1" * 100, b"%61" * 100, b"a=" + b"%31" * 100])
def test_a_long_pair_is_refused_before_it_is_complete(body: bytes) -> None:
    parser = FormParser(URLENCODED, limits=Limits.for_forms(max_field_size=10, max_header_line=10))
    rest = iter(body)
    with pytest.raises(LimitExceeded):
        list(itertools.chain.from_iterable(parser.feed(bytes([byte])) for byte in rest))
    assert len(list(rest)) > len(body) - 35


def test_urlencoded_cut_short() -> None:
    headers = {**URLENCODED, "Content-Length": "7"}
    assert parse(b"a=1&b=2", headers) == [("a", "1"), ("b", "2")]
    for end in range(7):
        entries, error, _ = every_way(b"a=1&b=2"[:end], headers)
        assert isinstance(error, IncompleteBody)
        assert error.offset == end
        assert entries in ([], [("a", "1")])


@pytest.mark.parametrize("headers", [MULTIPART, URLENCODED], ids=["multipart", "urlencoded"])
def test_a_long_field_byte_by_byte(headers: Mapping[str, str]) -> None:
    """Were the field copied for each byte, that would be 60 GB."""
    size = 350_000
    value = "x" * size
    message = build(field(b"a", value.encode())) if headers is MULTIPART else b"a=" + value.encode()
    entries, error, _ = run([message[i : i + 1] for i in range(len(message))], headers, Limits.for_forms())
    assert (entries, error) == ([("a", value)], None)


def test_after_the_end() -> None:
    for headers, message in ((MULTIPART, build(field(b"a", b"1"))), (URLENCODED, b"a=1")):
        parser = FormParser(headers)
        assert [*parser.feed(message), *parser.close()][1:] == [END]
        assert list(parser.close()) == []
        with pytest.raises(StateError):
            parser.feed(b"")


def test_an_error_comes_without_looking_at_the_events() -> None:
    for headers in (MULTIPART, {**URLENCODED, "Content-Length": "9"}):
        with pytest.raises(IncompleteBody):
            FormParser(headers, policy=Policy.STRICT).close()
    parser = FormParser(MULTIPART)
    with pytest.raises(ParseError):
        parser.feed(b"--b\r\nno colon\r\n\r\n")


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_any_bytes(kind: Callable[[bytes], bytearray | memoryview]) -> None:
    for headers, message in ((MULTIPART, build(field(b"a", b"1"))), (URLENCODED, b"a=1")):
        parser = FormParser(headers)
        (event, *_) = [*parser.feed(kind(message)), *parser.close()]
        assert isinstance(event, Field)
        assert (event.name, event.value, event.raw) == ("a", "1", b"1")


def test_what_a_field_is() -> None:
    assert Field.__match_args__ == ("name", "value", "raw", "part")
    parser = FormParser(MULTIPART)
    message = build(field(b"a", b"w6k=", encoding(b"base64")))
    events = [*parser.feed(message), *parser.close()]
    (event,) = [event for event in events if isinstance(event, Field)]
    assert (event.name, event.value, event.raw) == ("a", "é", "é".encode())
    assert event.part is not None
    assert (event.part.index, event.part.offset) == (0, 5)


def test_files_in_a_part_are_at_its_place() -> None:
    for _, chunks in cuttings(SEVERAL):
        parser = FormParser(MULTIPART, limits=DEEP)
        begun = [event for chunk in chunks for event in parser.feed(chunk) if isinstance(event, PartBegin)]
        offset = SEVERAL.index(b'Content-Disposition: form-data; name="f"')
        assert {(part.name, part.index, part.offset) for part in begun} == {("f", 1, offset)}
        assert [part.content_type for part in begun] == [None, None, None, "text/plain"]


def test_an_error_stays() -> None:
    parser = FormParser(URLENCODED, limits=Limits.for_forms())
    assert list(parser.feed(b"a=1&b=%e9")) != []
    for call in (parser.close, parser.close, lambda: parser.feed(b"x")):
        with pytest.raises(CodecError):
            list(call())


@pytest.mark.parametrize(
    ("value", "size"), [("1" * 500, 500), ("é" * 250, 250), ("€" * 200, 400), ("1" * 500 + "😀", 2004)]
)
@pytest.mark.parametrize("headers", [MULTIPART, URLENCODED], ids=["multipart", "urlencoded"])
def test_fields_take_what_their_text_takes(headers: Mapping[str, str], value: str, size: int) -> None:
    """All of them together; 200 bytes more for each, and 100 at most for text that is not ASCII."""
    values = [value.encode()] * 4
    message = b"&".join(b"a=" + value for value in values)
    if headers is MULTIPART:
        message = build(*[field(b"a", value) for value in values])
    kept = 4 * (size + 300)
    assert len(parse(message, headers, limits=Limits.for_forms(max_memory=kept))) == 4
    error = refused(message, headers, limits=Limits.for_forms(max_memory=4 * (size + 200)))
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.part_index, error.part_name) == ("max_memory", 3, "a")
    if headers is MULTIPART:
        assert error.offset == message.rindex(b"Content-Disposition")
    else:
        assert error.offset == message.rindex(b"a=")


def test_files_take_memory_without_their_bodies() -> None:
    message = build(field(b"x", b""), *[file(b"a", b"a", b"1" * 5000)] * 3)
    assert len(parse(message, limits=Limits.for_forms(max_memory=6000))) == 4
    error = refused(message, limits=Limits.for_forms(max_memory=4500))
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.part_index, error.part_name) == ("max_memory", 3, "a")
    assert error.offset == message.rindex(b"Content-Disposition")


# Names


@pytest.mark.parametrize(
    ("disposition", "name", "kinds"),
    [
        (b'form-data; name="a\\"', "a\\", ["literal-backslash"]),
        (b'form-data; name="a\\\\"', "a\\", []),
        (b'form-data; name="a\\;b \\(1).txt"', "a\\;b \\(1).txt", []),
        (b"form-data; name*=utf-8''a%5C", "a\\", []),
    ],
)
def test_names_with_backslashes(disposition: bytes, name: str, kinds: list[str]) -> None:
    message = b"--b\r\nContent-Disposition: " + disposition + b"\r\n\r\nx\r\n--b--"
    for _, chunks in cuttings(message):
        entries, error, defects = run(chunks, MULTIPART, Limits.for_forms())
        assert (entries, error) == ([(name, "x")], None)
        assert [defect.kind for defect in defects] == kinds


@pytest.mark.parametrize(
    ("extended", "kind"),
    [(b"no-such''x", "extended-parameter-charset"), (b"utf-8''a%00", "control-in-extended-parameter")],
)
def test_a_file_whose_name_cannot_be_read_stays_a_file(extended: bytes, kind: str) -> None:
    head = b"--b\r\nContent-Disposition: form-data; name=f; filename*=" + extended + b"\r\n\r\n"
    message = head + b"content\r\n--b--"
    for policy in (Policy.STRICT, Policy.STANDARD):
        entries, error, _ = run([message], MULTIPART, Limits.for_forms(), policy=policy)
        assert entries == []
        assert isinstance(error, ParseError)
    for _, chunks in cuttings(message):
        entries, error, defects = run(chunks, MULTIPART, Limits.for_forms(), policy=Policy.LENIENT)
        assert (entries, error) == ([("f", extended.decode(), b"content")], None)
        assert [defect[::2] for defect in defects] == [(kind, 0)]


def test_after_is_file_has_raised_nothing_is_read() -> None:
    def is_file(part: PartBegin) -> bool:
        raise ZeroDivisionError

    parser = FormParser(MULTIPART, limits=Limits.for_forms(), is_file=is_file)
    with pytest.raises(ZeroDivisionError):
        parser.feed(build(field(b"a", b"1")))
    for call in (lambda: parser.feed(b"x"), parser.close):
        with pytest.raises(StateError, match="is_file"):
            call()


@pytest.mark.parametrize("headers", [MULTIPART, URLENCODED])
def test_what_is_fed_is_bytes(headers: dict[str, str]) -> None:
    for data in (5, [65, 66], "a=b"):
        with pytest.raises(TypeError, match="bytes"):
            FormParser(headers, limits=Limits.for_forms()).feed(data)  # type: ignore[arg-type]


def test_what_a_part_forgave_before_the_message_failed() -> None:
    inner = b"--i\r\nContent-Disposition: attachment; filename=a\r\nContent-Type: image\r\n\r\n1\r\n"
    head = b'Content-Disposition: form-data; name="f"\r\nContent-Type: multipart/mixed; boundary=i'
    for end in (b"", b"--b\r\nno colon\r\n\r\n", b"--i\r\n\r\n2"):
        _, error, defects = every_way(b"--b\r\n" + head + b"\r\n\r\n" + inner + end, MULTIPART, DEEP)
        assert isinstance(error, MultipartError)
        assert defects == (Defect("bad-content-type", 5, 0),)
