"""The examples run, warnings being errors, and say what they should."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPLAINTS = ("Warning", "Traceback", "Exception ignored", "never retrieved", "Unclosed", "was destroyed")


def run(name: str, *flags: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "COLUMNS": "100"}
    command = [sys.executable, "-W", "error", "-X", "dev", *flags, str(ROOT / "examples" / name)]
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for complaint in COMPLAINTS:
        assert complaint not in done.stderr
    return done.stdout


@pytest.mark.parametrize("flags", [(), ("-OO",)], ids=["", "-OO"])
def test_quickstart(flags: tuple[str, ...]) -> None:
    output = run("quickstart.py", *flags)
    lines = [line.strip("│ ").replace("│", " ").split() for line in output.splitlines() if line.startswith("│")]
    assert len(lines) == 20
    assert lines[:5] == lines[5:10] == lines[10:15] == lines[15:]
    tables = output.split(" with ")
    assert [table.split()[-1] for table in tables[:-1]] == ["Read", "Sent", "Read", "Sent"]
    assert [table.split()[0] for table in tables[1:]] == ["aiohttp", "aiohttp", "httpx", "httpx"]
    for table in tables[1:]:
        for word in ("menu.html", "café.png", "invoice.pdf", "application/json", "gzip", "base64", "200,008"):
            assert word in table
    assert output.endswith("Both clients read and sent the same 5 parts; each arrived as it was sent.\n")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("what", ["one way differs", "all differ from what was sent"])
def test_quickstart_notices(what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    quickstart = load("quickstart")
    exchange = quickstart.exchange

    async def exchange_badly(client):
        arrived = await exchange(client)
        if what == "one way differs":
            return arrived | {"Sent with httpx": arrived["Sent with httpx"][::-1]}
        return {title: arrivals[1:] for title, arrivals in arrived.items()}

    monkeypatch.setattr(quickstart, "exchange", exchange_badly)
    assert quickstart.main() == 1
    assert "not what was sent" in capsys.readouterr().out


def test_couchdb_attachments() -> None:
    plainly, in_pairs = run("couchdb_attachments.py").split("\n\n")
    assert plainly.splitlines() == [
        "In a plain loop:",
        "document {'_id': 'foo'}",
        "document with attachments",
        """    application/json b'{"_id": "bar"}'""",
        "    bar.txt b'bar! bar! bar!'",
        "document {'_id': 'boo'}",
        "document with attachments",
        """    application/json b'{"_id": "baz"}'""",
        "    baz.txt b'baz! baz! baz!'",
    ]
    assert in_pairs.splitlines() == [
        "In pairs:",
        "document foo",
        "document bar",
        "    bar.txt: bar! bar! bar!",
        "document boo",
        "document baz",
        "    baz.txt: baz! baz! baz!",
    ]


def test_byte_ranges() -> None:
    index, photos = run("byte_ranges.py").split("The photos:\n")
    assert index.splitlines()[0] == "The index:"
    assert len(index.splitlines()) == 2
    assert photos.splitlines()[2:] == [
        "photos/007.jpg: 100,000 bytes, and the checksum is right",
        "photos/142.jpg: 100,000 bytes, and the checksum is right",
        "Fetched 232,856 bytes of 20,020,822.",
    ]
