"""Frame numbering of an annotation file: 0-based or 1-based, end inclusive or not; verified, not assumed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.count_of import count_of
from dataset_tools.corpora.mpii.columns import Columns


def judge_frame_numbers(columns: Columns) -> tuple[int, tuple[str, ...]]:
    """Compares the frame numbers with the file's times in seconds, and neighboring intervals with each other.

    At f frames per second, frame n of a video lasts from (n - first) / f to (n + 1 - first) / f, where first is the
    number of a video's first frame. So f × startTimeSeconds - startFrame is -first, and f × endTimeSeconds - endFrame
    is 1 - first if the end is included. Both are 0 if the seconds are just frame / f, which leaves first undetermined.

    Returns:
        The number of the first frame of a video, and the findings, as full sentences.
    """
    start_offset = _median_offset(columns.start_s, columns.start_frames, columns.frame_rate)
    end_offset = _median_offset(columns.end_s, columns.end_frames, columns.frame_rate)
    zeros = int(np.count_nonzero(columns.start_frames == 0))
    match (start_offset, end_offset):
        case (None, _) | (_, None):
            seconds = "The file has no seconds to check the frame numbers with."
        case (-1, 0):
            seconds = "Its seconds confirm that frames count from 1 and that the end frame is included."
        case (-1, -1):
            seconds = "Its seconds confirm that frames count from 1; they do not show whether the end is included."
        case (0, 1):
            seconds = "Its seconds show that frames count from 0 and that the end frame is included."
        case (0, 0):
            seconds = "Its seconds are frame / frame rate, which leaves open where frames count from."
        case _:
            seconds = (
                "Its seconds disagree with its frames: "
                f"the median difference is {start_offset} frames at the start and {end_offset} at the end."
            )
    from_zero = (zeros > 0 and start_offset != -1) or (start_offset, end_offset) == (0, 1)
    notes = [
        seconds,
        f"Frames are taken to count from 0 ({count_of(zeros, 'interval starts', 'intervals start')} at frame "
        "0), and were shifted by one."
        if from_zero
        else "Frames are taken to count from 1, the end frame included.",
    ]
    shared, adjoining = _neighbors(columns)
    if shared or adjoining:
        notes.append(
            f"{count_of(adjoining, 'interval starts', 'intervals start')} on the frame after the end of the "
            f"previous one, {shared} on its end frame"
            " (many of the latter would show that the end is not included)."
        )
    return (0 if from_zero else 1), tuple(notes)


def _median_offset(seconds: NDArray[np.float64] | None, frames: NDArray[np.int64], frame_rate: float) -> int | None:
    """Returns the median of f × seconds - frames [N], rounded to whole frames."""
    return None if seconds is None else round(float(np.median(seconds * frame_rate - frames)))


def _neighbors(columns: Columns) -> tuple[int, int]:
    """Counts intervals that start on the last frame of another one in their video, and those on the frame after it."""
    starts = set(zip(columns.videos, columns.start_frames.tolist(), strict=True))
    ends = list(zip(columns.videos, columns.end_frames.tolist(), strict=True))
    return sum(end in starts for end in ends), sum((video, end + 1) in starts for video, end in ends)
