"""How things look: colours and bars on a terminal, plain text anywhere else."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from aiomultipart.cli import terminal
from aiomultipart.cli.main import run
from tests.cli.conftest import COMMAND, ENVIRONMENT
from tests.cli.test_ls import NESTED

COLOURS = re.compile(r"\x1b\[(?:3|9)[0-7]m")


class Screen(io.TextIOWrapper):
    """A terminal, as far as one asks."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), "utf-8")

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


@pytest.fixture
def screens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Screen]:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nested.bin").write_bytes(NESTED)
    monkeypatch.setattr(terminal, "_PATIENCE", -1)  # so that each bar appears
    return {"stdout": Screen(), "stderr": Screen()}


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")
@pytest.mark.parametrize(
    ("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colours(tmp_path: Path, environment: dict[str, str], coloured: bool) -> None:
    import pty

    (tmp_path / "nested.bin").write_bytes(NESTED)
    ours, theirs = pty.openpty()
    known = {key: value for key, value in ENVIRONMENT.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [*COMMAND, "ls", "nested.bin"],
        cwd=tmp_path,
        env=known | {"TERM": "xterm-256color", "COLUMNS": "60"} | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not data:
            break
        seen += data
    os.close(ours)
    assert process.wait(60) == 0
    text = seen.decode()
    assert "1.1.0" in text
    assert bool(COLOURS.search(text)) == coloured
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in text
    else:
        assert "\u2026" in text  # what is too long is cut


def test_a_bar_beside_the_lines(screens: dict[str, Screen], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", screens["stdout"])
    assert run(["ls", "nested.bin"]) == 0
    text = screens["stdout"].text()
    assert "nested.bin \x1b" in text
    assert "bytes" in text
    assert "application/json" in text


def test_a_bar_apart_from_what_is_written(screens: dict[str, Screen], monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", screens["stderr"])
    assert run(["make", "a=@nested.bin", "-o", "-", "--boundary", "b"]) == 0
    assert isinstance(out.buffer, io.BytesIO)
    assert out.buffer.getvalue().endswith(b"--b--\r\n")
    assert b"\x1b" not in out.buffer.getvalue()
    assert "bytes" in screens["stderr"].text()


def test_no_bar_in_what_is_written(screens: dict[str, Screen], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, screen in screens.items():
        monkeypatch.setattr(sys, name, screen)
    assert run(["cat", "nested.bin", "0"]) == 0
    assert screens["stdout"].text() == "first"
    assert screens["stderr"].text() == ""
