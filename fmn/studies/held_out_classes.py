"""Held-out classes: their selection, and the training manifest without them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.seeds import training_generator
from dataset_tools.manifests import SplitPairRow, read_rows, write_rows
from fmn.data.items import Items, TrainValSplit


def manifest_without(manifest: Path, classes: Sequence[str], folder: Path) -> Path:
    """Writes the training manifest without the pairs of some classes into ``folder``, named by a digest of these."""
    digest = hashlib.sha256("\n".join([sha256_of(manifest), *sorted(classes)]).encode()).hexdigest()[:12]
    path = folder / "manifests" / f"without-{digest}.jsonl"
    if not path.is_file():
        write_rows(path, (row for row in read_rows(manifest, SplitPairRow) if row.label.id not in classes))
    return path


def held_out_classes(
    items: Items, parts: TrainValSplit, count: int, classes: Sequence[str], seed: int
) -> tuple[str, ...]:
    """Returns ids of the classes to hold out: the named ones, or a draw of those with items in fold 0 and outside it.

    Raises:
        InputError: a named class lacks such items, or fewer than two classes would remain.
    """
    complete = [
        label.id
        for number, label in enumerate(items.classes)
        if all(
            (kinds[chosen] == number).any()
            for kinds, chosen in (
                (items.clip_classes, parts.train_clips),
                (items.clip_classes, parts.validation_clips),
                (items.utterance_classes, parts.train_utterances),
                (items.utterance_classes, parts.validation_utterances),
            )
        )
    ]
    unknown = [name for name in classes if name not in complete]
    wanted = len(classes) or count
    if unknown or len(complete) - wanted < 2:
        raise InputError(
            f"No class with items on both sides of fold 0 is called {', '.join(unknown)}"
            if unknown
            else f"{wanted} of {len(complete)} classes with items on both sides of fold 0 cannot be held out",
            where=items.manifest,
            expected=f"some of: {', '.join(complete)}; at least two must remain for training"
            if len(complete) > 2
            else "at least three such classes, of which two remain for training",
            next_step="choose others with --held-out-classes, or hold out fewer with --held-out"
            if len(complete) > 2
            else "use a training manifest with more clips and utterances of its classes, or with more classes",
        )
    if classes:
        return tuple(sorted(classes))
    drawn = training_generator(seed, "held-out classes").choice(len(complete), size=count, replace=False)
    return tuple(sorted(complete[index] for index in drawn))
