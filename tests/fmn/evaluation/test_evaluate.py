from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

import fmn.evaluation.evaluate
from dataset_tools.core.errors import InputError
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.config import Config, with_values
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation import run_notes
from fmn.evaluation.evaluate import all_scores, evaluate, measure, plan_evaluation
from fmn.evaluation.plots import plan_plots, plot_run
from fmn.evaluation.run_notes import notes_of_run
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.training.checkpoint import load_run
from fmn.training.run_state import read_run_state
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
CPU = torch.device("cpu")


def test_metrics_json_has_both_directions_with_chance_and_ceiling(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = workspace / "manifests" / "test.jsonl"
    found, test = evaluate(run, manifest), manifest.read_bytes()
    content = (run / "metrics.json").read_bytes()

    def beside_pairs(*arguments: Any, **options: Any) -> Any:
        manifest.write_bytes(test.partition(b"\n")[2])
        return load_features(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(fmn.evaluation.evaluate, "load_features", beside_pairs)
        evaluate(run, manifest)
    assert (run / "metrics.json").read_bytes() == content
    metrics = json.loads(content)
    assert metrics.pop("manifest") == {"name": "test.jsonl", "sha256": hashlib.sha256(test).hexdigest()}
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


def rows_of(workspace: Path, name: str) -> list[SplitPairRow]:
    return list(read_rows(workspace / "manifests" / name, SplitPairRow))


def as_test(workspace: Path, name: str, rows: Sequence[SplitPairRow]) -> Path:
    """A test manifest of these training rows."""
    path = workspace / "manifests" / name
    write_rows(path, [msgspec.structs.replace(row, split="test", fold=None) for row in rows])
    return path


def renamed(row: SplitPairRow) -> SplitPairRow:
    """The same files under other ids."""
    clip = msgspec.structs.replace(row.clip, id=f"copy-{row.clip.id}")
    spoken = msgspec.structs.replace(row.utterance, id=f"copy-{row.utterance.id}", clip=f"copy-{row.utterance.clip}")
    return msgspec.structs.replace(row, id=f"copy-{row.id}", clip=clip, utterance=spoken)


def known(notes: Sequence[str]) -> list[str]:
    return [note.split(" were trained on or validated on")[0] for note in notes if "validated on" in note]


def test_other_manifests_keep_apart_from_the_test(workspace: Path, run: Path) -> None:
    evaluate(run, workspace / "manifests" / "test.jsonl")
    before = (run / "metrics.json").read_bytes()
    found = evaluate(run, workspace / "manifests" / "train.jsonl")
    assert found.path.name == "metrics-train.json"
    fewer = as_test(workspace, "fewer.jsonl", rows_of(workspace, "test.jsonl")[:9])
    elsewhere = workspace / "elsewhere" / "test.jsonl"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(fewer.read_bytes())
    assert evaluate(run, fewer).path.name == "metrics-fewer.json"
    assert evaluate(run, elsewhere).path.name == "metrics-test.json"
    assert (run / "metrics.json").read_bytes() == before
    about = json.loads((run / "metrics-fewer.json").read_text())["manifest"]
    assert about == {"name": "fewer.jsonl", "sha256": hashlib.sha256(fewer.read_bytes()).hexdigest()}


def test_metrics_of_moved_manifests_replace_those_of_the_test(workspace: Path, run: Path) -> None:
    evaluate(run, workspace / "manifests" / "test.jsonl")
    before = json.loads((run / "metrics.json").read_text())["manifest"]
    moved = (workspace / "manifests").rename(workspace / "moved")
    rows = list(read_rows(moved / "test.jsonl", SplitPairRow))
    write_rows(moved / "test.jsonl", rows[:9])
    assert evaluate(run, moved / "test.jsonl").path.name == "metrics.json"
    assert json.loads((run / "metrics.json").read_text())["manifest"] != before
    assert evaluate(run, moved / "train.jsonl").path.name == "metrics-train.json"


def test_results_on_other_data_are_apart_from_those_of_a_test_that_is_gone(
    workspace: Path, run: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(workspace, tmp_path / "other")) / "manifests" / "test.jsonl"
    write_rows(other, rows_of(workspace, "test.jsonl")[:9])
    evaluate(run, workspace / "manifests" / "test.jsonl")
    before = (run / "metrics.json").read_bytes()
    kept = (workspace / "manifests" / "test.jsonl").rename(tmp_path / "test.jsonl")
    assert plan_evaluation(run, other).files == (run / "metrics-test.json",)
    assert evaluate(run, other).path.name == "metrics-test.json"
    assert {path.parent for path in plan_plots(run, other).files} == {run / "plots-test"}
    assert {path.parent for path in plot_run(run, other).files} == {run / "plots-test"}
    assert not (run / "plots").exists()
    assert (run / "metrics.json").read_bytes() == before
    assert evaluate(run, kept, root=workspace).path.name == "metrics.json", "the test itself, at another place"
    assert {path.parent for path in plot_run(run, kept, root=workspace).files} == {run / "plots"}


def test_items_that_the_run_knows_are_counted_by_id_and_by_content(workspace: Path, run: Path) -> None:
    assert known(evaluate(run, workspace / "manifests" / "test.jsonl").notes) == []
    trained = workspace / "manifests" / "train.jsonl"
    assert known(evaluate(run, trained).notes) == ["20 of the 20 clips and 20 of the 20 utterances"]
    # Item i of a class is in fold i, and fold 0 selected the epoch.
    rows = rows_of(workspace, "train.jsonl")
    of_fold_0 = [row for row in rows if row.clip.person == "s00" and row.utterance.voice == "voice0"]
    held = as_test(workspace, "held.jsonl", of_fold_0)
    assert known(evaluate(run, held).notes) == ["4 of the 4 clips and 4 of the 4 utterances"]
    some = [row for row in rows if row.clip.person in ("s00", "s01") and row.utterance.voice == "voice2"]
    fresh = rows_of(workspace, "test.jsonl")
    copies = as_test(workspace, "copies.jsonl", [*map(renamed, some), *fresh])
    assert known(evaluate(run, copies).notes) == ["8 of the 20 clips and 4 of the 16 utterances"]


def test_without_the_training_manifest_items_are_known_by_their_ids(
    workspace: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of(workspace, "train.jsonl")
    same, copies = as_test(workspace, "same.jsonl", rows), as_test(workspace, "copies.jsonl", [*map(renamed, rows)])
    (workspace / "manifests" / "train.jsonl").write_text("")
    assert known(evaluate(run, same).notes) == ["20 of the 20 clips and 20 of the 20 utterances"]
    notes = evaluate(run, copies).notes
    assert known(notes) == []
    assert any("recognized by their ids only" in note for note in notes)
    state = read_run_state(run)
    assert state is not None
    monkeypatch.setattr(run_notes, "read_run_state", lambda _: state)
    for validated in (None, []):  # as of earlier versions, and of a split of pairs
        state.validated_clips = state.validated_utterances = validated
        notes = evaluate(run, same).notes
        assert known(notes) == ["16 of the 20 clips and 16 of the 20 utterances"]
        is_told = any("earlier version: the items of its fold 0 are not recognized" in note for note in notes)
        assert is_told == (validated is None)


def test_classes_that_were_not_trained_on_are_named(workspace: Path, small: Config) -> None:
    rows = rows_of(workspace, "train.jsonl")
    fewer = workspace / "manifests" / "fewer.jsonl"
    write_rows(fewer, [row for row in rows if row.label.id[-1] in "12"])
    train(fewer, with_values(small, {"training.epochs": 1}), workspace / "runs" / "fewer")
    test = workspace / "manifests" / "test.jsonl"
    notes = [note for note in evaluate(workspace / "runs" / "fewer", test).notes if "not trained on" in note]
    assert notes == ["2 of 4 classes were not trained on: wash_thing0, wash_thing3."]


def test_memories_without_slots_are_said_to_be_empty(workspace: Path, run: Path, small: Config) -> None:
    test = workspace / "manifests" / "test.jsonl"
    assert not [note for note in evaluate(run, test).notes if "T1" in note]
    none = with_values(small, {"memory.score_threshold": 0.999999, "training.epochs": 1})
    for system in ("fmn", "class_towers"):
        empty = workspace / "runs" / system
        train(workspace / "manifests" / "train.jsonl", with_values(none, {"system": system}), empty)
        notes = [note for note in evaluate(empty, test).notes if "T1" in note]
        assert [note.split(":")[0] for note in notes] == (["The memories are empty"] if system == "fmn" else [])

    loaded = load_run(run, CPU)
    model = loaded.model
    assert isinstance(model, FeatureMemoryNetwork)
    first = int(model.memory.slot_classes[0])
    model.memory.slot_classes[model.memory.slot_classes == first] = (first + 1) % 4
    notes = [note for note in notes_of_run(loaded, loaded.about.sources, ({}, {})) if "T1" in note]
    assert len(notes) == 1
    assert notes[0].startswith("1 class has no slot in the memories")
    assert notes[0].endswith(f": {loaded.about.classes[first].id}.")


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
