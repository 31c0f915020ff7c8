"""Whatever is wrong: one line that says what to do, exit code 2, no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aiomultipart import MultipartError
from aiomultipart.cli.failures import hint_for
from aiomultipart.cli.terminal import shown
from tests.cli.conftest import ENVIRONMENT, Command
from tests.cli.test_extract import form
from tests.cli.test_ls import NESTED

TYPE = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
FILES = {
    "empty": b"",
    "text": b"nothing of the sort\n" * 100,
    "html.http": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>",
    "cut.http": b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; bound",
    "bad.http": b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n--b\r\n\r\n",
    "chunked.http": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + TYPE + b"5\r\n--b\r\n\r\n0\r\n\r\n",
    "coded.http": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n" + TYPE + b"not gzip",
    "odd.http": b"HTTP/1.1 200 OK\r\nContent-Encoding: rot13\r\n" + TYPE + b"coded",
    "none.http": b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n",
    "form": form(('; name="a"', b"b")),
    "cut": form(('; name="a"', b"b"))[:-9],
    "nul": form(('; name="a\0"', b"b")),
    "deep": b"".join(b"--%d\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % (n, n + 1) for n in range(100))
    + b"--0--\r\n",
    "base64": form(('; name="a"\r\nContent-Transfer-Encoding: base64', b"!")),
}
BAD = [
    ("ls empty", "empty: nothing is in it; if it is multipart, say how: --content-type"),
    ("ls text", "text: no boundary in its first 2000 bytes; if it is multipart, say how: --content-type"),
    ("ls missing", "missing: No such file or directory"),
    ("ls .", ".: Is a directory"),
    ("ls html.http", "html.http: Content-Type: multipart is expected, not text/html"),
    ("ls cut.http", "cut.http: an HTTP response whose header fields do not end"),
    ("ls bad.http", "an HTTP response whose header fields cannot be read: header line without a colon: 'no colon'"),
    ("ls chunked.http", "its body is in the chunks of 'chunked'"),
    ("ls coded.http", "coded.http: the body as a whole: gzip: "),
    ("ls odd.http", "unknown content coding 'rot13'"),
    ("ls none.http", "without a boundary parameter; --content-type 'multipart/...; boundary=...' says which"),
    ("ls form --content-type text/plain", "multipart is expected, not text/plain"),
    ("ls form --content-type multipart/mixed;boundary=c", "input ended before the first delimiter"),
    ("ls cut", "it may have been cut short; --policy lenient reads what is there"),
    ("ls nul", "control character '\\x00' in header line"),
    ("ls deep", "multipart nested deeper than 64"),
    (
        "ls form --limit max_parts=0",
        "message passes max_parts of 0 [at byte 5, in part 0 ('a')]; --limit max_parts=...",
    ),
    ("ls form --limit max-part-size=0", "body passes max_part_size of 0"),
    ("ls form --limit max_fun=1", "there is no limit 'max_fun'"),
    ("ls form --limit max_parts=many", "'many' is no number to limit max_parts to"),
    ("ls form --policy kind", "'kind' is none of strict, standard, lenient"),
    ("ls form --timeout -1", "argument --timeout: '-1' is no number of seconds"),
    ("ls form extra", "unrecognized arguments: extra; see aiomultipart --help"),
    ("ls", "the following arguments are required: FILE; see aiomultipart ls --help"),
    ("", "the following arguments are required: COMMAND; see aiomultipart --help"),
    ("list form", "invalid choice: 'list'"),
    ("cat form 1", 'form: there is no part 1; "aiomultipart ls" shows which there are'),
    ("cat form 0.0", "form: there is no part 0.0"),
    ("cat form -- -1", "'-1' is no index"),
    ("cat form a", "'a' is no index"),
    ("cat base64 0", "in part 0 ('a')]; --raw gives it as it was sent"),
    ("cat cut 0", "it may have been cut short"),
    ("extract form form", "form: File exists"),
    ("extract form out --hash sha0", "there is no hash 'sha0'; sha256 is one"),
    ("check missing", "missing: No such file or directory"),
    ("check text", "no boundary in its first 2000 bytes"),
    ("ls http://127.0.0.1:1/", "http://127.0.0.1:1/: "),
    ("ls http://me:secret@127.0.0.1:1/", "http://127.0.0.1:1/: "),
    ("ls http://[/", "http://[/: "),
    ("ls http://127.0.0.1:99999/", "127.0.0.1:99999"),
    ("post ftp://127.0.0.1/ a=b", "'ftp://'"),
]


@pytest.mark.parametrize(("line", "said"), BAD, ids=[line for line, _ in BAD])
def test_bad_input(cli: Command, tmp_path: Path, line: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    for name in list(os.environ):
        if "proxy" in name.lower():
            monkeypatch.delenv(name)
    complaint = cli(*line.split()).complaint
    assert said in complaint
    assert "secret" not in complaint


def test_a_name_is_no_command_to_the_terminal(cli: Command, tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(
        b"--b\r\nContent-Disposition: attachment; filename*=UTF-8''a%C2%9B%E2%80%AEb\r\n\r\nx\r\n--b--\r\n"
    )
    assert "@a\\x9b\\u202eb" in cli("ls", "odd").text
    assert shown("a\x1b[31m\n\u2028") == "a\\x1b[31m\\n\\u2028"
    (tmp_path / "a\nb").write_bytes(b"")
    assert cli("ls", "a\nb").complaint.startswith("aiomultipart: a\\nb: nothing is in it")


def test_hints_are_for_errors_that_there_are() -> None:
    assert hint_for(MultipartError("odd", code="no-such-code")) is None


@pytest.mark.parametrize(
    ("name", "line", "code", "said"),
    [
        (
            "rich",
            "ls nested",
            2,
            "aiomultipart: rich not found: pip install 'aiomultipart[cli]' installs what this needs\n",
        ),
        (
            "httpx",
            "ls http://127.0.0.1:1/",
            2,
            "aiomultipart: httpx not found: pip install 'aiomultipart[cli]' installs",
        ),
        ("httpx", "ls nested", 0, ""),
    ],
)
def test_without_the_extra(tmp_path: Path, name: str, line: str, code: int, said: str) -> None:
    (tmp_path / "nested").write_bytes(NESTED)
    program = f"import sys; sys.modules[{name!r}] = None; from aiomultipart.cli.main import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, *line.split()],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr[: len(said)]) == (code, said)
    assert done.stderr.count("\n") == bool(said)


def test_a_pipe_does_not_wait_for_colours(tmp_path: Path) -> None:
    """What is not needed is not imported: most of the time of a small run is that."""
    (tmp_path / "nested").write_bytes(NESTED)
    program = (
        "import sys; from aiomultipart.cli.main import main; code = main(); "
        "sys.exit(code or str(sorted({'rich', 'httpx'} & set(sys.modules))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "ls", "nested"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, check=False
    )
    assert done.stderr == b"[]\n"
