"""Reader of Label Studio exports (JSON): ``timelinelabels`` of videos as intervals.

Not to be confused with `dataset_tools.label_studio.export_file`, which reads decisions on the clips of a data set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.corpora.annotations.interval_list import IntervalList, IntervalRows
from dataset_tools.corpora.annotations.json_content import part, read_json
from dataset_tools.corpora.annotations.tiers import label_tier
from dataset_tools.corpora.annotations.video_addresses import is_video, video_of_address

_EXPECTED = "an export of Label Studio as JSON (not JSON-MIN), of tasks with <TimelineLabels> on a <Video>"
_LABELS = "timelinelabels"


class _Range(msgspec.Struct):
    start: int
    end: int


class _Value(msgspec.Struct):
    ranges: list[_Range] = []
    timelinelabels: list[str] = []
    text: list[str] | str = []


class _Result(msgspec.Struct):
    type: str
    value: Any = None
    from_name: str = ""
    id: str = ""


class _Annotation(msgspec.Struct):
    result: list[Any] | None = None
    was_cancelled: bool | None = None
    ground_truth: bool | None = None
    updated_at: str = ""


class _Task(msgspec.Struct):
    data: dict[str, Any]
    annotations: list[_Annotation]
    id: int | str = ""


def read_label_studio(path: Path, *, tier: str | None = None, frame_base: int = 1) -> IntervalList:
    """Reads the ranges of timeline labels, in frames, both ends included.

    Of several annotations of a task, the one marked as ground truth is used, else the latest; skipped ones are ignored.
    Text entered for a region (``perRegion``) is its sentence.

    Args:
        path: the JSON file.
        tier: name of the control that holds the labels, if there are several.
        frame_base: number of the first frame; Label Studio counts from 1.

    Raises:
        InputError: the file cannot be read, a task names no video or several, or a range is invalid.
    """
    rows = IntervalRows(path, _EXPECTED)
    tasks: list[tuple[str, str, list[tuple[_Result, _Value]]]] = []
    for number, entry in enumerate(read_json(path, _EXPECTED, list[Any]), start=1):
        with rows.at(f"task {number} of the file"):
            task = part(entry, _Task)
            place = f"task {str(task.id)[:20] or number}"
            results = [part(result, _Result) for result in _used_results(task, rows)]
            values = [
                (result, part(result.value, _Value)) for result in results if result.type in (_LABELS, "textarea")
            ]
            if any(result.type == _LABELS for result, _ in values):
                tasks.append((place, _video(task), values))
    rows.check()
    counts = Counter(result.from_name for _, _, values in tasks for result, _ in values if result.type == _LABELS)
    control = label_tier(path, counts, tier)
    for place, video, values in tasks:
        sentences: dict[str, list[str]] = {}
        for result, value in values:
            if result.type == "textarea" and result.id:
                texts = [value.text] if isinstance(value.text, str) else value.text
                sentences.setdefault(result.id, []).extend(texts)
        for result, value in values:
            if result.type != _LABELS or result.from_name != control:
                continue
            for label in value.timelinelabels:
                for span in value.ranges:
                    with rows.at(f"{place}, {label[:40]!r} from frame {span.start}"):
                        if span.start < frame_base:
                            raise ValueError(f"it is before the first frame: frames count from {frame_base}")
                        start, end = (frame + 1 - frame_base for frame in (span.start, span.end))
                        words = rows.words_of(label)
                        rows.add(place, video, start, end, words, sentences=sentences.get(result.id, []))
    rows.notes.append(
        "The annotations are from Label Studio: frames are counted at the frameRate of the labeling interface; if that"
        " differs from the videos' frame rate, pass it with --fps."
    )
    return rows.finished(in_seconds=False)


def _used_results(task: _Task, rows: IntervalRows) -> Sequence[Any]:
    """Returns the results of the annotation of a task that is used."""
    answers = [annotation for annotation in task.annotations if not annotation.was_cancelled and annotation.result]
    if not answers:
        return []
    if len(answers) > 1:
        rows.notes.append(f"Task {str(task.id)[:20]} has {len(answers)} annotations: one is used.")
    return max(answers, key=lambda answer: (bool(answer.ground_truth), answer.updated_at)).result or []


def _video(task: _Task) -> str:
    """Returns the video named by a task's data, in exactly one field."""
    found = {name: value for name, value in task.data.items() if isinstance(value, str) and is_video(value)}
    if len(found) != 1:
        raise ValueError(f"its data names {len(found)} videos, not one: {', '.join(found)[:80] or 'none'}")
    return video_of_address(next(iter(found.values())))
