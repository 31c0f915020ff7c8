"""Valid messages mean to us what they mean to others: multipart, Werkzeug and python-multipart for forms, the standard
library's email package for MIME.

Where they are known to differ, and are meant to, the strategies here keep out of it, or a test says which is which:

* ``%0D`` and ``%0A`` in names: multipart makes line ends of them. To us they stay as they are, as a name with a line
  end is of use to nobody but an attacker (``%22`` is a quote to both, as browsers write it).
* Backslashes in names: multipart and Werkzeug undo ``\\"`` only; multipart drops the directories of a Windows path. We
  keep the path, and undo whatever aiohttp or curl may have escaped.
* A delimiter that stands behind a blank line, or behind LF alone, to some: bodies are such that no reading finds one.
"""

from __future__ import annotations

import asyncio
import email
import email.encoders
import email.policy
import io
import re
from collections.abc import Callable, Iterable
from email.message import EmailMessage, Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import Policy as EmailPolicy
from typing import Any, NamedTuple

import multipart
import pytest
import python_multipart
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.sansio import multipart as werkzeug_multipart

from aiomultipart import FormData, Limits, MultipartReader, MultipartWriter, Policy
from aiomultipart.parser import PartBegin
from aiomultipart.testing import ScriptedSource
from tests.integration.test_email import expected, flatten, read
from tests.support.feeding import cut, parse

relaxed = settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)


# Forms


class Field(NamedTuple):
    name: str | None
    filename: str | None
    content_type: str | None
    body: bytes


class Written(NamedTuple):
    """How a field is put down: its header lines and its body."""

    headers: list[str]
    body: bytes


class FormMessage(NamedTuple):
    boundary: str
    fields: list[Written]
    start: bytes
    end: bytes

    def render(self) -> bytes:
        delimiter = b"--" + self.boundary.encode()
        parts = [
            b"%b\r\n%b\r\n\r\n%b\r\n" % (delimiter, "\r\n".join(field.headers).encode(), field.body)
            for field in self.fields
        ]
        return self.start + b"".join(parts) + delimiter + b"--" + self.end


BOUNDARIES = ["b", "----WebKitFormBoundaryx", "--", "b-", "0123456789" * 7, "a'()+_,./:=? b"]
NAMES = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\%'), max_size=12
) | st.sampled_from(["a;b", "a=b", "%22", "a%22b", "%41%", " a ", "é", "日本", "filename", "name=", "a,b", "'", "*"])
CONTENT_TYPES = st.sampled_from(
    ["text/plain", "TEXT/Html", "image/svg+xml", "text/plain; charset=utf-8", 'a/b; c="d;e"', "application/x-a_b;v=1"]
)
OTHER_HEADERS = st.sampled_from(["X-Other: 1", "x-empty:", "Content-Transfer-Encoding: binary"])


def header_lines(name: str, filename: str | None, content_type: str | None, other: list[str]) -> list[str]:
    disposition = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        disposition += f'; filename="{filename}"'
    return [disposition, *([f"Content-Type: {content_type}"] if content_type is not None else []), *other]


def bodies(boundary: str) -> st.SearchStrategy[bytes]:
    """What looks like framing and is none, to any reader."""
    delimiter = b"\r\n--" + boundary.encode()
    tokens = [
        b"\r\n",
        b"\r",
        b"\n",
        b"-",
        b"--",
        b"x",
        b" ",
        b"\0",
        b"\r\n\r\n",
        delimiter[:-1],
        delimiter[2:],
        b"--\r\n",
    ]
    mixture = st.lists(st.sampled_from(tokens), max_size=12).map(b"".join)
    return (mixture | st.binary(max_size=60)).filter(lambda body: is_no_framing(body, delimiter))


def is_no_framing(body: bytes, delimiter: bytes) -> bool:
    # Also where others would look for it: behind the blank line, or behind CR or LF alone.
    text = (b"\r\n" + body).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return b"\n" + delimiter[2:] not in text


@st.composite
def forms(draw: st.DrawFn) -> FormMessage:
    boundary = draw(st.sampled_from(BOUNDARIES))
    fields = st.builds(
        Written,
        st.builds(
            header_lines,
            NAMES,
            st.none() | NAMES,
            st.none() | CONTENT_TYPES,
            st.lists(OTHER_HEADERS, max_size=2, unique=True),
        ),
        bodies(boundary),
    )
    return FormMessage(
        boundary,
        draw(st.lists(fields, max_size=4)),
        draw(st.sampled_from([b"", b"\r\n"])),
        draw(st.sampled_from([b"", b"\r\n"])),
    )


def by_us(policy: Policy) -> Callable[[list[bytes], str], list[Field]]:
    def read_form(chunks: list[bytes], boundary: str) -> list[Field]:
        events, error = parse(chunks, boundary=boundary, subtype="form-data", policy=policy)
        if error is not None:
            raise error
        found: list[Field] = []
        for event in events:
            if isinstance(event, PartBegin):
                found.append(Field(event.name, event.filename, event.content_type, b""))
            elif isinstance(event, bytes):
                found[-1] = found[-1]._replace(body=event)
        return found

    return read_form


def by_multipart(chunks: list[bytes], boundary: str) -> list[Field]:
    found: list[Field] = []
    with multipart.PushMultipartParser(boundary) as parser:
        for chunk in chunks:
            if not chunk or parser.closed:
                continue  # to it b"" is the end, and the close-delimiter too
            for event in parser.parse(chunk):
                if isinstance(event, multipart.MultipartSegment):
                    found.append(Field(event.name, event.filename, event.content_type, b""))
                elif event:
                    found[-1] = found[-1]._replace(body=found[-1].body + event)
    return found


def by_multipart_buffered(message: bytes, boundary: str) -> list[Field]:
    parts = multipart.MultipartParser(io.BytesIO(message), boundary, buffer_size=100)
    return [Field(part.name, part.filename, part.headers.get("Content-Type"), part.raw) for part in parts]


def by_werkzeug(message: bytes, boundary: str) -> list[Field]:
    """Whole: fed byte by byte, 3.1.9 finds a CR in an empty body."""
    found: list[Field] = []
    decoder = werkzeug_multipart.MultipartDecoder(boundary.encode())
    for chunk in (message, None):
        decoder.receive_data(chunk)
        while not isinstance(event := decoder.next_event(), (werkzeug_multipart.NeedData, werkzeug_multipart.Epilogue)):
            if isinstance(event, (werkzeug_multipart.Field, werkzeug_multipart.File)):
                filename = event.filename if isinstance(event, werkzeug_multipart.File) else None
                found.append(Field(event.name, filename, event.headers.get("Content-Type"), b""))
            elif isinstance(event, werkzeug_multipart.Data):
                found[-1] = found[-1]._replace(body=found[-1].body + event.data)
        if isinstance(event, werkzeug_multipart.Epilogue):
            break
    return found


def by_python_multipart(chunks: list[bytes], boundary: str) -> list[bytes]:
    """Bodies only; its names are not unquoted."""
    found: list[bytes] = []

    def on_part_data(data: bytes, start: int, end: int) -> None:
        found[-1] += data[start:end]

    callbacks: Any = {"on_part_begin": lambda: found.append(b""), "on_part_data": on_part_data}
    parser = python_multipart.MultipartParser(boundary.encode(), callbacks)
    for chunk in chunks:
        parser.write(chunk)
    parser.finalize()
    return found


@relaxed
@given(form=forms(), data=st.data())
def test_a_form_is_read_as_others_read_it(form: FormMessage, data: st.DataObject) -> None:
    message = form.render()
    written = [field.body for field in form.fields]
    fields = by_us(Policy.STANDARD)([message], form.boundary)
    assert [field.body for field in fields] == written
    assert [(field.name, field.filename) for field in by_werkzeug(message, form.boundary)] == [
        field[:2] for field in fields
    ]
    assert [field.body for field in by_werkzeug(message, form.boundary)] == written
    cuts = data.draw(st.lists(st.integers(0, len(message)), max_size=8))
    for chunks in ([message], cut(message, cuts), [bytes([byte]) for byte in message]):
        for policy in Policy:
            assert by_us(policy)(chunks, form.boundary) == fields
        assert by_multipart(chunks, form.boundary) == fields
        assert by_python_multipart(chunks, form.boundary) == written
    buffered = by_multipart_buffered(message, form.boundary)
    assert [(field.name, field.filename, field.body) for field in buffered] == [
        (f.name, f.filename, f.body) for f in fields
    ]


@pytest.mark.parametrize(
    ("written", "ours", "theirs"),
    [
        ("a%22b", 'a"b', 'a"b'),
        ("a%0D%0Ab", "a%0D%0Ab", "a\r\nb"),
        (r"a\"b", 'a"b', 'a"b'),
        (r"a\\b", r"a\b", r"a\\b"),
        (r"a\\\"b", r"a\"b", r"a\"b"),
        (r"C:\dir\file", r"C:\dir\file", "file"),
        (r"\\host\file", r"\host\file", "file"),
        (r"email\ 1", "email 1", r"email\ 1"),
        (r"100%25", "100%25", "100%25"),
    ],
)
def test_known_differences_from_multipart(written: str, ours: str, theirs: str) -> None:
    form = FormMessage("b", [Written(header_lines("n", written, None, []), b"x")], b"", b"")
    for policy in Policy:
        assert by_us(policy)([form.render()], "b") == [Field("n", ours, None, b"x")]
    assert by_multipart([form.render()], "b") == [Field("n", theirs, None, b"x")]


class Given(NamedTuple):
    """A field as it is given to our writer."""

    name: str
    filename: str | None
    body: bytes


# Werkzeug takes a value of backslashes, and multipart one of percent signs, for more than it is.
GIVEN = st.builds(
    Given,
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\%"), max_size=12),
    st.none()
    | st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\%"), min_size=1, max_size=12),
    st.binary(max_size=60) | bodies("b"),
)


@relaxed
@given(given_fields=st.lists(GIVEN, max_size=4))
def test_others_read_the_forms_that_we_write(given_fields: list[Given]) -> None:
    form = FormData(default_to_multipart=True)
    for field in given_fields:
        if field.filename is None:
            form.add_field(field.name, field.body.hex())
        else:
            form.add_field(field.name, field.body, filename=field.filename, content_type="a/b")
    writer = form()
    assert isinstance(writer, MultipartWriter)
    message = asyncio.run(writer.as_bytes())
    fields = by_us(Policy.STRICT)([message], writer.boundary)
    assert [(field.name, field.filename) for field in fields] == [field[:2] for field in given_fields]
    assert [field.body for field in fields] == [
        field.body.hex().encode() if field.filename is None else field.body for field in given_fields
    ]
    assert by_multipart([message], writer.boundary) == fields
    assert [field[:2] for field in by_werkzeug(message, writer.boundary)] == [field[:2] for field in fields]
    assert [field.body for field in by_werkzeug(message, writer.boundary)] == [field.body for field in fields]
    assert by_python_multipart([message], writer.boundary) == [field.body for field in fields]


# MIME

# Text that has to be encoded, that may be, and that need not be; lines that look like framing to no one.
LINES = st.sampled_from(
    ["", "plain", "Grüße", "=", "= ", "a=3D", ".", "From x", " \t", "-", "--", "--b", "x" * 80, "ж" * 30, "日本"]
)
TEXTS = st.lists(LINES, max_size=5).map("\n".join)
BYTES = st.binary(max_size=80) | st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b"--", b"=", b" ", b"\0"])).map(
    b"".join
)
FILENAMES = st.none() | st.sampled_from(
    ["a.txt", "a b.txt", 'q"uote.txt', "semi;colon", "ü.bin", "日本" * 30 + ".txt", "%41'x"]
)
CHARSETS = st.sampled_from(["us-ascii", "utf-8", "iso-8859-1", "iso-8859-15", "utf-16", "koi8-r"])


class Leaf(NamedTuple):
    content: str | bytes
    encoding: str
    charset: str
    filename: str | None

    def old(self) -> Message:
        """As the classes of email.mime write it (policy compat32)."""
        part: Message
        if isinstance(self.content, str):
            part = MIMEText(self.content, "plain", self.charset)
        else:
            part = MIMEBase("application", "x-test")
            part.set_payload(self.content)
            {"base64": email.encoders.encode_base64, "quoted-printable": email.encoders.encode_quopri}[self.encoding](
                part
            )
        if self.filename is not None:
            part.add_header("Content-Disposition", "attachment", filename=self.filename)
        return part

    def new(self) -> EmailMessage:
        """As EmailMessage writes it; by SMTP, since HTTP, whose lines may be of any length, cannot encode bodies."""
        part = EmailMessage(email.policy.SMTP)
        disposition = {} if self.filename is None else {"disposition": "attachment", "filename": self.filename}
        if isinstance(self.content, str):
            part.set_content(self.content, charset=self.charset, cte=self.encoding, **disposition)
        else:
            part.set_content(self.content, "application", "x-test", cte=self.encoding, **disposition)
        return part


class Tree(NamedTuple):
    subtype: str
    parts: list[Any]
    preamble: str | None
    epilogue: str | None

    def message(self, policy: EmailPolicy | None) -> Message:
        message: Message = MIMEMultipart(self.subtype) if policy is None else EmailMessage(policy)
        if policy is not None:
            message["Content-Type"] = f"multipart/{self.subtype}"
        message.preamble, message.epilogue = self.preamble, self.epilogue
        for part in self.parts:
            if isinstance(part, Tree):
                message.attach(part.message(policy))
            else:
                message.attach(part.old() if policy is None else part.new())
        return message


def is_encodable(leaf: Leaf) -> bool:
    if isinstance(leaf.content, bytes):
        return True
    try:
        leaf.content.encode(leaf.charset)
    except UnicodeEncodeError:
        return False
    return True


LEAVES = st.builds(Leaf, TEXTS | BYTES, st.sampled_from(["base64", "quoted-printable"]), CHARSETS, FILENAMES).filter(
    is_encodable
)


def trees(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Tree]:
    return st.builds(
        Tree,
        st.sampled_from(["mixed", "alternative", "related"]),
        st.lists(parts, min_size=1, max_size=3),
        st.sampled_from([None, "a preamble\n", "a preamble", "\n"]),
        st.sampled_from([None, "an epilogue\n", ""]),
    )


TREES = trees(LEAVES | trees(LEAVES | trees(LEAVES)))
# None is compat32, of the old classes.
POLICIES = {"compat32": None, "SMTP": email.policy.SMTP, "HTTP": email.policy.HTTP}


def chunked(body: bytes, size: int) -> Iterable[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


@pytest.mark.parametrize("policy", POLICIES)
@relaxed
@given(tree=TREES, size=st.integers(1, 300))
def test_mime_is_read_as_the_standard_library_reads_it(policy: str, tree: Tree, size: int) -> None:
    headers, body = flatten(tree.message(POLICIES[policy]))
    reference = email.message_from_bytes(
        b"Content-Type: %b\r\n\r\n%b" % (headers["Content-Type"].encode(), body), policy=email.policy.SMTP
    )

    async def run() -> None:
        reader = MultipartReader(headers, ScriptedSource(*chunked(body, size)))
        assert await read(reader) == expected(reference)
        await reader.release()
        assert reader.defects == ()

    asyncio.run(run())


class Piece(NamedTuple):
    """A part as it is given to our writer."""

    body: bytes
    encoding: str | None
    filename: str | None

    def append_to(self, writer: MultipartWriter) -> None:
        payload = writer.append(self.body)
        payload.headers["Content-Type"] = "application/x-test"
        if self.encoding is not None:
            payload.headers["Content-Transfer-Encoding"] = self.encoding
        if self.filename is not None:
            payload.set_content_disposition("attachment", filename=self.filename)


PIECES = st.builds(Piece, BYTES, st.sampled_from([None, "binary", "base64", "quoted-printable"]), FILENAMES)
PIECE_TREES = st.recursive(
    st.lists(PIECES, min_size=1, max_size=3),
    lambda inner: st.lists(PIECES | inner, min_size=1, max_size=3),
    max_leaves=6,
)


def written_by_us(pieces: list[Any]) -> MultipartWriter:
    writer = MultipartWriter("mixed")
    for piece in pieces:
        if isinstance(piece, Piece):
            piece.append_to(writer)
        else:
            writer.append(written_by_us(piece))
    return writer


def shape(pieces: list[Any]) -> list[Any]:
    # Where there is a filename* beside a filename (RFC 6266), the email package takes the filename.
    return [
        (piece.filename and re.sub(r"[^ -~]", "_", piece.filename), piece.body)
        if isinstance(piece, Piece)
        else shape(piece)
        for piece in pieces
    ]


def shape_by_email(message: Message) -> list[Any]:
    return [
        shape_by_email(part) if part.is_multipart() else (part.get_filename(), part.get_payload(decode=True))
        for part in message.get_payload()
    ]


async def shape_by_us(reader: MultipartReader) -> list[Any]:
    return [
        await shape_by_us(part) if isinstance(part, MultipartReader) else (part.filename, await part.read(decode=True))
        async for part in reader
    ]


def as_given(pieces: list[Any]) -> list[Any]:
    return [(piece.filename, piece.body) if isinstance(piece, Piece) else as_given(piece) for piece in pieces]


@relaxed
@given(pieces=PIECE_TREES)
def test_the_standard_library_reads_what_we_write(pieces: list[Any]) -> None:
    writer = written_by_us(pieces)
    message = asyncio.run(writer.as_bytes())
    content_type = b"Content-Type: %b\r\n\r\n" % writer.content_type.encode()
    for policy in (email.policy.compat32, email.policy.SMTP):
        parsed = email.message_from_bytes(content_type + message, policy=policy)
        assert not parsed.defects
        assert shape_by_email(parsed) == shape(pieces)
    reader = MultipartReader(writer.headers, message, limits=Limits(max_depth=10))
    assert asyncio.run(shape_by_us(reader)) == as_given(pieces)
