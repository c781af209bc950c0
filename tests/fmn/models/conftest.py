"""What memories are written with, and cosines to compare their slots by."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture
def cosine() -> Callable[[np.ndarray, np.ndarray], float]:
    """The cosine of two vectors; 0 where one has no length."""

    def of(one: np.ndarray, other: np.ndarray) -> float:
        norm = np.linalg.norm(one) * np.linalg.norm(other)
        return float(one @ other / norm) if norm > 0 else 0.0

    return of


@pytest.fixture
def samples() -> Callable[[int, int], tuple[np.ndarray, ...]]:
    """Rows around a few centers, so that some are near to slots and some are new; scores on both sides of .5."""

    def made(seed: int, rows: int) -> tuple[np.ndarray, ...]:
        random = np.random.default_rng(seed)
        center = random.integers(0, 6, rows)
        video = random.normal(size=(6, 7))[center] + 0.4 * random.normal(size=(rows, 7))
        audio = random.normal(size=(6, 5))[center] + 0.4 * random.normal(size=(rows, 5))
        return video, audio, random.random(rows)

    return made
