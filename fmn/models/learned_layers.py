"""Learned weights over the layers of a speech encoder, as in SUPERB (Yang et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fmn.data.sequences import Sequences


class LearnedLayers(nn.Module):
    """The weighted mean of all layers; the weights are a softmax, equal before training.

    Args:
        layers: number of layers.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(layers))

    @property
    def weights(self) -> Tensor:
        """[L], summing to 1."""
        return self.logits.softmax(dim=0)

    def forward(self, sequences: Sequences) -> Sequences:
        """Frames [B, T, L · D] → [B, T, D]."""
        layers = sequences.frames.reshape(*sequences.frames.shape[:2], len(self.logits), -1)
        return sequences._replace(frames=torch.einsum("btld,l->btd", layers, self.weights.to(layers.dtype)))
