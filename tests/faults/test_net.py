"""That what is left behind is seen: each leak in a test of its own, all run by another pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIXTURES = "_nothing_left, _only_what_is_new_is_collected, threads"

LEAKS = {
    "a task": "KEPT.append(asyncio.create_task(asyncio.sleep(60)))",
    "a task that is collected": """
        async def wait():
            await asyncio.get_running_loop().create_future()
        asyncio.create_task(wait())
        await asyncio.sleep(0)
    """,
    "an exception that nobody retrieves": """
        async def fail():
            raise ValueError
        asyncio.create_task(fail())
        await asyncio.sleep(0)
    """,
    "a coroutine that nobody awaits": "asyncio.sleep(0)",
    "a generator that is not closed": """
        async def generate():
            yield 1
        await anext(generate())
    """,
    "a generator that is kept": """
        async def generate():
            yield 1
        KEPT.append(generate())
        await anext(KEPT[-1])
    """,
    "a thread": "threading.Thread(target=time.sleep, args=(5,), daemon=True).start()",
    "a job in a thread": "asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.2)",
    "a file": "open(os.devnull)",
    "a file that is kept": "KEPT.append(open(os.devnull))",
    "a descriptor": "os.open(os.devnull, os.O_RDONLY)",
    "a socket": "socket.socket()",
    "a transport": """
        reader, writer = await asyncio.open_connection(sock=socket.socketpair()[0])
        del reader, writer
    """,
    "an error in a finalizer": """
        class Broken:
            def __del__(self):
                raise ValueError
        Broken()
    """,
    "a call from another thread": """
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(loop.call_soon, print)  # which debug mode notices
    """,
}


def name_of(leak: str) -> str:
    return "test_" + leak.replace(" ", "_")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of the leaks."""
    directory = tmp_path_factory.mktemp("leaks")
    (directory / "conftest.py").write_text(f"from tests.faults.conftest import {FIXTURES}\n")
    tests = ["import asyncio, os, socket, threading, time", "KEPT = []", "async def test_nothing(): pass"]
    for leak, code in LEAKS.items():
        body = textwrap.indent(textwrap.dedent(code).strip(), "    ")
        tests.append(f"async def {name_of(leak)}():\n{body}")
    (directory / "test_leaks.py").write_text("\n\n".join(tests))
    options = f"-q -rA -p no:cacheprovider -c {ROOT / 'pyproject.toml'} {directory}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options.split()],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return done.stdout.rpartition("short test summary info")[2]


def outcomes(report: str, test: str) -> set[str]:
    lines = [line for line in report.splitlines() if line.partition(" - ")[0].endswith(f"::{test}")]
    return {line.split()[0] for line in lines}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_leak_fails(report: str, leak: str) -> None:
    assert outcomes(report, name_of(leak)) & {"ERROR", "FAILED"}, report


def test_no_leak_passes(report: str) -> None:
    assert outcomes(report, "test_nothing") == {"PASSED"}, report
