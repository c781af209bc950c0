"""Hyperparameter tuning on the validation split (fold 0): T1, T2, margin, capacity and temperature.

The paper found them "by experiments". One network is trained for each margin (with the softmax triplet loss, for each
temperature); its memory settings, which need no retraining, are optimized by coordinate search until none improves
(with ``memory.write=step``, where only training writes the memories, a network is trained for each trial).
Finally a network is trained with the best values; they are adopted only if it beats the defaults on the validation
split. Test items are never used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dataset_tools.core.progress import Progress, Warn, silent
from fmn.config import Config, as_dict, flattened, with_values
from fmn.config_sections import LARGEST_SIZE
from fmn.features.encoder_facts import encoders_loaded_once
from fmn.metrics.directions import DIRECTIONS
from fmn.models.memory_capacity import PAPER_CAPACITY, in_proportion
from fmn.studies.validation_harness import (
    Trainer,
    ValidationResult,
    harness_of,
    notes_of_harness,
    seeded,
    write_study,
)
from fmn.studies.variants import can_be_rewritten
from fmn.torch_threads import threads
from fmn.training.result_files import check_result_files

FORMAT = "fmn.tuned/1"
TUNED_FILE = "tuned.json"
TRIPLET_VALUES: Mapping[str, tuple[float, ...]] = {
    "training.margin": (0.1, 0.2, 0.3, 0.5),
    "training.triplet_temperature": (0.05, 0.1, 0.2, 0.4),
}
"""Values that require training a network: the margin or, for the softmax triplet loss, its temperature."""
CAPACITIES = (20, 50, 100, 200)
MEMORY_VALUES: Mapping[str, tuple[float, ...]] = {
    "memory.novelty_threshold": (-1.0, 0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "memory.temperature": (0.02, 0.05, 0.1, 0.2, 0.4),
    "memory.capacity": CAPACITIES,
    "memory.score_threshold": (0.0, 0.3, 0.5, 0.7, 0.9),
}
"""In the order in which they are optimized: the most influential first. Capacities are for up to 50 classes."""

Values = dict[str, Any]


def triplet_values(config: Config) -> tuple[str, tuple[float, ...]]:
    """Name and values of the setting that networks are trained for, by ``config``'s triplet loss; its value first."""
    name = "training.triplet_temperature" if config.training.triplet == "softmax" else "training.margin"
    first: float = flattened(as_dict(config))[name]
    return name, (first, *(value for value in TRIPLET_VALUES[name] if value != first))


def memory_values(config: Config, classes: int) -> Mapping[str, tuple[float, ...]]:
    """`MEMORY_VALUES`, with capacities in proportion to the default one for this number of classes."""
    if in_proportion(PAPER_CAPACITY, config, classes) == PAPER_CAPACITY:
        return MEMORY_VALUES
    least = min(classes, LARGEST_SIZE)  # rounding down would leave a class without a slot
    scaled = (in_proportion(value, config, classes) for value in CAPACITIES)
    return {**MEMORY_VALUES, "memory.capacity": tuple(max(value, least) for value in scaled)}


def most_trainings(config: Config, seeds: int, budget: int) -> int:
    """Maximum number of training runs of `tune`."""
    return seeds * (1 + (len(triplet_values(config)[1]) if can_be_rewritten(config) else budget))


@dataclass(frozen=True)
class Trial:
    """One set of values and its results.

    Attributes:
        values: all five values, by dotted name.
        map: mean average precision on fold 0, percent, averaged over both directions and all seeds.
        audio_to_video, video_to_audio: class hit@1, percent, averaged over all seeds.
        retrained: whether networks were trained with all of these values, not with the margin (or temperature) alone.
    """

    values: Values
    map: float
    audio_to_video: float
    video_to_audio: float
    retrained: bool = False


@dataclass(frozen=True, eq=False)
class Tuning:
    """Results of `tune`.

    Attributes:
        values: the best values, by dotted name, for ``fmn train --config``; without ``memory.capacity`` if that is the
            default for the number of classes, and was not configured.
        default: the trial of the defaults. best: the best trial of the search. final: its values, retrained.
        is_default: whether the defaults are kept.
        trials: all trials, in order.
        path: path of tuned.json. trainings: number of networks trained.
        notes: caveats. failures: items without features, with the reason.
    """

    values: Values
    default: Trial
    best: Trial
    final: Trial
    trials: tuple[Trial, ...]
    path: Path
    trainings: int
    notes: tuple[str, ...]
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def is_default(self) -> bool:
        return self.values.items() <= self.default.values.items()

    def as_dict(self) -> dict[str, Any]:
        return {
            "values": self.values,
            "is_default": self.is_default,
            "default": vars(self.default),
            "best": vars(self.best),
            "final": vars(self.final),
            "trials": [vars(trial) for trial in self.trials],
            "trainings": self.trainings,
            "notes": list(self.notes),
            "path": str(self.path),
            "failures": self.failures,
        }


@encoders_loaded_once()
def tune(
    manifest: Path | str,
    config: Config,
    folder: Path | str,
    *,
    budget: int = 160,
    seeds: int = 2,
    root: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
    warn: Warn | None = None,
) -> Tuning:
    """Finds values on fold 0 and writes tuned.json into ``folder``.

    An interrupted study resumes: runs that are complete in ``folder`` are reused.

    Args:
        manifest: train.jsonl, with a fold 0 whose items are in no other fold.
        config: initial values and all other settings, for the system fmn.
        folder: output folder for tuned.json and the runs.
        budget: maximum number of trials, divided evenly among the margins.
        seeds: number of training runs to average each trial over.
        root: the workspace, if it is not the parent of the manifest's folder.
        device: ``auto``, or a torch device name.
        jobs: workers for features; None: one per core.
        progress: progress callback.
        warn: called if earlier results, of other data, are moved (`set_aside_other_data`).

    Raises:
        InputError: the manifest has no fold 0, or the system is not fmn.
        StoppedError: interrupted, or the device or the disk is full; the same call resumes.
    """
    manifest, folder, root = Path(manifest), Path(folder), None if root is None else Path(root)
    is_given = config.memory.capacity is not None
    check_result_files(folder, [TUNED_FILE], FORMAT)
    options: dict[str, Any] = {"root": root, "device": device, "jobs": jobs, "progress": progress}
    harness, config, failures = harness_of(manifest, config, **options)
    trainer = Trainer(manifest, folder, harness, **options)
    choices = memory_values(config, len(harness.prepared.items.classes))
    search = _Search(config, trainer, choices, seeds, budget, progress)
    _, values = triplet_values(config)
    for index, value in enumerate(values):
        search.improve(value, until=budget * (index + 1) // len(values))
    best = max(search.trials, key=lambda trial: trial.map)
    default = search.trials[0]
    given_afterwards = not best.retrained and any(best.values[name] != default.values[name] for name in MEMORY_VALUES)
    final = search.tried(best.values, retrained=True) if given_afterwards else best
    progress("tune", budget, budget)
    chosen = final.values if final.map > default.map else default.values
    if not is_given and chosen["memory.capacity"] == config.memory.capacity:
        chosen = {name: value for name, value in chosen.items() if name != "memory.capacity"}
    tuning = Tuning(
        values=chosen,
        default=default,
        best=best,
        final=final,
        trials=tuple(search.trials),
        path=folder / TUNED_FILE,
        trainings=trainer.trainings,
        notes=(
            *notes_of_harness(harness),
            "These values and each run's epoch were selected on the validation split (fold 0): results on it are "
            "optimistic.",
        ),
        failures=failures,
    )
    manifest_sha256 = harness.prepared.items.manifest_sha256
    report = {"format": FORMAT, **tuning.as_dict(), "manifest_sha256": manifest_sha256, "config": as_dict(config)}
    report["seeds"] = [config.training.seed + number for number in range(seeds)]
    del report["path"]
    write_study(folder, [TUNED_FILE], report, warn=warn)
    return tuning


class _Search:
    """The trials so far; the first one has the default values."""

    def __init__(
        self,
        config: Config,
        trainer: Trainer,
        choices: Mapping[str, tuple[float, ...]],
        seeds: int,
        budget: int,
        progress: Progress,
    ) -> None:
        self._config, self._trainer, self._choices, self._seeds = config, trainer, choices, seeds
        self._budget, self._progress = budget, progress
        every = flattened(as_dict(config))
        self._of_triplet, _ = triplet_values(config)
        self._start = {name: every[name] for name in (self._of_triplet, *choices)}
        self.trials: list[Trial] = []

    def improve(self, of_triplet: float, *, until: int) -> None:
        """Optimizes the memory settings for a margin or temperature, one at a time, until ``until`` trials are done."""
        best = self._once(self._start | {self._of_triplet: of_triplet})
        better = True
        while better:
            better = False
            for name, choices in self._choices.items():
                for value in choices:
                    values = best.values | {name: value}
                    if len(self.trials) >= until or self._known(values):
                        continue
                    trial = self._once(values)
                    if trial.map > best.map:
                        best, better = trial, True

    def tried(self, values: Values, *, retrained: bool = False) -> Trial:
        """Runs and records one more trial."""
        retrained = retrained or not can_be_rewritten(self._config)
        outcomes = [self._outcome(values, number, retrained) for number in range(self._seeds)]
        hits = {
            direction: float(np.mean([outcome.metrics[direction]["class_hit"]["1"] for outcome in outcomes]))
            for direction in DIRECTIONS
        }
        trial = Trial(
            values, float(np.mean([outcome.validation_score for outcome in outcomes])), **hits, retrained=retrained
        )
        self.trials.append(trial)
        self._progress("tune", min(len(self.trials), self._budget), self._budget, f"mAP {trial.map:.1f}")
        return trial

    def _once(self, values: Values) -> Trial:
        return self._known(values) or self.tried(values)

    def _known(self, values: Values) -> Trial | None:
        return next((trial for trial in self.trials if trial.values == values), None)

    def _outcome(self, values: Values, number: int, retrained: bool) -> ValidationResult:
        base = seeded(self._config, number)
        own = with_values(base, values)
        trained_with = own if retrained else with_values(base, {self._of_triplet: values[self._of_triplet]})
        with threads(self._config.training.threads):
            return self._trainer.trained(trained_with).outcome(own)
