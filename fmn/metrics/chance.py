"""Chance level and ceiling of a metric: random scores, and perfect class knowledge.

Both are closed forms of the sizes alone, for galleries and classes of any size. With 300 items in 20 balanced classes,
chance is .33/3.3/8.3 (instance hit), 5/40.6/73.8 (class hit), .33/3.3/8.3 (class recall) at k = 1, 10, 25, and class
knowledge yields 6.7/66.7/100, 100/100/100, 6.7/66.7/100 (docs/paper.md, the test protocol).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Percents = dict[str, dict[str, float | None]]


def expected_hit(before: Integers, tied: Integers, hits_tied: Integers, k: int) -> Floats:
    """Computes the probability that a relevant item is in the top k if tied items are ordered at random.

    0 if b ≥ k, else 1 − C(t−p, m)/C(t, m) with m = min(k−b, t).

    Args:
        before: [Q], b: number of items ranked above the best relevant one.
        tied: [Q], t: number of items tied with it, itself included.
        hits_tied: [Q], p: how many of those are relevant; at least 1.
        k: cutoff rank.

    Returns:
        [Q] in 0…1.
    """
    inside = np.clip(k - before, 0, tied)
    # C(t−p, m)/C(t, m) is the product of (t−p−i)/(t−i) for i < m, and of (t−m−i)/(t−i) for i < p: the shorter one.
    fewer, more = np.minimum(inside, hits_tied), np.maximum(inside, hits_tied)
    missed: Floats = np.ones(len(before))
    for i in range(int(fewer.max(initial=0))):
        factor = np.maximum(tied - more - i, 0) / np.maximum(tied - i, 1)
        missed = np.where(i < fewer, missed * factor, missed)
    return 1 - missed


def expected_reciprocal_rank(before: Integers, tied: Integers, hits_tied: Integers) -> Floats:
    """Computes the expected reciprocal rank of the best relevant item if tied items are ordered at random.

    Σ P_i / (b + i) over i = 1 … t−p+1: it is the i-th of the tied items with probability P_i, where P_1 = p/t and
    P_(i+1) = P_i (t−p−i+1)/(t−i). Arguments are those of `expected_hit`; returns [Q] in 0…1.
    """
    cases, which = np.unique(np.stack([before, tied, hits_tied], axis=1), axis=0, return_inverse=True)
    values: Floats = np.zeros(len(cases))
    for number, (b, t, p) in enumerate(cases.tolist()):
        i = np.arange(1, t - p + 1)
        chances = p / t * np.concatenate([[1.0], np.cumprod((t - p - i + 1) / (t - i))])
        values[number] = (chances / (b + np.arange(1, t - p + 2))).sum()
    expected: Floats = values[which.reshape(-1)]
    return expected


def chance(classes: Bools, partners: Bools, ks: Sequence[int]) -> Percents:
    """Computes the three metrics for uninformative scores: the whole gallery is tied.

    Args:
        classes: [Q, G]: whether query and gallery item are of the same class.
        partners: [Q, G]: whether the gallery item belongs to the query itself. Queries without a partner are excluded
            from the instance hits.
        ks: cutoff ranks.

    Returns:
        ``instance_hit`` (None at every k if no query has a partner), ``class_hit``, ``class_recall``: percent, by k as
        a string.
    """
    own, of_class = partners.sum(axis=1), classes.sum(axis=1)
    gallery = np.full(len(own), classes.shape[1])
    none = np.zeros_like(gallery)
    return {
        "instance_hit": {str(k): _mean(expected_hit(none, gallery, own, k), own > 0) for k in ks},
        "class_hit": {str(k): percent(expected_hit(none, gallery, of_class, k)) for k in ks},
        "class_recall": {str(k): percent((of_class > 0) * np.minimum(k / gallery, 1)) for k in ks},
    }


def ceiling(classes: Bools, partners: Bools, ks: Sequence[int]) -> Percents:
    """Computes the three metrics for scores that rank by class alone: the items of the class tie, above all others.

    A partner of another class (a reviewer corrected its class) ties with the rest of the gallery. Arguments and return
    value are those of `chance`.
    """
    own, of_class = partners.sum(axis=1), classes.sum(axis=1)
    own_of_class = (partners & classes).sum(axis=1)
    first = own_of_class > 0
    before = np.where(first, 0, of_class)
    tied = np.where(first, of_class, classes.shape[1] - of_class)
    own_tied = np.where(first, own_of_class, own)
    return {
        "instance_hit": {str(k): _mean(expected_hit(before, tied, own_tied, k), own > 0) for k in ks},
        "class_hit": {str(k): percent(of_class > 0) for k in ks},
        "class_recall": {str(k): percent(np.minimum(k / np.maximum(of_class, 1), 1) * (of_class > 0)) for k in ks},
    }


def _mean(values: Floats, entering: Bools) -> float | None:
    return percent(values[entering]) if entering.any() else None


def percent(values: NDArray[Any]) -> float:
    """Returns the mean of values in 0…1, percent."""
    return 100 * float(values.mean())
