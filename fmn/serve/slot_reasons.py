"""Explanation of FMN's ranking: the memory slots that query and hit share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fmn.models.fmn import FeatureMemoryNetwork
from fmn.models.memory import Side
from fmn.models.retrieval_model import Embeddings
from fmn.training.checkpoint import LoadedRun

MOST_REASONS = 3
LEAST_PRODUCT = 0.01
"""Of two shares; smaller ones are no reason."""


class SlotReader:
    """Reads how far codes choose each slot; slots of one class are one, as in the score (`fmn.models.memory`).

    Attributes:
        names: of the G groups of slots: ids of classes; ``cluster 3`` of a run that was trained without class labels;
            ``slot 3`` of slots without either.
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

    def shares(self, side: Side, codes: Embeddings) -> NDArray[np.float64]:
        """[N, G], rows that sum to 1, of the codes of N clips (side ``video``) or N utterances (``audio``)."""
        of_slots = codes["log_shares"].double().exp().cpu().numpy()
        found = np.zeros((len(of_slots), len(self.names)))
        np.add.at(found.T, self._group, of_slots.T)
        if self._new:
            of_new = codes["new_shares"].double().cpu().numpy()
            found *= 1 - of_new.sum(axis=1, keepdims=True)
            np.add.at(found.T, self._new, of_new.T)
        return found

    def reasons(self, query: NDArray[np.float64], hits: NDArray[np.float64]) -> list[list[dict[str, Any]]]:
        """Of each of N hits [N, G] the groups that it and the query [G] choose together, the largest product first."""
        together = query * hits
        order = np.argsort(-together, axis=1, kind="stable")[:, :MOST_REASONS]
        return [
            [
                {"slots": self.names[group], "query": float(query[group]), "hit": float(hit[group])}
                for group in best.tolist()
                if query[group] * hit[group] >= LEAST_PRODUCT
            ]
            for best, hit in zip(order, hits, strict=True)
        ]


def _name(loaded: LoadedRun, number: int) -> str:
    """Of the class ``number``, or of the cluster that stands for one."""
    known = loaded.config.training.labels == "class"
    return loaded.about.classes[number].id if known else f"cluster {number + 1}"


def slot_reader(loaded: LoadedRun) -> SlotReader | None:
    """The reader of a run whose score reads memories by their shares; None of every other run: nothing can be said."""
    model = loaded.model
    if not isinstance(model, FeatureMemoryNetwork) or not model.memory.size:
        return None
    if model.config.model.score in ("s1", "cosine", "distance") or model.config.memory.read != "softmax":
        return None
    return SlotReader(model, loaded)
