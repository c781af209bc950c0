from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.comparison.compare import _of_capacity, _shared, compare
from fmn.comparison.comparison_plan import Comparison, Entry, describe, plan_comparison
from fmn.comparison.rendering import markdown
from fmn.config import as_dict, flattened, preset, with_values
from fmn.data.items import load_items
from fmn.systems import find_system
from fmn.training.run_state import read_run_state

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


GREEDY = """
from dataclasses import replace
from fmn.models.baselines.cca import SYSTEM as CCA

SYSTEM = replace(CCA, name="greedy", grid=lambda config: [{"options.dims": 10 + number} for number in range(30)])
"""


def test_every_system_gets_its_budget_and_every_winner_its_seeds(
    planned: Callable[..., Comparison], trainings: list[str]
) -> None:
    done: list[tuple[int, int]] = []
    comparison = planned("fmn", "cca", "lengths")
    results = compare(comparison, progress=lambda stage, now, total, note="": done.append((now, total)))
    systems = results.values["systems"]
    assert results.failed == {}
    assert [len(systems[name]["configurations"]) for name in ("fmn", "cca", "lengths")] == [2, 2, 1]
    for name in ("fmn", "cca", "lengths"):
        tried = [each["validation_map"] for each in systems[name]["configurations"]]
        chosen = int(np.argmax(tried))
        assert systems[name]["chosen"] == systems[name]["configurations"][chosen]["changes"]
        assert len([run for run in trainings if run.startswith(f"{name} ")]) == len(tried) + 2
        assert f"{name} {chosen} 1" in trainings
        assert [Path(run).name for run in systems[name]["runs"]] == ["0", "1"]
        assert systems[name]["seconds"] > 0
        assert systems[name]["cpu_seconds"] > 0
        assert systems[name]["tuning_cpu_seconds"] > 0
    assert comparison.runs == len(trainings) == 4 + 4 + 3
    counts = [pair for pair in done if pair[1] == comparison.runs]
    assert counts[-1] == (11, 11)
    assert all(now <= total for now, total in done)


def test_every_system_is_tested_with_fold_0_trained_on(planned: Callable[..., Comparison]) -> None:
    comparison = planned("fmn", "class_towers", "two_classifiers", "kcca", "lengths", seeds=2, budget=1)
    items = load_items(comparison.train)
    outside = set(items.pairs[items.folds != 0, 0].tolist())  # clips that are fitted where fold 0 chooses
    assert 0 < len(outside) < len(items.clips)
    values = compare(comparison).values
    for name, system in values["systems"].items():
        (tried,) = system["configurations"]
        chosen = read_run_state(Path(tried["run"]))
        assert chosen is not None
        assert len(chosen.fitted_clips) == len(outside), name
        for run in map(Path, system["runs"]):
            state = read_run_state(run)
            assert state is not None
            assert state.fitted_clips == [row.id for row in items.clips], name
            assert state.fitted_utterances == [row.id for row in items.utterances], name
            assert state.epoch == tried["best_epoch"], name


def test_windows_and_trials_are_the_same_for_every_system(workspace: Path) -> None:
    manifests = workspace / "manifests"
    for budget, expected in ((1, 1), (3, 3), (9, 4)):
        comparison = plan_comparison(
            *(manifests / f"{side}.jsonl" for side in ("train", "test")),
            workspace / "runs",
            changes={"video.windows": 4},
            budget=budget,
            device="cpu",
        )
        trials = {name: len(tried) for name, tried in comparison.candidates.items()}
        nothing_to_tune = {name: trials.pop(name) for name in ("lengths", "file_size")}
        assert set(nothing_to_tune.values()) == {1}
        assert set(trials.values()) == {expected}, trials
        every = [each.config for tried in comparison.candidates.values() for each in tried]
        assert {config.video.windows for config in every} == {4}
        assert {config.training.augment for config in every} == {every[0].training.augment}
        assert not any(config.training.refit for config in every)


def test_a_longer_grid_brings_no_more_trials(
    planned: Callable[..., Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "systems" / "greedy.py").write_text(GREEDY)
    monkeypatch.delitem(sys.modules, "fmn.models.baselines.greedy", raising=False)
    tried = planned("fmn", "greedy", "lengths", budget=20).candidates
    assert {name: len(each) for name, each in tried.items()} == {"fmn": 4, "greedy": 4, "lengths": 1}


def test_a_system_that_cannot_be_trained_is_left_out_unless_it_is_named(
    planned: Callable[..., Comparison], workspace: Path
) -> None:
    """MusiCNN has no other loss than the triplet loss."""

    def planned_with(changes: dict[str, object]) -> Comparison:
        manifests = [workspace / "manifests" / f"{side}.jsonl" for side in ("train", "test")]
        return plan_comparison(*manifests, workspace / "runs", changes=changes, device="cpu")

    off: dict[str, object] = {"training.triplet": "off"}
    every, comparison = planned_with({}), planned_with(off)
    assert every.candidates.keys() - comparison.candidates.keys() == {"musicnn"}
    assert not every.left_out
    [(name, reason)] = comparison.left_out.items()
    assert (name, reason) == ("musicnn", "musicnn has no other loss than the triplet loss, and training.triplet is off")
    with pytest.raises(InputError, match="musicnn has no other loss"):
        planned("fmn", "musicnn", changes=off)
    own = planned_with({"video.features": "video.npz", "audio.features": "audio.npz"})
    assert own.left_out["one_frame"].startswith("video: features are of whole clips, but frames is 'middle'")
    assert every.candidates.keys() - own.candidates.keys() == own.left_out.keys()
    assert {"fmn", "kcca", "mean_colour", "musicnn"} < own.candidates.keys()
    with pytest.raises(InputError, match=r"training\.tripelt is unknown"):
        planned_with({"training.tripelt": "off"})
    with pytest.raises(InputError, match=r"options\.ridge is unknown"):
        planned_with({"options.ridge": 0.1})
    noted = replace(planned("file_size", budget=1, seeds=1), left_out=comparison.left_out)
    assert f"musicnn is left out. {reason}." in compare(noted).values["notes"]


def test_what_cannot_be_compared_is_refused(planned: Callable[..., Comparison], workspace: Path) -> None:
    with pytest.raises(InputError, match="There is no system 'gpt'"):
        planned("fmn", "gpt")
    with pytest.raises(InputError, match="no such manifest"):
        plan_comparison(workspace / "train.jsonl", workspace / "test.jsonl", workspace / "runs")
    with pytest.raises(InputError, match=r"options\.ridge is unknown"):
        plan_comparison(
            workspace / "manifests" / "train.jsonl",
            workspace / "manifests" / "test.jsonl",
            workspace / "runs",
            models=["cca", "fmn"],
            changes={"options.ridge": 0.1},
        )
    with pytest.raises(InputError, match="trains on fold 0"):
        plan_comparison(
            workspace / "manifests" / "train.jsonl",
            workspace / "manifests" / "test.jsonl",
            workspace / "runs",
            changes={"training.refit": True},
        )
    with pytest.raises(InputError, match="is for one system, fmn"):
        plan_comparison(
            workspace / "manifests" / "train.jsonl",
            workspace / "manifests" / "test.jsonl",
            workspace / "runs",
            changes=flattened(as_dict(preset("demo"))),  # a whole config.json
        )
    with pytest.raises(InputError, match="is for one system, fmn") as several:
        plan_comparison(
            workspace / "manifests" / "train.jsonl",
            workspace / "manifests" / "test.jsonl",
            workspace / "runs",
            models=["fmn", "cca"],
            changes={"system": "fmn"},
        )
    assert "or use --models fmn" in (several.value.next_step or "")
    assert not (workspace / "runs").exists()


def test_configurations_are_not_selected_without_fold_0(planned: Callable[..., Comparison], workspace: Path) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    rows = list(read_rows(manifest, SplitPairRow))
    write_rows(manifest, [msgspec.structs.replace(row, fold=row.fold or 1) for row in rows])
    with pytest.raises(InputError, match="There is no fold 0 to select configurations on") as refused:
        planned("cca", "lengths", budget=2)
    assert "--budget 1" in (refused.value.next_step or "")
    assert planned("lengths", budget=2).candidates.keys() == {"lengths"}  # has nothing to select
    with pytest.raises(InputError, match="Nothing is validated, so training cannot stop early"):
        planned("fmn", budget=1, changes={"training.patience": 3})  # before all of its trainings fail
    values = compare(planned("cca", budget=1, seeds=1)).values
    assert any("There is no fold 0" in note for note in values["notes"])
    assert "on fold 0" not in markdown(values).partition("## ")[0]


def test_fewer_slots_than_classes_are_noted_for_systems_with_slots(planned: Callable[..., Comparison]) -> None:
    candidates = planned("fmn", "class_towers", "cca").candidates  # with 10 slots
    entries = {name: Entry(find_system(name), tried) for name, tried in candidates.items()}
    assert _of_capacity(entries, classes=10) == [None]
    (note,) = _of_capacity(entries, classes=11)
    assert str(note).startswith("memory.capacity is 10, but there are 11 classes")


def test_a_fold_0_that_shares_its_items_is_noted(planned: Callable[..., Comparison], workspace: Path) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    rows = list(read_rows(manifest, SplitPairRow))
    write_rows(manifest, [msgspec.structs.replace(row, fold=number % 5) for number, row in enumerate(rows)])
    (note,) = (note for note in compare(planned("cca", seeds=1)).values["notes"] if "too high" in note)
    assert note.startswith("Fold 0 shares its clips and utterances with the other folds")


def test_a_whole_configuration_goes_with_its_own_system_alone(workspace: Path) -> None:
    config = with_values(preset("demo"), {"memory.capacity": 33})
    planned = plan_comparison(
        workspace / "manifests" / "train.jsonl",
        workspace / "manifests" / "test.jsonl",
        workspace / "runs",
        models=["fmn"],
        changes=flattened(as_dict(config)),
    )
    ((first, *_),) = planned.candidates.values()
    assert first.config == config


def test_items_of_both_manifests_are_counted(workspace: Path) -> None:
    train, test = (load_items(workspace / "manifests" / f"{name}.jsonl") for name in ("train", "test"))
    assert _shared(train, test) == ()
    count, spoken = len(train.clips), len(train.utterances)
    (note,) = _shared(train, train)
    assert f"{count} of the {count} clips and {spoken} of the {spoken} utterances to test on are in the" in note
    copies = tuple(msgspec.structs.replace(row, id=f"copy-{row.id}") for row in train.clips[:3])
    (note,) = _shared(train, replace(test, clips=(*test.clips, *copies)))
    assert note.startswith("3 of the 15 clips and 0 of the 12 utterances to test on are in the training manifest")


def test_changes_are_named_for_people() -> None:
    assert describe({}) == "as it is"
    assert describe({"training.learning_rate": 0.001, "training.negatives": "hard"}) == (
        "learning_rate=0.001, negatives=hard"
    )


def test_the_example_of_the_documentation_is_a_system(
    planned: Callable[..., Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[3] / "docs" / "comparing.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    (tmp_path / "systems" / "contrastive.py").write_text(code)
    monkeypatch.delitem(sys.modules, "fmn.models.baselines.contrastive", raising=False)
    comparison = planned("lengths", "contrastive", "vmnet", seeds=1, budget=1)
    assert list(comparison.candidates) == ["vmnet", "contrastive", "lengths"]
    results = compare(comparison)
    assert results.failed == {}
    assert results.values["systems"]["contrastive"]["parameters"] > 0
