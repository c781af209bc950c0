"""docs/python.md: its script runs, with fewer clips and epochs, and every command has a function that exists."""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import typer.main

from dataset_tools.cli.main import app as data_app
from fmn.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "python.md").read_text("utf-8")
ROWS = re.findall(r"^\| (`.*`) \| `(.*)` \|$", PAGE, re.MULTILINE)
SMALLER = {
    "per_class=20, jobs=2)": "per_class=3, seed=8, jobs=2)",  # those of corpus_of_three
    "count=20": "count=3",
    "BuildOptions(per_class=20)": "BuildOptions(per_class=3, short_side=64)",
    '"training.epochs": 10': '"training.epochs": 1, "training.pairs_per_epoch": 64, "video.kind": "mean_colour"',
}


def commands(name: str, command: Any) -> Iterator[str]:
    """Names of a command and of those within, but of groups that do nothing themselves."""
    within = getattr(command, "commands", {})
    if not within:
        yield name
    for part, each in within.items():
        yield from commands(f"{name} {part}", each)


@pytest.mark.slow
def test_the_script_trains_and_searches(corpus_of_three: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus_of_three, tmp_path / "demo" / "standin")
    [script] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for text, smaller in SMALLER.items():
        assert script.count(text) == 1
        script = script.replace(text, smaller)
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures, *hits = done.stdout.splitlines()
    assert figures.startswith("{'1': ")
    assert [line.split()[0] for line in hits] == [str(rank) for rank in range(1, len(hits) + 1)]
    assert all((tmp_path / "demo" / line.split()[-1]).is_file() for line in hits)


def test_every_command_has_a_function_that_exists() -> None:
    for name in re.findall(r"`((?:dataset_tools|fmn)\.[\w.]+)`", PAGE):
        resolve_name(name)
    listed = set()
    for cell, function in ROWS:
        first, *others = re.findall(r"`([^`]*)`", cell)
        listed |= {first, *(f"{first.rpartition(' ')[0]} {other}" for other in others)}
        module, _, name = function.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name)), function
    programs = {"fmn-data": data_app, "fmn": app}
    names = {name for program, each in programs.items() for name in commands(program, typer.main.get_command(each))}
    expected = {name for name in names if not name.startswith("fmn data ")}  # cli.py, if imported, adds these
    assert {name for name in listed if " --" not in name} == expected


def test_every_function_takes_paths_as_text() -> None:
    for function in (*(function for _, function in ROWS), "fmn.search.search_results.GallerySource"):
        for parameter in inspect.signature(resolve_name(function)).parameters.values():
            assert not re.search(r"\bPath\b(?!.*\bstr\b)", parameter.annotation), f"{function}, {parameter}"
