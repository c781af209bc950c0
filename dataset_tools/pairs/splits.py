"""Train/test splits ``items``, ``person``, ``mpii`` and ``pairs``, and their folds.

A split assigns *items* (clips and utterances) to sides; a pair is on a side if both of its items are. The exception is
``pairs``, the literal reading of the paper, which assigns the pairs themselves and so puts items on both sides. Items
with the same content (`dataset_tools.pairs.same_content`) are assigned together, regardless of their names. A class
that would have no training pair outside fold 0 is moved out of it (`dataset_tools.pairs.fitted_classes`).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np

from dataset_tools.core.errors import InputError
from dataset_tools.core.seeds import generator
from dataset_tools.manifests import VALIDATION_FOLD, ClipRow, Side, UtteranceRow
from dataset_tools.pairs.fitted_classes import FoldUnits, Unit, fit_every_class
from dataset_tools.pairs.folds import FOLDS, Group, assign_folds
from dataset_tools.pairs.person_partition import partition_people
from dataset_tools.pairs.same_content import Content, group_by_mark
from dataset_tools.pairs.sides import Sides

SplitName = Literal["items", "person", "mpii", "pairs"]
Item = TypeVar("Item", ClipRow, UtteranceRow)
CONTENT_ELSEWHERE = "utterances whose content is on the other side of the split"  # why they are dropped


@dataclass(frozen=True)
class SplitTask:
    """What is split, and how.

    Attributes:
        clips, utterances: the items. content: which of them are the same content.
        test_share: fraction of the items of each class to test with. seed: of the random choice.
    """

    clips: Sequence[ClipRow]
    utterances: Sequence[UtteranceRow]
    content: Content
    test_share: float
    seed: int


def split_items(task: SplitTask) -> Sides:
    """``items``: in every class, ``test_share`` of the intervals and of the utterances, at random, are for testing.

    An utterance is on the side of the clip that it describes. Utterances that describe only a class are assigned so
    that the class reaches its share.
    """
    clips, content = task.clips, task.content
    sides: dict[str, Side] = {}
    folds: dict[Unit, int] = {}
    for class_id, group in _by_class(clips).items():
        random = generator(task.seed, "split", "items", class_id)
        sizes = Counter(content.clips[clip.id] for clip in group)
        intervals = sorted(sizes)
        order = [intervals[index] for index in random.permutation(len(intervals))]
        unassigned = [name for name in order if name not in sides]  # another class may share the content
        tested = sum(sizes[name] for name in order if sides.get(name) == "test")
        test = _first_until(unassigned, sizes, round(task.test_share * len(group)) - tested)
        sides |= {name: "test" if name in test else "train" for name in unassigned}
        folds |= assign_folds([("interval", name) for name in unassigned if name not in test])
    clip_sides = {clip.id: sides[content.clips[clip.id]] for clip in clips}
    of_clip: dict[str, Unit] = {clip.id: ("interval", content.clips[clip.id]) for clip in clips}
    return _with_free_utterances(task, clip_sides, of_clip, folds)


def split_person(task: SplitTask) -> Sides:
    """``person``: no person of the footage and no voice is on both sides (`person_partition`).

    Raises:
        InputError: no set of persons and voices leaves every class on both sides.
    """
    random = generator(task.seed, "split", "person")
    people = partition_people(task.clips, task.utterances, task.content, test_share=task.test_share, random=random)
    folds = _folds_of_groups({unit for unit in people.persons.values() if unit not in people.test}, random)
    clip_sides: dict[str, Side] = {
        clip.id: "test" if people.persons[clip.person] in people.test else "train" for clip in task.clips
    }
    others = {unit for unit in people.voices.values() if unit not in people.test | folds.keys()}
    folds |= _folds_of_groups(others, random)
    of_clip = {clip.id: people.persons[clip.person] for clip in task.clips}

    def assign(folds: Mapping[Unit, int]) -> Sides:
        return _with_utterances(
            task,
            clip_sides,
            {name: folds[unit] for name, unit in of_clip.items() if clip_sides[name] == "train"},
            voice_sides={voice: "test" if unit in people.test else "train" for voice, unit in people.voices.items()},
            voice_folds={voice: folds[unit] for voice, unit in people.voices.items() if unit in folds},
        )

    sides = assign(folds)
    if not all(VALIDATION_FOLD in assigned.values() for assigned in (sides.clip_folds, sides.utterance_folds)):
        return _without_validation(sides)  # too few persons or voices for a validation fold
    units = _fold_units(task, of_clip, lambda row: people.voices[row.voice])
    return fit_every_class(units, folds, assign)


def split_mpii(task: SplitTask, official: Mapping[str, Iterable[str]]) -> Sides:
    """``mpii``: the official lists of sequences (``sNN-dNN``): train and val for training, test for testing.

    Other sequences are dropped. If the lists put the same content on both sides, it is removed from the training side.

    Raises:
        InputError: the data set was built from footage without the official lists.
    """
    test = set(official.get("test", ()))
    train = (set(official.get("train", ())) | set(official.get("val", ()))) - test
    if not test or not train:
        raise InputError(
            "The official split is not known",
            where="manifests/build.json, official_split",
            expected="the lists of experimentalSetup/, read by fmn-data build --mpii; own footage has none",
            next_step="use --split items or person; or put experimentalSetup/ in the folder of --mpii, and build again",
        )
    clips, content = task.clips, task.content
    dropped: Counter[str] = Counter()
    sequences = {clip.id: f"{clip.person}-{clip.dish}" for clip in clips}
    tested = {content.clips[clip.id] for clip in clips if sequences[clip.id] in test}
    clip_sides: dict[str, Side] = {}
    for clip in clips:
        if sequences[clip.id] in test:
            clip_sides[clip.id] = "test"
        elif sequences[clip.id] not in train:
            dropped["clips outside the official lists"] += 1
        elif content.clips[clip.id] in tested:
            dropped["training clips of the official lists whose content is in the test list"] += 1
        else:
            clip_sides[clip.id] = "train"
    trained: dict[str, set[str]] = defaultdict(set)
    for clip_id, side in clip_sides.items():
        if side == "train":
            trained[sequences[clip_id]].add(content.clips[clip_id])
    groups = group_by_mark(trained)
    folds = _folds_of_groups({("sequence", name) for name in groups.values()}, generator(task.seed, "split", "mpii"))
    of_clip: dict[str, Unit] = {
        clip_id: ("sequence", groups.get(sequences[clip_id], sequences[clip_id])) for clip_id in clip_sides
    }
    sides = _with_free_utterances(task, clip_sides, of_clip, folds)
    return replace(sides, dropped={**sides.dropped, **dropped})


def _with_free_utterances(
    task: SplitTask, clip_sides: Mapping[str, Side], of_clip: Mapping[str, Unit], folds: Mapping[Unit, int]
) -> Sides:
    """Assigns utterances regardless of their voices, and folds in which every class is trained on."""

    def assign(folds: Mapping[Unit, int]) -> Sides:
        clip_folds = {name: folds[unit] for name, unit in of_clip.items() if clip_sides[name] == "train"}
        return _with_utterances(task, clip_sides, clip_folds, free_folds=folds)

    return fit_every_class(_fold_units(task, of_clip), folds, assign)


def _with_utterances(
    task: SplitTask,
    clip_sides: Mapping[str, Side],
    clip_folds: Mapping[str, int],
    *,
    voice_sides: Mapping[str, Side] | None = None,
    voice_folds: Mapping[str, int] | None = None,
    free_folds: Mapping[Unit, int] | None = None,
) -> Sides:
    """Assigns utterances to the side of their clip, else of their voice, or to fill the share of their class.

    An utterance is dropped if its voice is on one side, and its content, also spoken by another voice, on the other.
    """
    utterances, content = task.utterances, task.content
    sides, dropped = _sides_by_clip(task, clip_sides, voice_sides)
    of_content = {content.utterances[name]: side for name, side in sides.items()}
    clip_of = {row.id: row.clip for row in utterances if row.clip is not None}
    folds = {name: clip_folds[clip_of[name]] for name in sides if clip_of[name] in clip_folds}
    fold_of = {content.utterances[name]: folds[name] for name in sorted(folds, key=folds.__getitem__, reverse=True)}
    for class_id, group in _by_class([row for row in utterances if row.clip is None]).items():
        random = generator(task.seed, "split", "free utterances", class_id)
        wanted = round(task.test_share * sum(u.class_id == class_id for u in utterances))
        tested = sum(sides.get(u.id) == "test" for u in utterances if u.class_id == class_id)
        for position, index in enumerate(random.permutation(len(group))):
            utterance = group[index]
            same = content.utterances[utterance.id]
            side: Side = "test" if tested < wanted else "train"
            side = voice_sides[utterance.voice] if voice_sides else of_content.get(same, side)
            if of_content.setdefault(same, side) != side:  # another voice, on the other side, has the same sound
                dropped[CONTENT_ELSEWHERE] += 1
                continue
            tested += side == "test"
            sides[utterance.id] = side
            if side == "train":
                fold = (free_folds or {}).get(_free_unit(same), position % FOLDS)
                folds[utterance.id] = fold_of.setdefault(same, (voice_folds or {}).get(utterance.voice, fold))
    folds = {name: fold_of[content.utterances[name]] for name in folds}
    return Sides(dict(clip_sides), sides, dict(clip_folds), folds, dict(dropped))


def _sides_by_clip(
    task: SplitTask, clip_sides: Mapping[str, Side], voice_sides: Mapping[str, Side] | None
) -> tuple[dict[str, Side], Counter[str]]:
    """Sides of the utterances that describe a clip, and the number of those dropped, by reason.

    An utterance is on the side of its clip; it is dropped if its voice, or most of its content, is on the other side.
    """
    all_clips = {clip.id for clip in task.clips}
    sides: dict[str, Side] = {}
    dropped: Counter[str] = Counter()
    for utterance in task.utterances:
        if utterance.clip is None:
            continue
        if utterance.clip not in all_clips:
            dropped["utterances whose clip is not in the data set"] += 1
        elif utterance.clip not in clip_sides:
            dropped["utterances of clips that were left out"] += 1
        elif voice_sides and voice_sides[utterance.voice] != clip_sides[utterance.clip]:
            dropped["utterances whose voice is on the other side of the split"] += 1
        else:
            sides[utterance.id] = clip_sides[utterance.clip]
    of_content = _majority_sides(sides, task.content)
    for utterance_id in [name for name, side in sides.items() if side != of_content[task.content.utterances[name]]]:
        del sides[utterance_id]
        dropped[CONTENT_ELSEWHERE] += 1
    return sides, dropped


def _free_unit(content: str) -> Unit:
    """Unit of utterances that describe only a class, in splits that do not separate voices."""
    return "utterance", content


def _fold_units(
    task: SplitTask, of_clip: Mapping[str, Unit], of_free: Callable[[UtteranceRow], Unit] | None = None
) -> FoldUnits:
    content = task.content
    utterances = [row for row in task.utterances if row.clip is None or row.clip in of_clip]
    clips = [row for row in task.clips if row.id in of_clip]
    return FoldUnits(
        clips, utterances, content, of_clip, of_free or (lambda row: _free_unit(content.utterances[row.id]))
    )


def _without_validation(sides: Sides) -> Sides:
    clip_folds, utterance_folds = (
        {name: max(fold, VALIDATION_FOLD + 1) for name, fold in folds.items()}
        for folds in (sides.clip_folds, sides.utterance_folds)
    )
    return replace(sides, clip_folds=clip_folds, utterance_folds=utterance_folds)


def _majority_sides(sides: Mapping[str, Side], content: Content) -> dict[str, Side]:
    """Majority side of the utterances of every content (training on a tie)."""
    counts: dict[str, Counter[Side]] = defaultdict(Counter)
    for utterance_id, side in sides.items():
        counts[content.utterances[utterance_id]][side] += 1
    return {name: "test" if count["test"] > count["train"] else "train" for name, count in counts.items()}


def _folds_of_groups(groups: AbstractSet[Group], random: np.random.Generator) -> dict[Group, int]:
    ordered = sorted(groups)
    order = [ordered[index] for index in random.permutation(len(ordered))]
    return assign_folds(order)


def _by_class(rows: Sequence[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = defaultdict(list)
    for row in rows:
        groups[row.class_id].append(row)
    return {class_id: sorted(groups[class_id], key=lambda row: row.id) for class_id in sorted(groups)}


def _first_until(order: Sequence[str], sizes: Mapping[str, int], wanted: int) -> set[str]:
    """Greedily takes groups in order that fit: ``wanted`` items are reached, or missed by less than a group."""
    taken: set[str] = set()
    count = 0
    for name in order:
        if count + sizes[name] <= wanted:
            taken.add(name)
            count += sizes[name]
    return taken
