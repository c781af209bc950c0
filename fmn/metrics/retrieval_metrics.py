"""Retrieval metrics, exact under ties: the expectation over random orders of tied items.

Three interpretations of the paper's R@k (section 4.2), in percent: *instance hit*, the query's own partner is in the
top k; *class hit*, any item of the query's class is; *class recall* (eq. 5), the share of the class's items that are.
Each is reported with *chance* (uninformative scores) and the *ceiling* of class knowledge (scores that rank by class
alone): fmn/metrics/chance.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from fmn.metrics.chance import ceiling, chance, expected_hit, expected_reciprocal_rank, percent
from fmn.metrics.within_class import partner_rank

KS = (1, 10, 25)
SCORES_AT_ONCE = 4_194_304
"""Maximum number of scores held in float64."""

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class QueryMetrics:
    """Metrics of each of Q queries; a query without a relevant item in the gallery counts as a miss.

    Attributes:
        hits: by k, [Q] in 0…1: the probability that a relevant item is in the top k. With b items strictly better
            than the best relevant one, and t items tied with it (itself included), p of them relevant, it is 0 if
            b ≥ k, else 1 − C(t−p, m)/C(t, m) with m = min(k−b, t).
        recalls: by k, [Q] in 0…1: the expected share of the relevant items that are in the top k (eq. 5). An item
            with b items strictly better and t tied (itself included) is in the top k with probability (k−b)/t, clipped
            to 0…1.
        average_precision: [Q] in 0…1, its expectation over the orders of the tied items (McSherry and Najork, 2008).
        rank: [Q], from 1: the expected rank of the best relevant item, b + (t+1)/(p+1); G + 1 if no item is relevant.
        reciprocal_rank: [Q] in 0…1, the expectation of 1 / rank of the best relevant item.
        ndcg: by k, [Q] in 0…1: the expected sum of 1 / log2(1 + rank) over the relevant items in the top k, divided by
            its value for a ranking with all relevant items first.
    """

    hits: dict[int, Floats]
    recalls: dict[int, Floats]
    average_precision: Floats
    rank: Floats
    reciprocal_rank: Floats
    ndcg: dict[int, Floats]


def recall_at_k(scores: Any, relevant: Any, ks: Sequence[int] = KS) -> dict[int, float]:
    """Returns the percentage of queries with a relevant item in the top k, in expectation under ties.

    See `QueryMetrics.hits`. A query without a relevant item counts as a miss.

    Args:
        scores: [Q, G], higher is better; array or tensor; infinities are allowed.
        relevant: [Q, G] bool.
        ks: cutoff ranks; may exceed the size of the gallery.

    Raises:
        InputError: a score is NaN, the shapes do not match, or a k is below 1.
    """
    return {k: percent(values) for k, values in query_metrics(scores, relevant, ks).hits.items()}


def mean_average_precision(scores: Any, relevant: Any) -> float:
    """Returns the mean over queries of the average precision in percent, in expectation under ties.

    A query without a relevant item counts as 0. Arguments and errors are those of `recall_at_k`.
    """
    return percent(query_metrics(scores, relevant, ()).average_precision)


def query_metrics(scores: Any, relevant: Any, ks: Sequence[int] = KS) -> QueryMetrics:
    """Computes every metric per query, for per-class means and confidence intervals (fmn/metrics/bootstrap.py).

    Arguments and errors are those of `recall_at_k`.
    """
    scores, relevant, ks = _checked(scores, relevant, ks)
    rows = max(1, SCORES_AT_ONCE // scores.shape[1])
    parts = [
        _block_metrics(scores[start : start + rows], relevant[start : start + rows], ks)
        for start in range(0, len(scores), rows)
    ]
    return QueryMetrics(
        hits={k: np.concatenate([part.hits[k] for part in parts]) for k in ks},
        recalls={k: np.concatenate([part.recalls[k] for part in parts]) for k in ks},
        average_precision=np.concatenate([part.average_precision for part in parts]),
        rank=np.concatenate([part.rank for part in parts]),
        reciprocal_rank=np.concatenate([part.reciprocal_rank for part in parts]),
        ndcg={k: np.concatenate([part.ndcg[k] for part in parts]) for k in ks},
    )


def by_class(values: Floats, classes: Sequence[Any]) -> dict[Any, float]:
    """Averages a metric over the queries of each class.

    Args:
        values: [Q] in 0…1, such as ``query_metrics(…).hits[1]``.
        classes: Q class ids, strings or numbers.

    Returns:
        Percent by class id, in sorted order.
    """
    names, number = np.unique(np.asarray(classes), return_inverse=True)
    means = 100 * np.bincount(number, values) / np.bincount(number)
    return dict(zip(names.tolist(), means.tolist(), strict=True))


def retrieval_metrics(
    scores: Any,
    query_classes: Sequence[Any],
    gallery_classes: Sequence[Any],
    partners: Any,
    ks: Sequence[int] = KS,
) -> dict[str, Any]:
    """Computes one direction's block of metrics.json; for the other direction, transpose scores and partners.

    Args:
        scores: [Q, G].
        query_classes: Q class ids.
        gallery_classes: G class ids.
        partners: [Q, G] bool: the gallery items that belong to the query itself (the clip that an utterance describes,
            the utterances that describe a clip). Queries without one are excluded from the instance hits, their chance
            and their ceiling; ``instance_queries`` is the number of those included.
        ks: cutoff ranks.

    Returns:
        ``queries``, ``instance_queries``, ``gallery``; ``instance_hit``, ``class_hit``, ``class_recall`` and, within
        ``chance`` and ``ceiling``, the same three: percent, by k as a string; None if no query has a partner;
        ``class_map`` (percent), ``median_rank`` (of the best item of the class), and ``partner_rank`` (percent, 50 by
        chance; None if it is undefined for all queries: `fmn.metrics.within_class`).

    Raises:
        InputError: see `recall_at_k`.
    """
    classes = np.asarray(query_classes)[:, None] == np.asarray(gallery_classes)[None]
    scores, partners, ks = _checked(scores, partners, ks)
    has_partner = partners.any(axis=1)
    of_class = query_metrics(scores, classes, ks)
    ranks = partner_rank(scores, classes, partners)
    instance = (
        query_metrics(scores[has_partner], partners[has_partner], ks).hits if has_partner.any() else dict.fromkeys(ks)
    )
    return {
        "queries": len(scores),
        "instance_queries": int(has_partner.sum()),
        "gallery": scores.shape[1],
        "instance_hit": {str(k): values if values is None else percent(values) for k, values in instance.items()},
        "class_hit": {str(k): percent(values) for k, values in of_class.hits.items()},
        "class_recall": {str(k): percent(values) for k, values in of_class.recalls.items()},
        "class_map": percent(of_class.average_precision),
        "median_rank": float(np.median(of_class.rank)),
        "partner_rank": None if np.isnan(ranks).all() else 100 * float(np.nanmean(ranks)),
        "chance": chance(classes, partners, ks),
        "ceiling": ceiling(classes, partners, ks),
    }


class _Places(NamedTuple):
    """Ranks of the relevant items of some queries, under ties: n entries, one per relevant item, in query order.

    Attributes:
        query: row of the query.
        before: number of items strictly better. tied: number of items with the same score, itself included.
        hits_before, hits_tied: how many of those are relevant.
    """

    query: Integers
    before: Integers
    tied: Integers
    hits_before: Integers
    hits_tied: Integers


def _block_metrics(scores: Floats, relevant: Bools, ks: Sequence[int]) -> QueryMetrics:
    queries, gallery = scores.shape
    places = _places(scores.astype(np.float64), relevant)
    count = np.maximum(relevant.sum(axis=1), 1)

    def mean_of(values: Floats) -> Floats:
        """[n] → [Q]: over the relevant items of each query."""
        mean: Floats = np.bincount(places.query, values, queries) / count
        return mean

    # The best relevant items are those with no relevant item before them; any one of them represents its query.
    found, first = np.unique(places.query[places.hits_before == 0], return_index=True)
    best = _Places(*(values[places.hits_before == 0][first] for values in places))
    hits: dict[int, Floats] = {k: np.zeros(queries) for k in ks}
    for k in ks:
        hits[k][found] = expected_hit(best.before, best.tied, best.hits_tied, k)
    rank = np.full(queries, gallery + 1.0)
    rank[found] = best.before + (best.tied + 1) / (best.hits_tied + 1)
    reciprocal_rank = np.zeros(queries)
    reciprocal_rank[found] = expected_reciprocal_rank(best.before, best.tied, best.hits_tied)
    # Cumulative discounts of the first 0, 1, … G ranks; tied items share theirs equally.
    discounts = np.concatenate([[0.0], np.cumsum(1 / np.log2(np.arange(2, gallery + 2)))])
    return QueryMetrics(
        hits=hits,
        recalls={k: mean_of(np.clip((k - places.before) / places.tied, 0, 1)) for k in ks},
        average_precision=mean_of(_precision(places, gallery)),
        rank=rank,
        reciprocal_rank=reciprocal_rank,
        ndcg={k: mean_of(_gain(places, discounts, k)) * count / discounts[np.minimum(count, k)] for k in ks},
    )


def _gain(places: _Places, discounts: Floats, k: int) -> Floats:
    """[n]: the expected discount of each relevant item, 0 beyond rank k."""
    within = [discounts[np.minimum(end, k)] for end in (places.before, places.before + places.tied)]
    gain: Floats = (within[1] - within[0]) / places.tied
    return gain


def _precision(places: _Places, gallery: int) -> Floats:
    """[n]: the expected precision at the rank of each relevant item.

    The i-th item of its group of ties has rank b + i. Up to it there are h relevant items before the group, the item
    itself, and each of the i − 1 in between with probability (p−1)/(t−1): the precision is
    (h + 1 + (i−1)(p−1)/(t−1)) / (b + i), with i uniform in 1…t. The sums over i are differences of harmonic numbers.
    """
    _, before, tied, hits_before, hits_tied = places
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, gallery + 1))])
    sum_of_inverses = harmonic[before + tied] - harmonic[before]
    sum_of_shares = tied - (before + 1) * sum_of_inverses  # of (i − 1)/(b + i)
    in_between = (hits_tied - 1) / np.maximum(tied - 1, 1)
    precision: Floats = ((hits_before + 1) * sum_of_inverses + in_between * sum_of_shares) / tied
    return precision


def _places(scores: Floats, relevant: Bools) -> _Places:
    """Ranks the relevant items in the descending order of each row of scores."""
    ascending = np.sort(scores, axis=1)
    rows = [_places_of_row(*row) for row in zip(ascending, scores, relevant, strict=True)]
    query = np.repeat(np.arange(len(rows)), [row.shape[1] for row in rows])
    return _Places(query, *np.concatenate(rows, axis=1))


def _places_of_row(ascending: Floats, scores: Floats, relevant: Bools) -> Integers:
    """[4, n]: ``before``, ``tied``, ``hits_before``, ``hits_tied`` of the relevant items of one query."""
    own = np.sort(scores[relevant])
    counts = []
    for sequence in (ascending, own):
        below, up_to = np.searchsorted(sequence, own, "left"), np.searchsorted(sequence, own, "right")
        counts += [len(sequence) - up_to, up_to - below]
    return np.array(counts, dtype=np.int64)


def _checked(scores: Any, relevant: Any, ks: Iterable[int]) -> tuple[NDArray[Any], Bools, tuple[int, ...]]:
    scores, relevant, ks = _array(scores), _array(relevant).astype(bool), tuple(ks)  # ks may be a generator
    if scores.ndim != 2 or scores.shape != relevant.shape or 0 in scores.shape:
        raise InputError(
            f"Scores have shape {scores.shape}, relevance has {relevant.shape}",
            expected="both [queries, gallery], with at least one of each",
        )
    if np.isnan(scores).any():
        raise InputError(
            f"{count_of(int(np.isnan(scores).sum()), 'score is', 'scores are')} NaN, of {scores.size:,}",
            where=f"query {int(np.isnan(scores).any(axis=1).argmax())}",
            expected="numbers",
            next_step="a model that outputs NaN has diverged: train with a smaller learning rate",
        )
    if any(k < 1 for k in ks):
        raise InputError(f"k is {min(ks)}", expected="k of at least 1")
    return scores, relevant, ks


def _array(values: Any) -> NDArray[Any]:
    if hasattr(values, "detach"):  # a tensor of any dtype, on any device
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() and values.element_size() < 4 else values
    return np.asarray(values)
