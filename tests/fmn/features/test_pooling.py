"""Pooling of windows, and what is imported where no video is decoded."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fmn.features.config import Pooling
from fmn.features.pooling import pooled


@pytest.mark.parametrize(("pooling", "expected"), [("mean", [2, 3]), ("max", [3, 5]), ("none", [[1, 5], [3, 1]])])
def test_windows_are_pooled(pooling: Pooling, expected: list[float]) -> None:
    assert pooled(np.array([[1, 5], [3, 1]], np.float32), pooling).tolist() == expected


def test_no_decoder_is_imported_before_features_are_loaded() -> None:
    code = "import sys, fmn.training.train, fmn.evaluation.evaluate; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded
    assert not {"av", "cv2", "timm", "transformers"} & set(loaded)
