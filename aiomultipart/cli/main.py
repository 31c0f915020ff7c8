"""What runs a command, and what becomes of its errors."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Final

from aiomultipart.exceptions import MultipartError

from . import cat, check, extract, grab, ls, make, post
from .arguments import Options, make_parser
from .failures import Failure
from .inputs import is_url
from .terminal import Terminal, shown

__all__ = ("main", "run")

_COMMANDS: Final[dict[str, Callable[[Options, Terminal], int]]] = {
    "ls": ls.run,
    "cat": cat.run,
    "extract": extract.run,
    "make": make.run,
    "post": post.run,
    "grab": grab.run,
    "check": check.run,
}
_BROKEN_PIPE: Final = 128 + 13  # what a shell says of a program that SIGPIPE has ended


class _Stopped(BaseException):
    """A signal asks for the end."""

    def __init__(self, number: int) -> None:
        self.number = number


def main(arguments: Sequence[str] | None = None) -> int:
    """The program. It takes over signals and streams; :func:`run` does not.

    :param arguments: those of the program, if not given.
    :return: the exit code.
    """
    _open_streams()
    for name in ("SIGTERM", "SIGHUP"):  # so that nothing half-written is left
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _stop)
    return run(arguments)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and say in a line what has gone wrong.

    :return: the exit code.
    """
    try:
        code = _command(arguments)
        sys.stdout.flush()
    except (Failure, MultipartError) as exc:
        return _complain(str(exc))
    except BrokenPipeError:
        _drop_output()
        return _BROKEN_PIPE
    except OSError as exc:
        name = f"{os.fsdecode(exc.filename)}: " if isinstance(exc.filename, (str, bytes)) else ""
        _drop_output()
        return _complain(f"{name}{exc.strerror or exc}")
    except KeyboardInterrupt:
        _complain("interrupted")
        return 128 + signal.SIGINT
    except _Stopped as exc:
        _complain(f"stopped by {signal.Signals(exc.number).name}")
        return 128 + exc.number
    return code


def _command(arguments: Sequence[str] | None) -> int:
    options = make_parser().parse_args(arguments, namespace=Options())
    needed = ["rich"]
    if options.url or is_url(options.file):
        needed.append("httpx")
        options.url = options.url or options.file
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise Failure(f"{' and '.join(missing)} not found: pip install 'aiomultipart[cli]' installs what this needs")
    return _COMMANDS[options.command](options, Terminal())


def _stop(number: int, _frame: FrameType | None) -> None:
    raise _Stopped(number)


def _open_streams() -> None:
    """Have streams that take any text, closed ones too."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(null, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  (it stays open)
        elif mode == "w" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _complain(text: str) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    try:
        sys.stderr.write(f"aiomultipart: {shown(text)}\n")
    except OSError:
        pass
    return 2


def _drop_output() -> None:
    """Nobody takes it any more; at its end Python would try again, and complain."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError):
        pass
    finally:
        os.close(null)
