"""Padded sequences of audio frames: what an utterance is to a model."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Sequences(NamedTuple):
    """Sequences of different lengths, padded at their ends.

    Attributes:
        frames: [B, T, F]; what stands behind the end of a sequence is never looked at.
        lengths: [B] int64, on the device of ``frames``, each from 1 to T.
    """

    frames: Tensor
    lengths: Tensor
