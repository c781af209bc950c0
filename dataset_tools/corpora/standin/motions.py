"""The nine motions as hand trajectories: pure functions, equal for all persons up to `MotionStyle`.

A path is in the hand's own coordinate system: *along* points away from the person (the axis of the forearm and of a
tool), *across* to the right of it. No motion has its own color, place or tool: they differ in path and rhythm.

| motion | path | rhythm |
|---|---|---|
| cut | straight strokes along, on a line that moves across | quick, even |
| peel | a D-shaped loop: a pull, and a lifted return | slow, with a rest after each pull |
| grate | long straight strokes along | fast pull, slow push |
| stir | a circle | even |
| wash | a horizontal figure of eight | even |
| sprinkle | shaking across, on a slow arc | very quick |
| squeeze | in place: the hand twists and closes | slow pulses |
| pour | to the side and back, turning over and back | once |
| take out | a long path to another place | once |
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
FRAME_WIDTH_PX = 320


@dataclass(frozen=True)
class MotionStyle:
    """Variation between performances of one motion.

    Attributes:
        amplitude: factor on the size of the path.
        mirrored: whether across points to the left (left hands, and circles in the opposite direction).
    """

    amplitude: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True)
class Path:
    """Path of a hand, sampled over time; all arrays [N].

    Attributes:
        along, across: pixels from the thing (or, for one-way motions, from the start of the path).
        turn_deg: rotation of the hand about its working point, clockwise.
        grip: size of the hand, 1 if open, smaller when it closes.
        way: completed share of the path to the new place; 0 except for motions that end elsewhere.
    """

    along: Values
    across: Values
    turn_deg: Values
    grip: Values
    way: Values


def motion_path(motion: str, phase_s: Values, share: Values, style: MotionStyle = MotionStyle()) -> Path:
    """Returns the path of a motion.

    Args:
        motion: key of `MOTIONS` (the nine actions of the paper) or of `IDLE`.
        phase_s: time since the start of the motion, in seconds at normal tempo, non-decreasing: [N].
        share: elapsed share of the motion's duration, from 0 to 1: [N].
        style: style of the performance.

    Raises:
        KeyError: there is no such motion.
    """
    shape = {**MOTIONS, **IDLE}[motion]
    along, across, turn_deg, grip, way = shape(np.asarray(phase_s, float), np.asarray(share, float))
    size = style.amplitude * FRAME_WIDTH_PX
    side = -1.0 if style.mirrored else 1.0
    return Path(size * along, side * size * across, side * turn_deg, grip, way)


Shape = tuple[Values, Values, Values, Values, Values]  # along, across (shares of the frame's width), turn, grip, way


def _shape(
    time: Values,
    along: Values | float = 0.0,
    across: Values | float = 0.0,
    turn_deg: Values | float = 0.0,
    grip: Values | float = 1.0,
    way: Values | float = 0.0,
) -> Shape:
    values = (np.broadcast_to(value, time.shape) for value in (along, across, turn_deg, grip, way))
    return tuple(np.array(value, float) for value in values)  # type: ignore[return-value]


def ease(share: Values) -> Values:
    """Minimum-jerk trajectory from 0 to 1 (Flash and Hogan, 1985), which models how hands move between places."""
    share = np.clip(share, 0.0, 1.0)
    return share**3 * (10 - 15 * share + 6 * share**2)


def _wave(time: Values, frequency_hz: float) -> Values:
    return np.sin(2 * np.pi * frequency_hz * time)


def _cut(time: Values, share: Values) -> Shape:
    march = 2 * np.abs((time / 2.4) % 1.0 - 0.5) - 0.5  # the blade moves along the thing, and back
    return _shape(time, 0.075 * _wave(time, 2.5), 0.08 * march, grip=1 - 0.06 * (1 + _wave(time, 2.5)) / 2)


def _peel(time: Values, share: Values) -> Shape:
    cycle = (time * 1.15) % 1.0
    pull = ease(cycle / 0.35)
    back = ease((cycle - 0.35) / 0.4)
    return _shape(time, 0.14 * (0.5 - pull + back), 0.1 * np.sin(np.pi * back), 14 * (pull - back))


def _grate(time: Values, share: Values) -> Shape:
    cycle = (time * 1.5) % 1.0
    stroke = ease(cycle / 0.32) - ease((cycle - 0.32) / 0.68)
    return _shape(time, 0.24 * (0.5 - stroke))


def _stir(time: Values, share: Values) -> Shape:
    return _shape(time, 0.075 * _wave(time + 0.18, 1.4), 0.075 * _wave(time, 1.4))


def _wash(time: Values, share: Values) -> Shape:
    return _shape(time, 0.05 * _wave(time, 2.1), 0.11 * _wave(time, 1.05))


def _sprinkle(time: Values, share: Values) -> Shape:
    shake = _wave(time, 3.4)
    return _shape(time, 0.04 * _wave(time, 0.5), 0.045 * shake + 0.05 * _wave(time + 0.4, 0.45), 16 * shake)


def _squeeze(time: Values, share: Values) -> Shape:
    pulse = (1 - np.cos(2 * np.pi * 1.3 * time)) / 2
    return _shape(time, -0.02 * pulse, 0.0, 55 * (pulse - 0.5), 1 - 0.22 * pulse)


def _pour(time: Values, share: Values) -> Shape:
    tilt = ease(share / 0.4) - ease((share - 0.7) / 0.3)
    return _shape(time, 0.03 * tilt, 0.11 * tilt, 95 * tilt + 3 * _wave(time, 1.7) * tilt)


def _take_out(time: Values, share: Values) -> Shape:
    way = ease((share - 0.12) / 0.78)
    return _shape(time, 0.03 * np.sin(np.pi * way), 0.05 * np.sin(np.pi * way), way=way)


def _rest(time: Values, share: Values) -> Shape:
    return _shape(time)


def _hover(time: Values, share: Values) -> Shape:
    return _shape(time, 0.02 * _wave(time, 0.31), 0.025 * _wave(time + 0.7, 0.23))


def _shift(time: Values, share: Values) -> Shape:
    out = np.sin(np.pi * ease(share))
    return _shape(time, 0.03 * out, 0.06 * out, 80 * out)


MOTIONS = {
    "pour": _pour,
    "cut": _cut,
    "sprinkle": _sprinkle,
    "squeeze": _squeeze,
    "stir": _stir,
    "take-out": _take_out,
    "wash": _wash,
    "grate": _grate,
    "peel": _peel,
}
IDLE = {"rest": _rest, "hover": _hover, "shift": _shift}

# Share of the hand's movement and rotation that a thing follows: all for carried things, little for things worked on.
CARRIED = {
    "pour": 1.0,
    "sprinkle": 1.0,
    "take-out": 1.0,
    "grate": 1.0,
    "squeeze": 1.0,
    "wash": 0.8,
    "stir": 0.6,
    "peel": 0.5,
    "cut": 0.35,
    "shift": 1.0,
    "hover": 0.8,
    "rest": 0.8,
}
ONCE = frozenset({"pour", "take-out"})
