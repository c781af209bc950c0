"""Exported rows: clips, utterances and pairs with their split, as streams."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET

from dataset_tools.core.errors import InputError, ManifestError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.progress import Progress, silent
from dataset_tools.core.workspace import Workspace
from dataset_tools.exports.item_sides import SPLITS, ItemSides, Split
from dataset_tools.exports.output_folder import OutputFolder
from dataset_tools.manifests import (
    SPLIT_SIDES,
    ClassLabel,
    ClipRow,
    PairRow,
    Side,
    SpeakerFacts,
    SplitPairRow,
    UtteranceRow,
    read_rows,
    resolve,
)

TableName = Literal["clips", "utterances", "pairs"]
TABLES: tuple[TableName, ...] = ("clips", "utterances", "pairs")
UNDER_AGE = SpeakerFacts.AGE_BANDS[0]

_ROW_TYPES: Mapping[TableName, type[ClipRow | UtteranceRow | PairRow]] = {
    "clips": ClipRow,
    "utterances": UtteranceRow,
    "pairs": PairRow,
}


@dataclass(frozen=True)
class ExportedRow:
    """A row of a manifest with its class, split and fold.

    Attributes:
        table: its manifest. row: the row as in the manifest.
        label: its class as a triplet; None if no pair has that class.
        split: see `SPLITS`.
        fold: 0-4 for training rows (for an item, the largest fold of its pairs), else None.
    """

    table: TableName
    row: ClipRow | UtteranceRow | PairRow
    label: ClassLabel | None
    split: Split
    fold: int | None

    @property
    def media_name(self) -> str:
        """Path in exports that have one file per item: ``clips/<id>.mp4``, ``utterances/<id>.wav``."""
        return f"{self.table}/{self.row.id}.{'mp4' if self.table == 'clips' else 'wav'}"


class ExportedRows:
    """Streams the rows of a data set for an export. Memory grows with classes and recorded voices, not with rows.

    Args:
        workspace: workspace of the data set.
        with_media: whether media files are included.
        checks_media: whether `media` compares the content of files, for a dry run, which does not copy them.
        progress: progress callback, in rows read by `rows`.

    Attributes:
        counts: rows by table and split, without empty splits.
        voices: number of recorded utterances by voice. minors: voices under 18, according to their rows.
        withheld: ids of the utterances that are left out (see `withhold`).

    Raises:
        InputError: there are no pairs yet, or their clips and utterances have changed since.
        ManifestError: a row cannot be read.
    """

    def __init__(
        self, workspace: Workspace, *, with_media: bool, checks_media: bool = False, progress: Progress = silent
    ) -> None:
        self.workspace = workspace
        self.with_media = with_media
        self._checks_media = checks_media
        self._progress = progress
        self._done = 0
        self._labels: dict[str, ClassLabel] = {}
        self.voices: Counter[str] = Counter()
        self.minors: set[str] = set()
        self.withheld: set[str] = set()
        self._sides = ItemSides()
        for table in ("clips", "utterances"):
            for row in self._read(table):
                assert not isinstance(row, PairRow)
                if not self._sides.add(table, row.id, self._content(row)):
                    raise _outdated(workspace, row.id)
                if isinstance(row, UtteranceRow) and row.source == "recorded":
                    self.voices[row.voice] += 1
                    if row.speaker is not UNSET and row.speaker.age_band == UNDER_AGE:
                        self.minors.add(row.voice)
        self._read_sides()
        self.counts: dict[TableName, dict[Split, int]] = {}
        self._count()

    def _content(self, row: ClipRow | UtteranceRow) -> str:
        """Returns the SHA-256 of an item's file; without media, of its row, since a rebuild pairs the present rows."""
        return row.sha256 if self.with_media else hashlib.sha256(msgspec.json.encode(row)).hexdigest()

    def withhold(self, voices: Collection[str]) -> None:
        """Excludes the recordings of these voices, their augmented copies, and the pairs of both."""
        self.withheld = {
            row.id
            for row in self._read("utterances")
            if isinstance(row, UtteranceRow) and row.source == "recorded" and row.voice in voices
        }
        self.voices = Counter({voice: number for voice, number in self.voices.items() if voice not in voices})
        self._count()

    def _count(self) -> None:
        for table in TABLES:
            if table != "pairs" and not self.withheld:
                self.counts[table] = self._sides.counts(table)
                continue
            found = Counter(one.split for one in self.read(table))
            self.counts[table] = {split: found[split] for split in SPLITS if found[split]}

    @property
    def total(self) -> int:
        """Number of rows of all tables."""
        return sum(sum(counts.values()) for counts in self.counts.values())

    def rows(self, table: TableName, split: Split | None = None) -> Iterator[ExportedRow]:
        """Yield the rows of a table, or those of one split, sorted by id."""
        for one in self.read(table):
            if split in (None, one.split):
                self._done += 1
                self._progress("export", min(self._done, self.total), self.total, one.table)
                yield one

    def media(self, exported: ExportedRow) -> Path:
        """Return the path of the file of a clip or an utterance.

        Raises:
            ManifestError: the file is missing, or (with ``checks_media``) its SHA-256 is not that of the row.
        """
        assert not isinstance(exported.row, PairRow)
        path = resolve(self.workspace.root, exported.row.path)
        if self._checks_media:
            _check_content(path, sha256_of(path), exported)
        return path

    def copy_media(self, exported: ExportedRow, output: OutputFolder, name: str = "") -> None:
        """Copy the file of a clip or an utterance to its `media_name`, or to ``name``, and check its SHA-256.

        Raises:
            ManifestError: the file is missing, or its SHA-256 is not that of the row.
        """
        assert not isinstance(exported.row, PairRow)
        output.copy(
            name or exported.media_name,
            self.media(exported),
            exported.row.sha256,
            partial(_check_content, exported=exported),
        )

    def read_media(self, exported: ExportedRow) -> bytes:
        """Return the content of the file of a clip or an utterance, after checking its SHA-256.

        Raises:
            ManifestError: the file is missing, or its SHA-256 is not that of the row.
        """
        path = self.media(exported)
        content = path.read_bytes()
        _check_content(path, hashlib.sha256(content).hexdigest(), exported)
        return content

    def _read(self, table: str) -> Iterator[ClipRow | UtteranceRow | PairRow]:
        kind: TableName = next(name for name in TABLES if name == table)
        yield from read_rows(self.workspace.manifests / f"{kind}.jsonl", _ROW_TYPES[kind])

    def read(self, table: TableName) -> Iterator[ExportedRow]:
        """Yield the rows of a table, sorted by id, without reporting progress."""
        if table == "pairs":
            yield from self._pairs()
            return
        for row in self._read(table):
            if table == "utterances" and row.id in self.withheld:
                continue
            found = self._sides.find(table, row.id)
            if found is None:
                raise _outdated(self.workspace, row.id)
            yield ExportedRow(table, row, self._labels.get(row.class_id), *found)

    def _pairs(self) -> Iterator[ExportedRow]:
        """Yield every pair. All three manifests of pairs are sorted by id, so they are merged in a single pass."""
        readers = {side: self._read_side(side) for side in SPLIT_SIDES}
        heads = {side: next(reader, None) for side, reader in readers.items()}
        for row in self._read("pairs"):
            split: Split = "neither"
            fold = None
            for side in SPLIT_SIDES:
                head = heads[side]
                if head is not None and head.id == row.id:
                    split, fold = side, head.fold
                    heads[side] = next(readers[side], None)
            if isinstance(row, PairRow) and row.utterance in self.withheld:
                continue
            yield ExportedRow("pairs", row, self._labels.get(row.class_id), split, fold)
        for head in heads.values():
            if head is not None:
                raise _outdated(self.workspace, head.id)

    def _read_side(self, side: Side) -> Iterator[SplitPairRow]:
        return read_rows(self.workspace.manifests / f"{side}.jsonl", SplitPairRow)

    def _read_sides(self) -> None:
        for side in SPLIT_SIDES:
            for pair in self._read_side(side):
                self._labels[pair.label.id] = pair.label
                for table, row in (("clips", pair.clip), ("utterances", pair.utterance)):
                    if not self._sides.note_pair(table, row.id, self._content(row), side, pair.fold):
                        raise _outdated(self.workspace, row.id)


def _check_content(path: Path, digest: str, exported: ExportedRow) -> None:
    """Compares the SHA-256 of a file with that of its row.

    Raises:
        ManifestError: they differ.
    """
    assert not isinstance(exported.row, PairRow)
    if digest != exported.row.sha256:
        raise ManifestError(
            f"The content has changed: its SHA-256 is {digest[:12]}…, that of the row is {exported.row.sha256[:12]}…",
            where=path,
            expected="the file that the manifest refers to",
            next_step="check for other changes with fmn-data verify, and rebuild the file with fmn-data build",
        )


def _outdated(workspace: Workspace, name: str) -> InputError:
    return InputError(
        f"The manifests are inconsistent: {name!r} differs between them, or is missing in some",
        where=workspace.manifests,
        expected="pairs of the current clips and utterances of the data set",
        next_step="run fmn-data pairs again",
    )
