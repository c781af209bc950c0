"""The tables of a comparison, for a terminal, as Markdown and as LaTeX, and all figures as CSV; from compare.json."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fmn.table import DIRECTIONS, WHAT_THEY_ARE

if TYPE_CHECKING:
    from rich.table import Table

REFERENCE = "fmn"
SHOWN = {"class_hit": "class hit", "class_recall": "class recall", "instance_hit": "instance hit"}
DIFFERENCES = (("class_hit", "1"), ("class_hit", "10"), ("class_recall", "10"))  # those that the tables show
COST_NAMES = ("seconds", "cpu_seconds", "tuning_seconds", "tuning_cpu_seconds")
SPREAD = "± is the standard deviation over seeds."
INTERVAL = "from resampling classes, persons or voices, and seeds together"
BOLD = (
    "Bold: the best of its column, and its difference to fmn (of fmn: the differences of all others) lies beyond the "
    "95 % interval {}."
)

# Table 2 of Li et al. (2022) as printed: R@1, R@10, R@25 of audio → video, then of video → audio.
QUOTED = {
    "CCA": (0.92, 6.83, 9.59, 0.87, 6.34, 9.78),
    "KCCA": (1.59, 7.98, 10.82, 1.12, 7.44, 10.31),
    "DCCA": (1.83, 8.35, 15.65, 1.55, 7.87, 12.78),
    "MuSimNet": (1.93, 8.21, 16.24, 1.85, 8.35, 16.80),
    "MusiCNN": (2.13, 8.73, 19.78, 2.05, 8.41, 19.52),
    "VM-Net": (2.40, 9.64, 21.37, 2.54, 9.36, 21.35),
    "FMN": (3.37, 12.45, 25.63, 3.56, 12.23, 24.37),
}
QUOTED_TITLE = "Other data: Table 2 of the paper, as printed"
QUOTED_NOTE = (
    "Quoted, not measured here: other footage, other speech, and a test protocol that the paper does not state. No "
    "figure of this table can be compared with one above."
)


@dataclass(frozen=True)
class Cell:
    """A cell: its text, and whether it is bold."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Block:
    """A table.

    Attributes:
        title: what stands above.
        head: column names.
        rows: the first cell of each is a name.
        references: how many of the last rows are references (chance, the ceiling).
        notes: what stands below.
        left: columns, counted from 0, that are set to the left.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    references: int = 0
    notes: tuple[str, ...] = ()
    left: frozenset[int] = frozenset({0})


def blocks(values: Mapping[str, Any]) -> list[Block]:
    """The tables of compare.json: one a direction, one of differences to fmn, one of costs, the paper's."""
    made = [_direction(values, direction, name) for direction, name in DIRECTIONS.items()]
    apart = [_differences(values)] if any(system.get("difference") for system in values["systems"].values()) else []
    return [*made, *apart, _costs(values), _quoted()]


def rich_tables(values: Mapping[str, Any]) -> list[Table]:
    """`blocks` for a terminal."""
    from rich.table import Table

    tables = []
    for block in blocks(values):
        table = Table(
            title=block.title,
            title_justify="left",
            caption="\n".join(block.notes),
            caption_justify="left",
            padding=(0, 0),
        )
        for number, name in enumerate(block.head):
            table.add_column(name, justify="left" if number in block.left else "right", no_wrap=number == 0)
        for number, row in enumerate(block.rows):
            last = number == len(block.rows) - block.references - 1 and block.references > 0
            style = "dim" if number >= len(block.rows) - block.references else None
            cells = [f"[bold]{_markup(cell.text)}[/]" if cell.bold else _markup(cell.text) for cell in row]
            table.add_row(*cells, style=style, end_section=last)
        tables.append(table)
    return tables


def markdown(values: Mapping[str, Any]) -> str:
    """compare.md."""
    parts = [_heading(values), ""]
    for block in blocks(values):
        rows = [[f"**{cell.text}**" if cell.bold else cell.text for cell in row] for row in block.rows]
        parts += [f"## {block.title}", "", _markdown_row(block.head)]
        parts.append("|" + "|".join("---" if n in block.left else "---:" for n in range(len(block.head))) + "|")
        parts += [*map(_markdown_row, rows), "", *(f"{note}\n" for note in block.notes)]
    return "\n".join([*parts, *(f"- {note}" for note in values["notes"])]).rstrip() + "\n"


def latex_text(values: Mapping[str, Any]) -> str:
    """compare.tex: one tabular a table, for booktabs."""
    parts = [f"% {_heading(values)}", "% \\usepackage{booktabs}"]
    for block in blocks(values):
        columns = "".join("l" if n in block.left else "r" for n in range(len(block.head)))
        body = [
            " & ".join(f"\\textbf{{{_tex(cell.text)}}}" if cell.bold else _tex(cell.text) for cell in row) + r" \\"
            for row in block.rows
        ]
        split = len(body) - block.references
        rule = [r"\midrule"] if block.references else []
        parts += [
            "",
            f"% {block.title}",
            f"\\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(_tex, block.head)) + r" \\",
            r"\midrule",
            *body[:split],
            *rule,
            *body[split:],
            r"\bottomrule",
            r"\end{tabular}",
            *(f"% {note}" for note in block.notes),
        ]
    return "\n".join([*parts, *(f"% {note}" for note in values["notes"])]) + "\n"


def csv_text(values: Mapping[str, Any]) -> str:
    """compare.csv: a line for each system, direction, metric and k."""
    names = ["system", "direction", "metric", "k", "mean", "sd", "difference", "low", "high"]
    names += ["configurations", "seeds", "parameters", *COST_NAMES, "other_data"]
    out = io.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n", restval="")
    writer.writeheader()
    for name, system in values["systems"].items():
        cost = {key: system[key] for key in ("seeds", "parameters", *COST_NAMES)}
        cost["configurations"] = len(system["configurations"])
        for direction, metric, k, figure in _figures(system):
            apart = (system.get("difference") or {}).get(direction, {}).get(metric, {}).get(k) or {}
            writer.writerow(
                {"system": name, "direction": direction, "metric": metric, "k": k, "mean": figure["mean"]}
                | {"sd": figure["sd"], "difference": apart.get("mean"), "low": apart.get("low")}
                | {"high": apart.get("high"), "other_data": "no"}
                | cost
            )
    for name, by_direction in values["references"].items():
        for direction, metrics in by_direction.items():
            for metric, by_k in metrics.items():
                for k, mean in by_k.items():
                    writer.writerow(
                        {"system": name, "direction": direction, "metric": metric, "k": k, "mean": mean}
                        | {"other_data": "no"}
                    )
    for name, figures in QUOTED.items():
        places = [(direction, k) for direction in DIRECTIONS for k in ("1", "10", "25")]
        for (direction, k), mean in zip(places, figures, strict=True):
            writer.writerow(
                {"system": f"{name} (as printed)", "direction": direction, "metric": "R@k", "k": k, "mean": mean}
                | {"other_data": "yes"}
            )
    return out.getvalue()


def best_beyond_doubt(values: Mapping[str, Any], direction: str, metric: str, k: str) -> str | None:
    """The system with the best mean, where its difference lies beyond the interval (`BOLD`); else null."""
    means = {
        name: system["metrics"][direction][metric][k]["mean"]
        for name, system in values["systems"].items()
        if "metrics" in system
    }
    means = {name: mean for name, mean in means.items() if mean is not None}
    if REFERENCE not in means or len(means) < 2:
        return None
    best = max(means, key=lambda name: means[name])
    apart = {name: values["systems"][name]["difference"][direction][metric][k] for name in means if name != REFERENCE}
    if best == REFERENCE:
        return best if all(each["high"] < 0 for each in apart.values()) else None
    return best if apart[best]["low"] > 0 else None


def _direction(values: Mapping[str, Any], direction: str, name: str) -> Block:
    columns = [(metric, k) for metric in SHOWN for k in _ks(values)]
    best = {column: best_beyond_doubt(values, direction, *column) for column in columns}
    rows = []
    for system, found in values["systems"].items():
        if "metrics" not in found:
            rows.append((Cell(system), Cell("failed"), *[Cell("")] * (len(columns) - 1)))
            continue
        figures = found["metrics"][direction]
        cells = (Cell(_spread(figures[metric][k]), best[metric, k] == system) for metric, k in columns)
        rows.append((Cell(system), *cells))
    for reference, found in values["references"].items():
        rows.append((Cell(reference), *(Cell(_number(found[direction][metric][k])) for metric, k in columns)))
    head = ("system", *(f"{SHOWN[metric]} @{k}" for metric, k in columns))
    notes = (WHAT_THEY_ARE, values.get("spread", SPREAD), BOLD.format(values.get("interval", INTERVAL)))
    title = f"{name}  ({sizes(values, direction)}), percent"
    return Block(title, head, tuple(rows), len(values["references"]), notes)


def _differences(values: Mapping[str, Any]) -> Block:
    columns = [(direction, metric, k) for direction in DIRECTIONS for metric, k in DIFFERENCES]
    rows = []
    for name, system in values["systems"].items():
        if "difference" not in system:
            continue
        apart = [system["difference"][direction][metric].get(k) for direction, metric, k in columns]
        beyond = [each is not None and (each["low"] > 0 or each["high"] < 0) for each in apart]
        rows.append((Cell(name), *map(Cell, map(_interval, apart), beyond)))
    head = ("system", *(f"{DIRECTIONS[direction]} {SHOWN[metric]} @{k}" for direction, metric, k in columns))
    note = (
        f"In points, with the 95 % interval {values.get('interval', INTERVAL)}; bold where it leaves out zero. "
        "compare.json and compare.csv have it of every metric and k."
    )
    return Block("Difference to fmn", head, tuple(rows), 0, (note,))


def sizes(values: Mapping[str, Any], direction: str) -> str:
    """How many queries a direction has, and how large a gallery; of several corpora, of each."""
    queries, gallery = values["queries"][direction], values["gallery"][direction]
    if isinstance(queries, int):
        return f"{queries:,} queries, gallery {gallery:,}"
    return f"{len(queries)} corpora, queries/gallery: " + ", ".join(map("{}/{}".format, queries, gallery))


def _costs(values: Mapping[str, Any]) -> Block:
    head = ("system", "tried", "seeds", "parameters", "seconds", "CPU s", "tuning CPU s", "chosen on fold 0")
    rows, notes = [], []
    for name, system in values["systems"].items():
        mark = ""
        if system["footnote"]:
            notes.append(f"{name}: {system['footnote']}.")
            mark = " *"
        if system["error"]:
            notes.append(f"{name} failed: {system['error']['found']}")
        rows.append(
            (
                Cell(name + mark),
                Cell(str(len(system["configurations"]))),
                Cell(str(system["seeds"])),
                Cell("–" if system["parameters"] is None else f"{system['parameters']:,}"),
                *(Cell(_whole(system[key])) for key in ("seconds", "cpu_seconds", "tuning_cpu_seconds")),
                Cell(_chosen(system["chosen"])),
            )
        )
    notes.append(
        "tried: configurations on fold 0, the same budget for every system as far as it has something to tune. "
        "parameters: learned by gradients. seconds: of one training by the clock, CPU s: of all cores together; "
        "features are computed once for all. tuning: all configurations that were tried, the winner among them."
    )
    return Block("What it took", head, tuple(rows), 0, tuple(notes), frozenset({0, 7}))


def _quoted() -> Block:
    head = ("system", *(f"{name} @{k}" for name in DIRECTIONS.values() for k in (1, 10, 25)))
    rows = tuple((Cell(name), *(Cell(f"{each:.2f}") for each in figures)) for name, figures in QUOTED.items())
    return Block(QUOTED_TITLE, head, rows, 0, (QUOTED_NOTE,))


def _heading(values: Mapping[str, Any]) -> str:
    seeds = len(values["seeds"])
    what = f"{values['train']} {values['test']}" if "train" in values else f"on {len(values['comparisons'])} corpora"
    return (
        f"fmn compare {what}, preset {values['preset']}, {seeds} seed{'s' if seeds > 1 else ''}, up to "
        f"{values['budget']} configurations a system on fold 0, {values['device']}"
        + ("; stand-in corpus" if values["stand_in"] else "")
    )


def _figures(system: Mapping[str, Any]) -> list[tuple[str, str, str, Mapping[str, Any]]]:
    return [
        (direction, metric, k, figure)
        for direction, metrics in system.get("metrics", {}).items()
        for metric, by_k in metrics.items()
        for k, figure in by_k.items()
    ]


def _ks(values: Mapping[str, Any]) -> Sequence[str]:
    return tuple(values["references"]["chance"]["audio_to_video"]["class_hit"])


def _chosen(found: Mapping[str, Any] | list[Mapping[str, Any]]) -> str:
    from fmn.compare import describe

    if isinstance(found, Mapping):
        return describe(found)
    return "; ".join(f"{choice} ({count})" for choice, count in Counter(map(describe, found)).most_common())


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _spread(figure: Mapping[str, Any]) -> str:
    if figure["mean"] is None or figure["sd"] is None:
        return _number(figure["mean"])
    return f"{figure['mean']:.1f}±{figure['sd']:.1f}"


def _interval(apart: Mapping[str, Any] | None) -> str:
    return "" if apart is None else f"{apart['mean']:+.1f} [{apart['low']:+.1f}, {apart['high']:+.1f}]"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markup(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _tex(text: str) -> str:
    for symbol, replacement in (("_", r"\_"), ("%", r"\%"), ("→", r"$\to$"), ("±", r"$\pm$")):
        text = text.replace(symbol, replacement)
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", text).replace("–", "--")
