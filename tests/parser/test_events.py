"""What a part's header block says: PartBegin, under each policy."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDictProxy

from aiomultipart.exceptions import LimitExceeded, MultipartError, ParseError
from aiomultipart.limits import Limits
from aiomultipart.parser import END, PART_END, Defect, Mark, PartBegin, PushMultipartParser
from aiomultipart.policy import Policy

POLICIES = list(Policy)
STRICT, STANDARD, LENIENT = Policy.STRICT, Policy.STANDARD, Policy.LENIENT
REJECTED = "rejected"
FIELD = b'Content-Disposition: form-data; name="a"'


def begin(
    block: bytes, *, form_data: bool = False, policy: Policy = STANDARD, limits: Limits | None = None
) -> PartBegin:
    return PartBegin(block, form_data=form_data, policy=policy, limits=limits or Limits())


def judged(block: bytes, *attributes: str, form_data: bool = False) -> list[Any]:
    """The attributes under STRICT, STANDARD and LENIENT; one alone, several as a tuple."""
    results: list[Any] = []
    for policy in (STRICT, STANDARD, LENIENT):
        try:
            part = begin(block, form_data=form_data, policy=policy)
        except MultipartError:
            results.append(REJECTED)
            continue
        found = tuple(getattr(part, name) for name in attributes)
        results.append(found[0] if len(found) == 1 else found)
    return results


SHOWN = (
    *("form_data", "disposition_type", "name", "filename", "content_type", "content_length", "boundary", "defects"),
    *("charset", "transfer_encoding", "content_coding"),
)


def visible(part: PartBegin) -> dict[str, Any]:
    """All that a part shows, but for its bytes and its fields."""
    return {name: getattr(part, name) for name in SHOWN} | {"media_type": part.media_type}


def test_a_part_without_headers() -> None:
    part = begin(b"")
    assert visible(part) == dict.fromkeys(visible(part)) | {"form_data": False, "defects": ()}
    assert part.raw == b""
    assert len(part.headers) == 0
    assert judged(b"", "defects") == [()] * 3
    assert judged(b"", "name", "defects", form_data=True) == [REJECTED, *[(None, ("no-form-data-name",))] * 2]


def test_a_part_in_full() -> None:
    block = (
        b'Content-Disposition: ATTACHMENT; name=n; filename="f \\"1\\".txt"\r\n'
        b"content-type: Text/HTML; Charset=UTF-8\r\n"
        b"Content-Transfer-Encoding: Base64\r\nContent-Encoding: GZip\r\nContent-Length: 12\r\nX-A: 1\r\nx-a: 2"
    )
    part = begin(block)
    assert visible(part) == {
        "form_data": False,
        "disposition_type": "attachment",
        "name": "n",
        "filename": 'f "1".txt',
        "content_type": "text/html",
        "content_length": 12,
        "boundary": None,
        "defects": (),
        "charset": "UTF-8",
        "transfer_encoding": "Base64",
        "content_coding": "GZip",
        "media_type": ("text", "html", {"charset": "UTF-8"}),
    }
    assert part.raw == block
    assert isinstance(part.headers, CIMultiDictProxy)
    assert part.headers is part.headers
    assert part.headers.getall("X-A") == ["1", "2"]
    assert list(part.headers)[:2] == ["Content-Disposition", "content-type"]


@pytest.mark.parametrize("policy", POLICIES)
def test_headers_of_a_common_form_part_are_there_when_asked_for(policy: Policy) -> None:
    part = begin(
        b'Content-Disposition: form-data; name="a"; filename="b"\r\nContent-Type: Image/PNG',
        form_data=True,
        policy=policy,
    )
    assert (part.name, part.filename, part.content_type, part.disposition_type) == ("a", "b", "image/png", "form-data")
    assert part.headers == {"Content-Disposition": 'form-data; name="a"; filename="b"', "Content-Type": "Image/PNG"}
    assert part.media_type == ("image", "png", {})
    assert part.media_type is part.media_type
    assert (part.charset, part.transfer_encoding, part.content_coding) == (None, None, None)
    assert (part.boundary, part.content_length, part.defects) == (None, None, ())
    bare = begin(FIELD, form_data=True, policy=policy)
    assert (bare.media_type, bare.content_type, bare.charset, bare.filename) == (None, None, None, None)


def test_no_other_attribute() -> None:
    part: Any = begin(FIELD, form_data=True)
    with pytest.raises(AttributeError, match="'PartBegin' object has no attribute 'nothing'"):
        part.nothing  # noqa: B018
    with pytest.raises(AttributeError):
        part.nothing = 1


def test_equality_and_repr() -> None:
    part = begin(FIELD)
    assert part == begin(FIELD)
    assert part != begin(FIELD, form_data=True)
    assert part != begin(FIELD + b"; filename=b")
    assert part != FIELD
    assert len({part, begin(FIELD), begin(b"")}) == 2
    assert repr(begin(b"A: 1")) == "<PartBegin 0 at 0: b'A: 1'>"


@pytest.mark.parametrize("block", [FIELD, b"A: 1", b"Content-Type: text/plain; charset=utf-8"])
def test_copies(block: bytes) -> None:
    """Also when all that is made on demand has been made."""
    part = begin(block)
    assert (len(part.headers), part.media_type is None) == (1, part.content_type is None)
    for other in (copy.copy(part), copy.deepcopy(part), pickle.loads(pickle.dumps(part))):
        assert other == part
        assert [*other.headers.items()] == [*part.headers.items()]
        assert (other.name, other.media_type, other.charset) == (part.name, part.media_type, part.charset)


def test_marks_and_defects() -> None:
    assert (PART_END, END) == (Mark.PART_END, Mark.END)
    kind, offset, part_index, size = defect = Defect("kind", 5, None)
    assert (kind, offset, part_index, size) == ("kind", 5, None, 0)
    assert repr(defect) == "Defect('kind', 5, None)"
    assert repr(Defect("kind", 5, 1, 7)) == "Defect('kind', 5, 1, size=7)"


def test_the_size_of_a_defect_is_part_of_it() -> None:
    defect = Defect("kind", 5, 1, 7)
    assert defect._replace(offset=6) == Defect("kind", 6, 1, 7)
    assert repr(defect._replace(offset=6)) == "Defect('kind', 6, 1, size=7)"
    assert defect != Defect("kind", 5, 1, 8)
    assert len({defect, Defect("kind", 5, 1, 8), Defect("kind", 5, 1, 7)}) == 2
    assert pickle.loads(pickle.dumps(defect)) == copy.copy(defect) == defect


# Rows of the table of ambiguous constructs


@pytest.mark.parametrize(
    "block",
    [
        b"Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=a",
        FIELD + b"\r\ncontent-disposition: attachment",
        FIELD + b"\r\nContent-Type: text/plain\r\nCONTENT-TYPE: text/plain",
        FIELD + b"\r\nContent-Type: text/plain\r\nContent-Type: text/html",
        FIELD + b"; name=b",
        FIELD + b'; filename="b"; filename="b"',
        FIELD + b"\r\nContent-Transfer-Encoding: binary\r\nContent-Transfer-Encoding: base64",
    ],
)
def test_what_is_there_twice(block: bytes) -> None:
    for form_data in (False, True):
        assert judged(block, "name", form_data=form_data) == [REJECTED] * 3


@pytest.mark.parametrize(
    "value", [b"attachment; name=a", b"form-data", b"form-data; filename=b", b"inline; filename=a"]
)
def test_form_data_with_another_disposition_or_no_name(value: bytes) -> None:
    name = "a" if b"name=a" in value and b"filename=a" not in value else None
    block = b"Content-Disposition: " + value
    assert judged(block, "name", "defects", form_data=True) == [REJECTED, *[(name, ("no-form-data-name",))] * 2]
    assert judged(block, "defects") == [()] * 3


@pytest.mark.parametrize("value", [b"-1", b"", b"+1", b"1_0", b"1 2", b"0x1", b"\xc2\xb2", b"9" * 19])
def test_a_content_length_that_is_none(value: bytes) -> None:
    block = b"Content-Length: " + value
    assert judged(block, "content_length", "defects") == [REJECTED, REJECTED, (None, ("bad-content-length",))]
    for policy in POLICIES:
        assert begin(FIELD + b"\r\n" + block, form_data=True, policy=policy).content_length is None


def test_content_length() -> None:
    assert judged(b"Content-Length:127", "content_length") == [127] * 3
    assert judged(b"Content-Length: 0 ", "content_length") == [0] * 3
    assert judged(b"Content-Length: 1\r\nContent-Length: 1", "content_length") == [REJECTED] * 3
    twice = FIELD + b"\r\nContent-Length: 1\r\nContent-Length: 2"
    assert judged(twice, "content_length", form_data=True) == [None] * 3


@pytest.mark.parametrize("encoding", [b"base64", b"Quoted-Printable", b"x-uuencode", b"bogus"])
def test_transfer_encodings_in_form_data(encoding: bytes) -> None:
    block = FIELD + b"\r\nContent-Transfer-Encoding: " + encoding
    text = encoding.decode()
    assert judged(block, "transfer_encoding", "defects", form_data=True) == [REJECTED, (text, ()), (text, ())]
    assert judged(block, "transfer_encoding", "defects") == [(text, ())] * 3


@pytest.mark.parametrize("encoding", ["7bit", "8BIT", "Binary", ""])
def test_transfer_encodings_that_change_nothing(encoding: str) -> None:
    block = FIELD + b"\r\nContent-Transfer-Encoding: " + encoding.encode()
    assert judged(block, "transfer_encoding", form_data=True) == [encoding] * 3


def test_content_encoding_counts_outside_form_data_only() -> None:
    block = FIELD + b"\r\nContent-Encoding: gzip"
    assert judged(block, "content_coding") == ["gzip"] * 3
    assert judged(block, "content_coding", form_data=True) == [None] * 3


@pytest.mark.parametrize(
    "value", [b"image", b"", b"text/", b"text/plain; x", b"text/plain; a=b; a=b", b'text/plain; a="b']
)
def test_a_content_type_that_is_no_media_type(value: bytes) -> None:
    block = b"Content-Type: " + value
    forgiven = (None, None, None, ("bad-content-type",))
    attributes = ("content_type", "media_type", "charset", "defects")
    assert judged(block, *attributes) == [REJECTED, forgiven, forgiven]
    assert judged(FIELD + b"\r\n" + block, *attributes, form_data=True) == [REJECTED, forgiven, forgiven]


@pytest.mark.parametrize("charset", ["utf-8", "bogus", "base64", "x" * 100])
def test_the_charset_is_as_sent(charset: str) -> None:
    # Whether it is known is judged where text is read.
    assert judged(b'Content-Type: text/plain; CharSet="%b"' % charset.encode(), "charset") == [charset] * 3


@pytest.mark.parametrize("subtype", ["mixed", "Related", "form-data", "x-anything"])
def test_nested_boundaries(subtype: str) -> None:
    block = f'Content-Type: Multipart/{subtype}; boundary="bb"'.encode()
    for form_data in (False, True):
        assert judged(FIELD + b"\r\n" + block, "boundary", form_data=form_data) == ["bb"] * 3


@pytest.mark.parametrize(
    "parameters",
    [
        b"; boundary=b; boundary=b",
        b"; boundary*=utf-8''b",
        b"; boundary*0=b",
        b"; boundary=b; boundary*=utf-8''b",
        b"; boundary=a,b",
        b'; boundary="b',
        b"; boundary=",
        b'; boundary=""',
        b"; boundary=" + b"b" * 71,
        b"; boundary=\xc3\xa9",
        b'; boundary="b "',
        b"; boundary",
        b"; x",
    ],
)
def test_nested_boundaries_that_are_none(parameters: bytes) -> None:
    block = b"Content-Type: multipart/mixed" + parameters
    assert judged(block, "boundary") == [REJECTED] * 3
    assert judged(FIELD + b"\r\n" + block, "boundary", form_data=True) == [REJECTED] * 3


def test_nested_boundaries_under_the_policies() -> None:
    assert judged(b"Content-Type: multipart/x; boundary =b", "boundary") == [REJECTED, REJECTED, "b"]
    assert judged(b"Content-Type: multipart/x; boundary=a=b", "boundary") == [REJECTED, "a=b", "a=b"]
    # A saved page that a browser uploads is a file like any other.
    without = b"Content-Type: multipart/related; type=a"
    assert judged(without, "boundary", "content_type", "defects") == [
        REJECTED,
        *[(None, "multipart/related", ("multipart-without-boundary",))] * 2,
    ]


def test_validity_is_checked_when_the_part_begins() -> None:
    for value in (b"form-data; name=a; name=b", b"form-data; name=a; filename*=bogus''b", b"form-data; filename*0=a"):
        with pytest.raises(ParseError):
            begin(b"Content-Disposition: " + value, form_data=True)


@pytest.mark.parametrize(
    "block",
    [
        b"A: 1\r\nB : 2",
        b" A: 1",
        b"A: \0",
        b"A: 1\rB: 2",
        b"A: 1\nB: 2",
        b"A",
        b'Content-Disposition: form-data; name="a\0"',
        b'Content-Disposition: form-data; name="a\n"',
        b'Content-Disposition: form-data; name="a\r"',
        b'Content-Disposition: form-data; name="a\x7f"',
        b'Content-Disposition : form-data; name="a"',
        b' Content-Disposition: form-data; name="a"',
        b'Content-Disposition: form-data; name="a"\nContent-Type: text/plain',
        b'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain\r',
        b'Content-Disposition: form-data; name="a"\r\nContent-Type: text/plain\n',
        b'Content-Disposition: form-data; name="a"\r\n',
    ],
)
def test_bad_header_blocks(block: bytes) -> None:
    for form_data in (False, True):
        assert judged(block, "name", form_data=form_data) == [REJECTED] * 3


def test_folds() -> None:
    block = b'Content-Disposition: form-data;\r\n name="a";\r\n\tfilename="b\r\n c"\r\nContent-Type:\r\n text/plain'
    assert judged(block, "name", "filename", "content_type", form_data=True) == [
        REJECTED,
        *[("a", "b c", "text/plain")] * 2,
    ]


def test_errors_know_the_place_only_in_a_message() -> None:
    with pytest.raises(ParseError) as caught:
        begin(b"A")
    assert caught.value.offset is None
    assert caught.value.part_index is None


# The same under all limits, policies and spellings


@pytest.mark.parametrize("form_data", [False, True])
@pytest.mark.parametrize("policy", POLICIES)
def test_max_parameters_holds_for_every_spelling(policy: Policy, form_data: bool) -> None:
    for parameters in (b'name="a"; filename="b"', b"name=a; filename=b", b'name="a";filename="b"'):
        block = b"Content-Disposition: form-data; " + parameters
        assert begin(block, form_data=form_data, policy=policy, limits=Limits(max_parameters=2)).filename == "b"
        assert begin(block, form_data=form_data, policy=policy, limits=Limits(max_parameters=None)).filename == "b"
        for most in (0, 1):
            with pytest.raises(LimitExceeded) as caught:
                begin(block, form_data=form_data, policy=policy, limits=Limits(max_parameters=most))
            assert (caught.value.limit, caught.value.value) == ("max_parameters", most)


TEXT = [
    *"abcXYZ019",
    *" .,;:=*'/()[]<>@&+!#$-_~",
    "\\",
    '"',
    "%",
    "%22",
    "%0D",
    '\\"',
    "\\ ",
    "\u00e9",
    "\u0131",
    "\u212a",
]
TEXT += ["\u65e5\u672c", "\U0001f600", "\x80", "\x85", "\u2028", "\u00a0", "\u200b", "\ufeff"]
texts = st.lists(st.sampled_from(TEXT), max_size=8).map("".join)
cases = st.sampled_from([str, str.lower, str.upper, str.title])
media_types = st.sampled_from(
    [None, "text/plain", "Image/PNG", "multipart/mixed", "MULTIPART/x; boundary=b", "image", "a/b;c=d"]
)
encodings = st.sampled_from(["utf-8", "latin-1"])


@settings(max_examples=400, deadline=None)
@given(texts, st.none() | texts, media_types, cases, encodings, st.sampled_from(POLICIES))
def test_the_common_form_block_reads_as_any_other(
    name: str, filename: str | None, media_type: str | None, case: Any, encoding: str, policy: Policy
) -> None:
    quoted = name.replace('"', '\\"')
    disposition = f'{case("Content-Disposition")}: {case("form-data")}; {case("name")}="{quoted}"'
    if filename is not None:
        disposition += f'; {case("filename")}="{filename}"'  # an unescaped quote in it may make it bad
    rest = "" if media_type is None else f"\r\n{case('Content-Type')}: {media_type}"
    common = (disposition + rest).encode(encoding, "ignore")
    # The last three mean the same and are no common block: one parameter more, other white space, one field more.
    same = [
        (disposition + more).encode(encoding, "ignore") for more in (f"; x=y{rest}", f" ;{rest}", f"{rest}\r\nX: y")
    ]

    def read(make: Callable[[], PartBegin]) -> object:
        try:
            part = make()
        except MultipartError as exc:
            return type(exc)
        fields = [(key, value) for key, value in part.headers.items() if key not in ("X", case("Content-Disposition"))]
        return visible(part), fields

    if re.search(rb'\\"(?:;|$)', disposition.encode(encoding, "ignore")):
        return  # a backslash that is literal only where nothing stands behind it
    results = [read(partial(in_a_message, block, policy)) for block in (common, common, *same)]
    results += [read(partial(begin, block, form_data=True, policy=policy)) for block in (common, *same)]
    assert results == results[:1] * len(results)


def in_a_message(block: bytes, policy: Policy) -> PartBegin:
    """The part as the parser reads it, which has a quicker way for what is common and remembers what it read."""
    parser = PushMultipartParser("b", subtype="form-data", policy=policy)
    (part, *_) = parser.feed(b"--b\r\n" + block + b"\r\n\r\nx\r\n--b--\r\n")
    assert isinstance(part, PartBegin)
    assert part.raw == block
    return part


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from([*TEXT, "\r\n", "\r", "\0", "A: ", FIELD.decode(), "Content-Type: ", "Content-Length: 1"]),
        max_size=8,
    )
)
def test_any_block_gives_a_part_or_an_error(pieces: list[str]) -> None:
    block = "".join(pieces).encode()
    for form_data in (False, True):
        accepted = []
        for policy in (STRICT, STANDARD, LENIENT):
            try:
                part = begin(block, form_data=form_data, policy=policy)
            except MultipartError:
                continue
            accepted.append((policy, visible(part), list(part.headers.items())))
            assert policy is not STRICT or part.defects == ()
        # STRICT accepts a subset of STANDARD, STANDARD of LENIENT, and what both accept means the same.
        assert [policy for policy, *_ in accepted] == POLICIES[3 - len(accepted) :]
        assert [found[1:] for found in accepted] == [found[1:] for found in accepted[:1]] * len(accepted)


@pytest.mark.parametrize(
    ("block", "filename"),
    [
        ('filename="\u65e5\u672c.txt"'.encode(), "\u65e5\u672c.txt"),
        (b'filename="\xe9t\xe9.txt"', "\u00e9t\u00e9.txt"),
        (b'filename="\xe9t\xe9.txt"; x=y', "\u00e9t\u00e9.txt"),
        (b'filename="C:\\dir\\\xe9t\xe9.txt"', "C:\\dir\\\u00e9t\u00e9.txt"),
        (b"filename=\xe9", "\u00e9"),
    ],
)
def test_file_names_in_utf_8_and_iso_8859_1(block: bytes, filename: str) -> None:
    assert begin(FIELD + b"; " + block, form_data=True).filename == filename
    other_line = b"X: " + "\u65e5".encode() + b"\r\n"
    part = begin(other_line + FIELD + b"; " + block, form_data=True)
    assert (part.filename, part.headers["X"]) == (filename, "\u65e5")
