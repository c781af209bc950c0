from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.decisions.majority_rule import decide, still_refers
from dataset_tools.manifests import ClipRow, UtteranceRow

MakeReview = Callable[..., ReviewRow]
CLIP = "s00-d21_000101-000160"


def test_one_decision_counts_as_it_is(make_review: MakeReview) -> None:
    row = make_review(minute=1, verdict="trim", trim=(110, 120), corrected_class="wash_apple", sentence="Wash it.")
    decision = decide([row], "clip")[CLIP]
    assert (decision.verdict, decision.trim, decision.class_id, decision.corrected) == (
        "trim",
        (110, 120),
        "wash_apple",
        True,
    )
    assert (decision.sentence, decision.content_sha256, decision.annotator) == ("Wash it.", "a" * 64, "ann@example.com")
    assert (decision.votes, decision.conflict) == (1, False)
    assert decide([row], "utterance") == {}


def test_an_annotators_own_later_word_replaces_the_earlier_one(make_review: MakeReview) -> None:
    changed = [make_review(minute=1), make_review(minute=2, verdict="reject")]
    again = [make_review(minute=1), make_review(minute=2, annotation=2, verdict="reject")]
    for rows in (changed, again):
        decision = decide(rows, "clip")[CLIP]
        assert (decision.verdict, decision.votes, decision.conflict) == ("reject", 1, False)


@pytest.mark.parametrize(
    "fields",
    [{"deleted": True}, {"verdict": "skip"}, {"verdict": None}, {"verdict": "trim", "problem": "no range was drawn"}],
)
def test_what_cannot_count_does_not_and_what_an_annotation_said_before_neither(
    make_review: MakeReview, fields: dict[str, object]
) -> None:
    assert decide([make_review(minute=1), make_review(minute=2, **fields)], "clip") == {}
    other = make_review(minute=0, annotation=2, annotator="bob@example.com", verdict="reject")
    assert decide([other, make_review(minute=1), make_review(minute=2, **fields)], "clip")[CLIP].verdict == "reject"


def votes(make_review: MakeReview, *said: dict[str, object]) -> list[ReviewRow]:
    """One annotation each, one a minute, by annotator 1, 2, …"""
    return [
        make_review(minute=number, annotation=number, annotator=f"{number}@example.com", **fields)
        for number, fields in enumerate(said, start=1)
    ]


ACCEPT, REJECT = {"verdict": "accept"}, {"verdict": "reject"}
TRIM, OTHER_TRIM = {"verdict": "trim", "trim": (110, 120)}, {"verdict": "trim", "trim": (112, 119)}
APPLE = {"verdict": "accept", "corrected_class": "wash_apple"}


@pytest.mark.parametrize(
    ("said", "wins", "conflict"),
    [
        ((ACCEPT, ACCEPT), 2, False),
        ((ACCEPT, REJECT), 2, True),
        ((REJECT, ACCEPT), 2, True),
        ((REJECT, ACCEPT, REJECT), 3, False),
        ((REJECT, REJECT, ACCEPT), 2, False),
        ((ACCEPT, APPLE, REJECT), 3, True),
        ((TRIM, OTHER_TRIM), 2, False),
        ((ACCEPT, TRIM), 2, True),
        ((APPLE, ACCEPT, APPLE, REJECT), 3, False),
        ((REJECT, {"verdict": "reject", "corrected_class": "other"}), 2, False),
    ],
)
def test_most_votes_win_then_the_latest_and_a_tie_is_a_conflict(
    make_review: MakeReview, said: tuple[dict[str, object], ...], wins: int, conflict: bool
) -> None:
    rows = votes(make_review, *said)
    decisions = decide(rows, "clip")
    assert decisions[CLIP].row == rows[wins - 1]
    assert decisions[CLIP].conflict is conflict
    assert decisions[CLIP].votes == len(said)
    assert [name for name, decision in decisions.items() if decision.conflict] == ([CLIP] if conflict else [])


def test_the_order_of_the_rows_does_not_matter(make_review: MakeReview) -> None:
    rows = votes(make_review, ACCEPT, REJECT, TRIM, APPLE, OTHER_TRIM)
    rows += [make_review(minute=30, annotation=2, annotator="2@example.com", deleted=True)]
    shuffled = rows.copy()
    random.Random(0).shuffle(shuffled)
    assert decide(shuffled, "clip") == decide(rows, "clip")


def test_what_was_said_before_the_clip_changed_no_longer_counts(make_review: MakeReview) -> None:
    before = votes(make_review, ACCEPT, ACCEPT)
    after = make_review(
        minute=40,
        annotation=9,
        task=2,
        review_round=2,
        annotator="1@example.com",
        verdict="reject",
        content_sha256="b" * 64,
    )
    decision = decide([*before, after], "clip")[CLIP]
    assert (decision.verdict, decision.votes, decision.conflict) == ("reject", 1, False)
    third_round = make_review(minute=41, annotation=10, task=3, review_round=2, annotator="3@example.com", **REJECT)
    decision = decide([*votes(make_review, ACCEPT, REJECT), third_round], "clip")[CLIP]
    assert (decision.verdict, decision.votes, decision.conflict) == ("reject", 3, False)


@pytest.mark.parametrize(
    ("decided", "clip_now", "text_now", "expected"),
    [
        ({}, {}, None, True),
        ({}, {"sha256": "b" * 64}, None, False),
        ({}, {"class_id": "wash_apple"}, None, False),
        ({}, {}, "Another sentence.", False),
        (TRIM, {"sha256": "b" * 64, "trim": (110, 120)}, None, True),
        (TRIM, {"sha256": "b" * 64, "trim": (111, 120)}, None, False),
        (APPLE, {"class_id": "wash_apple"}, "A sentence about an apple.", True),
        (APPLE, {"class_id": "peel_orange_knife"}, "A sentence about an orange.", False),
        ({"sentence": "Slice it."}, {}, "Slice it.", True),
    ],
)
def test_a_decision_refers_to_the_clip_as_it_was_or_as_the_decision_made_it(
    make_review: MakeReview,
    clip_factory: Callable[..., ClipRow],
    utterance_factory: Callable[[ClipRow], UtteranceRow],
    decided: dict[str, object],
    clip_now: dict[str, object],
    text_now: str | None,
    expected: bool,
) -> None:
    clip = msgspec.structs.replace(clip_factory(0, "cut_carrot_knife"), sha256="a" * 64)
    utterance = msgspec.structs.replace(utterance_factory(clip), text=text_now or "Cut it.")
    decision = decide([make_review(minute=1, **decided)], "clip")[CLIP]
    assert still_refers(decision, msgspec.structs.replace(clip, **clip_now), utterance) is expected
