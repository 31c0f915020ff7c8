"""The architecture, held by reading the source: who may import whom, and what importing the library costs."""

from __future__ import annotations

import ast
import builtins
import importlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "aiomultipart"

# A module imports only from rows above its own. A package counts as one module. To add a module, add it to a row: the
# lowest that is below everything it imports.
FLOORS = (
    # as in docs/explanation/architecture.rst
    {"exceptions", "hdrs", "limits"},
    {"headers", "codecs"},
    {"events", "delimiters"},
    {"parser"},
    # From here on there is asyncio.
    {"streams", "sending", "threads", "formparser"},
    {"levels", "payload_base"},
    {"decoding", "payload_files", "targets", "testing"},
    {"bodypart", "payload", "framing"},
    {"reader", "writer"},
    {"forward", "formdata"},
    # The thin layers on top
    {"form", "mjpeg", "byteranges", "related", "batch"},
    {"integrations", "__main__"},
    # The public face imports what it shows, and nothing imports it but the floor below this one.
    {"__init__"},
)
# Two sides that do not know each other; only "forward" knows both.
READING = {"levels", "decoding", "bodypart", "reader"}
WRITING = {"sending", "payload_base", "payload_files", "payload", "framing", "writer", "formdata"}
FIRST_WITH_ASYNCIO = 4
FRAMEWORKS = {"aiohttp", "httpx", "obstore", "starlette"}
WITH_FRAMEWORKS = {"integrations"}
TOP = {"integrations", "__main__"}
LEVEL = {module: level for level, modules in enumerate(FLOORS) for module in modules}
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """The name that the table has for a file."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def label(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def imports(path: Path) -> Iterator[str]:
    """The full name of everything that a file imports, in whatever function or condition."""
    package = ["aiomultipart", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                # "from . import hdrs" names a module, "from .hdrs import DATE" does not.
                yield f"{source}.{alias.name}" if source == "aiomultipart" else source


def imported_modules(path: Path) -> set[str]:
    """The modules of this library that a file imports, by the table's names."""
    found = set()
    for name in imports(path):
        first, _, rest = name.partition(".")
        if first == "aiomultipart":
            module = rest.partition(".")[0]
            found.add(module if module in LEVEL or (PACKAGE / f"{module}.py").exists() else "__init__")
    return found


def test_the_table_names_each_module_once() -> None:
    assert sum(len(modules) for modules in FLOORS) == len(LEVEL)
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=label)
def test_every_module_has_a_floor(path: Path) -> None:
    assert module_of(path) in LEVEL, f"{label(path)} is not in the table FLOORS of {Path(__file__).name}"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_a_module_imports_only_from_lower_floors(path: Path) -> None:
    module = module_of(path)
    own = LEVEL.get(module, 0)
    allowed = {other for other, level in LEVEL.items() if level < own} | {module}
    if module in TOP:
        allowed.add("__init__")  # they may use the public face
    assert imported_modules(path) <= allowed


@pytest.mark.parametrize("path", FILES, ids=label)
def test_reading_and_writing_do_not_know_each_other(path: Path) -> None:
    for one, other in ((READING, WRITING), (WRITING, READING)):
        if module_of(path) in one:
            assert not imported_modules(path) & other


@pytest.mark.parametrize("path", FILES, ids=label)
def test_outside_modules(path: Path) -> None:
    module = module_of(path)
    outside = {name.partition(".")[0] for name in imports(path)}
    if LEVEL.get(module, 0) < FIRST_WITH_ASYNCIO:
        assert "asyncio" not in outside
    if module not in WITH_FRAMEWORKS:
        assert not outside & FRAMEWORKS


@pytest.mark.parametrize("path", FILES, ids=label)
def test_every_module_says_what_it_exports(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    has_all = any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)
    assert has_all or path.name in {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("path", [path for path in FILES if module_of(path) not in TOP], ids=label)
def test_what_a_module_exports_is_there(path: Path) -> None:
    name = ".".join(["aiomultipart", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", ())
    assert isinstance(exported, tuple)
    assert len(set(exported)) == len(exported)
    for each in exported:
        getattr(module, each)


def natural(name: str) -> tuple[int, str]:
    """The order that ruff keeps: constants, classes, then functions and modules."""
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, name


def test_the_public_face() -> None:
    face = importlib.import_module("aiomultipart")
    assert isinstance(face.__all__, tuple)
    assert list(face.__all__) == sorted(set(face.__all__), key=natural)
    for name in face.__all__:
        assert getattr(face, name) is not None


def test_the_public_face_holds_nothing_else() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    shown: set[str] = set()
    for node in tree.body[1:] if isinstance(tree.body[0], ast.Expr) else tree.body:
        if isinstance(node, ast.ImportFrom):
            shown.update(alias.asname or alias.name for alias in node.names)
        else:
            assert isinstance(node, ast.Assign)
            assert [ast.unparse(target) for target in node.targets] == ["__all__"]
    # Who imports all names of a module keeps the builtin.
    assert shown - {"LookupError"} == set(importlib.import_module("aiomultipart").__all__)


def test_to_import_all_names_replaces_no_builtin() -> None:
    names: dict[str, object] = {}
    for module in ("aiomultipart", "aiomultipart.payload", "aiomultipart.targets", "aiomultipart.limits"):
        exec(f"from {module} import *", names)
    assert names.keys() & vars(builtins).keys() <= {"__builtins__", "__doc__", "__name__"}
    # It can be imported, nevertheless.
    exec("from aiomultipart import LookupError", names)
    assert names["LookupError"] is not LookupError


def test_a_cold_import() -> None:
    # In a process of its own, where nothing is imported yet; warnings are errors.
    code = """
        import sys, threading
        before = set(threading.enumerate())
        import aiomultipart
        heavy = {"aiohttp", "httpx", "obstore", "starlette", "brotli", "brotlicffi", "zstandard", "pyzstd", "backports"}
        heavy |= {"compression.zstd", "_zstd", "concurrent.futures.thread", "multiprocessing", "hypothesis", "pytest"}
        found = sorted(heavy & set(sys.modules))
        started = set(threading.enumerate()) - before
        if found or started:
            sys.exit(f"imported {found}, started {started}")
    """
    command = [sys.executable, *["-OO"] * (sys.flags.optimize == 2), "-W", "error", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
