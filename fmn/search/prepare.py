"""Preparation of searches: features and indexes of the galleries, so that the first search need not make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dataset_tools.core.progress import Progress, silent
from fmn.data.loading import find_device
from fmn.models.retrieval_model import RetrievalModel
from fmn.search.gallery_index import import_faiss, indexable
from fmn.search.gallery_search import INDEXED_FROM, Gallery
from fmn.search.search_results import QUERY_KINDS, GallerySource, QueryKind
from fmn.training.checkpoint import load_run


@dataclass(frozen=True)
class PreparedGallery:
    """A gallery whose features are in the workspace's cache.

    Attributes:
        kind: kind of its queries. items: number of items that have features.
        index: folder of its index; None if searches score every item. why: the reason for that.
        manifest: the file that lists its items.
        failures: items without features by id, with the reason; they were left out.
    """

    kind: QueryKind
    items: int
    index: str | None
    why: str
    manifest: str
    failures: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def prepare_galleries(
    run: Path,
    source: GallerySource,
    *,
    kinds: Sequence[QueryKind] = QUERY_KINDS,
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[PreparedGallery]:
    """Extracts the features that are not in the cache, and builds or updates the indexes of large galleries.

    An interrupted call resumes.

    Args:
        run: folder of a trained run.
        source: the galleries.
        kinds: kinds of the queries to prepare for.
        device: ``auto``, or a torch device.
        jobs: workers for features; None: one per core.
        progress: progress callback.

    Raises:
        InputError: there is no such run or manifest, no item has features, or a gallery needs FAISS, which is not
            installed.
        StoppedError: another command is changing an index, or the disk is full.
    """
    chosen = find_device(device)
    loaded = load_run(run, chosen)
    galleries = {kind: source.rows(kind) for kind in kinds}
    if indexable(loaded.model) and max(map(len, galleries.values())) >= INDEXED_FROM:
        import_faiss()  # a missing package should not be found out after hours of extraction
    prepared = []
    for kind, rows in galleries.items():
        gallery = Gallery(loaded, rows, kind, source, device=chosen, jobs=jobs, progress=progress)
        prepared.append(
            PreparedGallery(
                kind,
                len(gallery.rows),
                None if gallery.index is None else str(gallery.index.folder),
                "" if gallery.index is not None else _why_none(loaded.model),
                str(source.listing(kind)),
                {name: error.found for name, error in gallery.failures.items()},
            )
        )
    return prepared


def _why_none(model: RetrievalModel) -> str:
    if indexable(model):
        return f"fewer than {INDEXED_FROM:,} items need no index"
    return "the score of this system cannot be indexed"
