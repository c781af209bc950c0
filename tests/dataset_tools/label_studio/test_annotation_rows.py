from __future__ import annotations

from typing import Any

import pytest

from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.label_studio.annotation_rows import is_ours, rows_of

DATA = {
    "clip_id": "s07-d72_000194-000243",
    "look": 2,
    "class": "cut_carrot_knife",
    "sentence": "A person cuts the carrot.",
    "fps": 29.4,
    "first_frame": 194,
    "frames": 50,
    "clip_sha256": "a" * 64,
    "utterance_id": "s07-d72_000194-000243_en-f1",
    "utterance_sha256": "b" * 64,
}


def result(name: str, kind: str, **value: Any) -> dict[str, Any]:
    return {"from_name": name, "to_name": "video", "type": kind, "value": value}


def verdict(choice: str) -> dict[str, Any]:
    return result("verdict", "choices", choices=[choice])


def keep(start: float, end: float) -> dict[str, Any]:
    return result("trim", "timelinelabels", ranges=[{"start": start, "end": end}], timelinelabels=["keep"])


def typed(name: str, number: int) -> dict[str, Any]:
    return result(name, "number", number=number)


def words(action: str, subject: str, thing: str) -> list[dict[str, Any]]:
    chosen = {"action": action, "subject": subject, "object": thing}
    return [result(name, "taxonomy", taxonomy=[[key]]) for name, key in chosen.items()]


def read(*results: dict[str, Any], data: dict[str, Any] | None = None, **annotation: Any) -> list[ReviewRow]:
    given = {
        "id": 31,
        "completed_by": 5,
        "result": list(results),
        "was_cancelled": False,
        "created_at": "2026-11-22T07:00:00.000001Z",
        "updated_at": "2026-11-22T08:00:00Z",
        "lead_time": 4.5,
        "project": 3,
        "task": 12,
    }
    task = {"id": 12, "project": 3, "data": {**DATA, **(data or {})}, "annotations": [{**given, **annotation}]}
    return list(rows_of(task, server="http://127.0.0.1:8080", names={5: "ann@example.com"}))


def test_two_keys_accept_a_clip_and_leave_the_utterance_unjudged() -> None:
    # what the page sends after 1 and Ctrl+Enter: the prefilled class, the verdict, the prefilled sentence
    clip, utterance = read(
        *words("cut", "carrot", "knife"),
        verdict("accept"),
        result("sentence", "textarea", text=["A person cuts the carrot."]),
    )
    assert (clip.item, clip.id, clip.verdict, clip.content_sha256) == ("clip", DATA["clip_id"], "accept", "a" * 64)
    assert (clip.trim, clip.corrected_class, clip.sentence, clip.note, clip.problem) == (None,) * 5
    assert (clip.annotator, clip.time, clip.lead_time_s) == ("ann@example.com", "2026-11-22T08:00:00.000000Z", 4.5)
    assert clip.shown.class_id == "cut_carrot_knife"
    where = clip.label_studio
    assert (where.server, where.project, where.task, where.annotation, where.look) == (
        "http://127.0.0.1:8080",
        3,
        12,
        31,
        2,
    )
    assert (utterance.item, utterance.id, utterance.content_sha256) == ("utterance", DATA["utterance_id"], "b" * 64)
    assert utterance.verdict is None


@pytest.mark.parametrize(
    ("start", "end", "source"),
    [
        (1, 50, (194, 243)),
        (1, 1, (194, 194)),
        (6, 20, (199, 213)),
        (50, 50, (243, 243)),
        (0, 51, (194, 243)),
        (5.9999, 20.0001, (199, 213)),
    ],
)
def test_a_range_on_the_timeline_becomes_source_frames(start: float, end: float, source: tuple[int, int]) -> None:
    clip = read(verdict("trim"), keep(start, end))[0]
    assert (clip.verdict, clip.trim, clip.problem) == ("trim", source, None)


def test_a_range_may_be_typed_too() -> None:
    assert read(verdict("trim"), typed("trim_start", 6), typed("trim_end", 20))[0].trim == (199, 213)
    assert read(verdict("trim"), typed("trim_start", 6))[0].trim == (199, 243)
    assert read(verdict("trim"), typed("trim_end", 20))[0].trim == (194, 213)
    assert read(verdict("trim"), keep(6, 20), typed("trim_start", 6), typed("trim_end", 20))[0].trim == (199, 213)


def test_who_accepts_and_draws_a_range_wants_that_range() -> None:
    clip = read(verdict("accept"), keep(6, 20))[0]
    assert (clip.verdict, clip.trim) == ("trim", (199, 213))


@pytest.mark.parametrize(
    ("results", "problem"),
    [
        ([verdict("trim")], "no range to keep was given"),
        ([verdict("trim"), keep(1, 5), keep(9, 12)], "several ranges to keep were given"),
        ([verdict("accept"), keep(1, 5), keep(9, 12)], "several ranges to keep were given"),
        ([verdict("trim"), keep(6, 20), typed("trim_end", 20)], "frames 6 to 20, frames 1 to 20"),
        ([verdict("trim"), keep(60, 70)], "lies outside the video"),
        ([verdict("trim"), typed("trim_start", 20), typed("trim_end", 6)], "is empty"),
        ([], "no verdict was given"),
        ([verdict("maybe")], "no verdict was given"),
    ],
)
def test_what_cannot_be_used_says_why(results: list[dict[str, Any]], problem: str) -> None:
    clip = read(*results)[0]
    assert clip.problem is not None
    assert problem in clip.problem
    assert clip.trim is None


def test_a_rejected_clip_has_reasons_and_no_trim() -> None:
    clip = read(
        verdict("reject"),
        result("reason", "choices", choices=["cannot be seen", "broken video"]),
        keep(1, 5),
        keep(9, 12),
    )[0]
    assert (clip.verdict, clip.reasons, clip.trim, clip.problem) == (
        "reject",
        ("cannot be seen", "broken video"),
        None,
        None,
    )


def test_a_skipped_task_is_a_skip_whatever_else_is_there() -> None:
    clip, utterance = read(
        verdict("accept"), result("speech_verdict", "choices", choices=["accept"]), was_cancelled=True
    )
    assert (clip.verdict, utterance.verdict, clip.problem) == ("skip", "skip", None)


@pytest.mark.parametrize(
    ("chosen", "corrected"),
    [
        (("cut", "carrot", "knife"), None),
        (("cut", "carrot", "(none)"), "cut_carrot"),
        (("take-out", "frying-pan", "plate"), "take-out_frying-pan_plate"),
        (("cut", "other", "knife"), "other"),
    ],
)
def test_the_class_as_corrected(chosen: tuple[str, str, str], corrected: str | None) -> None:
    assert read(verdict("accept"), *words(*chosen))[0].corrected_class == corrected


def test_a_class_that_was_not_asked_for_is_not_corrected() -> None:
    assert read(verdict("accept"), *words("wash", "apple", "(none)")[:1])[0].corrected_class is None


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        (["A person cuts the carrot."], None),
        (["  A person cuts the carrot. "], None),
        (["Somebody slices it."], "Somebody slices it."),
        ("Somebody slices it.", "Somebody slices it."),
        ([""], None),
    ],
)
def test_the_sentence_as_changed(text: Any, changed: str | None) -> None:
    assert read(verdict("accept"), result("sentence", "textarea", text=text))[0].sentence == changed


def test_what_was_heard_belongs_to_the_utterance() -> None:
    heard = [result("speech_verdict", "choices", choices=["reject"]), result("speech_rating", "rating", rating=2)]
    clip, utterance = read(verdict("accept"), *heard, result("note", "textarea", text=["muffled"]))
    assert (utterance.verdict, utterance.rating, utterance.note) == ("reject", 2, None)
    assert (clip.verdict, clip.rating, clip.note) == ("accept", None, "muffled")


def test_without_an_utterance_there_is_one_row() -> None:
    rows = read(verdict("accept"), data={"utterance_id": None, "utterance_sha256": None})
    assert [row.item for row in rows] == ["clip"]


def test_an_export_names_annotators_in_other_ways() -> None:
    assert read(verdict("accept"), completed_by={"id": 5, "email": "bob@example.com"})[0].annotator == "bob@example.com"
    assert read(verdict("accept"), completed_by=8)[0].annotator == "user 8"


def test_a_task_that_somebody_made_by_hand_is_not_ours() -> None:
    assert is_ours({"data": DATA})
    assert not is_ours({"data": {"image": "cat.png"}})
    assert not is_ours({"data": {**DATA, "clip_sha256": None}})
