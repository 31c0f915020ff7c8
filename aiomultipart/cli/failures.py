"""What ends a command: one line that says what is wrong, and what to do about it."""

from __future__ import annotations

from typing import Final

from aiomultipart.exceptions import LimitExceeded, MultipartError

__all__ = ("BadInput", "Failure", "hint_for")

_HINTS: Final = {
    "body-cut-short": "--raw gives it as it was sent",
    "damaged-body": "--raw gives it as it was sent",
    "idle-timeout": "--timeout SECONDS waits longer",
    "line-feed-only": "--policy lenient reads it",
    "missing-boundary": "--content-type 'multipart/...; boundary=...' says which",
    "no-close-delimiter": "it may have been cut short; --policy lenient reads what is there",
    "unknown-content-coding": "--raw gives it as it was sent",
    "unknown-transfer-encoding": "--raw gives it as it was sent",
    # Devices get these wrong.
    "content-length-too-large": "--policy lenient reads it",
    "content-length-too-small": "--policy lenient reads it",
    # What forms say in a way that others have (RFC 2231).
    "extended-parameter": "--policy lenient reads it",
}


class Failure(Exception):
    """The command cannot go on: one line for standard error, exit code 2."""


class BadInput(Failure):
    """The input breaks the rules: the library's error, and where that was."""

    def __init__(self, text: str, error: MultipartError) -> None:
        hint = hint_for(error)
        super().__init__(f"{text}; {hint}" if hint else text)
        self.text = text
        self.error = error


def hint_for(error: MultipartError) -> str | None:
    """What to do about an error of the library, where that is known."""
    if isinstance(error, LimitExceeded) and error.limit:
        return f"--limit {error.limit}=... raises it"
    return _HINTS.get(error.code)
