"""Scripts of synthetic videos, written from their agendas.

In an interval, one hand acts on the subject, in bouts, and touches other things before, between or after them; the
other hand is busy elsewhere with the same poses and tools. A single frame thus shows hands on several things, and only
their motion reveals which one is acted on, and how.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dataset_tools.core.seeds import generator
from dataset_tools.corpora.standin.agenda import Agenda
from dataset_tools.corpora.standin.cast import FRAME_RATE
from dataset_tools.corpora.standin.difficulty import Difficulty
from dataset_tools.corpora.standin.kitchen import HEIGHT_PX, WIDTH_PX, free_place
from dataset_tools.corpora.standin.motions import IDLE
from dataset_tools.corpora.standin.person import Person
from dataset_tools.corpora.standin.script import HANDS, Place, Script, ScriptedInterval, Side, Stay, Thing
from dataset_tools.corpora.standin.things import THINGS

SHOULDER_PX = 54.0  # from the middle of the person
_SHOULDER_Y_PX = HEIGHT_PX + 34.0
_AWAY_Y_PX = HEIGHT_PX + 48.0
_HANDS_PX_PER_S = 420.0
_FETCH_FRAMES = 14  # out of the frame, for another tool
_CARRY_PX = (75.0, 140.0)  # distance that things are carried
_MISMATCH = 0.03  # weight of a thing that does not match the hand's tool
_REACH_PX = 6.0  # maximum distance of a hand from the center of the thing it takes
_IDLE_TOOL_REACH_PX = 16.0  # idle tools are as far from things as acting ones get
_LEAD_FRAMES = 11  # the hand starts to move this long before an interval
_TOUCH_FRAMES = 10  # minimum length of a touch, including the way to it
_WAY_FRAMES = 8  # back to the subject
_BOUT = 1.1 * FRAME_RATE  # approximate number of frames per bout of acting


def write_script(agenda: Agenda, person: Person, level: Difficulty, seed: int) -> Script:
    """Returns the script of an agenda; deterministic for the same arguments."""
    rng = generator(seed, "standin", "script", agenda.sequence.id)
    things = lay_out(agenda.things, rng)
    frames, intervals = timed(agenda)
    middle = WIDTH_PX / 2 + person.stands_px
    shoulders: dict[Side, Place] = {
        "left": (middle - SHOULDER_PX, _SHOULDER_Y_PX),
        "right": (middle + SHOULDER_PX, _SHOULDER_Y_PX),
    }
    director = _Director(things, agenda.tools, person, level, rng, shoulders)
    for interval in intervals:
        director.act(interval)
    for side in HANDS:
        director.fill(side, frames)
    heads = []
    for start in sorted(rng.integers(0, frames, rng.poisson(level.occlusions_per_minute * frames / FRAME_RATE / 60))):
        heads.append((int(start), int(start + rng.uniform(0.8, 2.2) * FRAME_RATE)))
    stays = {side: tuple(director.stays[side]) for side in HANDS}
    return Script(frames, things, intervals, stays, shoulders, tuple(heads))


def lay_out(kinds: tuple[str, ...], rng: np.random.Generator) -> tuple[Thing, ...]:
    """Places all things, flat ones first, below the others, then large ones first."""
    taken: list[tuple[str, Place]] = []
    things = []
    for kind in sorted(kinds, key=lambda kind: (not THINGS[kind].flat, -THINGS[kind].reach_px, kind)):
        place = free_place(kind, taken, rng)
        taken.append((kind, place))
        things.append(Thing(kind, place, float(rng.uniform(-180, 180))))
    return tuple(things)


def timed(agenda: Agenda) -> tuple[int, tuple[ScriptedInterval, ...]]:
    """Returns the number of frames of a video, and its timed intervals."""
    frame = agenda.gaps[0]
    intervals = []
    for item, gap in zip(agenda.items, agenda.gaps[1:], strict=True):
        intervals.append(ScriptedInterval(frame, frame + item.frames, item))
        frame += item.frames + gap
    return frame, tuple(intervals)


def _touch_frames(kinds: list[str]) -> int:
    """Returns the minimum time for the touches; at the start of an interval, the hand has already arrived."""
    needed = _TOUCH_FRAMES * kinds.count("touch") - (_TOUCH_FRAMES // 2 if kinds[0] == "touch" else 0)
    return needed + _WAY_FRAMES * sum(pair == ("touch", "act") for pair in itertools.pairwise(kinds))


@dataclass
class _Director:
    """Writes the stays: first those of the acting hands, then those that fill the gaps."""

    things: tuple[Thing, ...]
    tools: dict[str, str | None]  # by subject: the tool that acts on it
    person: Person
    level: Difficulty
    rng: np.random.Generator
    shoulders: dict[Side, Place]
    stays: dict[Side, list[Stay]] = field(default_factory=lambda: {"left": [], "right": []})
    moves: list[tuple[int, int, Place]] = field(default_factory=list)  # (frame, thing, its place from this frame on)
    spans: list[tuple[int, int]] = field(default_factory=list)  # of the intervals

    def act(self, interval: ScriptedInterval) -> None:
        """Adds the stays of an interval's acting hand: bouts on the subject, and touches of other things around it."""
        item = interval.item
        self.spans.append((interval.start, interval.end))
        subject = next(number for number, thing in enumerate(self.things) if thing.kind == item.subject)
        side = self._acting_side(self._lies(subject, interval.start))
        looks = {
            "tempo": self.person.tempo * self._factor(self.level.tempo),
            "amplitude": self.person.amplitude * self._factor(self.level.amplitude),
            "mirrored": bool(self.rng.random() < 0.5),
        }
        cursor = interval.start
        for kind, end in self._bouts(interval.start, interval.end):
            place = self._lies(subject, cursor)
            if kind == "act":
                stay = self._stay(side, cursor, end, item.action, subject, item.tool, **looks)
                if item.action == "take-out":
                    stay = replace(stay, leaves=self._new_place(subject, cursor))
                    self.moves.append((end, subject, stay.leaves))
            else:
                stay = self._touch(side, cursor, end, item.tool, near=place, but_not=subject)
            if cursor == interval.start:  # the hand has arrived when the interval begins
                stay = replace(stay, start=max(0, cursor - _LEAD_FRAMES), arrive=cursor)
            self.stays[side].append(stay)
            cursor = end

    def fill(self, side: Side, frames: int) -> None:
        """Adds the stays of a hand that does not act: it stays with other things, fetches tools, waits."""
        acting = self.stays[side]
        self.stays[side] = []
        tool: str | None = None
        for stay in acting:
            self._fill_gap(side, stay.start, tool, stay.tool)
            self.stays[side].append(stay)
            tool = stay.tool
        self._fill_gap(side, frames, tool, tool)

    def _fill_gap(self, side: Side, end: int, tool: str | None, wanted: str | None) -> None:
        """Fills the time from the last stay to ``end``, with ``tool`` in the hand at first and ``wanted`` at the end.

        Hands leave the frame for tools only between intervals; otherwise the other one would be recognizably acting.
        """
        cursor = self.stays[side][-1].end if self.stays[side] else 0
        fetch = _FETCH_FRAMES if cursor < end - 2 * _FETCH_FRAMES else max(0, end - cursor)
        until = end - fetch if tool != wanted else end
        while cursor < end:
            length = int(self.rng.uniform(1.0, 2.8) * FRAME_RATE)
            change = self.rng.random() < 0.6
            if change and end - cursor > 4 * _FETCH_FRAMES and self._idle_frames(cursor) > _FETCH_FRAMES:
                tool = self._idle_tool()
                stay = self._away(side, cursor, cursor + min(self._idle_frames(cursor), 2 * _FETCH_FRAMES), tool)
                until = end - fetch if tool != wanted else end
            elif cursor < until:
                if until - cursor - length < _FETCH_FRAMES:
                    length = until - cursor
                busy = self.rng.random() < self.level.other_hand
                make = self._touch if busy else self._away
                stay = make(side, cursor, cursor + length, tool)
            else:
                stay = self._away(side, cursor, end, wanted)
                tool = wanted
            self.stays[side].append(stay)
            cursor = stay.end

    def _idle_tool(self) -> str | None:
        """Samples the tool of a random subject in the video, or None."""
        kinds = sorted(self.tools)
        if not kinds or self.rng.random() >= self.level.other_tool:
            return None
        return self.tools[kinds[int(self.rng.integers(len(kinds)))]]

    def _idle_frames(self, frame: int) -> int:
        """Returns the number of frames until the next interval; 0 within one."""
        if any(start <= frame < end for start, end in self.spans):
            return 0
        return min([start - frame for start, _ in self.spans if start > frame], default=10**6)

    def _acting_side(self, place: Place) -> Side:
        """Chooses the acting hand: mostly the dominant one; the other one more often for things on its side."""
        other: Side = "left" if self.person.main_hand == "right" else "right"
        side = self.person.main_hand if self.rng.random() < self.level.main_hand else other
        beyond = (place[0] - self._middle) * (1 if side == "left" else -1)
        if beyond > 25 and self.rng.random() < 0.9:
            return "right" if side == "left" else "left"
        return side

    def _bouts(self, start: int, end: int) -> list[tuple[str, int]]:
        """Returns alternating ``act`` and ``touch``, with the end frame of each.

        The time for touches includes the way back to the subject, so that acting gets its full share of the interval.
        """
        length = end - start
        spare = (1 - self.level.acting_share) * length
        acts = max(1, int(length / _BOUT + self.rng.random()))
        before, after = self.rng.random(2) < 0.5
        acts = min(acts, 1 + int(spare / (_TOUCH_FRAMES + _WAY_FRAMES)))
        kinds = ["act", "touch"] * (acts - 1) + ["act"]
        if before and _touch_frames(["touch", *kinds]) <= spare:
            kinds = ["touch", *kinds]
        if (after or len(kinds) == 1) and _touch_frames([*kinds, "touch"]) <= spare:
            kinds = [*kinds, "touch"]
        touches = kinds.count("touch")
        ways = sum(pair == ("touch", "act") for pair in itertools.pairwise(kinds))
        totals = {"act": length - spare if touches else length, "touch": spare - ways * _WAY_FRAMES if touches else 0}
        lengths = self.rng.uniform(0.8, 1.2, len(kinds))
        for kind, total in totals.items():
            these = np.array([one == kind for one in kinds])
            lengths[these] *= total / max(float(lengths[these].sum()), 1e-9)
        lengths[1:] += [_WAY_FRAMES if pair == ("touch", "act") else 0 for pair in itertools.pairwise(kinds)]
        ends = start + np.round(np.cumsum(lengths)).astype(int)
        ends[-1] = end
        return list(zip(kinds, ends.tolist(), strict=True))

    def _touch(
        self,
        side: Side,
        start: int,
        end: int,
        tool: str | None,
        *,
        near: Place | None = None,
        but_not: int | None = None,
    ) -> Stay:
        """Returns a stay with a thing that the other hand does not use; the hand moves it slightly, or does nothing."""
        others = self._others(side, start, end)
        used = {stay.thing for stay in others}
        sign = 1 if side == "left" else -1
        limit = min(
            [sign * (self._middle + sign * 20), *(sign * stay.place[0] for stay in others if stay.thing is not None)]
        )
        weights = np.zeros(len(self.things))
        for number, thing in enumerate(self.things):
            if number in used or number == but_not:
                continue
            place = self._lies(number, start)
            crossed = max(0.0, sign * place[0] - limit)
            far = 0.0 if near is None else float(np.hypot(place[0] - near[0], place[1] - near[1]))
            # A hand without a suitable tool would be recognizable as idle.
            fitting = thing.kind in self.tools and self.tools[thing.kind] == tool
            weights[number] = np.exp(-crossed / 25 - far / 50) * (1.0 if fitting else _MISMATCH)
        number = int(self.rng.choice(len(weights), p=weights / weights.sum()))
        idle = "hover" if self.rng.random() < 0.5 else "rest"
        motion = "shift" if tool is None and self.rng.random() < self.level.carried_decoys else idle
        return self._stay(
            side,
            start,
            end,
            motion,
            number,
            tool,
            amplitude=float(self.rng.uniform(0.6, 1.2)),
            mirrored=bool(self.rng.random() < 0.5),
        )

    def _stay(self, side: Side, start: int, end: int, motion: str, thing: int, tool: str | None, **looks: Any) -> Stay:
        place = self._lies(thing, start)
        arrive = min(start + self._travel_frames(side, place), end - min(3, (end - start) // 2))
        pose = "fist" if tool else ("hold" if self.rng.random() < 0.7 else "open")
        slant = self.person.slant_deg + float(self.rng.uniform(-22, 22))
        reach = _IDLE_TOOL_REACH_PX if tool and motion in IDLE else _REACH_PX
        angle, distance = self.rng.uniform(0, 2 * np.pi), reach * np.sqrt(self.rng.random())
        offset = (float(distance * np.cos(angle)), float(distance * np.sin(angle)))
        return Stay(start, arrive, end, motion, thing, place, place, tool, pose, slant, offset, **looks)

    def _away(self, side: Side, start: int, end: int, tool: str | None) -> Stay:
        """Returns a stay out of the frame, where the hand changes its tool."""
        place = (self.shoulders[side][0] + float(self.rng.uniform(-25, 25)), _AWAY_Y_PX)
        arrive = start + max(1, int(0.85 * min(end - start, _FETCH_FRAMES)))
        return Stay(start, min(arrive, end), end, "away", None, place, place, tool, "fist" if tool else "open", 0.0)

    def _travel_frames(self, side: Side, place: Place) -> int:
        before = self.stays[side][-1].leaves if self.stays[side] else self.shoulders[side]
        distance = np.hypot(place[0] - before[0], place[1] - before[1])
        return int(np.clip((0.12 + distance / _HANDS_PX_PER_S) * FRAME_RATE, 5, 14))

    def _others(self, side: Side, start: int, end: int) -> list[Stay]:
        """Returns the stays of the other hand that overlap the span, extended by 8 frames at both ends."""
        other: Side = "left" if side == "right" else "right"
        return [stay for stay in self.stays[other] if stay.start < end + 8 and stay.end > start - 8]

    def _lies(self, thing: int, frame: int) -> Place:
        place = self.things[thing].place
        for moved_at, moved, new_place in self.moves:
            if moved == thing and moved_at <= frame:
                place = new_place
        return place

    def _new_place(self, thing: int, frame: int) -> Place:
        taken = [(one.kind, self._lies(number, frame)) for number, one in enumerate(self.things) if number != thing]
        here = self._lies(thing, frame)
        return free_place(self.things[thing].kind, taken, self.rng, near=here, distance_px=_CARRY_PX)

    @property
    def _middle(self) -> float:
        return WIDTH_PX / 2 + self.person.stands_px

    def _factor(self, limits: tuple[float, float]) -> float:
        """Samples the square root of a factor within the limits; the person's own factor is the other half."""
        return float(np.sqrt(np.exp(self.rng.uniform(np.log(limits[0]), np.log(limits[1])))))
