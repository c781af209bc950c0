"""Padded sequences: frames of utterances or windows of clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def within(lengths: Tensor, steps: int) -> Tensor:
    """[B] lengths → [B, steps] bool mask: False from the end of each sequence on."""
    return torch.arange(steps, device=lengths.device) < lengths[:, None]


class Sequences(NamedTuple):
    """Sequences of different lengths, padded at their ends.

    Attributes:
        frames: [B, T, F]; values after the end of a sequence are ignored.
        lengths: [B] int64, on the device of ``frames``, each from 1 to T.
    """

    frames: Tensor
    lengths: Tensor

    @property
    def inside(self) -> Tensor:
        """[B, T] bool mask: False for padding."""
        return within(self.lengths, self.frames.shape[1])

    @classmethod
    def of_vectors(cls, vectors: Tensor) -> Sequences:
        """Returns vectors [B, F] as sequences of one frame."""
        return cls(vectors[:, None], torch.ones(len(vectors), dtype=torch.int64, device=vectors.device))


class StoredSequences:
    """Concatenated sequences without padding, on one device.

    Args:
        sequences: N arrays [T, F], each at least one frame long.
        device: where they are stored.
    """

    def __init__(self, sequences: Sequence[NDArray[np.float32]], device: torch.device) -> None:
        self.lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
        self.frames = torch.from_numpy(np.concatenate(sequences)).to(device)
        self._starts = torch.from_numpy(np.concatenate([[0], np.cumsum(self.lengths)[:-1]])).to(device)
        self._lengths = torch.from_numpy(self.lengths).to(device)

    def padded(self, indices: NDArray[np.int64], at: Tensor) -> Sequences:
        """Returns selected sequences, zero-padded to the longest of them; ``at`` is ``indices`` on the device."""
        lengths = self._lengths[at]
        time = torch.arange(int(self.lengths[indices].max()), device=self.frames.device)
        inside = time < lengths[:, None]  # [B, T]
        source = torch.where(inside, self._starts[at][:, None] + time, 0)
        return Sequences(torch.where(inside[:, :, None], self.frames[source], 0.0), lengths)
