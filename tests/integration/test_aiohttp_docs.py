"""The reading flows of aiohttp's "Working with Multipart" run with nothing changed but the import.

``lib`` is that import: aiohttp itself shows that a flow is aiohttp's, and aiomultipart has to do the same.
"""

import base64
import gzip
import zlib
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import aiomultipart

SECRET = b"the secret " * 5000
SECRET_GZIPPED = base64.b64encode(gzip.compress(SECRET, mtime=0))
MORE = zlib.compress(b'{"more": [1, 2, 3]}', wbits=-zlib.MAX_WBITS)  # without the zlib header, as aiohttp has it
MESSAGE = b"\r\n".join(
    [
        b"--:",
        b"Content-Type: application/json",
        b"",
        b'{"title": "flows"}',
        b"--:",
        b"Content-Type: text/plain; charset=latin-1",
        b"Content-Transfer-Encoding: quoted-printable",
        b'Content-Disposition: attachment; filename="public.txt"',
        b"",
        b"caf=E9 =",
        b"au lait",
        b"--:",
        b"Content-Type: text/x-json",
        b"Content-Encoding: deflate",
        b"",
        MORE,
        b"--:",
        b"Content-Type: application/x-www-form-urlencoded",
        b"",
        b"key=value&empty=&sign=a%26b%3Dc",
        b"--:",
        b"Content-Type: application/octet-stream",
        b"Content-Encoding: gzip",
        b"Content-Transfer-Encoding: base64",
        b'Content-Disposition: attachment; filename="secret.txt"',
        b"",
        SECRET_GZIPPED,
        b"--:",
        b"Content-Type: multipart/related; boundary=inner",
        b"",
        b"--inner",
        b"Content-Type: text/plain",
        b"",
        b"first of the nested",
        b"--inner",
        b'Content-Disposition: attachment; filename="nested.bin"',
        b"Content-Length: 4",
        b"",
        b"\0\1\2\3",
        b"--inner--",
        b"",
        b"--:",
        b"Content-Type: text/plain",
        b"",
        b"the last",
        b"line",
        b"--:--",
        b"",
    ]
)

# The documents under "Hacking Multipart". There the boundary parameters have the dashes of the delimiter lines in them;
# on the wire a delimiter line is two dashes and the boundary.
DOCUMENTS = """\
--OUTER
CONTENT-TYPE: application/json

{"_id": "foo"}
--OUTER
CONTENT-TYPE: multipart/related; boundary=INNER

--INNER
CONTENT-TYPE: application/json

{"_id": "bar"}
--INNER
CONTENT-TYPE: text/plain
CONTENT-DISPOSITION: attachment; filename=bar.txt

bar! bar! bar!
--INNER--
GAP--OUTER
CONTENT-TYPE: application/json

{"_id": "boo"}
--OUTER
CONTENT-TYPE: multipart/related; boundary=INNER

--INNER
CONTENT-TYPE: application/json

{"_id": "baz"}
--INNER
CONTENT-TYPE: text/plain
CONTENT-DISPOSITION: attachment; filename=baz.txt

baz! baz! baz!
--INNER--
GAP--OUTER--
"""


def documents(outer: str, inner: str, gap: str = "\n") -> bytes:
    """The documents on the wire; without the gap aiohttp loses its way after a nested message."""
    text = DOCUMENTS.replace("OUTER", outer).replace("INNER", inner).replace("GAP", gap)
    return text.replace("\n", "\r\n").encode()


BOUNDARIES = pytest.mark.parametrize(
    ("outer", "inner"), [(":", "--:"), ("--:", "----:")], ids=["as in the lines", "as in the parameters"]
)
IN_A_LOOP = [
    [{"_id": "foo"}, b'{"_id": "bar"}', b"bar! bar! bar!"],
    [{"_id": "boo"}, b'{"_id": "baz"}', b"baz! baz! baz!"],
]
IN_PAIRS = [
    ({"_id": "foo"}, []),
    ({"_id": "bar"}, [b"bar! bar! bar!"]),
    ({"_id": "boo"}, []),
    ({"_id": "baz"}, [b"baz! baz! baz!"]),
]


@pytest.fixture(params=[aiohttp, aiomultipart], ids=lambda lib: lib.__name__)
def lib(request: pytest.FixtureRequest) -> ModuleType:
    return request.param


@pytest.fixture(params=["one piece", "7 bytes at a time"])
def piece(request: pytest.FixtureRequest) -> int | None:
    return 7 if request.param.startswith("7") else None


@pytest.fixture
def get(serve, session, piece):
    """Request a response of the given boundary and body."""

    async def get(boundary: str, body: bytes) -> aiohttp.ClientResponse:
        async def handler(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Type": f'multipart/mixed; boundary="{boundary}"'})
            await response.prepare(request)
            step = piece or len(body)
            for start in range(0, len(body), step):
                await response.write(body[start : start + step])
            return response

        return await session.get(await serve(handler))

    return get


async def test_filtering_by_headers_and_by_filename(lib: ModuleType, get) -> None:
    resp = await get(":", MESSAGE)
    reader = lib.MultipartReader.from_response(resp)

    metadata = None
    filedata = None
    while True:
        part = await reader.next()
        if part is None:
            break
        if part.headers[lib.hdrs.CONTENT_TYPE] == "application/json":
            metadata = await part.json()
            continue
        if part.filename != "secret.txt":
            continue
        filedata = await part.read(decode=False)
        raw = bytes(filedata)
        filedata = part.decode(filedata)
        break
    resp.close()

    assert metadata == {"title": "flows"}
    assert raw == SECRET_GZIPPED
    assert filedata == SECRET


async def test_the_helpers_undo_the_encodings(lib: ModuleType, get) -> None:
    reader = lib.MultipartReader.from_response(await get(":", MESSAGE))
    assert await (await reader.next()).json() == {"title": "flows"}
    text = await reader.next()
    assert text.filename == "public.txt"
    assert text.get_charset("utf-8") == "latin-1"
    assert await text.text() == "café au lait"
    assert await (await reader.next()).json() == {"more": [1, 2, 3]}
    assert await (await reader.next()).form() == [("key", "value"), ("empty", ""), ("sign", "a&b=c")]
    assert await (await reader.next()).read(decode=True) == SECRET
    nested = await reader.next()
    assert isinstance(nested, lib.MultipartReader)
    assert await (await nested.next()).text() == "first of the nested"
    last = await nested.next()
    assert (last.filename, await last.read()) == ("nested.bin", b"\0\1\2\3")
    assert await nested.next() is None
    assert await (await reader.next()).read() == b"the last\r\nline"
    assert not reader.at_eof()
    assert await reader.next() is None
    assert reader.at_eof()


async def test_reading_by_chunks_and_lines(lib: ModuleType, get) -> None:
    reader = lib.MultipartReader.from_response(await get(":", MESSAGE))
    bodies = []
    while (part := await reader.next()) is not None:
        if isinstance(part, lib.MultipartReader):
            await part.release()
            continue
        if part.filename == "secret.txt":
            whole = b""
            while not part.at_eof():
                whole += await part.read_chunk(100)
            bodies.append(gzip.decompress(base64.b64decode(whole)))
        elif part.filename == "public.txt":
            lines = []
            while line := await part.readline():
                lines.append(line)
            bodies.append([line.rstrip(b"\r\n") for line in lines])
        else:
            chunk = await part.read_chunk()
            pieces = [chunk]
            while chunk := await part.read_chunk(8192):
                pieces.append(chunk)
            bodies.append(b"".join(pieces))
    assert bodies == [
        b'{"title": "flows"}',
        [b"caf=E9 =", b"au lait"],
        MORE,
        b"key=value&empty=&sign=a%26b%3Dc",
        SECRET,
        b"the last\r\nline",
    ]


async def test_parts_that_are_not_wanted_are_skipped(lib: ModuleType, get) -> None:
    reader = lib.MultipartReader.from_response(await get(":", MESSAGE))
    seen = []
    async for part in reader:
        seen.append(type(part))
        if len(seen) == 2:
            await part.read_chunk(8)  # not all of it
    assert seen == [lib.BodyPartReader] * 5 + [lib.MultipartReader] + [lib.BodyPartReader]


async def test_release(lib: ModuleType, get) -> None:
    resp = await get(":", MESSAGE)
    reader = lib.MultipartReader.from_response(resp)
    part = await reader.next()
    await part.release()
    assert part.at_eof()
    assert (await reader.next()).filename == "public.txt"
    await reader.release()
    assert resp.connection is None


async def test_the_last_part_releases_the_response(lib: ModuleType, get) -> None:
    resp = await get(":", MESSAGE)
    reader = lib.MultipartReader.from_response(resp)
    while await reader.next() is not None:
        pass
    assert resp.connection is None


async def read_in_a_loop(lib: ModuleType, resp: aiohttp.ClientResponse) -> list[list[Any]]:
    reader = lib.MultipartReader.from_response(resp)
    result: list[list[Any]] = []
    while True:
        part = await reader.next()

        if part is None:
            break

        if isinstance(part, lib.MultipartReader):
            # Fetching files
            while True:
                filepart = await part.next()
                if filepart is None:
                    break
                result[-1].append(await filepart.read())

        else:
            # Fetching document
            result.append([(await part.json())])
    return result


async def read_in_pairs(lib: ModuleType, resp: aiohttp.ClientResponse) -> list[tuple[Any, list[bytes]]]:
    class PairsMultipartReader(lib.MultipartReader):
        # keep reference on the original reader
        multipart_reader_cls = lib.MultipartReader

        async def next(self):
            reader = await super().next()

            if self._at_eof:
                return None, None

            if isinstance(reader, self.multipart_reader_cls):
                part = await reader.next()
                doc = await part.json()
            else:
                doc = await reader.json()

            return doc, reader

    reader = PairsMultipartReader.from_response(resp)
    result = []
    while True:
        doc, files_reader = await reader.next()

        if doc is None:
            break

        files = []
        while True:
            filepart = await files_reader.next()
            if filepart is None:
                break
            files.append(await filepart.read())

        result.append((doc, files))
    return result


@BOUNDARIES
async def test_hacking_in_a_loop(lib: ModuleType, get, outer: str, inner: str) -> None:
    assert await read_in_a_loop(lib, await get(outer, documents(outer, inner))) == IN_A_LOOP


@BOUNDARIES
async def test_hacking_in_pairs(lib: ModuleType, get, outer: str, inner: str) -> None:
    assert await read_in_pairs(lib, await get(outer, documents(outer, inner))) == IN_PAIRS


@BOUNDARIES
async def test_hacking_the_page_as_it_stands(get, outer: str, inner: str) -> None:
    body = documents(outer, inner, gap="")
    assert await read_in_a_loop(aiomultipart, await get(outer, body)) == IN_A_LOOP
    assert await read_in_pairs(aiomultipart, await get(outer, body)) == IN_PAIRS


async def test_own_part_class(lib: ModuleType, get) -> None:
    class Shouting(lib.BodyPartReader):
        async def text(self, *, encoding: str | None = None) -> str:
            return (await super().text(encoding=encoding)).upper()

    class Reader(lib.MultipartReader):
        part_reader_cls = Shouting

    reader = Reader.from_response(await get(":", MESSAGE))
    texts = [
        await part.text()
        async for part in reader
        if isinstance(part, lib.BodyPartReader) and part.filename == "public.txt"
    ]
    assert texts == ["CAFÉ AU LAIT"]
