"""Rendering of comparison tables for a terminal, Markdown, LaTeX and CSV, from compare.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dataset_tools.core.count_of import count_of
from fmn.comparison.comparison_plan import describe
from fmn.comparison.table import COST_NAMES, QUOTED, blocks
from fmn.evaluation.table_formats import to_csv, to_latex, to_markdown, to_rich
from fmn.metrics.directions import DIRECTIONS

if TYPE_CHECKING:
    from rich.table import Table as RichTable

FIGURE_NAMES = ("system", "direction", "metric", "k", "mean", "sd", "difference", "low", "high")
SYSTEM_NAMES = ("configurations", "seeds", "parameters", *COST_NAMES, "class_cross_entropy", "footnote")


def rich_tables(values: Mapping[str, Any]) -> list[RichTable]:
    """`blocks` for a terminal; a note of several tables is shown once, below the last."""
    tables: list[RichTable] = []
    shown: set[str] = set()
    for block in reversed(blocks(values)):
        new = replace(block, notes=[note for note in block.notes if note not in shown])
        shown.update(new.notes)
        tables.append(to_rich(new, padding=(0, 0)))
    return tables[::-1]


def markdown(values: Mapping[str, Any]) -> str:
    """Text of compare.md."""
    notes = "\n".join(f"- {note}" for note in values["notes"])
    return "\n\n".join([_heading(values), *map(to_markdown, blocks(values)), notes]).rstrip() + "\n"


def latex_text(values: Mapping[str, Any]) -> str:
    """Text of compare.tex: one tabular per table, for booktabs."""
    parts = [f"% {_heading(values)}\n% \\usepackage{{booktabs}}", *map(to_latex, blocks(values))]
    return "\n".join(["\n\n".join(parts), *(f"% {note}" for note in values["notes"])]) + "\n"


def csv_text(values: Mapping[str, Any]) -> str:
    """Text of compare.csv: one row per system, direction, metric and k."""
    return to_csv((*FIGURE_NAMES, *SYSTEM_NAMES, "other_data"), _csv_rows(values))


def _csv_rows(values: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    nothing = (None,) * len(SYSTEM_NAMES)
    for name, system in values["systems"].items():
        costs = (len(system["configurations"]), *(system[key] for key in SYSTEM_NAMES[1:]))
        for *place, figure in _leaves(system.get("metrics", {})):
            apart = system.get("difference") or {}
            for key in place:
                apart = apart.get(key) or {}
            interval = (apart.get(key) for key in ("mean", "low", "high"))
            yield name, *place, figure["mean"], figure["sd"], *interval, *costs, "no"
    for name, means in values["references"].items():
        for *place, mean in _leaves(means):
            yield name, *place, mean, *(None,) * 4, *nothing, "no"
    for name, quoted in QUOTED.items():
        places = [(direction, k) for direction in DIRECTIONS for k in ("1", "10", "25")]
        for (direction, k), mean in zip(places, quoted, strict=True):
            yield f"{name} (as printed)", direction, "R@k", k, mean, *(None,) * 4, *nothing, "yes"


def _leaves(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Any]]:
    """Yields direction, metric, k and the value."""
    for direction, by_metric in metrics.items():
        for metric, by_k in by_metric.items():
            for k, found in by_k.items():
                yield direction, metric, k, found


def _heading(values: Mapping[str, Any]) -> str:
    seeds = len(values["seeds"])
    what = (
        f"{values['train']} {values['test']}"
        if "train" in values
        else "on " + count_of(len(values["comparisons"]), "corpus", "corpora")
    )
    changed = f" with {describe(values['changes'])}" if values["changes"] else ""
    budget = values["budget"]
    tuned = f"up to {budget} configurations a system on fold 0" if budget > 1 else "no tuning"
    return (
        f"fmn compare {what}, preset {values['preset']}{changed}, {count_of(seeds, 'seed')}, {tuned}, "
        f"{values['device']}" + ("; stand-in corpus" if values["stand_in"] else "")
    )
