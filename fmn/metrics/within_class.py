"""Within-class rank of the partner: what scores reveal about a clip's own sentence beyond the class.

Instance hit rises with class knowledge alone, so it is no evidence that a system tells items of one class apart. This
is: 0 puts the query's own partner before all other items of its class, 1 behind them, and scores that know nothing
within a class give .5 in expectation, whatever they know of the classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def partner_rank(scores: Any, classes: Bools, partners: Bools) -> Floats:
    """Of each query the normalized rank of its partner among the gallery items of the query's class.

    The share of its class's other items that are better than the partner, an equal one counting half; of several
    partners the mean, each against the items that are none.

    Args:
        scores: [Q, G], the higher the better.
        classes: [Q, G]: of one class.
        partners: [Q, G]: belonging to the query itself.

    Returns:
        [Q] in 0…1; NaN where no partner is of the query's class, or nothing else of it is in the gallery.
    """
    rows = zip(np.asarray(scores, dtype=np.float64), classes & partners, classes & ~partners, strict=True)
    return np.array([_of_query(row[own], row[others]) for row, own, others in rows])


def _of_query(own: Floats, others: Floats) -> float:
    if not (own.size and others.size):
        return float("nan")
    ordered = np.sort(others)
    worse = np.searchsorted(ordered, own, "left") + np.searchsorted(ordered, own, "right")  # twice, an equal one once
    return float(1 - worse.mean() / (2 * len(ordered)))
