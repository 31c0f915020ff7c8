"""Types of byte ranges, as type checkers see them; nothing here is run."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import aiohttp
import httpx
from aiohttp import web
from starlette.responses import Response

from aiomultipart import BodyPartReader, ByteRanges, RangeAnswer, answer_ranges, byteranges, fetch_ranges
from aiomultipart.integrations import aiohttp as our_aiohttp
from aiomultipart.integrations import starlette as our_starlette


async def clients(session: aiohttp.ClientSession, client: httpx.AsyncClient, response: httpx.Response) -> None:
    pairs = [(0, 9), (20, 29)]
    assert_type(byteranges(response, ranges=pairs), ByteRanges)
    async with fetch_ranges(session, "http://server/", pairs) as parts:
        async for first_pos, last_pos, complete_length, part in parts:
            assert_type(first_pos, int)
            assert_type(last_pos, int | None)
            assert_type(complete_length, int | None)
            assert_type(part, BodyPartReader)
    async with fetch_ranges(client, "http://server/", [(0, None), (None, 5)], timeout=5) as parts:
        assert_type(parts, ByteRanges)


async def servers(request: web.Request) -> None:
    assert_type(await answer_ranges(request.headers, b"", etag='"a"'), RangeAnswer)
    responses: list[web.StreamResponse | Response] = [
        our_aiohttp.RangeResponse(Path("x"), content_type="text/plain", max_ranges=5),
        our_starlette.RangeResponse(b"", last_modified=1.5, headers={"A": "b"}),
    ]
    assert responses
