"""The command line, run as a program, and in the process of the tests where many small runs are looked at."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aiomultipart.cli.main import run
from tests.integration.conftest import curl, serve  # noqa: F401  (fixtures)

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-W", "error", "-m", "aiomultipart"]
ENVIRONMENT = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()} | {
    "PYTHONPATH": str(ROOT),
    "PYTHONUTF8": "1",
}


@dataclasses.dataclass
class Done:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        assert self.err == ""
        return self.out.decode()

    @property
    def complaint(self) -> str:
        """The one line that a command which has failed says."""
        assert self.code == 2, self
        assert self.err.startswith("aiomultipart"), self
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        return self.err.rstrip("\n")


Command = Callable[..., Done]
AsyncCommand = Callable[..., Awaitable[Done]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Run the program, in a temporary directory."""

    def start(*arguments: str | Path, stdin: bytes = b"", **environment: str) -> Done:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            cwd=tmp_path,
            env=ENVIRONMENT | environment,
            input=stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr.decode())

    return start


@pytest.fixture
def command_meanwhile(tmp_path: Path) -> AsyncCommand:
    """The same, while the loop goes on, with a server in it."""

    async def start(*arguments: str | Path) -> Done:
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            *map(str, arguments),
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        return Done(process.returncode or 0, out, err.decode())

    return start


@pytest.fixture
def cli_meanwhile(cli: Command) -> AsyncCommand:
    """The same, in a thread, while the loop goes on, with a server in it."""
    return functools.partial(asyncio.to_thread, cli)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Run a command in this process."""
    monkeypatch.chdir(tmp_path)

    def start(*arguments: str | Path) -> Done:
        try:
            code = run(list(map(str, arguments)))
        except SystemExit as exc:  # argparse's own
            code = int(str(exc.code))
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return Done(code, out, err.decode())

    return start
