"""What both readers of whole forms share: limits on memory, the choice of targets, JSON."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from aiomultipart.exceptions import CodecError, LimitExceeded, RejectedPart
from aiomultipart.grammar.fields import HeaderItems
from aiomultipart.limits import Limits
from aiomultipart.parser import PartBegin
from aiomultipart.policy import Policy
from aiomultipart.targets import AnyTarget, Budget, SpooledFile, SpooledTarget, TargetFactory, Targets, select_target

from .events import Field
from .model import Form, UploadedFile
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
    """A form that is being read; how it is driven is its subclasses' business.

    :ivar file: the file that arrives; None between files.
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
        self.parser = FormParser(headers, limits=limits, policy=policy, is_file=_named_in(targets))
        self.form = Form()
        self.file: UploadedFile[Any] | None = None
        self._budget = Budget(max_memory=limits.max_memory, max_open_files=limits.max_open_files)
        self._targets = targets
        self._default = default
        self._json = json

    def _spool(self, part: object) -> SpooledTarget:
        # Nobody but the form says that it was not closed.
        return SpooledTarget(budget=self._budget, quiet=True)

    def choose_target(self, file: UploadedFile[Any]) -> AnyTarget[object]:
        """Where a file goes."""
        return select_target(self._targets, file, self._default or self._spool)

    def begin(self, part: PartBegin) -> UploadedFile[Any]:
        """A file begins, and there is memory for it."""
        self.file = UploadedFile(part)
        return self.file

    def check_new(self, is_begun: bool) -> None:
        """Refuse a target that stands in ``targets`` in place of a factory, and has had its part."""
        if is_begun and self.file is not None:
            what = f"a second file in field {self.file.name!r}, whose target is for one"
            raise RejectedPart(what, code="second-file")

    def end(self, file: UploadedFile[Any], result: object) -> None:
        """It is complete."""
        file.complete(result)
        self.file = None
        self.form.holdings.files.append(file)
        self.form.add(file.name or "", file)

    def add(self, field: Field) -> None:
        """A field, and there is memory for it."""
        self.form.add(field.name, _parsed(field) if self._json else field.value)

    def takes(self, size: int) -> bool:
        """Take memory; whether there was enough. If not, files in memory have to go to disk."""
        return self._budget.take(size)

    def largest(self) -> SpooledFile:
        """The file in memory that goes to disk next.

        :raises LimitExceeded: there is none.
        """
        files = [
            file.result
            for file in self.form.holdings.files
            if isinstance(file.result, SpooledFile) and not file.result.closed and file.result.counts_in(self._budget)
        ]
        found = max((file for file in files if not file.on_disk), key=lambda file: file.size, default=None)
        if found is None:
            most = self._budget.max_memory
            raise LimitExceeded(f"form passes max_memory of {most}", limit="max_memory", value=most)
        return found


def _named_in(targets: Targets | None) -> Callable[[PartBegin], bool] | None:
    if targets is None or not isinstance(targets, Mapping):
        return None
    return lambda part: part.name in targets


def _parsed(field: Field) -> Any:
    """What a field is when JSON is parsed."""
    if field.part is None:
        return field.value
    content_type = field.part.content_type or ""
    if content_type != "application/json" and not content_type.endswith("+json"):
        return field.value
    try:
        return jsonlib.loads(field.value)
    except (ValueError, RecursionError) as exc:
        raise CodecError(f"field is not JSON: {exc}", code="bad-json", part_name=field.name) from exc
