"""Seeds stay what they are: other ones would change every split, voice, augmentation and training."""

from __future__ import annotations

import numpy as np

from dataset_tools.core.seeds import generator, seed_of, training_generator, training_seed

# printf '7\x1fclips\x1f3' | sha256sum, the first 16 digits
SEED = 0xFA7D44F6E5B64332


def test_a_seed_is_the_start_of_the_sha256_of_the_names() -> None:
    assert seed_of(7, "clips", 3) == SEED
    assert training_seed(7, "clips", 3) == SEED // 2  # 63 bits
    assert seed_of(7, "clips", 3, bits=32) == SEED // 2**32
    assert len({seed_of(7, "clips", 3), seed_of(7, "clips3"), seed_of(7, "clip", "s3"), seed_of(73, "clips")}) == 4


def test_generators_are_those_of_the_seeds() -> None:
    for found, seed in ((generator(7, "clips", 3), SEED), (training_generator(7, "clips", 3), SEED // 2)):
        assert found.random(3).tolist() == np.random.default_rng(seed).random(3).tolist()
