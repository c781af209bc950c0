"""Decisions on clips whose footage changed, or that were encoded anew from the same video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dataset_tools.core.files import sha256_of
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.decisions.journal import read_reviews, reviews_path
from dataset_tools.decisions.majority_rule import decide, still_refers
from dataset_tools.label_studio.review_status import status
from dataset_tools.manifests import ClipRow

CUT, STIR = "cut_carrot_knife", "stir_onion_spatula"


def test_a_decision_on_footage_that_changed_is_not_applied(
    built: Any, corpus: Corpus, write_video: Callable[..., Path]
) -> None:
    before = built.clip_rows()
    trimmed, rejected = (row for row in before.values() if row.class_id == CUT and row.person == "s07")
    other = next(row for row in before.values() if row.class_id == CUT and row.person == "s08")
    built.review(trimmed, "trim", trim=(trimmed.start_frame, trimmed.start_frame + 19))
    built.review(rejected, "reject", minute=1)
    built.review(other, "trim", minute=2, trim=(other.start_frame, other.start_frame + 19))
    built.build(corpus)
    assert {trimmed.id: 20, other.id: 20}.items() <= {row.id: row.frames for row in built.clip_rows().values()}.items()

    write_video(corpus.videos["s07-d20-cam-002"], 330, g=50, size=(192, 120))
    built.build(corpus)
    after = built.clip_rows()
    assert set(after) == set(before)
    assert (after[trimmed.id].trim, after[trimmed.id].frames, after[trimmed.id].review) == (None, 40, None)
    assert after[other.id].trim == (other.start_frame, other.start_frame + 19)
    decisions = decide(read_reviews(reviews_path(built)), "clip")
    heard = built.utterance_rows()
    refers = {name: still_refers(one, after[name], heard[name]) for name, one in decisions.items()}
    assert refers == {trimmed.id: False, rejected.id: False, other.id: True}


def test_clips_encoded_anew_from_the_same_video_keep_what_was_decided(
    built: Any,
    corpus: Corpus,
    read_numbers: Callable[[Path], list[int]],
    contents: Callable[[Workspace], dict[str, bytes]],
) -> None:
    before = built.clip_rows()
    trimmed, rejected, accepted, unknown = (row for row in before.values() if row.class_id == CUT)
    range_kept = (trimmed.start_frame + 5, trimmed.start_frame + 24)

    def source(clip: ClipRow) -> dict[str, str]:
        return {"source_sha256": sha256_of(corpus.videos[clip.video])}

    built.review(trimmed, "trim", trim=range_kept, **source(trimmed))
    built.review(rejected, "reject", minute=1, **source(rejected))
    built.review(accepted, "accept", minute=2, **source(accepted))
    built.review(unknown, "accept", minute=3)  # the file is all that is known of what was decided on
    built.build(corpus, short_side=96)

    after, decisions = built.clip_rows(), decide(read_reviews(reviews_path(built)), "clip")
    assert rejected.id not in after
    assert read_numbers(built.root / after[trimmed.id].path) == list(range(range_kept[0], range_kept[1] + 1))
    assert (after[trimmed.id].height, after[accepted.id].height) == (96, 96)
    assert {name: after[name].review for name in (trimmed.id, accepted.id, unknown.id)} == {
        trimmed.id: "trim",
        accepted.id: "accept",
        unknown.id: None,
    }
    assert after[accepted.id].sha256 != accepted.sha256 == after[accepted.id].decided_sha256
    refers = {name: still_refers(decisions[name], after[name], None) for name in decisions if name in after}
    assert refers == {trimmed.id: True, accepted.id: True, unknown.id: False}

    first = contents(built)
    built.build(corpus, jobs=1, short_side=96)
    assert contents(built) == first


def test_a_decision_that_comes_back_after_its_clip_was_encoded_anew_counts(built: Any, corpus: Corpus) -> None:
    seen = built.clip_rows()
    known, unknown = (row for row in seen.values() if row.class_id == CUT and row.person == "s07")
    built.build(corpus, short_side=96)
    built.review(known, "accept", source_sha256=sha256_of(corpus.videos[known.video]))
    built.review(unknown, "accept", minute=1)
    counted = {row.class_id: (row.accepted, row.to_do) for row in status(built).classes}
    assert counted[CUT] == (1, 3)
    built.build(corpus, short_side=96)
    assert {row.id for row in built.clip_rows().values() if row.review == "accept"} == {known.id}
