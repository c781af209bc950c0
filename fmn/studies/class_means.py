"""The rivals of FMN's memory of new classes: nearest class mean of vectors that are there anyway.

Clips and utterances are each compared with the means of all classes, old and new, by a softmax over cosines; a pair's
score is the probability that both are of one class. The temperature is the one under which the old classes of fold 0
are the likeliest, of either side.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fmn.data.batches import Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.baselines.two_classifiers import TwoClassifiers
from fmn.models.retrieval_model import Embeddings, RetrievalModel, encode_all_clips, encode_all_utterances

TEMPERATURES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
Vectors = tuple[Callable[[Tensor], Tensor], Callable[[Sequences], Tensor]]
"""What makes the vectors of clips [N, Dv] and of utterances."""


class ClassMeans(RetrievalModel):
    """Nearest class mean on either side.

    Args:
        vectors: `hidden_layers` of a trained network, or `RAW`.
    """

    def __init__(self, vectors: Vectors) -> None:
        super().__init__()
        self.of_clips, self.of_utterances = vectors

    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, Dv] → ``vectors`` [N, D]."""
        return {"vectors": self.of_clips(video)}

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences → ``vectors`` [M, E]."""
        return {"vectors": self.of_utterances(audio)}

    def scores(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        """[N, M] of items whose ``shares`` of the classes are known (`with_shares`)."""
        return clips["shares"] @ utterances["shares"].T

    def with_shares(
        self,
        data: ItemTensors,
        old: tuple[Indices, Indices],
        new: tuple[Indices, Indices],
        asked: tuple[Indices, Indices],
    ) -> tuple[Embeddings, Embeddings]:
        """Codes with ``shares`` [N, C] of the clips and of the utterances asked for.

        Args:
            data: features of all items.
            old: clips and utterances of the training.
            new: of the new classes.
            asked: those to give.
        """
        found = []
        for encode, classes, *indices in (
            (encode_all_clips, data.clip_classes, old[0], new[0], asked[0]),
            (encode_all_utterances, data.utterance_classes, old[1], new[1], asked[1]),
        ):
            vectors = [encode(self, data, part)["vectors"] for part in indices]
            found.append({"shares": _shares(vectors, [classes[data.on_device(part)] for part in indices])})
        return found[0], found[1]


def hidden_layers(model: TwoClassifiers) -> Vectors:
    """The last hidden vectors of the two classifiers."""
    return lambda video: model.clips.hidden(model.clips.standardized(video)), model.utterances.encoder


RAW: Vectors = (lambda video: video, lambda audio: _time_mean(audio))


def _time_mean(audio: Sequences) -> Tensor:
    inside = audio.inside[:, :, None]
    return torch.where(inside, audio.frames, 0.0).sum(1) / audio.lengths[:, None]


def _shares(vectors: list[Tensor], classes: list[Tensor]) -> Tensor:
    """Of the vectors asked for, the last of (old, new, asked), shares of all classes: the old ones come first."""
    old = vectors[0]
    mean, scale = old.mean(0), old.std(0, correction=0).clamp(min=1e-6)
    rows = [(part - mean) / scale for part in vectors]
    means, names = [], []
    for part, of in zip(rows[:2], classes[:2], strict=True):
        for name in np.unique(of.cpu().numpy()).tolist():
            means.append(part[of == name].mean(0))
            names.append(name)
    cosines = functional.normalize(rows[2], dim=1) @ functional.normalize(torch.stack(means), dim=1).T
    count = len(np.unique(classes[0].cpu().numpy()))
    known = torch.tensor(names[:count], device=cosines.device) == classes[2][:, None]
    own = known.any(dim=1)
    logits, target = cosines[own][:, :count], known[own].int().argmax(dim=1)
    best = min(TEMPERATURES, key=lambda t: float(functional.cross_entropy(logits / t, target))) if own.any() else 0.1
    return (cosines / best).softmax(dim=1)
