"""Seconds of a list as frames of its videos: the frames that are displayed then, by the videos' own timestamps."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path

from dataset_tools.core.count_of import first_of
from dataset_tools.core.errors import InputError
from dataset_tools.corpora.annotations.interval_list import SHOWN_PROBLEMS
from dataset_tools.video.frame_index import FrameIndex, copy_with_times

_TOLERANCE_S = Fraction(1, 1000)
"""Times are rounded to a few decimals, so a frame that begins up to a millisecond later still matches."""


def since_first_frame(start_s: float, end_s: float, lead_s: Fraction) -> tuple[float, float]:
    """Returns times of a player in seconds after the first frame is displayed, which it is ``lead_s`` after the start.

    Times before it become 0.
    """
    start, end = (float(max(Fraction(time_s) - lead_s, Fraction(0))) for time_s in (start_s, end_s))
    return start, end


def frames_between(start_s: float, end_s: float, index: FrameIndex | None, rate: Fraction) -> tuple[int, int]:
    """Returns the first and last frame displayed in [``start_s``, ``end_s``), at least one; 1-based, both included.

    An end up to one frame after that of the video is the video's: its length in seconds is often rounded.

    Args:
        start_s: seconds after the first frame is displayed.
        end_s: likewise.
        index: the video's frame index, with timestamps; None if the video cannot be read.
        rate: frames per second, used if there is no index.
    """
    if index is not None:
        tick_s = Fraction(index.tick_s)
        first, rate = index.stamps[0], Fraction(index.rate)
        start_frame = bisect_right(index.stamps, first + (Fraction(start_s) + _TOLERANCE_S) / tick_s)
        end_frame = bisect_left(index.stamps, first + (Fraction(end_s) - _TOLERANCE_S) / tick_s)
        past_s = Fraction(end_s) - index.duration_s
        if past_s > 1 / rate + _TOLERANCE_S:
            end_frame = index.frames + math.ceil(past_s * rate)  # planning will reject it, with the reason
    else:
        start_frame = math.floor((Fraction(start_s) + _TOLERANCE_S) * rate) + 1
        end_frame = math.ceil((Fraction(end_s) - _TOLERANCE_S) * rate)
    if end_s < start_s:
        return start_frame, min(end_frame, start_frame - 1)
    return start_frame, max(end_frame, start_frame)


def check_timestamps(indices: Mapping[str, FrameIndex], files: Mapping[str, Path], listing: Path) -> None:
    """Rejects seconds in videos whose frames have no timestamps: the frame rate in a header is not reliable.

    Raises:
        InputError: there are such videos; the message names them.
    """
    without = [name for name, index in indices.items() if not index.stamps]
    if without:
        shown = ", ".join(first_of([f"{files[name]} ({indices[name].no_times})" for name in without], SHOWN_PROBLEMS))
        command = copy_with_times(files[without[0]], indices[without[0]])
        raise InputError(
            f"Seconds cannot be converted to frames in {len(without)} of the videos: {shown}",
            where=listing,
            expected="videos whose frames have increasing timestamps, or start_frame and end_frame",
            next_step=f"use frames, or list a copy that has timestamps: {command}",
        )
