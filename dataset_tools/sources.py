"""Knows source videos by their content, without reading a hundred gigabytes twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from dataset_tools.errors import ToolkitError
from dataset_tools.execution import run_each
from dataset_tools.files import sha256_of, write_bytes
from dataset_tools.progress import Progress, silent

Seen = tuple[int, int, int, int, str]
"""Size in bytes, modification and status-change times in nanoseconds, inode, SHA-256."""


def content_hashes(
    videos: Mapping[str, Path], memory: Path, *, jobs: int, progress: Progress = silent
) -> tuple[dict[str, str], dict[str, ToolkitError]]:
    """SHA-256 of every video's content, by name.

    A file that has the size, times and inode it had last time is not read again: ``memory`` (a JSON file in the cache)
    remembers. It is only a memory: without it, or with clocks set back, the same hashes come out, later.

    Returns:
        The hashes, and the errors of the videos that cannot be read.
    """
    seen = _read(memory)
    hashes: dict[str, str] = {}
    unread: dict[str, str] = {}
    for name, path in videos.items():
        known = seen.get(str(path.resolve()))
        if known is not None and known[:4] == _marks(path):
            hashes[name] = known[4]
        else:
            unread[str(path)] = name
    failures: dict[str, ToolkitError] = {}
    for done, outcome in enumerate(run_each(_hash, sorted(unread), jobs=jobs), start=1):
        name = unread[outcome.item]
        if outcome.result is not None:
            hashes[name] = outcome.result[4]
            seen[str(videos[name].resolve())] = outcome.result
        elif outcome.error is not None:
            failures[name] = outcome.error
        progress("sources", done, len(unread), name)
    if unread:
        write_bytes(memory, msgspec.json.encode(seen, order="sorted"))
    return hashes, failures


def _hash(path: str) -> Seen:
    marks = _marks(Path(path))  # before reading: a file that changes meanwhile is read again next time
    return (*marks, sha256_of(Path(path)))


def _marks(path: Path) -> tuple[int, int, int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _read(memory: Path) -> dict[str, Seen]:
    try:
        return msgspec.json.decode(memory.read_bytes(), type=dict[str, Seen])
    except (OSError, msgspec.DecodeError):
        return {}
