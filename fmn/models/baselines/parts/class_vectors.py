"""Learned class vectors: one unit vector per class and modality, read by a softmax of cosines like FMN's slots."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fmn.data.batches import ItemTensors
from fmn.models.memory import MODALITIES, Modality
from fmn.models.resizable_buffers import ResizableBuffers


class ClassVectors(ResizableBuffers):
    """P(class | vector): the softmax over the classes of the cosine with each class's vector / temperature.

    The vectors are parameters, learned by gradients; nothing is ever written to them. `open` creates them; loading a
    checkpoint resizes them.

    Args:
        video_dim: size of a clip's vector. audio_dim: size of an utterance's vector.
        temperature: softmax temperature.
    """

    def __init__(self, video_dim: int, audio_dim: int, *, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.video = nn.Parameter(torch.empty(0, video_dim))
        self.audio = nn.Parameter(torch.empty(0, audio_dim))

    def open(self, classes: int) -> None:
        """Creates random unit vectors for ``classes`` classes, for both modalities."""
        for modality in MODALITIES:
            old = getattr(self, modality)
            fresh = torch.randn(classes, old.shape[1])
            setattr(self, modality, nn.Parameter(functional.normalize(fresh, dim=1).to(old.device)))

    def log_shares(self, modality: Modality, rows: Tensor) -> Tensor:
        """[..., D] of one modality → log P(class | row) [..., C], in at least float32, under autocast as well."""
        vectors = self.video if modality == "video" else self.audio
        with torch.autocast(rows.device.type, enabled=False):
            rows = functional.normalize(rows.float(), dim=-1)
            cosines = rows @ functional.normalize(vectors, dim=1).T
            return (cosines / self.temperature).log_softmax(dim=-1)

    def cross_entropy(self, modality: Modality, rows: Tensor, classes: Tensor) -> Tensor:
        """The mean of −log P(own class | row) over rows [N, D] of classes [N]."""
        return functional.nll_loss(self.log_shares(modality, rows), classes)


def class_count(data: ItemTensors) -> int:
    """Number of classes of the items."""
    return 1 + int(max(data.clip_classes.max(), data.utterance_classes.max()))
