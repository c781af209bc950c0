"""Windows of cropped frames and optical flow, the inputs of the networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fmn.features.config import VideoFeatureConfig
from fmn.features.flow import optical_flow
from fmn.features.frame_sampling import place_windows, sample_frames
from fmn.features.frames import read_frames

Pixels = TypeVar("Pixels", np.uint8, np.int8)


@dataclass(frozen=True)
class ClipSamples:
    """All samples of a clip, resized but not cropped, from which training draws random windows and crops.

    Attributes:
        rgb: uint8 ``[samples, height, width, 3]``.
        flow: int8 ``[samples, height, width, 2]`` (see `optical_flow`), or None.
    """

    rgb: NDArray[np.uint8]
    flow: NDArray[np.int8] | None


@dataclass(frozen=True)
class ClipWindows:
    """The windows of a clip over which its feature is pooled.

    Attributes:
        rgb: uint8 ``[windows, window_frames, crop_px, crop_px, 3]``.
        flow: int8 ``[windows, window_frames, crop_px, crop_px, 2]``, or None.
    """

    rgb: NDArray[np.uint8]
    flow: NDArray[np.int8] | None


def read_samples(path: Path, config: VideoFeatureConfig) -> ClipSamples:
    """Reads all samples of a clip and computes the flow between them.

    Raises:
        SampleError: the file cannot be read (see `read_frames`).
    """

    def all_samples(times_s: NDArray[np.float64]) -> NDArray[np.intp]:
        return sample_frames(times_s, config.sample_fps)

    rgb, _ = read_frames(path, all_samples, resize_px=config.resize_px, resize=config.resize)
    flow = None if config.flow == "none" else optical_flow(rgb, config.flow, config.flow_bound_px)
    return ClipSamples(rgb, flow)


def read_windows(path: Path, config: VideoFeatureConfig) -> ClipWindows:
    """Reads the windows of a clip, center-cropped; only the frames they need are converted.

    Raises:
        SampleError: the file cannot be read (see `read_frames`).
    """

    def needed_samples(times_s: NDArray[np.float64]) -> NDArray[np.intp]:
        plan = _Plan.of(times_s, config)
        return plan.frames[plan.samples]

    rgb, times_s = read_frames(path, needed_samples, resize_px=config.resize_px, resize=config.resize)
    plan = _Plan.of(times_s, config)
    place = np.searchsorted(plan.samples, plan.windows)  # sample number → index among those read
    flow = None
    if config.flow != "none":
        gaps = np.flatnonzero(np.diff(plan.samples) > 1) + 1  # no flow across gaps
        flow = np.concatenate([optical_flow(run, config.flow, config.flow_bound_px) for run in np.split(rgb, gaps)])
        flow = center_crop(flow, config.crop_px)[place]
    return ClipWindows(center_crop(rgb, config.crop_px)[place], flow)


def windows_of(samples: int, config: VideoFeatureConfig, window_frames: int | None = None) -> NDArray[np.intp]:
    """[windows, window_frames]: sample numbers of the windows over which a clip's feature is pooled."""
    window_frames = window_frames or config.window_frames
    if config.frames == "middle":
        return np.full((1, window_frames), samples // 2)
    return place_windows(samples, window_frames, config.windows)


def center_crop(frames: NDArray[Pixels], crop_px: int) -> NDArray[Pixels]:
    """[frames, height, width, C] -> [frames, crop_px, crop_px, C]; an odd pixel is cropped at the bottom and right."""
    height, width = frames.shape[1:3]
    top, left = (height - crop_px) // 2, (width - crop_px) // 2
    return frames[:, top : top + crop_px, left : left + crop_px]


@dataclass(frozen=True)
class _Plan:
    """The frames of a clip to be read, ``frames[samples]``, for ``windows``.

    Attributes:
        frames: frame number of every sample of the clip.
        windows: ``[windows, window_frames]`` sample numbers.
        samples: the sample numbers of the windows, plus the sample after each window for the flow of its last sample.
    """

    frames: NDArray[np.intp]
    windows: NDArray[np.intp]
    samples: NDArray[np.intp]

    @classmethod
    def of(cls, times_s: NDArray[np.float64], config: VideoFeatureConfig) -> _Plan:
        frames = sample_frames(times_s, config.sample_fps)
        windows = windows_of(len(frames), config)
        seen = np.unique(windows)
        if config.frames == "middle":
            return cls(frames, windows, seen)
        return cls(frames, windows, np.union1d(seen, seen[seen + 1 < len(frames)] + 1))
