"""Gallery search: speech finds clips, a clip finds speech.

The gallery is encoded once and the encoder of the queries is loaded once, for any number of queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import ClipRow, UtteranceRow, read_rows, resolve, workspace_of
from fmn.data.batches import ItemTensors
from fmn.data.items import ItemIds, load_items, standin_of
from fmn.data.loading import default_jobs, feature_cache, find_device
from fmn.evaluation.evaluate import check_fit, notes_of
from fmn.features.extract import Networks, extract_audio, extract_video
from fmn.features.media import FeatureSet, Media, joint_space
from fmn.models.retrieval_model import Embeddings, encode_all_clips, encode_all_utterances, score_matrix
from fmn.torch_threads import threads
from fmn.training.checkpoint import LoadedRun, load_run

QueryKind = Literal["speech", "clip"]
ROWS_AT_ONCE = 1024
"""Items of a gallery whose features are in memory while it is encoded."""


@dataclass(frozen=True)
class Hit:
    """One item that was found.

    Attributes:
        rank: from 1. score: the higher, the better; comparable within one search only.
        id: of the clip or the utterance. class_id: its class. path: its file, relative to the workspace.
        person: who is seen in a clip, or the voice that speaks an utterance.
        text: what an utterance says; of a clip, what the utterance says that describes it, or None.
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
    """What `search` found.

    Attributes:
        query: the file, or the text. kind: what was asked with, or ``words``.
        hits: the best, in order. gallery: how many items were ranked. notes: caveats of the result.
    """

    query: str
    kind: QueryKind | Literal["words"]
    hits: tuple[Hit, ...]
    gallery: int
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def search(
    run: Path,
    query: Path,
    kind: QueryKind,
    manifest: Path,
    *,
    top: int = 10,
    everything: bool = False,
    root: Path | None = None,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Ranks the items of a manifest by how well they match a file.

    Args:
        run: folder of a trained run.
        query: a sound file (finds clips) or a video file (finds utterances), in any format that FFmpeg reads.
        kind: ``speech`` or ``clip``: what the query is.
        manifest: whose distinct clips or utterances are the gallery.
        top: how many to give.
        everything: the gallery is what clips.jsonl or utterances.jsonl beside the manifest have, whichever split it is
            in.
        root: the workspace, when it is not the parent of the manifest's folder.
        device: ``auto``, or as torch names it.
        jobs: workers for features; None: one per core.
        progress: told how far it is.

    Raises:
        InputError: there is no such run, manifest or query, or the query cannot be read.
    """
    if not query.is_file():
        raise InputError("There is no such file", where=query, expected=f"a file with {kind}")
    chosen = find_device(device)
    loaded = load_run(run, chosen)
    rows = gallery_rows(manifest, kind, everything=everything, root=root)
    gallery = Gallery(loaded, rows, kind, manifest, device=chosen, root=root, jobs=jobs, progress=progress)
    return gallery.search(query, top=top)


def gallery_rows(
    manifest: Path, kind: QueryKind, *, everything: bool = False, root: Path | None = None
) -> Sequence[ClipRow | UtteranceRow]:
    """The distinct clips (for speech) or utterances (for a clip) of a manifest, or of the whole data set beside it.

    Raises:
        InputError: there is no such manifest.
        ManifestError: a row is wrong.
    """
    if not everything:
        items = load_items(manifest, root)
        return items.clips if kind == "speech" else items.utterances
    if kind == "speech":
        return sorted(read_rows(manifest.parent / "clips.jsonl", ClipRow), key=lambda row: row.id)
    return sorted(read_rows(manifest.parent / "utterances.jsonl", UtteranceRow), key=lambda row: row.id)


class Gallery:
    """Clips or utterances that are searched.

    Attributes:
        kind: what the queries are.
        rows: those that have features, N of them.
        features: of the rows. codes: what the run's model keeps of each row.
    """

    def __init__(
        self,
        loaded: LoadedRun,
        rows: Sequence[ClipRow | UtteranceRow],
        kind: QueryKind,
        manifest: Path,
        *,
        device: torch.device,
        root: Path | None = None,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> None:
        """Extracts the features of the rows, as far as the workspace's cache lacks them, and encodes them.

        Args:
            loaded: the run.
            rows: clips where the queries are speech, utterances where they are clips.
            kind: what the queries are.
            manifest: where the rows are from.
            device: that the run was loaded on.
            root: the workspace, when it is not the parent of the manifest's folder.
            jobs: workers for features; None: one per core.
            progress: told how far it is.

        Raises:
            InputError: none of the rows has features, or features of another size than the run was trained with.
        """
        self._loaded, self.kind, self._manifest = loaded, kind, manifest
        self._workspace = workspace_of(manifest, root)
        self._device = device
        self._jobs, self._progress = jobs or default_jobs(), progress
        media = [Media(row.sha256, resolve(self._workspace, row.path), row.id) for row in rows]
        self.features = self._extract(media, is_clip=kind == "speech")
        self.rows = [row for row in rows if row.sha256 in self.features.values]
        if not self.rows:
            raise InputError("Nothing can be searched: no item of the manifest has features", where=manifest)
        self._sentences = sentences_of_clips(manifest) if kind == "speech" else {}
        self._networks: Networks = {}  # of the queries; what the rows were extracted by is not needed any more
        self.codes = self._encoded_rows()

    def search(self, query: Path, *, top: int = 10) -> SearchResult:
        """Ranks the rows by how well they match a file.

        Raises:
            InputError: the query cannot be read.
        """
        asked, features = self.encode(query)
        scores = self.scores(asked)[:, 0]
        hits = tuple(
            hit_of(self.rows[index], rank, float(scores[index]), self._sentences)
            for rank, index in enumerate(best_of(scores, top).tolist(), start=1)
        )
        return SearchResult(str(query), self.kind, hits, len(self.rows), self.notes(features))

    def encode(self, query: Path, *, cache: Path | None = None) -> tuple[Embeddings, FeatureSet]:
        """The codes of a file, as of one item, and its features.

        Args:
            query: a sound or a clip, as `kind` says.
            cache: folder for its features; None: the workspace's.

        Raises:
            InputError: the query cannot be read.
        """
        asked, is_clip = Media(sha256_of(query), query, query.name), self.kind == "clip"
        found = self._extract([asked], is_clip=is_clip, networks=self._networks, cache=cache)
        if error := found.failures.get(asked.sha256):
            raise InputError(error.found, where=query, expected=f"a file with {self.kind}", next_step=error.next_step)
        space = joint_space(self.features, found)
        return self._encoded([found.values[asked.sha256]], is_clip=is_clip, space=space), found

    def scores(self, asked: Embeddings) -> NDArray[np.float32]:
        """[N, Q]: every row with each of Q queries, given by their codes."""
        clips, utterances = (asked, self.codes) if self.kind == "clip" else (self.codes, asked)
        with threads(self._loaded.config.training.threads):
            scores: NDArray[np.float32] = score_matrix(self._loaded.model, clips, utterances).numpy()
        return scores.T if self.kind == "clip" else scores

    def _extract(
        self, media: list[Media], *, is_clip: bool, networks: Networks | None = None, cache: Path | None = None
    ) -> FeatureSet:
        config, extract = self._loaded.config, extract_video if is_clip else extract_audio
        return extract(
            media,
            config.video if is_clip else config.audio,  # type: ignore[arg-type]
            cache=cache or feature_cache(self._workspace),
            device=str(self._device),
            jobs=self._jobs,
            progress=self._progress,
            networks=networks,
        )

    def _encoded_rows(self) -> Embeddings:
        """The rows' codes; so many features are in memory at once as `ROWS_AT_ONCE` says."""
        parts = []
        for start in range(0, len(self.rows), ROWS_AT_ONCE):
            features = [self.features.values[row.sha256] for row in self.rows[start : start + ROWS_AT_ONCE]]
            parts.append(self._encoded(features, is_clip=self.kind == "speech", space=self.features.space))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _encoded(self, features: list[NDArray[np.float32]], *, is_clip: bool, space: str) -> Embeddings:
        """Codes of clips [Dv] or of utterances [T, F] by the run's model; ``space`` is the joint one of the features.

        Raises:
            InputError: the features have another size than the run was trained with, or are not what its system needs.
        """
        about, count = self._loaded.about, len(features)
        # Of the other side there is one item of zeros, which nothing is asked about.
        clips = features if is_clip else [np.zeros(about.video_dim, np.float32)]
        utterances = [np.zeros((1, about.audio_dim), np.float32)] if is_clip else features
        unknown = np.zeros(count, dtype=np.int64)
        classes = unknown[: len(clips)], unknown[: len(utterances)]
        data = ItemTensors(clips, utterances, *classes, self._device, space=space)
        check_fit(self._loaded, data)
        encode = encode_all_clips if is_clip else encode_all_utterances
        with threads(self._loaded.config.training.threads):
            codes = encode(self._loaded.model, data, np.arange(count))
            return self._loaded.model.for_search("video" if is_clip else "audio", codes)

    def notes(self, query: FeatureSet) -> tuple[str, ...]:
        """Caveats of results with the features of a query."""
        both = (self.features, query) if self.kind == "speech" else (query, self.features)
        ids = {row.id for row in self.rows}
        return notes_of(
            self._loaded,
            standin_of(self._manifest),
            ItemIds(ids, set()) if self.kind == "speech" else ItemIds(set(), ids),
            (both[0].source, both[1].source),
            tuple(feature.note for feature in both if feature.note),
        )


def best_of(scores: NDArray[np.float32], top: int) -> NDArray[np.intp]:
    """Indices of the ``top`` highest of N scores, the highest first; of equal ones the first."""
    candidates: NDArray[np.intp] = np.arange(len(scores))
    if 0 < top < len(scores):
        least = np.partition(scores, len(scores) - top)[len(scores) - top]
        candidates = np.flatnonzero(~(scores < least))
    return candidates[np.argsort(-scores[candidates], kind="stable")][:top]


def hit_of(row: ClipRow | UtteranceRow, rank: int, score: float, sentences: Mapping[str, str]) -> Hit:
    """A row as a hit; ``sentences`` are those of clips, by id."""
    if isinstance(row, ClipRow):
        return Hit(rank, score, row.id, row.class_id, row.path, row.person, sentences.get(row.id))
    return Hit(rank, score, row.id, row.class_id, row.path, row.voice, row.text)


def sentences_of_clips(manifest: Path) -> dict[str, str]:
    """What is said of each clip, by its id, from utterances.jsonl beside a manifest, if there is such a file."""
    utterances = manifest.parent / "utterances.jsonl"
    rows = read_rows(utterances, UtteranceRow) if utterances.is_file() else ()
    return {row.clip: row.text for row in rows if row.clip is not None}
