"""Summary of a push, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class PushSummary:
    """Result of a push, or with ``dry_run`` its expected result.

    Attributes:
        project: id of the project, or None if it does not exist yet (dry run). title: its title.
        address: URL for annotators.
        created: number of clips that got their first task. again: number of clips that are shown again because they
            changed after a decision, need another annotator in a new project, or were requested by id.
        updated: number of updated tasks. unchanged: number of tasks that were up to date.
        decided: number of clips without a task on this server that need none because they are decided.
        waiting: number of clips to show again whose task has work not pulled yet; pull, then push again.
        removed: number of duplicate tasks of a killed push.
        reopened: number of clips in conflict that get one more annotator.
        gone: number of tasks whose clip is no longer in the data set; they are kept.
        withdrawn: number of tasks whose speech was removed because its speaker withdrew.
        without_margin: number of clips shown without surrounding footage because it is not available.
        predicted: number of tasks with a prediction of the model; None without a model, or if nothing was written.
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
    predicted: int | None
    dry_run: bool

    def text(self) -> str:
        """Returns the summary as one line of text."""
        counts = {
            "new": self.created,
            "shown again": self.again,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "already decided": self.decided,
            "waiting for a pull": self.waiting,
            "in conflict and shown to one more annotator": self.reopened,
            "duplicate and removed": self.removed,
            "no longer in the data set": self.gone,
            "with withdrawn speech removed": self.withdrawn,
        }
        text = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing to push"
        return f"{'would push: ' if self.dry_run else ''}{text}"

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
