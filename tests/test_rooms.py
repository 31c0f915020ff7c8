"""The rooms, held by reading the source: who may import whom, and what importing the library costs."""

from __future__ import annotations

import ast
import builtins
import importlib
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.rooms import (
    BEHIND_THE_FACE,
    EVERYWHERE,
    FACE,
    FRAMEWORKS,
    KNOWN,
    PACKAGE,
    ROOMS,
    WITH_FRAMEWORKS,
    module_of,
    room_of,
)

ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {module_of(path) for path in FILES} | {"_accelerator"}  # which is compiled


def label(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """The full name of everything that a file imports, in whatever function or condition."""
    package = ["aiomultipart", *path.relative_to(PACKAGE).parts[:-1]]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield f"{source}.{alias.name}", node


def imported_module(name: str) -> str | None:
    """The module of this library that an imported name is, or is in."""
    if name.partition(".")[0] != "aiomultipart":
        return None
    name = name.removeprefix("aiomultipart").removeprefix(".")
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or FACE


def imported_modules(path: Path) -> set[str]:
    return {module for name, _ in imports(path) if (module := imported_module(name)) is not None}


def known(module: str, kind: str) -> set[str]:
    """What the module may do against the table: read others' underscore names (``.``), or import."""
    return {what for which, what in KNOWN if which == module and what.startswith(".") == (kind == "reads")}


def test_the_table_is_one() -> None:
    assert FILES
    modules = [module for name, room in ROOMS.items() for module in room.modules or (name,)]
    assert len(set(modules)) == len(modules)
    for name, room in ROOMS.items():
        assert {*room.imports, *(to for rooms in room.also.values() for to in rooms)} <= {*ROOMS} - {name}


def test_there_is_a_way_up_and_none_down() -> None:
    done: set[str] = set()
    while len(done) < len(ROOMS):
        more = {
            name
            for name, room in ROOMS.items()
            if done.issuperset(room.imports) and all(done.issuperset(rooms) for rooms in room.also.values())
        }
        assert more - done, "rooms that import each other"
        done |= more


@pytest.mark.parametrize("path", FILES, ids=label)
def test_every_module_is_in_a_room(path: Path) -> None:
    module = module_of(path)
    assert module == FACE or room_of(module) is not None, f"{label(path)} is in no room of tests/rooms.py"


@pytest.mark.parametrize("path", FILES, ids=label)
def test_a_room_imports_what_the_table_says(path: Path) -> None:
    module = module_of(path)
    found = {room_of(other) or other for other in imported_modules(path)}
    if module == FACE:
        assert not found & set(BEHIND_THE_FACE)
        return
    name = room_of(module)
    assert name is not None
    room = ROOMS[name]
    allowed = {name, *room.imports, *room.also.get(module.removeprefix(f"{name}."), ())}
    if room.face:
        allowed.add(FACE)
    assert found - allowed == known(module, "imports") & ROOMS.keys()


@pytest.mark.parametrize("path", FILES, ids=label)
def test_outside_modules(path: Path) -> None:
    module = module_of(path)
    name = room_of(module)
    outside = {name.partition(".")[0] for name, _ in imports(path)}
    room = ROOMS[name] if name is not None else None
    loop = room is not None and (room.asyncio == EVERYWHERE or module.removeprefix(f"{name}.") in room.asyncio)
    if not loop:
        assert outside & {"asyncio"} == known(module, "imports") & {"asyncio"}
    if name not in WITH_FRAMEWORKS:
        assert not outside & FRAMEWORKS


def own_names(tree: ast.Module) -> set[str]:
    """The underscore names that a module defines, anywhere: of functions, attributes, slots."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # __slots__
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and is_self(node.value):
            found.add(node.attr)
    return found


def is_self(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        node = node.func
    return isinstance(node, ast.Name) and node.id in {"self", "cls", "super"}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def reads_of_others(path: Path) -> set[str]:
    """Underscore names that a file imports from this library, or reads of what is not its own, as far as one sees."""
    tree = tree_of(path)
    own = own_names(tree)
    outside = {name.partition(".")[0] for name, _ in imports(path)} - {"aiomultipart"}
    found = {
        f".{alias}" for name, _ in imports(path) if imported_module(name) and is_private(alias := name.split(".")[-1])
    }
    found -= {"._accelerator"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and not is_self(node.value):
            of = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr not in own and of not in outside:
                found.add(f".{node.attr}")
    return found


@pytest.mark.parametrize("path", FILES, ids=label)
def test_nobody_reads_anothers_underscore_names(path: Path) -> None:
    module = module_of(path)
    assert reads_of_others(path) == known(module, "reads")


def test_what_is_known_is_of_a_module() -> None:
    assert {module for module, _ in KNOWN} <= MODULES
    assert all(what.startswith(".") or what in {*ROOMS, "asyncio"} for _, what in KNOWN)


def test_no_modules_import_each_other() -> None:
    """Neither two nor several in a circle, those aside that import only to name a type."""
    edges: dict[str, set[str]] = {}
    for path in FILES:
        types = {
            statement
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for statement in node.body
        }
        module = module_of(path)
        names = {imported_module(name) for name, node in imports(path) if node not in types}
        edges[module] = {name for name in names if name is not None} - {module}
    while done := {module for module, others in edges.items() if not others & edges.keys()}:
        edges = {module: others for module, others in edges.items() if module not in done}
    assert not edges


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"], ids=label)
def test_every_package_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree_of(path))


@pytest.mark.parametrize("path", FILES, ids=label)
def test_every_module_says_what_it_exports(path: Path) -> None:
    tree = tree_of(path)
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    targets += [node.target for node in tree.body if isinstance(node, ast.AnnAssign)]
    has_all = any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)
    assert has_all or path.name in {"__init__.py", "__main__.py"}


@pytest.mark.parametrize("path", [path for path in FILES if room_of(module_of(path)) not in WITH_FRAMEWORKS], ids=label)
def test_what_a_module_exports_is_there(path: Path) -> None:
    name = module_of(path)
    module = importlib.import_module("aiomultipart" if name == FACE else f"aiomultipart.{name}")
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
    tree = tree_of(PACKAGE / "__init__.py")
    shown: set[str] = set()
    for node in tree.body[1:] if isinstance(tree.body[0], ast.Expr) else tree.body:
        if isinstance(node, ast.ImportFrom):
            shown.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Expr):
            # What two rooms that do not know each other have to say to each other.
            assert ast.unparse(node).startswith("register_payload(")
        else:
            assert isinstance(node, ast.Assign)
            assert [ast.unparse(target) for target in node.targets] in (["__all__"], ["__version__"])
    # Who imports all names of a module keeps the builtin.
    assert shown - {"LookupError"} == set(importlib.import_module("aiomultipart").__all__)


def test_to_import_all_names_replaces_no_builtin() -> None:
    names: dict[str, object] = {}
    for module in ("aiomultipart", "aiomultipart.writing.payloads.registry", "aiomultipart.targets"):
        exec(f"from {module} import *", names)
    assert names.keys() & vars(builtins).keys() <= {"__builtins__", "__doc__", "__name__"}
    # It can be imported, nevertheless.
    exec("from aiomultipart import LookupError", names)
    assert names["LookupError"] is not LookupError


COLD = """
    import sys, threading
    before = set(threading.enumerate())
    import {module}
    heavy = {{"aiohttp", "httpx", "obstore", "starlette", "brotli", "brotlicffi", "zstandard", "pyzstd", "backports"}}
    heavy |= {{"compression.zstd", "_zstd", "concurrent.futures.thread", "multiprocessing", "hypothesis", "pytest"}}
    found = sorted(heavy & set(sys.modules))
    started = set(threading.enumerate()) - before
    if found or started:
        sys.exit(f"imported {{found}}, started {{started}}")
"""


@pytest.mark.parametrize("module", ["aiomultipart", "aiomultipart.parser"])
def test_a_cold_import(module: str) -> None:
    # In a process of its own, where nothing is imported yet; warnings are errors.
    code = textwrap.dedent(COLD.format(module=module))
    command = [sys.executable, *["-OO"] * (sys.flags.optimize == 2), "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
