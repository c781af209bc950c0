"""What a page starts with, and that accepting it again changes nothing."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from label_studio_sdk.label_interface.interface import LabelInterface
from made_up_answers import verdict

from dataset_tools.classes.reader import load_classes
from dataset_tools.label_studio.annotation_rows import rows_of
from dataset_tools.label_studio.labeling_config import control_targets, labeling_config
from dataset_tools.label_studio.media_urls import ShownVideo, clip_alone
from dataset_tools.label_studio.tasks import make_task
from dataset_tools.manifests import ClipRow

CLASSES = load_classes()


def test_a_trimmed_clip_that_is_shown_again_starts_with_its_range(clip_factory: Callable[..., ClipRow]) -> None:
    clip = msgspec.structs.replace(clip_factory(1, "cut_carrot_knife"), trim=(111, 130))
    video = ShownVideo("clips/with-margin/c.mp4", first_frame=72, frames=118, fps=29.4, source_sha256="5" * 64)
    config = labeling_config(CLASSES)
    (one,) = (one for one in CLASSES.classes if one.id == clip.class_id)
    task = make_task(clip, None, one, control_targets(config), str, video)
    (drawn,) = (result for result in task.prefill if result["from_name"] == "trim")
    assert drawn["value"]["ranges"] == [{"start": 40, "end": 59}]
    # the player starts amid the 30th frame shown, the clip's first: source frame 101 of a video from 72 on
    assert clip.start_frame == 101
    assert 29 / 29.4 < task.data["start_s"] < 30 / 29.4
    assert LabelInterface(config).validate_prediction(task.request()["predictions"][0], return_errors=True) == []

    accepted = verdict("accept")
    annotation = {
        "id": 1,
        "completed_by": 1,
        "result": [*task.prefill, accepted],
        "created_at": "2026-11-22T07:00:00Z",
        "updated_at": "2026-11-22T07:00:00Z",
    }
    (row,) = rows_of(
        {"id": 1, "project": 1, "data": dict(task.data), "annotations": [annotation]}, server=None, names={}
    )
    assert (row.verdict, row.trim, row.corrected_class) == ("trim", (111, 130), None)
    assert row.shown.source_sha256 == "5" * 64


def test_a_range_on_a_resampled_clip_names_the_source_frames_seen(
    clip_factory: Callable[..., ClipRow],
) -> None:
    """The clip alone, of a video of variable rate: frame 103 was seen three times as long as the others."""
    shown = (101, 102, 103, 103, 103, 104, 105)
    clip = msgspec.structs.replace(
        clip_factory(1, "cut_carrot_knife"), start_frame=101, end_frame=105, frames=7, source_frames=shown
    )
    task = make_task(clip, None, CLASSES.classes[0], control_targets(labeling_config(CLASSES)), str, clip_alone(clip))
    assert "frames 1 to 7 here" in task.data["range"]
    results = [
        {"from_name": "trim", "type": "timelinelabels", "value": {"ranges": [{"start": 2, "end": 6}]}},
        {"from_name": "verdict", "type": "choices", "value": {"choices": ["trim"]}},
    ]
    times = {"created_at": "2026-11-22T07:00:00Z", "updated_at": "2026-11-22T07:00:00Z"}
    annotation = {"id": 1, "completed_by": 1, "result": results, **times}
    answered = {"id": 1, "project": 1, "data": dict(task.data), "annotations": [annotation]}
    (row,) = rows_of(answered, server=None, names={})
    assert row.trim == (102, 104)
    assert ShownVideo("c.mp4", 101, 7, 25.0, source_frames=shown).shown_range(103, 103) == (3, 5)


def test_a_clip_that_is_as_annotated_starts_without_a_range(clip_factory: Callable[..., ClipRow]) -> None:
    clip = clip_factory(1, "cut_carrot_knife")
    video = ShownVideo("clips/with-margin/c.mp4", first_frame=72, frames=118, fps=29.4)
    (one,) = (one for one in CLASSES.classes if one.id == clip.class_id)
    task = make_task(clip, None, one, control_targets(labeling_config(CLASSES)), str, video)
    assert [result["from_name"] for result in task.prefill] == ["action", "subject", "object"]
