"""WebDataset: tar shards of clips and of utterances, with a JSON file beside each media file; pairs as JSONL.

``clips-train-000000.tar`` holds ``<key>.mp4`` and ``<key>.json`` of each clip, ``utterances-…`` wav files;
``pairs-train.jsonl`` the pairs, by the ids in the JSON files. The key is the id with dots escaped as ``%2E``, since
WebDataset takes everything after the first dot for the extension. The same rows produce the same bytes: members have
no timestamps and no owners.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from dataset_tools.exports.exported_rows import ExportedRow, ExportedRows, TableName
from dataset_tools.exports.formats.pairs_jsonl import add_pairs
from dataset_tools.exports.formats.sharding import shards
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.exports.registry import FormatOptions

_TAR_END_BYTES = tarfile.RECORDSIZE  # maximum size of the end-of-archive marker with its padding


def write(rows: ExportedRows, output: OutputFolder, options: FormatOptions) -> None:
    """Write the shards of each split, of at most ``shard_bytes`` each unless a single sample is larger."""
    tables: tuple[TableName, ...] = ("clips", "utterances")
    for table in tables:
        for split in rows.counts[table]:
            most_bytes = options.shard_bytes - _TAR_END_BYTES
            for number, samples in shards(rows.rows(table, split), partial(_size_bytes, rows), most_bytes):
                output.add(f"{table}-{split}-{number:06d}.tar", partial(_write_shard, rows, samples))
    add_pairs(rows, output)


def _size_bytes(rows: ExportedRows, exported: ExportedRow) -> int:
    """Size of a sample in a tar file: the header and the blocks of each of its files."""
    sizes = [len(_described(exported)), *([rows.media(exported).stat().st_size] if rows.with_media else [])]
    blocks = (-(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE for size in sizes)
    return sum(blocks) + sum(len(_header(_name(exported, "json"), size)) for size in sizes)


def _write_shard(rows: ExportedRows, samples: Iterator[ExportedRow], path: Path) -> None:
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for one in samples:
            if rows.with_media:
                _add(archive, _name(one, one.media_name.rpartition(".")[2]), rows.read_media(one))
            _add(archive, _name(one, "json"), _described(one))


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    archive.addfile(_member(name, len(content)), io.BytesIO(content))


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)  # defaults: mtime, uid and gid 0, no user and group names, mode 0644
    member.size = size
    return member


def _header(name: str, size: int) -> bytes:
    return _member(name, size).tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _name(exported: ExportedRow, suffix: str) -> str:
    return f"{exported.row.id.replace('%', '%25').replace('.', '%2E')}.{suffix}"


def _described(exported: ExportedRow) -> bytes:
    """The row of the manifest as JSON, without its path, with its class as in train.jsonl, split and fold."""
    row: dict[str, Any] = msgspec.to_builtins(exported.row)
    row.pop("path", None)
    label = {"id": exported.row.class_id} if exported.label is None else msgspec.to_builtins(exported.label)
    return msgspec.json.encode({**row, "class": label, "split": exported.split, "fold": exported.fold})
