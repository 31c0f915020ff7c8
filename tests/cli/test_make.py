"""``make`` and ``post``: messages built of parts in curl's notation."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from http import HTTPStatus
from pathlib import Path

import pytest
from aiohttp import web

from aiomultipart import parse_form
from aiomultipart.cli import make
from tests.cli.conftest import COMMAND, ENVIRONMENT, AsyncCommand, Command
from tests.integration.conftest import Serve
from tests.support.saving import files


def test_a_form(command: Command, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"\x89PNG")
    done = command("make", "title=A cat", "photo=@cat.png", "raw=@-;filename=in.bin", "-o", "form.bin", stdin=b"piped")
    assert (done.code, done.out) == (0, b"")
    content_type = done.err.removeprefix("Content-Type: ").rstrip("\n")
    form = parse_form({"Content-Type": content_type}, (tmp_path / "form.bin").read_bytes())
    with form:
        assert form.text("title") == "A cat"
        assert [(form.file(name).filename, form.file(name).content_type) for name in ("photo", "raw")] == [
            ("cat.png", "image/png"),
            ("in.bin", "application/octet-stream"),
        ]
        assert form.file("raw").file.read() == b"piped"
    assert files(tmp_path).keys() == {"cat.png", "form.bin"}
    listed = command("ls", "form.bin").text.splitlines()
    assert [line.split()[-1] for line in listed[2:-1]] == ["title=", "photo=@cat.png", "raw=@in.bin"]


def test_nesting_and_codings(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"text " * 1000)
    done = cli(
        "make", "=plain", "=(;type=multipart/alternative", "=caf\u00e9", "=<a.txt;type=text/html;encoder=base64", "=(",
        '=@a.txt;headers="Content-Encoding: gzip"', "=)", "=)", "x=last", "--subtype", "related", "--boundary", "own",
        "--include", "-o", "-",
    )  # fmt: skip
    assert done.err == ""
    head, _, _ = done.out.partition(b"\r\n\r\n")
    length = len(done.out) - len(head) - 4
    # What gzip makes of a file is not known beforehand.
    assert head == b"MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=own"
    (tmp_path / "made").write_bytes(done.out)
    listing = json.loads(cli("ls", "--json", "made").text)
    assert (listing["kind"], listing["boundary"], listing["subtype"]) == ("a MIME message", "own", "related")
    assert cli("cat", "made", "1.1").out == b"text " * 1000
    assert cli("cat", "made", "1.2.0").out == b"text " * 1000
    assert cli("cat", "made", "1.0").out.decode() == "caf\u00e9"
    assert [part["type"] for part in listing["parts"]] == [None, "multipart/alternative", None]
    assert [part["type"] for part in listing["parts"][1]["parts"]] == ["text/plain", "text/html", "multipart/mixed"]
    inner = listing["parts"][1]["parts"][2]["parts"][0]
    assert (inner["filename"], inner["content_coding"]) == ("a.txt", "gzip")
    assert inner["size"] < 100
    assert cli("check", "made").code == 0
    assert length > 0


def test_with_its_length(cli: Command) -> None:
    out = cli("make", "a=b", "-i", "-o", "-").out
    head, _, body = out.partition(b"\r\n\r\n")
    assert head.endswith(f"\r\nContent-Length: {len(body)}".encode())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a"], "'a' is no part"),
        (["=text"], "a part of form-data has a name"),
        (["a=@missing"], "missing: No such file or directory"),
        (["a=b", "b=@."], ".: Is a directory"),
        (["a=("], "'a=(' begins a message that no '=)' ends"),
        (["=)"], "'=)' ends a message that no '=(' began"),
        (["a=b;encoder=base64"], "Content-Transfer-Encoding on a part of form-data"),
        (["--subtype", "mixed", "=b;encoder=rot13"], "'rot13'"),
        (["a=(;type=text/plain", "=)"], "'text/plain' is no message of parts"),
        (['a=b;headers="no colon"'], "'no colon' is no header field"),
        (["a=b", "--boundary", "a b "], "boundary"),
        (["a=b", "--subtype", "a\nb"], "control character"),
        (["a=x\r\n--own\r\ny", "--boundary", "own"], "own"),
    ],
)
def test_what_cannot_be_made(cli: Command, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "old").write_bytes(b"old")
    for name in "new", "old":
        assert said in cli("make", *arguments, "-o", name).complaint
    assert files(tmp_path) == {"old": b"old"}


def test_a_file_is_replaced_when_all_is_there(cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").write_bytes(b"old")
    assert cli("make", "a=@out", "-o", "out").code == 0
    made = (tmp_path / "out").read_bytes()
    assert b"\r\n\r\nold\r\n" in made

    def full(_self: object, _data: list[bytes]) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(make.Draft, "write", full)
    assert "No space left on device" in cli("make", "a=b", "-o", "out").complaint
    assert files(tmp_path) == {"out": made}
    assert cli("make", "a=b", "-o", "missing/out").complaint == "aiomultipart: missing: No such file or directory"
    assert "'' is no name of a file" in cli("make", "a=b", "-o", "").complaint


@pytest.mark.skipif(not os.access("/dev/full", os.W_OK), reason="no /dev/full")
def test_a_device_stays_one(cli: Command) -> None:
    assert "No space left" in cli("make", "a=b", "-o", "/dev/full").complaint
    assert Path("/dev/full").is_char_device()


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_somebody_stops_it(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    os.mkfifo(tmp_path / "fifo")
    command = [*COMMAND, "make", "a=@fifo", "-o", "out"]
    process = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE)
    with (tmp_path / "fifo").open("wb", buffering=0) as fifo:
        for _ in range(4):
            fifo.write(b"x" * (1 << 20))  # more than a pipe holds: it is being read
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"aiomultipart: interrupted\n")
    (tmp_path / "fifo").unlink()
    assert files(tmp_path) == {"out": b"old"}


async def test_post(serve: Serve, command_meanwhile: AsyncCommand, cli_meanwhile: AsyncCommand, tmp_path: Path) -> None:
    body = os.urandom(3 << 20)
    (tmp_path / "big.bin").write_bytes(body)
    received = []

    async def take(request: web.Request) -> web.Response:
        data = await request.content.read()
        received.append((request.method, request.headers, data))
        if "refuse" in request.query:
            return web.json_response({"detail": "too large"}, status=413)
        return web.json_response({"size": len(data)}, headers={"X-Seen": "yes"})

    url = await serve(take)
    done = await command_meanwhile("post", url, "title=A cat", "file=@big.bin", "-H", "Authorization: Bearer x")
    method, headers, data = received[0]
    assert json.loads(done.text) == {"size": len(data)}
    assert (method, headers["Authorization"], int(headers["Content-Length"])) == ("POST", "Bearer x", len(data))
    with parse_form({"Content-Type": headers["Content-Type"]}, data) as form:
        assert form.text("title") == "A cat"
        assert form.file("file").file.read() == body

    done = await cli_meanwhile("post", url, "a=b", "-X", "PUT", "--subtype", "mixed", "-i")
    assert received[1][0] == "PUT"
    assert received[1][1]["Content-Type"].startswith("multipart/mixed; boundary=_")
    assert done.text.startswith("HTTP/1.1 200 OK\n")
    assert "X-Seen: yes\n" in done.text

    done = await cli_meanwhile("post", f"{url}?refuse", "a=b")
    assert done.out == b'{"detail": "too large"}'
    assert done.complaint == f"aiomultipart: {url}?refuse: the server answers 413 {HTTPStatus(413).phrase}"

    before = len(received)
    assert "missing: No such file" in (await cli_meanwhile("post", url, "a=@missing")).complaint
    assert "is no header field" in (await cli_meanwhile("post", url, "a=b", "-H", "none")).complaint
    assert "is no method" in (await cli_meanwhile("post", url, "a=b", "-X", "A B")).complaint
    assert len(received) == before
