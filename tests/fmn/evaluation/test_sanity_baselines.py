from __future__ import annotations

from pathlib import Path

import pytest

from fmn.config import Config, with_values
from fmn.evaluation.evaluate import evaluate
from fmn.evaluation.sanity_baselines import trivial_rows
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


def test_the_rows_are_those_of_the_systems_trained_for_themselves(workspace: Path, small: Config) -> None:
    manifest, test = workspace / "manifests" / "train.jsonl", workspace / "manifests" / "test.jsonl"
    run = workspace / "runs" / "fmn"
    train(manifest, with_values(small, {"training.epochs": 1}), run)
    found = trivial_rows(run, test)
    assert list(found) == ["lengths", "file_size"]
    alone = workspace / "runs" / "lengths"
    train(manifest, with_values(small, {"system": "lengths"}), alone)
    expected = evaluate(alone, test).metrics["audio_to_video"]
    assert found["lengths"]["audio_to_video"] == {name: expected[name] for name in found["lengths"]["audio_to_video"]}


def test_without_the_training_manifest_there_are_none(workspace: Path, small: Config) -> None:
    manifest, test = workspace / "manifests" / "train.jsonl", workspace / "manifests" / "test.jsonl"
    run = workspace / "runs" / "fmn"
    train(manifest, with_values(small, {"training.epochs": 1}), run)
    manifest.unlink()
    assert trivial_rows(run, test) == {}
