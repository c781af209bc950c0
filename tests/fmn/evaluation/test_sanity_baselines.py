from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dataset_tools.core.errors import SampleError
from fmn.config import Config, with_values
from fmn.data import loading
from fmn.data.items import load_items
from fmn.evaluation.evaluate import evaluate
from fmn.evaluation.sanity_baselines import trivial_rows
from fmn.features.config import VideoFeatureConfig
from fmn.features.media import FeatureSet, Media
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


def test_the_rows_are_those_of_the_systems_trained_for_themselves(workspace: Path, small: Config) -> None:
    manifest, test = workspace / "manifests" / "train.jsonl", workspace / "manifests" / "test.jsonl"
    run = workspace / "runs" / "fmn"
    train(manifest, with_values(small, {"training.epochs": 1}), run)
    found = trivial_rows(run, load_items(test))
    assert list(found) == ["lengths", "file_size"]
    alone = workspace / "runs" / "lengths"
    train(manifest, with_values(small, {"system": "lengths"}), alone)
    expected = evaluate(alone, test).metrics["audio_to_video"]
    assert found["lengths"]["audio_to_video"] == {name: expected[name] for name in found["lengths"]["audio_to_video"]}


def test_without_the_training_manifest_there_are_none(workspace: Path, small: Config) -> None:
    manifest, test = workspace / "manifests" / "train.jsonl", workspace / "manifests" / "test.jsonl"
    run = workspace / "runs" / "fmn"
    train(manifest, with_values(small, {"training.epochs": 1}), run)
    manifest.write_bytes(test.read_bytes().replace(b'"split":"test"', b'"split":"train"'))
    assert trivial_rows(run, load_items(test)) == {}, "they would be fitted to other items than the run"
    manifest.unlink()
    assert trivial_rows(run, load_items(test)) == {}


def test_items_without_features_of_the_run_are_left_out_of_the_baselines_as_well(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = workspace / "manifests" / "test.jsonl"
    lost = load_items(test).clips[0].sha256
    usual = loading.extract_video

    def some(items: list[Media], config: VideoFeatureConfig, **options: object) -> FeatureSet:
        found = usual(items, config, **options)  # type: ignore[arg-type]
        if config.kind == failing and lost in found.values:
            error = SampleError("no frames")
            return replace(found, values={k: v for k, v in found.values.items() if k != lost}, failures={lost: error})
        return found

    monkeypatch.setattr(loading, "extract_video", some)
    failing = "backbone"
    evaluated = evaluate(run, test)
    assert evaluated.metrics["audio_to_video"]["gallery"] == 11
    found = trivial_rows(run, evaluated.items)
    assert {name: one["audio_to_video"]["gallery"] for name, one in found.items()} == {"lengths": 11, "file_size": 11}
    failing = "duration"  # of the system lengths: it would be measured on other items
    assert list(trivial_rows(run, load_items(test))) == ["file_size"]
