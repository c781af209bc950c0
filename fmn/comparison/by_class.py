"""Class means of a comparison, sufficient to combine comparisons of several corpora."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fmn.data.items import Items
from fmn.evaluation.breakdown import factors_of
from fmn.metrics.directions import Direction

Floats = NDArray[np.float64]
PerQuery = Mapping[Direction, Mapping[str, Mapping[str, Floats]]]
"""direction → metric → k → [seeds, queries] in percent; NaN where a query has no partner."""


def class_ids(items: Items) -> list[str]:
    """Sorted class ids of all clips and utterances."""
    return sorted({row.class_id for row in (*items.clips, *items.utterances)})


def means_by_class(measured: PerQuery, items: Items) -> dict[str, dict[str, dict[str, list[float | None]]]]:
    """Computes means over the queries of each class, and over seeds.

    Args:
        measured: metrics of one system.
        items: the items whose clips and utterances are the queries.

    Returns:
        By direction, metric and k, one value for each of `class_ids`, in percent; None if no query of the class has
        one.
    """

    def of(values: Floats, labels: NDArray[np.str_]) -> list[float | None]:
        means = values.mean(0)
        found = [means[(labels == name) & ~np.isnan(means)] for name in class_ids(items)]
        return [round(float(own.mean()), 6) if len(own) else None for own in found]

    return {
        direction: {
            metric: {k: of(values, np.asarray(labels["class"])) for k, values in by_k.items()}
            for metric, by_k in measured[direction].items()
        }
        for direction, labels in factors_of(items).items()
    }


def queries_by_class(measured: PerQuery, items: Items) -> dict[str, dict[str, list[int]]]:
    """The number of queries that `means_by_class` averages, by direction and metric, one for each of `class_ids`.

    It is the same for all systems: only queries without a partner are excluded.
    """

    def of(values: Floats, labels: NDArray[np.str_]) -> list[int]:
        return [int(np.sum((labels == name) & ~np.isnan(values[0]))) for name in class_ids(items)]

    return {
        direction: {
            metric: of(next(iter(by_k.values())), np.asarray(labels["class"]))
            for metric, by_k in measured[direction].items()
        }
        for direction, labels in factors_of(items).items()
    }
