"""The table of results: for each direction the three metrics, each with chance and what knowing the class gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

DIRECTIONS = {"audio_to_video": "audio → video", "video_to_audio": "video → audio"}
METRICS = {"instance_hit": "instance hit", "class_hit": "class hit", "class_recall": "class recall"}
WHAT_THEY_ARE = (
    "instance hit: the query's own partner is among the k best; class hit: any item of its class is; class recall "
    "(eq. 5): the share of its class's items that are; percent. ceiling: knowing the class and nothing else."
)


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        direction, metric: their names for people, and the sizes; empty where they repeat the line above.
        system: a system's name, ``chance`` or ``ceiling``.
        values: percent at each k; null where there is nothing to measure.
        is_reference: whether it is chance or the ceiling.
        ends_block: whether a rule follows.
    """

    direction: str
    metric: str
    system: str
    values: tuple[float | None, ...]
    is_reference: bool = False
    ends_block: bool = False


def lines(results: Mapping[str, Mapping[str, Any]]) -> Iterator[Line]:
    """The lines of the table.

    Args:
        results: what metrics.json holds, by name of the system; all measured on the same items.
    """
    first = next(iter(results.values()))
    for direction, direction_name in DIRECTIONS.items():
        block = first[direction]
        head = f"{direction_name}  ({block['queries']:,} queries, gallery {block['gallery']:,})"
        for metric, metric_name in METRICS.items():
            entries = [(name, result[direction][metric], False) for name, result in results.items()]
            entries += [(name, block[name][metric], True) for name in ("chance", "ceiling")]
            for index, (name, values, is_reference) in enumerate(entries):
                last = metric == list(METRICS)[-1] and index == len(entries) - 1
                yield Line(
                    head if metric == next(iter(METRICS)) and index == 0 else "",
                    metric_name if index == 0 else "",
                    name,
                    tuple(values.values()),
                    is_reference,
                    last,
                )


def ks_of(results: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """The k of the columns."""
    return tuple(next(iter(results.values()))["audio_to_video"]["class_hit"])


def results_table(results: Mapping[str, Mapping[str, Any]], *, title: str, notes: Sequence[str] = ()) -> Table:
    """The table for a terminal.

    Args:
        results: as of `lines`.
        title: what was evaluated on what.
        notes: what must be said beside the figures; they stand below the table.
    """
    from rich.table import Table

    table = Table(title=title, title_justify="left", caption="\n".join([WHAT_THEY_ARE, *notes]), caption_justify="left")
    for name in ("query → gallery", "metric", "system"):
        table.add_column(name)
    for k in ks_of(results):
        table.add_column(f"@{k}", justify="right")
    for line in lines(results):
        table.add_row(
            line.direction,
            line.metric,
            line.system,
            *map(_number, line.values),
            style="dim" if line.is_reference else "bold",
            end_section=line.ends_block,
        )
    return table


def results_text(results: Mapping[str, Mapping[str, Any]], *, title: str, notes: Sequence[str] = ()) -> str:
    """The table as Markdown, for files and for terminals without lines.

    Arguments are those of `results_table`.
    """
    head = ["query → gallery", "metric", "system", *(f"@{k}" for k in ks_of(results))]
    rows = [[line.direction, line.metric, line.system, *map(_number, line.values)] for line in lines(results)]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def row_text(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join("-" * (width + 1) + ("-" if i < 3 else ":") for i, width in enumerate(widths)) + "|"
    table = [row_text(head), rule, *map(row_text, rows)]
    return "\n".join([title, "", *table, "", *(f"{note}" for note in [WHAT_THEY_ARE, *notes])]) + "\n"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
