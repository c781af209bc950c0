"""The partition of persons and voices, against a brute force that knows of no units, tables or draws."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset_tools.core.errors import InputError
from dataset_tools.manifests import ClipRow, UtteranceRow
from dataset_tools.pairs import person_partition
from dataset_tools.pairs.person_partition import _NearCounts, _Table
from dataset_tools.pairs.same_content import content_of
from dataset_tools.pairs.sides import Sides
from dataset_tools.pairs.splits import SplitTask, split_person

Clips = Callable[..., ClipRow]
Utterances = Callable[..., UtteranceRow]
SHARE = 0.3


def badness(clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow], side: Callable[..., str | None]) -> float:
    """How far a split is from what was asked for; infinite where a class lacks clips or utterances on a side."""
    total = 0.0
    for class_id in {clip.class_id for clip in clips}:
        for rows in (clips, utterances):
            sides = [side(row) for row in rows if row.class_id == class_id]
            if not sides:
                continue
            if not {"train", "test"} <= set(sides):
                return float("inf")
            total += abs(sides.count("test") / len(sides) - SHARE) + sides.count(None) / len(sides)
    return total


def dealt(sides: Sides) -> Callable[[ClipRow | UtteranceRow], str | None]:
    return lambda row: {**sides.clips, **sides.utterances}.get(row.id)


def subsets(names: Iterable[str]) -> Iterator[set[str]]:
    ordered = sorted(set(names))
    return (set(some) for size in range(len(ordered) + 1) for some in itertools.combinations(ordered, size))


def least_badness(clips: Sequence[ClipRow], utterances: Sequence[UtteranceRow]) -> float:
    """Of every set of persons with every set of voices."""
    person_of = {clip.id: clip.person for clip in clips}

    def side(persons: set[str], voices: set[str], row: ClipRow | UtteranceRow) -> str | None:
        if isinstance(row, ClipRow):
            return "test" if row.person in persons else "train"
        spoken = "test" if row.voice in voices else "train"
        shown = spoken if row.clip is None else "test" if person_of[row.clip] in persons else "train"
        return spoken if spoken == shown else None

    return min(
        badness(clips, utterances, partial(side, persons, voices))
        for persons in subsets(person_of.values())
        for voices in subsets(row.voice for row in utterances)
    )


@pytest.mark.parametrize("speakers", range(1, 9))
def test_recordings_of_classes_by_few_voices(make_clip: Clips, make_utterance: Utterances, speakers: int) -> None:
    """The report: 2-6 voices, and all utterances were for testing. One voice cannot be split at all."""
    clips = [make_clip(f"c{c}", 10 + (i + c) % 10, 1, 1000 * c + 100 * i + 1) for c in range(3) for i in range(20)]
    spoken = [make_utterance(f"c{c}", None, f"v{i % speakers}", i) for c in range(3) for i in range(12 * speakers)]
    if speakers == 1:
        with pytest.raises(InputError, match="no partition of 10 persons and 1 voice ") as caught:
            split_person(SplitTask(clips, spoken, content_of(clips, spoken), SHARE, 0))
        assert "with one voice only: c0, c1, c2" in (caught.value.where or "")
        assert "two voices for every class" in (caught.value.expected or "")
        return
    sides = split_person(SplitTask(clips, spoken, content_of(clips, spoken), SHARE, 0))
    tested = {row.voice for row in spoken if sides.utterances[row.id] == "test"}
    assert not tested & {row.voice for row in spoken if sides.utterances[row.id] == "train"}
    nearest = min(abs(n / speakers - SHARE) for n in range(1, speakers))  # every voice says as much as another
    assert abs(len(tested) / speakers - SHARE) == pytest.approx(nearest)
    assert sides.dropped == {}


@pytest.mark.parametrize("people", range(1, 9))
def test_few_persons(make_clip: Clips, make_utterance: Utterances, people: int) -> None:
    clips = [make_clip("a", 10 + i % people, 1, 100 * i + 1) for i in range(5 * people)]
    spoken = [make_utterance("a", clip.id, f"voice-{clip.person}") for clip in clips]
    if people == 1:
        with pytest.raises(InputError, match="cannot be split"):
            split_person(SplitTask(clips, spoken, content_of(clips, spoken), SHARE, 0))
        return
    sides = split_person(SplitTask(clips, spoken, content_of(clips, spoken), SHARE, 0))
    tested = {clip.person for clip in clips if sides.clips[clip.id] == "test"}
    nearest = min(abs(n / people - SHARE) for n in range(1, people))
    assert abs(len(tested) / people - SHARE) == pytest.approx(nearest)
    assert all(sides.utterances[row.id] == sides.clips[row.clip] for row in spoken)


def test_speakers_who_read_out_everybodys_clips(make_clip: Clips, make_utterance: Utterances) -> None:
    """Going by the majority, every voice would be on the training side."""
    clips = [make_clip("a", 10 + i % 20, 1, 100 * i + 1) for i in range(200)]
    spoken = [make_utterance("a", clip.id, f"v{i // 20 % 5}") for i, clip in enumerate(clips)]
    sides = split_person(SplitTask(clips, spoken, content_of(clips, spoken), SHARE, 0))
    counts = [list(sides.utterances.values()).count(side) for side in ("train", "test")]
    assert min(counts) > 0
    assert sides.dropped == {"utterances whose voice is on the other side of the split": 200 - sum(counts)}
    for side in ("train", "test"):
        others = {row.voice for row in spoken if sides.utterances.get(row.id) not in (side, None)}
        assert not others & {row.voice for row in spoken if sides.utterances.get(row.id) == side}


@pytest.mark.parametrize("seed", range(4))
def test_a_share_that_hardly_any_partition_has(make_clip: Clips, seed: int) -> None:
    """Of 14 persons who show 1, 2, 4, … clips each, one set only has just so many clips."""
    sizes = {10 + i: 2**i for i in range(10)} | {20: 1, 21: 1, 22: 1, 23: 1}
    clips = [make_clip("a", person, i % 99, 60 * i + 1) for person, size in sizes.items() for i in range(size)]
    wanted = [177, 341, 682, 93][seed]
    sides = split_person(SplitTask(clips, [], content_of(clips, []), wanted / len(clips), seed))
    assert list(sides.clips.values()).count("test") == wanted


def test_of_equal_shares_the_one_that_loses_nothing(make_clip: Clips, make_utterance: Utterances) -> None:
    """s10 alone has 3 of 10 clips, and so has s11, but with the voice that speaks for s12 too."""
    clips = [make_clip("a", person, 1, 100 * i + 1) for i, person in enumerate([10] * 3 + [11] * 3 + [12] * 4)]
    spoken = [make_utterance("a", clip.id, "alone" if clip.person == "s10" else "both") for clip in clips]
    for seed in range(8):
        sides = split_person(SplitTask(clips, spoken, content_of(clips, spoken), SHARE, seed))
        assert sides.dropped == {}
        assert {clip.person for clip in clips if sides.clips[clip.id] == "test"} == {"s10"}


def test_many_persons_of_whom_a_class_needs_just_the_right_ones(make_clip: Clips, make_utterance: Utterances) -> None:
    """24 classes that two persons each show: of the random partitions hardly one splits every pair (2^-24 at best)."""
    clips = [make_clip(f"c{c:02d}", 10 + 2 * c + i, 1, 1) for c in range(24) for i in range(2)]
    spoken = [make_utterance(clip.class_id, clip.id, f"voice-{clip.person}") for clip in clips]
    sides = split_person(SplitTask(clips, spoken, content_of(clips, spoken), SHARE, 0))
    assert {(clip.class_id, sides.clips[clip.id]) for clip in clips} == {
        (clip.class_id, side) for clip in clips for side in ("train", "test")
    }


def test_persons_with_the_same_video_stand_together(make_clip: Clips) -> None:
    clips = [make_clip("a", 10 + i % 4, 1, 100 * i + 1) for i in range(12)]
    clips[1] = msgspec.structs.replace(clips[1], sha256=clips[0].sha256)
    for seed in range(8):
        sides = split_person(SplitTask(clips, [], content_of(clips, []), 0.5, seed))
        assert sides.clips[clips[0].id] == sides.clips[clips[1].id]
        assert list(sides.clips.values()).count("test") == 6
    twice = [clip for clip in clips if clip.person in ("s10", "s11")]
    with pytest.raises(InputError, match="of 1 person "):
        split_person(SplitTask(twice, [], content_of(twice, []), 0.5, 0))


def test_one_recording_under_two_voices_is_one_voice(make_clip: Clips, make_utterance: Utterances) -> None:
    clips = [make_clip("a", 10 + i % 4, 1, 100 * i + 1) for i in range(12)]
    spoken = [make_utterance("a", None, voice, i) for i, voice in enumerate(["rec", "rec2", "rec", "rec2"])]
    sides = split_person(SplitTask(clips, spoken, content_of(clips, spoken), 0.5, 0))
    assert sorted(sides.utterances.values()) == ["test", "test", "train", "train"]
    spoken[1] = msgspec.structs.replace(spoken[1], sha256=spoken[0].sha256)
    with pytest.raises(InputError, match="and 1 voice "):
        split_person(SplitTask(clips, spoken, content_of(clips, spoken), 0.5, 0))


def test_with_one_person_or_voice_to_train_on_nothing_is_set_apart_for_validation(
    make_clip: Clips, make_utterance: Utterances
) -> None:
    """Else fold 0 would hold all that there is to train on."""
    clips = [make_clip("a", 10 + i % 2, 1, 100 * i + 1) for i in range(10)]
    spoken = [make_utterance("a", None, f"v{i % 3}", i) for i in range(12)]
    sides = split_person(SplitTask(clips, spoken, content_of(clips, spoken), SHARE, 0))
    assert set(sides.clip_folds.values()) == {1}
    assert 0 not in sides.utterance_folds.values()


@st.composite
def corpora(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[tuple[int, int | None, int]]]:
    """Clips as (class, person); utterances as (class, index of a clip or None, voice)."""
    clips = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(10, 13)), min_size=2, max_size=12))
    spoken = draw(st.lists(st.tuples(st.integers(0, len(clips) - 1), st.booleans(), st.integers(0, 3)), max_size=14))
    return clips, [(clips[index][0], index if bound else None, voice) for index, bound, voice in spoken]


@given(corpora(), st.integers(0, 3))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_best_partition_is_found_or_there_is_none(make_clip, make_utterance, corpus, seed: int) -> None:
    clips = [make_clip(f"c{c}", person, 1, 100 * i + 1) for i, (c, person) in enumerate(corpus[0])]
    utterances = []
    for i, (c, index, voice) in enumerate(corpus[1]):
        row = make_utterance(f"c{c}", None if index is None else clips[index].id, f"v{voice}", i)
        sha256 = hashlib.sha256(str(i).encode()).hexdigest()
        utterances.append(msgspec.structs.replace(row, id=f"u{i:02d}", sha256=sha256))
    least = least_badness(clips, utterances)
    if least == float("inf"):
        with pytest.raises(InputError, match="cannot be split"):
            split_person(SplitTask(clips, utterances, content_of(clips, utterances), SHARE, seed))
        return
    sides = split_person(SplitTask(clips, utterances, content_of(clips, utterances), SHARE, seed))
    assert badness(clips, utterances, dealt(sides)) == pytest.approx(least, abs=1e-9)
    assert (
        split_person(SplitTask(clips[::-1], utterances[::-1], content_of(clips[::-1], utterances[::-1]), SHARE, seed))
        == sides
    )


def test_moves_of_many_persons_are_compared_a_part_at_a_time(
    monkeypatch: pytest.MonkeyPatch, peak_bytes: Callable[..., int]
) -> None:
    persons, classes = 120, 20
    who = np.arange(persons)
    counts = np.zeros((persons, classes))
    counts[who, who % classes] = 1
    table = person_partition._Table(who, who, counts)
    start = np.zeros(persons, dtype=bool)
    whole, empty = person_partition._climbed(start, [table], SHARE)
    assert empty == 0
    assert [int(whole[who % classes == column].sum()) for column in range(classes)] == [2] * classes
    monkeypatch.setattr(person_partition, "_ENTRIES", 10_000)
    found: list[np.ndarray] = []
    peak = peak_bytes(lambda: found.append(person_partition._climbed(start, [table], SHARE)[0]), limit=1e6)
    assert all((one == whole).all() for one in found)
    assert peak < 1e6  # all moves at once are 120 · 120 · 120 / 2 numbers of a byte, several times


@pytest.mark.parametrize("seed", range(6))
def test_items_after_a_move_are_counted_as_if_from_the_beginning(seed: int) -> None:
    random = np.random.default_rng(seed)
    units, classes = 9, 4
    pairs = np.unique(random.integers(0, units, (20, 2)), axis=0)  # also (a, b) beside (b, a), and (a, a)
    table = _Table(pairs[:, 0], pairs[:, 1], random.integers(0, 3, (len(pairs), classes)).astype(float))
    current = random.random(units) < 0.4
    moves = np.array([(one, two) for one in range(units) for two in range(one, units)])
    tested, trained = (_NearCounts.of(side, table).after(moves) for side in (current, ~current))
    for number, (one, two) in enumerate(moves):
        on_test = {unit for unit in range(units) if current[unit]} ^ {int(one), int(two)}
        expected = np.zeros((2, classes))
        for first, second, count in zip(table.first, table.second, table.counts, strict=True):
            sides = {int(first) in on_test, int(second) in on_test}
            if len(sides) == 1:
                expected[0 if sides == {True} else 1] += count
        np.testing.assert_array_equal(np.stack([tested[number], trained[number]]), expected)


def test_every_rare_class_of_many_persons_is_on_both_sides(make_clip: Clips) -> None:
    clips = [make_clip("many", person, 1, 1) for person in range(1, 301)]
    clips += [make_clip(f"rare{number}", 2 * number + one, 2, 1) for number in range(25) for one in (1, 2)]
    sides = split_person(SplitTask(clips, [], content_of(clips, []), 0.3, 0))
    for number in range(25):
        assert len({sides.clips[clip.id] for clip in clips if clip.class_id == f"rare{number}"}) == 2
