"""Retrieval metrics, exact under ties: what a random order of equal scores gives in expectation.

Three readings of the paper's R@k (section 4.2), in percent: *instance hit*, the query's own partner is in the top k;
*class hit*, any item of the query's class is; *class recall* (eq. 5), the share of the class's items that are. Beside
each stands *chance* (scores that say nothing) and the *ceiling* of class knowledge (scores that say the class, and
nothing within it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.manifests import InputError

KS = (1, 10, 25)
ROWS_AT_ONCE = 256

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class _Ranked:
    """Some queries' galleries in descending order of score, with the groups of equal scores. All are [Q, G].

    Attributes:
        relevant: whether the item at the place is relevant.
        before: items in front of the place's group of equals. tied: items in that group.
        hits_tied: relevant items in that group.
    """

    relevant: Bools
    before: Integers
    tied: Integers
    hits_tied: Integers


def recall_at_k(scores: Any, relevant: Any, ks: Sequence[int] = KS) -> dict[int, float]:
    """Percent of queries with a relevant item among the k best; ties count by expectation.

    With b items strictly better than the best relevant one, and t items, p of them relevant, that tie with it, a query
    counts 0 if b ≥ k, else 1 − C(t−p, m)/C(t, m) with m = min(k−b, t). A query without a relevant item counts 0.

    Args:
        scores: [Q, G], the higher the better; array or tensor; infinities are allowed.
        relevant: [Q, G] bool.
        ks: how many of the best.

    Raises:
        InputError: a score is NaN, or the shapes do not fit, or a k is below 1.
    """
    scores, relevant, ks = _checked(scores, relevant, ks)
    total = dict.fromkeys(ks, 0.0)
    for ranked in _ranked(scores, relevant):
        for k, expected in _hits(ranked, ks).items():
            total[k] += float(expected.sum())
    return {k: 100 * value / len(scores) for k, value in total.items()}


def class_recall_at_k(scores: Any, relevant: Any, ks: Sequence[int] = KS) -> dict[int, float]:
    """Eq. 5 at k: the mean percentage of a query's relevant items found among its k best; ties by expectation.

    An item with b items strictly better and t tied (itself included) is among the k best with probability (k−b)/t, cut
    to 0…1. A query without a relevant item counts 0. Arguments and errors are those of `recall_at_k`.
    """
    scores, relevant, ks = _checked(scores, relevant, ks)
    total = dict.fromkeys(ks, 0.0)
    for ranked in _ranked(scores, relevant):
        count = np.maximum(ranked.relevant.sum(axis=1), 1)
        for k in ks:
            inside = np.clip((k - ranked.before) / ranked.tied, 0, 1)
            total[k] += float(((inside * ranked.relevant).sum(axis=1) / count).sum())
    return {k: 100 * value / len(scores) for k, value in total.items()}


def mean_average_precision(scores: Any, relevant: Any) -> float:
    """Mean over queries of the average precision, percent; under ties its expectation (McSherry and Najork, 2008).

    A query without a relevant item counts 0. Arguments and errors are those of `recall_at_k`.
    """
    scores, relevant, _ = _checked(scores, relevant, KS)
    places = np.arange(1, scores.shape[1] + 1)
    total = 0.0
    for ranked in _ranked(scores, relevant):
        so_far = np.cumsum(ranked.relevant, axis=1)
        rows = np.arange(len(so_far))[:, None]
        hits_before = np.where(ranked.before > 0, so_far[rows, np.maximum(ranked.before - 1, 0)], 0)
        # Given that the i-th of a group is relevant, (i−1)(p−1)/(t−1) of those in front of it in the group are too.
        in_front = (places - 1 - ranked.before) * (ranked.hits_tied - 1) / np.maximum(ranked.tied - 1, 1)
        precision = ranked.hits_tied / ranked.tied * (hits_before + 1 + in_front) / places
        total += float((precision.sum(axis=1) / np.maximum(so_far[:, -1], 1)).sum())
    return 100 * total / len(scores)


def median_rank(scores: Any, relevant: Any) -> float:
    """Median over queries of the rank, from 1, of the best relevant item; under ties its expectation b + (t+1)/(p+1).

    A query without a relevant item ranks behind the gallery. Arguments and errors are those of `recall_at_k`.
    """
    scores, relevant, _ = _checked(scores, relevant, KS)
    ranks: list[Floats] = []
    for ranked in _ranked(scores, relevant):
        rows, best, found = _best(ranked)
        rank = ranked.before[rows, best] + (ranked.tied[rows, best] + 1) / (ranked.hits_tied[rows, best] + 1)
        ranks.append(np.where(found, rank, scores.shape[1] + 1))
    return float(np.median(np.concatenate(ranks)))


def retrieval_metrics(
    scores: Any,
    query_classes: Sequence[Any],
    gallery_classes: Sequence[Any],
    partners: Any,
    ks: Sequence[int] = KS,
) -> dict[str, Any]:
    """One direction's block of metrics.json.

    Args:
        scores: [Q, G].
        query_classes: Q class ids.
        gallery_classes: G class ids.
        partners: [Q, G] bool: the gallery items that belong to the query itself (the clip that an utterance describes,
            the utterances that describe a clip). Queries without one do not enter the instance hits;
            ``instance_queries`` counts those that do.
        ks: how many of the best.

    Returns:
        ``queries``, ``instance_queries``, ``gallery``; ``instance_hit``, ``class_hit``, ``class_recall`` and, within
        ``chance`` and ``ceiling``, the same three: percent by k, as strings; None where no query has a partner;
        ``class_map`` (percent) and ``median_rank`` (of the best item of the class).

    Raises:
        InputError: see `recall_at_k`.
    """
    classes = np.asarray(query_classes)[:, None] == np.asarray(gallery_classes)[None]
    scores, partners, ks = _checked(scores, partners, ks)
    asked = partners.any(axis=1)
    same = np.zeros(scores.shape)
    return {
        "queries": len(scores),
        "instance_queries": int(asked.sum()),
        "gallery": scores.shape[1],
        **_three(scores, classes, partners, asked, ks),
        "class_map": mean_average_precision(scores, classes),
        "median_rank": median_rank(scores, classes),
        # Constant scores are chance, and scores that are the class are the ceiling: ties do the rest, exactly.
        "chance": _three(same, classes, partners, asked, ks),
        "ceiling": _three(classes.astype(np.float64), classes, partners, asked, ks),
    }


def _three(scores: Floats, classes: Bools, partners: Bools, asked: Bools, ks: Sequence[int]) -> dict[str, Any]:
    found = {
        "instance_hit": recall_at_k(scores[asked], partners[asked], ks) if asked.any() else dict.fromkeys(ks),
        "class_hit": recall_at_k(scores, classes, ks),
        "class_recall": class_recall_at_k(scores, classes, ks),
    }
    return {name: {str(k): value for k, value in values.items()} for name, values in found.items()}


def _hits(ranked: _Ranked, ks: Sequence[int]) -> dict[int, Floats]:
    """[Q] by k: the probability that a relevant item is among the k best."""
    rows, best, found = _best(ranked)
    before, tied, hits = (values[rows, best] for values in (ranked.before, ranked.tied, ranked.hits_tied))
    expected: dict[int, Floats] = {}
    for k in ks:
        places = np.minimum(k - before, tied)
        # C(t−p, m)/C(t, m) as a product of m factors; m is at most k, which is small.
        missed: Floats = np.ones(len(before))
        for drawn in range(min(k, int(tied.max(initial=0)))):
            inside = drawn < places
            factor = np.maximum(tied - hits - drawn, 0) / np.maximum(tied - drawn, 1)
            missed = np.where(inside, missed * factor, missed)
        expected[k] = np.where(found, 1 - missed, 0.0)
    return expected


def _best(ranked: _Ranked) -> tuple[Any, Any, Any]:
    """Row numbers, the place of each row's first relevant item, and whether there is one."""
    return np.arange(len(ranked.relevant)), ranked.relevant.argmax(axis=1), ranked.relevant.any(axis=1)


def _ranked(scores: Floats, relevant: Bools) -> Iterator[_Ranked]:
    """The queries, ranked, some at a time so that memory does not grow with their number."""
    for start in range(0, len(scores), ROWS_AT_ONCE):
        part, part_relevant = scores[start : start + ROWS_AT_ONCE], relevant[start : start + ROWS_AT_ONCE]
        order = np.argsort(-part, axis=1, kind="stable")
        ordered = np.take_along_axis(part, order, axis=1)
        hit = np.take_along_axis(part_relevant, order, axis=1)
        places = np.arange(ordered.shape[1])
        opens = np.ones(ordered.shape, dtype=bool)
        opens[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        before = np.maximum.accumulate(np.where(opens, places, 0), axis=1)
        closes = np.ones(ordered.shape, dtype=bool)
        closes[:, :-1] = opens[:, 1:]
        last = np.minimum.accumulate(np.where(closes, places, ordered.shape[1])[:, ::-1], axis=1)[:, ::-1]
        so_far = np.cumsum(hit, axis=1)
        rows = np.arange(len(ordered))[:, None]
        hits_before = np.where(before > 0, so_far[rows, np.maximum(before - 1, 0)], 0)
        yield _Ranked(hit, before, last - before + 1, so_far[rows, last] - hits_before)


def _checked(scores: Any, relevant: Any, ks: Sequence[int]) -> tuple[Floats, Bools, tuple[int, ...]]:
    scores, relevant = _array(scores).astype(np.float64), _array(relevant).astype(bool)
    if scores.ndim != 2 or scores.shape != relevant.shape or 0 in scores.shape:
        raise InputError(
            f"Scores have the shape {scores.shape}, relevance has {relevant.shape}",
            expected="both [queries, gallery], with at least one of each",
        )
    if np.isnan(scores).any():
        raise InputError(
            f"{int(np.isnan(scores).sum())} of {scores.size} scores are NaN",
            where=f"query {int(np.isnan(scores).any(axis=1).argmax())}",
            expected="numbers",
            next_step="a model that gives NaN has diverged: train with a smaller learning rate",
        )
    if any(k < 1 for k in ks):
        raise InputError(f"k is {min(ks)}", expected="k of at least 1")
    return scores, relevant, tuple(ks)


def _array(values: Any) -> NDArray[Any]:
    if hasattr(values, "detach"):  # a tensor, on any device, of any type
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() and values.element_size() < 4 else values
    return np.asarray(values)
