"""Types of reading, as type checkers see them; nothing here is run."""

from __future__ import annotations

from typing import Any, assert_type

import aiohttp
import httpx

from aiomultipart import BodyPartReader, MultipartReader, MultipartResponseWrapper


async def responses(by_aiohttp: aiohttp.ClientResponse, by_httpx: httpx.Response) -> None:
    assert_type(MultipartReader.from_response(by_aiohttp), MultipartResponseWrapper)
    assert_type(MultipartReader.from_response(by_httpx), MultipartResponseWrapper)


async def parts(reader: MultipartReader) -> None:
    # Who expects no nested message need not ask; who does can.
    assert_type(await reader.next(), BodyPartReader | Any | None)
    async for part in reader:
        assert_type(await part.text(), str | Any)
        if isinstance(part, MultipartReader):
            assert_type(await part.release(), None)
