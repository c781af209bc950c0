"""The optimizers do torch's steps without its compiler."""

from __future__ import annotations

import sys

import pytest
import torch

from fmn.optimizers import Adam, AdamW


@pytest.mark.parametrize(("found", "expected"), [(Adam, torch.optim.Adam), (AdamW, torch.optim.AdamW)])
def test_the_steps_are_those_of_torch_and_its_compiler_is_not_imported(
    found: type[torch.optim.Adam], expected: type[torch.optim.Adam], monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(kind: type[torch.optim.Adam]) -> torch.nn.Parameter:
        weights = torch.nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))
        optimizer = kind([weights], lr=0.1, weight_decay=0.01)
        for _ in range(3):
            optimizer.zero_grad()
            weights.pow(2).sum().backward()
            optimizer.step()
            optimizer.load_state_dict(optimizer.state_dict())
        assert weights.requires_grad
        return weights

    reference = trained(expected)
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # importing it fails
    assert torch.equal(trained(found), reference)
