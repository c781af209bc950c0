from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import fmn.studies.validation_harness
import fmn.training.train
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.seeds import training_generator
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.cli.main import app
from fmn.config import DEMO, PAPER, Config, as_dict, as_published, flattened, with_values
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation.evaluate import measure
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.memory_capacity import with_capacity
from fmn.models.retrieval_model import encode_all_clips, encode_all_utterances, score_matrix
from fmn.studies.ablate import ablate, trainings_of
from fmn.studies.ablation_table import ablation_table, ablation_text
from fmn.studies.validation_harness import TrainedHarness, Trainer, ValidationHarness, part_of, run_name
from fmn.studies.variants import GROUPS, variants_of
from fmn.training.checkpoint import load_config, load_run
from fmn.training.run_state import read_run_state, validation_score
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
CPU = torch.device("cpu")


def manifest_of(workspace: Path) -> Path:
    return workspace / "manifests" / "train.jsonl"


@pytest.mark.parametrize("config", [with_capacity(DEMO, 20), with_capacity(PAPER, 20)])
def test_every_group_has_its_default_among_its_variants(config: Config) -> None:
    variants = variants_of(config)
    assert {variant.group for variant in variants} == set(GROUPS)
    for group in GROUPS:
        defaults = [variant for variant in variants if variant.group == group and variant.applied(config) == config]
        # "full" shows only where slots are scarce, and the soft triplet loss chooses no negatives.
        without = {"full", "negatives"} if config.training.triplet == "softmax" else {"full"}
        assert len(defaults) == (group not in without), group
    printed = next(variant for variant in variants if variant.name == "as_published" and variant.group == "form")
    assert printed.applied(config) == as_published(config)


def test_what_is_not_trained_again_only_changes_how_memories_are_used() -> None:
    memory = {name for name in flattened(as_dict(DEMO)) if name.startswith("memory.")}
    afterwards = memory - {"memory.write"} | {"model.score", "model.s1_exponent"}
    for variant in variants_of(DEMO):
        if not variant.retrained:
            assert set(variant.changes) <= afterwards, variant.name


def test_few_trainings_carry_the_whole_table() -> None:
    assert trainings_of(DEMO, variants_of(DEMO)) <= 22
    assert len(variants_of(DEMO)) > 50
    assert trainings_of(DEMO, variants_of(DEMO, ["capacity", "T2"])) == 1
    with pytest.raises(InputError, match="no group 'colour'"):
        variants_of(DEMO, ["T1", "colour"])


def test_what_changes_memories_that_only_training_writes_is_trained(workspace: Path, small: Config) -> None:
    """Applied to the trained network, another X would leave the memories empty, and another T1 change nothing."""
    config = with_values(small, {"memory.write": "step", "memory.score_threshold": 0.0, "training.epochs": 1})
    changed = {"memory.capacity", "memory.score_threshold", "memory.space", "memory.update", "memory.novelty_threshold"}
    for variant in variants_of(config):
        assert variant.retrained or not changed & variant.changes.keys(), variant.name
    assert trainings_of(config, variants_of(config, ["read", "temperature", "score"])) == 1
    table = ablate(manifest_of(workspace), config, workspace / "out", only=["capacity", "T1"], seeds=1)
    slots = {row["variant"]: row["slots"] for row in table.values["rows"]}
    assert {slots[str(capacity)] for capacity in (10, 20, 50, 100, 200, 400)} == {4}  # one per class
    assert (slots["0.0"], slots["0.9"]) == (4, 0)


@pytest.fixture
def harness(workspace: Path, small: Config) -> ValidationHarness:
    return ValidationHarness.of(load_features(load_items(manifest_of(workspace)), small, device=CPU))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"memory.space": "raw", "memory.capacity": 7},
        {"memory.update": 0.5, "memory.novelty_threshold": 0.9, "memory.read": "max", "model.score": "s1*max"},
        {"model.score": "s1"},
        {"model.step_attention": "max", "memory.capacity": 7, "memory.novelty_threshold": 0.9},
    ],
)
def test_a_trained_network_is_scored_as_if_it_had_been_built_so(
    workspace: Path, small: Config, harness: ValidationHarness, changes: dict[str, object]
) -> None:
    run = workspace / "runs" / "one"
    train(manifest_of(workspace), small, run)
    config = with_values(small, changes)
    found = TrainedHarness(run, harness).outcome(config)

    loaded = load_run(run, CPU)
    trained, epoch = loaded.model.state_dict(), loaded.about.epoch
    model = FeatureMemoryNetwork(config, 12, 8).eval()
    model.load_state_dict({name: value for name, value in trained.items() if "memory" not in name}, strict=False)
    data, parts = harness.prepared.data, harness.parts
    model.fit_after_epoch(data, parts.train_clips, parts.train_utterances, training_generator(0, "settle", epoch))
    scores = score_matrix(
        model,
        encode_all_clips(model, data, parts.validation_clips),
        encode_all_utterances(model, data, parts.validation_utterances),
    ).numpy()
    assert found.metrics == measure(scores, harness.fold_0)
    assert [row.person for row in harness.fold_0.clips] == ["s00"] * 4  # fold 0 is the first item of each class
    assert found.slots == (None if changes.get("model.score") == "s1" else model.memory.size)
    assert found.validation_score == pytest.approx(
        np.mean([found.metrics[name]["class_map"] for name in ("audio_to_video", "video_to_audio")])
    )


def test_the_score_of_the_trained_form_is_that_of_training(
    workspace: Path, small: Config, harness: ValidationHarness
) -> None:
    for write in ("epoch", "step"):
        config = with_values(small, {"memory.write": write, "memory.update": 0.9, "memory.score_threshold": 0.0})
        run = workspace / "runs" / write
        train(manifest_of(workspace), config, run)
        state = read_run_state(run)
        assert state is not None
        assert TrainedHarness(run, harness).outcome(config).validation_score == validation_score(state.best), write


def test_memories_of_each_batch_are_those_of_training(
    workspace: Path, small: Config, harness: ValidationHarness
) -> None:
    run = workspace / "runs" / "one"
    config = with_values(small, {"memory.write": "step", "memory.score_threshold": 0.0})
    train(manifest_of(workspace), config, run)
    own = load_run(run, CPU).model
    assert isinstance(own, FeatureMemoryNetwork)
    assert TrainedHarness(run, harness).outcome(config).slots == own.memory.size > 0


def test_a_part_holds_its_items_and_their_pairs(workspace: Path) -> None:
    items = load_items(manifest_of(workspace))
    part = part_of(items, np.array([0, 3]), np.array([0, 1, 5]))
    assert [row.id for row in part.clips] == [items.clips[index].id for index in (0, 3)]
    assert [row.id for row in part.utterances] == [items.utterances[index].id for index in (0, 1, 5)]
    wanted = {
        (items.clips[clip].id, items.utterances[utterance].id)
        for clip, utterance in items.pairs.tolist()
        if clip in (0, 3) and utterance in (0, 1, 5)
    }
    assert {(part.clips[i].id, part.utterances[j].id) for i, j in part.pairs.tolist()} == wanted


def test_an_ablation_trains_each_network_once_and_tells_means_over_seeds(
    workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def noting(manifest: Path, config: Config, run: Path, **options: object) -> object:
        trained.append(run.name)
        return train(manifest, config, run, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(fmn.studies.validation_harness, "train", noting)
    monkeypatch.setattr(fmn.studies.validation_harness, "outdated_pairs", lambda items: (f"older: {items.manifest}",))
    folder = workspace / "runs" / "ablation"
    options = {"only": ["head", "score", "capacity"], "seeds": 2}
    found = ablate(manifest_of(workspace), small, folder, **options)  # type: ignore[arg-type]
    assert len(trained) == len(set(trained)) == 4  # hidden and linear, two seeds
    assert (found.trainings, found.reused) == (4, 0)
    values = json.loads((folder / "ablation.json").read_text())
    assert values == found.values
    assert values["seeds"] == [0, 1]
    assert f"older: {manifest_of(workspace)}" in values["notes"]
    rows = {(row["group"], row["variant"]): row for row in values["rows"]}
    default = rows["", "default"]
    assert rows["head", "hidden layer"]["audio_to_video"] == default["audio_to_video"]
    assert rows["capacity", "10"]["is_default"]
    linear = rows["head", "linear, as published"]
    assert linear["retrained"]
    assert not rows["score", "S1 (memory off)"]["retrained"]
    assert rows["score", "S1 (memory off)"]["slots"] is None
    assert linear["difference"]["mean"] == pytest.approx(linear["map"]["mean"] - default["map"]["mean"])

    (folder / "ablation.json").write_text(json.dumps(values | {"manifest_sha256": "another"}))
    said: list[str] = []
    again = ablate(manifest_of(workspace), small, folder, warn=said.append, **options)  # type: ignore[arg-type]
    assert said == [f"Earlier results, of other manifests, were moved to {folder / 'earlier-results-1'}"]
    assert again.reused == 4
    assert again.values == found.values
    run = folder / "trained" / trained[0]
    more = load_config(run).training.epochs + 1
    train(manifest_of(workspace), with_values(load_config(run), {"training.epochs": more}), run)
    with pytest.raises(InputError, match=f"was trained further since: for {more} epochs, not for {more - 1}"):
        ablate(manifest_of(workspace), small, folder, **options)  # type: ignore[arg-type]

    # The mean over seeds, seed by seed and by hand.
    harness = ValidationHarness.of(load_features(load_items(manifest_of(workspace)), small, device=CPU))
    hits = []
    for seed in (0, 1):
        config = with_values(small, {"training.seed": seed})
        run = folder / "trained" / fmn.studies.validation_harness.run_name(config, harness.prepared.digest)
        outcome = TrainedHarness(run, harness).outcome(with_values(config, {"model.score": "memory"}))
        hits.append(outcome.metrics["audio_to_video"]["class_hit"]["1"])
    alone = rows["score", "agreement alone"]["audio_to_video"]
    assert alone["class_hit"]["1"] == pytest.approx(np.mean(hits))
    assert alone["sd"]["class_hit"]["1"] == pytest.approx(np.std(hits, ddof=1))

    text = (folder / "ablation.md").read_text()
    assert text == ablation_text(values)
    console = Console(width=120, record=True, file=StringIO())
    console.print(ablation_table(values, title="class hit"))
    shown = console.export_text()
    for row in values["rows"]:
        assert row["variant"] in text
        assert row["variant"] in shown
    for word in ("chance", "ceiling", "## instance hit", "## class hit", "## class recall"):
        assert word in text

    def damaged(*arguments: Any, **options: Any) -> Any:
        return replace(load_features(*arguments, **options), failures={"clip 3": InputError("it cannot be decoded")})

    with monkeypatch.context() as patch:
        patch.setattr(fmn.studies.validation_harness, "load_features", damaged)
        assert ablate(manifest_of(workspace), small, folder, only=["score"]).reused == 0  # other items, other networks

    def replaced(*arguments: Any, **options: Any) -> Any:
        return replace(load_features(*arguments, **options), sources=("replaced", "replaced"))

    with monkeypatch.context() as patch:
        patch.setattr(fmn.studies.validation_harness, "load_features", replaced)
        with pytest.raises(InputError, match="The features changed while the networks were trained"):
            ablate(manifest_of(workspace), small, folder, only=["score"])
        patch.setattr(fmn.training.train, "load_features", replaced)
        assert ablate(manifest_of(workspace), small, folder, only=["score"]).reused == 0  # and what failed is made anew

    def make_pairs_again(*arguments: Any, **options: Any) -> Any:
        manifest_of(workspace).write_bytes(manifest_of(workspace).read_bytes() + b"\n")
        return load_features(*arguments, **options)

    monkeypatch.setattr(fmn.studies.validation_harness, "load_features", make_pairs_again)
    with pytest.raises(StoppedError, match="The manifest was changed while the command was running"):
        ablate(manifest_of(workspace), small, folder, only=["score"])


def test_another_manifest_has_runs_of_its_own_and_none_may_change_meanwhile(
    workspace: Path, small: Config, harness: ValidationHarness
) -> None:
    manifest, config = manifest_of(workspace), with_values(small, {"training.epochs": 1})
    trainers = [Trainer(manifest, workspace / "out", harness, device="cpu")]
    trainers[0].trained(config)
    write_rows(manifest, list(read_rows(manifest, SplitPairRow))[1:])
    with pytest.raises(StoppedError, match="The manifest was changed"):
        trainers[0].trained(with_values(config, {"training.seed": 1}))
    other = ValidationHarness.of(load_features(load_items(manifest), small, device=CPU))
    for _ in range(2):
        trainers.append(Trainer(manifest, workspace / "out", other, device="cpu"))
        trainers[-1].trained(config)
    assert [trainer.reused for trainer in trainers] == [0, 0, 1]
    name = run_name(config, harness.prepared.digest)
    assert {path.name for path in (workspace / "out" / "trained").iterdir()} == {
        name,
        f"{name}-{other.prepared.items.manifest_sha256[:8]}",
    }


def test_nothing_is_chosen_without_a_fold_0_or_on_items_to_test_on(workspace: Path, small: Config) -> None:
    with pytest.raises(InputError, match="a test manifest"):
        ablate(workspace / "manifests" / "test.jsonl", small, workspace / "out")
    rows = [row for row in read_rows(manifest_of(workspace), SplitPairRow) if row.fold]
    write_rows(manifest_of(workspace), rows)
    with pytest.raises(InputError, match="no fold 0"):
        ablate(manifest_of(workspace), small, workspace / "out")
    with pytest.raises(InputError, match="The system is"):
        ablate(manifest_of(workspace), replace(small, system="other"), workspace / "out")
    with pytest.raises(InputError, match="trains on fold 0"):
        ablate(manifest_of(workspace), with_values(small, {"training.refit": True}), workspace / "out")
    assert not (workspace / "out").exists()


def test_the_command_plans_and_refuses(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    planned = CliRunner().invoke(app, ["ablate", "--only", "head, T1", "--seeds", "2", "--dry-run", "--json"])
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["trainings"] == 4
    refused = CliRunner().invoke(app, ["ablate", "--only", "colour"])
    assert refused.exit_code == 2
    assert "There is no group 'colour'" in refused.output
    for command in ("ablate", "tune", "newclasses"):
        refused = CliRunner().invoke(app, [command, "--dry-run", "--set", "training.labels=pairs"])
        assert refused.exit_code == 2
        assert "training.labels" in refused.output
    assert not (workspace / "runs").exists()


def test_slots_are_in_proportion_to_the_number_of_classes(small: Config) -> None:
    def slots(classes: int) -> dict[tuple[str, str], int]:
        return {
            (variant.group, variant.name): variant.changes["memory.capacity"]
            for variant in variants_of(small, classes=classes)
            if "memory.capacity" in variant.changes
        }

    assert slots(50) == slots(20)
    assert [number for (group, _), number in slots(50).items() if group == "capacity"] == [10, 20, 50, 100, 200, 400]
    of_80 = slots(80)  # the default is 200 there
    assert [number for (group, _), number in of_80.items() if group == "capacity"] == [40, 80, 200, 400, 800, 1600]
    assert of_80["full", "nearest, 40 slots"] == of_80["full", "drop, 40 slots"] == 40
    assert of_80["classes", "whatever came near, T2 0.6, X 200"] == 200
    assert of_80["classes", "whatever came near, T2 0.9, X 800"] == 800
    most = [number for (group, _), number in slots(30_000).items() if group == "capacity"]
    assert most == [13_107, 26_214, 65_536], "no more than the largest valid number, each once"
