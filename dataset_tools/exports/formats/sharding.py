"""Shards: rows in their order, divided into files of a stated size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

from dataset_tools.exports.exported_rows import ExportedRow


def shards(
    rows: Iterable[ExportedRow], size_bytes: Callable[[ExportedRow], int], most_bytes: int
) -> Iterator[tuple[int, Iterator[ExportedRow]]]:
    """Yield each shard: its number, from 0, and its rows, which must be read, if at all, before the next is asked for.

    Args:
        rows: all of them.
        size_bytes: what a row takes.
        most_bytes: of a shard, unless a single row takes more.
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
