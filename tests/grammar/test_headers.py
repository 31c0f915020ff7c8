"""The header grammar, row by row of the table of ambiguous constructs."""

from __future__ import annotations

import re
import string
import warnings
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import aiohttp.multipart
import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from aiomultipart.exceptions import CodecError, LimitExceeded, MultipartError, ParseError, UnknownEncoding
from aiomultipart.grammar.boundary import check_boundary, parse_boundary
from aiomultipart.grammar.charsets import decode_text, lookup_charset
from aiomultipart.grammar.disposition import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    Disposition,
    content_disposition_filename,
    format_disposition,
    parse_content_disposition,
    parse_disposition,
)
from aiomultipart.grammar.fields import (
    as_multidict,
    check_field,
    decode_field_block,
    parse_content_length,
    parse_field_block,
)
from aiomultipart.grammar.media_type import media_type_charset, parse_media_type
from aiomultipart.limits import Limits
from aiomultipart.parser import PartBegin
from aiomultipart.policy import Policy

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
    assert judged(fields, "A: X1X") == [[("A", "X1X")]] * 3
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
        ("A: X1X\r\n X2X ", "X1X X2X"),  # white space goes, and nothing else
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
        'attachment; name="a\\"',
        'form-data; name="a\\"; x=y',
        'form-data; name="a"b',
        'form-data; name="a"X',
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
    for value in ("a\\b", "a\u3000"):
        assert judged(name_in_form, value) == [REJECTED, value, value]
        assert judged(filename_elsewhere, value) == [REJECTED, value, value]
    assert judged(name_in_form, "aX \t") == ["aX"] * 3
    assert judged(name_in_form, "a/b[0]") == [REJECTED, "a/b[0]", "a/b[0]"]
    assert judged(name_in_form, "\u00e9") == [REJECTED, "\u00e9", "\u00e9"]


def test_space_around_the_equals_sign_of_a_name() -> None:
    assert judged(name_in_form, " a") == [REJECTED, REJECTED, "a"]


def test_in_form_data_a_backslash_stays_before_what_nobody_escapes() -> None:
    for char in (*sorted(set(string.printable[:94]) - set('"\\')), "\u00e9", "\u65e5", "\u2028", "\u00a0"):
        assert judged(name_in_form, f'"a\\{char}b"') == [f"a\\{char}b"] * 3


def test_in_form_data_a_backslash_escapes_what_senders_escape() -> None:
    for char in '"\\ \t':
        assert judged(name_in_form, f'"a\\{char}b"') == [f"a{char}b"] * 3


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("email\\ 1", "email 1"),  # aiohttp
        ('a\\"b\\";c', 'a"b";c'),  # curl
        ("C:\\dir\\file.txt", "C:\\dir\\file.txt"),  # browsers of old
        ("C:\\\\dir\\\\file.txt", "C:\\dir\\file.txt"),  # httpx
        ("a\\;b \\(1\\).txt", "a\\;b \\(1\\).txt"),
        ("\\\\server\\share", "\\server\\share"),  # a loss, where it was sent raw
        ("\\\\\\\\server\\\\share", "\\\\server\\share"),
        ("a\\\\", "a\\"),
        ('a\\\\\\"', 'a\\"'),
        ("\\%22", '\\"'),
        ("\\\\%22", '\\"'),
        ('%22\\"%22', '"""'),
        ("\\a\\\\a\\\\\\a", "\\a\\a\\\\a"),
    ],
)
def test_quoted_pairs_in_form_data(sent: str, meant: str) -> None:
    assert judged(name_in_form, f'"{sent}"') == [meant] * 3
    assert judged(in_form, f'form-data; filename="{sent}"; name=n')[1] == Disposition(
        "form-data", {"filename": meant, "name": "n"}, ()
    )
    assert parse_content_disposition(f'form-data; name="{sent}"') == ("form-data", {"name": meant})


@pytest.mark.parametrize(
    ("parameters", "meant"),
    [
        ('name="a\\"', {"name": "a\\"}),  # Chromium
        ('name="\\"', {"name": "\\"}),
        ('name="a\\\\\\"', {"name": "a\\\\\\"}),
        ('name="a\\"; filename="b"', {"name": "a\\", "filename": "b"}),
        ('name="a"; filename="b\\"', {"name": "a", "filename": "b\\"}),
        ('name="a\\"; filename="b\\"', {"name": "a\\", "filename": "b\\"}),
        ('name="a\\"; filename=""', {"name": "a\\", "filename": ""}),
        ('name="%22\\ \\\\x\\%22\\"', {"name": '"\\ \\\\x\\"\\'}),
        ('name="C:\\\\dir\\\\"; filename="x\\\\\\"', {"name": "C:\\\\dir\\\\", "filename": "x\\\\\\"}),
        ('name="a\\"; filename="; x="', {"name": "a\\", "filename": "; x="}),
    ],
)
def test_backslashes_that_are_literal_or_leave_a_quote_open(parameters: str, meant: dict[str, str]) -> None:
    literal = Disposition("form-data", meant, ("literal-backslash",))
    assert judged(in_form, f"form-data; {parameters}") == [REJECTED, literal, literal]
    assert judged(elsewhere, f"form-data; {parameters}") == [REJECTED] * 3
    assert parse_content_disposition(f"form-data; {parameters}") == ("form-data", meant)


@pytest.mark.parametrize(
    "value",
    [
        'form-data; name="a\\";filename="b"',
        'form-data;name="a\\"',
        'form-data;  name="a\\"',
        'form-data; name="a\\" ',
        'form-data; name="a\\";',
        'form-data; name = "a\\"',
        'form-data; name="a\\"; x="b"',
        'form-data; name="a\\"; filename="b"; x=y',
        'form-data; filename="b"; name="a\\"',
        'form-data; filename="a\\"',
        'form-data; name=a; filename="b\\"',
        'form-data; name="a\\"; filename=b',
        'form-data; name="a"; filename="b"c\\"',
        'Form-Data; name="a\\"',
        'form-data; Name="a\\"',
        'attachment; name="a\\"',
        'form-data; name="a\\"; name="b"',
    ],
)
def test_backslashes_are_literal_only_in_what_browsers_send(value: str) -> None:
    assert judged(in_form, value) == [REJECTED] * 3


def test_a_value_that_reads_by_quoted_pairs_is_read_so() -> None:
    for policy in POLICIES:
        # The quotes could be the ends of two names that end in a backslash, too.
        read = in_form('form-data; name="a\\"; filename=\\"b"', policy=policy)
        assert read == Disposition("form-data", {"name": 'a"; filename="b'}, ())


def test_literal_backslashes_are_within_max_parameters() -> None:
    for value, count in (('form-data; name="a\\"', 1), ('form-data; name="a\\"; filename="b"', 2)):
        for most in range(3):
            limits = Limits(max_parameters=most)
            if most < count:
                with pytest.raises(LimitExceeded) as caught:
                    parse_disposition(value, form_data=True, policy=STANDARD, limits=limits)
                assert (caught.value.limit, caught.value.value) == ("max_parameters", most)
            else:
                assert (
                    parse_disposition(value, form_data=True, policy=STANDARD, limits=limits).parameters["name"] == "a\\"
                )


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
    ("value", "forgiven"),
    [
        ("a", False),
        ("''a", False),
        ("utf-8'a", False),
        ("utf-8''%", False),
        ("utf-8''%4", False),
        ("utf-8''%zz", False),
        ("utf-8''a%4gb", False),
        ("utf-8''%ff", False),
        ("utf-8''a b", False),
        ("bogus''a", True),
        ("no-such'en'%41%00", True),
        ("base64''YQ%3D%3D", True),
        ("utf-7''a", True),
    ],
)
def test_extended_that_does_not_decode(value: str, forgiven: bool) -> None:
    quoted = f'"{value}"'
    # In a charset nobody knows it stays a file, by the name that was sent.
    as_sent = Disposition("form-data", {"name": "a", "filename": value}, ("extended-parameter-charset",))
    assert judged(in_form, f"form-data; name=a; filename*={quoted}") == [
        *[REJECTED] * 2,
        as_sent if forgiven else REJECTED,
    ]
    as_sent = Disposition("form-data", {"name": value}, ("extended-parameter-charset",))
    assert judged(in_form, f"form-data; name*={quoted}") == [*[REJECTED] * 2, as_sent if forgiven else REJECTED]
    plain = Disposition("form-data", {"name": "a", "filename": "b"}, ("bad-extended-parameter",))
    assert judged(in_form, f"form-data; name=a; filename*={quoted}; filename=b") == [REJECTED, plain, plain]
    # Elsewhere the plain one stands in for it (RFC 6266 section 4.3).
    plain = Disposition("attachment", {"filename": "a"}, ("bad-extended-parameter",))
    assert judged(elsewhere, f"attachment; filename=a; filename*={quoted}") == [REJECTED, plain, plain]


@pytest.mark.parametrize("label", ["us-ascii", "windows-1252", "utf-16", "shift_jis", "iso-8859-15", "koi8-r"])
def test_in_form_data_two_charsets_are_enough(label: str) -> None:
    decoded = b"AB".decode(label)
    forgiven = Disposition("form-data", {"name": "a", "filename": decoded}, ("extended-parameter-charset",))
    assert judged(in_form, f"form-data; name=a; filename*={label}''%41%42") == [REJECTED, REJECTED, forgiven]
    plain = Disposition("form-data", {"name": "a", "filename": "b"}, ("extended-parameter-beside-plain",))
    value = f"form-data; name=a; filename=b; filename*={label}''%41%42"
    assert judged(in_form, value) == [REJECTED, plain, plain]
    assert REJECTED not in judged(elsewhere, f"attachment; filename*={label}''%41%42")


@pytest.mark.parametrize(
    ("parameters", "meant"),
    [
        ("filename*0=a; filename*1=b", "ab"),
        ('filename*1="b c"; filename*0=a', "ab c"),
        ("filename*0*=utf-8''%C3; filename*1*=%A9", "\u00e9"),
        ("filename*0*=utf-8''%41; filename*1=%41", "A%41"),
        ("filename*0*=koi8-r''%C1; filename*1*=%C2", "\u0430\u0431"),
        ("; ".join(f"filename*{i}={i % 10}" for i in range(12)), "012345678901"),
    ],
)
def test_continuations(parameters: str, meant: str) -> None:
    good = Disposition("form-data", {"filename": meant, "name": "n"}, ())
    forgiven = good._replace(defects=("continued-parameter",))
    assert judged(in_form, f"form-data; name=n; {parameters}") == [REJECTED, REJECTED, forgiven]
    assert judged(elsewhere, f"form-data; name=n; {parameters}") == [good] * 3


@pytest.mark.parametrize(
    ("parameters", "as_sent"),
    [
        ("filename*1=a", {}),
        ("filename*0=a; filename*2=b", {}),
        ("filename*0*=a; filename*1=b", {"filename": "ab"}),
        ("filename*0*=bogus''a", {"filename": "bogus''a"}),
        ("filename*1=b; filename*0*=utf-8''%ff", {"filename": "utf-8''%ffb"}),
    ],
)
def test_continuations_that_do_not_join(parameters: str, as_sent: dict[str, str]) -> None:
    for plain in ({}, {"filename": "p"}):
        value = "attachment" + "".join(f"; {name}={given}" for name, given in plain.items()) + f"; {parameters}"
        left = Disposition("attachment", plain, ("bad-continued-parameter",))
        assert judged(elsewhere, value) == [REJECTED, left, left]
    left = Disposition("form-data", {"name": "n"} | as_sent, ("bad-continued-parameter",))
    assert judged(in_form, f"form-data; name=n; {parameters}") == [REJECTED, REJECTED, left]


@pytest.mark.parametrize("code", [*range(32), 127])
def test_extended_that_decodes_to_control_characters(code: int) -> None:
    sent = f"utf-8''a%{code:02x}"
    defects = ("control-in-extended-parameter",)
    for read, disposition in ((in_form, "form-data; name=n"), (elsewhere, "attachment; name=n")):
        kind = disposition.partition(";")[0]
        kept = Disposition(kind, {"name": "n", "filename": sent}, defects)
        assert judged(read, f"{disposition}; filename*={sent}") == [REJECTED, REJECTED, kept]
        assert judged(read, f'{disposition}; filename*="{sent}"') == [REJECTED, REJECTED, kept]
        plain = Disposition(kind, {"name": "n", "filename": "b"}, defects)
        for both in (f"filename=b; filename*={sent}", f"filename*={sent}; filename=b"):
            assert judged(read, f"{disposition}; {both}") == [REJECTED, REJECTED, plain]
        named = Disposition(kind, {"name": sent}, defects)
        assert judged(read, f"{kind}; name*={sent}") == [REJECTED, REJECTED, named]
        # In sections too
        assert judged(read, f"{disposition}; filename*0*={sent}; filename*1=.txt") == [
            *[REJECTED] * 2,
            Disposition(kind, {"name": "n", "filename": sent + ".txt"}, defects),
        ]
        assert judged(read, f"{disposition}; filename=b; filename*0*={sent}") == [REJECTED, REJECTED, plain]
    with pytest.warns(BadContentDispositionParam):
        assert parse_content_disposition(f"attachment; filename*={sent}; x=y") == ("attachment", {"x": "y"})
    assert content_disposition_filename({"filename*0*": sent}) is None


def test_what_is_no_control_character() -> None:
    for decoded in (" ", "~", "\x80", "\x85", "\u2028"):
        sent = f"utf-8''{quote(decoded)}"
        assert judged(in_form, f"form-data; name*={sent}")[1:] == [Disposition("form-data", {"name": decoded}, ())] * 2
    # A TAB may stand in a quoted-string.
    assert judged(elsewhere, 'attachment; filename="a\tb"') == [Disposition("attachment", {"filename": "a\tb"}, ())] * 3
    assert (
        judged(elsewhere, 'attachment; filename*0="a\tb"') == [Disposition("attachment", {"filename": "a\tb"}, ())] * 3
    )
    assert content_disposition_filename({"filename*0": "a\tb"}) == "a\tb"


@pytest.mark.parametrize(
    "name", ["filename*00", "filename*01", "filename**", "filename*x", "filename*-1", "filename*0**"]
)
def test_in_form_data_no_other_star_passes(name: str) -> None:
    # Other parsers make file names of some of these.
    left = Disposition("form-data", {"name": "a"}, ("bad-continued-parameter",))
    assert judged(in_form, f"form-data; name=a; {name}=evil") == [REJECTED, REJECTED, left]
    # Elsewhere they are parameters that nobody knows, and nothing that anybody asks for.
    assert judged(elsewhere, f"attachment; {name}=evil") == [Disposition("attachment", {}, ())] * 3


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
        *("\xa0utf-8", "utf-8\u2003", "\u212aoi8-r"),  # not ASCII, whatever it becomes
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


def test_what_aiohttp_reads_otherwise() -> None:
    for form_data in ("form-data", "Form-Data"):
        header = f'{form_data}; name="C:\\dir\\f%22"'
        assert parse_content_disposition(header) == ("form-data", {"name": 'C:\\dir\\f"'})
    header = 'attachment; filename="C:\\dir\\f%22"'
    assert parse_content_disposition(header) == ("attachment", {"filename": "C:dirf%22"})
    header = "form-data; filename*=koi8-r''%C1"
    assert parse_content_disposition(header) == ("form-data", {"filename*": "\u0430"})


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
    assert [str(warning.message) for warning in caught] == [header]
    with pytest.warns(aiohttp.multipart.BadContentDispositionHeader):
        assert aiohttp.multipart.parse_content_disposition(header) == (None, {})


@pytest.mark.parametrize("value", ["a", "utf-8'a", "bogus''a", "utf-8''%ff", "utf-8''a%"])
def test_a_bad_parameter_is_a_warning(value: str) -> None:
    header = f"attachment; filename*={value}; x=y"
    with pytest.warns(BadContentDispositionParam) as caught:
        assert parse_content_disposition(header) == ("attachment", {"x": "y"})
    assert [str(warning.message) for warning in caught] == [header]


@pytest.mark.parametrize("header", ["=", "attachment; x=y; x=y", "attachment; x*=y"])
def test_a_warning_points_at_the_caller(header: str) -> None:
    with pytest.warns(RuntimeWarning) as caught:
        parse_content_disposition(header)
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


# What an error says

LONG = "x" * 61


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("A\0: b", "control character '\\x00' in header line 'A\\x00: b'"),
        ("A: b\n", "control character '\\n' in header line 'A: b\\n'"),
        (" A: b", "first header line begins with white space: ' A: b'"),
        ("\tA: b", "first header line begins with white space: '\\tA: b'"),
        ("A: b\r\n c", "folded header line: ' c'"),
        ("A: b\r\n ", "folded header line: ' '"),
        ("A", "header line without a colon: 'A'"),
        ("A : b: c", "white space before the colon of header line 'A : b: c'"),
        ("A\t: b", "white space before the colon of header line 'A\\t: b'"),
        ("A(X): b: c", "header field name 'A(X)' is no token"),
        ("A(X: b", "header field name 'A(X' is no token"),
        ("A\u3000: b", "header field name 'A\\u3000' is no token"),
        ("(" + LONG + ": b", "header field name '(" + LONG[:59] + "' is no token"),
        (LONG[:60], "header line without a colon: '" + LONG[:60] + "'"),
        (LONG, "header line without a colon: '" + LONG[:57] + "...'"),
    ],
)
def test_an_error_in_a_field_block_says_what_is_wrong(block: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_field_block(block, policy=STRICT)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("content_type", "policy", "message"),
    [
        ("a/b; boundary=b\n", STRICT, "control character '\\n'"),
        (LONG, STRICT, f"{LONG[:60]!r} is no media type"),
        ("a/b; x=y; X=z", STRICT, "parameter 'x' is there twice"),
        ("a/b; boundary=b,c", STANDARD, "unquoted comma in the boundary parameter"),
        ("a/b; boundary =b", STRICT, "white space around the '=' of parameter 'boundary'"),
        ("a/b; x=(y)", STRICT, "unquoted value of parameter 'x' is no token"),
        ("a/b; x=y, " + LONG, STANDARD, "cannot read its parameters from '" + (" " + LONG)[:40] + "' on"),
        ("a/b; x y" + LONG, STRICT, "cannot read its parameters from '" + ("; x y" + LONG)[:40] + "' on"),
        ('a/b; x="y"' + LONG, STRICT, "cannot read its parameters from '" + ('; x="y"' + LONG)[:40] + "' on"),
        ("A/B; x=y", STRICT, "a/b without a boundary parameter"),
        ("a/b; boundary=b; boundary*=utf-8''b", STRICT, "extended parameter 'boundary*' in place of a boundary"),
        ('a/b; boundary=""', STRICT, "empty boundary"),
        ('a/b; boundary="b "', STRICT, "boundary 'b ' holds a character that no boundary has"),
    ],
)
def test_an_error_in_a_content_type_says_what_is_wrong(content_type: str, policy: Policy, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        boundary_of(content_type, policy=policy)
    assert str(caught.value) == f"Content-Type: {message}"


@pytest.mark.parametrize(
    ("disposition", "policy", "message"),
    [
        ("(" + LONG, LENIENT, f"{'(' + LONG[:59]!r} does not begin with a disposition type"),
        ("form-data; x=y; X=z", LENIENT, "parameter 'x' is there twice"),
        ("form-data; name*=utf-8''a", STRICT, "extended parameter 'name*' in form-data (RFC 7578 section 4.2)"),
        ("form-data; name*0=a", STANDARD, "continued parameter 'name*0' in form-data"),
        ("form-data; x*0=a; x*0*=b", LENIENT, "section 0 of parameter 'x' is there twice"),
        ("form-data; name*=a", STANDARD, "'name*' is no extended value (RFC 8187)"),
        ("form-data; name*=cp437''a", STANDARD, "charset 'cp437' of parameter 'name*' is not supported"),
        ("form-data; name*=utf-8''%ff", STANDARD, "parameter 'name*' is not in charset 'utf-8'"),
        ("attachment; x*1=a", STRICT, "continued parameter 'x' does not join (RFC 2231)"),
    ],
)
def test_an_error_in_a_disposition_says_what_is_wrong(disposition: str, policy: Policy, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        (elsewhere if disposition.startswith("attachment") else in_form)(disposition, policy=policy)
    assert str(caught.value) == f"Content-Disposition: {message}"


def test_the_other_errors_say_what_is_wrong() -> None:
    with pytest.raises(LimitExceeded) as limit:
        check_boundary("b" * 71, policy=STANDARD, limits=Limits())
    assert str(limit.value) == "boundary: boundary of 71 characters, over 70"
    assert (limit.value.limit, limit.value.value) == ("max_boundary_length", 70)
    with pytest.raises(LimitExceeded) as limit:
        parse_media_type("a/b; c=d", limits=Limits(max_parameters=0))
    assert str(limit.value) == "Content-Type has more than 0 parameters"
    with pytest.raises(LimitExceeded) as limit:
        parse_disposition("a; c=d", form_data=False, policy=STANDARD, limits=Limits(max_parameters=0))
    assert str(limit.value) == "Content-Disposition has more than 0 parameters"
    with pytest.raises(ParseError) as length:
        parse_content_length("1" * 41)
    assert str(length.value) == f"Content-Length: {'1' * 40!r} is no length"


def test_white_space_around_the_equals_sign_is_a_defect() -> None:
    defects: list[str] = []
    parse_media_type("a/b; c =d; e=f; g= h", policy=LENIENT, defects=defects)
    assert defects == ["white-space-around-equals"] * 2
    assert in_form("form-data; name =a", policy=LENIENT).defects == ("white-space-around-equals",)


# Text in a charset that a message names


def test_text() -> None:
    for policy in POLICIES:
        assert decode_text("\u00e9".encode(), "utf-8", policy=policy) == ("\u00e9", None)
        assert decode_text(b"\xe9", "ISO-8859-1", policy=policy) == ("\u00e9", None)
        for label, charset in (("utf-8", "utf-8"), ("UTF-8", "utf_8"), ("us-ascii", "ascii")):
            message = f"^text is not in charset {charset}: '{charset.replace('_', '-')}' "
            if policy is LENIENT:
                assert decode_text(b"a\xe9", label, policy=policy) == ("a\ufffd", "undecodable-text")
                continue
            with pytest.raises(CodecError, match=message):
                decode_text(b"a\xe9", label, policy=policy)
    with pytest.raises(CodecError):
        decode_text(b"\x00\xd8\x00", "utf-16-le", policy=STANDARD)


def test_text_in_an_unknown_charset() -> None:
    for policy in (STRICT, STANDARD):
        with pytest.raises(UnknownEncoding) as caught:
            decode_text(b"a", LONG, policy=policy)
        assert str(caught.value) == f"charset {LONG[:40]!r} is not supported"
    assert decode_text(b"\xc3\xa9\xe9", "bogus", policy=LENIENT) == ("\u00e9\ufffd", "unknown-charset")


# What a writer needs


def test_header_fields_of_any_mapping() -> None:
    ours = as_multidict({"A": "1", "b": "2"})
    assert list(ours.items()) == [("A", "1"), ("b", "2")]
    assert (ours["a"], ours["B"]) == ("1", "2")
    assert as_multidict(ours) is ours
    repeated = as_multidict(httpx.Headers([("A", "1"), ("a", "2")]))
    assert list(repeated.items()) == [("a", "1"), ("a", "2")]
    assert as_multidict(CIMultiDict([("A", "1"), ("a", "2")])).getall("A") == ["1", "2"]


def test_the_charset_of_a_content_type() -> None:
    assert media_type_charset(None) is None
    assert media_type_charset("text/plain") is None
    assert media_type_charset("nothing") is None
    assert media_type_charset('Text/Plain; Charset="Latin-1"') == "Latin-1"
    assert media_type_charset("text/plain; charset =koi8-r; x=(y)") == "koi8-r"


def test_fields_that_can_be_written() -> None:
    check_field("X-Header!", "any text, \t \u00e9")
    for name in ("", "a b", "a:", "\u00e9", "a\n"):
        with pytest.raises(ValueError, match=f"^header field name {re.escape(repr(name))} is no token$"):
            check_field(name, "a")
    for code in (*range(9), *range(10, 32), 127):
        char = chr(code)
        message = f"control character {char!r} in the value of header field X"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            check_field("X", f"a{char}b")


@pytest.mark.parametrize(
    ("value", "in_form_data", "elsewhere", "unescaped"),
    [
        ("a b", "a b", 'f="a b"', "a b"),
        ('"\\a', "%22\\a", 'f="\\"\\\\a"', '\\"\\\\a'),
        ("\u00e9\u65e5.txt", "\u00e9\u65e5.txt", "f=\"__.txt\"; f*=utf-8''%C3%A9%E6%97%A5.txt", "\u00e9\u65e5.txt"),
        ("\u00e9/'", "\u00e9/'", "f=\"_/'\"; f*=utf-8''%C3%A9%2F%27", "\u00e9/'"),
        ("", "", 'f=""', ""),
    ],
)
def test_dispositions_that_are_written(value: str, in_form_data: str, elsewhere: str, unescaped: str) -> None:
    for disposition_type in ("form-data", "Form-Data"):
        assert format_disposition(disposition_type, {"f": value}) == f'{disposition_type}; f="{in_form_data}"'
    assert format_disposition("attachment", {"f": value}) == f"attachment; {elsewhere}"
    for disposition_type in ("form-data", "attachment"):
        written = format_disposition(disposition_type, {"f": value}, quote_fields=False)
        assert written == f'{disposition_type}; f="{unescaped}"'


def test_a_disposition_with_more_parameters_or_none() -> None:
    assert format_disposition("inline", {}) == "inline"
    assert format_disposition("inline", {"a": "1", "b": "2"}) == 'inline; a="1"; b="2"'
    latin = format_disposition("inline", {"f": "\u00e9"}, charset="iso-8859-1")
    assert latin == "inline; f=\"_\"; f*=iso-8859-1''%E9"


def test_what_no_disposition_can_hold() -> None:
    assert format_disposition("form-data", {"f": "\r\n"}) == 'form-data; f="%0D%0A"'
    for arguments, quote_fields, message in (
        (("a b", {}), True, "disposition type 'a b' is no token"),
        (("a", {"b c": "d"}), True, "parameter name 'b c' is no token"),
        (("form-data", {"f": "a\0"}), True, "control character '\\x00' in parameter f"),
        (("form-data", {"f": "a\r"}), False, "control character '\\r' in parameter f"),
        (("attachment", {"f": "a\n"}), True, "control character '\\n' in parameter f"),
    ):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            format_disposition(*arguments, quote_fields=quote_fields)


def test_what_was_written_is_read_again() -> None:
    for value in ("a", 'a"b\\c', "\u00e9 \u65e5", "a;b=c", "%41", "a'b*"):
        for policy in POLICIES:
            written = format_disposition("attachment", {"filename": value})
            assert elsewhere(written, policy=policy) == ("attachment", {"filename": value}, ())


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


def test_a_star_in_the_middle_of_a_name_is_forgiven_aloud() -> None:
    assert judged(in_form, "form-data; name=a; b*n=x") == [
        REJECTED,
        REJECTED,
        Disposition("form-data", {"name": "a"}, ("bad-continued-parameter",)),
    ]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a\\b", "a\\b"),
        ("a\\", "a\\\\"),
        ("a\\\\", "a\\\\\\\\"),
        ("\\\\server\\share", "\\\\\\server\\share"),
        ("a\\ b\\\tc", "a\\\\ b\\\\\tc"),
        ('a\\"', "a\\%22"),
        ("\\;\\%\\\r\n", "\\;\\%\\%0D%0A"),
    ],
)
def test_backslashes_that_are_written(name: str, written: str) -> None:
    assert format_disposition("form-data", {"name": name}) == f'form-data; name="{written}"'
    assert format_disposition("attachment", {"filename": "a\\"}) == 'attachment; filename="a\\\\"'


names = st.text(st.sampled_from('\\\\";% \tab2') | st.sampled_from("A0\u00e9\u65e5"), max_size=12).filter(
    lambda name: "%22" not in name
)


@settings(max_examples=500, deadline=None)
@given(names, st.none() | names, st.booleans(), st.sampled_from(POLICIES))
@example("a\\", "b\\", True, STRICT)
@example('a\\"; filename=\\', None, True, STRICT)
@example("\\ \\\t\\\\ \\", "\\\\\\", False, STRICT)
def test_every_name_comes_back(name: str, filename: str | None, quote_fields: bool, policy: Policy) -> None:
    parameters = {"name": name} if filename is None else {"name": name, "filename": filename}
    written = format_disposition("form-data", parameters, quote_fields=quote_fields)
    assert in_form(written, policy=policy) == Disposition("form-data", parameters, ())
    # As a header block: white space at the end of a name is the name's.
    block = f"Content-Disposition: {written}".encode()
    begin = PartBegin(block, form_data=True, policy=policy, limits=Limits())
    assert (begin.name, begin.filename, begin.defects) == (name, filename, ())
    assert parse_content_disposition(written) == ("form-data", parameters)
