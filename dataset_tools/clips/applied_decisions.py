"""Application of review decisions to clip selection: kept, moved and rejected clips, and their replacements.

The selection made without decisions is kept, so that a decision on one clip does not remove another one, on which
somebody may have worked, from the data set. Clips that people keep take precedence over clips without a decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from dataset_tools.clips.clip_plan import PlannedClip, Refusal, whole_clip
from dataset_tools.clips.interval_selection import IntervalSampler
from dataset_tools.core.errors import SampleError
from dataset_tools.decisions.majority_rule import Decision

REJECTED = "An annotator rejected the clip"
MOVED = "An annotator assigned the clip to another class"
"""Reasons, with which a clip is left out, as the ledger has them: followed by details."""
OF_ALL_CLASSES = "of_all_classes"
"""Value in the ledger rows of decisions that a build did not use; earlier versions ignored clips of unused classes."""


def apply_decisions(
    chosen: Mapping[str, list[PlannedClip]],
    samplers: Mapping[str, IntervalSampler],
    outside: IntervalSampler,
    decisions: Mapping[str, Decision],
    per_class: int,
) -> tuple[dict[str, list[PlannedClip]], list[PlannedClip], list[Refusal]]:
    """Applies decisions to a selection.

    Rejected clips are removed, and so are those assigned to a class outside the set; those assigned to another class
    move there. Clips that people kept are included even if the selection would now skip them. If a class has too many,
    those without a decision are removed first, the last chosen before others. Free places are filled from ``samplers``.

    Args:
        chosen: the clips of every class as chosen without decisions, in the order of choice.
        samplers: iterators over further intervals of every class.
        outside: over the intervals of none of the classes that decisions assign to one.
        decisions: by clip id; only those that still refer to their clip.
        per_class: number of places in a class.

    Returns:
        The clips of every class; those left out because of decisions; and a refusal for each of the latter.
    """
    classes = _Classes(dict.fromkeys(chosen, ()), decisions, per_class)
    for clip in chain.from_iterable(chosen.values()):
        classes.add(clip)
    for clip in _passed_over((*samplers.values(), outside), decisions, classes):
        classes.add(clip)
    classes.make_room()
    for class_id, sampler in samplers.items():
        while len(classes.members[class_id]) < per_class and (interval := next(sampler, None)) is not None:
            classes.add(whole_clip(class_id, interval))
    return classes.members, classes.left_out, classes.refusals


class _Classes:
    """The members of every class, as they are collected."""

    def __init__(self, class_ids: Mapping[str, object], decisions: Mapping[str, Decision], per_class: int) -> None:
        self.members: dict[str, list[PlannedClip]] = {class_id: [] for class_id in class_ids}
        self.left_out: list[PlannedClip] = []
        self.refusals: list[Refusal] = []
        self._decisions = decisions
        self._per_class = per_class

    def add(self, clip: PlannedClip) -> None:
        """Adds a clip to the class that its decision assigns it to, or leaves it out."""
        decision = self._decisions.get(clip.id)
        if decision is None or _is_outdated(decision, self.members):
            self.members[clip.class_id].append(clip)
            return
        clip = replace(clip, decision=decision)
        if decision.verdict == "reject":
            why = ", ".join(decision.row.reasons)
            self._leave_out(clip, f"{REJECTED}{': ' * bool(why)}{why}")
        elif decision.class_id not in self.members:
            self._leave_out(clip, f"{MOVED}: {decision.class_id}")
        else:
            self.members[decision.class_id].append(replace(clip, class_id=decision.class_id))

    def make_room(self) -> None:
        """Removes the lowest-priority members of classes that have more members than places."""
        for class_id, members in self.members.items():
            wanted = sorted(members, key=lambda clip: clip.decision is None)  # stable: the first chosen stay first
            self.members[class_id] = wanted[: self._per_class]
            for clip in wanted[self._per_class :]:
                if clip.decision is not None:
                    self._leave_out(clip, f"The class of the clip is full: {class_id}")

    def _leave_out(self, clip: PlannedClip, found: str) -> None:
        self.left_out.append(clip)
        reason = SampleError(found, where=clip.id, expected="an accepted clip of a class that has a place")
        clip_id = clip.id if clip.id != clip.interval.id else None
        self.refusals.append(Refusal(clip.interval, "skipped", reason, clip_id))


def _is_outdated(decision: Decision, class_ids: Collection[str]) -> bool:
    """Whether a decision confirms a class that the class file no longer has."""
    return decision.verdict != "reject" and not decision.corrected and decision.class_id not in class_ids


def _passed_over(
    samplers: Sequence[IntervalSampler], decisions: Mapping[str, Decision], classes: _Classes
) -> Iterator[PlannedClip]:
    """Intervals that people kept and that the selection did not reach, in order of id."""
    for clip_id, decision in sorted(decisions.items()):
        if decision.verdict == "reject" or decision.class_id not in classes.members:
            continue
        for sampler in samplers:
            interval = sampler.take(clip_id)
            if interval is not None:
                yield whole_clip(sampler.class_id or decision.class_id, interval)
                break
