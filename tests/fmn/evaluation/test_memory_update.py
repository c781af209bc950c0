from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dataset_tools.core.errors import InputError
from fmn.config import Config, with_values
from fmn.data.items import load_items
from fmn.data.loading import load_features
from fmn.evaluation.evaluate import evaluate
from fmn.evaluation.memory_update import scores_while_updating
from fmn.metrics.directions import DIRECTIONS
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import Embeddings, encode_all
from fmn.training.checkpoint import LoadedRun, load_run
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")
CPU = torch.device("cpu")


@pytest.fixture
def test_manifest(workspace: Path) -> Path:
    return workspace / "manifests" / "test.jsonl"


def trained(workspace: Path, config: Config, **changes: object) -> Path:
    values = {"memory.novelty_threshold": 0.95, "memory.score_threshold": 0.1, "training.epochs": 4}
    values |= {name.replace("__", "."): value for name, value in changes.items()}  # type: ignore[misc]
    run = workspace / "runs" / "one"
    train(workspace / "manifests" / "train.jsonl", with_values(config, values), run)
    return run


def embeddings_of(run: Path, manifest: Path) -> tuple[LoadedRun, Embeddings, Embeddings]:
    loaded = load_run(run, CPU)
    return loaded, *encode_all(loaded.model, load_features(load_items(manifest), loaded.config, device=CPU).data)


@pytest.mark.parametrize("asks_for_clips", [True, False])
def test_each_query_meets_what_the_ones_before_it_left(
    workspace: Path, small: Config, test_manifest: Path, asks_for_clips: bool
) -> None:
    loaded, clips, utterances = embeddings_of(
        trained(workspace, small, memory__capacity=60, memory__novelty_threshold=0.99), test_manifest
    )
    model = loaded.model
    assert isinstance(model, FeatureMemoryNetwork)
    with torch.no_grad():
        s1, frozen = model.s1_matrix(clips, utterances), model.scores(clips, utterances).numpy()
    order = np.random.default_rng(0).permutation(12)
    size, written = model.memory.size, int(model.memory.counts.sum())
    found = scores_while_updating(model, clips, utterances, s1, order, DIRECTIONS[0 if asks_for_clips else 1])
    frozen = frozen.T if asks_for_clips else frozen
    np.testing.assert_allclose(found[order[0]], frozen[order[0]], rtol=1e-5, atol=1e-6)  # before anything was written
    assert not np.allclose(found[order[-1]], frozen[order[-1]], rtol=1e-5)
    logits = s1.T.numpy() if asks_for_clips else s1.numpy()
    first = found.argmax(axis=1)
    passing = int((1 / (1 + np.exp(-logits[range(12), first])) > 0.1).sum())
    assert 0 < passing <= 12
    assert int(model.memory.counts.sum()) == written + passing
    assert model.memory.size > size


def test_the_run_stays_as_it_was_and_the_frozen_result_too(workspace: Path, small: Config, test_manifest: Path) -> None:
    run = trained(workspace, small)
    before = (run / "checkpoint.safetensors").read_bytes()
    frozen = evaluate(run, test_manifest).metrics
    assert "updated_memory" not in frozen
    updated = evaluate(run, test_manifest, update_orders=3).metrics
    assert (run / "checkpoint.safetensors").read_bytes() == before
    held = json.loads((run / "metrics.json").read_text())
    assert held.pop("manifest")["name"] == "test.jsonl"
    assert held == updated
    under = updated.pop("updated_memory")
    assert updated == frozen
    assert under["orders"] == 3
    assert "order" in under["how"]
    for direction in ("audio_to_video", "video_to_audio"):
        assert set(under[direction]["sd"]) == {
            "instance_hit",
            "class_hit",
            "class_recall",
            "class_map",
            "median_rank",
            "partner_rank",
        }
        assert under[direction]["chance"] == frozen[direction]["chance"]


@pytest.mark.parametrize("score", ["s1", "cosine"])
def test_without_memory_there_is_nothing_to_update(
    workspace: Path, small: Config, test_manifest: Path, score: str
) -> None:
    run = trained(workspace, small, model__score=score, training__epochs=1)
    with pytest.raises(InputError, match="no memory to update"):
        evaluate(run, test_manifest, update_orders=2)


def test_class_vectors_are_no_memory_to_update(workspace: Path, small: Config, test_manifest: Path) -> None:
    run = trained(workspace, small, system="class_towers", training__epochs=1)
    with pytest.raises(InputError, match="no memory to update"):
        evaluate(run, test_manifest, update_orders=2)
