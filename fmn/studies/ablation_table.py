"""Ablation tables, one row per variant, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from dataset_tools.core.count_of import count_of
from fmn.evaluation.results_table import METRICS, SHORT, WHAT_THEY_ARE, figure_names, figures, reference_figures
from fmn.evaluation.table_formats import Bold, Row, Table, number, to_markdown, to_rich
from fmn.metrics.directions import DIRECTIONS
from fmn.studies.variants import GROUPS

if TYPE_CHECKING:
    from rich.table import Table as RichTable


def ablation_table(values: Mapping[str, Any], *, title: str) -> RichTable:
    """Table of class hit@k and mean average precision (over both directions) for a terminal of 120 columns.

    Args:
        values: contents of ablation.json.
        title: title, naming the training data.
    """
    first = values["rows"][0]
    ks = tuple(first["audio_to_video"]["class_hit"])
    head = ("slots", "mAP", "difference", *(f"{short}\n@{k}" for short in SHORT.values() for k in ks))
    sections = []
    for group, rows in groupby(values["rows"], key=lambda row: row["group"]):
        named = [Row((Bold(group),))] if group else []
        sections.append(named + [_terminal_row(row, ks) for row in rows])
    references = [
        Row((name, "", "", "", *(f"{first[side][name]['class_hit'][k]:.0f}" for side in DIRECTIONS for k in ks)), "dim")
        for name in ("chance", "ceiling")
    ]
    table = Table(title, ("class hit@k, percent", *head), (*sections, references), values["notes"])
    return to_rich(table, no_wrap=range(1, len(table.head)))  # wrap long names, not figures


def ablation_text(values: Mapping[str, Any]) -> str:
    """All three metrics as Markdown.

    Args:
        values: contents of ablation.json.
    """
    used = {row["group"] for row in values["rows"]}
    parts = [
        f"Ablation on fold 0: {count_of(values['clips'], 'clip')}, {count_of(values['utterances'], 'utterance')}, "
        f"training seeds {', '.join(map(str, values['seeds']))}, percent.",
        *values["notes"],
        *(to_markdown(_of_metric(values, metric, name)) for metric, name in METRICS.items()),
        WHAT_THEY_ARE,
        "\n".join(f"- {group}: {what}" for group, what in GROUPS.items() if group in used),
    ]
    return "\n\n".join(parts) + "\n"


def _of_metric(values: Mapping[str, Any], metric: str, title: str) -> Table:
    """One metric of every variant, chance and the ceiling; ``*`` marks a variant without its own training run."""
    rows = values["rows"]
    tried = [Row((row["group"], _name(row), _slots(row), _difference(row), *figures(row, metric))) for row in rows]
    known = [Row(("", name, "", "", *reference_figures(rows[0], name, metric))) for name in ("chance", "ceiling")]
    head = ("group", "variant", "slots", "difference", *figure_names(rows[0]))
    return Table(title, head, (tried, known), left=(0, 1))


def _terminal_row(row: Mapping[str, Any], ks: tuple[str, ...]) -> Row:
    found = []
    for direction in DIRECTIONS:
        hits, spreads = row[direction]["class_hit"], row[direction]["sd"]["class_hit"]
        found += [number(hits[ks[0]], spreads[ks[0]], between="±"), *(f"{hits[k]:.0f}" for k in ks[1:])]
    name = ("  " if row["group"] else "") + _name(row)
    precision = number(row["map"]["mean"], row["map"]["sd"], between="±")
    return Row((name, _slots(row), precision, _difference(row), *found), "bold" if row["is_default"] else "")


def _name(row: Mapping[str, Any]) -> str:
    star = "" if row["retrained"] or row["is_default"] else " *"
    default = " (default)" if row["is_default"] and row["group"] else ""
    return f"{row['variant']}{star}{default}"


def _slots(row: Mapping[str, Any]) -> str:
    return "–" if row["slots"] is None else f"{row['slots']:.0f}"


def _difference(row: Mapping[str, Any]) -> str:
    apart = row["difference"]
    return "" if row["is_default"] else number(apart["mean"], apart["sd"], between="±", sign="+")
