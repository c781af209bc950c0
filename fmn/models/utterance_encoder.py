"""The utterance encoder: a Bi-LSTM over MFCC frames (paper §3.2), exact under padding."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from fmn.data.sequences import Sequences

Pooling = Literal["last", "mean", "max"]


class UtteranceEncoder(nn.Module):
    """Bi-LSTM: every utterance becomes one vector of 2U numbers, U from each direction.

    The backward direction reads each sequence from its own last frame, so padding never changes a result. This uses
    two padded LSTMs, because a packed one trains ten times slower on a CPU, and waits for the device on a GPU.

    Args:
        features: F, values per frame.
        units: U of the paper, hidden units per direction.
        stack: number of successive frames read in one step, which shortens the sequences.
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
        return self.pooled(self.states(sequences))

    def states(self, sequences: Sequences) -> Sequences:
        """[B, T, F] → hidden states [B, ceil(T / stack), 2U]: each direction's in its own reading order."""
        sequences = stacked(sequences, self.stack)
        # In float32: autocast to bfloat16 would compute an LSTM of cuDNN in float16, whose small gradients become zero.
        with torch.autocast(sequences.frames.device.type, enabled=False):
            backwards = self.backwards(_mirrored(sequences).frames)[0]
            return sequences._replace(frames=torch.cat([self.forwards(sequences.frames)[0], backwards], dim=2))

    def pooled(self, read: Sequences) -> Tensor:
        """Output of `states` → [B, 2U]."""
        states, lengths = read
        if self.pooling == "last":
            last = (lengths - 1)[:, None, None].expand(-1, 1, states.shape[2])
            return states.gather(1, last).squeeze(1)
        inside = read.inside[:, :, None]
        if self.pooling == "max":
            return torch.where(inside, states, -torch.inf).amax(1)
        return torch.where(inside, states, 0.0).sum(1) / lengths[:, None]

    def steps(self, read: Sequences) -> Sequences:
        """Output of `states` → the same with the two directions aligned in time."""
        forwards, backwards = read.frames.chunk(2, dim=2)
        backwards = _mirrored(read._replace(frames=backwards)).frames
        return read._replace(frames=torch.cat([forwards, backwards], dim=2))


def _mirrored(sequences: Sequences) -> Sequences:
    """Reverses each sequence within its own length; padding stays in place."""
    frames, lengths = sequences
    steps = torch.arange(frames.shape[1], device=frames.device)  # [T]
    source = torch.where(sequences.inside, lengths[:, None] - 1 - steps, steps)
    return sequences._replace(frames=frames.gather(1, source[:, :, None].expand_as(frames)))


def stacked(sequences: Sequences, count: int) -> Sequences:
    """Concatenates ``count`` successive frames: [B, T, F] → [B, ceil(T / count), count · F].

    An incomplete last step is filled with zeros, whatever the padding held.
    """
    frames, lengths = sequences
    if count == 1:
        return sequences
    batch, steps, features = frames.shape
    frames = nn.functional.pad(torch.where(sequences.inside[:, :, None], frames, 0.0), (0, 0, 0, -steps % count))
    return Sequences(
        frames.reshape(batch, -1, count * features), (lengths + count - 1).div(count, rounding_mode="floor")
    )
