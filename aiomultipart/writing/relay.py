"""Sending a received body part on: where reading and writing meet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiomultipart import hdrs
from aiomultipart.grammar.disposition import format_disposition
from aiomultipart.reading.part import BodyPartReader

from .payloads.registry import Order, Payload, payload_type
from .sinks import closing

__all__ = ("BodyPartReaderPayload",)


@payload_type(BodyPartReader, order=Order.try_first)
class BodyPartReaderPayload(Payload):
    """A received part, decoded and sent on as it arrives; it keeps its Content-Type, name and file name.

    It can be sent once, and only while its reader has not moved on.
    """

    _value: BodyPartReader

    def __init__(self, value: BodyPartReader, *args: Any, **kwargs: Any) -> None:
        if hdrs.CONTENT_TYPE in value.headers:
            kwargs.setdefault("content_type", value.headers[hdrs.CONTENT_TYPE])
        super().__init__(value, *args, **kwargs)
        if hdrs.CONTENT_DISPOSITION not in self.headers:
            names = {"name": value.name, "filename": value.filename}
            params = {key: text for key, text in names.items() if text is not None}
            if params:
                received = value.headers.get(hdrs.CONTENT_DISPOSITION, "").lstrip().lower()
                disptype = "form-data" if received.startswith("form-data") else "attachment"
                self.headers[hdrs.CONTENT_DISPOSITION] = format_disposition(disptype, params)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The decoded body."""
        self._consumed = True
        async with closing(self._value.iter_chunks()) as chunks:
            async for chunk in chunks:
                yield chunk
                del chunk  # or it would be kept while the next one is made
