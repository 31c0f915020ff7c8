"""The header grammar, row by row of the table of ambiguous constructs."""

from __future__ import annotations

import string
import warnings
from collections.abc import Callable
from typing import Any

import aiohttp.multipart
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiomultipart.exceptions import LimitExceeded, MultipartError, ParseError
from aiomultipart.headers import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    Disposition,
    check_boundary,
    content_disposition_filename,
    decode_field_block,
    lookup_charset,
    parse_boundary,
    parse_content_disposition,
    parse_content_length,
    parse_disposition,
    parse_field_block,
    parse_media_type,
)
from aiomultipart.limits import Limits, Policy

POLICIES = list(Policy)
STRICT, STANDARD, LENIENT = Policy.STRICT, Policy.STANDARD, Policy.LENIENT
REJECTED = "rejected"


def judged(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[Any]:
    """What a construct means under STRICT, STANDARD and LENIENT."""
    results: list[Any] = []
    for policy in (STRICT, STANDARD, LENIENT):
        try:
            results.append(function(*args, policy=policy, **kwargs))
        except MultipartError:
            results.append(REJECTED)
    return results


# Content-Type and the boundary parameter


def boundary_of(content_type: str, *, policy: Policy) -> str:
    limits = Limits()
    return parse_boundary(parse_media_type(content_type, policy=policy, limits=limits), policy=policy, limits=limits)


@pytest.mark.parametrize(
    "parameters",
    [
        "",
        "; charset=utf-8",
        "; boundary",
        "; boundary=",
        '; boundary=""',
        '; boundary="',
        '; boundary="b',
        '; boundary="b\\"',
        '; boundary=b"',
        '; boundary="b"c',
        '; boundary=b"c"',
        "; boundary=b c",
        "; boundary=b; boundary=b",
        "; boundary=b; boundary=c",
        '; boundary=b; BOUNDARY="b"',
        "; boundary=b,",
        "; boundary=b, multipart/mixed; boundary=c",
        "; boundary=a,b",
        "; boundary*=utf-8''b",
        "; boundary=b; boundary*=utf-8''c",
        "; boundary*0=b",
        "; boundary*0=b; boundary*1=c",
        "; boundary*0*=utf-8''b",
        "; boundary=b; boundary*0=c",
        "; boundary=" + "b" * 71,
        '; boundary="b\x00"',
        '; boundary="b\tc"',
        '; boundary="b\r\n"',
        '; boundary="b\n"',
        "; boundary=b\n",
        "\n; boundary=b",
        '; boundary="b\x7f"',
        '; boundary="\u00e9"',
        "; boundary=\u00e9",
        '; boundary="b "',
        '; boundary=" "',
        " boundary=b",
        ", boundary=b",
        "; =b",
        "; boundary=b; x=\x00",
        '; x="\n"; boundary=b',
        '; x="; boundary=b',
    ],
)
def test_what_no_policy_takes_for_a_boundary(parameters: str) -> None:
    assert judged(boundary_of, "multipart/mixed" + parameters) == [REJECTED] * 3


@pytest.mark.parametrize(
    ("parameters", "boundary"),
    [
        ("; boundary=b", "b"),
        (";boundary=b;", "b"),
        ("; ;; boundary=b ; ", "b"),
        ('\t;\tBoundary="b c"', "b c"),
        ('; boundary="a,b"', "a,b"),
        ('; boundary="a;b=c"', None),  # ";" is no boundary character: see the next test
        ('; boundary="\\b\\b"', "bb"),
        ("; boundary=" + "b" * 70, "b" * 70),
        ("; boundary=0'()+_-.", None),
        ('; boundary="0\'()+_,-./:=?"', "0'()+_,-./:=?"),
        ('; x="boundary=c"; boundary=b', "b"),
        ('; x="\\""; boundary=b', "b"),
        ("; boundary=---------------------------974767299852498929531610575", "-" * 27 + "974767299852498929531610575"),
    ],
)
def test_boundaries_that_every_policy_takes(parameters: str, boundary: str | None) -> None:
    if boundary is not None:
        assert judged(boundary_of, "multipart/mixed" + parameters) == [boundary] * 3
    else:
        assert judged(boundary_of, "multipart/mixed" + parameters)[0] is REJECTED


@pytest.mark.parametrize("boundary", ["===1234==", "a:b", "a/b", "a?b", "(a)", "====", "a=b/c:d?(e)"])
def test_an_unquoted_boundary_that_is_no_token(boundary: str) -> None:
    assert judged(boundary_of, f"multipart/mixed; boundary={boundary}; x=y") == [REJECTED, boundary, boundary]
    assert judged(boundary_of, f'multipart/mixed; boundary="{boundary}"') == [boundary] * 3


@pytest.mark.parametrize("boundary", ["a;b=c", "a{b}", "a@b", 'a"b', "a\\b", "a*b", "a!b", "a%b"])
def test_a_boundary_with_characters_that_rfc_2046_does_not_have(boundary: str) -> None:
    quoted = boundary.replace("\\", "\\\\").replace('"', '\\"')
    assert judged(boundary_of, f'multipart/mixed; boundary="{quoted}"') == [REJECTED, boundary, boundary]


@pytest.mark.parametrize("equals", [" =", "= ", " = ", "\t="])
def test_space_around_the_equals_sign_of_a_boundary(equals: str) -> None:
    assert judged(boundary_of, f"multipart/mixed; boundary{equals}b") == [REJECTED, REJECTED, "b"]
    assert judged(boundary_of, f'multipart/mixed;boundary{equals}"--myboundary"') == [
        REJECTED,
        REJECTED,
        "--myboundary",
    ]


def test_errors_name_the_field() -> None:
    for field in ("Content-Type", "Content-Range"):
        with pytest.raises(ParseError, match=f"^{field}: "):
            parse_media_type("nothing", field=field)
        with pytest.raises(ParseError, match=f"^{field}: "):
            parse_media_type("a/b; c", field=field)
        with pytest.raises(ParseError, match=f"^{field}: "):
            parse_boundary(parse_media_type("a/b"), policy=STANDARD, limits=Limits(), field=field)
        with pytest.raises(LimitExceeded, match=f"^{field}: "):
            check_boundary("b" * 71, policy=STANDARD, limits=Limits(), field=field)


def test_media_type() -> None:
    media_type = parse_media_type('Text/PLAIN ; Charset="UTF-8";Q=\ta; x="a\\"b"'.replace("\t", ""))
    assert media_type == ("text", "plain", {"charset": "UTF-8", "q": "a", "x": 'a"b'})


@pytest.mark.parametrize(
    "value",
    ["", "text", "text/", "/plain", "text/ plain", "text /plain", "text/plain, a/b", "text/plain x", "\u00e9/b"],
)
def test_what_is_no_media_type(value: str) -> None:
    assert judged(parse_media_type, value) == [REJECTED] * 3


def test_a_parameter_that_is_there_twice() -> None:
    assert judged(parse_media_type, "text/plain; charset=a; CHARSET=a") == [REJECTED] * 3


def test_max_parameters() -> None:
    parameters = "".join(f"; a{i}=b" for i in range(32))
    limits = Limits()
    assert len(parse_media_type("a/b" + parameters, limits=limits).parameters) == 32
    assert len(parse_media_type("a/b" + parameters + "; ;;").parameters) == 32
    disposition = parse_disposition("a" + parameters, form_data=False, policy=STANDARD, limits=limits)
    assert len(disposition.parameters) == 32
    for parse in (
        lambda: parse_media_type("a/b" + parameters + "; c=d"),
        lambda: parse_media_type("a/b" + parameters + "; c=d", limits=limits),
        lambda: parse_disposition("a" + parameters + "; c=d", form_data=True, policy=LENIENT, limits=limits),
    ):
        with pytest.raises(LimitExceeded) as caught:
            parse()
        assert (caught.value.limit, caught.value.value) == ("max_parameters", 32)
    unbounded = Limits(max_parameters=None)
    many = "".join(f"; a{i}=b" for i in range(500))
    assert len(parse_media_type("a/b" + many, limits=unbounded).parameters) == 500


# Field blocks


def fields(block: str, *, policy: Policy) -> list[tuple[str, str]]:
    return parse_field_block(block, policy=policy)


def test_field_block() -> None:
    block = "A: 1\r\nb:2\r\nC:\r\nA: \t 3 \t\r\n!#$%&'*+-.^_`|~0: a:b\tc \u00e9"
    assert (
        judged(fields, block)
        == [[("A", "1"), ("b", "2"), ("C", ""), ("A", "3"), ("!#$%&'*+-.^_`|~0", "a:b\tc \u00e9")]] * 3
    )
    assert judged(fields, "") == [[]] * 3


@pytest.mark.parametrize("line", ["A: {}", "A: b{}c", "A{}: b", "A:{}", "A: b\r\n c{}", "{}A: b"])
def test_control_characters(line: str) -> None:
    for code in (*range(9), *range(10, 32), 127):
        assert judged(fields, "X: y\r\n" + line.format(chr(code))) == [REJECTED] * 3


@pytest.mark.parametrize(
    "block",
    [
        "A : 1",
        "A\t: 1",
        "X: y\r\nA : 1",
        " A: 1",
        "\tA: 1",
        " ",
        "A",
        ": 1",
        "A B: 1",
        "A(: 1",
        "\u00e9: 1",
        "A: 1\r\n\r\nB: 2",
        "A: 1\r\n",
        "\r\nA: 1",
        "A: 1\nB: 2",
        "A: 1\rB: 2",
        "--b",
        "A: 1\r\n--b",
    ],
)
def test_what_is_no_field_block(block: str) -> None:
    assert judged(fields, block) == [REJECTED] * 3


@pytest.mark.parametrize(
    ("block", "value"),
    [
        ("A: 1\r\n 2", "1 2"),
        ("A: 1  \r\n\t \t2 ", "1 2"),
        ("A:\r\n 2", "2"),
        ("A: 1\r\n ", "1"),
        ("A: 1\r\n B: 2", "1 B: 2"),
        ("A: \u3000\r\n \u3000", "\u3000 \u3000"),
        ("A: 1\r\n 2\r\n\t3\r\n 4", "1 2 3 4"),
    ],
)
def test_folded_lines(block: str, value: str) -> None:
    assert judged(fields, block) == [REJECTED, [("A", value)], [("A", value)]]
    assert judged(fields, f"X: y\r\n{block}\r\nY: z") == [REJECTED, *[[("X", "y"), ("A", value), ("Y", "z")]] * 2]


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (b"A: abc", "A: abc"),
        ("A: \u65e5\u672c \U0001f600".encode(), "A: \u65e5\u672c \U0001f600"),
        (b"A: na\xefve", "A: na\u00efve"),
        (b"A: \x80\x9f\xff", "A: \x80\x9f\xff"),
        # One line in ISO-8859-1 spoils no other.
        ("A: \u65e5\r\nB: ".encode() + b"\xe9\r\nC: d", "A: \u65e5\r\nB: \u00e9\r\nC: d"),
        (b"\xed\xa0\x80", "\u00ed\u00a0\u0080"),  # no surrogates come out
    ],
)
def test_utf_8_or_else_iso_8859_1(block: bytes, text: str) -> None:
    assert decode_field_block(block) == text


@pytest.mark.parametrize("value", ["0", "1", "007", "9" * 18])
def test_content_length(value: str) -> None:
    assert parse_content_length(value) == int(value)


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "1_0", "1 0", " 1", "1.0", "0x1", "1e3", "\u0661", "\u00b2", "1, 1", "1;", "9" * 19]
)
def test_what_is_no_content_length(value: str) -> None:
    with pytest.raises(ParseError):
        parse_content_length(value)


# Content-Disposition


def in_form(value: str, *, policy: Policy) -> Disposition:
    return parse_disposition(value, form_data=True, policy=policy, limits=Limits())


def elsewhere(value: str, *, policy: Policy) -> Disposition:
    return parse_disposition(value, form_data=False, policy=policy, limits=Limits())


def name_in_form(value: str, *, policy: Policy) -> str | None:
    return in_form(f"form-data; name={value}", policy=policy).parameters.get("name")


def filename_elsewhere(value: str, *, policy: Policy) -> str | None:
    return elsewhere(f"attachment; filename={value}", policy=policy).parameters.get("filename")


@pytest.mark.parametrize("read", [in_form, elsewhere])
@pytest.mark.parametrize(
    "value",
    [
        "",
        ";",
        '"form-data"',
        "form data; name=a",
        "form-data name=a",
        "form-data, name=a",
        "form-data; name",
        "form-data; name=",
        "form-data; =a",
        'form-data; name="a',
        'form-data; name="a\\"',
        'form-data; name="a"b',
        'form-data; name=a"b"',
        "form-data; name=a b",
        'form-data; name="a"; name="a"',
        "form-data; name=a; NAME=b",
        "form-data; name=a; filename=b; filename=b",
        "form-data; name=a; filename*=utf-8''b; filename*=utf-8''b",
        "form-data; name=a; filename*0=b; filename*0=c",
        "form-data; name=a; filename*0=b; filename*0*=utf-8''c",
        "form-data; name=a; \u00e9=b",
    ],
)
def test_what_no_policy_takes_for_a_disposition(read: Callable[..., Disposition], value: str) -> None:
    assert judged(read, value) == [REJECTED] * 3


@pytest.mark.parametrize("read", [in_form, elsewhere])
def test_plain_dispositions(read: Callable[..., Disposition]) -> None:
    for value in ('Form-Data; Name="a b"; FILENAME=c.txt', 'form-data;name="a b" ;;\tfilename="c.txt";'):
        expected = Disposition("form-data", {"name": "a b", "filename": "c.txt"}, ())
        assert judged(read, value) == [expected] * 3
    assert judged(read, 'form-data; name=""') == [Disposition("form-data", {"name": ""}, ())] * 3
    assert judged(read, "attachment") == [Disposition("attachment", {}, ())] * 3


def test_an_unquoted_value_that_is_no_token() -> None:
    assert judged(name_in_form, "a/b[0]") == [REJECTED, "a/b[0]", "a/b[0]"]
    assert judged(name_in_form, "\u00e9") == [REJECTED, "\u00e9", "\u00e9"]


def test_space_around_the_equals_sign_of_a_name() -> None:
    assert judged(name_in_form, " a") == [REJECTED, REJECTED, "a"]


ALPHANUMERIC = string.ascii_letters + string.digits


def test_in_form_data_a_backslash_stays_before_what_a_path_has() -> None:
    for char in (*ALPHANUMERIC, *"._-", "\u00e9", "\u65e5"):
        assert judged(name_in_form, f'"a\\{char}b"') == [f"a\\{char}b"] * 3
    assert judged(name_in_form, '"a\\\\b"') == ["a\\\\b"] * 3


def test_in_form_data_a_backslash_escapes_everything_else() -> None:
    for char in (*sorted(set(string.printable[:95]) - set(ALPHANUMERIC) - set("._-\\")), "\u2028", "\u00ab"):
        assert judged(name_in_form, f'"a\\{char}b"') == [f"a{char}b"] * 3


def test_quoted_pairs_in_form_data() -> None:
    assert judged(name_in_form, '"email\\ 1"') == ["email 1"] * 3  # aiohttp
    assert judged(name_in_form, '"a\\"b\\";c"') == ['a"b";c'] * 3  # curl
    assert judged(name_in_form, '"C:\\dir\\file.txt"') == ["C:\\dir\\file.txt"] * 3  # browsers of old
    assert judged(name_in_form, '"\\\\server\\share\\_x"') == ["\\\\server\\share\\_x"] * 3


def test_quoted_pairs_elsewhere() -> None:
    for sent, meant in (
        ('"a\\"b"', 'a"b'),
        ('"a\\b"', "ab"),
        ('"\\\\\\\\"', "\\\\"),
        ('"a\\ b\\;"', "a b;"),
        ('"%22"', "%22"),
    ):
        assert judged(filename_elsewhere, sent) == [meant] * 3


def test_percent_escapes_of_browsers() -> None:
    assert judged(name_in_form, '"a%22b%22"') == ['a"b"'] * 3
    assert judged(name_in_form, '"%0D%0A%0d%0a%25%2522"') == ["%0D%0A%0d%0a%25%2522"] * 3


def test_extended_beside_plain_in_form_data() -> None:
    plain_wins = Disposition("form-data", {"name": "n", "filename": "a"}, ("extended-parameter-beside-plain",))
    for parameters in ("filename=a; filename*=utf-8''b", "filename*=utf-8''b; filename=a"):
        assert judged(in_form, f"form-data; name=n; {parameters}") == [REJECTED, plain_wins, plain_wins]
    names = Disposition("form-data", {"name": "a"}, ("extended-parameter-beside-plain",))
    for parameters in ("name=a; name*=utf-8''b", "name*=utf-8''b; name=a"):
        assert judged(in_form, f"form-data; {parameters}") == [REJECTED, names, names]
    # Also where the extended one is bad, in either order
    damaged = Disposition("form-data", {"name": "n", "filename": "a"}, ("bad-extended-parameter",))
    for parameters in ("filename=a; filename*=utf-8''%ff", "filename*=utf-8''%ff; filename=a"):
        assert judged(in_form, f"form-data; name=n; {parameters}") == [REJECTED, damaged, damaged]


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("utf-8''na%C3%AFve", "na\u00efve"),
        ("UTF-8'en'a%20b", "a b"),
        ("UTF8''a", "a"),
        ("iso-8859-1''%E9", "\u00e9"),
        ("Latin-1''%E9", "\u00e9"),
        ("utf-8''", ""),
        ("\"utf-8''a\"", "a"),
    ],
)
def test_extended_alone(value: str, meant: str) -> None:
    for name in ("name", "filename"):
        assert judged(
            lambda value, *, policy: in_form(value, policy=policy).parameters, f"form-data; {name}*={value}"
        ) == [
            REJECTED,
            {name: meant},
            {name: meant},
        ]
    found = [
        elsewhere(f"attachment; filename=plain; filename*={value}", policy=policy) for policy in (STANDARD, LENIENT)
    ]
    assert found == [Disposition("attachment", {"filename": meant}, ())] * 2


@pytest.mark.parametrize(
    "value",
    [
        "a",
        "''a",
        "utf-8'a",
        "utf-8''%",
        "utf-8''%zz",
        "utf-8''%ff",
        "utf-8''a b",
        "bogus''a",
        "base64''YQ%3D%3D",
        "utf-7''a",
    ],
)
def test_extended_that_does_not_decode(value: str) -> None:
    quoted = f'"{value}"'
    assert judged(in_form, f"form-data; name=a; filename*={quoted}") == [REJECTED] * 3
    # Elsewhere the plain one stands in for it (RFC 6266 section 4.3).
    plain = Disposition("attachment", {"filename": "a"}, ("bad-extended-parameter",))
    assert judged(elsewhere, f"attachment; filename=a; filename*={quoted}") == [REJECTED, plain, plain]


@pytest.mark.parametrize("label", ["us-ascii", "windows-1252", "utf-16", "shift_jis", "iso-8859-15", "koi8-r"])
def test_in_form_data_two_charsets_are_enough(label: str) -> None:
    assert judged(in_form, f"form-data; name=a; filename*={label}''%41%42") == [REJECTED] * 3
    assert REJECTED not in judged(elsewhere, f"attachment; filename*={label}''%41%42")


@pytest.mark.parametrize(
    ("parameters", "meant"),
    [
        ("filename*0=a; filename*1=b", "ab"),
        ('filename*1="b c"; filename*0=a', "ab c"),
        ("filename*0*=utf-8''%C3; filename*1*=%A9", "\u00e9"),
        ("filename*0*=utf-8''%41; filename*1=%41", "A%41"),
        ("; ".join(f"filename*{i}={i % 10}" for i in range(12)), "012345678901"),
    ],
)
def test_continuations(parameters: str, meant: str) -> None:
    good = Disposition("form-data", {"filename": meant, "name": "n"}, ())
    assert judged(in_form, f"form-data; name=n; {parameters}") == [REJECTED, REJECTED, good]
    assert judged(elsewhere, f"form-data; name=n; {parameters}") == [good] * 3


@pytest.mark.parametrize(
    "parameters",
    [
        "filename*1=a",
        "filename*0=a; filename*2=b",
        "filename*0*=a; filename*1=b",
        "filename*0*=bogus''a",
        "filename*0*=utf-8''%ff",
    ],
)
def test_continuations_that_do_not_join(parameters: str) -> None:
    for plain in ({}, {"filename": "p"}):
        value = "attachment" + "".join(f"; {name}={given}" for name, given in plain.items()) + f"; {parameters}"
        left = Disposition("attachment", plain, ("bad-continued-parameter",))
        assert judged(elsewhere, value) == [REJECTED, left, left]
    assert judged(in_form, f"form-data; name=n; {parameters}")[:2] == [REJECTED] * 2


@pytest.mark.parametrize(
    "name", ["filename*00", "filename*01", "filename**", "filename*x", "filename*-1", "filename*0**"]
)
def test_in_form_data_no_other_star_passes(name: str) -> None:
    # Other parsers make file names of some of these.
    assert judged(in_form, f"form-data; name=a; {name}=evil")[:2] == [REJECTED] * 2


def test_the_extended_form_wins_elsewhere() -> None:
    for parameters in ("filename*=utf-8''b; filename=a; filename*0=c", "filename*0=c; filename=a; filename*=utf-8''b"):
        assert judged(elsewhere, f"attachment; {parameters}") == [Disposition("attachment", {"filename": "b"}, ())] * 3


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("utf-8", "utf_8"),
        ("UTF8", "utf_8"),
        (" Utf-8 ", "utf_8"),
        ("us-ascii", "ascii"),
        ("ISO-8859-1", "latin_1"),
        ("latin1", "latin_1"),
        ("iso-8859-15", "iso8859_15"),
        ("windows-1252", "cp1252"),
        ("utf-16le", "utf_16_le"),
        ("Shift_JIS", "shift_jis"),
        ("GB18030", "gb18030"),
        ("big5", "big5"),
        ("koi8-r", "koi8_r"),
    ],
)
def test_charsets(label: str, name: str) -> None:
    assert lookup_charset(label) == name
    assert b"abc".ljust(4, b" ").decode(name)


@pytest.mark.parametrize(
    "label",
    [
        *("", "bogus", "utf-9", "utf_8\0", "../utf_8", "\u00fctf-8", "x" * 10000),
        *("base64", "base64_codec", "hex", "rot13", "rot_13", "quopri", "uu", "zlib", "bz2", "gzip", "zip"),
        *("idna", "punycode", "unicode_escape", "raw_unicode_escape", "unicode-escape", "undefined", "mbcs", "oem"),
        *("utf-7", "utf7", "unicode-1-1-utf-7", "charmap", "palmos", "string_escape"),
    ],
)
def test_labels_that_are_no_charset(label: str) -> None:
    assert lookup_charset(label) is None


# aiohttp's functions

WELL_FORMED = [
    "inline",
    "attachment",
    "ATTACHMENT; FileName=x",
    'inline; filename="foo.html"',
    "attachment; filename=foo.html",
    "attachment; filename=foo-%41.html",
    'attachment; filename="foo-%c3%a4.html"',
    'attachment; filename="0000000000111111111122222"',
    'attachment; filename="f\\oo.html"',
    'attachment; filename="\\"quoting\\" tested.html"',
    'attachment; filename="Here\'s a semicolon;.html"',
    'attachment; foo="bar"; filename="foo.html"',
    'attachment; foo="\\"\\\\";filename="foo.html"',
    "attachment; xfilename=foo.html",
    'attachment; filename="foo-\u00e4.html"',
    "attachment; filename*=iso-8859-1''foo-%E4.html",
    "attachment; filename*=UTF-8''foo-%c3%a4-%e2%82%ac.html",
    "attachment; filename*=UTF-8'en'A-%2541.html",
    "attachment; filename=\"foo.html\"; filename*=UTF-8''foo-%c3%a4.html",
    "attachment; filename*=UTF-8''foo-%c3%a4.html; filename=\"foo.html\"",
    'attachment; filename*0="foo."; filename*1="html"',
    'attachment; filename*1="bar"; filename*0="foo"; x=y',
    'attachment; filename*0="foo"; filename*1="\\b\\a\\r.html"',
    "attachment; filename*0*=UTF-8''foo-%c3%a4; filename*1=\".html\"",
    "attachment; filename*0*=UTF-8''foo-%c3; filename*1*=%a4.html",
    'attachment; filename="plain"; filename*0="foo."; filename*1="html"',
    'attachment; creation-date="Wed, 12 Feb 1997 16:29:51 -0500"; size=1',
    "form-data; name=foo",
    'form-data; name="foo bar"; filename="a.txt"',
    'form-data; name="email\\ 1"',
    'form-data; name="\\"quoted\\""',
    "form-data; name=part1; filename=part1.csv; filename*=utf-8''part1.csv",
    'form-data; name=""',
    "form-data; name=foo; x*=utf-8''%41",
    'foobar; filename="a"',
    "attachment ;filename=x",
    'form-data; name="a";\tfilename="b" ',
]


@pytest.mark.parametrize("header", WELL_FORMED)
def test_well_formed_headers_read_as_in_aiohttp(header: str) -> None:
    ours = parse_content_disposition(header)
    assert ours == aiohttp.multipart.parse_content_disposition(header)
    assert ours[0] is not None
    for name in ("filename", "name", "x"):
        expected = aiohttp.multipart.content_disposition_filename(ours[1], name)
        assert content_disposition_filename(ours[1], name) == expected


values = st.text(
    st.sampled_from("abcXYZ019 .,;:=*'/()[]<>@&+!#$-_~\u00e9\u65e5\U0001f600\x80\u2028\u00a0"), max_size=12
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["form-data", "attachment"]), values, values)
def test_what_aiohttp_reads_we_read_alike(disposition: str, name: str, filename: str) -> None:
    header = f'{disposition}; name="x{name}"; filename="x{filename}"'
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        theirs = aiohttp.multipart.parse_content_disposition(header)
    ours = parse_content_disposition(header)
    assert ours == (disposition, {"name": "x" + name, "filename": "x" + filename})
    if not caught:  # it splits at some semicolons inside quotes
        assert ours == theirs


def test_no_header() -> None:
    assert parse_content_disposition(None) == (None, {})
    assert parse_content_disposition("") == (None, {})
    assert content_disposition_filename({}) is None
    assert content_disposition_filename({"name": "a"}) is None


@pytest.mark.parametrize(
    "header",
    [
        '"attachment"',
        "attachment filename=x",
        "attachment, filename=x",
        "attachment; filename",
        "attachment; filename=",
        "attachment; filename=foo bar.html",
        'attachment; filename="foo',
        'attachment; filename="foo"bar',
        "attachment; filename=a; filename=b",
        '; filename="a"',
        "=",
        "\u00e9",
    ],
)
def test_a_bad_header_is_a_warning(header: str) -> None:
    with pytest.warns(BadContentDispositionHeader) as caught:
        assert parse_content_disposition(header) == (None, {})
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.warns(aiohttp.multipart.BadContentDispositionHeader):
        assert aiohttp.multipart.parse_content_disposition(header) == (None, {})


@pytest.mark.parametrize("value", ["a", "utf-8'a", "bogus''a", "utf-8''%ff", "utf-8''a%"])
def test_a_bad_parameter_is_a_warning(value: str) -> None:
    with pytest.warns(BadContentDispositionParam) as caught:
        assert parse_content_disposition(f"attachment; filename*={value}; x=y") == ("attachment", {"x": "y"})
    assert [warning.filename for warning in caught] == [__file__]


def test_the_names_of_the_warnings_are_classes_of_warnings() -> None:
    assert issubclass(BadContentDispositionHeader, RuntimeWarning)
    assert issubclass(BadContentDispositionParam, RuntimeWarning)


def test_sections_that_do_not_join_are_no_file_name() -> None:
    assert content_disposition_filename({"filename*1": "a"}) is None
    assert content_disposition_filename({"filename*0*": "bogus''a"}) is None
    assert content_disposition_filename({"filename*0": "a", "filename*2": "b"}) is None
    assert content_disposition_filename({"filename*": "a", "filename": "b"}) == "a"
    assert content_disposition_filename({"name": "b"}, "name") == "b"


# Linear time: quadratic work on these would take minutes, exponential work for ever. What Python walks through item by
# item is shorter, to keep the tests quick.

MIB = 1024 * 1024
UNBOUNDED = Limits(max_parameters=None, max_boundary_length=None)
PATHOLOGICAL = {
    "semicolons": ";" * (MIB // 16),
    "semicolons and spaces": "; " * (MIB // 16),
    "spaces": " " * MIB,
    "spaces, then junk": ";" + " " * MIB + "\u00e9",
    "a token": "; " + "a" * MIB,
    "a token, spaces": "; a" + " " * MIB,
    "an open quote": '; a="' + "b" * MIB,
    "an open quote of backslashes": '; a="' + "\\" * MIB,
    "an open quote of quoted pairs": '; a="' + '\\"' * (MIB // 2),
    "quoted pairs": '; a="' + '\\"' * (MIB // 16) + '"',
    "percent signs": '; a="' + "%22" * (MIB // 3) + '"',
    "an unquoted value": "; a=" + "b" * MIB,
    "an unquoted value, then a quote": "; a=" + "b" * MIB + '"',
    "an extended value": "; a*=utf-8''" + "%41" * (MIB // 3),
    "an extended value, cut": "; a*=utf-8''" + "%41" * (MIB // 3) + "%",
    "an extended value of quotes": "; a*=" + "'" * MIB,
    "stars": "; a" + "*" * MIB + "=b",
    "digits": "; a*" + "1" * MIB + "=b",
    "equals signs": "; a=" + "=" * MIB,
    "duplicates": "; a=b" + "; c=d" * 10_000,
    "parameters": "".join(f"; a{i}=b" for i in range(10_000)),
    "sections": "".join(f"; a*{i}=b" for i in range(1000)) + "; b=" + "c" * MIB,
}


@pytest.mark.parametrize("what", PATHOLOGICAL)
def test_long_values(what: str) -> None:
    tail = PATHOLOGICAL[what]
    outcome(lambda: parse_disposition("form-data" + tail, form_data=True, policy=LENIENT, limits=UNBOUNDED))
    outcome(lambda: parse_media_type("a/b" + tail, policy=LENIENT, limits=UNBOUNDED))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parameters = parse_content_disposition("form-data" + tail)[1]
        content_disposition_filename(parameters, "a")


@pytest.mark.parametrize(
    "block",
    [
        "A" * MIB,
        "A:" + " " * MIB,
        "A:" + " " * MIB + "\0",
        "A:" + " b" * (MIB // 2),
        "A:\r\n" * (MIB // 16) + "A:",
        "A:" + "\r\n " * (MIB // 16),
        "A:" + "\r\n b" * (MIB // 16),
        "\r\n" * (MIB // 2),
        " " * MIB,
        "\t" * MIB + "A: b",
        "A" + " " * MIB + ": b",
    ],
)
def test_long_field_blocks(block: str) -> None:
    outcome(lambda: parse_field_block(block, policy=STANDARD))
    decode_field_block(block.encode() + b"\xe9")


def outcome(call: Callable[[], object]) -> None:
    """A result or one of our errors, with a message that is not as long as the input."""
    try:
        call()
    except MultipartError as exc:
        if len(str(exc)) > 1000:
            pytest.fail(f"a long message: {str(exc)[:100]}")
