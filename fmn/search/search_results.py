"""Search results: hits, their order, and the rows of the gallery."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError, ManifestError, ToolkitError
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows, resolve, workspace_of
from fmn.data.items import load_items
from fmn.features.media import FeatureSet, Media

QueryKind = Literal["speech", "clip"]
QUERY_KINDS: Final[tuple[QueryKind, ...]] = get_args(QueryKind)


@dataclass(frozen=True)
class Hit:
    """A search hit.

    Attributes:
        rank: from 1. score: higher is better; comparable within one search only.
        id: of the clip or the utterance. class_id: its class. path: its file, relative to the workspace.
        person: the person in a clip, or the voice of an utterance.
        text: transcript of an utterance; for a clip, that of the utterance that describes it, or None.
    """

    rank: int
    score: float
    id: str
    class_id: str
    path: str
    person: str
    text: str | None


@dataclass(frozen=True)
class SearchResult:
    """Result of `search`.

    Attributes:
        query: the file, or the text. kind: kind of the query, or ``words``.
        hits: the best items, in order. gallery: number of items ranked. notes: caveats of the result.
        run: folder of the run; None if it was not used. manifest: the file whose items were ranked.
        failures: items without features by id, with the reason; they were left out.
    """

    query: str
    kind: QueryKind | Literal["words"]
    hits: tuple[Hit, ...]
    gallery: int
    notes: tuple[str, ...]
    run: str | None
    manifest: str
    failures: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, init=False)
class GallerySource:
    """What is searched: clips by speech, utterances by a clip.

    Attributes:
        manifest: its distinct clips or utterances are the gallery.
        everything: the gallery is all of clips.jsonl or utterances.jsonl next to the manifest, regardless of the split.
        root: the workspace, if it is not the parent of the manifest's folder.
    """

    manifest: Path
    everything: bool
    root: Path | None

    def __init__(self, manifest: Path | str, everything: bool = False, root: Path | str | None = None) -> None:
        object.__setattr__(self, "manifest", Path(manifest))
        object.__setattr__(self, "everything", everything)
        object.__setattr__(self, "root", None if root is None else Path(root))

    @property
    def workspace(self) -> Path:
        return workspace_of(self.manifest, self.root)

    def listing(self, kind: QueryKind) -> Path:
        """Returns the file that lists the gallery."""
        name = "clips.jsonl" if kind == "speech" else "utterances.jsonl"
        return self.manifest.with_name(name) if self.everything else self.manifest

    def rows(self, kind: QueryKind) -> Sequence[ClipRow | UtteranceRow]:
        """Returns the gallery.

        Raises:
            InputError: there is no such manifest.
            ManifestError: a row is invalid.
        """
        if not self.everything:
            items = load_items(self.manifest, self.root)
            return items.clips if kind == "speech" else items.utterances
        row_type = ClipRow if kind == "speech" else UtteranceRow
        rows: Iterable[ClipRow | UtteranceRow] = read_rows(self.listing(kind), row_type)
        return sorted(rows, key=lambda row: row.id)


def files_of(rows: Sequence[ClipRow | UtteranceRow], workspace: Path) -> tuple[list[Media], dict[str, ToolkitError]]:
    """Returns the files of rows, and by id the errors of rows without a file."""
    media, failures = [], dict[str, ToolkitError]()
    for row in rows:
        try:
            media.append(Media(row.sha256, resolve(workspace, row.path), row.id))
        except ManifestError as error:
            failures[row.id] = error
    return media, failures


def left_rows(
    rows: Sequence[ClipRow | UtteranceRow],
    media: Sequence[Media],
    features: FeatureSet,
    failures: dict[str, ToolkitError],
    manifest: Path,
) -> list[ClipRow | UtteranceRow]:
    """Returns the rows that have features, and adds the errors of the others to ``failures``, by id.

    Args:
        rows: of the manifest.
        media: their files.
        features: of these.
        failures: errors of the rows without a file.
        manifest: the file that lists the rows.

    Raises:
        InputError: no row has features.
    """
    failures |= features.failures_of(media)
    left = [row for row in rows if row.id not in failures]
    if not left:
        first = next(iter(failures.items()), None)
        raise InputError(
            "Nothing can be searched: no item of the manifest has features"
            + (f"; the first, {first[0]}: {first[1].found}" if first else ""),
            where=manifest,
            expected="items whose files are intact, and have features if these are read from files",
            next_step="correct what the reason names; fmn-data verify names files that are missing or changed",
        )
    return left


def index_folder(workspace: Path, run: Path, kind: QueryKind, manifest: Path) -> Path:
    """Returns the folder of the index of a gallery."""
    return workspace / "cache" / "index" / f"{run.resolve().name}-{kind}-{manifest.stem}"


def best_of(scores: NDArray[np.float32], top: int) -> NDArray[np.intp]:
    """Returns the indices of the ``top`` highest of N scores in descending order; ties are kept in index order."""
    candidates: NDArray[np.intp] = np.arange(len(scores))
    if 0 < top < len(scores):
        least = np.partition(scores, len(scores) - top)[len(scores) - top]
        candidates = np.flatnonzero(~(scores < least))
    return candidates[np.argsort(-scores[candidates], kind="stable")][:top]


def check_top(top: int) -> None:
    """Checks a number of results.

    Raises:
        InputError: it is below 1.
    """
    if top < 1:
        raise InputError(f"The number of results is {top}", where="top", expected="at least 1")


def hit_of(row: ClipRow | UtteranceRow, rank: int, score: float, sentences: Mapping[str, str]) -> Hit:
    """Returns a row as a hit; ``sentences`` are those of clips, by id."""
    if isinstance(row, ClipRow):
        return Hit(rank, score, row.id, row.class_id, row.path, row.person, sentences.get(row.id))
    return Hit(rank, score, row.id, row.class_id, row.path, row.voice, row.text)


def sentences_of_clips(manifest: Path) -> dict[str, str]:
    """Returns the sentences of clips by clip id, from utterances.jsonl next to a manifest, if there is such a file."""
    utterances = manifest.parent / "utterances.jsonl"
    rows = read_rows(utterances, UtteranceRow, missing_ok=True)
    return {row.clip: row.text for row in rows if row.clip is not None}
