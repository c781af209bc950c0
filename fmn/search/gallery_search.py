"""Gallery search: retrieval of clips by speech, and of speech by a clip.

The gallery is encoded once and the encoder of the queries is loaded once, for any number of queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from dataset_tools.core.cores import usable_cores
from dataset_tools.core.extras import install_command
from dataset_tools.core.files import sha256_of
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import ClipRow, UtteranceRow
from fmn.data.batches import ItemTensors
from fmn.data.footage import footage_of
from fmn.data.loading import feature_cache, find_device
from fmn.evaluation.evaluate import check_fit
from fmn.evaluation.run_notes import corpus_notes, notes_of_known, notes_of_run
from fmn.features.extract import Networks, extract_audio, extract_video
from fmn.features.media import FeatureSet, Media, joint_space, reasons
from fmn.models.memory import Modality
from fmn.models.retrieval_model import Embeddings, encode_all_clips, encode_all_utterances, score_matrix
from fmn.search.gallery_index import CANDIDATES, GalleryIndex, indexable, is_installed
from fmn.search.query_preparation import check_query, own_features, prepared_query, unusable_query
from fmn.search.search_results import (
    GallerySource,
    QueryKind,
    SearchResult,
    best_of,
    files_of,
    hit_of,
    index_folder,
    left_rows,
    sentences_of_clips,
)
from fmn.torch_threads import threads
from fmn.training.checkpoint import CHECKPOINT_FILE, CONFIG_FILE, LoadedRun, load_run
from fmn.training.learned_classes import NEW_CLASSES_FILE

ROWS_AT_ONCE = 1024
"""Number of gallery items whose features are in memory during encoding."""
SCORED_AT_ONCE = 65_536
"""Number of index items whose embeddings are in memory during scoring."""
QUERY_AND_GALLERY: dict[QueryKind, tuple[Modality, Modality]] = {
    "speech": ("audio", "video"),
    "clip": ("video", "audio"),
}
"""Modalities of a query and of its gallery, by kind of query."""
INDEXED_FROM = 200_000
"""Minimum size of a gallery with an index on disk; exhaustive scoring of fewer items takes less than 0.1 s."""


def search(
    run: Path | str,
    query: Path | str,
    kind: QueryKind,
    source: GallerySource,
    *,
    top: int = 10,
    voices: str = "espeak",
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> SearchResult:
    """Ranks the items of a gallery by how well they match a file or a text.

    Args:
        run: folder of a trained run.
        query: an audio file (to find clips) or a video file (to find utterances), in any format that FFmpeg reads; or,
            to find clips, a text, which is synthesized. A recording that is not of the data set is post-processed like
            its utterances. If the run reads the user's own features, the file has to have one, and a text has none.
        kind: kind of the query, ``speech`` or ``clip``.
        source: the gallery.
        top: number of results.
        voices: the speech engine that synthesizes a text.
        device: ``auto``, or a torch device.
        jobs: workers for features; None: one per core.
        progress: progress callback.

    Raises:
        InputError: there is no such run, manifest, query or kind, or the query cannot be read or synthesized.
    """
    run = Path(run)
    check_query(query, kind, top)
    chosen = find_device(device)
    loaded = load_run(run, chosen)
    rows = source.rows(kind)
    with TemporaryDirectory() as folder:
        searched, doubts = prepared_query(query, kind, loaded.config, source, Path(folder), voices=voices)
        gallery = Gallery(loaded, rows, kind, source, device=chosen, jobs=jobs, progress=progress)
        result = gallery.search(searched, top=top, cache=Path(folder) / "features")
        known = gallery.notes_of_known if source.everything else ()
    return replace(result, query=str(query), notes=(*doubts, *result.notes, *known))


class Gallery:
    """Clips or utterances to be searched.

    Attributes:
        kind: kind of the queries.
        rows: the N items that have features.
        features: of the rows.
        failures: errors of the other items, by id.
        index: their index; None if every row is scored.
    """

    def __init__(
        self,
        loaded: LoadedRun,
        rows: Sequence[ClipRow | UtteranceRow],
        kind: QueryKind,
        source: GallerySource,
        *,
        device: torch.device,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> None:
        """Extracts features that are not in the workspace's cache, and encodes the rows that are not in an index.

        A gallery of `INDEXED_FROM` rows or more stores its embeddings in ``cache/index`` of the workspace
        (`fmn.search.gallery_index`), if the run's score can be searched by inner products and FAISS is installed.

        Args:
            loaded: the run.
            rows: clips for speech queries, utterances for clip queries.
            kind: kind of the queries.
            source: of the rows; its listing names their index.
            device: on which the run was loaded.
            jobs: workers for features; None: one per core.
            progress: progress callback.

        Raises:
            InputError: none of the rows has features, or their size differs from that in training.
        """
        self._loaded, self.kind = loaded, kind
        self._query_side, self._gallery_side = QUERY_AND_GALLERY[kind]
        self._manifest, self._workspace = source.listing(kind), source.workspace
        self._device = device
        self._jobs, self._progress = jobs or usable_cores(), progress
        media, self.failures = files_of(rows, self._workspace)
        self.features = self._extract(media, self._gallery_side)
        self.rows = left_rows(rows, media, self.features, self.failures, self._manifest)
        self._sentences = sentences_of_clips(self._manifest) if kind == "speech" else {}
        self._networks: Networks = {}  # of the queries; those of the rows are not needed anymore
        self.index: GalleryIndex | None = None
        self._embeddings: Embeddings = {}
        if len(self.rows) >= INDEXED_FROM and indexable(loaded.model) and is_installed():
            self.index = self._opened_index()
        else:
            self._embeddings = self._encoded_rows(range(len(self.rows)))

    def search(self, query: Path, *, top: int = 10, cache: Path | None = None) -> SearchResult:
        """Ranks the rows by how well they match a file; ``cache``: as in `encode`.

        Raises:
            InputError: the query cannot be read.
        """
        embeddings, features = self.encode(query, cache=cache)
        places, scores = self.best(embeddings, top)
        hits = tuple(
            hit_of(self.rows[place], rank, float(score), self._sentences)
            for rank, (place, score) in enumerate(zip(places, scores, strict=True), start=1)
        )
        return SearchResult(
            str(query),
            self.kind,
            hits,
            len(self.rows),
            self.notes(features, top),
            run=str(self._loaded.path),
            manifest=str(self._manifest),
            failures=reasons(self.failures),
        )

    def encode(self, query: Path, *, cache: Path | None = None) -> tuple[Embeddings, FeatureSet]:
        """Encodes a file; returns its embeddings, as those of one item, and its features.

        Args:
            query: an audio or video file, depending on `kind`.
            cache: folder for its features if the workspace's cache does not have them, which then keeps no data of an
                external query, and may be read-only; None: the workspace's cache.

        Raises:
            InputError: the query cannot be read.
        """
        media = Media(sha256_of(query), query, query.name)
        if cache is not None and not own_features(self._loaded.config, self.kind):  # which need no cache
            found = self._extract([media], self._query_side, networks=self._networks, dry_run=True)
            cache = cache if found.fresh else None
        features = self._extract([media], self._query_side, networks=self._networks, cache=cache)
        if error := features.failure_of(media):
            raise unusable_query(error, query, self.kind, self._loaded.config)
        space = joint_space(self.features, features)
        return self._encoded([features.values[media.sha256]], self._query_side, space), features

    def best(self, query: Embeddings, top: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Returns the places in `rows` of the ``top`` best rows for a query (its embeddings), and their scores.

        Sorted by descending score. With an index, only its candidates are scored, unless ``top`` exceeds a fifteenth of
        their number.
        """
        if self.index is None or not self._is_indexed(top):
            scores = self.scores(query)[:, 0]
            best = best_of(scores, top)
            return best, scores[best]
        with threads(self._loaded.config.training.threads):
            places = self.index.candidates(query)
        scores = self.scores(query, places)[:, 0]
        best = best_of(scores, top)
        return places[best], scores[best]

    def embeddings_of(self, places: NDArray[np.intp]) -> Embeddings:
        """Returns the embeddings of the rows at some places."""
        if self.index is not None:
            return {name: part.to(self._device) for name, part in self.index.embeddings_of(places).items()}
        return {name: part[torch.as_tensor(places, device=part.device)] for name, part in self._embeddings.items()}

    def scores(self, queries: Embeddings, places: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """[N, Q]: scores of the rows, or of those at some places, with each of Q queries, given by their embeddings."""
        if places is None and self.index is None:
            return self._scores(queries, self._embeddings)
        places = np.arange(len(self.rows)) if places is None else places
        starts = range(0, len(places), SCORED_AT_ONCE)
        parts = (self._scores(queries, self.embeddings_of(places[start : start + SCORED_AT_ONCE])) for start in starts)
        return np.concatenate(list(parts))

    def _scores(self, queries: Embeddings, rows: Embeddings) -> NDArray[np.float32]:
        clips, utterances = (queries, rows) if self.kind == "clip" else (rows, queries)
        with threads(self._loaded.config.training.threads):
            scores: NDArray[np.float32] = score_matrix(self._loaded.model, clips, utterances).numpy()
        return scores.T if self.kind == "clip" else scores

    def _extract(
        self,
        media: list[Media],
        modality: Modality,
        *,
        networks: Networks | None = None,
        cache: Path | None = None,
        dry_run: bool = False,
    ) -> FeatureSet:
        config, extract = self._loaded.config, extract_video if modality == "video" else extract_audio
        return extract(
            media,
            config.video if modality == "video" else config.audio,  # type: ignore[arg-type]
            cache=cache or feature_cache(self._workspace),
            device=str(self._device),
            jobs=self._jobs,
            progress=self._progress if networks is None else silent,
            networks=networks,
            dry_run=dry_run,
        )

    def _encoded_rows(self, places: Sequence[int]) -> Embeddings:
        """Encodes the rows at some places, with the features of at most `ROWS_AT_ONCE` of them in memory."""
        parts = []
        for start in range(0, len(places), ROWS_AT_ONCE):
            features = [self.features.values[self.rows[place].sha256] for place in places[start : start + ROWS_AT_ONCE]]
            parts.append(self._encoded(features, self._gallery_side, self.features.space))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _opened_index(self) -> GalleryIndex:
        """Opens the index of the rows and updates it."""
        run = self._loaded.path
        names = (CHECKPOINT_FILE, CONFIG_FILE, NEW_CLASSES_FILE)  # embeddings depend on the temperature, for instance
        files = [path for name in names if (path := run / name).is_file()]
        made_from = " ".join([self.features.source, *map(sha256_of, files)])
        self._loaded.require_unchanged()
        return GalleryIndex.open(
            index_folder(self._workspace, run, self.kind, self._manifest),
            self._loaded.model,
            self._gallery_side,
            made_from,
            [(row.id, row.sha256) for row in self.rows],
            self._encoded_rows,
            self._progress,
        )

    def _encoded(self, features: list[NDArray[np.float32]], modality: Modality, space: str) -> Embeddings:
        """Encodes clips [Dv] or utterances [T, F] with the run's model; ``space`` is the features' joint space.

        Raises:
            InputError: the size of the features differs from that in training, or the system cannot use them.
        """
        about, count = self._loaded.about, len(features)
        # The other modality is a single dummy item of zeros.
        clips = features if modality == "video" else [np.zeros(about.video_dim, np.float32)]
        utterances = features if modality == "audio" else [np.zeros((1, about.audio_dim), np.float32)]
        unknown = np.zeros(count, dtype=np.int64)
        classes = unknown[: len(clips)], unknown[: len(utterances)]
        data = ItemTensors(clips, utterances, *classes, self._device, space=space)
        check_fit(self._loaded, data)
        encode = encode_all_clips if modality == "video" else encode_all_utterances
        with threads(self._loaded.config.training.threads):
            embeddings = encode(self._loaded.model, data, np.arange(count))
            return self._loaded.model.for_search(modality, embeddings)

    def notes(self, query: FeatureSet, top: int) -> tuple[str, ...]:
        """Returns the caveats of the best ``top`` results with the features of a query."""
        both = (self.features, query) if self.kind == "speech" else (query, self.features)
        notes = (
            *corpus_notes(footage_of(self._manifest, self._workspace).standin),
            *(note for note in (*(feature.note for feature in both), self._index_note(top)) if note),
            *notes_of_run(self._loaded, (both[0].source, both[1].source), (both[0].own, both[1].own)),
        )
        return tuple(dict.fromkeys(notes))

    @cached_property
    def notes_of_known(self) -> tuple[str, ...]:
        """The caveat of rows that the run knows, apart from `notes`, since it reads the whole training manifest."""
        clips = [row for row in self.rows if isinstance(row, ClipRow)]
        utterances = [row for row in self.rows if isinstance(row, UtteranceRow)]
        return notes_of_known(self._loaded, clips, utterances)

    def _is_indexed(self, top: int) -> bool:
        return self.index is not None and 0 < top <= CANDIDATES // 15

    def _index_note(self, top: int) -> str:
        if self._is_indexed(top):
            return "Searched with an index: some of the best 25 may be missing (none in the benchmark)."
        if self.index is None and len(self.rows) >= INDEXED_FROM and indexable(self._loaded.model):
            return f"All items were scored; an index is much faster for this many: {install_command('index')}"
        return ""
