"""Inner products of embeddings in float32, in mixed precision as well."""

from __future__ import annotations

import torch
from torch import Tensor


def inner_products(first: Tensor, second: Tensor) -> Tensor:
    """[N, D], [M, D] → [N, M]; autocast would round cosines near 1 to multiples of 1/256, a softmax to as much."""
    with torch.autocast(first.device.type, enabled=False):
        return first @ second.T
