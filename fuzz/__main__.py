"""``python -m fuzz``: fuzz the targets, each in a process of its own, and keep what they find in the corpus."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path

from . import CORPUS, TARGETS

HERE = Path(__file__).resolve().parent
LIBFUZZER = [
    f"-dict={HERE / 'multipart.dict'}",
    "-timeout=20",  # seconds for one input
    "-rss_limit_mb=2048",
    "-print_final_stats=1",
]


def main() -> int:
    """Run the targets that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all if not given")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--max-len", type=int, default=1024, help="bytes of an input (default: 1024)")
    parser.add_argument("--discard", action="store_true", help="keep no inputs in the corpus but those that fail")
    arguments = parser.parse_args()
    if unknown := set(arguments.targets) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    if sys.version_info[:2] != (3, 11) or importlib.util.find_spec("atheris") is None:
        print(
            f"Fuzzing needs atheris and Python 3.11; {sys.executable} is Python {sys.version.split()[0]}.\n"
            "Name another one: make fuzz PYTHON=python3.11 VENV=.venv-fuzz",
            file=sys.stderr,
        )
        return 1
    failed = [target for target in arguments.targets or TARGETS if not fuzz(target, arguments)]
    if failed:
        print(f"Failed: {', '.join(failed)}; the inputs are in {CORPUS}", file=sys.stderr)
    return bool(failed)


def fuzz(target: str, arguments: argparse.Namespace) -> bool:
    """Fuzz one target; whether it found no fault."""
    corpus = CORPUS / target
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as directory:
        for number, seed in enumerate(importlib.import_module(f"fuzz.{target}").seeds()):
            (Path(directory) / f"seed-{number}").write_bytes(seed)
        # An input that fails goes into the corpus: the tests fail with it until the fault is gone.
        options = [*LIBFUZZER, f"-max_len={arguments.max_len}", f"-artifact_prefix={corpus / 'found-'}"]
        print(f"== {target}, {arguments.seconds} seconds", flush=True)
        fine = run(target, *options, f"-max_total_time={arguments.seconds}", directory, str(corpus))
        if arguments.discard:
            return fine
        # Of the others, those that reach a line that none in the corpus does.
        return run(target, "-merge=1", "-use_counters=0", str(corpus), directory) and fine


def run(target: str, *arguments: str) -> bool:
    """Run libFuzzer on a target; whether it ended well."""
    command = [sys.executable, "-m", "fuzz.under_atheris", target, *arguments]
    return subprocess.run(command, check=False, cwd=HERE.parent).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
