"""What a model's predictions change in the tasks; no server is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from dataset_tools.classes.reader import load_classes
from dataset_tools.label_studio.labeling_config import control_targets, labeling_config
from dataset_tools.label_studio.media_urls import clip_alone
from dataset_tools.label_studio.predictions import with_predictions
from dataset_tools.label_studio.tasks import Task, make_task
from dataset_tools.manifests import ClipRow, PredictionRow

CLASSES = load_classes()
CONTROLS = control_targets(labeling_config(CLASSES))


def predicted(clips: list[ClipRow], **guesses: tuple[str, float, str]) -> list[Task]:
    """The tasks of clips as with predictions: class, uncertainty and SHA-256 of the clip; by person."""
    known = {one.id: one for one in CLASSES.classes}
    tasks = [make_task(clip, None, known[clip.class_id], CONTROLS, str, clip_alone(clip)) for clip in clips]
    rows = {
        clip.id: PredictionRow(
            id=clip.id, class_id=class_id, clip_sha256=sha256, confidence=0.5, uncertainty=uncertainty, model="fmn@1"
        )
        for clip in clips
        for class_id, uncertainty, sha256 in [guesses[clip.person]]
    }
    return list(with_predictions(tasks, {clip.id: clip for clip in clips}, rows, CLASSES, CONTROLS))


def of_model(task: Task) -> dict[str, Any]:
    (prediction,) = (one for one in task.request()["predictions"] if one["model_version"] == "fmn@1")
    return dict(prediction)


def prefilled(task: Task) -> tuple[str, dict[str, Any]]:
    """The class that the model fills the page with, and the values of its other controls."""
    words, others = [], {}
    for result in of_model(task)["result"]:
        if result["type"] == "taxonomy":
            words += result["value"]["taxonomy"][0]
        else:
            others[result["from_name"]] = result["value"]
    return "_".join(words).removesuffix("_(none)"), others


def test_clips_without_a_usable_prediction_come_first_with_their_own_class(
    clip_factory: Callable[..., ClipRow],
) -> None:
    clips = [clip_factory(number, "cut_carrot_knife") for number in range(1, 5)]
    tasks = predicted(
        clips,
        s01=("wash_apple", 0.25, clips[0].sha256),
        s02=("wash_apple", 0.75, clips[1].sha256),
        s03=("wash_apple", 0.5, "f" * 64),  # of the clip as it was before
        s04=("fly_kite", 0.5, clips[3].sha256),  # no class of the data set
    )
    found = [(task.clip_id[:3], prefilled(task)[0], of_model(task)["score"]) for task in tasks]
    assert found == [
        ("s03", "cut_carrot_knife", 0),
        ("s04", "cut_carrot_knife", 0),
        ("s02", "wash_apple", 0.25),
        ("s01", "wash_apple", 0.75),
    ]


def test_a_predicted_class_keeps_the_range_of_a_trimmed_clip(clip_factory: Callable[..., ClipRow]) -> None:
    whole = clip_factory(1, "cut_carrot_knife")
    clip = msgspec.structs.replace(whole, trim=(whole.start_frame + 4, whole.start_frame + 9))
    (task,) = predicted([clip], s01=("wash_apple", 0.5, clip.sha256))
    class_id, others = prefilled(task)
    assert class_id == "wash_apple"
    assert others["trim"]["ranges"] == [{"start": 1, "end": 6}]  # all of the file, which was cut again
