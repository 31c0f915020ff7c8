"""What a form is to those who read it: :class:`Form`, and its files."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import IO, TYPE_CHECKING, Any, Final, Generic, Self, TypeAlias, TypeVar, overload

from multidict import CIMultiDictProxy, MultiDict

from aiomultipart.exceptions import FieldError, StateError
from aiomultipart.parser import Defect, PartBegin
from aiomultipart.targets import (
    AnyTarget,
    SavedFile,
    SpooledFile,
    Target,
    abort_all,
    abort_all_sync,
    as_sync,
    as_target,
    copy,
    copy_sync,
)
from aiomultipart.work import to_its_end

if TYPE_CHECKING:
    import os
    from types import TracebackType

__all__ = ("Form", "FormValue", "Holdings", "UploadedFile")

_PIECE: Final = 64 * 1024

D = TypeVar("D")
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class UploadedFile(Generic[T_co]):
    """A file of a form. ``UploadedFile[SavedFile]`` is one whose target returned a :class:`SavedFile`.

    What it says of itself was written by the sender: the name is data, not a path, and the type may be wrong.

    :ivar size: in bytes, decoded; so far, while the file arrives.
    """

    def __init__(self, part: PartBegin) -> None:
        self._part = part
        self._result: object = None
        self.size = 0

    @property
    def result(self) -> T_co:
        """What its target returned: without a target of your own a :class:`SpooledFile`."""
        return self._result  # type: ignore[return-value]  # who asks for the type knows the target

    def complete(self, result: object) -> None:
        """Its target has returned ``result``."""
        self._result = result

    @property
    def part(self) -> PartBegin:
        """The beginning of its part."""
        return self._part

    @property
    def name(self) -> str | None:
        """The name of the field."""
        return self._part.name

    @property
    def filename(self) -> str | None:
        """The name that the file had where it came from; see :func:`safe_filename`."""
        return self._part.filename

    @property
    def content_type(self) -> str:
        """``type/subtype`` in lower case; ``application/octet-stream`` if none was sent that can be read."""
        return self._part.content_type or "application/octet-stream"

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """The header fields of its part."""
        return self._part.headers

    async def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes from where the last call stopped, all if it is negative; ``b""`` at the end.

        :raises StateError: the form is closed, or the target kept no bytes.
        """
        return await self._spooled().read(size)

    async def seek(self, position: int) -> int:
        """Go to ``position``, in bytes from the start."""
        return await self._spooled().seek(position)

    def iter_chunks(self, size: int = _PIECE) -> AsyncIterator[bytes]:
        """The rest in pieces of 1 to ``size`` bytes."""
        return self._spooled().iter_chunks(size)

    async def save(
        self,
        path: str | os.PathLike[str],
        *,
        hash: str | None = None,  # noqa: A002  (the name is public)
        overwrite: bool = False,
        mode: int = 0o600,
    ) -> SavedFile:
        """Save all of it; the file is there when it is whole, or not at all. A file on disk is moved where it can be.

        :param path: of the file. It is trusted: make no path out of what was received.
        :param hash: name of a hash of ``hashlib`` to compute.
        :param overwrite: replace a file that is there.
        :param mode: of the file, whatever the umask: 0600, for its owner alone, if not given. Not on Windows.
        :raises FileExistsError: there is one.
        :raises StateError: the form is closed, or the target kept no bytes.
        """
        return await self._spooled().save(path, hash=hash, overwrite=overwrite, mode=mode)

    async def copy_to(self, target: AnyTarget[T]) -> T:
        """Write all of it to ``target``, wherever the position is.

        :return: the result of the target.
        :raises StateError: the form is closed, or its own target kept no bytes.
        :raises Exception: what the target raises, as it is; it has been aborted then.
        """
        return await copy(self, self._spooled().whole(), as_target(target))

    def read_sync(self, size: int = -1) -> bytes:
        """As :meth:`read`, without an event loop; it may block."""
        return self._spooled().read_sync(size)

    def save_sync(
        self,
        path: str | os.PathLike[str],
        *,
        hash: str | None = None,  # noqa: A002  (the name is public)
        overwrite: bool = False,
        mode: int = 0o600,
    ) -> SavedFile:
        """As :meth:`save`, without an event loop; it blocks."""
        return self._spooled().save_sync(path, hash=hash, overwrite=overwrite, mode=mode)

    def copy_to_sync(self, target: AnyTarget[T]) -> T:
        """As :meth:`copy_to`, without an event loop; it blocks.

        :raises TypeError: the target has only coroutines.
        """
        return copy_sync(self, self._spooled().whole_sync(), as_sync(target))

    @property
    def file(self) -> IO[bytes]:
        """The bytes as a plain binary file, for code that is not async; reading it may block.

        Its position is that of :meth:`read` and :meth:`seek`, and begins at 0.

        :raises StateError: the form is closed, or the target kept no bytes.
        """
        return self._spooled().file_object

    @property
    def on_disk(self) -> bool:
        """Whether its bytes are in a temporary file; not those that went to a target of your own."""
        return isinstance(self._result, SpooledFile) and self._result.on_disk

    def _spooled(self) -> SpooledFile:
        if isinstance(self._result, SpooledFile):
            return self._result
        raise StateError(f"file {self.name!r} went to its target, which gave {self._result!r}")

    # For pydantic: plain dictionaries, so that nothing has to be imported for them.
    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> dict[str, object]:
        return {"type": "is-instance", "cls": UploadedFile}

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, object]:
        return {"type": "string", "format": "binary"}

    def __repr__(self) -> str:
        return f"<UploadedFile {self.name!r} {self.filename!r} {self.content_type} {self.size} bytes>"


# Any: what the target of a file returned, the caller knows. With json=True a field may be whatever JSON is.
FormValue: TypeAlias = str | UploadedFile[Any]


class _Missing:
    """Stands for a default that was not given."""


_MISSING: Final = _Missing()


class Holdings:
    """What a form and its copies have in common: files to be closed, and targets to be undone.

    :ivar files: all of them, also those whose entries have been removed since.
    :ivar targets: those that were begun, in order; none any more when what they made is to stay.
    """

    def __init__(self) -> None:
        self.files: list[UploadedFile[Any]] = []
        self.targets: list[Target[object]] = []

    def spooled(self) -> Iterator[SpooledFile]:
        """The files that the form itself keeps."""
        results = [file.result for file in self.files]
        while results:
            result = results.pop()
            if isinstance(result, SpooledFile):
                yield result
            elif isinstance(result, tuple):  # of a TeeTarget
                results += result

    def __del__(self) -> None:
        if any(not file.closed and file.on_disk for file in self.spooled()):
            names = ", ".join(repr(file.name) for file in self.files)
            warnings.warn(f"unclosed Form with the files {names}", ResourceWarning, stacklevel=2, source=self)


class Form(MultiDict[FormValue]):
    """The fields and files of a form by name, in order: a multidict of ``str`` and :class:`UploadedFile`.

    ``async with`` and ``with`` close it. Then its temporary files are gone. What targets saved elsewhere stays, unless
    the block is left by an exception: then it is undone, see :meth:`discard`. A copy has the same files, and closing
    either closes them.

    :ivar defects: what the policy has forgiven.
    """

    defects: tuple[Defect, ...] = ()
    holdings: Holdings
    """What has to be closed or undone; not for you."""

    # Any: what a multidict is made of
    def __init__(self, *args: Any, **kwargs: FormValue) -> None:
        super().__init__(*args, **kwargs)
        if args and isinstance(args[0], Form):
            self.defects, self.holdings = args[0].defects, args[0].holdings
        else:
            self.holdings = Holdings()

    def copy(self) -> Self:
        """The same entries, to be changed independently."""
        return type(self)(self)

    __copy__ = copy

    @property
    def files(self) -> list[UploadedFile[Any]]:
        """All files, in order."""
        return [value for value in self.values() if isinstance(value, UploadedFile)]

    @overload
    def text(self, name: str) -> str: ...
    @overload
    def text(self, name: str, default: D) -> str | D: ...
    def text(self, name: str, default: object = _MISSING) -> object:
        """The text of a field that is there once.

        :param default: given for a field that is not there.
        :raises FieldError: it is not there (``missing-field``) or more than once (``too-many``), or is a file
            (``not-text``).
        """
        return self._sole(name, default, self._texts)

    @overload
    def file(self, name: str) -> UploadedFile[Any]: ...
    @overload
    def file(self, name: str, default: D) -> UploadedFile[Any] | D: ...
    def file(self, name: str, default: object = _MISSING) -> object:
        """The file of a field that is there once.

        :param default: given for a field that is not there, or whose file was not chosen.
        :raises FieldError: it is not there (``missing-field``) or more than once (``too-many``), or is text
            (``not-a-file``).
        """
        return self._sole(name, default, self._files)

    @overload
    def texts(self, name: str) -> list[str]: ...
    @overload
    def texts(self, name: str, default: D) -> list[str] | D: ...
    def texts(self, name: str, default: object = _MISSING) -> object:
        """The texts of a field, one or more, in order.

        :param default: given for a field that is not there.
        :raises FieldError: it is not there (``missing-field``), or one of them is a file (``not-text``).
        """
        return self._texts(name) or _given(name, default)

    @overload
    def files_of(self, name: str) -> list[UploadedFile[Any]]: ...
    @overload
    def files_of(self, name: str, default: D) -> list[UploadedFile[Any]] | D: ...
    def files_of(self, name: str, default: object = _MISSING) -> object:
        """The files of a field, one or more, in order.

        :param default: given for a field that is not there.
        :raises FieldError: it is not there (``missing-field``), or one of them is text (``not-a-file``).
        """
        return self._files(name) or _given(name, default)

    # Any: JSON is whatever its sender made it
    def json(self, name: str, default: Any = _MISSING) -> Any:
        """The value of a field that is there once, parsed by ``json=True``; text, if its sender did not call it JSON.

        :param default: given for a field that is not there.
        :raises FieldError: it is not there (``missing-field``) or more than once (``too-many``), or is a file
            (``not-text``).
        """
        return self._sole(name, default, self._values)

    def _values(self, name: str) -> list[Any]:
        values = self.getall(name, [])
        if any(isinstance(value, UploadedFile) for value in values):
            raise FieldError(f"field {name!r} is a file", code="not-text", part_name=name)
        return values

    def _sole(self, name: str, default: object, values_of: Callable[[str], list[Any]]) -> object:
        values = values_of(name)
        if len(values) > 1:
            raise FieldError(f"field {name!r} is there {len(values)} times", code="too-many", part_name=name)
        return values[0] if values else _given(name, default)

    def _texts(self, name: str) -> list[str]:
        values = self.getall(name, [])
        if not all(isinstance(value, str) for value in values):
            raise FieldError(f"field {name!r} is no text", code="not-text", part_name=name)
        return [value for value in values if isinstance(value, str)]

    def _files(self, name: str) -> list[UploadedFile[Any]]:
        values = self.getall(name, [])
        if not all(isinstance(value, UploadedFile) for value in values):
            raise FieldError(f"field {name!r} is no file", code="not-a-file", part_name=name)
        return [value for value in values if isinstance(value, UploadedFile)]

    def keep(self) -> None:
        """Let what targets saved stay, whatever happens in the block of ``async with`` or ``with`` from now on."""
        self.holdings.targets.clear()

    async def discard(self) -> None:
        """Undo what targets saved, the last first, and close the form.

        ``abort()`` of each target is called: files and objects are removed, but for those that replaced something.
        A cancellation is held back until that is done.

        :raises Exception: what the first target to fail raised; all are tried.
        """
        await self._discard(None)

    async def _discard(self, error: BaseException | None) -> None:
        targets, self.holdings.targets = self.holdings.targets, []
        try:
            await abort_all(targets, error)
        finally:
            await self.aclose()

    def discard_sync(self) -> None:
        """As :meth:`discard`, without an event loop; targets that have only coroutines cannot be undone so."""
        self._discard_sync(None)

    def _discard_sync(self, error: BaseException | None) -> None:
        targets, self.holdings.targets = self.holdings.targets, []
        try:
            abort_all_sync(targets, error)
        finally:
            self.close()

    async def aclose(self) -> None:
        """Remove the temporary files; a cancellation is held back until that is done."""
        if self.holdings.files:
            await to_its_end(self._aclose())

    async def _aclose(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for file in self.holdings.spooled():
                stack.push_async_callback(file.aclose)

    def close(self) -> None:
        """The same, without an event loop."""
        with contextlib.ExitStack() as stack:
            for file in self.holdings.spooled():
                stack.callback(file.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            await self._discard(exc)
        else:
            self.keep()
            await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc is not None:
            self._discard_sync(exc)
        else:
            self.keep()
            self.close()


def _given(name: str, default: object) -> object:
    if default is _MISSING:
        raise FieldError(f"there is no field {name!r}", code="missing-field", part_name=name)
    return default
