"""The utterance encoder: a Bi-LSTM over MFCC frames (paper §3.2), exact under padding."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fmn.data.sequences import Sequences

Pooling = Literal["last", "mean", "max"]


class UtteranceEncoder(nn.Module):
    """Bi-LSTM: every utterance becomes one vector of 2U numbers, U from each direction.

    The backward direction reads each sequence from its own last frame, so padding never changes a result. Two padded
    LSTMs do this, because a packed one trains ten times slower on a CPU, and waits for the device on a GPU.

    Args:
        features: F, numbers a frame.
        units: U of the paper, hidden units a direction.
        stack: this many successive frames are read in one step, which shortens the sequences.
        pooling: ``last`` takes the final hidden state of each direction (the paper's reading), ``mean`` the mean of
            all of a direction's hidden states, ``max`` the largest value of each hidden unit over time.
    """

    def __init__(self, features: int, units: int, *, stack: int = 1, pooling: Pooling = "last") -> None:
        super().__init__()
        self.stack = stack
        self.pooling = pooling
        self.output_dim = 2 * units
        self.forwards = nn.LSTM(features * stack, units, batch_first=True)
        self.backwards = nn.LSTM(features * stack, units, batch_first=True)

    def forward(self, sequences: Sequences) -> Tensor:
        """[B, T, F] → [B, 2U]."""
        frames, lengths = stacked(sequences, self.stack)
        steps = torch.arange(frames.shape[1], device=frames.device)  # [T]
        inside = steps < lengths[:, None]  # [B, T]
        mirrored = torch.where(inside, lengths[:, None] - 1 - steps, steps)
        frames_backwards = frames.gather(1, mirrored[:, :, None].expand_as(frames))
        states = torch.cat([self.forwards(frames)[0], self.backwards(frames_backwards)[0]], dim=2)  # [B, T, 2U]
        if self.pooling == "last":
            last = (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2])
            return states.gather(1, last).squeeze(1)
        if self.pooling == "max":
            return torch.where(inside[:, :, None], states, -torch.inf).amax(1)
        return torch.where(inside[:, :, None], states, 0.0).sum(1) / lengths[:, None]


def stacked(sequences: Sequences, count: int) -> Sequences:
    """Puts ``count`` successive frames side by side: [B, T, F] → [B, ceil(T / count), count · F].

    A last step that is not full is filled with zeros, whatever the padding held.
    """
    frames, lengths = sequences
    if count == 1:
        return sequences
    batch, steps, features = frames.shape
    inside = torch.arange(steps, device=frames.device) < lengths[:, None]
    frames = nn.functional.pad(torch.where(inside[:, :, None], frames, 0.0), (0, 0, 0, -steps % count))
    return Sequences(
        frames.reshape(batch, -1, count * features), (lengths + count - 1).div(count, rounding_mode="floor")
    )
