"""What worker processes import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dataset_tools.core import execution
from dataset_tools.core.execution import _imported_by_workers

PROGRAM = """
from dataset_tools.core.command import CommandLine
from dataset_tools.core.console import Terminal
from dataset_tools.core.execution import run_each
print("imported", flush=True)
app = CommandLine(is_program=True)
@app.command()
def modules(terminal: Terminal):
    for outcome in run_each(eval, ["'typer' in __import__('sys').modules"] * 2, jobs=2):
        print(outcome.error or outcome.result)
if __name__ == "__main__":
    try:
        app()
    finally:
        print(__file__)
"""


def test_workers_do_not_import_the_program_that_starts_them(tmp_path: Path) -> None:
    """A console script imports all commands, which would take longer than many a sample."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    ended = subprocess.run([sys.executable, script, "modules"], capture_output=True, text=True, check=True)
    assert ended.stdout == f"imported\nFalse\nFalse\n{script}\n"  # a script that calls it keeps its own name


def identity(item: str) -> str:
    return item


def test_workers_of_a_script_are_forked_with_what_it_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "script.py", raising=False)
    imported = ("dataset_tools.core.execution", "fmn.config", "fmn.training.train")
    for name in imported:
        monkeypatch.setitem(sys.modules, name, execution)
    assert set(imported) <= set(_imported_by_workers(identity))
    monkeypatch.delattr(sys.modules["__main__"], "__file__")  # as in a command
    assert _imported_by_workers(identity) == [identity.__module__]
