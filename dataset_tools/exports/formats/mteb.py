"""MTEB: the Parquet files of the format ``huggingface``, and retrieval tasks on them in both directions.

Both directions use the same files, with queries and corpus swapped; ``data/qrels-…`` has the relevance judgments: the
pairs. README.md declares them under the names that MTEB expects; ``mteb_task.py`` defines a task for each direction,
which loads offline from the folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from dataset_tools.core.errors import InputError
from dataset_tools.exports.exported_rows import ExportedRows, TableName
from dataset_tools.exports.formats import huggingface
from dataset_tools.exports.item_sides import Split
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.registry import FormatOptions
from dataset_tools.manifests import SPLIT_SIDES, PairRow

_DIRECTIONS: dict[str, tuple[TableName, TableName]] = {
    "audio_to_video": ("utterances", "clips"),
    "video_to_audio": ("clips", "utterances"),
}
_ROW_GROUP_ROWS = 10_000
_TASK = "mteb_task.py"


def write(rows: ExportedRows, output: OutputFolder, options: FormatOptions) -> dict[str, Any]:
    """Write the Parquet files, the relevance judgments and, with media, the task definitions.

    Raises:
        InputError: pyarrow is not installed, or there are no test pairs.
    """
    if "test" not in rows.counts["pairs"]:
        raise InputError(
            "There are no test pairs, and MTEB uses no others",
            where=rows.workspace.manifests / "test.jsonl",
            expected="a test split with pairs",
            next_step="run fmn-data pairs with a larger --test-share, or export as huggingface",
        )
    declared = huggingface.write(rows, output, options)
    sides = [side for side in SPLIT_SIDES if side in rows.counts["pairs"]]
    for direction in _DIRECTIONS:
        for side in sides:
            output.add(f"data/qrels-{direction}-{side}-00000.parquet", partial(_write_qrels, rows, direction, side))
    if rows.with_media:
        output.add_text(_TASK, Path(__file__).with_name(_TASK).read_text("utf-8"))
    return {"configs": [*declared["configs"], *_configs(rows, sides)]}


def _configs(rows: ExportedRows, sides: Sequence[Split]) -> Iterator[dict[str, Any]]:
    for direction, (queries, corpus) in _DIRECTIONS.items():
        for part, table in (("queries", queries), ("corpus", corpus)):
            files = []
            for side in sides:
                found: list[Split] = [split for split in (side, "both") if split in rows.counts[table]]
                files.append({"split": side, "path": [f"data/{table}-{split}-*.parquet" for split in found]})
            yield {"config_name": f"{direction}-{part}", "data_files": files}
        files = [{"split": side, "path": [f"data/qrels-{direction}-{side}-*.parquet"]} for side in sides]
        yield {"config_name": f"{direction}-qrels", "data_files": files}


def _write_qrels(rows: ExportedRows, direction: str, side: Split, path: Path) -> None:
    arrow, parquet = huggingface.pyarrow_modules()
    schema = arrow.schema([("query-id", arrow.string()), ("corpus-id", arrow.string()), ("score", arrow.int32())])
    relevant = _relevant(rows, direction, side)
    with parquet.ParquetWriter(path, schema) as writer:
        while group := list(islice(relevant, _ROW_GROUP_ROWS)):
            writer.write_table(arrow.Table.from_pylist(group, schema=schema))


def _relevant(rows: ExportedRows, direction: str, side: Split) -> Iterator[dict[str, Any]]:
    queries, _ = _DIRECTIONS[direction]
    for one in rows.rows("pairs", side):
        assert isinstance(one.row, PairRow)
        ids = (one.row.clip, one.row.utterance)
        query, document = ids if queries == "clips" else ids[::-1]
        yield {"query-id": query, "corpus-id": document, "score": 1}
