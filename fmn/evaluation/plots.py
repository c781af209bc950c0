"""Plots of a run: training curves, recall, confusion matrix, memory contents.

This module computes the contents; fmn/evaluation/plot_drawing.py draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.progress import Progress, silent
from fmn.data.batches import matched_once
from fmn.data.dry_run import DryRun
from fmn.data.items import Items, load_items
from fmn.data.loading import FeatureDataset, find_device, load_features, number_computed, plan_features
from fmn.evaluation import plot_drawing as drawing
from fmn.evaluation.evaluate import check_fit, load_run_and_plan_features
from fmn.evaluation.results_table import METRICS
from fmn.evaluation.run_manifests import result_suffix, training_items
from fmn.evaluation.run_notes import notes_of
from fmn.features.encoder_facts import encoders_loaded_once
from fmn.features.media import reasons
from fmn.metrics.chance import ceiling, chance
from fmn.metrics.directions import by_direction, queries_and_gallery
from fmn.metrics.retrieval_metrics import query_metrics
from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import Embeddings, encode_all, fit_generator, score_matrix
from fmn.torch_threads import threads
from fmn.training.checkpoint import LoadedRun, load_run
from fmn.training.run_state import read_run_state

MOST_K = 100
FOLDER = "plots"


@dataclass(frozen=True)
class Pictures:
    """Result of `plot_run`: the files written, their caveats, and items without features."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]
    failures: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        return {
            "files": [str(path) for path in self.files],
            "notes": list(self.notes),
            "failures": self.failures,
        }


@encoders_loaded_once()
def plot_run(
    run: Path | str,
    manifest: Path | str,
    *,
    root: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> Pictures:
    """Writes training.png, recall.png, confusion.png and, for fmn with class labels, slots.png to RUN/plots.

    Those of a manifest other than the run's own test.jsonl go to RUN/plots-NAME (`result_suffix`).

    Args:
        run: folder of a trained run.
        manifest: manifest of the items to retrieve, usually test.jsonl.
        root: the workspace, if it is not the parent of the manifest's folder.
        device: ``auto``, or a torch device name.
        jobs: workers for features; None: one per core.
        progress: progress callback.

    Raises:
        InputError: there is no such run, the manifest is invalid, or the two do not match.
        StoppedError: the run was trained further meanwhile, or the disk is full.
    """
    run, manifest, root = Path(run), Path(manifest), None if root is None else Path(root)
    chosen = find_device(device)
    loaded = load_run(run, chosen)
    options: dict[str, Any] = {"device": chosen, "jobs": jobs, "progress": progress}
    prepared = load_features(load_items(manifest, root), loaded.config, **options)
    check_fit(loaded, prepared.data)
    items = prepared.items
    state = read_run_state(run)
    folder = _folder(run, manifest)
    corpus = "  (stand-in corpus)" if items.standin is not None else ""
    with threads(loaded.config.training.threads):
        clips, utterances = encode_all(loaded.model, prepared.data)
        scores = score_matrix(loaded.model, clips, utterances).numpy()
    loaded.require_unchanged()
    name = run.resolve().name
    title = f"{name} on {manifest.name}{corpus}"
    files: list[Path] = []
    of_slots: list[str] = []
    shown = [title, *class_ids(items)]
    if state is not None and state.history:
        files.append(drawing.training(folder / "training.png", state.history, state.best_epoch, f"{name}{corpus}"))
    files.append(drawing.curves(folder / "recall.png", recall_curves(scores, items), loaded.config.system, title))
    files.append(drawing.confusion(folder / "confusion.png", confusions(scores, items), class_ids(items), title))
    if state and (model := _with_slots(loaded)) is not None:
        path = folder / "slots.png"
        try:
            learned = load_features(training_items(run, root, manifest)[1], loaded.config, **options)
        except InputError as error:  # the other plots need no training data
            path.unlink(missing_ok=True)
            of_slots.append(_no_slots(error))
        else:
            with threads(loaded.config.training.threads):
                contents = slot_contents(loaded, model, learned)
                used = slot_uses(model, clips, utterances)
            loaded.require_unchanged()
            memory, names = model.memory, class_ids(learned.items)
            shown += names
            counts, slot_classes = memory.counts.cpu().numpy(), memory.slot_classes.cpu().numpy()
            files.append(drawing.slots(path, contents, counts, slot_classes, used, names, title))
            if learned.failures:
                of_slots.append(f"slots.png leaves out {count_of(len(learned.failures), 'item')} of the training data.")
    failures = reasons(prepared.failures)
    notes = [*notes_of(loaded, prepared), *of_slots]
    if boxes := drawing.letters_without_glyph(shown):
        notes.append(
            f"The plots show boxes for letters that Matplotlib's fonts lack: {boxes}. A matplotlibrc can set "
            "font.family to fonts that have them."
        )
    return Pictures(tuple(files), tuple(notes), failures)


def plan_plots(
    run: Path,
    manifest: Path,
    *,
    root: Path | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> DryRun:
    """Returns what `plot_run` would do, after its checks; computes and writes nothing. Arguments and errors: there."""
    options: dict[str, Any] = {"jobs": jobs, "progress": progress}
    loaded, items, found = load_run_and_plan_features(run, manifest, root=root, device=device, **options)
    state = read_run_state(run)
    names = ["training.png"] if state is not None and state.history else []
    names += ["recall.png", "confusion.png"]
    planned = DryRun.of(items, found)
    if state and _with_slots(loaded) is not None:
        try:
            _, learned = plan_features(training_items(run, root, manifest)[1], loaded.config, **options)
        except InputError as error:
            planned = replace(planned, notes=(_no_slots(error),))
        else:
            names.append("slots.png")
            planned = replace(planned, to_extract=number_computed(found, learned))
    return replace(planned, files=tuple(_folder(run, manifest) / name for name in names))


def _folder(run: Path, manifest: Path) -> Path:
    return run / f"{FOLDER}{result_suffix(run, manifest)}"


def _with_slots(loaded: LoadedRun) -> FeatureMemoryNetwork | None:
    """Returns the model if its memories have slots with class names; slots of clusters have none."""
    model = loaded.model
    if not isinstance(model, FeatureMemoryNetwork) or loaded.config.training.labels != "class":
        return None
    return model if model.memory.size else None


def _no_slots(error: InputError) -> str:
    return f"No slots.png: {error.found}."


def class_ids(items: Items) -> list[str]:
    """The ids of the classes, in order of their indices."""
    return [label.id for label in items.classes]


def recall_curves(scores: NDArray[Any], items: Items) -> dict[str, dict[str, dict[str, NDArray[np.float64]]]]:
    """Percentages at every k from 1 to 100 of the system, chance and the ceiling, by direction and metric.

    Args:
        scores: [N, M], scores of clips and utterances.
        items: these clips and utterances.
    """
    curves: dict[str, dict[str, dict[str, NDArray[np.float64]]]] = {}
    for direction, (matrix, classes, partners) in by_direction(scores, items.relevant, items.partner_matrix):
        ks = range(1, min(MOST_K, matrix.shape[1]) + 1)
        of_class = query_metrics(matrix, classes, ks)
        has_partner = np.any(partners, axis=1)
        own = query_metrics(matrix[has_partner], partners[has_partner], ks).hits if has_partner.any() else {}
        by_chance, at_ceiling = chance(classes, partners, ks), ceiling(classes, partners, ks)
        systems = {"instance_hit": own, "class_hit": of_class.hits, "class_recall": of_class.recalls}
        curves[direction] = {
            metric: {
                "system": np.array([100 * values[k].mean() for k in ks]),
                "chance": _curve(by_chance[metric]),
                "ceiling": _curve(at_ceiling[metric]),
            }
            for metric, values in systems.items()
            if metric in METRICS and values
        }
    return curves


def confusions(scores: NDArray[Any], items: Items) -> dict[str, NDArray[np.float64]]:
    """By direction [C, C]: percentage of a class's queries whose top result is of each class.

    Ties are split evenly. A class without queries has zeros.
    """
    count = len(items.classes)
    tables: dict[str, NDArray[np.float64]] = {}
    for direction, (matrix,) in by_direction(scores):
        of_queries, of_gallery = queries_and_gallery(direction, items.clip_classes, items.utterance_classes)
        first = (matrix == matrix.max(axis=1, keepdims=True)).astype(np.float64)
        first /= first.sum(axis=1, keepdims=True)
        table = np.eye(count)[of_queries].T @ first @ np.eye(count)[of_gallery]
        tables[direction] = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1e-12)
    return tables


def slot_contents(loaded: LoadedRun, model: FeatureMemoryNetwork, learned: FeatureDataset) -> NDArray[np.int64]:
    """[slots in use, C]: number of training pairs, each item once, that are nearest to each slot, by class.

    The nearest slot is determined as in writing: by the combined cosines (`MemoryConfig.novelty`), among the slots that
    are open to the pair's class.
    """
    items = learned.items
    clips, utterances = np.arange(len(items.clips)), np.arange(len(items.utterances))
    rng = fit_generator(loaded.config.training.seed, "all")
    pairs = matched_once(clips, utterances, items.clip_classes, items.utterance_classes, rng)
    of_clips, of_utterances = encode_all(loaded.model, learned.data)
    space = model.config.memory.space
    both = torch.stack(
        [
            _cosines(embeddings[space], slots[: model.memory.size])[learned.data.on_device(rows)]
            for embeddings, slots, rows in (
                (of_clips, model.memory.video_slots, pairs[:, 0]),
                (of_utterances, model.memory.audio_slots, pairs[:, 1]),
            )
        ]
    )
    rule = model.config.memory.novelty
    nearness = both.amin(0) if rule == "min" else both.amax(0) if rule == "max" else both.mean(0)
    classes = torch.from_numpy(items.clip_classes[pairs[:, 0]]).to(nearness.device)
    slot_classes = model.memory.slot_classes[: model.memory.size]
    open_to = (slot_classes == classes[:, None]) | (slot_classes < 0)
    open_to |= ~open_to.any(1, keepdim=True)  # a class without a slot: none of its pairs were written
    nearest = nearness.where(open_to, -torch.inf).argmax(1).cpu().numpy()
    table = np.zeros((model.memory.size, len(items.classes)), dtype=np.int64)
    np.add.at(table, (nearest, items.clip_classes[pairs[:, 0]]), 1)
    return table


def slot_uses(
    model: FeatureMemoryNetwork, clips: Embeddings, utterances: Embeddings
) -> Mapping[str, NDArray[np.float64]]:
    """By modality [slots in use]: percentage of the items whose most similar slot is each slot."""
    space, size = model.config.memory.space, model.memory.size
    found: dict[str, NDArray[np.float64]] = {}
    for name, embeddings, slots in (
        ("clips", clips, model.memory.video_slots),
        ("utterances", utterances, model.memory.audio_slots),
    ):
        read = embeddings["log_shares"] if model.attention is not None else _cosines(embeddings[space], slots[:size])
        chosen = read.argmax(1).cpu().numpy()
        found[name] = 100 * np.bincount(chosen, minlength=size) / max(1, len(chosen))
    return found


def _curve(values: Mapping[str, float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values.values()])


def _cosines(rows: Tensor, slots: Tensor) -> Tensor:
    """[N, D], [X, D] → [N, X]."""
    return functional.normalize(rows.float(), dim=1) @ functional.normalize(slots.float(), dim=1).T
