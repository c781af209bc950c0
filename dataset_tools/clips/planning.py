"""Clip planning: which intervals become clips, balanced and deterministic, with a reason for each refusal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from dataset_tools.classes.matching import classify
from dataset_tools.classes.triplets import ClassFile
from dataset_tools.classes.usable_intervals import MIN_FRAMES, why_unusable
from dataset_tools.clips.clip_plan import Plan, PlannedClip, Refusal, whole_clip
from dataset_tools.clips.interval_selection import NOTHING_KNOWN, IntervalSampler, SourceStatus, out_of_reach
from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError, SampleError, group_reasons
from dataset_tools.corpora.corpus import Annotations, Corpus, Interval
from dataset_tools.manifests import WindowOrigin

if TYPE_CHECKING:
    from dataset_tools.decisions.majority_rule import Decision

Shortfall = Literal["accept", "windows", "stop"]

MIN_WINDOW_S = 2.0


def plan_clips(
    corpus: Corpus,
    classes: ClassFile,
    *,
    per_class: int,
    shortfall: Shortfall = "accept",
    seed: int = 0,
    min_frames: int = MIN_FRAMES,
    known: SourceStatus = NOTHING_KNOWN,
    decisions: Mapping[str, Decision] = MappingProxyType({}),
) -> Plan:
    """Chooses up to ``per_class`` intervals of each class.

    Within a class, the next interval is always one of the person, then the dish, chosen least often so far; ``seed``
    breaks ties. An interval that overlaps a chosen one, of the same class or another, is refused, unless they share
    only one boundary frame, which the later one loses; classes with few intervals choose first. An interval that would
    be chosen, but whose video is missing, unreadable or too short, is refused as failed, and the next one takes its
    place. A class that falls short is accepted, filled with non-overlapping windows of its longest intervals (at least
    two seconds and ``min_frames`` frames each), or raises an error, depending on ``shortfall``.

    Annotators' ``decisions``, by clip id, are applied last (`dataset_tools.clips.applied_decisions`): the selection
    without them stays, except for clips that they reject or move, and clips without a decision that overlap one that
    they keep; further intervals, selected in the same way, take the free places.

    More information (``known``) on the videos of a plan's clips changes the next plan; once all of them are known, the
    plan is the same as if all videos had been known from the start.

    Raises:
        InputError: no interval belongs to a class; or ``shortfall`` is ``stop`` and a class falls short (every such
            class is named).
    """
    candidates, refusals = _candidates(corpus, classes, known, min_frames)
    moved_in = _moved_in(corpus, classes, decisions, known, min_frames)
    taken: dict[str, list[Interval]] = defaultdict(list)
    kept = _kept([*chain.from_iterable(candidates.values()), *moved_in], candidates, decisions, corpus, known)
    samplers: dict[str, IntervalSampler] = {}
    planned: dict[str, list[PlannedClip]] = {}
    for class_id in sorted(candidates, key=lambda class_id: len(candidates[class_id])):
        sampler = samplers[class_id] = IntervalSampler(class_id, candidates[class_id], taken, seed, corpus, known, kept)
        chosen = list(islice(sampler, per_class))
        if shortfall == "windows":
            planned[class_id] = _with_windows(class_id, chosen, per_class, corpus.annotations, min_frames)
        else:
            planned[class_id] = [whole_clip(class_id, interval) for interval in chosen]
    left_out: list[PlannedClip] = []
    if decisions:
        from dataset_tools.clips.applied_decisions import apply_decisions

        outside = IntervalSampler("", moved_in, taken, seed, corpus, known, kept)
        planned, left_out, decided = apply_decisions(planned, samplers, outside, decisions, per_class)
        refusals += [*decided, *outside.refusals]
    refusals += [refusal for sampler in samplers.values() for refusal in sampler.refusals]
    shortfalls = {
        one.id: per_class - len(planned[one.id]) for one in classes.classes if len(planned[one.id]) < per_class
    }
    if shortfalls and shortfall == "stop":
        lost = [one for class_id in shortfalls for one in samplers[class_id].refusals if one.status == "failed"]
        raise _too_few(shortfalls, per_class, lost, corpus, are_opened=known is not NOTHING_KNOWN)
    clips = _without_shared_frames(sorted(chain.from_iterable(planned.values()), key=lambda clip: clip.id))
    refusals.sort(key=lambda refusal: refusal.interval.index)
    return Plan(tuple(clips), tuple(refusals), shortfalls, tuple(sorted(left_out, key=lambda clip: clip.id)))


def _too_few(
    shortfalls: Mapping[str, int], per_class: int, lost: Sequence[Refusal], corpus: Corpus, *, are_opened: bool
) -> InputError:
    """Returns the error of classes that fall short, with the reasons why intervals of theirs cannot become clips."""
    usable = count_of(per_class, "usable interval")
    short = count_of(len(shortfalls), "class has", "classes have")
    counts = ", ".join(f"{class_id} {per_class - lack}" for class_id, lack in shortfalls.items())
    reasons = group_reasons(refusal.reason for refusal in lost)
    later = "" if are_opened else "; the videos are opened after this check, and damaged ones leave fewer"
    return InputError(
        f"{short} fewer than {usable}: {counts}" + "".join(f"\n  - {reason.text()}" for reason in reasons),
        where=corpus.annotations.path,
        expected=f"{usable} of every class{later}",
        next_step="take fewer with --per-class, fill up with --shortfall windows, or accept it",
    )


def _candidates(
    corpus: Corpus, classes: ClassFile, known: SourceStatus, min_frames: int
) -> tuple[dict[str, list[Interval]], list[Refusal]]:
    """Returns the intervals that can become clips, by class, and those that never can.

    Raises:
        InputError: no interval belongs to a class.
    """
    candidates: dict[str, list[Interval]] = {one.id: [] for one in classes.classes}
    refusals: list[Refusal] = []
    for interval in corpus.annotations.intervals:
        matches = classify(interval, classes)
        if matches.status == "none":
            continue
        reason = _why_unfit(interval, matches.candidates, corpus, min_frames)
        if reason is not None:
            refusals.append(Refusal(interval, "skipped", reason))
        elif interval.id not in known.failed:
            candidates[matches.candidates[0]].append(interval)
    if not refusals and not known.failed and not any(candidates.values()):
        raise InputError(
            "No annotated interval belongs to any of the classes",
            where=corpus.annotations.path,
            expected=f"intervals of the classes of {classes.path}",
            next_step=f"draft a class file with: {corpus.draft_command}; or name yours with --class-file"
            if corpus.draft_command
            else "see what there is with fmn-data classes, or propose classes with fmn-data classes --propose 20",
        )
    return candidates, refusals


def _moved_in(
    corpus: Corpus, classes: ClassFile, decisions: Mapping[str, Decision], known: SourceStatus, min_frames: int
) -> list[Interval]:
    """Returns the intervals of none of the classes that people assigned to one of them, while more were in use."""
    class_ids = {one.id for one in classes.classes}
    moved = {one.id for one in decisions.values() if one.verdict != "reject" and one.may_have_moved}
    return [
        interval
        for interval in corpus.annotations.intervals
        if interval.id in moved
        and decisions[interval.id].class_id in class_ids
        and interval.id not in known.failed
        and classify(interval, classes).status == "none"
        and _why_unfit(interval, (), corpus, min_frames) is None
    ]


def _kept(
    candidates: Iterable[Interval],
    class_ids: Collection[str],
    decisions: Mapping[str, Decision],
    corpus: Corpus,
    known: SourceStatus,
) -> dict[str, list[Interval]]:
    """Returns the intervals that people kept in a known class, by sequence."""
    kept: dict[str, list[Interval]] = defaultdict(list)
    for interval in candidates:
        decision = decisions.get(interval.id)
        if decision is None or decision.verdict == "reject" or decision.class_id not in class_ids:
            continue
        if out_of_reach(interval, corpus, known) is None:
            kept[interval.sequence].append(interval)
    return kept


def _without_shared_frames(clips: Sequence[PlannedClip]) -> list[PlannedClip]:
    """Removes the frame that touching intervals share from the later clip; the id still has the annotated frames."""
    ends: dict[str, int] = {}
    first: dict[str, int] = {}
    for clip in sorted(clips, key=lambda clip: (clip.interval.sequence, clip.start_frame)):
        first[clip.id] = max(clip.start_frame, ends.get(clip.interval.sequence, 0) + 1)
        ends[clip.interval.sequence] = clip.end_frame
    return [replace(clip, start_frame=first[clip.id]) for clip in clips]


def _why_unfit(interval: Interval, fitting: Sequence[str], corpus: Corpus, min_frames: int) -> SampleError | None:
    """Why an interval of one of the classes can never become a clip; None if it may."""
    reason = why_unusable(interval, corpus, min_frames)
    if len(fitting) > 1:
        found, expected = f"The interval fits several classes: {', '.join(fitting)}", "attributes that fit one class"
    elif reason == "invalid":
        found = f"The interval is not valid: from frame {interval.start_frame} to {interval.end_frame}"
        expected = "1 ≤ start ≤ end"
    elif reason == "too_short":
        found = f"The interval has fewer than {min_frames} frames: {interval.frames}"
        expected = f"at least {min_frames} frames: less shows no action"
    else:
        return None  # a missing video is reported when the interval is chosen
    return SampleError(found, where=interval.id, expected=expected)


def _with_windows(
    class_id: str, chosen: Sequence[Interval], per_class: int, annotations: Annotations, min_frames: int
) -> list[PlannedClip]:
    """Splits the longest intervals, always the one whose windows remain longest, until there are enough clips."""
    rates = [annotations.rate_of(interval) for interval in chosen]
    shortest = [max(min_frames, round(MIN_WINDOW_S * rate)) for rate in rates]
    windows = [1] * len(chosen)
    while sum(windows) < per_class:
        lengths = [interval.frames // (count + 1) for interval, count in zip(chosen, windows, strict=True)]
        divisible = [place for place, length in enumerate(lengths) if length >= shortest[place]]
        if not divisible:
            break
        windows[max(divisible, key=lambda place: lengths[place] / rates[place])] += 1
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
