"""Pooling of windows."""

from __future__ import annotations

import numpy as np
import pytest

from fmn.features.config import Pooling
from fmn.features.pooling import pooled


@pytest.mark.parametrize(("pooling", "expected"), [("mean", [2, 3]), ("max", [3, 5]), ("none", [[1, 5], [3, 1]])])
def test_windows_are_pooled(pooling: Pooling, expected: list[float]) -> None:
    assert pooled(np.array([[1, 5], [3, 1]], np.float32), pooling).tolist() == expected
