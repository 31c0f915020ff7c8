"""The Python blocks of README.rst and docs/ run.

The blocks of one page run in order, in one namespace, inside an event loop; ``await`` is allowed at the top level. Two
kinds of reStructuredText comment hold code that is not rendered:

``.. test-setup``
    runs before the page's blocks, wherever it stands;
``.. test-check``
    runs in its place, between the blocks.

Both are comments, not directives, so there is no ``::`` after the name. The namespace has ``exit_stack``, an
``AsyncExitStack`` that is closed after the page, and the working directory is a temporary one. Line numbers in
tracebacks are those of the page.

``.. test-scope`` has what follows checked for its types as a function of its own, so that old code and new code may
stand in one page; it makes no difference here. ``.. test-requires name`` skips a page where that module is missing.

A page may show whole programs, and what they print:

* ``asyncio.run(...)`` at the top level runs in a thread, beside the loop of the page and the servers in it.
* ``.. code-block:: text`` with ``:class: output`` holds the last lines that were printed before it.
* A set-up that fills ``stands_for``, a dict, has strings that begin with one of its keys begin with its value instead:
  the URL of a server that the set-up has started.
"""

import ast
import asyncio
import contextlib
import importlib.util
import inspect
import io
import re
import sys
import textwrap
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r"(?P<indent> *)\.\. +"
    r"(?:(?P<hidden>test-setup|test-check)|(?:code-block|code|sourcecode):: *(?P<language>python3?|text)) *"
)
OUTPUT = ":class: output"
REQUIRES = re.compile(r"^\.\. test-requires (\w+)$", re.MULTILINE)
OPTION = re.compile(r" +:[\w-]+:( .*)?")
TIMEOUT = 30


def collect(text: str) -> tuple[str, str]:
    """The set-up code and the page's code, each as long as the page, with all other lines blank."""
    lines = text.splitlines()
    setup = [""] * len(lines)
    page = [""] * len(lines)
    number = 0
    while number < len(lines):
        block = BLOCK.fullmatch(lines[number])
        number += 1
        if block is None:
            continue
        options = number
        while block["hidden"] is None and number < len(lines) and OPTION.fullmatch(lines[number]):
            number += 1
        start = number
        is_output = OUTPUT in map(str.strip, lines[options:start])
        if block["language"] == "text" and not is_output:
            continue
        indent = block["indent"] + " "
        while number < len(lines) and (not lines[number].strip() or lines[number].startswith(indent)):
            number += 1
        shown = textwrap.dedent("\n".join(lines[start:number]))
        code = shown.split("\n")
        if is_output:
            code = [f"printed({shown.strip()!r})", *[""] * (len(code) - 1)]
        target = setup if block["hidden"] == "test-setup" else page
        target[start:number] = code
    return "\n".join(setup), "\n".join(page)


def pages() -> list[Path]:
    """The pages that have code in them."""
    found = [ROOT / "README.rst"]
    found += sorted(path for path in ROOT.glob("docs/**/*.rst") if "_build" not in path.parts)
    return [path for path in found if collect(path.read_text("utf-8"))[1].strip()]


class Adapted(ast.NodeTransformer):
    """A page whose programs run in a thread, and whose URLs are those of servers in the test."""

    def __init__(self, stands_for: Mapping[str, str]) -> None:
        self._stands_for = stands_for

    def visit_Module(self, node: ast.Module) -> ast.AST:
        for number, statement in enumerate(node.body):
            if ast.unparse(statement).startswith("asyncio.run("):
                call = ast.parse(f"await asyncio.to_thread({ast.unparse(statement)[:-1].replace('(', ', ', 1)})").body[
                    0
                ]
                for inner in ast.walk(call):
                    ast.copy_location(inner, statement)
                node.body[number] = call
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        for shown, real in self._stands_for.items():
            if isinstance(node.value, str) and node.value.startswith(shown):
                return ast.copy_location(ast.Constant(real + node.value.removeprefix(shown)), node)
        return node


async def run(source: str, path: Path, namespace: dict[str, object]) -> None:
    stands_for = namespace.get("stands_for", {})
    assert isinstance(stands_for, dict)
    tree = Adapted(stands_for).visit(ast.parse(source, str(path)))
    # optimize=0: the pages' own asserts stay under -OO.
    code = compile(tree, str(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True, optimize=0)
    result = eval(code, namespace)
    if inspect.isawaitable(result):
        await result


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
async def test_page(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in REQUIRES.findall(path.read_text("utf-8")):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    setup, page = collect(path.read_text("utf-8"))
    module = types.ModuleType("docs_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look their module up
    monkeypatch.chdir(tmp_path)
    out = io.StringIO()

    def printed(text: str) -> None:
        lines = text.splitlines()
        assert out.getvalue().splitlines()[-len(lines) :] == lines

    async with asyncio.timeout(TIMEOUT), contextlib.AsyncExitStack() as exit_stack:
        exit_stack.enter_context(contextlib.redirect_stdout(out))
        module.__dict__.update(exit_stack=exit_stack, printed=printed)
        await run(setup, path, module.__dict__)
        await run(page, path, module.__dict__)


def test_the_readme_has_code() -> None:
    assert ROOT / "README.rst" in pages()


def test_collect() -> None:
    text = textwrap.dedent(
        """\
        .. code-block:: python
           :caption: x

           a = [
               1,
           ]

        Text.

          .. code-block:: python

             b = 2
        .. test-setup

           c = 3

        .. code-block:: text

           no = 1

        .. test-check

           d = 4"""
    )
    setup, page = collect(text)
    assert setup.split() == ["c", "=", "3"]
    assert setup.split("\n").index("c = 3") == text.split("\n").index("   c = 3")
    assert ast.unparse(ast.parse(page)) == "a = [1]\nb = 2\nd = 4"
    assert page.split("\n").index("d = 4") == text.split("\n").index("   d = 4")
