"""Sending a received body part on; what one is, is said by a protocol, and the package registers those that it has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from .payloads.base import Payload
from .sinks import closing

__all__ = ("BodyPartReaderPayload", "ReceivedBody")


class ReceivedBody(Protocol):
    """A body part as it arrives."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its header fields, case-insensitive."""

    @property
    def name(self) -> str | None:
        """The ``name`` of its Content-Disposition."""

    @property
    def filename(self) -> str | None:
        """The ``filename`` of its Content-Disposition."""

    def iter_chunks(self) -> AsyncIterator[bytes]:
        """The decoded body."""


class BodyPartReaderPayload(Payload):
    """A received part, decoded and sent on as it arrives; it keeps its Content-Type, name and file name.

    It can be sent once, and only while its reader has not moved on.
    """

    _value: ReceivedBody

    def __init__(self, value: ReceivedBody, *args: Any, **kwargs: Any) -> None:
        if "Content-Type" in value.headers:
            kwargs.setdefault("content_type", value.headers["Content-Type"])
        super().__init__(value, *args, **kwargs)
        if self.disposition is None:
            params = {"name": value.name, "filename": value.filename}
            if params != {"name": None, "filename": None}:
                received = value.headers.get("Content-Disposition", "").lstrip().lower()
                disptype = "form-data" if received.startswith("form-data") else "attachment"
                given = {name: text for name, text in params.items() if text is not None}
                self.set_content_disposition(disptype, True, "utf-8", **given)

    def _once(self) -> bool:
        return True

    async def chunks(self) -> AsyncIterator[bytes]:
        """The decoded body."""
        self._consumed = True
        async with closing(self._value.iter_chunks()) as chunks:
            async for chunk in chunks:
                yield chunk
                del chunk  # or it would be kept while the next one is made
