"""How things look: lines, in colours on a terminal, and bars for what takes long.

A terminal does what it reads, so nothing that came with a message is written to one as it is.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ("Span", "Terminal", "count_of", "shown")

Span: TypeAlias = str | tuple[str, str]
"""Text, or text and how it looks."""
Advance: TypeAlias = Callable[[int], None]

_PATIENCE: Final = 0.5  # seconds that something may take without a bar


def shown(text: str) -> str:
    """Text on one line that no terminal takes for a command: what is not printable is escaped."""
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() else ascii(each)[1:-1] for each in text])


def count_of(number: int, what: str) -> str:
    """A number of things, as one says it."""
    return f"{number} {what}{'' if number == 1 else 's'}"


class Terminal:
    """Standard output and standard error, where a person may be watching."""

    def __init__(self) -> None:
        self._console = _console(sys.stdout)

    @property
    def is_plain(self) -> bool:
        """Whether lines are text, without colours, and go anywhere but to a terminal."""
        return self._console is None

    def line(self, *spans: Span, cut: bool = False) -> None:
        """One line of standard output.

        :param cut: cut what is too long for the terminal, as of a table.
        """
        if self._console is None:
            text = "".join([span if isinstance(span, str) else span[0] for span in spans])
            sys.stdout.write(f"{text.rstrip()}\n")
            return
        from rich.text import Text

        styled = Text.assemble(*spans)
        styled.rstrip()
        if cut:
            self._console.print(styled, no_wrap=True, overflow="ellipsis")
        else:
            self._console.print(styled, soft_wrap=True)  # the terminal's own: what is copied from it is one line

    def flush(self) -> None:
        """Have the lines so far be seen."""
        sys.stdout.flush()

    def width_of(self, text: str) -> int:
        """How many columns a text takes; on a terminal some letters take two."""
        if self._console is None or text.isascii():
            return len(text)
        from rich.cells import cell_len

        return cell_len(text)

    @contextlib.contextmanager
    def progress(self, what: str, total: int | None, *, apart: bool = False) -> Iterator[Advance]:
        """A bar on the terminal, if there is one, for what takes longer than a moment.

        :param what: is being done.
        :param total: how many bytes there are to do.
        :param apart: standard output is not for lines, so that the bar must not go there.
        :return: to be called with the number of bytes that have been done.
        """
        console = self._console if not apart else None
        if console is None and not (apart and sys.stdout.isatty()):
            console = _console(sys.stderr)
        if console is None:
            yield _nothing
            return
        bar = _Bar(console, what, total)
        try:
            yield bar.advance
        finally:
            bar.stop()


class _Bar:
    """A progress bar that appears when it has turned out to be needed."""

    def __init__(self, console: Console, what: str, total: int | None) -> None:
        self._console = console
        self._what = what
        self._total = total
        self._begun = time.monotonic()
        self._done = 0
        self._progress: Any = None
        self._task: Any = None

    def advance(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress.update(self._task, completed=self._done)
        elif time.monotonic() - self._begun > _PATIENCE:
            self._start()

    def _start(self) -> None:
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.progress import TransferSpeedColumn as Speed

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(binary_units=True))
        self._progress = Progress(*columns, Speed(), TimeRemainingColumn(), console=self._console, transient=True)
        self._task = self._progress.add_task(shown(self._what), total=self._total, completed=self._done)
        self._progress.start()

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()


def _nothing(_count: int) -> None:
    pass


def _console(stream: Any) -> Console | None:
    """A console on a terminal, else None. rich itself honours NO_COLOR."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return None
    from rich.console import Console

    return Console(file=stream, highlight=False, markup=False, emoji=False)
