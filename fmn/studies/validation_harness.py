"""Validation harness: a trained network evaluated on fold 0 with other memory settings."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dataset_tools.core.errors import InputError
from dataset_tools.core.seeds import training_generator
from fmn.config import Config, with_values
from fmn.data.batches import Indices, matched_once
from fmn.data.items import Items, TrainValSplit, train_val_split
from fmn.data.loading import FeatureDataset
from fmn.evaluation.evaluate import Metrics, measure
from fmn.models.fmn import SYSTEM, FeatureMemoryNetwork
from fmn.models.retrieval_model import (
    Embeddings,
    RetrievalModel,
    encode_all_clips,
    encode_all_utterances,
    score_matrix,
)
from fmn.training.checkpoint import LoadedRun, load_run
from fmn.training.run_state import read_run_state


@dataclass(frozen=True, eq=False)
class ValidationHarness:
    """The training items with their features, split into fold 0 and the rest.

    Attributes:
        prepared: items and features. parts: training and validation part.
        held: the items of fold 0, in the order of ``parts``.
    """

    prepared: FeatureDataset
    parts: TrainValSplit
    held: Items

    @classmethod
    def of(cls, prepared: FeatureDataset) -> ValidationHarness:
        """Splits off fold 0.

        Raises:
            InputError: see `check_fold_0`.
        """
        parts = check_fold_0(prepared.items)
        return cls(prepared, parts, part_of(prepared.items, parts.validation_clips, parts.validation_utterances))


def check_fold_0(items: Items) -> TrainValSplit:
    """Returns the training and validation split, if fold 0 can be used for model selection.

    Raises:
        InputError: the items are test items, or fold 0 is missing or shares items with other folds.
    """
    parts = train_val_split(items.required_to_train())
    if not parts.validates or parts.leaks:
        raise InputError(
            "There is no fold 0 with items that no other fold has",
            where=items.manifest,
            expected="a training manifest whose fold 0 shares no clip and no utterance with the other folds",
            next_step="write it with fmn-data pairs --split items (or person, or mpii)",
        )
    return parts


@dataclass(frozen=True, eq=False)
class ValidationResult:
    """Results of one form of a trained network on fold 0.

    Attributes:
        metrics: by direction, as returned by `fmn.evaluation.evaluate.measure`.
        slots: slots in use; None if the score does not read slots.
    """

    metrics: Metrics
    slots: int | None

    @property
    def validation_score(self) -> float:
        """Selection criterion: class mean average precision over both directions, percent."""
        return float(np.mean([block["class_map"] for block in self.metrics.values()]))


def remove_stale(run: Path, bench: ValidationHarness) -> None:
    """Removes a run of a study whose features differ from those of the harness, so that it is retrained.

    This happens if features changed while the study ran. The folder belongs to the study.
    """
    state = read_run_state(run)
    if state is not None and tuple(state.features) != bench.prepared.sources:
        shutil.rmtree(run)


def load_trained(run: Path, bench: ValidationHarness) -> LoadedRun:
    """Loads a run that was trained on the features of the harness.

    Raises:
        InputError: there is no such run, or it was trained on other features.
    """
    loaded = load_run(run, bench.prepared.data.device)
    if loaded.about.sources != bench.prepared.sources:
        raise InputError(
            "The features changed while the networks were trained: those of this one differ from those at the start",
            where=run,
            expected="the same features for all networks, from the first to the last",
            next_step="run the same command again: it retrains this one",
        )
    return loaded


class TrainedHarness:
    """A trained network whose items are encoded once and scored in any number of forms.

    Fold 0 never enters the memories here: they are written from the training items alone.

    Args:
        run: folder of a run of fmn.
        bench: the items that it was trained on.
    """

    def __init__(self, run: Path, bench: ValidationHarness) -> None:
        self.loaded = load_trained(run, bench)
        self.bench = bench
        both = reformed(self.loaded, with_values(self.loaded.config, {"memory.space": "raw"}))  # yields both codes
        data, parts = bench.prepared.data, bench.parts
        self._fit = (
            encode_all_clips(both, data, parts.train_clips),
            encode_all_utterances(both, data, parts.train_utterances),
        )
        self._held = encoded_fold_0(both, bench)
        self._pairs = data.on_device(self._pairs_to_write())
        self._classes = data.clip_classes[data.on_device(parts.train_clips)][self._pairs[:, 0]]

    def outcome(self, config: Config) -> ValidationResult:
        """Scores fold 0 in the form given by ``config``; its settings for network weights are ignored."""
        model = reformed(self.loaded, config)
        if config.memory.write == "epoch":
            model.rewrite(*self._fit, self._pairs, self._classes)
        held = self._held if model.attention is None else encoded_fold_0(model, self.bench)  # depend on slots
        scores = score_matrix(model, *held).numpy()
        reads = config.model.score not in ("s1", "cosine")
        return ValidationResult(measure(scores, self.bench.held), model.memory.size if reads else None)

    def _pairs_to_write(self) -> Indices:
        """[P, 2]: row indices into the codes of training items."""
        data, parts = self.bench.prepared.data, self.bench.parts
        pairs = matched_once(
            parts.train_clips,
            parts.train_utterances,
            data.clip_classes.cpu().numpy(),
            data.utterance_classes.cpu().numpy(),
            training_generator(self.loaded.config.training.seed, "settle", "bench"),
        )
        return np.stack(
            [np.searchsorted(parts.train_clips, pairs[:, 0]), np.searchsorted(parts.train_utterances, pairs[:, 1])],
            axis=1,
        )


def encoded_fold_0(model: RetrievalModel, bench: ValidationHarness) -> tuple[Embeddings, Embeddings]:
    """Codes of the clips and of the utterances of fold 0."""
    data, parts = bench.prepared.data, bench.parts
    return (
        encode_all_clips(model, data, parts.validation_clips),
        encode_all_utterances(model, data, parts.validation_utterances),
    )


def reformed(loaded: LoadedRun, config: Config) -> FeatureMemoryNetwork:
    """The network of a run with memories and score of another configuration; memories of another shape are empty.

    Raises:
        InputError: the run is not a run of fmn.
    """
    if not isinstance(loaded.model, FeatureMemoryNetwork):
        raise InputError(
            f"The run is a run of {loaded.config.system}, which has no memories",
            where=loaded.path,
            expected="a run of fmn",
            next_step="train one: fmn train --model fmn",
        )
    with torch.random.fork_rng(devices=[]):
        about = loaded.about
        model = SYSTEM.model(config, about.video_dim, about.audio_dim, about.audio_layers)
        assert isinstance(model, FeatureMemoryNetwork)
    own: dict[str, Any] = model.state_dict()
    given = {
        name: tensor
        for name, tensor in loaded.model.state_dict().items()
        if not name.startswith("memory.") or own[name].shape == tensor.shape
    }
    model.load_state_dict(own | given)
    return model.to(loaded.model.video_mean.device).eval()


def part_of(items: Items, clips: Indices, utterances: Indices) -> Items:
    """Returns a subset of the items, and the pairs between them."""
    marks = [np.zeros(len(rows), dtype=bool) for rows in (items.clips, items.utterances)]
    marks[0][clips] = True
    marks[1][utterances] = True
    return items.kept(*marks)
