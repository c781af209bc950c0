"""The sides and folds of items, as a split deals them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Side = Literal["train", "test"]


@dataclass(frozen=True)
class Sides:
    """The side of every item, by id; items that are in neither dictionary were dropped, with the reason counted."""

    clips: Mapping[str, Side]
    utterances: Mapping[str, Side]
    clip_folds: Mapping[str, int]
    utterance_folds: Mapping[str, int]
    dropped: Mapping[str, int] = field(default_factory=dict)
