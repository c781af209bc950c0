"""Preparation of searches: features and indexes of the galleries, so that the first search need not make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dataset_tools.core.cores import usable_cores
from dataset_tools.core.progress import Progress, silent
from dataset_tools.manifests import ClipRow, UtteranceRow
from fmn.data.dry_run import DryRun
from fmn.data.loading import feature_cache, usable_device
from fmn.evaluation.evaluate import check_sizes
from fmn.features.extract import extract_audio, extract_video
from fmn.features.media import reasons
from fmn.models.retrieval_model import RetrievalModel
from fmn.search.gallery_index import import_faiss, indexable, is_installed
from fmn.search.gallery_search import INDEXED_FROM, Gallery
from fmn.search.query_preparation import check_query, prepared_query
from fmn.search.search_results import (
    QUERY_KINDS,
    GallerySource,
    QueryKind,
    files_of,
    index_folder,
    left_rows,
)
from fmn.training.checkpoint import LoadedRun, load_run


@dataclass(frozen=True)
class PreparedGallery:
    """A gallery whose features are in the workspace's cache.

    Attributes:
        kind: kind of its queries. items: number of items that have features.
        index: folder of its index; None if searches score every item. why: the reason for that.
        manifest: the file that lists its items.
        failures: items without features by id, with the reason; they were left out.
        to_extract: after a dry run, number of features that would be extracted (`fmn.data.dry_run.DryRun`).
    """

    kind: QueryKind
    items: int
    index: str | None
    why: str
    manifest: str
    failures: dict[str, str]
    to_extract: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def prepare_galleries(
    run: Path | str,
    source: GallerySource,
    *,
    kinds: Sequence[QueryKind] = QUERY_KINDS,
    device: str = "auto",
    jobs: int | None = None,
    dry_run: bool = False,
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
        dry_run: only check, and return what would be prepared; write nothing.
        progress: progress callback.

    Raises:
        InputError: there is no such run or manifest, no item has features, or a gallery needs FAISS, which is not
            installed.
        StoppedError: another command is changing an index, or the disk is full.
    """
    chosen = usable_device(device, dry_run=dry_run)
    loaded = load_run(Path(run), chosen)
    galleries = {kind: source.rows(kind) for kind in kinds}
    if indexable(loaded.model) and max(map(len, galleries.values())) >= INDEXED_FROM:
        import_faiss()  # a missing package should not be found out after hours of extraction
    prepared = []
    for kind, rows in galleries.items():
        if dry_run:
            prepared.append(_planned(loaded, kind, rows, source, jobs, progress))
            continue
        gallery = Gallery(loaded, rows, kind, source, device=chosen, jobs=jobs, progress=progress)
        prepared.append(
            PreparedGallery(
                kind,
                len(gallery.rows),
                None if gallery.index is None else str(gallery.index.folder),
                "" if gallery.index is not None else _why_none(loaded.model),
                str(source.listing(kind)),
                reasons(gallery.failures),
            )
        )
    return prepared


def plan_search(
    run: Path,
    query: Path | str,
    kind: QueryKind,
    source: GallerySource,
    *,
    voices: str = "espeak",
    device: str = "auto",
    jobs: int | None = None,
    progress: Progress = silent,
) -> DryRun:
    """Returns what `fmn.search.gallery_search.search` would do, after its checks; see there for arguments and errors.

    A text is synthesized, and a recording post-processed, in a temporary folder.
    """
    check_query(query, kind)
    loaded = load_run(run, usable_device(device, dry_run=True))
    gallery = _planned(loaded, kind, source.rows(kind), source, jobs, progress)
    with TemporaryDirectory() as folder:
        _, notes = prepared_query(query, kind, loaded.config, source, Path(folder), voices=voices)
    return planned_galleries([gallery], notes)


def planned_galleries(galleries: Sequence[PreparedGallery], notes: tuple[str, ...] = ()) -> DryRun:
    """Returns what would be done with galleries that are the result of a dry run."""
    clips, utterances = (sum(one.items for one in galleries if one.kind == kind) for kind in QUERY_KINDS)
    return DryRun(
        clips,
        utterances,
        sum(one.to_extract for one in galleries),
        tuple(Path(one.index) for one in galleries if one.index is not None),
        dict(failure for one in galleries for failure in one.failures.items()),
        notes,
    )


def _planned(
    loaded: LoadedRun,
    kind: QueryKind,
    rows: Sequence[ClipRow | UtteranceRow],
    source: GallerySource,
    jobs: int | None,
    progress: Progress,
) -> PreparedGallery:
    """Returns the gallery of these rows as `Gallery` would prepare it.

    Raises:
        InputError: none of the rows has features, or their size differs from that in training.
    """
    workspace, listing = source.workspace, source.listing(kind)
    media, failures = files_of(rows, workspace)
    options: dict[str, Any] = {"jobs": jobs or usable_cores(), "progress": progress, "dry_run": True}
    options["cache"] = feature_cache(workspace)
    if kind == "speech":
        features = extract_video(media, loaded.config.video, **options)
        check_sizes(loaded, features.dim, 0)
    else:
        features = extract_audio(media, loaded.config.audio, **options)
        check_sizes(loaded, 0, features.dim)
    left = left_rows(rows, media, features, failures, listing)
    has_index = len(left) >= INDEXED_FROM and indexable(loaded.model) and is_installed()
    return PreparedGallery(
        kind,
        len(left),
        str(index_folder(workspace, loaded.path, kind, listing)) if has_index else None,
        "" if has_index else _why_none(loaded.model),
        str(listing),
        reasons(failures),
        features.computed,
    )


def _why_none(model: RetrievalModel) -> str:
    if indexable(model):
        return f"fewer than {INDEXED_FROM:,} items need no index"
    return "the score of this system cannot be indexed"
