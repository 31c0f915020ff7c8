"""``extract``: files with safe names, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from aiomultipart.cli import extract
from tests.cli.conftest import COMMAND, ENVIRONMENT, Command
from tests.cli.test_ls import LEAVES, NESTED, PAGE, SENT
from tests.support.saving import files


def form(*parts: tuple[str, bytes], end: bytes = b"--b--\r\n") -> bytes:
    """Form data: what follows ``form-data`` in each Content-Disposition, and each body."""
    return b"".join(
        b"--b\r\nContent-Disposition: form-data" + disposition.encode() + b"\r\n\r\n" + body + b"\r\n"
        for disposition, body in parts
    ) + end  # fmt: skip


def test_a_saved_page(command: Command, tmp_path: Path) -> None:
    text = command("extract", PAGE, "new/page", "--hash", "sha256").text
    saved = files(tmp_path / "new" / "page")
    assert saved.keys() == {"page.html", "s.css", "dot.png"}
    assert b"<title>Gr\xc3\xbc\xc3\x9fe</title>" in saved["page.html"]
    assert saved["dot.png"].startswith(b"\x89PNG\r\n")
    assert text.splitlines() == [
        f"{hashlib.sha256(saved[name]).hexdigest()}  new/page/{name}" for name in ("page.html", "s.css", "dot.png")
    ]
    check = subprocess.run(["sha256sum", "-c"], cwd=tmp_path, input=text, text=True, capture_output=True, check=False)
    assert check.returncode == 0, check.stderr


@pytest.mark.parametrize("raw", [False, True])
def test_nested_and_coded(cli: Command, tmp_path: Path, raw: bool) -> None:
    (tmp_path / "nested.bin").write_bytes(NESTED)
    assert cli("extract", "nested.bin", "out", *["--raw"] * raw).code == 0
    names = {"0": "a.txt", "1.0": "part-1.0.txt", "1.1.0": "part-1.1.0.html", "2": "part-2.json"}
    bodies = SENT if raw else LEAVES
    assert files(tmp_path / "out") == {names[index]: body for index, body in bodies.items()}
    if os.name == "posix":
        umask = os.umask(0)
        os.umask(umask)
        assert (tmp_path / "out" / "a.txt").stat().st_mode & 0o777 == 0o666 & ~umask


def test_names_are_safe(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "form.bin").write_bytes(
        form(
            ('; name="a"; filename="../../evil"', b"0"),
            ('; name="b"; filename="C:\\temp\\x.txt"', b"1"),
            ('; name="c"; filename="NUL"', b"2"),
            ('; name="d"; filename="/etc/passwd"', b"3"),
            ('; name="e"; filename="passwd"', b"4"),
            ('; name="../f"', b"5"),
            ('; name="g"; filename=""', b"6"),
            ('; name="h"; filename="a\u202egpj.exe"', b"7"),
            (f'; name="{"i" * 300}"', b"8"),
        )
    )
    done = cli("extract", "form.bin", "out")
    assert done.code == 0, done
    assert {name: int(body) for name, body in files(tmp_path / "out").items()} == {
        "evil": 0, "x.txt": 1, "c": 2, "passwd": 3, "passwd-1": 4, "f.txt": 5, "g.txt": 6, "h": 7,
        "i" * 240 + ".txt": 8,
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"form.bin", "out"}
    assert "out/passwd-1  1\n" in done.text


@pytest.mark.parametrize("location", ["http://[", "http://\u2100/a"])
def test_a_location_that_is_no_url(cli: Command, tmp_path: Path, location: str) -> None:
    (tmp_path / "body.bin").write_bytes(f"--b\r\nContent-Location: {location}\r\n\r\n1\r\n--b--\r\n".encode())
    assert cli("extract", "body.bin", "out").code == 0
    assert files(tmp_path / "out") == {"part-0.txt": b"1"}


def test_no_file_is_replaced(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "form.bin").write_bytes(form(('; name="a"; filename="a.txt"', b"new")))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_bytes(b"old")
    assert cli("extract", "form.bin", "out").text == "out/a-1.txt  3\n"
    assert files(tmp_path / "out") == {"a.txt": b"old", "a-1.txt": b"new"}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (form(('; name="a"; filename="a"', b"whole"), ('; name="b"; filename="b"', b"half"), end=b""), "input ended"),
        (
            form(('; name="a"; filename="a"', b"whole"))[:-7]
            + b'--b\r\nContent-Disposition: form-data; name="b"; filename="b"\r\n'
            + b"Content-Transfer-Encoding: base64\r\n\r\n"
            + b"aGFsZg==" * 50_000
            + b"!\r\n--b--\r\n",
            "base64: ",
        ),
        (
            form(('; name="a"; filename="a"', b"whole"))[:-7]
            + b'--b\r\nContent-Disposition: form-data; name="b"\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n'
            + b"--i\r\n\r\nhalf\r\n--b--\r\n",
            "input ended in the body of a part, without a close-delimiter [at byte 173, in part 1.0]",
        ),
    ],
    ids=["cut short", "damaged", "bad inside"],
)  # fmt: skip
def test_what_is_bad_leaves_nothing_half(cli: Command, tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "bad.bin").write_bytes(data)
    done = cli("extract", "bad.bin", "out")
    assert done.out == b"out/a  5\n"
    assert said in done.complaint
    assert files(tmp_path / "out") == {"a": b"whole"}


def test_a_directory_that_nothing_was_saved_in_goes_again(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.bin").write_bytes(form(('; name="a"', b"half"), end=b""))
    (tmp_path / "there").mkdir()
    assert cli("extract", "bad.bin", "new/out").code == 2
    assert cli("extract", "bad.bin", "there").code == 2
    assert {path.name for path in tmp_path.iterdir()} == {"bad.bin", "there"}
    assert "there/a" in cli("extract", "--policy", "lenient", "bad.bin", "there").text
    assert cli("extract", "bad.bin", "bad.bin").complaint == "aiomultipart: bad.bin: File exists"


def test_a_disk_that_is_full(cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "form.bin").write_bytes(form(('; name="a"', b"half")))

    def full(_self: object, _data: bytes) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(extract.DirectoryTarget, "write_sync", full)
    assert "No space left on device" in cli("extract", "form.bin", "out").complaint
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize(
    ("number", "code", "said"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "stopped by SIGTERM")],
)
def test_somebody_stops_it(tmp_path: Path, number: int, code: int, said: str) -> None:
    process = subprocess.Popen(
        [*COMMAND, "extract", "-", "out"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(form(('; name="a"', b"whole"), ('; name="b"', b"half"), end=b"")[:-2])
    assert process.stdout.readline() == b"out/a.txt  5\n"  # it is waiting for the rest of the other
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err.decode()) == (code, f"aiomultipart: {said}\n")
    assert files(tmp_path / "out") == {"a.txt": b"whole"}


@pytest.mark.skipif(sys.platform == "win32", reason="/dev/full")
def test_output_that_nobody_takes(tmp_path: Path) -> None:
    (tmp_path / "many.bin").write_bytes(form(*[(f'; name="{"n" * 100}"', b"")] * 5000))
    line = f"{' '.join(COMMAND)} ls many.bin; echo $? >&2"
    for way, code in (f"({line}) | true", 141), (f"({line}) > /dev/full", 2), (f"({line}) >&-", 0):
        done = subprocess.run(
            ["sh", "-c", way], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False
        )
        *said, found = done.stderr.splitlines()
        assert found == str(code)
        assert said == (["aiomultipart: No space left on device"] if code == 2 else [])
