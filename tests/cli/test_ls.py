"""``ls`` and ``cat``: the tree of parts, where they are, and what is in them."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from aiohttp import web

from tests.cli.conftest import COMMAND, ENVIRONMENT, AsyncCommand, Command
from tests.integration.conftest import Serve

PAGE = Path(__file__).with_name("page.mhtml")
"""A page as Chromium 142 has saved it (``Page.captureSnapshot``)."""
NESTED = (
    b"--outer\r\n"
    b'Content-Disposition: attachment; filename="a.txt"\r\n\r\n'
    b"first\r\n"
    b"--outer\r\n"
    b"Content-Type: multipart/mixed; boundary=inner\r\n\r\n"
    b"a preamble\r\n"
    b"--inner\r\n\r\n"
    b"no headers\r\n"
    b"--inner\r\n"
    b"Content-Type: multipart/mixed; boundary=innermost\r\n\r\n"
    b"--innermost\r\n"
    b"Content-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"na=C3=AFve\r\n"
    b"--innermost--\r\n"
    b"--inner--\r\n"
    b"--outer\r\n"
    b"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-ID: <meta@x>\r\n\r\n%s\r\n"
    b"--outer--\r\n"
) % gzip.compress(b"{}", mtime=0)
LEAVES = {"0": b"first", "1.0": b"no headers", "1.1.0": "na\u00efve".encode(), "2": b"{}"}
SENT = LEAVES | {"1.1.0": b"na=C3=AFve", "2": gzip.compress(b"{}", mtime=0)}


def leaves(parts: list[dict]) -> list[dict]:
    """The parts that are no messages, of what ``--json`` gives."""
    found = []
    stack = parts[::-1]
    while stack:
        part = stack.pop()
        stack += part["parts"][::-1] if "parts" in part else []
        if "parts" not in part:
            found.append(part)
    return found


def check_offsets(data: bytes, listing: dict) -> None:
    for part in leaves(listing["parts"]):
        begin = part["body_offset"]
        assert data[begin : begin + part["size"]] == SENT[part["index"]]
        for field in part["headers"]:
            assert data.find(f"{field[0]}: ".encode(), part["offset"], begin) >= 0


def test_a_table(command: Command, tmp_path: Path) -> None:
    (tmp_path / "nested.bin").write_bytes(NESTED)
    assert command("ls", "nested.bin").text == (
        "nested.bin: multipart/mixed, boundary 'outer', a body\n"
        "INDEX  TYPE               SIZE  OFFSET  BODY  CODING            NAME\n"
        "0      -                     5       9    62  -                 @a.txt\n"
        "1      multipart/mixed     218      78   127  -\n"
        "1.0      -                  10     148   150  -\n"
        "1.1      multipart/mixed   110     171   224  -\n"
        "1.1.0      text/html        10     237   309  quoted-printable\n"
        "2      application/json     22     356   436  gzip              <meta@x>\n"
        "6 parts\n"
    )


def test_one_long_cell_does_not_make_all_rows_long(cli: Command, tmp_path: Path) -> None:
    long = b"--b\r\nContent-Type: a/%b\r\n\r\n\r\n" % (b"x" * 20_000)
    (tmp_path / "body.bin").write_bytes(long + b"--b\r\n\r\n\r\n" * 100 + b"--b--\r\n")
    done = cli("ls", "body.bin")
    assert done.code == 0, done
    assert b"x" * 20_000 in done.out
    assert len(done.out) < 50_000


def test_json(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "nested.bin").write_bytes(NESTED)
    listing = json.loads(cli("ls", "--json", "nested.bin").text)
    assert {part["index"] for part in leaves(listing["parts"])} == LEAVES.keys()
    check_offsets(NESTED, listing)
    assert (listing["boundary"], listing["subtype"], listing["error"]) == ("outer", "mixed", None)
    assert [part["whole"] for part in listing["parts"]] == [True] * 3
    assert listing["parts"][1]["boundary"] == "inner"
    assert listing["parts"][0]["filename"] == "a.txt"
    assert listing["parts"][2]["content_coding"] == "gzip"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=outer\r\n\r\n", b""])
def test_offsets_where_lines_end_in_line_feeds(cli: Command, tmp_path: Path, head: bytes) -> None:
    data = head + NESTED.replace(b"\r\n", b"\n")
    (tmp_path / "unix.bin").write_bytes(data)
    complaint = cli("ls", "unix.bin").complaint
    assert "the first delimiter line ends in LF alone" in complaint
    assert complaint.endswith("; --policy lenient reads it")
    listing = json.loads(cli("ls", "--policy", "lenient", "--json", "unix.bin").text)
    assert len(leaves(listing["parts"])) == 4
    check_offsets(data, listing)
    assert [defect["kind"] for defect in listing["defects"]] == ["line-feed-only"]
    table = cli("ls", "--policy", "lenient", "unix.bin").text
    assert f"! line-feed-only at byte {len(head) + 8}\n" in table  # behind the first delimiter line


def test_defects_of_bodies(cli: Command, tmp_path: Path) -> None:
    part = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 4\r\n\r\n"
    inner = part.replace(b"--b", b"--i") + b"four more\r\n--i--"
    data = part + b"four more\r\n--b\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n" + inner + b"\r\n--b--\r\n"
    (tmp_path / "odd").write_bytes(data)
    places = [data.index(b" more"), data.rindex(b" more")]
    lines = cli("ls", "--policy", "lenient", "odd").text.splitlines()
    assert [line for line in lines if line.startswith("!")] == [
        f"! content-length-too-small at byte {place} in part {path}"
        for place, path in zip(places[::-1], ("1.0", "0"), strict=True)
    ]
    listing = json.loads(cli("ls", "--policy", "lenient", "--json", "odd").text)
    late = {"kind": "content-length-too-small", "size": 5}
    assert listing["defects"] == [late | {"offset": places[0], "part": "0"}]
    assert listing["parts"][1]["defects"] == [late | {"offset": places[1], "part": "1.0"}]


@pytest.mark.parametrize("index", LEAVES)
def test_cat(cli: Command, tmp_path: Path, index: str) -> None:
    (tmp_path / "nested.bin").write_bytes(NESTED)
    assert cli("cat", "nested.bin", index).out == LEAVES[index]
    assert cli("cat", "nested.bin", index, "--raw").out == SENT[index]


def test_cat_of_a_message_in_it_and_of_headers(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "nested.bin").write_bytes(NESTED)
    inner = cli("cat", "nested.bin", "1.1").out
    assert inner.startswith(b"--innermost\r\n")
    assert inner.endswith(b"--innermost--")
    assert (
        cli("cat", "nested.bin", "0", "--headers").out == b'Content-Disposition: attachment; filename="a.txt"\r\n\r\n'
    )


def test_cat_reads_no_further_than_it_has_to(cli: Command, tmp_path: Path) -> None:
    bad = NESTED.replace(b"Content-Type: application/json", b"no colon")
    (tmp_path / "bad.bin").write_bytes(bad)
    assert cli("cat", "bad.bin", "0").out == b"first"
    assert "header line without a colon: 'no colon'" in cli("cat", "bad.bin", "2").complaint


def test_a_page_that_chromium_has_saved(cli: Command) -> None:
    listing = json.loads(cli("ls", "--json", PAGE).text)
    assert (listing["kind"], listing["subtype"]) == ("a MIME message", "related")
    types = [(part["type"], part["transfer_encoding"]) for part in listing["parts"]]
    assert types == [
        ("text/html", "quoted-printable"),
        ("text/css", "quoted-printable"),
        ("image/png", "base64"),
    ]
    assert "http://127.0.0.1:8765/dot.png" in cli("ls", PAGE).text
    html = cli("cat", PAGE, "0").text
    assert "<title>Gr\u00fc\u00dfe</title>" in html
    assert cli("cat", PAGE, "2").out.startswith(b"\x89PNG\r\n")


def test_mail(cli: Command, tmp_path: Path) -> None:
    mail = (
        b"From: a@example.org\r\nSubject: pictures\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed;\r\n\tboundary="outer"\r\n\r\n'
        b"This is a message with multiple parts in MIME format.\r\n" + NESTED
    )
    (tmp_path / "mail.eml").write_bytes(mail)
    listing = json.loads(cli("ls", "--json", "mail.eml").text)
    check_offsets(mail, listing)
    (tmp_path / "plain.eml").write_bytes(b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nhello\r\n")
    assert "multipart is expected, not text/plain" in cli("ls", "plain.eml").complaint


async def answer(request: web.Request) -> web.StreamResponse:
    if request.query.get("to") is None and "moved" in request.query:
        raise web.HTTPFound("/?to=here")
    if "json" in request.query:
        return web.json_response({})
    if "gone" in request.query:
        raise web.HTTPGone
    headers = {"Content-Type": "multipart/mixed; boundary=outer"}
    body = NESTED
    if "gzip" in request.query:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(NESTED)
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for start in range(0, len(body), 50):
        await response.write(body[start : start + 50])
    return response


@pytest.mark.parametrize(
    ("query", "options"),
    [("", []), ("?moved", ["-L"]), ("?gzip", ["--compressed"]), ("?gzip", ["--header", "Accept-Encoding: gzip"])],
)
async def test_what_curl_has_saved(
    query: str, options: list[str], curl: str, serve: Serve, cli_meanwhile: AsyncCommand, tmp_path: Path
) -> None:
    url = await serve(answer)
    saved = tmp_path / "saved.http"
    process = await asyncio.create_subprocess_exec(
        curl, "-s", "-i", "--noproxy", "*", *options, "-o", saved, f"{url}{query}"
    )
    assert await process.wait() == 0
    done = await cli_meanwhile("ls", "--json", saved)
    listing = json.loads(done.text)
    assert len(leaves(listing["parts"])) == 4
    coded = "--header" in options
    assert listing["kind"] == ("an HTTP response, gzip undone" if coded else "an HTTP response")
    check_offsets(NESTED if coded else saved.read_bytes(), listing)


async def test_a_url(serve: Serve, command_meanwhile: AsyncCommand, cli_meanwhile: AsyncCommand) -> None:
    url = await serve(answer)
    check_offsets(NESTED, json.loads((await command_meanwhile("ls", "--json", url)).text))
    for query in "?moved", "?gzip":
        check_offsets(NESTED, json.loads((await cli_meanwhile("ls", "--json", f"{url}{query}")).text))
    gone = await cli_meanwhile("ls", f"{url}?gone")
    other = await cli_meanwhile("cat", f"{url}?json", "0")
    assert gone.complaint.endswith("?gone: the server answers 410 Gone")
    assert "multipart is expected, not application/json" in other.complaint


@pytest.mark.parametrize("words", [["ls", "URL"], ["post", "URL", "a=b"], ["grab", "URL", "frames"]], ids=" ".join)
async def test_a_coded_answer_is_not_held(words: list[str], serve: Serve, cli_meanwhile: AsyncCommand) -> None:
    """What a server sends in 32 KiB is 32 MiB, where the client is not careful, at once."""
    asked = []
    body = gzip.compress(b"--b\r\n\r\n" + bytes(32 * 1024 * 1024) + b"\r\n--b--\r\n")

    async def send(request: web.Request) -> web.Response:
        asked.append(request.headers["Accept-Encoding"])
        return web.Response(
            body=body, headers={"Content-Type": "multipart/mixed; boundary=b", "Content-Encoding": "gzip"}
        )

    url = await serve(send)
    tracemalloc.start()
    try:
        done = await cli_meanwhile(*[url if word == "URL" else word for word in words])
        most = tracemalloc.get_traced_memory()[1] - (len(done.out) if words[0] == "post" else 0)
    finally:
        tracemalloc.stop()
    assert asked == ["identity"]
    assert most < 16 * 1024 * 1024
    if words[0] == "grab":
        assert "a content coding, 'gzip', where none was asked for" in done.complaint
    else:
        assert done.code == 0


async def test_a_coded_answer_that_is_bad(serve: Serve, cli_meanwhile: AsyncCommand) -> None:
    async def send(request: web.Request) -> web.Response:
        headers = {"Content-Type": "multipart/mixed; boundary=b", "Content-Encoding": request.query_string}
        return web.Response(body=b"--b--", headers=headers)

    url = await serve(send)
    for coding, said in ("rot13", "unknown content coding 'rot13'"), ("gzip", "the body as a whole: gzip: "):
        assert said in (await cli_meanwhile("ls", f"{url}?{coding}")).complaint


def test_from_a_pipe_in_small_pieces(tmp_path: Path) -> None:
    """What a message is shows in its first bytes, however they come."""
    process = subprocess.Popen(
        [*COMMAND, "ls", "--json", "-"], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdin is not None
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX: y\r\n\r\n" + NESTED
    for start in range(0, len(data), 5):
        process.stdin.write(data[start : start + 5])
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    check_offsets(data, json.loads(out))


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_the_boundary_is_found_in_any_pieces(size: int, tmp_path: Path) -> None:
    from aiomultipart.cli.heads import find_boundary, find_head

    form = b'\r\n--x:y\r\nContent-Type: text/plain\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x:y--\r\n'
    for data, expected in (form, ("x:y", "form-data")), (form[2:], ("x:y", "form-data")), (NESTED, ("outer", "mixed")):
        found, end = None, 0
        while found is None:
            end += size
            is_all = end >= len(data)
            head = find_head(data[:end], is_all)
            found = None if head is None else find_boundary(data[head.size : end], is_all)
            assert found is not None or not is_all
        assert found == expected


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"--\r\n", None),
        (b"a preamble\r\n-- \r\nme\r\n--b\r\n\r\nx\r\n--b--", ("b", "mixed")),
        (b"--b \t\r\n\r\nx", ("b", "mixed")),
        (b"--b--\r\n", ("b", "mixed")),
        (b"----c9\r\nContent-Type: a/b\r\n\r\n", ("--c9", "mixed")),
        (b"--b\r\n--b\r\nContent-Type: a/b\r\n\r\n", ("b", "mixed")),
        (b"--b\r\nnot a field\r\n", None),
        (b"--" + b"b" * 300 + b"\r\n\r\n", None),
        (b"", None),
    ],
)
def test_boundaries(data: bytes, found: tuple[str, str] | None) -> None:
    from aiomultipart.cli.heads import find_boundary

    assert find_boundary(data, is_all=True) == found


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "an HTTP response"),
        (b"HTTP/2 200\r\nA: b\r\n\r\n", "an HTTP response"),
        (b"HTTP/1.1 200 OK\nA: b\n\n", "an HTTP response"),
        (b"POST /upload HTTP/1.1\r\nA: b\r\n\r\n", "an HTTP request"),
        (b"HTTP/1.1 301 Moved\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n", "an HTTP response"),
        (b"MIME-Version: 1.0\r\n\r\n", "a MIME message"),
        (b"Content-Type: Multipart/mixed; boundary=b\r\n\r\n", "a MIME message"),
        (b"Content-Type: image/jpeg\r\n\r\n", "a body"),  # of a stream without a first delimiter
        (b"Subject: \0\r\nMIME-Version: 1.0\r\n\r\n", "a body"),
        (b"Note: this is a preamble", "a body"),
        (b"word", "a body"),
        (b"", "a body"),
    ],
)
@pytest.mark.parametrize("rest", [b"", b"HTT", b"--b\r\n"])
def test_heads(data: bytes, kind: str, rest: bytes) -> None:
    from aiomultipart.cli.heads import find_head

    head = find_head(data + rest, is_all=True)
    assert head is not None
    assert (head.kind, head.size) == (kind, 0 if kind == "a body" else len(data))
    if kind != "a body":
        assert find_head(data[:-1], is_all=False) is None


WATCHED = """
import sys
from aiomultipart.cli.main import main
code = main(sys.argv[1:])
print([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1], file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "arguments", [["ls", "-"], ["ls", "--json", "-"], ["cat", "-", "0.1"], ["check", "-"]], ids=" ".join
)
def test_memory(arguments: list[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, *arguments],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(b"--o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nsmall\r\n--i\r\n\r\n")
    block = os.urandom(1 << 20)
    for _ in range(100):
        process.stdin.write(block)
    _, err = process.communicate(b"\r\n--i--\r\n--o--\r\n", timeout=100)
    assert process.returncode == 0, err
    assert int(err) < 48 * 1024, "KiB"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("name", "size", "count"), [("X-Long", 1000, 20_000), ("Content-Transfer-Encoding", 900_000, 60)]
)
def test_memory_for_many_parts(name: str, size: int, count: int) -> None:
    part = b"--b\r\nContent-Type: text/plain\r\n%b: %b\r\n\r\nsmall\r\n" % (name.encode(), b"x" * size)
    process = subprocess.run(
        [sys.executable, "-c", WATCHED, "ls", "-"],
        env=ENVIRONMENT,
        input=part * count + b"--b--\r\n",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=100,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert int(process.stderr) < 48 * 1024, "KiB"
