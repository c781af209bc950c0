"""Labeled tasks as Label Studio lists and exports them: strict parsing of annotations and control values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from dataset_tools.core.count_of import count_of
from dataset_tools.core.path_parts import FileName, Sha256
from dataset_tools.decisions.journal import VERDICTS, Text, Verdict

_Number = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]


class TaskData(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a task that a decision refers to, as `dataset_tools.label_studio.tasks.make_task` wrote them."""

    clip_id: FileName
    clip_sha256: Sha256
    class_id: Text = msgspec.field(name="class")
    first_frame: int
    frames: int
    sentence: str | None = None
    interval: tuple[int, int] | None = None
    source_frames: tuple[int, ...] | None = None
    source_sha256: Sha256 | None = None
    utterance_id: FileName | None = None
    utterance_sha256: Sha256 | None = None
    review_round: int | None = msgspec.field(default=None, name="look")

    def __post_init__(self) -> None:
        if self.source_frames is not None and len(self.source_frames) != self.frames:
            raise ValueError(
                f"`source_frames` has {count_of(len(self.source_frames), 'frame')}, `frames` says {self.frames}"
            )


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """One annotator's answer to a task; ``result`` has one object per control that was used."""

    id: int
    created_at: str
    updated_at: str
    result: list[dict[str, Any]] | None = None
    was_cancelled: bool | None = None
    completed_by: int | dict[str, Any] | None = None
    lead_time: float | None = None
    project: int | None = None


class LabeledTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task that a push made, with its annotations."""

    id: int
    data: TaskData
    project: int | None = None
    annotations: list[Annotation] | None = None


class _Range(msgspec.Struct):
    start: _Number
    end: _Number


class _Value(msgspec.Struct):
    choices: list[str] = []
    taxonomy: list[list[str]] = []
    text: list[str] | str = []
    rating: _Number | None = None
    number: _Number | None = None
    ranges: list[_Range] = []


def is_ours(task: Mapping[str, Any]) -> bool:
    """Whether a task was made by a push; users may add tasks of their own to a project.

    A task that has lost some of its fields still counts as ours: decisions on it must not be ignored silently.
    """
    data = task.get("data")
    return isinstance(data, Mapping) and any(name in data for name in ("clip_id", "clip_sha256"))


class ControlValues:
    """Values of an annotation, by the name of the control.

    Raises:
        msgspec.ValidationError: from every method, if a value does not have the form of its control.
    """

    def __init__(self, results: list[dict[str, Any]]) -> None:
        self._results = results

    def choices(self, control: str) -> tuple[str, ...]:
        return tuple(choice for value in self._values(control) for choice in value.choices)

    def verdict(self, control: str) -> Verdict | None:
        return next((verdict for verdict in VERDICTS if verdict in self.choices(control)), None)

    def leaf(self, control: str) -> str | None:
        """Returns the chosen word of a taxonomy: the last part of its path."""
        return next((path[-1] for value in self._values(control) for path in value.taxonomy if path), None)

    def text(self, control: str) -> str | None:
        lines: list[str] = []
        for value in self._values(control):
            lines += [value.text] if isinstance(value.text, str) else value.text
        return "\n".join(line.strip() for line in lines).strip() or None

    def rating(self, control: str) -> int | None:
        return next((int(value.rating) for value in self._values(control) if value.rating), None)

    def number(self, control: str) -> int | None:
        return next((round(value.number) for value in self._values(control) if value.number is not None), None)

    def ranges(self, control: str) -> list[tuple[int, int]]:
        """Returns the ranges on the timeline, in 1-based frames, both ends included."""
        return [(round(span.start), round(span.end)) for value in self._values(control) for span in value.ranges]

    def _values(self, control: str) -> Iterator[_Value]:
        for result in self._results:
            if result.get("from_name") == control:
                yield msgspec.convert(result.get("value") or {}, _Value)
