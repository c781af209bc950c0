"""What a pull from several projects did, counted once."""

from __future__ import annotations

from pathlib import Path

from dataset_tools.label_studio.pull_summary import PullSummary

FIRST = PullSummary(
    decided_clips=frozenset({"a", "b"}),
    revised_clips=frozenset({"a"}),
    deleted=1,
    rows=5,
    problems=(("a", "ann", "no verdict was given"),),
    raw=Path("first.json"),
    changed=(("b", "ann", "was limited to the clip"),),
    unread=2,
)
SECOND = PullSummary(
    decided_clips=frozenset({"b", "c"}),
    revised_clips=frozenset({"c"}),
    deleted=2,
    rows=4,
    problems=(("c", "bob", "is empty"),),
    unread=3,
)


def test_two_projects_are_summed_and_a_clip_of_both_counts_once() -> None:
    both = FIRST.and_also(SECOND)
    assert both.as_dict() == {
        "decided": 3,
        "revised": 2,
        "deleted": 3,
        "rows": 9,
        "problems": [
            {"clip": "a", "annotator": "ann", "problem": "no verdict was given"},
            {"clip": "c", "annotator": "bob", "problem": "is empty"},
        ],
        "changed": [{"clip": "b", "annotator": "ann", "change": "was limited to the clip"}],
        "unread": 5,
        "raw": "first.json",
        "dry_run": False,
    }
    assert both.text() == "decisions on 3 clips, changed ones on 2 of them, 3 deleted, 2 unusable, 5 not read yet"
    assert FIRST.and_also(PullSummary()).as_dict() == FIRST.as_dict()


def test_a_pull_without_rows_has_nothing_new() -> None:
    assert PullSummary().text() == "nothing new"
    assert PullSummary(dry_run=True).text() == "would pull: nothing new"
    assert PullSummary(unread=1).text() == "1 not read yet"
