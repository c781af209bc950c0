"""Export folder of a dry run: the checks and counts of an export, without writing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from dataset_tools.exports.output_folder import OutputFolder


class PlannedFolder(OutputFolder):
    """Counts the files that an export would write or keep; writes nothing. Use it as a context manager.

    Raises:
        InputError: the folder has other content, or there is a file in its place (on entering).
        StoppedError: another command writes there.
    """

    def __enter__(self) -> PlannedFolder:
        if self.root.is_dir():
            with ExitStack() as entered:
                self._open(entered)
                self._held = entered.pop_all()
        else:
            above = (self.root, *self.root.absolute().parents)
            if not next(path for path in above if path.exists() or path.is_symlink()).is_dir():
                raise self._no_folder()
        return self

    def __exit__(self, *_: Any) -> None:
        self._held.close()

    def _add(self, name: str, write: Callable[[], str], sha256: str | None = None) -> None:
        if self._complete(name, sha256):
            self.kept += 1
        else:
            self.written += 1
