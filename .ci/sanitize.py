"""Build the accelerator with AddressSanitizer and UndefinedBehaviorSanitizer, run the parser's tests over it, and then
random messages against the reference for as many seconds as the command line says. For Linux, with gcc or clang.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
RANDOM = """
import itertools, random, sys, time
from aiomultipart._accelerator import PushMultipartParser
from tests.support.side_by_side import compare_at_random
end, start = time.monotonic() + float(sys.argv[1]), random.randrange(1 << 40)
for seed in itertools.count(start):
    if time.monotonic() > end:
        break
    compare_at_random(PushMultipartParser, seed)
print(f"{seed - start} random messages from seed {start} on, without a difference")
"""


def main() -> int:
    """The exit status."""
    seconds = sys.argv[1] if len(sys.argv) > 1 else "60"
    compiler = os.environ.get("CC", "gcc")
    with tempfile.TemporaryDirectory(prefix="sanitize-") as directory:
        copy = Path(directory)
        shutil.copy(ROOT / "pyproject.toml", copy)
        for name in ("aiomultipart", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
        library = copy / "aiomultipart" / f"_accelerator{sysconfig.get_config_var('EXT_SUFFIX')}"
        source = copy / "aiomultipart" / "_accelerator.c"
        include = sysconfig.get_path("include")
        subprocess.run(
            [compiler, *FLAGS, "-fPIC", "-shared", f"-I{include}", str(source), "-o", str(library)], check=True
        )
        # The runtime has to come first in a program that was built without it.
        runtimes = [
            subprocess.run(
                [compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True
            ).stdout.strip()
            for name in ("libasan.so", "libubsan.so")
        ]
        environment = os.environ | {
            "LD_PRELOAD": " ".join(runtimes),
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # CPython keeps much to its end
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONMALLOC": "malloc",
            "AIOMULTIPART_NO_EXTENSIONS": "",
        }
        tests = ["-q", "-W", "error", "-p", "no:cacheprovider", "--timeout=600", "tests/parser"]
        tests += ["-k", "not python"]  # the reference's turn
        # Memory that is set aside after it was freed looks like a leak.
        tests += ["--deselect=tests/parser/test_accelerator.py::test_memory_is_flat"]
        for command in (["-m", "pytest", *tests], ["-c", RANDOM, seconds]):
            done = subprocess.run([sys.executable, *command], cwd=copy, env=environment, check=False)
            if done.returncode != 0:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
