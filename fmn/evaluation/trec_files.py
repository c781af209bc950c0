"""TREC run and qrels files of an evaluation, for trec_eval, pytrec_eval, ranx and others.

``run.DIRECTION.txt`` has lines ``query Q0 item rank score tag`` for the best items of each query;
``qrels.DIRECTION.RELEVANCE.txt`` has lines ``query 0 item relevance``, one file for each notion of relevance: ``class``
(of the query's class) and ``instance`` (the query's own partner).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.files import clear_partial, written_whole
from fmn.data.items import Items
from fmn.metrics.directions import DIRECTIONS, by_direction, queries_and_gallery

TREC_TOP = 1000
"""Default number of items per query, the customary maximum for trec_eval."""


def write_trec_files(
    folder: Path, scores: NDArray[np.float32], items: Items, *, tag: str, top: int = TREC_TOP
) -> tuple[Path, ...]:
    """Writes the six files, query by query: besides the scores, only one query's gallery is held in memory.

    The tools' figures equal those of `fmn eval` if no scores tie (trec_eval orders ties by id, fmn takes the
    expectation over their orders) and metrics look no further than ``top``. A query without an item of its class has
    one line of relevance 0, so that it counts 0; one without a partner has no line, so that it is excluded.

    Args:
        folder: output folder, created if missing; existing files of these names are replaced.
        scores: [N, M], scores of clips and utterances.
        items: these clips and utterances. ``%`` and whitespace in their ids are percent-encoded.
        tag: name of the run.
        top: number of best items per query; ties are cut off by id.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    clear_partial(folder)
    clips, utterances = [encoded(row.id) for row in items.clips], [encoded(row.id) for row in items.utterances]
    partners = items.partners
    paths: list[Path] = []
    for direction, (matrix,) in by_direction(scores):
        queries, gallery = queries_and_gallery(direction, clips, utterances)
        classes = queries_and_gallery(direction, items.clip_classes, items.utterance_classes)
        of_class = (np.flatnonzero(classes[1] == one) for one in classes[0])
        own = (
            (np.array([clip] if clip >= 0 else [], dtype=np.int64) for clip in partners)
            if direction == "audio_to_video"
            else (np.flatnonzero(partners == clip) for clip in range(len(clips)))
        )
        for name, lines in (
            (f"run.{direction}", _run_lines(queries, gallery, matrix, encoded(tag), top)),
            (f"qrels.{direction}.class", _qrels_lines(queries, gallery, of_class, counts_without=True)),
            (f"qrels.{direction}.instance", _qrels_lines(queries, gallery, own, counts_without=False)),
        ):
            paths.append(folder / f"{name}.txt")
            with written_whole(paths[-1]) as partial, partial.open("w", encoding="utf-8", newline="\n") as out:
                out.writelines(lines)
    return tuple(paths)


def trec_paths(folder: Path) -> tuple[Path, ...]:
    """Returns the paths of the six files."""
    names = ("run.{}", "qrels.{}.class", "qrels.{}.instance")
    return tuple(folder / f"{name.format(direction)}.txt" for direction in DIRECTIONS for name in names)


def encoded(name: str) -> str:
    """Percent-encodes whitespace and ``%`` in an id, so that distinct ids stay distinct."""
    return re.sub(r"[\s%]", lambda found: quote(found[0]), name)


def _run_lines(
    queries: Sequence[str], gallery: Sequence[str], scores: NDArray[np.float32], tag: str, top: int
) -> Iterable[str]:
    for query, row in zip(queries, scores, strict=True):
        for rank, index in enumerate(np.argsort(-row, kind="stable")[:top].tolist(), start=1):
            yield f"{query} Q0 {gallery[index]} {rank} {row[index]:.9g} {tag}\n"  # 9 digits: float32 round-trips


def _qrels_lines(
    queries: Sequence[str], gallery: Sequence[str], relevant: Iterable[NDArray[np.int64]], *, counts_without: bool
) -> Iterable[str]:
    for query, found in zip(queries, relevant, strict=True):
        yield from (f"{query} 0 {gallery[index]} 1\n" for index in found.tolist())
        if counts_without and not len(found):
            yield f"{query} 0 {gallery[0]} 0\n"
