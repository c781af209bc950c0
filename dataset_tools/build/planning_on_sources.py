"""Clip planning that opens the source videos, and plans again if they differ from the annotations."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from dataset_tools.build_record import BuildOptions
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.clips.clip_plan import Plan
from dataset_tools.clips.interval_selection import SourceStatus
from dataset_tools.clips.planning import plan_clips
from dataset_tools.core.count_of import first_of
from dataset_tools.core.errors import ToolkitError
from dataset_tools.core.progress import Progress
from dataset_tools.corpora.corpus import Corpus
from dataset_tools.decisions.majority_rule import Decision
from dataset_tools.video.source_videos import Source, read_sources

_SHOWN_VIDEOS = 5


def plan_with(
    corpus: Corpus, classes: ClassFile, options: BuildOptions, known: SourceStatus, decisions: Mapping[str, Decision]
) -> Plan:
    """Returns the clip plan for a build's options, given what is ``known`` about the videos.

    Raises:
        InputError: see `plan_clips`.
    """
    return plan_clips(
        corpus,
        classes,
        per_class=options.per_class,
        shortfall=options.shortfall,
        seed=options.seed,
        min_frames=options.min_frames,
        known=known,
        decisions=decisions,
    )


@dataclass
class OpenedSources:
    """The videos of a corpus, opened when plans need them."""

    corpus: Corpus
    cache: Path
    jobs: int
    progress: Progress
    retry_died: bool = False
    read: dict[str, Source] = field(default_factory=dict)
    unreadable: dict[str, ToolkitError] = field(default_factory=dict)

    def open(self, names: Collection[str]) -> None:
        videos = {name: self.corpus.videos[name] for name in names}
        read, unreadable = read_sources(
            videos, self.cache, jobs=self.jobs, retry_died=self.retry_died, progress=self.progress
        )
        self.read |= read
        self.unreadable |= unreadable

    def without_times(self) -> tuple[str, ...]:
        """Returns one sentence per video without timestamps; after `_SHOWN_VIDEOS`, only the number of the others."""
        sentences = [
            f"{name}: {source.index.no_times}; its clips play at {float(Fraction(source.index.rate)):.3g} frames per "
            "second, as stated in its header or, without one, assumed by FFmpeg."
            for name, source in sorted(self.read.items())
            if not source.index.stamps
        ]
        return tuple(first_of(sentences, _SHOWN_VIDEOS, "more without timestamps."))

    def status(self, failed: Collection[str]) -> SourceStatus:
        frames = {name: source.index.frames for name, source in self.read.items()}
        seconds = {name: float(source.index.duration_s) for name, source in self.read.items() if source.index.stamps}
        return SourceStatus(frames, self.unreadable, failed, seconds=seconds)


def plan_on_sources(
    opened: OpenedSources,
    classes: ClassFile,
    options: BuildOptions,
    decisions: Mapping[str, Decision],
    failed: Collection[str],
) -> Plan:
    """Plans, opens the videos of the plan, and plans again with what was found, until all its videos are opened."""
    while True:
        plan = plan_with(opened.corpus, classes, options, opened.status(failed), decisions)
        unread = {clip.interval.video for clip in (*plan.clips, *plan.left_out)} - opened.read.keys()
        if not unread:
            return plan
        opened.open(unread)
