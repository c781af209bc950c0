"""Items of a manifest: distinct clips, distinct utterances, and the pairs between them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import (
    VALIDATION_FOLD,
    ClassLabel,
    ClipRow,
    SplitPairRow,
    UtteranceRow,
    read_numbered_rows,
    resolve,
    workspace_of,
)
from dataset_tools.speech.recordings.consent_rows import barred_voices
from fmn.data.footage import Footage, footage_of
from fmn.data.manifest_checks import check_class_ids, check_pairs, keep_consistent, manifest_error
from fmn.features.media import Media

NO_FOLD = -1


class ItemIds(NamedTuple):
    """Ids of clips and utterances."""

    clips: Set[str]
    utterances: Set[str]


@dataclass(frozen=True, eq=False)
class Items:
    """Items of a manifest: every clip and every utterance once, in order of their ids.

    Attributes:
        manifest: the file. manifest_sha256: of its content when it was read; empty: the items are from other
            files beside it.
        workspace: base folder of the relative paths in its rows.
        clips, utterances: the rows, N and M of them.
        classes: the class table, in order of id.
        clip_classes: [N] int64, index into ``classes``. utterance_classes: [M], the same.
        pairs: [P, 2] int64, indices of clip and utterance, in the manifest's order.
        folds: [P] int8, the fold of each pair, -1 if it has none.
        partners: [M] int64, the clip whose description is spoken in the utterance, -1 if it is not among ``clips``.
        split: ``train`` or ``test``.
        footage: whether it is recorded, according to build.json.
    """

    manifest: Path
    manifest_sha256: str
    workspace: Path
    clips: tuple[ClipRow, ...]
    utterances: tuple[UtteranceRow, ...]
    classes: tuple[ClassLabel, ...]
    clip_classes: NDArray[np.int64]
    utterance_classes: NDArray[np.int64]
    pairs: NDArray[np.int64]
    folds: NDArray[np.int8]
    partners: NDArray[np.int64]
    split: str
    footage: Footage

    @property
    def standin(self) -> Any:
        """`Footage.standin`."""
        return self.footage.standin

    @property
    def ids(self) -> ItemIds:
        return ItemIds({row.id for row in self.clips}, {row.id for row in self.utterances})

    @property
    def sha256s(self) -> tuple[set[str], set[str]]:
        """SHA-256 digests of the clips and of the utterances."""
        return {row.sha256 for row in self.clips}, {row.sha256 for row in self.utterances}

    @property
    def relevant(self) -> NDArray[np.bool_]:
        """[N, M]: which clips and utterances are of the same class."""
        same: NDArray[np.bool_] = self.clip_classes[:, None] == self.utterance_classes[None, :]
        return same

    @property
    def partner_matrix(self) -> NDArray[np.bool_]:
        """[N, M]: which utterances are spoken descriptions of which clip."""
        matrix = np.zeros((len(self.clips), len(self.utterances)), dtype=bool)
        spoken = np.flatnonzero(self.partners >= 0)
        matrix[self.partners[spoken], spoken] = True
        return matrix

    def clip_media(self) -> list[Media]:
        """Returns the files of the clips, after checking that they exist (`resolve`)."""
        return [Media(row.sha256, resolve(self.workspace, row.path), row.id) for row in self.clips]

    def utterance_media(self) -> list[Media]:
        """Returns the files of the utterances, after checking that they exist (`resolve`)."""
        return [Media(row.sha256, resolve(self.workspace, row.path), row.id) for row in self.utterances]

    def without_fold_0(self) -> Items:
        """Returns these items with the pairs of fold 0 moved to another fold, so that they are trained on as well."""
        return replace(self, folds=np.where(self.folds == VALIDATION_FOLD, VALIDATION_FOLD + 1, self.folds))

    def required_to_train(self) -> Items:
        """Returns these items if they are from a training manifest.

        Raises:
            InputError: they are from a test manifest.
        """
        if self.split != "train":
            raise InputError(
                "This is a test manifest; nothing may be trained or selected on it",
                where=self.manifest,
                expected="train.jsonl, whose fold 0 is the validation split",
                next_step="pass the training manifest",
            )
        return self

    def require_unchanged(self) -> None:
        """Checks that the manifest is still the one that these items were read from, before it is read again.

        Raises:
            StoppedError: it is not.
        """
        if sha256_of(self.manifest) != self.manifest_sha256:
            raise manifest_changed(self.manifest)

    def require_media(self) -> None:
        """Checks that the files of all clips and utterances exist, before anything is computed.

        Raises:
            InputError: a file is missing.
        """
        self.clip_media()
        self.utterance_media()

    def of_ids(self, clips: Set[str], utterances: Set[str]) -> Items:
        """Returns those of the clips and utterances whose ids are given, and the pairs between them."""
        both = (self.clips, clips), (self.utterances, utterances)
        return self.kept(*(np.array([row.id in ids for row in rows], dtype=bool) for rows, ids in both))

    def kept(self, keep_clips: NDArray[np.bool_], keep_utterances: NDArray[np.bool_]) -> Items:
        """Returns the clips and utterances marked in the masks ([N] and [M] bool), and the pairs between them."""
        keep_pairs = keep_clips[self.pairs[:, 0]] & keep_utterances[self.pairs[:, 1]]
        new_clip = np.where(keep_clips, np.cumsum(keep_clips) - 1, -1)
        new_utterance = np.cumsum(keep_utterances) - 1
        pairs = self.pairs[keep_pairs]
        partners = self.partners[keep_utterances]
        return replace(
            self,
            clips=tuple(row for row, keep in zip(self.clips, keep_clips, strict=True) if keep),
            utterances=tuple(row for row, keep in zip(self.utterances, keep_utterances, strict=True) if keep),
            clip_classes=self.clip_classes[keep_clips],
            utterance_classes=self.utterance_classes[keep_utterances],
            pairs=np.stack([new_clip[pairs[:, 0]], new_utterance[pairs[:, 1]]], axis=1),
            folds=self.folds[keep_pairs],
            partners=np.where(partners >= 0, new_clip[partners], -1),
        )


@dataclass(frozen=True, eq=False)
class TrainValSplit:
    """The training items in two parts: the fitted part, and fold 0, which is held out for validation.

    Attributes:
        train_pairs: [P', 2] the pairs outside fold 0.
        train_clips, train_utterances: the items of those pairs.
        validation_clips, validation_utterances: items of fold 0 in no fitted pair; empty if no class has both.
        leaks: whether fold 0 shares its items with the fitted part (as a split by pairs does by design).
    """

    train_pairs: NDArray[np.int64]
    train_clips: NDArray[np.int64]
    train_utterances: NDArray[np.int64]
    validation_clips: NDArray[np.int64]
    validation_utterances: NDArray[np.int64]
    leaks: bool

    @property
    def validates(self) -> bool:
        return bool(self.validation_clips.size and self.validation_utterances.size)

    @property
    def caveat(self) -> str | None:
        """Caveat of what is selected on fold 0; None if there is nothing to say."""
        if self.leaks:
            return "Fold 0 shares its clips and utterances with the other folds: the validation results are too high."
        if not self.validates:
            return "There is no fold 0 with clips and utterances of a class: no validation, weights of the last epoch."
        return None


def train_val_split(items: Items) -> TrainValSplit:
    """Splits off fold 0.

    Raises:
        InputError: no pair is left to fit.
    """
    held_out = items.folds == VALIDATION_FOLD
    train_pairs = items.pairs[~held_out]
    if not len(train_pairs):
        raise InputError(
            "There is nothing to train on: every pair is in fold 0",
            where=items.manifest,
            expected="pairs in at least one other fold",
            next_step="build more clips and utterances per class, then run fmn-data pairs again",
        )
    train_clips, train_utterances = np.unique(train_pairs[:, 0]), np.unique(train_pairs[:, 1])
    held_pairs = items.pairs[held_out]
    held_clips, held_utterances = np.unique(held_pairs[:, 0]), np.unique(held_pairs[:, 1])
    validation_clips = np.setdiff1d(held_clips, train_clips)
    validation_utterances = np.setdiff1d(held_utterances, train_utterances)
    leaks = bool(len(held_pairs)) and not (validation_clips.size and validation_utterances.size)
    if leaks:
        validation_clips, validation_utterances = held_clips, held_utterances
    of_clips, of_utterances = items.clip_classes[validation_clips], items.utterance_classes[validation_utterances]
    if not np.isin(of_clips, of_utterances).any():  # no query would have anything to find
        validation_clips, validation_utterances = validation_clips[:0], validation_utterances[:0]
    return TrainValSplit(train_pairs, train_clips, train_utterances, validation_clips, validation_utterances, leaks)


def load_items(manifest: Path, root: Path | None = None) -> Items:
    """Reads train.jsonl or test.jsonl. Rows are streamed: their contents are kept once per item, not once per pair.

    Args:
        manifest: the file of `SplitPairRow`.
        root: the workspace, if it is not the parent of the manifest's folder.

    Raises:
        InputError: there is no such manifest or workspace, or it has recordings of a speaker who withdrew consent.
        ManifestError: a row is invalid, two rows contradict each other about an item or a class or are of one pair, or
            the ids of two classes differ only in how their letters are encoded.
    """
    if root is not None and not root.is_dir():
        raise InputError(
            "There is no such workspace",
            where=root,
            expected="the folder that the paths in the manifest are relative to",
            next_step="check --workspace",
        )
    is_withdrawn = withdrawn_utterances(manifest, root)
    manifest_sha256 = sha256_of(manifest) if manifest.is_file() else ""  # first: a later change is then recognized
    clips: dict[str, ClipRow] = {}
    utterances: dict[str, UtteranceRow] = {}
    classes: dict[str, ClassLabel] = {}
    pairs: list[tuple[str, str, int]] = []
    splits: set[str] = set()
    for number, row in read_numbered_rows(manifest, SplitPairRow):
        where = f"{manifest}, line {number}"
        if is_withdrawn(row.utterance):
            raise _withdrawn(row.utterance.voice, where)
        keep_consistent(clips, row.clip, "clip", where)
        keep_consistent(utterances, row.utterance, "utterance", where)
        keep_consistent(classes, row.label, "class", where)
        if not row.label.id == row.clip.class_id == row.utterance.class_id:
            raise manifest_error(
                f"The pair is of class {row.label.id!r}, its clip of {row.clip.class_id!r}, "
                f"its utterance of {row.utterance.class_id!r}",
                where,
            )
        splits.add(row.split)
        if len(splits) > 1:
            raise manifest_error("The manifest mixes training and test pairs", where)
        pairs.append((row.clip.id, row.utterance.id, NO_FOLD if row.fold is None else row.fold))
    if not pairs:
        raise InputError(
            "The manifest is empty", where=manifest, expected="one pair per line", next_step="run fmn-data pairs"
        )
    check_class_ids(classes, manifest)
    clip_ids, utterance_ids, class_ids = sorted(clips), sorted(utterances), sorted(classes)
    clip_index = {name: index for index, name in enumerate(clip_ids)}
    utterance_index = {name: index for index, name in enumerate(utterance_ids)}
    class_index = {name: index for index, name in enumerate(class_ids)}
    spoken = (utterances[name].clip for name in utterance_ids)
    indices = np.array([(clip_index[clip], utterance_index[utterance]) for clip, utterance, _ in pairs])
    check_pairs(indices, manifest)
    return Items(
        manifest=manifest,
        manifest_sha256=manifest_sha256,
        workspace=workspace_of(manifest, root),
        clips=tuple(clips[name] for name in clip_ids),
        utterances=tuple(utterances[name] for name in utterance_ids),
        classes=tuple(classes[name] for name in class_ids),
        clip_classes=np.array([class_index[clips[name].class_id] for name in clip_ids]),
        utterance_classes=np.array([class_index[utterances[name].class_id] for name in utterance_ids]),
        pairs=indices,
        folds=np.array([fold for _, _, fold in pairs], dtype=np.int8),
        partners=np.array([clip_index.get(clip, -1) if clip else -1 for clip in spoken]),
        split=splits.pop(),
        footage=footage_of(manifest, root),
    )


def withdrawn_utterances(manifest: Path, root: Path | None) -> Callable[[UtteranceRow], bool]:
    """Returns a function: whether an utterance is a recording of a speaker who withdrew consent."""
    is_barred = barred_voices(Workspace(workspace_of(manifest, root)))
    return lambda row: row.source == "recorded" and is_barred(row.voice)


def _withdrawn(voice: str, where: str) -> InputError:
    return InputError(
        f"The speaker of the voice {voice!r} has withdrawn consent",
        where=where,
        expected="recordings of speakers who consent",
        next_step=f"run fmn-data speech forget {shlex.quote(voice)} again, then fmn-data pairs",
    )


def manifest_changed(manifest: Path) -> StoppedError:
    """The error of a command whose results would be of two versions of a manifest."""
    return StoppedError(
        "The manifest was changed while the command was running",
        where=manifest,
        expected="the same manifest from start to end",
        next_step="run the same command again",
    )
