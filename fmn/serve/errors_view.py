"""Error analysis of a run: confusion matrix, and the top hit of each query."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset_tools.core.errors import InputError
from dataset_tools.manifests import ClipRow, UtteranceRow
from fmn.evaluation.class_vote import ClassVote, class_vote, ranked
from fmn.metrics.retrieval_metrics import KS, QueryMetrics, by_class, query_metrics
from fmn.models.retrieval_model import TILE
from fmn.search.search_results import QueryKind
from fmn.serve.queries import Queries

MOST_NEIGHBORS = 5
"""Maximum number of neighbors that vote on a label."""


class Errors:
    """The queries of a manifest, each with its top hit in the manifest's own gallery."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries
        self._found: dict[QueryKind, dict[str, Any]] = {}

    def of(self, kind: QueryKind) -> dict[str, Any]:
        """Returns the error analysis for speech queries, or for ``clip`` queries; computed once.

        Raises:
            InputError: no clip or no utterance of the manifest has features.

        Returns:
            ``classes``: ids of the C classes. ``confusion`` [C, C]: number of queries of a class (row) whose top hit is
            of a class (column); of tied items, the first in order of id. ``by_class``: by class id its ``queries``,
            ``hits`` and ``recalls`` by k, percent, in expectation under ties as in metrics.json. ``queries``: for each
            its card and

            - ``top``: the card of its top hit;
            - ``rank``: of the best item of its class, from 1, ``partner_rank``: of its partner; None if there is none;
            - ``partner_score``: of the query with its partner;
            - ``surprise``: score of the best item of another class minus that of the best item of its own class;
            - ``neighbors``: number of its nearest neighbors, without its partner, that vote (`class_vote`);
            - ``doubt``: the largest share of another class, ``other``, of these votes; 0 without a vote.
        """
        if kind not in self._found:
            self._found[kind] = self._computed(kind)
        return self._found[kind]

    def _computed(self, kind: QueryKind) -> dict[str, Any]:
        galleries, tested = self._queries.galleries, self._queries.items.tested
        gallery, query_gallery = galleries[kind], galleries["clip" if kind == "speech" else "speech"]
        known = tested.clips | tested.utterances
        places, query_places = (
            np.array([place for place, row in enumerate(one.rows) if row.id in known])
            for one in (gallery, query_gallery)
        )
        if not len(places) or not len(query_places):
            raise InputError(
                "There is nothing to analyze: no clip or no utterance has features",
                where=self._queries.items.manifest.name,
                expected="features of some of its clips and utterances",
                next_step="restore the files (fmn-data verify names them), and start fmn serve again",
            )
        rows, queries = [gallery.rows[place] for place in places], [query_gallery.rows[place] for place in query_places]
        classes = sorted({row.class_id for row in (*rows, *queries)})
        of_rows, of_queries = (np.array([classes.index(row.class_id) for row in some]) for some in (rows, queries))
        clips_of_rows, clips_of_queries = (np.array([_clip_of(row) for row in some]) for some in (rows, queries))
        outcomes: list[dict[str, Any]] = []
        measured: list[QueryMetrics] = []
        for start in range(0, len(queries), TILE):
            some = slice(start, start + TILE)
            scores = gallery.scores(query_gallery.embeddings_of(query_places[some]), places).T
            same = of_queries[some, None] == of_rows
            partners = clips_of_queries[some, None] == clips_of_rows
            measured.append(query_metrics(scores, same))
            vote = class_vote(np.where(partners, -np.inf, scores), of_rows, len(classes), MOST_NEIGHBORS)
            comparable = (same & ~partners).any(axis=1)
            for number, query in enumerate(queries[some]):
                outcomes.append(
                    {
                        **self._queries.items.card(query),
                        "rank": float(measured[-1].rank[number]) if same[number].any() else None,
                        **_partner_values(scores[number], same[number], partners[number]),
                        **_doubt(vote, number, of_queries[start + number] if comparable[number] else None, classes),
                        "top": self._queries.items.card(rows[int(scores[number].argmax())]),
                    }
                )
        confusion = np.zeros((len(classes), len(classes)), dtype=int)
        for number, one in zip(of_queries, outcomes, strict=True):
            confusion[number, classes.index(one["top"]["class"])] += 1
        return {
            "kind": kind,
            "classes": classes,
            "confusion": confusion.tolist(),
            "by_class": _by_class(measured, [row.class_id for row in queries]),
            "queries": outcomes,
            "gallery": len(rows),
        }


def _clip_of(row: ClipRow | UtteranceRow) -> str:
    """Returns the clip id that identifies a pair; for an utterance without a clip, its own id."""
    return row.id if isinstance(row, ClipRow) else row.clip or row.id


def _by_class(measured: list[QueryMetrics], names: list[str]) -> dict[str, Any]:
    """Returns by class id its number of ``queries``, and ``hits`` and ``recalls`` by k, percent."""
    found = {
        metric: {k: by_class(np.concatenate([getattr(part, metric)[k] for part in measured]), names) for k in KS}
        for metric in ("hits", "recalls")
    }
    return {
        name: {
            "queries": names.count(name),
            **{metric: {str(k): means[name] for k, means in of_k.items()} for metric, of_k in found.items()},
        }
        for name in sorted(set(names))
    }


def _partner_values(
    scores: NDArray[np.float32], same: NDArray[np.bool_], partners: NDArray[np.bool_]
) -> dict[str, Any]:
    known = bool(same.any()) and not same.all()
    surprise = float(scores[~same].max() - scores[same].max()) if known else None
    partner = float(scores[partners].max()) if partners.any() else None
    partner_rank = None if partner is None else int((scores > partner).sum()) + 1
    return {"partner_rank": partner_rank, "partner_score": partner, "surprise": surprise}


def _doubt(vote: ClassVote, number: int, own: int | None, classes: list[str]) -> dict[str, Any]:
    """Nearest-neighbor vote on a label, as in Wilson's editing rule (1972); ``own``: its class, None: no vote."""
    others = [index for index in ranked(vote.shares[number], vote.best[number]).tolist() if index != own]
    if own is None or not others or not vote.neighbors[number]:
        return {"doubt": 0.0, "other": None, "neighbors": 0}
    doubt = float(vote.shares[number, others[0]])
    return {"doubt": doubt, "other": classes[others[0]], "neighbors": int(vote.neighbors[number])}
