"""Copies of many small files, crash-safe: they are flushed to disk in batches, each file gets its name when whole."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dataset_tools.core.files import disk_error, partial_folder

_MOST_FILES, _MOST_BYTES = 512, 64 * 2**20
"""Of a batch: what a killed command has to copy again, at most."""
_CHUNK_BYTES = 2**20
_THREADS = 16  # that wait for the disk: a file system flushes many files in one go


class CopyBatch:
    """Copies files below a folder. Use it as a context manager: on a clean exit every file has its name.

    They lie in one hidden, locked folder until a batch of them is flushed; a folder and a flush for every file would
    take some ten times as long as the copy. On an error, what is not flushed yet is dropped.

    Args:
        root: what every target lies below.

    Raises:
        StoppedError: the disk is full or read-only (of each method, and on exit).
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._held = ExitStack()
        self._waiting: list[tuple[Path, Path]] = []
        self._bytes = 0

    def __enter__(self) -> CopyBatch:
        self._folder = self._held.enter_context(partial_folder(self._root))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        with self._held:
            if kind is None:
                self._flush()

    def copy(self, source: Path, target: Path) -> str:
        """Copies a file; gives the SHA-256 of what was copied. ``target`` appears later: see `keep`."""
        digest = hashlib.sha256()
        partial = self._folder / str(len(self._waiting))
        try:
            with source.open("rb") as read, partial.open("wb") as written:
                while chunk := read.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    written.write(chunk)
                    self._bytes += len(chunk)
        except OSError as error:
            raise disk_error(error, target) or error from error
        self._waiting.append((partial, target))
        return digest.hexdigest()

    def keep(self) -> None:
        """What was copied so far is right: it gets its name as soon as enough has come together."""
        if len(self._waiting) >= _MOST_FILES or self._bytes >= _MOST_BYTES:
            self._flush()

    def _flush(self) -> None:
        try:
            with ThreadPoolExecutor(_THREADS) as threads:
                list(threads.map(_to_disk, (partial for partial, _ in self._waiting)))
            for folder in {target.parent for _, target in self._waiting}:
                folder.mkdir(parents=True, exist_ok=True)
            for partial, target in self._waiting:
                partial.replace(target)
        except OSError as error:
            raise disk_error(error, self._root) or error from error
        self._waiting, self._bytes = [], 0


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
