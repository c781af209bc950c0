"""Split membership of each clip and utterance by id, in a temporary SQLite database.

A million clips and a million utterances take no more memory than a hundred of them: pages beyond the cache go to a file
that SQLite removes with the connection (in ``SQLITE_TMPDIR``, ``TMPDIR`` or /var/tmp).
"""

from __future__ import annotations

import sqlite3
import weakref
from functools import lru_cache
from typing import Any, Literal

from dataset_tools.core.errors import StoppedError

Side = Literal["train", "test"]
Split = Literal["train", "test", "both", "neither"]
SPLITS: tuple[Split, ...] = ("train", "test", "both", "neither")
"""Of a clip or utterance: where its pairs are; the split `pairs` puts items on both sides. Of a pair: never `both`."""

_BIT: dict[Side, int] = {"train": 1, "test": 2}
_SPLIT_OF: tuple[Split, ...] = ("neither", "train", "test", "both")  # by the bits of their sides
_CACHE_KIB = 32_768
_PAIRS_REMEMBERED = 1_024  # neighbors in the manifest name the same items again and again


class ItemSides:
    """Sides and folds of clips and utterances.

    Every method raises `StoppedError` where the temporary file cannot be written.
    """

    def __init__(self) -> None:
        # Nothing is ever committed or rolled back: the one transaction ends with the file.
        self._database = sqlite3.connect("", check_same_thread=False)  # garbage may be collected in any thread
        weakref.finalize(self, self._database.close)
        for statement in (
            f"PRAGMA cache_size = -{_CACHE_KIB}",
            "PRAGMA journal_mode = OFF",
            "CREATE TABLE items (kind TEXT, id TEXT, sha256 TEXT, sides INTEGER DEFAULT 0, fold INTEGER, "
            "PRIMARY KEY (kind, id)) WITHOUT ROWID",
        ):
            self._execute(statement)
        self._note = lru_cache(_PAIRS_REMEMBERED)(self._written)

    def add(self, table: str, item_id: str, sha256: str) -> bool:
        """A clip or an utterance that no pair names so far; False where there is one of that id already."""
        statement = "INSERT OR IGNORE INTO items (kind, id, sha256) VALUES (?, ?, ?)"
        return self._execute(statement, table, item_id, sha256).rowcount == 1

    def note_pair(self, table: str, item_id: str, sha256: str, side: Side, fold: int | None) -> bool:
        """A pair of that side and fold names the item; False where there is no item of that id and content."""
        return self._note(table, item_id, sha256, _BIT[side], -1 if fold is None else fold)

    def find(self, table: str, item_id: str) -> tuple[Split, int | None] | None:
        """The split of an item and the largest fold of its pairs; None where there is no such item."""
        row = self._execute("SELECT sides, fold FROM items WHERE kind = ? AND id = ?", table, item_id).fetchone()
        return None if row is None else (_SPLIT_OF[row[0]], row[1])

    def counts(self, table: str) -> dict[Split, int]:
        """How many items of a table have each split that any has, in the order of `SPLITS`."""
        rows = self._execute("SELECT sides, count(*) FROM items WHERE kind = ? GROUP BY sides", table)
        found = {_SPLIT_OF[sides]: number for sides, number in rows}
        return {split: found[split] for split in SPLITS if split in found}

    def _written(self, table: str, item_id: str, sha256: str, bit: int, fold: int) -> bool:
        found = self._execute(
            "UPDATE items SET sides = sides | ?, fold = nullif(max(ifnull(fold, -1), ?), -1) "
            "WHERE kind = ? AND id = ? AND sha256 = ?",
            *(bit, fold, table, item_id, sha256),
        )
        return found.rowcount == 1

    def _execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        try:
            return self._database.execute(statement, values)
        except sqlite3.OperationalError as error:
            raise StoppedError(
                f"SQLite's temporary file cannot be written: {error}",
                expected="room for about 300 bytes a clip and utterance",
                next_step="make room, or name another folder in the environment variable SQLITE_TMPDIR",
            ) from error
