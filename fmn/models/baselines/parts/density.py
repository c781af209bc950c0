"""Class posteriors by kernel density estimation from a few numbers per item: baselines without training."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fmn.config import Config
from fmn.data.batches import Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.baselines.parts.class_vectors import class_count
from fmn.models.resizable_buffers import ResizableBuffers
from fmn.models.retrieval_model import Embeddings, RetrievalModel


class DensityClassifier(ResizableBuffers):
    """P(class | x), equal priors, each class the mean of Gaussians around its fitted items.

    The bandwidth is Scott's, in standard deviations over all items: n^(−1/(d+4)) for n items per class in d dimensions.

    Args:
        dim: d.
    """

    items: Tensor
    classes: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("items", torch.zeros(0, dim))
        self.register_buffer("classes", torch.zeros(0, 0))  # one row per item, 1 in the column of its class
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, vectors: Tensor, classes: Tensor, count: int) -> None:
        """Stores the items [n, d] and their classes [n], one of ``count`` classes each."""
        self.mean.copy_(vectors.mean(0))
        self.scale.copy_(vectors.std(0, correction=0).clamp(min=1e-6))
        self.keep("items", (vectors - self.mean) / self.scale)
        self.keep("classes", functional.one_hot(classes, count))

    def forward(self, vectors: Tensor) -> Tensor:
        """[N, d] → log posterior [N, C]; a class without items has −∞."""
        sizes = self.classes.sum(0).double()  # [C]
        present = sizes[sizes > 0]
        bandwidth = present.mean() ** (-1 / (vectors.shape[1] + 4))
        apart = torch.cdist(((vectors - self.mean) / self.scale).double(), self.items.double()) / bandwidth
        kernel = -apart.square() / 2  # [N, n]
        of_class = self.classes.T.bool()  # [C, n]
        log_sums = kernel[:, None].masked_fill(~of_class[None], -torch.inf).logsumexp(dim=2)
        return (log_sums - sizes.clamp(min=1).log()).log_softmax(dim=1).float()


class DensityModel(RetrievalModel):
    """Scores the probability that clip and utterance are of the same class, from a few numbers each; no training."""

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        super().__init__()
        self.clips = DensityClassifier(video_dim)
        self.utterances = DensityClassifier(audio_dim)

    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, Dv] → ``log_posterior`` [N, C]."""
        return {"log_posterior": self.clips(video)}

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences → ``log_posterior`` [M, C], from their means."""
        return {"log_posterior": self.utterances(_means(audio))}

    def scores(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        """[N, M]: log probability that both are of the same class."""
        both = clips["log_posterior"][:, None] + utterances["log_posterior"][None]
        return both.logsumexp(dim=2)

    def fit_after_epoch(
        self, data: ItemTensors, clips: Indices, utterances: Indices, generator: np.random.Generator
    ) -> None:
        """Stores the training items."""
        clip_rows, utterance_rows = data.on_device(clips), data.on_device(utterances)
        count = class_count(data)
        self.clips.fit(data.video[clip_rows], data.clip_classes[clip_rows], count)
        self.utterances.fit(_means(data.utterances(utterances)), data.utterance_classes[utterance_rows], count)


def _means(audio: Sequences) -> Tensor:
    """[M, F]: the mean frame of each sequence; the padding is zero."""
    return audio.frames.sum(1) / audio.lengths[:, None]
