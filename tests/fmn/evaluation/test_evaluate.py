from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset_tools.core.errors import InputError
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation.evaluate import all_scores, evaluate, measure
from fmn.training.checkpoint import load_run

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
CPU = torch.device("cpu")


def test_metrics_json_has_both_directions_with_chance_and_ceiling(workspace: Path, run: Path) -> None:
    found = evaluate(run, workspace / "manifests" / "test.jsonl")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics == found.metrics
    assert list(metrics) == ["audio_to_video", "video_to_audio"]
    for block in metrics.values():
        assert (block["queries"], block["gallery"]) == (12, 12)
        for place in (block, block["chance"], block["ceiling"]):
            for metric in ("instance_hit", "class_hit", "class_recall"):
                assert list(place[metric]) == ["1", "10", "25"]
                assert all(0 <= value <= 100 for value in place[metric].values())
        # 12 items, 3 of each class: one draw hits the class with 3/12, the partner with 1/12.
        assert block["chance"]["class_hit"]["1"] == pytest.approx(25)
        assert block["chance"]["instance_hit"]["1"] == pytest.approx(100 / 12)
        assert block["ceiling"]["class_hit"]["1"] == pytest.approx(100)
        assert block["ceiling"]["instance_hit"]["1"] == pytest.approx(100 / 3)


def test_directions_are_query_to_gallery(workspace: Path) -> None:
    items = load_items(workspace / "manifests" / "test.jsonl")
    # Every utterance ranks one clip first, that of its own class; every clip ranks all utterances alike.
    scores = np.zeros((12, 12), np.float32)
    for utterance in range(12):
        scores[np.flatnonzero(items.relevant[:, utterance])[0], utterance] = 1
    metrics = measure(scores, items)
    assert metrics["audio_to_video"]["class_hit"]["1"] == pytest.approx(100)
    assert metrics["video_to_audio"]["class_hit"]["1"] == pytest.approx((4 * 100 + 8 * 25) / 12)


def test_scores_are_the_models_for_every_pair(workspace: Path, run: Path) -> None:
    loaded = load_run(run, CPU)
    prepared = load_features(load_items(workspace / "manifests" / "test.jsonl"), loaded.config, device=CPU)
    scores = all_scores(loaded, prepared)
    model, data = loaded.model, prepared.data
    with torch.no_grad():
        for clip, utterance in ((0, 0), (3, 11), (11, 4)):
            alone = model.scores(
                model.encode_clips(data.video[clip : clip + 1]),
                model.encode_utterances(data.utterances(np.array([utterance]))),
            )
            assert float(alone) == pytest.approx(scores[clip, utterance], abs=1e-5)


def test_evaluating_twice_gives_the_same_bytes(workspace: Path, run: Path) -> None:
    evaluate(run, workspace / "manifests" / "test.jsonl")
    first = (run / "metrics.json").read_bytes()
    evaluate(run, workspace / "manifests" / "test.jsonl")
    assert (run / "metrics.json").read_bytes() == first


def test_items_that_were_trained_on_are_counted_and_kept_apart_from_the_test(workspace: Path, run: Path) -> None:
    evaluate(run, workspace / "manifests" / "test.jsonl")
    before = (run / "metrics.json").read_bytes()
    found = evaluate(run, workspace / "manifests" / "train.jsonl")
    assert found.path.name == "metrics-train.json"
    assert (run / "metrics.json").read_bytes() == before
    assert any("16 of these 20 clips and 16 of these 20 utterances were trained on" in note for note in found.notes)


def test_a_stand_in_is_said_to_be_one(workspace: Path, run: Path) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    assert not evaluate(run, manifest).is_standin
    (workspace / "manifests" / "build.json").write_text(json.dumps({"stand_in": {"seed": 0}}))
    found = evaluate(run, manifest)
    assert found.is_standin
    assert found.notes[0].startswith("Synthetic (stand-in) corpus")


def test_features_of_another_size_are_refused(workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fmn.data.loading
    from fmn.features.media import FeatureSet

    def wider(items: list[object], *_: object, **__: object) -> FeatureSet:
        return FeatureSet(dim=13, values={item.sha256: np.zeros(13, np.float32) for item in items})  # type: ignore[attr-defined]

    monkeypatch.setattr(fmn.data.loading, "extract_video", wider)
    with pytest.raises(InputError, match="The features have sizes 13 and 8; in training they had 12 and 8"):
        evaluate(run, workspace / "manifests" / "test.jsonl")
