from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from typer.testing import CliRunner

import fmn.training.train
from dataset_tools.core.errors import InputError
from dataset_tools.core.progress import silent
from fmn.cli.main import app
from fmn.config import Config, with_values
from fmn.data.items import Items, load_items
from fmn.data.loading import load_features
from fmn.data.pseudo_labels import kmeans, spoken_pairs, with_pseudo_labels
from fmn.evaluation.learn_classes import learn_classes
from fmn.evaluation.plots import plot_run
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.serve.slot_reasons import slot_reader
from fmn.studies.validation_harness import harness_of
from fmn.training.checkpoint import load_run
from fmn.training.train import train

pytestmark = pytest.mark.usefixtures("made_features", "one_thread")


def manifest_of(workspace: Path) -> Path:
    return workspace / "manifests" / "train.jsonl"


def with_random_classes(items: Items) -> Items:
    """Other labels, and pairs of other clips and utterances beside those that were spoken."""
    random = np.random.default_rng(5)
    spoken = np.stack([items.partners, np.arange(len(items.utterances))], axis=1)
    folds = [items.folds[(items.pairs == pair).all(axis=1)][0] for pair in spoken]
    order = random.permutation(2 * len(spoken))
    wrong = np.stack([np.roll(items.partners, 1), np.arange(len(items.utterances))], axis=1)
    return replace(
        items,
        clip_classes=random.integers(4, size=len(items.clips)),
        utterance_classes=random.integers(4, size=len(items.utterances)),
        pairs=np.concatenate([spoken, wrong])[order],
        folds=np.concatenate([folds, folds]).astype(np.int8)[order],
    )


@pytest.mark.parametrize("system", ["fmn", "class_towers", "two_classifiers", "kcca"])
def test_class_labels_change_no_bit_of_the_weights(
    system: str, workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = with_values(
        small, {"system": system, "training.labels": "pairs", "training.epochs": 2, "memory.capacity": 4}
    )
    train(manifest_of(workspace), config, workspace / "runs" / "true")
    monkeypatch.setattr(fmn.training.train, "load_items", lambda *of: with_random_classes(load_items(*of)))
    train(manifest_of(workspace), config, workspace / "runs" / "random")
    true, random = (load_file(workspace / "runs" / name / "checkpoint.safetensors") for name in ("true", "random"))
    assert true.keys() == random.keys()
    assert all(torch.equal(true[name], random[name]) for name in true)


def test_a_clip_and_what_was_said_of_it_are_of_one_cluster(workspace: Path, small: Config) -> None:
    prepared = load_features(load_items(manifest_of(workspace)), small, device=torch.device("cpu"))
    found = with_pseudo_labels(prepared, 4, seed=0)
    assert len(found.items.pairs) == 20  # 4 classes of 5 clips, each with the one utterance spoken for it
    clips, utterances = found.data.clip_classes.numpy(), found.data.utterance_classes.numpy()
    assert (clips[found.items.partners] == utterances).all()
    assert set(clips) == {0, 1, 2, 3}
    assert "4 clusters" in found.notes[-1]
    assert (prepared.data.clip_classes.numpy() == prepared.items.clip_classes).all()  # what was given stays


def test_what_writes_memories_by_class_refuses_clusters(workspace: Path, small: Config) -> None:
    config = with_values(small, {"training.labels": "pairs", "training.epochs": 1, "memory.score_threshold": 0.0})
    run, test = workspace / "runs" / "pairs", workspace / "manifests" / "test.jsonl"
    notes = train(manifest_of(workspace), config, run).notes
    assert any("without class labels" in note for note in notes)
    with pytest.raises(InputError, match="clusters"):
        learn_classes(run, test)
    with pytest.raises(InputError, match="without class labels"):
        harness_of(manifest_of(workspace), config, root=None, device="cpu", jobs=1, progress=silent)
    assert "slots" not in {path.stem for path in plot_run(run, test).files}
    reader = slot_reader(load_run(run, torch.device("cpu")))
    assert reader is not None
    # Ten clusters, of which four classes could name only the first: the wrong names, or none.
    assert set(reader.names) == {f"cluster {number}" for number in range(1, 11)}


def test_kmeans_finds_groups_that_lie_apart() -> None:
    random = np.random.default_rng(0)
    means = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    groups = [mean + random.normal(scale=0.1, size=(8, 2)) for mean in means]
    centers = kmeans(np.concatenate(groups), 3, np.random.default_rng(1))
    expected = np.array([group.mean(axis=0) for group in groups])
    assert np.allclose(centers[np.lexsort(centers.round(1).T)], expected[np.lexsort(expected.round(1).T)])


def test_equal_vectors_are_no_fault() -> None:
    assert np.allclose(kmeans(np.ones((3, 2)), 2, np.random.default_rng(0)), 1)


def test_a_manifest_without_spoken_pairs_is_refused(workspace: Path) -> None:
    items = load_items(manifest_of(workspace))
    with pytest.raises(InputError, match="spoken for it"):
        spoken_pairs(replace(items, partners=np.full(len(items.utterances), -1)))


def test_the_memories_take_the_spoken_pairs(workspace: Path, small: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[set[tuple[int, int]]] = []

    def noting(self: FeatureMemoryNetwork, clips: object, utterances: object, pairs: Tensor, classes: Tensor) -> None:
        written.append({(clip, utterance) for clip, utterance in pairs.tolist()})

    monkeypatch.setattr(FeatureMemoryNetwork, "rewrite", noting)
    prepared = load_features(load_items(manifest_of(workspace)), small, device=torch.device("cpu"))
    found = with_pseudo_labels(prepared, 4, seed=0)
    model = FeatureMemoryNetwork(small, found.data.video_dim, found.data.audio_dim)
    clips, utterances = np.array([0, 3, 4]), np.array([0, 1, 3, 4])  # the clip of utterance 1 is not among them
    model.fit_after_epoch(found.data, clips, utterances, np.random.default_rng(0))
    ids = [(row.id, row.clip) for row in (found.items.utterances[index] for index in utterances)]
    expected = {
        (place, number)
        for number, (_, clip) in enumerate(ids)
        for place, index in enumerate(clips)
        if found.items.clips[index].id == clip
    }
    assert written == [expected]
    assert len(expected) == 3


def test_the_option_names_a_run_of_its_own(workspace: Path) -> None:
    command = ["train", str(manifest_of(workspace)), "--dry-run", "--json"]
    for labels, known in (([], "class"), (["--labels", "class"], "class"), (["--labels", "pairs"], "pairs")):
        planned = json.loads(CliRunner().invoke(app, [*command, *labels]).stdout)
        assert planned["config"]["training"]["labels"] == known
        assert Path(planned["run"]).name.endswith("-pairs") == (known == "pairs")
