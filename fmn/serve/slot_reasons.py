"""Explanation of FMN's ranking: the memory slots shared by query and hit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.retrieval_model import Embeddings
from fmn.training.checkpoint import LoadedRun

MOST_REASONS = 3
LEAST_PRODUCT = 0.01
"""Minimum product of two shares for a reason."""


class SlotReader:
    """Reads the share of each slot in embeddings; slots of a class are grouped, as in the score (`fmn.models.memory`).

    Attributes:
        names: of the G groups of slots: class ids; ``cluster 3`` for a run trained without class labels; ``slot 3``
            for slots without either.
    """

    def __init__(self, model: FeatureMemoryNetwork, loaded: LoadedRun) -> None:
        self._model = model
        memory = model.memory
        of_slots = memory.slot_classes[: memory.size].cpu().tolist()
        named = [_name(loaded, number) if number >= 0 else f"slot {slot + 1}" for slot, number in enumerate(of_slots)]
        new = [label.id for label in loaded.learned.classes] if loaded.learned is not None else []
        self.names = list(dict.fromkeys([*named, *new]))
        self._group = np.array([self.names.index(name) for name in named])
        self._new = [self.names.index(name) for name in new]

    def shares(self, embeddings: Embeddings) -> NDArray[np.float64]:
        """[N, G], rows sum to 1: shares of the embeddings of N clips or N utterances."""
        of_slots = embeddings["log_shares"].double().exp().cpu().numpy()
        grouped = np.zeros((len(of_slots), len(self.names)))
        np.add.at(grouped.T, self._group, of_slots.T)
        if self._new:
            of_new = embeddings["new_shares"].double().cpu().numpy()
            grouped *= 1 - of_new.sum(axis=1, keepdims=True)
            np.add.at(grouped.T, self._new, of_new.T)
        return grouped

    def reasons(self, query: NDArray[np.float64], hits: NDArray[np.float64]) -> list[list[dict[str, Any]]]:
        """Returns for each of N hits [N, G] the groups shared with the query [G], by descending product of shares."""
        products = query * hits
        order = np.argsort(-products, axis=1, kind="stable")[:, :MOST_REASONS]
        return [
            [
                {"slots": self.names[group], "query": float(query[group]), "hit": float(hit[group])}
                for group in best.tolist()
                if query[group] * hit[group] >= LEAST_PRODUCT
            ]
            for best, hit in zip(order, hits, strict=True)
        ]


def _name(loaded: LoadedRun, number: int) -> str:
    """Returns the name of the class ``number``, or of the cluster in its place."""
    known = loaded.config.training.labels == "class"
    return loaded.about.classes[number].id if known else f"cluster {number + 1}"


def slot_reader(loaded: LoadedRun) -> SlotReader | None:
    """Returns the reader of a run if its score uses softmax shares of memory slots, else None (no explanation)."""
    model = loaded.model
    if not isinstance(model, FeatureMemoryNetwork) or not model.memory.size:
        return None
    if model.config.model.score in ("s1", "cosine", "distance") or model.config.memory.read != "softmax":
        return None
    return SlotReader(model, loaded)
