from __future__ import annotations

from typing import Any

import msgspec
import pytest
from made_up_answers import answer, keep, verdict

from dataset_tools.decisions.journal import ReviewRow
from dataset_tools.label_studio.annotation_rows import rows_of
from dataset_tools.label_studio.labeled_tasks import is_ours

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


def typed(name: str, number: int) -> dict[str, Any]:
    return answer(name, "number", number=number)


def words(action: str, subject: str, thing: str) -> list[dict[str, Any]]:
    chosen = {"action": action, "subject": subject, "object": thing}
    return [answer(name, "taxonomy", taxonomy=[[key]]) for name, key in chosen.items()]


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
        answer("sentence", "textarea", text=["A person cuts the carrot."]),
    )
    assert (clip.item, clip.id, clip.verdict, clip.content_sha256) == ("clip", DATA["clip_id"], "accept", "a" * 64)
    assert (clip.trim, clip.corrected_class, clip.sentence, clip.note, clip.problem) == (None,) * 5
    assert (clip.annotator, clip.time, clip.lead_time_s) == ("ann@example.com", "2026-11-22T08:00:00.000000Z", 4.5)
    assert clip.shown.class_id == "cut_carrot_knife"
    where = clip.label_studio
    assert (where.server, where.project, where.task, where.annotation, where.review_round) == (
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
    left_over = typed("trim_start", 6), typed("trim_end", 20)  # by one who then accepted: the page hides them
    clip = read(verdict("accept"), *left_over)[0]
    assert (clip.verdict, clip.trim, clip.problem) == ("accept", None, None)
    assert "the whole clip is kept" in str(clip.changed)
    assert read(verdict("accept"), keep(8, 9), *left_over)[0].trim == (201, 202)


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
        ([verdict("trim"), keep(60, 70)], "is outside the clip, which spans frames 1 to 50"),
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
        answer("reason", "choices", choices=["cannot be seen", "broken video"]),
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
        verdict("accept"), answer("speech_verdict", "choices", choices=["accept"]), was_cancelled=True
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


@pytest.mark.parametrize(
    ("left", "lacking"),
    [("action", "no subject and no object"), ("subject", "no action and no object"), ("object", "no action")],
)
def test_a_class_of_which_a_part_was_taken_away_is_named(left: str, lacking: str) -> None:
    chosen = [one for one in words("wash", "apple", "bowl") if one["from_name"] == left]
    clip = read(verdict("accept"), *chosen)[0]
    assert clip.problem is not None
    assert "the class is incomplete" in clip.problem
    assert lacking in clip.problem
    assert clip.corrected_class is None
    assert read(verdict("reject"), *chosen)[0].problem is None


@pytest.mark.parametrize(
    ("given", "kept", "told"),
    [
        ([keep(30, 79)], (223, 272), None),  # the clip itself, in a video of 108 frames that starts at frame 194
        ([keep(20, 60)], (223, 253), "frames 20 to 60, was limited to the clip: 30 to 60"),
        ([typed("trim_start", 40), typed("trim_end", 200)], (233, 272), "frames 40 to 200, was limited"),
        ([typed("trim_start", 40)], (233, 272), None),
        ([keep(0, 109)], (223, 272), "frames 0 to 109, was limited"),
    ],
)
def test_a_range_that_was_cut_to_the_clip_is_told(
    given: list[dict[str, Any]], kept: tuple[int, int], told: str | None
) -> None:
    clip = read(verdict("trim"), *given, data={"interval": [223, 272], "frames": 108})[0]
    assert (clip.trim, clip.problem) == (kept, None)
    assert clip.changed is None if told is None else told in str(clip.changed)


@pytest.mark.parametrize("given", [keep(9, 20), keep(80, 108), keep(200, 300)])
def test_a_range_outside_the_clip_says_which_frames_the_clip_has(given: dict[str, Any]) -> None:
    clip = read(verdict("trim"), given, data={"interval": [223, 272], "frames": 108})[0]
    assert clip.trim is None
    assert clip.problem is not None
    assert "is outside the clip, which spans frames 30 to 79 of the video" in clip.problem


@pytest.mark.parametrize(
    "broken",
    [
        answer("verdict", "choices", choices="accept"),
        answer("trim", "timelinelabels", ranges="x"),
        answer("trim", "timelinelabels", ranges=[{"start": 1}]),
        answer("trim_start", "number", number=1e400),
        answer("sentence", "textarea", text=[{"a": 1}]),
        answer("action", "taxonomy", taxonomy=[["cut"], 3]),
        answer("speech_rating", "rating", rating="five"),
        {"from_name": "note", "value": "x"},
    ],
)
def test_an_answer_of_another_form_is_a_problem_of_that_answer_alone(broken: dict[str, Any]) -> None:
    clip, utterance = read(verdict("reject"), broken)
    assert clip.problem is not None
    assert "cannot be read" in clip.problem
    assert (clip.verdict, utterance.verdict) == (None, None)


@pytest.mark.parametrize(
    ("said", "data", "named"),
    [
        (answer("sentence", "textarea", text=["a " * 10_000 + "b"]), {}, "the sentence has 20,001 characters"),
        (answer("note", "textarea", text=["n" * 501]), {}, "the note has 501 characters"),
        (answer("reason", "choices", choices=["r" * 300, "s" * 300]), {}, "the reasons has 602 characters"),
        (answer("other", "choices"), {"sentence": "s" * 501}, "the sentence that was shown has 501 characters"),
    ],
)
def test_what_is_too_long_is_refused_by_name(said: dict[str, Any], data: dict[str, Any], named: str) -> None:
    clip = read(verdict("accept"), said, data=data)[0]
    assert clip.problem is not None
    assert named in clip.problem
    assert len(msgspec.json.encode(clip)) < 4000
    assert msgspec.json.decode(msgspec.json.encode(clip), type=ReviewRow) == clip
    assert read(verdict("accept"), answer("sentence", "textarea", text=["s" * 500]))[0].sentence == "s" * 500
    assert read(verdict("accept"), data={"sentence": "s" * 500})[0].problem is None


@pytest.mark.parametrize(
    "wrong", [{"result": "x"}, {"result": ["x"]}, {"updated_at": "yesterday"}, {"id": None}, {"completed_by": "x" * 9}]
)
def test_an_annotation_of_another_form_is_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Expected|Invalid"):
        read(verdict("accept"), **wrong)


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
    assert read(verdict("accept"), answer("sentence", "textarea", text=text))[0].sentence == changed


def test_what_was_heard_belongs_to_the_utterance() -> None:
    heard = [answer("speech_verdict", "choices", choices=["reject"]), answer("speech_rating", "rating", rating=2)]
    clip, utterance = read(verdict("accept"), *heard, answer("note", "textarea", text=["muffled"]))
    assert (utterance.verdict, utterance.rating, utterance.note) == ("reject", 2, None)
    assert (clip.verdict, clip.rating, clip.note) == ("accept", None, "muffled")


@pytest.mark.parametrize("lost", [["utterance_id"], ["utterance_sha256"], ["utterance_id", "utterance_sha256"]])
def test_without_an_utterance_there_is_one_row(lost: list[str]) -> None:
    rows = read(verdict("accept"), data=dict.fromkeys(lost))
    assert [row.item for row in rows] == ["clip"]


def test_an_annotation_without_a_result_has_no_verdict() -> None:
    assert read(result=None)[0].problem == "no verdict was given"
    assert [row.verdict for row in read(result=None, was_cancelled=True)] == ["skip", "skip"]


def test_an_export_names_annotators_in_other_ways() -> None:
    assert read(verdict("accept"), completed_by={"id": 5, "email": "bob@example.com"})[0].annotator == "bob@example.com"
    assert read(verdict("accept"), completed_by=8)[0].annotator == "user 8"


def test_a_task_that_somebody_made_by_hand_is_not_ours() -> None:
    assert is_ours({"data": DATA})
    assert not is_ours({"data": {"image": "cat.png"}})
    assert not is_ours({"data": None})
    for name in DATA:  # one that somebody took a field out of is still ours: its decisions are missed
        assert is_ours({"data": {key: value for key, value in DATA.items() if key != name}})
