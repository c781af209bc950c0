"""Errors of a device, which may have no text."""

from __future__ import annotations

import pytest

from dataset_tools.core.errors import StoppedError
from fmn.features.workers import device_errors


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("CUDA error: out of memory\nCompile with TORCH_USE_CUDA_DSA"), "CUDA error: out of memory"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_an_error_of_the_device_is_told_in_one_line(error: Exception, told: str) -> None:
    with pytest.raises(StoppedError) as raised, device_errors("cuda:0"):
        raise error
    assert raised.value.found == f"The device cuda:0 failed: {told}"
