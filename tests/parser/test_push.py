"""The push parser: messages byte for byte, each cut in every way that ``feeding`` knows."""

from __future__ import annotations

import email.message
import email.policy
import hashlib
import re
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiomultipart.exceptions import IncompleteBody, LimitExceeded, MultipartError, ParseError, StateError
from aiomultipart.limits import Limits
from aiomultipart.parser import END, PART_END, Event, PartBegin, PushMultipartParser
from aiomultipart.policy import Policy
from tests.support.feeding import cut, cuttings, describe, parse, parse_all, parts, shown

POLICIES = list(Policy)
SUBTYPES = ["mixed", "form-data"]
FIELD = b'Content-Disposition: form-data; name="a"'


def read(message: bytes, **kwargs: Any) -> list[tuple[bytes, bytes]]:
    """Header block and body of each part of a message that is complete and good."""
    events, error = parse_all(message, **kwargs)
    if error is not None:
        raise error
    assert events[-1] is END
    return parts(events)


def fail(message: bytes, **kwargs: Any) -> tuple[list[object], MultipartError]:
    """The events before the error, in short, and the error."""
    events, error = parse_all(message, **kwargs)
    assert error is not None, shown(events)
    return shown(events), error


# Delimiters


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("end", [b"", b"\r\n", b" \t", b" \t\r\n", b"\r\nepilogue", b"\r\n\r\n", b" \r\n--b\r\n\r\nx"])
@pytest.mark.parametrize("start", [b"", b"\r\n", b"preamble\r\n", b"--\r\n", b"--bb\r\n", b"\r\n\r\r\n", b"--b-\r\n"])
def test_preamble_and_epilogue_are_ignored(start: bytes, end: bytes, policy: Policy) -> None:
    assert read(start + b"--b\r\nA: 1\r\n\r\nbody\r\n--b--" + end, policy=policy) == [(b"A: 1", b"body")]


@pytest.mark.parametrize("padding", [b" ", b"\t", b" \t \t", b" " * 100])
def test_transport_padding(padding: bytes) -> None:
    message = b"--b%b\r\nA: 1\r\n\r\none\r\n--b%b\r\n\r\ntwo\r\n--b%b\r\n%b--b--" % (padding, padding, padding, b"\r\n")
    assert read(message) == [(b"A: 1", b"one"), (b"", b"two"), (b"", b"")]


def test_a_delimiter_needs_no_blank_line_before_it_to_end_an_empty_part() -> None:
    assert read(b"--b\r\nA: 1\r\n\r\n--b\r\n\r\n--b\r\nB: 2\r\n\r\n\r\n--b--") == [
        (b"A: 1", b""),
        (b"", b""),
        (b"B: 2", b""),
    ]


def test_a_message_without_parts() -> None:
    assert parse_all(b"--b--") == ([END], None)
    assert parse_all(b"\r\n--b--\r\n") == ([END], None)


@pytest.mark.parametrize(
    "body",
    [
        b"--bx",
        b"\r\n--",
        b"x--b\r\n",
        b"x\n--b\n",
        b"x\r--b\r\n",
        b"\r\n--c\r\n",
        b"\r\n--b-",
        b"\r\n--b-\r\n",
        b"\r\n--b-b--",
        b"\r\n--bb\r\n",
        b"\r\n--b \tx\r\n",
        b"\r\n--b--x",
        b"\r\n--b-- \t x\r\n",
        b"\r\n--b\n",
        b"\r\n--b\r",
        b"\r\n--b\r\r\n",
        b"\r\n--b--\n",
        b"\r\n--b--\r\r",
        b"\r\n\r\n--\r\n--\r\n-b",
        b"\r\n--\r\n--bx",
        b"\r\r\n\r\n\n\r",
        b"\r\n--B\r\n",
        b"\0\xff",
    ],
)
@pytest.mark.parametrize("before", [b"", b"x"])
def test_what_is_no_delimiter_line_is_data(body: bytes, before: bytes) -> None:
    message = b"--b\r\nA: 1\r\n\r\n%b%b\r\n--b--\r\n" % (before, body)
    assert read(message) == [(b"A: 1", before + body)]


@pytest.mark.parametrize(
    ("boundary", "other"), [("b", b"bb"), ("b", b"b-"), ("-", b"--x"), ("bb", b"b"), ("--", b"---")]
)
def test_boundaries_that_begin_alike(boundary: str, other: bytes) -> None:
    delimiter = b"--" + boundary.encode()
    nested = b"--%b\r\n\r\nx\r\n--%b--x" % (other, other)
    message = b"%b\r\nA: 1\r\n\r\n%b\r\n%b--" % (delimiter, nested, delimiter)
    assert read(message, boundary=boundary) == [(b"A: 1", nested)]


def test_a_boundary_of_bytes_and_of_dashes() -> None:
    assert read(b"------\r\n\r\n1\r\n--------", boundary=b"----") == [(b"", b"1")]


@pytest.mark.parametrize("boundary", ["'()+_,-./:=? x", "a" * 70, "----WebKitFormBoundary7MA4YWxkTrZu0gW", "="])
def test_odd_boundaries(boundary: str) -> None:
    delimiter = b"--" + boundary.encode()
    for policy in POLICIES:
        assert read(
            delimiter + b"\r\n\r\none\r\n" + delimiter + b"\r\n\r\ntwo\r\n" + delimiter + b"--",
            boundary=boundary,
            policy=policy,
        ) == [(b"", b"one"), (b"", b"two")]


@pytest.mark.parametrize("policy", [Policy.STRICT, Policy.STANDARD])
@pytest.mark.parametrize("line", [b"--b\n", b"--b \t\n", b"--b--\n", b"\r\n--b\n", b"junk\r\n--b\n"])
def test_a_first_delimiter_line_that_ends_in_lf_alone(line: bytes, policy: Policy) -> None:
    events, error = fail(line + b"A: 1\n\nbody\n--b--\n", policy=policy)
    assert events == []
    assert type(error) is ParseError
    assert error.offset == line.index(b"\n", line.index(b"--b"))
    assert error.part_index is None


def test_lf_only_behind_a_preamble_has_no_delimiter() -> None:
    assert fail(b"junk\n--b\nA: 1\n\nbody\n--b--\n")[1].offset == 26


def test_a_line_that_is_nearly_the_first_delimiter_is_preamble() -> None:
    assert read(b"--b-\n--bx\n--b--x\r\n--b\r\n\r\n1\r\n--b--") == [(b"", b"1")]


# Adjacent delimiters


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("padding", [b"", b" \t"])
def test_two_adjacent_delimiters_mean_no_part(padding: bytes, policy: Policy) -> None:
    line = b"--b" + padding + b"\r\n"
    headers = b"Content-type: image/jpeg"
    message = line * 3 + headers + b"\r\n\r\njpeg\r\n" + line + line + headers + b"\r\n\r\njpeg\r\n" + line
    assert read(message + b"--b--", policy=policy) == [(headers, b"jpeg")] * 2
    assert read(message + b"--b--" + padding + b"\r\n", policy=policy) == [(headers, b"jpeg")] * 2


def test_a_delimiter_in_a_header_block_is_no_header() -> None:
    events, error = fail(b"--b\r\nA: 1\r\n--b\r\n\r\n\r\n--b--")
    assert events == []
    assert type(error) is ParseError
    assert (error.offset, error.part_index) == (5, 0)


# What errors say


@pytest.mark.parametrize(
    ("message", "limits", "said"),
    [
        (b"", {}, "input ended before the first delimiter, without a close-delimiter"),
        (b"--b\r\nA: 1", {}, "input ended in the headers of a part, without a close-delimiter"),
        (b"--b\r\n\r\none", {}, "input ended in the body of a part, without a close-delimiter"),
        (b"--b\r\nContent-Length: 9\r\n\r\none", {}, "input ended in the body of a part, without a close-delimiter"),
        (b"--b\r\n\r\none\r\n--b", {}, "input ended in a delimiter, without a close-delimiter"),
        (b"--b\n", {}, "the first delimiter line ends in LF alone"),
        (
            b"--b\r\nContent-Length: 30\r\n\r\none\r\n--b\r\n",
            {},
            "delimiter before the end of the part's Content-Length",
        ),
        (b"--b\r\nContent-Length: 2\r\n\r\none\r\n--b\r\n", {}, "no delimiter after the 2 bytes of Content-Length"),
        (b"x\r\n--b--", {"max_preamble": 0}, "preamble passes max_preamble of 0"),
        (b"--b--\r\nx", {"max_epilogue": 0}, "epilogue passes max_epilogue of 0"),
        (b"--b\r\n\r\none\r\n--b--", {"max_part_size": 2}, "body passes max_part_size of 2"),
        (b"--b\r\n\r\none\r\n--b--", {"max_total_size": 8}, "message passes max_total_size of 8"),
        (b"--b\r\n\r\none\r\n--b--", {"max_parts": 0}, "message passes max_parts of 0"),
        (b"--b\r\nA: 1\r\n\r\n", {"max_headers": 0}, "header block passes max_headers of 0"),
        (b"--b\r\nA: 1\r\n\r\n", {"max_header_line": 3}, "header block passes max_header_line of 3"),
        (b"--b\r\nA: 1\r\n\r\n", {"max_header_bytes": 3}, "header block passes max_header_bytes of 3"),
        (b"--b\r\nA: 1\r\n\r\n", {"max_total_header_bytes": 3}, "header block passes max_total_header_bytes of 3"),
        (b"--b    \r\n", {"max_header_line": 2}, "delimiter line passes max_header_line of 2"),
    ],
)
def test_what_errors_say(message: bytes, limits: dict[str, int], said: str) -> None:
    _, error = fail(message, limits=Limits(**limits))
    assert error.message == said


def test_what_misuse_says() -> None:
    parser = PushMultipartParser("b")
    with pytest.raises(StateError, match=r"^the part is not multipart$"):
        parser.nested(first_part(b"A: 1"))
    parser = PushMultipartParser("b", limits=Limits(max_depth=1))
    part = first_part(b"Content-Disposition: attachment; name=n\r\nContent-Type: multipart/mixed; boundary=c")
    with pytest.raises(LimitExceeded, match=r"^multipart nested deeper than 1") as caught:
        parser.nested(part)
    assert (caught.value.limit, caught.value.value, caught.value.part_name) == ("max_depth", 1, "n")
    list(parser.feed(b"--b--"))
    list(parser.close())
    with pytest.raises(StateError, match=r"^the parser is closed$"):
        parser.feed(b"x")
    parser = PushMultipartParser("b", callbacks={"on_end": {}.__getitem__})
    with pytest.raises(TypeError):
        parser.feed(b"--b--\r\n")
    with pytest.raises(StateError, match=r"^a callback has raised$"):
        parser.feed(b"x")


def first_part(block: bytes) -> PartBegin:
    (begin,) = PushMultipartParser("b").feed(b"--b\r\n" + block + b"\r\n\r\n")
    assert isinstance(begin, PartBegin)
    return begin


def test_the_limits_hold_for_a_parser_made_from_a_content_type() -> None:
    limits = Limits(max_parts=1)
    parser = PushMultipartParser.from_content_type("multipart/mixed; boundary=b", limits=limits)
    assert parser.limits is limits


# What feed() takes, and where parts begin


def test_only_bytes_are_fed() -> None:
    parser = PushMultipartParser("b")
    for data in ("--b", None, 3, ["--b"]):
        with pytest.raises(TypeError, match="data must be bytes"):
            parser.feed(data)  # type: ignore[arg-type]


def test_where_parts_begin() -> None:
    message = (
        b"preamble\r\n--b\r\nA: 1\r\n\r\none\r\n--b \r\n\r\ntwo\r\n--b\r\nB: " + b"2" * 2000 + b"\r\n\r\n\r\n--b--"
    )
    events, error = parse_all(message)
    assert error is None
    begins = [event for event in events if isinstance(event, PartBegin)]
    assert [begin.index for begin in begins] == [0, 1, 2]
    starts = [message.index(b"A: 1"), message.index(b"\r\n\r\ntwo") + 2, message.index(b"B: ")]
    assert [begin.offset for begin in begins] == starts


def test_a_wrong_boundary_is_shown_beside_what_is_there() -> None:
    message = b"--real\r\nA: 1\r\n\r\n1\r\n--real--\r\n"
    error = fail(message, boundary="other")[1]
    assert error is not None
    assert "no line is '--other', the first is '--real'" in str(error)
    error = fail(message * 9, boundary="other", limits=Limits(max_preamble=99))[1]
    assert isinstance(error, LimitExceeded)
    assert "no line is '--other', the first is '--real'" in str(error)


# Bodies that nobody wants


def test_the_rest_of_a_body_is_dropped() -> None:
    message = b"--b\r\nA: 1\r\n\r\n" + b"x" * 50 + b"\r\n--\r\n" + b"y" * 50 + b"\r\n--b\r\nA: 2\r\n\r\nz\r\n--b--"
    for name, chunks in cuttings(message):
        parser = PushMultipartParser("b", limits=Limits(max_part_size=106))
        events: list[Event] = []
        for chunk in chunks:
            events += parser.feed(chunk)
            if events and parser.part is not None and parser.part.index == 0:
                parser.drop()
        events += parser.close()
        kept = b"".join(event for event in events if isinstance(event, bytes))
        if name == "whole":
            assert kept == b"x" * 50 + b"\r\n--\r\n" + b"y" * 50 + b"z"
        assert kept.endswith(b"z")
        if name == "byte by byte":
            assert kept == b"z"
        assert [event.raw if isinstance(event, PartBegin) else event for event in events if event != b"z"][-4:] == [
            PART_END,
            b"A: 2",
            PART_END,
            END,
        ]


def test_a_callback_may_drop_the_body_that_begins() -> None:
    got: list[bytes] = []

    def begin() -> None:
        if parser.part is not None and parser.part.index == 0:
            parser.drop()

    parser = PushMultipartParser(
        "b", callbacks={"on_part_begin": begin, "on_part_data": lambda data, start, end: got.append(data[start:end])}
    )
    parser.feed(b"--b\r\n\r\none\r\n--b\r\nContent-Length: 3\r\n\r\ntwo\r\n--b--")
    assert got == [b"two"]


def test_a_dropped_body_counts_all_the_same() -> None:
    parser = PushMultipartParser("b", limits=Limits(max_part_size=10))
    parser.feed(b"--b\r\n\r\n")
    parser.drop()
    assert list(parser.feed(b"x" * 10)) == []
    with pytest.raises(LimitExceeded, match="max_part_size"):
        parser.feed(b"x")


def test_there_is_no_body_to_drop_between_parts() -> None:
    parser = PushMultipartParser("b")
    parser.drop()
    assert b"one" in list(parser.feed(b"--b\r\n\r\none\r\n--b\r\n"))
    parser.drop()
    assert b"two" in list(parser.feed(b"\r\ntwo\r\n--b--"))


# Form-data and STRICT


@pytest.mark.parametrize("end", [b"", b"\r\n", b" \r\n"])
@pytest.mark.parametrize("start", [b"", b"\r\n"])
def test_strict_form_data_may_have_one_crlf_on_each_side(start: bytes, end: bytes) -> None:
    message = start + b"--b\r\n" + FIELD + b"\r\n\r\n1\r\n--b--" + end
    assert read(message, subtype="form-data", policy=Policy.STRICT) == [(FIELD, b"1")]


def test_strict_form_data_has_no_preamble_and_no_epilogue() -> None:
    message = b"--b\r\n" + FIELD + b"\r\n\r\n1\r\n--b--\r\n"
    for start in (b"x\r\n", b"\r\n\r\n", b"--bb\r\n"):
        events, error = fail(start + message, subtype="form-data", policy=Policy.STRICT)
        assert (events, type(error), error.offset) == ([], ParseError, 0)
        assert read(start + message, subtype="FORM-DATA") == [(FIELD, b"1")]
    for end in (b"x", b"\r\n", b"--b--"):
        events, error = fail(message + end, subtype="form-data", policy=Policy.STRICT)
        assert (events, type(error), error.offset) == ([[FIELD], b"1", PART_END, END], ParseError, len(message))
        assert read(message + end, subtype="form-data") == [(FIELD, b"1")]


def test_a_part_without_headers() -> None:
    message = b"--b\r\n\r\nhi\r\n--b--"
    for policy in POLICIES:
        assert read(message, policy=policy) == [(b"", b"hi")]
    assert read(message, subtype="form-data") == [(b"", b"hi")]
    events, error = fail(message, subtype="form-data", policy=Policy.STRICT)
    assert (events, type(error), error.offset, error.part_index) == ([], ParseError, 5, 0)


def test_defects_say_where() -> None:
    parser = PushMultipartParser("b", subtype="form-data")
    message = b"--b\r\n" + FIELD + b"\r\n\r\n1\r\n--b\r\n\r\n2\r\n--b--"
    list(parser.feed(message))
    assert parser.defects == [("no-form-data-name", message.index(b"\r\n2"), 1, 0)]


def test_defects_are_bounded() -> None:
    parser = PushMultipartParser("b", subtype="form-data")
    for _ in parser.feed(b"--b\r\n\r\n\r\n" * 3000):
        pass
    assert len(parser.defects) == 1000


# Content-Length of a part


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"abcde",
        b"--b",
        b"--b\r",
        b"--b--",
        b"--b--\r",
        b"x\r\n--b",
        b"x\r\n--b\r",
        b"\r\n--b--\r",
        b"\r\n",
        b"-",
    ],
)
def test_a_content_length_that_is_met(body: bytes, policy: Policy) -> None:
    headers = b"Content-Length: %d" % len(body)
    message = b"--b\r\n%b\r\n\r\n%b\r\n--b \r\n%b\r\n\r\n%b\r\n--b--" % (headers, body, headers, body)
    assert read(message, policy=policy) == [(headers, body)] * 2


@pytest.mark.parametrize("delimiter", [b"\r\n--b\r\n", b"\r\n--b \r\n", b"\r\n--b--\r\n", b"\r\n--b--"])
def test_a_body_with_a_length_may_look_like_a_delimiter_only_where_that_reaches_its_end(delimiter: bytes) -> None:
    # One byte more than the delimiter line: it came too early.
    headers = b"Content-Length: %d" % (len(delimiter) + 1)
    events, error = fail(b"--b\r\n" + headers + b"\r\n\r\n" + delimiter)
    assert events == [[headers]]
    assert type(error) is ParseError
    assert (error.offset, error.part_index) == (9 + len(headers) + len(delimiter), 0)


def test_an_empty_body_with_a_length() -> None:
    for end in (b"--b--", b"\r\n--b--", b"--b\r\n--b--", b"\r\n--b\r\n--b--\r\n"):
        assert read(b"--b\r\nContent-Length: 0\r\n\r\n" + end) == [(b"Content-Length: 0", b"")]


def feeds(parser: PushMultipartParser, message: bytes) -> list[list[object]]:
    """What each single byte brings."""
    return [shown(parser.feed(message[i : i + 1])) for i in range(len(message))]


@pytest.mark.parametrize("body", [b"", b"abc", b"a\r\n", b"--b", b"\r\n--b--"])
def test_a_part_with_a_length_ends_with_its_last_byte(body: bytes) -> None:
    head = b"--b\r\nContent-Length: %d\r\n\r\n" % len(body)
    brought = feeds(PushMultipartParser("b"), head + body)
    assert brought[-1][-1] is PART_END
    assert all(PART_END not in events for events in brought[:-1])
    parser = PushMultipartParser("b")
    assert shown(parser.feed(head + body))[-1] is PART_END
    assert shown(parser.feed(b"\r\n--b--\r\n")) == [END]


def test_under_strict_a_part_with_a_length_ends_at_the_delimiter() -> None:
    parser = PushMultipartParser("b", policy=Policy.STRICT)
    assert shown(parser.feed(b"--b\r\nContent-Length: 3\r\n\r\nabc")) == [[b"Content-Length: 3"], b"abc"]
    assert shown(parser.feed(b"\r\n--b")) == []
    assert shown(parser.feed(b"\r\n")) == [PART_END]


@pytest.mark.parametrize("length", [0, 1, 3])
def test_bytes_after_the_announced_length(length: int) -> None:
    head = b"--b\r\nContent-Disposition: attachment; name=n\r\nContent-Length: %d\r\n\r\n" % length
    for tail in (b"xyz\r\n--b--", b"\rx", b"\r\n--bx", b"\r\n--b-x", b"\r\n\r\n--b--", b"-x", b"\n--b"):
        for policy, ends in ((Policy.STANDARD, [PART_END]), (Policy.STRICT, [])):
            events, error = fail(head + b"aaa"[:length] + tail, policy=policy)
            assert events == [[head[5:-4]], *([b"aaa"[:length]] if length else []), *ends]
            assert type(error) is ParseError
            assert (error.offset, error.part_index, error.part_name) == (len(head) + length, 0, "n")


def test_the_error_for_surplus_comes_after_the_part() -> None:
    parser = PushMultipartParser("b")
    events = iter(parser.feed(b"--b\r\nContent-Length: 1\r\n\r\naSURPLUS"))
    assert shown([next(events), next(events), next(events)]) == [[b"Content-Length: 1"], b"a", PART_END]
    with pytest.raises(ParseError):
        next(events)


def test_a_content_length_in_form_data_counts_for_nothing() -> None:
    for length in (b"0", b"2", b"100", b"-1", b"1\r\nContent-Length: 2"):
        headers = FIELD + b"\r\nContent-Length: " + length
        message = b"--b\r\n" + headers + b"\r\n\r\nabc\r\n--b--"
        for policy in POLICIES:
            assert read(message, subtype="form-data", policy=policy) == [(headers, b"abc")]


def test_a_huge_content_length_reserves_nothing() -> None:
    message = b"--b\r\nContent-Length: 999999999999999999\r\n\r\nabc"
    events, error = fail(message)
    assert events == [[message[5:-7]], b"abc"]
    assert type(error) is IncompleteBody


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("line", [b"--b \t x", b"--b-", b"--b-- x", b"--b \r", b"--b--\t\rx"])
def test_what_seems_to_be_a_delimiter_line_counts_towards_the_content_length(line: bytes, policy: Policy) -> None:
    body = b"one\r\n" + line + b"two\r\n" + line + b"."
    message = b"--b\r\nContent-Length: %d\r\n\r\n%b\r\n--b\r\n\r\nnext\r\n--b--" % (len(body), body)
    assert [found for _, found in read(message, policy=policy)] == [body, b"next"]


# The end of the input

REFERENCE = (
    b"preamble\r\n--b\r\n"
    b"A: 1\r\nB: 2\r\n folded\r\n\r\none\r\n\r\n--b-\r\n--b\t\r\n"
    b"\r\n\r\n--b\r\n--b\r\n"
    b"Content-Length: 6\r\n\r\n\r\n--b!\r\n--b\r\n"
    b'Content-Type: multipart/mixed; boundary="bb"\r\n\r\n--bb\r\n\r\nx\r\n--bb--\r\n'
    b"--b-- "
)
REFERENCE_PARTS = [
    (b"A: 1\r\nB: 2\r\n folded", b"one\r\n\r\n--b-"),
    (b"", b""),
    (b"Content-Length: 6", b"\r\n--b!"),
    (b'Content-Type: multipart/mixed; boundary="bb"', b"--bb\r\n\r\nx\r\n--bb--"),
]


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\nepilogue\r\n--b\r\n"])
def test_reference_message(end: bytes) -> None:
    assert read(REFERENCE + end) == REFERENCE_PARTS


def test_input_that_ends_at_any_offset() -> None:
    whole = shown(parse_all(REFERENCE)[0])
    closed = len(REFERENCE) - 1
    for end in range(len(REFERENCE) + 1):
        events, error = parse_all(REFERENCE[:end], few=True)
        if end >= closed:
            assert error is None
            assert shown(events) == whole
            continue
        assert type(error) is IncompleteBody
        assert error.offset == end
        for got, expected in zip(shown(events), whole, strict=False):
            assert got == expected or (got == shown(events)[-1] and isinstance(got, bytes))
        assert END not in events
    # Between CR and LF of the close-delimiter's line there is no delimiter yet; after them anything may end.
    message = REFERENCE + b"\r\nepilogue"
    for end in range(len(REFERENCE) + 1, len(message) + 1):
        error = parse(cut(message[:end], [end // 2]))[1]
        assert (type(error) if error else None) is (IncompleteBody if message[:end].endswith(b"\r") else None)


@pytest.mark.parametrize(
    ("message", "part"),
    [
        (b"", None),
        (b"--b", None),
        (b"--b\r\n", None),
        (b"--b\r\nContent-Disposition: attachment; name=n\r\n", None),
        (b"--b\r\nContent-Disposition: attachment; name=n\r\n\r\n", (0, "n")),
        (b"--b\r\n\r\nx\r\n--b\r\nContent-Disposition: attachment; name=n\r\n\r\nx\r\n--b-", (1, "n")),
        (b"--b\r\nContent-Disposition: attachment; name=n\r\nContent-Length: 1\r\n\r\nx", (0, "n")),
    ],
)
def test_an_incomplete_body_names_the_part(message: bytes, part: tuple[int, str] | None) -> None:
    error = fail(message)[1]
    assert type(error) is IncompleteBody
    assert error.offset == len(message)
    assert (error.part_index, error.part_name) == (part or (None, None))


# How it behaves as an object


def test_a_chunk_without_a_delimiter_is_handed_on_as_it_is() -> None:
    parser = PushMultipartParser("b")
    first, *rest = list(parser.feed(b"--b\r\nA: 1\r\n\r\n"))
    assert isinstance(first, PartBegin)
    assert rest == []
    for chunk in (b"x" * 65536, b"\r\r\n--" * 1000 + b"x", b"y"):
        (event,) = parser.feed(chunk)
        assert event is chunk
    counted = PushMultipartParser("b")
    list(counted.feed(b"--b\r\nContent-Length: 10\r\n\r\n"))
    chunk = b"0123456789"
    assert next(iter(counted.feed(chunk))) is chunk


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_other_kinds_of_bytes(kind: Callable[[bytes | bytearray], bytearray | memoryview]) -> None:
    parser = PushMultipartParser("b")
    buffer = bytearray(b"--b\r\nA: 1\r\n\r\nbody")
    first = list(parser.feed(kind(buffer)))
    buffer[:] = bytes(len(buffer))  # what was handed over is ours
    assert shown([*first, *parser.feed(kind(b"\r\n--b--\r\n"))]) == [[b"A: 1"], b"body", PART_END, END]


def test_a_strided_memoryview() -> None:
    message = b"--b\r\n\r\n1\r\n--b--\r\n"
    view = memoryview(bytes(byte for pair in zip(message, message, strict=True) for byte in pair))[::2]
    assert shown(PushMultipartParser("b").feed(view)) == [[b""], b"1", PART_END, END]


def test_feeding_nothing_is_nothing() -> None:
    parser = PushMultipartParser("b")
    for chunk in (b"--b\r\n\r\nx", b"\r\n", b"--b--"):
        assert list(parser.feed(b"")) == []
        list(parser.feed(chunk))
    assert list(parser.feed(b"")) == []


def test_a_block_of_many_lines() -> None:
    headers = b"\r\n".join(b"A%d: 1" % i for i in range(60))
    assert read((b"--b\r\n" + headers + b"\r\n\r\nx\r\n") * 2 + b"--b--") == [(headers, b"x")] * 2


def test_after_close() -> None:
    parser = PushMultipartParser("b")
    assert list(parser.feed(b"--b--\r\n")) == [END]
    was_closed = parser.closed
    assert list(parser.close()) == []
    assert list(parser.close()) == []
    assert (was_closed, parser.closed) == (False, True)
    assert parser.error is None
    for chunk in (b"x", b""):
        with pytest.raises(StateError, match="closed"):
            parser.feed(chunk)


def test_close_completes_a_close_delimiter_without_crlf() -> None:
    parser = PushMultipartParser("b")
    assert shown(parser.feed(b"--b\r\n\r\nx\r\n--b--")) == [[b""], b"x"]
    assert shown(parser.close()) == [PART_END, END]


def test_the_error_is_raised_again_as_a_new_object() -> None:
    parser = PushMultipartParser("b")
    with pytest.raises(ParseError) as first:
        parser.feed(b"--b\r\nbad\r\n\r\n")
    seen = [first.value]
    calls: list[Callable[[], object]] = [lambda: parser.feed(b"--b--"), lambda: parser.feed(b""), parser.close]
    for call in (*calls, *calls):
        with pytest.raises(ParseError) as again:
            call()
        assert describe(again.value) == describe(first.value) == describe(parser.error)
        assert all(again.value is not error for error in (*seen, parser.error))
        assert again.value.__context__ is None
        assert again.value.__cause__ is None
        seen.append(again.value)


def test_truncation_is_raised_again() -> None:
    parser = PushMultipartParser("b")
    assert shown(parser.feed(b"--b\r\n\r\nx")) == [[b""], b"x"]
    for call in (parser.close, parser.close, lambda: parser.feed(b"\r\n--b--")):
        with pytest.raises(IncompleteBody):
            call()


def test_events_before_an_error_come_first() -> None:
    parser = PushMultipartParser("b")
    events = iter(parser.feed(b"--b\r\nA: 1\r\n\r\none\r\n--b\r\nbad\r\n\r\n"))
    assert shown([next(events), next(events), next(events)]) == [[b"A: 1"], b"one", PART_END]
    with pytest.raises(ParseError) as caught:
        next(events)
    assert describe(caught.value) == describe(parser.error)
    assert caught.value is not parser.error
    # An iterator that nobody looked at changes nothing: the next call raises.
    parser = PushMultipartParser("b")
    parser.feed(b"--b\r\nA: 1\r\n\r\none\r\n--b\r\nbad\r\n\r\n")
    with pytest.raises(ParseError):
        parser.feed(b"")


def test_each_part_has_a_beginning_of_its_own() -> None:
    events = PushMultipartParser("b", subtype="form-data").feed((b"--b\r\n" + FIELD + b"\r\n\r\n1\r\n") * 2)
    first, second = (event for event in events if isinstance(event, PartBegin))
    assert first is not second
    assert first != second
    assert (first.raw, first.name, first.index) == (second.raw, second.name, second.index - 1)


def test_what_was_good_under_one_policy_is_judged_again_under_another() -> None:
    message = b"--b\r\nA: 1\r\n folded\r\n\r\n\r\n--b--"
    for _ in range(2):
        assert read(message) == [(b"A: 1\r\n folded", b"")]
        assert type(fail(message, policy=Policy.STRICT)[1]) is ParseError


def test_what_was_good_under_wide_limits_is_judged_again_under_narrow_ones() -> None:
    block = b'Content-Disposition: form-data; name="n"; filename="f"\r\nContent-Type: a/b; c=d'
    message = b"--b\r\n" + block + b"\r\n\r\n\r\n--b--"
    for limit, value in (("max_headers", 1), ("max_header_line", 50), ("max_header_bytes", 60), ("max_parameters", 1)):
        assert read(message, subtype="form-data") == [(block, b"")]
        error = fail(message, subtype="form-data", limits=Limits(**{limit: value}))[1]
        assert isinstance(error, LimitExceeded)
        assert error.limit == limit
    nested = b'--b\r\nContent-Type: multipart/mixed; boundary="12345"\r\n\r\n\r\n--b--'
    assert len(read(nested)) == 1
    error = fail(nested, limits=Limits(max_boundary_length=4))[1]
    assert isinstance(error, LimitExceeded)
    assert error.limit == "max_boundary_length"


@pytest.mark.parametrize(
    ("subtype", "block"), [("mixed", b"X-Number: %d"), ("form-data", b'Content-Disposition: form-data; name="%d"')]
)
def test_more_kinds_of_header_block_than_are_remembered(subtype: str, block: bytes) -> None:
    expected = [(block % i, b"%d" % i) for i in range(3000)]
    message = b"".join(b"--b\r\n%b\r\n\r\n%b\r\n" % part for part in expected) + b"--b--"
    for _ in range(2):
        assert parts(parse([message], subtype=subtype)[0]) == expected


# Callbacks


def test_callbacks() -> None:
    digests: dict[str | None, str] = {}
    calls: list[str] = []
    digest = hashlib.sha256()

    def on_part_begin() -> None:
        nonlocal digest
        digest = hashlib.sha256()
        calls.append("begin")

    def on_part_data(data: bytes, start: int, end: int) -> None:
        digest.update(data[start:end])

    def on_part_end() -> None:
        part = parser.part
        assert part is not None
        digests[part.name] = digest.hexdigest()
        calls.append("end")

    parser = PushMultipartParser.from_content_type(
        "multipart/form-data; boundary=b",
        callbacks={
            "on_part_begin": on_part_begin,
            "on_part_data": on_part_data,
            "on_part_end": on_part_end,
            "on_end": lambda: calls.append("message end"),
        },
    )
    assert parser.part is None
    message = b"--b\r\n" + FIELD + b"\r\n\r\nhello\r\n--b\r\n" + FIELD.replace(b"a", b"b") + b"\r\n\r\n\r\n--b--"
    for chunk in cut(message, [7, 60, 70, 80]):
        assert list(parser.feed(chunk)) == []
    assert list(parser.close()) == []
    assert calls == ["begin", "end", "begin", "end", "message end"]
    assert parser.part is not None
    assert parser.part.index == 1
    assert (
        digests == {"a": hashlib.sha256(b"hello").hexdigest(), "b": hashlib.sha256().hexdigest()} or len(digests) == 2
    )


@pytest.mark.parametrize("end", [b"--b--", b"--b--\r\n"])
def test_the_message_has_ended_when_its_end_is_told(end: bytes) -> None:
    ended: list[bool] = []
    parser = PushMultipartParser("b", callbacks={"on_end": lambda: ended.append(parser.ended)})
    parser.feed(b"--b\r\n\r\n\r\n" + end)
    parser.close()
    assert ended == [True]


def test_a_callback_cannot_feed_the_parser_that_calls_it() -> None:
    parser = PushMultipartParser("b", callbacks={"on_part_begin": lambda: parser.feed(b"more")})
    with pytest.raises(StateError, match="callback"):
        parser.feed(b"--b\r\n\r\n")
    with pytest.raises(StateError, match="a callback has raised"):
        parser.feed(b"more")


def test_too_deep_a_part_is_named_and_placed() -> None:
    parser = PushMultipartParser("b", limits=Limits(max_depth=1))
    events = parser.feed(b"--b\r\n\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n")
    part = [event for event in events if isinstance(event, PartBegin)][-1]
    with pytest.raises(LimitExceeded) as caught:
        parser.nested(part)
    assert (caught.value.offset, caught.value.part_index) == (part.offset, 1)


def test_callbacks_may_be_missing_but_not_unknown() -> None:
    parser = PushMultipartParser("b", callbacks={})
    assert list(parser.feed(b"--b\r\nA: 1\r\n\r\nx")) == []
    assert parser.part is not None
    assert parser.part.raw == b"A: 1"
    with pytest.raises(ValueError, match="on_part_beginn"):
        PushMultipartParser("b", callbacks={"on_part_beginn": print})


def test_callbacks_before_an_error_are_made() -> None:
    got: list[bytes] = []
    parser = PushMultipartParser("b", callbacks={"on_part_data": lambda data, start, end: got.append(data[start:end])})
    with pytest.raises(ParseError) as first:
        parser.feed(b"--b\r\n\r\none\r\n--b\r\nbad\r\n\r\n")
    assert got == [b"one"]
    with pytest.raises(ParseError) as second:
        parser.feed(b"")
    assert first.value is not second.value


class Stop(BaseException):
    pass


@pytest.mark.parametrize("name", ["on_part_begin", "on_part_data", "on_part_end", "on_end"])
@pytest.mark.parametrize("kind", [Stop, KeyError, ParseError])
def test_an_exception_in_a_callback_ends_the_parsing(name: str, kind: type[BaseException]) -> None:
    error = kind("mine")
    calls: list[str] = []

    def record(called: str) -> Callable[..., None]:
        def callback(*args: object) -> None:
            calls.append(called)
            if called == name:
                raise error

        return callback

    names = ["on_part_begin", "on_part_data", "on_part_end", "on_end"]
    parser = PushMultipartParser("b", callbacks={called: record(called) for called in names})
    with pytest.raises(kind) as caught:
        parser.feed(b"--b\r\n\r\nx\r\n--b--\r\n")
    assert caught.value is error
    assert calls == names[: names.index(name) + 1]
    # The rest of the events is gone, so this must not look like a message that was read.
    for call in (parser.close, lambda: parser.feed(b"x"), parser.close):
        with pytest.raises(StateError, match="callback"):
            call()
    assert parser.error is None


def test_an_exception_in_a_callback_when_closing() -> None:
    def on_end() -> None:
        raise KeyError

    parser = PushMultipartParser("b", callbacks={"on_end": on_end})
    parser.feed(b"--b--")
    with pytest.raises(KeyError):
        parser.close()
    with pytest.raises(StateError):
        parser.close()


# Nested messages


def test_nested() -> None:
    outer = PushMultipartParser.from_content_type("multipart/mixed; boundary=b")
    begin, body, *_ = outer.feed(
        b'--b\r\nContent-Type: multipart/form-data; boundary="c"\r\n\r\n'
        b"--c\r\n" + FIELD + b"\r\nContent-Length: 100\r\n\r\nx\r\n--c--\r\n--b--"
    )
    assert isinstance(begin, PartBegin)
    assert isinstance(body, bytes)
    inner = outer.nested(begin)
    first, *rest = [*inner.feed(body), *inner.close()]
    assert isinstance(first, PartBegin)
    assert first.form_data
    assert first.name == "a"
    assert rest == [b"x", PART_END, END]


def begin_of(parser: PushMultipartParser, boundary: str) -> PartBegin:
    begin, *rest = parser.feed(
        b"--%b\r\nContent-Type: multipart/mixed; boundary=%bx\r\n\r\n" % ((boundary.encode(),) * 2)
    )
    assert isinstance(begin, PartBegin)
    assert rest == []
    return begin


def test_a_part_that_is_not_multipart_has_nothing_nested() -> None:
    parser = PushMultipartParser("b")
    (begin,) = parser.feed(b"--b\r\nContent-Type: text/plain\r\n\r\n")
    assert isinstance(begin, PartBegin)
    with pytest.raises(StateError):
        parser.nested(begin)


@pytest.mark.parametrize("most", [1, 2, 4])
def test_max_depth(most: int) -> None:
    parser = PushMultipartParser("b", limits=Limits(max_depth=most))
    boundary = "b"
    for _ in range(most - 1):
        parser = parser.nested(begin_of(parser, boundary))
        boundary += "x"
    with pytest.raises(LimitExceeded) as caught:
        parser.nested(begin_of(parser, boundary))
    assert (caught.value.limit, caught.value.value) == ("max_depth", most)
    unbounded = PushMultipartParser("b", limits=Limits(max_depth=None))
    boundary = "b"
    for _ in range(50):
        unbounded = unbounded.nested(begin_of(unbounded, boundary))
        boundary += "x"


def test_nested_parts_count_in_one_sum() -> None:
    limits = Limits(max_parts=4)
    outer = PushMultipartParser("b", limits=limits)
    first = outer.nested(begin_of(outer, "b"))
    assert parts(first.feed(b"--bx\r\n\r\n1\r\n--bx\r\n\r\n2\r\n--bx--\r\n")) == [(b"", b"1"), (b"", b"2")]
    second = outer.nested(begin_of_next(outer))
    with pytest.raises(LimitExceeded) as caught:
        second.feed(b"--bx\r\n\r\n1\r\n--bx--")
    assert (caught.value.limit, caught.value.value, caught.value.part_index) == ("max_parts", 4, 0)


def test_nested_header_bytes_count_in_one_sum() -> None:
    outer = PushMultipartParser("b", limits=Limits(max_total_header_bytes=60))
    begin = begin_of(outer, "b")
    room = 60 - len(begin.raw)
    assert room > 10
    inner = outer.nested(begin)
    assert len(list(inner.feed(b"--bx\r\nA:" + b"x" * (room - 2) + b"\r\n\r\n"))) == 1
    with pytest.raises(LimitExceeded, match="max_total_header_bytes"):
        list(outer.feed(b"\r\n--b\r\nA:\r\n\r\n"))


def begin_of_next(parser: PushMultipartParser) -> PartBegin:
    end, begin = parser.feed(b"\r\n--b\r\nContent-Type: multipart/mixed; boundary=bx\r\n\r\n")
    assert end is PART_END
    assert isinstance(begin, PartBegin)
    return begin


# Where the boundary comes from


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/mixed; boundary=b",
        'Multipart/MIXED;Boundary="b"',
        "multipart/mixed;charset=UTF-8;boundary=b",
        'multipart/mixed; boundary="b"; charset="a;b"; x="\\""',
        "multipart/mixed; boundary=b;",
        "multipart/mixed ;\tboundary=b ",
    ],
)
def test_from_content_type(content_type: str) -> None:
    for policy in POLICIES:
        parser = PushMultipartParser.from_content_type(content_type, policy=policy, limits=Limits())
        assert shown(parser.feed(b"--b\r\n\r\n1\r\n--b--\r\n")) == [[b""], b"1", PART_END, END]


def test_from_content_type_knows_form_data() -> None:
    parser = PushMultipartParser.from_content_type("Multipart/Form-Data; boundary=b")
    (begin,) = parser.feed(b"--b\r\n" + FIELD + b"\r\n\r\n")
    assert isinstance(begin, PartBegin)
    assert begin.form_data


def test_a_subclass_makes_its_own_kind() -> None:
    class Parser(PushMultipartParser):
        pass

    assert type(Parser.from_content_type("multipart/mixed; boundary=b")) is Parser


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "multipart",
        "text/plain; boundary=b",
        "multipart/mixed",
        "multipart/mixed; boundary=",
        "multipart/mixed; boundary",
    ],
)
def test_errors_of_from_content_type_name_the_header(content_type: str) -> None:
    with pytest.raises(ParseError, match=r"^Content-Type: ") as caught:
        PushMultipartParser.from_content_type(content_type)
    assert caught.value.offset is None
    assert caught.value.part_index is None


def test_limits_of_from_content_type_name_the_header() -> None:
    limits = Limits(max_boundary_length=2, max_parameters=1)
    with pytest.raises(LimitExceeded, match=r"^Content-Type") as caught:
        PushMultipartParser.from_content_type("multipart/mixed; boundary=bbb", limits=limits)
    assert (caught.value.limit, caught.value.value) == ("max_boundary_length", 2)
    with pytest.raises(LimitExceeded, match=r"^Content-Type") as caught:
        PushMultipartParser.from_content_type("multipart/mixed; boundary=b; a=b", limits=limits)
    assert (caught.value.limit, caught.value.value) == ("max_parameters", 1)


@pytest.mark.parametrize("boundary", ["", "b ", "b\r", "b\n", "\0", "é", b"\xe9", "b\x7f", b""])
def test_what_is_no_boundary(boundary: str | bytes) -> None:
    for policy in POLICIES:
        with pytest.raises(ParseError):
            PushMultipartParser(boundary, policy=policy)


def test_max_boundary_length() -> None:
    PushMultipartParser("b" * 70)
    with pytest.raises(LimitExceeded) as caught:
        PushMultipartParser("b" * 71)
    assert (caught.value.limit, caught.value.value) == ("max_boundary_length", 70)
    PushMultipartParser("b" * 500, limits=Limits(max_boundary_length=None))


# Limits

HEAD = b"--b\r\nAA: 1\r\nBBBB: 2\r\n\r\n"
TAIL = b"\r\n--b\r\nC:\r\n\r\nxx\r\n--b--"

# Each row: the limit; the least value that lets the message pass; the message; where the error is with one less; how
# many bytes a reader of single bytes takes in before it; and the part it names.
LIMITS = {
    "max_preamble": ("max_preamble", 3, b"abc\r\n" + HEAD + TAIL, 2, 3, None),
    "max_preamble, with what looked like a delimiter": ("max_preamble", 7, b"--bbbb\r\r\n" + HEAD + TAIL, 6, 8, None),
    "max_preamble of nothing": ("max_preamble", 1, b"a\r\n" + HEAD + TAIL, 0, 1, None),
    "max_epilogue": ("max_epilogue", 3, HEAD + TAIL + b"\r\nabc", 49, 50, None),
    "max_part_size": ("max_part_size", 4, HEAD + b"abcd" + TAIL, 26, 27, 0),
    "max_part_size, with a length": (
        "max_part_size",
        4,
        b"--b\r\nContent-Length: 4\r\n\r\nabcd\r\n--b--",
        29,
        30,
        0,
    ),
    "max_part_size, with what looked like a delimiter": ("max_part_size", 9, HEAD + b"a\r\n--b--c" + TAIL, 31, 32, 0),
    "max_part_size of a later part": ("max_part_size", 2, HEAD + b"a" + TAIL, 38, 39, 1),
    "max_total_size": ("max_total_size", 52, HEAD + b"a" + TAIL + b"\r\nabcd", 51, 52, None),
    "max_total_size in a body": ("max_total_size", 26, HEAD + b"abc", 25, 26, 0),
    "max_total_size in headers": ("max_total_size", 15, HEAD[:15], 14, 15, None),
    "max_header_line": ("max_header_line", 7, HEAD + TAIL, 18, 19, 0),
    "max_header_line, no colon in sight": ("max_header_line", 9, b"--b\r\n" + b"x" * 9, 13, 14, 0),
    "max_header_line of a fold": ("max_header_line", 6, b"--b\r\nA: 1\r\n" + b" folds\r\n\r\n" + TAIL, 16, 17, 0),
    "max_header_bytes": ("max_header_bytes", 14, HEAD + TAIL, 18, 19, 0),
    "max_header_bytes, one long line": (
        "max_header_bytes",
        9,
        b"--b\r\nA: " + b"x" * 6 + b"\r\n\r\n" + TAIL,
        13,
        14,
        0,
    ),
    "max_headers": ("max_headers", 2, HEAD + TAIL, 19, 21, 0),
    "max_parts": ("max_parts", 2, HEAD + b"a" + TAIL, 31, 37, 1),
    "max_total_header_bytes": ("max_total_header_bytes", 16, HEAD + b"a" + TAIL, 31, 37, 1),
    "max_parameters": (
        "max_parameters",
        3,
        b"--b\r\nContent-Type: a/b; c=1; d=2; e=3\r\n\r\n" + TAIL,
        5,
        41,
        0,
    ),
}


@pytest.mark.parametrize("row", LIMITS)
def test_limits(row: str) -> None:
    limit, least, message, offset, consumed, part = LIMITS[row]
    wide, narrow = Limits(**{limit: least}), Limits(**{limit: least - 1})
    error = parse_all(message, limits=wide)[1]
    assert error is None or type(error) is IncompleteBody
    assert parse_all(message, limits=wide.replace(**{limit: None}))[1] is None or error is not None

    _, failed = fail(message, limits=narrow)
    assert isinstance(failed, LimitExceeded)
    assert (failed.limit, failed.value) == (limit, least - 1)
    assert failed.http_status == 413
    assert (failed.offset, failed.part_index) == (offset, part)

    parser = PushMultipartParser("b", limits=narrow)
    for taken in range(1, len(message) + 1):
        try:
            list(parser.feed(message[taken - 1 : taken]))
        except LimitExceeded:
            assert taken == consumed
            break
    else:
        pytest.fail("no error while feeding")


def test_a_body_over_its_limit_is_handed_over_up_to_it() -> None:
    for length in (b"", b"Content-Length: 6"):
        headers = b"A: 1\r\n" + length if length else b"A: 1"
        message = b"--b\r\n" + headers + b"\r\n\r\n\r\n--bx\r\n--b--"
        events, error = fail(message, limits=Limits(max_part_size=4))
        assert events == [[headers], b"\r\n--"]
        assert isinstance(error, LimitExceeded)


def test_padding_counts_as_a_line() -> None:
    limits = Limits(max_header_line=18)
    for before in (b"", b"--b\r\n\r\nx\r\n", b"--b\r\nContent-Length: 1\r\n\r\nx\r\n"):
        found = read(before + b"--b" + b" " * 18 + b"\r\n\r\n1\r\n--b--" + b" " * 16, limits=limits)
        assert [body for _, body in found] == ([b"x", b"1"] if before else [b"1"])
        error = fail(before + b"--b" + b" " * 1000, limits=limits)[1]
        assert isinstance(error, LimitExceeded)
        assert error.limit == "max_header_line"
        assert error.offset == len(before) + 3 + 18 + 2
        assert error.part_index == (0 if before else None)


def test_the_error_of_a_counted_part_names_it() -> None:
    message = b"--b\r\nContent-Disposition: a; name=n\r\nContent-Length: 9\r\n\r\n12345"
    error = fail(message, limits=Limits(max_part_size=4))[1]
    assert (error.part_index, error.part_name) == (0, "n")
    assert str(error) == "body passes max_part_size of 4 [at byte 62, in part 0 ('n')]"


def test_no_limit_is_on_by_surprise() -> None:
    message = b"--b\r\n\r\n" + b"x" * 100 + b"\r\n--b--"
    none = Limits().replace(**{name: None for name in Limits.__dataclass_fields__ if name.startswith("max_")})
    assert read(message, limits=none) == read(message) == [(b"", b"x" * 100)]
    assert (
        len(read((b"--b\r\n" + FIELD + b"\r\n\r\n\r\n") * 1000 + b"--b--", limits=Limits.for_forms(), few=True)) == 1000
    )
    error = parse([(b"--b\r\n" + FIELD + b"\r\n\r\n\r\n") * 1001 + b"--b--"], limits=Limits.for_forms())[1]
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.part_index) == ("max_parts", 1000)


def test_limits_are_numbers_or_none() -> None:
    assert Limits.for_forms(max_parts=5).replace(max_depth=None).max_parts == 5
    for bad in ("1", 1.0, True, b"1"):
        with pytest.raises(TypeError, match="max_parts must be an int or None"):
            Limits().replace(max_parts=bad)
    with pytest.raises(TypeError):
        Limits().replace(decode_ratio_floor=None)
    with pytest.raises(TypeError):
        Limits().replace(max_everything=1)
    with pytest.raises(ValueError, match="max_parts must not be negative: -1"):
        Limits(max_parts=-1)
    assert len(read(b"--b--", limits=Limits(max_parts=0))) == 0
    with pytest.raises(AttributeError):
        setattr(Limits(), "max_parts", 1)  # noqa: B010


# What real senders do; the numbers are those of the table in the notes on demand

NET = b"form-data; name=part1; filename=part1.csv; filename*=utf-8''part1.csv"
SENDERS: dict[str, tuple[str, bytes, list[tuple[bytes, bytes]]]] = {
    "1, the boundary has the dashes already": (
        "multipart/x-mixed-replace; boundary=--myboundary",
        b"----myboundary\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8\r\n----myboundary--",
        [(b"Content-Type: image/jpeg", b"\xff\xd8")],
    ),
    "2, CouchDB": (
        'multipart/related; boundary="--c9"',
        b"----c9\r\nContent-Type: application/json\r\n\r\n{}\r\n----c9--",
        [(b"Content-Type: application/json", b"{}")],
    ),
    "4, Foscam": (
        "multipart/x-mixed-replace;boundary=S",
        b"--S\r\n--S\r\nContent-type: image/jpeg\r\n\r\nj\r\n--S--",
        [(b"Content-type: image/jpeg", b"j")],
    ),
    "5, GraphQL": ('multipart/mixed; boundary="graphql"', b"--graphql\r\n--graphql--", []),
    "8, no length": (
        "multipart/x-mixed-replace;boundary=ffmpeg",
        b"--ffmpeg\r\nContent-type: image/jpeg\r\n\r\nj\r\n--ffmpeg\r\nContent-type: image/jpeg\r\n\r\nk\r\n--ffmpeg--",
        [(b"Content-type: image/jpeg", b"j"), (b"Content-type: image/jpeg", b"k")],
    ),
    "14, CRLF first": ("multipart/mixed; boundary=b", b"\r\n--b\r\n\r\n1\r\n--b--\r\n", [(b"", b"1")]),
    "15, padding": ("multipart/mixed; boundary=b", b"--b \r\n\r\n1\r\n--b-- \r\n", [(b"", b"1")]),
    "16, no headers": ("multipart/mixed; boundary=b", b"--b\r\n\r\nhi\r\n--b--", [(b"", b"hi")]),
    "17, no CRLF at the end": ("multipart/mixed; boundary=b", b"--b\r\nA:1\r\n\r\nhi\r\n--b--", [(b"A:1", b"hi")]),
    "17, epilogue": ("multipart/mixed; boundary=b", b"--b\r\nA:1\r\n\r\nhi\r\n--b--\r\nbye", [(b"A:1", b"hi")]),
    "19, .NET": (
        'multipart/form-data; boundary="0c8a9a58-83f9-4c4a-8f0b-1c1f0a3b3a5e"',
        b"--0c8a9a58-83f9-4c4a-8f0b-1c1f0a3b3a5e\r\nContent-Disposition: " + NET + b"\r\n\r\na,b\r\n"
        b"--0c8a9a58-83f9-4c4a-8f0b-1c1f0a3b3a5e--\r\n",
        [(b"Content-Disposition: " + NET, b"a,b")],
    ),
    "20, Azure": (
        "multipart/mixed; boundary====1234==",
        b"--===1234==\r\n\r\n1\r\n--===1234==--",
        [(b"", b"1")],
    ),
    "21, Spring": (
        "multipart/form-data;charset=UTF-8;boundary=X",
        b"--X\r\n" + FIELD + b"\r\n\r\n1\r\n--X--\r\n",
        [(FIELD, b"1")],
    ),
    "23, Matrix": (
        "multipart/mixed; boundary=gc0p4Jq0M2Yt08jU534c0p",
        (
            b"\r\n--gc0p4Jq0M2Yt08jU534c0p\r\nContent-Type: application/json\r\n\r\n{}\r\n"
            b"--gc0p4Jq0M2Yt08jU534c0p\r\nLocation: https://cdn.example.org/ab/c1/2345.txt\r\n\r\n\r\n"
            b"--gc0p4Jq0M2Yt08jU534c0p--"
        ),
        [(b"Content-Type: application/json", b"{}"), (b"Location: https://cdn.example.org/ab/c1/2345.txt", b"")],
    ),
}


@pytest.mark.parametrize("sender", SENDERS)
def test_what_real_senders_do(sender: str) -> None:
    content_type, message, expected = SENDERS[sender]
    for name, chunks in cuttings(message):
        parser = PushMultipartParser.from_content_type(content_type)
        events = [event for chunk in chunks for event in parser.feed(chunk)] + list(parser.close())
        assert (parts(events), events[-1]) == (expected, END), name


def test_dashes_are_never_stripped() -> None:
    # Row 1 as Sony sends it: the body has the boundary without further dashes. That takes LENIENT.
    parser = PushMultipartParser.from_content_type("multipart/x-mixed-replace; boundary=--myboundary")
    assert list(parser.feed(b"--myboundary\r\nContent-Type: image/jpeg\r\n\r\nj\r\n--myboundary--")) == []
    with pytest.raises(IncompleteBody):
        parser.close()


def test_strict_and_the_boundaries_of_real_senders() -> None:
    with pytest.raises(ParseError):
        PushMultipartParser.from_content_type(SENDERS["20, Azure"][0], policy=Policy.STRICT)
    with pytest.raises(ParseError):
        PushMultipartParser.from_content_type("multipart/x; boundary =--myboundary")  # row 3


@pytest.mark.parametrize(
    ("sent", "filename"),
    [
        ('"na\u00efve \u65e5\u672c.txt"'.encode(), "na\u00efve \u65e5\u672c.txt"),
        ('"na\u00efve.txt"'.encode("latin-1"), "na\u00efve.txt"),
        (b'"a%22b.txt"', 'a"b.txt'),
        (b'"a\\"b.txt"', 'a"b.txt'),
        (rb'"C:\dir\file.txt"', r"C:\dir\file.txt"),
    ],
)
def test_file_names_of_browsers(sent: bytes, filename: str) -> None:
    block = b'Content-Disposition: form-data; name="f"; filename=' + sent
    events, error = parse_all(b"--b\r\n" + block + b"\r\n\r\nx\r\n--b--", subtype="form-data")
    assert error is None
    begin = events[0]
    assert isinstance(begin, PartBegin)
    assert (begin.name, begin.filename) == ("f", filename)


def test_an_input_that_never_closes() -> None:
    events, error = fail(b"--b\r\nA: 1\r\n\r\none\r\n--b\r\nA: 1\r\n\r\ntw")  # row 18
    assert events == [[b"A: 1"], b"one", PART_END, [b"A: 1"], b"tw"]
    assert type(error) is IncompleteBody


# What other libraries write


def test_messages_of_the_standard_library() -> None:
    message = email.message.EmailMessage(policy=email.policy.SMTP)
    message.set_content("text \u00e9\n--not a boundary\n")
    message.add_alternative("<p>html</p>", subtype="html")
    message.add_attachment(bytes(range(256)), maintype="image", subtype="png", filename="na\u00efve.png")
    head, _, body = message.as_bytes().partition(b"\r\n\r\n")
    content_type = message["Content-Type"]
    assert head
    outer = PushMultipartParser.from_content_type(str(content_type))
    for _name, chunks in cuttings(body):
        outer = PushMultipartParser.from_content_type(str(content_type))
        events = [event for chunk in chunks for event in outer.feed(chunk)] + list(outer.close())
        begins = [event for event in events if isinstance(event, PartBegin)]
        assert [begin.content_type for begin in begins] == ["multipart/alternative", "image/png"]
        assert begins[1].filename == "na\u00efve.png"
        assert begins[1].disposition_type == "attachment"
        inner = outer.nested(begins[0])
        nested = [*inner.feed(parts(events)[0][1]), *inner.close()]
        kinds = [event.content_type for event in nested if isinstance(event, PartBegin)]
        assert kinds == ["text/plain", "text/html"]
        assert parts(nested)[1][1] == b"<p>html</p>\r\n"


async def test_messages_of_aiohttp() -> None:
    with aiohttp.MultipartWriter("form-data") as writer:
        for name, value in (("a", "1"), ("b", ""), ("caf\u00e9", "x" * 1000)):
            payload = writer.append(value)
            payload.set_content_disposition("form-data", name=name)
        payload = writer.append(b"\r\n--" + writer.boundary.encode()[:-1] + b"\r\n", {"Content-Type": "image/png"})
        payload.set_content_disposition("form-data", name="f", filename="na\u00efve file.png", quote_fields=False)
    message = await writer.as_bytes()
    for _name, chunks in cuttings(message):
        parser = PushMultipartParser.from_content_type(writer.headers["Content-Type"])
        events = [event for chunk in chunks for event in parser.feed(chunk)] + list(parser.close())
        begins = [event for event in events if isinstance(event, PartBegin)]
        assert [(begin.name, begin.filename) for begin in begins] == [
            ("a", None),
            ("b", None),
            ("caf\u00e9", None),
            ("f", "na\u00efve file.png"),
        ]
        assert [body for _, body in parts(events)] == [
            b"1",
            b"",
            b"x" * 1000,
            b"\r\n--" + writer.boundary.encode()[:-1] + b"\r\n",
        ]


async def test_nested_messages_of_aiohttp() -> None:
    with aiohttp.MultipartWriter("mixed", boundary="b") as writer:
        writer.append_json({"a": 1})
        with aiohttp.MultipartWriter("related", boundary="bb") as related:
            related.append("text")
            writer.append(related)
    message = await writer.as_bytes()
    events, error = parse_all(message)
    assert error is None
    outer = PushMultipartParser("b")
    (_, one), (_, two) = parts(events)
    assert one == b'{"a": 1}'
    begin = [event for event in events if isinstance(event, PartBegin)][1]
    assert begin.content_length == len(two)
    inner = outer.nested(begin)
    assert [body for _, body in parts([*inner.feed(two), *inner.close()])] == [b"text"]


# Any input

TOKENS = [
    *(b"--b", b"\r\n--b", b"\r\n", b"--", b"\r", b"\n", b" ", b"\t", b"x", b"-", b"bb", b"\0", b"\xe9"),
    *(b"A: b\r\n", b"\r\n\r\n", b"\r\n--b\r\n", b"\r\n--b--", b"\r\n--b--\r\n", b" folded\r\n", b"\r\n--b \r\n"),
    *(b"Content-Length: 0\r\n", b"Content-Length: 3\r\n", b"Content-Length: 9\r\n", b"\r\n--b\r\nA:1\r\n\r\nzz"),
    *(FIELD + b"\r\n", b"Content-Type: multipart/x; boundary=c\r\n", b"Content-Type: bad\r\n"),
]
soups = st.builds(
    lambda head, middle, tail: head + b"".join(middle) + tail,
    st.sampled_from([b"--b\r\n", b"\r\n--b\r\n", b"--b\r\n\r\n", b""]),
    st.lists(st.sampled_from(TOKENS), max_size=14),
    st.sampled_from([b"\r\n--b--", b"\r\n--b--\r\n", b""]),
)
# Messages that are good more often than not
header_blocks = st.lists(
    st.sampled_from(
        [b"A: b\r\n", b"A:\r\n c\r\n", FIELD + b"\r\n", b"Content-Length: 3\r\n", b"Content-Type: a/b\r\n"]
    ),
    max_size=2,
).map(b"".join)
bodies = st.lists(st.sampled_from([b"abc", b"x", b"\r\n", b"\r\n--b", b"--b", b"--", b"\r", b"\n"]), max_size=4).map(
    b"".join
)
delimiters = st.sampled_from([b"\r\n--b\r\n", b"\r\n--b\r\n", b"\r\n--b \t\r\n", b"\r\n--b\r\n--b\r\n"])
messages = st.builds(
    lambda start, found, end: start + b"".join(b"%b\r\n%b%b" % part for part in found)[:-1] + end,
    st.sampled_from([b"--b\r\n", b"\r\n--b\r\n", b"pre\r\n--b \r\n"]),
    st.lists(st.tuples(header_blocks, bodies, delimiters), max_size=4).map(
        lambda found: [*found[:-1], (*found[-1][:2], b"\r\n--b-")] if found else [(b"", b"", b"\r\n--b-")]
    ),
    st.sampled_from([b"--", b"--\r\n", b"-- \r\nepilogue"]),
)
LIMITS_TO_MEET = [
    Limits(),
    Limits(max_header_line=12),
    Limits(max_part_size=3),
    Limits(max_parts=1),
    Limits(max_header_bytes=20, max_headers=1),
    Limits(max_total_size=40),
    Limits(max_preamble=1, max_epilogue=1),
    Limits(max_total_header_bytes=14),
    Limits(max_parameters=0),
]


@settings(max_examples=250, deadline=None)
@given(
    soups | messages, st.sampled_from(LIMITS_TO_MEET), st.sampled_from(POLICIES), st.sampled_from(SUBTYPES), st.data()
)
def test_how_it_is_cut_does_not_matter(
    message: bytes, limits: Limits, policy: Policy, subtype: str, data: st.DataObject
) -> None:
    kwargs: dict[str, Any] = {"limits": limits, "policy": policy, "subtype": subtype}
    events, error = parse_all(message, few=True, **kwargs)
    cuts = data.draw(st.lists(st.integers(0, len(message)), max_size=6))
    got_events, got_error = parse(cut(message, cuts), **kwargs)
    assert (got_events, describe(got_error)) == (events, describe(error))
    assert error is not None or events[-1] is END


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["b", "-", "0"]), st.sampled_from(POLICIES))
def test_any_bytes_give_events_or_an_error(message: bytes, boundary: str, policy: Policy) -> None:
    parse_all(message, few=True, boundary=boundary, policy=policy)


# A second opinion: the whole message at once, by one regex, as the table of ambiguous constructs reads

DELIMITER_LINE = re.compile(rb"\r\n--b(?:(?P<close>--)[ \t]*(?:\r\n|\Z)|[ \t]*\r\n)")
LF_DELIMITER_LINE = re.compile(rb"\r\n--b(?:--)?[ \t]*\n")


def reference(message: bytes) -> tuple[list[tuple[bytes, bytes]], type[MultipartError] | None]:
    """Parts and kind of error of a multipart/mixed message under STANDARD, without limits."""
    text = b"\r\n" + message
    found: list[tuple[bytes, bytes]] = []
    line = DELIMITER_LINE.search(text)
    with_lf = LF_DELIMITER_LINE.search(text)
    if with_lf and (line is None or with_lf.start() < line.start()):
        return found, ParseError
    while line is not None:
        if line["close"]:
            return found, None
        crlf = line.end() - 2
        adjacent = DELIMITER_LINE.match(text, crlf)
        if adjacent:
            line = adjacent
            continue
        blank = text.find(b"\r\n\r\n", crlf)
        if blank < 0:
            break
        block = text[crlf + 2 : max(blank, crlf + 2)]
        try:
            length = PartBegin(block, form_data=False, policy=Policy.STANDARD, limits=Limits()).content_length
        except MultipartError as exc:
            return found, type(exc)
        start = blank + 4
        line = DELIMITER_LINE.search(text, start - 2)
        if length is not None:
            end = start + length
            # A close-delimiter is one at the end of the input only if the input ends too early.
            if line is not None and line.end() <= end and (line[0].endswith(b"\n") or end > len(text)):
                return found, ParseError
            if end > len(text):
                break
            body = text[start:end]
            line = DELIMITER_LINE.match(text, end) or (DELIMITER_LINE.match(text, start - 2) if length == 0 else None)
            found.append((block, body))
            if line is None and not could_become_a_delimiter(text[end:], empty=length == 0):
                return found, ParseError
        elif line is not None:
            found.append((block, text[start : max(start, line.start())]))
    return found, IncompleteBody


def could_become_a_delimiter(rest: bytes, *, empty: bool) -> bool:
    begun = re.compile(rb"(?:\r(?:\n(?:-(?:-(?:b(?:--?|-?-?[ \t]*\r?|[ \t]*\r?)?)?)?)?)?)?")
    if empty and rest.startswith(b"-"):
        rest = b"\r\n" + rest
    match = begun.fullmatch(rest)
    return match is not None and re.fullmatch(rb"\r\n--b-[ \t\r]+", rest) is None


@settings(max_examples=400, deadline=None)
@given(soups | messages)
def test_a_second_opinion(message: bytes) -> None:
    events, error = parse([message])
    assert (parts(events), None if error is None else type(error)) == reference(message)
