"""nDCG@k, MRR, MAP, recall@k and hit@k, by their common names (``fmn eval --metrics``).

Relevance is binary, and has both notions of `fmn.metrics.retrieval_metrics`. Ties and queries without a relevant item
are treated as there: ties count by expectation over their orders (trec_eval orders them by id); of *class*, a query
without a relevant item counts 0; of *instance*, a query without a partner does not enter. Percent, as all metrics here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from fmn.metrics.bootstrap import interval_of_mean
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
"""[Q] in 0…1 by metric. hit@k is what papers on retrieval across modalities call R@k, recall@k the share of the
relevant items; of queries with one relevant item, the two are the same."""


def parse_metrics(text: str) -> tuple[str, ...]:
    """The names in ``ndcg@10,mrr,recall@5``: in that order, each once; k is 1 to 999,999,999.

    Raises:
        InputError: a name is unknown, or lacks its k, or has one that it does not take.
    """
    names = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",")))
    for name in names:
        if _kind(name) not in METRICS or name.endswith("@k"):
            raise InputError(
                f"There is no metric {name!r}" if name else f"A metric of {text!r} has no name",
                where="--metrics",
                expected=f"names of {', '.join(METRICS)} with a comma between, k from 1",
                next_step="give for example --metrics ndcg@10,mrr,recall@5",
            )
    return names


def chosen_metrics(
    scores: Any,
    classes: Bools,
    partners: Bools,
    names: Sequence[str],
    factors: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """The block ``chosen`` of one direction in metrics.json.

    Args:
        scores: [Q, G].
        classes: [Q, G] bool: of one class.
        partners: [Q, G] bool: the query's own.
        names: as of `parse_metrics`.
        factors: by name, Q labels that are resampled together for intervals (`fmn.metrics.bootstrap`); None: none.

    Returns:
        ``instance`` and ``class``, and within ``chance`` and ``ceiling`` the same two: percent by name; None of
        instance where no query has a partner. With factors, ``intervals``: of both, ``[low, high]`` of 95 % by name.

    Raises:
        InputError: see `fmn.metrics.retrieval_metrics.recall_at_k`.
    """
    asked: Bools = np.any(partners, axis=1)
    every = np.full(len(asked), True)
    entering = {"instance": (partners, asked), "class": (classes, every)}

    def means(of: Any) -> dict[str, Any]:
        values = {name: _values(of, relevant, queries, names) for name, (relevant, queries) in entering.items()}
        return {
            relevance: {name: None if value is None else 100 * float(value.mean()) for name, value in by_name.items()}
            for relevance, by_name in values.items()
        }

    block = means(scores)
    block["chance"] = means(np.zeros(classes.shape, dtype=bool))  # the whole gallery ties
    block["ceiling"] = means(classes)  # the class ties, before all others
    if factors is not None:
        block["intervals"] = {
            relevance: _intervals(_values(scores, relevant, queries, names), factors, queries)
            for relevance, (relevant, queries) in entering.items()
        }
    return block


def _values(scores: Any, relevant: Bools, queries: Bools, names: Sequence[str]) -> dict[str, Floats | None]:
    """By name, the values of those of Q queries that are marked; None where none is."""
    if not queries.any():
        return dict.fromkeys(names)
    found = query_metrics(scores[queries], relevant[queries], tuple({_k(name) for name in names}))
    return {name: METRICS[_kind(name)](found, _k(name)) for name in names}


def _intervals(
    values: Mapping[str, Floats | None], factors: Mapping[str, Sequence[str]], queries: Bools
) -> dict[str, list[float] | None]:
    labels = {name: np.asarray(column)[queries] for name, column in factors.items()}
    found = {name: None if value is None else interval_of_mean(100 * value, labels) for name, value in values.items()}
    return {name: None if interval is None else [interval.low, interval.high] for name, interval in found.items()}


def _kind(name: str) -> str:
    """``ndcg@10`` → ``ndcg@k``."""
    return re.sub(r"@[1-9][0-9]{0,8}\Z", "@k", name)


def _k(name: str) -> int:
    """Its k; 1 where it has none and any will do."""
    return int(name.partition("@")[2] or 1)
