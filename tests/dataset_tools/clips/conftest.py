"""Intervals and corpora of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from dataset_tools.corpora.mpii.annotations import Annotations, Interval
from dataset_tools.corpora.mpii.mpii_corpus import Corpus


@pytest.fixture
def make_interval() -> Callable[..., Interval]:
    """An interval of ``verb`` and ``things``; its index in the annotation file counts up."""
    count = itertools.count()

    def make(
        sequence: str, start: int, end: int, verb: str = "cut", things: str = "carrot knife", video: str | None = None
    ) -> Interval:
        return Interval(
            index=next(count),
            video=video or f"{sequence}-cam-002",
            start_frame=start,
            end_frame=end,
            verb=verb,
            things=frozenset(things.split()),
            verbs=frozenset([verb]),
        )

    return make


@pytest.fixture
def make_corpus(tmp_path: Path) -> Callable[..., Corpus]:
    """A corpus of intervals; ``videos`` are by name, or (None) said to be there, all of them."""

    def make(intervals: Sequence[Interval], videos: dict[str, Path] | None = None) -> Corpus:
        root = tmp_path / "mpii"
        root.mkdir(exist_ok=True)
        mat = root / "annotations.mat"
        mat.write_text(repr(intervals))
        if videos is None:
            videos = {interval.video: root / f"{interval.video}.avi" for interval in intervals}
        return Corpus(
            root=root,
            annotations=Annotations(mat, tuple(intervals), 29.4, (), "made for tests"),
            videos=videos,
            splits={},
            standin=None,
            sentences=None,
        )

    return make
