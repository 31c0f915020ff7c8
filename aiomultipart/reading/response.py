"""Responses of clients: what is read from them, and how they are given back."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from aiomultipart.exceptions import ParseError, StateError
from aiomultipart.grammar.fields import HeaderItems
from aiomultipart.parser import Defect
from aiomultipart.sources import ByteStream

from .walk import PartIterator

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

    from .part import BodyPartReader
    from .reader import MultipartReader

__all__ = ("MultipartResponseWrapper", "Response", "content_of", "named")

# How long the end of a response may take after that of the message, in seconds
_MOMENT = 0.1


class AiohttpResponse(Protocol):
    """What :meth:`MultipartReader.from_response` uses of an ``aiohttp.ClientResponse``."""

    # Any: its headers are an under_cached_property, and pyright compares that, not what it gives, with a property.
    @property
    def headers(self) -> Any: ...
    @property
    def content(self) -> ByteStream: ...
    def release(self) -> object: ...


class HttpxResponse(Protocol):
    """What :meth:`MultipartReader.from_response` uses of a streaming ``httpx.Response``."""

    @property
    def headers(self) -> HeaderItems: ...
    def aiter_bytes(self) -> AsyncIterator[bytes]: ...
    def aclose(self) -> Awaitable[None]: ...


Response: TypeAlias = AiohttpResponse | HttpxResponse


def content_of(response: Response) -> ByteStream:
    """What to read a response from.

    :raises TypeError: it is that of a synchronous client.
    """
    aiter_bytes = getattr(response, "aiter_bytes", None)
    # httpx has one class for both of its clients; only their streams differ.
    stream = getattr(response, "stream", None)
    sync = stream is not None and not hasattr(stream, "__aiter__") if aiter_bytes else not hasattr(response, "release")
    if sync:
        raise TypeError(
            "from_response() takes an aiohttp.ClientResponse or a streaming httpx.Response of an AsyncClient, not "
            f"{type(response).__module__}.{type(response).__qualname__} of a synchronous client: read that to its end, "
            "and give its headers and its content to MultipartReader"
        )
    return aiter_bytes() if aiter_bytes is not None else response.content  # type: ignore[union-attr]


def named(error: ParseError, response: Response) -> ParseError:
    """The error, saying which response it is about: one of another status is mostly another page."""
    status = getattr(response, "status", None) or getattr(response, "status_code", None)
    url = getattr(response, "url", None)
    if status is None and url is None:
        return error
    named = error.fresh()
    named.message = f"{error.message}; this is the response {status} of {_without_userinfo(url)}"
    named.args = (named.message,)
    return named


def _without_userinfo(url: object) -> str:
    from yarl import URL

    try:
        return str(URL(str(url)).with_user(None))
    except ValueError:
        return str(url)


class MultipartResponseWrapper(PartIterator):
    """A reader over a client's response, which is given back after the last part, and after an error.

    :param resp: the response.
    :param stream: the reader over its body.

    It has what a :class:`MultipartReader` has. The response is given back to its client once: when :meth:`next` returns
    None, by :meth:`release`, and by leaving ``async with``; and where :meth:`MultipartReader.from_response` has made
    it, when an error has ended the message, wherever that was raised.
    """

    def __init__(self, resp: Response, stream: MultipartReader) -> None:
        self.resp = resp
        self.stream = stream
        self._released = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.stream!r}>"

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The header fields of the response."""
        return self.stream.headers

    @property
    def defects(self) -> tuple[Defect, ...]:
        """As :attr:`MultipartReader.defects`."""
        return self.stream.defects

    @property
    def depth(self) -> int:
        """As :attr:`MultipartReader.depth`: 1."""
        return self.stream.depth

    @property
    def _at_eof(self) -> bool:
        return self.stream.at_eof()

    def at_eof(self) -> bool:
        """Whether :meth:`next` has returned None."""
        return self.stream.at_eof()

    async def next(self) -> BodyPartReader | MultipartReader | None:
        """As :meth:`MultipartReader.next`; at the end the response is released.

        It is given 0.1 seconds to end by itself, since only then can its connection be used again.
        """
        part = await self.stream.next()
        if part is None and not self._released:
            await self._reach_end()
            await self.release()
        return part

    async def fetch_next_part(self) -> BodyPartReader | MultipartReader:
        """As :meth:`MultipartReader.fetch_next_part`."""
        return await self.stream.fetch_next_part()

    async def _reach_end(self) -> None:
        """Read to the end of the response. The message is complete, so an error that comes now is of no interest."""
        with contextlib.suppress(Exception):  # whatever the client raises
            async with asyncio.timeout(_MOMENT):
                await self.stream.release()

    async def release(self) -> None:
        """Give the response back to its client, whether it was read to its end or not, and whatever closing raises.

        :raises StateError: another task is reading; nothing is given back then.
        """
        try:
            await self.stream.aclose()
        except StateError:
            raise
        except BaseException:
            await self.give_back()
            raise
        await self.give_back()

    aclose = release

    async def give_back(self) -> None:
        """Give the response back to its client, and leave the reader as it is."""
        if self._released:
            return
        close = getattr(self.resp, "aclose", None)
        result = close() if close is not None else self.resp.release()  # type: ignore[union-attr]
        if inspect.isawaitable(result):
            await result
        self._released = True
