"""The grammar of header fields: any text gives a value or a MultipartError, and the readers of one header agree."""

from __future__ import annotations

import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Final, ParamSpec, TypeVar

from aiomultipart import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    LimitExceeded,
    Limits,
    MultipartError,
    PartBegin,
    Policy,
    PushMultipartParser,
    content_disposition_filename,
    hdrs,
    parse_content_disposition,
)
from aiomultipart.grammar.boundary import check_boundary, parse_boundary
from aiomultipart.grammar.charsets import lookup_charset
from aiomultipart.grammar.disposition import format_disposition, parse_disposition
from aiomultipart.grammar.fields import (
    as_multidict,
    check_field,
    decode_field_block,
    parse_content_length,
    parse_field_block,
)
from aiomultipart.grammar.media_type import media_type_charset, parse_media_type

from .choices import LIMITS, Choices, agree, hold
from .push_parser import known
from .senders import MESSAGES

P = ParamSpec("P")
T = TypeVar("T")

NAMES: Final = ("max_parameters", "max_boundary_length")
BLANK: Final = b"\r\n\r\n"
MOST_LINES: Final = 100
TOKEN: Final = re.compile(r"[a-z!#$&+\-.^_`|~0-9]+").fullmatch  # a name that comes back as it is


def one_input(data: bytes) -> None:
    """Hold the grammar to its promises on one input: a field block, or names and values to write."""
    choices = Choices(data)
    limits = choices.limits(NAMES)
    if choices.number() % 4 == 3:
        round_trip(choices)
        return
    block = choices.rest()
    text = decode_field_block(block)
    check_values(text, limits)
    for line in text.split("\r\n")[:8]:
        check_values(line.partition(":")[2].strip(" \t"), limits)
    check_blocks(block, limits)


def seeds() -> Iterator[bytes]:
    """The header blocks of the senders' messages, and names and values to write."""
    head = bytes(2 * LIMITS + 1)
    for _, _, message in MESSAGES:
        for block in message.split(b"\r\n\r\n")[:-1]:
            yield head + block.partition(b"--b\r\n")[2]
    for value in (
        b"multipart/mixed; boundary=b",
        b'multipart/form-data;charset=UTF-8;boundary="a b"',
        b"multipart/mixed; boundary====a==",
        b"multipart/mixed ;boundary = b",
        b'text/html; charset="utf\\-8"; a=b;',
        b'attachment; filename*0="a;"; filename*1*=%20b; filename*2=c',
        b"attachment; filename=\"a\"; filename*=iso-8859-1'en'%e4",
        b'form-data; name="a\\"%22"; filename="C:\\d\\f"',
        b'form-data; name="a\\"; filename="b\\"',
        b"form-data; name=a; filename*=no-such''%00; filename*0*=utf-8''%00",
        b"A: b\r\n c\r\n\td",
        b"A : b",
        b"A\x00: b",
    ):
        yield head + value
    for first, second in ((b"a b.txt", b'\xc3\xa4"\\%22'), (b"x;y\r\n", b"")):
        for kind in range(4):
            yield (
                bytes(2 * LIMITS)
                + bytes([3, kind, 2])
                + b"".join(bytes([len(word)]) + word for word in (b"name", first, b"filename", second))
            )


def attempt(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | MultipartError:
    """What the function gives, or the one kind of error that it may raise."""
    try:
        return function(*args, **kwargs)
    except MultipartError as exc:
        return exc


def check_values(value: str, limits: Limits) -> None:
    """Every function that reads a field value."""
    media_types = [attempt(parse_media_type, value, policy=policy, limits=limits) for policy in Policy]
    check_subset(media_types, tuple, lambda _: ())
    for policy, media_type in zip(Policy, media_types, strict=True):
        attempt(check_boundary, value, policy=policy, limits=limits)
        if not isinstance(media_type, MultipartError):
            attempt(parse_boundary, media_type, policy=policy, limits=limits)
            lookup_charset(media_type.parameters.get("charset", ""))
    for form_data in (False, True):
        dispositions = [
            attempt(parse_disposition, value, form_data=form_data, policy=policy, limits=limits) for policy in Policy
        ]
        check_subset(dispositions, lambda each: each[:2], lambda each: each.defects)
    length = attempt(parse_content_length, value)
    if not isinstance(length, MultipartError):
        hold(value.isascii() and value.isdigit() and length == int(value), f"{value!r} as a length: {length}")
    lookup_charset(value)
    media_type_charset(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BadContentDispositionHeader)
        warnings.simplefilter("ignore", BadContentDispositionParam)
        content_disposition_filename(parse_content_disposition(value)[1])
        content_disposition_filename(parse_content_disposition(value)[1], "name")
    for name in ("X", value):
        try:
            check_field(name, value)
        except ValueError:
            continue
        agree(
            "a field that may be written",
            [(name, value.strip(" \t"))],
            parse_field_block(f"{name}: {value}", policy=Policy.STRICT),
        )


def check_subset(
    found: Sequence[T | MultipartError], facts: Callable[[T], object], defects: Callable[[T], object]
) -> None:
    """What a policy accepts, the next one accepts; and reads alike, where it forgives no more."""
    for stricter, wider in itertools.pairwise(found):
        if isinstance(stricter, MultipartError):
            continue
        if isinstance(wider, MultipartError):
            raise AssertionError(f"{stricter} is accepted by the stricter policy only: {wider}") from wider  # noqa: TRY004  (no argument is wrong)
        if defects(stricter) == defects(wider):
            agree("two policies", facts(stricter), facts(wider))


def check_blocks(block: bytes, limits: Limits) -> None:
    """A header block: alone, and in a message."""
    for form_data in (False, True):
        found = [attempt(PartBegin, block, form_data=form_data, policy=policy, limits=limits) for policy in Policy]
        check_subset(found, known, lambda begin: begin.defects)
        for policy, begin in zip(Policy, found, strict=True):
            if isinstance(begin, PartBegin):
                again = PartBegin(block, form_data=form_data, policy=policy, limits=limits)
                agree("equal blocks", (begin, hash(begin), repr(begin)), (again, hash(again), repr(again)))
                as_multidict(begin.headers)
                hold(begin.form_data == form_data and begin.raw == block, "another block")
                hold(begin.boundary is None or begin.content_type is not None, "a boundary without a type")
                agree("fields", parse_field_block(decode_field_block(block), policy=policy), [*begin.headers.items()])
                agree("disposition", begin.disposition_type is None, hdrs.CONTENT_DISPOSITION not in begin.headers)
            check_message(block, begin, form_data=form_data, policy=policy, limits=limits)


def check_message(
    block: bytes, begin: PartBegin | MultipartError, *, form_data: bool, policy: Policy, limits: Limits
) -> None:
    """The parser reads the block as PartBegin does."""
    odd = not block or block.startswith((b"\r\n", b"--")) or block.endswith((b"\r\n", b"\r")) or BLANK in block
    if odd or block.count(b"\r\n") >= MOST_LINES:
        return
    limits = limits.replace(max_boundary_length=70)
    if isinstance(begin, LimitExceeded) and begin.limit == "max_boundary_length":
        return
    parser = PushMultipartParser(
        "boundary", subtype="form-data" if form_data else "mixed", limits=limits, policy=policy
    )
    try:
        first = next(iter(parser.feed(b"--boundary\r\n%b\r\n\r\n" % block)))
    except MultipartError as exc:
        hold(isinstance(begin, MultipartError), f"in a message only: {exc}")
        if isinstance(begin, MultipartError):
            agree("in a message", (type(begin), begin.message), (type(exc), exc.message))
    else:
        hold(isinstance(first, PartBegin) and isinstance(begin, PartBegin), f"alone only: {begin!r}")
        if isinstance(first, PartBegin) and isinstance(begin, PartBegin):
            agree("in a message", (known(begin), begin.defects), (known(first), first.defects))


def round_trip(choices: Choices) -> None:
    """What is written is read again, but for what browsers' way of writing it loses: ``%22``, CR and LF."""
    kind = choices.number()
    disposition_type, quote_fields = ("form-data", "attachment")[kind & 1], not kind & 2
    parameters = {choices.text(16): choices.text(64) for _ in range(choices.number() % 5)}
    try:
        written = format_disposition(disposition_type, parameters, quote_fields=quote_fields)
    except ValueError:
        return
    check_field(hdrs.CONTENT_DISPOSITION, written)
    form_data = disposition_type == "form-data"
    if not all(map(TOKEN, parameters)):
        attempt(parse_disposition, written, form_data=form_data, policy=Policy.STANDARD, limits=Limits())
        return
    expected = dict(parameters)
    if form_data:
        if any("%22" in value for value in parameters.values()):
            return
        if quote_fields:
            expected = {name: value.replace("\r", "%0D").replace("\n", "%0A") for name, value in parameters.items()}
    for policy in (Policy.STANDARD, Policy.LENIENT):
        read = parse_disposition(written, form_data=form_data, policy=policy, limits=Limits())
        agree(f"{written!r} by {policy}", (disposition_type, expected, ()), tuple(read))
