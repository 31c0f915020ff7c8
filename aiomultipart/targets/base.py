"""What a target is, which one a part gets, and the driver that copies a part into one."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import AsyncIterable, Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from multidict import MultiMapping

from aiomultipart.exceptions import StateError
from aiomultipart.work import to_its_end

__all__ = (
    "OnePart",
    "ReceivedPart",
    "SavedFile",
    "Target",
    "TargetFactory",
    "Targets",
    "copy",
    "select_target",
)

T = TypeVar("T")
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


TargetFactory: TypeAlias = Callable[[ReceivedPart], "Target[object] | None"]
"""Makes the target of a part; None leaves it to the default."""

Targets: TypeAlias = "Mapping[str, TargetFactory | Target[object]] | TargetFactory"
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


def select_target(targets: Targets | None, part: ReceivedPart, default: TargetFactory) -> Target[object]:
    """The target for ``part``.

    :param targets: factories by field name, or one factory for all parts.
    :param default: makes the target where ``targets`` has none for this part, or its factory gives None.
    :raises TypeError: neither gives a target.
    """
    chosen: TargetFactory | Target[object] | None
    if isinstance(targets, Mapping):
        chosen = None if part.name is None else targets.get(part.name)
    else:
        chosen = targets
    target = chosen(part) if callable(chosen) else chosen
    if target is None:
        target = default(part)
    if target is None:
        raise TypeError(f"no target for part {part.name!r}")
    return target


async def copy(part: ReceivedPart, chunks: AsyncIterable[bytes], target: Target[T]) -> T:
    """Write ``chunks`` to ``target``.

    Whatever goes wrong, the target is aborted, and the error, or the cancellation, comes through as it is. The abort
    itself is not cut short: a cancellation that arrives meanwhile is raised when it is done.

    :return: the result of the target.
    """
    try:
        await target.start(part)
    except StateError:
        raise  # it is busy with another part, which is not ours to abort
    except BaseException as exc:
        await _abort(target, exc)
        raise
    try:
        async for chunk in chunks:
            await target.write(chunk)
        return await target.finish()
    except BaseException as exc:
        await _abort(target, exc)
        raise


async def _abort(target: Target[object], error: BaseException) -> None:
    try:
        await to_its_end(target.abort())
    except Exception as exc:  # noqa: BLE001  (the first error is the one to know of)
        error.add_note(f"and aborting the target failed: {exc!r}")


class _Stage(enum.Enum):
    NEW = "has not been started"
    OPEN = "is being written"
    DONE = "is finished"


class OnePart:
    """Base of the targets here: it holds the order of the calls."""

    _stage = _Stage.NEW

    def _start(self) -> None:
        if self._stage is not _Stage.NEW:
            raise StateError(f"a {type(self).__name__} is for one part, and this one has had its own")
        self._stage = _Stage.OPEN

    def _check(self) -> None:
        if self._stage is not _Stage.OPEN:
            raise StateError(f"this {type(self).__name__} {self._stage.value}")

    def _finish(self) -> None:
        self._check()
        self._stage = _Stage.DONE

    def _abort(self) -> bool:
        """Whether there may be something to drop."""
        started = self._stage is not _Stage.NEW
        self._stage = _Stage.DONE
        return started
