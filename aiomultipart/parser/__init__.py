"""The sans-IO core: bytes in, events out.

In go the chunks of a message, however it was cut, by ``feed()``, and its end by ``close()``. Out come, for each body
part, a :class:`PartBegin`, the bytes of its body, and :data:`PART_END`; last comes :data:`END`. Nothing is read,
nothing is awaited, nothing is pushed back. Every face of the library, with asyncio and without, drives this one parser.
A nested message is read by a second one, stacked on the data of the outer part.

``push`` is the state machine and the definition of what the parser says, over ``blocks``, which finds header blocks,
and ``base``, which surrounds it. ``states`` is the table of what it waits for, ``framing`` what a delimiter looks like,
``events`` what comes out. Where the accelerator is there, :class:`PushMultipartParser` is its fast lane in front of the
one in ``push``; :data:`implementation` says which one it is.
"""

from typing import TYPE_CHECKING, Final, Literal

from aiomultipart.exceptions import MultipartError, StateError
from aiomultipart.extension import accelerator
from aiomultipart.limits import DEFAULT_LIMITS, Limits
from aiomultipart.policy import Policy

from .base import BaseParser, check_arguments
from .events import END, PART_END, Defect, Event, Mark, PartBegin
from .push import PushMultipartParser

__all__ = ("END", "PART_END", "Defect", "Event", "Mark", "PartBegin", "PushMultipartParser", "implementation")

implementation: Final[Literal["c", "python"]] = "python" if accelerator is None else "c"
"""Whether :class:`PushMultipartParser` is the accelerator's (``"c"``) or the reference (``"python"``)."""

if accelerator is not None:  # pragma: no branch
    accelerator.connect(
        PartBegin,
        PART_END,
        END,
        Limits,
        DEFAULT_LIMITS,
        Policy.STRICT,
        Policy.STANDARD,
        Policy.LENIENT,
        MultipartError,
        StateError,
        check_arguments,
        PushMultipartParser.resume,
    )
    for _shared in ("from_content_type", "nested", "forgive"):
        setattr(accelerator.PushMultipartParser, _shared, vars(BaseParser)[_shared])
    if not TYPE_CHECKING:  # pragma: no branch
        PushMultipartParser = accelerator.PushMultipartParser
