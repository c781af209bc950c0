"""docs/tutorials/ as their reader runs them, one after the other, with fewer clips and epochs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
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


def commands_of(page: str) -> str:
    """The blocks of commands of a page, with fewer clips and epochs."""
    commands = "".join(re.findall(r"```bash\n(.*?)```", (TUTORIALS / page).read_text("utf-8"), re.DOTALL))
    for pattern, smaller in SMALLER.items():
        commands = re.sub(pattern, smaller, commands)
    return commands


def test_from_a_corpus_to_a_search_a_comparison_and_an_export(
    corpus_of_three: Path, tmp_path: Path, shell: Callable[..., str], walk: Callable[..., str]
) -> None:
    shutil.copytree(corpus_of_three, tmp_path / "demo" / "standin")
    said = shell(commands_of("synthetic-corpus.md"), tmp_path, COLUMNS="120")
    assert "class hit" in said
    assert "is older than" not in said
    assert (tmp_path / "demo" / "manifests" / "test.jsonl").is_file()
    assert re.search(r"s\d\d-d\d\d_\d{6}-\d{6}", said)  # a clip that the search found
    walk(commands_of("train-and-compare.md"), tmp_path / "demo", COLUMNS="120")
    assert (tmp_path / "demo" / "runs" / "compare" / "compare.md").is_file()
    walk(commands_of("share.md"), tmp_path / "demo", COLUMNS="120")
    assert (tmp_path / "demo" / "shared-recipe" / "SHA256SUMS").is_file()
    assert not list((tmp_path / "demo" / "shared-recipe").rglob("*.mp4"))
