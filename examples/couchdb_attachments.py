"""Read documents and their attachments from one response, as CouchDB sends them.

A document is a JSON part. If it has attachments, it comes with them in a nested multipart/related message, in which it
is the first part. The example is the one of aiohttp's documentation under "Hacking Multipart": the same response is
read in a plain loop, and by a reader that gives pairs.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from aiomultipart import BodyPartReader, MultipartReader

BODY = """\
----:
Content-Type: application/json

{"_id": "foo"}
----:
Content-Type: multipart/related; boundary=----:

------:
Content-Type: application/json

{"_id": "bar"}
------:
Content-Type: text/plain
Content-Disposition: attachment; filename=bar.txt

bar! bar! bar!
------:--
----:
Content-Type: application/json

{"_id": "boo"}
----:
Content-Type: multipart/related; boundary=----:

------:
Content-Type: application/json

{"_id": "baz"}
------:
Content-Type: text/plain
Content-Disposition: attachment; filename=baz.txt

baz! baz! baz!
------:--
----:--
""".replace("\n", "\r\n").encode()


class PairsMultipartReader(MultipartReader):
    """Gives pairs: a document, and the reader of its attachments."""

    # A nested message is read by a plain reader.
    multipart_reader_cls = MultipartReader

    async def next(  # type: ignore[override]  # as aiohttp's documentation has it
        self,
    ) -> tuple[dict[str, Any], MultipartReader | BodyPartReader] | tuple[None, None]:
        """The next document and its attachments, or twice None."""
        reader = await super().next()
        if reader is None:
            return None, None
        part = await reader.next() if isinstance(reader, MultipartReader) else reader
        if not isinstance(part, BodyPartReader):
            raise TypeError("a related message begins with its document")
        return await part.json(), reader


async def read_plainly(response: aiohttp.ClientResponse) -> None:
    """Print what comes, in the order in which it comes."""
    async for part in MultipartReader.from_response(response):
        if isinstance(part, BodyPartReader):
            print("document", await part.json())
            continue
        print("document with attachments")
        async for inner in part:
            if isinstance(inner, BodyPartReader):
                print("   ", inner.filename or inner.content_type, await inner.read(decode=True))


async def read_in_pairs(response: aiohttp.ClientResponse) -> None:
    """Print each document with its attachments."""
    reader = PairsMultipartReader(response.headers, response.content)
    while True:
        document, attachments = await reader.next()
        if document is None:
            break
        print(f"document {document['_id']}")
        # A document that came alone has been read to its end; there is nothing after it.
        if isinstance(attachments, MultipartReader):
            async for part in attachments:
                if isinstance(part, BodyPartReader):
                    print(f"    {part.filename}: {await part.text()}")


async def answer(_request: web.Request) -> web.Response:
    """Send the documents."""
    return web.Response(body=BODY, headers={"Content-Type": "multipart/mixed; boundary=--:"})


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Run the server on a free port and give its URL."""
    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/"
    finally:
        await runner.cleanup()


async def main() -> None:
    """Read the same documents twice."""
    async with serving() as url, aiohttp.ClientSession() as session:
        print("In a plain loop:")
        async with session.get(url) as response:
            await read_plainly(response)
        print("\nIn pairs:")
        async with session.get(url) as response:
            await read_in_pairs(response)


if __name__ == "__main__":
    asyncio.run(main())
