"""MusiCNN (Pons and Serra 2019): a music tagger with musically motivated filters, as a speech encoder.

Described: 16 kHz, FFT 512, hop 256, 96 mel bands, log10(10,000 x + 1); batch norm; front-end with 204 timbral filters
each of 7×38 and 7×67 (time × bands) and 51 temporal ones each of 128×1, 64×1 and 32×1, each convolution → ReLU → batch
norm → maximum over bands, 561 channels; mid-end of three convolutions of width 7 with 64 filters, the second and third
residual, all concatenated, 753 channels; back-end of maximum and mean over time (1,506) → batch norm → dropout .5
→ dense layer of 200 with ReLU → batch norm → dropout. 777,109 parameters up to there. Adam with 1e-3.
Our choices: trained from scratch (the published weights are TensorFlow checkpoints for music tags); whole utterances,
masked past their end, instead of excerpts of 3 s (187 frames); a linear layer to the common space instead of tags, a
VM-Net-like branch of two layers for clips, and FMN's triplet loss between them. In the preset ``demo``, a quarter of
the filters, 48 bands instead of 96 (timbral filters of 7×19 and 7×33) and half the epochs, because it is by far the
slowest system: an epoch takes five times as long as one of FMN, with 96 bands thirteen times.
Unspecified in the paper: how the paper of FMN used a tagger to compare clips with speech; most likely as an audio
front-end under a VM-Net-like head (an inference from Prétet et al. 2021).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from dataset_tools.core.count_of import count_of
from dataset_tools.core.errors import InputError
from fmn.config import Config
from fmn.config_sections import Positive, Proportion, section_from
from fmn.data.batches import Batch
from fmn.data.sequences import Sequences
from fmn.models.baselines.parts.batch_norm import BatchNorm1d
from fmn.models.baselines.parts.spectral import BANDS, log_mel_audio
from fmn.models.baselines.parts.towers import ScoreTrainedTowers, two_layers
from fmn.models.losses import configured_triplet
from fmn.models.system_interface import OF_FMN, OF_UTTERANCE_ENCODER, Changes, System

TIMBRAL_FILTERS, TIMBRAL_SHARES = 204, (0.4, 0.7)  # shares of the bands, rounded down: 38 and 67 of 96
TEMPORAL_FILTERS, TEMPORAL_FRAMES = 51, (128, 64, 32)
MIDDLE_FILTERS, DENSE_UNITS = 64, 200
TIMBRAL_FRAMES = MIDDLE_WIDTH = 7
POSITIONS_AT_ONCE = 12
PUBLISHED_RATE = 1e-3
DEMO_FILTERS, DEMO_BANDS, DEMO_EPOCHS = 0.25, 48, 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of MusiCNN.

    Attributes:
        filters: factor on every number of filters and units; 1 is the published network.
        dropout: dropout of the back-end.
    """

    filters: Positive = 1.0
    dropout: Proportion = 0.5


class Musicnn(nn.Module):
    """The published network up to its layer of 200; exact under padding when not training.

    Args:
        bands: F, mel bands; 96 in the published network.
        filters: factor on every number of filters and units.
        dropout: dropout of the back-end.
    """

    def __init__(self, bands: int, *, filters: float = 1.0, dropout: float = 0.5) -> None:
        super().__init__()
        timbral, temporal, middle, dense = (
            max(1, round(filters * count)) for count in (TIMBRAL_FILTERS, TEMPORAL_FILTERS, MIDDLE_FILTERS, DENSE_UNITS)
        )
        self.normalize = nn.BatchNorm2d(1, affine=False)
        self.front = nn.ModuleList(
            [_Front(timbral, TIMBRAL_FRAMES, max(1, int(share * bands))) for share in TIMBRAL_SHARES]
            + [_Front(temporal, frames, 1) for frames in TEMPORAL_FRAMES]
        )
        self.front_channels = 2 * timbral + 3 * temporal
        self.middle = nn.ModuleList(_Middle(inputs, middle) for inputs in (self.front_channels, middle, middle))
        self.channels = self.front_channels + 3 * middle
        self.output_dim = dense
        self.back = nn.Sequential(
            BatchNorm1d(2 * self.channels),
            nn.Dropout(dropout),
            nn.Linear(2 * self.channels, dense),
            nn.ReLU(),
            BatchNorm1d(dense),
            nn.Dropout(dropout),
        )

    def forward(self, sequences: Sequences) -> Tensor:
        """[B, T, F] → [B, 200]."""
        states, inside = self.states(sequences)
        largest = states.masked_fill(~inside, -torch.inf).amax(dim=2)
        mean = states.sum(dim=2) / sequences.lengths[:, None]
        output: Tensor = self.back(torch.cat([largest, mean], dim=1))
        return output

    def states(self, sequences: Sequences) -> tuple[Tensor, Tensor]:
        """[B, T, F] → front-end and mid-end concatenated [B, 753, T], zero past the end, and the mask [B, 1, T]."""
        inside = sequences.inside[:, None]
        maps = self.normalize(sequences.frames[:, None]) * inside[:, :, :, None]
        front = torch.cat([part(maps) for part in self.front], dim=1) * inside
        first = self.middle[0](front) * inside
        second = first + self.middle[1](first) * inside
        third = second + self.middle[2](second) * inside
        return torch.cat([front, first, second, third], dim=1), inside


class _Front(nn.Module):
    """Convolution → ReLU → batch norm → maximum over the bands, reordered to take a third of the time."""

    def __init__(self, filters: int, frames: int, bands: int) -> None:
        super().__init__()
        self.padding = ((frames - 1) // 2, frames // 2)  # keeps the number of frames
        self.convolution = nn.Conv2d(1, filters, (frames, bands))
        self.norm = nn.BatchNorm2d(filters)

    def forward(self, maps: Tensor) -> Tensor:
        """[B, 1, T, F] → [B, filters, T]."""
        bands = functional.pad(maps[:, 0].transpose(1, 2), self.padding)  # [B, F, frames]
        wide = self.convolution.weight.shape[3] > 1
        convolved = _across_bands(bands, self.convolution) if wide else [_along_time(bands, self.convolution)]
        return normed_maxima([torch.relu(part) for part in convolved], self.norm)


def _along_time(bands: Tensor, convolution: nn.Conv2d) -> Tensor:
    """The convolution with filters one band wide: [B, F, frames] → [B, filters, F, T]."""
    found: Tensor = convolution(bands[:, None].transpose(2, 3))
    return found.transpose(2, 3)


def _across_bands(bands: Tensor, convolution: nn.Conv2d) -> list[Tensor]:
    """The convolution with filters many bands wide, as convolutions over time whose channels are bands.

    On a CPU these run twice as fast as a convolution with one channel, although the weights for each of
    `POSITIONS_AT_ONCE` neighboring positions of a filter are zero-padded to cover the others.

    Args:
        bands: [B, F, frames].
        convolution: has weights [filters, 1, k, h].

    Returns:
        [B, filters, positions, T] for groups of neighboring positions, F − h + 1 in all.
    """
    weight = convolution.weight[:, 0].transpose(1, 2)  # [filters, h, k]
    filters, height, frames = weight.shape
    positions = bands.shape[1] - height + 1
    parts = []
    for start in range(0, positions, POSITIONS_AT_ONCE):
        count = min(POSITIONS_AT_ONCE, positions - start)
        width = height + count - 1
        # Rows of h weights and `count` zeros are flattened and split into rows one shorter: each is shifted by one.
        rows = functional.pad(weight, (0, 0, 0, count))[:, None].expand(-1, count, -1, -1)
        shifted = rows.reshape(filters, -1, frames)[:, : count * width].reshape(filters * count, width, frames)
        assert convolution.bias is not None
        found = functional.conv1d(bands[:, start : start + width], shifted, convolution.bias.repeat_interleave(count))
        parts.append(found.view(len(bands), filters, count, -1))
    return parts


def normed_maxima(parts: list[Tensor], norm: nn.BatchNorm2d) -> Tensor:
    """The maximum over all bands of the batch-normed maps; only maxima are normed, since the norm is monotonic.

    Args:
        parts: [B, C, bands, T], the bands in several parts.
        norm: batch norm of C channels; where its factor is negative, the minimum becomes the maximum.

    Returns:
        [B, C, T].
    """
    mean, variance = _moments(parts, norm)
    factor = norm.weight * (variance + norm.eps).rsqrt()
    top = torch.stack([part.max(dim=2).values for part in parts]).amax(dim=0)
    if factor.device.type != "cpu" or bool((factor < 0).any()):  # to look would wait for another device
        bottom = torch.stack([part.min(dim=2).values for part in parts]).amin(dim=0)
        top = torch.where(factor[:, None] < 0, bottom, top)
    return factor[:, None] * (top - mean[:, None]) + norm.bias[:, None]


def _moments(parts: list[Tensor], norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Mean and variance [C] for ``norm``; in training those of the maps, which also update its running statistics."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.momentum is not None
    if not norm.training:
        return norm.running_mean, norm.running_var
    count = sum(part[:, 0].numel() for part in parts)
    mean = torch.stack([part.sum((0, 2, 3)) for part in parts]).sum(0) / count
    squares = torch.stack([torch.linalg.vector_norm(part, dim=(0, 2, 3)) for part in parts]).square().sum(0) / count
    variance = (squares - mean.square()).clamp(min=0)
    with torch.no_grad():
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * (count / max(count - 1, 1)), norm.momentum)
    return mean, variance


class _Middle(nn.Module):
    """Convolution over time → ReLU → batch norm."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(inputs, filters, MIDDLE_WIDTH, padding=MIDDLE_WIDTH // 2)
        self.norm = nn.BatchNorm1d(filters)

    def forward(self, states: Tensor) -> Tensor:
        """[B, inputs, T] → [B, filters, T]."""
        found: Tensor = self.norm(torch.relu(self.convolution(states)))
        return found


class MusicnnTowers(ScoreTrainedTowers):
    """MusiCNN for utterances, two layers for clips, a triplet loss between them."""

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        options = section_from(Options, config.options, expected="filters, dropout", path="options.")
        encoder, model = Musicnn(audio_dim, filters=options.filters, dropout=options.dropout), config.model
        super().__init__(
            config,
            video_dim,
            encoder,
            two_layers(video_dim, model.embed_dim, model),
            nn.Linear(encoder.output_dim, model.embed_dim),
        )

    def retrieval_loss(self, similarity: Tensor, batch: Batch) -> Tensor:
        """FMN's triplet loss in its configured form, both directions."""
        return configured_triplet(similarity, batch.match, self.config.training)


def adapt(config: Config) -> Config:
    """The published input and learning rate; a smaller network and fewer epochs in a small preset."""
    training, audio = replace(config.training, learning_rate=PUBLISHED_RATE), log_mel_audio(config.audio)
    options = dict(config.options)
    if training.pairs_per_epoch is not None:
        training = replace(training, epochs=max(1, training.epochs // DEMO_EPOCHS))
        audio = replace(audio, n_mels=DEMO_BANDS)
        options.setdefault("filters", DEMO_FILTERS)
    return replace(config, audio=audio, training=training, options=options)


def check(config: Config) -> None:
    """Checks that there is something to train.

    Raises:
        InputError: the triplet loss is off; there is no other.
    """
    if config.training.triplet == "off":
        raise InputError(
            "musicnn has no other loss than the triplet loss, and training.triplet is off",
            expected="training.triplet standard, softmax or as_published",
            next_step="select one with --set training.triplet=…, leave that value out, or (fmn compare) leave musicnn "
            "out of --models",
        )


def grid(config: Config) -> tuple[Changes, ...]:
    """Semi-hard negatives and a margin in the triplet loss, learning rates."""
    rate = config.training.learning_rate
    return (
        {},
        {"training.triplet": "standard", "training.negatives": "semi-hard"},
        {"training.learning_rate": rate * 3},
        {"training.learning_rate": rate / 3},
    )


def footnote(config: Config) -> str:
    """States how far the network is scaled down."""
    filters, bands = config.options.get("filters", 1.0), config.audio.n_mels
    if filters == 1 and bands == BANDS:
        return ""
    return (
        f"cut down ({filters:g} of the published filters, {bands} of {BANDS} mel bands, "
        f"{count_of(config.training.epochs, 'epoch')}): no evidence against MusiCNN"
    )


SYSTEM = System(
    name="musicnn",
    summary="MusiCNN as the encoder of speech, triplet loss",
    build=MusicnnTowers,
    adapt=adapt,
    options=Options,
    grid=grid,
    footnote=footnote,
    check=check,
    ignored=(*OF_FMN, *OF_UTTERANCE_ENCODER, "memory.temperature", "model.head_hidden_size", "model.step_attention"),
)
