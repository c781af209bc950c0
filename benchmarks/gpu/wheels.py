"""Wheel download: fills a folder with wheels for ``make gpu`` on a machine without a network.

    python -m benchmarks.gpu.wheels gpu-wheels [--python 3.12] [--all]

Without ``--all``: what a machine with the usual packages of machine learning lacks, for Linux x86-64, small enough to
travel. With it: every dependency but torch and numpy, for a machine that has nothing else (tests check the names, but
do not install them). Versions are those of constraints.txt. What the features and the training need is there; what only
building a data set needs (espeak-ng, ffmpeg's program) is left out of the small folder, since the inputs are made
beforehand.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LACKING = (
    *("av", "msgspec", "soundfile", "cffi", "pycparser"),
    *("pytorchvideo", "fvcore", "iopath", "yacs", "termcolor", "parameterized", "portalocker", "tabulate"),
    *("typer", "rich", "markdown-it-py", "mdurl", "pygments", "shellingham", "annotated-doc"),
    *("pydantic", "pydantic-core", "annotated-types", "typing-inspection"),  # typer's
    *("pytest", "pytest-timeout", "pluggy", "iniconfig"),
)
SOURCE_ONLY = ("fvcore", "iopath", "pytorchvideo")  # no wheels are published of these: pure Python, built here
INSTALLED_THERE = ("torch", "numpy")
NEWEST_GLIBC = 31  # of the tags manylinux_2_N that are taken


def main() -> None:
    """Fills the folder and prints what it holds."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="version of the machine's Python")
    parser.add_argument("--all", action="store_true", help="every dependency but torch and numpy")
    options = parser.parse_args()
    names = every_dependency() if options.all else LACKING
    found = fill(options.folder, names, options.python)
    size = sum(path.stat().st_size for path in found) / 2**20
    print(f"{len(found)} wheels for Python {options.python}, {size:.1f} MiB  → {options.folder}")


def fill(folder: Path, names: tuple[str, ...], python: str) -> list[Path]:
    """Downloads or builds a wheel of each name; what lay there before is removed."""
    for old in folder.glob("*.whl"):
        old.unlink()
    pinned = pins()
    wanted = {name: f"{name}=={pinned[name]}" if name in pinned else name for name in names}
    platforms = [f"manylinux_2_{minor}_x86_64" for minor in range(NEWEST_GLIBC, 4, -1)]
    platforms += ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
    target = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    target += [part for platform in platforms for part in ("--platform", platform)]
    binary = [wanted[name] for name in names if name not in SOURCE_ONLY]
    source = [wanted[name] for name in names if name in SOURCE_ONLY]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "download", "--no-deps", "--dest", str(folder), *target, *binary], check=True)
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(folder), *source], check=True)
    found = sorted(folder.glob("*.whl"))
    for path in found:
        if canonicalize_name(path.name.split("-")[0]) in SOURCE_ONLY and not path.name.endswith("-py3-none-any.whl"):
            sys.exit(f"{path.name} is not pure Python: built for this machine, it may not run on another")
    return found


def pins() -> dict[str, str]:
    """Versions of constraints.txt by canonical name."""
    lines = Path("constraints.txt").read_text().splitlines()
    pairs = (re.fullmatch(r"([\w.-]+)==(\S+)", line) for line in lines)
    return {canonicalize_name(pair[1]): pair[2] for pair in pairs if pair}


def every_dependency() -> tuple[str, ...]:
    """What is installed here of the project's dependencies and theirs, and of what its tests on a card need."""
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    left = [Requirement(text) for text in (*project["dependencies"], "pytest", "pytest-timeout")]
    found: set[str] = set()
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        if name in found or name in INSTALLED_THERE:
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            needs = distribution(name).requires or []
        except PackageNotFoundError:
            sys.exit(f"{name} is not installed here, so its own needs are not known; make install-dev first")
        found.add(name)
        left += map(Requirement, needs)
    return tuple(sorted(found))


if __name__ == "__main__":
    main()
