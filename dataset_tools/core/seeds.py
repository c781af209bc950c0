"""Seeds: random generators derived from a seed and stable names, independent of order and worker."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


def seed_of(seed: int, *names: str | int, bits: int = 64) -> int:
    """Derives a seed of ``bits`` bits from the user's seed and the names of what it is for."""
    text = "\x1f".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - bits)


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator for the purpose that ``names`` identify: ``generator(0, "split", "cut_carrot_knife")``."""
    import numpy as np

    return np.random.default_rng(seed_of(seed, *names))


def training_seed(seed: int, *names: str | int) -> int:
    """Derives a seed of 63 bits, as `torch.manual_seed` requires: ``training_seed(0, "epoch", 3)``."""
    return seed_of(seed, *names, bits=63)


def training_generator(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator from a `training_seed`; differs from `generator` for the same names."""
    import numpy as np

    return np.random.default_rng(training_seed(seed, *names))
