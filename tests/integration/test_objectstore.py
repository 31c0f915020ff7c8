"""ObjectStoreTarget over obstore: in memory, on disk, and S3 as moto serves it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import obstore
import pytest
from aiohttp import web
from moto.server import ThreadedMotoServer
from obstore.exceptions import PermissionDeniedError
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store

from aiomultipart import FileTarget, HashTarget, MultipartReader, StateError, TeeTarget
from aiomultipart.integrations.objectstore import ObjectStoreTarget, StoredObject
from aiomultipart.targets import copy
from tests.support.awaits import Run, at_every_await
from tests.support.reading import FORM, build, next_part
from tests.support.saving import MIB, Part, files, pattern, pieces

LARGE = pattern(17 * MIB + 5)


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_store(url: str, bucket: str) -> S3Store:
    return S3Store(
        bucket,
        endpoint=url,
        region="us-east-1",
        access_key_id="id",
        secret_access_key="key",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


class Bucket:
    """A bucket of the S3 server."""

    def __init__(self, url: str, name: str) -> None:
        self.store = s3_store(url, name)
        self._url = f"{url}/{name}"
        httpx.put(self._url, trust_env=False).raise_for_status()

    def _list(self, query: str, element: str) -> list[str]:
        answer = httpx.get(f"{self._url}?{query}", trust_env=False).raise_for_status()
        return re.findall(f"<{element}>.*?<Key>(.*?)</Key>", answer.text, re.DOTALL)

    @property
    def uploads(self) -> list[str]:
        """The uploads that were begun and neither completed nor aborted."""
        return self._list("uploads", "Upload")

    @property
    def objects(self) -> list[str]:
        return self._list("list-type=2", "Contents")


@pytest.fixture
def bucket(s3_url: str) -> Bucket:
    return Bucket(s3_url, f"bucket-{uuid4().hex}")


@pytest.fixture(params=["memory", "local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "local":
        return LocalStore(tmp_path / "store", mkdir=True)
    bucket: Bucket = request.getfixturevalue("bucket")
    return bucket.store


def bytes_at(store: ObjectStore, path: str) -> bytes:
    return bytes(obstore.get(store, path).bytes())


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 5 * MIB + 1, len(LARGE)])
async def test_stored(store: ObjectStore, size: int) -> None:
    result = await copy(Part(), pieces(LARGE[:size]), ObjectStoreTarget(store, "a/b"))
    assert (result.path, result.size) == ("a/b", size)
    assert result.e_tag
    assert bytes_at(store, "a/b") == LARGE[:size]


async def test_a_part_in_two_places(bucket: Bucket, tmp_path: Path) -> None:
    head = b'Content-Disposition: form-data; name="a"; filename="x"\r\nContent-Type: image/png'
    part = await next_part(MultipartReader(FORM, pieces(build((head, LARGE)))))
    upload = ObjectStoreTarget(bucket.store, "x", attributes={"Content-Type": part.content_type})
    target = TeeTarget(upload, FileTarget(tmp_path / "x"), HashTarget("md5"))
    stored, saved, _ = await part.copy_to(target)
    assert isinstance(stored, StoredObject)
    assert bytes_at(bucket.store, "x") == saved.path.read_bytes() == LARGE
    assert obstore.get(bucket.store, "x").attributes["Content-Type"] == "image/png"
    assert (bucket.uploads, bucket.objects) == ([], ["x"])


async def test_attributes(bucket: Bucket) -> None:
    given = {"Content-Type": "text/css", "color": "red"}
    for size in (1, len(LARGE)):
        await copy(Part(), pieces(LARGE[:size]), ObjectStoreTarget(bucket.store, "x", attributes=given))
        attributes = obstore.get(bucket.store, "x").attributes
        assert (attributes["Content-Type"], attributes["color"]) == ("text/css", "red")


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 5 * MIB + 1, len(LARGE)])
async def test_a_failure_leaves_nothing(bucket: Bucket, size: int) -> None:
    with pytest.raises(KeyError):
        await copy(Part(), pieces(LARGE[:size], error=KeyError()), ObjectStoreTarget(bucket.store, "x"))
    assert (bucket.uploads, bucket.objects) == ([], [])


async def test_a_failure_leaves_no_files(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        await copy(Part(), pieces(LARGE, error=KeyError()), ObjectStoreTarget(LocalStore(tmp_path), "x"))
    assert files(tmp_path) == {}


async def test_the_old_object_stays_when_it_fails(store: ObjectStore) -> None:
    obstore.put(store, "x", b"old")
    with pytest.raises(KeyError):
        await copy(Part(), pieces(LARGE, error=KeyError()), ObjectStoreTarget(store, "x"))
    assert bytes_at(store, "x") == b"old"


async def test_cancelled_at_every_await(bucket: Bucket) -> None:
    body = LARGE[: 11 * MIB]

    async def scenario(run: Run) -> None:
        try:
            await run.once(lambda: copy(Part(), pieces(body, 3 * MIB), ObjectStoreTarget(bucket.store, "x")))
        except asyncio.CancelledError:
            pass
        else:
            assert bucket.objects == ["x"]
        assert bucket.uploads == []
        assert bucket.objects in ([], ["x"])
        if bucket.objects:
            # It was complete before the cancellation came.
            assert bytes_at(bucket.store, "x") == body
            obstore.delete(bucket.store, "x")

    await at_every_await(scenario, least=5)


async def test_cancelled_while_it_waits_for_more(bucket: Bucket) -> None:
    waiting = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        async for piece in pieces(LARGE):
            yield piece
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(copy(Part(), chunks(), ObjectStoreTarget(bucket.store, "x")))
    await waiting.wait()
    assert bucket.uploads == ["x"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bucket.uploads, bucket.objects) == ([], [])


@pytest.mark.parametrize("size", [1, len(LARGE)])
async def test_no_such_bucket(s3_url: str, size: int) -> None:
    with pytest.raises(FileNotFoundError):
        await copy(Part(), pieces(LARGE[:size]), ObjectStoreTarget(s3_store(s3_url, "nothing"), "x"))


async def refusing(refuse: Callable[[web.Request], bool], seen: list[str]) -> tuple[web.AppRunner, str]:
    """A server that speaks as much of S3 as an upload needs, and refuses some requests for good."""

    async def handle(request: web.Request) -> web.Response:
        body = await request.read()
        kind = f"{request.method} {next(iter(request.query), '')}".strip()
        seen.append(kind)
        if refuse(request):
            return web.Response(status=403, text="<Error><Code>AccessDenied</Code></Error>")
        if kind == "POST uploads":
            xml = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
            return web.Response(text=xml)
        if request.method == "POST" and body:
            return web.Response(text="<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
        return web.Response(status=204 if request.method == "DELETE" else 200, headers={"ETag": '"e"'})

    app = web.Application(client_max_size=64 * MIB)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    return runner, f"http://{host}:{port}"


@pytest.mark.parametrize("which", ["begin", "part", "complete"])
async def test_a_request_that_is_refused(which: str) -> None:
    def refuse(request: web.Request) -> bool:
        if which == "part":
            return request.query.get("partNumber") == "2"
        return request.method == "POST" and ("uploads" in request.query) == (which == "begin")

    seen: list[str] = []
    runner, url = await refusing(refuse, seen)
    try:
        with pytest.raises(PermissionDeniedError):
            await copy(Part(), pieces(LARGE * 3), ObjectStoreTarget(s3_store(url, "b"), "x"))
    finally:
        await runner.cleanup()
    assert seen[0] == "POST uploads"
    assert ("DELETE uploadId" in seen) is (which != "begin")


async def test_the_order_of_the_calls() -> None:
    store = MemoryStore()
    target = ObjectStoreTarget(store, "x")
    with pytest.raises(StateError):
        await target.write(b"x")
    await target.abort()
    target = ObjectStoreTarget(store, "x")
    await copy(Part(), pieces(b"one"), target)
    with pytest.raises(StateError):
        await copy(Part(), pieces(b"two"), target)
    for call in (target.write(b"x"), target.finish()):
        with pytest.raises(StateError):
            await call
    assert bytes_at(store, "x") == b"one"
    with pytest.raises(ValueError, match="at least 1"):
        ObjectStoreTarget(store, "x", chunk_size=0)
    with pytest.raises(ValueError, match="at least 1"):
        ObjectStoreTarget(store, "x", max_concurrency=0)
