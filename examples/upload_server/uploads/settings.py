"""What can be set, each by an environment variable; docs/how-to/upload-server.rst lists them."""

from __future__ import annotations

import dataclasses
import os
import pkgutil
import re
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self, TypeAlias

from aiomultipart import ReceivedPart

__all__ = ("Scanner", "Settings")

_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

Scanner: TypeAlias = Callable[[str, ReceivedPart], Awaitable[str | None]]
"""Gets where a file is (its path, or its ``s3:`` URL) and its part; gives the reason to reject it, or None."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How the server is set up. The field ``max_files`` is the variable ``UPLOAD_MAX_FILES``, and so on."""

    storage: str = dataclasses.field(default_factory=lambda: _default_directory().as_uri())
    """Where files go: ``file:`` and a directory, or ``s3://bucket/prefix``."""
    keep: float = 24 * 60 * 60
    """How old, in seconds, a stored file has to be for the next start to remove it; ``inf``: none is."""
    max_file_size: int = 1 << 30
    """Of one file, in bytes. K, M, G and T may follow the number."""
    max_total_size: int = 2 << 30
    """Of one request, in bytes."""
    max_files: int = 20
    """In one request."""
    content_types: tuple[str, ...] = ()
    """Which are taken, separated by commas: ``image/*,application/pdf``; all, if there are none."""
    max_uploads: int = 64
    """How many are received at the same time."""
    rate: str = "120/minute"
    """How many uploads one client may begin, in the notation of ``limits``; empty for no bound."""
    stall_timeout: float = 30
    """For how many seconds an upload may send nothing."""
    max_watched: int = 1000
    """Of how many uploads the progress is known."""
    scanner: Scanner | None = None
    """Looks at each file before it is accepted; as a variable ``module:function``."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Settings of the environment.

        :raises ValueError: a variable has a value that cannot be read; the error names it.
        """
        values: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            variable = f"UPLOAD_{field.name.upper()}"
            if variable in environ:
                try:
                    values[field.name] = _READERS[str(field.type)](environ[variable].strip())
                except (ValueError, ImportError, AttributeError) as exc:
                    raise ValueError(f"{variable}: {exc}") from exc
        return cls(**values)


def _default_directory() -> Path:
    return Path(tempfile.gettempdir(), "aiomultipart-uploads")


def _integer(text: str) -> int:
    found = re.fullmatch(r"([0-9]+)\s*([KMGT]?)(?:i?B)?", text, re.ASCII | re.IGNORECASE)
    if found is None:
        raise ValueError(f"{text!r} is no number, with or without K, M, G or T")
    return int(found[1]) * _UNITS[found[2].upper()]


def _seconds(text: str) -> float:
    seconds = float(text)
    if not seconds > 0:
        raise ValueError(f"{text!r} is no number of seconds")
    return seconds


def _list(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _scanner(text: str) -> Scanner | None:
    if not text:
        return None
    scanner: Scanner = pkgutil.resolve_name(text)
    return scanner


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "str": str,
    "int": _integer,
    "float": _seconds,
    "tuple[str, ...]": _list,
    "Scanner | None": _scanner,
}
