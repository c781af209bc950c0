"""Batch normalization that accepts batches of a single item."""

from __future__ import annotations

from torch import Tensor, nn


class BatchNorm1d(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d`; a single value per channel, without a variance, uses the running statistics.

    Small data sets have such batches: a batch encodes each distinct clip and utterance once, and may contain only one.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[B, C] or [B, C, L] → the same shape."""
        if not self.training or input.numel() > input.shape[1]:
            return super().forward(input)
        self.eval()
        try:
            return super().forward(input)
        finally:
            self.train()
