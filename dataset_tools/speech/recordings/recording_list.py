"""CSV list of recordings: its rows, and the files that they name."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from dataset_tools.core.csv_table import INDEX, table_of
from dataset_tools.core.errors import InputError
from dataset_tools.core.files import read_input
from dataset_tools.core.unicode_names import composed
from dataset_tools.manifests import SpeakerFacts

_COLUMNS = ("path", "class", "clip", "voice", "text", "licence", "language", *SpeakerFacts.__struct_fields__)


def read_list(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yields the rows of a list with the number of the line on which each ends; a column that it lacks is empty.

    The text of fields without a column has an empty name. A first column without a name, an index, is ignored.

    Raises:
        InputError: at the first row: the file cannot be read, or has other columns.
    """
    try:
        table = table_of(read_input(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"The CSV cannot be read: {error}",
            where=path,
            expected="CSV in UTF-8, with commas, semicolons or tabs",
            next_step="export it again",
        ) from error
    columns = table.columns
    is_known = set(columns) <= {*_COLUMNS, "", INDEX} and len(set(columns)) == len(columns)
    if not is_known or "path" not in columns or not {"class", "clip"} & set(columns):
        raise InputError(
            f"The CSV has the columns {', '.join(columns) or 'none'}",
            where=f"{path}, line 1",
            expected=f"path, and class or clip; all columns among {', '.join(_COLUMNS)}, once each",
            next_step="correct the first line",
        )
    for line, row in table.rows:
        values = {name: (row.get(name) or "").strip() for name in (*_COLUMNS, "")}
        yield line, {**values, "age_band": values["age_band"].replace("–", "-")}  # spreadsheets replace the hyphen


class ListedFiles:
    """The files that a list names.

    Args:
        folder: paths are relative to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[Path, dict[str, str]] = {}  # of the files in a folder, by their composed form

    def find(self, name: str) -> Path | None:
        """Returns the file of that path, also of a path from Windows or with letters composed otherwise, or None."""
        for path in (self._folder / name, self._folder / name.replace("\\", "/")):
            if os.path.isfile(path):  # noqa: PTH113 - unlike Path.is_file, accepts any name
                return path
        path = self._folder
        for part in PurePosixPath(name.replace("\\", "/")).parts:
            path /= part if part in ("..", "/") else self._names_in(path).get(composed(part), part)
        return path if os.path.isfile(path) else None  # noqa: PTH113

    def _names_in(self, folder: Path) -> dict[str, str]:
        if folder not in self._names:
            try:
                self._names[folder] = {composed(path.name): path.name for path in sorted(folder.iterdir())}
            except (OSError, ValueError):
                self._names[folder] = {}
        return self._names[folder]
