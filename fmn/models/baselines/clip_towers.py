"""Two towers with CLIP's loss: symmetric InfoNCE over the pairs of a batch, with a learned temperature.

Described: the mean of two cross-entropies, of the clips' softmax over the utterances of the batch and vice versa, of
cosines times a learned scale that starts at 1 / 0.07 and never exceeds 100 (Radford et al., Learning Transferable
Visual Models From Natural Language Supervision, 2021). Our choices: FMN's towers (features, Bi-LSTM, one linear map
each, dropout), its batch and augmentation, so that only the loss and the memory differ. As described, every other pair
of the batch is a negative, including those of the same class; only pairs with the same clip or utterance are masked,
of which CLIP's data have almost none.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor, nn

from fmn.config import Config
from fmn.config_sections import Positive, section_from
from fmn.data.batches import Batch
from fmn.models.baselines.parts.margin_softmax import drawn_pairs, margin_loss
from fmn.models.baselines.parts.towers import ScoreTrainedTowers, utterance_encoder
from fmn.models.system_interface import OF_FMN, OF_TRIPLETS, System

LARGEST_SCALE = 100.0


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of two towers with CLIP's loss.

    Attributes:
        temperature: initial value of the learned softmax temperature.
    """

    temperature: Positive = 0.07


class ClipTowers(ScoreTrainedTowers):
    """One linear map into the common space for clips and one for utterances; the score is the cosine."""

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        options = section_from(Options, config.options, expected="temperature", path="options.")
        model, encoder = config.model, utterance_encoder(config, audio_dim)
        super().__init__(
            config,
            video_dim,
            encoder,
            nn.Sequential(nn.Dropout(model.dropout), nn.Linear(video_dim, model.embed_dim)),
            nn.Sequential(nn.Dropout(model.dropout), nn.Linear(encoder.output_dim, model.embed_dim)),
        )
        self.log_scale = nn.Parameter(torch.tensor(-log(options.temperature)))

    def retrieval_loss(self, similarity: Tensor, batch: Batch) -> Tensor:
        """Symmetric InfoNCE of the drawn pairs, from cosines [V, A] of the batch's distinct items."""
        scale = self.log_scale.exp().clamp(max=LARGEST_SCALE)
        return margin_loss(*drawn_pairs(scale * similarity, batch.pairs), kind="fixed", amount=0.0) / 2


SYSTEM = System(
    name="clip_towers",
    summary="two towers, symmetric InfoNCE with a learned temperature (CLIP)",
    build=ClipTowers,
    options=Options,
    ignored=(*OF_FMN, *OF_TRIPLETS, "memory.temperature", "model.head_hidden_size", "model.step_attention"),
)
