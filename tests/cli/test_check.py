"""``check``: what each policy makes of a message, with the bytes that they differ about."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.test_extract import form
from tests.cli.test_ls import NESTED, PAGE

TWO_NAMES = form(('; name="a"; filename="x.txt"; filename*=UTF-8\'\'y.txt', b"text"))
EXTENDED = "Content-Disposition: extended parameter 'filename*' in form-data (RFC 7578 section 4.2)"
COUNTED = (
    b"--b\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nfour and more\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\nlast\r\n--b--\r\n"
)


def check(cli: Command, tmp_path: Path, data: bytes, *options: str) -> tuple[int, list[str]]:
    (tmp_path / "it").write_bytes(data)
    done = cli("check", "it", *options)
    return done.code, done.text.splitlines()


def test_nothing_to_say(command: Command, cli: Command, tmp_path: Path) -> None:
    done = command("check", PAGE)
    assert done.code == 0
    assert done.text.splitlines()[1:] == [f"{policy} reads 3 parts" for policy in ("strict  ", "standard", "lenient ")]
    code, lines = check(cli, tmp_path, NESTED)
    assert (code, lines[1]) == (0, "strict   reads 6 parts")


def test_a_defect(cli: Command, tmp_path: Path) -> None:
    assert check(cli, tmp_path, TWO_NAMES) == (
        1,
        [
            "it: a body",
            "strict   refuses it",
            f"  refuses: {EXTENDED} [at byte 5, in part 0]",
            "         0  2d 2d 62 0d 0a[43]6f 6e 74 65 6e 74 2d 44 69 73  --b..Content-Dis",
            "        16  70 6f 73 69 74 69 6f 6e 3a 20 66 6f 72 6d 2d 64  position: form-d",
            "standard reads 1 part, with 1 remark",
            "  forgives: extended-parameter-beside-plain at byte 5 in part 0",
            "         0  2d 2d 62 0d 0a[43]6f 6e 74 65 6e 74 2d 44 69 73  --b..Content-Dis",
            "        16  70 6f 73 69 74 69 6f 6e 3a 20 66 6f 72 6d 2d 64  position: form-d",
            "lenient  reads 1 part, with 1 remark",
            "  as standard",
        ],
    )


def test_a_wrong_length(cli: Command, tmp_path: Path) -> None:
    code, lines = check(cli, tmp_path, COUNTED)
    assert code == 1
    assert lines[1] == "strict   refuses it"
    assert lines[2].startswith("  refuses: no delimiter after the 4 bytes of Content-Length [at byte 56,")
    assert lines[lines.index("standard refuses it") + 1] == "  as strict"
    assert lines[lines.index("lenient  reads 2 parts, with 1 remark") + 1] == (
        "  forgives: content-length-too-small at byte 56 in part 0, 9 bytes dropped"
    )
    assert any("[20]" in line and "four and more" not in line for line in lines)


def test_policies_that_read_different_things(cli: Command, tmp_path: Path) -> None:
    """A boundary that is there with two dashes more: a delimiter to LENIENT, to others a preamble."""
    data = b"--b\r\n\r\none\r\n----b\r\n\r\ntwo\r\n----b--\r\n--b--\r\n"
    code, lines = check(cli, tmp_path, data, "--content-type", "multipart/mixed; boundary=--b")
    assert code == 1
    at = lines.index("They differ:")
    assert lines[at + 1 : at + 4] == [
        "  strict   part 0, no type, 3 bytes from 21",
        "  standard part 0, no type, 3 bytes from 21",
        "  lenient  part 0, no type, 26 bytes from 7",
    ]


def test_policies_of_which_one_reads_many_more_parts(cli: Command, tmp_path: Path) -> None:
    """They are not kept until the other has read its first one, which here is at the end."""
    data = b"--b\r\nA: b\r\n\r\n" + b"----b\r\nA: b\r\n\r\n\r\n" * 20_000 + b"----b--\r\n\r\n--b--\r\n"
    code, lines = check(cli, tmp_path, data, "--content-type", "multipart/mixed; boundary=--b")
    assert code == 1
    assert "standard reads 20000 parts" in lines
    at = lines.index("They differ:")
    assert lines[at + 1 : at + 4] == [
        "  strict   part 0, no type, 0 bytes from 28",
        "  standard part 0, no type, 0 bytes from 28",
        f"  lenient  part 0, no type, {256 * 1024 - 13} bytes from 13 so far",
    ]


def test_what_does_not_decode_and_what_is_bad_inside(cli: Command, tmp_path: Path) -> None:
    data = (
        b"--o\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n"
        b"--o\r\nContent-Type: text/plain\r\nContent-Encoding: rot13\r\n\r\n!\r\n"
        b"--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nhalf\r\n--o--\r\n"
    )
    code, lines = check(cli, tmp_path, data)
    assert code == 1
    said = "\n".join(lines)
    assert "does not decode: base64" in said
    assert "does not decode: unknown content coding 'rot13' [in part 1]" in said
    assert "bad inside: input ended in the body of a part, without a close-delimiter [at byte" in said
    assert "forgives: part-cut-short at byte" in said


def test_many_remarks(cli: Command, tmp_path: Path) -> None:
    code, lines = check(cli, tmp_path, form(*[("; name=\"a\"; name*=UTF-8''b", b"")] * 100))
    assert code == 1
    assert "standard reads 100 parts, with 100 remarks" in lines
    assert "  and 80 more" in lines


def test_a_content_type_that_a_policy_refuses(cli: Command, tmp_path: Path) -> None:
    code, lines = check(
        cli, tmp_path, b"--a=b\r\n\r\nx\r\n--a=b--\r\n", "--content-type", "multipart/mixed; boundary=a=b"
    )
    assert (code, lines[1]) == (1, "strict   refuses it")
    assert lines[3:] == ["standard reads 1 part", "lenient  reads 1 part"]


@pytest.mark.parametrize("size", [0, 300_000, 1_000_000])
def test_far_into_a_file(cli: Command, tmp_path: Path, size: int) -> None:
    data = form(('; name="a"', b"x" * size), ("; name=\"a\"; name*=UTF-8''b", b""))
    code, lines = check(cli, tmp_path, data)
    at = data.index(b"Content-Disposition", 10)
    assert code == 1
    assert f"  forgives: extended-parameter-beside-plain at byte {at} in part 1" in lines
    row = next(line for line in lines if "[43]" in line)
    assert int(row.split()[0]) <= at < int(row.split()[0]) + 16
