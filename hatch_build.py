"""The build hook: compiles the accelerator into a wheel, and leaves it out where that cannot be done.

``AIOMULTIPART_NO_EXTENSIONS=1`` leaves it out; with ``AIOMULTIPART_REQUIRE_EXTENSIONS=1`` a build without it fails.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "aiomultipart._accelerator"
SOURCE = "aiomultipart/_accelerator.c"


class CannotBuildError(Exception):
    """Why there will be no accelerator."""


class Accelerator(BuildHookInterface[Any]):
    """The hook, which hatchling finds in this file."""

    PLUGIN_NAME = "custom"

    _directory: str | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, before the files of a wheel are gathered.

        :param version: ``standard``; or ``editable``, where the library stays beside its source.
        """
        if self.target_name != "wheel":
            return
        beside = Path(self.root, "aiomultipart", "_accelerator" + sysconfig.get_config_var("EXT_SUFFIX"))
        try:
            built = self._build()
        except CannotBuildError as exc:
            if os.environ.get("AIOMULTIPART_REQUIRE_EXTENSIONS"):
                raise
            self.app.display_warning(f"aiomultipart is built without its accelerator, in Python alone: {exc}")
            if version == "editable":
                beside.unlink(missing_ok=True)  # it may be older than its source
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        if version == "editable":
            # The old one may be in use, so a new file takes its place.
            copy = beside.with_name(f"{beside.name}.new")
            shutil.copy2(built, copy)
            copy.replace(beside)
        else:
            build_data["force_include"][str(built)] = f"aiomultipart/{beside.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Clear away, after the wheel is written."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _build(self) -> Path:
        """The library, in a directory of its own.

        :raises CannotBuildError: it is not wanted, or there is no compiler, or no Python.h.
        """
        if os.environ.get("AIOMULTIPART_NO_EXTENSIONS"):
            raise CannotBuildError("AIOMULTIPART_NO_EXTENSIONS is set")
        if sys.implementation.name != "cpython":
            raise CannotBuildError(f"it is for CPython, and this is {sys.implementation.name}")
        try:
            from setuptools import Distribution, Extension
            from setuptools.command.build_ext import build_ext
        except ImportError as exc:
            raise CannotBuildError("setuptools, which knows the compilers, is not there") from exc
        self._directory = tempfile.mkdtemp(prefix="aiomultipart-")
        command = build_ext(Distribution({"ext_modules": [Extension(NAME, [SOURCE])]}))
        command.build_lib = self._directory
        command.build_temp = str(Path(self._directory, "objects"))
        before = Path.cwd()
        try:
            os.chdir(self.root)  # paths of objects are made of those of sources
            command.ensure_finalized()
            command.run()
        except Exception as exc:
            # Whatever compilers and their drivers raise
            raise CannotBuildError(str(exc)) from exc
        finally:
            os.chdir(before)
        return Path(command.get_ext_fullpath(NAME))
