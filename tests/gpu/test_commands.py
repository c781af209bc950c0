"""The commands that a user types, each in a process of its own, with ``--device``.

A rehearsal on the CPU runs all but the training in this process: each of the others would load torch again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from fmn.cli.main import app

pytestmark = pytest.mark.gpu

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def fmn(device: torch.device) -> Callable[..., dict[str, Any]]:
    """Runs a command with the device and gives its JSON."""

    def run(command: str, *arguments: object, on: str = str(device)) -> dict[str, Any]:
        started = time.perf_counter()
        typed = [command, *map(str, arguments), "--device", on, "--json"]
        if device.type == "cpu" and command != "train":
            ended = CliRunner().invoke(app, typed)
            code, said, complaint = ended.exit_code, ended.stdout, ended.stderr
        else:
            done = subprocess.run([sys.executable, "cli.py", *typed], cwd=ROOT, capture_output=True, text=True)
            code, said, complaint = done.returncode, done.stdout, done.stderr
        assert code == 0, complaint + said
        print("\n" + json.dumps({"command": command, "device": on, "seconds": time.perf_counter() - started}))
        found: dict[str, Any] = json.loads(said)
        return found

    return run


@pytest.fixture(scope="module")
def run(small: Path, device: torch.device, cheap_video: tuple[str, ...], fmn: Callable[..., dict[str, Any]]) -> Path:
    """A run trained by command, deterministically: the command itself has to prepare cuBLAS for that."""
    folder = small / "runs" / "fmn"
    epochs = 10 if device.type == "cuda" else 2
    trained = fmn(
        "train",
        small / "manifests" / "train.jsonl",
        "--epochs",
        epochs,
        "--run",
        folder,
        "--set",
        "training.deterministic=true",
        *cheap_video,
    )
    assert trained["epochs"] == epochs
    assert not trained["failures"]
    return folder


def test_eval_gives_the_figures_of_the_cpu(run: Path, fmn: Callable[..., dict[str, Any]]) -> None:
    found = fmn("eval", run, "--update-memory", "--orders", 1)
    assert (run / "metrics.json").is_file()
    expected = fmn("eval", run, "--update-memory", "--orders", 1, on="cpu")
    for direction in ("audio_to_video", "video_to_audio"):
        results, others = found["metrics"][direction], expected["metrics"][direction]
        assert results["class_hit"].keys() == others["class_hit"].keys()
        one_query = 100 / results["queries"]  # of which the rank may be another: its scores are almost equal
        for rank, value in results["class_hit"].items():
            assert value == pytest.approx(others["class_hit"][rank], abs=1.01 * one_query)


def test_search_finds_clips_and_utterances(run: Path, small: Path, fmn: Callable[..., dict[str, Any]]) -> None:
    for option, pattern in (("--speech", "speech/*.wav"), ("--clip", "clips/*.mp4")):
        found = fmn("search", run, option, min(small.glob(pattern)), "--top", 3)
        scores = [hit["score"] for hit in found["hits"]]
        assert scores == sorted(scores, reverse=True)
        assert len(scores) == 3


def test_compare_sets_systems_side_by_side(
    small: Path,
    rehearsed: Callable[..., tuple[str, ...]],
    cheap_video: tuple[str, ...],
    fmn: Callable[..., dict[str, Any]],
) -> None:
    manifests = small / "manifests"
    options = (
        "--models",
        "fmn,two_classifiers",
        "--budget",
        1,
        "--seeds",
        1,
        "--epochs",
        2,
        "--out",
        small / "runs" / "compare",
        *rehearsed("model.hidden_size=8", "model.head_hidden_size=8", "training.threads=1"),
        *cheap_video,
    )
    fmn("compare", manifests / "train.jsonl", manifests / "test.jsonl", *options)
    assert (small / "runs" / "compare" / "compare.json").is_file()


def test_finetune_trains_the_backbone(
    small: Path, rehearsed: Callable[..., tuple[str, ...]], fmn: Callable[..., dict[str, Any]]
) -> None:
    small_pictures = ("video.resize_px=40", "video.crop_px=32", "video.window_frames=8")
    few = rehearsed("video.width=0.0625", "video.weights=random", *small_pictures)
    out = small / "runs" / "finetune"
    found = fmn("finetune", small / "manifests" / "train.jsonl", "--epochs", 1, "--batch", 4, "--out", out, *few)
    assert Path(found["weights"]).exists()
