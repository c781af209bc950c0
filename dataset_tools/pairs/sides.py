"""Sides and folds of items, as assigned by a split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dataset_tools.manifests import Side


@dataclass(frozen=True)
class Sides:
    """Side of every item, by id; items in neither dictionary were dropped, and ``dropped`` counts them by reason."""

    clips: Mapping[str, Side]
    utterances: Mapping[str, Side]
    clip_folds: Mapping[str, int]
    utterance_folds: Mapping[str, int]
    dropped: Mapping[str, int] = field(default_factory=dict)
