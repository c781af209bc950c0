"""The tables of fmn newclasses, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fmn.evaluation.table import DIRECTIONS, METRICS, WHAT_THEY_ARE

if TYPE_CHECKING:
    from rich.table import Table

SHORT = {"audio_to_video": "a→v", "video_to_audio": "v→a"}
KINDS = {"new": "queries of the new classes", "old": "queries of the other classes"}


def cells(values: Mapping[str, Any], kind: str, metric: str) -> Iterator[tuple[str, ...]]:
    """The rows of one table as texts; chance and the ceiling come last.

    Args:
        values: what newclasses.json holds.
        kind: ``new`` or ``old``: whose queries.
        metric: ``instance_hit``, ``class_hit`` or ``class_recall``.

    Yields:
        What it is, pairs written, and for each direction the metric at each k and the class mean average precision.
    """
    for row in values["rows"]:
        written = "" if row["written"] is None else f"{row['written']['mean']:.1f}/{row['shown']}"
        found = []
        for direction in DIRECTIONS:
            block = row[kind][direction]
            found += [_cell(value, block["sd"][metric][k]) for k, value in block[metric].items()]
            found.append(_cell(block["class_map"], block["sd"]["class_map"]))
        yield row["what"], written, *found
    for name in ("chance", "ceiling"):
        found = []
        for direction in DIRECTIONS:
            found += [_cell(value, None) for value in values["rows"][0][kind][direction][name][metric].values()] + [""]
        yield name, "", *found


def columns(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The heads of these columns."""
    ks = tuple(values["rows"][0]["new"]["audio_to_video"]["class_hit"])
    figures = (*(f"@{k}" for k in ks), "mAP")
    return ("", "written", *(f"{short} {name}" for short in SHORT.values() for name in figures))


def new_classes_table(values: Mapping[str, Any], *, title: str) -> Table:
    """Class hit@k of both kinds of queries for a terminal.

    Args:
        values: what newclasses.json holds.
        title: what was trained on.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        caption="\n".join(values["notes"]),
        caption_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
    )
    for index, name in enumerate(columns(values)):
        table.add_column(name.replace(" ", "\n"), justify="right" if index else "left", no_wrap=True)
    count = (len(columns(values)) - 2) // 2  # figures of a direction
    spread = {0, count - 1, count, 2 * count - 1}  # those whose deviation has room: at the first k, and the last one
    for kind, what in KINDS.items():
        table.add_section()
        table.add_row(f"[bold]{what}[/]")
        for row in cells(values, kind, "class_hit"):
            narrow = [
                cell.replace(" ± ", "±") if index in spread else _whole(cell) for index, cell in enumerate(row[2:])
            ]
            table.add_row(f"  {row[0]}", row[1], *narrow, style="dim" if row[0] in ("chance", "ceiling") else None)
    return table


def new_classes_text(values: Mapping[str, Any]) -> str:
    """All three metrics of both kinds of queries as Markdown.

    Args:
        values: what newclasses.json holds.
    """
    held = "; ".join(
        f"seed {seed}: {', '.join(names)}" for seed, names in zip(values["seeds"], values["held_out"], strict=True)
    )
    parts = [f"Classes held out of training, and shown later. {held}.", *values["notes"]]
    head = columns(values)
    for metric, name in METRICS.items():
        for kind, what in KINDS.items():
            lines = [f"## {name}, {what}", "", f"| {' | '.join(head)} |", "|---|" + "--:|" * (len(head) - 1)]
            lines += [f"| {' | '.join(row)} |" for row in cells(values, kind, metric)]
            parts.append("\n".join(lines))
    return "\n\n".join([*parts, WHAT_THEY_ARE]) + "\n"


def _whole(cell: str) -> str:
    """``83.3 ± 2.1`` as ``83``."""
    number = cell.split(" ")[0]
    return f"{float(number):.0f}" if number not in ("", "–") else number


def _cell(value: float | None, deviation: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if deviation is None else f"{value:.1f} ± {deviation:.1f}"
