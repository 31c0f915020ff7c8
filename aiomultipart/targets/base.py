"""What a target is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from multidict import MultiMapping

__all__ = (
    "AnyTarget",
    "PlainTarget",
    "ReceivedPart",
    "SavedFile",
    "Target",
    "TargetFactory",
    "Targets",
)

T_co = TypeVar("T_co", covariant=True)


class ReceivedPart(Protocol):
    """What a target gets to know of the part. A :class:`~aiomultipart.BodyPartReader` is one.

    All of it was written by the sender.
    """

    @property
    def name(self) -> str | None:
        """The ``name`` parameter of Content-Disposition."""

    @property
    def filename(self) -> str | None:
        """The ``filename`` parameter of Content-Disposition. It is data, never a path."""

    @property
    def content_type(self) -> str:
        """``type/subtype`` in lower case."""

    @property
    def headers(self) -> MultiMapping[str]:
        """The header fields."""


class Target(Protocol[T_co]):
    """Where the bytes of one part go. Any object with these four coroutine methods is one."""

    async def start(self, part: ReceivedPart) -> None:
        """Get ready for the bytes of ``part``.

        :raises StateError: the target has had a part already. It must then be left as it is; nobody calls
            :meth:`abort`.
        """

    async def write(self, data: bytes) -> None:
        """Take the next bytes, one or more."""

    async def finish(self) -> T_co:
        """All bytes are here: complete what was made of them, and give the result."""

    async def abort(self) -> None:
        """Something failed, here or elsewhere: drop what was made.

        Called after ``start()``, whether that and what came after it failed, was cancelled or, a ``finish()`` too, went
        well. What ``finish()`` made goes too, where it did not replace something. It may be called twice.
        """


class PlainTarget(Protocol[T_co]):
    """A target of plain methods: any object with these four is one. Where there is a loop, a thread calls them."""

    def start(self, part: ReceivedPart) -> None:
        """As :meth:`Target.start`."""

    def write(self, data: bytes) -> None:
        """As :meth:`Target.write`; one call at a time."""

    def finish(self) -> T_co:
        """As :meth:`Target.finish`."""

    def abort(self) -> None:
        """As :meth:`Target.abort`."""


AnyTarget: TypeAlias = Target[T_co] | PlainTarget[T_co]

TargetFactory: TypeAlias = Callable[[ReceivedPart], "Target[object] | PlainTarget[object] | None"]
"""Makes the target of a part; None leaves it to the default."""

Targets: TypeAlias = "Mapping[str, TargetFactory | Target[object] | PlainTarget[object]] | TargetFactory"
"""Factories by field name, or one for all. A target in place of its factory takes one part."""


@dataclasses.dataclass(frozen=True, slots=True)
class SavedFile:
    """A file that was saved.

    :ivar path: where it is.
    :ivar size: in bytes.
    :ivar hexdigest: of its bytes; None when no hash was asked for.
    """

    path: Path
    size: int
    hexdigest: str | None = None
