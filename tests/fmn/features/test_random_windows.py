from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fmn.features.config import VideoFeatureConfig
from fmn.features.flow import optical_flow
from fmn.features.random_windows import mirrored, random_window


def test_a_random_window_lies_inside_and_reaches_everywhere(tiny: VideoFeatureConfig) -> None:
    # Each value tells its place: time in channel 0, row in 1, column in 2.
    shape = (11, 40, 53)
    samples = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).astype(np.uint8)
    rng = np.random.default_rng(0)
    corners = set()
    for _ in range(4000):
        window = random_window(samples, tiny, rng)
        assert window.shape == (8, 32, 32, 3)
        first, last = window[0, 0, 0], window[-1, -1, -1]
        assert (last - first).tolist() == [7, 31, 31]
        corners.add(tuple(first.tolist()))
    assert {t for t, _, _ in corners} == set(range(4))
    assert {y for _, y, _ in corners} == set(range(9))
    assert {x for _, _, x in corners} == set(range(22))


def test_the_flow_of_mirrored_frames_is_the_mirrored_flow(texture: Callable[..., NDArray[np.uint8]]) -> None:
    frames = texture(8, 64, 96, seed=5)  # moves across
    seen = mirrored(optical_flow(frames, "dis", 8.0)).astype(int)
    recomputed = optical_flow(np.ascontiguousarray(mirrored(frames)), "dis", 8.0).astype(int)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs(recomputed[inner][..., 0]).mean() > 5
    assert np.abs(seen[inner] - recomputed[inner]).mean() < 2


def test_a_single_frame_is_taken_from_anywhere_in_the_clip(tiny: VideoFeatureConfig) -> None:
    samples = np.broadcast_to(np.arange(30, dtype=np.uint8)[:, None, None, None], (30, 64, 64, 3))
    one = replace(tiny, frames="middle")
    seen = [np.unique(random_window(samples, one, np.random.default_rng(seed))) for seed in range(300)]
    assert {len(values) for values in seen} == {1}
    assert {int(values[0]) for values in seen} == set(range(30))


def test_a_short_clip_is_repeated(tiny: VideoFeatureConfig) -> None:
    samples = np.arange(3, dtype=np.uint8)[:, None, None, None] * np.ones((1, 32, 32, 2), np.uint8)
    window = random_window(samples, tiny, np.random.default_rng(0))
    assert window[:, 0, 0, 0].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
