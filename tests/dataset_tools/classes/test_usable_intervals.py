from __future__ import annotations

from pathlib import Path

import pytest

from dataset_tools.classes.usable_intervals import MIN_FRAMES, why_unusable
from dataset_tools.corpora.corpus import Annotations, Corpus, Interval


@pytest.mark.parametrize(
    ("start_frame", "end_frame", "reason"),
    [
        (1, MIN_FRAMES, None),
        (1, MIN_FRAMES - 1, "too_short"),
        (50, 49, "invalid"),
        (0, 100, "invalid"),  # frames count from 1
    ],
)
@pytest.mark.parametrize("videos", [{}, {"s07-d01-cam-002": Path("a.avi")}, {"s08-d01-cam-002": Path("b.avi")}])
def test_the_first_reason_counts(start_frame: int, end_frame: int, reason: str | None, videos: dict[str, Path]) -> None:
    interval = Interval(0, "s07-d01-cam-002", start_frame, end_frame, "wash", frozenset(), frozenset())
    corpus = Corpus(Path(), Annotations(Path("a.mat"), (interval,), 25.0, (), "test"), videos, {}, None, None)
    missing = reason is None and "s08-d01-cam-002" in videos  # without any videos none is missing
    assert why_unusable(interval, corpus) == ("without_video" if missing else reason)
