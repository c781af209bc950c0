"""The tables of fmn newclasses, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fmn.evaluation.results_table import METRICS, WHAT_THEY_ARE, figure_names, figures, reference_figures
from fmn.evaluation.table_formats import Bold, Row, Table, to_markdown, to_rich

if TYPE_CHECKING:
    from rich.table import Table as RichTable

UNMAPPED, HIDDEN, RAW_MEANS = "unmapped memory", "class means of two_classifiers", "class means of raw features"
WHITENED_HIDDEN, WHITENED_RAW = "whitened two_classifiers", "whitened raw features"
BASELINES = (HIDDEN, RAW_MEANS, WHITENED_HIDDEN, WHITENED_RAW)
KINDS = {"new": "queries of the new classes", "old": "queries of the other classes"}


def new_classes_table(values: Mapping[str, Any], *, title: str) -> RichTable:
    """Class hit@k of both kinds of queries for a terminal.

    Args:
        values: what newclasses.json holds.
        title: what was trained on.
    """
    head = _head(values)
    count = (len(head) - 2) // 2  # figures of a direction
    spread = {0, count - 1, count, 2 * count - 1}  # those whose deviation has room: at the first k, and the last one
    sections = []
    for kind, what in KINDS.items():
        section = [Row((Bold(what),))]
        for (name, written, *found), style in _rows(values, kind, "class_hit"):
            narrow = (cell.replace(" ± ", "±") if at in spread else _whole(cell) for at, cell in enumerate(found))
            section.append(Row((f"  {name}", written, *narrow), style))
        sections.append(section)
    table = Table(title, [name.replace(" ", "\n") for name in head], sections, values["notes"])
    return to_rich(table, no_wrap=range(len(head)))


def new_classes_text(values: Mapping[str, Any]) -> str:
    """All three metrics of both kinds of queries as Markdown.

    Args:
        values: what newclasses.json holds.
    """
    held = "; ".join(
        f"seed {seed}: {', '.join(names)}" for seed, names in zip(values["seeds"], values["held_out"], strict=True)
    )
    tables = [
        Table(f"{name}, {what}", _head(values), (_rows(values, kind, metric),))
        for metric, name in METRICS.items()
        for kind, what in KINDS.items()
    ]
    parts = [f"Classes held out of training, and shown later. {held}.", *values["notes"], *map(to_markdown, tables)]
    return "\n\n".join([*parts, WHAT_THEY_ARE]) + "\n"


def leads(rows: Mapping[str, Sequence[Mapping[str, Any]]], pairs: Sequence[int]) -> list[str]:
    """How far the unmapped memory is ahead of each baseline on the new classes, and what it costs the others.

    Args:
        rows: by name, the figures of every draw, in the same order.
        pairs: numbers of pairs.
    """
    found = []
    for count in pairs:
        prefix = f"{count} pair{'s' * (count > 1)}, "
        if prefix + UNMAPPED not in rows:
            continue
        own = _class_map(rows[prefix + UNMAPPED], "new")
        against = (f"{name} {_interval(own - _class_map(rows[prefix + name], 'new'))}" for name in BASELINES)
        found.append(f"{prefix}class mAP of new classes, both ways, {UNMAPPED} less: {'; '.join(against)}.")
        change = _class_map(rows[prefix + UNMAPPED], "old") - _class_map(rows["before"], "old")
        found.append(f"{prefix}class mAP of the other classes, {UNMAPPED} less before: {_interval(change)}.")
    return found


def _class_map(rows: Sequence[Mapping[str, Any]], kind: str) -> NDArray[np.float64]:
    """Of each draw the mean of both directions."""
    return np.array([np.mean([block["class_map"] for block in row[kind].values()]) for row in rows])


def _interval(differences: NDArray[np.float64]) -> str:
    """``+3.1 [−0.2, +6.4]``: the mean over draws and its 95 % interval by Student's t; of one draw the mean."""
    mean, count = float(differences.mean()), len(differences)
    if count < 2:
        return f"{mean:+.1f}"
    from scipy.stats import t as student_t

    half = float(student_t.ppf(0.975, count - 1) * differences.std(ddof=1) / count**0.5)
    return f"{mean:+.1f} [{mean - half:+.1f}, {mean + half:+.1f}]"


def _head(values: Mapping[str, Any]) -> tuple[str, ...]:
    return ("", "written", *figure_names(values["rows"][0]["new"]))


def _rows(values: Mapping[str, Any], kind: str, metric: str) -> list[Row]:
    """What it is, pairs written, the figures of one metric; chance and the ceiling come last."""
    rows = []
    for row in values["rows"]:
        written = "" if row["written"] is None else f"{row['written']['mean']:.1f}/{row['shown']}"
        rows.append(Row((row["what"], written, *figures(row[kind], metric))))
    first = values["rows"][0][kind]
    return rows + [Row((name, "", *reference_figures(first, name, metric)), "dim") for name in ("chance", "ceiling")]


def _whole(cell: str) -> str:
    """``83.3 ± 2.1`` as ``83``."""
    number = cell.split(" ")[0]
    return f"{float(number):.0f}" if number not in ("", "–") else number
