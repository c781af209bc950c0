"""Clip timing: constant output rate, and the source frame of each output frame (variable frame rate)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from dataset_tools.video.decoding import Picture
from dataset_tools.video.frame_index import FrameIndex, simple_rate

LONG_S = Fraction(1, 10)
"""A first or last frame is shortened only if more than this was not requested: less is one frame at usual rates."""

MOST_RESAMPLED_FPS = 60
"""The highest rate that a clip is resampled to, unless its video's mean rate is higher."""


@dataclass(frozen=True)
class ClipTiming:
    """Playback timing of a span of a video.

    Attributes:
        rate: frames per second.
        source_frames: the source frame that each frame of the clip shows; None: each frame of the span, once.
        skipped_s: seconds of the first source frame, a long one, that the clip does not show.
    """

    rate: Fraction
    source_frames: tuple[int, ...] | None = None
    skipped_s: Fraction = Fraction(0)


def clip_timing(
    index: FrameIndex,
    start_frame: int,
    end_frame: int,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
) -> ClipTiming:
    """The timing of the frames from ``start_frame`` to ``end_frame`` (1-based, both included), by their timestamps.

    The frames are unchanged if a constant rate, the video's or else their own mean, shows each within half a frame of
    its time. Otherwise they are resampled, so that what happens at 0.4 s plays at 0.4 s: frame k of the clip, from 0,
    shows what the source shows at (k + ½) / rate, where the rate is that of the first quartile of the frame durations,
    so that fast parts keep their frames. Without timestamps, the header's rate is used.

    If a span in seconds after the video's first frame was requested, ``start_s`` and ``end_s``, a long first or last
    frame, as in a screen recording, is shown only for as long as requested.
    """
    video_rate = Fraction(index.rate)
    if not index.stamps or end_frame > index.frames:
        return ClipTiming(video_rate)
    whole_s = index.times_s(start_frame, end_frame)
    skipped_s, times_s = _within(whole_s, index.appears_s(start_frame), start_s, end_s)
    if start_frame == end_frame and times_s == whole_s:
        return ClipTiming(video_rate)
    for rate in (video_rate, simple_rate((len(times_s) - 1) / times_s[-1])):
        if _is_even(times_s, rate):
            return ClipTiming(rate, skipped_s=skipped_s)
    steps_s = sorted(following - time for time, following in pairwise(times_s))
    rate = simple_rate(min(1 / steps_s[len(steps_s) // 4], max(Fraction(MOST_RESAMPLED_FPS), video_rate)))
    frames = max(1, round(times_s[-1] * rate))
    shown = (bisect_right(times_s, (place + Fraction(1, 2)) / rate, hi=len(times_s) - 1) for place in range(frames))
    return ClipTiming(rate, tuple(start_frame + place - 1 for place in shown), skipped_s)


def _within(
    times_s: list[Fraction], first_s: Fraction, start_s: float | None, end_s: float | None
) -> tuple[Fraction, list[Fraction]]:
    """The times of a span whose first frame appears at ``first_s``, without what was not requested at its ends.

    Returns:
        What is left out of the first frame, and the times.
    """
    skipped_s = Fraction(start_s) - first_s if start_s is not None else Fraction(0)
    skipped_s = skipped_s if LONG_S < skipped_s < times_s[1] else Fraction(0)
    beyond_s = first_s + times_s[-1] - Fraction(end_s) if end_s is not None else Fraction(0)
    last_s = times_s[-1] - times_s[-2]
    beyond_s = beyond_s if LONG_S < beyond_s < last_s else Fraction(0)
    within_s = [Fraction(0), *(time_s - skipped_s for time_s in times_s[1:-1]), times_s[-1] - beyond_s - skipped_s]
    return skipped_s, within_s


def resampled(pictures: Iterator[Picture], source_frames: Sequence[int]) -> Iterator[Picture]:
    """Yields each frame as often as ``source_frames`` (ascending) contains it."""
    counts = Counter(source_frames)
    for picture in pictures:
        for _ in range(counts[picture.number]):
            yield picture


def _is_even(times_s: Sequence[Fraction], rate: Fraction) -> bool:
    """Whether a constant ``rate`` shows each frame within half a frame of its time; the last time is the end."""
    return all(abs(time_s * rate - place) < Fraction(1, 2) for place, time_s in enumerate(times_s))
