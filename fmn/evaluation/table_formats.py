"""Table formats: plain data for a terminal (rich), Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from fmn.metrics.bootstrap import excludes

if TYPE_CHECKING:
    from rich.table import Table as RichTable


class Bold(str):
    """Text of a bold cell."""

    __slots__ = ()


class Row(NamedTuple):
    """A row of a table; missing cells at its end are empty.

    Attributes:
        cells: texts of the cells.
        style: style of the row in a terminal: ``bold``, ``dim`` or empty.
    """

    cells: Sequence[str]
    style: str = ""


@dataclass(frozen=True)
class Table:
    """Contents of a table.

    Attributes:
        title: shown above.
        head: column names.
        sections: rows; a rule separates sections, except in Markdown, which has none.
        notes: shown below.
        left: indices of left-aligned columns.
    """

    title: str
    head: Sequence[str]
    sections: Sequence[Sequence[Row]]
    notes: Sequence[str] = ()
    left: Collection[int] = (0,)


def to_rich(table: Table, *, no_wrap: Collection[int] = (0,), **style: Any) -> RichTable:
    """Renders the table for a terminal.

    Args:
        table: its title may contain rich markup; its other texts are literal.
        no_wrap: indices of columns that are never wrapped.
        style: arguments of `rich.table.Table` that override the defaults.
    """
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table as RichTable
    from rich.text import Text

    caption = escape("\n".join(table.notes)) if table.notes else None
    style = {"box": SIMPLE_HEAD, "pad_edge": False, **style}
    made = RichTable(title=table.title, title_justify="left", caption=caption, caption_justify="left", **style)
    for column, name in enumerate(table.head):
        whole = column in no_wrap  # an ellipsis shows that it is too long
        justify: Literal["left", "right"] = "left" if column in table.left else "right"
        made.add_column(name, justify=justify, no_wrap=whole, overflow="ellipsis" if whole else "fold")
    for section in table.sections:
        for row in section:
            cells = (Text(cell, "bold" if isinstance(cell, Bold) else "") for cell in row.cells)
            made.add_row(*cells, style=row.style or None)
        made.add_section()
    return made


def to_markdown(table: Table) -> str:
    """Renders the table with its title as a heading and its notes as paragraphs; no trailing newline."""
    rule = "|" + "|".join("---" if column in table.left else "---:" for column in range(len(table.head))) + "|"
    rows = [_whole_row(table, row) for section in table.sections for row in section]
    texts = [[f"**{cell}**" if isinstance(cell, Bold) else cell for cell in cells] for cells in (table.head, *rows)]
    lines = [f"| {' | '.join(cells)} |" for cells in texts]
    return "\n\n".join([f"## {table.title}", "\n".join([lines[0], rule, *lines[1:]]), *table.notes])


def to_latex(table: Table) -> str:
    """Renders the table as a tabular for booktabs, title and notes as comments; no trailing newline."""
    columns = "".join("l" if column in table.left else "r" for column in range(len(table.head)))
    lines = [f"% {table.title}", f"\\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(table.head)]
    for section in table.sections:
        lines += [r"\midrule", *(_latex_row(_whole_row(table, row)) for row in section)] if section else []
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *(f"% {note}" for note in table.notes)])


def to_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Renders a header and rows as CSV; None becomes an empty field."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([head, *rows])
    return out.getvalue()


def number(value: float | None, sd: float | None = None, *, between: str = " ± ", sign: str = "") -> str:
    """Formats a number with its standard deviation, if given: ``82.3 ± 1.4``; None becomes a dash.

    Args:
        value: the number.
        sd: the standard deviation, or None.
        between: text between the two.
        sign: ``+`` shows the sign of positive numbers, too.
    """
    if value is None:
        return "–"
    return f"{value:{sign}.1f}" + ("" if sd is None else f"{between}{sd:.1f}")


def difference(apart: Mapping[str, Any] | None, missing: str = "") -> str:
    """Formats a difference with its ``low`` and ``high``: ``+3.1 [-0.2, +6.4]``, bold if they exclude zero."""
    if apart is None:
        return missing
    text = f"{apart['mean']:+.1f} [{apart['low']:+.1f}, {apart['high']:+.1f}]"
    return Bold(text) if excludes(apart, 0) else text


def _whole_row(table: Table, row: Row) -> Sequence[str]:
    return (*row.cells, *[""] * (len(table.head) - len(row.cells)))


def _latex_row(cells: Sequence[str]) -> str:
    texts = (f"\\textbf{{{_latex(cell)}}}" if isinstance(cell, Bold) else _latex(cell) for cell in cells)
    return " & ".join(texts) + r" \\"


def _latex(text: str) -> str:
    for symbol, replacement in (("_", r"\_"), ("%", r"\%"), ("→", r"$\to$"), ("±", r"$\pm$")):
        text = text.replace(symbol, replacement)
    return re.sub(r"(?<!\w)-(?=\d)", "$-$", text).replace("–", "--")
