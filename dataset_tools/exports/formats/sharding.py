"""Sharding: division of rows, in order, into files of limited size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from dataset_tools.exports.exported_rows import ExportedRow


def shards(
    rows: Iterable[ExportedRow], size_bytes: Callable[[ExportedRow], int], most_bytes: int
) -> Iterator[tuple[int, Iterator[ExportedRow]]]:
    """Yield the number (from 0) and the rows of each shard; rows not read before the next shard are skipped.

    Args:
        rows: all rows.
        size_bytes: returns the size of a row.
        most_bytes: maximum size of a shard, unless a single row is larger.
    """

    def numbered() -> Iterator[tuple[int, ExportedRow]]:
        number, used = 0, 0
        for one in rows:
            size = size_bytes(one)
            if used and used + size > most_bytes:
                number, used = number + 1, 0
            used += size
            yield number, one

    for number, shard in groupby(numbered(), key=lambda one: one[0]):
        yield number, (one for _, one in shard)
