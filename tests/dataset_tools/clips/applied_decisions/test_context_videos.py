"""The videos that people are shown: the interval with a margin, whatever the trim."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import av

from dataset_tools.corpora.corpus import Corpus
from dataset_tools.label_studio.context_videos import shown_videos


def test_people_are_shown_the_interval_with_a_margin_whatever_the_trim(
    built: Any, corpus: Corpus, read_numbers: Callable[[Path], list[int]]
) -> None:
    rows = list(built.clip_rows().values())
    clip = next(row for row in rows if row.start_frame >= 41 and row.end_frame + 29 <= 330)
    videos = shown_videos(built, rows, jobs=2)
    shown = videos.by_clip[clip.id]
    assert videos.without_margin == 0
    assert (shown.first_frame, shown.frames) == (clip.start_frame - 10, 10 + clip.frames + 29)
    for row in rows:
        assert videos.by_clip[row.id].first_frame == max(1, row.start_frame - 10)
    luma = brightness(built.root / shown.path)
    assert luma[9] < 0.7 * luma[10]
    assert luma[10 + clip.frames] < 0.7 * luma[10 + clip.frames - 1]
    content = (built.root / shown.path).read_bytes()

    kept = (clip.start_frame + 5, clip.start_frame + 25)
    built.review(clip, "trim", trim=kept)
    built.build(corpus)
    assert read_numbers(built.root / built.clip_rows()[clip.id].path) == list(range(kept[0], kept[1] + 1))
    again = shown_videos(built, list(built.clip_rows().values()), jobs=2)
    assert again.by_clip[clip.id] == shown
    assert (built.root / shown.path).read_bytes() == content
    corpus.videos["s07-d20-cam-002"].unlink()  # the footage goes: what was cut is still shown
    corpus.videos["s08-d21-cam-002"].unlink()
    assert shown_videos(built, list(built.clip_rows().values())).by_clip == again.by_clip
    (built.root / shown.path).unlink()
    alone = shown_videos(built, list(built.clip_rows().values()))
    assert (alone.without_margin, alone.by_clip[clip.id].path) == (1, clip.path)


def brightness(path: Path) -> list[float]:
    """Mean luma of every frame."""
    with av.open(str(path)) as container:
        return [float(frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]
