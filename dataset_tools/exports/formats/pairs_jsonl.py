"""Pairs as JSONL, for libraries that have no notion of pairs: ``pairs-train.jsonl`` and so on, one file per split.

A line is the row of pairs.jsonl (id, class_id, clip, utterance) with its split and fold.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from dataset_tools.exports.exported_rows import ExportedRows
from dataset_tools.exports.item_sides import Split
from dataset_tools.exports.output_folder import OutputFolder


def add_pairs(rows: ExportedRows, output: OutputFolder) -> None:
    """Write the pairs of each split, by the ids of their clips and utterances.

    Raises:
        StoppedError: the disk is full or read-only.
    """
    for split in rows.counts["pairs"]:
        output.add(f"pairs-{split}.jsonl", partial(_write, rows, split))


def _write(rows: ExportedRows, split: Split, path: Path) -> None:
    with path.open("wb") as file:
        for one in rows.rows("pairs", split):
            row = {**msgspec.to_builtins(one.row), "split": one.split, "fold": one.fold}
            file.write(msgspec.json.encode(row) + b"\n")
