"""Step attention: every step of an item attends to slots or classes, pooled to one distribution per item.

A step is a window of a clip or a state of the Bi-LSTM. FMN's memories and classifiers pool alike, so that a comparison
of the two is one of what they attend over.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from dataset_tools.core.errors import InputError
from fmn.config import Config
from fmn.data.sequences import Sequences

StepPooling = Literal["mean", "max"]


def pooled_log_shares(steps: Sequences, pooling: StepPooling) -> Tensor:
    """The distribution of an item from those of its steps.

    Args:
        steps: ``frames`` [B, T, X]: logarithms of shares, of which each step's sum to 1; padding is ignored.
        pooling: ``mean`` of the shares over the steps; or of each share the ``max``, divided by the sum of these.

    Returns:
        [B, X] logarithms of shares that sum to 1, differentiable.
    """
    outside = ~steps.inside[:, :, None]
    shares = steps.frames.masked_fill(outside, -math.inf)
    if pooling == "mean":
        return shares.logsumexp(dim=1) - steps.lengths[:, None].to(shares.dtype).log()
    return torch.log_softmax(shares.amax(dim=1), dim=1)


def attention_of(config: Config) -> StepPooling | None:
    """How the attention of steps is pooled; None where there is none, or no slot is read.

    Raises:
        InputError: the read has no shares of slots to pool.
    """
    pooling, score = config.model.step_attention, config.model.score
    if pooling == "off" or score in ("s1", "cosine"):
        return None
    if config.memory.read != "softmax" or score == "distance":
        raise InputError(
            f"Steps attend to slots by a softmax, and memory.read is {config.memory.read}, model.score is {score}",
            where=f"model.step_attention={pooling}",
            expected="memory.read=softmax, and another score than distance",
            next_step="set memory.read=softmax, or leave out model.step_attention",
        )
    return pooling
