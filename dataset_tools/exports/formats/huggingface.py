"""Hugging Face datasets: Parquet with embedded media, loaded offline by ``datasets.load_dataset(DIR, "clips")``.

Three configurations, ``clips``, ``utterances`` and ``pairs``, each with its splits. ``video`` has the feature type
Video, ``audio`` has Audio(sampling_rate=16000); pairs refer to clips and utterances by id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.core.extras import install_command
from dataset_tools.exports.exported_rows import TABLES, ExportedRow, ExportedRows, TableName
from dataset_tools.exports.formats.sharding import shards
from dataset_tools.exports.formats.table_columns import COLUMNS
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.registry import FormatOptions

MEDIA_FEATURES: Mapping[TableName, tuple[str, dict[str, Any]]] = {
    "clips": ("video", {"_type": "Video"}),
    "utterances": ("audio", {"sampling_rate": 16000, "_type": "Audio"}),
}
_DTYPES = {str: "string", int: "int64", float: "float64", bool: "bool"}
_ROW_BYTES = 256  # rough size of a row without media: shards are divided before they are compressed
_ROW_GROUP_BYTES = 32_000_000
_ROW_GROUP_ROWS = 10_000


def write(rows: ExportedRows, output: OutputFolder, options: FormatOptions) -> dict[str, Any]:
    """Write the Parquet shards of each configuration and split, and return entries for the front matter of README.md.

    Raises:
        InputError: pyarrow is not installed.
    """
    pyarrow_modules()
    for table in TABLES:
        for split in rows.counts[table]:
            size_bytes = partial(_size_bytes, rows, table)
            for number, shard in shards(rows.rows(table, split), size_bytes, options.shard_bytes):
                output.add(f"data/{table}-{split}-{number:05d}.parquet", partial(_write_shard, rows, table, shard))
    return {"configs": _configs(rows)}


def _size_bytes(rows: ExportedRows, table: TableName, exported: ExportedRow) -> int:
    return _ROW_BYTES + (rows.media(exported).stat().st_size if _has_media(rows, table) else 0)


def _write_shard(rows: ExportedRows, table: TableName, found: Iterator[ExportedRow], path: Path) -> None:
    arrow, parquet = pyarrow_modules()
    schema = _schema(arrow, rows, table)
    # Dictionary encoding of media would hold each file twice in memory and save nothing.
    texts = [column.name for column in COLUMNS[table] if column.kind is str]
    with parquet.ParquetWriter(path, schema, use_dictionary=texts) as writer:
        group: list[dict[str, Any]] = []
        size = 0
        for one in found:
            values: dict[str, Any] = {column.name: column.value(one) for column in COLUMNS[table]}
            if _has_media(rows, table):
                content = rows.read_media(one)
                values[MEDIA_FEATURES[table][0]] = {"bytes": content, "path": one.media_name.rpartition("/")[2]}
                size += len(content)
            group.append(values)
            if size >= _ROW_GROUP_BYTES or len(group) >= _ROW_GROUP_ROWS:
                writer.write_table(arrow.Table.from_pylist(group, schema=schema))
                group, size = [], 0
        if group:
            writer.write_table(arrow.Table.from_pylist(group, schema=schema))


def _schema(arrow: Any, rows: ExportedRows, table: TableName) -> Any:
    """The Arrow schema; ``datasets`` reads its features from the metadata key ``huggingface``."""
    kinds = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    fields = [arrow.field(column.name, kinds[column.kind]) for column in COLUMNS[table]]
    features: dict[str, Any] = {
        column.name: {"dtype": _DTYPES[column.kind], "_type": "Value"} for column in COLUMNS[table]
    }
    if _has_media(rows, table):
        name, feature = MEDIA_FEATURES[table]
        fields.append(arrow.field(name, arrow.struct({"bytes": arrow.binary(), "path": arrow.string()})))
        features[name] = feature
    return arrow.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _has_media(rows: ExportedRows, table: TableName) -> bool:
    return rows.with_media and table in MEDIA_FEATURES


def _configs(rows: ExportedRows) -> list[dict[str, Any]]:
    """Configurations and splits, as ``datasets`` reads them from the front matter of README.md."""
    return [
        {
            "config_name": table,
            **({"default": True} if table == "clips" else {}),
            "data_files": [{"split": split, "path": f"data/{table}-{split}-*.parquet"} for split in rows.counts[table]],
        }
        for table in TABLES
    ]


def pyarrow_modules() -> tuple[Any, Any]:
    """Import and return pyarrow and pyarrow.parquet.

    Raises:
        InputError: pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            "pyarrow, which writes Parquet, is not installed",
            expected="the extra `exports` of the toolkit",
            next_step=install_command("exports"),
        ) from error
    return pyarrow, parquet
