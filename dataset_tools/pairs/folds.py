"""Validation folds of the training part: how many there are, and how groups of items are dealt to them.

Fold 0 is the validation split; the others are trained on.
"""

from __future__ import annotations

from collections.abc import Sequence

FOLDS = 5


def deal_folds(order: Sequence[str]) -> dict[str, int]:
    """The fold (0 to ``FOLDS`` - 1) of every group, dealt in turn; groups are what must not cross a fold."""
    return {name: position % FOLDS for position, name in enumerate(order)}
