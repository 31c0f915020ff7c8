"""What becomes of errors, signals and streams."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from aiomultipart.cli import main as program
from aiomultipart.cli.failures import Failure
from tests.cli.conftest import Command


@pytest.fixture
def signals() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def ends_by(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def end(*_: object) -> int:
        raise error

    monkeypatch.setitem(program._COMMANDS, "ls", end)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Failure("no\nluck"), 2, "aiomultipart: no\\nluck\n"),
        (KeyboardInterrupt(), 130, "aiomultipart: interrupted\n"),
        (BrokenPipeError(), 141, ""),
        (OSError("odd"), 2, "aiomultipart: odd\n"),
        (FileNotFoundError(2, "not there", b"name"), 2, "aiomultipart: name: not there\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors(cli: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str) -> None:
    ends_by(monkeypatch, error)
    monkeypatch.setattr(program, "_drop_output", lambda: None)  # the tests still want theirs
    done = cli("ls", "it")
    assert (done.code, done.out, done.err) == (code, b"", said)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_signal(signals: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup: it stays ignored

    def terminate(*_: object) -> int:
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        return 0

    monkeypatch.setitem(program._COMMANDS, "ls", terminate)
    assert program.main(["ls", "it"]) == 143
    assert capsys.readouterr().err == "aiomultipart: stopped by SIGTERM\n"


def test_closed_streams(signals: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert program.main(["ls", "missing"]) == 2
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        descriptor = stream.fileno()
        stream.close()  # which leaves the descriptor open
        os.close(descriptor)


def test_an_error_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(28, "full")

        def flush(self) -> None:
            raise OSError(28, "full")

    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(sys, "stdout", Full())
    ends_by(monkeypatch, Failure("no luck"))
    assert program.run(["ls", "it"]) == 2


@pytest.mark.parametrize("name", ["rich", "httpx"])
def test_without_the_extra(cli: Command, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert cli("ls", "http://127.0.0.1:1/").complaint == (
        f"aiomultipart: {name} not found: pip install 'aiomultipart[cli]' installs what this needs"
    )
