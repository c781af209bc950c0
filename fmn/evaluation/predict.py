"""Class predictions with uncertainty, for reviewers: the least certain clips first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import (
    PREDICTIONS_FILE,
    ClipRow,
    PredictionRow,
    UtteranceRow,
    read_rows,
    resolve,
    write_rows,
)
from fmn.data.dry_run import DryRun
from fmn.data.items import Items, load_items
from fmn.data.loading import BothFeatures, extract_both, find_device, usable_device
from fmn.evaluation.class_vote import class_vote, ranked
from fmn.evaluation.evaluate import check_fit, check_sizes
from fmn.evaluation.run_notes import notes_of_run
from fmn.features.media import Media, reasons
from fmn.models.retrieval_model import encode_all, score_matrix
from fmn.torch_threads import threads
from fmn.training.checkpoint import CHECKPOINT_FILE, LoadedRun, load_run
from fmn.training.learned_classes import LearnedClasses
from fmn.training.run_state import read_run_state

OWN_ONLY = "The training manifest has no other utterance of its class"


@dataclass(frozen=True)
class PredictSummary:
    """Result of `predict`.

    Attributes:
        path: the file.
        clips: number of its rows.
        agreeing: number of predictions that agree with the clip's class.
        fitted, fitted_agreeing: the same numbers, of the clips that the run was trained on or learned later, whose
            predictions are better.
        notes: caveats of the run on these features.
        failures: clips left out, with the reason.
        unused: utterances without features, with the reason.
    """

    path: Path
    clips: int
    agreeing: int
    failures: dict[str, str]
    unused: dict[str, str]
    fitted: int = 0
    fitted_agreeing: int = 0
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"path": str(self.path)}


def predict(
    run: Path | str,
    manifest: Path | str,
    *,
    clips: Path | str | None = None,
    root: Path | str | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> PredictSummary:
    """Predicts the class of every clip and writes predictions.jsonl to the run's folder, for ``annotate push``.

    A clip is scored against the utterances of the training manifest, except those that describe the clip itself. The
    best of them vote (`class_vote`); with classes learned after training, see `with_new_classes`. The confidence is the
    share of the predicted class. The uncertainty is 1 minus the margin over the second class, which is multiplied by
    n / (n + 1) for n votes, since few votes are often unanimous by chance; the share of learned classes, which does not
    depend on votes, is not reduced. A clip whose own utterances are the only ones of their class is left out like a
    clip without features.

    Args:
        run: folder of a trained run.
        manifest: the training manifest, whose utterances are the reference.
        clips: a clips.jsonl; None: the one next to the manifest.
        root: the workspace, if it is not the parent of the manifest's folder.
        device: ``auto``, or a torch device name.
        jobs: workers for features; None: one per core.
        progress: progress callback.

    Raises:
        InputError: there is no such run or manifest, or no clip has features and other utterances of its class.
        StoppedError: the run was trained further meanwhile, or the disk is full.
    """
    run, manifest, root = Path(run), Path(manifest), None if root is None else Path(root)
    clips = None if clips is None else Path(clips)
    chosen = find_device(device)
    loaded, items, media, found = _prepared(run, manifest, clips, root, chosen, jobs, progress)
    rows, heard = _with_features(media, items, found)
    utterances = [items.utterances[index] for index in heard]
    utterance_classes = items.utterance_classes[heard]
    data = found.tensors(rows, utterances, np.zeros(len(rows), dtype=np.int64), utterance_classes, chosen)
    check_fit(loaded, data)
    with threads(loaded.config.training.threads):
        embeddings, of_utterances = encode_all(loaded.model, data)
        scores = score_matrix(loaded.model, embeddings, of_utterances)
    scores[_own_utterances(rows, utterances)] = -torch.inf
    vote = class_vote(scores.numpy(), utterance_classes, len(items.classes))
    scored, own_only = _scored(rows, vote.neighbors, manifest)
    rows = [rows[index] for index in scored]
    shares, best = vote.shares[scored], vote.best[scored]
    classes = [label.id for label in items.classes]
    voted = np.ones(len(scored))
    if loaded.learned is not None:
        of_new = embeddings["new_shares"].cpu().numpy()[scored]
        shares, classes = with_new_classes(shares, classes, of_new, loaded.learned)
        voted -= of_new.sum(axis=1, dtype=np.float64)
        best = np.pad(best, [(0, 0), (0, len(classes) - best.shape[1])], constant_values=-np.inf)
    loaded.require_unchanged()
    orders = ranked(shares, best)
    model = f"{run.resolve().name}@{sha256_of(run / CHECKPOINT_FILE)[:8]}"
    reliable = 1 - voted / (vote.neighbors[scored] + 1)
    predictions = [
        _row(row, share, order, float(factor), classes, model)
        for row, share, order, factor in zip(rows, shares, orders, reliable, strict=True)
    ]
    write_rows(run / PREDICTIONS_FILE, sorted(predictions, key=lambda row: row.id))
    state = read_run_state(run)
    fitted = set(state.fitted_clips) if state else set()
    if loaded.learned is not None:
        fitted |= set(loaded.learned.items["video"])
    agreeing = [row.id for row, guess in zip(rows, predictions, strict=True) if row.class_id == guess.class_id]
    lost, unused = _lost(media, found)
    return PredictSummary(
        path=run / PREDICTIONS_FILE,
        clips=len(predictions),
        agreeing=len(agreeing),
        failures=lost | own_only,
        unused=unused,
        fitted=len(fitted & {row.id for row in rows}),
        fitted_agreeing=len(fitted & set(agreeing)),
        notes=notes_of_run(loaded, found.sources, found.own),
    )


def plan_prediction(
    run: Path,
    manifest: Path,
    *,
    clips: Path | None = None,
    root: Path | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> tuple[DryRun, dict[str, str]]:
    """Returns what `predict` would do, after its checks; computes and writes nothing. Arguments and errors: there.

    Returns:
        The dry run, whose failures are clips; and the utterances that would not be used, with the reason.
    """
    cpu = usable_device(device, dry_run=True)
    loaded, items, media, found = _prepared(run, manifest, clips, root, cpu, jobs, progress, dry_run=True)
    rows, heard = _with_features(media, items, found)
    check_sizes(loaded, found.video.dim, found.audio.dim)
    scores = np.zeros((len(rows), len(heard)), dtype=np.float32)  # which clips get a vote does not depend on them
    scores[_own_utterances(rows, [items.utterances[index] for index in heard])] = -np.inf
    vote = class_vote(scores, items.utterance_classes[heard], len(items.classes))
    scored, own_only = _scored(rows, vote.neighbors, manifest)
    lost, unused = _lost(media, found)
    planned = DryRun(len(scored), len(heard), found.computed, (run / PREDICTIONS_FILE,), lost | own_only)
    return planned, unused


def _prepared(
    run: Path,
    manifest: Path,
    clips: Path | None,
    root: Path | None,
    device: torch.device,
    jobs: int | None,
    progress: Progress,
    *,
    dry_run: bool = False,
) -> tuple[LoadedRun, Items, dict[ClipRow, Media], BothFeatures]:
    """Returns the run, the items of the manifest, the clips to classify, and the features of these and the utterances.

    The arguments are those of `predict`.
    """
    loaded, items = load_run(run, device), load_items(manifest, root)
    rows = read_rows(clips or manifest.parent / "clips.jsonl", ClipRow)
    media = {row: Media(row.sha256, resolve(items.workspace, row.path), row.id) for row in rows}
    spoken = items.utterance_media()
    options: dict[str, Any] = {"device": device, "jobs": jobs, "progress": progress, "dry_run": dry_run}
    return loaded, items, media, extract_both([*media.values()], spoken, loaded.config, items.workspace, **options)


def _with_features(
    media: Mapping[ClipRow, Media], items: Items, found: BothFeatures
) -> tuple[list[ClipRow], list[int]]:
    """Returns the clips that have features, and the indices of the utterances that have some.

    Raises:
        InputError: there are none.
    """
    rows = [row for row, one in media.items() if found.video.failure_of(one) is None]
    heard = [index for index, one in enumerate(items.utterance_media()) if found.audio.failure_of(one) is None]
    if not rows or not heard:
        first = next(iter(found.failures.items()), None)
        raise InputError(
            f"Nothing can be predicted: no {'utterance' if rows else 'clip'} has features"
            + (f"; the first, {first[0]}: {first[1].found}" if first else ""),
            where=items.manifest,
            expected="clips and utterances whose files are intact, and have features if these are read from files",
            next_step="correct what the reason names; fmn-data verify names files that are missing or changed",
        )
    return rows, heard


def _scored(
    rows: Sequence[ClipRow], neighbors: NDArray[np.int64], manifest: Path
) -> tuple[NDArray[np.intp], dict[str, str]]:
    """Returns the indices of the clips for which utterances vote, and the reasons of the others by id.

    Raises:
        InputError: there are no votes.
    """
    if not neighbors.any():
        raise InputError(
            "Nothing can be predicted: the classes of the clips have no utterances other than their own",
            where=manifest,
            expected="utterances of other clips, or recordings of classes",
            next_step="use a training manifest with more utterances: --manifest FILE",
        )
    return np.flatnonzero(neighbors), {
        row.id: OWN_ONLY for row, votes in zip(rows, neighbors, strict=True) if not votes
    }


def _lost(media: Mapping[ClipRow, Media], found: BothFeatures) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the reasons of clips and of utterances without features, by id."""
    clip_ids, failures = {row.id for row in media}, reasons(found.failures)
    lost = {name: reason for name, reason in failures.items() if name in clip_ids}
    return lost, {name: reason for name, reason in failures.items() if name not in clip_ids}


def _own_utterances(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column indices of clips and the utterances that describe them."""
    at = {row.id: number for number, row in enumerate(clips)}
    cells = [(at[row.clip], number) for number, row in enumerate(utterances) if row.clip in at]
    rows, columns = np.array(cells, dtype=np.int64).reshape(-1, 2).T
    return rows, columns


def with_new_classes(
    shares: NDArray[np.float64], classes: list[str], of_new: NDArray[np.float32], learned: LearnedClasses
) -> tuple[NDArray[np.float64], list[str]]:
    """Combines shares [N, C] of classes with those [N, K] of the classes learned after training, which take precedence.

    If the manifest has utterances of a new class, their votes are added to its share.
    """
    names = [label.id for label in learned.classes]
    every = classes + [name for name in names if name not in classes]
    joined = np.zeros((len(shares), len(every)))
    joined[:, : len(classes)] = shares * (1 - of_new.sum(axis=1, dtype=np.float64, keepdims=True))
    joined[:, [every.index(name) for name in names]] += of_new
    return joined, every


def _row(
    clip: ClipRow,
    shares: NDArray[np.float64],
    order: NDArray[np.intp],
    reliable: float,
    class_ids: list[str],
    model: str,
) -> PredictionRow:
    """The prediction of a clip; ``reliable``: factor of the margin, less than 1 for few votes."""
    first = float(shares[order[0]])
    second = float(shares[order[1]]) if len(order) > 1 else 0.0
    return PredictionRow(
        id=clip.id,
        class_id=class_ids[order[0]],
        clip_sha256=clip.sha256,
        confidence=round(first, 6),
        uncertainty=round(1 - reliable * (first - second), 6),
        model=model,
    )
