"""``post``: a message of parts, to a server. The answer goes to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from aiomultipart.grammar.fields import is_token
from aiomultipart.limits import DEFAULT_LIMITS

from .arguments import Options
from .building import build
from .failures import Failure
from .inputs import blocks_of, http_client, request_headers, shown_url, uncoded
from .make import blocks_of as blocks_to_send
from .terminal import Terminal, shown

__all__ = ("run",)


def run(options: Options, terminal: Terminal) -> int:
    """Send the message."""
    if not is_token(options.method):
        raise Failure(f"{options.method!r} is no method; POST is one")
    fields = uncoded(request_headers(options.headers))
    writer = build(options.parts, options.subtype, options.boundary)
    known = {name.lower() for name, _ in fields}
    fields += [(name, value) for name, value in writer.http_headers().items() if name.lower() not in known]
    with http_client(options) as client:
        with terminal.progress(f"to {shown_url(options.url)}", writer.size) as advance:

            def sent() -> Iterator[bytes]:
                for block in blocks_to_send(writer):
                    yield block
                    advance(len(block))

            request = client.build_request(options.method, options.url, headers=fields, content=sent())
            response = client.send(request, stream=True)
        try:
            if options.include:
                terminal.line(f"{response.http_version} {response.status_code} {shown(response.reason_phrase)}")
                for raw_name, raw_value in response.headers.raw:
                    name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
                    terminal.line((shown(name), "cyan"), f": {shown(value)}")
                terminal.line()
            sys.stdout.flush()
            last = b"\n"
            for block in blocks_of(response, DEFAULT_LIMITS):
                sys.stdout.buffer.write(block)
                last = block[-1:] or last
            sys.stdout.buffer.flush()
            if last != b"\n" and sys.stdout.isatty():
                terminal.line()  # so that what follows has a line of its own
        finally:
            response.close()
    if response.status_code >= 400:
        what = f"{response.status_code} {response.reason_phrase}"
        raise Failure(f"{shown_url(options.url)}: the server answers {what}")
    return 0
