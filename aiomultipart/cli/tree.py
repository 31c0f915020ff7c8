"""A message read as a tree: push parsers, stacked, the outermost one fed with what arrives.

A nested message that is bad ends by itself: the part that it is has the error, and the message around it goes on.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from aiomultipart.exceptions import MultipartError
from aiomultipart.parser import PART_END, Event, PartBegin, PushMultipartParser

from .failures import BadInput

__all__ = ("Found", "Level", "Step", "Steps", "Tree", "anything", "explain")


class Level:
    """One multipart message: the one that is read, or one that is a part of it.

    :ivar offset: of its body in the file.
    :ivar path: of the part that it is, with a dot after it; empty for the outermost.
    :ivar found: the part that was begun last, None once that has ended.
    """

    __slots__ = ("_newline", "found", "is_closing", "offset", "parser", "path")

    def __init__(self, parser: PushMultipartParser, offset: int, path: str = "") -> None:
        self.parser: PushMultipartParser = parser
        self.offset: int = offset
        self.path: str = path
        self.found: Found | None = None
        self.is_closing: bool = False
        self._newline = 0

    @property
    def newline(self) -> int:
        """How long a line end is in it, which its first delimiter line has shown."""
        if not self._newline:
            self._newline = 1 if any(defect.kind == "line-feed-only" for defect in self.parser.defects) else 2
        return self._newline


class Found:
    """A body part.

    :ivar path: the index of each part that leads to it, joined with dots: ``1.0``.
    :ivar offset: of its header block in the file.
    :ivar body_offset: of its body in the file.
    :ivar size: of its body, so far.
    :ivar level: the message that it is in.
    :ivar inner: the message that it is, if it is read as one.
    :ivar error: what is wrong with that.
    :ivar is_whole: whether it has ended where it should.
    """

    __slots__ = ("body_offset", "error", "inner", "is_whole", "level", "offset", "part", "path", "size")

    def __init__(self, part: PartBegin, level: Level) -> None:
        self.part: PartBegin = part
        self.level: Level = level
        self.path: str = f"{level.path}{part.index}"
        self.offset: int = level.offset + part.offset
        newline = level.newline
        lines = part.raw.count(b"\r\n") + 1 if part.raw else 0
        self.body_offset: int = self.offset + len(part.raw) - lines * (2 - newline) + (2 if part.raw else 0) + newline
        self.size: int = 0
        self.inner: Level | None = None
        self.error: MultipartError | None = None
        self.is_whole: bool = False


class Step(enum.Enum):
    """What happens next."""

    BEGIN = "begin"
    DATA = "data"
    """Of a leaf; what a nested message is made of comes as its parts."""
    END = "end"


Steps: TypeAlias = Iterator[tuple[Step, Found, bytes]]


def anything(_found: Found) -> bool:
    """Whatever it is."""
    return True


class Tree:
    """Reads a message, and all messages in it.

    :param parser: of the outermost.
    :param offset: of its body in the file.
    :param enter: whether to read a part that is a message as one.
    :ivar levels: the messages that are open, the innermost last.
    :ivar error: the first error of a nested message, with what to say of it.
    """

    def __init__(
        self, parser: PushMultipartParser, offset: int = 0, *, enter: Callable[[Found], bool] = anything
    ) -> None:
        self.root: Level = Level(parser, offset)
        self.error: BadInput | None = None
        self.levels: list[Level] = [self.root]
        self._enter = enter

    def feed(self, data: bytes) -> Steps:
        """What the next bytes come to.

        :raises BadInput: the outermost message is bad. Parts that have begun end before that, not whole.
        """
        return self._run(_events(self.root, data))

    def close(self) -> Steps:
        """What the end of the input comes to; raises as :meth:`feed`."""
        return self._run(_events(self.root, None))

    def _run(self, events: Iterator[Event]) -> Steps:
        levels = self.levels
        work = [events]  # of each level that is being fed, the innermost last
        while work:
            level = levels[len(work) - 1]
            try:
                event = next(work[-1], None)
            except MultipartError as exc:
                yield from self._fail(len(work) - 1, exc)
                work.pop()
                event = None
                if work:
                    level = levels[len(work) - 1]
            else:
                if event is None:
                    work.pop()
                    if work:
                        level = levels[len(work) - 1]
            found = level.found
            if event is None:
                if work and level.is_closing:
                    level.is_closing = False
                    yield from self._end(level)
            elif isinstance(event, PartBegin):
                found = level.found = Found(event, level)
                self._open(found)
                yield Step.BEGIN, found, b""
            elif found is None:
                pass  # END
            elif type(event) is bytes:
                found.size += len(event)
                if found.inner is None:
                    yield Step.DATA, found, event
                elif found.error is None:
                    work.append(_events(found.inner, event))
            elif event is PART_END:
                if found.inner is not None and found.error is None:
                    level.is_closing = True
                    work.append(_events(found.inner, None))
                else:
                    yield from self._end(level)

    def _open(self, found: Found) -> None:
        part = found.part
        # A form part with a file name is a file, whatever it is made of.
        if part.boundary is None or (part.form_data and part.filename is not None) or not self._enter(found):
            return
        try:
            parser = found.level.parser.nested(part)
        except MultipartError as exc:
            self._blame(found, found.level, exc)
        else:
            found.inner = Level(parser, found.body_offset, f"{found.path}.")
            self.levels.append(found.inner)

    def _end(self, level: Level) -> Steps:
        found, level.found = level.found, None
        if found is not None:
            del self.levels[self.levels.index(level) + 1 :]
            found.is_whole = found.error is None
            yield Step.END, found, b""

    def _fail(self, depth: int, error: MultipartError) -> Steps:
        """The message at ``depth`` is bad."""
        failed = self.levels[depth]
        for level in reversed(self.levels[depth:]):
            found, level.found = level.found, None
            if found is not None:
                yield Step.END, found, b""
        if not depth:
            raise BadInput(explain(error, failed), error)
        around = self.levels[depth - 1].found
        if around is not None:
            self._blame(around, failed, error)
        del self.levels[depth:]

    def _blame(self, found: Found, level: Level, error: MultipartError) -> None:
        found.error = error
        if self.error is None:
            self.error = BadInput(explain(error, level), error)


def _events(level: Level, data: bytes | None) -> Iterator[Event]:
    """The events of ``data``, or of the end of the input; the error, if there is one, comes while they are taken."""
    events: Iterable[Event] = level.parser.close() if data is None else level.parser.feed(data)
    yield from events


def explain(error: MultipartError, level: Level) -> str:
    """What is wrong and where, counted from the start of the file."""
    where: list[str] = []
    if error.offset is not None:
        where.append(f"at byte {level.offset + error.offset}")
    if error.part_index is not None:
        name = "" if error.part_name is None else f" ({error.part_name!r})"
        where.append(f"in part {level.path}{error.part_index}{name}")
    elif level.path:
        where.append(f"in part {level.path[:-1]}")
    return f"{error.message} [{', '.join(where)}]" if where else error.message
