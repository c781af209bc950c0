"""Video renderer: background and resting objects once, then hands, tools and carried objects per frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dataset_tools.core.seeds import generator
from dataset_tools.corpora.standin import hands
from dataset_tools.corpora.standin.agenda import Agenda
from dataset_tools.corpora.standin.avi import write_avi
from dataset_tools.corpora.standin.camera import Camera
from dataset_tools.corpora.standin.difficulty import Difficulty
from dataset_tools.corpora.standin.director import write_script
from dataset_tools.corpora.standin.kitchen import HEIGHT_PX, MARGIN_PX, paint_kitchen
from dataset_tools.corpora.standin.motions import Values, ease
from dataset_tools.corpora.standin.painter import Image, Point, Sprite, lay, lay_shadow, turned
from dataset_tools.corpora.standin.person import Person, person_named
from dataset_tools.corpora.standin.script import HANDS, Script, Side
from dataset_tools.corpora.standin.things import BARE, THINGS, TOOLS
from dataset_tools.corpora.standin.tracks import NOTHING, HandTrack, play

_SHADOW = 0.42
_ANGLE_STEP_DEG = 2.0
_SCALE_STEP = 0.03


@dataclass(frozen=True)
class VideoTask:
    """Input of a worker process to draw one video."""

    path: Path
    agenda: Agenda
    level: Difficulty
    seed: int


def draw_video(task: VideoTask) -> int:
    """Draws and writes one video; returns its number of frames."""
    cv2.setNumThreads(1)
    name = task.agenda.sequence.id
    person = person_named(task.agenda.sequence.person, task.seed, task.level)
    script = write_script(task.agenda, person, task.level, task.seed)
    stage = Stage(script, person, task.level, task.seed, name)
    camera = Camera(script.frames, task.level, task.seed, name)
    frames = (camera.take(stage.picture(frame), frame) for frame in range(script.frames))
    return write_avi(task.path, frames)


class Stage:
    """The background and sprites of one video, composed to frames."""

    def __init__(self, script: Script, person: Person, level: Difficulty, seed: int, name: str) -> None:
        rng = generator(seed, "standin", "paint", name)
        self.script = script
        self.person = person
        self.tracks: dict[Side, HandTrack] = play(script, level, seed, name)
        self._kitchen = paint_kitchen(rng)
        self._sprites: dict[str, Sprite] = {}
        for number, thing in enumerate(script.things):
            self._sprites[f"thing {number}"] = THINGS[thing.kind].paint(rng)
        for kind in TOOLS:
            self._sprites[f"tool {kind}"] = THINGS[kind].paint(rng)
        for pose in hands.POSES:
            right = hands.paint_hand(person, pose, rng)
            self._sprites[f"right {pose}"] = right
            self._sprites[f"left {pose}"] = hands.mirrored(right)
        self._head = hands.paint_head(person, rng)
        self._turned: dict[tuple[str, int, int], Sprite] = {}
        self._still: tuple[tuple[object, ...], Image] | None = None
        self._places = thing_places(script)

    def picture(self, frame: int, *, with_person: bool = True) -> Image:
        """Draws a frame with its margin: BGR uint8 [`HEIGHT_PX` + 2 · `MARGIN_PX`, `WIDTH_PX` + 2 · `MARGIN_PX`, 3]."""
        carried = {}
        for side in HANDS:
            track = self.tracks[side]
            if track.thing[frame] != NOTHING:
                carried[int(track.thing[frame])] = (track.thing_place[frame], float(track.thing_turn_deg[frame]))
        image = self._lying(frame, frozenset(carried)).copy()
        for number, (place, turn_deg) in carried.items():
            self._lay_thing(image, number, _point(place), turn_deg, lifted=True)
        if with_person:
            for side in HANDS:
                self._lay_hand(image, side, frame)
            self._lay_head(image, frame)
        return image

    def _lying(self, frame: int, carried: frozenset[int]) -> Image:
        """Draws the kitchen with all resting things, cached until they change."""
        places = tuple(next(place for start, place in reversed(places) if start <= frame) for places in self._places)
        key = (carried, places)
        if self._still is None or self._still[0] != key:
            image = self._kitchen.copy()
            for number, place in enumerate(places):
                if number not in carried:
                    self._lay_thing(image, number, place, 0.0, lifted=False)
            self._still = (key, image)
        return self._still[1]

    def _lay_thing(self, image: Image, number: int, place: Point, turn_deg: float, *, lifted: bool) -> None:
        thing = self.script.things[number]
        sprite = self._sprite(f"thing {number}", thing.angle_deg + turn_deg)
        fall = THINGS[thing.kind].height_px + (3 if lifted else 0)
        x, y = _margin(place)
        lay_shadow(image, sprite.alpha, (x + fall, y + fall), strength=_SHADOW)
        lay(image, sprite, (x, y))

    def _lay_hand(self, image: Image, side: Side, frame: int) -> None:
        track = self.tracks[side]
        stay = self.script.stays[side][int(track.stay[frame])]
        arm_deg = float(track.arm_deg[frame])
        hand_deg = arm_deg + float(track.turn_deg[frame])
        place = _margin(_point(track.place[frame]))
        grip = TOOLS[stay.tool] if stay.tool else BARE
        hand = _behind(place, hand_deg, grip.hand_px)
        scale = self.person.hand_scale * float(track.grip[frame])
        wrist = hands.wrist_of(hand, hand_deg, scale)
        shoulder = _margin(self.script.shoulders[side])
        sprite = self._sprite(f"{side} {stay.pose}", hand_deg, scale)
        lay_shadow(image, sprite.alpha, (hand[0] + 6, hand[1] + 6), strength=_SHADOW)
        hands.draw_arm(image, shoulder, hands.elbow_between(shoulder, wrist, left=side == "left"), wrist, self.person)
        if stay.tool:
            tool = self._sprite(f"tool {stay.tool}", hand_deg)
            middle = _behind(place, hand_deg, grip.middle_px)
            lay_shadow(image, tool.alpha, (middle[0] + 4, middle[1] + 4), strength=_SHADOW)
            lay(image, tool, middle)
        lay(image, sprite, hand)

    def _lay_head(self, image: Image, frame: int) -> None:
        middle = (self.script.shoulders["left"][0] + self.script.shoulders["right"][0]) / 2
        for start, end in self.script.heads:
            if start <= frame < end:
                share = (frame - start) / (end - start)
                inside = float(ease(np.array(min(1.0, 4 * share, 4 * (1 - share)))))
                lay(image, self._head, _margin((middle + 14 * np.sin(start), HEIGHT_PX + 50 - 42 * inside)))

    def _sprite(self, name: str, angle_deg: float, scale: float = 1.0) -> Sprite:
        """Returns a sprite, rotated and scaled; angles and scales are quantized, so that the cache stays small."""
        key = (name, round(angle_deg % 360 / _ANGLE_STEP_DEG), round(scale / _SCALE_STEP))
        if key not in self._turned:
            exact = key[2] * _SCALE_STEP if scale != 1.0 else 1.0
            self._turned[key] = turned(self._sprites[name], key[1] * _ANGLE_STEP_DEG, exact)
        return self._turned[key]


def thing_places(script: Script) -> list[list[tuple[int, Point]]]:
    """Returns, for each thing, its places with the frame from which it lies there, in order."""
    places: list[list[tuple[int, Point]]] = [[(0, thing.place)] for thing in script.things]
    for side in HANDS:
        for stay in script.stays[side]:
            if stay.thing is not None and stay.leaves != stay.place:
                places[stay.thing].append((stay.end, stay.leaves))
    return [sorted(one) for one in places]


def _behind(place: Point, angle_deg: float, distance_px: float) -> Point:
    """Returns the point at that distance toward the person, for a hand that points to ``angle_deg``."""
    angle = np.radians(angle_deg)
    return float(place[0] - distance_px * np.sin(angle)), float(place[1] + distance_px * np.cos(angle))


def _point(values: Values) -> Point:
    return float(values[0]), float(values[1])


def _margin(place: Point) -> Point:
    return place[0] + MARGIN_PX, place[1] + MARGIN_PX
