from __future__ import annotations

import numpy as np
from trivial import nearest_mean_accuracy

from dataset_tools.core.seeds import generator


def test_nearest_mean_finds_what_is_there_and_nothing_else() -> None:
    rng = generator(0, "test")
    labels = np.repeat(np.arange(10), 40)
    groups = [f"s{i % 8}" for i in range(400)]
    telling = rng.normal(size=(400, 2)) + 20 * np.stack([labels % 5, labels // 5], axis=1)
    assert nearest_mean_accuracy(telling, labels, groups) == 1.0
    assert nearest_mean_accuracy(rng.normal(size=(400, 2)), labels, groups) < 0.2


def test_a_group_is_never_on_both_sides() -> None:
    # Each group has a value and a class of its own: known only to those who have seen the group.
    labels = np.repeat(np.arange(10), 4)
    assert nearest_mean_accuracy(labels[:, None].astype(float), labels, [f"s{label}" for label in labels]) == 0.0
