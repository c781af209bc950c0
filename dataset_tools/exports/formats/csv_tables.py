"""CSV: clips.csv, utterances.csv and pairs.csv (RFC 4180, UTF-8, with a header), and the media beside them."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

from dataset_tools.exports.exported_rows import TABLES, ExportedRows, TableName
from dataset_tools.exports.formats.table_columns import COLUMNS
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.registry import FormatOptions


def write(rows: ExportedRows, output: OutputFolder, _: FormatOptions) -> None:
    """Write the tables and the media; the column ``path`` of clips and utterances is relative to the folder."""
    for table in TABLES:
        output.add(f"{table}.csv", partial(_write_table, rows, table))
    if not rows.with_media:
        return
    for table in ("clips", "utterances"):
        for one in rows.rows(table):
            rows.copy_media(one, output)


def _write_table(rows: ExportedRows, table: TableName, path: Path) -> None:
    columns = COLUMNS[table]
    has_files = rows.with_media and table != "pairs"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(column.name for column in columns), *(["path"] * has_files)])
        for one in rows.rows(table):
            writer.writerow([*(column.value(one) for column in columns), *([one.media_name] * has_files)])
