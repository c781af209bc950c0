"""The items that a run is fitted to, also after other pairs or another split were made from the data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from dataset_tools.manifests import ClassLabel, ClipRow, UtteranceRow, read_rows, workspace_of
from fmn.data.footage import footage_of
from fmn.data.items import NO_FOLD, Items, withdrawn_utterances
from fmn.evaluation.run_manifests import root_of_training, training_items, unchanged_manifest
from fmn.training.checkpoint import LoadedRun
from fmn.training.run_state import RunState, items_digest, read_run_state, training_manifest

Rows = tuple[list[ClipRow], list[UtteranceRow]]
NO_PARTNER = -1
LISTS = ("clips.jsonl", "utterances.jsonl")
NAMED = 3
"""Missing items that a message names."""


def fitted_items(loaded: LoadedRun, root: Path | None, used: Path) -> Items:
    """Returns the items that a run is fitted to, and pairs between them.

    If the training manifest has changed, they are read from the clips.jsonl and utterances.jsonl next to it, which list
    all items of the data set; each clip is then paired with one utterance of its class.

    Args:
        loaded: the run.
        root: the workspace of the manifest ``used``; None: the parent of its folder.
        used: the manifest that the call is about.

    Raises:
        InputError: the manifest and some of these items are missing, or have changed; or the manifest has, and the run
            is of an earlier version, which recorded only the ids of the items.
    """
    state = read_run_state(loaded.path)
    if state is None or not _is_listed(loaded.path, state) or unchanged_manifest(loaded.path, state) is not None:
        state, items = training_items(loaded.path, root, used)
        return items.of_ids(set(state.fitted_clips), set(state.fitted_utterances))
    manifest = training_manifest(loaded.path, state)
    root = root_of_training(manifest, root, used)
    clips, utterances = _rows(manifest, root, set(state.fitted_clips), set(state.fitted_utterances))
    if items_digest(clips, utterances) != state.fitted_sha256:
        lost_clips = sorted(set(state.fitted_clips) - {row.id for row in clips})
        lost_utterances = sorted(set(state.fitted_utterances) - {row.id for row in utterances})
        lost = f"{count_of(len(lost_clips), 'clip')} and {count_of(len(lost_utterances), 'utterance')} of them"
        named = ", ".join((lost_clips or lost_utterances)[:NAMED])
        how = f"{lost} are no longer listed, such as {named}" if named else "their files or classes differ"
        raise InputError(
            f"The training manifest is missing or has changed, and so have items that the run was trained on: {how}",
            where=manifest.parent,
            expected="the manifest, or all of these items in clips.jsonl and utterances.jsonl, as they were",
            next_step="restore them (an interval that fits a new class, too, is no clip: see fmn-data build), or train "
            "again with the new classes, as after a speaker withdrew consent",
        )
    return _paired_by_class(clips, utterances, loaded.about.classes, manifest, root)


def _is_listed(run: Path, state: RunState) -> bool:
    """Whether the items can be recognized in lists next to the training manifest."""
    manifest = training_manifest(run, state)
    return bool(state.fitted_sha256) and all(manifest.with_name(name).is_file() for name in LISTS)


def _rows(manifest: Path, root: Path | None, clips: set[str], utterances: set[str]) -> Rows:
    """The rows with these ids, in order of their ids, of speakers who consent."""
    is_withdrawn = withdrawn_utterances(manifest, root)
    of_clips, of_utterances = (manifest.with_name(name) for name in LISTS)
    return (
        [row for row in read_rows(of_clips, ClipRow) if row.id in clips],
        [row for row in read_rows(of_utterances, UtteranceRow) if row.id in utterances and not is_withdrawn(row)],
    )


def _paired_by_class(
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    classes: Sequence[ClassLabel],
    manifest: Path,
    root: Path | None,
) -> Items:
    class_index = {label.id: number for number, label in enumerate(classes)}
    clip_index = {row.id: number for number, row in enumerate(clips)}
    spoken = (clip_index.get(row.clip, NO_PARTNER) if row.clip else NO_PARTNER for row in utterances)
    clip_classes = np.array([class_index[row.class_id] for row in clips], dtype=np.int64)
    utterance_classes = np.array([class_index[row.class_id] for row in utterances], dtype=np.int64)
    of_class = {row.class_id: number for number, row in enumerate(utterances)}
    pairs = [(number, of_class[row.class_id]) for number, row in enumerate(clips) if row.class_id in of_class]
    return Items(
        manifest=manifest,
        manifest_sha256="",
        workspace=workspace_of(manifest, root),
        clips=tuple(clips),
        utterances=tuple(utterances),
        classes=tuple(classes),
        clip_classes=clip_classes,
        utterance_classes=utterance_classes,
        pairs=np.array(pairs, dtype=np.int64).reshape(-1, 2),
        folds=np.full(len(pairs), NO_FOLD, dtype=np.int8),
        partners=np.fromiter(spoken, dtype=np.int64),
        split="train",
        footage=footage_of(manifest, root),
    )
