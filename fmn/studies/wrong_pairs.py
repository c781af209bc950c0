"""Label noise: a training manifest in which an exact fraction of the utterances has the wrong clip.

Recordings may be assigned to the wrong clip, and speech recognition makes errors. A noisy manifest has one pair for
each utterance that was spoken for a clip. A fraction of the training pairs, and the same fraction of fold 0, is drawn
evenly over the classes, and the clips of the drawn pairs are permuted so that each utterance gets a clip of another
class. Every clip keeps its number of utterances, fold 0 stays disjoint and is as noisy as the rest, and a wrong pair is
also wrong for its class. A wrong utterance has the class of its new clip, as in a real data set with this error. Pairs
that are wrong at a lower rate are also wrong at a higher one. Test items are unchanged.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from dataset_tools.core.errors import InputError
from dataset_tools.core.seeds import generator
from dataset_tools.manifests import VALIDATION_FOLD, SplitPairRow, write_rows
from fmn.data.batches import Indices
from fmn.data.items import Items
from fmn.data.pseudo_labels import spoken_pairs


def write_noisy_manifest(items: Items, percent: float, seed: int, path: Path) -> tuple[int, int]:
    """Writes the spoken pairs of training items with some of them wrong; deterministic for the same arguments.

    Args:
        items: the items of train.jsonl.
        percent: rate of wrong pairs, 0 to 100; rounded to whole pairs, in fold 0 and in the rest.
        seed: draws the wrong pairs.
        path: the manifest to write.

    Returns:
        The number of pairs, and the number of wrong pairs among them.

    Raises:
        InputError: no utterance was spoken for a clip, or a part has too few pairs or classes.
    """
    spoken = spoken_pairs(items)
    clips, utterances = spoken.pairs.T
    source = wrong_sources(spoken, percent, seed)
    folds = np.minimum(spoken.folds, spoken.folds[source])
    labels = items.classes
    rows = []
    for clip, utterance, fold in zip(clips[source], utterances, folds.tolist(), strict=True):
        clip_row = items.clips[clip]
        utterance_row = msgspec.structs.replace(
            items.utterances[utterance], clip=clip_row.id, class_id=clip_row.class_id
        )
        rows.append(
            SplitPairRow(
                id=f"{clip_row.id}__{utterance_row.id}",
                label=labels[items.clip_classes[clip]],
                clip=clip_row,
                utterance=utterance_row,
                split="train",
                fold=fold if fold >= 0 else None,
            )
        )
    write_rows(path, sorted(rows, key=lambda row: row.id))
    return len(rows), int((source != np.arange(len(source))).sum())


def wrong_sources(spoken: Items, percent: float, seed: int) -> Indices:
    """[P]: for each spoken pair, the index of the pair whose clip it gets; its own index if it stays correct.

    Raises:
        InputError: a part has too few pairs or classes for this rate.
    """
    classes = spoken.clip_classes[spoken.pairs[:, 0]]
    source = np.arange(len(classes))
    held = spoken.folds == VALIDATION_FOLD
    for name, part in (("fitted", np.flatnonzero(~held)), ("fold 0", np.flatnonzero(held))):
        drawn = _evenly(part, classes, generator(seed, "wrong pairs", name))[: round(len(part) * percent / 100)]
        if len(drawn) and 2 * np.bincount(classes[drawn]).max() > len(drawn):
            raise InputError(
                f"At {percent:g} %, {len(drawn)} of {len(part)} pairs ({name}) would be wrong, too few of different "
                "classes: wrong pairs exchange clips between classes",
                where=spoken.manifest,
                expected="two wrong pairs or more, none of whose classes has more than half of them",
                next_step="choose a higher rate with --rates, or build more clips and utterances",
            )
        source[drawn] = _permuted_across_classes(drawn, classes, generator(seed, "wrong clips", name, f"{percent:g}"))
    return source


def _evenly(rows: Indices, classes: Indices, rng: np.random.Generator) -> Indices:
    """Shuffles ``rows`` in rounds: every class occurs once before any occurs twice, and so on."""
    shuffled = rng.permutation(rows)
    rounds = np.zeros(len(shuffled), dtype=np.int64)
    for label in np.unique(classes[shuffled]):
        of_class = classes[shuffled] == label
        rounds[of_class] = np.arange(of_class.sum())
    return shuffled[np.argsort(rounds, kind="stable")]


def _permuted_across_classes(rows: Indices, classes: Indices, rng: np.random.Generator) -> Indices:
    """Permutes ``rows`` randomly so that each replaces one of another class; requires no class to exceed half."""
    permuted = rng.permutation(rows)
    for place in range(len(rows)):
        if classes[permuted[place]] == classes[rows[place]]:
            fits = (classes[permuted] != classes[rows[place]]) & (classes[rows] != classes[permuted[place]])
            other = rng.choice(np.flatnonzero(fits))  # at least n + 1 - 2 · largest class of n pairs fit
            permuted[place], permuted[other] = permuted[other], permuted[place]
    return permuted
