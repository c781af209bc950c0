"""Which annotated intervals are usable as clips: valid, long enough, with a video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from dataset_tools.corpora.mpii.annotations import Interval
    from dataset_tools.corpora.mpii.mpii_corpus import Corpus

MIN_FRAMES = 15  # half a second: shorter intervals show no action


def why_unusable(
    interval: Interval, corpus: Corpus, min_frames: int = MIN_FRAMES
) -> Literal["invalid", "too_short", "without_video"] | None:
    """The first reason why an interval cannot become a clip, or None where it can.

    Without any videos none is missing: before they are there, the annotation file alone is worth a look.

    Args:
        interval: 1-based, both ends included.
        corpus: which videos there are.
        min_frames: frames that an interval needs at least.
    """
    if interval.start_frame < 1 or interval.end_frame < interval.start_frame:
        return "invalid"
    if interval.frames < min_frames:
        return "too_short"
    return "without_video" if corpus.videos and interval.video not in corpus.videos else None
