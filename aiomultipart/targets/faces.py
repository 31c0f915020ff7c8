"""The two faces of the targets here: coroutines for a loop, and the same as plain methods for where there is none.

A target does its work in plain code. :class:`Quick` is for what never takes long, so that the coroutines do it on the
loop; :class:`Threaded` for what blocks, which they leave to a thread, some 1 MiB at a time. What stands around others,
targets or functions, is :class:`Awaiting`: coroutines, which never wait where those others do not.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from inspect import isawaitable
from typing import Any, Generic, TypeVar

from aiomultipart.exceptions import StateError

from .base import ReceivedPart
from .hops import Outbox, Worker

__all__ = ("Awaiting", "OnePart", "Quick", "Threaded", "run_inline")

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Stage(enum.Enum):
    NEW = "has not been started"
    OPEN = "is being written"
    DONE = "is finished"


class OnePart:
    """Base of the targets here: it holds the order of the calls, of either face."""

    _stage = _Stage.NEW

    def check_sync(self) -> None:
        """Whether it can do without an event loop.

        :raises TypeError: it cannot.
        """

    def _start(self) -> None:
        if self._stage is not _Stage.NEW:
            raise StateError(f"a {type(self).__name__} is for one part, and this one has had its own")
        self._stage = _Stage.OPEN

    def _check(self) -> None:
        if self._stage is not _Stage.OPEN:
            raise StateError(f"this {type(self).__name__} {self._stage.value}")

    def _finish(self) -> None:
        self._check()
        self._stage = _Stage.DONE

    def _abort(self) -> bool:
        """Whether there may be something to drop."""
        started = self._stage is not _Stage.NEW
        self._stage = _Stage.DONE
        return started


class Quick(OnePart, Generic[T_co]):
    """A target whose work never takes long."""

    def _open(self, part: ReceivedPart) -> None:
        """Get ready for ``part``."""

    def _write(self, data: bytes) -> None:
        """Take ``data``."""
        raise NotImplementedError

    def _close(self) -> T_co:
        """Complete it."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Drop what there is."""

    async def start(self, part: ReceivedPart) -> None:
        """Get ready."""
        self.start_sync(part)

    async def write(self, data: bytes) -> None:
        """Take ``data``."""
        self.write_sync(data)

    async def finish(self) -> T_co:
        """The result."""
        return self.finish_sync()

    async def abort(self) -> None:
        """Drop what there is."""
        self.abort_sync()

    def start_sync(self, part: ReceivedPart) -> None:
        """As :meth:`start`."""
        self._start()
        self._open(part)

    def write_sync(self, data: bytes) -> None:
        """As :meth:`write`."""
        self._check()
        self._write(data)

    def finish_sync(self) -> T_co:
        """As :meth:`finish`."""
        self._finish()
        return self._close()

    def abort_sync(self) -> None:
        """As :meth:`abort`."""
        if self._abort():
            self._drop()


class Threaded(OnePart, Generic[T_co]):
    """A target whose work blocks."""

    def __init__(self) -> None:
        self._worker = Worker()
        self._outbox = Outbox(self._worker)

    def _prepare(self, part: ReceivedPart) -> None:
        """What has to be done for ``part`` before :meth:`_open`, on the loop."""

    def _open(self) -> None:
        """Get ready."""

    def _write(self, pieces: Sequence[bytes]) -> None:
        """Take ``pieces``."""
        raise NotImplementedError

    def _close(self) -> T_co:
        """Complete it."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Drop what there is."""

    async def start(self, part: ReceivedPart) -> None:
        """Begin to get ready. What that raises comes from the call that follows."""
        self._start()
        self._prepare(part)
        self._worker.begin(self._open)  # not waited for: bytes may arrive meanwhile

    async def write(self, data: bytes) -> None:
        """Take ``data``.

        :raises OSError: earlier work failed.
        """
        self._check()
        await self._outbox.write(data, self._write)

    async def finish(self) -> T_co:
        """Do the rest.

        :return: the result.
        """
        self._finish()
        await self._worker.wait()
        return await self._worker.run(self._write_and_close, self._outbox.take())

    def _write_and_close(self, pieces: Sequence[bytes]) -> T_co:
        if pieces:
            self._write(pieces)
        return self._close()

    async def abort(self) -> None:
        """Drop what there is, when the thread is done."""
        if self._abort():
            await self._worker.settle()
            await self._worker.run(self._drop)

    def start_sync(self, part: ReceivedPart) -> None:
        """As :meth:`start`; what it raises comes at once."""
        self._start()
        self._prepare(part)
        self._open()

    def write_sync(self, data: bytes) -> None:
        """As :meth:`write`."""
        self._check()
        self._write([data])

    def finish_sync(self) -> T_co:
        """As :meth:`finish`."""
        self._finish()
        return self._close()

    def abort_sync(self) -> None:
        """As :meth:`abort`."""
        if self._abort():
            self._drop()


class Awaiting(OnePart, ABC, Generic[T_co]):
    """A target whose coroutines wait only for those of others. Without a loop they do not wait at all."""

    _has_loop = True

    @abstractmethod
    async def start(self, part: ReceivedPart) -> None:
        """Get ready."""

    @abstractmethod
    async def write(self, data: bytes) -> None:
        """Take ``data``."""

    @abstractmethod
    async def finish(self) -> T_co:
        """The result."""

    @abstractmethod
    async def abort(self) -> None:
        """Drop what there is."""

    async def _awaited(self, result: Any) -> Any:
        """``result`` of a function, or what it gives when it is awaited."""
        if not isawaitable(result):
            return result
        if self._has_loop:
            return await result
        if isinstance(result, Coroutine):
            result.close()
        raise TypeError(f"a function of a {type(self).__name__} gave an awaitable, and there is no event loop")

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        self._has_loop = False
        try:
            return run_inline(coroutine)
        finally:
            self._has_loop = True

    def start_sync(self, part: ReceivedPart) -> None:
        """As :meth:`start`."""
        self._run(self.start(part))

    def write_sync(self, data: bytes) -> None:
        """As :meth:`write`."""
        self._run(self.write(data))

    def finish_sync(self) -> T_co:
        """As :meth:`finish`."""
        return self._run(self.finish())

    def abort_sync(self) -> None:
        """As :meth:`abort`."""
        self._run(self.abort())


def run_inline(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine returns that never waits.

    :raises TypeError: it does.
    """
    try:
        coroutine.send(None)
    except StopIteration as exc:
        result: T = exc.value
        return result
    coroutine.close()
    raise TypeError("a target waits, and there is no event loop")
