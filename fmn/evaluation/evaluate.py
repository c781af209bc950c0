"""Evaluation of a run on a manifest: one score matrix, both directions, metrics.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import clear_partial, write_bytes
from dataset_tools.core.progress import Progress, silent
from fmn.data.batches import ItemTensors
from fmn.data.dry_run import DryRun
from fmn.data.items import Items, load_items
from fmn.data.loading import BothFeatures, FeatureDataset, find_device, load_features, plan_features, usable_device
from fmn.evaluation.breakdown import details, factors_of
from fmn.evaluation.memory_update import measure_while_updating, updatable
from fmn.evaluation.run_manifests import METRICS_FILE, result_suffix
from fmn.evaluation.run_notes import notes_of
from fmn.evaluation.trec_files import TREC_TOP, trec_paths, write_trec_files
from fmn.features.media import reasons
from fmn.metrics.chosen_metrics import chosen_metrics
from fmn.metrics.directions import by_direction, queries_and_gallery
from fmn.metrics.retrieval_metrics import retrieval_metrics
from fmn.models.retrieval_model import encode_all, score_matrix
from fmn.torch_threads import threads
from fmn.training.checkpoint import LoadedRun, load_run

Metrics = dict[str, dict[str, Any]]
UPDATED = "updated_memory"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results of `evaluate`.

    Attributes:
        run: the run's folder. system: the system's name.
        manifest: the manifest it was evaluated on.
        items: its items that have features, which the metrics are of.
        metrics: contents of metrics.json, by direction (query → gallery); under ``updated_memory`` the same with
            memories that were updated while testing, if requested.
        path: path of metrics.json, which also has the name and the SHA-256 of the manifest.
        trec_files: run and qrels files, if requested.
        clips, utterances, classes: their numbers.
        is_standin: whether the corpus is a stand-in.
        failures: items without features, with the reason; they are excluded.
        notes: caveats to show with the metrics.
    """

    run: Path
    system: str
    manifest: Path
    items: Items
    metrics: Metrics
    path: Path
    trec_files: tuple[Path, ...]
    clips: int
    utterances: int
    classes: int
    is_standin: bool
    failures: dict[str, str]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "run": str(self.run),
            "system": self.system,
            "manifest": str(self.manifest),
            "metrics": self.metrics,
            "metrics_file": str(self.path),
            "trec_files": [str(path) for path in self.trec_files],
            "clips": self.clips,
            "utterances": self.utterances,
            "classes": self.classes,
            "stand_in": self.is_standin,
            "failures": self.failures,
            "notes": list(self.notes),
        }


def evaluate(
    run: Path | str,
    manifest: Path | str,
    *,
    root: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    update_orders: int = 0,
    metric_names: Sequence[str] = (),
    trec: Path | str | None = None,
    trec_top: int = TREC_TOP,
    progress: Progress = silent,
) -> Evaluation:
    """Scores every clip of a manifest against every utterance, and measures both directions.

    The galleries are the manifest's distinct clips and distinct utterances. Metrics are written to `metrics_file` in
    the run's folder. The memories of the run are not changed.

    Args:
        run: folder of a trained run.
        manifest: usually test.jsonl.
        root: the workspace, if it is not the parent of the manifest's folder.
        device: ``auto``, or a torch device name.
        jobs: workers for features; None: one per core.
        update_orders: also measure with memories updated while testing, in this number of orders of the queries.
        metric_names: additional metrics, stored under ``chosen`` (`fmn.metrics.chosen_metrics.parse_metrics`).
        trec: folder for run and qrels files (`fmn.evaluation.trec_files`); None: do not write them.
        trec_top: number of best items per query in the run files.
        progress: progress callback.

    Raises:
        InputError: there is no such run, the manifest is invalid, or the two do not match; or its memories are to be
            updated, and it has none.
        StoppedError: the run was trained further meanwhile, or the disk is full.
    """
    run, manifest, root = Path(run), Path(manifest), None if root is None else Path(root)
    chosen = find_device(device)
    loaded = load_run(run, chosen)
    items = load_items(manifest, root)
    prepared = load_features(items, loaded.config, device=chosen, jobs=jobs, progress=progress)
    check_fit(loaded, prepared.data)
    with threads(loaded.config.training.threads):
        clips, utterances = encode_all(loaded.model, prepared.data)
        scores = score_matrix(loaded.model, clips, utterances, done=partial(progress, "score")).numpy()
        metrics = measure(scores, prepared.items, detailed=True, metric_names=metric_names)
        if update_orders:
            metrics[UPDATED] = measure_while_updating(
                loaded,
                clips,
                utterances,
                prepared.items,
                orders=update_orders,
                metric_names=metric_names,
                done=partial(progress, "updating"),
            )
    loaded.require_unchanged()
    written = write_trec_files(Path(trec), scores, prepared.items, tag=run.resolve().name, top=trec_top) if trec else ()
    path = run / metrics_file(run, manifest)
    clear_partial(run)
    write_metrics(path, metrics, items)
    return Evaluation(
        run=run,
        system=loaded.config.system,
        manifest=manifest,
        items=prepared.items,
        metrics=metrics,
        path=path,
        trec_files=written,
        clips=len(prepared.items.clips),
        utterances=len(prepared.items.utterances),
        classes=len(prepared.items.classes),
        is_standin=items.standin is not None,
        failures=reasons(prepared.failures),
        notes=notes_of(loaded, prepared),
    )


def plan_evaluation(
    run: Path,
    manifest: Path,
    *,
    root: Path | None = None,
    device: str = "auto",
    jobs: int | None = None,
    updates_memory: bool = False,
    trec: Path | None = None,
    progress: Progress = silent,
) -> DryRun:
    """Returns what `evaluate` would do, after its checks; computes and writes nothing. Arguments and errors: there."""
    loaded, items, found = load_run_and_plan_features(
        run, manifest, root=root, device=device, jobs=jobs, progress=progress
    )
    if updates_memory:
        updatable(loaded)
    return DryRun.of(items, found, (run / metrics_file(run, manifest), *(trec_paths(trec) if trec else ())))


def load_run_and_plan_features(
    run: Path, manifest: Path, *, root: Path | None, device: str, jobs: int | None, progress: Progress
) -> tuple[LoadedRun, Items, BothFeatures]:
    """Loads a run and the items of a manifest for a dry run, plans their features, and checks that they fit the run.

    Returns:
        The run, on the CPU; the items that have features or may get some; and the features (`plan_features`).

    Raises:
        InputError: there is no such run, the manifest is invalid, or the two do not match.
    """
    loaded = load_run(run, usable_device(device, dry_run=True))
    items, found = plan_features(load_items(manifest, root), loaded.config, jobs=jobs, progress=progress)
    check_sizes(loaded, found.video.dim, found.audio.dim)
    return loaded, items, found


def write_metrics(path: Path, metrics: Metrics, items: Items) -> None:
    """Writes metrics with the name and the SHA-256 of the manifest of the items that they were measured on."""
    of_manifest = {"manifest": {"name": items.manifest.name, "sha256": items.manifest_sha256}}
    write_bytes(path, json.dumps(metrics | of_manifest, indent=2).encode() + b"\n")


def metrics_file(run: Path, manifest: Path) -> str:
    """The name of the file for a run's metrics on a manifest: metrics.json for its own test.jsonl."""
    name = Path(METRICS_FILE)
    return f"{name.stem}{result_suffix(run, manifest)}{name.suffix}"


def all_scores(loaded: LoadedRun, prepared: FeatureDataset) -> NDArray[np.float32]:
    """[N, M]: the score of every clip with every utterance."""
    scores: NDArray[np.float32] = score_matrix(loaded.model, *encode_all(loaded.model, prepared.data)).numpy()
    return scores


def measure(
    scores: NDArray[np.float32], items: Items, *, detailed: bool = False, metric_names: Sequence[str] = ()
) -> Metrics:
    """Computes the metrics of both directions from the scores [N, M] of clips and utterances.

    Args:
        scores: higher is better.
        items: the clips and utterances.
        detailed: include intervals and per-class means (`fmn.evaluation.breakdown`).
        metric_names: additional metrics, stored under ``chosen`` (`fmn.metrics.chosen_metrics`).
    """
    clips = [row.class_id for row in items.clips]
    utterances = [row.class_id for row in items.utterances]
    metrics: Metrics = {}
    factors = factors_of(items)
    for direction, (matrix, relevant, partners) in by_direction(scores, items.relevant, items.partner_matrix):
        block = retrieval_metrics(matrix, *queries_and_gallery(direction, clips, utterances), partners)
        if detailed:
            block |= details(matrix, relevant, partners, factors[direction])
        if metric_names:
            intervals = factors[direction] if detailed else None
            block["chosen"] = chosen_metrics(matrix, relevant, partners, metric_names, intervals)
        metrics[direction] = block
    return metrics


def check_fit(loaded: LoadedRun, data: ItemTensors) -> None:
    """Checks that the features have the sizes that the run was trained with, and that its system can score them.

    Raises:
        InputError: they do not match.
    """
    check_sizes(loaded, data.video_dim, data.audio_dim)
    loaded.model.check(data)


def check_sizes(loaded: LoadedRun, video_dim: int, audio_dim: int) -> None:
    """Checks the sizes of features as `check_fit` does; 0: the size is not known.

    Raises:
        InputError: they do not match.
    """
    wanted = (loaded.about.video_dim, loaded.about.audio_dim)
    found = (video_dim or wanted[0], audio_dim or wanted[1])
    if found != wanted:
        raise InputError(
            f"The features have sizes {found[0]} and {found[1]}; in training they had {wanted[0]} and {wanted[1]}",
            where=loaded.path,
            expected="the configuration that the run was trained with",
            next_step="restore its config.json, or train again",
        )
