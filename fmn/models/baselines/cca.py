"""CCA: linear canonical correlation analysis of clips and utterances (Hotelling 1936; Thompson 2000).

Described: both views centered, T = Σ11^-½ Σ12 Σ22^-½, its singular vectors, the leading d directions, the cosine there.
Our choices: the ridge, equal to the mean variance (there are more dimensions than items; fold 0 of a development
corpus: mAP 75 %, 51 % with a ridge ten thousand times smaller); the pairs, all pairs of the same class, as everywhere
here, so that the cross-covariance depends on class means only and the number of directions is at most the number of
classes − 1. CCA needs one vector per utterance: that of FMN's Bi-LSTM, trained end to end as a classifier in the same
run; CCA is refitted to it whenever scores are computed.
Unspecified in the paper: which vector represents the utterance, the number of directions, and the ridge.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fmn.config import Config
from fmn.config_sections import Positive, Size, section_from
from fmn.data.batches import Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.baselines.parts.correlation import CanonicalSpace, ClassifierCorrelationModel, of_speech
from fmn.models.retrieval_model import Embeddings, encode_all_utterances
from fmn.models.system_interface import OF_FMN, OF_TRIPLETS, Changes, System


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of CCA.

    Attributes:
        ridge: added to both covariances, as a fraction of their mean variance.
        dims: d, maximum number of directions.
    """

    ridge: Positive = 1.0
    dims: Size = 1024


class CanonicalCorrelation(ClassifierCorrelationModel):
    """Clips and utterances in the space of a canonical correlation analysis."""

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        options = section_from(Options, config.options, expected="ridge, dims", path="options.")
        super().__init__(config, video_dim, audio_dim, ridge=options.ridge, dims=options.dims)
        self.space = CanonicalSpace(video_dim, self.utterances.encoder.output_dim)

    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, Dv] → ``vector`` [N, d]."""
        return {"vector": self.space.first(self.standardized(video))}

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences → the Bi-LSTM's ``raw`` [M, 2U], ``vector`` [M, d]."""
        raw = self.utterances.encoder(audio)
        return {"raw": raw, "vector": self.space.second(raw)}

    def fitted_views(self, data: ItemTensors, clips: Indices, utterances: Indices) -> tuple[Tensor, Tensor]:
        video = self.standardized(data.video[data.on_device(clips)])
        return video, encode_all_utterances(self, data, utterances)["raw"]


def grid(config: Config) -> tuple[Changes, ...]:
    """Ridges: there is no other free parameter."""
    return ({}, {"options.ridge": 0.1}, {"options.ridge": 10.0}, {"options.ridge": 1e-2})


SYSTEM = System(
    name="cca",
    summary="linear canonical correlation analysis",
    build=CanonicalCorrelation,
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
