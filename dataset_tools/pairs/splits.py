"""Who stands on the training side and who on the test side: the four splits, the folds, and the leak check.

A split deals *items* (clips and utterances); a pair belongs to a side when both of its items do. The exception is
``pairs``, the paper's literal reading, which deals the pairs themselves and so puts every item on both sides.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np

from dataset_tools.core.errors import InputError
from dataset_tools.core.seeds import generator
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.pairs.folds import FOLDS, deal_folds

SplitName = Literal["items", "person", "mpii", "pairs"]
Side = Literal["train", "test"]
Item = TypeVar("Item", ClipRow, UtteranceRow)

PERSON_DRAWS = 4000
_WINDOW = re.compile(r"_w\d+of\d+$")


@dataclass(frozen=True)
class Sides:
    """The side of every item, by id; items that are in neither dictionary were dropped, with the reason counted."""

    clips: Mapping[str, Side]
    utterances: Mapping[str, Side]
    clip_folds: Mapping[str, int]
    utterance_folds: Mapping[str, int]
    dropped: Mapping[str, int] = field(default_factory=dict)


def interval_of(clip_id: str) -> str:
    """The interval that a clip was cut from: all windows of one interval share it, and share a side."""
    return _WINDOW.sub("", clip_id)


def split_items(clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], *, test_share: float, seed: int) -> Sides:
    """``items``: in every class, ``test_share`` of the intervals and of the utterances, at random, are for testing.

    An utterance stands on the side of the clip that it describes; one that describes a class only is dealt so that the
    class's share comes out right.
    """
    clip_sides: dict[str, Side] = {}
    clip_folds: dict[str, int] = {}
    for class_id, group in _by_class(clips).items():
        random = generator(seed, "split", "items", class_id)
        intervals = sorted({interval_of(clip.id) for clip in group})
        order = [intervals[index] for index in random.permutation(len(intervals))]
        sizes = Counter(interval_of(clip.id) for clip in group)
        test = _first_until(order, sizes, round(test_share * len(group)))
        folds = deal_folds([interval for interval in order if interval not in test])
        for clip in group:
            interval = interval_of(clip.id)
            clip_sides[clip.id] = "test" if interval in test else "train"
            if interval in folds:
                clip_folds[clip.id] = folds[interval]
    return _with_utterances(
        clips, utterances, clip_sides, clip_folds, test_share=test_share, seed=seed, voices_apart=False
    )


def split_person(
    clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], *, test_share: float, seed: int
) -> Sides:
    """``person``: nobody in the footage, and no voice, stands on both sides.

    Of many random sets of persons, the one is taken whose share of every class comes nearest to ``test_share``.

    Raises:
        InputError: no set of persons leaves every class on both sides.
    """
    persons = sorted({clip.person for clip in clips})
    classes = sorted({clip.class_id for clip in clips})
    counts = np.zeros((len(persons), len(classes)))
    for clip in clips:
        counts[persons.index(clip.person), classes.index(clip.class_id)] += 1
    random = generator(seed, "split", "person")
    draws = random.random((PERSON_DRAWS, len(persons))) < test_share
    shares = (draws @ counts) / counts.sum(axis=0)
    usable = ((shares > 0) & (shares < 1)).all(axis=1)
    if not usable.any():
        alone = [name for name, column in zip(classes, counts.T, strict=True) if (column > 0).sum() < 2]
        raise InputError(
            f"The persons cannot be split: of {len(persons)} no set leaves every class on both sides",
            where=f"classes with one person only: {', '.join(alone) or 'none'}",
            expected="every class shown by at least two persons",
            next_step="use --split items, or build more clips with --per-class",
        )
    distance = np.where(usable, np.abs(shares - test_share).sum(axis=1), np.inf)
    test = {person for person, drawn in zip(persons, draws[int(distance.argmin())], strict=True) if drawn}
    train_persons = [person for person in persons if person not in test]
    folds = deal_folds([train_persons[index] for index in random.permutation(len(train_persons))])
    clip_sides: dict[str, Side] = {clip.id: "test" if clip.person in test else "train" for clip in clips}
    clip_folds = {clip.id: folds[clip.person] for clip in clips if clip.person in folds}
    return _with_utterances(
        clips, utterances, clip_sides, clip_folds, test_share=test_share, seed=seed, voices_apart=True
    )


def split_mpii(
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    *,
    official: Mapping[str, Iterable[str]],
    test_share: float,
    seed: int,
) -> Sides:
    """``mpii``: the official lists of sequences (``sNN-dNN``); train and val train, test tests, the rest is dropped.

    Raises:
        InputError: the data set was built from footage without the official lists.
    """
    test = set(official.get("test", ()))
    train = (set(official.get("train", ())) | set(official.get("val", ()))) - test
    if not test or not train:
        raise InputError(
            "The official split is not known",
            where="manifests/build.json, official_split",
            expected="the lists of experimentalSetup/, read by fmn-data build",
            next_step="put experimentalSetup/ beside the videos and build again, or use --split items or person",
        )
    sequences = {clip.id: f"{clip.person}-{clip.dish}" for clip in clips}
    clip_sides: dict[str, Side] = {}
    for clip in clips:
        if sequences[clip.id] in test:
            clip_sides[clip.id] = "test"
        elif sequences[clip.id] in train:
            clip_sides[clip.id] = "train"
    random = generator(seed, "split", "mpii")
    train_sequences = sorted({sequences[clip_id] for clip_id, side in clip_sides.items() if side == "train"})
    folds = deal_folds([train_sequences[index] for index in random.permutation(len(train_sequences))])
    clip_folds = {clip_id: folds[sequences[clip_id]] for clip_id, side in clip_sides.items() if side == "train"}
    sides = _with_utterances(
        clips, utterances, clip_sides, clip_folds, test_share=test_share, seed=seed, voices_apart=False
    )
    outside = len(clips) - len(clip_sides)
    return Sides(
        sides.clips,
        sides.utterances,
        sides.clip_folds,
        sides.utterance_folds,
        {**sides.dropped, **({"clips outside the official lists": outside} if outside else {})},
    )


def _with_utterances(
    clips: Sequence[ClipRow],
    utterances: Sequence[UtteranceRow],
    clip_sides: Mapping[str, Side],
    clip_folds: Mapping[str, int],
    *,
    test_share: float,
    seed: int,
    voices_apart: bool,
) -> Sides:
    """Deals the utterances: to the side of their clip, else to fill their class's share; voices apart on request."""
    all_clips = {clip.id for clip in clips}
    sides: dict[str, Side] = {}
    folds: dict[str, int] = {}
    dropped: Counter[str] = Counter()
    free: list[UtteranceRow] = []
    for utterance in utterances:
        if utterance.clip is None:
            free.append(utterance)
        elif utterance.clip in clip_sides:
            sides[utterance.id] = clip_sides[utterance.clip]
            if utterance.clip in clip_folds:
                folds[utterance.id] = clip_folds[utterance.clip]
        elif utterance.clip in all_clips:
            dropped["utterances of clips outside the official lists"] += 1
        else:
            dropped["utterances whose clip is not in the data set"] += 1
    if voices_apart:
        crossing = _crossing_voices(utterances, sides)
        for utterance in utterances:
            if utterance.id in sides and crossing.get(utterance.voice, sides[utterance.id]) != sides[utterance.id]:
                del sides[utterance.id]
                folds.pop(utterance.id, None)
                dropped["utterances whose voice stands on the other side"] += 1
    voice_sides: dict[str, Side] = {u.voice: sides[u.id] for u in utterances if u.id in sides}
    voice_folds = {u.voice: folds[u.id] for u in utterances if u.id in folds}
    for class_id, group in _by_class(free).items():
        random = generator(seed, "split", "free utterances", class_id)
        wanted = round(test_share * sum(u.class_id == class_id for u in utterances))
        tested = sum(sides.get(u.id) == "test" for u in utterances if u.class_id == class_id)
        for position, index in enumerate(random.permutation(len(group))):
            utterance = group[index]
            side: Side = "test" if tested < wanted else "train"
            fold = position % FOLDS
            if voices_apart:
                side = voice_sides.setdefault(utterance.voice, side)
                fold = voice_folds.setdefault(utterance.voice, fold)
            tested += side == "test"
            sides[utterance.id] = side
            if side == "train":
                folds[utterance.id] = fold
    return Sides(dict(clip_sides), sides, dict(clip_folds), folds, dict(dropped))


def _crossing_voices(utterances: Sequence[UtteranceRow], sides: Mapping[str, Side]) -> dict[str, Side]:
    """For every voice that stands on both sides, the side where more of its utterances are (training on a tie)."""
    heard: dict[str, Counter[Side]] = defaultdict(Counter)
    for utterance in utterances:
        if utterance.id in sides:
            heard[utterance.voice][sides[utterance.id]] += 1
    return {
        voice: "test" if count["test"] > count["train"] else "train"
        for voice, count in heard.items()
        if len(count) == 2
    }


def _by_class(rows: Sequence[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = defaultdict(list)
    for row in rows:
        groups[row.class_id].append(row)
    return {class_id: sorted(groups[class_id], key=lambda row: row.id) for class_id in sorted(groups)}


def _first_until(order: Sequence[str], sizes: Mapping[str, int], wanted: int) -> set[str]:
    """Takes groups in order while they fit, so that ``wanted`` items are reached, or missed by less than a group."""
    taken: set[str] = set()
    count = 0
    for name in order:
        if count + sizes[name] <= wanted:
            taken.add(name)
            count += sizes[name]
    return taken
