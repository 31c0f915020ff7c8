"""The pages about the command line: what they show is what it says, and the reference has all options."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import re
import shutil
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from aiomultipart import Limits
from aiomultipart.cli.arguments import Options, make_parser
from examples import mjpeg_server
from tests.cli.conftest import ENVIRONMENT, ROOT
from tests.cli.test_ls import PAGE, answer

GUIDE = ROOT / "docs" / "how-to" / "command-line.rst"
REFERENCE = ROOT / "docs" / "reference" / "command-line.rst"
SHOWN = "http://127.0.0.1:8080/"
CAMERA = (
    b"HTTP/1.0 200 OK\r\nServer: IPCam\r\nContent-Type: multipart/x-mixed-replace; boundary=--frame\r\n\r\n"
    b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 9\r\n\r\n\xff\xd8 one \xff\xd9\r\n"
    b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: 6\r\n\r\n\xff\xd8 two \xff\xd9\r\n"
)


def blocks(text: str) -> Iterator[list[tuple[str, str]]]:
    """The console blocks of a page: commands, and what follows each."""
    for match in re.finditer(r"^\.\. code-block:: console\n\n((?:   .*\n|\n)+)", text, re.MULTILINE):
        found: list[tuple[str, str]] = []
        for line in textwrap.dedent(match[1]).rstrip("\n").split("\n"):
            if line.startswith("$ "):
                found.append((line[2:], ""))
            else:
                command, output = found.pop()
                found.append((command, f"{output}{line}\n"))
        yield found


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async def take(request: web.Request) -> web.Response:
        data = await request.content.read()
        if request.path == "/full":
            return web.Response(text="no room\n", status=507)
        return web.Response(text=f"{len(data)} bytes received\n")

    app = mjpeg_server.make_app(fps=30)
    app.add_routes([web.get("/parts", answer), web.post("/upload", take), web.post("/full", take)])
    runner = web.AppRunner(app, shutdown_timeout=2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/"
    await runner.cleanup()


def plain(output: str) -> str:
    """What is the same each time: the sizes of the frames depend on when one came, boundaries are random."""
    output = re.sub(r"(frame-\d+\.jpg  )\d+", r"\g<1>N", output)
    return re.sub(r"_[0-9a-f]{32}", "_random", output)


async def outputs(directory: Path, url: str, text: str) -> AsyncIterator[tuple[str, str, str]]:
    """Each command of a page, what the page says that comes of it, and what does."""
    programs = directory / "programs"
    programs.mkdir()
    program = programs / "aiomultipart"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -W error -m aiomultipart "$@"\n')
    program.chmod(0o700)
    work = directory / "work"
    work.mkdir()
    shutil.copy(PAGE, work)
    (work / "sea.jpg").write_bytes(b"\xff\xd8\xff\xe0 the sea \xff\xd9")
    (work / "notes.txt").write_bytes(b"Bring a towel.\n")
    (work / "camera.http").write_bytes(CAMERA)
    environment = ENVIRONMENT | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    for commands in blocks(text):
        for command, expected in commands:
            process = await asyncio.create_subprocess_shell(
                command.replace(SHOWN, url),
                cwd=work,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            out, _ = await process.communicate()
            yield command, expected, out.decode().replace(url, SHOWN).replace("\r\n", "\n")


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipes")
async def test_the_guide(curl: str, tmp_path: Path, url: str) -> None:
    ran = 0
    async for command, expected, output in outputs(tmp_path, url, GUIDE.read_text("utf-8")):
        ran += 1
        # An empty line at the end of a block cannot be seen.
        assert plain(output).rstrip("\n") == plain(expected).rstrip("\n"), command
    assert ran > 15


def reference() -> str:
    """What the reference says of all commands, by what the program itself knows."""
    parser = make_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    pages = []
    for name, command in commands.choices.items():
        actions = [action for action in command._actions if not isinstance(action, argparse._HelpAction)]
        places = [action for action in actions if not action.option_strings]
        usage = " ".join(f"{action.metavar}..." if action.nargs == "+" else str(action.metavar) for action in places)
        lines = [name, "-" * len(name), "", f"``aiomultipart {name} [OPTIONS] {usage}``", "", str(command.description)]
        for action in (*places, *(action for action in actions if action.option_strings)):
            value = action.metavar or action.dest.upper()
            names = ", ".join(
                [each if action.nargs == 0 else f"{each} {value}" for each in action.option_strings] or [str(value)]
            )
            lines += [
                "",
                f"``{names}``",
                *textwrap.wrap(str(action.help), 112, initial_indent="   ", subsequent_indent="   "),
            ]
        pages.append("\n".join(lines) + "\n")
    return "\n".join(pages)


def test_the_reference() -> None:
    text = REFERENCE.read_text("utf-8")
    assert text.endswith(f"\n{reference()}")
    limits, usual = make_parser().parse_args(["ls", "it"], namespace=Options()).limits, Limits()
    changed = {f.name for f in dataclasses.fields(Limits) if getattr(limits, f.name) != getattr(usual, f.name)}
    assert set(re.findall(r"``(max_\w+)`` \(", text)) == changed
