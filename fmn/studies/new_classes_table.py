"""Tables of ``fmn newclasses``, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fmn.evaluation.results_table import METRICS, WHAT_THEY_ARE, figure_names, figures, reference_figures
from fmn.evaluation.table_formats import Bold, Row, Table, to_markdown, to_rich

if TYPE_CHECKING:
    from rich.table import Table as RichTable

UNMAPPED, HIDDEN, RAW_MEANS = "unmapped memory", "class means of two_classifiers", "class means of raw features"
WHITENED_HIDDEN, WHITENED_RAW = "whitened two_classifiers", "whitened raw features"
BASELINES = (HIDDEN, RAW_MEANS, WHITENED_HIDDEN, WHITENED_RAW)
KINDS = {"new": "queries of the new classes", "old": "queries of the other classes"}


def new_classes_table(values: Mapping[str, Any], *, title: str) -> RichTable:
    """Table of class hit@k for both kinds of queries, for a terminal.

    Args:
        values: contents of newclasses.json.
        title: title, naming the training data.
    """
    head = _head(values)
    count = (len(head) - 2) // 2  # figures per direction
    spread = {0, count - 1, count, 2 * count - 1}  # columns wide enough for a deviation: the first and last k
    sections = []
    for kind, what in KINDS.items():
        section = [Row((Bold(what),))]
        for (name, written, *found), style in _rows(values, kind, "class_hit"):
            narrow = (cell.replace(" ± ", "±") if at in spread else _whole(cell) for at, cell in enumerate(found))
            section.append(Row((f"  {name}", written, *narrow), style))
        sections.append(section)
    table = Table(title, [name.replace(" ", "\n") for name in head], sections, values["notes"])
    return to_rich(table, no_wrap=range(1, len(head)))  # wrap long names, not figures


def new_classes_text(values: Mapping[str, Any]) -> str:
    """All three metrics of both kinds of queries as Markdown.

    Args:
        values: contents of newclasses.json.
    """
    held = "; ".join(
        f"seed {seed}: {', '.join(names)}" for seed, names in zip(values["seeds"], values["held_out"], strict=True)
    )
    tables = [
        Table(f"{name}, {what}", _head(values), (_rows(values, kind, metric),))
        for metric, name in METRICS.items()
        for kind, what in KINDS.items()
    ]
    parts = [f"Held-out classes, learned after training. {held}.", *values["notes"], *map(to_markdown, tables)]
    return "\n\n".join([*parts, WHAT_THEY_ARE]) + "\n"


def _head(values: Mapping[str, Any]) -> tuple[str, ...]:
    return ("", "written", *figure_names(values["rows"][0]["new"]))


def _rows(values: Mapping[str, Any], kind: str, metric: str) -> list[Row]:
    """Rows of name, pairs written, and figures of one metric; chance and the ceiling come last."""
    rows = []
    for row in values["rows"]:
        written = "" if row["written"] is None else f"{row['written']['mean']:.1f}/{row['shown']:g}"
        rows.append(Row((row["what"], written, *figures(row[kind], metric))))
    first = values["rows"][0][kind]
    return rows + [Row((name, "", *reference_figures(first, name, metric)), "dim") for name in ("chance", "ceiling")]


def _whole(cell: str) -> str:
    """Shortens ``83.3 ± 2.1`` to ``83``."""
    number = cell.split(" ")[0]
    return f"{float(number):.0f}" if number not in ("", "–") else number
