"""What may be asked for on the command line."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from typing import Final

from aiomultipart import __version__
from aiomultipart.limits import MIB, Limits
from aiomultipart.policy import Policy

__all__ = ("Options", "make_parser")

_LIMITS: Final = Limits(
    max_boundary_length=1000,
    max_headers=10_000,
    max_header_line=1 * MIB,
    max_header_bytes=2 * MIB,
    max_parameters=1000,
    max_depth=64,
    max_preamble=1 * MIB,
    max_epilogue=None,
)
# What form readers hold and nobody does here
_OF_FORMS: Final = frozenset({"max_field_size", "max_memory", "max_open_files", "max_files", "max_fields"})
_EXIT_CODES = """\
exit codes: 0 all is well; 1 "check" has found something; 2 the input is bad, or something else is wrong, which one line
on standard error names; 130 interrupted.
"""


class Options(argparse.Namespace):
    """The arguments that were given, or what holds without them."""

    command: str
    file: str = ""
    url: str = ""
    index: str
    directory: str
    parts: list[str]
    output: str
    json: bool
    raw: bool
    part_headers: bool
    hash: str | None
    subtype: str
    boundary: str | None
    include: bool
    method: str
    count: int | None
    reconnect: bool
    timeout: float
    headers: list[str]
    content_type: str | None = None
    policy: Policy
    changes: list[tuple[str, int | None]]

    @property
    def limits(self) -> Limits:
        """The bounds that hold."""
        return _LIMITS.replace(**dict(self.changes))


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all errors are said."""

    def error(self, message: str) -> None:  # type: ignore[override]  # it does not return
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = _Parser(
        prog="aiomultipart",
        description="Look into multipart messages, take them apart, make them, and send them.",
        epilog=_EXIT_CODES,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"aiomultipart {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)

    def command(name: str, summary: str, more: str = "") -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=summary, description=f"{summary[:1].upper()}{summary[1:]}. {more}".strip(), allow_abbrev=False
        )

    ls = command("ls", "list the parts of a message, those of messages in it too")
    _add_input(ls)
    ls.add_argument("--json", action="store_true", help="as JSON, for programs")

    cat = command("cat", "write the body of one part to standard output, its codings undone")
    _add_input(cat)
    cat.add_argument("index", metavar="INDEX", help='which part, as "ls" numbers them: 0, or 1.0 for one in part 1')
    cat.add_argument("--raw", action="store_true", help="as it was sent, its codings left alone")
    cat.add_argument("--headers", dest="part_headers", action="store_true", help="its header block, not its body")

    extract = command(
        "extract",
        "save the parts of a message as files, their codings undone",
        "A name that was received becomes one that is safe; no file is replaced, and none is there half.",
    )
    _add_input(extract)
    extract.add_argument("directory", metavar="DIR", help="where to; it is made if need be")
    extract.add_argument("--hash", type=_hash, metavar="NAME", help="list the files as sha256sum does, by this hash")
    extract.add_argument("--raw", action="store_true", help="as they were sent, their codings left alone")

    make = command("make", "make a message of parts", "Parts are written as for curl's -F.")
    _add_parts(make)
    make.add_argument("-o", "--output", metavar="FILE", required=True, help='where to; "-" is standard output')
    make.add_argument("-i", "--include", action="store_true", help="begin with the header fields of the message")

    post = command("post", "send a message of parts to a server", "Parts are written as for curl's -F.")
    post.add_argument("url", metavar="URL", help="where to")
    _add_parts(post)
    post.add_argument("-X", "--request", dest="method", default="POST", metavar="METHOD", help="POST if not given")
    post.add_argument("-i", "--include", action="store_true", help="show the header fields of the answer")
    _add_http(post)

    grab = command(
        "grab", "save the frames of an image stream (multipart/x-mixed-replace, MJPEG), until it ends or Ctrl+C"
    )
    grab.add_argument("url", metavar="URL", help="of the stream")
    grab.add_argument("directory", metavar="DIR", help="where to; it is made if need be")
    grab.add_argument("-n", "--count", type=_count, metavar="N", help="stop after so many frames")
    grab.add_argument("--reconnect", action="store_true", help="begin anew when the stream breaks off")
    _add_reading(grab, Policy.LENIENT)
    _add_http(grab)

    check = command(
        "check",
        "say what each policy makes of a message, and where they differ",
        "The exit code is 1 where there is anything to say.",
    )
    _add_input(check, policy=False)
    return parser


def _add_input(parser: argparse.ArgumentParser, *, policy: bool = True) -> None:
    parser.add_argument("file", metavar="FILE", help='a file, a URL, or "-" for standard input')
    _add_reading(parser, Policy.STANDARD if policy else None)
    _add_http(parser)


def _add_reading(parser: argparse.ArgumentParser, policy: Policy | None) -> None:
    parser.add_argument(
        "--content-type",
        metavar="TYPE",
        help="what the message is, 'multipart/...; boundary=...', in place of what it says itself",
    )
    if policy is not None:
        parser.add_argument(
            "--policy",
            type=_policy,
            default=policy,
            metavar="POLICY",
            help=f"how odd constructs are read: strict, standard or lenient ({policy.value})",
        )
    parser.add_argument(
        "--limit",
        dest="changes",
        action="append",
        type=_limit,
        default=[],
        metavar="NAME=N",
        help="another bound, by its name in Limits, such as max_parts=1000 or max_depth=none; may be repeated",
    )


def _add_http(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-H",
        "--header",
        dest="headers",
        action="append",
        default=[],
        metavar="FIELD",
        help="a header field to ask with, 'Authorization: Bearer ...'; may be repeated",
    )
    parser.add_argument(
        "--timeout", type=_seconds, default=30.0, metavar="SECONDS", help="how long a server may be silent (30)"
    )


def _add_parts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "parts",
        metavar="PART",
        nargs="+",
        help="NAME=TEXT, NAME=@FILE (a file), NAME=<FILE (the text of a file), 'NAME=(' to begin a message in it and "
        "'=)' to end that; then ;type=TYPE ;filename=NAME ;headers=FIELD ;encoder=CODING",
    )
    parser.add_argument(
        "--subtype", default="form-data", metavar="SUBTYPE", help="form-data if not given; mixed, related, ..."
    )
    parser.add_argument("--boundary", help="128 random bits if not given")


def _policy(text: str) -> Policy:
    try:
        return Policy(text.lower())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is none of strict, standard, lenient") from None


def _limit(text: str) -> tuple[str, int | None]:
    name, _, value = text.partition("=")
    name = name.replace("-", "_")
    known = [field.name for field in dataclasses.fields(Limits) if field.name not in _OF_FORMS]
    if name not in known:
        raise argparse.ArgumentTypeError(f"there is no limit {name!r}, but {', '.join(known)}")
    if value.lower() == "none" and name != "decode_ratio_floor":
        return name, None
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise argparse.ArgumentTypeError(f"{value!r} is no number to limit {name} to")
    return name, int(value)


def _hash(text: str) -> str:
    if text not in hashlib.algorithms_available or not hashlib.new(text, usedforsecurity=False).digest_size:
        raise argparse.ArgumentTypeError(f"there is no hash {text!r}; sha256 is one")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 18 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of frames")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return seconds
