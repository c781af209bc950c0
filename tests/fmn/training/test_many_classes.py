"""More classes than the 50 slots of the paper."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import fmn.training.train
from dataset_tools.core.errors import InputError
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.comparison.comparison_plan import plan_comparison
from fmn.config import PRESETS, Config, MemoryConfig, as_published, with_values
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.memory_capacity import capacity_note, with_capacity
from fmn.systems import find_system
from fmn.training.checkpoint import load_run
from fmn.training.run_state import RunState
from fmn.training.train import plan_training, train

pytestmark = pytest.mark.usefixtures("one_thread")
CLASSES, ITEMS = 60, 3
CAPACITY = 150  # the paper has 50 slots for 20 classes


@pytest.fixture
def config(workspace: Path, small: Config) -> Config:
    """60 classes of three clips and three utterances, the first ones in fold 0, with features of their own."""
    row = next(iter(read_rows(workspace / "manifests" / "train.jsonl", SplitPairRow)))
    random = np.random.default_rng(0)
    rows = []
    for part in ("video", "audio"):
        (workspace / "own" / part).mkdir(parents=True)
    for number in range(CLASSES):
        label = msgspec.structs.replace(row.label, id=f"wash_thing{number:02d}", subject=f"thing{number:02d}")
        video, audio = 2 * random.normal(size=16), 2 * random.normal(size=12)
        clips, utterances = [], []
        for index in range(ITEMS):
            name = f"{label.id}-{index}"
            np.save(workspace / "own" / "video" / f"{name}.npy", (video + random.normal(size=16)).astype("f4"))
            np.save(workspace / "own" / "audio" / f"{name}u.npy", (audio + random.normal(size=(6, 12))).astype("f4"))
            own = {"class_id": label.id}
            sha = f"{number * ITEMS + index:064x}"
            clips.append(msgspec.structs.replace(row.clip, id=name, sha256=f"a{sha[1:]}", **own))
            utterances.append(
                msgspec.structs.replace(row.utterance, id=f"{name}u", clip=name, sha256=f"b{sha[1:]}", **own)
            )
        for left in range(ITEMS):
            for right in range(ITEMS):
                clip, utterance = clips[left], utterances[right]
                if (left == 0) == (right == 0):
                    pair = {"label": label, "clip": clip, "utterance": utterance, "fold": min(left, 1)}
                    rows.append(msgspec.structs.replace(row, id=f"{clip.id}__{utterance.id}", **pair))
    write_rows(workspace / "manifests" / "train.jsonl", sorted(rows, key=lambda one: one.id))
    values = {"video.features": str(workspace / "own" / "video"), "audio.features": str(workspace / "own" / "audio")}
    return with_values(small, {"memory": {}, "training.batch_size": 32, **values})


def slots_of(run: Path) -> tuple[int, set[int]]:
    """Number of slots of a run, and the classes that have one."""
    model = load_run(run, torch.device("cpu")).model
    assert isinstance(model, FeatureMemoryNetwork)
    return model.memory.capacity, set(model.memory.slot_classes[: model.memory.size].tolist())


def test_every_class_has_a_slot(workspace: Path, config: Config) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    config = with_values(config, {"memory.score_threshold": 0.0})
    summary = train(manifest, config, workspace / "runs" / "one")
    assert summary.classes == CLASSES
    assert not any("memory.capacity" in note for note in summary.notes)
    assert slots_of(workspace / "runs" / "one") == (CAPACITY, set(range(CLASSES)))
    assert load_run(workspace / "runs" / "one", torch.device("cpu")).config.memory.capacity == CAPACITY
    assert train(manifest, config, workspace / "runs" / "one").already_finished


def test_there_are_at_most_as_many_slots_as_are_valid(config: Config) -> None:
    for classes, slots in ((26_214, 65_535), (26_215, 65_536), (30_000, 65_536), (65_536, 65_536), (70_000, 65_536)):
        found = with_capacity(config, classes)
        assert found.memory.capacity == slots
        note = capacity_note(found, classes)
        assert (note is not None) == (classes > slots)
        assert note is None or "Leave" not in note


def test_fewer_slots_than_classes_are_noted(workspace: Path, config: Config) -> None:
    config = with_values(config, {"memory.capacity": 59, "memory.score_threshold": 0.0, "training.epochs": 1})
    summary = train(workspace / "manifests" / "train.jsonl", config, workspace / "runs" / "one")
    (note,) = (note for note in summary.notes if "memory.capacity" in note)
    assert "memory.capacity is 59, but there are 60 classes" in note
    assert note.endswith("Leave memory.capacity out for enough slots.")
    capacity, classes = slots_of(workspace / "runs" / "one")
    assert (capacity, len(classes)) == (59, 59)


def test_few_classes_slots_without_classes_and_pseudo_labels_keep_the_number_of_the_paper(
    workspace: Path, config: Config
) -> None:
    manifest = workspace / "manifests" / "train.jsonl"
    pairs = with_values(config, {"training.labels": "pairs"})
    for classes in (1, 20, 50):
        assert with_capacity(config, classes).memory.capacity == 50
    for other in (as_published(config), pairs, with_values(config, {"memory.class_slots": False})):
        assert plan_training(manifest, other).config.memory.capacity == 50


def test_50_slots_that_were_configured_are_not_taken_for_the_default(workspace: Path, config: Config) -> None:
    """The note on them says to leave the number out, which has to have an effect."""
    manifest, run = workspace / "manifests" / "train.jsonl", workspace / "runs" / "one"
    few = with_values(config, {"training.epochs": 1, "memory.capacity": 50})
    summary = train(manifest, few, run)
    assert any(note.endswith("Leave memory.capacity out for enough slots.") for note in summary.notes)
    with pytest.raises(InputError, match=r"memory\.capacity was 50, is 150"):
        train(manifest, with_values(few, {"memory.capacity": None}), run)
    assert train(manifest, few, run).already_finished
    other = workspace / "runs" / "other"
    fmn_without_memory = with_values(few, {"model.score": "s1"})  # has no note
    assert not any("memory.capacity" in note for note in train(manifest, fmn_without_memory, other).notes)
    with pytest.raises(InputError, match=r"memory\.capacity was 50, is 150"):
        train(manifest, with_values(fmn_without_memory, {"memory.capacity": None}), other)


def test_a_run_of_an_earlier_version_keeps_its_50_slots(
    workspace: Path, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its config.json has the earlier default, which was not given, either; its state lacks how a default is set."""
    manifest, run = workspace / "manifests" / "train.jsonl", workspace / "runs" / "one"
    config = with_values(config, {"training.epochs": 1})
    with monkeypatch.context() as patch:
        patch.setattr(fmn.training.train, "RunState", lambda slots_by_classes, **values: RunState(**values))
        train(manifest, with_values(config, {"memory.capacity": 50}), run)
    assert plan_training(manifest, config, run=run).config.memory.capacity == 50
    assert train(manifest, config, run).already_finished
    assert train(manifest, with_values(config, {"training.epochs": 2}), run).epochs == 2
    assert slots_of(run)[0] == 50
    with pytest.raises(InputError, match=r"memory\.capacity was 50, is 150"):
        train(manifest, with_values(config, {"memory.capacity": CAPACITY}), run)
    other = workspace / "runs" / "other"
    train(manifest, with_values(config, {"memory.capacity": 59}), other)
    with pytest.raises(InputError, match=r"memory\.capacity was 59, is 150"):
        train(manifest, config, other)


def test_the_usual_number_of_slots_is_that_of_the_own_labels(config: Config) -> None:
    """A number that was not given is not noted, and one that is used as the number of clusters neither."""

    def unread(name: str, **values: object) -> dict[str, object]:
        system = find_system(name)
        own = with_values(system.adapt(PRESETS["demo"]), {"system": name} | values)
        return system.unread(with_capacity(own, 80), 80)

    for name in ("cca", "clip_towers", "class_towers"):
        assert unread(name) == {}
        assert unread(name, **{"training.labels": "pairs"}) == {}
        assert unread(name, **{"training.labels": "pairs", "memory.capacity": 5}) == {}
        assert "memory.capacity" not in unread(name, **{"memory.class_slots": False})
        assert unread(name, **{"memory.capacity": 50}) == {"memory.capacity": 50}
    pairs = {"training.labels": "pairs", "memory.update": 0.5}
    assert unread("cca", **pairs) == {"memory.update": 0.5}


def test_a_comparison_plans_as_many_slots(workspace: Path, config: Config) -> None:
    manifests = [workspace / "manifests" / f"{name}.jsonl" for name in ("train", "test")]
    assert config.memory == MemoryConfig()

    def planned(changes: dict[str, int]) -> tuple[int | None, str]:
        comparison = plan_comparison(
            *manifests, workspace / "runs", models=["fmn"], changes=changes, budget=1, device="cpu"
        )
        ((tried,),) = comparison.candidates.values()
        return tried.config.memory.capacity, tried.folder.name

    found, asked, of_paper = planned({}), planned({"memory.capacity": CAPACITY}), planned({"memory.capacity": 50})
    assert found == asked
    assert found[0] == CAPACITY
    assert found[1] != of_paper[1]
