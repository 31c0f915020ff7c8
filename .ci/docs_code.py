"""Check the types of the code in README.rst and docs/: each page is one module, with the line numbers of the page.

pyright and mypy, without their strict rules, look at them in a temporary directory. What the tests add to a page, and
readers do not see, is in its module too: it makes what the page's own prose speaks of.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.test_docs import collect, pages  # noqa: E402

# A page may show two ways to write a function. It knows its own message: where it calls next() there is a part.
SCOPE = ".. test-scope"  # what follows is a function of its own, so that names may mean something else
PYRIGHT = {
    "typeCheckingMode": "basic",
    "reportOptionalMemberAccess": False,
    "reportOptionalSubscript": False,
    "reportPossiblyUnboundVariable": False,
    "reportRedeclaration": False,
}
MYPY = (
    "--check-untyped-defs",
    "--no-strict-optional",
    "--disable-error-code=import-untyped",  # Django
    "--disable-error-code=no-redef",
    "--disable-error-code=var-annotated",
)


def module(text: str) -> str:
    """The code of a page in a coroutine, because it awaits.

    :raises ValueError: there is code where the page's title should be.
    """
    lines = ["\n".join(parts).strip("\n") for parts in zip(*(code.split("\n") for code in collect(text)), strict=True)]
    if any(lines[:2]):
        raise ValueError("a page begins with its title")
    indent = "    "
    shown = text.split("\n")
    for number, line in enumerate(lines):
        if shown[number].strip() == SCOPE:
            lines[number] = f"{indent}async def scope() -> None:"
            indent += "    "
        else:
            lines[number] = textwrap.indent(line, indent)
    body = "\n".join(lines[2:])
    head = "import contextlib; from collections.abc import Callable"
    parameters = "exit_stack: contextlib.AsyncExitStack, printed: Callable[[str], object]"
    return f"{head}\nasync def page({parameters}) -> None:\n{body}\n"


def main() -> int:
    """Write the modules, and run both checkers over them; what they find is on standard output."""
    programs = Path(sys.executable).parent
    with tempfile.TemporaryDirectory() as directory:
        for path in pages():
            name = "_".join(path.relative_to(ROOT).with_suffix(".py").parts).replace("-", "_")
            Path(directory, name).write_text(module(path.read_text("utf-8")), "utf-8")
        Path(directory, "pyrightconfig.json").write_text(json.dumps(PYRIGHT), "utf-8")
        commands = (
            [programs / "pyright", "--pythonpath", sys.executable],
            [programs / "mypy", "--config-file=", "--python-executable", sys.executable, *MYPY, "."],
        )
        return max(subprocess.run(command, cwd=directory, check=False).returncode for command in commands)


if __name__ == "__main__":
    sys.exit(main())
