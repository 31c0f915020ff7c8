"""Policy.LENIENT: what devices send, read to the parts that a person would expect, and what was forgiven."""

from __future__ import annotations

import pytest

from aiomultipart import (
    CodecError,
    IncompleteBody,
    LimitExceeded,
    Limits,
    MultipartError,
    MultipartReader,
    ParseError,
    Policy,
    PushMultipartParser,
)
from aiomultipart.parser import END
from aiomultipart.testing import PAUSE, ScriptedSource
from tests.support.feeding import defects_of, parse, parse_all, parts
from tests.support.reading import MIXED, all_parts, build, everywhere, next_part

LENIENT = Policy.LENIENT
IMAGES = "x-mixed-replace"
MISSING = ("missing-close-delimiter", None, 0)
JPEG = b"\xff\xd8\r\n-\r\n--\r-\xff\xd9"
TYPE = b"Content-Type: image/jpeg"


def read(message: bytes, subtype: str = "mixed", boundary: str = "b", **kwargs: object) -> list[tuple[bytes, bytes]]:
    """The parts, the same for every cutting."""
    events, error = parse_all(message, subtype=subtype, boundary=boundary, policy=LENIENT, **kwargs)
    if error is not None:
        raise error
    return parts(events)


def forgiven(message: bytes, subtype: str = "mixed", boundary: str = "b") -> list[tuple[str, int | None, int]]:
    return defects_of(message, subtype=subtype, boundary=boundary, policy=LENIENT)


def counted(length: int | str, body: bytes) -> bytes:
    return b"Content-Length: %b\r\n\r\n%b" % (str(length).encode(), body)


# The boundary: rows 1, 2 and 3


@pytest.mark.parametrize("subtype", ["mixed", "x-mixed-replace", "form-data"])
def test_the_first_delimiter_line_shows_whether_the_boundary_has_its_dashes(subtype: str) -> None:
    head = b'Content-Disposition: form-data; name="a"'
    for dashes, defects in ((b"--", [("dashes-in-boundary", None, 0)]), (b"----", [])):
        line = dashes + b"myboundary"
        message = b"%b\r\n%b\r\n\r\none\r\n%b\r\n%b\r\n\r\ntwo\r\n%b--\r\n" % (line, head, line, head, line)
        assert read(message, subtype, "--myboundary") == [(head, b"one"), (head, b"two")]
        assert forgiven(message, subtype, "--myboundary") == defects


def test_a_boundary_of_dashes() -> None:
    # "------" is the delimiter of the boundary "----", and the close-delimiter of one whose dashes are there already.
    assert read(b"------\r\n\r\none\r\n--------\r\n", boundary="----") == [(b"", b"one")]
    assert read(b"----\r\n\r\none\r\n------\r\n", boundary="----") == [(b"", b"one")]


def test_no_policy_but_lenient_looks_for_the_boundary_without_more_dashes() -> None:
    message = b"--mine\r\n\r\none\r\n--mine--"
    for policy in (Policy.STRICT, Policy.STANDARD):
        assert parse([message], boundary="--mine", policy=policy)[0] == []
    assert parts(parse([message], boundary="--mine", policy=LENIENT)[0]) == [(b"", b"one")]


async def test_white_space_before_the_equals_sign() -> None:
    headers = {"Content-Type": "multipart/x-mixed-replace;boundary =--myboundary"}
    message = b"--myboundary\r\n" + TYPE + b"\r\n\r\n" + JPEG + b"\r\n--myboundary--\r\n"
    for policy in (Policy.STRICT, Policy.STANDARD):
        with pytest.raises(ParseError, match="white space"):
            MultipartReader(headers, message, policy=policy)
    reader = MultipartReader(headers, message, policy=LENIENT)
    assert await all_parts(reader) == [JPEG]
    assert [defect.kind for defect in reader.defects] == ["white-space-around-equals", "dashes-in-boundary"]


# One style for the message: row 12


@pytest.mark.parametrize("subtype", ["mixed", "x-mixed-replace", "byteranges"])
def test_line_feeds_only(subtype: str) -> None:
    message = b"--b\nA: 1\nB: 2\n\none\r\n\n--b \t\n\n\ntwo\n--b\n--b--\n"
    assert read(message, subtype) == [(b"A: 1\r\nB: 2", b"one\r\n"), (b"", b"\ntwo")]
    assert forgiven(message, subtype) == [("line-feed-only", None, 0)]


def test_the_other_style_is_data() -> None:
    message = b"--b\n\none\r\n--b\r\n\n--b--"
    assert read(message) == [(b"", b"one\r\n--b\r\n")]
    message = b"--b\r\n\r\none\n--b\n\r\n--b--"
    assert read(message) == [(b"", b"one\n--b\n")]
    assert forgiven(message) == []


def test_a_header_line_of_the_other_style_is_an_error() -> None:
    events, error = parse_all(b"--b\nA: 1\r\n\n\n--b--", policy=LENIENT)
    assert (events, type(error)) == ([], ParseError)


def test_a_preamble() -> None:
    for newline in (b"\r\n", b"\n"):
        for preamble in (
            b"",
            newline,
            b"text" + newline,
            newline * 3,
            b"--" + newline,
            b"--bb" + newline,
            b"x" * 9000 + newline,
        ):
            message = preamble + b"--b" + newline * 2 + b"one" + newline + b"--b--"
            assert read(message) == [(b"", b"one")], message
    # A delimiter line has the line ends of one style on both sides.
    assert read(b"text\n--b\r\n\r\nno\r\n--b\r\n\r\none\r\n--b--") == [(b"", b"one")]
    assert read(b"text\r\n--b\n\none\n--b--") == [(b"", b"one")]


def test_the_preamble_is_bounded_at_one_byte() -> None:
    limits = Limits(max_preamble=6)
    assert read(b"abcdef\r\n--b--", limits=limits) == []
    assert read(b"ab\r\nef\r\n--b--", limits=limits) == []
    for preamble in (b"abcdefg\r\n", b"abcdef\r\n\r\n", b"abcdefg", b"x" * 20_000):
        events, error = parse_all(preamble + b"--b--", few=True, policy=LENIENT, limits=limits)
        assert isinstance(error, LimitExceeded)
        assert (events, error.limit, error.offset) == ([], "max_preamble", 6)


# The end


def test_the_close_delimiter_is_missing() -> None:
    part = b"--b\r\nA: 1\r\n\r\none"
    cut = ("part-cut-short", 0, 0)
    for message, bodies, defects in (
        (b"", [], [MISSING]),
        (b"no delimiter", [], [MISSING]),
        (b"--b", [], [MISSING]),
        (b"--b\r\n", [], [MISSING]),
        (b"--b\r\nA: 1\r", [], [("headers-cut-short", 0, 0), MISSING]),
        (b"--b\r\nA: 1\r\n\r\n", [b""], [cut, MISSING]),
        (part, [b"one"], [cut, MISSING]),
        (part + b"\r\n--", [b"one\r\n--"], [cut, MISSING]),
        (part + b"\r\n--b", [b"one"], [MISSING]),
        (part + b"\r\n--b-", [b"one"], [MISSING]),
        (part + b"\r\n--b\r", [b"one"], [MISSING]),
        (part + b"\r\n--b\r\n", [b"one"], [MISSING]),
        (part + b"\r\n--b\r\n--b", [b"one"], [MISSING]),
        (part + b"\r\n--b--", [b"one"], []),
        (part + b"\r\n--b\r\n--b--", [b"one"], []),
    ):
        assert [body for _, body in read(message)] == bodies, message
        assert forgiven(message) == defects, message
        if defects:
            assert isinstance(parse([message])[1], IncompleteBody)


async def test_a_part_that_was_cut_short_is_marked() -> None:
    reader = MultipartReader(MIXED, b"--b\r\n\r\none\r\n--b\r\n" + counted(9, b"two"), policy=LENIENT)
    one = await next_part(reader)
    assert await one.read() == b"one"
    assert one.defects == ()
    two = await next_part(reader)
    assert await two.read() == b"two"
    assert [defect.kind for defect in two.defects] == ["part-cut-short"]
    assert await reader.next() is None
    assert reader.defects == (("part-cut-short", 41, 1, 0), ("missing-close-delimiter", 41, None, 0))


async def test_a_nested_message_without_its_close_delimiter() -> None:
    inner = b"--i\r\n\r\nleaf"
    message = build((b"Content-Type: multipart/mixed; boundary=i", inner), (b"", b"after"))

    async def check(source: object) -> None:
        reader = MultipartReader(MIXED, source, policy=LENIENT)  # type: ignore[arg-type]
        nested = await reader.next()
        assert isinstance(nested, MultipartReader)
        assert await all_parts(nested) == [b"leaf"]
        assert [defect.kind for defect in nested.defects] == ["part-cut-short", "missing-close-delimiter"]
        assert await (await next_part(reader)).read() == b"after"
        assert reader.defects == ()

    await everywhere(message, check)


def test_what_may_have_become_a_delimiter_at_the_end_of_the_input_is_data() -> None:
    head = b"--b\r\n" + TYPE + b"\r\n\r\n"
    for subtype in ("mixed", IMAGES):
        for end in (b"", b"\r", b"\r\n", b"\r\n-", b"\r\n--", b"-", b"--"):
            assert read(head + b"one" + end, subtype) == [(TYPE, b"one" + end)]
            most = 3 + len(end)
            assert read(head + b"one" + end, subtype, limits=Limits(max_part_size=most)) == [(TYPE, b"one" + end)]
            if end:
                limits = Limits(max_part_size=most - 1)
                events, error = parse_all(head + b"one" + end, subtype=subtype, policy=LENIENT, limits=limits)
                assert isinstance(error, LimitExceeded)
                assert error.offset == len(head) + most - 1
                assert events[1:] == [b"one" + end[:-1]]


@pytest.mark.parametrize("end", [b"--", b"-- ", b"--\r\n", b"--\n"])
def test_nothing_but_a_close_delimiter(end: bytes) -> None:
    defects = [("line-feed-only", None, 0)] if end == b"--\n" else []
    for preamble in (b"", b"text\r\n") if end != b"--\n" else (b"", b"text\n"):
        assert parse_all(preamble + b"--b" + end, policy=LENIENT) == ([END], None)
        assert forgiven(preamble + b"--b" + end) == defects
    if end == b"--":
        assert forgiven(b"text\n--b--") == [("line-feed-only", None, 0)]
        assert forgiven(b"--mine--", boundary="--mine") == [("dashes-in-boundary", None, 0)]
        # Too long to be looked at.
        assert forgiven(b"--b--" + b" " * 9000) == [MISSING]


# A Content-Length that lies: rows 9 and 10


def test_a_content_length_that_is_too_small() -> None:
    for length, body, rest in (
        (2, b"on", b"e"),
        (0, b"", b"one"),
        (3, b"one", b"\r\n"),
        (1, b"o", b"ne\r\n--"),
        (1, b"o", b"--b"),
    ):
        message = b"--b\r\n" + counted(length, body + rest) + b"\r\n--b\r\n\r\ntwo\r\n--b--"
        assert [body for _, body in read(message)] == [body, b"two"]
        assert forgiven(message) == [("content-length-too-small", 0, len(rest))]


def test_a_content_length_that_is_too_large() -> None:
    tail = b"\r\n--b\r\n\r\ntwo\r\n--b--"
    for more in range(100):
        message = b"--b\r\n" + counted(3 + more, b"one") + tail
        bodies = [body for _, body in read(message)]
        # As many bytes as announced are the body, unless a whole delimiter line is among them.
        expected = b"one" + tail[:more] if more < len(b"\r\n--b\r\n") else b"one"
        assert bodies == [expected, b"two"], more
        assert forgiven(message) == ([("content-length-too-large", 0, 0)] if more else []), more


def test_a_content_length_to_the_end_of_the_close_delimiter() -> None:
    for more in range(1, 30):
        bodies = [body for _, body in read(b"--b\r\n" + counted(3 + more, b"one") + b"\r\n--b--\r\n")]
        assert bodies == [b"one" + b"\r\n--b--\r\n"[:more] if more < 9 else b"one"], more


@pytest.mark.parametrize("length", ["-1", "12 3", "0x9", "", "1_0", "9" * 30])
def test_a_content_length_that_is_none(length: str) -> None:
    message = b"--b\r\n" + counted(length, b"one") + b"\r\n--b--"
    assert [body for _, body in read(message)] == [b"one"]
    assert forgiven(message) == [("bad-content-length", 0, 0)]


def test_surplus_counts_towards_the_part() -> None:
    message = b"--b\r\n" + counted(3, b"one" + b"x" * 10) + b"\r\n--b--"
    assert read(message, limits=Limits(max_part_size=13)) != []
    events, error = parse_all(message, policy=LENIENT, limits=Limits(max_part_size=12))
    assert parts(events) == [(b"Content-Length: 3", b"one")]
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.offset) == ("max_part_size", message.index(b"\r\n--b--") - 1)


def test_surplus_is_counted_once_where_a_delimiter_seemed_to_begin_in_the_body() -> None:
    # The body ends in what may begin a delimiter, so it is held back, and none of it is surplus.
    message = b"--b\r\n" + counted(3, b"\r\n\r\n--Content") + b"\r\n--b--"
    for subtype in ("mixed", "x-mixed-replace"):
        for most, offset in ((3, 3), (4, 4), (13, None)):
            limits = Limits(max_part_size=most)
            events, error = parse_all(message, subtype=subtype, policy=LENIENT, limits=limits)
            assert parts(events) == [(b"Content-Length: 3", b"\r\n\r")]
            start = message.index(b"\r\n\r\n") + 4
            assert (error and error.offset) == (None if offset is None else start + offset)


def test_where_the_defects_are() -> None:
    tail = b"\r\n--b\r\n\r\ntwo\r\n--b--"
    small = b"--b\r\n" + counted(1, b"one") + tail
    large = b"--b\r\n" + counted(99, b"one") + tail
    across = b"--b\r\n" + counted(6, b"one") + tail
    body = small.index(b"one")
    for subtype in ("mixed", IMAGES):
        for message, found in (
            (small, [("content-length-too-small", body + 1, 0)]),
            (large, [("content-length-too-large", body + 4, 0)]),
            (across, [("content-length-too-large", body + 3, 0)]),
            (b"--b\r\nA: 1", [("headers-cut-short", 9, 0), ("missing-close-delimiter", 9, None)]),
            (b"--b\r\n\r\none", [("part-cut-short", 10, 0), ("missing-close-delimiter", 10, None)]),
            (
                small[: body + 3],
                [("content-length-too-small", body + 1, 0), ("missing-close-delimiter", body + 3, None)],
            ),
            (b"--b\r\n\r\none\r\n--", [("part-cut-short", 14, 0), ("missing-close-delimiter", 14, None)]),
            (b"pre\n--b--", [("line-feed-only", 9, None)]),
            (b"pre\r\n--b\n\none\n--b--\n", [("line-feed-only", 9, None)]),
        ):
            parser = PushMultipartParser("b", subtype=subtype, policy=LENIENT)
            list(parser.feed(message))
            list(parser.close())
            assert [defect[:3] for defect in parser.defects] == found, (subtype, message)
    loose = b"--b\r\n\r\none--bContent-Type: a/b\r\n\r\ntwo--b--"
    parser = PushMultipartParser("b", subtype=IMAGES, policy=LENIENT)
    list(parser.feed(loose))
    list(parser.close())
    start = loose.index(b"--bC")
    assert [defect[:3] for defect in parser.defects] == [
        ("no-line-end-before-delimiter", start, 0),
        ("header-on-delimiter-line", start + 3, None),
        ("no-line-end-before-delimiter", loose.rindex(b"--b"), 1),
    ]


@pytest.mark.parametrize("subtype", ["mixed", "x-mixed-replace"])
async def test_a_live_reader_has_the_part_when_its_bytes_are_here(subtype: str) -> None:
    headers = {"Content-Type": f"multipart/{subtype}; boundary=b"}
    for body in (b"one", b"one\r\n", b"one\r\n--", b"one-", b"one\r"):
        reader = MultipartReader(headers, ScriptedSource(b"--b\r\n" + counted(len(body), body), PAUSE), policy=LENIENT)
        part = await next_part(reader)
        assert await part.read() == body
        assert part.at_eof()


def test_the_surplus_of_a_stream_that_ends() -> None:
    one = b"--b\r\n" + counted(3, b"one")
    for rest, size in ((b"", 0), (b"\r\n", 0), (b"\r\n--", 0), (b"x", 1), (b"\r\nx\r\n", 3)):
        surplus = [("content-length-too-small", 0, size)] if size else []
        assert forgiven(one + rest) == [*surplus, MISSING]
        assert [body for _, body in read(one + rest)] == [b"one"]


# Image streams: rows 4, 6, 7 and 11


def test_adjacent_delimiters_of_a_camera() -> None:
    message = (
        b"--b\r\n--b\r\n" + TYPE + b"\r\n\r\n" + JPEG + b"\r\n--b\r\n--b\r\n" + TYPE + b"\r\n\r\n" + JPEG + b"\r\n--b"
    )
    assert read(message, IMAGES) == [(TYPE, JPEG)] * 2
    assert forgiven(message, IMAGES) == [MISSING]


@pytest.mark.parametrize("newline", [b"\r\n", b"\n"])
def test_the_stream_begins_with_headers(newline: bytes) -> None:
    first = TYPE + newline * 2 + JPEG + newline + b"--b" + newline
    message = first + TYPE + newline * 2 + b"two" + newline + b"--b--"
    for before in (b"", newline):
        assert read(before + message, IMAGES) == [(TYPE, JPEG), (TYPE, b"two")]
        kinds = [kind for kind, _, _ in forgiven(before + message, IMAGES)]
        assert kinds == (["line-feed-only"] if newline == b"\n" else []) + ["no-first-delimiter"]
    # Elsewhere such lines are a preamble.
    assert read(message.replace(b"\n", b"\r\n") if newline == b"\n" else message) == [(TYPE, b"two")]


def test_the_stream_begins_with_headers_and_the_boundary_has_dashes() -> None:
    for length in (b"", b"\r\nContent-Length: 3"):
        head = TYPE + length
        message = head + b"\r\n\r\none\r\n--cam\r\n" + head + b"\r\n\r\ntwo\r\n--cam\r\n"
        assert read(message, IMAGES, "--cam") == [(head, b"one"), (head, b"two")]
        assert forgiven(message, IMAGES, "--cam") == [("no-first-delimiter", None, 0), MISSING]


def test_other_text_before_an_image_stream_is_a_preamble() -> None:
    message = b"--b\r\n" + TYPE + b"\r\n\r\n" + JPEG + b"\r\n--b--"
    for preamble in (b"Note: this is a camera\r\n", b"text\r\nContent-Type: image/png\r\n"):
        assert read(preamble + message, IMAGES) == [(TYPE, JPEG)]
        assert forgiven(preamble + message, IMAGES) == []


def test_a_header_on_the_delimiter_line() -> None:
    for first in (b"--b", b"--b\r\n"):
        message = first + TYPE + b"\r\n\r\n" + JPEG + b"\r\n--bCONTENT-TYPE: image/png\r\nX: 1\r\n\r\ntwo\r\n--b--"
        assert read(message, IMAGES) == [(TYPE, JPEG), (b"CONTENT-TYPE: image/png\r\nX: 1", b"two")]
        kinds = [kind for kind, _, _ in forgiven(message, IMAGES)]
        assert kinds == ["header-on-delimiter-line"] * (2 if first == b"--b" else 1)
    # Rows 4 and 7 together
    message = b"--b\r\n--b" + TYPE + b"\r\nX: 1\r\n\r\none\r\n--b\r\n--b\r\n--bcontent-x: y\r\n\r\ntwo\r\n--b--"
    assert read(message, IMAGES) == [(TYPE + b"\r\nX: 1", b"one"), (b"content-x: y", b"two")]
    assert [kind for kind, _, _ in forgiven(message, IMAGES)] == ["header-on-delimiter-line"] * 2
    # Elsewhere it is data, and so is any other text.
    assert [body for _, body in read(b"--b\r\n\r\none\r\n--bContent-Type: a/b\r\n--b--")] == [
        b"one\r\n--bContent-Type: a/b"
    ]
    assert [body for _, body in read(b"--b\r\n\r\none\r\n--bContents\r\n--b--", IMAGES)] == [b"one\r\n--bContents"]


def test_a_header_that_opens_the_message_is_counted_when_its_line_is_complete() -> None:
    message = b"Content-Length: 0\r\nX: 1\r\n\r\n--b--"
    error = parse_all(message, limits=Limits(max_headers=0, max_total_size=19), policy=LENIENT, subtype=IMAGES)[1]
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.offset) == ("max_headers", 17)


def test_no_line_end_before_a_delimiter() -> None:
    for body in (JPEG, b"x", b"-", b"--", b"---", b"\r", b"\r\n--\r\n--", b"--a", b"--bb", b"--b\rx", b"--bContent "):
        for tail in (b"--b\r\n", b"--b--"):
            message = b"--b\r\n" + TYPE + b"\r\n\r\n" + body + tail
            assert read(message, IMAGES) == [(TYPE, body)], message
            defects = [("no-line-end-before-delimiter", 0, 0)]
            assert forgiven(message, IMAGES) == defects + ([MISSING] if tail == b"--b\r\n" else [])
    message = b"--b\r\n" + TYPE + b"\r\n\r\n" + JPEG + b"--b--\r\n--b--"
    assert read(message) == [(TYPE, JPEG + b"--b--")]


@pytest.mark.parametrize("line_end", [b"", b"\r\n"])
def test_a_content_length_that_lies_in_an_image_stream(line_end: bytes) -> None:
    tail = line_end + b"--b\r\n" + TYPE + b"\r\n\r\ntwo\r\n--b--"
    for more in range(-3, 60):
        message = b"--b\r\n" + counted(3 + more, b"one") + tail
        bodies = [body for _, body in read(message, IMAGES)]
        if more <= 0:
            expected = b"one"[: 3 + more]
        else:
            expected = b"one" + tail[:more] if more < len(line_end) + 5 else b"one"
        assert bodies == [expected, b"two"], more


def test_an_empty_image() -> None:
    assert read(b"--b\r\n" + TYPE + b"\r\n\r\n--b\r\n" + counted(0, b"") + b"--b\r\n--b--", IMAGES) == [
        (TYPE, b""),
        (b"Content-Length: 0", b""),
    ]


# Bodies


@pytest.mark.parametrize("label", ["x-unknown", "rot13", "base64", "idna", "\xe9"])
async def test_an_unknown_charset_is_read_as_utf_8(label: str) -> None:
    head = f'Content-Type: text/plain; charset="{label}"'.encode()
    message = build((head, "é\n".encode() + b"\xff"), (b"", b"next"))
    for policy in (Policy.STRICT, Policy.STANDARD):
        with pytest.raises(MultipartError, match="charset"):
            await (await next_part(MultipartReader(MIXED, message, policy=policy))).text()
    reader = MultipartReader(MIXED, message, policy=LENIENT)
    part = await next_part(reader)
    assert await part.text() == "é\n\ufffd"
    assert await part.text() == ""
    assert reader.defects == (("unknown-charset", 5, 0, 0),)
    assert await (await next_part(reader)).text() == "next"


async def test_text_that_is_not_in_its_charset() -> None:
    message = build((b"Content-Type: text/plain; charset=us-ascii", b"1\xff2"), (b"", b"3\xff"))
    for policy in (Policy.STRICT, Policy.STANDARD):
        with pytest.raises(CodecError, match="charset"):
            await (await next_part(MultipartReader(MIXED, message, policy=policy))).text()
    reader = MultipartReader(MIXED, message, policy=LENIENT)
    assert [await part.text() async for part in reader] == ["1\ufffd2", "3\ufffd"]  # type: ignore[union-attr]
    assert reader.defects == (("undecodable-text", 5, 0, 0), ("undecodable-text", 61, 1, 0))


@pytest.mark.parametrize(
    "head", [b"Content-Encoding: pack200", b"Content-Transfer-Encoding: x-uue", b"Content-Encoding: gzip, br"]
)
async def test_an_unknown_coding_is_left_as_it_is(head: bytes) -> None:
    for method in ("read", "iter_chunks", "decode", "decode_iter", "text", "copy"):
        reader = MultipartReader(MIXED, build((head, b"raw")), policy=LENIENT)
        part = await next_part(reader)
        if method == "read":
            assert await part.read(decode=True) == b"raw"
        elif method == "iter_chunks":
            assert b"".join([chunk async for chunk in part.iter_chunks()]) == b"raw"
        elif method == "decode":
            assert part.decode(b"raw") == b"raw"
        elif method == "decode_iter":
            assert [chunk async for chunk in part.decode_iter(b"raw")] == [b"raw"]
        else:
            assert await part.text() == "raw"
        assert reader.defects == (("unknown-coding", 5, 0, 0),)


# Row 13


async def test_the_boundary_in_content_range() -> None:
    message = b"--b\nContent-Type: text/plain\nContent-Range: bytes 0-1/9\n\nab\n--b--\n"
    headers = {"Content-Type": "text/plain", "Content-Range": "multipart/byteranges; boundary=b"}
    for policy in (Policy.STRICT, Policy.STANDARD):
        with pytest.raises(ParseError):
            MultipartReader(headers, message, policy=policy)
    reader = MultipartReader(headers, message, policy=LENIENT)
    assert await all_parts(reader) == [b"ab"]
    assert [defect.kind for defect in reader.defects] == ["boundary-in-content-range", "line-feed-only"]
    both = {"Content-Type": "multipart/mixed; boundary=b", "Content-Range": "multipart/byteranges; boundary=x"}
    assert await all_parts(MultipartReader(both, message, policy=LENIENT)) == [b"ab"]


# The record


def test_a_flood_of_defects_is_bounded() -> None:
    message = b"--b\r\nContent-Length: 1\r\n\r\nxx\r\n" * 1500 + b"--b--"
    parser = PushMultipartParser("b", policy=LENIENT)
    events = list(parser.feed(message))
    assert len(parts(events)) == 1500
    assert len(parser.defects) == 1000
