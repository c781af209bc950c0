"""Interval selection: the next interval of a class, balanced over persons and dishes, without overlaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType

from dataset_tools.clips.clip_plan import Refusal
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import SampleError, ToolkitError
from dataset_tools.core.seeds import seed_of
from dataset_tools.corpora.corpus import Corpus, Interval


@dataclass(frozen=True)
class SourceStatus:
    """What is known about videos and intervals from opening them.

    Attributes:
        frames: number of frames of a video, by name.
        seconds: duration of a video, by name, if it has times.
        unreadable: why a video cannot be read, by name.
        failed: ids of intervals that could not be cut (their video is damaged there).
    """

    frames: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    unreadable: Mapping[str, ToolkitError] = field(default_factory=dict)
    failed: Collection[str] = ()


NOTHING_KNOWN = SourceStatus()
BOUNDARY_FRAMES = 1
"""Number of frames that two selected intervals may share: annotators end one action where the next one begins."""


def out_of_reach(interval: Interval, corpus: Corpus, known: SourceStatus) -> ToolkitError | None:
    """Why an interval cannot become a clip at present; None if it can."""
    if interval.video not in corpus.videos:
        return SampleError(
            f"The video is missing: {interval.video_file}",
            where=corpus.root,
            expected=interval.video_file,
            next_step="put the video there, then run: fmn-data retry",
        )
    frames = known.frames.get(interval.video)
    if frames is not None and interval.end_frame > frames:
        return SampleError(
            f"The interval ends past the end of its video: at {_end_of(interval, frames, known)}",
            where=f"{interval.id} in {corpus.videos[interval.video]}",
            expected=f"an interval within its video, which has {count_of(frames, 'frame')}",
            next_step=(
                f"correct the times in {corpus.annotations.path.name}, then run: fmn-data build"
                if corpus.is_own
                else "copy the video again if it is cut short, then run: fmn-data retry"
            ),
        )
    if frames is not None and not interval.is_measured:
        return SampleError(
            "The video could not be read with the annotations, but can be read now",
            where=f"{interval.id} in {corpus.videos[interval.video]}",
            expected="a whole video whose length is known",
            next_step="run: fmn-data build",
        )
    return known.unreadable.get(interval.video)


def _end_of(interval: Interval, frames: int, known: SourceStatus) -> str:
    """Returns the end of an interval and of its video: in frames, and in seconds if the interval has them."""
    duration_s = known.seconds.get(interval.video)
    if interval.seconds is None or duration_s is None:
        return f"frame {interval.end_frame} of {frames}"
    end_s, length_s = interval.seconds[1] + interval.lead_s, duration_s + interval.lead_s
    return f"{end_s:.3f} s of {length_s:.3f} s, frame {interval.end_frame} of {frames}"


class IntervalSampler:
    """Iterator over the intervals of one class, the least-used person and dish first.

    Args:
        class_id: the class.
        intervals: the intervals of that class.
        taken: selected intervals of all classes, by sequence; those that are yielded are added.
        seed: breaks ties between intervals.
        corpus: the corpus with the videos.
        known: what is known about the videos.
        kept: intervals of all classes that people kept, by sequence: those without a decision must not overlap them.

    Attributes:
        refusals: the intervals met so far that cannot become clips.
    """

    def __init__(
        self,
        class_id: str,
        intervals: Sequence[Interval],
        taken: dict[str, list[Interval]],
        seed: int,
        corpus: Corpus,
        known: SourceStatus,
        kept: Mapping[str, Sequence[Interval]] = MappingProxyType({}),
    ) -> None:
        # A list of one's own is edited and grows: a row keeps its rank wherever it stands. MPII's file does not change.
        rank = {
            one.index: seed_of(seed, "choose", class_id, one.id, *(() if corpus.is_own else (one.index,)))
            for one in intervals
        }
        self.class_id = class_id
        self.refusals: list[Refusal] = []
        self._left = sorted(intervals, key=lambda interval: rank[interval.index])
        self._taken = taken
        self._corpus = corpus
        self._known = known
        self._kept = kept
        self._persons: Counter[str] = Counter()
        self._dishes: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Interval]:
        return self

    def __next__(self) -> Interval:
        while self._left:
            # min() returns the first of equals, so the random order breaks ties.
            interval = min(self._left, key=lambda one: (self._persons[one.person], self._dishes[one.dish]))
            if self._takes(interval):
                return interval
        raise StopIteration

    def take(self, interval_id: str) -> Interval | None:
        """Takes the interval with that id out of turn; None if it was already taken, or cannot become a clip."""
        found = next((one for one in self._left if one.id == interval_id), None)
        return found if found is not None and self._takes(found) else None

    def _takes(self, interval: Interval) -> bool:
        self._left.remove(interval)
        reason = out_of_reach(interval, self._corpus, self._known)
        if reason is not None:
            self.refusals.append(Refusal(interval, "failed", reason))
            return False
        kept = self._kept.get(interval.sequence, ())
        if any(one.id == interval.id for one in kept):
            kept = ()
        other = next((one for one in chain(self._taken[interval.sequence], kept) if _overlap(one, interval)), None)
        if other is not None:
            overlap = SampleError(
                f"The interval overlaps one that was chosen: {other.id}",
                where=interval.id,
                expected="intervals that share one boundary frame at most",
            )
            self.refusals.append(Refusal(interval, "skipped", overlap))
            return False
        self._taken[interval.sequence].append(interval)
        self._persons[interval.person] += 1
        self._dishes[interval.dish] += 1
        return True


def _overlap(one: Interval, other: Interval) -> bool:
    """Whether two intervals share more than a boundary frame, or all frames of one of them."""
    shared = min(one.end_frame, other.end_frame) - max(one.start_frame, other.start_frame) + 1
    return shared > BOUNDARY_FRAMES or 0 < shared >= min(one.frames, other.frames)
