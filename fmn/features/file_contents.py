"""Files whose content is known to be what the manifest says, so that it is hashed once and not for each use.

Features are cached by the SHA-256 that a row names. So that the result does not depend on the cache, the file is also
checked if its feature is cached: a row may name another file, and a file may be replaced.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import SampleError, StoppedError
from dataset_tools.core.files import written_whole
from fmn.features.media import Media

COLUMNS = 4
HEADER_BYTES = 128
"""Of an int64 array [paths, 4] in a .npy file. `numpy.load` would take three times as long, mostly for the header."""
PATHS = 16
"""Most paths that are recorded per content: queries lie at a new temporary path each time."""
SETTLED_NS = 100_000_000
"""A file that was changed less than this time ago is not recorded: it may change again with the same times."""


class FileContents:
    """Record of checked files: one small file per content.

    Each is an int64 array [paths, 4] of the last `PATHS` paths that were checked: a digest of the path, size in bytes,
    times of the last change of the content and of the file's attributes in ns. A file is checked again if one of them
    differs.

    Args:
        place: returns the path of the record of a SHA-256.
    """

    def __init__(self, place: Callable[[str], Path]) -> None:
        self._place = place

    def is_known(self, item: Media) -> bool:
        """Whether the file was checked before and is unchanged, or is missing, so that there is nothing to check."""
        row = _row(item.path)
        return row is None or row in self._rows(item.sha256)

    def require(self, item: Media, *, keep: bool = True) -> None:
        """Checks the content of a file, unless it is known, and records it, unless ``keep`` is false (a dry run).

        Raises:
            SampleError: the content does not match ``item.sha256``.
        """
        row = _row(item.path)
        rows = self._rows(item.sha256)
        if row is None or row in rows:
            return
        item.require_content()
        if not keep or time.time_ns() - max(row[2:]) < SETTLED_NS:
            return
        kept = [*(other for other in rows if other[0] != row[0]), row][-PATHS:]
        with (
            suppress(StoppedError),  # a cache may be read-only
            written_whole(self._place(item.sha256)) as partial,
            partial.open("wb") as file,
        ):
            np.save(file, np.array(kept, dtype=np.int64))

    def error(self, item: Media, *, keep: bool = True) -> SampleError | None:
        """`require`, returning the error."""
        try:
            self.require(item, keep=keep)
        except SampleError as error:
            return error
        return None

    def _rows(self, sha256: str) -> list[tuple[int, ...]]:
        try:
            content = self._place(sha256).read_bytes()
            rows: NDArray[np.int64] = np.frombuffer(content, np.int64, offset=HEADER_BYTES).reshape(-1, COLUMNS)
            return [tuple(row) for row in rows.tolist()]
        except (OSError, ValueError):  # missing or damaged: the files are checked again
            return []


def _row(path: Path) -> tuple[int, ...] | None:
    """Returns the row of a file as it is now; None if it cannot be read."""
    try:
        found = path.stat()
    except OSError:
        return None
    digest = hashlib.sha256(os.fsencode(path.absolute())).digest()
    return int.from_bytes(digest[:8], "big", signed=True), found.st_size, found.st_mtime_ns, found.st_ctime_ns
