"""How a message arrives in aiohttp's own stream: as soon as there is room for it, as from a transport."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol


class _Arrival(BaseProtocol):
    def __init__(self, chunks: Iterable[bytes], window: int) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(loop)
        self.stream = StreamReader(self, window, loop=loop)
        self._chunks = iter(chunks)
        self._feed()

    def _feed(self) -> None:
        for chunk in self._chunks:
            self.stream.feed_data(chunk)
            if self._reading_paused:
                return
        if not self.stream.is_eof():
            self.stream.feed_eof()

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self, resume_parser: bool = True) -> None:
        if self._reading_paused:
            self._reading_paused = False
            self._feed()


def arriving(chunks: Iterable[bytes], window: int) -> StreamReader:
    """A stream that has ``chunks`` coming, and takes no more of them than ``window`` bytes allow."""
    return _Arrival(chunks, window).stream
