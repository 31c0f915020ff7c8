"""``extract``: the parts of a message as files, each there when it is whole or not at all."""

from __future__ import annotations

import contextlib
import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from multidict import MultiMapping

from aiomultipart.exceptions import RejectedPart
from aiomultipart.parser import PartBegin
from aiomultipart.targets import DirectoryTarget, SavedFile, safe_filename

from .arguments import Options
from .bodies import Body
from .inputs import opened
from .make import file_mode
from .terminal import Terminal, shown
from .tree import Found, Step

__all__ = ("Received", "directory", "name_for", "run")


_LONGEST: Final = 240  # bytes of a name; there is room for an extension


class Received:
    """A part, as a target gets to know it."""

    def __init__(self, part: PartBegin) -> None:
        self.name: str | None = part.name
        self.filename: str | None = part.filename
        self.content_type: str = part.content_type or "application/octet-stream"
        self.headers: MultiMapping[str] = part.headers


def run(options: Options, terminal: Terminal) -> int:
    """Save all parts that are no messages themselves."""
    with (
        opened(options.file, options) as source,
        terminal.progress(source.name, source.size) as advance,
        directory(options.directory),
        contextlib.ExitStack() as unfinished,
    ):
        tree = source.tree(options)
        saving: _Saving | None = None
        for step, found, data in source.steps(tree, advance):
            if step is Step.BEGIN and found.inner is None:
                saving = _Saving(found, options)
                unfinished.callback(saving.abort)
            elif saving is None:
                pass  # a message has ended
            elif step is Step.DATA:
                saving.write(data)
            elif step is Step.END:
                if found.is_whole:
                    _tell(terminal, saving.finish())
                else:
                    saving.abort()
                unfinished.pop_all()
                saving = None
        if tree.error is not None:
            raise tree.error
    return 0


def _tell(terminal: Terminal, saved: SavedFile) -> None:
    path = shown(str(saved.path))
    if saved.hexdigest is None:
        terminal.line((path, "bold"), (f"  {saved.size}", "dim"))
    else:
        terminal.line((saved.hexdigest, "cyan"), "  ", (path, "bold"))
    terminal.flush()


@contextlib.contextmanager
def directory(name: str) -> Iterator[None]:
    """A directory to save in. One that was made for it, and in which nothing was saved, goes again."""
    path = Path(name)
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for each in missing:
            with contextlib.suppress(OSError):  # there is something in it
                each.rmdir()


class _Saving:
    """A part on its way to a file."""

    def __init__(self, found: Found, options: Options) -> None:
        self._body = Body(found, options.limits, raw=options.raw)
        self._target = DirectoryTarget(
            options.directory,
            name=lambda _part: name_for(found.part, found.path),
            collision="number",
            hash=options.hash,
            mode=file_mode(),
        )
        self._is_open = True
        self._target.start_sync(Received(found.part))

    def write(self, data: bytes) -> None:
        for piece in self._body.feed(data):
            self._target.write_sync(piece)

    def finish(self) -> SavedFile:
        for piece in self._body.close():
            self._target.write_sync(piece)
        saved = self._target.finish_sync()
        self._is_open = False
        return saved

    def abort(self) -> None:
        """Leave nothing."""
        if self._is_open:
            self._is_open = False
            self._target.abort_sync()


def name_for(part: PartBegin, path: str) -> str:
    """A safe name for the file of a part: of its own file name, its location or its name, else of its index."""
    location = ""
    with contextlib.suppress(ValueError):  # it is no URL
        location = unquote(urlsplit(part.headers.get("Content-Location", "")).path)
    given = (part.filename, location.rstrip("/").rpartition("/")[2], part.name)
    name = f"part-{path}"
    for each in given:
        if each:
            with contextlib.suppress(RejectedPart):
                name = safe_filename(each, max_length=_LONGEST)
                break
    if not part.filename and "." not in name.removeprefix(f"part-{path}"):
        # Without a type it is text (RFC 2045 section 5.2, RFC 7578 section 4.4).
        name += mimetypes.guess_extension(part.content_type or "text/plain") or ""
    return name
