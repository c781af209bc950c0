"""Result of a dry run: what a command would compute and write, after the checks that it makes before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fmn.data.items import Items
from fmn.data.loading import BothFeatures
from fmn.features.media import reasons


@dataclass(frozen=True)
class DryRun:
    """What a command would do.

    Attributes:
        clips, utterances: number of items that it would use.
        to_extract: number of their features that are not in the cache and would be extracted first; at most that, if a
            pretrained encoder computes them whose weights do not come with a package.
        files: files that it would write apart from the cache, or a folder for more of them.
        failures: items that it would leave out by id, with the reason, as far as that is known before.
        notes: caveats.
    """

    clips: int
    utterances: int
    to_extract: int
    files: tuple[Path, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, items: Items, found: BothFeatures, files: tuple[Path, ...] = ()) -> DryRun:
        """Returns the dry run of a command that uses all items."""
        counts = len(items.clips), len(items.utterances), found.computed
        return cls(*counts, files, reasons(found.failures))

    def as_dict(self) -> dict[str, Any]:
        files = [str(path) for path in self.files]
        return {**vars(self), "dry_run": True, "files": files, "failures": {**self.failures}, "notes": [*self.notes]}
