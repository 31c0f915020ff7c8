"""Undoing the codings of a part while it is read."""

from __future__ import annotations

from aiomultipart.codecs import Codec
from aiomultipart.exceptions import MultipartError
from aiomultipart.parser import PART_END, Event, PartBegin
from aiomultipart.work import Jobs, Pump

from .body import Pieces

__all__ = ("DecodedBody",)


class DecodedBody(Pieces):
    """The decoded body of one part, in pieces of at most 64 KiB: the one loop that undoes codings with asyncio."""

    __slots__ = ("_begin", "_codec", "_pump", "_raw")

    def __init__(self, raw: Pieces, codec: Codec, jobs: Jobs, begin: PartBegin) -> None:
        """Decode what ``raw`` gives; it is not asked for anything once the codec has been told of the end.

        :param jobs: knows of the thread.
        :param begin: what the part was begun with, for errors.
        """
        super().__init__()
        self._raw = raw
        self._codec = codec
        self._pump = Pump(codec.read, jobs)
        self._begin = begin

    async def fill(self) -> tuple[Event]:
        """Await one piece more, or the end.

        :raises MultipartError: the body does not decode, or the message is bad.
        """
        codec, raw = self._codec, self._raw
        while True:
            try:
                piece: Event = await self._pump.next()
            except MultipartError as exc:
                exc.part_index, exc.part_name = self._begin.index, self._begin.name
                raise
            if not piece and codec.at_eof:
                piece = PART_END
            if piece:
                self.events.append(piece)
                return (piece,)
            data = await raw.receive()
            if data is not None:
                codec.feed_data(data)
            if raw.at_end:
                codec.feed_eof()

    async def drop(self) -> None:
        """Nobody wants the rest; wait for the thread, if one is at work."""
        self.events.clear()
        self.events.append(PART_END)
        await self._pump.finish()
