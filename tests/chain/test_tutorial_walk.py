"""docs/tutorials/ as their reader runs them, one after the other, with fewer clips and epochs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
SMALLER = {
    r"(fmn-data standin .*) --per-class 20": r"\1 --per-class 3 --seed 8",  # those of corpus_of_three
    r"--per-class 20": "--per-class 3",
    r"--classes 20": "--classes 3 --short-side 64",
    r"(fmn train .*--preset demo)": r"\1 --epochs 1 --set training.pairs_per_epoch=64",
    r"--models \S+ --seeds 3": "--models two_classifiers,class_towers --seeds 1 --budget 1 --epochs 1",
}

pytestmark = pytest.mark.slow


def run(page: str, folder: Path) -> str:
    """Runs the blocks of a page in a shell that stops at the first command that fails; gives what it printed."""
    commands = "".join(re.findall(r"```bash\n(.*?)```", (TUTORIALS / page).read_text("utf-8"), re.DOTALL))
    for pattern, smaller in SMALLER.items():
        commands = re.sub(pattern, smaller, commands)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_from_a_corpus_to_a_search_a_comparison_and_an_export(corpus_of_three: Path, tmp_path: Path) -> None:
    shutil.copytree(corpus_of_three, tmp_path / "demo" / "standin")
    said = run("synthetic-corpus.md", tmp_path)
    assert "class hit" in said
    assert (tmp_path / "demo" / "manifests" / "test.jsonl").is_file()
    assert re.search(r"s\d\d-d\d\d_\d{6}-\d{6}", said)  # a clip that the search found
    run("train-and-compare.md", tmp_path / "demo")
    assert (tmp_path / "demo" / "runs" / "compare" / "compare.md").is_file()
    run("share.md", tmp_path / "demo")
    assert (tmp_path / "demo" / "shared-recipe" / "SHA256SUMS").is_file()
    assert not list((tmp_path / "demo" / "shared-recipe").rglob("*.mp4"))
