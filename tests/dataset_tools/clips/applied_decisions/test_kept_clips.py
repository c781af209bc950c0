"""Planning with decisions: clips that people kept, or moved to another class, stay in the data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from dataset_tools.classes.reader import load_classes
from dataset_tools.clips.clip_plan import Plan
from dataset_tools.clips.planning import plan_clips
from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.decisions.majority_rule import decide

CLASSES = load_classes()
CUT, STIR, WASH = "cut_carrot_knife", "stir_onion_spatula", "wash_apple"


def ids(plan: Plan) -> set[str]:
    return {clip.id for clip in plan.clips}


def reasons(plan: Plan) -> dict[str, tuple[str, str]]:
    return {refusal.interval.id: (refusal.status, refusal.reason.found) for refusal in plan.refusals}


def test_a_clip_that_people_kept_is_not_displaced_by_one_that_overlaps_it(
    make_interval: Callable, make_corpus: Callable, make_review: Callable[..., ReviewRow]
) -> None:
    """Such as one of a class that was added since: classes with few intervals choose first."""
    kept, far = make_interval("s07-d20", 1, 50), make_interval("s07-d20", 101, 150)
    added = make_interval("s07-d20", 31, 90, "wash", "apple")
    corpus = make_corpus([kept, far, added])

    def planned(**fields: Any) -> Plan:
        shown = {"class_id": CUT, "sentence": ""}
        decisions = decide([make_review(minute=1, id=kept.id, shown=shown, **fields)], "clip") if fields else {}
        return plan_clips(corpus, CLASSES, per_class=2, decisions=decisions)

    assert ids(planned()) == {far.id, added.id}
    plan = planned(verdict="accept")
    assert ids(plan) == {kept.id, far.id}
    assert reasons(plan)[added.id] == ("skipped", f"The interval overlaps one that was chosen: {kept.id}")
    assert ids(planned(verdict="reject")) == {far.id, added.id}
    assert ids(planned(corrected_class="other")) == {far.id, added.id}
    both = [
        make_review(minute=1, annotation=number, id=one.id, shown={"class_id": label})
        for number, (one, label) in enumerate([(kept, CUT), (added, WASH)])
    ]
    decided = plan_clips(corpus, CLASSES, per_class=2, decisions=decide(both, "clip"))
    assert ids(decided) == {far.id, added.id}  # both kept, in two builds: the one that is selected anyway stays


def test_a_clip_that_people_moved_to_a_class_stays_there_without_the_class_that_it_comes_from(
    make_interval: Callable, make_corpus: Callable, make_review: Callable[..., ReviewRow]
) -> None:
    cut, moved = make_interval("s07-d20", 1, 50), make_interval("s07-d20", 101, 150, "wash", "apple")
    overlaps = make_interval("s07-d20", 131, 190)
    of_cutting = replace(CLASSES, classes=tuple(one for one in CLASSES.classes if one.id == CUT))

    def planned(*later: ReviewRow, **fields: Any) -> Plan:
        reviews = [make_review(minute=1, id=moved.id, shown={"class_id": WASH}, **fields), *later]
        return plan_clips(
            make_corpus([cut, moved, overlaps]), of_cutting, per_class=2, decisions=decide(reviews, "clip")
        )

    plan = planned(corrected_class=CUT)
    assert [(clip.id, clip.class_id) for clip in plan.clips] == [(cut.id, CUT), (moved.id, CUT)]
    assert reasons(plan)[overlaps.id] == ("skipped", f"The interval overlaps one that was chosen: {moved.id}")
    for others in ({}, {"corrected_class": STIR}, {"verdict": "reject"}):
        assert ids(planned(**others)) == {cut.id, overlaps.id}
    confirmed = make_review(minute=2, annotation=2, review_round=2, id=moved.id, shown={"class_id": CUT})
    assert ids(planned(confirmed, corrected_class=CUT)) == {cut.id, moved.id}  # it was shown again in its new class
    lost = make_interval("s09-d20", 1, 50, "wash", "apple")
    review = make_review(minute=1, id=lost.id, shown={"class_id": WASH}, corrected_class=CUT)
    corpus = make_corpus([cut, lost], {cut.video: Path("cut.avi")})
    missing = plan_clips(corpus, of_cutting, per_class=2, decisions=decide([review], "clip"))
    assert reasons(missing)[lost.id] == ("failed", f"The video is missing: {lost.video_file}")
