from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError, StoppedError
from dataset_tools.core.workspace import Workspace
from dataset_tools.core.workspace_lock import workspace_lock
from dataset_tools.manifests import ClipRow, PairRow, SplitPairRow, UtteranceRow, read_rows, write_rows
from dataset_tools.pairs.leak_check import find_leaks
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs
from dataset_tools.pairs.same_content import content_of
from dataset_tools.pairs.sides import Sides
from dataset_tools.pairs.split_record import read_split

CLASSES = load_classes()


@pytest.fixture
def with_items(
    tmp_path: Path, make_clip: Callable[..., ClipRow], make_utterance: Callable[..., UtteranceRow]
) -> Callable[[int], Workspace]:
    """Makes a workspace of so many classes × 50 clips × 50 utterances."""

    def make(count: int) -> Workspace:
        clips = [
            make_clip(action_class.id, 10 + (i * 7 + c) % 20, i % 13, 10_000 * c + 100 * i + 1)
            for c, action_class in enumerate(CLASSES.classes[:count])
            for i in range(50)
        ]
        utterances = [make_utterance(clip.class_id, clip.id, f"voice-{clip.person}") for clip in clips]
        place = Workspace(tmp_path)
        write_rows(place.manifests / "clips.jsonl", sorted(clips, key=lambda row: row.id))
        write_rows(place.manifests / "utterances.jsonl", sorted(utterances, key=lambda row: row.id))
        return place

    return make


@pytest.fixture
def workspace(with_items: Callable[[int], Workspace]) -> Workspace:
    return with_items(2)


def test_the_papers_numbers_come_out(with_items: Callable[[int], Workspace]) -> None:
    workspace = with_items(20)
    summary = make_pairs(workspace, CLASSES, PairOptions())
    assert (summary.pairs, summary.train, summary.test, summary.neither) == (50_000, 24_500, 4_500, 21_000)
    assert summary.leaks == ()
    rows = {name: list(read_rows(workspace.manifests / f"{name}.jsonl", SplitPairRow)) for name in ("train", "test")}
    pairs = list(read_rows(workspace.manifests / "pairs.jsonl", PairRow))
    assert Counter(pair.class_id for pair in pairs) == {c.id: 2_500 for c in CLASSES.classes}
    assert {len(rows["train"]), len(rows["test"])} == {24_500, 4_500}
    assert not {r.clip.id for r in rows["train"]} & {r.clip.id for r in rows["test"]}
    assert not {r.utterance.id for r in rows["train"]} & {r.utterance.id for r in rows["test"]}
    assert all(r.clip.class_id == r.utterance.class_id == r.label.id for r in rows["test"])
    assert all(r.fold is None for r in rows["test"])


def test_items_that_were_tested_on_and_are_trained_on_now_are_counted(
    workspace: Workspace, make_clip: Callable[..., ClipRow], make_utterance: Callable[..., UtteranceRow]
) -> None:
    """A class that grows is dealt anew; the others stay as they were."""
    assert make_pairs(workspace, CLASSES, PairOptions()).moved_to_training == 0, "there is no earlier split"
    assert make_pairs(workspace, CLASSES, PairOptions()).moved_to_training == 0
    before = list(read_rows(workspace.manifests / "test.jsonl", SplitPairRow))
    for name, row_type in (("clips", ClipRow), ("utterances", UtteranceRow)):
        path = workspace.manifests / f"{name}.jsonl"
        clip = make_clip(CLASSES.classes[0].id, 31, 1, 900_000)
        new = clip if row_type is ClipRow else make_utterance(clip.class_id, clip.id, "voice-31")
        write_rows(path, sorted([*read_rows(path, row_type), new], key=lambda row: row.id))
    planned = make_pairs(workspace, CLASSES, PairOptions(), dry_run=True)
    summary = make_pairs(workspace, CLASSES, PairOptions())
    trained = list(read_rows(workspace.manifests / "train.jsonl", SplitPairRow))
    moved = {row.clip.id for row in before} & {row.clip.id for row in trained}
    spoken = {row.utterance.id for row in before} & {row.utterance.id for row in trained}
    assert summary.moved_to_training == planned.moved_to_training == len(moved) + len(spoken) > 0
    assert {row.clip.class_id for row in before if row.clip.id in moved} == {CLASSES.classes[0].id}
    (workspace.manifests / "test.jsonl").write_text("damaged")
    assert make_pairs(workspace, CLASSES, PairOptions()).moved_to_training == 0


def test_items_of_the_earlier_test_split_are_counted_in_a_split_of_pairs(workspace: Workspace) -> None:
    make_pairs(workspace, CLASSES, PairOptions())
    before = list(read_rows(workspace.manifests / "test.jsonl", SplitPairRow))
    tested = {row.clip.id for row in before} | {row.utterance.id for row in before}
    planned = make_pairs(workspace, CLASSES, PairOptions(split="pairs"), dry_run=True)
    summary = make_pairs(workspace, CLASSES, PairOptions(split="pairs"))
    trained = list(read_rows(workspace.manifests / "train.jsonl", SplitPairRow))
    moved = tested & ({row.clip.id for row in trained} | {row.utterance.id for row in trained})
    assert summary.moved_to_training == planned.moved_to_training == len(moved) > 0
    assert make_pairs(workspace, CLASSES, PairOptions(split="pairs")).moved_to_training == 0, "nothing has changed"


def test_memory_does_not_grow_with_the_pairs_that_are_compared_with_the_earlier_test(
    with_items: Callable[[int], Workspace], peak_bytes: Callable[..., int]
) -> None:
    """35,000 training pairs, a list of which took 6 MB; all else takes 3 MB."""
    workspace = with_items(20)
    make_pairs(workspace, CLASSES, PairOptions())
    leaky = PairOptions(split="pairs")
    assert peak_bytes(lambda: make_pairs(workspace, CLASSES, leaky, dry_run=True), limit=5e6) < 5e6


def test_pairs_are_not_made_beside_another_command(workspace: Workspace) -> None:
    with workspace_lock(workspace.root):
        with pytest.raises(StoppedError, match="Another command is working"):
            make_pairs(workspace, CLASSES, PairOptions())
        assert make_pairs(workspace, CLASSES, PairOptions(), dry_run=True).train == 2_450
    assert not (workspace.manifests / "pairs.jsonl").exists()


def test_a_kill_leaves_no_test_items_of_an_earlier_split(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    make_pairs(workspace, CLASSES, PairOptions(seed=1))
    before = {path.name: path.read_bytes() for path in workspace.manifests.iterdir()}

    def killed(*_: object) -> None:  # or the disk is full
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dataset_tools.pairs.pairing.write_split", killed)
        with pytest.raises(KeyboardInterrupt):
            make_pairs(workspace, CLASSES, PairOptions(seed=2))
    assert {path.name: path.read_bytes() for path in workspace.manifests.iterdir()} == before

    replace = Path.replace

    def killed_between(path: Path, target: Path) -> Path:
        if target == workspace.manifests / "test.jsonl":
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", killed_between)
    with pytest.raises(KeyboardInterrupt):
        make_pairs(workspace, CLASSES, PairOptions(seed=2))
    there = {path.name for path in workspace.manifests.iterdir()}
    assert there == {"clips.jsonl", "utterances.jsonl", "pairs.jsonl", "train.jsonl"}


def test_how_it_was_dealt_is_recorded(workspace: Workspace) -> None:
    summary = make_pairs(workspace, CLASSES, PairOptions(split="person", seed=3), dry_run=True)
    assert read_split(workspace) is None
    make_pairs(workspace, CLASSES, PairOptions(split="person", seed=3))
    found = read_split(workspace)
    assert found is not None
    assert (found.split, found.test_share, found.seed, found.reviewed) == ("person", 0.3, 3, False)
    assert (found.train, found.test, found.dropped) == (summary.train, summary.test, dict(summary.dropped))


def test_no_item_of_fold_0_appears_in_another_fold(workspace: Workspace) -> None:
    make_pairs(workspace, CLASSES, PairOptions())
    rows = list(read_rows(workspace.manifests / "train.jsonl", SplitPairRow))
    in_other_folds = {item.id for r in rows if r.fold != 0 for item in (r.clip, r.utterance)}
    only_fold_0 = {item.id for r in rows for item in (r.clip, r.utterance)} - in_other_folds
    assert {r.fold for r in rows} == {0, 1, 2, 3, 4}
    assert len(only_fold_0) == 2 * (7 + 7)
    assert all(r.fold == 0 for r in rows if r.clip.id in only_fold_0 or r.utterance.id in only_fold_0)


@pytest.mark.parametrize("split", ["items", "person", "pairs"])
def test_same_seed_same_bytes_another_seed_other_bytes(workspace: Workspace, split: str) -> None:
    def contents(seed: int) -> list[bytes]:
        make_pairs(workspace, CLASSES, PairOptions(split=split, seed=seed))
        return [(workspace.manifests / f"{name}.jsonl").read_bytes() for name in ("pairs", "train", "test")]

    first = contents(0)
    other = contents(1)
    assert contents(0) == first
    assert other[0] == first[0]
    assert other[1] != first[1]


def test_the_papers_reading_deals_pairs_and_puts_items_on_both_sides(workspace: Workspace) -> None:
    summary = make_pairs(workspace, CLASSES, PairOptions(split="pairs"))
    assert (summary.train, summary.test, summary.neither) == (3_500, 1_500, 0)
    rows = {name: [*read_rows(workspace.manifests / f"{name}.jsonl", SplitPairRow)] for name in ("train", "test")}
    assert (len(rows["train"]), len(rows["test"])) == (3_500, 1_500)
    assert {row.clip.id for row in rows["train"]} == {row.clip.id for row in rows["test"]}


def test_pairs_are_every_clip_with_every_utterance_of_its_class(
    tmp_path: Path, make_clip: Callable[..., ClipRow], make_utterance: Callable[..., UtteranceRow]
) -> None:
    first, second = (c.id for c in CLASSES.classes[:2])
    clips = [make_clip(first, 10, 1, 1), make_clip(first, 11, 1, 1, window=(1, 2)), make_clip(second, 12, 1, 1)]
    utterances = [make_utterance(c, None, "v", n) for c in (first, second) for n in range(3)]
    place = Workspace(tmp_path)
    write_rows(place.manifests / "clips.jsonl", sorted(clips, key=lambda row: row.id))
    write_rows(place.manifests / "utterances.jsonl", sorted(utterances, key=lambda row: row.id))
    make_pairs(place, CLASSES, PairOptions())
    written = {(row.clip, row.utterance) for row in read_rows(place.manifests / "pairs.jsonl", PairRow)}
    assert written == {(c.id, u.id) for c, u in itertools.product(clips, utterances) if c.class_id == u.class_id}


def test_reviewed_takes_accepted_items_only(workspace: Workspace) -> None:
    path = workspace.manifests / "clips.jsonl"
    clips = [
        msgspec.structs.replace(row, review="accept" if number % 2 else "reject")
        for number, row in enumerate(read_rows(path, ClipRow))
    ]
    write_rows(path, clips)
    with pytest.raises(InputError, match="no reviewed and accepted utterances"):
        make_pairs(workspace, CLASSES, PairOptions(reviewed=True))
    path = workspace.manifests / "utterances.jsonl"
    write_rows(path, [msgspec.structs.replace(row, review="accept") for row in list(read_rows(path, UtteranceRow))])
    assert make_pairs(workspace, CLASSES, PairOptions(reviewed=True)).clips == 50


def test_reviewed_counts_what_it_leaves_out(workspace: Workspace, make_utterance: Callable[..., UtteranceRow]) -> None:
    clips = list(read_rows(workspace.manifests / "clips.jsonl", ClipRow))
    heard = list(read_rows(workspace.manifests / "utterances.jsonl", UtteranceRow))
    rejected = {clip.id for clip in clips[:3]}
    write_rows(
        workspace.manifests / "clips.jsonl",
        [msgspec.structs.replace(row, review="reject" if row.id in rejected else "accept") for row in clips],
    )
    unheard = [make_utterance(heard[0].class_id, None, "anna", number) for number in range(2)]  # of a class: not shown
    rows = [*(msgspec.structs.replace(row, review="accept") for row in heard), *unheard]
    write_rows(workspace.manifests / "utterances.jsonl", sorted(rows, key=lambda row: row.id))
    summary = make_pairs(workspace, CLASSES, PairOptions(reviewed=True))
    assert summary.as_dict()["not_accepted"] == {"clips": 3, "utterances": 3, "class_utterances": 2}
    assert (summary.clips, summary.utterances) == (97, 97)
    unreviewed = make_pairs(workspace, CLASSES, PairOptions())
    assert set(unreviewed.as_dict()["not_accepted"].values()) == {0}


def test_recordings_of_classes_cannot_be_reviewed_and_the_error_says_so(
    workspace: Workspace, make_utterance: Callable[..., UtteranceRow]
) -> None:
    path = workspace.manifests / "clips.jsonl"
    write_rows(path, [msgspec.structs.replace(row, review="accept") for row in list(read_rows(path, ClipRow))])
    recorded = [make_utterance(one.id, None, "anna") for one in CLASSES.classes[:2]]
    write_rows(workspace.manifests / "utterances.jsonl", sorted(recorded, key=lambda row: row.id))
    with pytest.raises(InputError, match="no reviewed and accepted utterances") as refused:
        make_pairs(workspace, CLASSES, PairOptions(reviewed=True))
    assert "under the ids of clips" in str(refused.value.next_step)


def test_a_dry_run_counts_and_writes_nothing(workspace: Workspace) -> None:
    before = sorted(path.name for path in workspace.manifests.iterdir())
    assert make_pairs(workspace, CLASSES, PairOptions(), dry_run=True).train == 2_450
    assert sorted(path.name for path in workspace.manifests.iterdir()) == before


def test_mpii_takes_the_official_lists_from_the_build(workspace: Workspace) -> None:
    sequences = sorted({f"{c.person}-{c.dish}" for c in read_rows(workspace.manifests / "clips.jsonl", ClipRow)})
    official = {"train": sequences[::2], "test": sequences[1::2]}
    (workspace.manifests / "build.json").write_text(json.dumps({"official_split": official, "stand_in": {"seed": 0}}))
    summary = make_pairs(workspace, CLASSES, PairOptions(split="mpii"))
    assert summary.is_standin
    rows = read_rows(workspace.manifests / "test.jsonl", SplitPairRow)
    assert {f"{r.clip.person}-{r.clip.dish}" for r in rows} <= set(official["test"])


def test_a_leak_is_found(make_clip: Callable[..., ClipRow], make_utterance: Callable[..., UtteranceRow]) -> None:
    clips = {c.id: c for c in (make_clip("a", 10, 1, 1, window=(w, 2)) for w in (1, 2))}
    utterances = {u.id: u for u in (make_utterance("a", clip_id, "v") for clip_id in clips)}
    one, two = clips
    spoken_one, spoken_two = utterances
    clip_sides = {one: "train", two: "test"}
    utterance_sides = {spoken_one: "train", spoken_two: "test"}
    split = Sides(clip_sides, utterance_sides, {}, {})
    content = content_of([*clips.values()], [*utterances.values()])
    assert find_leaks(clips, utterances, content, split, "items") == ("interval s10-d01_000001-000050",)
    assert find_leaks(clips, utterances, content, split, "person") == (
        "interval s10-d01_000001-000050",
        "person s10",
        "voice v",
    )
    together = dataclasses.replace(
        split, clips=dict.fromkeys(clips, "train"), utterances=dict.fromkeys(utterances, "train")
    )
    assert find_leaks(clips, utterances, content, together, "person") == ()


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 30])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(InputError, match="test share"):
        PairOptions(test_share=share)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(InputError, match="no split 'perso'"):
        PairOptions(split="perso")  # type: ignore[arg-type]


def test_no_items_says_what_to_run(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    write_rows(place.manifests / "clips.jsonl", [])
    write_rows(place.manifests / "utterances.jsonl", [])
    with pytest.raises(InputError, match="no clips to pair") as caught:
        make_pairs(place, CLASSES, PairOptions())
    assert "fmn-data build" in (caught.value.next_step or "")
