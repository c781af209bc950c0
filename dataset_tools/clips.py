"""Which intervals become clips: spread over persons and dishes, the same each time, every refusal with its reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dataset_tools.class_support import MIN_FRAMES
from dataset_tools.classes import ClassFile, classify
from dataset_tools.errors import InputError, SampleError, ToolkitError
from dataset_tools.manifests import IntervalOrigin, WindowOrigin
from dataset_tools.mpii.annotations import Interval
from dataset_tools.mpii.corpus import Corpus
from dataset_tools.seeds import seed_of

Shortfall = Literal["accept", "windows", "stop"]

MIN_WINDOW_S = 2.0


@dataclass(frozen=True)
class PlannedClip:
    """A clip to cut: ``start_frame`` to ``end_frame`` of the interval's video, 1-based, both included."""

    id: str
    class_id: str
    interval: Interval
    start_frame: int
    end_frame: int
    origin: IntervalOrigin | WindowOrigin

    @property
    def frames(self) -> int:
        return self.end_frame - self.start_frame + 1


@dataclass(frozen=True)
class Refusal:
    """An interval of one of the classes that cannot become a clip.

    ``failed`` may go better another time (a missing video that is put there), ``skipped`` may not.
    """

    interval: Interval
    status: Literal["failed", "skipped"]
    reason: ToolkitError

    @property
    def id(self) -> str:
        # Spans can be annotated twice; the index in the annotation file tells the rows apart.
        return f"{self.interval.id}#{self.interval.index}"


@dataclass(frozen=True)
class Plan:
    """What to cut, in order of id; what was refused; and by how many clips each class falls short."""

    clips: tuple[PlannedClip, ...]
    refusals: tuple[Refusal, ...]
    shortfalls: Mapping[str, int]


def plan_clips(
    corpus: Corpus,
    classes: ClassFile,
    *,
    per_class: int,
    shortfall: Shortfall = "accept",
    seed: int = 0,
    min_frames: int = MIN_FRAMES,
    exclude: Collection[str] = (),
) -> Plan:
    """Chooses up to ``per_class`` intervals of each class.

    Within a class the next interval is always one of the person, then the dish, chosen least often so far; which of
    them is decided by ``seed``. An interval that overlaps a chosen one is refused. A class that falls short is
    accepted, filled with non-overlapping windows of its longest intervals (at least two seconds each), or stops
    everything.

    ``exclude`` holds the ids of intervals that turned out not to be usable (their video is damaged there).

    Raises:
        InputError: ``shortfall`` is ``stop`` and a class falls short; every such class is named.
    """
    candidates: dict[str, list[Interval]] = {one.id: [] for one in classes.classes}
    refusals: list[Refusal] = []
    for interval in corpus.annotations.intervals:
        found = classify(interval, classes)
        if found.status == "none":
            continue
        refusal = _refuse(interval, found.candidates, corpus, min_frames)
        if refusal is not None:
            refusals.append(refusal)
        elif interval.id not in exclude:
            candidates[found.candidates[0]].append(interval)
    taken: dict[str, list[Interval]] = defaultdict(list)
    clips: list[PlannedClip] = []
    shortfalls: dict[str, int] = {}
    for class_id, intervals in candidates.items():
        chosen, overlapping = _choose(class_id, intervals, taken, per_class, seed)
        refusals += overlapping
        if shortfall == "windows":
            planned = _with_windows(class_id, chosen, per_class, corpus.annotations.frame_rate)
        else:
            planned = [_whole(class_id, interval) for interval in chosen]
        clips += planned
        if len(planned) < per_class:
            shortfalls[class_id] = per_class - len(planned)
    if shortfalls and shortfall == "stop":
        lacking = ", ".join(f"{class_id} {per_class - lack}" for class_id, lack in shortfalls.items())
        raise InputError(
            f"{len(shortfalls)} classes have fewer than {per_class} usable intervals: {lacking}",
            where=corpus.annotations.path,
            expected=f"{per_class} usable intervals of every class",
            next_step="take fewer with --per-class, fill up with --shortfall windows, or accept it",
        )
    return Plan(tuple(sorted(clips, key=lambda clip: clip.id)), tuple(refusals), shortfalls)


def _refuse(interval: Interval, fitting: Sequence[str], corpus: Corpus, min_frames: int) -> Refusal | None:
    if len(fitting) > 1:
        return Refusal(
            interval,
            "skipped",
            SampleError(
                f"The interval fits several classes: {', '.join(fitting)}",
                where=interval.id,
                expected="attributes that fit one class",
            ),
        )
    if interval.end_frame < interval.start_frame or interval.start_frame < 1:
        return Refusal(
            interval,
            "skipped",
            SampleError(
                f"The interval is not valid: from frame {interval.start_frame} to {interval.end_frame}",
                where=interval.id,
                expected="1 ≤ start ≤ end",
            ),
        )
    if interval.frames < min_frames:
        return Refusal(
            interval,
            "skipped",
            SampleError(
                f"The interval is too short: {interval.frames} frames",
                where=interval.id,
                expected=f"at least {min_frames} frames",
            ),
        )
    if interval.video not in corpus.videos:
        return Refusal(
            interval,
            "failed",
            SampleError(
                f"The video {interval.video} is missing",
                where=corpus.root,
                expected=f"{interval.video}.avi",
                next_step="put the video there, then run: fmn-data retry",
            ),
        )
    return None


def _choose(
    class_id: str, intervals: Sequence[Interval], taken: dict[str, list[Interval]], per_class: int, seed: int
) -> tuple[list[Interval], list[Refusal]]:
    """Takes intervals one by one, the least-used person and dish first; ``taken`` collects them by video."""
    luck = {interval.index: seed_of(seed, "choose", class_id, interval.id, interval.index) for interval in intervals}
    left = sorted(intervals, key=lambda interval: luck[interval.index])
    persons: Counter[str] = Counter()
    dishes: Counter[str] = Counter()
    chosen: list[Interval] = []
    refusals: list[Refusal] = []
    while left and len(chosen) < per_class:
        # min() takes the first of equals, so luck decides between them.
        interval = min(left, key=lambda one: (persons[one.person], dishes[one.dish]))
        left.remove(interval)
        other = next((one for one in taken[interval.video] if _overlap(one, interval)), None)
        if other is not None:
            reason = SampleError(
                f"The interval overlaps {other.id}, which was chosen",
                where=interval.id,
                expected="clips that share no frame",
            )
            refusals.append(Refusal(interval, "skipped", reason))
            continue
        taken[interval.video].append(interval)
        chosen.append(interval)
        persons[interval.person] += 1
        dishes[interval.dish] += 1
    return chosen, refusals


def _overlap(one: Interval, other: Interval) -> bool:
    return one.start_frame <= other.end_frame and other.start_frame <= one.end_frame


def _whole(class_id: str, interval: Interval) -> PlannedClip:
    return PlannedClip(interval.id, class_id, interval, interval.start_frame, interval.end_frame, IntervalOrigin())


def _with_windows(class_id: str, chosen: Sequence[Interval], per_class: int, frame_rate: float) -> list[PlannedClip]:
    """Splits the longest intervals, always the one whose windows stay longest, until there are enough clips."""
    shortest = round(MIN_WINDOW_S * frame_rate)
    windows = [1] * len(chosen)
    while sum(windows) < per_class:
        lengths = [interval.frames // (count + 1) for interval, count in zip(chosen, windows, strict=True)]
        longest = max(range(len(chosen)), key=lengths.__getitem__, default=None)
        if longest is None or lengths[longest] < shortest:
            break
        windows[longest] += 1
    clips: list[PlannedClip] = []
    for interval, count in zip(chosen, windows, strict=True):
        whole = _whole(class_id, interval)
        if count == 1:
            clips.append(whole)
            continue
        edges = [interval.start_frame + interval.frames * index // count for index in range(count + 1)]
        clips += [
            replace(
                whole,
                id=f"{interval.id}_w{index + 1}of{count}",
                start_frame=edges[index],
                end_frame=edges[index + 1] - 1,
                origin=WindowOrigin(index=index + 1, of=count),
            )
            for index in range(count)
        ]
    return clips
