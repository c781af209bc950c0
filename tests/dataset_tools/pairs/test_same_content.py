"""One content under several names stands on one side of every split."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError, ManifestError
from dataset_tools.core.ledger import Ledger, LedgerRow
from dataset_tools.core.workspace import Workspace
from dataset_tools.manifests import Augmentation, ClipRow, SplitPairRow, UtteranceRow, read_rows, write_rows
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs
from dataset_tools.pairs.same_content import Origins, content_of, group_by_mark, read_origins
from dataset_tools.pairs.split_record import read_split
from dataset_tools.pairs.splits import SplitTask, split_items, split_mpii

Clips = Callable[..., ClipRow]
Utterances = Callable[..., UtteranceRow]
CLASSES = load_classes()
FIRST, SECOND = (one.id for one in CLASSES.classes[:2])


@pytest.fixture
def clips(make_clip: Clips) -> list[ClipRow]:
    return [make_clip(FIRST, 10 + i, 1, 100 * i + 1) for i in range(10)]


def written(place: Workspace, clips: list[ClipRow], utterances: list[UtteranceRow]) -> Workspace:
    write_rows(place.manifests / "clips.jsonl", sorted(clips, key=lambda row: row.id))
    write_rows(place.manifests / "utterances.jsonl", sorted(utterances, key=lambda row: row.id))
    return place


def as_file(row: ClipRow, other: ClipRow) -> ClipRow:
    return msgspec.structs.replace(row, sha256=other.sha256)


def test_names_that_share_a_mark_are_one_group_however_long_the_chain() -> None:
    marks = {"d": {1, 2}, "a": {3}, "c": {2, 4}, "b": {3, 4}, "e": {5}, "f": set()}
    assert group_by_mark(marks) == {"a": "a", "b": "a", "c": "a", "d": "a", "e": "e", "f": "f"}


def test_one_clip_under_two_names_is_dealt_as_one(clips: list[ClipRow], make_utterance: Utterances) -> None:
    clips[7] = as_file(clips[7], clips[2])
    spoken = [make_utterance(FIRST, clip.id, f"v{clip.person}") for clip in clips]
    seen = set()
    for seed in range(12):
        sides = split_items(SplitTask(clips, spoken, content_of(clips, spoken), 0.3, seed))
        assert sides.clips[clips[7].id] == sides.clips[clips[2].id]
        assert sides.clip_folds.get(clips[7].id) == sides.clip_folds.get(clips[2].id)
        assert sides.utterances[spoken[7].id] == sides.utterances[spoken[2].id]
        assert list(sides.clips.values()).count("test") == 3
        seen.add(sides.clips[clips[2].id])
    assert seen == {"train", "test"}


def test_the_same_video_under_two_names_by_its_common_frames(make_clip: Clips) -> None:
    clips = [make_clip(FIRST, 10, 1, start) for start in (1, 21, 91, 141)]  # 50 frames each: 1-50, 21-70, 91-140, …
    clips[2] = msgspec.structs.replace(clips[2], trim=(70, 120))
    one = content_of(clips, [], Origins({clip.id: "same" for clip in clips}, {}))
    assert one.merged == ((clips[0].id, clips[1].id, clips[2].id),)
    others = content_of(clips, [], Origins({clip.id: clip.id for clip in clips}, {}))
    assert others.merged == ()


def test_a_content_of_two_classes_stands_on_one_side(make_clip: Clips) -> None:
    clips = [make_clip(name, 10 + i, dish, 100 * i + 1) for dish, name in enumerate((FIRST, SECOND)) for i in range(10)]
    for number in range(3):
        clips[10 + number] = as_file(clips[10 + number], clips[number])
    for seed in range(8):
        sides = split_items(SplitTask(clips, [], content_of(clips, []), 0.3, seed))
        assert all(sides.clips[clips[10 + n].id] == sides.clips[clips[n].id] for n in range(3))
        for class_id in (FIRST, SECOND):
            assert [sides.clips[c.id] for c in clips if c.class_id == class_id].count("test") == 3


def test_one_recording_under_two_names(clips: list[ClipRow], make_utterance: Utterances) -> None:
    """Of one clip twice, of a clip and of its class, of two clips: the clips, then, are tied by it."""
    free = [make_utterance(FIRST, None, f"human-{i}", i) for i in range(10)]
    bound = [msgspec.structs.replace(make_utterance(FIRST, c.id, "rec"), source="recorded") for c in clips]
    free[4] = msgspec.structs.replace(free[4], sha256=bound[0].sha256)
    free[6] = msgspec.structs.replace(free[6], sha256=free[5].sha256)
    bound[3] = msgspec.structs.replace(bound[3], sha256=bound[2].sha256)
    for seed in range(12):
        sides = split_items(SplitTask(clips, free + bound, content_of(clips, free + bound), 0.3, seed))
        assert sides.utterances[free[4].id] == sides.clips[clips[0].id]
        assert sides.utterances[free[6].id] == sides.utterances[free[5].id]
        assert sides.utterance_folds.get(free[6].id) == sides.utterance_folds.get(free[5].id)
        assert sides.clips[clips[3].id] == sides.clips[clips[2].id]
        assert sides.dropped == {}
    merged = content_of(clips, free + bound).merged
    assert len(merged) == 4
    known = content_of(clips, free, Origins({}, {free[0].id: "file", free[1].id: "file"}))
    assert (free[0].id, free[1].id) in known.merged


def test_a_voice_that_says_one_sentence_of_every_clip_ties_no_clips(
    clips: list[ClipRow], make_utterance: Utterances
) -> None:
    """Synthesis may give the same samples for many clips; what would cross is dropped, with its copies."""
    spoken = [make_utterance(FIRST, clip.id, "v") for clip in clips]
    spoken = [msgspec.structs.replace(row, sha256=spoken[0].sha256) for row in spoken]
    others = [make_utterance(FIRST, clip.id, "w") for clip in clips]
    done = Augmentation(original="", speed=1.0, gain_db=0.0, room_s=0.1, snr_db=20.0)
    copies = [
        msgspec.structs.replace(
            make_utterance(FIRST, row.clip, "copy"), augmented=msgspec.structs.replace(done, original=row.id)
        )
        for row in spoken
    ]
    sides = split_items(SplitTask(clips, spoken + others + copies, content_of(clips, spoken + others + copies), 0.3, 0))
    assert list(sides.clips.values()).count("test") == 3
    assert {sides.utterances.get(row.id) for row in spoken + copies} == {"train", None}
    assert sides.dropped == {"utterances whose content is on the other side of the split": 6}
    assert len({sides.utterance_folds[row.id] for row in spoken if row.id in sides.utterances}) == 1


def test_official_lists_that_put_one_content_on_both_sides(clips: list[ClipRow], make_utterance: Utterances) -> None:
    clips[7] = as_file(clips[7], clips[2])
    clips[4] = as_file(clips[4], clips[3])
    spoken = [make_utterance(FIRST, clip.id, f"v{clip.person}") for clip in clips]
    sequences = [f"{clip.person}-{clip.dish}" for clip in clips]
    official = {"train": sequences[:6], "test": sequences[6:]}
    sides = split_mpii(SplitTask(clips, spoken, content_of(clips, spoken), 0.3, 0), official)
    assert clips[2].id not in sides.clips
    assert sides.clips[clips[7].id] == "test"
    assert sides.clip_folds[clips[3].id] == sides.clip_folds[clips[4].id]
    assert sides.dropped == {
        "training clips of the official lists whose content is in the test list": 1,
        "utterances of clips that were left out": 1,
    }


def test_a_damaged_row_of_the_ledger_is_named(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    with Ledger(place.ledger) as ledger:
        ledger.record(LedgerRow(id="clip/a", status="ok", stage="cut", values={"source_sha256": ["x"]}))
    with pytest.raises(ManifestError, match=r"The row 'clip/a' cannot be used: the value `source_sha256`"):
        read_origins(place)


@pytest.mark.parametrize("split", ["items", "person"])
def test_what_was_merged_is_said_and_recorded(
    tmp_path: Path, clips: list[ClipRow], make_utterance: Utterances, split: str
) -> None:
    spoken = [make_utterance(FIRST, clip.id, f"v{clip.person}") for clip in clips]
    place = written(Workspace(tmp_path), clips, spoken)
    assert make_pairs(place, CLASSES, PairOptions(split=split)).merged == ()
    assert "merged" not in json.loads((place.manifests / "split.json").read_text())
    with Ledger(place.ledger) as ledger:
        for clip in clips:
            values = {"source_sha256": "same" if clip in (clips[3], clips[8]) else clip.id}
            ledger.record(LedgerRow(id=f"clip/{clip.id}", status="ok", stage="cut", values=values))
    clips[8] = msgspec.structs.replace(clips[8], start_frame=clips[3].start_frame, end_frame=clips[3].end_frame)
    written(place, clips, spoken)
    for seed in range(6):
        summary = make_pairs(place, CLASSES, PairOptions(split=split, seed=seed))
        assert summary.merged == ((clips[3].id, clips[8].id),)
        assert summary.leaks == ()
        found = read_split(place)
        assert found is not None
        assert found.merged == summary.merged
        sides = {
            side: {row.clip.id for row in read_rows(place.manifests / f"{side}.jsonl", SplitPairRow)}
            for side in ("train", "test")
        }
        assert any({clips[3].id, clips[8].id} <= there for there in sides.values())


@pytest.mark.parametrize("split", ["items", "person", "pairs"])
@pytest.mark.parametrize("share", [0.001, 0.999])
def test_no_side_is_ever_empty(
    tmp_path: Path, clips: list[ClipRow], make_utterance: Utterances, split: str, share: float
) -> None:
    place = written(Workspace(tmp_path), clips, [make_utterance(FIRST, clip.id, f"v{clip.person}") for clip in clips])
    before = sorted(path.name for path in place.manifests.iterdir())
    if split == "person":  # the nearest that there is
        summary = make_pairs(place, CLASSES, PairOptions(split=split, test_share=share), dry_run=True)
        assert min(summary.train, summary.test) == 1
        return
    for dry_run in (True, False):
        with pytest.raises(
            InputError, match="There would be no pairs to " + ("test" if share < 0.5 else "train")
        ) as no:
            make_pairs(place, CLASSES, PairOptions(split=split, test_share=share), dry_run=dry_run)
        assert "--test-share" in (no.value.next_step or "")
    assert sorted(path.name for path in place.manifests.iterdir()) == before


def test_a_class_on_one_side_only_is_named(tmp_path: Path, make_clip: Clips, make_utterance: Utterances) -> None:
    clips = [make_clip(FIRST, 10 + i, 1, 100 * i + 1) for i in range(4)] + [make_clip(SECOND, 20, 1, 1)]
    place = written(Workspace(tmp_path), clips, [make_utterance(c.class_id, c.id, f"v{c.person}") for c in clips])
    summary = make_pairs(place, CLASSES, PairOptions())
    assert summary.one_sided == (SECOND,)
    assert len(summary.without_file) == 10
    (place.root / clips[0].path).parent.mkdir()
    (place.root / clips[0].path).touch()
    assert {*summary.without_file} - {*make_pairs(place, CLASSES, PairOptions()).without_file} == {clips[0].path}
