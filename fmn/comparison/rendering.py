"""The tables of a comparison for a terminal, as Markdown and as LaTeX, and all figures as CSV; from compare.json."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fmn.comparison.table import COST_NAMES, QUOTED, blocks
from fmn.evaluation.table import DIRECTIONS

if TYPE_CHECKING:
    from rich.table import Table


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


def _heading(values: Mapping[str, Any]) -> str:
    from fmn.comparison.compare import describe

    seeds = len(values["seeds"])
    what = f"{values['train']} {values['test']}" if "train" in values else f"on {len(values['comparisons'])} corpora"
    changed = f" with {describe(values['changes'])}" if values["changes"] else ""
    return (
        f"fmn compare {what}, preset {values['preset']}{changed}, {seeds} seed{'s' if seeds > 1 else ''}, up to "
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


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markup(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _tex(text: str) -> str:
    for symbol, replacement in (("_", r"\_"), ("%", r"\%"), ("→", r"$\to$"), ("±", r"$\pm$")):
        text = text.replace(symbol, replacement)
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", text).replace("–", "--")
