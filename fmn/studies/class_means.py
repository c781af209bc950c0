"""Nearest class mean: baselines for FMN's memory of new classes.

Clips and utterances are each compared with the means of all classes, old and new, by a softmax over cosines; a pair's
score is the probability that both are of the same class. Plain means are of standardized vectors, with the temperature
that maximizes the likelihood of the old classes of fold 0, separately for each side. Whitened means have the same
advantages as FMN's memory (`fmn.models.new_class_memory`): a second kind of vector per item, the whitening and its
temperature.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fmn.data.batches import Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.baselines.two_classifiers import TwoClassifiers
from fmn.models.new_class_memory import ModalityMemory, segment_means
from fmn.models.retrieval_model import Embeddings, RetrievalModel, encode_all_clips, encode_all_utterances

TEMPERATURES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5)
Vectors = tuple[Callable[[Tensor], tuple[Tensor, ...]], Callable[[Sequences], tuple[Tensor, ...]]]
"""Functions that compute the vectors of clips, each [N, D], and of utterances."""


class ClassMeans(RetrievalModel):
    """Nearest class mean on both sides.

    Args:
        vectors: `hidden_layers` of a trained network, or `RAW`; for whitened means `hidden_and_raw`, or `SEGMENTS`.
        whitened: whether to use the whitened means of FMN's memory. Otherwise items have one vector each.
    """

    def __init__(self, vectors: Vectors, *, whitened: bool = False) -> None:
        super().__init__()
        self.of_clips, self.of_utterances = vectors
        self.shares_of = _whitened_shares if whitened else _plain_shares

    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, Dv] → each kind of vector [N, D], numbered."""
        return _numbered(self.of_clips(video))

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences → each kind of vector [M, E], numbered."""
        return _numbered(self.of_utterances(audio))

    def scores(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        """[N, M] of items whose ``shares`` of the classes are known (`with_shares`)."""
        return clips["shares"] @ utterances["shares"].T

    def with_shares(
        self,
        data: ItemTensors,
        old: tuple[Indices, Indices],
        new: tuple[Indices, Indices],
        items: tuple[Indices, Indices],
    ) -> tuple[Embeddings, Embeddings]:
        """Returns embeddings with ``shares`` [N, C] of some clips and utterances.

        Args:
            data: features of all items.
            old: training clips and utterances.
            new: clips and utterances of the new classes.
            items: the clips and utterances to encode.
        """
        found = []
        for encode, classes, *indices in (
            (encode_all_clips, data.clip_classes, old[0], new[0], items[0]),
            (encode_all_utterances, data.utterance_classes, old[1], new[1], items[1]),
        ):
            vectors = [list(encode(self, data, part).values()) for part in indices]
            found.append({"shares": self.shares_of(vectors, [classes[data.on_device(part)] for part in indices])})
        return found[0], found[1]


def hidden_layers(model: TwoClassifiers) -> Vectors:
    """Last hidden layers of the two classifiers."""
    return lambda video: (_clip_layer(model, video),), lambda audio: (model.utterances.encoder(audio),)


def hidden_and_raw(model: TwoClassifiers) -> Vectors:
    """The same, plus the clip's features and the means of the quarters of the utterance."""
    return (
        lambda video: (video, _clip_layer(model, video)),
        lambda audio: (model.utterances.encoder(audio), segment_means(audio)),
    )


RAW: Vectors = (lambda video: (video,), lambda audio: (_time_mean(audio),))
SEGMENTS: Vectors = (lambda video: (video,), lambda audio: (segment_means(audio),))
"""The clip's features and the means of the utterance's quarters: the inputs of FMN's memory that need no network."""


def _clip_layer(model: TwoClassifiers, video: Tensor) -> Tensor:
    hidden: Tensor = model.clips.hidden(model.clips.standardized(video))
    return hidden


def _numbered(vectors: tuple[Tensor, ...]) -> Embeddings:
    return {str(number): part for number, part in enumerate(vectors)}


def _time_mean(audio: Sequences) -> Tensor:
    inside = audio.inside[:, :, None]
    return torch.where(inside, audio.frames, 0.0).sum(1) / audio.lengths[:, None]


def _whitened_shares(vectors: list[list[Tensor]], classes: list[Tensor]) -> Tensor:
    """Like `_plain_shares`, with the memory of new classes."""
    old, new, items = vectors
    numbers = torch.unique(classes[1], return_inverse=True)[1]
    return ModalityMemory.fit(old, classes[0]).with_items(new, numbers).shares_of_all(items)


def _plain_shares(vectors: Sequence[Sequence[Tensor]], classes: list[Tensor]) -> Tensor:
    """Shares of all classes, old ones first, for the last of the vectors (old, new, items)."""
    rows = [part for (part,) in vectors]
    mean, scale = rows[0].mean(0), rows[0].std(0, correction=0).clamp(min=1e-6)
    rows = [(part - mean) / scale for part in rows]
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
