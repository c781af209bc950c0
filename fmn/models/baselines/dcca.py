"""DCCA: deep canonical correlation analysis (Andrew et al. 2013).

Described: one network per view, trained to maximize the sum of the canonical correlations of their outputs, the nuclear
norm of T = Σ11^-½ Σ12 Σ22^-½ with a ridge on both covariances, over large batches; then linear CCA of the outputs.
Several published ports compute another loss (element-wise square roots, the smallest singular values, squares): here it
is the sum of the singular values, tested against linear CCA in closed form.
Our choices: two layers per view, ReLU; FMN's Bi-LSTM before the audio view, trained end to end; 256 pairs per batch, at
least four batches per epoch. The correlation of a batch is that of all pairs of the same class among its items, every
clip with every utterance: with the drawn pairs alone, a batch of unrelated items has half the correlation that 20
classes can have, and nothing is learned (fold 0 of a development corpus: mAP 24 %, 66 % with all pairs). 10 outputs and
the ridge were chosen there, too.
Unspecified in the paper: sizes, ridge and batch size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from fmn.config import Config
from fmn.config_sections import Positive, Size, section_from
from fmn.data.batches import Batch, Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.baselines.parts.correlation import (
    CanonicalSpace,
    CorrelationModel,
    class_covariances,
    total_correlation,
)
from fmn.models.baselines.parts.towers import larger_batches, two_layers, utterance_encoder
from fmn.models.retrieval_model import Embeddings, encode_all
from fmn.models.system_interface import OF_FMN, OF_TRIPLETS, Changes, System

BATCH_PAIRS = 256


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of DCCA.

    Attributes:
        outputs: outputs of each network; at most the number of pairs in a batch.
        ridge: added to both covariances, as a fraction of their mean variance.
    """

    outputs: Size = 10
    ridge: Positive = 0.1


class DeepCorrelation(CorrelationModel):
    """Two networks trained for correlated outputs, and linear CCA of these."""

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        options = section_from(Options, config.options, expected="outputs, ridge", path="options.")
        super().__init__(video_dim, ridge=options.ridge, dims=options.outputs)
        outputs = options.outputs
        self.encoder = utterance_encoder(config, audio_dim)
        self.clip_network = two_layers(video_dim, outputs, config.model)
        self.utterance_network = two_layers(self.encoder.output_dim, outputs, config.model)
        self.space = CanonicalSpace(outputs, outputs)

    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, Dv] → the network's ``output`` [N, outputs], ``vector`` [N, d]."""
        output = self.clip_network(self.standardized(video)).float()
        return {"output": output, "vector": self.space.first(output)}

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences → the network's ``output`` [M, outputs], ``vector`` [M, d]."""
        output = self.utterance_network(self.encoder(audio)).float()
        return {"output": output, "vector": self.space.second(output)}

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The negative total correlation of all pairs of the same class in the batch."""
        clips, utterances = self.encode_clips(batch.video)["output"], self.encode_utterances(batch.audio)["output"]
        found = class_covariances(clips, utterances, batch.clip_classes, batch.utterance_classes)
        return {"correlation": -total_correlation(found, ridge=self.ridge)}

    def fitted_views(self, data: ItemTensors, clips: Indices, utterances: Indices) -> tuple[Tensor, Tensor]:
        of_clips, of_utterances = encode_all(self, data, clips, utterances)
        return of_clips["output"], of_utterances["output"]


def adapt(config: Config) -> Config:
    """Large batches, which the objective requires."""
    return replace(config, training=larger_batches(config.training, BATCH_PAIRS))


def grid(config: Config) -> tuple[Changes, ...]:
    """Ridge, outputs, learning rate."""
    rate = config.training.learning_rate
    return ({}, {"options.ridge": 1.0}, {"options.outputs": 20}, {"training.learning_rate": rate / 3})


SYSTEM = System(
    name="dcca",
    summary="deep canonical correlation analysis",
    build=DeepCorrelation,
    adapt=adapt,
    options=Options,
    grid=grid,
    ignored=(*OF_FMN, *OF_TRIPLETS, "memory.temperature", "model.head_hidden_size", "model.step_attention"),
)
