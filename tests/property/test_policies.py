"""STRICT accepts a subset of STANDARD, STANDARD of LENIENT; what two policies accept means the same to both."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from aiomultipart import PartBegin, PushMultipartParser
from aiomultipart.policy import Policy
from tests.support.feeding import parse

FRAGMENTS = (
    *(b"--b", b"\r\n--b", b"--b--", b"\r\n--b--", b"\r\n--b\r\n", b"\n--b\n", b"--bb", b"--b--\r\n"),
    *(b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"-", b"--", b" ", b"\t", b"x", b"xyz", b":", b"\0"),
    *(b"A: 1\r\n", b"A: 1", b" fold\r\n", b"Content-Type: text/plain\r\n", b"Content-Type: nonsense\r\n"),
    *(b"Content-Length: 0\r\n", b"Content-Length: 3\r\n", b"Content-Length: 9\r\n", b"Content-Length: -1\r\n"),
    b'Content-Disposition: form-data; name="a"\r\n',
    b"Content-Disposition: form-data; name=\"a\"; filename=b; filename*=utf-8''c\r\n",
    b"Content-Disposition: form-data; name*0=a; name*1=b\r\n",
    b"Content-Disposition: form-data; name =a\r\n",
    b'Content-Disposition: form-data; name="a\\"; filename="b\\"\r\n',
    b"Content-Disposition: form-data; name=a; filename*=no-such''x\r\n",
    b"Content-Disposition: form-data; name=a; filename*=utf-8''%00\r\n",
    b"Content-Disposition: attachment\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Type: multipart/mixed; boundary=c\r\n",
)
soups = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map(b"".join)
messages = soups.map(lambda soup: b"--b\r\n" + soup + b"\r\n--b--")


@settings(max_examples=600, deadline=None)
@pytest.mark.parametrize("subtype", ["mixed", "form-data"])
@given(message=soups | messages)
@example(message=b"--b\r\nContent-Length: 5\r\n\r\n--b--\r\n--b--")
@example(message=b"x\n--b\r\n\r\n--b\r\n\r\n\r\n--b--")
def test_each_policy_accepts_what_a_stricter_one_does(message: bytes, subtype: str) -> None:
    outcomes = [parse([message], subtype=subtype, policy=policy) for policy in Policy]
    # To LENIENT such a line is a delimiter, which shows the style of the message. To the others it may be a preamble.
    assume(not re.search(rb"(?<!\r)\n--b(?:--)?[ \t]*\n", message))
    for (stricter, refused), (events, error) in itertools.pairwise(outcomes):
        if refused is None:
            assert error is None, error
            assert [visible(event) for event in events] == [visible(event) for event in stricter]


def visible(event: object) -> object:
    """Everything that a part shows, or the event itself."""
    if not isinstance(event, PartBegin):
        return event
    names = ("raw", "disposition_type", "name", "filename", "content_type", "content_length", "boundary", "defects")
    return [getattr(event, name) for name in names], list(event.headers.items()), event.media_type


@settings(max_examples=300, deadline=None)
@given(
    value=st.lists(
        st.sampled_from(
            [
                "multipart/",
                "mixed",
                "form-data",
                ";",
                " ",
                "boundary",
                "=",
                '"',
                "b",
                "--b",
                ",",
                ":",
                "/",
                "\\",
                "*",
                "*0",
            ]
        ),
        max_size=12,
    ).map("".join)
    | st.sampled_from(["boundary=b", "boundary =b", "boundary=a=b", 'boundary="b c"', "boundary=b; boundary=c"]).map(
        "multipart/mixed; {}".format
    )
)
def test_each_policy_accepts_the_content_types_that_a_stricter_one_does(value: str) -> None:
    boundaries: list[str | None] = []
    for policy in Policy:
        try:
            boundaries.append(PushMultipartParser.from_content_type(value, policy=policy).boundary)
        except ValueError:
            boundaries.append(None)
    for stricter, wider in itertools.pairwise(boundaries):
        assert stricter in (None, wider)
