"""Class towers: FMN with learned class vectors in place of its memories, the control for the effect of memories.

With FMN's defaults a slot is the mean of the pairs of its class, and the agreement of the memories is
Σ over the classes c of P(c | clip) · P(c | utterance). Here the class vectors are learned instead.
The same as in FMN, by inheritance: the clip's features and their normalization, the Bi-LSTM, both maps, S1 and its
head, the final score (S1 and the logarithm of the agreement) with its learned scale and shift, the triplet loss, the
BCE of S1 and of the final score, the class cross-entropy on both modalities (``training.slot_weight``), the softmax
temperature (``memory.temperature``), batches, augmentation and epoch selection.
Different: a modality has one vector per class, normalized to length 1 and trained by the gradients of every loss that
reads it, while FMN's slots are means that are written after every epoch, of the pairs with S1 > T1. The classes are
therefore available from the first batch, in FMN from the second epoch. The memories stay empty and are never read.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional

from dataset_tools.core.errors import InputError
from fmn.config import Config
from fmn.data.batches import Indices, ItemTensors
from fmn.models.baselines.parts.class_vectors import ClassVectors, class_count
from fmn.models.fmn import FeatureMemoryNetwork, slot_cross_entropy
from fmn.models.inner_products import inner_products
from fmn.models.losses import require_loss
from fmn.models.memory import Modality, Reduce
from fmn.models.retrieval_model import Embeddings
from fmn.models.system_interface import OF_SLOTS, System


class ClassTowers(FeatureMemoryNetwork):
    """FMN with learned class vectors read in place of its memories.

    Raises:
        InputError: the score or the read requires a memory.
    """

    def __init__(self, config: Config, video_dim: int, audio_dim: int) -> None:
        super().__init__(config, video_dim, audio_dim)
        self.reads_memories = False  # they stay empty
        if config.memory.read != "softmax" or config.model.score == "distance":
            raise InputError(
                f"class_towers does not support memory.read={config.memory.read}, model.score={config.model.score}",
                expected="memory.read=softmax and a score other than distance, as learned class vectors require",
                next_step="leave these values out",
            )
        self.class_vectors = ClassVectors(
            self.memory.video_slots.shape[1],
            self.memory.audio_slots.shape[1],
            temperature=config.memory.temperature,
        )

    def agreement(self, clips: Embeddings, utterances: Embeddings, reduce: Reduce | None = None) -> Tensor:
        """[N, M]: Σ over the classes of P(c | clip) · P(c | utterance)."""
        of_clips = self._of_classes("video", clips).exp()
        return inner_products(of_clips, self._of_classes("audio", utterances).exp())

    def _of_classes(self, modality: Modality, embeddings: Embeddings) -> Tensor:
        """[N, classes]: log P(c | item), pooled over its steps if step attention is on."""
        if self.attention is not None:
            return embeddings["log_shares"]
        return self._log_shares(modality, embeddings[self.config.memory.space])

    def _log_shares(self, modality: Modality, rows: Tensor) -> Tensor:
        """[..., D] → [..., classes], from the learned class vectors."""
        return self.class_vectors.log_shares(modality, rows)

    def prepare(self, data: ItemTensors, clips: Indices, utterances: Indices) -> None:
        super().prepare(data, clips, utterances)
        self.class_vectors.open(class_count(data))

    def fit_after_epoch(
        self, data: ItemTensors, clips: Indices, utterances: Indices, generator: np.random.Generator
    ) -> None:
        """Writes nothing: there is no memory to write to."""

    def _slot_loss(self, modality: Modality, embeddings: Embeddings, classes: Tensor) -> Tensor:
        return functional.nll_loss(self._of_classes(modality, embeddings), classes)

    def _write(self, clips: Embeddings, utterances: Embeddings, pairs: Tensor, s1: Tensor, classes: Tensor) -> None:
        """Writes nothing."""


SYSTEM = System(
    name="class_towers",
    summary="FMN with learned class vectors in place of its memories",
    build=ClassTowers,
    class_cross_entropy=slot_cross_entropy,
    check=require_loss,
    ignored=tuple(name for name in OF_SLOTS if name not in ("memory.space", "memory.read", "memory.class_slots")),
)
