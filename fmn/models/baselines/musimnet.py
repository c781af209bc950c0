"""MuSimNet (Prétet, Richard and Peeters 2020, "Learning to rank music tracks using triplet loss"): an approximation.

Described: a convolutional network on mel spectra, an auto-pooling layer over time (McFee et al. 2018), a triplet loss.
Our choices, because its layer table was not found: four blocks of 3×3 convolution, batch norm, ReLU and 2×2 max pooling
with 16, 32, 64 and 64 filters, where the first convolution has a stride of two and the last block has no pooling; an
embedding of size 128; the margin; 96 mel bands as for MusiCNN. The paper mines triplets from lists of tracks ranked by
a person's taste, which do not exist here: each pair of the same class is contrasted with its semi-hard negative in the
batch (fold 0 of a development corpus: mAP 69 %, 32 % with hard negatives). The published network compares tracks with
tracks. The paper of FMN does not state how it compared clips with speech: most likely as an audio front-end under a
VM-Net-like head (an inference from Prétet et al. 2021). Here the clip has such a branch, two layers to the same
embedding, and the triplet loss is between clips and utterances. All of it is trained end to end on the log-mel spectra
of whole utterances.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmn.config import Config
from fmn.config_sections import NotNegative, Size, section_from
from fmn.data.batches import Batch
from fmn.data.sequences import Sequences, within
from fmn.models.baselines.parts.spectral import log_mel_audio
from fmn.models.baselines.parts.towers import (
    ScoreTrainedTowers,
    class_weight_of,
    two_layers,
    with_class_cross_entropy,
)
from fmn.models.losses import triplet_loss
from fmn.models.system_interface import OF_FMN, OF_UTTERANCE_ENCODER, Changes, System

FILTERS = (16, 32, 64, 64)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of MuSimNet.

    Attributes:
        embedding: size of the common space.
        margin: margin of the triplet loss.
        class_weight: weight of an auxiliary class cross-entropy (``musimnet_ce``).
    """

    embedding: Size = 128
    margin: NotNegative = 0.3
    class_weight: NotNegative = 0.0


class AutoPool(nn.Module):
    """Auto-pooling (McFee, Salamon and Bello 2018): Σ_t softmax_t(α x) · x, with one learned α per component.

    α = 0 is the mean over time, α → ∞ the maximum.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(dim))

    def forward(self, states: Tensor, inside: Tensor) -> Tensor:
        """[B, T, D] and [B, T] bool (false past the end) → [B, D]."""
        weights = (self.alpha * states).masked_fill(~inside[:, :, None], -torch.inf).softmax(dim=1)
        pooled: Tensor = (weights * states).sum(dim=1)
        return pooled


class MelNetwork(nn.Module):
    """Convolutions over the log-mel spectrum and auto-pooling over time; exact under padding when not training.

    Args:
        bands: F, mel bands.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.normalize = nn.BatchNorm2d(1, affine=False)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride=2 if inputs == 1 else 1, padding=1, bias=False)
            for inputs, outputs in zip((1, *FILTERS[:-1]), FILTERS, strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(filters) for filters in FILTERS)
        left = bands
        for _ in FILTERS:
            left = -(-left // 2)
        self.output_dim = FILTERS[-1] * left
        self.pool = AutoPool(self.output_dim)

    def forward(self, sequences: Sequences) -> Tensor:
        """[B, T, F] → [B, output_dim]."""
        frames, lengths = sequences
        inside = sequences.inside
        maps = self.normalize(frames[:, None]) * inside[:, None, :, None]
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            maps = norm(convolution(maps))
            if number == 0:
                lengths, inside = _halved(lengths, maps)
            maps = maps * inside[:, None, :, None]  # 0 past the end: no maximum that passes the ReLU
            if number < len(FILTERS) - 1:
                maps = functional.max_pool2d(maps, 2, ceil_mode=True)
                lengths, inside = _halved(lengths, maps)
            maps = torch.relu(maps)
        states = maps.permute(0, 2, 1, 3).flatten(2)  # [B, T / 16, filters · bands / 16]
        pooled: Tensor = self.pool(states, inside)
        return pooled


class MusicSimilarityNetwork(ScoreTrainedTowers):
    """The mel network for utterances, two layers for clips, a triplet loss between them."""

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        options = section_from(Options, config.options, expected="embedding, margin, class_weight", path="options.")
        encoder, model = MelNetwork(audio_dim), config.model
        super().__init__(
            config,
            video_dim,
            encoder,
            two_layers(video_dim, options.embedding, model),
            nn.Sequential(nn.Dropout(model.dropout), nn.Linear(encoder.output_dim, options.embedding)),
            dim=options.embedding,
            class_weight=options.class_weight,
        )
        self.margin = options.margin

    def retrieval_loss(self, similarity: Tensor, batch: Batch) -> Tensor:
        """The triplet loss in its standard form, both directions."""
        return triplet_loss(similarity, batch.match, margin=self.margin, negatives=self.config.training.negatives)


def _halved(lengths: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
    """Lengths [B] after a stride of two, and the mask [B, T] of the maps' frames [B, C, T, F] within them."""
    lengths = (lengths + 1).div(2, rounding_mode="floor")
    return lengths, within(lengths, maps.shape[2])


def adapt(config: Config) -> Config:
    """Log-mel spectra instead of MFCC, semi-hard negatives."""
    training = replace(config.training, negatives="semi-hard")
    return replace(config, audio=log_mel_audio(config.audio), training=training)


def grid(config: Config) -> tuple[Changes, ...]:
    """Learning rates, and hard negatives."""
    rate = config.training.learning_rate
    return (
        {},
        {"training.learning_rate": rate / 3},
        {"training.learning_rate": rate * 3},
        {"training.negatives": "hard"},
    )


SYSTEM = System(
    name="musimnet",
    summary="MuSimNet: mel network with auto-pooling, triplet loss (an approximation)",
    build=MusicSimilarityNetwork,
    adapt=adapt,
    options=Options,
    grid=grid,
    class_cross_entropy=class_weight_of,
    footnote=lambda config: "an approximation: the published layer table was not found",
    ignored=(
        *OF_FMN,
        *OF_UTTERANCE_ENCODER,
        *("model.head_hidden_size", "model.step_attention"),
        *("training.triplet", "training.margin", "training.triplet_temperature"),
    ),
)
SYSTEMS = (SYSTEM, with_class_cross_entropy(SYSTEM))
