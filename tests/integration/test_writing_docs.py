"""The writing flows of aiohttp's "Working with Multipart" run with nothing changed but the import.

``lib`` is that import: aiohttp itself shows that a flow is aiohttp's, and aiomultipart has to do the same. What a
server got is read by aiohttp's reader there.
"""

import asyncio
import gzip
import io
import json
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import aiomultipart
import aiomultipart.integrations.aiohttp

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=[aiohttp, aiomultipart], ids=lambda lib: lib.__name__)
def lib(request: pytest.FixtureRequest) -> ModuleType:
    return request.param


async def tree(reader: aiohttp.MultipartReader) -> list[Any]:
    """What a message is made of: (headers, decoded body) of a part, a list for a nested message."""
    found: list[Any] = []
    while (part := await reader.next()) is not None:
        if isinstance(part, aiohttp.MultipartReader):
            found.append(await tree(part))
        else:
            found.append((part.headers, bytes(await part.read(decode=True))))
    return found


@pytest.fixture
def receive(serve, session):
    """Post a body, and give what the server got: the headers of the request, and the tree of parts."""

    async def receive(data: Any, **options: Any) -> tuple[Any, list[Any]]:
        got: list[Any] = []

        async def handler(request: web.Request) -> web.Response:
            got.extend([request.headers.copy(), await tree(await request.multipart())])
            return web.Response()

        async with session.post(await serve(handler), data=data, **options) as response:
            assert response.status == 200
        return got[0], got[1]

    return receive


def bodies(found: list[Any]) -> list[Any]:
    return [bodies(item) if isinstance(item, list) else item[1] for item in found]


async def test_nested_writers(lib: ModuleType, receive) -> None:
    with lib.MultipartWriter("mixed") as mpwriter:
        mpwriter.append("one")
        with lib.MultipartWriter("related") as subwriter:
            subwriter.append("two")
        mpwriter.append(subwriter)

        with lib.MultipartWriter("related") as subwriter:
            subwriter.append("three")
            with lib.MultipartWriter("related") as subsubwriter:
                subsubwriter.append("four")
            subwriter.append(subsubwriter)
            subwriter.append("five")
        mpwriter.append(subwriter)

        with lib.MultipartWriter("related") as subwriter:
            subwriter.append("six")
        mpwriter.append(subwriter)
        mpwriter.append("seven")

    headers, found = await receive(mpwriter)
    assert headers["Content-Type"].startswith("multipart/mixed; boundary=")
    assert bodies(found) == [b"one", [b"two"], [b"three", [b"four"], b"five"], [b"six"], b"seven"]


async def test_what_append_takes(lib: ModuleType, receive, tmp_path: Path) -> None:
    picture = tmp_path / "photo.png"
    picture.write_bytes(bytes(range(256)) * 1000)
    mpwriter = lib.MultipartWriter("mixed")
    mpwriter.append("hello")
    mpwriter.append(b"aiohttp")
    mpwriter.append(io.BytesIO(b"GIF89a..."), {"CONTENT-TYPE": "image/gif"})
    with picture.open("rb") as file:
        part = mpwriter.append(file)
        assert part.filename == "photo.png"
        _, found = await receive(mpwriter)
    text, binary, image, opened = found
    assert (text[0]["Content-Type"], text[1]) == ("text/plain; charset=utf-8", b"hello")
    assert (binary[0]["Content-Type"], binary[1]) == ("application/octet-stream", b"aiohttp")
    assert (image[0].getall("Content-Type"), image[1]) == (["image/gif"], b"GIF89a...")
    assert (opened[0]["Content-Type"], opened[1]) == ("image/png", picture.read_bytes())
    disposition, params = aiohttp.parse_content_disposition(opened[0]["Content-Disposition"])
    assert (disposition, aiohttp.content_disposition_filename(params)) == ("attachment", "photo.png")


async def test_headers_of_a_part(lib: ModuleType, receive) -> None:
    root = lib.MultipartWriter("mixed")
    with open(__file__, "rb") as file:  # noqa: ASYNC230, PTH123  (as the page has it)
        part = root.append(file)
        part.set_content_disposition("attachment", filename="secret.txt")
        part.headers[lib.hdrs.CONTENT_ID] = "X-12345"
        _, [(headers, body)] = await receive(root)
    assert headers.getall("Content-Disposition") == ['attachment; filename="secret.txt"']
    assert headers["Content-ID"] == "X-12345"
    assert body == Path(__file__).read_bytes()


async def test_content_encoding_after_append(receive) -> None:
    """aiohttp applies what is in the headers at append(); its documentation, and we, what is there when it is sent."""
    raw: list[bytes] = []
    root = aiomultipart.MultipartWriter("mixed")
    with open(__file__, "rb") as file:  # noqa: ASYNC230, PTH123  (as the page has it)
        part = root.append(file)
        part.headers[aiomultipart.hdrs.CONTENT_ENCODING] = "gzip"
        headers, [(fields, body)] = await receive(root)
        raw.append(await root.as_bytes())
    assert headers["Transfer-Encoding"] == "chunked"
    assert (fields["Content-Encoding"], "Content-Length" in fields) == ("gzip", False)
    assert body == Path(__file__).read_bytes()
    sent = raw[0].partition(b"\r\n\r\n")[2].rpartition(b"\r\n--" + root.boundary.encode())[0]
    assert gzip.decompress(sent) == Path(__file__).read_bytes()
    assert len(sent) < len(body) / 2


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity", None])
@pytest.mark.parametrize("transfer", ["base64", "quoted-printable", "binary", None])
async def test_encodings_given_to_append(lib: ModuleType, serve, session, coding: str | None, transfer: str | None):
    """Read by our reader: aiohttp's reads raw deflate only, not the zlib format of RFC 9110 section 8.4.1.2."""
    data = b"compress me, a little \xff\r\n" * 5000
    fields = {"Content-Encoding": coding, "Content-Transfer-Encoding": transfer}
    mpwriter = lib.MultipartWriter("mixed")
    mpwriter.append(io.BytesIO(data), {name: value for name, value in fields.items() if value is not None})
    got: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        part = await aiomultipart.MultipartReader(request.headers, request.content).next()
        got.extend([part.headers.get("Content-Encoding"), await part.read(decode=True)])
        return web.Response()

    async with session.post(await serve(handler), data=mpwriter) as response:
        assert response.status == 200
    assert got == [coding, data]


@pytest.mark.parametrize("transfer", ["base64", "quoted-printable", "binary", None])
async def test_gzip_is_read_by_aiohttp(receive, transfer: str | None) -> None:
    data = b"compress me, a little \xff\r\n" * 5000
    fields = {"Content-Encoding": "gzip", "Content-Transfer-Encoding": transfer}
    mpwriter = aiomultipart.MultipartWriter("mixed")
    mpwriter.append(io.BytesIO(data), {name: value for name, value in fields.items() if value is not None})
    _, [(headers, body)] = await receive(mpwriter)
    assert headers["Content-Encoding"] == "gzip"
    assert body == data


async def test_json_and_form(lib: ModuleType, receive) -> None:
    mpwriter = lib.MultipartWriter("mixed")
    mpwriter.append_json({"test": "passed"})
    mpwriter.append_form([("key", "value"), ("sign", "a&b=ü")])
    _, [document, form] = await receive(mpwriter)
    assert document[0]["Content-Type"] == "application/json"
    assert json.loads(document[1]) == {"test": "passed"}
    assert form[0]["Content-Type"] == "application/x-www-form-urlencoded"
    assert form[1] == b"key=value&sign=a%26b%3D%C3%BC"


async def test_a_size_that_is_known_is_the_content_length(receive) -> None:
    mpwriter = aiomultipart.MultipartWriter("mixed")
    mpwriter.append("hello")
    mpwriter.append_json([1, 2])
    headers, _ = await receive(mpwriter)
    assert headers["Content-Length"] == str(mpwriter.size)
    assert "Transfer-Encoding" not in headers


def get_frames(count: int) -> list[bytes]:
    return [b"\xff\xd8 frame %d " % number + bytes(20_000) + b"\xff\xd9" for number in range(count)]


async def test_mjpeg(lib: ModuleType, serve, session) -> None:
    frames = get_frames(20)

    async def handler(request: web.Request) -> web.StreamResponse:
        my_boundary = "some-boundary"
        response = web.StreamResponse(
            status=200,
            reason="OK",
            headers={"Content-Type": "multipart/x-mixed-replace;boundary={}".format(my_boundary)},  # noqa: UP032
        )
        await response.prepare(request)
        for frame in frames:
            with lib.MultipartWriter("image/jpeg", boundary=my_boundary) as mpwriter:
                mpwriter.append(frame, {"Content-Type": "image/jpeg"})
                await mpwriter.write(response, close_boundary=False)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # aiohttp no longer likes what it documents
                await response.drain()
        await response.write(b"--some-boundary--\r\n")
        return response

    async with session.get(await serve(handler)) as response:
        reader = aiomultipart.MultipartReader.from_response(response)
        seen = [(part.headers["Content-Type"], await part.read()) async for part in reader]
    assert seen == [("image/jpeg", frame) for frame in frames]


async def test_mjpeg_a_frame_arrives_before_the_next_is_made(serve, session) -> None:
    frames = get_frames(5)
    taken: asyncio.Queue[int] = asyncio.Queue()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "multipart/x-mixed-replace;boundary=b"})
        await response.prepare(request)
        for number, frame in enumerate(frames):
            mpwriter = aiomultipart.MultipartWriter("image/jpeg", boundary="b")
            mpwriter.append(frame, {"Content-Type": "image/jpeg"})
            await mpwriter.write(response, close_boundary=False)
            assert await taken.get() == number
        return response

    async with asyncio.timeout(10), session.get(await serve(handler)) as response:
        reader = aiomultipart.MultipartReader.from_response(response)
        for number, frame in enumerate(frames):
            part = await reader.next()
            assert await part.read() == frame
            taken.put_nowait(number)


async def test_hacking_no_content_length_on_parts(lib: ModuleType, receive) -> None:
    mpwriter = lib.MultipartWriter("mixed")
    mpwriter.append("hello")
    mpwriter.append(io.BytesIO(b"bytes"))
    if lib is aiohttp:
        # Here aiohttp's documentation does not run with aiohttp's code: what it iterates over are tuples.
        for part, _encoding, _te_encoding in mpwriter:
            part.headers.pop(lib.hdrs.CONTENT_LENGTH, None)
    else:
        for part in mpwriter:
            part.headers.pop(lib.hdrs.CONTENT_LENGTH, None)
    _, found = await receive(mpwriter)
    assert [("Content-Length" in headers, body) for headers, body in found] == [(False, b"hello"), (False, b"bytes")]


FIELD_STORAGE = """\
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
import cgi, json, sys

form = cgi.FieldStorage(
    fp=sys.stdin.buffer,
    headers={"content-type": sys.argv[1], "content-length": sys.argv[2]},
    environ={"REQUEST_METHOD": "POST"},
    keep_blank_values=True,
)
def text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else value
json.dump([[item.name, item.filename, item.type, text(item.value)] for item in form.list], sys.stdout)
"""


def field_storage(content_type: str, body: bytes) -> list[Any]:
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FIELD_STORAGE, content_type, str(len(body))],
        input=body,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    return json.loads(run.stdout)


needs_cgi = pytest.mark.skipif(sys.version_info >= (3, 13), reason="the standard library has no cgi any more")


@needs_cgi
async def test_hacking_field_storage(lib: ModuleType) -> None:
    """A part with a Content-Length is where ``cgi.FieldStorage`` goes wrong; so it has none."""
    with lib.MultipartWriter("form-data") as mpwriter:
        mpwriter.append("text of the field").set_content_disposition("form-data", name="field")
        part = mpwriter.append(io.BytesIO(b"\0\xff\r\n--not the end\r\n"), {"Content-Type": "image/gif"})
        part.set_content_disposition("form-data", name="file", filename="a.gif")
    for part in mpwriter:
        (part[0] if lib is aiohttp else part).headers.pop(lib.hdrs.CONTENT_LENGTH, None)
    body = await mpwriter.as_bytes()
    assert b"content-length" not in body.lower()
    assert field_storage(mpwriter.headers["Content-Type"], body) == [
        ["field", None, "text/plain", "text of the field"],
        ["file", "a.gif", "image/gif", "\0\xff\r\n--not the end\r\n"],
    ]


@needs_cgi
async def test_field_storage_reads_a_form(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_bytes(bytes(range(256)))
    form = aiomultipart.FormData({"name": "Ünal", "empty": ""})
    with (tmp_path / "data.bin").open("rb") as file:
        form.add_field("upload", file)
        body = form()
        found = field_storage(body.content_type, await body.as_bytes())
    assert found == [
        ["name", None, "text/plain", "Ünal"],
        ["empty", None, "text/plain", ""],
        ["upload", "data.bin", "application/octet-stream", bytes(range(256)).decode("latin-1")],
    ]


async def test_hacking_the_size_by_way_of_a_buffer(lib: ModuleType, receive, tmp_path: Path) -> None:
    class Writer:
        def __init__(self) -> None:
            self.buffer = bytearray()

        async def write(self, data: bytes) -> None:
            self.buffer.extend(data)

        async def drain(self) -> None:
            pass

        async def write_eof(self) -> None:
            pass

    (tmp_path / "notes.txt").write_text("notes\n" * 1000)
    mpwriter = lib.MultipartWriter("mixed")
    mpwriter.append("hello")
    mpwriter.append(io.BytesIO(b"compress me" * 100), {"Content-Encoding": "gzip"})
    with (tmp_path / "notes.txt").open("rb") as file:
        mpwriter.append(file)
        writer = Writer()
        await mpwriter.write(writer)
    # aiohttp warns about large bytearrays only.
    headers, found = await receive(bytes(writer.buffer), headers=mpwriter.headers)
    assert headers["Content-Length"] == str(len(writer.buffer))
    assert bodies(found) == [b"hello", b"compress me" * 100, (tmp_path / "notes.txt").read_bytes()]


async def test_the_buffer_as_the_page_has_it() -> None:
    """The documentation's Writer has no ``drain()`` and no ``write_eof()``."""

    class Writer:
        def __init__(self) -> None:
            self.buffer = bytearray()

        async def write(self, data: bytes) -> None:
            self.buffer.extend(data)

    writer = Writer()
    mpwriter = aiomultipart.MultipartWriter("mixed")
    mpwriter.append("hello")
    await mpwriter.write(writer)
    assert writer.buffer == await mpwriter.as_bytes()


async def test_a_request_is_repeated_without_rewinding_by_hand(receive, tmp_path: Path) -> None:
    """aiohttp's documentation says that there is no way; here the writer rewinds."""
    (tmp_path / "a.txt").write_bytes(b"contents of the file")
    mpwriter = aiomultipart.MultipartWriter("mixed")
    with (tmp_path / "a.txt").open("rb") as file:
        mpwriter.append(file)
        for _ in range(3):
            assert bodies((await receive(mpwriter))[1]) == [b"contents of the file"]


async def test_the_response_of_a_server(lib: ModuleType, serve, session) -> None:
    async def handler(request: web.Request) -> web.Response:
        mpwriter = lib.MultipartWriter("mixed")
        mpwriter.append("hello")
        mpwriter.append_json({"test": "passed"})
        return web.Response(body=mpwriter)

    async with session.get(await serve(handler)) as response:
        assert response.content_type == "multipart/mixed"
        assert bodies(await tree(aiohttp.MultipartReader.from_response(response))) == [b"hello", b'{"test": "passed"}']


def test_the_import_is_what_does_it() -> None:
    """Without the integration the writer raises, in a process of its own; it never goes out as octet-stream."""
    program = """\
    import asyncio
    import aiohttp
    from aiohttp import web
    import aiomultipart

    async def main():
        got = []

        async def handler(request):
            got.append(request.content_type)
            await request.read()
            return web.Response()

        try:
            response = web.Response(body=aiomultipart.MultipartWriter("mixed"))
        except TypeError as error:
            print("TypeError", "aiomultipart.integrations.aiohttp" in str(error))
        else:
            print(response.content_type)

        app = web.Application()
        app.router.add_post("/", handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = "http://%s:%d/" % runner.addresses[0][:2]
        try:
            async with aiohttp.ClientSession() as session:
                for make in bodies:
                    writer = aiomultipart.MultipartWriter("mixed")
                    writer.append("hello")
                    try:
                        async with session.post(url, data=make(writer)):
                            pass
                    except TypeError as error:
                        print("TypeError", "aiomultipart.integrations.aiohttp" in str(error))
                    else:
                        print(got.pop())
        finally:
            await runner.cleanup()

    bodies = [lambda writer: writer, lambda writer: aiomultipart.FormData({"a": b"b"})()]
    bodies.append(lambda writer: aiomultipart.FormData({"a": "b"})())
    asyncio.run(main())
    import aiomultipart.integrations.aiohttp
    asyncio.run(main())
    """
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        cwd=ROOT,
        timeout=60,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[:3] == ["TypeError True"] * 3
    assert lines[3].startswith("TypeError") or lines[3] == "application/x-www-form-urlencoded"
    assert lines[4:] == [
        "multipart/mixed",
        "multipart/mixed",
        "multipart/form-data",
        "application/x-www-form-urlencoded",
    ]
