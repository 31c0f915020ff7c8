"""Going through a message with ``async for``: part by part, or leaf by leaf."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from .part import BodyPartReader
    from .reader import MultipartReader

__all__ = ("PartIterator",)


# No ABC: of every part it is asked whether it is a reader, and isinstance() would take six times as long.
class PartIterator:
    """What gives parts one after another and has to be closed."""

    async def next(self) -> BodyPartReader | MultipartReader | None:
        """The next part, or None when there is none."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Close what reading opened."""
        raise NotImplementedError

    def walk(self) -> AsyncIterator[BodyPartReader]:
        """The leaves: all parts that are not multipart themselves, in order, those of nested messages too.

        How deep a part is nested says its :attr:`~BodyPartReader.depth`. An iterator that was cancelled may be asked
        again and loses nothing. One that is made anew goes on with what follows the part that this reader has come to.

        :raises MultipartError: as :meth:`next`, of this reader or of a nested one; ``max_depth`` among them.
        """
        return _Leaves(self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> BodyPartReader | MultipartReader:
        part = await self.next()
        if part is None:
            raise StopAsyncIteration
        return part


class _Leaves(AsyncIterator["BodyPartReader"]):
    """The leaves of a message; the readers that are open, the innermost last."""

    def __init__(self, root: PartIterator) -> None:
        self._open: list[PartIterator] = [root]

    async def __anext__(self) -> BodyPartReader:
        while self._open:
            part = await self._open[-1].next()
            if part is None:
                self._open.pop()
            elif isinstance(part, PartIterator):
                self._open.append(part)
            else:
                return part
        raise StopAsyncIteration
