"""Lock of a folder: only one command at a time can train into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock

from dataset_tools.core.errors import StoppedError
from dataset_tools.core.files import clear_partial


@contextmanager
def run_lock(run: Path) -> Iterator[None]:
    """Creates the folder of a run or a comparison, and locks it against other training commands.

    An empty folder is removed on exit.

    Raises:
        StoppedError: another command is training into it.
    """
    run.mkdir(parents=True, exist_ok=True)
    lock = run / ".lock"
    try:
        with filelock.FileLock(lock, timeout=0):
            clear_partial(run)
            try:
                yield
            finally:
                if all(path == lock for path in run.iterdir()):
                    lock.unlink(missing_ok=True)
                    run.rmdir()
    except filelock.Timeout as error:
        raise StoppedError(
            "Another command is training into this folder",
            where=run,
            next_step="wait until it ends, or choose another folder (--run or --out)",
        ) from error
