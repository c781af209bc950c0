from __future__ import annotations

import itertools

import numpy as np
import pytest

from dataset_tools.corpora.standin.motions import FRAME_WIDTH_PX, IDLE, MOTIONS, MotionStyle, ease, motion_path

SAMPLES_PER_S = 200
TIME = np.arange(20 * SAMPLES_PER_S) / SAMPLES_PER_S
SHARE = np.linspace(0, 1, len(TIME))


def strongest_frequency_hz(values: np.ndarray) -> float:
    power = np.abs(np.fft.rfft(values - values.mean())) ** 2
    return float(np.fft.rfftfreq(len(values), 1 / SAMPLES_PER_S)[power.argmax()])


def test_there_are_the_nine_actions_of_the_paper() -> None:
    paper = {"pour", "cut", "sprinkle", "squeeze", "stir", "take-out", "wash", "grate", "peel"}
    assert MOTIONS.keys() == paper


@pytest.mark.parametrize(
    ("motion", "course", "frequency_hz"),
    [
        ("cut", "along", 2.5),
        ("grate", "along", 1.5),
        ("peel", "along", 1.15),
        ("stir", "across", 1.4),
        ("wash", "across", 1.05),
        ("sprinkle", "turn_deg", 3.4),
        ("squeeze", "grip", 1.3),
    ],
)
def test_a_motion_has_its_rhythm(motion: str, course: str, frequency_hz: float) -> None:
    path = motion_path(motion, TIME, SHARE)
    assert strongest_frequency_hz(getattr(path, course)) == pytest.approx(frequency_hz, abs=0.05)


def test_stirring_goes_round_in_a_circle() -> None:
    path = motion_path("stir", TIME, SHARE)
    radius = np.hypot(path.along, path.across)
    # A quarter turn apart but for rounding: the circle is a little oval, never a line.
    assert radius.min() > 0.9 * radius.max()
    angle = np.unwrap(np.arctan2(path.along, path.across))
    assert abs(angle[-1] - angle[0]) == pytest.approx(2 * np.pi * 1.4 * 20, rel=0.01)


def test_washing_crosses_its_own_way_in_an_eight() -> None:
    path = motion_path("wash", TIME, SHARE)
    assert strongest_frequency_hz(path.along) == pytest.approx(2 * strongest_frequency_hz(path.across))


def test_grating_pulls_faster_than_it_pushes() -> None:
    speed = np.diff(motion_path("grate", TIME, SHARE).along)
    assert -speed.min() > 1.7 * speed.max()


def test_peeling_pulls_on_the_thing_and_goes_back_beside_it() -> None:
    path = motion_path("peel", TIME, SHARE)
    pulling = np.diff(path.along) < -1e-6
    going_back = np.diff(path.along) > 1e-6
    assert path.across[:-1][pulling].max() < 0.25 * path.across[:-1][going_back].max()


def test_cutting_moves_on_across_the_thing() -> None:
    path = motion_path("cut", TIME, SHARE)
    assert np.ptp(path.across) > 15
    assert strongest_frequency_hz(path.across) < 0.6


def test_pouring_turns_over_once_and_back() -> None:
    turn = motion_path("pour", TIME, SHARE).turn_deg
    assert turn[0] == turn[-1] == pytest.approx(0, abs=1e-6)
    assert turn.max() > 90
    assert (turn[len(turn) * 45 // 100 : len(turn) * 65 // 100] > 80).all()


def test_taking_out_ends_elsewhere_and_nothing_else_does() -> None:
    for motion in (*MOTIONS, *IDLE):
        way = motion_path(motion, TIME, SHARE).way
        if motion == "take-out":
            assert (way[0], way[-1]) == (0, 1)
            assert (np.diff(way) >= 0).all()
        else:
            assert not way.any()


def test_motions_are_sizable_and_idle_hands_are_slow() -> None:
    for motion in MOTIONS.keys() - {"take-out", "squeeze"}:  # the first goes far, the second turns on the spot
        path = motion_path(motion, TIME, SHARE)
        assert max(np.ptp(path.along), np.ptp(path.across)) >= 0.1 * FRAME_WIDTH_PX, motion
    fast = {}
    for motion in (*(MOTIONS.keys() - {"take-out", "pour"}), "hover", "rest"):
        path = motion_path(motion, TIME, SHARE)
        way = np.hypot(np.diff(path.along), np.diff(path.across)).mean() * SAMPLES_PER_S
        fast[motion] = way + np.abs(np.diff(path.turn_deg)).mean() * SAMPLES_PER_S
    assert max(fast[motion] for motion in IDLE if motion in fast) * 3 < min(fast[m] for m in MOTIONS if m in fast)


def test_any_two_motions_are_different_paths() -> None:
    share = np.linspace(0, 1, 60)
    paths = {}
    for motion in MOTIONS:
        path = motion_path(motion, 2 * share, share)
        courses = [path.along, path.across, 0.5 * path.turn_deg, 100 * path.grip, 100 * path.way]
        paths[motion] = np.stack([course - course.mean() for course in courses])
    for one, other in itertools.combinations(paths, 2):
        assert np.sqrt(((paths[one] - paths[other]) ** 2).sum(axis=0).mean()) > 10, (one, other)


@pytest.mark.parametrize("motion", sorted(MOTIONS))
def test_style_scales_and_mirrors(motion: str) -> None:
    plain = motion_path(motion, TIME, SHARE)
    styled = motion_path(motion, TIME, SHARE, MotionStyle(amplitude=0.5, mirrored=True))
    np.testing.assert_allclose(styled.along, 0.5 * plain.along)
    np.testing.assert_allclose(styled.across, -0.5 * plain.across)
    np.testing.assert_allclose(styled.turn_deg, -plain.turn_deg)
    np.testing.assert_allclose(styled.way, plain.way)


def test_ease_starts_and_ends_at_rest() -> None:
    share = np.linspace(-0.5, 1.5, 401)
    course = ease(share)
    assert (course[share <= 0] == 0).all()
    assert (course[share >= 1] == 1).all()
    assert course[200] == pytest.approx(0.5)  # by symmetry
    assert np.diff(course).max() / 0.005 == pytest.approx(1.875, rel=0.01)  # the peak speed of minimum jerk


def test_an_unknown_motion_is_refused() -> None:
    with pytest.raises(KeyError):
        motion_path("whip", TIME, SHARE)
