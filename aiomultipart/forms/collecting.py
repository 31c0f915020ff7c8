"""The one collector of a whole form: what the parser says becomes a form, files go to their targets.

It is asynchronous code that awaits its targets and nothing else. So :mod:`.synchronous` runs it too: where targets do
their work at once it never waits. Fields and files that are in memory share one :class:`Budget`; when it is used up,
files make room by moving to disk, the largest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypedDict

from aiomultipart.exceptions import LimitExceeded, MultipartError, RejectedPart, StateError
from aiomultipart.grammar.fields import HeaderItems
from aiomultipart.limits import Limits
from aiomultipart.parser import PartBegin
from aiomultipart.policy import Policy
from aiomultipart.targets import (
    AnyTarget,
    Budget,
    SpooledFile,
    SpooledTarget,
    Target,
    TargetFactory,
    Targets,
    as_target,
    select_target,
)

from .events import Field, FormEvent, size_of_field, size_of_file
from .jsonfield import parse_json, size_of_json
from .model import Form, UploadedFile
from .multipart import locate
from .parser import FORM_LIMITS, FormParser

__all__ = ("Collector", "StreamOptions")


class StreamOptions(TypedDict, total=False):
    """The keywords of the readers of whole forms, but for ``on_progress``."""

    limits: Limits | None
    policy: Policy
    targets: Targets | None
    default: TargetFactory | None
    json: bool


class Collector:
    """A form that is being read.

    :ivar parser: of its body; feed it, and give :meth:`take` its events.
    :ivar begun: the targets of its files, in order.
    """

    def __init__(
        self,
        headers: HeaderItems,
        *,
        limits: Limits | None = None,
        policy: Policy = Policy.STANDARD,
        targets: Targets | None = None,
        default: TargetFactory | None = None,
        json: bool = False,
    ) -> None:
        limits = limits or FORM_LIMITS
        self.parser: FormParser = FormParser(headers, limits=limits, policy=policy, is_file=_named_in(targets))
        self.begun: list[Target[object]] = []
        self._form = Form()
        self._file: UploadedFile[Any] | None = None  # that arrives
        self._target: Target[object] | None = None  # its own
        self._limits = limits
        self._targets = targets
        self._default = default
        self._json = json
        self._budget: Budget | None = None  # as soon as there are files
        self._chosen: list[object] = []  # what ``targets`` gave
        self._owed = 0  # bytes of fields that have not been taken from the budget

    def complete(self) -> Form:
        """The form, which has been read to its end."""
        self._form.defects = self.parser.defects
        self._form.holdings.targets = self.begun
        return self._form

    def adapt(self, target: AnyTarget[object]) -> Target[object]:
        """``target`` with the faces that it needs."""
        return as_target(target)

    def awaited(self, target: Target[object]) -> Target[object]:
        """What is awaited for it."""
        return target

    async def move_to_disk(self, file: SpooledFile) -> None:
        """Have a file in memory go to disk."""
        await file.move_to_disk()

    async def take(self, events: Iterable[FormEvent]) -> None:
        """Take the events of one chunk."""
        add, usage = self._form.add, self.parser.usage
        if not (usage.files or self._json):  # nothing could move to disk, and the parser has counted
            for event in events:
                if type(event) is Field:
                    add(event.name, event.value)
            self._owed = usage.memory
            return
        try:
            for event in events:
                if type(event) is Field:
                    if self._json:
                        await self._add_json(event)
                    else:
                        self._owed += size_of_field(event.name, event.value)
                        add(event.name, event.value)
                elif type(event) is bytes:
                    if self._file is not None and self._target is not None:
                        self._file.size += len(event)
                        await self._target.write(event)
                elif type(event) is PartBegin:
                    await self._begin(event)
                elif self._file is not None and self._target is not None:
                    await self._end(self._file, self._target)
            await self._take_memory()
        except MultipartError as exc:
            if self._file is not None:
                locate(exc, self._file.part)
            raise

    async def _add_json(self, field: Field) -> None:
        value = parse_json(field)
        self._owed += size_of_json(field, value)
        try:
            await self._take_memory()
        except MultipartError as exc:
            if field.part is not None:
                locate(exc, field.part)
            raise
        self._form.add(field.name, value)

    async def _begin(self, part: PartBegin) -> None:
        file: UploadedFile[Any] = UploadedFile(part)
        self._file = file
        self._owed += size_of_file(part)
        await self._take_memory()
        chosen = select_target(self._targets, file, self._default or self._spool)
        if any(chosen is other for other in self._chosen):
            what = f"a second file in field {file.name!r}, whose target is for one"
            raise RejectedPart(what, code="second-file")
        target = self.adapt(chosen)
        self._chosen.append(chosen)
        self.begun.append(target)
        self._target = self.awaited(target)
        try:
            await self._target.start(file)
        except StateError:
            self.begun.pop()  # it is busy with another part, which is not ours to abort
            raise

    async def _end(self, file: UploadedFile[Any], target: Target[object]) -> None:
        file.complete(await target.finish())
        self._file = self._target = None
        self._form.holdings.files.append(file)
        self._form.add(file.name or "", file)

    def _spool(self, part: object) -> SpooledTarget:
        # Nobody but the form says that it was not closed.
        return SpooledTarget(budget=self._shared_budget(), quiet=True)

    def _shared_budget(self) -> Budget:
        if self._budget is None:
            self._budget = Budget(max_memory=self._limits.max_memory, max_open_files=self._limits.max_open_files)
        return self._budget

    async def _take_memory(self) -> None:
        """Take what is owed; if there is too little, files in memory go to disk, the largest first."""
        budget = self._shared_budget()
        while self._owed and not budget.take(self._owed):
            await self.move_to_disk(self._largest(budget))
        self._owed = 0

    def _largest(self, budget: Budget) -> SpooledFile:
        results = [file.result for file in self._form.holdings.files]
        files = [
            result
            for result in results
            if isinstance(result, SpooledFile) and not (result.closed or result.on_disk) and result.counts_in(budget)
        ]
        if not files:
            most = self._limits.max_memory
            raise LimitExceeded(f"form passes max_memory of {most}", limit="max_memory", value=most)
        return max(files, key=lambda file: file.size)


def _named_in(targets: Targets | None) -> Callable[[PartBegin], bool] | None:
    if targets is None or not isinstance(targets, Mapping):
        return None
    return lambda part: part.name in targets
