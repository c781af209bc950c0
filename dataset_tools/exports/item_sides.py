"""Split membership of each clip and utterance by id, in a temporary SQLite database.

Memory is bounded, even for a million clips and a million utterances: pages beyond the cache go to a file (in
``SQLITE_TMPDIR``, ``TMPDIR`` or /var/tmp) that SQLite removes with the connection.
"""

from __future__ import annotations

import sqlite3
import weakref
from functools import lru_cache
from typing import Any, Literal

from dataset_tools.core.errors import StoppedError
from dataset_tools.manifests import Side

Split = Literal["train", "test", "both", "neither"]
SPLITS: tuple[Split, ...] = ("train", "test", "both", "neither")
"""For a clip or utterance: where its pairs are (`both` only with ``--split pairs``). For a pair: never `both`."""

_BIT: dict[Side, int] = {"train": 1, "test": 2}
_SPLIT_OF: tuple[Split, ...] = ("neither", "train", "test", "both")  # indexed by the bits of the sides
_CACHE_KIB = 32_768
_PAIRS_REMEMBERED = 1_024  # neighboring pairs in the manifest refer to the same items


class ItemSides:
    """Sides and folds of clips and utterances.

    Every method raises `StoppedError` if the temporary file cannot be written.
    """

    def __init__(self) -> None:
        # Nothing is ever committed or rolled back: the only transaction ends with the file.
        self._database = sqlite3.connect("", check_same_thread=False)  # the finalizer may run in any thread
        weakref.finalize(self, self._database.close)
        for statement in (
            f"PRAGMA cache_size = -{_CACHE_KIB}",
            "PRAGMA journal_mode = OFF",
            "CREATE TABLE items (kind TEXT, id TEXT, sha256 TEXT, sides INTEGER DEFAULT 0, fold INTEGER, "
            "PRIMARY KEY (kind, id)) WITHOUT ROWID",
        ):
            self._execute(statement)
        self._note = lru_cache(_PAIRS_REMEMBERED)(self._update)

    def add(self, table: str, item_id: str, sha256: str) -> bool:
        """Adds a clip or an utterance, without pairs so far; returns False if its id exists already."""
        statement = "INSERT OR IGNORE INTO items (kind, id, sha256) VALUES (?, ?, ?)"
        return self._execute(statement, table, item_id, sha256).rowcount == 1

    def note_pair(self, table: str, item_id: str, sha256: str, side: Side, fold: int | None) -> bool:
        """Records a side and fold of an item's pair; returns False if there is no item with that id and content."""
        return self._note(table, item_id, sha256, _BIT[side], -1 if fold is None else fold)

    def find(self, table: str, item_id: str) -> tuple[Split, int | None] | None:
        """Returns the split of an item and the largest fold of its pairs, or None if there is no such item."""
        row = self._execute("SELECT sides, fold FROM items WHERE kind = ? AND id = ?", table, item_id).fetchone()
        return None if row is None else (_SPLIT_OF[row[0]], row[1])

    def counts(self, table: str) -> dict[Split, int]:
        """Returns the number of items of a table by split, in the order of `SPLITS`, without empty splits."""
        rows = self._execute("SELECT sides, count(*) FROM items WHERE kind = ? GROUP BY sides", table)
        found = {_SPLIT_OF[sides]: number for sides, number in rows}
        return {split: found[split] for split in SPLITS if split in found}

    def _update(self, table: str, item_id: str, sha256: str, bit: int, fold: int) -> bool:
        updated = self._execute(
            "UPDATE items SET sides = sides | ?, fold = nullif(max(ifnull(fold, -1), ?), -1) "
            "WHERE kind = ? AND id = ? AND sha256 = ?",
            *(bit, fold, table, item_id, sha256),
        )
        return updated.rowcount == 1

    def _execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise StoppedError(
                f"SQLite's temporary file cannot be written: {error}",
                expected="about 300 bytes of disk space per clip and utterance",
                next_step="free disk space, or set the environment variable SQLITE_TMPDIR to another folder",
            ) from error
