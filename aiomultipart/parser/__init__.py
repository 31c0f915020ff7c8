"""The sans-IO core: bytes in, events out.

In go the chunks of a message, however it was cut, by ``feed()``, and its end by ``close()``. Out come, for each body
part, a :class:`PartBegin`, the bytes of its body, and :data:`PART_END`; last comes :data:`END`. Nothing is read,
nothing is awaited, nothing is pushed back. Every face of the library, with asyncio and without, drives this one parser.
A nested message is read by a second one, stacked on the data of the outer part.

``push`` is the state machine, over ``blocks``, which finds header blocks, and ``base``, which surrounds it. ``states``
is the table of what it waits for, ``framing`` what a delimiter looks like, ``events`` what comes out.
"""

from .events import END, PART_END, Defect, Event, Mark, PartBegin
from .push import PushMultipartParser

__all__ = ("END", "PART_END", "Defect", "Event", "Mark", "PartBegin", "PushMultipartParser")
