"""Clip plan: the clips to cut, and the intervals that cannot be cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from dataset_tools.core.errors import ToolkitError
from dataset_tools.manifests import IntervalOrigin, WindowOrigin

if TYPE_CHECKING:
    from dataset_tools.corpora.corpus import Interval
    from dataset_tools.decisions.majority_rule import Decision


@dataclass(frozen=True)
class PlannedClip:
    """A clip to cut: ``start_frame`` to ``end_frame`` of the interval's video, 1-based, both included.

    Attributes:
        class_id: its class: that of the interval, or the one that a person assigned.
        decision: what people decided about it, if that still refers to it. If it has a trim, the trim is cut.
    """

    id: str
    class_id: str
    interval: Interval
    start_frame: int
    end_frame: int
    origin: IntervalOrigin | WindowOrigin
    decision: Decision | None = None

    @property
    def frames(self) -> int:
        return self.end_frame - self.start_frame + 1

    @property
    def trim(self) -> tuple[int, int] | None:
        """First and last source frame to keep, if a person trimmed the clip."""
        return None if self.decision is None else self.decision.trim

    def untrimmed(self) -> PlannedClip:
        """The clip as annotated: what people were shown."""
        return replace(self, decision=None)


@dataclass(frozen=True)
class Refusal:
    """An interval of one of the classes that cannot become a clip; ``clip_id`` if only one window of it cannot.

    ``failed`` may succeed in a later run (once a missing video is there), ``skipped`` will not.
    """

    interval: Interval
    status: Literal["failed", "skipped"]
    reason: ToolkitError
    clip_id: str | None = None

    @property
    def id(self) -> str:
        # Spans can be annotated twice; the index in the annotation file distinguishes the rows.
        return f"{self.clip_id or self.interval.id}#{self.interval.index}"


@dataclass(frozen=True)
class Plan:
    """The clips to cut, and the intervals refused.

    Attributes:
        clips: in order of id. refusals: what cannot become a clip, in order of the annotation file.
        shortfalls: number of clips that a class falls short by.
        left_out: clips that decisions removed from the data set, in order of id; they are among the refusals.
    """

    clips: tuple[PlannedClip, ...]
    refusals: tuple[Refusal, ...]
    shortfalls: Mapping[str, int]
    left_out: tuple[PlannedClip, ...] = ()


def whole_clip(class_id: str, interval: Interval) -> PlannedClip:
    """The clip of a whole interval."""
    return PlannedClip(interval.id, class_id, interval, interval.start_frame, interval.end_frame, IntervalOrigin())
