"""Lhotse: recordings, supervisions and cuts of the utterances per split, the wav files beside them; pairs as JSONL.

``CutSet.from_file("DIR/cuts-train.jsonl.gz").with_recording_path_prefix("DIR")`` loads them: paths are relative to the
folder. ``custom`` of a supervision has the other columns of the utterance: class, clip, split, fold, …
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.exports.exported_rows import ExportedRow, ExportedRows
from dataset_tools.exports.formats.pairs_jsonl import add_pairs
from dataset_tools.exports.formats.table_columns import COLUMNS
from dataset_tools.exports.item_sides import Split
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.registry import FormatOptions
from dataset_tools.manifests import UtteranceRow

_OWN_FIELDS = {"id", "text", "language", "voice", "sample_rate_hz", "duration_s"}
_CUSTOM = [column for column in COLUMNS["utterances"] if column.name not in _OWN_FIELDS]

_Described = Callable[[UtteranceRow, ExportedRow], dict[str, Any]]


def write(rows: ExportedRows, output: OutputFolder, _: FormatOptions) -> None:
    """Write manifests, pairs and files; without media, no recordings and cuts, since they refer to files."""
    manifests: dict[str, _Described] = {"supervisions": _supervision}
    if rows.with_media:
        manifests = {"recordings": _recording, "supervisions": _supervision, "cuts": _cut}
    for name, described in manifests.items():
        for split in rows.counts["utterances"]:
            output.add(f"{name}-{split}.jsonl.gz", partial(_write, rows, split, described))
    add_pairs(rows, output)
    if not rows.with_media:
        return
    for one in rows.rows("utterances"):
        rows.copy_media(one, output)


def _write(rows: ExportedRows, split: Split, described: _Described, path: Path) -> None:
    # No filename and no timestamp in the gzip header: the same rows produce the same bytes.
    with path.open("wb") as file, gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as lines:
        for one in rows.rows("utterances", split):
            assert isinstance(one.row, UtteranceRow)
            lines.write(msgspec.json.encode(described(one.row, one)) + b"\n")


def _samples(row: UtteranceRow) -> int:
    return round(row.duration_s * row.sample_rate_hz)


def _recording(row: UtteranceRow, exported: ExportedRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "sources": [{"type": "file", "channels": [0], "source": exported.media_name}],
        "sampling_rate": row.sample_rate_hz,
        "num_samples": _samples(row),
        "duration": _samples(row) / row.sample_rate_hz,
        "channel_ids": [0],
    }


def _supervision(row: UtteranceRow, exported: ExportedRow) -> dict[str, Any]:
    values = {column.name: column.value(exported) for column in _CUSTOM}
    return {
        "id": row.id,
        "recording_id": row.id,
        "start": 0.0,
        "duration": _samples(row) / row.sample_rate_hz,
        "channel": 0,
        "text": row.text,
        "language": row.language,
        "speaker": row.voice,
        "custom": {name: value for name, value in values.items() if value is not None},
    }


def _cut(row: UtteranceRow, exported: ExportedRow) -> dict[str, Any]:
    recording = _recording(row, exported)
    return {
        "id": row.id,
        "start": 0.0,
        "duration": recording["duration"],
        "channel": 0,
        "supervisions": [_supervision(row, exported)],
        "recording": recording,
        "type": "MonoCut",
    }
