"""Crash-safe copying of many small files: flushed to disk in batches, each file renamed only when complete."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.files import disk_error, partial_folder

_MOST_FILES, _MOST_BYTES = 512, 64 * 2**20
"""Limits of a batch, and so of what has to be copied again after a kill."""
_CHUNK_BYTES = 2**18
_THREADS = 8  # mostly waiting for the disk: a file system flushes many files in a single pass


@dataclass(frozen=True)
class _Copy:
    source: Path
    partial: Path
    target: Path
    check: Callable[[Path, str], None]

    def write(self) -> None:
        digest = hashlib.sha256()
        with self.source.open("rb") as read, self.partial.open("wb") as written:
            while chunk := read.read(_CHUNK_BYTES):
                digest.update(chunk)
                written.write(chunk)
        self.check(self.source, digest.hexdigest())

    def flush(self) -> None:
        with self.partial.open("rb") as written:
            os.fsync(written.fileno())


class CopyBatch:
    """Copies files into a folder tree. Use it as a context manager: on a clean exit every file is in place.

    A batch is written into one hidden, locked folder, flushed, and then renamed to its targets; a folder and a flush
    per file would take about ten times as long. On an error, files that were not yet renamed are dropped.

    Args:
        root: folder that contains all targets.

    Raises:
        StoppedError: the disk is full or read-only (of `copy`, and on exit).
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held = ExitStack()
        self._waiting: list[_Copy] = []
        self._bytes = 0

    def __enter__(self) -> CopyBatch:
        self._folder = self._held.enter_context(partial_folder(self._root))
        self._threads = self._held.enter_context(ThreadPoolExecutor(_THREADS))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        with self._held:
            if kind is None:
                self._write()

    def copy(self, source: Path, target: Path, check: Callable[[Path, str], None]) -> None:
        """Copies a file, now or in a later batch; see `dataset_tools.exports.output_folder.OutputFolder.copy`."""
        self._waiting.append(_Copy(source, self._folder / str(len(self._waiting)), target, check))
        self._bytes += source.stat().st_size
        if len(self._waiting) >= _MOST_FILES or self._bytes >= _MOST_BYTES:
            self._write()

    def _write(self) -> None:
        try:
            for step in (_Copy.write, _Copy.flush):
                list(self._threads.map(step, self._waiting))
            for folder in {one.target.parent for one in self._waiting}:
                folder.mkdir(parents=True, exist_ok=True)
            for one in self._waiting:
                one.partial.replace(one.target)
        except OSError as error:
            raise disk_error(error, self._root) or error from error
        self._waiting, self._bytes = [], 0
