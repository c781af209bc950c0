from __future__ import annotations

import itertools

import numpy as np
import pytest

from dataset_tools.core.seeds import generator
from dataset_tools.corpora.standin.agenda import Agenda
from dataset_tools.corpora.standin.difficulty import STANDARD
from dataset_tools.corpora.standin.director import write_script
from dataset_tools.corpora.standin.person import person_named
from dataset_tools.corpora.standin.script import HANDS, Script, Side
from dataset_tools.corpora.standin.tracks import NOTHING, HandTrack, play, wandering

Played = list[tuple[Script, dict[Side, HandTrack]]]


@pytest.fixture(scope="module")
def played(agendas: tuple[Agenda, ...]) -> Played:
    scripts = [
        write_script(agenda, person_named(agenda.sequence.person, 0, STANDARD), STANDARD, 0) for agenda in agendas[::12]
    ]
    return [(script, play(script, STANDARD, 0, "any")) for script in scripts]


def test_hands_do_not_jump(played: Played) -> None:
    for script, tracks in played:
        for side in HANDS:
            steps = np.hypot(*np.diff(tracks[side].place, axis=0).T)
            outside = tracks[side].place[1:, 1] > 230  # hands come into the picture as fast as they like
            assert np.percentile(steps[~outside], 99) < 42
            assert steps[~outside].max() < 60
            assert np.median(steps) < 6
            assert len(tracks[side].place) == script.frames


def test_carried_things_start_where_they_lie_and_end_where_they_are_put(played: Played) -> None:
    checked = 0
    for script, tracks in played:
        for side in HANDS:
            track = tracks[side]
            for stay in script.stays[side]:
                frames = np.arange(stay.start, stay.end)
                mine = frames[(track.thing[frames] == stay.thing) & (frames >= stay.arrive)]
                if stay.thing is None or len(mine) < 12:
                    continue
                checked += 1
                assert np.hypot(*(track.thing_place[mine[0]] - stay.place)) < 6
                assert np.hypot(*(track.thing_place[mine[-1]] - stay.leaves)) < 6
    assert checked > 100


def test_no_two_hands_carry_one_thing(played: Played) -> None:
    for _, tracks in played:
        left, right = (tracks[side].thing for side in HANDS)
        assert not ((left == right) & (left != NOTHING)).any()


def test_acting_hands_move_more_than_the_others(played: Played) -> None:
    acting, idle = [], []
    for script, tracks in played:
        for side in HANDS:
            for stay in script.stays[side]:
                place = tracks[side].place[stay.arrive : stay.end]
                if len(place) > 8 and stay.motion in ("cut", "stir", "wash", "grate", "peel", "sprinkle"):
                    acting.append(np.hypot(*np.diff(place, axis=0).T).mean())
                elif len(place) > 8 and stay.motion in ("rest", "hover", "shift"):
                    idle.append(np.hypot(*np.diff(place, axis=0).T).mean())
    assert np.percentile(acting, 10) > 1.5 * np.median(idle)


def test_hands_work_inside_the_picture(played: Played) -> None:
    for script, tracks in played:
        for interval, side in itertools.product(script.intervals, HANDS):
            place = tracks[side].place[interval.start : interval.end]
            assert ((place > 0) & (place < (320, 262))).mean() > 0.9


def test_tracks_depend_on_seed_and_name_and_on_nothing_else(played: Played) -> None:
    script, tracks = played[0]
    again, other = play(script, STANDARD, 0, "any"), play(script, STANDARD, 0, "other")
    np.testing.assert_array_equal(again["left"].place, tracks["left"].place)
    assert (other["left"].place != tracks["left"].place).any()


def test_wandering_is_smooth_and_as_wide_as_asked() -> None:
    course = wandering(generator(0, "test"), 20_000, 2.0)
    assert course.shape == (20_000, 2)
    assert course.std() == pytest.approx(2.0, rel=0.3)  # between its knots it is narrower than at them
    assert np.abs(np.diff(course, axis=0)).max() < 4.0
