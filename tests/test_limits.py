"""The bounds and the policies."""

from __future__ import annotations

import dataclasses
import itertools
import re
import zlib
from pathlib import Path
from typing import NamedTuple

import pytest

from aiomultipart.exceptions import LimitExceeded
from aiomultipart.grammar.disposition import parse_content_disposition
from aiomultipart.grammar.media_type import parse_media_type
from aiomultipart.limits import Limits
from aiomultipart.policy import Policy, Rules, Verdict
from aiomultipart.reading.reader import MultipartReader
from aiomultipart.writing.writer import MultipartWriter

ROOT = Path(__file__).resolve().parents[1]


def rows(rules: Rules) -> dict[str, str]:
    return {name: verdict.value for name, verdict in vars(rules).items()}


def test_the_table_in_the_documentation_is_the_one_in_the_code() -> None:
    text = (ROOT / "docs/explanation/security.rst").read_text("utf-8")
    written = re.findall(r"^``(\w+)`` +(\w+) +(\w+) +(\w+) ", text, re.MULTILINE)
    assert [row[0] for row in written] == list(rows(Policy.STRICT.rules))
    for column, policy in enumerate(Policy, 1):
        assert {row[0]: row[column] for row in written} == rows(policy.rules), policy


def test_no_policy_refuses_what_a_stricter_one_takes() -> None:
    for strict, standard, lenient in zip(*(rows(policy.rules).values() for policy in Policy), strict=True):
        assert (strict != "reject") <= (standard != "reject") <= (lenient != "reject")


def test_only_the_rules_of_a_policy_have_verdicts() -> None:
    assert Policy.STANDARD.rules.folded_line is Verdict.ACCEPT
    with pytest.raises(AttributeError):
        Rules.folded_line  # noqa: B018  (looking is what raises)


def test_limits_are_keywords_frozen_and_checked() -> None:
    limits = Limits(max_parts=3)
    assert limits == Limits().replace(max_parts=3)
    with pytest.raises(AttributeError):
        limits.max_parts = 4  # type: ignore[misc]
    for value in (-1, -(10**9)):
        with pytest.raises(ValueError, match="max_parts"):
            Limits(max_parts=value)
    for value in ("1", 1.0, True):
        with pytest.raises(TypeError, match="max_parts"):
            Limits(max_parts=value)
    with pytest.raises(TypeError, match="decode_ratio_floor"):
        Limits(decode_ratio_floor=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Limits.for_forms(max_part=1)
    assert Limits.for_forms(max_parts=7).max_parts == 7


def test_a_form_with_larger_files_is_larger() -> None:
    limits = Limits.for_forms(max_part_size=1 << 30)
    assert (limits.max_decoded_size, limits.max_total_size) == (1 << 30, (1 << 30) + (64 << 20))
    assert Limits.for_forms(max_part_size=5) == Limits.for_forms().replace(max_part_size=5)
    assert Limits.for_forms(max_part_size=64 << 20) == Limits.for_forms()
    limits = Limits.for_forms(max_part_size=1 << 30, max_total_size=7, max_decoded_size=None)
    assert (limits.max_decoded_size, limits.max_total_size) == (None, 7)
    assert Limits.for_forms(max_part_size=None).max_total_size == 128 << 20


# What was taken in when a limit is passed: nothing is read that need not be, to say so.

NAMED = b'--b\r\nContent-Disposition: attachment; name="n"\r\n'
_DEFLATE = zlib.compressobj(wbits=31)
# A gzip body of zeros without end: a megabyte, and then the same again
ZEROS = [_DEFLATE.compress(bytes(1 << 20)) + _DEFLATE.flush(zlib.Z_FULL_FLUSH) for _ in range(2)]


class Row(NamedTuple):
    limits: Limits
    start: bytes
    pattern: bytes
    """What follows ``start``, without end."""
    due: int
    """How many bytes show that the limit is passed."""
    offset: int | None
    part: tuple[int | None, str | None] = (None, None)
    level: str = "multipart/mixed; boundary=b"


def _nested(*boundaries: str) -> bytes:
    return b"".join(
        b'--%b\r\nContent-Disposition: attachment; name="n"\r\nContent-Type: multipart/mixed; boundary=%b\r\n\r\n'
        % (outer.encode(), inner.encode())
        for outer, inner in itertools.pairwise(boundaries)
    )


IN_BODY = len(NAMED) + 2
ENDLESS = {
    "max_boundary_length": Row(
        Limits(max_boundary_length=3), b"", b"x", 0, None, level="multipart/mixed; boundary=long"
    ),
    "max_boundary_length of a nested message": Row(
        Limits(max_boundary_length=3), _nested("b", "long"), b"x", len(_nested("b", "long")), 5, (0, None)
    ),
    "max_headers": Row(Limits(max_headers=5), b"--b\r\n", b"A: 1\r\n", 5 + 6 * 6, 5 + 5 * 6 + 4, (0, None)),
    "max_header_line": Row(Limits(max_header_line=100), b"--b\r\nA: ", b"x", 5 + 101, 5 + 100, (0, None)),
    "max_header_line, padding": Row(Limits(max_header_line=100), b"--b", b" ", 3 + 102, 3 + 102),
    "max_header_bytes": Row(Limits(max_header_bytes=200), b"--b\r\n", b"A: 1\r\n", 5 + 202, 5 + 200, (0, None)),
    "max_total_header_bytes": Row(
        Limits(max_total_header_bytes=100),
        NAMED + b"\r\n",
        b"\r\n--b\r\nA: 1\r\n\r\n",
        IN_BODY + 15 * 15,
        None,
        (15, None),
    ),
    "max_parameters": Row(
        Limits(max_parameters=3),
        NAMED + b"Content-Type: a/b; c=1; d=2; e=3; f=4\r\n\r\n",
        b"x",
        IN_BODY + 40,
        5,
        (0, None),
    ),
    "max_parts": Row(
        Limits(max_parts=3),
        NAMED + b"\r\n",
        b"\r\n--b\r\nA: 1\r\n\r\n",
        IN_BODY + 15 * 3,
        IN_BODY + 15 * 2 + 7,
        (3, None),
    ),
    "max_depth": Row(
        Limits(max_depth=2),
        _nested("b", "c", "d"),
        b"--d\r\n\r\nx",
        len(_nested("b", "c", "d")) + 3,  # the blank line may begin a delimiter of the outer message
        None,
        (0, "n"),
    ),
    "max_part_size": Row(Limits(max_part_size=100), NAMED + b"\r\n", b"x", IN_BODY + 101, IN_BODY + 100, (0, "n")),
    "max_total_size": Row(Limits(max_total_size=200), NAMED + b"\r\n", b"x", 201, 200, (0, "n")),
    "max_preamble": Row(Limits(max_preamble=100), b"", b"x", 101, 100),
    "max_epilogue": Row(
        Limits(max_epilogue=100), NAMED + b"\r\n\r\n--b--\r\n", b"x", IN_BODY + 9 + 101, IN_BODY + 9 + 100
    ),
    "max_decoded_size": Row(
        Limits(max_decoded_size=99),
        NAMED + b"Content-Transfer-Encoding: base64\r\n\r\n",
        b"QUJD",
        IN_BODY + 35 + 4 * 34 + 64,
        None,
        (0, "n"),
    ),
    "max_decode_ratio": Row(
        Limits(max_decode_ratio=10, decode_ratio_floor=100_000),
        NAMED + b"Content-Encoding: gzip\r\n\r\n" + ZEROS[0],
        ZEROS[1],
        IN_BODY + 24 + len(ZEROS[0]) // 5,
        None,
        (0, "n"),
    ),
}


class Endless:
    """A source that never ends, and counts what it was asked for."""

    def __init__(self, start: bytes, pattern: bytes, size: int) -> None:
        self._start = start
        self._pattern = pattern
        self._size = size
        self.given = 0

    async def read(self, n: int) -> bytes:
        start, size = self.given, min(n, self._size)
        self.given += size
        skipped = max(0, start - len(self._start))
        shift = skipped % len(self._pattern)
        text = self._start[start : start + size]
        text += (self._pattern * (2 + size // len(self._pattern)))[shift:]
        return text[:size]


async def read_all(reader: MultipartReader) -> None:
    async for part in reader:
        if isinstance(part, MultipartReader):
            await read_all(part)
        else:
            async for _ in part.iter_chunks():
                pass
    await reader.release()


def test_every_limit_that_reading_checks_has_a_row() -> None:
    of_forms = {"max_field_size", "max_memory", "max_open_files", "max_files", "max_fields"}
    fields = {field.name for field in dataclasses.fields(Limits)} - of_forms - {"decode_ratio_floor"}
    assert {name.partition(",")[0].partition(" ")[0] for name in ENDLESS} == fields


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("name", ENDLESS)
async def test_no_more_is_read_than_what_passes_the_limit(name: str, size: int) -> None:
    row = ENDLESS[name]
    source = Endless(row.start, row.pattern, size)
    with pytest.raises(LimitExceeded) as caught:
        await read_all(MultipartReader({"Content-Type": row.level}, source, limits=row.limits))
    error = caught.value
    limit = name.partition(",")[0].partition(" ")[0]
    assert source.given < row.due + size
    assert (error.limit, error.value, error.http_status) == (limit, getattr(row.limits, limit), 413)
    assert (error.part_index, error.part_name) == row.part
    if row.offset is not None:
        assert error.offset == row.offset


def test_default_limits_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b"--b--"
    headers = {"Content-Type": "multipart/mixed; boundary=b"}

    def use() -> None:
        parse_media_type("text/plain; charset=utf-8")
        parse_content_disposition('form-data; name="a"')
        MultipartReader(headers, body)
        MultipartReader(headers, body, max_field_size=1000, max_headers=10)
        MultipartWriter("form-data").append("text", {"Content-Type": "text/plain; charset=utf-8"})

    use()
    made = []
    checks = Limits.__post_init__
    monkeypatch.setattr(Limits, "__post_init__", lambda self: made.append(self) or checks(self))  # type: ignore[func-returns-value]
    use()
    assert made == []
    Limits()
    assert len(made) == 1
