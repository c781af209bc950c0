from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fmn.features.config import VideoFeatureConfig
from fmn.features.frame_sampling import place_windows
from fmn.features.media import Media
from fmn.features.windows import center_crop, read_samples, read_windows


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"windows": 1},
        {"windows": 5},
        {"sample_fps": 25.0},
        {"sample_fps": 25.0, "windows": 2},  # gaps between the windows
        {"window_frames": 30},  # longer than the clip
        {"resize": "square"},
        {"flow": "none"},
    ],
    ids=str,
)
def test_windows_are_crops_of_the_samples(
    write_clip: Callable[..., Media], tiny: VideoFeatureConfig, change: dict[str, object]
) -> None:
    config = replace(tiny, **change)  # type: ignore[arg-type]
    clip = write_clip("clip", frames=60)
    samples, windows = read_samples(clip.path, config), read_windows(clip.path, config)
    placed = place_windows(len(samples.rgb), config.window_frames, config.windows)
    height, width = samples.rgb.shape[1:3]
    top, left = (height - 32) // 2, (width - 32) // 2
    assert windows.rgb.shape == (*placed.shape, 32, 32, 3)
    assert np.array_equal(windows.rgb, samples.rgb[:, top : top + 32, left : left + 32][placed])
    if config.flow == "none":
        assert windows.flow is None
        assert samples.flow is None
    else:
        assert windows.flow is not None
        assert samples.flow is not None
        assert np.array_equal(windows.flow, samples.flow[:, top : top + 32, left : left + 32][placed])


def test_the_short_side_is_resized_and_the_sample_rate_kept(
    write_clip: Callable[..., Media], tiny: VideoFeatureConfig
) -> None:
    samples = read_samples(write_clip("clip", frames=50).path, tiny)  # 64 × 48, 2 s
    assert samples.rgb.shape == (16, 40, 53, 3)
    assert samples.flow is not None
    assert samples.flow.shape == (16, 40, 53, 2)
    assert read_samples(write_clip("clip", frames=50).path, replace(tiny, resize="square")).rgb.shape[1:3] == (40, 40)


def test_flow_is_in_pixels_of_the_resized_frame(write_clip: Callable[..., Media], tiny: VideoFeatureConfig) -> None:
    # 2 px a frame of 48 rows at 25 fps: at 12.5 samples a second of 40 rows that is 2 · 2 · 40 / 48 = 3.33 px.
    flow = read_samples(write_clip("clip", frames=50).path, replace(tiny, sample_fps=12.5)).flow
    assert flow is not None
    assert np.median(flow[:, 10:-10, 14:-14, 0]) * 5 / 127 == pytest.approx(10 / 3, abs=0.2)


def test_an_odd_remainder_is_cut_below_and_to_the_right() -> None:
    frames = np.arange(5 * 6, dtype=np.uint8).reshape(1, 5, 6, 1)
    assert center_crop(frames, 4)[0, :, :, 0].tolist() == [[1 + 6 * r + c for c in range(4)] for r in range(4)]
    assert center_crop(frames, 3)[0, 0, 0, 0] == 6 + 1


def test_the_middle_frame_alone_is_repeated_and_does_not_move(
    write_clip: Callable[..., Media], tiny: VideoFeatureConfig
) -> None:
    path = write_clip("clip", frames=51).path
    windows = read_windows(path, replace(tiny, frames="middle"))
    every = read_samples(path, tiny).rgb
    middle = center_crop(every[len(every) // 2][None], tiny.crop_px)[0]
    assert windows.rgb.shape[:2] == (1, tiny.window_frames)
    assert all(np.array_equal(frame, middle) for frame in windows.rgb[0])
    assert windows.flow is not None
    assert not windows.flow.any()
