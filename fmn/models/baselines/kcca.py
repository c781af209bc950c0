"""KCCA: kernel canonical correlation analysis (Hwang and Grauman 2012, after Hardoon et al. 2004).

Described: centered kernels of both views, the regularized generalized eigenproblem, projections of new items through
their kernels with the fitted ones. Solved here as linear CCA of the kernel principal components, which is equivalent.
Our choices: Gaussian kernels whose bandwidth is the median distance (Hwang and Grauman used χ² kernels of visual words,
which these features are not); the ridge; fitted to distinct items and never to the 50,000 pairs, whose covariances
follow from class means (see cca.py); the utterance's vector is the same as in CCA, trained in the same run.
Unspecified in the paper: the kernels, their bandwidths, and the regularization.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fmn.config import Config
from fmn.config_sections import Positive, Size, section_from
from fmn.data.batches import Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.baselines.parts.correlation import CanonicalSpace, ClassifierCorrelationModel, of_speech
from fmn.models.resizable_buffers import ResizableBuffers
from fmn.models.retrieval_model import Embeddings, encode_all_utterances
from fmn.models.system_interface import OF_FMN, OF_TRIPLETS, Changes, System

LEAST_VARIANCE = 1e-9  # of a kernel principal component, relative to the largest


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of KCCA.

    Attributes:
        ridge: added to both covariances of the kernel principal components, as a fraction of their mean variance.
        bandwidth: bandwidth of the Gaussian kernels, in median distances.
        dims: maximum number of directions.
    """

    ridge: Positive = 1.0
    bandwidth: Positive = 1.0
    dims: Size = 1024


class KernelComponents(ResizableBuffers):
    """Kernel principal components: Gaussian kernel, centered, all components of nonzero variance.

    Args:
        dim: size of a vector.
    """

    items: Tensor
    width: Tensor
    item_means: Tensor
    components: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("items", torch.zeros(0, dim))
        self.register_buffer("width", torch.ones(()))
        self.register_buffer("item_means", torch.zeros(0))
        self.register_buffer("components", torch.zeros(0, 0))

    def fit(self, vectors: Tensor, bandwidth: float) -> None:
        """Fits vectors [n, D]; ``bandwidth`` is in units of their median pairwise distance."""
        self.keep("items", vectors)
        distances = torch.cdist(vectors.double(), vectors.double())
        apart = distances[~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)]
        self.keep("width", bandwidth * apart.median().clamp(min=1e-6))
        kernel = self._kernel(vectors)
        self.keep("item_means", kernel.mean(0))
        values, axes = torch.linalg.eigh(self._centered(kernel))
        kept = values > LEAST_VARIANCE * values.max()
        self.keep("components", axes[:, kept] * values[kept].rsqrt())

    def forward(self, vectors: Tensor) -> Tensor:
        """[N, D] → [N, components] in float64, so that their products are the centered kernel."""
        return self._centered(self._kernel(vectors)) @ self.components.double()

    def _kernel(self, vectors: Tensor) -> Tensor:
        """[N, D] → [N, n]."""
        squares = torch.cdist(vectors.double(), self.items.double()).square()
        return torch.exp(-squares / (2 * self.width.double().square()))

    def _centered(self, kernel: Tensor) -> Tensor:
        means = self.item_means.double()
        return kernel - kernel.mean(1, keepdim=True) - means + means.mean()


class KernelCorrelation(ClassifierCorrelationModel):
    """Clips and utterances in the space of a kernel canonical correlation analysis."""

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        options = section_from(Options, config.options, expected="ridge, bandwidth, dims", path="options.")
        super().__init__(config, video_dim, audio_dim, ridge=options.ridge, dims=options.dims)
        self.bandwidth = options.bandwidth
        self.clip_components = KernelComponents(video_dim)
        self.utterance_components = KernelComponents(self.utterances.encoder.output_dim)
        self.space = CanonicalSpace(0, 0)

    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, Dv] → ``vector`` [N, d]."""
        return {"vector": self.space.first(self.clip_components(self.standardized(video)).float())}

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences → the Bi-LSTM's ``raw`` [M, 2U], ``vector`` [M, d]."""
        raw = self.utterances.encoder(audio)
        return {"raw": raw, "vector": self.space.second(self.utterance_components(raw).float())}

    def fitted_views(self, data: ItemTensors, clips: Indices, utterances: Indices) -> tuple[Tensor, Tensor]:
        """Fits the kernels and returns the kernel principal components of both views."""
        video = self.standardized(data.video[data.on_device(clips)])
        audio = encode_all_utterances(self, data, utterances)["raw"]
        self.clip_components.fit(video, self.bandwidth)
        self.utterance_components.fit(audio, self.bandwidth)
        return self.clip_components(video), self.utterance_components(audio)


def grid(config: Config) -> tuple[Changes, ...]:
    """A narrower kernel, ridges, a wider kernel."""
    return ({}, {"options.bandwidth": 0.5}, {"options.ridge": 10.0}, {"options.bandwidth": 2.0})


SYSTEM = System(
    name="kcca",
    summary="kernel canonical correlation analysis, Gaussian kernels",
    build=KernelCorrelation,
    options=Options,
    grid=grid,
    class_cross_entropy=of_speech,
    ignored=(
        *OF_FMN,
        *OF_TRIPLETS,
        "memory.temperature",
        *("model.embed_dim", "model.head_hidden_size", "model.step_attention"),
    ),
)
