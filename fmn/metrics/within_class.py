"""Within-class rank of the partner: how well scores identify a clip's own sentence beyond its class.

Instance hit rises with class knowledge alone, so it is no evidence that a system distinguishes items of the same class.
This rank is: 0 means that the query's own partner ranks before all other items of its class, 1 after them, and scores
without information within classes yield .5 in expectation, however well they separate the classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def partner_rank(scores: Any, classes: Bools, partners: Bools) -> Floats:
    """Returns each query's normalized rank of its partner among the gallery items of the query's class.

    It is the share of the other items of the class that score higher than the partner, with ties counted half; for
    several partners it is the mean, each ranked among the non-partners only.

    Args:
        scores: [Q, G], higher is better.
        classes: [Q, G]: whether query and gallery item are of the same class.
        partners: [Q, G]: whether the gallery item belongs to the query itself.

    Returns:
        [Q] in 0…1; NaN if no partner is of the query's class, or the gallery has no other item of that class.
    """
    rows = zip(np.asarray(scores, dtype=np.float64), classes & partners, classes & ~partners, strict=True)
    return np.array([_of_query(row[own], row[others]) for row, own, others in rows])


def _of_query(own: Floats, others: Floats) -> float:
    if not (own.size and others.size):
        return float("nan")
    ordered = np.sort(others)
    worse = np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right")  # counted twice, ties once
    return float(1 - worse.mean() / (2 * len(ordered)))
