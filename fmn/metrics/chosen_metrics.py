"""nDCG@k, MRR, MAP, recall@k and hit@k, by their common names (``fmn eval --metrics``).

Relevance is binary, and has both notions of `fmn.metrics.retrieval_metrics`. Ties and queries without a relevant item
are handled as they are there: metrics are expectations over the orders of tied items (trec_eval orders them by id); for
*class*, a query without a relevant item counts as 0; for *instance*, a query without a partner is excluded. In percent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from fmn.metrics.bootstrap import percent_bounds
from fmn.metrics.retrieval_metrics import QueryMetrics, query_metrics

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]

METRICS: dict[str, Callable[[QueryMetrics, int], Floats]] = {
    "ndcg@k": lambda found, k: found.ndcg[k],
    "mrr": lambda found, _: found.reciprocal_rank,
    "map": lambda found, _: found.average_precision,
    "recall@k": lambda found, k: found.recalls[k],
    "hit@k": lambda found, k: found.hits[k],
}
"""[Q] in 0…1 by metric. hit@k is what papers on cross-modal retrieval call R@k; recall@k is the share of the relevant
items that are retrieved. For queries with one relevant item, the two are the same."""


def parse_metrics(text: str) -> tuple[str, ...]:
    """Parses names such as ``ndcg@10,mrr,recall@5``, keeping their order without duplicates; k is 1 to 999,999,999.

    Raises:
        InputError: a name is unknown, lacks its k, or has a k that the metric does not take.
    """
    names = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    for name in names:
        if _kind(name) not in METRICS or name.endswith("@k"):
            raise InputError(
                f"There is no metric {name!r}" if name else f"A metric name in {text!r} is empty",
                where="--metrics",
                expected=f"comma-separated names out of {', '.join(METRICS)}, with k of at least 1",
                next_step="pass, for example, --metrics ndcg@10,mrr,recall@5",
            )
    return names


def chosen_metrics(
    scores: Any,
    classes: Bools,
    partners: Bools,
    names: Sequence[str],
    factors: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Computes the block ``chosen`` of one direction in metrics.json.

    Args:
        scores: [Q, G].
        classes: [Q, G] bool: whether query and gallery item are of the same class.
        partners: [Q, G] bool: whether the gallery item belongs to the query itself.
        names: metric names, as returned by `parse_metrics`.
        factors: by name, Q labels, resampled for confidence intervals (`fmn.metrics.bootstrap`); None: no intervals.

    Returns:
        ``instance`` and ``class``, and within ``chance`` and ``ceiling`` the same two: percent by name; None for
        instance if no query has a partner. With factors, also ``intervals``: for both, the 95 % interval
        ``[low, high]`` by name.

    Raises:
        InputError: see `fmn.metrics.retrieval_metrics.recall_at_k`.
    """
    has_partner: Bools = np.any(partners, axis=1)
    every = np.full(len(has_partner), True)
    entering = {"instance": (partners, has_partner), "class": (classes, every)}

    def means(of: Any) -> dict[str, Any]:
        values = {name: _values(of, relevant, queries, names) for name, (relevant, queries) in entering.items()}
        return {
            relevance: {name: None if value is None else 100 * float(value.mean()) for name, value in by_name.items()}
            for relevance, by_name in values.items()
        }

    block = means(scores)
    block["chance"] = means(np.zeros(classes.shape, dtype=bool))  # the whole gallery ties
    block["ceiling"] = means(classes)  # the items of the class tie, above all others
    if factors is not None:
        block["intervals"] = {
            relevance: {
                name: percent_bounds(values, factors, queries)
                for name, values in _values(scores, relevant, queries, names).items()
            }
            for relevance, (relevant, queries) in entering.items()
        }
    return block


def _values(scores: Any, relevant: Bools, queries: Bools, names: Sequence[str]) -> dict[str, Floats | None]:
    """Returns the values of the queries marked in ``queries`` [Q], by name; None if none is marked."""
    if not queries.any():
        return dict.fromkeys(names)
    metrics = query_metrics(scores[queries], relevant[queries], tuple({_k(name) for name in names}))
    return {name: METRICS[_kind(name)](metrics, _k(name)) for name in names}


def _kind(name: str) -> str:
    """``ndcg@10`` → ``ndcg@k``."""
    return re.sub(r"@[1-9][0-9]{0,8}\Z", "@k", name)


def _k(name: str) -> int:
    """``ndcg@10`` → 10; 1 for a metric without k, where the value does not matter."""
    return int(name.partition("@")[2] or 1)
