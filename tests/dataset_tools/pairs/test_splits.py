from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.pairs.leak_check import find_leaks
from dataset_tools.pairs.same_content import content_of
from dataset_tools.pairs.splits import SplitTask, split_items, split_mpii, split_person

Clips = Callable[..., ClipRow]
Utterances = Callable[..., UtteranceRow]


@pytest.fixture
def corpus(make_clip: Clips, make_utterance: Utterances) -> tuple[list[ClipRow], list[UtteranceRow]]:
    """Four classes × 50 clips by ten persons, an utterance of each clip in a voice of its person."""
    clips = [
        make_clip(f"class-{c}", 10 + (i * 7 + c) % 10, (i * 3) % 13, 1000 * c + 100 * i + 1)
        for c in range(4)
        for i in range(50)
    ]
    utterances = [
        make_utterance(clip.class_id, clip.id, f"voice-{clip.person}-{number % 2}") for number, clip in enumerate(clips)
    ]
    return clips, utterances


def test_items_leaves_35_and_15_of_each_class_with_partners_together(corpus) -> None:
    clips, utterances = corpus
    sides = split_items(SplitTask(clips, utterances, content_of(clips, utterances), 0.3, 0))
    for items, dealt in ((clips, sides.clips), (utterances, sides.utterances)):
        counts = Counter((item.class_id, dealt[item.id]) for item in items)
        assert counts == {(f"class-{c}", side): n for c in range(4) for side, n in (("train", 35), ("test", 15))}
    assert all(sides.utterances[u.id] == sides.clips[u.clip] for u in utterances)


def test_items_depends_on_the_seed_and_on_nothing_else(corpus) -> None:
    clips, utterances = corpus
    first = split_items(SplitTask(clips, utterances, content_of(clips, utterances), 0.3, 0))
    assert (
        split_items(SplitTask(clips[::-1], utterances[::-1], content_of(clips[::-1], utterances[::-1]), 0.3, 0))
        == first
    )
    assert split_items(SplitTask(clips, utterances, content_of(clips, utterances), 0.3, 1)) != first


def test_a_class_of_two_clips_is_trained_on(make_clip: Clips) -> None:
    clips = [make_clip("few", 10, 1, start) for start in (1, 101)]
    clips += [make_clip("many", 10, 1, 1000 * number) for number in range(1, 11)]
    sides = split_items(SplitTask(clips, [], content_of(clips, []), 0.3, 0))
    few = [clip.id for clip in clips if clip.class_id == "few"]
    assert sorted(sides.clips[name] for name in few) == ["test", "train"]
    assert [sides.clip_folds[name] for name in few if name in sides.clip_folds] == [1]
    assert Counter(fold for name, fold in sides.clip_folds.items() if name not in few) == {0: 2, 1: 2, 2: 1, 3: 1, 4: 1}


def test_folds_are_even_and_partners_share_one(corpus) -> None:
    clips, utterances = corpus
    sides = split_items(SplitTask(clips, utterances, content_of(clips, utterances), 0.3, 0))
    assert set(sides.clip_folds) == {clip.id for clip in clips if sides.clips[clip.id] == "train"}
    per_class = Counter((clip.class_id, sides.clip_folds[clip.id]) for clip in clips if clip.id in sides.clip_folds)
    assert set(per_class.values()) == {7}
    assert all(
        sides.utterance_folds[u.id] == sides.clip_folds[u.clip] for u in utterances if u.clip in sides.clip_folds
    )


def test_windows_of_one_interval_share_side_and_fold(make_clip: Clips) -> None:
    clips = [make_clip("a", 10, 1, 100 * i + 1, window=(w, 3)) for i in range(12) for w in (1, 2, 3)]
    sides = split_items(SplitTask(clips, [], content_of(clips, []), 0.3, 0))
    for _, windows in itertools.groupby(clips, key=lambda clip: clip.start_frame):
        ids = [clip.id for clip in windows]
        assert len({sides.clips[clip_id] for clip_id in ids}) == 1
        assert len({sides.clip_folds.get(clip_id) for clip_id in ids}) == 1
    assert Counter(sides.clips.values())["test"] == 9  # round(.3 × 36) = 11, and three more windows would be too many


def test_descriptions_of_a_class_fill_its_share(make_clip: Clips, make_utterance: Utterances) -> None:
    clips = [make_clip("a", 10, 1, 100 * i + 1) for i in range(20)]
    spoken = [make_utterance("a", clip.id, "v") for clip in clips[:10]]
    free = [make_utterance("a", None, f"human-{i}", i) for i in range(10)]
    sides = split_items(SplitTask(clips, spoken + free, content_of(clips, spoken + free), 0.3, 3))
    assert Counter(sides.utterances.values()) == {"train": 14, "test": 6}
    assert set(sides.utterance_folds) == {u for u, side in sides.utterances.items() if side == "train"}


def test_person_keeps_people_and_voices_apart(corpus) -> None:
    clips, utterances = corpus
    sides = split_person(SplitTask(clips, utterances, content_of(clips, utterances), 0.3, 0))
    persons = {side: {c.person for c in clips if sides.clips[c.id] == side} for side in ("train", "test")}
    voices = {side: {u.voice for u in utterances if sides.utterances[u.id] == side} for side in ("train", "test")}
    assert not persons["train"] & persons["test"]
    assert not voices["train"] & voices["test"]
    share = Counter(sides.clips.values())["test"] / len(clips)
    assert share == pytest.approx(0.3, abs=0.05)
    folds = {clip.person: sides.clip_folds[clip.id] for clip in clips if clip.id in sides.clip_folds}
    assert all(sides.clip_folds[c.id] == folds[c.person] for c in clips if c.id in sides.clip_folds)


def test_person_drops_and_counts_recordings_that_would_cross(corpus, make_utterance: Utterances) -> None:
    clips, utterances = corpus
    before = split_person(SplitTask(clips, utterances, content_of(clips, utterances), 0.3, 0))
    by_side = {side: [c for c in clips if before.clips[c.id] == side] for side in ("train", "test")}
    human = [make_utterance(c.class_id, c.id, "human") for c in by_side["train"][:3] + by_side["test"][:2]]
    sides = split_person(SplitTask(clips, utterances + human, content_of(clips, utterances + human), 0.3, 0))
    heard = {sides.utterances[u.id] for u in human if u.id in sides.utterances}
    lost = [u for u in human if u.id not in sides.utterances]
    assert len(heard) == 1
    assert all({sides.clips[u.clip]} != heard for u in lost)
    assert all(sides.utterances[u.id] == sides.clips[u.clip] for u in human if u not in lost)
    assert sides.dropped == ({"utterances whose voice is on the other side of the split": len(lost)} if lost else {})


def test_person_refuses_when_one_person_shows_a_class_alone(make_clip: Clips) -> None:
    clips = [make_clip("alone", 10, 1, 100 * i + 1) for i in range(5)]
    clips += [make_clip("both", 10 + i % 2, 2, 100 * i + 1) for i in range(6)]
    with pytest.raises(InputError, match="cannot be split") as caught:
        split_person(SplitTask(clips, [], content_of(clips, []), 0.3, 0))
    assert "alone" in (caught.value.where or "")
    assert "both" not in (caught.value.where or "")


def test_mpii_follows_the_official_lists(make_clip: Clips, make_utterance: Utterances) -> None:
    clips = [make_clip("a", person, 1, 1) for person in (10, 11, 12, 13)]
    utterances = [make_utterance("a", clip.id, "v") for clip in clips]
    official = {"train": ["s10-d01"], "val": ["s11-d01"], "test": ["s12-d01"]}
    sides = split_mpii(SplitTask(clips, utterances, content_of(clips, utterances), 0.3, 0), official)
    assert [sides.clips.get(c.id) for c in clips] == ["train", "train", "test", None]
    assert [sides.utterances.get(u.id) for u in utterances] == ["train", "train", "test", None]
    assert sides.dropped == {
        "clips outside the official lists": 1,
        "utterances of clips that were left out": 1,
    }
    with pytest.raises(InputError, match="official split is not known"):
        split_mpii(SplitTask(clips, utterances, content_of(clips, utterances), 0.3, 0), {})


def test_a_voice_stays_on_its_side_where_it_sounds_like_another(make_clip: Clips, make_utterance: Utterances) -> None:
    clips = [make_clip("a", 10 + i % 6, 1, 100 * i + 1) for i in range(30)]
    utterances = [make_utterance("a", None, f"voice-{number % 6}", number) for number in range(30)]
    same = [
        msgspec.structs.replace(row, source="synthesized", **({"sha256": "5" * 64} if number < 6 else {}))
        for number, row in enumerate(utterances)
    ]
    sides = split_person(SplitTask(clips, same, content_of(clips, same), 0.3, 0))
    heard: dict[str, set[str]] = {"train": set(), "test": set()}
    for row in same:
        if row.id in sides.utterances:
            heard[sides.utterances[row.id]].add(row.voice)
    assert all(heard.values())
    assert not heard["train"] & heard["test"]
    assert len({sides.utterances[row.id] for row in same[:6] if row.id in sides.utterances}) == 1
    lost = len(same) - len(sides.utterances)
    assert 0 < lost < 6
    assert sides.dropped == {"utterances whose content is on the other side of the split": lost}
    assert not find_leaks({c.id: c for c in clips}, {u.id: u for u in same}, content_of(clips, same), sides, "person")
