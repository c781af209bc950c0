from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from fmn.metrics.chance import ceiling, chance, expected_hit
from fmn.metrics.retrieval_metrics import query_metrics, recall_at_k

KS = (1, 3, 10, 25)


@pytest.mark.parametrize("k", [1, 2, 3, 7, 11, 12, 40])
def test_expected_hit_is_the_binomial_formula(k: int) -> None:
    cases = [(b, t, p) for b in (0, 1, 2, 10) for t in (1, 2, 5, 12) for p in range(1, t + 1)]
    before, tied, hits = (np.array(part) for part in zip(*cases, strict=True))
    expected = []
    for b, t, p in cases:
        m = max(0, min(k - b, t))
        expected.append(float(1 - Fraction(math.comb(t - p, m), math.comb(t, m))))
    np.testing.assert_allclose(expected_hit(before, tied, hits, k), expected, atol=1e-12)


def test_a_gallery_of_a_million_is_no_trouble() -> None:
    size, relevant, k = np.array([10**6]), np.array([50_000]), 25
    expected = 1 - math.prod((950_000 - i) / (10**6 - i) for i in range(k))
    assert expected_hit(np.array([0]), size, relevant, k) == pytest.approx(expected)


def test_the_papers_test_set() -> None:
    classes = np.repeat(np.arange(20), 15)
    sizes = classes[:, None] == classes[None], np.eye(300, dtype=bool), (1, 10, 25)
    by_chance, by_class = chance(*sizes), ceiling(*sizes)

    def rounded(values: dict[str, float | None]) -> list[float]:
        return [round(value, 2) for value in values.values() if value is not None]

    assert rounded(by_chance["instance_hit"]) == rounded(by_chance["class_recall"]) == [0.33, 3.33, 8.33]
    assert [round(value, 1) for value in rounded(by_chance["class_hit"])] == [5.0, 40.6, 73.8]
    assert rounded(by_class["instance_hit"]) == rounded(by_class["class_recall"]) == [6.67, 66.67, 100.0]
    assert rounded(by_class["class_hit"]) == [100.0, 100.0, 100.0]


def uneven(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes of uneven size, one of them without an item in the gallery; partners: none, one or several, and some of
    another class, alone and beside one of the class."""
    random = np.random.default_rng(seed)
    queries, gallery = random.integers(0, 6, 30), random.integers(1, 6, 43)
    classes = queries[:, None] == gallery[None]
    partners = classes & (random.random(classes.shape) < 0.1)
    partners[0] = False
    partners[:6, np.flatnonzero(~classes[:6].any(axis=0))] = True
    assert set(partners.sum(axis=1)) >= {0, 1, 2}
    return classes, partners


@pytest.mark.parametrize("seed", range(3))
def test_they_are_the_metrics_of_scores_that_say_nothing_or_the_class(seed: int) -> None:
    classes, partners = uneven(seed)
    asked = partners.any(axis=1)
    for found, scores in ((chance, np.zeros(classes.shape)), (ceiling, classes.astype(float))):
        expected = {
            "instance_hit": recall_at_k(scores[asked], partners[asked], KS),
            "class_hit": recall_at_k(scores, classes, KS),
            "class_recall": {k: 100 * each.mean() for k, each in query_metrics(scores, classes, KS).recalls.items()},
        }
        for name, values in found(classes, partners, KS).items():
            assert list(values.values()) == pytest.approx(list(expected[name].values()))


def test_simulation_agrees() -> None:
    classes, partners = uneven(0)
    asked = partners.any(axis=1)
    random = np.random.default_rng(9)
    for found, of_class in ((chance, 0.0), (ceiling, 1.0)):
        sums = {name: np.zeros(len(KS)) for name in ("instance_hit", "class_hit", "class_recall")}
        for _ in range(400):
            scores = of_class * classes + random.random(classes.shape)  # distinct: no tie rule takes part
            places = (-scores).argsort(axis=1).argsort(axis=1)
            for column, k in enumerate(KS):
                top = places < k
                sums["instance_hit"][column] += (top & partners)[asked].any(axis=1).mean()
                sums["class_hit"][column] += (top & classes).any(axis=1).mean()
                share = (top & classes).sum(axis=1) / np.maximum(classes.sum(axis=1), 1)
                sums["class_recall"][column] += share.mean()
        for name, values in found(classes, partners, KS).items():
            np.testing.assert_allclose(list(values.values()), 100 * sums[name] / 400, atol=2)


def test_without_partners_there_is_no_instance_hit() -> None:
    classes = np.ones((2, 3), dtype=bool)
    for found in (chance, ceiling):
        assert found(classes, np.zeros((2, 3), dtype=bool), (1, 25))["instance_hit"] == {"1": None, "25": None}
