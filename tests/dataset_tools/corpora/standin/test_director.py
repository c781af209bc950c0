"""What scripts promise: no holes, the right motion on the right thing, and hands on several things."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dataset_tools.corpora.standin.agenda import Agenda
from dataset_tools.corpora.standin.difficulty import LEVELS, STANDARD, Difficulty
from dataset_tools.corpora.standin.director import write_script
from dataset_tools.corpora.standin.motions import IDLE, MOTIONS
from dataset_tools.corpora.standin.person import person_named
from dataset_tools.corpora.standin.script import HANDS, Script, ScriptedInterval, Stay

FRAMES_A_SECOND = 29.4


def script_of(agenda: Agenda, level: Difficulty = STANDARD) -> Script:
    return write_script(agenda, person_named(agenda.sequence.person, 0, level), level, 0)


@pytest.fixture(scope="module")
def scripts(agendas: tuple[Agenda, ...]) -> list[Script]:
    return [script_of(agenda) for agenda in agendas[::5]]


def during(script: Script, interval: ScriptedInterval) -> list[Stay]:
    """Stays whose motion goes on within an interval."""
    return [s for side in HANDS for s in script.stays[side] if s.arrive < interval.end and s.end > interval.start]


def acts(script: Script, interval: ScriptedInterval) -> list[Stay]:
    subject = next(n for n, thing in enumerate(script.things) if thing.kind == interval.item.subject)
    return [s for s in during(script, interval) if s.motion == interval.item.action and s.thing == subject]


def acting_frames(script: Script, interval: ScriptedInterval) -> np.ndarray:
    frames = np.zeros(interval.end - interval.start, bool)
    for stay in acts(script, interval):
        frames[max(stay.arrive - interval.start, 0) : stay.end - interval.start] = True
    return frames


def test_each_hand_has_something_to_do_in_every_frame(scripts: list[Script]) -> None:
    for script, side in itertools.product(scripts, HANDS):
        stays = script.stays[side]
        assert stays[0].start == 0
        assert stays[-1].end == script.frames
        assert all(one.end == other.start for one, other in itertools.pairwise(stays))
        assert all(stay.start <= stay.arrive <= stay.end > stay.start for stay in stays)
        assert {stay.motion for stay in stays} <= {*MOTIONS, *IDLE, "away"}


def test_in_every_interval_the_subject_is_acted_on_by_one_hand_with_its_tool(scripts: list[Script]) -> None:
    for script in scripts:
        for interval in script.intervals:
            found = acts(script, interval)
            assert {stay.tool for stay in found} == {interval.item.tool}
            assert sum(any(stay in script.stays[side] for stay in found) for side in HANDS) == 1
            assert acting_frames(script, interval).sum() >= 0.25 * FRAMES_A_SECOND


def test_actions_happen_in_intervals_only(scripts: list[Script]) -> None:
    for script in scripts:
        known = [stay for interval in script.intervals for stay in acts(script, interval)]
        everything = [s for side in HANDS for s in script.stays[side] if s.motion in MOTIONS]
        assert len(everything) == len(known)


def test_both_hands_are_in_the_picture_and_over_several_things(scripts: list[Script]) -> None:
    others = []
    for script in scripts:
        for interval in script.intervals:
            stays = during(script, interval)
            assert "away" not in {stay.motion for stay in stays if stay.arrive < interval.end - 3 > interval.start}
            others.append(len({s.thing for s in stays} - {s.thing for s in acts(script, interval)} - {None}))
    assert np.mean(others) > 1.5
    assert np.mean(np.array(others) >= 1) > 0.98  # never the subject alone


def test_in_the_middle_of_an_interval_the_other_hand_might_be_the_acting_one(
    scripts: list[Script], agendas: tuple[Agenda, ...]
) -> None:
    """One frame leaves two hands: each beside or on a thing, with the tool that such a thing is acted on with."""
    at_thing, fitting = [], []
    for script, agenda in zip(scripts, agendas[::5], strict=True):
        for interval in script.intervals:
            middle = (interval.start + interval.end) // 2
            acting = next(side for side in HANDS for s in acts(script, interval) if s in script.stays[side])
            other = next(side for side in HANDS if side != acting)
            stay = next(s for s in script.stays[other] if s.start <= middle < s.end)
            at_thing.append(stay.thing is not None)
            if stay.thing is not None:
                kind = script.things[stay.thing].kind
                fitting.append(kind in agenda.tools and agenda.tools[kind] == stay.tool)
    assert np.mean(at_thing) > 0.95
    assert np.mean(fitting) > 0.8


def test_two_hands_never_need_the_same_thing(scripts: list[Script]) -> None:
    for script in scripts:
        for one, other in itertools.product(*(script.stays[side] for side in HANDS)):
            if one.thing is not None and one.thing == other.thing:
                assert one.end <= other.arrive or other.end <= one.arrive


def test_things_that_were_taken_lie_where_they_were_put(scripts: list[Script]) -> None:
    moved = 0
    for script in scripts:
        places = [thing.place for thing in script.things]
        for stay in sorted(
            (s for side in HANDS for s in script.stays[side] if s.thing is not None), key=lambda s: s.end
        ):
            assert stay.place == places[stay.thing] or stay.motion not in {*MOTIONS, "shift"}
            places[stay.thing] = stay.leaves
            moved += stay.leaves != stay.place
            if stay.leaves != stay.place:
                assert stay.motion == "take-out"
                assert np.hypot(*np.subtract(stay.leaves, stay.place)) > 60
    assert moved > 20


def test_main_hands_and_sides_are_balanced(agendas: tuple[Agenda, ...]) -> None:
    right = []
    for agenda in agendas:
        script = script_of(agenda)
        for interval in script.intervals:
            right.append(acts(script, interval)[0] in script.stays["right"])
    assert 0.4 < np.mean(right) < 0.6


def test_idle_hands_are_equipped_as_acting_ones(agendas: tuple[Agenda, ...]) -> None:
    """No tool, no pose, and no tool over a thing it is not for: a frame must not tell which hand acts."""
    idle_tools, acting_tools, poses, fitting = [], [], {True: [], False: []}, []
    for agenda in agendas:
        script = script_of(agenda)
        for side in HANDS:
            for stay in script.stays[side]:
                if stay.thing is None:
                    continue
                acting = stay.motion in MOTIONS
                (acting_tools if acting else idle_tools).append(stay.tool)
                if stay.tool is None:
                    poses[acting].append(stay.pose == "hold")
                if not acting:
                    kind = script.things[stay.thing].kind
                    fitting.append(kind in agenda.tools and agenda.tools[kind] == stay.tool)
    assert set(acting_tools) == set(idle_tools)
    for tool in set(idle_tools):
        share = acting_tools.count(tool) / len(acting_tools), idle_tools.count(tool) / len(idle_tools)
        assert 0.4 < share[0] / share[1] < 2.5, tool
    assert np.mean(poses[True]) == pytest.approx(np.mean(poses[False]), abs=0.06)
    assert np.mean(fitting) > 0.85


def test_levels_differ_in_how_much_of_an_interval_is_acting(agendas: tuple[Agenda, ...]) -> None:
    shares = {}
    for name, level in LEVELS.items():
        script = script_of(agendas[0], level)
        shares[name] = np.mean([acting_frames(script, interval).mean() for interval in script.intervals])
    assert shares["easy"] > shares["standard"] > shares["hard"]


def test_a_script_depends_on_the_seed_and_on_nothing_else(agendas: tuple[Agenda, ...]) -> None:
    assert script_of(agendas[7]) == script_of(agendas[7])
    person = person_named(agendas[7].sequence.person, 0, STANDARD)
    assert write_script(agendas[7], person, STANDARD, 1) != script_of(agendas[7])
