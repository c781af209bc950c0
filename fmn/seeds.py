"""Random generators that depend on the run's seed and on names, never on what ran before."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_of(seed: int, *names: str | int) -> int:
    """A 63-bit seed for the thing that ``names`` name: ``seed_of(0, "epoch", 3)``."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator_of(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator for the thing that ``names`` name."""
    return np.random.default_rng(seed_of(seed, *names))
