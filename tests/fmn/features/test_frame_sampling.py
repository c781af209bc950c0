from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmn.features.frame_sampling import place_windows, sample_frames


def test_a_tenth_of_the_rate_takes_the_frame_shown_at_the_middle_of_each_ten() -> None:
    # Sample k stands at (k + .5) / 3 s; frame n is shown from n / 30 s on: n = 10 k + 5.
    assert sample_frames(np.arange(150) / 30, 3.0).tolist() == list(range(5, 150, 10))


def test_at_the_frame_rate_or_above_every_frame_is_taken_once() -> None:
    times_s = np.arange(50) / 29.4
    for sample_fps in (29.4, 60.0):
        assert sample_frames(times_s, sample_fps).tolist() == list(range(50))


def test_29_4_to_25_frames_a_second() -> None:
    chosen = sample_frames(np.arange(294) / 29.4, 25.0)
    assert chosen.tolist() == [int((k + 0.5) / 25 * 29.4) for k in range(250)]


def test_a_clip_shorter_than_a_sample_gives_its_middle() -> None:
    assert sample_frames(np.arange(3) / 30, 1.0).tolist() == [1]
    assert sample_frames(np.array([7.0]), 1.0).tolist() == [0]


def test_uneven_times_are_followed() -> None:
    # One frame stands for a second, nine follow within .9 s: at 2 samples a second two of four see the first frame.
    times_s = np.array([0.0, *np.arange(1.0, 1.9, 0.1)])
    assert sample_frames(times_s, 2.0).tolist()[0] == 0
    assert sample_frames(times_s, 2.0).tolist()[1] > 0


@given(st.integers(1, 400), st.floats(5, 60), st.floats(0.5, 60), st.floats(0, 1e4))
def test_samples_are_frames_in_order_and_about_as_many_as_asked(
    n: int, fps: float, wanted: float, start: float
) -> None:
    chosen = sample_frames(start + np.arange(n) / fps, wanted)
    assert chosen.min() >= 0
    assert chosen.max() < n
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) <= n
    assert abs(len(chosen) - min(n, max(1, n / fps * wanted))) <= 1


def test_one_window_stands_in_the_middle() -> None:
    assert place_windows(21, 16, 4).tolist() == [list(range(2, 18))]
    assert place_windows(100, 16, 1).tolist() == [list(range(42, 58))]


def test_windows_are_spread_from_the_first_to_the_last_sample() -> None:
    assert place_windows(100, 16, 3)[:, 0].tolist() == [0, 42, 84]
    assert place_windows(48, 16, 9)[:, 0].tolist() == [0, 16, 32]


def test_a_short_clip_is_repeated_from_its_start() -> None:
    assert place_windows(3, 8, 4).tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert place_windows(1, 8, 1).tolist() == [[0] * 8]


@given(st.integers(1, 500), st.integers(1, 64), st.integers(1, 12))
def test_windows_are_runs_inside_the_clip_that_do_not_overlap(samples: int, length: int, most: int) -> None:
    placed = place_windows(samples, length, most)
    assert placed.shape == (max(1, min(most, samples // length)), length)
    assert placed.min() >= 0
    assert placed.max() < samples
    if samples >= length:
        assert (np.diff(placed, axis=1) == 1).all()
        assert (np.diff(placed[:, 0]) >= length).all()


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_clip_of_one_window_gives_it_whole(most: int) -> None:
    assert place_windows(16, 16, most).tolist() == [list(range(16))]
