"""Searching a gallery: speech finds clips, a clip finds speech."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dataset_tools.core.errors import InputError
from dataset_tools.core.files import sha256_of
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import ClipRow, UtteranceRow
from fmn.data.batches import ItemTensors
from fmn.data.items import load_items
from fmn.data.loading import default_jobs, feature_cache, find_device
from fmn.evaluation.evaluate import check_fit, notes_of
from fmn.features.extract import extract_audio, extract_video
from fmn.features.media import Media
from fmn.models.retrieval_model import encode_all_clips, encode_all_utterances, score_matrix
from fmn.torch_threads import threads
from fmn.training.checkpoint import load_run

QueryKind = Literal["speech", "clip"]


@dataclass(frozen=True)
class Hit:
    """One item that was found.

    Attributes:
        rank: from 1. score: the higher, the better; comparable within one search only.
        id: of the clip or the utterance. class_id: its class. path: its file, relative to the workspace.
        text: what an utterance says; null for a clip.
    """

    rank: int
    score: float
    id: str
    class_id: str
    path: str
    text: str | None


@dataclass(frozen=True)
class SearchResult:
    """What `search` found: the query's file and kind, the best hits, the size of the gallery, notes."""

    query: Path
    kind: QueryKind
    hits: tuple[Hit, ...]
    gallery: int
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"query": str(self.query)}


def search(
    run: Path,
    query: Path,
    kind: QueryKind,
    manifest: Path,
    *,
    top: int = 10,
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
        root: the workspace, when it is not the parent of the manifest's folder.
        device: ``auto``, or as torch names it.
        jobs: workers for features; null: one a core.
        progress: told how far it is.

    Raises:
        InputError: there is no such run, manifest or query, or the query cannot be read.
    """
    if not query.is_file():
        raise InputError("There is no such file", where=query, expected=f"a file with {kind}")
    chosen = find_device(device)
    loaded = load_run(run, chosen)
    config = loaded.config
    items = load_items(manifest, root)
    asked = Media(sha256_of(query), query, query.name)
    cache = feature_cache(items)
    workers = jobs or default_jobs()
    speech = kind == "speech"
    video = extract_video(
        items.clip_media() if speech else [asked],
        config.video,
        cache=cache,
        device=str(chosen),
        jobs=workers,
        progress=progress,
    )
    audio = extract_audio(
        [asked] if speech else items.utterance_media(), config.audio, cache=cache, jobs=workers, progress=progress
    )
    of_query, of_gallery = (audio, video) if speech else (video, audio)
    if error := of_query.failures.get(asked.sha256):
        raise InputError(error.found, where=query, expected=f"a file with {kind}", next_step=error.next_step)
    rows: list[ClipRow | UtteranceRow] = [
        row for row in (items.clips if speech else items.utterances) if row.sha256 in of_gallery.values
    ]
    if not rows:
        raise InputError("Nothing can be searched: no item of the manifest has features", where=manifest)
    query_feature, gallery_features = [of_query.values[asked.sha256]], [of_gallery.values[row.sha256] for row in rows]
    videos, audios = (gallery_features, query_feature) if speech else (query_feature, gallery_features)
    classes_unknown = np.zeros(len(rows), dtype=np.int64)
    data = ItemTensors(videos, audios, classes_unknown[: len(videos)], classes_unknown[: len(audios)], chosen)
    check_fit(loaded, data)
    with threads(config.training.threads):
        scores = score_matrix(
            loaded.model,
            encode_all_clips(loaded.model, data, np.arange(len(videos))),
            encode_all_utterances(loaded.model, data, np.arange(len(audios))),
        ).flatten()
    order = torch.argsort(scores, descending=True, stable=True)[:top].tolist()
    hits = tuple(
        Hit(
            rank=rank,
            score=float(scores[index]),
            id=rows[index].id,
            class_id=rows[index].class_id,
            path=rows[index].path,
            text=getattr(rows[index], "text", None),
        )
        for rank, index in enumerate(order, start=1)
    )
    feature_notes = tuple(note for note in (video.note, audio.note) if note)
    return SearchResult(
        query, kind, hits, len(rows), notes_of(loaded, items, (video.source, audio.source), feature_notes)
    )
