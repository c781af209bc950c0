"""Source video records by content hash, cached, so that large files are read once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import av
import msgspec

from dataset_tools.core.errors import ToolkitError, WorkerDiedError
from dataset_tools.core.execution import run_each
from dataset_tools.core.files import sha256_of, write_bytes
from dataset_tools.core.progress import Progress, silent
from dataset_tools.video.frame_index import FrameIndex, read_frame_index

Marks = tuple[int, int, int, int]
"""Size in bytes, modification and status-change times in nanoseconds, inode."""

READER = f"6, PyAV {av.__version__}"
"""Version of the record and of its decoder: with another one, videos are read again."""


class Source(msgspec.Struct, frozen=True):
    """A source video that was read: its path, its file attributes at that time, its SHA-256, its frames."""

    path: str
    marks: Marks
    sha256: str
    index: FrameIndex

    def is_unchanged(self) -> bool:
        """Whether the file is unchanged, as far as its attributes show; it is not read again."""
        try:
            return self.marks == _marks(Path(self.path))
        except (OSError, ValueError):
            return False


class _Remembered(msgspec.Struct, frozen=True):
    reader: str
    source: Source


class _Crash(msgspec.Struct, frozen=True):
    """The error of a video that killed its worker process, and its file attributes at that time."""

    reader: str
    marks: Marks
    found: str
    expected: str | None
    next_step: str | None


@dataclass(frozen=True)
class _Task:
    path: Path
    note: Path

    @property
    def crash_note(self) -> Path:
        return self.note.with_suffix(".died")

    def __str__(self) -> str:
        return self.path.name


def read_sources(
    videos: Mapping[str, Path],
    cache: Path,
    *,
    jobs: int,
    retry_died: bool = False,
    progress: Progress = silent,
) -> tuple[dict[str, Source], dict[str, ToolkitError]]:
    """Reads the content hash and the frames of every video, by name.

    A file with the same size, times and inode as before is not read again: the folder ``cache`` holds a note on it.
    This is only a cache: without it, or with clocks set back, the results are the same, but take longer. A file that
    killed the worker process that read it is not read again either, unless ``retry_died`` is set.

    Returns:
        The sources, and the errors of the videos that cannot be read.
    """
    sources: dict[str, Source] = {}
    failures: dict[str, ToolkitError] = {}
    unread: dict[_Task, list[str]] = {}  # several names of one file, where they are symbolic links
    for name, path in sorted(videos.items()):
        place = path.resolve()
        task = _Task(place, cache / f"{place.stem}-{hashlib.sha256(str(place).encode()).hexdigest()[:12]}.json")
        known = _recall(task.note)
        if known is not None and known.is_unchanged():
            sources[name] = known
        elif not retry_died and (died := _recall_crash(task)) is not None:
            failures[name] = died
        else:
            unread.setdefault(task, []).append(name)
    with closing(run_each(_read, unread, jobs=jobs)) as outcomes:
        for done, outcome in enumerate(outcomes, start=1):
            names = unread[outcome.item]
            if outcome.result is not None:
                sources |= dict.fromkeys(names, outcome.result)
            elif outcome.error is not None:
                failures |= dict.fromkeys(names, outcome.error)
                if isinstance(outcome.error, WorkerDiedError):
                    _note_crash(outcome.item, outcome.error)
            progress("sources", done, len(unread), names[0])
    return sources, failures


def cached_sources(cache: Path) -> dict[str, Source]:
    """All videos in the cache that are unchanged, by SHA-256; none is read again."""
    notes = sorted(cache.glob("*.json")) if cache.is_dir() else []
    known = [source for note in notes if (source := _recall(note)) is not None and source.is_unchanged()]
    return {source.sha256: source for source in known}


def _read(task: _Task) -> Source:
    """Runs in a worker process; writes its note at once, so that nothing is lost if the command is killed."""
    marks = _marks(task.path)  # before reading: a file that changes meanwhile is read again next time
    source = Source(str(task.path), marks, sha256_of(task.path), read_frame_index(task.path))
    write_bytes(task.note, msgspec.json.encode(_Remembered(READER, source)))
    return source


def _recall(note: Path) -> Source | None:
    try:
        remembered = msgspec.json.decode(note.read_bytes(), type=_Remembered)
    except (OSError, ValueError, RecursionError):
        return None
    return remembered.source if remembered.reader == READER else None


def _note_crash(task: _Task, error: WorkerDiedError) -> None:
    died = _Crash(READER, _marks(task.path), error.found, error.expected, error.next_step)
    write_bytes(task.crash_note, msgspec.json.encode(died))


def _recall_crash(task: _Task) -> WorkerDiedError | None:
    try:
        died = msgspec.json.decode(task.crash_note.read_bytes(), type=_Crash)
        known = died.reader == READER and died.marks == _marks(task.path)
    except (OSError, ValueError, RecursionError):
        return None
    if not known:
        return None
    return WorkerDiedError(died.found, where=task.path, expected=died.expected, next_step=died.next_step)


def _marks(path: Path) -> Marks:
    status = path.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
