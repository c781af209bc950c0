"""Commands whose stdin, stdout or stderr is closed, full, or not read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = """
import os, subprocess, sys
from pathlib import Path
from dataset_tools.core.command import CommandLine
from dataset_tools.core.console import Terminal
app = CommandLine(is_program=True, help="Works.")

@app.command()
def work(terminal: Terminal, lines: int = 0, ask: bool = False) -> None:
    "Does its work, after it has said something."
    import typer

    for line in range(lines):
        terminal.say(f"line {line}")
    if ask:
        typer.confirm("Go on?", abort=True)
    terminal.progress("work", 1, 2)
    print("to stderr", file=sys.stderr)
    with open("work.bin", "wb") as file:
        os.write(2, b"of a library in C")
        subprocess.run([sys.executable, "-c", "import sys; print('of a process', file=sys.stderr)"], check=True)
        file.write(b"the work")
    terminal.result({"text": "x" * 200_000})

@app.command()
def other(terminal: Terminal) -> None:
    "Another."

app()
"""


def run(command: str, redirection: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    (folder / "commands.py").write_text(COMMANDS)
    line = f"set -o pipefail; {sys.executable} commands.py {command} {redirection}"
    return subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("command", ["--help", "--version", "work --lines 9", "work --json"])
def test_a_full_disk_under_stdout_is_one_message(command: str, tmp_path: Path) -> None:
    ended = run(command, ">/dev/full", tmp_path)
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    assert ended.stderr.count("error: ") == 1
    assert "No space left on device" in ended.stderr
    assert "where:    stdout" in ended.stderr


@pytest.mark.parametrize("command", ["--help", "work --lines 10000", "work --json"])
def test_a_reader_that_has_seen_enough_ends_a_command_silently(command: str, tmp_path: Path) -> None:
    ended = run(command, "| head -c 1", tmp_path)
    assert len(ended.stdout) == 1
    assert ended.returncode == 3
    assert "error" not in ended.stderr.lower()
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "2> >(head -c 0)", "<&-", "<&- 2>&-"])
def test_a_command_works_whatever_becomes_of_stderr_and_stdin(redirection: str, tmp_path: Path) -> None:
    ended = run("work --json", redirection, tmp_path)
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "work.bin").read_bytes() == b"the work"  # a closed stderr is not what is opened next
    assert json.loads(ended.stdout)["ok"]


def test_a_closed_stdout_is_like_one_that_nobody_looks_at(tmp_path: Path) -> None:
    for command in ("--help", "work --lines 3", "work --json"):
        ended = run(command, ">&-", tmp_path)
        assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
        assert "Traceback" not in ended.stderr


def test_nobody_answers_at_a_closed_stdin(tmp_path: Path) -> None:
    ended = run("work --ask", "<&-", tmp_path)
    assert ended.returncode == 3
    assert "Not confirmed: nothing was changed" in ended.stderr
    assert not (tmp_path / "work.bin").exists()
