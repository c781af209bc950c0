"""Nearest-neighbor vote on the class of queries, for predictions, searches and the error analysis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEIGHBORS = 25
"""Maximum number of items that vote."""


@dataclass(frozen=True, eq=False)
class ClassVote:
    """Votes of N queries on C classes.

    Attributes:
        shares: [N, C], of the votes; rows sum to 1, or to 0 if there is no vote.
        best: [N, C], highest score of the items of a class, which decides between equal shares; -inf without an item.
        neighbors: [N], number of items that vote; 0: no vote.
    """

    shares: NDArray[np.float64]
    best: NDArray[np.float32]
    neighbors: NDArray[np.int64]


def class_vote(
    scores: NDArray[np.float32], item_classes: NDArray[np.int64], classes: int, most: int = NEIGHBORS
) -> ClassVote:
    """Lets the best items of each query vote on its class.

    The k best items vote. k is the largest number up to ``most`` such that each class among these k has at least k
    items: in a larger neighborhood, a small class would be outnumbered even if all of its items came first. Excluded
    items do not count. The weight of a vote is 1 / sqrt(size of its class), a compromise between few errors (equal
    weights favor large classes) and few errors in each class (1 / size favors small ones). This size includes excluded
    items: a class must not gain weight because it is the query's own, whose items are excluded. If all items of a class
    are excluded, there is no vote, since that class, probably the right one, could not win.

    Args:
        scores: [N, M]; -inf excludes an item.
        item_classes: [M].
        classes: C.
        most: maximum of k.
    """
    sizes = np.bincount(item_classes, minlength=classes)
    used = np.flatnonzero(sizes)
    starts = (np.cumsum(sizes) - sizes)[used]
    by_class = scores[:, np.argsort(item_classes, kind="stable")]  # so that one pass is enough for all classes
    best = np.full((len(scores), classes), -np.inf, dtype=scores.dtype)
    best[:, used] = np.maximum.reduceat(by_class, starts, axis=1)
    left = np.zeros((len(scores), classes), dtype=np.int64)
    left[:, used] = np.add.reduceat(np.isfinite(by_class), starts, axis=1, dtype=np.int64)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    voted = item_classes[order]
    rows = np.arange(len(scores))[:, None]
    fewest = np.minimum.accumulate(left[rows, voted], axis=1)  # among the classes of the best 1, 2, … items
    counted = np.isfinite(scores[rows, order]) & (fewest >= np.arange(1, order.shape[1] + 1))
    counted &= ~((left == 0) & (sizes > 0)).any(axis=1, keepdims=True)
    votes = np.zeros((len(scores), classes))
    np.add.at(votes, (rows, voted), counted / np.sqrt(sizes[voted]))
    total = votes.sum(axis=1, keepdims=True)
    return ClassVote(
        np.divide(votes, total, out=np.zeros_like(votes), where=total > 0),
        best,
        counted.sum(axis=1),
    )


def ranked(shares: NDArray[np.float64], best: NDArray[np.float32]) -> NDArray[np.intp]:
    """Returns classes by descending share; of equal shares, that with the better item first. [C] or [N, C]."""
    order: NDArray[np.intp] = np.lexsort((-best, -shares), axis=-1)
    return order
