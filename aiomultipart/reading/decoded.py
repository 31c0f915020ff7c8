"""Undoing the codings of a part while it is read: on the event loop for a little, in a thread for much."""

from __future__ import annotations

import asyncio
from collections import deque

from aiomultipart.codecs import Codec
from aiomultipart.exceptions import MultipartError

from .levels import PartSource

__all__ = ("INLINE", "PIECE", "DecodedBody", "decode_some")

PIECE = 64 * 1024
"""The largest decoded piece, in bytes."""

INLINE = 512 * 1024
"""Decoded bytes that one piece of input may give on the event loop: some 1.5 ms of gzip. 64 KiB of compressed text give
less, and a hop for each of them would take a fifth of the time."""

# What it gives beyond that is decoded in a thread, this much at a time, so that a hop (35 to 125 us) is worth its
# while.
_HOP = 256 * 1024


class DecodedBody:
    """The decoded body of one part.

    A job in a thread that is not waited for any more, because its reader was cancelled, is left to the next call.
    """

    __slots__ = ("_codec", "_decoded", "_inline", "_job", "_source")

    def __init__(self, source: PartSource, codec: Codec) -> None:
        self._source = source
        self._codec = codec
        self._decoded: deque[bytes] = deque()  # what was decoded and not used yet
        self._inline = 0
        self._job: asyncio.Future[list[bytes]] | None = None

    async def receive(self) -> bytes | None:
        """The next decoded bytes, at most 64 KiB; None at the end.

        :raises MultipartError: the body does not decode, or the message is bad.
        """
        codec = self._codec
        while True:
            if self._job is not None:
                await self.finish()
            if self._decoded:
                return self._decoded.popleft()
            if self._inline >= INLINE:
                self._inline = 0
                loop = asyncio.get_running_loop()
                self._job = self._source.level.channel.start(loop.run_in_executor(None, decode_some, codec))
                continue
            try:
                piece = codec.read(PIECE)
            except MultipartError as exc:
                exc.part_index, exc.part_name = self._source.begin.index, self._source.begin.name
                raise
            if piece:
                self._inline += len(piece)
                return piece
            data = await self._source.receive()
            if codec.at_eof:
                return None
            self._inline = 0
            if data is not None:
                codec.feed_data(data)
            if self._source.at_eof():
                codec.feed_eof()

    def give_back(self, data: bytes) -> None:
        """Keep what was received last and not used; the next call gets it first."""
        self._decoded.extendleft(reversed([data[i : i + PIECE] for i in range(0, len(data), PIECE)]))

    async def finish(self) -> None:
        """Wait for the thread, if one is at work."""
        if self._job is not None:
            pieces = await self._source.level.channel.finish(self._job)
            self._job = None
            self._decoded.extend(pieces)


def decode_some(codec: Codec) -> list[bytes]:
    """In a thread: what the codec gives without more input, bounded. An error is kept by the codec."""
    pieces = []
    size = 0
    while size < _HOP:
        try:
            piece = codec.read(PIECE)
        except MultipartError:
            break
        if not piece:
            break
        size += len(piece)
        pieces.append(piece)
    return pieces
