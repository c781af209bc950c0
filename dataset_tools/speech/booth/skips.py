"""Skipped sentences with reasons, ``annotations/skips.jsonl``: one line each, without the speaker."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

SkipReason = Literal["clip", "sentence", "pronunciation", "other"]
"""The clip does not show the action, the sentence is wrong, it is hard to pronounce, or another reason."""


class SkipRow(msgspec.Struct, frozen=True, tag_field="schema", tag="fmn.skip/1"):
    """Row of annotations/skips.jsonl: a sentence that was skipped.

    Attributes:
        clip: id of the clip that the sentence describes. sentence: as shown.
        reason: why it was skipped. time: UTC, ISO 8601.
    """

    clip: str
    sentence: str
    reason: SkipReason
    time: str


class Skips:
    """Skips of one booth; ``counts`` has the number since the booth was opened, by reason."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.counts: Counter[str] = Counter()

    def add(self, clip_id: str, sentence: str, reason: SkipReason) -> None:
        """Appends a row, on a new line even if the last line is incomplete.

        Raises:
            OSError: the file cannot be written.
        """
        row = SkipRow(clip_id, sentence, reason, datetime.now(UTC).isoformat(timespec="seconds"))
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            file.seek(max(file.tell() - 1, 0))
            begin = b"" if file.read(1) in (b"", b"\n") else b"\n"
            file.write(begin + msgspec.json.encode(row) + b"\n")
        self.counts[reason] += 1
