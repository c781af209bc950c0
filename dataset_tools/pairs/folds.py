"""Validation folds of the training part: number of folds, and assignment of groups."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from dataset_tools.manifests import VALIDATION_FOLD

FOLDS = 5
Group = TypeVar("Group", str, tuple[str, str])


def assign_folds(order: Sequence[Group]) -> dict[Group, int]:
    """Assigns a fold (0 to ``FOLDS`` - 1) to every group, round-robin; a group must not cross a fold.

    A single group is put outside fold 0: it would otherwise only be validated.
    """
    if len(order) == 1:
        return {order[0]: VALIDATION_FOLD + 1}
    return {name: position % FOLDS for position, name in enumerate(order)}
