"""Ctrl-C while a program imports its commands, and after its command has ended: a message, and no traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
PROGRAMS = {
    "fmn": ["-c", "from {0} import {1}; {1}()".format(*SCRIPTS["fmn"].split(":"))],
    "fmn-data": ["-c", "from {0} import {1}; {1}()".format(*SCRIPTS["fmn-data"].split(":"))],
    "python -m fmn": ["-m", "fmn"],
    "python -m dataset_tools": ["-m", "dataset_tools"],
    "cli.py": [str(ROOT / "cli.py")],
}
INTERRUPTED = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
AT_EXIT = "import atexit, os, signal\natexit.register(lambda: os.kill(os.getpid(), signal.SIGINT))\n"
MESSAGE = "error: Interrupted\n  next:     run the same command again: it resumes\n"


def ended(program: str, *arguments: str, imports: Path, ignored: bool = False) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a program that imports what is in a folder in place of installed packages."""
    done = subprocess.run(
        [sys.executable, *PROGRAMS[program], *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(imports), str(ROOT)])},
        preexec_fn=(lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) if ignored else None,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_while_a_program_imports_its_commands(program: str, tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(INTERRUPTED)
    assert ended(program, "--help", imports=tmp_path) == (3, "", MESSAGE)


def test_ctrl_c_of_a_program_that_is_asked_for_json(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text(INTERRUPTED)
    code, output, errors = ended("fmn", "eval", "--json", imports=tmp_path)
    error = {"found": "Interrupted", "next": "run the same command again: it resumes"}
    assert (code, json.loads(output), errors) == (3, {"ok": False, "exit_code": 3, "error": error}, "")
    assert ended("fmn", "eval", "--", "--json", imports=tmp_path) == (3, "", MESSAGE)


def test_ctrl_c_that_is_ignored_stays_so_in_imports_and_commands(tmp_path: Path) -> None:
    """As in a job in the background of a shell script."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTED + AT_EXIT)
    code, output, errors = ended("fmn-data", "verify", "-w", str(tmp_path), imports=tmp_path, ignored=True)
    assert (code, output) == (2, "")
    assert "Interrupted" not in errors


def test_ctrl_c_after_the_command(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(AT_EXIT)
    code, output, errors = ended("fmn-data", "--version", imports=tmp_path)
    assert (code, errors) == (3, MESSAGE)
    assert output.startswith("fmn-toolkit ")
