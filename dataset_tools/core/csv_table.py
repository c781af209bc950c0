"""CSV tables as spreadsheets write them: commas, semicolons or tabs, a ``sep=`` line, blank rows and columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from dataset_tools.core.files import decode_text

INDEX = "unnamed"
"""Name of a first column without one, as pandas writes for its index."""
_BLANK = re.compile(r"[\s,;]*")


@dataclass(frozen=True)
class Table:
    """A CSV table: its columns in lower case, and its rows with the number of the line on which each ends.

    A field of a row is None if the row is too short. The text of fields without a column has an empty name. A first
    column without a name is called `INDEX`.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str | None]], ...]


def table_of(content: bytes) -> Table:
    """Parses a CSV file with commas, semicolons or tabs. Spreadsheets add blank rows and columns: they are skipped.

    Raises:
        UnicodeDecodeError: see `decode_text`.
        csv.Error: it is not valid CSV.
    """
    text = decode_text(content)
    offset = 0
    if text[:4].lower() == "sep=":  # Excel's own first line
        text, offset = text.partition("\n")[2], 1
    while text and _BLANK.fullmatch(text.partition("\n")[0]):  # rows before the header; spreadsheets write ,,,
        text, offset = text.partition("\n")[2], offset + 1
    first_line = text.partition("\n")[0]
    delimiter = max(",;\t", key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    columns = tuple(column.strip().lower() for column in next(reader, []))
    while columns and not columns[-1]:
        columns = columns[:-1]
    rows = [(reader.line_num + offset, fields) for fields in reader if any(map(str.strip, fields))]
    if columns and not columns[0] and any(fields[0].strip() for _, fields in rows):
        columns = (INDEX, *columns[1:])
    return Table(columns, tuple((line, _by_column(columns, fields)) for line, fields in rows))


def _by_column(columns: Sequence[str], fields: Sequence[str]) -> dict[str, str | None]:
    pairs = list(zip_longest(columns, fields))
    row = {name: text for name, text in pairs if name}
    nameless = " ".join(text.strip() for name, text in pairs if not name and text)
    return row | ({"": nameless} if nameless.strip() else {})
