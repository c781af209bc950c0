"""Ablation study: every design choice and its alternatives on the same data, retrained only where necessary.

A variant that only changes how memories are written and read, or the form of the score, is evaluated with the network
trained with the defaults. All figures are from fold 0, which also selected the epoch of each training run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset_tools.core.progress import Progress, Warn, silent
from fmn.config import Config
from fmn.evaluation.breakdown import sd_of, summarized
from fmn.features.encoder_facts import encoders_loaded_once
from fmn.metrics.directions import DIRECTIONS
from fmn.studies.ablation_table import ablation_text
from fmn.studies.validation_harness import (
    Trainer,
    ValidationResult,
    harness_of,
    notes_of_harness,
    run_name,
    seeded,
    study_values,
    write_study,
)
from fmn.studies.variants import Variant, check_groups, variants_of
from fmn.torch_threads import threads
from fmn.training.result_files import check_result_files

FORMAT = "fmn.ablation/1"
FILES = ("ablation.json", "ablation.md")
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
    manifest: Path | str,
    config: Config,
    folder: Path | str,
    *,
    only: Sequence[str] = (),
    seeds: int = 3,
    root: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
    warn: Warn | None = None,
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
        warn: called if earlier results, of other data, are moved (`set_aside_other_data`).

    Raises:
        InputError: the manifest has no fold 0, a group is unknown, or the system is not fmn.
        StoppedError: interrupted, or the device or the disk is full; the same call resumes.
    """
    manifest, folder, root = Path(manifest), Path(folder), None if root is None else Path(root)
    check_groups(only)
    check_result_files(folder, FILES, FORMAT)
    options: dict[str, Any] = {"root": root, "device": device, "jobs": jobs, "progress": progress}
    harness, config, failures = harness_of(manifest, config, **options)
    variants = variants_of(config, only, classes=len(harness.prepared.items.classes))
    trainer = Trainer(manifest, folder, harness, **options)
    default = Variant("", "default")
    ordered = [default, *sorted(variants, key=lambda variant: variant.retrained)]  # variants of the same network first
    found: dict[Variant, list[ValidationResult]] = {variant: [] for variant in (default, *variants)}
    total = seeds * len(ordered)
    for number in range(seeds):
        base = seeded(config, number)
        for place, variant in enumerate(ordered):
            progress("ablate", number * len(ordered) + place, total, f"{variant.group} {variant.name}")
            own = variant.applied(base)
            network = trainer.trained(own if variant.retrained else base)
            with threads(config.training.threads):
                found[variant].append(network.outcome(own))
    progress("ablate", total, total)
    values = {
        **study_values(FORMAT, harness, config, seeds),
        "clips": len(harness.fold_0.clips),
        "utterances": len(harness.fold_0.utterances),
        "rows": [_row(variant, outcomes, found[default], config) for variant, outcomes in found.items()],
        "notes": [*notes_of_harness(harness), *NOTES],
    }
    write_study(folder, FILES, values, ablation_text(values), warn=warn)
    return Ablation(values, folder, trainer.trainings, trainer.reused, failures)


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
