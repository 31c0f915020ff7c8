"""Undoing the codings of a part while it is read."""

from __future__ import annotations

from collections import deque

from aiomultipart.codecs import Codec
from aiomultipart.exceptions import MultipartError
from aiomultipart.parser import PART_END, Event
from aiomultipart.work import Pump

from .body import Body, Pieces

__all__ = ("DecodedBody",)


class DecodedBody(Pieces):
    """The decoded body of one part, in pieces of at most 64 KiB."""

    def __init__(self, body: Body, codec: Codec) -> None:
        super().__init__(deque())
        self._body = body
        self._codec = codec
        self._pump = Pump(codec.read, body.cursor.message)

    async def fill(self) -> tuple[Event]:
        """Await one piece more, or the end.

        :raises MultipartError: the body does not decode, or the message is bad.
        """
        codec, body = self._codec, self._body
        while True:
            try:
                piece: Event = await self._pump.next()
            except MultipartError as exc:
                exc.part_index, exc.part_name = body.begin.index, body.begin.name
                raise
            if not piece and codec.at_eof:
                piece = PART_END
            if piece:
                self.events.append(piece)
                return (piece,)
            data = await body.receive()
            if data is not None:
                codec.feed_data(data)
            if body.at_eof():
                codec.feed_eof()

    async def finish(self) -> None:
        """Wait for the thread, if one is at work."""
        await self._pump.finish()
