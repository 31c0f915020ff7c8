"""The interface of a codec, what all codecs share, and two in a row. The rules are those of the package."""

from __future__ import annotations

import io
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import ClassVar, Final

from aiomultipart.exceptions import CodecError, LimitExceeded, MultipartError, StateError
from aiomultipart.limits import Limits

__all__ = ("Codec",)  # the rest is for the package

SLICE: Final = 64 * 1024  # the most that goes into a step, and that is asked of one
UNBOUNDED: Final = Limits(max_decoded_size=None, max_decode_ratio=None)


class Codec(ABC):
    """One direction of one coding (or of a transfer encoding and a content coding) for one body part."""

    @abstractmethod
    def feed_data(self, data: bytes) -> None:
        """Take input. Call it when :meth:`read` gave ``b""``; more than that is queued, however much it is.

        :raises StateError: after :meth:`feed_eof`.
        """

    @abstractmethod
    def feed_eof(self) -> None:
        """There will be no more input."""

    @abstractmethod
    def read(self, size: int) -> bytes:
        """From 1 to ``size`` bytes of output; ``b""``: more input is needed or, after :meth:`feed_eof`, that was all.

        :raises CodecError: the input is damaged or cut short.
        :raises LimitExceeded: a limit was passed; the output up to ``max_decoded_size`` has been handed out by then.
            Every call after an error raises the same error again.
        :raises ValueError: ``size`` is less than 1.
        """

    @property
    @abstractmethod
    def at_eof(self) -> bool:
        """Whether the input has ended without an error and :meth:`read` has given ``b""`` since."""

    def pieces(self) -> Iterator[bytes]:
        """All output that needs no more input, in pieces of at most 64 KiB; what it raises is that of :meth:`read`."""
        while piece := self.read(SLICE):
            yield piece

    def whole(self, data: bytes) -> bytes:
        """The output for an input that is all here; what it raises is that of :meth:`read`."""
        self.feed_data(data)
        self.feed_eof()
        return b"".join(self.pieces())


class Stage(Codec):
    """One coding in one direction. State starts at class level. What a subclass adds is ``_step`` and ``_finish``."""

    coding: ClassVar[str]  # named in errors, which encoders have none of

    _at_eof = False
    _eof = False  # of the input
    _finished = False
    _error: MultipartError | None = None  # raised as soon as the output before it has been handed out

    _slice = memoryview(b"")
    _slice_pos = 0
    _bite = SLICE  # the most of a slice to give to one step
    _dry = True  # the step has nothing more to give without input

    _never_grows = False  # whether there is never more output than input

    _raw = 0  # bytes of input, the current slice included
    _checkpoint = 0  # the offset that _raw must not cross
    _decoded = 0  # bytes of output
    _ceiling = 0  # what _decoded must not pass

    def __init__(self, limits: Limits = UNBOUNDED) -> None:
        self._limits = limits
        self._queue: deque[memoryview] = deque()
        self._out = io.BytesIO()  # of the last step

    def feed_data(self, data: bytes) -> None:
        if self._eof:
            raise StateError("feed_data() after feed_eof()")
        if data and self._error is None:
            self._queue.append(memoryview(bytes(data)))

    def feed_eof(self) -> None:
        self._eof = True

    @property
    def at_eof(self) -> bool:
        return self._at_eof

    def read(self, size: int) -> bytes:
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size}")
        while not (out := self._out.read(size)):
            if self._error is not None:
                raise self._error.fresh()
            try:
                if not self._advance():
                    self._at_eof = self._finished
                    break
            except MultipartError as exc:
                self._fail(exc.fresh())
                raise
        return out

    def _advance(self) -> bool:
        """One step, or the end. False: there is no input for it, or the end was before."""
        if self._dry and self._slice_pos == len(self._slice) and not self._next_slice():
            if self._finished or not self._eof:
                return False
            # The last word on the ratio: the exact size of the input.
            self._set_checkpoint(self._raw)
            self._finished = True
            self._put_out(self._finish())
            return True
        room = self._ceiling - self._decoded
        # Where the output must not grow any more, input goes in by single bytes and one byte is asked for: so no damage
        # further on is found together with the byte too many, whose presence decides.
        want = min(room, SLICE) or 1
        data = self._slice[self._slice_pos : self._slice_pos + (self._bite if room else 1)]
        out, used = self._step(data, want)
        self._slice_pos += used
        self._dry = used == len(data) and len(out) < want
        self._put_out(out)
        return True

    def _next_slice(self) -> bool:
        if not self._queue:
            return False
        if self._raw == self._checkpoint:
            self._set_checkpoint(self._raw + min(max(self._raw // 8, 32), SLICE))
        chunk, room = self._queue.popleft(), self._checkpoint - self._raw
        if len(chunk) > room:
            self._queue.appendleft(chunk[room:])
        self._slice, self._slice_pos = chunk[:room], 0
        self._raw += len(self._slice)
        return True

    def _set_checkpoint(self, raw: int) -> None:
        """Let the input up to the raw offset in, and reckon how much output it may have."""
        size, ratio = self._limits.max_decoded_size, self._limits.max_decode_ratio
        self._checkpoint, self._ceiling = raw, sys.maxsize if size is None else size
        if self._never_grows and (ratio is None or ratio >= 1):
            self._checkpoint = sys.maxsize
        elif ratio is not None:
            self._ceiling = min(self._ceiling, max(self._limits.decode_ratio_floor, ratio * raw))

    def _put_out(self, out: bytes) -> None:
        self._decoded += len(out)
        excess = self._decoded - self._ceiling
        if excess > 0:
            out = out[:-excess]
            limit, what = "max_decode_ratio", "times the size of its input"
            if self._ceiling == self._limits.max_decoded_size:
                limit, what = "max_decoded_size", "bytes of decoded body"
            value: int = getattr(self._limits, limit)
            self._fail(LimitExceeded(f"{self.coding}: more than {value} {what} ({limit})", limit=limit, value=value))
        self._out = io.BytesIO(out)

    def _fail(self, error: MultipartError) -> None:
        self._error = error
        self._queue.clear()
        self._slice = memoryview(b"")

    def _damaged(self, what: str) -> CodecError:
        return CodecError(f"{self.coding}: {what}", code="damaged-body")

    def _cut_short(self) -> CodecError:
        return CodecError(f"{self.coding}: cut short", code="body-cut-short")

    @abstractmethod
    def _step(self, data: memoryview, want: int) -> tuple[bytes, int]:
        """Output, ``want`` bytes of it if the coding can stop there, and how many bytes of ``data`` are done with.

        Less than ``want`` with all of ``data`` used says that there is no more until the next input. ``data`` may be
        empty. Either there is output, or some of ``data`` is used. The count is negative if the library gives back
        what it took from the same slice in an earlier step.
        """

    @abstractmethod
    def _finish(self) -> bytes:
        """The input is complete and drained: check that, and give the last output."""


class Chain(Codec):
    """``second`` applied to the output of ``first``."""

    _passed_eof = False

    def __init__(self, first: Codec, second: Codec) -> None:
        self._first, self._second = first, second

    def feed_data(self, data: bytes) -> None:
        self._first.feed_data(data)

    def feed_eof(self) -> None:
        self._first.feed_eof()

    def read(self, size: int) -> bytes:
        while not (out := self._second.read(size)) and not self._passed_eof:
            if data := self._first.read(SLICE):
                self._second.feed_data(data)
            elif self._first.at_eof:
                self._second.feed_eof()
                self._passed_eof = True
            else:
                break
        return out

    @property
    def at_eof(self) -> bool:
        return self._second.at_eof
