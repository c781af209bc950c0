"""Virtual environment for ``make gpu`` on top of the installed torch, with missing packages from wheels.

    python -m benchmarks.gpu.environment --venv DIR --wheels DIR --device cuda

Nothing that is installed is changed or replaced: torch stays what and where it was, or this fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

# Found, not imported, which takes seconds: importing it is left to benchmarks.gpu.facts.
TORCH = """
from importlib import metadata, util
print(metadata.version("torch"), util.find_spec("torch").origin)
"""
# pip's copy of packaging: there is no other for certain. Prints the distributions that need no wheel.
PRESENT = """
import json, sys, tomllib
from importlib.metadata import distributions
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name
found = {canonicalize_name(one.metadata["Name"]): one.version for one in distributions() if one.metadata["Name"]}
wanted = map(Requirement, tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"])
old = {canonicalize_name(one.name) for one in wanted
       if one.name in found and not one.specifier.contains(found[one.name], prereleases=True)}
print(json.dumps(sorted(found.keys() - (old - {"torch"}))))
"""


def main() -> None:
    """Makes the environment and prints the facts of the machine as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("--venv", type=Path, required=True)
    parser.add_argument("--wheels", type=Path, required=True)
    parser.add_argument("--device", required=True)
    options = parser.parse_args()
    before = _output(Path(sys.executable), "-c", TORCH)
    python = make_venv(options.venv)
    added = install_missing(python, options.wheels)
    after = _output(python, "-c", TORCH)
    if after != before:
        sys.exit(
            f"The environment has another torch: {after}; expected the installed one, {before}; the wheels: {added}"
        )
    print(f"torch {before}; added {', '.join(added) or 'nothing'}", flush=True)
    print(
        subprocess.run([python, "-m", "pip", "check"], capture_output=True, text=True, check=False).stdout, flush=True
    )
    print(_nvidia_smi(), flush=True)
    facts = subprocess.run([python, "-m", "benchmarks.gpu.facts", "--device", options.device], check=False)
    sys.exit(facts.returncode)


def make_venv(folder: Path) -> Path:
    """Makes a fresh virtual environment that sees all that the running interpreter sees; gives its interpreter.

    Where the running one is of a virtual environment itself, ``--system-site-packages`` would show the packages of the
    interpreter that this was made from, and not its own: so they are named one by one.
    """
    venv.EnvBuilder(clear=True, symlinks=True).create(folder)
    python = folder / "bin" / "python"
    inside = _output(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    seen = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    lines = [f"import site; site.addsitedir({path!r})" for path in seen if Path(path).is_dir()]
    (Path(inside) / "installed-before.pth").write_text("\n".join(lines) + "\n")
    if subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False).returncode:
        subprocess.run([python, "-m", "ensurepip"], check=True)
    return python


def install_missing(python: Path, wheels: Path) -> list[str]:
    """Installs the wheels whose package is missing, or older than the project needs; gives their names."""
    present = set(json.loads(_output(python, "-c", PRESENT)))
    found = sorted(wheels.glob("*.whl"))
    chosen = [wheel for wheel in found if _name_of(wheel) not in present]
    if chosen:
        options = (
            "--no-index",
            "--no-deps",
            "--no-cache-dir",
            "--no-compile",
            "--quiet",
            "--disable-pip-version-check",
        )
        subprocess.run([python, "-m", "pip", "install", *options, *map(str, chosen)], check=True)
    return [wheel.name for wheel in chosen]


def _name_of(wheel: Path) -> str:
    return re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()


def _output(python: Path, *arguments: str) -> str:
    done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{python} {' '.join(arguments)[:80]} failed:\n{done.stderr}")
    return done.stdout.strip()


def _nvidia_smi() -> str:
    program: Any = shutil.which("nvidia-smi") or "/usr/local/nvidia/bin/nvidia-smi"
    if not os.access(program, os.X_OK):
        return "no nvidia-smi"
    return subprocess.run([program], capture_output=True, text=True, timeout=20, check=False).stdout


if __name__ == "__main__":
    main()
