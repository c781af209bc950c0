"""Usable intervals: valid, long enough, and inside a readable video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dataset_tools.corpora.mpii.annotations import Interval
    from dataset_tools.corpora.mpii.mpii_corpus import Corpus

MIN_FRAMES = 15  # half a second: shorter intervals show no action


def why_unusable(
    interval: Interval, corpus: Corpus, min_frames: int = MIN_FRAMES
) -> Literal["invalid", "too_short", "without_video", "past_end"] | None:
    """The first reason why an interval cannot become a clip, or None where it can.

    Without any videos of MPII Cooking 2 none is missing: before they are there, the annotation file alone is worth a
    look. What ends past the end of its video is known once the videos were opened (`Corpus.frames`).

    Args:
        interval: 1-based, both ends included.
        corpus: which videos there are.
        min_frames: frames that an interval needs at least.
    """
    if interval.start_frame < 1 or interval.end_frame < interval.start_frame:
        return "invalid"
    if interval.frames < min_frames:
        return "too_short"
    if interval.video not in corpus.videos:
        return "without_video" if corpus.videos or corpus.is_own else None
    return "past_end" if interval.end_frame > corpus.frames.get(interval.video, interval.end_frame) else None
