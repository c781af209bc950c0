"""The tables of an ablation: a row a variant, for a terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fmn.evaluation.table import DIRECTIONS, METRICS, WHAT_THEY_ARE
from fmn.studies.variants import GROUPS

if TYPE_CHECKING:
    from rich.table import Table

SHORT = {"audio_to_video": "a→v", "video_to_audio": "v→a"}
HEAD = ("group", "variant", "slots", "difference")


def cells(values: Mapping[str, Any], metric: str) -> Iterator[tuple[str, ...]]:
    """The rows of one metric's table, as texts; chance and the ceiling come last.

    Args:
        values: what ablation.json holds.
        metric: ``instance_hit``, ``class_hit`` or ``class_recall``.

    Yields:
        Group, variant (with ``*`` where nothing was trained for it), slots in use, difference in mean average precision
        from the default, and for each direction the metric at each k and, of class metrics, the mean average precision.
    """
    rows = values["rows"]
    for row in rows:
        slots = "–" if row["slots"] is None else f"{row['slots']:.0f}"
        found: list[str] = []
        for direction in DIRECTIONS:
            block = row[direction]
            found += [_cell(value, block["sd"][metric][k]) for k, value in block[metric].items()]
            found.append(_cell(block["class_map"], block["sd"]["class_map"]))
        yield row["group"], _name(row), slots, _difference(row), *found
    for name in ("chance", "ceiling"):
        found = []
        for direction in DIRECTIONS:
            found += [_cell(value, None) for value in rows[0][direction][name][metric].values()] + [""]
        yield "", name, "", "", *found


def columns(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The heads of these columns."""
    ks = tuple(values["rows"][0]["audio_to_video"]["class_hit"])
    return (
        *HEAD,
        *(f"{SHORT[direction]} {name}" for direction in DIRECTIONS for name in (*(f"@{k}" for k in ks), "mAP")),
    )


def ablation_table(values: Mapping[str, Any], *, title: str) -> Table:
    """Class hit@k and the mean average precision (of both directions) for a terminal of 120 columns.

    Args:
        values: what ablation.json holds.
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
    ks = tuple(values["rows"][0]["audio_to_video"]["class_hit"])
    table.add_column("class hit@k, percent", no_wrap=True)
    for name in ("slots", "mAP", "difference", *(f"{short}\n@{k}" for short in SHORT.values() for k in ks)):
        table.add_column(name, justify="right", no_wrap=True)
    group = ""
    for row in values["rows"]:
        if row["group"] != group:
            group = row["group"]
            table.add_section()
            table.add_row(f"[bold]{group}[/]")
        slots = "–" if row["slots"] is None else f"{row['slots']:.0f}"
        found = []
        for direction in DIRECTIONS:
            hits, spreads = row[direction]["class_hit"], row[direction]["sd"]["class_hit"]
            found += [_narrow(hits[ks[0]], spreads[ks[0]]), *(f"{hits[k]:.0f}" for k in ks[1:])]
        precision = _narrow(row["map"]["mean"], row["map"]["sd"])
        table.add_row(
            ("  " if group else "") + _name(row),
            slots,
            precision,
            _difference(row),
            *found,
            style="bold" if row["is_default"] else None,
        )
    table.add_section()
    for name in ("chance", "ceiling"):
        hits = [f"{values['rows'][0][direction][name]['class_hit'][k]:.0f}" for direction in DIRECTIONS for k in ks]
        table.add_row(name, "", "", "", *hits, style="dim")
    return table


def ablation_text(values: Mapping[str, Any]) -> str:
    """All three metrics as Markdown.

    Args:
        values: what ablation.json holds.
    """
    seeds = values["seeds"]
    parts = [
        f"Ablation on fold 0: {values['clips']} clips, {values['utterances']} utterances, "
        f"training seeds {', '.join(map(str, seeds))}, percent.",
        *values["notes"],
    ]
    head = columns(values)
    for metric, name in METRICS.items():
        lines = [f"## {name}", "", f"| {' | '.join(head)} |", "|---|---|" + "--:|" * (len(head) - 2)]
        lines += [f"| {' | '.join(row)} |" for row in cells(values, metric)]
        parts.append("\n".join(lines))
    parts.append(WHAT_THEY_ARE)
    used = {row["group"] for row in values["rows"]}
    parts.append("\n".join(f"- {group}: {what}" for group, what in GROUPS.items() if group in used))
    return "\n\n".join(parts) + "\n"


def _cell(value: float | None, deviation: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if deviation is None else f"{value:.1f} ± {deviation:.1f}"


def _name(row: Mapping[str, Any]) -> str:
    star = "" if row["retrained"] or row["is_default"] else " *"
    default = " (default)" if row["is_default"] and row["group"] else ""
    return f"{row['variant']}{star}{default}"


def _difference(row: Mapping[str, Any]) -> str:
    return "" if row["is_default"] else _narrow(row["difference"]["mean"], row["difference"]["sd"], "+")


def _narrow(value: float, deviation: float, sign: str = "") -> str:
    return f"{value:{sign}.1f}±{deviation:.1f}"
