"""Step attention: every step of an item attends to slots or classes, pooled to one distribution per item.

A step is a window of a clip or a state of the Bi-LSTM. FMN's memories and the classifiers use the same pooling, so that
a comparison of the two differs only in what they attend to.
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
    """Pools the distributions of an item's steps to one.

    Args:
        steps: ``frames`` [B, T, X]: logarithms of shares that sum to 1 at each step; padding is ignored.
        pooling: ``mean`` of each share over the steps, or its ``max``, normalized to sum to 1.

    Returns:
        [B, X] logarithms of shares that sum to 1, differentiable.
    """
    outside = ~steps.inside[:, :, None]
    shares = steps.frames.masked_fill(outside, -math.inf)
    if pooling == "mean":
        return shares.logsumexp(dim=1) - steps.lengths[:, None].to(shares.dtype).log()
    return torch.log_softmax(shares.amax(dim=1), dim=1)


def attention_of(config: Config) -> StepPooling | None:
    """Returns how step attention is pooled; None if it is off, or no slots are read.

    Raises:
        InputError: the configured read has no slot shares to pool.
    """
    pooling, score = config.model.step_attention, config.model.score
    if pooling == "off" or score in ("s1", "cosine"):
        return None
    if config.memory.read != "softmax" or score == "distance":
        raise InputError(
            f"Step attention needs a softmax over slots: memory.read is {config.memory.read}, model.score is {score}",
            where=f"model.step_attention={pooling}",
            expected="memory.read=softmax, and a score other than distance",
            next_step="set memory.read=softmax, or leave out model.step_attention",
        )
    return pooling
