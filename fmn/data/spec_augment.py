"""SpecAugment for utterances: tempo, time masking, coefficient masking, noise (after Park et al. 2019).

Not in the paper. Without it a Bi-LSTM memorizes a few hundred utterances, since it sees each of them so often.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fmn.config import AugmentConfig
from fmn.data.sequences import Sequences


def augmented(sequences: Sequences, config: AugmentConfig, coefficients: int) -> Sequences:
    """Augments each sequence independently (with torch's default generator of their device).

    Args:
        sequences: frames [B, T, F], where F is ``coefficients`` times the number of orders (MFCC, deltas, …).
        config: strength of the augmentation.
        coefficients: MFCC coefficients per frame; a band is masked in every order.

    Returns:
        Frames [B, T', F], T' up to (1 + stretch) · T, zero-padded.
    """
    if config.stretch:
        sequences = _stretched(sequences, config.stretch)
    frames, lengths = sequences
    batch, steps, features = frames.shape
    device = frames.device
    time = torch.arange(steps, device=device)
    keep = sequences.inside[:, :, None]  # [B, T, 1]
    for _ in range(config.time_masks):
        longest = lengths * config.time_mask_fraction
        keep = keep & ~_span(time, lengths, longest)[:, :, None]
    band = torch.arange(coefficients, device=device)
    for _ in range(config.coefficient_masks):
        sizes = torch.full((batch,), coefficients, device=device)
        masked = _span(band, sizes, torch.full((batch,), float(config.coefficient_mask_width), device=device))
        keep = keep & ~masked.repeat(1, features // coefficients)[:, None, :]
    if config.noise:
        frames = frames + config.noise * torch.randn_like(frames)
    return Sequences(torch.where(keep, frames, 0.0), lengths)


def _stretched(sequences: Sequences, max_stretch: float) -> Sequences:
    """Changes the tempo of each sequence: frame t of the output is frame t / factor of the input."""
    frames, lengths = sequences
    bound = math.log1p(max_stretch)
    factor = torch.empty(len(lengths), device=frames.device).uniform_(-bound, bound).exp()
    new_lengths = (lengths * factor).long().clamp(min=1)
    steps = math.ceil(frames.shape[1] * (1 + max_stretch))
    time = torch.arange(steps, device=frames.device)
    source = torch.minimum((time / factor[:, None]).long(), lengths[:, None] - 1)
    return Sequences(frames.gather(1, source[:, :, None].expand(-1, -1, frames.shape[2])), new_lengths)


def _span(positions: Tensor, sizes: Tensor, longest: Tensor) -> Tensor:
    """[B, P] bool: for each row a random span of at most ``longest`` positions within its size."""
    draws = torch.rand(2, len(sizes), device=positions.device)
    length = (draws[0] * (longest + 1)).floor().clamp(max=longest)
    start = (draws[1] * (sizes - length + 1)).floor()
    return (positions >= start[:, None]) & (positions < (start + length)[:, None])
