"""Label Studio: timeline labels, addresses of videos, and several annotations of one task."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.interval_list import IntervalList

CONFIG = (
    '<View><Video name="video" value="$video"/><TimelineLabels name="action" toName="video">'
    '<Label value="open door"/><Label value="wave"/></TimelineLabels></View>'
)


def timeline(start: int, end: int, label: str, **more: object) -> dict[str, object]:
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]}
    return {"value": value, "id": "r1", "from_name": "action", "to_name": "video", "type": "timelinelabels", **more}


def label_studio(*results: object, video: str = "/data/local-files/?d=films/kitchen.mp4") -> list[dict[str, object]]:
    times = {"created_at": "2026-11-01T10:00:00.000000Z", "updated_at": "2026-11-01T10:00:00.000000Z"}
    annotation = {"id": 9, "result": list(results), "was_cancelled": False, "ground_truth": False, **times}
    return [{"id": 4, "data": {"video": video, "note": "x"}, "annotations": [annotation], "predictions": []}]


def test_label_studio_counts_frames_from_1_with_both_ends(read: Callable[..., IntervalList], spans: Callable) -> None:
    interface = pytest.importorskip("label_studio_sdk.label_interface")
    task = label_studio(timeline(5, 15, "open door"), timeline(30, 30, "wave", id="r2"))
    assert interface.LabelInterface(CONFIG).validate_annotation(task[0]["annotations"][0])  # type: ignore[index]
    said = {"value": {"text": ["He opens the door."]}, "id": "r1", "from_name": "said", "type": "textarea"}
    task = label_studio(timeline(5, 15, "open door"), said, timeline(30, 30, "wave", id="r2"))
    listed = read(task)
    assert not listed.in_seconds
    assert spans(listed) == [
        ("films/kitchen.mp4", 5, 15, "open", "door", ""),
        ("films/kitchen.mp4", 30, 30, "show", "wave", ""),
    ]
    assert [row.sentences for row in listed.rows] == [("He opens the door.",), ()]
    assert any("frameRate" in note for note in listed.notes)
    (row,) = read(label_studio(timeline(0, 14, "wave")), frame_base=0).rows
    assert (row.start, row.end) == (1, 15)


@pytest.mark.parametrize(
    ("address", "video"),
    [
        ("/data/upload/3/1a2b3c4d-kitchen.mp4", "kitchen.mp4"),
        ("https://example.org/films/kitchen%201.mp4?a=b", "kitchen 1.mp4"),
        ("films/1a2b3c4d-kitchen.mp4", "films/1a2b3c4d-kitchen.mp4"),
        ("s3://bucket/films/kitchen.mov", "kitchen.mov"),
        ("C:\\films\\kitchen.mp4", "kitchen.mp4"),
    ],
)
def test_label_studio_knows_videos_by_addresses(address: str, video: str, read: Callable[..., IntervalList]) -> None:
    (row,) = read(label_studio(timeline(5, 15, "open door"), video=address)).rows
    assert row.video == video


def test_of_several_annotations_of_label_studio_one_counts(read: Callable[..., IntervalList]) -> None:
    (task,) = label_studio(timeline(1, 2, "wave"))
    (first,) = task["annotations"]  # type: ignore[misc]
    later = {**first, "result": [timeline(3, 4, "wave")], "updated_at": "2026-11-02T10:00:00.000000Z"}
    skipped = {**first, "result": [timeline(7, 8, "wave")], "updated_at": "2026-11-09T10:00:00Z", "was_cancelled": True}
    listed = read([{**task, "annotations": [first, later, skipped]}])
    assert [(row.start, row.end) for row in listed.rows] == [(3, 4)]
    assert any("has 2 annotations" in note for note in listed.notes)
    truth = {**first, "ground_truth": True}
    assert [row.start for row in read([{**task, "annotations": [truth, later]}]).rows] == [1]


@pytest.mark.parametrize(
    ("tasks", "found"),
    [
        (label_studio(timeline(0, 15, "wave")), "before the first frame"),
        (label_studio(timeline(9, 5, "wave")), "the end, 5, is before the start, 9"),
        (label_studio(timeline(1, 5, "wave"), video="x.txt"), "its data names 0 videos"),
        (label_studio({"type": "timelinelabels", "value": {"ranges": 3}}), "task 1 of the file: "),
        (label_studio(timeline(1, 5, "wave"), timeline(1, 5, "slow", from_name="speed")), "There are 2 tiers"),
        (label_studio(), "There are 0 tiers"),
    ],
)
def test_label_studio_that_cannot_be_used_is_refused(
    tasks: object, found: str, read: Callable[..., IntervalList]
) -> None:
    with pytest.raises(InputError) as caught:
        read(tasks)
    assert found in caught.value.found
