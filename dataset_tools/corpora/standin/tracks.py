"""Script playback: positions of hands, tools and carried objects in every frame, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.seeds import generator
from dataset_tools.corpora.standin.cast import FRAME_RATE
from dataset_tools.corpora.standin.difficulty import Difficulty
from dataset_tools.corpora.standin.motions import CARRIED, ONCE, MotionStyle, Values, ease, motion_path
from dataset_tools.corpora.standin.script import HANDS, Script, Side, Stay

NOTHING = -1
_SOFT_S = 0.15  # motions fade in and out, so that things end where they started
_TURNING_DEG, _CLOSING = 14.0, 0.07  # standard deviations of every hand's slow random rotation and closing
_TURN_LIMIT_DEG = 60.0  # limit for the wrist, not for what it holds


@dataclass(frozen=True)
class HandTrack:
    """One hand over a video of F frames.

    Attributes:
        place: working point, x and y in pixels: [F, 2].
        arm_deg: direction of hand and tool (0 is up, clockwise): [F].
        turn_deg: additional rotation of the hand: [F].
        grip: size of the hand, 1 if open: [F].
        stay: number of the stay that determines pose and tool: int [F].
        thing: number of the thing that moves with the hand, or `NOTHING`: int [F].
        thing_place: position of that thing: [F, 2]. thing_turn_deg: its rotation: [F].
    """

    place: Values
    arm_deg: Values
    turn_deg: Values
    grip: Values
    stay: NDArray[np.int64]
    thing: NDArray[np.int64]
    thing_place: Values
    thing_turn_deg: Values


def play(script: Script, level: Difficulty, seed: int, name: str) -> dict[Side, HandTrack]:
    """Returns the tracks of both hands in the video of this name; the level sets their irregularity."""
    return {side: _hand(script, side, level, generator(seed, "standin", "tracks", name, side)) for side in HANDS}


def _hand(script: Script, side: Side, level: Difficulty, rng: np.random.Generator) -> HandTrack:
    frames = script.frames
    track = HandTrack(
        place=np.zeros((frames, 2)),
        arm_deg=np.zeros(frames),
        turn_deg=np.zeros(frames),
        grip=np.ones(frames),
        stay=np.zeros(frames, int),
        thing=np.full(frames, NOTHING),
        thing_place=np.zeros((frames, 2)),
        thing_turn_deg=np.zeros(frames),
    )
    shoulder = np.array(script.shoulders[side])
    before = np.array([*script.stays[side][0].place, 0.0])  # x, y, arm_deg where the last stay ended
    wander = wandering(rng, frames, level.path_noise_px)
    # A turned wrist or tight grip in a single frame must not reveal the acting hand: all hands have some, mostly slow.
    turning, closing = (wandering(rng, frames, deviation, every_s=1.1)[:, 0] for deviation in (_TURNING_DEG, _CLOSING))
    for number, stay in enumerate(script.stays[side]):
        now = slice(stay.start, stay.end)
        place, turn_deg, grip, arm_deg = _stay(stay, shoulder, level, rng)
        place = place + wander[now] * _inside(stay)[:, None]
        moved = place - np.array(stay.place) - np.array(stay.offset)
        traveled = ease((np.arange(stay.end - stay.start) + 1) / (stay.arrive - stay.start + 1))
        track.place[now] = before[:2] + traveled[:, None] * (place - before[:2])
        track.arm_deg[now] = before[2] + traveled * (arm_deg - before[2])
        track.turn_deg[now] = np.clip(turn_deg + turning[now], -_TURN_LIMIT_DEG, _TURN_LIMIT_DEG)
        track.grip[now] = np.minimum(grip - np.abs(closing[now]), 1.0)
        there = np.arange(stay.start, stay.end) >= stay.arrive
        # Tools are changed out of the frame.
        track.stay[now] = np.where(there | (stay.motion != "away"), number, max(0, number - 1))
        carried = CARRIED.get(stay.motion, 0.0)
        if carried and stay.thing is not None:
            track.thing[now] = np.where(there, stay.thing, NOTHING)
            track.thing_place[now] = np.array(stay.place) + carried * moved
            track.thing_turn_deg[now] = carried * turn_deg
        before = np.array([*track.place[stay.end - 1], track.arm_deg[stay.end - 1]])
    return track


def _inside(stay: Stay) -> Values:
    """Returns a window that is 1 during a stay's motion and falls smoothly to 0 at its ends: [frames of the stay]."""
    time = (np.arange(stay.start, stay.end) - stay.arrive) / FRAME_RATE
    length = (stay.end - 1 - stay.arrive) / FRAME_RATE
    soft = min(_SOFT_S, max(length, 1e-6) / 3)
    return ease(time / soft) * ease((length - time) / soft)


def _stay(
    stay: Stay, shoulder: Values, level: Difficulty, rng: np.random.Generator
) -> tuple[Values, Values, Values, float]:
    """Returns working point [F, 2], rotation [F] and grip [F] in the frames of a stay, and the direction of the arm."""
    frames = stay.end - stay.start
    place = np.array(stay.place)
    way = place - shoulder
    arm_deg = float(np.degrees(np.arctan2(way[0], -way[1]))) + stay.slant_deg
    if stay.motion == "away":
        return np.tile(place, (frames, 1)), np.zeros(frames), np.ones(frames), 0.0
    time = np.maximum(np.arange(frames) - (stay.arrive - stay.start), 0) / FRAME_RATE
    share = time / max(time[-1], 1e-6)
    irregular = 1 + level.rhythm_noise * wandering(rng, frames, 1.0, every_s=0.4)[:, 0]
    phase = np.cumsum(stay.tempo * np.maximum(irregular, 0.3) * (time > 0)) / FRAME_RATE
    path = motion_path(stay.motion, phase, share, MotionStyle(stay.amplitude, stay.mirrored))
    soft = np.ones(frames) if stay.motion in ONCE else _inside(stay)
    angle = np.radians(arm_deg)
    forward = np.array([np.sin(angle), -np.cos(angle)])
    right = np.array([np.cos(angle), np.sin(angle)])
    moved = (soft * path.along)[:, None] * forward + (soft * path.across)[:, None] * right
    moved += path.way[:, None] * (np.array(stay.leaves) - place)
    return place + np.array(stay.offset) + moved, soft * path.turn_deg, 1 + soft * (path.grip - 1), arm_deg


def wandering(rng: np.random.Generator, frames: int, deviation: float, *, every_s: float = 0.25) -> Values:
    """Returns smooth random trajectories of x and y: [frames, 2]."""
    every = max(1, round(every_s * FRAME_RATE))
    knots = deviation * rng.standard_normal((frames // every + 3, 2))
    at = np.arange(frames) / every
    low = at.astype(int)
    weight = ease(at - low)[:, None]
    return np.asarray((1 - weight) * knots[low] + weight * knots[low + 1], float)
