"""Every system goes the whole way: trained, interrupted and resumed, loaded, evaluated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dataset_tools.core.errors import InputError
from fmn.config import Config, as_dict, with_values
from fmn.data.batches import ItemTensors
from fmn.evaluation.evaluate import evaluate
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import RetrievalModel, encode_all_clips, encode_all_utterances
from fmn.models.utterance_encoder import UtteranceEncoder
from fmn.systems import find_system, system_names
from fmn.training.checkpoint import load_run
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
# Without zero_shot, which needs a joint encoder: tests/fmn/features/encoders/joint.
NAMES = [name for name in system_names() if not find_system(name).joint]


TABLE_2 = {"cca", "kcca", "dcca", "musimnet", "musicnn", "vmnet", "fmn"}
MODERN = {"mms", "mms_classes", "amm", "amm_classes", "clip_towers", "two_classifiers"}
CONTROLS = {"fmn_as_published", "fmn_no_memory", "class_towers"}
WITH_CROSS_ENTROPY = {"mms_classes_ce", "amm_classes_ce", "vmnet_ce", "musimnet_ce"}
TRIVIAL = {"one_frame", "mean_colour", "lengths", "file_size"}
REQUIRED = TABLE_2 | MODERN | CONTROLS | {"zero_shot"} | WITH_CROSS_ENTROPY | TRIVIAL


def test_the_systems_of_the_comparison_are_there() -> None:
    assert set(system_names()) >= REQUIRED
    assert len(set(system_names())) == len(system_names())
    for name in system_names():
        system = find_system(name)
        assert system.name == name
        assert system.summary


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name != "fmn"])
def test_a_system_is_trained_gone_on_with_and_evaluated(name: str, workspace: Path, small: Config) -> None:
    manifest, test = workspace / "manifests" / "train.jsonl", workspace / "manifests" / "test.jsonl"
    config = adapted(name, small)
    whole = workspace / "runs" / "whole"
    train(manifest, config, whole)
    in_parts = workspace / "runs" / "in-parts"
    train(manifest, with_values(config, {"training.epochs": 1}), in_parts)
    train(manifest, config, in_parts)
    one, other = (load_run(run, torch.device("cpu")).model.state_dict() for run in (whole, in_parts))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    found = evaluate(whole, test)
    assert found.metrics["audio_to_video"]["gallery"] == 12
    if name != "fmn_as_published":  # the features say the class; chance is about 37
        assert found.metrics["video_to_audio"]["class_map"] > 45, found.metrics["video_to_audio"]


@pytest.mark.parametrize("name", NAMES)
def test_every_configuration_of_the_grid_can_be_built(name: str, small: Config) -> None:
    system = find_system(name)
    config = adapted(name, small)
    grid = list(system.grid(config))
    assert grid[0] == {}
    assert len({str(changes) for changes in grid}) == len(grid)
    if name in REQUIRED:  # the same budget for all that can be tuned
        assert len(grid) == (1 if name in ("lengths", "file_size") else 4)
    for changes in grid:
        changed = system.complete(with_values(config, changes))
        model = system.build(changed, 12, 8)
        assert sum(parameter.numel() for parameter in model.parameters()) >= 0
        assert changes == {} or as_dict(changed) != as_dict(system.complete(config))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_the_class_cross_entropy_is_what_the_losses_do(name: str, small: Config) -> None:
    """Classes numbered otherwise, on both sides alike: matches stay, so only a loss of the class itself can change."""
    config = find_system(name).complete(adapted(name, small))
    data = six_items(config)
    model = fitted(name, config, data)
    batch = data.batch(np.array([[0, 0], [2, 2], [4, 4], [1, 1]]))
    before = model.losses(batch)

    def change(*sides: str) -> bool:
        other = model.losses(replace(batch, **{side: (getattr(batch, side) + 1) % 3 for side in sides}))
        return any(not torch.allclose(before[key], other[key]) for key in before)

    told = find_system(name).class_cross_entropy(config)
    assert change("clip_classes", "utterance_classes") == (told != "no")
    if told != "no":
        assert change("utterance_classes")
        assert change("clip_classes") == (told == "both sides")


@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision_rounds_neither_the_bi_lstm_nor_scores(name: str, small: Config) -> None:
    config = find_system(name).complete(with_values(adapted(name, small), {"model.dropout": 0.0}))
    data = six_items(config)
    model = fitted(name, config, data)
    clips = encode_all_clips(model, data, np.arange(6))
    utterances = encode_all_utterances(model, data, np.arange(6))
    encoders = [module for module in model.modules() if isinstance(module, UtteranceEncoder)]

    def computed() -> list[Tensor]:
        if isinstance(model, FeatureMemoryNetwork):  # its S1 is by a network
            scores = model.final_score(clips, utterances, torch.zeros(6, 6))
        else:
            scores = model.scores(clips, utterances)
        return [scores, *(encoder(data.utterances(np.arange(6))) for encoder in encoders)]

    exact = computed()
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(one, other) for one, other in zip(computed(), exact, strict=True))


def six_items(config: Config) -> ItemTensors:
    """Random features of two items of each of three classes."""
    random = np.random.default_rng(0)
    video = [random.normal(size=12).astype(np.float32) for _ in range(6)]
    audio = [random.normal(size=(30, config.audio.dim)).astype(np.float32) for _ in range(6)]
    classes = np.repeat([0, 1, 2], 2)
    return ItemTensors(video, audio, classes, classes, torch.device("cpu"))


def fitted(name: str, config: Config, data: ItemTensors) -> RetrievalModel:
    """An untrained system in evaluation mode; FMN's slots are written, since they have no class before."""
    torch.manual_seed(0)
    model = find_system(name).build(config, data.video_dim, data.audio_dim)
    model.prepare(data, np.arange(6), np.arange(6))
    if name in ("fmn", "one_frame"):
        model.config = with_values(config, {"memory.score_threshold": 0.0})
        model.fit_after_epoch(data, np.arange(6), np.arange(6), np.random.default_rng(0))
    return model.eval()


@pytest.mark.parametrize("name", ["fmn", "fmn_no_memory", "class_towers"])
def test_memories_are_written_in_every_step_by_fmn_alone(name: str, workspace: Path, small: Config) -> None:
    config = with_values(small, {"memory.write": "step", "memory.score_threshold": 0.0, "training.epochs": 2})
    run = workspace / "runs" / name
    train(workspace / "manifests" / "train.jsonl", find_system(name).adapt(replace(config, system=name)), run)
    model = load_run(run, torch.device("cpu")).model
    assert (model.memory.size > 0) == (name == "fmn")


@pytest.mark.parametrize("name", NAMES)
def test_losses_change_nothing(name: str, small: Config) -> None:
    values = {"memory.write": "step", "memory.score_threshold": 0.0}
    config = find_system(name).complete(with_values(adapted(name, small), values))
    data = six_items(config)
    model = find_system(name).build(config, data.video_dim, data.audio_dim)
    model.prepare(data, np.arange(6), np.arange(6))
    model.eval()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    model.losses(data.batch(np.array([[0, 0], [2, 2], [4, 4], [1, 1]])))
    assert all(torch.equal(before[key], tensor) for key, tensor in model.state_dict().items())


def test_without_its_weight_there_is_no_class_cross_entropy(small: Config) -> None:
    for name in ("mms_classes_ce", "amm_classes_ce", "vmnet_ce", "musimnet_ce"):
        system = find_system(name)
        config = system.complete(adapted(name, small))
        assert config.options["class_weight"] == 1.0
        assert system.class_cross_entropy(with_values(config, {"options.class_weight": 0.0})) == "no"
    assert find_system("fmn").class_cross_entropy(with_values(small, {"training.slot_weight": 0.0})) == "no"
    assert find_system("fmn").class_cross_entropy(with_values(small, {"memory.class_slots": False})) == "no"


def test_options_are_checked(small: Config) -> None:
    with pytest.raises(InputError, match=r"options\.rigde is unknown"):
        find_system("cca").complete(with_values(adapted("cca", small), {"options.rigde": 1.0}))
    with pytest.raises(InputError, match=r"options\.ridge is -1"):
        find_system("cca").complete(with_values(adapted("cca", small), {"options.ridge": -1.0}))
    with pytest.raises(InputError, match="is unknown") as raised:
        find_system("fmn").complete(with_values(small, {"options.ridge": 1.0}))
    assert "no options of its own" in str(raised.value.expected)


def adapted(name: str, config: Config) -> Config:
    """``config`` for the system, on made-up features, which are MFCC as far as their size goes."""
    changes: dict[str, Any] = {"system": name, "audio.kind": "mfcc"}
    adapted = find_system(name).adapt(config)
    if name == "musicnn":
        changes |= {"options.filters": 0.25, "training.learning_rate": 1e-2}
    return with_values(adapted, changes | {"training.epochs": 6, "training.pairs_per_epoch": 64})


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_a_single_pair_is_trained_on(name: str, small: Config) -> None:
    config = find_system(name).complete(adapted(name, small))
    random = np.random.default_rng(0)
    video = [random.normal(size=12).astype(np.float32) for _ in range(4)]
    audio = [random.normal(size=(30, config.audio.dim)).astype(np.float32) for _ in range(4)]
    classes = np.array([0, 0, 1, 1])
    data = ItemTensors(video, audio, classes, classes, torch.device("cpu"))
    model = find_system(name).build(config, data.video_dim, data.audio_dim)
    model.prepare(data, np.arange(4), np.arange(4))
    model.train()
    losses = model.losses(data.batch(np.array([[0, 1]])))
    assert all(torch.isfinite(loss) for loss in losses.values())


@pytest.mark.parametrize("name", ["fmn", "fmn_as_published", "fmn_no_memory", "class_towers", "one_frame"])
def test_a_form_of_fmn_needs_a_loss(name: str, small: Config) -> None:
    system = find_system(name)
    none = {f"training.{term}_weight": 0 for term in ("score", "s1", "triplet", "slot")}
    with pytest.raises(InputError, match="no loss to train with"):
        system.complete(with_values(adapted(name, small), none))
    system.complete(with_values(adapted(name, small), none | {"training.triplet_weight": 1}))
    for others in (
        {"training.s1_weight": 1, "model.score": "s1"},
        {"training.slot_weight": 1, "model.score": "cosine"},
    ):
        with pytest.raises(InputError, match="no loss to train with"):
            system.complete(with_values(adapted(name, small), none | others))
    for term in ("s1", "slot"):
        config = with_values(adapted(name, small), none | {f"training.{term}_weight": 1})
        if name == "fmn_no_memory":
            with pytest.raises(InputError, match=r"no loss to train with: with model\.score=s1"):
                system.complete(config)
        else:
            system.complete(config)
