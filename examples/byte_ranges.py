"""Read two photos out of an archive on a server, and fetch hardly more than those two.

A ZIP archive has its index at its end. So the last bytes are fetched first, then, by a second request, the ranges in
which the two photos are, which come as one multipart/byteranges message. The server, here in the same program, answers
with ranges of a file.

    python examples/byte_ranges.py
"""

import asyncio
import random
import tempfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from aiomultipart import fetch_ranges
from aiomultipart.integrations.aiohttp import RangeResponse

PHOTOS = 200
SIZE = 100_000
WANTED = ["photos/007.jpg", "photos/142.jpg"]
INDEX = 32 * 1024  # bytes in which the index will be


def make_archive(path: Path) -> None:
    """An archive of things that do not compress, as photos do not."""
    rng = random.Random(7)  # noqa: S311  (what they show does not matter)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(PHOTOS):
            archive.writestr(f"photos/{number:03}.jpg", b"\xff\xd8" + rng.randbytes(SIZE - 4) + b"\xff\xd9")


@asynccontextmanager
async def serve(path: Path) -> AsyncIterator[str]:
    """A server with the archive, and its URL."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return RangeResponse(path)

    app = web.Application()
    app.router.add_get("/photos.zip", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield "http://{}:{}/photos.zip".format(*runner.addresses[0][:2])
    finally:
        await runner.cleanup()


async def fetch_into(
    file: Path, session: aiohttp.ClientSession, url: str, ranges: list[tuple[int | None, int | None]]
) -> int:
    """Fetch ranges, and put each where it belongs in a file; how many bytes came."""
    fetched = 0
    async with fetch_ranges(session, url, ranges) as parts:
        async for first_pos, last_pos, complete_length, part in parts:
            print(f"    bytes {first_pos:>10,} to {last_pos:>10,} of {complete_length:,}")
            data = await part.read()
            with file.open("r+b") as whole:
                whole.seek(first_pos)
                whole.write(data)
            fetched += len(data)
    return fetched


async def main(directory: Path) -> None:
    """Make an archive, serve it, and read two photos of it."""
    original, copy = directory / "photos.zip", directory / "sparse.zip"
    await asyncio.to_thread(make_archive, original)
    copy.touch()
    async with serve(original) as url, aiohttp.ClientSession() as session:
        print("The index:")
        fetched = await fetch_into(copy, session, url, [(None, INDEX)])
        with zipfile.ZipFile(copy) as archive:
            begins = [*sorted(entry.header_offset for entry in archive.infolist()), archive.start_dir]
            entries = [archive.getinfo(name) for name in WANTED]
        print("The photos:")
        # Each ends where the next one begins.
        ranges = [(entry.header_offset, begins[begins.index(entry.header_offset) + 1] - 1) for entry in entries]
        fetched += await fetch_into(copy, session, url, list(ranges))
    with zipfile.ZipFile(copy) as archive:
        for name in WANTED:
            print(f"{name}: {len(archive.read(name)):,} bytes, and the checksum is right")
    print(f"Fetched {fetched:,} bytes of {original.stat().st_size:,}.")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(main(Path(name)))
