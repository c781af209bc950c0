"""Bootstrap confidence intervals of a mean over queries, resampling shared factors.

The queries of a test set are not independent: those of a class, of a person (or voice) and of a training seed are
correlated, and resampling queries alone yields intervals that are far too narrow. So classes, people and seeds are
resampled independently of each other in every draw, and a query is weighted by the product of the counts of its class,
its person and its seed: the pigeonhole bootstrap for crossed random effects (A. B. Owen, The pigeonhole bootstrap,
Annals of Applied Statistics, 2007). It is mildly conservative where the factors have many levels; for a factor with few
levels (three seeds), every bootstrap underestimates the variance: (L − 1)/L of it for L levels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError

WEIGHTS_AT_ONCE = 4_194_304
"""Maximum number of weights (draws × queries) held in memory."""

FEWEST_LEVELS = 6
"""Fewest classes, or persons, that can show a difference: five all have the same sign by chance in 1 of 16 cases."""


@dataclass(frozen=True)
class ConfidenceInterval:
    """A mean and its confidence interval.

    Attributes:
        mean: over all values, in their unit.
        low, high: the percentiles of the resampled means that enclose the share ``level``.
        level: confidence level, usually 0.95.
        levels: number of levels of each factor. A factor with one level adds no variance: one seed is not informative
            about other seeds, and the interval is conditional on it.
    """

    mean: float
    low: float
    high: float
    level: float
    levels: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        return {"mean": self.mean, "low": self.low, "high": self.high, "level": self.level, "levels": self.levels}


def excludes(interval: Mapping[str, Any], value: float) -> bool:
    """Whether an interval (`ConfidenceInterval.as_dict`) is evidence that the mean differs from ``value``.

    Bootstrap intervals of few levels are too narrow, with zero width if all queries are equal: where every factor other
    than the seed has fewer than `FEWEST_LEVELS`, they are no evidence. Intervals over corpora take the number of levels
    into account themselves (Student's t).
    """
    levels = {name: number for name, number in interval["levels"].items() if name != "seed"}
    is_enough = "corpus" in levels or max(levels.values()) >= FEWEST_LEVELS
    return is_enough and not interval["low"] <= value <= interval["high"]


def interval_of_mean(
    values: Sequence[float] | NDArray[Any],
    factors: Mapping[str, Sequence[Any] | NDArray[Any]],
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> ConfidenceInterval:
    """Computes the confidence interval of the mean of values over queries, resampling all factors in every draw.

    For the difference of two systems, pass the per-query differences for the same queries and seeds.

    Args:
        values: [n], one for each query and seed, such as ``query_metrics(…).hits[1]`` of all runs, concatenated.
        factors: by name, [n] labels, strings or numbers: ``{"class": …, "person": …, "seed": …}``.
        level: share of the resampled means that the interval encloses.
        draws: number of bootstrap draws.
        seed: of the resampling.

    Raises:
        InputError: there are no values or no factors, lengths differ, a value is not finite, or the level is outside
            0…1.
    """
    values = np.asarray(values, dtype=np.float64)
    _check(values, factors, level)
    numbers = {name: np.unique(np.asarray(labels), return_inverse=True)[1] for name, labels in factors.items()}
    levels = {name: int(number.max()) + 1 for name, number in numbers.items()}
    rng = np.random.default_rng(seed)
    means: list[NDArray[np.float64]] = []
    missing = draws
    while missing:
        batch = min(missing, max(1, WEIGHTS_AT_ONCE // len(values)))
        weights = np.ones((batch, len(values)))
        for name, number in numbers.items():
            counts = rng.multinomial(levels[name], np.full(levels[name], 1 / levels[name]), size=batch)
            weights *= counts[:, number]
        total = weights.sum(axis=1)
        drawn = total > 0  # if not all combinations occur, a draw can have zero weight: it is redrawn
        means.append((weights[drawn] @ values) / total[drawn])
        missing -= int(drawn.sum())
    low, high = np.quantile(np.concatenate(means), [(1 - level) / 2, (1 + level) / 2])
    return ConfidenceInterval(float(values.mean()), float(low), float(high), level, levels)


def percent_bounds(
    values: NDArray[np.float64] | None, factors: Mapping[str, Sequence[Any]], queries: NDArray[np.bool_]
) -> list[float] | None:
    """Returns the bounds of `interval_of_mean`, ``[low, high]``, in percent.

    Args:
        values: in 0…1, one for each of the queries marked in ``queries``; None: there are none, and no interval.
        factors: by name, labels of all Q queries.
        queries: [Q].
    """
    if values is None:
        return None
    found = interval_of_mean(100 * values, {name: np.asarray(labels)[queries] for name, labels in factors.items()})
    return [found.low, found.high]


def _check(values: NDArray[np.float64], factors: Mapping[str, Any], level: float) -> None:
    lengths = {name: len(labels) for name, labels in factors.items()}
    if values.ndim != 1 or not len(values) or not lengths or set(lengths.values()) != {len(values)}:
        raise InputError(
            f"The values have shape {values.shape}, the factors have lengths {lengths}",
            expected="one value per query, at least one factor, and one label per query for each factor",
        )
    if not np.isfinite(values).all():
        raise InputError(
            f"{count_of(int((~np.isfinite(values)).sum()), 'value is', 'values are')} not finite, of {len(values):,}"
        )
    if not 0 < level < 1:
        raise InputError(f"The confidence level is {level}", expected="a number between 0 and 1, such as 0.95")
