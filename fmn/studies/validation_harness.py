"""Validation harness: networks trained for a study, evaluated on fold 0 with other memory settings."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import clear_partial, write_bytes
from dataset_tools.core.progress import Progress, Warn
from fmn.config import Config, as_dict, with_values
from fmn.config_sections import decisive
from fmn.data.batches import Indices
from fmn.data.items import Items, TrainValSplit, load_items, train_val_split
from fmn.data.loading import FeatureDataset, device_named, find_device, load_features
from fmn.data.outdated_pairs import outdated_pairs
from fmn.evaluation.evaluate import Metrics, measure
from fmn.evaluation.run_notes import corpus_notes
from fmn.features.media import reasons
from fmn.models.fmn import SYSTEM, FeatureMemoryNetwork
from fmn.models.memory_capacity import with_capacity
from fmn.models.retrieval_model import Embeddings, RetrievalModel, encode_all, fit_generator, score_matrix
from fmn.random_state import isolated_random_state
from fmn.systems import find_system
from fmn.training.checkpoint import LoadedRun, load_run
from fmn.training.result_files import set_aside_other_data
from fmn.training.run_state import check_not_extended, read_run_state
from fmn.training.train import RunSummary, train

NETWORKS_IN_MEMORY = 4
"""Maximum number of trained networks kept in memory."""


@dataclass(frozen=True, eq=False)
class ValidationHarness:
    """The training items with their features, split into fold 0 and the rest.

    Attributes:
        prepared: items and features. parts: training and validation part.
        fold_0: the items of fold 0, in the order of ``parts``.
    """

    prepared: FeatureDataset
    parts: TrainValSplit
    fold_0: Items

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


def harness_of(
    manifest: Path, config: Config, *, root: Path | None, device: str, jobs: int | None, progress: Progress
) -> tuple[ValidationHarness, Config, dict[str, str]]:
    """Returns the validation harness of a manifest, the complete configuration, and the items without features.

    Raises:
        InputError: see `check_study`.
    """
    items, _ = check_study(manifest, config, root, device)
    config = with_capacity(config, len(items.classes))
    prepared = load_features(items, config, device=find_device(device), jobs=jobs, progress=progress)
    return ValidationHarness.of(prepared), config, reasons(prepared.failures)


def check_study(manifest: Path, config: Config, root: Path | None, device: str) -> tuple[Items, TrainValSplit]:
    """Returns the items of a manifest and their split, before anything is extracted or trained.

    Raises:
        InputError: the manifest has no fold 0, the system is not fmn, or no device has this name.
    """
    device_named(device)
    if config.system != "fmn":
        raise InputError(
            f"The system is {config.system!r}",
            expected="fmn, whose design choices are studied",
            next_step="leave `system` out of --config and --set",
        )
    if config.training.refit:
        raise InputError(
            "The configuration trains on fold 0 (training.refit)",
            expected="a fold 0 that is not trained on: variants are compared on it",
            next_step="leave training.refit out",
        )
    if config.training.labels != "class":
        raise InputError(
            "The configuration trains without class labels (training.labels), and memories are written by class here",
            expected="training.labels=class",
            next_step="leave training.labels out; fmn train, compare and noise support it",
        )
    find_system(config.system).complete(config)
    items = load_items(manifest, root)
    items.require_media()
    return items, check_fold_0(items)


def seeded(config: Config, number: int) -> Config:
    """Configuration of training run ``number`` of a study, whose seeds follow the first one."""
    return with_values(config, {"training.seed": config.training.seed + number})


def study_values(file_format: str, harness: ValidationHarness, config: Config, seeds: int) -> dict[str, Any]:
    """The first values of a study's JSON file: its format, and what it was done with."""
    return {
        "format": file_format,
        "manifest_sha256": harness.prepared.items.manifest_sha256,
        "stand_in": harness.fold_0.standin is not None,
        "config": as_dict(config),
        "seeds": [seeded(config, number).training.seed for number in range(seeds)],
    }


def write_study(
    folder: Path, names: Sequence[str], values: Mapping[str, Any], *texts: str, warn: Warn | None = None
) -> None:
    """Writes the values of a study as JSON to the first of its files, and ``texts`` to the next ones.

    Files of other data, all ``names`` of them, are moved first.
    """
    clear_partial(folder)
    set_aside_other_data(folder, names, values, warn)
    for name, text in zip(names, (json.dumps(values, indent=2) + "\n", *texts), strict=False):
        write_bytes(folder / name, text.encode())


def notes_of_harness(harness: ValidationHarness) -> list[str]:
    """Caveats of results on the validation split."""
    prepared = harness.prepared
    return [*corpus_notes(harness.fold_0.standin), *prepared.notes, *outdated_pairs(prepared.items)]


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


def train_in_study(manifest: Path, config: Config, run: Path, harness: ValidationHarness, **options: Any) -> RunSummary:
    """Trains a run of a study on the features of its harness (`fmn.training.train.train`), or reuses it.

    If its features differ, because they changed while the study ran, it is trained anew: its folder is the study's.

    Raises:
        InputError: it was trained for more epochs since.
        StoppedError: the manifest of the harness was changed since it was read.
    """
    harness.prepared.items.require_unchanged()
    state = read_run_state(run)
    if state is not None and tuple(state.features) != harness.prepared.sources:
        shutil.rmtree(run)
    elif state is not None:
        check_not_extended(run, state.epoch, config)  # before training: it would end an interrupted one, and change it
    return train(manifest, config, run, **options)


def load_trained(run: Path, harness: ValidationHarness) -> LoadedRun:
    """Loads a run that was trained on the features of the harness.

    Raises:
        InputError: there is no such run, or it was trained on other features.
    """
    loaded = load_run(run, harness.prepared.data.device)
    if loaded.about.sources != harness.prepared.sources:
        raise InputError(
            "The features changed while the networks were trained: those of this one differ from those at the start",
            where=run,
            expected="the same features for all networks, from the first to the last",
            next_step="run the same command again: it retrains this one",
        )
    return loaded


class TrainedHarness:
    """A trained network whose items are encoded once and scored in any number of forms.

    Fold 0 never enters the memories here: they are written from the training items alone, in the same order as when
    training selected the epoch, so that the figures of the trained form are those of training.

    Args:
        run: folder of a run of fmn.
        harness: the items that it was trained on.
    """

    def __init__(self, run: Path, harness: ValidationHarness) -> None:
        self.loaded = load_trained(run, harness)
        self.harness = harness
        both = reconfigured(self.loaded, with_values(self.loaded.config, {"memory.space": "raw"}))  # mapped and raw
        data, parts = harness.prepared.data, harness.parts
        self._fit = encode_all(both, data, parts.train_clips, parts.train_utterances)
        self._fold_0 = encoded_fold_0(both, harness)
        random = fit_generator(self.loaded.config.training.seed, self.loaded.about.epoch)
        self._written = data.rows_of_pairs(parts.train_clips, parts.train_utterances, random)

    def outcome(self, config: Config) -> ValidationResult:
        """Scores fold 0 in the form given by ``config``; its settings for network weights are ignored."""
        model = reconfigured(self.loaded, config)
        if config.memory.write == "epoch":
            model.rewrite(*self._fit, *self._written)
        fold_0 = self._fold_0 if model.attention is None else encoded_fold_0(model, self.harness)  # depend on slots
        scores = score_matrix(model, *fold_0).numpy()
        reads = config.model.score not in ("s1", "cosine")
        return ValidationResult(measure(scores, self.harness.fold_0), model.memory.size if reads else None)


class Trainer:
    """Trains each configuration once, and reuses existing runs.

    Args:
        manifest: train.jsonl.
        folder: folder of the runs, in its subfolder ``trained``.
        harness: the items, with features.
        options: arguments of `fmn.training.train.train`: root, device, jobs, progress.
    """

    def __init__(self, manifest: Path, folder: Path, harness: ValidationHarness, **options: Any) -> None:
        self._manifest, self._folder, self._harness, self._options = manifest, folder, harness, options
        self._networks: dict[Path, TrainedHarness] = {}  # the most recent ones
        self._known: set[Path] = set()
        self.reused = 0

    @property
    def trainings(self) -> int:
        """Number of networks requested."""
        return len(self._known)

    def trained(self, config: Config) -> TrainedHarness:
        """Returns the network of a configuration, trained now or earlier; the most recent ones stay in memory."""
        run = self._folder / "trained" / run_name(config, self._harness.prepared.digest)
        sha256 = self._harness.prepared.items.manifest_sha256
        if _is_of_other_data(run, sha256):
            run = run.with_name(f"{run.name}-{sha256[:8]}")
        if run not in self._networks:
            summary = train_in_study(self._manifest, config, run, self._harness, **self._options)
            if run not in self._known:
                self.reused += summary.already_finished
            self._known.add(run)
            while len(self._networks) >= NETWORKS_IN_MEMORY:
                del self._networks[next(iter(self._networks))]
            self._networks[run] = TrainedHarness(run, self._harness)
        return self._networks[run]


def _is_of_other_data(run: Path, manifest_sha256: str) -> bool:
    state = read_run_state(run)
    return state is not None and state.manifest_sha256 != manifest_sha256


def run_name(config: Config, features: str = "") -> str:
    """Run name, unique for each configuration and feature digest: rewritten features lead to new runs."""
    values = decisive(config, of_run=True)
    text = json.dumps([values, features] if features else values, sort_keys=True)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:12]}-seed{config.training.seed}"


def encoded_fold_0(model: RetrievalModel, harness: ValidationHarness) -> tuple[Embeddings, Embeddings]:
    """Embeddings of the clips and of the utterances of fold 0."""
    return encode_all(model, harness.prepared.data, harness.parts.validation_clips, harness.parts.validation_utterances)


def reconfigured(loaded: LoadedRun, config: Config) -> FeatureMemoryNetwork:
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
    with isolated_random_state(torch.device("cpu"), deterministic=False):
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
