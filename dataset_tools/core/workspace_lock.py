"""Workspace lock: only one command at a time may write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dataset_tools.core.errors import StoppedError


@contextmanager
def workspace_lock(root: Path) -> Iterator[None]:
    """Hold the lock of the workspace in the folder ``root`` for the duration of a ``with`` block.

    Raises:
        StoppedError: another command holds it.
    """
    path = root / "cache" / "workspace.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise StoppedError(
            "Another command is working in this workspace",
            where=root.resolve(),
            expected="one command at a time",
            next_step="wait until it has ended, then run this one again; or use another --workspace",
        ) from error
    try:
        yield
    finally:
        lock.release()
