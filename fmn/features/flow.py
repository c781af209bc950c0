"""Optical flow between adjacent samples (OpenCV), clipped and quantized to a signed byte.

The published flow network was trained on TV-L1 flow clipped to ±20 pixels and quantized to eight bits. The default here
is DIS, which every OpenCV build includes and which is more than ten times faster.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from fmn.features.config import FLOW_STEPS, FlowMethod

_DIS_PRESETS = {"dis": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, "dis_fast": cv2.DISOPTICAL_FLOW_PRESET_FAST}

cv2.setNumThreads(1)  # clips are processed in parallel


def estimator(method: FlowMethod) -> Any:
    """Creates a dense optical flow object for one pair of frames: on small frames, DIS changes its own parameters.

    Raises:
        InputError: TV-L1 is requested, but this OpenCV build has no contrib modules.
    """
    if method != "tvl1":
        return cv2.DISOpticalFlow.create(_DIS_PRESETS[method])
    if not hasattr(cv2, "optflow"):
        raise InputError(
            "TV-L1 flow is not available: OpenCV was built without its contrib modules",
            where=f"opencv {cv2.__version__}",
            expected="opencv-contrib-python-headless in place of opencv-python-headless",
            next_step="install it, or set flow='dis'",
        )
    return cv2.optflow.DualTVL1OpticalFlow_create()


def optical_flow(frames: NDArray[np.uint8], method: FlowMethod, bound_px: float) -> NDArray[np.int8]:
    """Computes the flow from each frame to the next; the last frame repeats the previous flow, a single frame has zero.

    Args:
        frames: [frames, height, width, 3], RGB.
        method: see `estimator`.
        bound_px: flow is clipped to ± this many pixels per frame.

    Returns:
        [frames, height, width, 2]: to the right and down, in units of ``bound_px`` / 127.
    """
    gray = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    if len(gray) == 1:
        return np.zeros((*frames.shape[:3], 2), np.int8)
    flows = [quantized(estimator(method).calc(before, after, None), bound_px) for before, after in pairwise(gray)]
    return np.stack([*flows, flows[-1]])


def quantized(flow_px: NDArray[np.float32], bound_px: float) -> NDArray[np.int8]:
    """Quantizes flow in pixels to signed bytes: clipped to ±``bound_px``, scaled to ±127, rounded."""
    scaled: NDArray[np.float32] = np.rint(np.clip(flow_px / bound_px, -1, 1) * FLOW_STEPS)
    return scaled.astype(np.int8)
