"""``make``: a message of parts, into a file or to standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiomultipart.exceptions import StateError
from aiomultipart.targets.disk import Draft, split_path
from aiomultipart.writing.writer import MultipartWriter

from .arguments import Options
from .building import build
from .failures import Failure
from .terminal import Terminal

__all__ = ("file_mode", "run")


def run(options: Options, terminal: Terminal) -> int:
    """Make the message."""
    writer = build(options.parts, options.subtype, options.boundary)
    output = options.output
    with terminal.progress(output, writer.size, apart=output == "-") as advance, _output(output) as write:
        if options.include:
            fields = {"MIME-Version": "1.0", **writer.http_headers()}
            write("".join([f"{name}: {value}\r\n" for name, value in fields.items()]).encode() + b"\r\n")
        for block in blocks_of(writer):
            write(block)
            advance(len(block))
    if not options.include:
        sys.stderr.write(f"Content-Type: {writer.content_type}\n")
    return 0


def blocks_of(writer: MultipartWriter) -> Iterator[bytes]:
    """The bytes of a message.

    :raises Failure: it cannot be written.
    """
    try:
        yield from writer.serialize()
    except (ValueError, StateError, TypeError) as exc:
        raise Failure(str(exc)) from exc


@contextmanager
def _output(name: str) -> Iterator[Callable[[bytes], object]]:
    """What takes the bytes: standard output, or a file that is there when it is whole."""
    if name == "-":
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    if name and path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device.write
        return
    try:
        draft = Draft(*split_path(name), overwrite=True, mode=file_mode())
    except ValueError as exc:
        raise Failure(str(exc)) from exc
    try:
        draft.open()
        yield lambda data: draft.write([data])
        draft.finish()
    except BaseException:
        draft.discard()
        raise


def file_mode() -> int:
    """What a new file may be used for, by the umask."""
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
