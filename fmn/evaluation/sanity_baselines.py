"""Sanity-check baselines (lengths, file sizes) for the items of an evaluation: rows in every results table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.progress import Progress, silent
from fmn.config import with_values
from fmn.data.items import Items
from fmn.data.loading import find_device, load_features
from fmn.evaluation.evaluate import Metrics, measure
from fmn.evaluation.run_manifests import training_items
from fmn.models.retrieval_model import encode_all, fit_generator, score_matrix
from fmn.systems import find_system
from fmn.training.checkpoint import load_config

CHEAP = ("lengths", "file_size")


def trivial_rows(
    run: Path,
    items: Items,
    *,
    root: Path | None = None,
    jobs: int | None = None,
    metric_names: Sequence[str] = (),
    progress: Progress = silent,
) -> dict[str, Metrics]:
    """Measures the trivial baselines that need no training, fitted to the training items of a run.

    Args:
        run: folder of the run to compare them with.
        items: the items that the run was evaluated on: those that have features of its own.
        root: the workspace that the items were loaded with, if it is not the parent of their manifest's folder.
        jobs: workers for features; None: one per core.
        metric_names: additional metrics, stored under ``chosen`` (`fmn.metrics.chosen_metrics.parse_metrics`).
        progress: progress callback.

    Returns:
        Metrics by baseline name; without those that have no features of some of the items, which would be measured on
        fewer items than the run; empty if the run's training manifest has changed, or is missing, or its files are.
    """
    try:
        parts = [training_items(run, root, items.manifest)[1], items]
        found = {name: _measured(name, run, parts, jobs, metric_names, progress) for name in CHEAP}
        return {name: metrics for name, metrics in found.items() if metrics is not None}
    except ToolkitError:
        return {}  # a missing reference row must not fail the evaluation


def _measured(
    name: str, run: Path, parts: list[Items], jobs: int | None, metric_names: Sequence[str], progress: Progress
) -> Metrics | None:
    system, device = find_system(name), find_device("cpu")
    config = load_config(run)
    config = system.complete(with_values(system.adapt(config), {"system": name, "options": {}}))
    fitted, evaluated = (load_features(items, config, device=device, jobs=jobs, progress=progress) for items in parts)
    if evaluated.failures:
        return None
    model = system.build(config, fitted.data.video_dim, fitted.data.audio_dim)
    everything = np.arange(len(fitted.items.clips)), np.arange(len(fitted.items.utterances))
    model.fit_after_epoch(fitted.data, *everything, fit_generator(config.training.seed, "all"))
    scores = score_matrix(model, *encode_all(model, evaluated.data)).numpy()
    return measure(scores, evaluated.items, metric_names=metric_names)
