"""Aggregated results: means and standard deviations over seeds, differences from FMN with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.count_of import count_of
from fmn.comparison.by_class import Floats, PerQuery, class_ids, means_by_class, queries_by_class
from fmn.comparison.comparison_plan import REFERENCE, Comparison, Entry, describe
from fmn.comparison.comparison_runs import RunResult, Scores, read_scores
from fmn.data.items import Items
from fmn.data.outdated_pairs import outdated_pairs
from fmn.evaluation.breakdown import Factors, factors_of, sd_of
from fmn.evaluation.results_table import METRICS
from fmn.evaluation.run_notes import corpus_notes
from fmn.metrics.bootstrap import interval_of_mean
from fmn.metrics.chance import ceiling, chance
from fmn.metrics.directions import DIRECTIONS, Direction, by_direction, queries_and_gallery
from fmn.metrics.retrieval_metrics import KS, mean_average_precision, query_metrics
from fmn.metrics.within_class import partner_rank

SCHEMA = "fmn.compare/1"

FIGURES: Mapping[str, Sequence[str]] = {
    **{metric: [str(k) for k in KS] for metric in METRICS},
    "class_map": ["all"],
    "partner_rank": ["all"],
}
"""metric → k; metrics that consider every item of the class have a single value, ``all``."""


@dataclass(frozen=True, eq=False)
class Results:
    """Results of a comparison.

    Attributes:
        values: contents of compare.json (docs/comparing.md).
        failed: systems without results, with the reason.
        left_out: items of both manifests without features, with the reason.
    """

    values: dict[str, Any]
    failed: dict[str, str]
    left_out: dict[str, str] = field(default_factory=dict)


def summarized(comparison: Comparison, entries: Mapping[str, Entry], items: Items, notes: tuple[str, ...]) -> Results:
    """Summarizes the figures of all systems.

    Systems are measured on the items for which all of them have features.
    """
    scores: dict[str, list[Scores]] = {}
    for name, entry in entries.items():
        found = [read_scores(outcome.task.run, outcome.task.test_digest) for outcome in entry.tested]
        whole = [each for each in found if each is not None]
        if entry.error is None and whole and len(whole) == len(comparison.seeds):
            scores[name] = whole
    common = common_items(items, scores)
    measured = {name: measured_queries(each, common) for name, each in scores.items()}
    systems = {
        name: _described(entry)
        | (
            _figures(measured[name])
            | _rank(measured[name], common)
            | {"by_class": means_by_class(measured[name], common)}
            if name in measured
            else {}
        )
        for name, entry in entries.items()
    }
    if REFERENCE in measured:
        for name in measured:
            if name != REFERENCE:
                systems[name]["difference"] = _differences(measured[name], measured[REFERENCE], common)
    notes = (*corpus_notes(items.standin), *outdated_pairs(items), *notes)
    if len(common.clips) < len(items.clips) or len(common.utterances) < len(items.utterances):
        missing = len(items.clips) - len(common.clips), len(items.utterances) - len(common.utterances)
        notes += (
            f"{count_of(missing[0], 'clip')} and {count_of(missing[1], 'utterance')} without features were left out.",
        )
    notes += (*_notes_of_changes(comparison.changes, entries), *_notes_of_trials(entries))
    counts = {each: queries_and_gallery(each, len(common.clips), len(common.utterances)) for each in DIRECTIONS}
    values = {
        "schema": SCHEMA,
        "train": str(comparison.train),
        "train_sha256": comparison.train_sha256,
        "test": str(comparison.test),
        "test_sha256": comparison.test_sha256,
        "preset": comparison.preset,
        "changes": dict(comparison.changes),
        "budget": max(len(tried) for tried in comparison.candidates.values()),
        "seeds": list(comparison.seeds),
        "device": comparison.device,
        "stand_in": items.standin is not None,
        "queries": {direction: queries for direction, (queries, _) in counts.items()},
        "gallery": {direction: gallery for direction, (_, gallery) in counts.items()},
        "classes": class_ids(common),
        "class_queries": queries_by_class(next(iter(measured.values())), common) if measured else {},
        "notes": list(notes),
        "systems": systems,
        "references": _references(common),
    }
    return Results(values, {name: _reason(values["error"]) for name, values in systems.items() if values["error"]})


def _notes_of_changes(changes: Mapping[str, Any], entries: Mapping[str, Entry]) -> Iterator[str]:
    """Yields which systems use the changed values, unless all do."""
    groups: dict[tuple[tuple[str, ...], bool], list[str]] = {}
    for name in changes:
        using = tuple(
            system for system, entry in entries.items() if not entry.system.ignores(name, entry.candidates[0].config)
        )
        groups.setdefault((using, name.startswith("memory.")), []).append(name)
    for (using, of_memories), names in groups.items():
        them = "it" if len(names) == 1 else "them"
        trials = f"; if fmn tune found {them}, its trials are more than any other system had" if of_memories else ""
        if len(using) < len(entries):
            who = f"only {', '.join(using)}" if using else "no system"
            yield f"{', '.join(names)}: {who} {'uses' if len(using) < 2 else 'use'} {them}{trials}."


def _notes_of_trials(entries: Mapping[str, Entry]) -> Iterator[str]:
    """Yields which configurations of systems with results failed, so that fold 0 could not select them."""
    for name, entry in entries.items():
        failed = [
            f"{describe(candidate.changes)} ({outcome.error.found})"
            for candidate, outcome in zip(entry.candidates, entry.tried, strict=False)
            if outcome.error is not None
        ]
        if failed and entry.error is None:
            yield (
                f"{name}: {len(failed)} of {count_of(len(entry.tried), 'configuration')} failed, and could not be "
                f"selected: {'; '.join(failed)}."
            )


def _reason(error: Mapping[str, Any]) -> str:
    where = error.get("where")
    return f"{error['found']} ({where})" if where else str(error["found"])


def common_items(items: Items, scores: Mapping[str, list[Scores]]) -> Items:
    """The items that every system scored.

    Args:
        items: the items of the test manifest.
        scores: by system, the scores of its seeds.
    """
    every = [each for several in scores.values() for each in several]
    clips = set.intersection(*(set(each.clips) for each in every)) if every else set()
    utterances = set.intersection(*(set(each.utterances) for each in every)) if every else set()
    return items.of_ids(clips, utterances) if every else items


def measured_queries(several: list[Scores], items: Items) -> PerQuery:
    """Computes the metrics of every query and seed; instance hits and rank are NaN for a query without a partner.

    Args:
        several: scores of the seeds, covering at least all ``items``.
        items: the items whose clips and utterances are the queries and the gallery.
    """
    rows: dict[Direction, list[dict[str, dict[str, Floats]]]] = {direction: [] for direction in DIRECTIONS}
    for each in several:
        clip_rows = {name: number for number, name in enumerate(each.clips)}
        utterance_rows = {name: number for number, name in enumerate(each.utterances)}
        kept = each.values[[clip_rows[row.id] for row in items.clips]]
        kept = kept[:, [utterance_rows[row.id] for row in items.utterances]]
        for direction, matrices in by_direction(kept, items.relevant, items.partner_matrix):
            rows[direction].append(_of_queries(*matrices))
    return {
        direction: {
            metric: {k: np.stack([row[metric][k] for row in of_seeds]) for k in ks} for metric, ks in FIGURES.items()
        }
        for direction, of_seeds in rows.items()
    }


def _of_queries(
    scores: NDArray[np.float32], classes: NDArray[np.bool_], partners: NDArray[np.bool_]
) -> dict[str, dict[str, Floats]]:
    of_class = query_metrics(scores, classes)
    has_partner = partners.any(axis=1)
    instance: dict[str, Floats] = {str(k): np.full(len(scores), np.nan) for k in KS}
    if has_partner.any():
        for k, hits in query_metrics(scores[has_partner], partners[has_partner]).hits.items():
            instance[str(k)][has_partner] = 100 * hits
    return {
        "instance_hit": instance,
        "class_hit": {str(k): 100 * values for k, values in of_class.hits.items()},
        "class_recall": {str(k): 100 * values for k, values in of_class.recalls.items()},
        "class_map": {"all": 100 * of_class.average_precision},
        "partner_rank": {"all": 100 * partner_rank(scores, classes, partners)},
    }


def _figures(measured: PerQuery) -> dict[str, Any]:
    """Mean and standard deviation over seeds, and the value of each seed; None where no query has a partner."""

    def of(values: Floats) -> dict[str, Any]:
        counted = ~np.isnan(values[0])
        if not counted.any():
            return {"mean": None, "sd": None, "values": []}
        means = values[:, counted].mean(axis=1)
        return {"mean": float(means.mean()), "sd": sd_of(means), "values": means.tolist()}

    return {
        "metrics": {
            direction: {metric: {k: of(values) for k, values in by_k.items()} for metric, by_k in metrics.items()}
            for direction, metrics in measured.items()
        }
    }


def _rank(measured: PerQuery, items: Items) -> dict[str, Any]:
    """Interval of the partner's rank within its class, by direction, to be compared with chance, 50."""
    factors = factors_of(items)
    return {
        "partner_rank": {
            direction: _interval(metrics["partner_rank"]["all"], factors[direction])
            for direction, metrics in measured.items()
        }
    }


def _differences(one: PerQuery, other: PerQuery, items: Items) -> dict[str, Any]:
    """Paired differences by query and seed, with intervals from resampling classes, people and seeds together."""
    factors = factors_of(items)
    return {
        direction: {
            metric: {
                k: _interval(values - other[direction][metric][k], factors[direction]) for k, values in by_k.items()
            }
            for metric, by_k in metrics.items()
        }
        for direction, metrics in one.items()
    }


def _interval(values: Floats, factors: Factors) -> dict[str, Any] | None:
    """Interval of the mean of [seeds, queries]; None without queries."""
    counted = ~np.isnan(values[0])
    if not counted.any():
        return None
    seeds, queries = values[:, counted].shape
    labels: dict[str, Any] = {name: np.tile(np.asarray(column)[counted], seeds) for name, column in factors.items()}
    labels["seed"] = np.repeat(np.arange(seeds), queries)
    return interval_of_mean(values[:, counted].ravel(), labels).as_dict()


def _described(entry: Entry) -> dict[str, Any]:
    """Configurations tried, the selected one, and costs."""
    winner = entry.candidates[entry.winner]
    return {
        "summary": entry.system.summary,
        "class_cross_entropy": entry.system.class_cross_entropy(winner.config),
        "footnote": entry.system.footnote(winner.config),
        "error": None if entry.error is None else entry.error.as_dict(),
        "configurations": [
            {"changes": dict(candidate.changes)} | _cost(outcome)
            for candidate, outcome in zip(entry.candidates, entry.tried, strict=False)
        ],
        "chosen": dict(winner.changes),
        "runs": [str(outcome.task.run) for outcome in entry.tested],
        "seeds": len(entry.tested),
        "parameters": entry.tested[0].parameters if entry.tested else None,
        "seconds": float(np.mean([outcome.seconds for outcome in entry.tested])) if entry.tested else None,
        "cpu_seconds": float(np.mean([outcome.cpu_seconds for outcome in entry.tested])) if entry.tested else None,
        "tuning_seconds": sum(outcome.seconds for outcome in entry.tried),
        "tuning_cpu_seconds": sum(outcome.cpu_seconds for outcome in entry.tried),
    }


def _cost(outcome: RunResult) -> dict[str, Any]:
    return {
        "validation_map": None if outcome.validation_score < 0 else outcome.validation_score,
        "seconds": outcome.seconds,
        "cpu_seconds": outcome.cpu_seconds,
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch,
        "run": str(outcome.task.run),
        "error": None if outcome.error is None else outcome.error.as_dict(),
    }


def _references(items: Items) -> dict[str, Any]:
    """Chance and the class-knowledge ceiling, by direction."""
    found: dict[str, Any] = {"chance": {}, "ceiling": {}}
    for direction, (relevant, partners) in by_direction(items.relevant, items.partner_matrix):
        no_order = mean_average_precision(np.zeros(relevant.shape), relevant)  # equal scores: mean over random orders
        ranked = ~np.isnan(partner_rank(np.zeros(relevant.shape), relevant, partners))
        by_chance = {"partner_rank": {"all": 50.0 if ranked.any() else None}}
        found["chance"][direction] = chance(relevant, partners, KS) | {"class_map": {"all": no_order}} | by_chance
        precision = 100 * float(relevant.any(axis=1).mean())  # 0 for a query without an item of its class
        found["ceiling"][direction] = ceiling(relevant, partners, KS) | {"class_map": {"all": precision}} | by_chance
    return found
