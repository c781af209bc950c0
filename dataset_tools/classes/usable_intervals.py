"""Usable intervals: valid, long enough, and inside a readable video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dataset_tools.corpora.corpus import Corpus, Interval

MIN_FRAMES = 15
"""Minimum length of an interval at any frame rate: networks see frames, and too few of them show no action.

It is half a second of MPII Cooking 2 (29.4 frames per second), and 1.5 s at 10 frames per second.
"""


def why_unusable(
    interval: Interval, corpus: Corpus, min_frames: int = MIN_FRAMES
) -> Literal["invalid", "too_short", "without_video", "past_end"] | None:
    """Returns the first reason why an interval cannot become a clip, or None if it can.

    If there are no videos of MPII Cooking 2 at all, none counts as missing, so that the annotation file can be examined
    before the videos are downloaded. ``past_end`` requires opened videos (`Corpus.frames`).

    Args:
        interval: 1-based, both ends included.
        corpus: which videos there are.
        min_frames: minimum length of an interval, in frames.
    """
    if interval.start_frame < 1 or interval.end_frame < interval.start_frame:
        return "invalid"
    if interval.is_measured and interval.frames < min_frames:
        return "too_short"
    if interval.video not in corpus.videos:
        return "without_video" if corpus.videos or corpus.is_own else None
    return "past_end" if interval.end_frame > corpus.frames.get(interval.video, interval.end_frame) else None
