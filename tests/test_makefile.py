"""`make` sets up the virtual environment: for a Python that is too old, and again when its interpreter is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parent.parent / "Makefile"


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "--file", str(MAKEFILE), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an installed virtual environment, according to its stamp."""
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", ".venv/.installed"):
        (tmp_path / name).touch()
    (tmp_path / ".venv" / "bin" / "python").symlink_to("/bin/sh")
    return tmp_path


def test_what_is_installed_is_not_installed_again(place: Path) -> None:
    assert "pip install" not in make(place, "--dry-run", "install").stdout
    python = place / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("python3.old")  # gone, as after an upgrade of Python
    said = make(place, "--dry-run", "install").stdout
    assert "-m venv .venv" in said
    assert "pip install" in said


def test_a_python_that_is_too_old_is_named_and_no_environment_is_made(tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    pretended = "import sys; sys.version_info = (3, 9); exec(sys.argv[1])"
    old.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{pretended}' \"$2\"\n")
    old.chmod(0o755)
    ended = make(tmp_path, f"PYTHON={old}", ".venv/bin/python")
    assert ended.returncode == 2
    assert "python3.9 is Python 3.9, the toolkit needs 3.11 or later" in ended.stderr
    assert not (tmp_path / ".venv").exists()
