"""Which intervals become clips: spread over persons and dishes, the same each time, every refusal with its reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from dataset_tools.class_support import MIN_FRAMES
from dataset_tools.classes import ClassFile, classify
from dataset_tools.errors import InputError, SampleError, ToolkitError
from dataset_tools.manifests import IntervalOrigin, WindowOrigin
from dataset_tools.mpii.annotations import Interval
from dataset_tools.mpii.corpus import Corpus
from dataset_tools.seeds import seed_of

if TYPE_CHECKING:
    from dataset_tools.review.decisions import Decision

Shortfall = Literal["accept", "windows", "stop"]

MIN_WINDOW_S = 2.0


@dataclass(frozen=True)
class PlannedClip:
    """A clip to cut: ``start_frame`` to ``end_frame`` of the interval's video, 1-based, both included.

    Attributes:
        class_id: its class: that of the interval, or the one that a person said.
        decision: what people decided about it, when that still refers to it. A trim in it is what is cut.
    """

    id: str
    class_id: str
    interval: Interval
    start_frame: int
    end_frame: int
    origin: IntervalOrigin | WindowOrigin
    decision: Decision | None = None

    @property
    def frames(self) -> int:
        return self.end_frame - self.start_frame + 1

    @property
    def trim(self) -> tuple[int, int] | None:
        """First and last source frame to keep, where a person said so."""
        return None if self.decision is None else self.decision.trim

    def untrimmed(self) -> PlannedClip:
        """The clip as annotated: what people were shown."""
        return replace(self, decision=None)


@dataclass(frozen=True)
class Refusal:
    """An interval of one of the classes that cannot become a clip; ``clip_id`` where it is one window of it.

    ``failed`` may go better another time (a missing video that is put there), ``skipped`` may not.
    """

    interval: Interval
    status: Literal["failed", "skipped"]
    reason: ToolkitError
    clip_id: str | None = None

    @property
    def id(self) -> str:
        # Spans can be annotated twice; the index in the annotation file tells the rows apart.
        return f"{self.clip_id or self.interval.id}#{self.interval.index}"


@dataclass(frozen=True)
class Plan:
    """What to cut, and what not.

    Attributes:
        clips: in order of id. refusals: what cannot become a clip, in order of the annotation file.
        shortfalls: by how many clips a class falls short.
        left_out: clips that are not in the data set as people decided so, in order of id; they are among the refusals.
    """

    clips: tuple[PlannedClip, ...]
    refusals: tuple[Refusal, ...]
    shortfalls: Mapping[str, int]
    left_out: tuple[PlannedClip, ...] = ()


@dataclass(frozen=True)
class Knowledge:
    """What turned out about videos and intervals when they were opened.

    Attributes:
        frames: how many frames a video has, by name.
        unreadable: why a video cannot be read, by name.
        failed: ids of intervals that could not be cut (their video is damaged there).
    """

    frames: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, ToolkitError] = field(default_factory=dict)
    failed: Collection[str] = ()


NOTHING_KNOWN = Knowledge()


def plan_clips(
    corpus: Corpus,
    classes: ClassFile,
    *,
    per_class: int,
    shortfall: Shortfall = "accept",
    seed: int = 0,
    min_frames: int = MIN_FRAMES,
    known: Knowledge = NOTHING_KNOWN,
    decisions: Mapping[str, Decision] = MappingProxyType({}),
) -> Plan:
    """Chooses up to ``per_class`` intervals of each class.

    Within a class the next interval is always one of the person, then the dish, chosen least often so far; which of
    them is decided by ``seed``. An interval that overlaps a chosen one is refused, of the same class or another;
    classes with few intervals choose first. An interval that would be chosen, but whose video is missing, cannot be
    read or is too short, is refused as failed, and the next one takes its place. A class that falls short is accepted,
    filled with non-overlapping windows of its longest intervals (at least two seconds each), or stops everything.

    Then come the ``decisions`` of people, by clip id (`dataset_tools.places`): what the choice was without them stays,
    except for clips that they reject or move, and further intervals, chosen in the same way, take the free places.

    With more ``known`` about the videos of the clips that a plan has, the next plan differs; once all of them are
    known, the plan is the same as if all videos had been known from the start.

    Raises:
        InputError: no interval belongs to a class; or ``shortfall`` is ``stop`` and a class falls short (every such
            class is named).
    """
    candidates: dict[str, list[Interval]] = {one.id: [] for one in classes.classes}
    refusals: list[Refusal] = []
    for interval in corpus.annotations.intervals:
        found = classify(interval, classes)
        if found.status == "none":
            continue
        reason = _unfit(interval, found.candidates, min_frames)
        if reason is not None:
            refusals.append(Refusal(interval, "skipped", reason))
        elif interval.id not in known.failed:
            candidates[found.candidates[0]].append(interval)
    if not refusals and not known.failed and not any(candidates.values()):
        raise InputError(
            "No annotated interval belongs to any of the classes",
            where=corpus.annotations.path,
            expected=f"intervals of the classes of {classes.path}",
            next_step="see what there is with fmn-data classes, or propose classes with fmn-data classes --propose 20",
        )
    taken: dict[str, list[Interval]] = defaultdict(list)
    choosers: dict[str, Chooser] = {}
    planned: dict[str, list[PlannedClip]] = {}
    for class_id in sorted(candidates, key=lambda class_id: len(candidates[class_id])):
        chooser = choosers[class_id] = Chooser(class_id, candidates[class_id], taken, seed, corpus, known)
        chosen = list(islice(chooser, per_class))
        if shortfall == "windows":
            planned[class_id] = _with_windows(class_id, chosen, per_class, corpus.annotations.frame_rate)
        else:
            planned[class_id] = [whole_clip(class_id, interval) for interval in chosen]
    left_out: list[PlannedClip] = []
    if decisions:
        from dataset_tools.places import give_places

        planned, left_out, decided = give_places(planned, choosers, decisions, per_class)
        refusals += decided
    refusals += [refusal for chooser in choosers.values() for refusal in chooser.refusals]
    shortfalls = {
        one.id: per_class - len(planned[one.id]) for one in classes.classes if len(planned[one.id]) < per_class
    }
    if shortfalls and shortfall == "stop":
        counts = ", ".join(f"{class_id} {per_class - lack}" for class_id, lack in shortfalls.items())
        raise InputError(
            f"{len(shortfalls)} classes have fewer than {per_class} usable intervals: {counts}",
            where=corpus.annotations.path,
            expected=f"{per_class} usable intervals of every class",
            next_step="take fewer with --per-class, fill up with --shortfall windows, or accept it",
        )
    clips = sorted((clip for group in planned.values() for clip in group), key=lambda clip: clip.id)
    refusals.sort(key=lambda refusal: refusal.interval.index)
    return Plan(tuple(clips), tuple(refusals), shortfalls, tuple(sorted(left_out, key=lambda clip: clip.id)))


def _unfit(interval: Interval, fitting: Sequence[str], min_frames: int) -> SampleError | None:
    """Why an interval of one of the classes can never become a clip, if so."""
    if len(fitting) > 1:
        found, expected = f"The interval fits several classes: {', '.join(fitting)}", "attributes that fit one class"
    elif interval.end_frame < interval.start_frame or interval.start_frame < 1:
        found = f"The interval is not valid: from frame {interval.start_frame} to {interval.end_frame}"
        expected = "1 ≤ start ≤ end"
    elif interval.frames < min_frames:
        found, expected = f"The interval is too short: {interval.frames} frames", f"at least {min_frames} frames"
    else:
        return None
    return SampleError(found, where=interval.id, expected=expected)


def _out_of_reach(interval: Interval, corpus: Corpus, known: Knowledge) -> ToolkitError | None:
    """Why an interval cannot become a clip now, if so."""
    if interval.video not in corpus.videos:
        return SampleError(
            f"The video {interval.video} is missing",
            where=corpus.root,
            expected=f"{interval.video}.avi",
            next_step="put the video there, then run: fmn-data retry",
        )
    frames = known.frames.get(interval.video)
    if frames is not None and interval.end_frame > frames:
        return SampleError(
            f"The interval ends past the end of its video: at frame {interval.end_frame} of {frames}",
            where=f"{interval.id} in {corpus.videos[interval.video]}",
            expected="an interval within its video",
            next_step="copy the video again if it is cut short, then run: fmn-data retry",
        )
    return known.unreadable.get(interval.video)


class Chooser:
    """Gives the intervals of one class, one by one, the least-used person and dish first.

    Args:
        class_id: the class.
        intervals: those that fit it.
        taken: intervals that clips are cut from, by sequence; those given are added.
        seed: decides between intervals of one person and dish.
        corpus: has the videos.
        known: what turned out about them.

    Attributes:
        refusals: what was met on the way and cannot be a clip.
    """

    def __init__(
        self,
        class_id: str,
        intervals: Sequence[Interval],
        taken: dict[str, list[Interval]],
        seed: int,
        corpus: Corpus,
        known: Knowledge,
    ) -> None:
        luck = {
            interval.index: seed_of(seed, "choose", class_id, interval.id, interval.index) for interval in intervals
        }
        self.class_id = class_id
        self.refusals: list[Refusal] = []
        self._left = sorted(intervals, key=lambda interval: luck[interval.index])
        self._taken = taken
        self._corpus = corpus
        self._known = known
        self._persons: Counter[str] = Counter()
        self._dishes: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Interval]:
        return self

    def __next__(self) -> Interval:
        while self._left:
            # min() takes the first of equals, so luck decides between them.
            interval = min(self._left, key=lambda one: (self._persons[one.person], self._dishes[one.dish]))
            if self._takes(interval):
                return interval
        raise StopIteration

    def take(self, interval_id: str) -> Interval | None:
        """The interval of that id, out of turn; None when it was given already, or cannot be a clip."""
        found = next((one for one in self._left if one.id == interval_id), None)
        return found if found is not None and self._takes(found) else None

    def _takes(self, interval: Interval) -> bool:
        self._left.remove(interval)
        reason = _out_of_reach(interval, self._corpus, self._known)
        if reason is not None:
            self.refusals.append(Refusal(interval, "failed", reason))
            return False
        other = next((one for one in self._taken[interval.sequence] if _overlap(one, interval)), None)
        if other is not None:
            overlap = SampleError(
                f"The interval overlaps one that was chosen: {other.id}",
                where=interval.id,
                expected="clips that share no frame",
            )
            self.refusals.append(Refusal(interval, "skipped", overlap))
            return False
        self._taken[interval.sequence].append(interval)
        self._persons[interval.person] += 1
        self._dishes[interval.dish] += 1
        return True


def _overlap(one: Interval, other: Interval) -> bool:
    return one.start_frame <= other.end_frame and other.start_frame <= one.end_frame


def whole_clip(class_id: str, interval: Interval) -> PlannedClip:
    """The clip of a whole interval."""
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
        whole = whole_clip(class_id, interval)
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
