from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import fmn.studies.tune
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.cli.options import TrainingOptions
from fmn.cli.tune import training_with
from fmn.config import Config, values_in, with_values
from fmn.studies.tune import MEMORY_VALUES, memory_values, most_trainings, triplet_values, tune
from fmn.studies.tuning_table import tuning_table

MARGIN = "training.margin"

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


@pytest.fixture
def quick(small: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setattr(
        fmn.studies.tune, "TRIPLET_VALUES", {MARGIN: (0.1, 0.3), "training.triplet_temperature": (0.1, 0.4)}
    )
    return with_values(small, {"training.epochs": 2})


def manifest_of(workspace: Path) -> Path:
    return workspace / "manifests" / "train.jsonl"


def test_the_best_values_are_those_that_won_when_trained_with(workspace: Path, quick: Config) -> None:
    found = tune(manifest_of(workspace), quick, workspace / "out", budget=40, seeds=2)
    assert len(found.trials) <= 41  # the last word is one more
    given = [trial for trial in found.trials if not trial.retrained]
    assert len({str(trial.values) for trial in given}) == len(given) <= 40
    assert found.best.map == max(trial.map for trial in given)
    assert found.default is found.trials[0]
    assert found.default.values[MARGIN] == quick.training.margin
    for name in MEMORY_VALUES:
        assert {trial.values[name] for trial in found.trials} <= {*MEMORY_VALUES[name], found.default.values[name]}
    assert {trial.values[MARGIN] for trial in found.trials} == {0.1, 0.3}
    assert (found.final.map > found.default.map) == (not found.is_default)
    assert found.values == (found.default.values if found.is_default else found.final.values)
    told = json.loads(found.path.read_text())
    assert told["manifest_sha256"] == sha256_of(manifest_of(workspace))
    assert len(told["trials"]) == len(found.trials)
    assert values_in(found.path) == found.values
    again = tune(manifest_of(workspace), quick, workspace / "out", budget=40, seeds=2)
    assert (again.values, again.trials) == (found.values, found.trials)


def test_memories_that_only_training_writes_are_tuned_by_training(workspace: Path, quick: Config) -> None:
    config = with_values(quick, {"memory.write": "step", "memory.score_threshold": 0.0, "training.epochs": 1})
    found = tune(manifest_of(workspace), config, workspace / "out", budget=5, seeds=1)
    tried = {str(trial.values) for trial in found.trials}
    assert found.trainings == len(tried) == 5 <= most_trainings(config, 1, 5)
    assert len(found.trials) == 5
    assert all(trial.retrained for trial in found.trials)
    assert most_trainings(quick, 2, 160) == 2 * 3
    bold = [trial for trial, row in zip(found.trials, tuning_table(found).rows, strict=True) if row.style == "bold"]
    assert bold == [trial for trial in found.trials if trial in (found.default, found.best)]
    assert len(bold) < len(found.trials)


def test_of_the_soft_triplet_loss_the_softness_is_tuned(workspace: Path, quick: Config) -> None:
    soft = with_values(quick, {"training.triplet": "softmax", "training.triplet_temperature": 0.2})
    assert triplet_values(soft) == ("training.triplet_temperature", (0.2, 0.1, 0.4))
    found = tune(manifest_of(workspace), soft, workspace / "out", budget=12, seeds=1)
    assert {trial.values["training.triplet_temperature"] for trial in found.trials} == {0.1, 0.2, 0.4}
    assert all(MARGIN not in trial.values for trial in found.trials)


class Outcome:
    def __init__(self, validation_score: float) -> None:
        self.validation_score = validation_score
        self.metrics = {name: {"class_hit": {"1": 50.0}} for name in ("audio_to_video", "video_to_audio")}


def test_capacities_are_in_proportion_to_the_number_of_classes(small: Config) -> None:
    unset = with_values(small, {"memory.capacity": None})
    for config in (small, unset):
        for classes in (4, 20, 50):
            assert memory_values(config, classes) == MEMORY_VALUES
        assert memory_values(config, 80) == MEMORY_VALUES | {"memory.capacity": (80, 200, 400, 800)}
        assert memory_values(config, 51)["memory.capacity"] == (51, 127, 254, 508)
        assert memory_values(config, 30_000)["memory.capacity"] == (30_000, 65_536, 65_536, 65_536)
    assert memory_values(with_values(unset, {"memory.class_slots": False}), 80) == MEMORY_VALUES


def test_those_capacities_are_tried(workspace: Path, quick: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    class Trained:
        def outcome(self, config: Config) -> Outcome:
            return Outcome(50.0)

    monkeypatch.setattr(fmn.studies.tune.Trainer, "trained", lambda self, config: Trained())
    monkeypatch.setattr(fmn.studies.tune, "in_proportion", lambda capacity, *_: 4 * capacity)  # as for 80 classes
    found = tune(manifest_of(workspace), quick, workspace / "out", budget=60, seeds=1)
    assert {trial.values["memory.capacity"] for trial in found.trials} == {10, 80, 200, 400, 800}


@pytest.mark.parametrize("capacity", [None, 50])
@pytest.mark.parametrize("best", [20, 50])
def test_the_default_capacity_is_not_pinned(
    workspace: Path, quick: Config, monkeypatch: pytest.MonkeyPatch, capacity: int | None, best: int
) -> None:
    class Trained:
        def outcome(self, config: Config) -> Outcome:
            return Outcome(50.0 + 2 * (config.memory.capacity == best) + (config.memory.novelty_threshold == 0.4))

    monkeypatch.setattr(fmn.studies.tune.Trainer, "trained", lambda self, config: Trained())
    config = with_values(quick, {"memory.capacity": capacity})
    found = tune(manifest_of(workspace), config, workspace / "out", budget=200, seeds=1)
    assert found.final.values["memory.capacity"] == best
    expected = dict(found.final.values)
    if best == 50 and capacity is None:
        del expected["memory.capacity"]
    assert found.values == values_in(found.path) == expected
    assert not found.is_default
    monkeypatch.setattr(Trained, "outcome", lambda self, config: Outcome(50.0))
    level = tune(manifest_of(workspace), config, workspace / "level", budget=8, seeds=1)
    assert level.is_default
    assert ("memory.capacity" in level.values) == (capacity is not None)


@pytest.mark.parametrize("won", [True, False])
def test_what_does_not_win_when_trained_with_is_not_taken(
    workspace: Path, quick: Config, monkeypatch: pytest.MonkeyPatch, won: bool
) -> None:
    class Trained:
        def __init__(self, config: Config) -> None:
            self.config = config

        def outcome(self, config: Config) -> Outcome:
            """Capacity 100 and T2 0.4 are best, by the margin; what was trained with them is better or worse."""
            if self.config.memory.capacity == 100:
                return Outcome(90.0 if won else 10.0)
            memory = config.memory
            return Outcome(50.0 + (memory.capacity == 100) + (memory.novelty_threshold == 0.4))

    monkeypatch.setattr(fmn.studies.tune.Trainer, "trained", lambda self, config: Trained(config))
    found = tune(manifest_of(workspace), quick, workspace / "out", budget=200, seeds=1)
    assert (found.best.values["memory.capacity"], found.best.values["memory.novelty_threshold"]) == (100, 0.4)
    assert found.best.map == 52
    assert found.final.retrained
    assert found.final.map == (90 if won else 10)
    assert found.is_default == (not won)
    assert found.values["memory.capacity"] == (100 if won else quick.memory.capacity)


def test_items_to_test_on_and_manifests_without_fold_0_are_refused(workspace: Path, quick: Config) -> None:
    with pytest.raises(InputError, match="a test manifest"):
        tune(workspace / "manifests" / "test.jsonl", quick, workspace / "out")
    write_rows(manifest_of(workspace), [row for row in read_rows(manifest_of(workspace), SplitPairRow) if row.fold])
    with pytest.raises(InputError, match="no fold 0"):
        tune(manifest_of(workspace), quick, workspace / "out")


def test_train_takes_what_was_tuned(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    planned = CliRunner().invoke(app, ["tune", "--budget", "9", "--seeds", "2", "--dry-run", "--json"])
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["trials"] == 9
    (workspace / "tuned.json").write_text(json.dumps({"values": {"memory.capacity": 77, "training.margin": 0.7}}))
    options = ["--config", "tuned.json", "--set", "training.margin=0.6", "--threads", "3"]
    trained = CliRunner().invoke(app, ["train", *options, "--dry-run", "--json"])
    assert trained.exit_code == 0, trained.output
    config = json.loads(trained.stdout)["config"]
    assert (config["memory"]["capacity"], config["training"]["margin"], config["training"]["threads"]) == (77, 0.6, 3)


def test_the_next_command_keeps_what_was_tuned_whatever_name_or_section_it_was_given_by(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    tuned = {"memory.capacity": 77, "memory.novelty_threshold": 0.4, "training.triplet_temperature": 0.2}
    (workspace / "tuned.json").write_text(json.dumps({"values": tuned}))
    (workspace / "base.json").write_text('{"training": {"seed": 0}}')
    found = SimpleNamespace(path=workspace / "tuned.json", values=tuned)
    settings = [
        "training.softness=0.7",
        'training={"softness": 0.6, "triplet": "soft", "epochs": 9}',
        'training.augment={"coefficient_mask_width": 1}',
        'memory={"update": 0.6}',
        "model.common_dim=24",
    ]
    for base in (None, workspace / "base.json"):
        given = TrainingOptions(train=workspace / "manifests" / "train.jsonl", settings=settings, config_file=base)
        _, *typed = shlex.split(training_with(found, given))  # type: ignore[arg-type]
        assert "softness" not in " ".join(typed)
        planned = CliRunner().invoke(app, [*typed, "--dry-run", "--json"])
        assert planned.exit_code == 0, planned.output
        config = json.loads(planned.stdout)["config"]
        memory = config["memory"]
        assert (memory["capacity"], memory["novelty_threshold"], memory["update"]) == (77, 0.4, 0.6)
        training = config["training"]
        assert (training["triplet_temperature"], training["triplet"], training["epochs"]) == (0.2, "softmax", 9)
        assert training["augment"]["coefficient_mask_width"] == 1
        assert config["model"]["embed_dim"] == 24


def test_the_next_command_trains_with_the_options_that_were_tuned_with(tmp_path: Path) -> None:
    found = SimpleNamespace(path=tmp_path / "tuned.json", values={"memory.capacity": 77})
    given = TrainingOptions(
        train=tmp_path / "train.jsonl",
        selected_preset="light",
        settings=["memory.capacity=50", "video.windows=2"],
        features=tmp_path / "my features",
        seed=3,
    )
    typed = f"--set video.windows=2 --preset light --features '{tmp_path}/my features' --seed 3"
    typed += f" --run {tmp_path.parent}/runs/fmn-light-tuned"  # runs/fmn-light may be there, with other values
    assert training_with(found, given) == (  # type: ignore[arg-type]
        f"fmn train {tmp_path}/train.jsonl --config {tmp_path}/tuned.json {typed}"
    )
    based = replace(given, config_file=tmp_path / "base.json")
    assert training_with(found, based) == (  # type: ignore[arg-type]
        f"fmn train {tmp_path}/train.jsonl --config {tmp_path}/base.json --set memory.capacity=77 {typed}"
    )
    apart = training_with(found, replace(given, root=tmp_path / "media"))  # type: ignore[arg-type]
    assert apart.endswith(f" --run {tmp_path}/media/runs/fmn-light-tuned --workspace {tmp_path}/media")
    beside = training_with(found, replace(given, root=tmp_path.parent))  # type: ignore[arg-type]
    assert beside == training_with(found, given)  # type: ignore[arg-type]
