"""No class is only validated: where a move of persons, clips or utterances can help, fold 0 does not hold all of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.pairs.same_content import content_of
from dataset_tools.pairs.sides import Sides
from dataset_tools.pairs.splits import SplitTask, split_items, split_mpii, split_person

Clips = Callable[..., ClipRow]
Utterances = Callable[..., UtteranceRow]
SEEDS = range(12)


def folds_of(
    class_id: str, clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], sides: Sides
) -> tuple[set[int], set[int]]:
    """The folds of the training clips and utterances of a class."""
    return (
        {sides.clip_folds[row.id] for row in clips if row.class_id == class_id and row.id in sides.clip_folds},
        {
            sides.utterance_folds[row.id]
            for row in utterances
            if row.class_id == class_id and row.id in sides.utterance_folds
        },
    )


def many(make_clip: Clips, persons: Sequence[int]) -> list[ClipRow]:
    return [make_clip("many", person, 1, 1) for person in persons]


def spoken_for(clips: Sequence[ClipRow], make_utterance: Utterances) -> list[UtteranceRow]:
    return [make_utterance(clip.class_id, clip.id, f"voice-{clip.person}") for clip in clips]


def test_by_person_a_class_of_two_clips_is_trained_on(make_clip: Clips, make_utterance: Utterances) -> None:
    clips = many(make_clip, range(1, 11)) + [make_clip("few", person, 1, 101) for person in (1, 2)]
    utterances = spoken_for(clips, make_utterance)
    for seed in SEEDS:
        sides = split_person(SplitTask(clips, utterances, content_of(clips, utterances), 0.2, seed))
        assert 0 not in folds_of("few", clips, utterances, sides)[0]
        of_person = {clip.person: sides.clip_folds[clip.id] for clip in clips if clip.id in sides.clip_folds}
        assert all(sides.clip_folds[clip.id] == of_person[clip.person] for clip in clips if clip.person in of_person)
        assert {0} < folds_of("many", clips, utterances, sides)[0]
        assert (
            split_person(SplitTask(clips[::-1], utterances[::-1], content_of(clips[::-1], utterances[::-1]), 0.2, seed))
            == sides
        )


def test_another_person_is_validated_on_where_none_would_be_left(make_clip: Clips, make_utterance: Utterances) -> None:
    clips = many(make_clip, range(1, 6)) + [make_clip("few", person, 1, 101) for person in (1, 2)]
    utterances = spoken_for(clips, make_utterance)
    for seed in SEEDS:  # four persons train, so fold 0 has one
        sides = split_person(SplitTask(clips, utterances, content_of(clips, utterances), 0.2, seed))
        assert 0 not in folds_of("few", clips, utterances, sides)[0]
        assert all(0 in folds for folds in folds_of("many", clips, utterances, sides))


def test_classes_stay_in_fold_0_where_nobody_else_can_be_there(make_clip: Clips, make_utterance: Utterances) -> None:
    clips = many(make_clip, range(1, 6))
    for person in range(1, 5):  # everybody but the fifth has a class of their own with them
        clips += [make_clip(f"few{person}", one, person, 101) for one in (person, 5)]
    utterances = spoken_for(clips, make_utterance)
    for seed in SEEDS:
        sides = split_person(SplitTask(clips, utterances, content_of(clips, utterances), 0.2, seed))
        assert {side for name, side in sides.clips.items() if name.startswith("s05")} == {"test"}
        assert all(0 in folds for folds in folds_of("many", clips, utterances, sides))
        validated = [number for number in range(1, 5) if folds_of(f"few{number}", clips, utterances, sides)[0] == {0}]
        assert len(validated) == 1


def test_the_only_utterance_of_a_class_is_trained_on(make_clip: Clips, make_utterance: Utterances) -> None:
    clips = many(make_clip, range(1, 11)) + [make_clip("few", person, 1, 101) for person in (1, 2, 3)]
    recording = make_utterance("few", None, "somebody", 0)
    utterances = [*spoken_for(clips[:10], make_utterance), recording]
    official = {"train": [f"s{person:02d}-d01" for person in range(1, 9)], "test": ["s09-d01", "s10-d01"]}
    for seed in SEEDS:
        for sides in (
            split_items(SplitTask(clips, utterances, content_of(clips, utterances), 0.2, seed)),
            split_mpii(SplitTask(clips, utterances, content_of(clips, utterances), 0.2, seed), official),
        ):
            shown, heard = folds_of("few", clips, utterances, sides)
            assert sides.utterances[recording.id] == "train"
            assert 0 not in heard
            assert shown != {0}
            assert all(0 in folds for folds in folds_of("many", clips, utterances, sides))


def test_what_has_one_content_leaves_fold_0_together(make_clip: Clips, make_utterance: Utterances) -> None:
    clips = many(make_clip, range(1, 11)) + [make_clip("few", person, 1, 101) for person in (1, 2, 3)]
    alone, same = make_utterance("few", None, "somebody", 0), make_utterance("many", None, "somebody", 1)
    same = msgspec.structs.replace(same, sha256=alone.sha256)
    utterances = [*spoken_for(clips[:10], make_utterance), alone, same]
    for seed in SEEDS:
        sides = split_items(SplitTask(clips, utterances, content_of(clips, utterances), 0.2, seed))
        if sides.utterances[alone.id] == "train":
            assert sides.utterance_folds[alone.id] == sides.utterance_folds[same.id] != 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_class_that_is_alone_is_trained_on_rather_than_validated(
    seed: int, make_clip: Clips, make_utterance: Utterances
) -> None:
    clips = many(make_clip, range(1, 4))
    recording = make_utterance("many", None, "somebody", 0)
    sides = split_items(SplitTask(clips, [recording], content_of(clips, [recording]), 0.3, seed))
    shown, heard = folds_of("many", clips, [recording], sides)
    assert shown - {0}
    assert heard == {1}
