"""Run mutmut, say how many mutants of each module the tests kill, and show those that survive.

Fails when a module is under 90 %. What is mutated, and which tests look at it, stands in ``pyproject.toml``.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

LEAST = 90  # percent
MEMORY = 4 << 30  # a mutant may loop and collect for ever
KILLED = {"killed", "timeout", "segfault"}
# Functions that are called while their module is imported, which is before mutmut's workers choose a mutant.
AT_IMPORT = ("aiomultipart.parser.framing.x__line_table__mutmut_",)
MUTMUT = str(Path(sys.executable).with_name("mutmut"))


def mutmut(*arguments: str) -> str:
    """What mutmut prints."""
    return subprocess.run([MUTMUT, *arguments], check=True, capture_output=True, text=True).stdout


def survives_import(mutant: str) -> bool:
    """Whether the tests pass where the mutant is chosen from the start."""
    options = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["tool"]["mutmut"]
    tests = options["pytest_add_cli_args_test_selection"] + options["pytest_add_cli_args"]
    environment = os.environ | {"MUTANT_UNDER_TEST": mutant}
    run = [sys.executable, "-m", "pytest", "-qx", *tests]
    return subprocess.run(run, cwd="mutants", env=environment, check=False, stdout=subprocess.DEVNULL).returncode == 0


def main() -> int:
    """The exit status."""
    os.environ["AIOMULTIPART_NO_EXTENSIONS"] = "1"  # the mutants are of the reference
    # mutmut would go on where it left off, whatever the tests have become since.
    shutil.rmtree("mutants", ignore_errors=True)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    subprocess.run([MUTMUT, "run"], check=True)
    modules: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in mutmut("results", "--all", "true").splitlines():
        mutant, _, status = line.strip().partition(": ")
        if mutant.startswith(AT_IMPORT):
            status = "survived" if survives_import(mutant) else "killed"
        modules[mutant.rpartition(".")[0]].append((mutant, status))
    rates = {}
    for module, mutants in modules.items():
        left = [(mutant, status) for mutant, status in mutants if status not in KILLED]
        for mutant, status in left:
            changed = [
                line
                for line in mutmut("show", mutant).splitlines()
                if line[:1] in "+-" and line[:3] not in {"+++", "---"}
            ]
            print(f"\n{mutant}: {status}", *changed, sep="\n")
        rates[module] = (len(mutants) - len(left), len(mutants))
    print()
    for module, (killed, total) in rates.items():
        print(f"{module}: {killed} of {total} mutants killed, {100 * killed / total:.1f} %")
    return 0 if rates and all(100 * killed >= LEAST * total for killed, total in rates.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
