"""``check``: what each policy makes of a message, and where they differ.

One pass, three parsers. What is shown of a place comes from the blocks that have just been read, so a pipe will do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from aiomultipart.exceptions import MultipartError
from aiomultipart.limits import Limits
from aiomultipart.parser import Defect
from aiomultipart.policy import Policy

from .arguments import Options
from .bodies import Body
from .failures import BadInput
from .inputs import Input, opened
from .ls import label, place_of
from .terminal import Terminal, count_of, shown
from .tree import Found, Level, Step, Steps, Tree, explain

__all__ = ("run",)

_SHOWN: Final = 20  # remarks of each policy
_BEFORE, _AFTER = 16, 32  # bytes around a place
_ROW: Final = 16
_COUNTED: Final = 10_000
_AHEAD: Final = 1000  # parts; a policy that has read so many more than another has read others
_KEPT: Final = 2  # blocks


def run(options: Options, terminal: Terminal) -> int:
    """Compare the policies."""
    with opened(options.file, options) as source, terminal.progress(source.name, source.size) as advance:
        window = _Window(source.offset)
        views = [_View(policy, source, options) for policy in Policy]
        differences = _Differences(views)
        for block in source.blocks:
            window.add(block)
            for view in views:
                view.feed(block, window)
            differences.compare(window)
            advance(len(block))
        for view in views:
            view.feed(None, window)
        differences.compare(window)
    terminal.line((shown(source.name), "bold"), f": {source.kind}")
    last: _View | None = None
    for view in views:
        view.report(terminal, last)
        last = view
    for line in differences.lines:
        terminal.line((line, "yellow"))
    return 1 if differences.lines or any(view.remarks for view in views) else 0


class _Window:
    """The bytes that were read last."""

    def __init__(self, offset: int) -> None:
        self._end = offset
        self._blocks: deque[bytes] = deque(maxlen=_KEPT)

    def add(self, block: bytes) -> None:
        self._blocks.append(block)
        self._end += len(block)

    def around(self, offset: int) -> list[str]:
        """A dump of what is there; nothing if it was too long ago."""
        start = self._end - sum(map(len, self._blocks))
        if not start <= offset <= self._end:
            return []
        data = b"".join(self._blocks)
        dump: list[str] = []
        for row in range((offset - _BEFORE) // _ROW * _ROW, (offset + _AFTER) // _ROW * _ROW, _ROW):
            first = max(row, start)
            if shown_bytes := data[first - start : max(row + _ROW - start, 0)]:
                dump.append(_dump(shown_bytes, first, offset))
        return dump


def _dump(row: bytes, at: int, mark: int) -> str:
    """One row: offset, bytes, text; the byte in question is in brackets."""
    cells = "".join([f" {byte:02x}" for byte in row]) + " "
    if at <= mark < at + len(row):
        place = 3 * (mark - at)
        cells = f"{cells[:place]}[{cells[place + 1 : place + 3]}]{cells[place + 4 :]}"
    text = "".join([chr(byte) if 32 <= byte < 127 else "." for byte in row])
    return f"{at:>10} {cells:<{3 * _ROW + 1}} {text}"


class _Remark(NamedTuple):
    text: str
    dump: list[str]


class _Part(NamedTuple):
    """What policies are compared by. Where a body begins and how long it is says which bytes it is."""

    path: str
    label: str
    content_type: str | None
    body_offset: int
    size: int
    is_whole: bool | None
    """None while it is read."""

    @classmethod
    def of(cls, found: Found, *, is_whole: bool | None) -> _Part:
        return cls(found.path, label(found), found.part.content_type, found.body_offset, found.size, is_whole)

    def __str__(self) -> str:
        name = f" {self.label!r}" if self.label else ""
        cut = "" if self.is_whole else " so far" if self.is_whole is None else ", cut short"
        type_ = self.content_type or "no type"
        return f"part {self.path}{name}, {type_}, {count_of(self.size, 'byte')} from {self.body_offset}{cut}"


class _View:
    """A message, as one policy sees it.

    :ivar parts: those that have not been compared yet.
    :ivar is_over: whether there will be no more.
    """

    def __init__(self, policy: Policy, source: Input, options: Options) -> None:
        self.policy = policy
        self.error: MultipartError | None = None
        self.is_over = False
        self.parts: deque[_Part] = deque()
        self.remarks: list[_Remark] = []
        self._limits = options.limits
        self._count = 0
        self._size = 0
        self._seen: set[tuple[str, Defect]] = set()
        self._body: _Trial | None = None
        try:
            self._tree = Tree(source.parser(options.limits, policy), source.offset)
        except MultipartError as exc:
            self.error, self.is_over = exc, True
            self.remarks.append(_Remark(f"refuses: {exc}", []))

    def feed(self, data: bytes | None, window: _Window) -> None:
        """Read on; None is the end."""
        if self.is_over:
            return
        try:
            self._take(self._tree.close() if data is None else self._tree.feed(data), window)
        except BadInput as exc:
            self.error = exc.error
            self._look_at(self._tree.root, window)
            self._remark(f"refuses: {exc.text}", _place(exc.error, self._tree.root), window)
        for level in self._tree.levels:
            self._look_at(level, window)
        self.is_over = data is None or self.error is not None

    def _take(self, steps: Steps, window: _Window) -> None:
        for step, found, data in steps:
            if step is Step.DATA:
                if self._body is not None:
                    self._body.feed(data)
            elif step is Step.BEGIN:
                self._count += 1
                # What does not decode is the same for all that read it; so it is looked for once.
                if found.inner is None and self.policy is Policy.LENIENT:
                    self._body = _Trial(found, self._limits)
            else:
                if found.inner is not None:
                    self._look_at(found.inner, window)
                    if found.error is not None:
                        text = explain(found.error, found.inner)
                        self._remark(f"bad inside: {text}", _place(found.error, found.inner), window)
                elif self._body is not None:
                    trouble, self._body = self._body.close(is_whole=found.is_whole), None
                    if trouble is not None:
                        self._remark(f"does not decode: {trouble}", None, window)
                self.parts.append(_Part.of(found, is_whole=found.is_whole))

    @property
    def in_hand(self) -> _Part | None:
        """The part that is read."""
        found = next((level.found for level in reversed(self._tree.levels) if level.found is not None), None)
        return None if found is None else _Part.of(found, is_whole=None)

    def _look_at(self, level: Level, window: _Window) -> None:
        """Note what has been forgiven since."""
        for defect in level.parser.defects:
            if (level.path, defect) in self._seen or len(self._seen) >= _COUNTED:
                continue
            self._seen.add((level.path, defect))
            where = level.path[:-1] if defect.part_index is None else f"{level.path}{defect.part_index}"
            text = f"forgives: {defect.kind}{place_of(defect, level)}{f' in part {where}' if where else ''}"
            if defect.size:
                text += f", {count_of(defect.size, 'byte')} dropped"
            self._remark(text, None if defect.offset is None else level.offset + defect.offset, window)

    def _remark(self, text: str, offset: int | None, window: _Window) -> None:
        self._size += 1
        if len(self.remarks) < _SHOWN:
            self.remarks.append(_Remark(text, [] if offset is None else window.around(offset)))

    def report(self, terminal: Terminal, last: _View | None) -> None:
        """What it comes to; in short where another has said the same."""
        if self.error is not None:
            verdict = "refuses it"
        else:
            verdict = f"reads {count_of(self._count, 'part')}"
            if self._size:
                verdict += f", with {count_of(self._size, 'remark')}"
        style = "red" if self.error is not None else "yellow" if self._size else "green"
        terminal.line((f"{self.policy.value:<9}", "bold"), (verdict, style))
        if last is not None and self.remarks and self.remarks == last.remarks:
            terminal.line((f"  as {last.policy.value}", "yellow"))
            return
        for remark in self.remarks:
            terminal.line("  ", (shown(remark.text), "yellow"))
            for row in remark.dump:
                terminal.line((row, "dim"))
        if self._size > len(self.remarks):
            terminal.line(f"  and {self._size - len(self.remarks)} more")


def _place(error: MultipartError, level: Level) -> int | None:
    return None if error.offset is None else level.offset + error.offset


class _Trial:
    """A body that is decoded to see whether it can be."""

    def __init__(self, found: Found, limits: Limits) -> None:
        self._trouble: str | None = None
        self._body: Body | None = None
        try:
            self._body = Body(found, limits, raw=False)
        except BadInput as exc:
            self._trouble = exc.text

    def feed(self, data: bytes) -> None:
        if self._body is not None:
            self._drain(self._body.feed(data))

    def close(self, *, is_whole: bool) -> str | None:
        """What was wrong with it."""
        if self._body is not None and is_whole:
            self._drain(self._body.close())
        return self._trouble

    def _drain(self, pieces: Iterator[bytes]) -> None:
        try:
            for _ in pieces:
                pass
        except BadInput as exc:
            self._trouble, self._body = exc.text, None


class _Differences:
    """The first part that policies which read the message read in different ways."""

    def __init__(self, views: list[_View]) -> None:
        self._views = views
        self.lines: list[str] = []

    def compare(self, window: _Window) -> None:
        """Compare what all have come to."""
        while not self.lines and all(view.parts or view.is_over for view in self._views):
            there = [(view, view.parts.popleft() if view.parts else None) for view in self._views]
            # Who has refused the message has said why.
            there = [(view, part) for view, part in there if part is not None or view.error is None]
            parts = {part for _, part in there}
            if len(parts) > 1:
                self._tell(there, window)
            if not any(parts):
                return
        if not self.lines and any(len(view.parts) > _AHEAD for view in self._views):
            left = [view for view in self._views if view.parts or view.error is None]
            self._tell([(view, view.parts[0] if view.parts else view.in_hand) for view in left], window)
        if self.lines:
            for view in self._views:
                view.parts.clear()

    def _tell(self, there: list[tuple[_View, _Part | None]], window: _Window) -> None:
        self.lines.append("They differ:")
        for view, part in there:
            self.lines.append(f"  {view.policy.value:<9}{'no more parts' if part is None else shown(str(part))}")
        ends = {part.body_offset + part.size for _, part in there if part is not None}
        if len(ends) > 1:
            self.lines += window.around(min(ends))
