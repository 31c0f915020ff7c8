"""What type checkers make of targets: the result of a target is that of ``copy_to()``."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from obstore.store import MemoryStore

from aiomultipart import (
    BodyPartReader,
    CallbackTarget,
    FileTarget,
    HashTarget,
    MemoryTarget,
    NullTarget,
    ReceivedPart,
    SavedFile,
    SpooledFile,
    SpooledTarget,
    Target,
    TargetFactory,
    TeeTarget,
    ValidatedTarget,
)
from aiomultipart.integrations.objectstore import ObjectStoreTarget, StoredObject
from aiomultipart.targets import Targets


async def results(part: BodyPartReader, path: Path) -> None:
    assert_type(await part.save(path), SavedFile)
    assert_type(await part.copy_to(MemoryTarget()), bytes)
    assert_type(await part.copy_to(NullTarget()), int)
    assert_type(await part.copy_to(TeeTarget(FileTarget(path), HashTarget("sha256"))), tuple[SavedFile, str])
    assert_type(await part.copy_to(ValidatedTarget(SpooledTarget())), SpooledFile)
    assert_type(await part.copy_to(ObjectStoreTarget(MemoryStore(), "x")), StoredObject)
    assert_type(await part.copy_to(CallbackTarget(print, finish=lambda: 1)), int)


async def answer() -> str:
    return ""


async def async_callback(part: BodyPartReader) -> None:
    assert_type(await part.copy_to(CallbackTarget(print, finish=answer)), str)


class Own:
    """A target that is no subclass of anything."""

    async def start(self, part: ReceivedPart) -> None: ...
    async def write(self, data: bytes) -> None: ...
    async def finish(self) -> float:
        return 0.0

    async def abort(self) -> None: ...


async def own(part: BodyPartReader) -> None:
    assert_type(await part.copy_to(Own()), float)

    async def copy(target: Target[float | None]) -> None:
        assert_type(await part.copy_to(target), float | None)

    await copy(Own())


def factories(store: MemoryStore, path: Path) -> tuple[Targets, Targets]:
    avatar: TargetFactory = lambda part: TeeTarget(FileTarget(path), HashTarget("sha256"))  # noqa: E731
    return {
        "avatar": avatar,
        "backup": lambda part: ObjectStoreTarget(store, f"backups/{part.name}"),
        "other": lambda part: None,
        "once": Own(),
    }, avatar
