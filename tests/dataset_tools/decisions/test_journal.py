from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dataset_tools.core.errors import ManifestError, StoppedError
from dataset_tools.core.workspace import Workspace
from dataset_tools.decisions.journal import ReviewRow, append_reviews, read_reviews, reviews_lock, utc

MakeReview = Callable[..., ReviewRow]


def test_what_is_appended_is_read_back_in_order_of_time(tmp_path: Path, make_review: MakeReview) -> None:
    path = tmp_path / "annotations" / "reviews.jsonl"
    assert read_reviews(path) == []
    later, earlier, middle = (make_review(minute=minute) for minute in (9, 1, 5))
    append_reviews(path, [later, earlier])
    before = path.read_bytes()
    append_reviews(path, [middle])
    assert path.read_bytes().startswith(before)
    assert read_reviews(path) == [earlier, middle, later]
    assert path.read_text().count('"schema":"fmn.review/1"') == 3


def test_killed_at_any_byte_no_whole_row_is_lost_and_the_file_goes_on(tmp_path: Path, make_review: MakeReview) -> None:
    path = tmp_path / "reviews.jsonl"
    rows = [make_review(minute=minute, note="ä note") for minute in (1, 2, 3)]
    append_reviews(path, rows[:1])
    kept = path.stat().st_size
    append_reviews(path, rows[1:2])
    whole = path.read_bytes()
    for end in [*range(kept, len(whole) - 3, 29), *range(len(whole) - 3, len(whole) + 1)]:
        path.write_bytes(whole[:end])
        survived = rows[: 2 if end >= len(whole) - 1 else 1]
        assert read_reviews(path) == survived
        append_reviews(path, rows[2:])
        assert read_reviews(path) == [*survived, rows[2]]
        assert path.read_bytes().endswith(b"\n")
        torn = b"".join(file.read_bytes() for file in (tmp_path / "label-studio").glob("torn-*"))
        assert torn == (whole[kept:end] if kept < end < len(whole) - 1 else b"")
        for file in (tmp_path / "label-studio").glob("torn-*"):
            file.unlink()


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path, make_review: MakeReview) -> None:
    path = tmp_path / "reviews.jsonl"
    append_reviews(path, [make_review(minute=1), make_review(minute=2)])
    lines = path.read_text().splitlines()
    for broken in (
        "{",
        '{"id":"x"}',
        lines[0].replace("fmn.review/1", "fmn.review/2"),
        lines[0].replace('"accept"', '"maybe"'),
        lines[0].replace('"time":"', '"time":"on '),
        re.sub('"time":"[^"]*', '"time":"0001-01-01T00:00:00+14:00', lines[0]),
    ):
        path.write_text("\n".join([lines[0], broken, lines[1], ""]))
        with pytest.raises(ManifestError) as raised:
            read_reviews(path)
        assert raised.value.where == f"{path}, line 2"


def test_times_that_were_edited_are_compared_as_times(tmp_path: Path, make_review: MakeReview) -> None:
    path = tmp_path / "reviews.jsonl"
    times = ["2026-11-22T09:30:00+02:00", "2026-11-22T08:00:00.5Z", "2026-11-22T08:00:01"]
    append_reviews(path, [msgspec.structs.replace(make_review(minute=1), time=time) for time in times])
    assert [row.time for row in read_reviews(path)] == [utc(time) for time in times]


def test_on_a_full_disk_the_file_is_as_it_was(
    tmp_path: Path, make_review: MakeReview, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "reviews.jsonl"
    append_reviews(path, [make_review(minute=1)])
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoppedError, match="No space left"):
        append_reviews(path, [make_review(minute=2)])
    assert path.read_bytes() == before


def test_a_second_command_waits_and_then_says_so(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with (
        reviews_lock(workspace),
        pytest.raises(StoppedError, match="Another command"),
        reviews_lock(workspace, wait_s=0.05),
    ):
        pass
    with reviews_lock(workspace, wait_s=0.05):
        pass


def test_times_are_written_so_that_they_sort_as_text() -> None:
    times = ["2026-11-22T07:45:00Z", "2026-11-22T07:45:00.5Z", "2026-11-22T08:46:00+01:00", "2026-11-22T07:47:00"]
    written = [utc(time) for time in times]
    assert written == sorted(written)
    assert written[2] == "2026-11-22T07:46:00.000000Z"


def test_the_key_tells_rows_apart_that_are_not_the_same_decision(make_review: MakeReview) -> None:
    rows = [
        make_review(minute=1),
        make_review(minute=2),
        make_review(minute=1, deleted=True),
        make_review(minute=1, annotation=2),
        make_review(minute=1, item="utterance"),
    ]
    assert all(one.key != other.key for one, other in itertools.combinations(rows, 2))
