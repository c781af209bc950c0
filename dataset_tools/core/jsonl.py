"""JSONL files of validated rows: UTF-8, one object per line, sorted by id, with a ``schema`` field.

Manifests, the ledger and every other JSONL file of a workspace are read and written here. Unknown major versions are
refused; unknown fields of a known major version are ignored, so that newer minor versions can be read.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from dataset_tools.core.errors import ManifestError
from dataset_tools.core.files import written_whole
from dataset_tools.core.path_parts import in_words


class Row(msgspec.Struct, frozen=True, kw_only=True, tag_field="schema"):
    """A row of a JSONL file; the tag of the subclass is its ``schema``, written first."""

    id: str


class _Tagged(msgspec.Struct):
    schema: str


RowType = TypeVar("RowType", bound=Row)


def read_jsonl(path: Path, row_type: type[RowType], *, next_step: str) -> Iterator[RowType]:
    """Yield the rows of an existing file, one at a time, each checked.

    Args:
        path: the file.
        row_type: the type of every row.
        next_step: the advice in the error for a line that cannot be read.

    Raises:
        ManifestError: a line is not JSON, lacks a field, has a field of the wrong type or an unknown major version, or
            its id is a duplicate or out of order; file, line and field are named.
    """
    for _, row in read_numbered(path, row_type, next_step=next_step):
        yield row


def read_numbered(path: Path, row_type: type[RowType], *, next_step: str) -> Iterator[tuple[int, RowType]]:
    """`read_jsonl` with the numbers of the lines, from 1."""
    for number, row in _read(path, row_type, next_step):
        if isinstance(row, ManifestError):
            raise row
        yield number, row


def read_lines(path: Path, row_type: type[RowType]) -> Iterator[RowType | ManifestError]:
    """Yield, for each line, its row or the error that `read_jsonl` would raise, so that all errors can be collected."""
    for _, row in _read(path, row_type, next_step=""):
        yield row


def _read(path: Path, row_type: type[RowType], next_step: str) -> Iterator[tuple[int, RowType | ManifestError]]:
    schema = str(row_type.__struct_config__.tag)
    decoder, tagged = msgspec.json.Decoder(row_type), msgspec.json.Decoder(_Tagged)
    previous_id = None
    for number, line in numbered_lines(path):
        try:
            row = decoder.decode(line)
            if not line.startswith(b'{"schema"'):  # msgspec accepts a missing tag
                tagged.decode(line)
            if previous_id is not None and row.id <= previous_id:
                raise ValueError(f"id {row.id!r} does not come after {previous_id!r} of the previous line")
        except (ValueError, RecursionError) as error:
            cannot_be_read = ManifestError(
                f"The row cannot be read: {in_words(error)}",
                where=f"{path}, line {number}",
                expected=f"one {schema} object per line, sorted by id, each id once",
                next_step=f"choose a file of {schema} rows; docs/formats.md lists the files"
                if _is_other(line, schema)
                else next_step,
            )
            cannot_be_read.__cause__ = error
            yield number, cannot_be_read
            continue
        previous_id = row.id
        yield number, row


def _is_other(line: bytes, schema: str) -> bool:
    """Whether a line is a row of another kind than ``schema``, whatever its version."""
    try:
        found = msgspec.json.decode(line, type=_Tagged).schema
    except (ValueError, RecursionError):
        return False
    return found.startswith("fmn.") and found.partition("/")[0] != schema.partition("/")[0]


def count_rows(path: Path) -> int:
    """Returns the number of rows of a file, without reading them."""
    return sum(1 for _ in numbered_lines(path))


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields the lines of a file with their numbers, from 1.

    A byte order mark and blank lines, as editors write them, are skipped.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            content = line.removeprefix(BOM_UTF8) if number == 1 else line
            if content.strip():
                yield number, content


def write_jsonl(path: Path, rows: Iterable[Row]) -> int:
    """Write rows in the given order, which must be sorted by id; the file appears only when complete.

    Returns:
        The number of rows written.
    """
    encoder = msgspec.json.Encoder()
    count = 0
    previous_id = None
    with written_whole(path) as partial, partial.open("wb") as file:
        for row in rows:
            if previous_id is not None and row.id <= previous_id:
                raise ValueError(f"{path}: id {row.id!r} does not come after {previous_id!r}")
            previous_id = row.id
            file.write(encoder.encode(row))
            file.write(b"\n")
            count += 1
    return count
