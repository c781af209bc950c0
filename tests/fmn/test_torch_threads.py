"""Threads of torch: as many as were asked for, and no more than a container may use unless they were."""

from __future__ import annotations

import pytest
import torch

from fmn.torch_threads import threads


@pytest.mark.parametrize(("count", "cores", "found"), [(None, 1, 1), (None, 8, 2), (3, 1, 3)])
def test_the_number_of_threads(monkeypatch: pytest.MonkeyPatch, count: int | None, cores: int, found: int) -> None:
    monkeypatch.setattr("fmn.torch_threads.usable_cores", lambda: cores)
    with threads(2):
        with threads(count):
            assert torch.get_num_threads() == found
        assert torch.get_num_threads() == 2
