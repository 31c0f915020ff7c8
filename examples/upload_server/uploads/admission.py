"""Who may upload now: so many at a time, and so often for each client."""

from __future__ import annotations

import contextlib
import ipaddress
import math
import time
from collections.abc import AsyncIterator

import limits.aio

from .refusals import Refused

__all__ = ("Admission", "client_key")


class Admission:
    """Counts uploads.

    :param max_uploads: how many at a time.
    :param rate: how many may begin for each client, such as ``120/minute``; empty for no bound.
    :ivar uploads: how many are under way.
    :raises ValueError: ``rate`` cannot be read.
    """

    def __init__(self, *, max_uploads: int, rate: str) -> None:
        self.uploads = 0
        self._max_uploads = max_uploads
        self._rate = limits.parse(rate) if rate else None
        self._windows = limits.aio.strategies.SlidingWindowCounterRateLimiter(limits.aio.storage.MemoryStorage())

    @contextlib.asynccontextmanager
    async def admit(self, client: str) -> AsyncIterator[None]:
        """Count one upload of ``client``.

        :raises Refused: 429.
        """
        if self.uploads >= self._max_uploads:
            raise Refused(429, f"{self.uploads} uploads are under way; try again shortly", retry_after=2)
        self.uploads += 1
        try:
            if self._rate is not None and not await self._windows.hit(self._rate, client):
                window = await self._windows.get_window_stats(self._rate, client)
                seconds = max(1, math.ceil(window.reset_time - time.time()))
                raise Refused(429, f"more than {self._rate}", retry_after=seconds)
            yield
        finally:
            self.uploads -= 1


def client_key(host: str | None) -> str:
    """Who counts as one client: an IPv4 address, or a network of IPv6, where everybody has 2**64 addresses."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return host or "local"
    if address.version == 6 and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address.ipv4_mapped or address) if address.version == 6 else str(address)
