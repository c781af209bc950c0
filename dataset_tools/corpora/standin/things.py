"""Objects of the synthetic kitchen, and how they are painted and placed.

The keys are those of the class file (``annotations/classes.yaml``); clutter has MPII Cooking 2's attribute names.
"""

from __future__ import annotations

from dataclasses import dataclass

from dataset_tools.corpora.standin.food import FOOD
from dataset_tools.corpora.standin.ware import WARE

THINGS = {**FOOD, **WARE}
_CLUTTER = ("bread", "cup", "flat-grater", "fork", "mushroom", "sponge", "squeezer", "tomato", "towel")
CLUTTER = {key: THINGS[key] for key in _CLUTTER}
SUBJECTS = {key: THINGS[key] for key in sorted(THINGS.keys() - CLUTTER.keys())}


@dataclass(frozen=True)
class Grip:
    """Position of a tool in the hand: distances in the frame from the working point, toward the person.

    Attributes:
        middle_px: distance to the center of the tool's sprite.
        hand_px: distance to the hand.
    """

    middle_px: float
    hand_px: float


TOOLS = {
    "knife": Grip(16, 45),
    "spatula": Grip(28, 57),
    "fork": Grip(25, 53),
    "squeezer": Grip(-13, 16),
    "sponge": Grip(0, 12),
}
BARE = Grip(0, 20)
