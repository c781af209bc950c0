"""Zero-shot retrieval with a joint encoder: the cosine of its vectors of clip and utterance; nothing is trained.

Both encoders must be halves of one model that embeds clips and speech in one space (PE-AV, EmbeddingGemma 2;
docs/encoders.md): its name and a digest of its weights are compared (`fmn.features.encoders.interface.space_of`). The
model's vectors are only normalized to length 1; a scale or offset of the model would not change the ranking.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from fmn.config import Config
from fmn.data.batches import Indices, ItemTensors
from fmn.data.sequences import Sequences
from fmn.models.inner_products import inner_products
from fmn.models.retrieval_model import Embeddings, RetrievalModel
from fmn.models.system_interface import OF_FMN, OF_GRADIENTS, OF_TRIPLETS, System, as_it_is, not_joint


class ZeroShot(RetrievalModel):
    """The cosine of the two unmodified vectors."""

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        super().__init__()
        self.config = config

    def check(self, data: ItemTensors) -> None:
        """Checks that the features are vectors of one space, one per utterance.

        Raises:
            InputError: the features do not come from one joint encoder.
        """
        if not data.space or data.video_dim != data.audio_dim or (data.lengths != 1).any():
            raise not_joint(self.config)

    def prepare(self, data: ItemTensors, clips: Indices, utterances: Indices) -> None:
        self.check(data)

    def encode_clips(self, video: Tensor) -> Embeddings:
        """[N, D] → ``vector`` [N, D] of length 1."""
        return {"vector": functional.normalize(video, dim=1)}

    def encode_utterances(self, audio: Sequences) -> Embeddings:
        """M sequences of one frame → ``vector`` [M, D] of length 1."""
        return {"vector": functional.normalize(audio.frames[:, 0], dim=1)}

    def scores(self, clips: Embeddings, utterances: Embeddings) -> Tensor:
        """[N, M] cosines."""
        return inner_products(clips["vector"], utterances["vector"])


SYSTEM = System(
    name="zero_shot",
    summary="cosine of both vectors of one joint encoder; nothing is trained",
    build=ZeroShot,
    grid=as_it_is,
    joint=True,
    ignored=("model", "memory", *OF_FMN, *OF_TRIPLETS, *OF_GRADIENTS),
)
