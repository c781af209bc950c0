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
WHAT_INTERVALS_ARE = "In brackets: 95 %, classes and voices (or people) resampled together, of this one training seed."


@dataclass(frozen=True)
class Line:
    """One line of the table.

    Attributes:
        direction, metric: their names for people, and the sizes; empty where they repeat the line above.
        system: a system's name, ``chance`` or ``ceiling``.
        values: percent at each k; null where there is nothing to measure.
        spreads: beside each value its interval, its standard deviation, or nothing.
        is_reference: whether it is chance or the ceiling.
        ends_block: whether a rule follows.
    """

    direction: str
    metric: str
    system: str
    values: tuple[float | None, ...]
    spreads: tuple[str, ...]
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
            entries = [(name, result[direction], False) for name, result in results.items()]
            entries += [(name, block[name], True) for name in ("chance", "ceiling")]
            for index, (name, found, is_reference) in enumerate(entries):
                last = metric == list(METRICS)[-1] and index == len(entries) - 1
                yield Line(
                    head if metric == next(iter(METRICS)) and index == 0 else "",
                    metric_name if index == 0 else "",
                    name,
                    tuple(found[metric].values()),
                    tuple(_spread(found, metric, k) for k in found[metric]),
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
            *map(_cell, line.values, line.spreads),
            style="dim" if line.is_reference else "bold",
            end_section=line.ends_block,
        )
    return table


def results_text(results: Mapping[str, Mapping[str, Any]], *, title: str, notes: Sequence[str] = ()) -> str:
    """The table as Markdown, for files and for terminals without lines.

    Arguments are those of `results_table`.
    """
    head = ["query → gallery", "metric", "system", *(f"@{k}" for k in ks_of(results))]
    rows = [
        [line.direction, line.metric, line.system, *map(_cell, line.values, line.spreads)] for line in lines(results)
    ]
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


def class_table(metrics: Mapping[str, Mapping[str, Any]], *, title: str) -> Table:
    """Each class's share, worst first: class hit@1 and mean average precision of its queries, both ways."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("class", no_wrap=True)
    for name in DIRECTIONS.values():
        for column in ("queries", "hit@1", "mAP"):
            table.add_column(f"{name}\n{column}", justify="right")
    blocks = [metrics[direction]["by_class"] for direction in DIRECTIONS]
    names = sorted(
        {name for block in blocks for name in block},
        key=lambda name: sum(block[name]["class_map"] for block in blocks if name in block),
    )
    for name in names:
        cells: list[str] = []
        for block in blocks:
            found = block.get(name)
            cells += (
                [str(found["queries"]), f"{found['class_hit']['1']:.1f}", f"{found['class_map']:.1f}"]
                if found
                else ["–"] * 3
            )
        table.add_row(name, *cells)
    return table


def _spread(found: Mapping[str, Any], metric: str, k: str) -> str:
    """Of a system's block: its standard deviation or its interval at ``k``, if it has one."""
    if deviation := found.get("sd", {}).get(metric, {}).get(k):
        return f" ± {deviation:.1f}"
    if interval := found.get("intervals", {}).get(metric, {}).get(k):
        return f" [{interval[0]:.0f}–{interval[1]:.0f}]"
    return ""


def _cell(value: float | None, spread: str) -> str:
    return "–" if value is None else f"{value:.1f}{spread}"
