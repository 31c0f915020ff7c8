"""How it is built: with the accelerator where that can be compiled, and in Python alone anywhere else."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("hatchling")

ROOT = Path(__file__).resolve().parents[2]
SUFFIXES = tuple(importlib.machinery.EXTENSION_SUFFIXES)
LIBRARY = f"aiomultipart/_accelerator{sysconfig.get_config_var('EXT_SUFFIX')}"


def can_compile() -> bool:
    compiler = (sysconfig.get_config_var("CC") or "").split()
    header = Path(sysconfig.get_path("include"), "Python.h")
    has_setuptools = importlib.util.find_spec("setuptools") is not None
    return bool(compiler) and shutil.which(compiler[0]) is not None and header.exists() and has_setuptools


needs_a_compiler = pytest.mark.skipif(not can_compile(), reason="there is no compiler, or no Python.h")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy, with libraries of an editable build in it that no other build may take."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "hatch_build.py", "README.rst", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copy)
    ignore = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(ROOT / "aiomultipart", copy / "aiomultipart", ignore=ignore)
    for stale in (LIBRARY, "aiomultipart/_accelerator.so", "aiomultipart/_accelerator.pyd"):
        (copy / stale).write_bytes(b"stale")
    return copy


def build(checkout: Path, target: str, *, fails: bool = False, **environment: str) -> Path | None:
    out = checkout.parent / f"out-{len(list(checkout.parent.iterdir()))}"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("AIOMULTIPART_")}
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)],
        cwd=checkout,
        env=plain | environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    if fails:
        assert "CannotBuildError" in done.stderr
        return None
    (built,) = out.iterdir()
    return built


def names_in(wheel: Path | None) -> list[str]:
    assert wheel is not None
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def check_pure(wheel: Path | None) -> None:
    assert wheel is not None
    assert wheel.name.endswith("-py3-none-any.whl")
    names = names_in(wheel)
    assert "aiomultipart/parser/push.py" in names
    assert not [name for name in names if name.endswith((".c", *SUFFIXES, ".so", ".pyd"))]


def check_compiled(wheel: Path | None) -> None:
    assert wheel is not None
    assert "none-any" not in wheel.name
    assert not [name for name in names_in(wheel) if name.endswith(".c")]
    assert [name for name in names_in(wheel) if name.endswith((".so", ".pyd"))] == [LIBRARY]
    with zipfile.ZipFile(wheel) as archive:
        assert archive.read(LIBRARY) != b"stale"


@needs_a_compiler
def test_a_wheel(checkout: Path, tmp_path: Path) -> None:
    wheel = build(checkout, "wheel")
    check_compiled(wheel)
    assert wheel is not None
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    code = f"import sys; sys.path.insert(0, {str(installed)!r}); import aiomultipart.parser as p; "
    code += "print(p.__file__, p.implementation)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.split() == [str(installed / "aiomultipart/parser/__init__.py"), "c"]


@pytest.mark.skipif(os.name == "nt", reason="CC is not how a compiler is named there")
def test_without_a_compiler(checkout: Path) -> None:
    check_pure(build(checkout, "wheel", CC="/bin/false"))


def test_turned_off(checkout: Path) -> None:
    check_pure(build(checkout, "wheel", AIOMULTIPART_NO_EXTENSIONS="1"))


@pytest.mark.skipif(os.name == "nt", reason="CC is not how a compiler is named there")
def test_required(checkout: Path) -> None:
    build(checkout, "wheel", fails=True, CC="/bin/false", AIOMULTIPART_REQUIRE_EXTENSIONS="1")


def test_from_an_sdist(checkout: Path, tmp_path: Path) -> None:
    sdist = build(checkout, "sdist")
    assert sdist is not None
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
        if hasattr(tarfile, "data_filter"):  # 3.11.2 has none
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path / "sdist")
    assert not [name for name in names if name.endswith((".so", ".pyd"))]
    assert {"aiomultipart/_accelerator.c", "hatch_build.py"} <= {name.partition("/")[2] for name in names}
    (source,) = (tmp_path / "sdist").iterdir()
    check_pure(build(source, "wheel", AIOMULTIPART_NO_EXTENSIONS="1"))
    if can_compile():
        check_compiled(build(source, "wheel"))


def test_an_editable_build(checkout: Path) -> None:
    pytest.importorskip("editables")
    library = checkout / LIBRARY
    names = names_in(build(checkout, "wheel:editable", AIOMULTIPART_NO_EXTENSIONS="1"))
    assert not [name for name in names if name.endswith((".c", *SUFFIXES))]
    assert not library.exists()  # what was there may be older than its source
    if can_compile():
        names = names_in(build(checkout, "wheel:editable"))
        assert not [name for name in names if name.endswith((".c", *SUFFIXES))]
        assert library.read_bytes() != b"stale"
        check_pure(build(checkout, "wheel", AIOMULTIPART_NO_EXTENSIONS="1"))


def test_the_makefile_knows_the_source(checkout: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("there is no make")
    shutil.copy(ROOT / "Makefile", checkout)
    (checkout / ".venv").mkdir()
    for name in (".stamp-base", ".stamp-test"):
        (checkout / ".venv" / name).touch()

    def planned() -> str:
        # Not the variables of a make that runs the tests.
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        command = ["make", "--dry-run", "test", f"PYTHON={sys.executable}", "VENV=.venv"]
        return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True, env=environment).stdout

    assert "--editable" not in planned()
    later = (checkout / ".venv" / ".stamp-test").stat().st_mtime + 10
    os.utime(checkout / "aiomultipart" / "_accelerator.c", (later, later))
    assert "--editable" in planned()
