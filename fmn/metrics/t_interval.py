"""Confidence interval of a mean by Student's t distribution."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def t_interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the mean of [N] independent values and the half-width of its 95 % interval (infinite for one value)."""
    from scipy.stats import t

    mean, count = float(values.mean()), len(values)
    if count < 2:
        return mean, float("inf")
    return mean, float(t.ppf(0.975, count - 1) * values.std(ddof=1) / count**0.5)
