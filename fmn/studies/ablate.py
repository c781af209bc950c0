"""Ablation study: every design choice and its alternatives on the same data, retrained only where necessary.

A variant that only changes how memories are written and read, or the form of the score, is evaluated with the network
trained with the defaults. All figures are from fold 0, which also selected the epoch of each training run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import clear_partial, sha256_of, write_bytes
from dataset_tools.core.progress import Progress, silent
from fmn.config import Config, as_dict, with_values
from fmn.config_sections import decisive
from fmn.data.items import Items, TrainValSplit, load_items
from fmn.data.loading import device_named, find_device, load_features
from fmn.evaluation.breakdown import sd_of, summarized
from fmn.evaluation.results_table import DIRECTIONS
from fmn.features.encoder_facts import encoders_loaded_once
from fmn.studies.ablation_table import ablation_text
from fmn.studies.validation_harness import (
    TrainedHarness,
    ValidationHarness,
    ValidationResult,
    check_fold_0,
    remove_stale,
)
from fmn.studies.variants import Variant, variants_of
from fmn.systems import find_system
from fmn.torch_threads import threads
from fmn.training.train import train

FORMAT = "fmn.ablation/1"
AT_HAND = 4
"""Maximum number of trained networks kept in memory."""
NOTES = (
    "Measured on the validation split (fold 0), which also selected each run's epoch, so all values are optimistic. "
    "Mean ± sd over training seeds; difference: in mean average precision (both directions averaged) from the default "
    "of the same seed.",
    "Variants marked * were not trained: the network trained with the defaults was evaluated with them.",
)


@dataclass(frozen=True, eq=False)
class Ablation:
    """Results of `ablate`.

    Attributes:
        values: contents of ablation.json.
        folder: folder of ablation.json and ablation.md.
        trainings: number of networks trained for the table. reused: how many of them existed already.
        failures: items without features, with the reason.
    """

    values: dict[str, Any]
    folder: Path
    trainings: int
    reused: int
    failures: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        return self.values | {
            "folder": str(self.folder),
            "trainings": self.trainings,
            "reused": self.reused,
            "failures": self.failures,
        }


@encoders_loaded_once()
def ablate(
    manifest: Path,
    config: Config,
    folder: Path,
    *,
    only: Sequence[str] = (),
    seeds: int = 3,
    root: Path | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> Ablation:
    """Trains and scores every variant with several seeds, and writes ablation.json and ablation.md.

    An interrupted study resumes: runs that are complete in ``folder`` are reused.

    Args:
        manifest: train.jsonl, with a fold 0 whose items are in no other fold.
        config: the defaults, for the system fmn; its seed is the first one.
        folder: output folder for tables and runs.
        only: groups of variants (`fmn.studies.variants.GROUPS`); empty: all.
        seeds: number of training runs per variant.
        root: the workspace, if it is not the parent of the manifest's folder.
        device: ``auto``, or a torch device name.
        jobs: workers for features; None: one per core.
        progress: progress callback.

    Raises:
        InputError: the manifest has no fold 0, a group is unknown, or the system is not fmn.
        StoppedError: interrupted, or the device or the disk is full; the same call resumes.
    """
    variants = variants_of(config, only)
    bench, failures = harness_of(manifest, config, root=root, device=device, jobs=jobs, progress=progress)
    trainer = Trainer(manifest, folder, bench, root=root, device=device, jobs=jobs, progress=progress)
    default = Variant("", "default")
    ordered = [default, *sorted(variants, key=lambda variant: variant.retrained)]  # variants of the same network first
    found: dict[Variant, list[ValidationResult]] = {variant: [] for variant in (default, *variants)}
    total = seeds * len(ordered)
    for number in range(seeds):
        base = with_values(config, {"training.seed": config.training.seed + number})
        for place, variant in enumerate(ordered):
            progress("ablate", number * len(ordered) + place, total, f"{variant.group} {variant.name}")
            own = variant.applied(base)
            network = trainer.trained(own if variant.retrained else base)
            with threads(config.training.threads):
                found[variant].append(network.outcome(own))
    progress("ablate", total, total)
    values = {
        "format": FORMAT,
        "manifest_sha256": sha256_of(manifest),
        "stand_in": bench.held.standin is not None,
        "config": as_dict(config),
        "seeds": [config.training.seed + number for number in range(seeds)],
        "clips": len(bench.held.clips),
        "utterances": len(bench.held.utterances),
        "rows": [_row(variant, outcomes, found[default], config) for variant, outcomes in found.items()],
        "notes": [*notes_of_harness(bench), *NOTES],
    }
    clear_partial(folder)
    write_bytes(folder / "ablation.json", json.dumps(values, indent=2).encode() + b"\n")
    write_bytes(folder / "ablation.md", ablation_text(values).encode())
    return Ablation(values, folder, trainer.trainings, trainer.reused, failures)


def harness_of(
    manifest: Path, config: Config, *, root: Path | None, device: str, jobs: int | None, progress: Progress
) -> tuple[ValidationHarness, dict[str, str]]:
    """Returns the validation harness of a manifest, and the items without features.

    Raises:
        InputError: as in `ablate`.
    """
    items, _ = check_study(manifest, config, root, device)
    prepared = load_features(items, config, device=find_device(device), jobs=jobs, progress=progress)
    return ValidationHarness.of(prepared), {name: error.found for name, error in prepared.failures.items()}


def check_study(manifest: Path, config: Config, root: Path | None, device: str) -> tuple[Items, TrainValSplit]:
    """Returns the items of a manifest and their split, before anything is extracted or trained.

    Raises:
        InputError: as in `ablate`; or no device has this name.
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


class Trainer:
    """Trains each configuration once, and reuses existing runs.

    Args:
        manifest: train.jsonl.
        folder: folder of the runs, in its subfolder ``trained``.
        bench: the items, with features.
        root: this and the following arguments are those of `fmn.training.train.train`.
        device: training device.
        jobs: workers for feature extraction.
        progress: progress callback.
    """

    def __init__(
        self,
        manifest: Path,
        folder: Path,
        bench: ValidationHarness,
        *,
        root: Path | None,
        device: str,
        jobs: int | None,
        progress: Progress,
    ) -> None:
        self._manifest, self._folder, self._bench = manifest, folder, bench
        self._options: dict[str, Any] = {"root": root, "device": device, "jobs": jobs, "progress": progress}
        self._networks: dict[Path, TrainedHarness] = {}  # the most recent ones
        self._known: set[Path] = set()
        self.reused = 0

    @property
    def trainings(self) -> int:
        """Number of networks requested."""
        return len(self._known)

    def trained(self, config: Config) -> TrainedHarness:
        """Returns the network of a configuration, trained now or earlier; the most recent ones stay in memory."""
        run = self._folder / "trained" / run_name(config, self._bench.prepared.digest)
        if run not in self._networks:
            remove_stale(run, self._bench)
            summary = train(self._manifest, config, run, **self._options)
            if run not in self._known:
                self.reused += summary.already_finished
            self._known.add(run)
            while len(self._networks) >= AT_HAND:
                del self._networks[next(iter(self._networks))]
            self._networks[run] = TrainedHarness(run, self._bench)
        return self._networks[run]


def run_name(config: Config, features: str = "") -> str:
    """Run name, unique for each configuration and feature digest: rewritten features lead to new runs."""
    values = decisive(config, of_run=True)
    text = json.dumps([values, features] if features else values, sort_keys=True)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:12]}-seed{config.training.seed}"


def trainings_of(config: Config, variants: Sequence[Variant]) -> int:
    """Number of networks to train for one seed of the table."""
    return len({run_name(config)} | {run_name(variant.applied(config)) for variant in variants if variant.retrained})


def _row(
    variant: Variant, outcomes: list[ValidationResult], defaults: list[ValidationResult], config: Config
) -> dict[str, Any]:
    """One row of ablation.json."""
    differences = [one.validation_score - other.validation_score for one, other in zip(outcomes, defaults, strict=True)]
    precisions = [outcome.validation_score for outcome in outcomes]
    slots = [outcome.slots for outcome in outcomes if outcome.slots is not None]
    return {
        "group": variant.group,
        "variant": variant.name,
        "is_default": variant.applied(config) == config,
        "retrained": variant.retrained or not variant.group,
        "changes": dict(variant.changes),
        "slots": float(np.mean(slots)) if slots else None,
        "map": {"mean": float(np.mean(precisions)), "sd": sd_of(precisions)},
        "difference": {"mean": float(np.mean(differences)), "sd": sd_of(differences)},
        **{name: summarized([outcome.metrics[name] for outcome in outcomes]) for name in DIRECTIONS},
    }


def notes_of_harness(bench: ValidationHarness) -> list[str]:
    """Caveats of results on the validation split."""
    standin = "Synthetic (stand-in) corpus: these results say nothing about real kitchens."
    return [standin] * (bench.held.standin is not None) + list(bench.prepared.notes)
