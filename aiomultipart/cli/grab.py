"""``grab``: the frames of an image stream, each a file that is there when it is whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiomultipart.exceptions import MultipartError
from aiomultipart.families.replace.reading import Frame, frames
from aiomultipart.limits import MIB
from aiomultipart.targets.disk import Draft

from .arguments import Options
from .extract import directory
from .failures import BadInput, Failure
from .inputs import check_status, request_headers, shown_url, translated, uncoded
from .make import file_mode
from .terminal import Advance, Terminal, shown

if TYPE_CHECKING:
    import httpx

__all__ = ("run",)

_MOST: Final = 256 * MIB  # a frame is in memory as a whole
_SHORTEST, _LONGEST = 0.25, 30.0  # seconds between two attempts
_NUMBER: Final = re.compile(r"frame-([0-9]{1,12})\.[^.]+", re.ASCII).fullmatch


def run(options: Options, terminal: Terminal) -> int:
    """Save frames until the stream ends, there are enough, or somebody stops it."""
    name = shown_url(options.url)
    with translated(options.url), directory(options.directory), terminal.progress(name, None) as advance:
        try:
            count = asyncio.run(_grab(options, terminal, advance))
        except MultipartError as exc:
            raise BadInput(f"{name}: {exc}", exc) from exc
        if not count:
            raise Failure(f"{name}: the stream ended without a frame")
    return 0


async def _grab(options: Options, terminal: Terminal, advance: Advance) -> int:
    import httpx

    name = shown_url(options.url)
    fields = uncoded(request_headers(options.headers))
    limits = options.limits
    if limits.max_part_size is None:
        limits = limits.replace(max_part_size=_MOST)
    async with httpx.AsyncClient(timeout=options.timeout, follow_redirects=True) as client:

        @contextlib.asynccontextmanager
        async def stream() -> AsyncIterator[httpx.Response]:
            async with client.stream("GET", options.url, headers=fields) as response:
                check_status(response, options.url)
                coding = response.headers.get("Content-Encoding", "identity")
                if coding.lower() != "identity":  # httpx would undo it without a bound
                    raise Failure(f"{name}: a content coding, {coding!r}, where none was asked for")
                yield response

        found = frames(
            stream,
            content_type=options.content_type,
            idle_timeout=options.timeout,
            backoff=_wait if options.reconnect else None,
            limits=limits,
            policy=options.policy,
        )
        count, number = 0, _first_free(options.directory)
        async with found:
            async for frame in found:
                if not frame.complete:
                    continue  # the stream ended in it
                path, size = await asyncio.to_thread(_save, frame, options.directory, number)
                terminal.line((shown(str(path)), "bold"), (f"  {size}", "dim"))
                terminal.flush()
                advance(size)
                count, number = count + 1, number + 1
                if count == options.count:
                    break
    return count


def _wait(failures: int, error: Exception) -> float | None:
    """How long to wait before the stream is opened anew."""
    return None if isinstance(error, Failure) else min(_SHORTEST * 2 ** (failures - 1), _LONGEST)


def _first_free(directory: str) -> int:
    """The number after those that frames in the directory have."""
    numbers = [int(match[1]) for path in Path(directory).iterdir() if (match := _NUMBER(path.name))]
    return max(numbers, default=-1) + 1


def _save(frame: Frame, directory: str, number: int) -> tuple[Path, int]:
    extension = mimetypes.guess_extension(frame.content_type or "") or ".bin"
    draft = Draft(directory, f"frame-{number:06}{extension}", number=True, mode=file_mode())
    try:
        draft.open()
        draft.write([frame.data])
        saved = draft.finish()
    except BaseException:
        draft.discard()
        raise
    return saved.path, saved.size
