from __future__ import annotations

import numpy as np
import torch

from fmn.data.sequences import Sequences
from fmn.models.learned_layers import LearnedLayers


def test_layers_are_mixed_by_a_softmax_that_starts_equal() -> None:
    mixing = LearnedLayers(3)
    layers = [torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]
    frames = Sequences(torch.cat(layers, dim=2), torch.tensor([5, 2]))
    torch.testing.assert_close(mixing(frames).frames, sum(layers) / 3)
    logits = np.array([0.5, -1.0, 2.0])
    with torch.no_grad():
        mixing.logits.copy_(torch.from_numpy(logits))
    weights = np.exp(logits) / np.exp(logits).sum()
    found = mixing(frames)
    expected = sum(float(weight) * layer for weight, layer in zip(weights, layers, strict=True))
    torch.testing.assert_close(found.frames, expected)
    assert found.lengths.tolist() == [5, 2]
