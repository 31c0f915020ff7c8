"""Where bytes come from: a file, standard input, a URL. One block at a time."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from aiomultipart.codecs import Codec, decoder
from aiomultipart.exceptions import MultipartError
from aiomultipart.limits import Limits
from aiomultipart.parser import PushMultipartParser
from aiomultipart.policy import Policy

from .failures import BadInput, Failure
from .heads import LOOKED_AT, Head, find_boundary, find_head
from .tree import Found, Steps, Tree, anything

if TYPE_CHECKING:
    import httpx

    from .arguments import Options

__all__ = (
    "Input",
    "blocks_of",
    "check_status",
    "http_client",
    "is_url",
    "opened",
    "request_headers",
    "shown_url",
    "translated",
    "uncoded",
)

BLOCK: Final = 256 * 1024
"""How much is read at a time: as much as fits in a processor's cache, where the parser finds it."""

# RFC 9112 section 7.1:  chunk = chunk-size [ chunk-ext ] CRLF
_CHUNK: Final = re.compile(rb"[0-9A-Fa-f]{1,16}[ \t]*(?:;[^\r\n]*)?\r\n").match


class Input(NamedTuple):
    """A message that is about to be read."""

    name: str
    kind: str
    """What it is, in words."""
    content_type: str | None
    """None where it was not said; then there is a boundary."""
    boundary: str
    subtype: str
    offset: int
    """Where its body begins in the file."""
    size: int | None
    """Of the body, in bytes."""
    is_live: bool
    """Whether it may come as slowly as it likes."""
    blocks: Iterator[bytes]

    def parser(self, limits: Limits, policy: Policy) -> PushMultipartParser:
        """A parser for the body.

        :raises MultipartError: there is none for such a Content-Type.
        """
        if self.content_type is not None:
            return PushMultipartParser.from_content_type(self.content_type, limits=limits, policy=policy)
        return PushMultipartParser(self.boundary, subtype=self.subtype, limits=limits, policy=policy)

    def tree(self, options: Options, *, enter: Callable[[Found], bool] = anything) -> Tree:
        """What reads it by the options.

        :raises BadInput: as :meth:`parser`.
        """
        try:
            return Tree(self.parser(options.limits, options.policy), self.offset, enter=enter)
        except MultipartError as exc:
            raise BadInput(str(exc), exc) from exc

    def steps(self, tree: Tree, advance: Callable[[int], None], pause: Callable[[], None] | None = None) -> Steps:
        """What is in it, from its first byte to its last.

        :param advance: is told how many bytes have been read.
        :param pause: called when what comes next may be a while in coming.
        :raises BadInput: the message is bad.
        """
        for block in self.blocks:
            yield from tree.feed(block)
            advance(len(block))
            if pause is not None:
                pause()
        yield from tree.close()


def is_url(name: str) -> bool:
    """Whether a file's name is a URL."""
    return name.lower().startswith(("http://", "https://"))


@contextlib.contextmanager
def opened(name: str, options: Options) -> Iterator[Input]:
    """A message, by the name of a file, "-" for standard input, or a URL.

    :raises Failure: there is none.
    :raises OSError: the file cannot be read.
    """
    if is_url(name):
        with _fetched(name, options) as found, _named(found.name):
            yield found
        return
    with contextlib.ExitStack() as stack:
        file: IO[bytes]
        if name == "-":
            file, name = sys.stdin.buffer, "standard input"
        else:
            file = stack.enter_context(Path(name).open("rb", buffering=0))
        status = os.fstat(file.fileno())
        is_regular = stat.S_ISREG(status.st_mode)
        size = status.st_size - file.tell() if is_regular else None
        with _named(name):
            yield _looked_at(name, _blocks(file), size, not is_regular, options)


@contextlib.contextmanager
def _named(name: str) -> Iterator[None]:
    """Have errors say what they are about."""
    try:
        yield
    except BadInput as exc:
        raise BadInput(f"{name}: {exc.text}", exc.error) from exc
    except Failure as exc:
        raise Failure(f"{name}: {exc}") from exc


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    read = getattr(file, "read1", file.read)  # what is there, of a pipe
    while data := read(BLOCK):
        yield data


def _looked_at(name: str, blocks: Iterator[bytes], size: int | None, is_live: bool, options: Options) -> Input:
    """An input whose kind shows in its first bytes."""
    begun, is_all = b"", False
    while True:
        head = find_head(begun, is_all)
        content_type = options.content_type or (None if head is None else head.content_type)
        found = None
        if head is not None and content_type is None:
            found = find_boundary(begun[head.size :], is_all or len(begun) >= LOOKED_AT)
        if is_all or len(begun) >= LOOKED_AT or (head is not None and (content_type is not None or found)):
            break
        data = next(blocks, b"")
        begun += data
        is_all = not data
    if head is None:
        raise Failure(f"its header fields do not end within {LOOKED_AT} bytes")
    if content_type is None and found is None:
        what = "nothing is in it" if not begun else f"no boundary in its first {len(begun)} bytes"
        raise Failure(f"{what}; if it is multipart, say how: --content-type 'multipart/...; boundary=...'")
    if head.transfer_coding is not None and _CHUNK(begun, head.size):
        raise Failure(f"its body is in the chunks of {head.transfer_coding!r}; curl -i without --raw joins them")
    boundary, subtype = found or ("", "")
    rest = _chained(begun[head.size :], blocks)
    kind, offset = head.kind, head.size
    if head.content_coding is not None and content_type is not None:
        rest, is_coded = _undone(head, rest, options)
        if is_coded:
            kind, offset, size = f"{kind}, {head.content_coding} undone", 0, None
    left = None if size is None else max(size - head.size, 0)
    return Input(name, kind, content_type, boundary, subtype, offset, left, is_live, rest)


def _chained(first: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    for start in range(0, len(first), BLOCK):
        yield first[start : start + BLOCK]
    del first
    yield from blocks


def _undone(head: Head, blocks: Iterator[bytes], options: Options) -> tuple[Iterator[bytes], bool]:
    """The body without its content coding, which curl has undone or not: then no delimiter is to be seen."""
    first = next(blocks, b"")
    blocks = _chained(first, blocks)
    if not first or find_boundary(first, is_all=False) or b"\r\n--" in first:
        return blocks, False
    try:
        codec = decoder(None, head.content_coding, limits=options.limits)
    except MultipartError as exc:
        raise BadInput(str(exc), exc) from exc
    return (blocks, False) if codec is None else (_decoded(blocks, codec), True)


def _decoded(blocks: Iterator[bytes], codec: Codec) -> Iterator[bytes]:
    try:
        for block in blocks:
            codec.feed_data(block)
            while data := codec.read(BLOCK):
                yield data
        codec.feed_eof()
        while data := codec.read(BLOCK):
            yield data
    except MultipartError as exc:
        raise BadInput(f"the body as a whole: {exc}", exc) from exc


# By HTTP


def shown_url(url: object) -> str:
    """A URL without a password in it."""
    from yarl import URL

    try:
        return str(URL(str(url)).with_user(None))
    except ValueError:
        return str(url)


def request_headers(pairs: Sequence[str]) -> list[tuple[str, str]]:
    """The header fields that were given, as in "Accept: image/jpeg".

    :raises Failure: one has no colon.
    """
    found: list[tuple[str, str]] = []
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not colon or not name.strip():
            raise Failure(f"{pair!r} is no header field; one looks like 'Accept: image/jpeg'")
        found.append((name.strip(), value.strip()))
    return found


def uncoded(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Header fields of a request that asks for an answer without a content coding, unless they ask for one."""
    if any(name.lower() == "accept-encoding" for name, _ in fields):
        return fields
    return [*fields, ("Accept-Encoding", "identity")]


def blocks_of(response: httpx.Response, limits: Limits) -> Iterator[bytes]:
    """The body of an answer, its content coding undone. That is bounded here; httpx gives what it comes to at once.

    :raises Failure: the coding is not known. From the iterator: it does not decode.
    """
    try:
        codec = decoder(None, response.headers.get("Content-Encoding"), limits=limits)
    except MultipartError as exc:
        raise Failure(f"{shown_url(response.url)}: {exc}") from exc
    blocks = response.iter_raw()
    return blocks if codec is None else _decoded(blocks, codec)


@contextlib.contextmanager
def http_client(options: Options) -> Iterator[httpx.Client]:
    """A client; what goes wrong with it is a :exc:`Failure`."""
    import httpx

    with translated(options.url), httpx.Client(timeout=options.timeout, follow_redirects=False) as client:
        yield client


@contextlib.contextmanager
def translated(url: str) -> Iterator[None]:
    """Errors of httpx as a :exc:`Failure`."""
    import httpx

    try:
        yield
    except httpx.TimeoutException as exc:
        raise Failure(f"{shown_url(url)}: nothing came in time; --timeout SECONDS waits longer") from exc
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as exc:
        raise Failure(f"{shown_url(url)}: {str(exc) or type(exc).__name__}") from exc
    except (OverflowError, ExceptionGroup) as exc:
        if isinstance(exc, ExceptionGroup) and exc.split(OverflowError)[1] is not None:
            raise
        # Of a port that there cannot be; a redirect may have one too.
        raise Failure(f"{shown_url(url)}: it leads to a port that there cannot be") from exc


@contextlib.contextmanager
def _fetched(url: str, options: Options) -> Iterator[Input]:
    fields = uncoded(request_headers(options.headers))
    with (
        http_client(options) as client,
        client.stream("GET", url, headers=fields, follow_redirects=True) as response,
    ):
        check_status(response, url)
        content_type = options.content_type or response.headers.get("Content-Type")
        size = response.headers.get("Content-Length", "")
        coded = "Content-Encoding" in response.headers
        total = int(size) if size.isascii() and size.isdigit() and not coded else None
        if content_type is None:
            raise Failure(f"{shown_url(url)}: the answer has no Content-Type; --content-type says what it is")
        blocks = blocks_of(response, options.limits)
        yield Input(shown_url(url), "an HTTP response", content_type, "", "", 0, total, True, blocks)


def check_status(response: httpx.Response, url: str) -> None:
    """Raise unless the server has answered with what was asked for.

    :raises Failure: it has not.
    """
    if not response.is_success:
        where = response.headers.get("Location")
        more = f", and says to look at {shown_url(where)}" if where else ""
        raise Failure(f"{shown_url(url)}: the server answers {response.status_code} {response.reason_phrase}{more}")
