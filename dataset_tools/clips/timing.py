"""At which constant rate a clip plays, and which source frame each of its frames shows (variable frame rate)."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from dataset_tools.video.decoding import Picture
from dataset_tools.video.frame_index import FrameIndex, simple_rate

MOST_RESAMPLED_FPS = 60
"""The highest rate that a clip is resampled to, unless its video's mean rate is higher."""


@dataclass(frozen=True)
class ClipTiming:
    """How a span of a video plays.

    Attributes:
        rate: frames per second.
        source_frames: the source frame that each frame of the clip shows; None: every one of the span, once.
    """

    rate: Fraction
    source_frames: tuple[int, ...] | None = None


def clip_timing(index: FrameIndex, start_frame: int, end_frame: int) -> ClipTiming:
    """The timing of the frames from ``start_frame`` to ``end_frame`` (1-based, both included), by their time stamps.

    The frames stay as they are where a constant rate, the video's or else their own mean, shows each within half a
    frame of its time. Otherwise they are resampled, so that what happens at 0.4 s plays at 0.4 s: frame k of the clip,
    from 0, shows what the source shows at (k + ½) / rate, at the rate of the first quartile of the steps between them,
    so that quick parts keep their frames. Without time stamps, the header's rate is all there is.
    """
    video_rate = Fraction(index.rate)
    if not index.stamps or start_frame == end_frame or end_frame > index.frames:
        return ClipTiming(video_rate)
    times_s = index.times_s(start_frame, end_frame)
    for rate in (video_rate, simple_rate((len(times_s) - 1) / times_s[-1])):
        if _is_even(times_s, rate):
            return ClipTiming(rate)
    steps_s = sorted(following - time for time, following in pairwise(times_s))
    rate = simple_rate(min(1 / steps_s[len(steps_s) // 4], max(Fraction(MOST_RESAMPLED_FPS), video_rate)))
    frames = max(1, round(times_s[-1] * rate))
    shown = (bisect_right(times_s, (place + Fraction(1, 2)) / rate, hi=len(times_s) - 1) for place in range(frames))
    return ClipTiming(rate, tuple(start_frame + place - 1 for place in shown))


def resampled(pictures: Iterator[Picture], source_frames: Sequence[int]) -> Iterator[Picture]:
    """The pictures that ``source_frames`` (ascending) names, each as often as it does."""
    counts = Counter(source_frames)
    for picture in pictures:
        for _ in range(counts[picture.number]):
            yield picture


def _is_even(times_s: Sequence[Fraction], rate: Fraction) -> bool:
    """Whether frames at ``rate`` are never half a frame from when they are shown; the last time is the end."""
    return all(abs(time_s * rate - place) < Fraction(1, 2) for place, time_s in enumerate(times_s))
