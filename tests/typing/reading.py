"""Types of reading, as type checkers see them; nothing here is run."""

from __future__ import annotations

from typing import assert_type

import aiohttp
import httpx

from aiomultipart import BodyPartReader, MultipartReader, MultipartResponseWrapper


async def responses(by_aiohttp: aiohttp.ClientResponse, by_httpx: httpx.Response) -> None:
    assert_type(MultipartReader.from_response(by_aiohttp), MultipartResponseWrapper)
    assert_type(MultipartReader.from_response(by_httpx), MultipartResponseWrapper)


async def parts(reader: MultipartReader, response: aiohttp.ClientResponse) -> None:
    assert_type(await reader.next(), BodyPartReader | MultipartReader | None)
    async for part in reader:
        assert_type(part, BodyPartReader | MultipartReader)
        if isinstance(part, BodyPartReader):
            assert_type(await part.text(), str)
    # Who wants no readers of nested messages, but what is in them
    async for leaf in reader.walk():
        assert_type(leaf, BodyPartReader)
    async with MultipartReader.from_response(response) as wrapper:
        assert_type(wrapper, MultipartResponseWrapper)
        assert_type([leaf.name async for leaf in wrapper.walk()], list[str | None])
