"""The upload server example, behind uvicorn: what clients get, and what is left on the disk."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Self
from uuid import uuid4

import httpx
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store
from starlette.types import Message, Receive, Scope, Send

from aiomultipart import MultipartWriter, ReceivedPart
from examples.upload_server.app import HERE, make_app
from tests.support.browsing import running, until
from tests.support.nginx import running_nginx
from tests.support.saving import MIB, pattern
from tests.support.uploading import Site, serving
from uploads.admission import Admission, client_key
from uploads.lingering import Lingering
from uploads.progress import Board
from uploads.refusals import Refused
from uploads.settings import Settings
from uploads.storage import open_storage

ROOT = Path(__file__).resolve().parents[2]
LARGE = pattern(11 * MIB + 5)


Start = Callable[..., Coroutine[object, object, Site]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Start servers with changed settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def start_one(**changes) -> Site:
            settings = Settings(storage=(tmp_path / "uploads").as_uri(), rate="")
            settings = dataclasses.replace(settings, **changes)
            return await stack.enter_async_context(serving(settings))

        yield start_one


@pytest.fixture
async def site(start: Start) -> Site:
    return await start()


def described(name: str, content: bytes, path: str) -> dict[str, object]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"original_filename": name, "temp_path": path, "size": len(content), "sha256": sha256}


def check_file(site: Site, file: dict[str, object], name: str, content: bytes) -> None:
    path = Path(str(file["temp_path"]))
    assert re.fullmatch(r"upload_[0-9a-f]{32}\.tmp", path.name)
    assert path.parent == site.directory
    assert file == described(name, content, str(path))
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o600


def check_refused(response: httpx.Response, status: int, *words: str, file: int | None = None) -> None:
    assert response.status_code == status, response.text
    answer = response.json()
    assert answer.keys() == {"success", "error", "code", "detail", "file"}
    assert answer["success"] is False
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", answer["code"])
    assert answer["file"] == file
    # What people read is about their files, not about bytes and parts.
    assert not re.search(r"byte \d|part \d|_", answer["error"])
    for word in words:
        assert word in answer["error"]


# The tests of the prototype


async def test_health_endpoint(site: Site) -> None:
    response = await site.client.get("/health")
    assert response.json() == {"status": "healthy", "uploads": 0}


async def test_home_page(site: Site) -> None:
    response = await site.client.get("/")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    linked = re.findall(r'(?:src|href)="([^"]*)"', response.text)
    assert len(linked) >= 3
    for url in linked:
        assert url == "/about" or url.startswith("/static/")
        assert (await site.client.get(url)).status_code == 200


async def test_the_page_about_it_is_readable(site: Site) -> None:
    response = await site.client.get("/about")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<h1" in response.text
    for markup in ("test-check", "code-block", ":func:", "``", "system-message", "style="):
        assert markup not in response.text


@pytest.mark.parametrize("size", [0, 12], ids=["empty", "small"])
async def test_upload_small_file(site: Site, size: int) -> None:
    response = await site.upload(LARGE[:size])
    answer = response.json()
    assert answer.keys() == {"success", "file", "description"}
    assert (answer["success"], answer["description"]) == (True, None)
    check_file(site, answer["file"], "0.bin", LARGE[:size])


async def test_upload_medium_file(site: Site) -> None:
    response = await site.upload(LARGE[:MIB])
    check_file(site, response.json()["file"], "0.bin", LARGE[:MIB])


async def test_upload_large_file(site: Site) -> None:
    response = await site.upload(LARGE)
    check_file(site, response.json()["file"], "0.bin", LARGE)


async def test_upload_with_description(site: Site) -> None:
    response = await site.upload(b"x", data={"description": "My — document"})
    assert response.json()["description"] == "My — document"


async def test_upload_no_file(site: Site) -> None:
    with MultipartWriter("form-data") as writer:
        part = writer.append("only this")
        part.set_content_disposition("form-data", name="description")
    response = await site.client.post("/upload", content=await writer.as_bytes(), headers=writer.http_headers())
    check_refused(response, 400, "no file")


async def test_upload_wrong_content_type(site: Site) -> None:
    for response in (
        await site.client.post("/upload", json={"file": "x"}),
        await site.client.post("/upload", data={"file": "x"}),
        await site.client.post("/upload-multiple", content=b"x"),
    ):
        check_refused(response, 415, "multipart/form-data")
    response = await site.client.post("/upload", content=b"x", headers={"Content-Type": "multipart/form-data"})
    check_refused(response, 400, "send it again")
    assert response.json()["code"] == "missing-boundary"
    assert "boundary" in response.json()["detail"]


async def test_upload_multiple_files(site: Site) -> None:
    contents = [b"one", LARGE, b"one", b""]
    response = await site.upload(*contents, path="/upload-multiple")
    answer = response.json()
    assert answer.keys() == {"success", "files", "count", "description"}
    assert (answer["success"], answer["count"], answer["description"]) == (True, 4, None)
    for number, (file, content) in enumerate(zip(answer["files"], contents, strict=True)):
        check_file(site, file, f"{number}.bin", content)
    assert len(site.stored()) == 4


async def test_upload_preserves_binary_content(site: Site) -> None:
    content = bytes(range(256)) * 300 + b"\r\n--\r\n--frontier--\r\n"
    response = await site.upload(content)
    check_file(site, response.json()["file"], "0.bin", content)


@pytest.mark.parametrize("name", ["文档 é 😀.pdf", "../../etc/passwd", 'say "hi".txt', "<img src=x onerror=alert(1)>"])
async def test_upload_unicode_filename(site: Site, name: str) -> None:
    response = await site.client.post("/upload", files={"file": (name, b"x")})
    check_file(site, response.json()["file"], name, b"x")


async def test_streaming_chunked_upload(site: Site) -> None:
    with MultipartWriter("form-data") as writer:
        part = writer.append(LARGE)
        part.set_content_disposition("form-data", name="file", filename="chunked")
    response = await site.client.post("/upload", content=writer, headers=writer.headers)
    assert "Content-Length" not in response.request.headers
    check_file(site, response.json()["file"], "chunked", LARGE)


# Limits


async def test_too_large(start: Start) -> None:
    site = await start(max_file_size=MIB, max_total_size=3 * MIB, max_files=3)
    check_refused(await site.upload(LARGE[: MIB + 1]), 413, "the file is larger than 1 MiB", file=0)
    several = await site.upload(b"x", LARGE[: MIB + 1], b"y", path="/upload-multiple")
    check_refused(several, 413, "the file is larger than 1 MiB", file=1)
    assert several.json()["code"] == "max-part-size"
    assert "max_part_size" in several.json()["detail"]
    check_refused(await site.upload(*[LARGE[:MIB]] * 3, path="/upload-multiple"), 413, "together", "3 MiB")
    check_refused(await site.upload(*[b"x"] * 4, path="/upload-multiple"), 413, "3 files")
    check_refused(await site.upload(b"x", b"y"), 413, "1 file")
    assert site.stored() == {}
    assert (await site.upload(*[LARGE[: MIB - 1000]] * 3, path="/upload-multiple")).status_code == 200


async def test_too_large_for_a_client_that_does_not_stop(start: Start) -> None:
    """The answer gets through although most of the request is still to be sent."""
    site = await start(max_file_size=MIB)
    response = await site.upload(LARGE * 4)
    check_refused(response, 413, "larger than 1 MiB", file=0)
    assert (await site.upload(b"x")).status_code == 200


async def test_content_types(start: Start) -> None:
    site = await start(content_types=("image/*",))
    for content_type, status in (("image/png", 200), ("text/html", 415)):
        response = await site.client.post("/upload", files={"file": ("x", b"x", content_type)})
        assert response.status_code == status
    assert 'accept="image/*"' in (await site.client.get("/")).text
    assert len(site.stored()) == 1


@pytest.mark.parametrize("refused", ["before the first byte", "after the first file", "in the midst of one"])
async def test_an_early_answer_behind_nginx(start: Start, nginx: str, tmp_path: Path, refused: str) -> None:
    """It buffers what comes, then sends it all: a server that closes before that would make a 502 of the answer."""
    site = await start(max_file_size=MIB)
    prefix = tmp_path / "nginx"
    prefix.mkdir()
    async with running_nginx(nginx, prefix, f"client_max_body_size 0; location / {{ proxy_pass {site.url}; }}") as url:
        if refused == "before the first byte":
            response = await site.client.post(
                f"{url}/upload", content=LARGE * 4, headers={"Content-Type": "text/plain"}
            )
            check_refused(response, 415, "multipart/form-data")
        elif refused == "after the first file":
            files = [("file", ("0.bin", b"x")), ("file", ("1.bin", LARGE * 4))]
            check_refused(await site.client.post(f"{url}/upload", files=files), 413, "more than 1 file")
        else:
            response = await site.client.post(f"{url}/upload", files={"file": ("0.bin", LARGE * 4)})
            check_refused(response, 413, "larger than 1 MiB", file=0)
        assert (await site.client.post(f"{url}/upload", files={"file": ("0.bin", b"x")})).status_code == 200
    assert "Broken pipe" not in (prefix / "error.log").read_text()


async def test_a_refused_upload_that_does_not_end(start: Start) -> None:
    """So many bytes of it are read, and no more; the answer is there before."""
    site = await start(max_total_size=MIB)
    reader, writer = await asyncio.open_connection(*site.address)
    async with asyncio.timeout(20):
        writer.write(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n")
        writer.write(b"Content-Length: 99999999\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 415 ")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        assert length is not None
        assert json.loads(await reader.readexactly(int(length[1])))["code"] == "not-a-form"
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(100_000))
                await writer.drain()
        writer.close()


async def test_a_refused_upload_that_stalls() -> None:
    sent: list[Message] = []

    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 415, "headers": []})
        await send({"type": "http.response.body", "body": b"no"})

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError("nothing comes")

    async def send(message: Message) -> None:
        sent.append(message)

    async with asyncio.timeout(20):
        await Lingering(refuse, size=1000, seconds=0.01)({"type": "http", "method": "POST"}, receive, send)
    assert [message.get("body", b"") for message in sent] == [b"", b"no", b""]
    assert [message.get("more_body", False) for message in sent] == [False, True, False]


async def test_other_sites(site: Site) -> None:
    """A page elsewhere may not have its visitors upload to their own machine."""
    for origin, status in (("cross-site", 403), ("same-origin", 200)):
        assert (await site.upload(b"x", headers={"Sec-Fetch-Site": origin})).status_code == status
    assert len(site.stored()) == 1


class Slow:
    """A request that is sent half, and the rest later; ``total`` is the size of its file."""

    def __init__(self, site: Site, query: str = "", *, path: str = "/upload", total: int = 2 * MIB) -> None:
        self.site = site
        self.content = LARGE[:total]
        self.path, self.query = path, query

    async def __aenter__(self) -> Self:
        with MultipartWriter("form-data") as writer:
            if self.path != "/upload":
                part = writer.append(b"complete")
                part.set_content_disposition("form-data", name="file", filename="first")
            part = writer.append(self.content)
            part.set_content_disposition("form-data", name="file", filename="slow")
        self.body = await writer.as_bytes()
        fields = "".join(f"{name}: {value}\r\n" for name, value in writer.http_headers().items())
        self.head = f"POST {self.path}{self.query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n".encode()
        self.half = len(self.body) // 2
        self.reader, self.writer = await asyncio.open_connection(*self.site.address)
        self.writer.write(self.head + self.body[: self.half])
        await self.writer.drain()
        await until(lambda: self.site.server.admission.uploads)
        return self

    async def finish(self) -> dict[str, object]:
        self.writer.write(self.body[self.half :])
        return await self.answer()

    async def answer(self) -> dict[str, object]:
        head, _, body = (await self.reader.read()).partition(b"\r\n\r\n")
        self.status = int(head.split()[1])
        return json.loads(body)

    async def __aexit__(self, *exc_info: object) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


async def test_too_many_at_a_time(start: Start) -> None:
    site = await start(max_uploads=2)
    async with Slow(site) as one, Slow(site) as two:
        await until(lambda: site.server.admission.uploads == 2)
        assert (await site.client.get("/health")).json()["uploads"] == 2
        response = await site.upload(b"x")
        check_refused(response, 429, "under way")
        assert int(response.headers["Retry-After"]) >= 1
        for slow in one, two:
            check_file(site, (await slow.finish())["file"], "slow", slow.content)
    await until(lambda: site.server.admission.uploads == 0)
    assert (await site.upload(b"x")).status_code == 200


async def test_too_often(start: Start) -> None:
    site = await start(rate="3/hour")
    for _ in range(3):
        assert (await site.upload(b"x")).status_code == 200
    response = await site.upload(b"x")
    check_refused(response, 429, "3 per 1 hour")
    assert 1 <= int(response.headers["Retry-After"]) <= 2 * 3600
    assert (await site.client.get("/health")).status_code == 200
    assert len(site.stored()) == 3


async def test_the_rate_is_each_clients_own() -> None:
    admission = Admission(max_uploads=9, rate="1/hour")
    for host in ("192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8:0:1::1"):
        async with admission.admit(client_key(host)):
            pass
    for host in ("192.0.2.1", "::ffff:192.0.2.2", "2001:db8::2"):
        with pytest.raises(Refused):
            async with admission.admit(client_key(host)):
                pass
    assert admission.uploads == 0


async def test_a_stalled_upload(start: Start) -> None:
    site = await start(stall_timeout=0.2)
    async with Slow(site) as slow:
        answer = await slow.answer()
        assert slow.status == 408
        assert "nothing has arrived" in str(answer["error"])
    assert site.server.admission.uploads == 0
    assert site.stored() == {}


# What is left


@pytest.mark.parametrize("path", ["/upload", "/upload-multiple"])
async def test_a_client_that_goes_away(site: Site, path: str) -> None:
    async with Slow(site, path=path):
        pass
    await until(lambda: site.server.admission.uploads == 0)
    assert site.stored() == {}
    assert (await site.upload(b"x")).status_code == 200
    assert len(site.stored()) == 1


async def test_a_client_that_goes_away_before_the_answer(start: Start) -> None:
    async def go_away(path: str, part: ReceivedPart) -> None:
        slow.writer.close()
        await slow.writer.wait_closed()
        await site.client.get("/health")  # by now the server has seen that the connection is closed

    site = await start(scanner=go_away)
    async with Slow(site) as slow:
        slow.writer.write(slow.body[slow.half :])
        await until(lambda: site.server.admission.uploads == 0)
    assert site.stored() == {}


async def test_a_broken_form(site: Site) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n%b\r\n' % LARGE
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for rest in (b"", b"--b\r\n\r\nno name\r\n--b--\r\n", b"--b\r\nno colon\r\n\r\n\r\n--b--\r\n"):
        check_refused(await site.client.post("/upload-multiple", content=part + rest, headers=headers), 400)
    assert site.stored() == {}


async def test_fifty_at_once(site: Site) -> None:
    contents = [LARGE[number : number + 200_000 + number] for number in range(50)]
    responses = await asyncio.gather(*[site.upload(content) for content in contents])
    for response, content in zip(responses, contents, strict=True):
        check_file(site, response.json()["file"], "0.bin", content)
    assert len(site.stored()) == 50


async def test_a_full_disk(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    site = await start()
    rename, renamed = Path.rename, []

    def rename_one(old: Path, new: Path) -> None:
        if renamed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        renamed.append(rename(old, new))

    monkeypatch.setattr(Path, "rename", rename_one)
    check_refused(await site.upload(b"x", b"y", path="/upload-multiple"), 507, "no room")
    assert renamed
    assert site.stored() == {}


# The scanner


async def scan(path: str, part: ReceivedPart) -> str | None:
    content = await asyncio.to_thread(Path(path).read_bytes)
    return f"{part.filename} is one virus" if b"virus" in content else None


async def test_the_scanner_rejects(start: Start) -> None:
    site = await start(scanner=scan)
    check_refused(await site.upload(b"a virus"), 422, "0.bin is one virus", file=0)
    check_refused(await site.upload(b"harmless", b"a virus", path="/upload-multiple"), 422, "1.bin", file=1)
    assert site.stored() == {}
    check_file(site, (await site.upload(b"harmless")).json()["file"], "0.bin", b"harmless")


async def test_a_scanner_that_fails_accepts_nothing(start: Start) -> None:
    async def broken(path: str, part: ReceivedPart) -> str | None:
        raise LookupError

    site = await start(scanner=broken)
    check_refused(await site.upload(b"x"), 500)
    assert site.stored() == {}


# Starting


def make(path: Path, *, age: float = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    os.utime(path, (time.time() - age,) * 2)
    return path


async def test_a_start_removes_what_is_old(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "uploads"
    name = f"upload_{'0a' * 16}.tmp"
    old = make(directory / name, age=3601)
    kept = [
        make(directory / name.replace("a", "b"), age=3500),
        make(directory / "upload_mine.tmp", age=1e6),
        make(directory / f"{name}.txt", age=1e6),
        make(directory / "sub" / name, age=1e6),
        make(directory / "incoming-mine" / name, age=1e6),
    ]
    (directory / name.replace("a", "c")).symlink_to(kept[0])
    dead = make(directory / "incoming-0123456789abcdef" / name).parent
    await start(keep=3600)
    assert not old.exists()
    assert not dead.exists()
    assert all(path.exists() for path in kept)
    assert (directory / name.replace("a", "c")).is_symlink()


async def test_a_start_leaves_the_living_alone(site: Site, start: Start) -> None:
    """A second server for the same directory, while the first is receiving."""
    async with Slow(site, path="/upload-multiple") as slow:
        await until(lambda: list(site.directory.glob("incoming-*/upload_*.tmp")))
        second = await start()
        assert (await second.upload(b"y")).status_code == 200
        answer = await slow.finish()
        check_file(site, answer["files"][1], "slow", slow.content)


async def test_what_a_killed_server_leaves(start: Start, tmp_path: Path) -> None:
    directory = tmp_path / "uploads"
    code = f"""
import asyncio, sys
sys.path[:0] = [{str(HERE)!r}]
from uploads.storage import open_storage

async def main():
    storage = open_storage({directory.as_uri()!r}, keep=1e9)
    await storage.open()
    target = storage.target(None)
    await target.start(None)
    await target.write(b"x")
    await target.finish()
    print("ready", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""
    async with running(sys.executable, "-c", code, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert await process.stdout.readline() == b"ready\n"
        assert len(list(directory.glob("incoming-*/upload_*.tmp"))) == 1
        process.kill()
        await process.wait()
    assert len(list(directory.glob("incoming-*/upload_*.tmp"))) == 1
    site = await start()
    assert site.stored() == {}


@pytest.mark.skipif(sys.platform == "win32", reason="modes of directories")
async def test_a_directory_of_everybodys(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match="everybody"):
        await open_storage(tmp_path.as_uri(), keep=1).open()


async def test_without_lifespan(tmp_path: Path) -> None:
    """httpx's transport runs none."""
    app = make_app(Settings(storage=tmp_path.as_uri()))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        response = await client.post("/upload", files={"file": ("x", b"x")})
    assert response.status_code == 200
    await app.state.server.storage.close()


# Progress


def events(text: str) -> list[tuple[str, dict[str, object]]]:
    return [(name, json.loads(data)) for name, data in re.findall(r"event: (\w+)\ndata: (.*)\n", text)]


async def test_progress(site: Site) -> None:
    id_ = uuid4().hex
    async with asyncio.timeout(20), site.client.stream("GET", f"/progress/{id_}") as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        seen: list[tuple[str, dict[str, object]]] = []
        texts = response.aiter_text()
        while not seen:
            seen += events(await anext(texts))
        assert seen == [("progress", {"status": "waiting", "received": 0, "total": None})]
        async with Slow(site, f"?id={id_}") as slow:
            while seen[-1][1]["received"] != slow.half:
                seen += events(await anext(texts))
            assert seen[-1] == ("progress", {"status": "receiving", "received": slow.half, "total": len(slow.body)})
            await slow.finish()
            async for text in texts:
                seen += events(text)
    assert seen[-1] == ("end", {"status": "complete", "received": len(slow.body), "total": len(slow.body)})
    received = [data["received"] for _, data in seen]
    assert received == sorted(received)
    # Who comes too late is told the end at once.
    assert events((await site.client.get(f"/progress/{id_}")).text) == seen[-1:]
    check_refused(await site.upload(b"x", params={"id": id_}), 409)


async def test_progress_of_an_upload_that_fails(site: Site) -> None:
    id_ = uuid4().hex
    async with Slow(site, f"?id={id_}"):
        check_refused(await site.upload(b"x", params={"id": id_}), 409)
    ((name, data),) = events((await site.client.get(f"/progress/{id_}")).text)[-1:]
    assert (name, data["status"]) == ("end", "failed")


async def test_ids_that_are_none(site: Site) -> None:
    for id_ in ("x", "x" * 65, "%3Cscript%3E12", "näme-12345"):
        check_refused(await site.client.get(f"/progress/{id_}"), 400)
        check_refused(await site.client.post(f"/upload?id={id_}", files={"file": ("x", b"x")}), 400)
    assert site.stored() == {}


async def read(watching: AsyncIterator[bytes]) -> list[str]:
    return [name for name, _ in events(b"".join([event async for event in watching]).decode())]


async def test_nobody_uploads() -> None:
    board = Board(size=2, patience=0.01)
    assert await read(board.watch("nothing-1")) == ["progress", "expired"]
    assert len(board) == 0


async def test_progress_is_bounded() -> None:
    board = Board(size=2)
    with board.track("upload-1"), board.track("upload-2"), board.track("upload-3") as untold:
        untold.update(1, 2)
        with pytest.raises(Refused):
            board.watch("upload-3")
        assert len(board) == 2
    with board.track("upload-4"):
        assert len(board) == 2
    watching = [board.watch("upload-4"), board.watch("upload-5")]
    for each in watching:
        await anext(each)
    with pytest.raises(Refused):
        board.watch("upload-4")
    for each in watching:
        await each.aclose()
    assert await read(board.watch("upload-4")) == ["end"]


async def test_ended_uploads_are_forgotten() -> None:
    board = Board(size=100, memory=-1)
    for number in range(10):
        with board.track(f"upload-{number}"):
            assert len(board) == 1


# S3


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in (
        ("ENDPOINT", s3_url),
        ("ALLOW_HTTP", "true"),
        ("ACCESS_KEY_ID", "id"),
        ("SECRET_ACCESS_KEY", "key"),
        ("REGION", "us-east-1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    url = f"{s3_url}/bucket-{uuid4().hex}"
    httpx.put(url, trust_env=False).raise_for_status()
    return url


def put(url: str) -> None:
    httpx.put(url, content=b"x", trust_env=False).raise_for_status()


def keys(bucket: str) -> list[str]:
    """The objects, and the uploads that nobody has ended."""
    texts = [httpx.get(f"{bucket}?{query}", trust_env=False).text for query in ("list-type=2", "uploads")]
    return re.findall("<Key>(.*?)</Key>", "".join(texts))


async def test_s3(start: Start, bucket: str) -> None:
    storage = f"s3://{bucket.rpartition('/')[2]}/some/where"
    site = await start(storage=storage)
    contents = [LARGE, b"small"]
    answer = (await site.upload(*contents, path="/upload-multiple")).json()
    store = S3Store.from_url(storage)
    for number, (file, content) in enumerate(zip(answer["files"], contents, strict=True)):
        path = file["temp_path"]
        assert re.fullmatch(storage + r"/upload_[0-9a-f]{32}\.tmp", path)
        assert file == described(f"{number}.bin", content, path)
        found = await store.get_async(path.removeprefix(f"{storage}/"))
        assert bytes(await found.bytes_async()) == content
    assert len(keys(bucket)) == 2


async def test_s3_after_a_failure(start: Start, bucket: str) -> None:
    async def refuse(location: str, part: ReceivedPart) -> str | None:
        assert location.startswith("s3://")
        return "no" if part.filename == "1.bin" else None

    site = await start(storage=f"s3://{bucket.rpartition('/')[2]}", scanner=refuse, max_file_size=len(LARGE))
    check_refused(await site.upload(LARGE, b"small", path="/upload-multiple"), 422, file=1)
    check_refused(await site.upload(LARGE + b"x"), 413, file=0)
    async with Slow(site, path="/upload-multiple", total=len(LARGE)):
        pass
    await until(lambda: site.server.admission.uploads == 0)
    assert keys(bucket) == []


async def test_s3_for_a_client_that_goes_away_before_the_answer(start: Start, bucket: str) -> None:
    async def go_away(location: str, part: ReceivedPart) -> None:
        if part.filename == "slow":
            slow.writer.close()
            await slow.writer.wait_closed()
            await site.client.get("/health")  # by now the server has seen that the connection is closed

    site = await start(storage=f"s3://{bucket.rpartition('/')[2]}/a", scanner=go_away)
    async with Slow(site, path="/upload-multiple") as slow:
        slow.writer.write(slow.body[slow.half :])
        await until(lambda: site.server.admission.uploads == 0)
    assert keys(bucket) == []


async def test_s3_removes_what_is_old(bucket: str) -> None:
    name = f"upload_{'0a' * 16}.tmp"
    for key in (name, "mine.tmp", f"other/{name}"):
        put(f"{bucket}/{key}")
    url = f"s3://{bucket.rpartition('/')[2]}"
    await open_storage(url, keep=3600).open()
    assert len(keys(bucket)) == 3
    await open_storage(url, keep=-3600).open()
    assert sorted(keys(bucket)) == ["mine.tmp", f"other/{name}"]


# Settings


def test_settings_of_the_environment(tmp_path: Path) -> None:
    environ = {
        "UPLOAD_STORAGE": "s3://bucket",
        "UPLOAD_KEEP": "inf",
        "UPLOAD_MAX_FILE_SIZE": "20M",
        "UPLOAD_MAX_TOTAL_SIZE": "1 GiB",
        "UPLOAD_MAX_FILES": "3",
        "UPLOAD_CONTENT_TYPES": "image/*, application/pdf",
        "UPLOAD_MAX_UPLOADS": "5",
        "UPLOAD_RATE": "",
        "UPLOAD_STALL_TIMEOUT": "2.5",
        "UPLOAD_MAX_WATCHED": "10",
        "UPLOAD_SCANNER": "os.path:basename",
    }
    assert Settings.from_environ(environ) == Settings(
        storage="s3://bucket",
        keep=float("inf"),
        max_file_size=20 * MIB,
        max_total_size=1024 * MIB,
        max_files=3,
        content_types=("image/*", "application/pdf"),
        max_uploads=5,
        rate="",
        stall_timeout=2.5,
        max_watched=10,
        scanner=os.path.basename,
    )
    assert Settings.from_environ({}) == Settings()
    page = (ROOT / "docs" / "how-to" / "upload-server.rst").read_text("utf-8")
    for variable in environ:
        assert f"``{variable}``" in page


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("UPLOAD_MAX_FILES", "many"),
        ("UPLOAD_MAX_FILE_SIZE", "-1"),
        ("UPLOAD_KEEP", "0"),
        ("UPLOAD_KEEP", "nan"),
        ("UPLOAD_SCANNER", "no_such_module:scan"),
        ("UPLOAD_SCANNER", "os:no_such_function"),
    ],
)
def test_settings_that_are_wrong(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=variable):
        Settings.from_environ({variable: value})


@pytest.mark.parametrize("url", ["ftp://x/y", "/tmp", "s3:", "file://host/x", ""])
def test_storage_that_is_none(url: str) -> None:
    with pytest.raises(ValueError, match="is no storage"):
        open_storage(url, keep=1)


def test_rate_that_is_none() -> None:
    with pytest.raises(ValueError, match="parse"):
        Admission(max_uploads=1, rate="often")


# As a program


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT")
async def test_as_a_program(tmp_path: Path, httpx_client: httpx.AsyncClient) -> None:
    (tmp_path / "scanning.py").write_text(
        "async def scan(path, part):\n    return part.filename == 'bad' and 'so called' or None"
    )
    environ = os.environ | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}",
        "UPLOAD_STORAGE": (tmp_path / "uploads").as_uri(),
        "UPLOAD_SCANNER": "scanning:scan",
    }
    command = [sys.executable, "-W", "error", "-X", "dev", "-m", "uvicorn", "--app-dir", str(HERE), "app:app"]
    async with (
        asyncio.timeout(60),
        running(*command, "--port", "0", env=environ, cwd=tmp_path, stderr=subprocess.PIPE) as process,
    ):
        printed = b""
        while (found := re.search(rb"running on (http://\S+)", printed)) is None:
            line = await process.stderr.readline()
            assert line, printed.decode()
            printed += line
        url = found[1].decode()
        for name, status in (("good", 200), ("bad", 422)):
            response = await httpx_client.post(f"{url}/upload", files={"file": (name, b"x")})
            assert response.status_code == status
        process.terminate()
        _, errors = await process.communicate()
    for complaint in ("Warning", "Traceback", "Exception ignored", "never retrieved", "was destroyed"):
        assert complaint not in (printed + errors).decode()
    assert [path.read_bytes() for path in (tmp_path / "uploads").iterdir()] == [b"x"]
