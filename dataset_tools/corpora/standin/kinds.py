"""Object kinds of the synthetic kitchen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dataset_tools.corpora.standin.painter import Painter, Sprite

Generator = np.random.Generator
ZOOM = 1.15  # things are displayed larger than they are painted


class ThingPainter(Painter):
    """Paints things."""

    zoom = ZOOM


@dataclass(frozen=True)
class ThingKind:
    """A kind of thing; lengths are as painted, before `ZOOM`.

    Attributes:
        paint: paints a thing of this kind.
        reach_px: distance of neighbors from its center.
        flat: whether other things may lie on it.
        height_px: offset of its shadow.
    """

    paint: Callable[[Generator], Sprite]
    reach_px: float
    flat: bool = False
    height_px: float = 3.0
