"""``cat``: one part, to standard output. What follows it is not read."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Final

from .arguments import Options
from .bodies import Body
from .failures import Failure
from .inputs import opened
from .terminal import Terminal
from .tree import Step, Steps, Tree

__all__ = ("run",)

_INDEX: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})*", re.ASCII).fullmatch


def run(options: Options, terminal: Terminal) -> int:
    """Write the part that was asked for."""
    if not _INDEX(options.index):
        raise Failure(f'{options.index!r} is no index; "aiomultipart ls" shows them, such as 0 or 1.0')
    with opened(options.file, options) as source, terminal.progress(source.name, source.size, apart=True) as advance:
        tree = source.tree(options, enter=lambda found: options.index.startswith(f"{found.path}."))
        for piece in _pieces(options, tree, source.steps(tree, advance)):
            sys.stdout.buffer.write(piece)
    return 0


def _pieces(options: Options, tree: Tree, steps: Steps) -> Iterator[bytes]:
    """The bytes of the part, and no more steps than they take."""
    body: Body | None = None
    for step, found, data in steps:
        if found.path != options.index:
            parser = found.level.parser
            if step is Step.BEGIN and found.inner is None and parser.part is found.part:
                parser.drop()
        elif step is Step.BEGIN:
            if options.part_headers:
                yield found.part.raw + b"\r\n\r\n"
                return
            body = Body(found, options.limits, raw=options.raw)
        elif step is Step.DATA and body is not None:
            yield from body.feed(data)
        elif found.is_whole and body is not None:
            yield from body.close()
            return
    raise tree.error or Failure(f'there is no part {options.index}; "aiomultipart ls" shows which there are')
