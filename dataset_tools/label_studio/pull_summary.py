"""Summary of a pull, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.count_of import count_of


@dataclass(frozen=True)
class PullSummary:
    """What a pull brought.

    Attributes:
        decided: clips of which a decision came, new or changed. deleted: decisions found to be deleted.
        rows: rows appended to reviews.jsonl.
        problems: decisions that cannot be used, each as ``(clip id, annotator, why)``.
        raw: the file that keeps what the server sent, or None when nothing was new.
        changed: decisions that were changed to be used, each as ``(clip id, annotator, how)``.
        unread: decisions that the server has and this pull could not bring.
    """

    decided: int
    deleted: int
    rows: int
    problems: tuple[tuple[str, str, str], ...]
    raw: Path | None
    changed: tuple[tuple[str, str, str], ...] = ()
    unread: int = 0

    def and_also(self, other: PullSummary) -> PullSummary:
        """What this pull brought and another one after it; `raw` is the last file."""
        return PullSummary(
            decided=self.decided + other.decided,
            deleted=self.deleted + other.deleted,
            rows=self.rows + other.rows,
            problems=self.problems + other.problems,
            raw=other.raw or self.raw,
            changed=self.changed + other.changed,
            unread=self.unread + other.unread,
        )

    def text(self) -> str:
        """One line for people."""
        said = [count_of(self.decided, "decision")] if self.rows else []
        said += [f"{self.deleted:,} deleted"] if self.deleted else []
        said += [f"{len(self.problems):,} cannot be used"] if self.problems else []
        said += [f"{self.unread:,} still to come"] if self.unread else []
        return ", ".join(said) or "nothing new"

    def as_dict(self) -> dict[str, Any]:
        return {
            "decided": self.decided,
            "deleted": self.deleted,
            "rows": self.rows,
            "problems": [{"clip": clip, "annotator": who, "problem": why} for clip, who, why in self.problems],
            "changed": [{"clip": clip, "annotator": who, "change": how} for clip, who, how in self.changed],
            "unread": self.unread,
            "raw": None if self.raw is None else str(self.raw),
        }
