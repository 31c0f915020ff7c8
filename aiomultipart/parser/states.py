"""What the parser waits for, what ends that, and what comes next: the one table of its states."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

__all__ = (
    "BODY",
    "CLOSED",
    "COUNTED_BODY",
    "COUNTED_END",
    "EPILOGUE",
    "FAILED",
    "HEADERS",
    "IN_PART",
    "OPENING",
    "PREAMBLE",
    "SURPLUS",
    "TRANSITIONS",
    "State",
    "Transition",
)


class State(enum.IntEnum):
    """Where in a message the parser is."""

    OPENING = enum.auto()
    PREAMBLE = enum.auto()
    HEADERS = enum.auto()
    BODY = enum.auto()
    COUNTED_BODY = enum.auto()
    COUNTED_END = enum.auto()
    SURPLUS = enum.auto()
    EPILOGUE = enum.auto()
    CLOSED = enum.auto()
    FAILED = enum.auto()


# CPython 3.11 is slow to look up State.BODY.
OPENING: Final = State.OPENING
PREAMBLE: Final = State.PREAMBLE
HEADERS: Final = State.HEADERS
BODY: Final = State.BODY
COUNTED_BODY: Final = State.COUNTED_BODY
COUNTED_END: Final = State.COUNTED_END
SURPLUS: Final = State.SURPLUS
EPILOGUE: Final = State.EPILOGUE
CLOSED: Final = State.CLOSED
FAILED: Final = State.FAILED

IN_PART = frozenset({BODY, COUNTED_BODY, COUNTED_END, SURPLUS})
"""Where there is a part in hand."""


class Transition(NamedTuple):
    """One row of the table."""

    state: State
    ends_with: str
    to: tuple[State, ...]


# Bad input leads from anywhere to FAILED, and stays there. The end of the input may stand for the line end of a
# close-delimiter, and to LENIENT for the close-delimiter: it leads to EPILOGUE and on.
TRANSITIONS = (
    Transition(OPENING, "a line that shows LENIENT how this sender writes delimiters", (HEADERS, EPILOGUE)),
    Transition(PREAMBLE, "a delimiter line, or a close-delimiter", (HEADERS, EPILOGUE)),
    Transition(HEADERS, "a blank line; a counted body where a Content-Length counts", (BODY, COUNTED_BODY)),
    Transition(HEADERS, "a delimiter line right after the one before, and there is no part", (HEADERS, EPILOGUE)),
    Transition(BODY, "a delimiter line, or a close-delimiter", (HEADERS, EPILOGUE)),
    Transition(COUNTED_BODY, "as many bytes as announced; what follows is surplus to LENIENT", (COUNTED_END, SURPLUS)),
    Transition(COUNTED_BODY, "a delimiter line that comes too early; LENIENT forgives it", (HEADERS, EPILOGUE, FAILED)),
    Transition(COUNTED_END, "a delimiter line, or a close-delimiter", (HEADERS, EPILOGUE)),
    Transition(COUNTED_END, "anything else", (FAILED,)),
    Transition(SURPLUS, "a delimiter line, or a close-delimiter", (HEADERS, EPILOGUE)),
    Transition(EPILOGUE, "close()", (CLOSED,)),
)
