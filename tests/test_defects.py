"""What is in ``defects``, and in which order: a function of the bytes, not of how they were cut."""

from __future__ import annotations

import itertools
from collections import deque

import pytest

from aiomultipart import BodyPartReader, FormParser, LimitExceeded, Limits, MultipartReader, Policy, read_form
from aiomultipart.sources import ByteStream
from aiomultipart.testing import cuttings
from tests.support.reading import FORM, MIXED, build, everywhere

BAD_TYPE = b"Content-Type: image"


def in_order(reader: MultipartReader) -> list[tuple[str, int | None]]:
    return [(defect.kind, defect.part_index) for defect in reader.defects]


async def test_defects_of_a_reader_come_in_the_order_of_their_places() -> None:
    message = build((b"Content-Encoding: klingon", b"one"), (BAD_TYPE, b"two"), (b"Content-Encoding: x", b"three"))

    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source, policy=Policy.LENIENT)
        async for part in reader:
            assert isinstance(part, BodyPartReader)
            await part.read(decode=True)
        assert in_order(reader) == [("unknown-coding", 0), ("bad-content-type", 1), ("unknown-coding", 2)]

    await everywhere(message, check)


async def test_defects_of_a_form_come_in_the_order_of_their_places() -> None:
    field = b'Content-Disposition: form-data; name="%b"\r\n'
    message = build(
        (field % b"a" + b"Content-Type: text/plain; charset=klingon", b"one"),
        (field % b"b" + BAD_TYPE, b"two"),
    )

    async def check(source: ByteStream) -> None:
        form = await read_form(FORM, source, policy=Policy.LENIENT)
        assert [defect.part_index for defect in form.defects] == [0, 1]

    await everywhere(message, check)


async def test_after_an_error_there_are_the_defects_that_stand_before_it() -> None:
    nested = build((b"", b"1"), (b"", b"2"), boundary=b"c")
    message = build((BAD_TYPE, b""), (b"Content-Type: multipart/mixed; boundary=c", nested), (BAD_TYPE, b""))

    async def walk(reader: MultipartReader) -> None:
        async for part in reader:
            if isinstance(part, MultipartReader):
                await walk(part)

    async def check(source: ByteStream) -> None:
        reader = MultipartReader(MIXED, source, limits=Limits(max_parts=3))
        with pytest.raises(LimitExceeded):
            await walk(reader)
        assert in_order(reader) == [("bad-content-type", 0)]

    await everywhere(message, check)


def test_after_an_error_in_a_form_there_are_the_defects_that_stand_before_it() -> None:
    field = b'Content-Disposition: form-data; name="%b"\r\n'
    message = build((field % b"a" + BAD_TYPE, b""), (field % b"b", b"x" * 11), (field % b"c" + BAD_TYPE, b""))
    for chunks in cuttings(message):
        parser = FormParser(FORM, limits=Limits.for_forms(max_field_size=10))
        with pytest.raises(LimitExceeded):
            deque(itertools.chain.from_iterable(map(parser.feed, chunks)))
        assert [(defect.kind, defect.part_index) for defect in parser.defects] == [("bad-content-type", 0)]
