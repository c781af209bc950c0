"""Summary of a pull, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.count_of import count_of


@dataclass(frozen=True)
class PullSummary:
    """Result of a pull, or with ``dry_run`` its expected result.

    Attributes:
        decided_clips: ids of the clips with a new or changed decision.
        revised_clips: those of them of which a decision that was pulled earlier has changed.
        deleted: number of decisions found to be deleted.
        rows: number of rows appended to reviews.jsonl.
        problems: decisions that cannot be used, each as ``(clip id, annotator, why)``.
        raw: file with the server's response, or None if nothing was new or nothing was written.
        changed: decisions that were adjusted to be usable, each as ``(clip id, annotator, how)``.
        unread: number of decisions on the server that this pull could not read.
        dry_run: whether nothing was written.
    """

    decided_clips: frozenset[str] = frozenset()
    revised_clips: frozenset[str] = frozenset()
    deleted: int = 0
    rows: int = 0
    problems: tuple[tuple[str, str, str], ...] = ()
    raw: Path | None = None
    changed: tuple[tuple[str, str, str], ...] = ()
    unread: int = 0
    dry_run: bool = False

    @property
    def decided(self) -> int:
        """Number of clips with a new or changed decision, in however many projects."""
        return len(self.decided_clips)

    @property
    def revised(self) -> int:
        """Number of clips, of those decided, of which a decision that was pulled earlier has changed."""
        return len(self.revised_clips)

    def and_also(self, other: PullSummary) -> PullSummary:
        """Returns the combined result of this pull and a later one, of another project; `raw` is the last file."""
        return PullSummary(
            decided_clips=self.decided_clips | other.decided_clips,
            revised_clips=self.revised_clips | other.revised_clips,
            deleted=self.deleted + other.deleted,
            rows=self.rows + other.rows,
            problems=self.problems + other.problems,
            raw=other.raw or self.raw,
            changed=self.changed + other.changed,
            unread=self.unread + other.unread,
            dry_run=self.dry_run,
        )

    def text(self) -> str:
        """Returns the summary as one line of text."""
        parts = [f"decisions on {count_of(self.decided, 'clip')}"] if self.rows else []
        parts += [f"changed ones on {self.revised:,} of them"] if self.revised else []
        parts += [f"{self.deleted:,} deleted"] if self.deleted else []
        parts += [f"{len(self.problems):,} unusable"] if self.problems else []
        parts += [f"{self.unread:,} not read yet"] if self.unread else []
        return f"{'would pull: ' if self.dry_run else ''}{', '.join(parts) or 'nothing new'}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "decided": self.decided,
            "revised": self.revised,
            "deleted": self.deleted,
            "rows": self.rows,
            "problems": [{"clip": clip, "annotator": who, "problem": why} for clip, who, why in self.problems],
            "changed": [{"clip": clip, "annotator": who, "change": how} for clip, who, how in self.changed],
            "unread": self.unread,
            "raw": None if self.raw is None else str(self.raw),
            "dry_run": self.dry_run,
        }
