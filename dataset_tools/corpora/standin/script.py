"""Video script, as plain data: what each hand does when. `director` writes it, `tracks` plays it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dataset_tools.corpora.standin.agenda import AgendaItem

Side = Literal["left", "right"]
Place = tuple[float, float]
SIDES: tuple[Side, Side] = ("left", "right")


@dataclass(frozen=True)
class ScriptedInterval:
    """An annotated span: frames from ``start`` up to, not including, ``end``, from 0."""

    start: int
    end: int
    item: AgendaItem


@dataclass(frozen=True)
class Stay:
    """What one hand does between two changes of place.

    Attributes:
        start, arrive, end: frames, from 0: it sets out, is there, and leaves (not included).
        motion: key of `motions.MOTIONS` or `motions.IDLE`, or ``away``: out of the picture.
        thing: number of the thing, or None. place: where the thing lies. leaves: where it lies afterwards.
        offset: how far from its middle the hand works.
        tool: kind of the tool in the hand, or None.
        pose: of the hand. slant_deg: how far the hand leans from the arm's usual direction.
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
    """A thing on the worktop: its kind, where it lies at first, and how it is turned (clockwise, 0 upright)."""

    kind: str
    place: Place
    angle_deg: float


@dataclass(frozen=True)
class Script:
    """Everything that happens in a video.

    Attributes:
        frames: length.
        things: what lies there; other parts of the script name them by number.
        intervals: annotated spans, in order.
        stays: by hand, in order, from the first frame to the last without a hole.
        shoulders: places of the shoulders, by hand.
        heads: spans of frames in which the head comes into the picture: first frame, and the one after the last.
    """

    frames: int
    things: tuple[Thing, ...]
    intervals: tuple[ScriptedInterval, ...]
    stays: dict[Side, tuple[Stay, ...]]
    shoulders: dict[Side, Place]
    heads: tuple[tuple[int, int], ...]
