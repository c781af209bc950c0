"""Breakdown of a metric: interval, contribution of each class, variation over seeds and query orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmn.data.items import Items
from fmn.evaluation.results_table import METRICS
from fmn.metrics.bootstrap import percent_bounds
from fmn.metrics.directions import Direction
from fmn.metrics.retrieval_metrics import KS, by_class, query_metrics
from fmn.metrics.within_class import partner_rank

Bools = NDArray[np.bool_]
REFERENCES = ("chance", "ceiling")
Factors = Mapping[str, Sequence[str]]


def factors_of(items: Items) -> dict[Direction, dict[str, list[str]]]:
    """Grouping factors of the queries, by direction: class, and voice (utterances) or person (clips)."""
    return {
        "audio_to_video": {
            "class": [row.class_id for row in items.utterances],
            "voice": [row.voice for row in items.utterances],
        },
        "video_to_audio": {
            "class": [row.class_id for row in items.clips],
            "person": [row.person for row in items.clips],
        },
    }


def details(scores: NDArray[Any], classes: Bools, partners: Bools, factors: Factors) -> dict[str, Any]:
    """Computes intervals and per-class means of one direction's block of metrics.json.

    Args:
        scores: [Q, G].
        classes: [Q, G] bool: of the same class.
        partners: [Q, G] bool: the query's own partner.
        factors: by name, Q labels; must include ``class``.

    Returns:
        ``intervals``: 95 % intervals ``[low, high]`` by metric and k, and of ``partner_rank`` (percent; None without
        queries), with ``level`` and the number of ``levels`` of each factor; the factors are resampled together
        (`fmn.metrics.bootstrap`).
        ``by_class``: by class id, its ``queries``, ``class_hit`` and ``class_recall`` by k and ``class_map``, percent.
    """
    of_class = query_metrics(scores, classes)
    has_partner: Bools = np.any(partners, axis=1)
    own = query_metrics(scores[has_partner], partners[has_partner]).hits if has_partner.any() else {}
    every = np.full(len(scores), True)
    ranks = partner_rank(scores, classes, partners)
    known = ~np.isnan(ranks)
    intervals: dict[str, Any] = {
        metric: {str(k): percent_bounds(values.get(k), factors, entering) for k in KS}
        for metric, values, entering in (
            ("instance_hit", own, has_partner),
            ("class_hit", of_class.hits, every),
            ("class_recall", of_class.recalls, every),
        )
    }
    intervals["partner_rank"] = percent_bounds(ranks[known] if known.any() else None, factors, known)
    intervals["level"] = 0.95
    intervals["levels"] = {name: len(set(labels)) for name, labels in factors.items()}
    names = list(factors["class"])
    hits = {k: by_class(of_class.hits[k], names) for k in KS}
    recalls = {k: by_class(of_class.recalls[k], names) for k in KS}
    precision = by_class(of_class.average_precision, names)
    return {
        "intervals": intervals,
        "by_class": {
            name: {
                "queries": names.count(name),
                "class_hit": {str(k): hits[k][name] for k in KS},
                "class_recall": {str(k): recalls[k][name] for k in KS},
                "class_map": precision[name],
            }
            for name in precision
        },
    }


def summarized(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Averages blocks of metrics.json: means of metrics, chance and ceiling, and ``sd`` of metrics (see `sd_of`)."""
    found = _means(blocks, tuple(METRICS))
    for name in ("class_map", "median_rank", "partner_rank"):
        column = [block[name] for block in blocks]
        mean, spread = (None, None) if None in column else (float(np.mean(column)), sd_of(column))
        found[name], found["sd"][name] = mean, spread
    if "chosen" in blocks[0]:
        found["chosen"] = _means([block["chosen"] for block in blocks], ("instance", "class"))
    return found


def _means(blocks: Sequence[Mapping[str, Any]], metrics: Sequence[str]) -> dict[str, Any]:
    """The first block with ``metrics``, which have values by k or by name, replaced by means, and with their ``sd``."""
    means: dict[str, Any] = {}
    spreads: dict[str, Any] = {}
    for metric in metrics:
        values = {k: [block[metric][k] for block in blocks] for k in blocks[0][metric]}
        means[metric] = {k: None if None in column else float(np.mean(column)) for k, column in values.items()}
        spreads[metric] = {k: None if None in column else sd_of(column) for k, column in values.items()}
    references = {name: _mean_of([block[name] for block in blocks]) for name in REFERENCES if name in blocks[0]}
    return {**blocks[0], **means, **references, "sd": spreads}


def _mean_of(values: Sequence[Any]) -> Any:
    """Mean of numbers, or of dictionaries of numbers, key by key; None if one of the values is None."""
    if isinstance(values[0], Mapping):
        return {key: _mean_of([each[key] for each in values]) for key in values[0]}
    if None in values:
        return None
    return values[0] if all(value == values[0] for value in values) else float(np.mean(values))


def sd_of(values: Sequence[float]) -> float | None:
    """Sample standard deviation (n − 1); None for a single value, which says nothing about the variation."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None
