"""Canonical correlation: covariances of two views, directions of maximal correlation, sum of correlations.

T = Σ11^-½ Σ12 Σ22^-½ (Hotelling 1936; Thompson 2000): its singular values are the canonical correlations, and the
directions are Σ11^-½ U and Σ22^-½ V. Computed in float64: eigenvalues of thousands of features span many magnitudes.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fmn.config import Config
from fmn.data.batches import Batch, Indices, ItemTensors
from fmn.models.baselines.parts.class_vectors import class_count
from fmn.models.baselines.parts.classifiers import UtteranceClassifier
from fmn.models.baselines.parts.towers import Standardized
from fmn.models.inner_products import inner_products
from fmn.models.resizable_buffers import ResizableBuffers
from fmn.models.retrieval_model import Embeddings, RetrievalModel
from fmn.models.system_interface import ClassCrossEntropy

LEAST_CORRELATION = 1e-6  # relative to the largest; directions below are numerical noise


class Covariances(NamedTuple):
    """Second moments of two views of pairs.

    Attributes:
        first: Σ11, [D1, D1]. second: Σ22, [D2, D2]. between: Σ12, [D1, D2].
        first_mean: [D1]. second_mean: [D2].
    """

    first: Tensor
    second: Tensor
    between: Tensor
    first_mean: Tensor
    second_mean: Tensor


class Canonical(NamedTuple):
    """Canonical directions, sorted by correlation.

    Attributes:
        first: [D1, d]. second: [D2, d]. correlations: [d], descending.
    """

    first: Tensor
    second: Tensor
    correlations: Tensor


def class_covariances(first: Tensor, second: Tensor, first_classes: Tensor, second_classes: Tensor) -> Covariances:
    """Covariances over all pairs of the same class, each item of the first view with each of the second.

    The pairs are never formed: Σ12 depends on class means alone.

    Args:
        first: [N, D1].
        second: [M, D2].
        first_classes: [N] int.
        second_classes: [M] int.
    """
    first, second = first.double(), second.double()
    size = 1 + int(max(first_classes.max(), second_classes.max()))
    first_counts = torch.bincount(first_classes, minlength=size).double()
    second_counts = torch.bincount(second_classes, minlength=size).double()
    pairs = float((first_counts * second_counts).sum())
    first_weights = second_counts[first_classes] / pairs  # pairs of an item: items of its class in the other view
    second_weights = first_counts[second_classes] / pairs
    first_mean, second_mean = first_weights @ first, second_weights @ second
    first, second = first - first_mean, second - second_mean
    first_sums = torch.zeros(size, first.shape[1]).to(first).index_add_(0, first_classes, first)
    second_sums = torch.zeros(size, second.shape[1]).to(second).index_add_(0, second_classes, second)
    return Covariances(
        first.T @ (first_weights[:, None] * first),
        second.T @ (second_weights[:, None] * second),
        first_sums.T @ second_sums / pairs,
        first_mean,
        second_mean,
    )


def canonical(covariances: Covariances, *, ridge: float, dims: int) -> Canonical:
    """Returns the directions of the largest canonical correlations.

    Args:
        covariances: of the two views.
        ridge: added to both covariances' diagonals, times their mean variance.
        dims: maximum number of directions; those whose correlation is numerically zero are omitted.
    """
    if not covariances.between.numel():  # a view without dimensions, as the kernel components of equal items
        none = covariances.between.new_zeros(0)
        return Canonical(none.expand(len(covariances.first), 0), none.expand(len(covariances.second), 0), none)
    first, second = _inverse_root(covariances.first, ridge), _inverse_root(covariances.second, ridge)
    left, values, right = torch.linalg.svd(first @ covariances.between @ second, full_matrices=False)
    kept = min(dims, int((values > LEAST_CORRELATION * values.max().clamp(min=1e-12)).sum()))
    return Canonical(first @ left[:, :kept], second @ right[:kept].T, values[:kept])


def total_correlation(covariances: Covariances, *, ridge: float) -> Tensor:
    """The sum of the canonical correlations: the nuclear norm of T (Andrew et al. 2013), with gradients.

    T is computed with Cholesky factors instead of symmetric roots: it then differs by rotations, which leave its
    singular values unchanged, and the gradient has no terms that explode where two eigenvalues are close.

    Args:
        covariances: of the two views.
        ridge: added to both covariances' diagonals, times their mean variance.
    """
    views = (covariances.first, covariances.second)
    roots = [torch.linalg.cholesky(_ridged(covariance, ridge)) for covariance in views]
    half = torch.linalg.solve_triangular(roots[0], covariances.between, upper=False)
    whole = torch.linalg.solve_triangular(roots[1], half.T, upper=False)
    total: Tensor = torch.linalg.svdvals(whole).sum().float()
    return total


class CanonicalSpace(ResizableBuffers):
    """The common space of a canonical correlation analysis, fitted in closed form.

    Args:
        first_dim: D1. second_dim: D2.
    """

    first_mean: Tensor
    second_mean: Tensor
    first_directions: Tensor
    second_directions: Tensor

    def __init__(self, first_dim: int, second_dim: int) -> None:
        super().__init__()
        for name, dim in (("first", first_dim), ("second", second_dim)):
            self.register_buffer(f"{name}_mean", torch.zeros(dim))
            self.register_buffer(f"{name}_directions", torch.zeros(dim, 0))

    def fit(self, covariances: Covariances, *, ridge: float, dims: int) -> Tensor:
        """Stores the directions of `canonical` and returns their correlations."""
        found = canonical(covariances, ridge=ridge, dims=dims)
        self.keep("first_mean", covariances.first_mean)
        self.keep("second_mean", covariances.second_mean)
        self.keep("first_directions", found.first)
        self.keep("second_directions", found.second)
        return found.correlations

    def first(self, vectors: Tensor) -> Tensor:
        """[N, D1] → [N, d] of length 1."""
        return functional.normalize((vectors - self.first_mean) @ self.first_directions, dim=1)

    def second(self, vectors: Tensor) -> Tensor:
        """[M, D2] → [M, d] of length 1."""
        return functional.normalize((vectors - self.second_mean) @ self.second_directions, dim=1)


class CorrelationModel(RetrievalModel):
    """A system that scores by the cosine in the space of a canonical correlation analysis of its two views.

    Args:
        video_dim: Dv, size of a clip's feature vector.
        ridge: added to both covariances, as a fraction of their mean variance.
        dims: maximum number of directions.
    """

    losses_use_fit = False  # the analysis is not part of the loss
    space: CanonicalSpace

    def __init__(self, video_dim: int, *, ridge: float, dims: int) -> None:
        super().__init__()
        self.ridge, self.dims = ridge, dims
        self.standardized = Standardized(video_dim)

    @abstractmethod
    def fitted_views(self, data: ItemTensors, clips: Indices, utterances: Indices) -> tuple[Tensor, Tensor]:
        """Views that the analysis is fitted to: [N, D1] of the clips, [M, D2] of the utterances."""

    def scores(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        """[N, M] cosines."""
        return inner_products(clips["vector"], utterances["vector"])

    def prepare(self, data: ItemTensors, clips: Indices, utterances: Indices) -> None:
        self.standardized.fit(data.video[data.on_device(clips)])

    def fit_after_epoch(
        self, data: ItemTensors, clips: Indices, utterances: Indices, generator: np.random.Generator
    ) -> None:
        """Fits the analysis to all pairs of the same class, in closed form."""
        clip_classes = data.clip_classes[data.on_device(clips)]
        utterance_classes = data.utterance_classes[data.on_device(utterances)]
        found = class_covariances(*self.fitted_views(data, clips, utterances), clip_classes, utterance_classes)
        self.space.fit(found, ridge=self.ridge, dims=self.dims)


class ClassifierCorrelationModel(CorrelationModel):
    """`CorrelationModel` whose utterance vectors are from FMN's Bi-LSTM, trained as a classifier in the same run.

    Args:
        config: configuration of the Bi-LSTM.
        video_dim: size of a clip's feature vector.
        audio_dim: size of an audio frame.
        ridge: see `CorrelationModel`.
        dims: see `CorrelationModel`.
    """

    def __init__(self, config: Config, video_dim: int, audio_dim: int, *, ridge: float, dims: int) -> None:
        super().__init__(video_dim, ridge=ridge, dims=dims)
        self.utterances = UtteranceClassifier(config, audio_dim)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of the utterances' classes."""
        return {"class": functional.cross_entropy(self.utterances(batch.audio), batch.utterance_classes)}

    def prepare(self, data: ItemTensors, clips: Indices, utterances: Indices) -> None:
        super().prepare(data, clips, utterances)
        self.utterances.head.open(class_count(data))


def of_speech(config: Config) -> ClassCrossEntropy:
    """The utterances' Bi-LSTM is trained with a class cross-entropy; clips enter only by their class means."""
    return "speech"


def _ridged(covariance: Tensor, ridge: float) -> Tensor:
    size = len(covariance)
    amount = ridge * covariance.diagonal().mean().clamp(min=1e-12)
    return covariance + amount * torch.eye(size, dtype=covariance.dtype, device=covariance.device)


def _inverse_root(covariance: Tensor, ridge: float) -> Tensor:
    values, vectors = torch.linalg.eigh(_ridged(covariance, ridge))
    least = values.max() * 1e-12
    root: Tensor = (vectors * values.clamp(min=float(least)).rsqrt()) @ vectors.T
    return root
