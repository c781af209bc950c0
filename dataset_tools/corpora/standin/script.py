"""Video script, as plain data: the actions of each hand over time. `director` writes it, `tracks` plays it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dataset_tools.corpora.standin.agenda import AgendaItem

Side = Literal["left", "right"]
Place = tuple[float, float]
HANDS: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True)
class ScriptedInterval:
    """An annotated interval: frames from ``start`` to ``end`` (excluded), 0-based."""

    start: int
    end: int
    item: AgendaItem


@dataclass(frozen=True)
class Stay:
    """What one hand does between two changes of place.

    Attributes:
        start, arrive, end: frames, 0-based: the hand starts to move, arrives, and leaves (excluded).
        motion: key of `motions.MOTIONS` or `motions.IDLE`, or ``away``: out of the frame.
        thing: number of the thing, or None. place: where the thing lies. leaves: where it lies afterwards.
        offset: position of the hand's working point relative to the center of the thing.
        tool: kind of the tool in the hand, or None.
        pose: pose of the hand. slant_deg: angle of the hand to the arm's usual direction.
        tempo, amplitude: factors. mirrored: see `motions.MotionStyle`.
    """

    start: int
    arrive: int
    end: int
    motion: str
    thing: int | None
    place: Place
    leaves: Place
    tool: str | None
    pose: str
    slant_deg: float
    offset: Place = (0.0, 0.0)
    tempo: float = 1.0
    amplitude: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True)
class Thing:
    """A thing on the worktop: its kind, initial place, and rotation (clockwise, 0 is upright)."""

    kind: str
    place: Place
    angle_deg: float


@dataclass(frozen=True)
class Script:
    """Everything that happens in a video.

    Attributes:
        frames: length.
        things: things on the worktop; other parts of the script refer to them by number.
        intervals: annotated intervals, in order.
        stays: stays by hand, in order, from the first frame to the last without gaps.
        shoulders: places of the shoulders, by hand.
        heads: frame ranges in which the head is in the frame: first frame, and the one after the last.
    """

    frames: int
    things: tuple[Thing, ...]
    intervals: tuple[ScriptedInterval, ...]
    stays: dict[Side, tuple[Stay, ...]]
    shoulders: dict[Side, Place]
    heads: tuple[tuple[int, int], ...]
