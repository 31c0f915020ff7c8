"""The examples run, warnings being errors, and say what they should."""

import contextlib
import importlib.util
import os
import pty
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMPLAINTS = ("Warning", "Traceback", "Exception ignored", "never retrieved", "Unclosed", "was destroyed")


def run(name: str, *options: str, columns: int = 100) -> str:
    """Run an example.

    :param options: Python's own, such as ``-OO``; from the first that begins with two dashes on, the example's.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", "COLUMNS": str(columns)}
    own = next((number for number, option in enumerate(options) if option.startswith("--")), len(options))
    flags = ["-W", "error", "-X", "dev", *options[:own]]
    command = [sys.executable, *flags, str(ROOT / "examples" / name), *options[own:]]
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
    output = run("quickstart.py", *flags, columns=120)
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if line.startswith("│")]
    assert [line[0] for line in lines] == ["(no name)", "(no name)", "invoice.pdf", "menu.html", "café.png"]
    assert [line[1:4] for line in lines] == [
        ["application/json", "", "26"],
        ["text/csv", "gzip", "130,012"],
        ["application/pdf", "base64", "25,609"],
        ["text/html", "", "15"],
        ["image/png", "", "200,008"],
    ]
    assert [line[4:] for line in lines] == [["✓"] * 4] * 5
    for way in ("aiohttp reads", "aiohttp sends", "httpx reads", "httpx sends"):
        assert way in output
    assert output.endswith("Both clients read and sent the same 5 parts; each arrived as it was sent.\n")


@pytest.mark.parametrize("columns", [40, 200])
def test_demo(columns: int) -> None:
    output = run("demo.py", "--size", "0.02", columns=columns)
    lines = output.splitlines()
    assert max(map(len, lines)) <= columns
    tables = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    message, uploads = tables[:5], tables[5:]
    assert [row[0] for row in message] == ["(no name)", "(no name)", "invoice.pdf", "menu.html", "café.png"]
    assert {cell for row in message for cell in row[-4:]} >= ({"✓"} if columns >= 80 else {"4 of 4"})
    assert [row[0] for row in uploads] == ["aiomultipart", "aiohttp", "aiohttp"]
    assert ["async for chunk in part" in row for row in uploads] == [columns >= 80, False, columns >= 80]
    for row in uploads:
        assert float(row[-2].replace(",", "")) > 0
        assert row[-1].endswith("MiB")
    assert "…" not in output
    assert " ".join(output.split()).endswith(
        "make serve (an upload server, with a page), make mjpeg (moving pictures in a browser)."
    )


def test_the_demo_has_bars_on_a_terminal() -> None:
    """The bars, and colours, of a terminal; they end at 100 %."""
    main, terminal = pty.openpty()
    with os.fdopen(main, "rb", buffering=0) as shown:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            "COLUMNS": "90",
            "TERM": "xterm-256color",
        }
        environment.pop("NO_COLOR", None)
        command = [sys.executable, "-W", "error", str(ROOT / "examples" / "demo.py"), "--size", "0.02"]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal
        ) as demo:
            os.close(terminal)
            seen = bytearray()
            with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
                while data := shown.read(65536):
                    seen += data
            assert demo.wait() == 0, seen
    text = seen.decode()
    assert text.count("100%") >= 3
    assert "\x1b[" in text
    assert "MB/s" in text


def test_the_demo_notices(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    demo = load("demo")
    monkeypatch.setattr(demo.quickstart, "BODIES", (*demo.quickstart.BODIES[:-1], b"another photo"))
    assert demo.main([]) == 1
    assert "not what was sent" in capsys.readouterr().out


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
            return arrived | {"httpx sends": arrived["httpx sends"][::-1]}
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
