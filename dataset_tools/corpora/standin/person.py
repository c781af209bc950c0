"""Person appearance and style: handedness, tempo, size of motion, skin, sleeves, hair, position."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from dataset_tools.core.seeds import generator
from dataset_tools.corpora.standin.difficulty import Difficulty
from dataset_tools.corpora.standin.painter import Color

# BGR, from light to dark.
_SKINS: tuple[Color, ...] = (
    (170, 195, 235), (150, 180, 225), (125, 160, 210), (95, 135, 190), (70, 105, 160), (50, 80, 125), (38, 58, 95),
)  # fmt: skip
_CLOTHS: tuple[Color, ...] = (
    (60, 50, 45), (110, 70, 40), (170, 130, 70), (60, 60, 150), (80, 120, 70), (200, 200, 205), (130, 110, 150),
    (60, 140, 190), (120, 120, 125), (160, 150, 90),
)  # fmt: skip
_HAIRS: tuple[Color, ...] = ((25, 25, 30), (35, 45, 65), (50, 75, 110), (95, 140, 175), (150, 150, 150))


@dataclass(frozen=True)
class Person:
    """Appearance and movement style of one person.

    Attributes:
        name: ``s07``.
        main_hand: the dominant hand; left is as likely as right, so that the side does not reveal the acting hand.
        tempo: factor on the speed of motions. amplitude: factor on their size. (Each interval varies them further.)
        slant_deg: angle of strokes and tools to the forearm.
        skin, cloth, cloth_stripe, hair: BGR.
        sleeve: how far the sleeve covers the forearm, from 0 (bare) to 1 (to the wrist).
        stripes: whether the cloth is striped.
        hand_scale: size of the hands.
        stands_px: horizontal position, to the right of the center.
    """

    name: str
    main_hand: Literal["left", "right"]
    tempo: float
    amplitude: float
    slant_deg: float
    skin: Color
    cloth: Color
    cloth_stripe: Color
    hair: Color
    sleeve: float
    stripes: bool
    hand_scale: float
    stands_px: float


def person_named(name: str, seed: int, level: Difficulty) -> Person:
    """Returns the person of that name, the same in every video of one corpus."""
    rng = generator(seed, "standin", "person", name)

    def one_of(colors: tuple[Color, ...], spread: float) -> Color:
        color = np.array(colors[int(rng.integers(len(colors)))]) * (1 + rng.uniform(-spread, spread))
        blue, green, red = np.clip(color, 0, 255)
        return float(blue), float(green), float(red)

    return Person(
        name=name,
        main_hand="left" if rng.random() < 0.5 else "right",
        tempo=_between(rng, level.tempo),
        amplitude=_between(rng, level.amplitude),
        slant_deg=float(rng.uniform(-18, 18)),
        skin=one_of(_SKINS, 0.06),
        cloth=one_of(_CLOTHS, 0.15),
        cloth_stripe=one_of(_CLOTHS, 0.15),
        hair=one_of(_HAIRS, 0.1),
        sleeve=float(rng.choice([0.0, 0.35, 0.75, 0.95])),
        stripes=bool(rng.random() < 0.4),
        hand_scale=float(rng.uniform(0.92, 1.1)),
        stands_px=float(rng.uniform(-22, 22)),
    )


def _between(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    """Samples a factor between the square roots of the limits; the interval's own factor is the other half."""
    return float(np.sqrt(np.exp(rng.uniform(np.log(limits[0]), np.log(limits[1])))))
