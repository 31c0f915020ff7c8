"""The bodies of parts, their codings undone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from aiomultipart.codecs import decoder
from aiomultipart.exceptions import MultipartError
from aiomultipart.limits import Limits

from .failures import BadInput
from .tree import Found

__all__ = ("Body",)

_PIECE: Final = 64 * 1024


class Body:
    """What undoes the codings of a part, while it arrives.

    :param raw: leave them alone.
    :raises BadInput: a coding is not known.
    """

    def __init__(self, found: Found, limits: Limits, *, raw: bool) -> None:
        self._found = found
        try:
            codings = (None, None) if raw else (found.part.transfer_encoding, found.part.content_coding)
            self._codec = decoder(*codings, limits=limits)
        except MultipartError as exc:
            raise self._bad(exc) from exc

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes come to.

        :raises BadInput: they do not decode.
        """
        if self._codec is None:
            yield data
            return
        self._codec.feed_data(data)
        yield from self._decoded()

    def close(self) -> Iterator[bytes]:
        """What the end comes to; raises as :meth:`feed`."""
        if self._codec is not None:
            self._codec.feed_eof()
            yield from self._decoded()

    def _decoded(self) -> Iterator[bytes]:
        codec = self._codec
        try:
            while codec is not None and (data := codec.read(_PIECE)):
                yield data
        except MultipartError as exc:
            raise self._bad(exc) from exc

    def _bad(self, error: MultipartError) -> BadInput:
        name = self._found.part.name
        more = "" if name is None else f" ({name!r})"
        return BadInput(f"{error.message} [in part {self._found.path}{more}]", error)
