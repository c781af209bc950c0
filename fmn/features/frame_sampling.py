"""Frame sampling: samples at a constant rate, and windows of samples. Arithmetic only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_frames(times_s: NDArray[np.float64], sample_fps: float) -> NDArray[np.intp]:
    """The frames shown at the middle of each of round(duration · ``sample_fps``) equal parts of a clip.

    Args:
        times_s: when each frame appears, ascending, at least one.
        sample_fps: samples a second; at the frame rate of the clip or above, every frame is a sample once.

    Returns:
        Frame numbers from 0, ascending, without repetition.
    """
    frames = len(times_s)
    if frames < 2:
        return np.arange(frames)
    start = times_s[0]
    duration_s = (times_s[-1] - start) * frames / (frames - 1)  # the last frame is shown as long as the others
    samples = max(1, round(duration_s * sample_fps))
    if samples >= frames:
        return np.arange(frames)
    middles_s = start + (np.arange(samples) + 0.5) * (duration_s / samples) + 1e-6  # not left to rounding on a boundary
    shown: NDArray[np.intp] = np.searchsorted(times_s, middles_s, side="right") - 1
    return np.unique(shown)


def place_windows(samples: int, window_frames: int, windows: int) -> NDArray[np.intp]:
    """Sample numbers of the windows of a clip.

    At most ``windows``, as many as fit without overlap, spread evenly from the first to the last sample (one alone
    stands in the middle). A clip shorter than a window is repeated from its start.

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
