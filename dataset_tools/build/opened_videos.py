"""Source video check: which videos of a corpus can be read, and how many frames they have."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory

from dataset_tools.core.count_of import count_of, first_of
from dataset_tools.core.files import PARTIAL
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.video.source_videos import read_sources

_SHOWN = 3


@contextmanager
def source_cache(workspace: Workspace, *, dry_run: bool) -> Iterator[Path]:
    """Yields the cache folder of the video contents: that of the workspace, or in a dry run a temporary copy of it."""
    kept = workspace.cache / "sources"
    if not dry_run:
        yield kept
        return
    with TemporaryDirectory() as temporary:
        copied = Path(temporary) / "sources"
        if kept.is_dir():
            copytree(kept, copied, ignore=ignore_patterns(f"{PARTIAL}*"))  # a build beside it removes these
        yield copied


def with_opened_videos(corpus: Corpus, cache: Path, *, jobs: int, progress: Progress = silent) -> Corpus:
    """Opens the videos that have intervals; unreadable ones are left out, and named in the notes.

    Args:
        corpus: a corpus whose videos were located but not opened.
        cache: cache folder of the video contents (`dataset_tools.video.source_videos.read_sources`).
        jobs: number of parallel processes.
        progress: progress callback.
    """
    named = {interval.video: interval.video_file for interval in corpus.annotations.intervals}
    sources, failures = read_sources(
        {name: corpus.videos[name] for name in named.keys() & corpus.videos.keys()},
        cache,
        jobs=jobs,
        progress=progress,
    )
    notes = list(corpus.notes)
    missing = sorted(named[name] for name in named.keys() - corpus.videos.keys())
    if missing and (corpus.videos or corpus.is_own):
        notes.append(f"{count_of(len(missing), 'video is', 'videos are')} missing in {corpus.root}: {_first(missing)}.")
    if failures:
        reasons = [f"{named[name]} ({error.found})" for name, error in sorted(failures.items())]
        notes.append(f"{count_of(len(failures), 'video')} cannot be read: {_first(reasons)}.")
    return replace(
        corpus,
        videos={name: path for name, path in corpus.videos.items() if name not in failures},
        frames={name: source.index.frames for name, source in sources.items()},
        notes=tuple(notes),
    )


def _first(names: Collection[str]) -> str:
    return ", ".join(first_of(names, _SHOWN))
