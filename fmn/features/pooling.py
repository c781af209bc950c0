"""Pooling of the windows of a clip. A module of its own: reading feature files takes neither PyAV nor OpenCV."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fmn.features.config import Pooling


def pooled(rows: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    """Pools the windows [windows, dim] of a clip to [dim]; ``none`` returns them unchanged."""
    if pooling == "none":
        return rows
    vector: NDArray[np.float32] = (
        rows.max(axis=0) if pooling == "max" else rows.mean(axis=0, dtype=np.float64).astype(np.float32)
    )
    return vector
