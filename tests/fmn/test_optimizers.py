"""Optimizers without the compiler of torch compute what their formulas say, and can be resumed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fmn.optimizers import eager


@pytest.mark.parametrize(("optimizer", "decoupled"), [(torch.optim.Adam, False), (torch.optim.AdamW, True)])
def test_steps_are_those_of_the_formula(optimizer: type[torch.optim.Adam], decoupled: bool) -> None:
    """Kingma and Ba, 2015, algorithm 1; weight decay in the gradient, or of the weights (Loshchilov and Hutter)."""
    rate, decay, start = 0.1, 0.01, np.array([1.0, -2.0])
    weights: NDArray[np.float64] = start
    parameter = torch.nn.Parameter(torch.tensor(start))
    first, second = 0 * start, 0 * start
    state = None
    for step in range(1, 4):
        adam = eager(optimizer)([parameter], lr=rate, weight_decay=decay)
        if state:
            adam.load_state_dict(state)
        adam.zero_grad(set_to_none=True)
        (parameter**3).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
        state = adam.state_dict()
        gradient = 3 * weights**2 + (0 if decoupled else decay * weights)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        if decoupled:
            weights = weights * (1 - rate * decay)
        corrected = np.sqrt(second / (1 - 0.999**step)) + 1e-8
        weights = weights - rate * first / (1 - 0.9**step) / corrected
        np.testing.assert_allclose(parameter.detach().numpy(), weights, rtol=1e-12)
