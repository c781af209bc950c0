"""Label Studio tasks: the data of a clip and its utterance, and prefilled answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from dataset_tools.classes.triplets import ActionClass, ClassFile
from dataset_tools.core.errors import InputError
from dataset_tools.decisions.majority_rule import judged_sha256
from dataset_tools.label_studio.labeling_config import KEEP, NO_OBJECT
from dataset_tools.label_studio.media_urls import ShownVideo
from dataset_tools.manifests import ClipRow, UtteranceRow

PREFILL_VERSION = "annotation"
"""Source of the prefilled class, as Label Studio shows it: the class of the annotated interval."""

CONTENT_FIELDS = (
    "clip_sha256",
    "first_frame",
    "frames",
    "class",
    "sentence",
    "utterance_id",
    "utterance_sha256",
)
"""Fields of a task's data that a decision refers to: if one of them changes, the clip is shown again."""

PREFILL_FIELDS = ("trim",)
"""Fields that only affect the prefill of the page."""


@dataclass(frozen=True)
class Prediction:
    """A model's prefill of a task.

    Attributes:
        model: its name and version. certainty: 0-1; the least certain tasks are shown first.
        prefill: prefilled results of the page.
    """

    model: str
    certainty: float
    prefill: Sequence[Mapping[str, Any]]

    def request(self) -> dict[str, Any]:
        """Returns the prediction in Label Studio's import format."""
        return {"model_version": self.model, "score": self.certainty, "result": list(self.prefill)}


@dataclass(frozen=True)
class Task:
    """An expected task.

    Attributes:
        clip_id: identifies the task together with ``review_round``, which counts from 1 how often the clip is shown.
        data: the task's fields, see `make_task`.
        prefill: prefilled results of the page.
        prediction: prefill by a model, if one is used.
    """

    clip_id: str
    review_round: int
    data: Mapping[str, Any]
    prefill: Sequence[Mapping[str, Any]]
    prediction: Prediction | None = None

    def request(self) -> dict[str, Any]:
        """Returns the task in Label Studio's import format."""
        predictions = [{"model_version": PREFILL_VERSION, "result": list(self.prefill)}] if self.prefill else []
        if self.prediction is not None:
            predictions.append(self.prediction.request())
        return {"data": dict(self.data), "predictions": predictions}


def utterances_to_show(utterances: Iterable[UtteranceRow]) -> dict[str, UtteranceRow]:
    """Returns the utterance to show with each clip, by clip id: recordings before synthesized ones, then by id."""
    shown: dict[str, UtteranceRow] = {}
    for utterance in sorted(utterances, key=lambda row: (row.source != "recorded", row.id)):
        if utterance.clip is not None and utterance.augmented is UNSET:
            shown.setdefault(utterance.clip, utterance)
    return shown


def classes_by_id(classes: ClassFile, clips: Iterable[ClipRow]) -> dict[str, ActionClass]:
    """Returns the classes of the file by id.

    Raises:
        InputError: a clip belongs to none of them.
    """
    known = {one.id: one for one in classes.classes}
    unknown = sorted({clip.class_id for clip in clips} - set(known))
    if unknown:
        raise InputError(
            f"The class file does not have: {', '.join(unknown)}",
            where=classes.path,
            expected="the class file that the data set was built with",
            next_step="name it with --class-file, or run fmn-data build again",
        )
    return known


def make_task(
    clip: ClipRow,
    utterance: UtteranceRow | None,
    action_class: ActionClass,
    controls: Mapping[str, str],
    address: Callable[[str], str],
    video: ShownVideo,
) -> Task:
    """Returns the task that shows a clip for the first time.

    Args:
        clip: the clip.
        utterance: its spoken description, if there is one.
        action_class: the clip's class.
        controls: the controls of the page, each with the name of its object; only those are prefilled.
        address: maps a path of the workspace to a URL.
        video: the video to show.
    """
    title = f"{clip.video} · frames {clip.start_frame}–{clip.end_frame}"
    start, end = video.shown_range(clip.start_frame, clip.end_frame)
    if ((start, end) != (1, video.frames) and clip.trim is None) or start > 1:
        title += f" (here {start}–{end}, what is darker is around it)"
    data: dict[str, Any] = {
        "clip_id": clip.id,
        "look": 1,
        "title": title,
        "range": f"The clip is frames {start} to {end} here: what is kept lies within them.",
        "class": clip.class_id,
        "sentence": "" if utterance is None else utterance.text,
        "video": address(video.path),
        "start_s": round((start - 0.5) / video.fps, 3),  # middle of the clip's first frame: players round differently
        "fps": video.fps,
        "first_frame": video.first_frame,
        "frames": video.frames,
        **({} if video.source_frames is None else {"source_frames": list(video.source_frames)}),
        "interval": [clip.start_frame, clip.end_frame],
        "trim": None if clip.trim is None else list(clip.trim),
        "clip_sha256": judged_sha256(clip),
        "source_sha256": video.source_sha256,
        "speech": "" if utterance is None else address(utterance.path),
        "utterance_id": None if utterance is None else utterance.id,
        "utterance_sha256": None if utterance is None else utterance.sha256,
    }
    return Task(clip.id, 1, data, [*prefilled_class(action_class, controls), *_prefilled_trim(clip, video, controls)])


def prefilled_class(action_class: ActionClass, controls: Mapping[str, str]) -> list[dict[str, Any]]:
    """Returns the results that choose a class on the page, for the controls that it has."""
    words = {"action": action_class.action, "subject": action_class.subject, "object": action_class.object or NO_OBJECT}
    return [
        {"from_name": name, "to_name": controls[name], "type": "taxonomy", "value": {"taxonomy": [[key]]}}
        for name, key in words.items()
        if name in controls
    ]


def _prefilled_trim(clip: ClipRow, video: ShownVideo, controls: Mapping[str, str]) -> list[dict[str, Any]]:
    """Prefills the range kept of a trimmed clip, which is shown whole, so that accepting it again keeps the range."""
    if clip.trim is None or "trim" not in controls:
        return []
    start, end = video.shown_range(*clip.trim)
    value = {"ranges": [{"start": start, "end": end}], "timelinelabels": [KEEP]}
    return [{"from_name": "trim", "to_name": controls["trim"], "type": "timelinelabels", "value": value}]
