"""Build what is released, and try it as those do who install it: ``make dist``.

    python .ci/dist.py [PYTHON...]

makes ``dist/`` with the sdist, a wheel for the running interpreter and one in Python alone, has twine look at them,
installs each in an empty environment of each PYTHON, runs a program there, and has pyright say how complete the types
of the installed package are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"

PROGRAM = """
import asyncio, sys
import aiomultipart
from aiomultipart import MultipartReader, MultipartWriter, parse_form
from aiomultipart.parser import implementation

with MultipartWriter("form-data") as body:
    body.append("Sunset").set_content_disposition("form-data", name="title")
    body.append(b"bytes").set_content_disposition("form-data", name="photo", filename="a.jpg")
form = parse_form(body.http_headers(), body.to_bytes())
assert form.text("title") == "Sunset" and form.file("photo").read_sync() == b"bytes"

async def read():
    return [await part.read() async for part in MultipartReader(body.http_headers(), body.to_bytes())]

assert asyncio.run(read()) == [b"Sunset", b"bytes"]
assert not {"aiohttp", "httpx", "starlette", "rich"} & sys.modules.keys()
print(implementation)
"""


def run(*command: str | Path, **options: object) -> str:
    """Its standard output; what fails ends this program."""
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, command))} has failed")
    return str(done.stdout)


def build() -> list[Path]:
    """The sdist, the wheel of this interpreter, the pure one."""
    shutil.rmtree(DIST, ignore_errors=True)
    for options, variable in (([], "AIOMULTIPART_REQUIRE_EXTENSIONS"), (["--wheel"], "AIOMULTIPART_NO_EXTENSIONS")):
        command: list[str | Path] = [sys.executable, "-m", "build", *options, "--outdir", DIST, ROOT]
        run(*command, env=os.environ | {variable: "1"}, stderr=subprocess.STDOUT)
    (sdist,) = DIST.glob("*.tar.gz")
    (pure,) = DIST.glob("*-py3-none-any.whl")
    (compiled,) = set(DIST.glob("*.whl")) - {pure}
    run(sys.executable, "-m", "twine", "check", "--strict", *DIST.iterdir())
    return [sdist, compiled, pure]


def is_for(path: Path, python: str) -> bool:
    """Whether it is for that interpreter, as far as its version goes."""
    tag = run(python, "-c", "import sys; print(f'cp{sys.version_info[0]}{sys.version_info[1]}')").strip()
    return path.suffix != ".whl" or f"-{tag}-" in path.name or "-py3-" in path.name


def try_it(path: Path, python: str) -> None:
    """Install it in an empty environment, and run the program there."""
    with tempfile.TemporaryDirectory() as directory:
        installed = install(str(path), python, directory)
        implementation = run(installed, "-W", "error", "-c", PROGRAM, cwd=directory).strip()
        expected = {"python"} if "-py3-" in path.name else {"c"} if path.suffix == ".whl" else {"c", "python"}
        if implementation not in expected:
            sys.exit(f"{path.name} runs in {implementation}")
        print(f"{path.name}: {run(installed, '-V').strip()}, implementation {implementation!r}", flush=True)


def check_types(path: Path) -> None:
    """Whether pyright knows the type of all that is public, where everything is installed that it works with."""
    with tempfile.TemporaryDirectory() as directory:
        installed = install(f"{path}[all]", sys.executable, directory)
        # Pyright looks for packages where the first python of PATH does.
        environment = os.environ | {"PATH": f"{installed.parent}{os.pathsep}{os.environ['PATH']}"}
        command = (Path(sys.executable).with_name("pyright"), "--verifytypes", "aiomultipart", "--ignoreexternal")
        told = run(*command, cwd=directory, env=environment)
        if "Type completeness score: 100%" not in told:
            sys.exit(f"{told}\nnot all types are known")
        print("pyright knows all types", flush=True)


def install(what: str, python: str, directory: str) -> Path:
    """Make an environment, and install there; its interpreter."""
    run(python, "-m", "venv", directory)
    installed = Path(directory, "bin", "python")
    run(installed, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", what)
    return installed


def main() -> None:
    """Build, then try all in each interpreter that was named, or in the running one."""
    made = build()
    for python in sys.argv[1:] or [sys.executable]:
        for path in made:
            if is_for(path, python):
                try_it(path, python)
    check_types(made[1])


if __name__ == "__main__":
    main()
