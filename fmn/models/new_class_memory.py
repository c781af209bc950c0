"""Few-shot classes: a memory of unmapped features, written after training and read alongside the mapped one.

The mapped space is trained for the training classes; features that distinguish other classes are lost in it. Classes
that are learned later are therefore stored as whitened features that no class loss has shaped, and also as mapped ones
where these help.

An item is a few vectors (`clip_vectors`, `utterance_vectors`). Each is standardized and whitened by the within-class
covariance of the training items, shrunk toward a multiple of the identity. A class is the mean of its items; the
expected contribution of noise (within-class spread / n) is subtracted from the squared length of a mean of n items,
otherwise classes of few items would lose against those of many. An item's shares of the classes, old and new, are a
softmax over its cosines with the class means, averaged over its vectors. The agreement of the mapped memory, and S1,
which was trained on pairs of old classes only, are weighted by the probability that both items belong to old classes
(`gated_agreement`, `both_old`): without new classes nothing changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from fmn.data.sequences import Sequences
from fmn.models.memory import Modality

SHRINKAGE = 0.1  # of the covariance; values from 0.1 to 0.8 made no difference on real development corpora
TEMPERATURE = 0.05
SEGMENTS = 4
LEAST_LENGTH = 0.1  # minimum squared length of a mean, relative to the average of the old classes' means


def clip_vectors(features: Tensor, mapped: Tensor) -> tuple[Tensor, ...]:
    """Vectors of clips for `WhitenedMeans`: standardized features [N, Dv] and mapped vectors [N, D]."""
    return features, mapped


def utterance_vectors(states: Tensor, audio: Sequences) -> tuple[Tensor, ...]:
    """Vectors of utterances: those of the Bi-LSTM [M, 2U], and the concatenated means of the quarters [M, 4F]."""
    return states, segment_means(audio)


def segment_means(audio: Sequences) -> Tensor:
    """[M, T, F] → [M, SEGMENTS · F]: means of consecutive segments; the mean of the whole for an empty one."""
    steps = torch.arange(audio.frames.shape[1], device=audio.frames.device)
    segment = steps * SEGMENTS // audio.lengths[:, None]  # [M, T]; past the end it is SEGMENTS or more
    parts = torch.arange(SEGMENTS, device=steps.device)
    inside = (segment[:, None] == parts[:, None]).to(audio.frames.dtype)  # [M, SEGMENTS, T]
    whole = audio.inside[:, None].to(inside.dtype)
    inside = torch.where(inside.any(dim=2, keepdim=True), inside, whole)
    return ((inside / inside.sum(dim=2, keepdim=True)) @ audio.frames).flatten(1)


@dataclass(frozen=True, eq=False)
class WhitenedMeans:
    """Class means of one kind of vector.

    Attributes:
        mean, scale: [D], of the training items. whitening: [D, D], applied to standardized vectors.
        old: [C, D] means of the old classes, each divided by its noise-corrected length (see `directed`).
        spread: [], mean squared distance of an item from the mean of its class. usual: [], mean squared length of the
            means of the old classes.
    """

    mean: Tensor
    scale: Tensor
    whitening: Tensor
    old: Tensor
    spread: Tensor
    usual: Tensor

    @classmethod
    def fit(cls, vectors: Tensor, classes: Tensor) -> WhitenedMeans:
        """Fits the means to vectors [N, D] of the training items and their classes [N]."""
        found, number = torch.unique(classes, return_inverse=True)
        mean, scale = vectors.mean(0), vectors.std(0, correction=0).clamp(min=1e-6)
        rows = ((vectors - mean) / scale).double()
        within = rows - _means(rows, number, len(found))[number]
        values, axes = torch.linalg.eigh(within.T @ within / len(rows))
        even = values.mean().clamp(min=1e-12)
        shrunk = (1 - SHRINKAGE) * values.clamp(min=0) + SHRINKAGE * even
        whitening = ((axes * shrunk.rsqrt()) @ axes.T).to(vectors.dtype)
        rows = rows.to(vectors.dtype) @ whitening
        means = _means(rows, number, len(found))
        spread = (rows - means[number]).square().sum() / max(1, len(rows) - len(found))
        empty = cls(mean, scale, whitening, means, spread, means.square().sum(1).mean())
        return cls(mean, scale, whitening, empty.directed(means, number.bincount()), spread, empty.usual)

    def whitened(self, vectors: Tensor) -> Tensor:
        """[N, D] → [N, D]."""
        return ((vectors - self.mean) / self.scale) @ self.whitening

    def directed(self, means: Tensor, counts: Tensor) -> Tensor:
        """Divides means [K, D] of ``counts`` [K] items by their lengths, corrected for noise: |mean|² − spread / n."""
        squares = means.square().sum(1) - self.spread / counts
        return means / torch.maximum(squares, LEAST_LENGTH * self.usual).sqrt()[:, None]


@dataclass(frozen=True, eq=False)
class ModalityMemory:
    """The memory of clips, or of utterances.

    Attributes:
        parts: one for each vector of an item.
        rows: for each part, the whitened vectors [n, D] of the items written.
        classes: [n], their classes, from 0 up to the number of new classes.
    """

    parts: tuple[WhitenedMeans, ...]
    rows: tuple[Tensor, ...]
    classes: Tensor

    @classmethod
    def fit(cls, vectors: Sequence[Tensor], classes: Tensor) -> ModalityMemory:
        """Returns a memory without new classes, fitted to the vectors of the N training items and their classes [N]."""
        parts = tuple(WhitenedMeans.fit(part.float(), classes) for part in vectors)
        return cls(parts, tuple(part.old[:0] for part in parts), classes[:0])

    def with_items(self, vectors: Sequence[Tensor], classes: Tensor) -> ModalityMemory:
        """Returns the memory with n items of new classes, given by their vectors, replacing earlier ones."""
        rows = tuple(part.whitened(vector.float()) for part, vector in zip(self.parts, vectors, strict=True))
        return ModalityMemory(self.parts, rows, classes)

    def shares(self, vectors: Sequence[Tensor]) -> Tensor:
        """Returns the shares [N, K] of the new classes for N items, given by their vectors."""
        return self.shares_of_all(vectors)[:, len(self.parts[0].old) :]

    def shares_of_all(self, vectors: Sequence[Tensor]) -> Tensor:
        """Returns the shares [N, C + K] of the old and the new classes for N items, given by their vectors."""
        cosines = torch.stack([self._cosines(*each) for each in zip(self.parts, self.rows, vectors, strict=True)])
        return (cosines.mean(0) / TEMPERATURE).softmax(dim=1)

    def _cosines(self, part: WhitenedMeans, rows: Tensor, vectors: Tensor) -> Tensor:
        counts = self.classes.bincount()
        means = torch.cat([part.old, part.directed(_means(rows, self.classes, len(counts)), counts)])
        return functional.normalize(part.whitened(vectors.float()), dim=1) @ means.T


NewClassMemory = Mapping[Modality, ModalityMemory]
"""Memory of the classes learned after training, by modality."""


def gated_agreement(agreement: Tensor, of_clips: Tensor, of_utterances: Tensor) -> Tensor:
    """[N, M]: agreement on old classes, weighted by `both_old`, plus agreement on new classes.

    Args:
        agreement: [N, M], agreement of the mapped memory.
        of_clips: [N, K], shares of the new classes for the clips.
        of_utterances: [M, K], the same for the utterances.
    """
    return both_old(of_clips, of_utterances) * agreement + of_clips @ of_utterances.T


def both_old(of_clips: Tensor, of_utterances: Tensor) -> Tensor:
    """[N, M]: probability that both items belong to old classes, from shares [N, K] and [M, K] of the new ones."""
    return (1 - of_clips.sum(1))[:, None] * (1 - of_utterances.sum(1))


def _means(rows: Tensor, classes: Tensor, count: int) -> Tensor:
    """[N, D], [N] → [count, D]."""
    one_hot = functional.one_hot(classes, count).to(rows.dtype)
    return one_hot.T @ rows / one_hot.sum(0)[:, None]
