"""What the next build makes of people's decisions: clips, classes, sentences, pairs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataset_tools.build.verify import verify_dataset
from dataset_tools.build_record import read_build
from dataset_tools.classes.reader import load_classes
from dataset_tools.core.errors import InputError
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import decide, still_refers
from dataset_tools.manifests import SplitPairRow, read_rows
from dataset_tools.pairs.pair_assignment import PairOptions
from dataset_tools.pairs.pairing import make_pairs

CLASSES = load_classes()
CUT, STIR = "cut_carrot_knife", "stir_onion_spatula"
SENTENCE = "She halves the carrot with a big knife."


def test_the_next_build_follows_what_people_decided(
    built: Any,
    corpus: Corpus,
    tmp_path: Path,
    read_numbers: Callable[[Path], list[int]],
    contents: Callable[[Workspace], dict[str, bytes]],
) -> None:
    before, spoken = built.clip_rows(), built.utterance_rows()
    cutting = [row for row in before.values() if row.class_id == CUT]
    stirring = [row for row in before.values() if row.class_id == STIR]
    trimmed, rejected, moved, worded = cutting
    dropped, accepted, *_ = stirring
    range_kept = (trimmed.start_frame + 5, trimmed.start_frame + 24)
    built.review(trimmed, "trim", trim=range_kept)
    built.review(rejected, "accept", annotator="bob@example.com")  # a tie: the later vote counts
    built.review(rejected, "reject", minute=1, reasons=("cannot be seen",))
    built.review(moved, "accept", minute=2, corrected_class=STIR)
    built.review(worded, "accept", minute=3, sentence=SENTENCE)
    built.review(dropped, "accept", minute=4, corrected_class="other")
    built.review(accepted, "accept", minute=5)
    files = {row.id: (built.root / row.path).stat().st_mtime_ns for row in before.values()}
    said = {row.id: (built.root / row.path).stat().st_mtime_ns for row in spoken.values()}

    summary = built.build(corpus)
    after, heard = built.clip_rows(), built.utterance_rows()
    assert summary.per_class[CUT] == summary.per_class[STIR] == 4
    assert summary.reviewed == {"accept": 4, "reject": 1, "trim": 1}
    assert summary.refused["An annotator rejected the clip"] == 1
    assert summary.conflicts == (rejected.id,)
    assert {rejected.id, dropped.id}.isdisjoint(after)
    assert {rejected.id, dropped.id}.isdisjoint({row.clip for row in heard.values()})

    cut = after[trimmed.id]
    assert (cut.trim, cut.frames, cut.review) == (range_kept, 20, "trim")
    assert (cut.start_frame, cut.end_frame) == (trimmed.start_frame, trimmed.end_frame)
    assert read_numbers(built.root / cut.path) == list(range(range_kept[0], range_kept[1] + 1))
    assert cut.decided_sha256 == trimmed.sha256 != cut.sha256
    stayed = set(before) & set(after) - {trimmed.id}
    assert all((built.root / after[name].path).stat().st_mtime_ns == files[name] for name in stayed)

    assert after[moved.id].class_id == heard[moved.id].class_id == STIR
    assert "onion" in heard[moved.id].text
    assert (built.root / heard[moved.id].path).stat().st_mtime_ns != said[spoken[moved.id].id]
    assert (heard[worded.id].text, heard[worded.id].text_source) == (SENTENCE, "review")
    assert heard[worded.id].sha256 != spoken[worded.id].sha256
    for name in (accepted.id, trimmed.id):
        assert heard[name].sha256 == spoken[name].sha256
        assert (built.root / heard[name].path).stat().st_mtime_ns == said[spoken[name].id]
    verdicts = {name: row.review for name, row in after.items() if row.review is not None}
    assert verdicts == {trimmed.id: "trim", moved.id: "accept", worded.id: "accept", accepted.id: "accept"}
    assert verify_dataset(built).problems == ()

    decisions = decide(read_reviews(reviews_path(built)), "clip")
    kept = (trimmed.id, moved.id, worded.id, accepted.id)
    assert all(still_refers(decisions[name], after[name], heard[name]) for name in kept)
    pairs = make_pairs(built, CLASSES, PairOptions(reviewed=True, test_share=0.5))
    assert (pairs.clips, pairs.utterances, pairs.pairs) == (4, 4, 8)
    rows = [*read_rows(built.manifests / "train.jsonl", SplitPairRow)]
    rows += [*read_rows(built.manifests / "test.jsonl", SplitPairRow)]
    assert {row.clip.id for row in rows} <= set(kept)

    for name in ("pairs.jsonl", "train.jsonl", "test.jsonl", "split.json"):
        (built.manifests / name).unlink()
    first = contents(built)
    built.build(corpus, jobs=1)
    assert contents(built) == first

    anew = type(built)(tmp_path / "anew")  # with the decisions from the start, as after a loss of all that was made
    shutil.copytree(built.annotations, anew.annotations)
    anew.build(corpus)
    made = contents(anew)
    assert {name: made[name] for name in made if "manifests" in name or name == "ledger.jsonl"} == {
        name: first[name] for name in first if "manifests" in name or name == "ledger.jsonl"
    }


def test_one_decision_takes_no_other_clip_out_of_the_set(place: Any, corpus: Corpus) -> None:
    place.build(corpus, per_class=2)
    kept: set[str] = set()
    for minute in range(2):
        before = place.clip_rows()
        victim = next(row for row in before.values() if row.class_id == CUT and row.id not in kept)
        kept |= set(before) - {victim.id}
        place.review(victim, "reject", minute=minute)
        place.build(corpus, per_class=2)
        after = place.clip_rows()
        assert set(before) - {victim.id} < set(after)
        assert len(after) == len(before)


def test_nothing_reviewed_gives_no_pairs(built: Any) -> None:
    assert read_build(built)["reviewed"] == {}
    with pytest.raises(InputError, match="no reviewed and accepted clips"):
        make_pairs(built, CLASSES, PairOptions(reviewed=True))
