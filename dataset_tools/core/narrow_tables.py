"""Tables that are too wide for the terminal: split into parts with fewer columns, instead of truncated columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace

from rich.console import Console
from rich.measure import Measurement, measure_renderables
from rich.table import Table


def parts_that_fit(table: Table, console: Console) -> Iterator[Table]:
    """Yields the table unchanged, or split into several if it is too wide; each part repeats the first column.

    The first part has the title, the last one the caption. No word of a cell is broken, unless the first column and
    another one do not fit side by side.
    """
    if _measured(table, console).maximum <= console.width:
        yield table
        return
    table, heads = _part(table, range(len(table.columns))), []
    for column in table.columns:
        cells = measure_renderables(console, console.options, [*column.cells, ""])
        head = Measurement.get(console, console.options, column.header)
        if cells.minimum == cells.maximum:  # only the header can wrap
            column.width = max(cells.maximum, head.minimum)
        heads.append(head.maximum)
    parts: list[list[int]] = [[0]]
    for number in range(1, len(table.columns)):
        if len(parts[-1]) > 1 and _measured(_part(table, [*parts[-1], number]), console).minimum > console.width:
            parts.append([0])
        parts[-1].append(number)
    for place, columns in enumerate(parts):
        part = _part(table, columns)
        spare = max(0, console.width - _measured(part, console).minimum) // len(columns)
        for column, number in zip(part.columns, columns, strict=True):
            if column.width is not None:
                column.width = max(column.width, min(column.width + spare, heads[number]))
        part.title = table.title if place == 0 else None
        part.caption = table.caption if place == len(parts) - 1 else None
        yield part


def _measured(table: Table, console: Console) -> Measurement:
    """The minimum and the maximum width of a table's columns together."""
    unbounded = console.options.update(max_width=10_000)
    return Measurement.get(console, unbounded, table)


def _part(table: Table, columns: Sequence[int]) -> Table:
    part = copy(table)
    part.columns = [replace(table.columns[column], _index=number) for number, column in enumerate(columns)]
    return part
