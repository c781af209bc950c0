"""The scripts as they are called: ``python tools/NAME.py …``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "tools" / f"{name}.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT, check=False)


def test_trivial(small_corpus: Path) -> None:
    printed = run("trivial", small_corpus).stdout.splitlines()
    assert printed[0].startswith("20 intervals")
    assert printed[1].split() == ["chance", "5.0"]
    assert [line.split()[0] for line in printed[2:]] == ["length", "mean", "size"]
    assert all(0 <= float(line.split()[-1]) <= 40 for line in printed[2:])


def test_sheets(small_corpus: Path, tmp_path: Path) -> None:
    printed = run("sheets", small_corpus, tmp_path).stdout.split()
    assert len(printed) == 21  # one a class, and all in one
    assert {str(path) for path in tmp_path.glob("*.jpg")} == set(printed)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("perfect_eyes", ("no-such",)),
        ("ablation_figures", ("no-such",)),
        ("new_classes_figures", ("plot.png", "no-such")),
    ],
)
def test_a_wrong_argument_is_named_without_a_traceback(name: str, arguments: tuple[str, ...]) -> None:
    refused = run(name, *arguments)
    assert refused.returncode == 1
    assert "no-such" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("content", ["", "[]", '{"format": "fmn.tuned/1"}'])
@pytest.mark.parametrize(("name", "before"), [("ablation_figures", ()), ("new_classes_figures", ("plot.png",))])
def test_a_file_of_something_else_is_named_without_a_traceback(
    name: str, before: tuple[str, ...], content: str, tmp_path: Path
) -> None:
    (tmp_path / "other.json").write_text(content)
    refused = run(name, *before, tmp_path / "other.json")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"{tmp_path / 'other.json'} ")
    assert "Traceback" not in refused.stderr


def test_ablation_figures(tmp_path: Path) -> None:
    hits = {name: {"class_hit": {"1": 40.0}} for name in ("audio_to_video", "video_to_audio")}
    row = {"group": "a", "variant": "on", "map": {"mean": 70.0}, "difference": {"mean": 0.0}, **hits}
    row |= {"retrained": True, "is_default": True, "slots": 20.0}
    (tmp_path / "ablation.json").write_text(json.dumps({"format": "fmn.ablation/1", "rows": [row]}))
    printed = run("ablation_figures", tmp_path / "ablation.json").stdout
    assert printed.startswith("1 corpora.")
    assert "| a | on (default) | 20 | 70.0 |  | 40.0 | 40.0 |" in printed
    assert run("ablation_figures").returncode == 1


def test_standin_figures_names_what_is_no_comparison(tmp_path: Path) -> None:
    refused = run("standin_figures", tmp_path / "out", tmp_path / "a", tmp_path / "b")
    assert refused.returncode == 1
    assert str(tmp_path / "a") in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()
