"""curl's notation: what is read of it, and that curl reads the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web

import aiomultipart
from aiomultipart.cli.failures import Failure
from aiomultipart.cli.notation import Kind, Spec, parse_part
from tests.cli.conftest import AsyncCommand
from tests.integration.conftest import Serve


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("a=b", Spec("a", Kind.TEXT, "b")),
        ("a=", Spec("a", Kind.TEXT, "")),
        ("a=b=c", Spec("a", Kind.TEXT, "b=c")),
        ("=b", Spec("", Kind.TEXT, "b")),
        ("a=b;type=text/html", Spec("a", Kind.TEXT, "b", "text/html")),
        ("a=b;type=text/html; charset=utf-8", Spec("a", Kind.TEXT, "b", "text/html; charset=utf-8")),
        ("a=b;type=text/html;charset=x;filename=f", Spec("a", Kind.TEXT, "b", "text/html;charset=x", "f")),
        ('a="b;c";type=text/html', Spec("a", Kind.TEXT, "b;c", "text/html")),
        (r'a="b\"\\c\d"', Spec("a", Kind.TEXT, r'b"\c\d')),
        ('a="b"c', Spec("a", Kind.TEXT, '"b"c')),
        ('a="b', Spec("a", Kind.TEXT, '"b')),
        ("a=b,c", Spec("a", Kind.TEXT, "b,c")),
        ("a=@f", Spec("a", Kind.FILE, "f")),
        ("a=@-", Spec("a", Kind.FILE, "-")),
        ("a=@f;filename=g;type=image/png", Spec("a", Kind.FILE, "f", "image/png", "g")),
        ('a=@"f;,g";filename="a;\\"b"', Spec("a", Kind.FILE, "f;,g", None, 'a;"b')),
        ("a=<f,g", Spec("a", Kind.CONTENT, "f,g")),
        ("a=@f,g", Spec("a", Kind.FILE, "f", more=[Spec("a", Kind.FILE, "g")])),
        (
            "a=@f;type=image/png,g;type=image/gif;filename=h",
            Spec("a", Kind.FILE, "f", "image/png", more=[Spec("a", Kind.FILE, "g", "image/gif", "h")]),
        ),
        ('a=b;headers="X-A: 1;2";headers=@h', Spec("a", Kind.TEXT, "b", headers=["X-A: 1;2", "@h"])),
        ("a=b;encoder=base64", Spec("a", Kind.TEXT, "b", encoder="base64")),
        ("=(", Spec("", Kind.BEGIN)),
        ("a=(;type=multipart/alternative", Spec("a", Kind.BEGIN, content_type="multipart/alternative")),
        ("=)", Spec("", Kind.END)),
        ("a=)", Spec("a", Kind.TEXT, ")")),
    ],
)
def test_what_is_read(text: str, spec: Spec) -> None:
    assert parse_part(text) == spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a", "'a' is no part: it has no '='"),
        ("a=@", "names no file"),
        ("a=@f,", "names no file"),
        ("a=b;c", "';c' is none of ;type="),
        ("a=b;c=d", "';c=d' is none of ;type="),
        ("a=b;filename=f;charset=x", "';charset=x' is none of ;type="),
        ("a=b;type=text", "'text' is no media type"),
        ("a=(b", "'b' is none of"),
        ('a=@"f"g;h', "';h' is none of"),
    ],
)
def test_what_is_not(text: str, said: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_part(text)
    assert said in str(caught.value)


FORMS = [
    ["title=At the sea", "empty=", "photo=@a.png"],
    ["a=b;type=text/html; charset=utf-8", 'c="x;y";type=text/css', r'd="q\"r\\s"'],
    ["f=@a.png;type=image/x-own;filename=b.png", 'g=@a.png;filename="semi;colon.png"', 'h=@a.png;filename="q\\"uote"'],
    ["text=<words.txt", "text=<words.txt;type=text/html"],
    ["both=@a.png,words.txt;type=text/css", "after=1"],
    ['a=1;headers="X-Own: yes"', "b=@words.txt;headers=@fields"],
    ["outer=(;type=multipart/alternative", "in=one", "in=two;type=text/html", "=)", "last=@words.txt"],
    ["caf\u00e9=na\u00efve;type=text/plain", "f=@caf\u00e9.txt"],
]


async def parts_of(headers, body: bytes) -> list[tuple]:
    found = []

    async def add(reader, depth: int) -> None:
        async for part in reader:
            if isinstance(part, aiomultipart.MultipartReader):
                found.append((depth, part.headers["Content-Type"].partition(";")[0]))
                await add(part, depth + 1)
            else:
                own = part.headers.get("X-Own")
                found.append(
                    (depth, part.name, part.filename, part.headers.get("Content-Type"), own, await part.read())
                )

    limits = aiomultipart.Limits()
    await add(aiomultipart.MultipartReader(headers, body, limits=limits), 0)
    return found


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form[0])
async def test_curl_sends_the_same(
    form: list[str], curl: str, serve: Serve, cli_meanwhile: AsyncCommand, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x00")
    (tmp_path / "words.txt").write_bytes("g\u00fcnstig\n".encode())
    (tmp_path / "caf\u00e9.txt").write_bytes(b"c")
    (tmp_path / "fields").write_bytes(b"X-Own: of a file\n# a remark\n")
    received = []

    async def take(request: web.Request) -> web.Response:
        received.append(await parts_of(request.headers, await request.read()))
        return web.Response(text="taken")

    url = await serve(take)
    arguments = [each for part in form for each in ("-F", part)]
    process = await asyncio.create_subprocess_exec(
        curl, "--silent", "--show-error", "--fail", "--noproxy", "*", *arguments, url, cwd=tmp_path,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert await process.wait() == 0
    done = await cli_meanwhile("post", url, *form)
    assert (done.code, done.text) == (0, "taken")
    theirs, ours = received
    assert theirs == ours
