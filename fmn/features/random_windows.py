"""Random windows of clips, on which a stream of the video backbone is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmn.features.config import VideoFeatureConfig


def random_window(samples: NDArray[Any], config: VideoFeatureConfig, rng: np.random.Generator) -> NDArray[Any]:
    """Crops a window of a clip at a random time and position; a short clip is looped, a single frame is repeated.

    Args:
        samples: [samples, height, width, C].
        config: size of the window.
        rng: random number generator.

    Returns:
        [window_frames, crop_px, crop_px, C]
    """
    count, height, width = samples.shape[:3]
    start = rng.integers(max(1, count - config.window_frames + 1))
    top, left = rng.integers(height - config.crop_px + 1), rng.integers(width - config.crop_px + 1)
    times = (start + np.arange(config.window_frames)) % count
    if config.frames == "middle":
        times[:] = rng.integers(count)
    return samples[times, top : top + config.crop_px, left : left + config.crop_px]


def mirrored(window: NDArray[Any]) -> NDArray[Any]:
    """Flips [T, H, W, C] horizontally; if there are two channels (flow), the horizontal component is negated."""
    window = window[:, :, ::-1]
    return window * np.array([-1, 1], window.dtype) if window.shape[3] == 2 else window
