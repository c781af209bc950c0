"""The workspace: the folder of a data set, and the paths in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dataset_tools.core.errors import InputError
from dataset_tools.core.unicode_names import require_unicode


@dataclass(frozen=True)
class Workspace:
    """A workspace (default: the current folder). Every generated file is below ``root``; a `str` becomes a path.

    Raises:
        InputError: its path is not valid UTF-8.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        require_unicode(self.root)

    @property
    def annotations(self) -> Path:
        """The user's own inputs, and reviews.jsonl."""
        return self.root / "annotations"

    @property
    def manifests(self) -> Path:
        return self.root / "manifests"

    @property
    def clips(self) -> Path:
        return self.root / "clips"

    @property
    def speech(self) -> Path:
        return self.root / "speech"

    @property
    def recordings(self) -> Path:
        return self.root / "recordings"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.jsonl"

    def check_media_folders(self) -> None:
        """Checks that the folders of media are in the workspace: files outside are refused when they are read.

        Raises:
            InputError: one of them is a symbolic link to another place.
        """
        for folder in (self.clips, self.speech):
            if not folder.resolve().is_relative_to(self.root.resolve()):
                raise InputError(
                    f"The folder {folder.name}/ is a symbolic link to a place outside of the workspace",
                    where=f"{folder} -> {folder.resolve()}",
                    expected="a folder in the workspace, which can then be moved or copied as a whole",
                    next_step="remove the link; if the disk is too small, move the whole workspace and name it with -w",
                )

    def relative(self, path: Path) -> str:
        """``path`` as written in rows: POSIX, relative to the workspace."""
        return path.relative_to(self.root).as_posix()
