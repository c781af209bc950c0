"""Summary of a push, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PushSummary:
    """What a push did, or with ``dry_run`` would do.

    Attributes:
        project: id of the project, or None when it is not there yet (dry run). title: its title.
        address: where annotators go.
        created: clips that got their first task. again: clips that are shown again, as they changed after a decision or
            were asked for by id.
        updated: tasks without annotations, brought up to date. unchanged: tasks that were right.
        decided: clips without a task on this server that need none, as they are decided.
        waiting: clips to show again whose task holds work that was not pulled yet; pull, then push again.
        removed: tasks that a killed push had left twice.
        reopened: clips in conflict that get one more annotator.
        gone: tasks whose clip is not in the data set any more; they stay.
        withdrawn: tasks whose speech was taken out, as its speaker withdrew.
        without_margin: clips that are shown without footage around them, as it is not at hand.
        dry_run: whether nothing was written.
    """

    project: int | None
    title: str
    address: str
    created: int
    again: int
    updated: int
    unchanged: int
    decided: int
    waiting: int
    removed: int
    reopened: int
    gone: int
    withdrawn: int
    without_margin: int
    dry_run: bool

    def text(self) -> str:
        """One line for people."""
        counts = {
            "new": self.created,
            "shown again": self.again,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "decided already": self.decided,
            "waiting for a pull": self.waiting,
            "in conflict and shown to one more": self.reopened,
            "doubled and removed": self.removed,
            "no longer in the data set": self.gone,
            "with withdrawn speech taken out": self.withdrawn,
        }
        said = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing to push"
        return f"{'would push: ' if self.dry_run else ''}{said}"

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
