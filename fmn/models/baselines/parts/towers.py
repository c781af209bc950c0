"""Two-tower base class: each side encoded separately into a common space, scored by the dot product."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmn.config import Config, ModelConfig, TrainingConfig
from fmn.data.batches import Batch, Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.baselines.parts.class_vectors import ClassVectors, class_count
from fmn.models.inner_products import inner_products
from fmn.models.retrieval_model import Embeddings, RetrievalModel
from fmn.models.system_interface import ClassCrossEntropy, System
from fmn.models.utterance_encoder import UtteranceEncoder


class Standardized(nn.Module):
    """Standardizes clip features by the mean and standard deviation of the fitted clips."""

    mean: Tensor
    scale: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))

    def fit(self, video: Tensor) -> None:
        """Stores mean and standard deviation of [N, Dv]."""
        self.mean.copy_(video.mean(0))
        self.scale.copy_(video.std(0, correction=0).clamp(min=1e-6))

    def forward(self, video: Tensor) -> Tensor:
        """[N, Dv] → [N, Dv]."""
        return (video - self.mean) / self.scale


def utterance_encoder(config: Config, audio_dim: int) -> UtteranceEncoder:
    """FMN's Bi-LSTM, with the same configuration."""
    model = config.model
    return UtteranceEncoder(audio_dim, model.hidden_size, stack=model.frame_stack, pooling=model.pooling)


def two_layers(inputs: int, outputs: int, model: ModelConfig) -> nn.Module:
    """[N, inputs] → [N, outputs] through a hidden layer of ``embed_dim`` units (ReLU), dropout before each."""
    units, dropout = model.embed_dim, model.dropout
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(inputs, units), nn.ReLU(), nn.Dropout(dropout), nn.Linear(units, outputs)
    )


def larger_batches(training: TrainingConfig, pairs: int) -> TrainingConfig:
    """Batches of at least ``pairs`` pairs, and at least four batches per epoch."""
    pairs_per_epoch = training.pairs_per_epoch and max(training.pairs_per_epoch, 4 * pairs)
    return replace(training, batch_size=max(training.batch_size, pairs), pairs_per_epoch=pairs_per_epoch)


class TwoTowers(RetrievalModel):
    """Encodes clips by ``map_video`` of their standardized features, utterances by ``encoder`` and ``map_audio``.

    Args:
        config: configuration; a subclass may read its training section.
        video_dim: Dv, size of a clip's feature vector.
        encoder: `Sequences` of M utterances → [M, E].
        map_video: [N, Dv] → [N, D].
        map_audio: [M, E] → [M, D].
        unit: whether vectors are normalized to length 1, so that a score is a cosine.
        dim: D, required for a class loss.
        class_weight: weight of `class_losses`; 0 disables them.
    """

    def __init__(
        self,
        config: Config,
        video_dim: int,
        encoder: nn.Module,
        map_video: nn.Module,
        map_audio: nn.Module,
        *,
        unit: bool = True,
        dim: int = 0,
        class_weight: float = 0.0,
    ) -> None:
        super().__init__()
        self.config = config
        self.standardized = Standardized(video_dim)
        self.encoder = encoder
        self.map_video = map_video
        self.map_audio = map_audio
        self.unit = unit
        self.class_weight = class_weight
        if class_weight:
            self.class_vectors = ClassVectors(dim, dim, temperature=config.memory.temperature)

    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, Dv] → ``vector`` [N, D]."""
        return {"vector": self._vector(self.map_video(self.standardized(video)))}

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences → ``vector`` [M, D]."""
        return {"vector": self._vector(self.map_audio(self.encoder(audio)))}

    def scores(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        """[N, M]: dot products of the vectors, cosines if these have length 1."""
        return inner_products(clips["vector"], utterances["vector"])

    def prepare(self, data: ItemTensors, clips: Indices, utterances: Indices) -> None:
        """Stores mean and standard deviation of the clips' features."""
        self.standardized.fit(data.video[data.on_device(clips)])
        if self.class_weight:
            self.class_vectors.open(class_count(data))

    def class_losses(self, clips: Embeddings, utterances: Embeddings, batch: Batch) -> dict[str, Tensor]:
        """Auxiliary class cross-entropy on both modalities, by learned class vectors; these do not enter the scores."""
        if not self.class_weight:
            return {}
        of = self.class_vectors.cross_entropy
        return {
            "video_class": self.class_weight * of("video", clips["vector"], batch.clip_classes),
            "audio_class": self.class_weight * of("audio", utterances["vector"], batch.utterance_classes),
        }

    def _vector(self, mapped: Tensor) -> Tensor:
        return functional.normalize(mapped.float(), dim=1) if self.unit else mapped.float()


class ScoreTrainedTowers(TwoTowers):
    """Two towers trained by one loss on the scores of a batch, plus the class loss if there is one."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The loss of all combinations of the batch's clips and utterances."""
        clips, utterances = self.encode_clips(batch.video), self.encode_utterances(batch.audio)
        retrieval = self.retrieval_loss(self.scores(clips, utterances), batch)
        return {"retrieval": retrieval, **self.class_losses(clips, utterances, batch)}

    @abstractmethod
    def retrieval_loss(self, similarity: Tensor, batch: Batch) -> Tensor:
        """The loss of a batch from the scores [V, A] of its clips and utterances."""


def class_weight_of(config: Config) -> ClassCrossEntropy:
    """Both modalities if ``options.class_weight`` is not 0."""
    return "both sides" if config.options.get("class_weight") else "no"


def with_class_cross_entropy(system: System) -> System:
    """The system ``NAME_ce``: the same with an auxiliary class cross-entropy, ``options.class_weight`` = 1."""

    def adapt(config: Config) -> Config:
        adapted = system.adapt(config)
        return replace(adapted, options={"class_weight": 1.0, **adapted.options})

    return replace(system, name=f"{system.name}_ce", summary=f"{system.summary}, and class cross-entropy", adapt=adapt)
