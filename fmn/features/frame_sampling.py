"""Frame sampling: samples at a constant rate, and windows of samples. Index arithmetic only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_frames(times_s: NDArray[np.float64], sample_fps: float) -> NDArray[np.intp]:
    """Selects the frames shown at the midpoints of round(duration · ``sample_fps``) equal parts of a clip.

    Args:
        times_s: presentation time of each frame, ascending, at least one.
        sample_fps: samples per second; at or above the clip's frame rate, every frame is sampled once.

    Returns:
        Frame numbers from 0, ascending, without repetition.
    """
    frames = len(times_s)
    if frames < 2:
        return np.arange(frames)
    start = times_s[0]
    duration_s = (times_s[-1] - start) * frames / (frames - 1)  # the last frame lasts as long as the others
    samples = max(1, round(duration_s * sample_fps))
    if samples >= frames:
        return np.arange(frames)
    middles_s = start + (np.arange(samples) + 0.5) * (duration_s / samples) + 1e-6  # no rounding at boundaries
    shown: NDArray[np.intp] = np.searchsorted(times_s, middles_s, side="right") - 1
    return np.unique(shown)


def place_windows(samples: int, window_frames: int, windows: int) -> NDArray[np.intp]:
    """Returns the sample numbers of the windows of a clip.

    At most ``windows``, as many as fit without overlap, evenly spaced from the first to the last sample (a single
    window is centered). A clip shorter than a window is looped.

    Returns:
        [windows, window_frames]
    """
    offsets = np.arange(window_frames)
    if samples < window_frames:
        return (offsets % samples)[None, :]
    count = min(windows, samples // window_frames)
    last_start = samples - window_frames
    starts = np.array([last_start // 2]) if count == 1 else np.arange(count) * last_start // (count - 1)
    return starts[:, None] + offsets
